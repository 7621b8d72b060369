// Whether this engine computes what the package promises: a call for each loop of the kernel, with numbers
// of few bits. No step rounds them, so that the definition in f64 has the very bits.
import { bfloat16, float16, float32, free, uint8 } from './arrays.ts';
import {
  huberLoss,
  huberLossBackward,
  huberLossDeltaGrad,
  huberLossDoubleBackward,
  huberLossHessian,
  huberLossWithGrad,
  l1Loss,
  l1LossBackward,
  l1LossWithGrad,
  quantileHuberLoss,
  quantileHuberLossBackward,
  quantileHuberLossWithGrad,
  smoothL1Loss,
  smoothL1LossBackward,
  smoothL1LossBetaGrad,
  smoothL1LossDoubleBackward,
  smoothL1LossHessian,
  smoothL1LossWithGrad,
} from './losses.ts';

/** A number that a function gave and that is not right, as {@link selfTest} reports it. */
export interface Difference {
  /** The function, how its weights and its mask lie, and which of its results it is. */
  readonly what: string;
  /** The element; 0 where the result is one number. */
  readonly index: number;
  readonly expected: number;
  readonly actual: number;
}

type Values = ArrayLike<number>;
// biome-ignore lint/suspicious/noExplicitAny: the functions differ in their types alone
type Any = any;

interface Tried {
  name: '' | 'beta' | 'delta' | 'tau';
  threshold: number;
  /**
   * How inside weights, outside weights and a mask lie: not at all (0), in full (1), by row (2), by column
   * (3). Each has a loop of the kernel, or is spread in a way of its own.
   */
  layouts: string[];
  functions: [
    loss: Any,
    backward: Any,
    withGrad: Any,
    hessian?: Any,
    doubleBackward?: Any,
    thresholdGrad?: Any,
  ];
}

const PLAIN = '000';
const SPREAD = '231';
/** One weight for each row of four, which has a loop of its own. */
const BOXES = '020';
const TAU = 0.25;
/** A leaf, an iteration and a tail; and some iterations and a tail. Rows of 3. */
const [LONG, SHORT] = [1047, 57];

/** In a function: a program that does not call it shall not carry the losses. */
const tried = (): Tried[] => [
  {
    name: 'beta',
    threshold: 2,
    layouts: [PLAIN, SPREAD, '010', '110', '001', '011'],
    functions: [
      smoothL1Loss,
      smoothL1LossBackward,
      smoothL1LossWithGrad,
      smoothL1LossHessian,
      smoothL1LossDoubleBackward,
      smoothL1LossBetaGrad,
    ],
  },
  {
    // Its inverse is no normal float.
    name: 'beta',
    threshold: 2 ** 127,
    layouts: [PLAIN],
    functions: [smoothL1Loss, smoothL1LossBackward, smoothL1LossWithGrad],
  },
  {
    name: 'delta',
    threshold: 1,
    layouts: [PLAIN, BOXES, '010', '001'],
    functions: [
      huberLoss,
      huberLossBackward,
      huberLossWithGrad,
      huberLossHessian,
      huberLossDoubleBackward,
      huberLossDeltaGrad,
    ],
  },
  {
    name: '',
    threshold: 0,
    layouts: [PLAIN, '323'],
    functions: [l1Loss, l1LossBackward, l1LossWithGrad],
  },
  {
    name: 'tau',
    threshold: 2,
    layouts: [PLAIN, SPREAD],
    functions: [quantileHuberLoss, quantileHuberLossBackward, quantileHuberLossWithGrad],
  },
];

/**
 * Computes known answers with each loop of the kernel: losses, gradients, second derivatives, weights, masks,
 * rows and columns, inputs of 16 bits, exact sums. It starts the kernel; in a fresh process it takes several times
 * as long as `load()`. Long calls that threads share run the same loops, and are not tried.
 *
 * An engine may compile WebAssembly wrongly, with an experimental flag for instance: what differs shows it.
 *
 * @returns what differs from what is right, one entry for each wrong result: nothing in a sound engine.
 * @throws {RangeError} if the kernel's memory is full.
 * @example
 * ```ts
 * import { selfTest } from 'smooth-l1';
 * const differences = selfTest();
 * if (differences.length > 0) console.warn('smooth-l1 computes wrong numbers here', differences);
 * console.log(differences.length); // 0
 * ```
 */
export function selfTest(): Difference[] {
  const wrong: Difference[] = [];
  const made: Parameters<typeof free>[0][] = [];
  const own = <A extends Parameters<typeof free>[0]>(array: A): A => {
    made.push(array);
    return array;
  };
  const numbers = (f: (i: number) => number): Float32Array =>
    own(float32(Array.from({ length: LONG }, (_, i) => f(i))));
  try {
    const x = numbers((i) => (((i * 37) % 65) - 32) / 8);
    const y = numbers((i) => (((i * 11) % 17) - 8) / 8);
    const inside = numbers((i) => ((i * 3) % 5) / 2);
    const outside = numbers((i) => (((i * 5) % 7) - 1) / 2);
    const upstream = numbers((i) => ((i * 7) % 9) - 4);
    const mask = own(uint8(Array.from({ length: LONG }, (_, i) => +((i * 13) % 11 > 3))));
    const outputs = Array.from({ length: 5 }, () => numbers(() => 0));
    const halves = [
      ['float16', own(float16(x)), own(float16(y))],
      ['bfloat16', own(bfloat16(x)), own(bfloat16(y))],
    ] as const;

    for (const { name, threshold, layouts, functions } of tried())
      for (const kinds of layouts) {
        const [loss, backward, withGrad, hessian, doubleBackward, thresholdGrad] = functions;
        const rowLength = kinds === BOXES ? 4 : 3;
        const isLong = threshold === 2 && name === 'beta' && (kinds === PLAIN || kinds === SPREAD);
        const n = isLong ? LONG : kinds === BOXES ? 64 : SHORT;
        const part = (array: Float32Array): Float32Array => array.subarray(0, n);
        const [a, b] = [part(x), part(y)];
        const options: Record<string, unknown> = { rowLength, reduction: 'sum' };
        if (name === 'tau') Object.assign(options, { delta: threshold, tau: TAU });
        else if (name) options[name] = threshold;
        /** Adds an option; how to read it. */
        const lay = (
          option: string,
          kind: string | undefined,
          values: Float32Array | Uint8Array,
        ): ((i: number) => number) => {
          if (kind === '0') return () => 1;
          const rows = values.subarray(0, n / rowLength);
          const columns = values.subarray(0, rowLength);
          options[option] =
            kind === '2'
              ? { perRow: rows }
              : kind === '3'
                ? { perColumn: columns }
                : values.subarray(0, n);
          return (i) =>
            values[
              kind === '2' ? Math.floor(i / rowLength) : kind === '3' ? i % rowLength : i
            ] as number;
        };
        const insideAt = lay('insideWeights', kinds[0], inside);
        const outsideAt = lay('weight', kinds[1], outside);
        const maskAt = lay('mask', kinds[2], mask);

        // The definition.
        const height = name === 'delta' || name === 'tau' ? threshold : 1;
        const right = {
          loss: [] as number[],
          gradient: [] as number[],
          toInside: [] as number[],
          toOutside: [] as number[],
          bend: [] as number[],
          shift: [] as number[],
          robust: [] as number[],
        };
        let weights = 0;
        for (let i = 0; i < n; i++) {
          const d = (a[i] as number) - (b[i] as number);
          const [v, w] = [insideAt(i), outsideAt(i)];
          const e = v * d;
          const size = Math.abs(e);
          const isBelow = size < threshold;
          const side = name !== 'tau' ? 1 : e < 0 ? TAU : 1 - TAU;
          const keep = maskAt(i) && side;
          const cost = height * (isBelow ? (e * e) / (2 * threshold) : size - threshold / 2);
          const slope = height * (isBelow ? e / threshold : Math.sign(e));
          const ofBeta = isBelow ? -((size / threshold) ** 2) / 2 : -0.5;
          right.loss.push(keep * w * cost);
          right.gradient.push(keep * w * v * slope);
          right.toInside.push(keep * w * slope * d);
          right.toOutside.push(keep * cost);
          right.bend.push(isBelow ? (keep * w * v * v * height) / threshold : 0);
          right.shift.push(keep * w * (name === 'beta' ? ofBeta : Math.max(0, size - threshold)));
          right.robust.push(
            keep * w * v * v && (keep * w * v * v * height) / Math.max(size, threshold),
          );
          weights += maskAt(i) && w;
        }
        const list = (key: keyof typeof right, factor = 1): number[] =>
          factor === 1 ? right[key] : right[key].map((value) => factor * value);
        const total = (values: number[]): number => values.reduce((sum, value) => sum + value, 0);
        const sum = total(list('loss'));

        const check = (
          what: string,
          actual: number | Values,
          expected: number | Values,
          error = 0,
        ): void => {
          const isNumber = typeof expected === 'number';
          const wanted = isNumber ? [expected] : expected;
          const found = (isNumber ? [actual] : actual) as Values;
          for (let index = 0; index < wanted.length; index++) {
            const [expected, actual] = [wanted[index] as number, found[index] as number];
            if (actual === expected) continue;
            if (Math.abs(actual - expected) <= error * Math.abs(expected)) continue;
            wrong.push({ what: `${loss.name}, ${kinds}: ${what}`, index, expected, actual });
            return;
          }
        };
        const none = { ...options, reduction: 'none' };
        const [out, gradient, gradTarget, gradInsideWeights, gradOutsideWeights] = outputs.map(
          (array) => part(array).fill(0),
        ) as [Float32Array, Float32Array, Float32Array, Float32Array, Float32Array];

        check('sum', loss(a, b, options), sum);
        check('sum with gradient', withGrad(a, b, gradient, options), sum);
        check('gradient with sum', gradient, list('gradient'));
        const grads = { gradTarget, gradInsideWeights, gradOutsideWeights, accumulate: true };
        check('losses', withGrad(a, b, gradient, { ...none, ...grads, out }), list('loss'));
        check('gradient that is added', gradient, list('gradient', 2));
        check('gradient to the target', gradTarget, list('gradient', -1));
        check('gradient to inside weights', gradInsideWeights, list('toInside'));
        check('gradient to outside weights', gradOutsideWeights, list('toOutside'));
        if (kinds === SPREAD) {
          const mean = { ...options, reduction: 'mean', divisor: 'weights' };
          check('mean', loss(a, b, mean), sum / weights);
          const ofWeights = list('toOutside').map(
            (value, i) => maskAt(i) && (value - sum / weights) / weights,
          );
          // The loop for robust weights is the one for thresholds by column.
          for (const more of [{}, { outRobustWeights: gradTarget }]) {
            withGrad(a, b, gradient, { ...mean, gradOutsideWeights, ...more });
            check('gradient of the mean to outside weights', gradOutsideWeights, ofWeights, 1e-4);
          }
        }
        const many = list('gradient').map((slope, i) => slope * (upstream[i] as number));
        check('gradients of many', backward(part(upstream), a, b, { ...none, out }), many);
        const ofBoth = backward(part(upstream), a, b, { ...none, out, gradTarget });
        check('gradients of many to both', ofBoth, many);
        const negative = many.map((slope) => -slope);
        check('gradients of many to the target', gradTarget, negative);
        if (hessian) check('Hessian', hessian(a, b, { ...options, out }), list('bend'));
        if (doubleBackward) {
          const each = doubleBackward(a, part(upstream), a, b, { ...none, out });
          const bends = list('bend').map(
            (bend, i) => bend * (a[i] as number) * (upstream[i] as number),
          );
          check('double backward', each, bends);
        }
        if (kinds !== PLAIN) continue;
        check('losses alone', loss(a, b, { ...none, out }), list('loss'));
        check('exact sum', loss(a, b, { ...options, sum: 'exact' }), sum);
        const rows = Array.from({ length: n / rowLength }, (_, row) =>
          total(list('loss').slice(row * rowLength, (row + 1) * rowLength)),
        );
        const outRobustWeights = gradTarget;
        check('rows', loss(a, b, { ...options, reduction: 'rows', outRobustWeights }), rows);
        if (threshold > 0) check('robust weights', outRobustWeights, list('robust'), 1e-6);
        check('gradient', backward(2, a, b, { ...options, out }), list('gradient', 2));
        check('losses with gradient', withGrad(a, b, gradient, { ...none, out }), list('loss'));
        check('gradient with losses', gradient, list('gradient'));
        if (thresholdGrad) check('threshold', thresholdGrad(a, b, options), total(list('shift')));
        for (const [type, ...pair] of halves) {
          const [p, q] = pair.map((array) => array.subarray(0, n));
          const typed = { ...options, inputType: type };
          const both = { ...typed, targetType: type };
          check(`sum of ${type}`, loss(p, q, both), sum);
          const ofHalf = backward(2, p, b, { ...typed, out });
          check(`gradient of ${type}`, ofHalf, list('gradient', 2));
        }
      }
  } finally {
    made.forEach(free);
  }
  return wrong;
}
