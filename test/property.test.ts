// Facts that hold for any bits, lengths, places and options. With SEED and RUNS, two numbers, the
// same tests search elsewhere, and longer.
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import type { Mask } from '../ts/index.ts';
import { backends, type Package } from './backends.ts';
import {
  ARRAYS,
  type Call,
  foldOf,
  INPUTS,
  inPlain,
  isFolded,
  OUTPUTS,
  optionsOf,
  type Results,
  rolesOf,
} from './calls.ts';
import {
  anyBits,
  anyLength,
  call,
  LONG,
  mix,
  pair,
  SHORT,
  shortLength,
  tame,
  wide,
} from './draws.ts';
import { f32, names, type Role } from './functions.ts';
import { type Layout, oracle } from './oracle.ts';
import {
  elsewhere,
  expectNear,
  expectRight,
  expectSame,
  inKernel,
  outcome,
  outcomes,
  type Where,
} from './outcomes.ts';
import { LEAF, PIECE, sumInOrder } from './sums.ts';

const seed = Number(process.env.SEED ?? 1);
const longer = Number(process.env.RUNS ?? 1);
vi.setConfig({ testTimeout: 60_000 * longer });

function check<T>(runs: number, drawn: fc.Arbitrary<T>, property: (value: T) => void): void {
  fc.assert(fc.property(drawn, property), {
    seed,
    numRuns: runs * longer,
    includeErrorInReport: true,
    // A failure is reported before the test times out, shrunk or not.
    interruptAfterTimeLimit: 30_000 * longer,
  });
}

/** A call of any length: the same in each run. */
function sample(n: number, more: Partial<Call> = {}): Call {
  const words = Array.from({ length: 251 }, (_, i) => Math.imul(i + 1, 0x9e3779b1) >>> 0);
  const numbers = (role: number): Float32Array => tame.numbers(mix(words, role, n), 4);
  const call: Call = {
    form: 'smoothL1',
    threshold: 1,
    input: numbers(1),
    target: numbers(2),
    gradGradInput: numbers(3),
  };
  return { ...call, ...more };
}

/** The same with weights, a mask and upstream gradients for each element. */
function fullSample(n: number): Call {
  const [a, b, c] = [sample(n), sample(n + 1), sample(n + 2)];
  return {
    ...a,
    threshold: 0.7,
    insideWeights: b.input.subarray(1),
    outsideWeights: b.target.subarray(1),
    mask: Uint8Array.from(c.input.subarray(2), (x) => (x < 2 ? 1 : 0)),
    gradOutput: c.target.subarray(2),
    allGradients: true,
    allElements: true,
    divisor: 'unmasked',
  };
}

/** No option of a mean. */
const noMean = { divisor: undefined, minDivisor: undefined, onZeroDivisor: undefined };

/** Rows of any length, with a positive weight for each row, or for each column. */
const rowCalls = new Map(
  [1, 2, 3, 4, 5, 7, 84, 85, 1024, 1025, 4096, 8191, 8192, 8193, 20001].map((rowLength) => {
    const rows = Math.max(2, Math.ceil((2 * PIECE + 1) / rowLength));
    const call = sample(rows * rowLength, { rowLength, reduction: 'rows', scale: 0.75 });
    const weights = sample(rows).input.map((x) => Math.abs(x) + 0.5);
    return [rowLength, { ...call, outsideWeights: { perRow: weights } } as Call];
  }),
);

const rowSums = new WeakMap<Call, number[]>();

function rowsOf(call: Call): number[] {
  const found = rowSums.get(call);
  if (found) return found;
  const { rowLength = 1 } = call;
  const sums = new Array<number>(call.input.length / rowLength).fill(0);
  const losses = oracle({ ...call, reduction: 'none' }).loss as number[];
  for (const [i, loss] of losses.entries())
    sums[Math.floor(i / rowLength)] = (sums[Math.floor(i / rowLength)] as number) + loss;
  rowSums.set(call, sums);
  return sums;
}

const samples = new Map([...SHORT, ...LONG].map((n) => [n, [sample(n), fullSample(n)]]));
for (const n of SHORT) samples.get(n)?.push(sample(n, { reduction: 'none' }));

describe.each(backends)('%s', (_, smooth) => {
  test.each([...samples])('%i elements: right at every 4-byte offset, and staged', (_, calls) => {
    for (const call of calls) {
      const first = outcomes(smooth, call, inKernel);
      expectRight(call, first, 1e-6);
      const others: Where[] = [1, 2, 3].map((shift) => ({ inKernel: true, shift }));
      // To JavaScript all offsets are alike.
      for (const where of [...(smooth.backend === 'js' ? [] : others), elsewhere])
        for (const [role, expected] of Object.entries(first) as [Role, Results][])
          expectSame(outcome(smooth, role, call, where), expected);
    }
  });

  test('any options: right', () => {
    check(150, call(tame, shortLength), (call) => {
      expectRight(call, outcomes(smooth, call, inKernel));
    });
  });

  test('any bits: losses and gradients are right', () => {
    check(150, pair(anyBits, shortLength), (call) => {
      for (const reduction of ['none', 'sum'] as const) {
        const each = { ...call, reduction, allElements: true };
        const { forward, backward } = outcomes(smooth, each, inKernel);
        // A residual is an f32 too: beyond the largest it is infinite.
        const input = call.input.map((x, i) => x - (call.target[i] as number));
        const right = oracle({ ...each, input, target: new Float32Array(input.length) });
        if (reduction === 'none') expectNear('loss', forward?.loss as Float32Array, right.loss, 4);
        expectNear('gradInput', backward?.gradInput as Float32Array, right.gradInput, 4);
        const weights = forward?.outRobustWeights as Float32Array;
        expectNear('outRobustWeights', weights, right.outRobustWeights, 4);
      }
    });
  });

  test('arrays anywhere: the same bits as with all of them in the kernel', () => {
    const drawn = fc.tuple(call(anyBits, anyLength), fc.subarray(ARRAYS), fc.nat({ max: 3 }));
    check(200, drawn, ([call, there, shift]) => {
      for (const role of rolesOf(call))
        expectSame(
          outcome(smooth, role, call, { inKernel: (name) => there.includes(name), shift }),
          outcome(smooth, role, call, inKernel),
        );
    });
  });

  test('each result in the place of each input: the same bits as apart from it', () => {
    for (const reduction of ['none', 'mean'] as const) {
      const full = { ...fullSample(37), reduction };
      const call = reduction === 'none' ? { ...full, divisor: undefined } : full;
      for (const each of [call, { ...call, gradOutput: undefined }])
        for (const role of rolesOf(each))
          for (const [output, input] of OUTPUTS.flatMap((x) => INPUTS.map((y) => [x, y] as const)))
            for (const inKernel of [true, false]) {
              const shared = { [output]: input };
              const apart = outcome(smooth, role, each, { inKernel });
              expectSame(outcome(smooth, role, each, { inKernel, shared }), apart);
            }
    }
  });

  test('several results in the places of inputs: the same bits as apart from them', () => {
    const drawn = fc.tuple(
      call(anyBits, anyLength),
      fc.shuffledSubarray([...INPUTS], { minLength: 1 }),
      fc.shuffledSubarray(OUTPUTS, { minLength: OUTPUTS.length }),
      fc.boolean(),
    );
    check(150, drawn, ([drawn, inputs, outputs, inKernel]) => {
      const call = { ...drawn, accumulate: false };
      const full = inputs.filter((name) => call[name] instanceof Float32Array);
      const shared = Object.fromEntries(full.map((input, i) => [outputs[i] as string, input]));
      // What is added up has one element for each row or column.
      if (isFolded(call)) delete shared.out;
      for (const output of OUTPUTS) if (foldOf(call, output)) delete shared[output];
      for (const role of rolesOf(call))
        expectSame(
          outcome(smooth, role, call, { inKernel, shared }),
          outcome(smooth, role, call, { inKernel }),
        );
    });
  });

  test('losses beside a mean or a sum: the bits of the reduction "none"', () => {
    check(100, call(anyBits, anyLength), (drawn) => {
      const reduction = drawn.reduction === 'mean' ? 'mean' : 'sum';
      const beside: Call = {
        ...drawn,
        ...(reduction === 'sum' && noMean),
        allElements: true,
        reduction,
      };
      const none: Call = { ...drawn, ...noMean, reduction: 'none' };
      const { loss } = outcome(smooth, 'forward', none, elsewhere);
      for (const where of [inKernel, elsewhere]) {
        const {
          outLosses = 0,
          outRobustWeights: _,
          ...others
        } = outcome(smooth, 'forward', beside, where);
        expectSame({ outLosses }, { outLosses: loss as Float32Array });
        expectSame(outcome(smooth, 'forward', { ...beside, allElements: false }, where), others);
      }
    });
  });

  test('fused: the bits of forward and of backward', () => {
    check(200, call(anyBits, anyLength), (drawn) => {
      const call = { ...drawn, gradOutput: undefined };
      const { forward, backward, withGrad } = outcomes(smooth, call, inKernel);
      expectSame(withGrad as Results, { ...forward, ...backward });
    });
  });

  test('a loss object: the bits of the functions', () => {
    check(100, call(anyBits, shortLength), (drawn) => {
      const call = {
        ...drawn,
        gradOutput: undefined,
        accumulate: false,
        allGradients: false,
        allElements: false,
      };
      const { input, target } = call;
      const loss = new smooth[names[call.form].loss](optionsOf(call, inPlain));
      const { forward, backward, withGrad } = outcomes(smooth, call, elsewhere);
      expectSame({ loss: loss.forward(input, target) }, forward as Results);
      expectSame({ gradInput: loss.backward(1, input, target) }, backward as Results);
      const gradInput = new Float32Array(input.length);
      expectSame({ loss: loss.withGrad(input, target, gradInput), gradInput }, withGrad as Results);
    });
  });

  test('a loss object: options of a call take the place of its own, undefined ones do not', () => {
    const [x, y] = [Float32Array.of(1, 2, 3), Float32Array.of(0, 4, 4.5)];
    const own = { sigma: 2, weight: 3, scale: 5 };
    const loss = new smooth.SmoothL1Loss(own);
    for (const [given, all] of [
      [{ scale: 7 }, { ...own, scale: 7 }],
      [{ beta: 0.5 }, { beta: 0.5, weight: 3, scale: 5 }],
      [{ outsideWeights: 2 }, { sigma: 2, outsideWeights: 2, scale: 5 }],
      [{ sigma: undefined, weight: undefined, scale: undefined }, own],
      [
        { beta: undefined, outsideWeights: undefined, scale: 7 },
        { ...own, scale: 7 },
      ],
      [
        { sigma: undefined, beta: 0.5 },
        { beta: 0.5, weight: 3, scale: 5 },
      ],
      [{}, own],
    ] as [object, object][]) {
      const wanted = smooth.smoothL1Loss(x, y, all);
      expect(loss.forward(x, y, given), JSON.stringify(given)).toBe(wanted);
      expect(loss.withGrad(x, y, new Float32Array(3), given)).toBe(wanted);
    }
  });

  test('no call depends on those before it', () => {
    const [x, y, gradInput] = [smooth.float32([1, 2, 3]), smooth.float32(3), smooth.float32(3)];
    const object = new smooth.SmoothL1Loss({ beta: 4 });
    const plain: (() => Results)[] = [
      () => ({ loss: object.withGrad(x, y, gradInput), gradInput: gradInput.slice() }),
      () => ({ loss: smooth.huberLoss(x, y) }),
    ];
    for (const again of plain) {
      const alone = again();
      check(20, call(anyBits, shortLength), (call) => {
        for (const role of rolesOf(call))
          for (const where of [inKernel, elsewhere]) {
            outcome(smooth, role, call, where);
            expectSame(again(), alone);
          }
      });
    }
    for (const array of [x, y, gradInput]) smooth.free(array);
  });

  test('weights of 1 and a mask of 1s: the bits of none', () => {
    check(100, fc.tuple(call(anyBits, anyLength), fc.nat()), ([drawn, kinds]) => {
      const call = {
        ...drawn,
        mask: undefined,
        ignoreNaNTargets: undefined,
        foldsGradients: false,
      };
      const n = call.input.length;
      const rowLength = call.rowLength ?? Math.max(n, 1);
      const one = (length: number) => new Float32Array(length).fill(1);
      const ones: Layout[] = [
        1,
        one(n),
        { perRow: one(n / rowLength) },
        { perColumn: one(rowLength) },
      ];
      const { insideWeights, outsideWeights, ...bare } = call;
      const free =
        call.divisor?.toString().match(/weights/i) === null || call.divisor === undefined;
      const plain: Call = free ? bare : { ...bare, outsideWeights };
      const weighted: Call = {
        ...plain,
        rowLength,
        insideWeights: ones[kinds % 4],
        outsideWeights: free ? ones[(kinds >> 2) % 4] : outsideWeights,
        mask: kinds & 16 ? new Uint8Array(n).fill(1 + (kinds % 255)) : undefined,
      };
      for (const role of rolesOf(plain))
        expectSame(
          outcome(smooth, role, weighted, inKernel),
          outcome(smooth, role, plain, inKernel),
        );
    });
  });

  test('values for a row, a column or all: the bits of the same in full', () => {
    check(150, call(anyBits, anyLength), (drawn) => {
      const call = { ...drawn, foldsGradients: false };
      const n = call.input.length;
      const { rowLength = Math.max(n, 1) } = call;
      const inFull = (layout: Layout | undefined): Layout | undefined => {
        if (layout === undefined) return undefined;
        const at = (i: number): number => {
          if (typeof layout === 'number') return layout;
          if ('perRow' in layout) return layout.perRow[Math.floor(i / rowLength)] as number;
          if ('perColumn' in layout) return layout.perColumn[i % rowLength] as number;
          return layout[i] as number;
        };
        return Float32Array.from({ length: n }, (_, i) => at(i));
      };
      const { threshold, gradOutput } = call;
      const isOne = call.reduction === 'rowMeans' || call.reduction === 'columns';
      const full: Call = {
        ...call,
        rowLength,
        threshold:
          typeof threshold === 'number' && call.rowLength
            ? new Float32Array(rowLength).fill(threshold)
            : threshold,
        insideWeights: inFull(call.insideWeights),
        outsideWeights: inFull(call.outsideWeights),
        mask: call.mask && Uint8Array.from(inFull(call.mask) as Float32Array),
        // A number is a factor of the whole: rounded once, not for each element.
        gradOutput: isOne || typeof gradOutput === 'number' ? gradOutput : inFull(gradOutput),
      };
      for (const role of rolesOf(full))
        expectSame(outcome(smooth, role, full, inKernel), outcome(smooth, role, call, inKernel));
    });
  });

  test('what is masked has no influence, whatever it is', () => {
    check(150, call(anyBits, anyLength), (call) => {
      const { mask, input, target, ignoreNaNTargets, ignoreValue } = call;
      const rowLength = call.rowLength ?? Math.max(input.length, 1);
      const counts = (i: number): boolean => {
        if (ignoreNaNTargets && Number.isNaN(target[i])) return false;
        if (target[i] === ignoreValue) return false;
        if (mask === undefined || typeof mask === 'number') return true;
        if ('perRow' in mask) return mask.perRow[Math.floor(i / rowLength)] !== 0;
        if ('perColumn' in mask) return mask.perColumn[i % rowLength] !== 0;
        return (mask as Uint8Array)[i] !== 0;
      };
      const poison = [NaN, Infinity, -Infinity, 3e38];
      const poisoned = <T>(values: T): T =>
        (values instanceof Float32Array
          ? values.map((x, i) => (counts(i) ? x : (poison[i % 4] as number)))
          : values) as T;
      const other: Call = {
        ...call,
        input: poisoned(input),
        // What its target masks stays masked.
        target: poisoned(target).map((y, i) => {
          const own = target[i] as number;
          return Number.isNaN(own) || own === ignoreValue ? own : y;
        }),
        insideWeights: poisoned(call.insideWeights),
        outsideWeights: poisoned(call.outsideWeights),
        gradOutput: poisoned(call.gradOutput),
        gradGradInput: poisoned(call.gradGradInput),
      };
      for (const role of rolesOf(call))
        expectSame(outcome(smooth, role, other, inKernel), outcome(smooth, role, call, inKernel));
    });
  });

  test('accumulate: adds what would have been written', () => {
    check(150, fc.tuple(call(anyBits, anyLength), fc.boolean()), ([drawn, inKernel]) => {
      const call = { ...drawn, old: 0.75 };
      for (const role of ['backward', 'withGrad'] as const) {
        if (!rolesOf(call).includes(role)) continue;
        const added = outcome(smooth, role, { ...call, accumulate: true }, { inKernel });
        const written = outcome(smooth, role, { ...call, accumulate: false }, { inKernel });
        const sums = Object.entries(written).map(([output, x]) =>
          output.startsWith('grad')
            ? [output, (x as Float32Array).map((g) => 0.75 + g)]
            : [output, x],
        );
        expectSame(added, Object.fromEntries(sums));
      }
    });
  });

  test('a sum: its losses, added up in the order that is documented', () => {
    const checkOrder = (runs: number, drawn: fc.Arbitrary<Call>) =>
      check(runs, drawn, (drawn) => {
        const call = { ...drawn, scale: 1, divisor: undefined, minDivisor: undefined };
        const of = (reduction: 'none' | 'sum') => {
          const one: Call = { ...call, reduction, onZeroDivisor: undefined };
          return outcome(smooth, 'forward', one, inKernel).loss;
        };
        const losses = of('none') as Float32Array;
        expect(of('sum')).toBe(sumInOrder(losses));
      });
    checkOrder(60, call(anyBits, anyLength));
    checkOrder(400, pair(wide, shortLength));
  });

  test('a sum of many: the sum of its pieces', () => {
    const n = 9 * PIECE + 1;
    const full = fullSample(n);
    // Leaves of many sizes: in another order their sum has other bits.
    const input = full.input.map((x, i) => x * 2 ** ((Math.floor(i / LEAF) * 7) % 61));
    for (const where of [inKernel, elsewhere]) {
      const whole: Call = { ...full, input, reduction: 'sum', divisor: undefined };
      const part = <T>(values: T, from: number): T =>
        (ArrayBuffer.isView(values)
          ? (values as unknown as Float32Array).subarray(from, from + PIECE)
          : values) as T;
      let sum = 0;
      for (let from = 0; from < n; from += PIECE) {
        const entries = Object.entries(whole).map(([name, values]) => [name, part(values, from)]);
        sum += outcome(smooth, 'forward', Object.fromEntries(entries), where).loss as number;
      }
      expect(outcome(smooth, 'forward', whole, where).loss).toBe(sum);
    }
  });

  test.each([...rowCalls])('rows of %i elements: right, staged too', (_, call) => {
    const right = rowsOf(call);
    const { loss } = outcome(smooth, 'forward', call, inKernel);
    expectNear('loss', loss as Float32Array, right, 4, 1e-6 * Math.max(...right.slice(0, 100)));
    expectSame(outcome(smooth, 'forward', call, elsewhere), { loss: loss as Float32Array });
    const { gradInput } = outcome(smooth, 'backward', call, inKernel);
    for (const where of [inKernel, elsewhere])
      expectSame(outcome(smooth, 'withGrad', call, where), {
        loss: loss as Float32Array,
        gradInput: gradInput as Float32Array,
      });
  });

  test('weights of robust fitting: times the residual, the gradient of the sum', () => {
    check(100, call(tame, shortLength), (drawn) => {
      const call: Call = { ...drawn, gradOutput: undefined, accumulate: false, allElements: true };
      const sum: Call = { ...call, ...noMean, reduction: 'sum' };
      const { outRobustWeights, gradInput } = outcome(smooth, 'withGrad', sum, inKernel);
      const { input, target } = call;
      const times = Array.from(outRobustWeights as Float32Array, (weight, i) => {
        const d = (input[i] as number) - (target[i] as number);
        // An infinite weight is that of a residual of 0, of which the gradient is 0.
        return weight === 0 || d === 0 ? 0 : weight * d;
      });
      expectNear('gradInput', gradInput as Float32Array, times, 8);
    });
  });

  test('weights of robust fitting at the edges', () => {
    const d = [0, -0, 0.5, -2, 4, -8, 2 ** -149, Infinity, -Infinity, NaN];
    const n = d.length;
    const input = Float32Array.from(d);
    const of = (name: 'smoothL1Loss' | 'huberLoss' | 'l1Loss', options = {}): number[] => {
      const outRobustWeights = new Float32Array(n).fill(7);
      smooth[name](input, new Float32Array(n), { ...options, outRobustWeights });
      return Array.from(outRobustWeights);
    };
    const [inf, nan] = [Infinity, NaN];
    // A beta of 0 has no limit at 0: neither has 1 / |d|.
    const l1 = [inf, inf, 2, 0.5, 0.25, 0.125, inf, 0, 0, nan];
    expect(of('l1Loss')).toEqual(l1);
    expect(of('smoothL1Loss', { beta: 0 })).toEqual(l1);
    expect(of('smoothL1Loss', { beta: 2 })).toEqual([
      0.5,
      0.5,
      0.5,
      0.5,
      0.25,
      0.125,
      0.5,
      0,
      0,
      nan,
    ]);
    expect(of('smoothL1Loss', { beta: inf })).toEqual([...new Array(n - 1).fill(0), nan]);
    expect(of('huberLoss', { delta: 2 })).toEqual([1, 1, 1, 1, 0.5, 0.25, 1, 0, 0, nan]);
    expect(of('huberLoss', { delta: 0 })).toEqual([1, 1, 0, 0, 0, 0, 0, 0, 0, nan]);
    expect(of('huberLoss', { delta: inf })).toEqual([...new Array(n - 1).fill(1), nan]);
    const nothing = new Array(n).fill(0);
    expect(of('l1Loss', { mask: new Uint8Array(n) })).toEqual(nothing);
    expect(of('l1Loss', { insideWeights: 0 })).toEqual(nothing);
    expect(of('l1Loss', { weight: 0, reduction: 'none' })).toEqual(nothing);
    // The weight of the residual itself: outside * inside^2 / |inside * d|.
    const weights = { insideWeights: -4, weight: 3, scale: 5 };
    expect(of('l1Loss', weights).slice(2, 6)).toEqual([120, 30, 15, 7.5]);
    const zero = { divisor: 'weights', weight: new Float32Array(n), onZeroDivisor: 'zero' };
    expect(of('huberLoss', zero)).toEqual(nothing);
    const gradInput = new Float32Array(n);
    const outRobustWeights = new Float32Array(n);
    const mean = { divisor: 0, onZeroDivisor: 'zero', outRobustWeights } as const;
    smooth.huberLossWithGrad(input, new Float32Array(n), gradInput, mean);
    expect([gradInput.join(), Array.from(outRobustWeights)]).toEqual([
      nothing.join(),
      of('huberLoss'),
    ]);
  });

  test('ignoreValue: elements with that target are masked, and counted as such', () => {
    const input = new Float32Array(9).fill(1);
    const target = Float32Array.of(255, 255, 255, 0, 255, NaN, -0, 0, 3);
    const of = (options: object): unknown =>
      smooth.l1Loss(input, target, { rowLength: 3, reduction: 'none', ...options });
    expect(of({ ignoreValue: 255 })).toEqual(f32(0, 0, 0, 1, 0, NaN, 1, 1, 2));
    expect(of({ ignoreValue: 0 })).toEqual(f32(254, 254, 254, 0, 254, NaN, 0, 0, 2));
    const all = {
      ignoreValue: 255,
      ignoreNaNTargets: true,
      mask: { perColumn: [true, true, false] },
    };
    expect(of(all)).toEqual(f32(0, 0, 0, 1, 0, 0, 1, 1, 0));
    expect(of({ ...all, reduction: 'rows' })).toEqual(f32(0, 1, 2));
    expect(of({ ...all, reduction: 'mean', divisor: 'unmasked' })).toBe(1);
    expect(of({ ...all, reduction: 'mean', divisor: 'unmaskedRows' })).toBe(1.5);
    // Rounded to f32, as the target is.
    const tenth = { reduction: 'sum', ignoreValue: 0.1 } as const;
    expect(smooth.l1Loss(f32(3), f32(0.1), tenth)).toBe(0);
  });

  test('the divisor "unmaskedRows" with a mask of long rows', () => {
    const n = 4 * (PIECE + 8);
    const perColumn = new Uint8Array(n / 4);
    const target = new Float32Array(n);
    const divisor = { rowLength: n / 4, divisor: 'unmaskedRows' } as const;
    expect(smooth.l1Loss(target, target, { ...divisor, mask: { perColumn } })).toBeNaN();
    perColumn[PIECE + 7] = 1;
    target[PIECE + 7] = 1;
    const loss = smooth.l1Loss(new Float32Array(n), target, { ...divisor, mask: { perColumn } });
    expect(loss).toBe(1 / 4);
  });

  test('the divisor "unmaskedRows": rows with an element that is not masked', () => {
    const input = new Float32Array(6).fill(1);
    const gaps = Float32Array.of(NaN, NaN, 0, NaN, 0, 0);
    const mean = (mask: Mask | undefined, target = new Float32Array(6)): number => {
      const ignoreNaNTargets = target === gaps;
      const options = { mask, ignoreNaNTargets, rowLength: 2, divisor: 'unmaskedRows' } as const;
      const loss = smooth.l1Loss(input, target, options);
      // A gradient is divided by the same, and may be where its target was.
      const [x, y] = [smooth.float32(input), smooth.float32(target)];
      expect(smooth.l1LossWithGrad(x, y, y, options)).toBe(loss);
      const sum = y.reduce((sum, slope) => sum + slope, 0);
      if (!Number.isNaN(loss)) expect(sum).toBeCloseTo(loss, 6);
      smooth.free(x);
      smooth.free(y);
      return loss;
    };
    expect(mean(undefined)).toBe(2);
    expect(mean(Uint8Array.of(0, 0, 0, 1, 1, 1))).toBe(1.5);
    expect(mean({ perRow: [true, false, true] })).toBe(2);
    expect(mean({ perColumn: smooth.uint8([0, 1]) })).toBe(1);
    expect(mean({ perColumn: [false, false] })).toBe(NaN);
    expect(mean(undefined, gaps)).toBe(1.5);
    expect(mean({ perColumn: [false, true] }, gaps)).toBe(1);
    expect(mean({ perRow: smooth.uint8([1, 1, 0]) }, gaps)).toBe(1);
  });

  test('a residual of beta, or of delta: the slope is that of the line, exactly', () => {
    check(200, anyBits.threshold, (threshold) => {
      const isKink = threshold > 0 && threshold < Infinity;
      const input = Float32Array.of(threshold, -threshold);
      for (const form of ['smoothL1', 'huber'] as const) {
        const call: Call = {
          form,
          threshold,
          input,
          target: new Float32Array(2),
          reduction: 'sum',
        };
        const { backward, hessian } = outcomes(smooth, call, inKernel);
        const slope = form === 'huber' ? threshold : 1;
        const gradInput = Array.from(backward?.gradInput as Float32Array);
        if (isKink) expect(gradInput).toEqual([slope, -slope]);
        expect(hessian?.hessian).toEqual(new Float32Array(2));
      }
    });
  });

  test('sigma: the bits of beta, 1 / sigma^2, for all and for each column', () => {
    const drawn = fc.array(fc.double({ min: 0.01, max: 100, noNaN: true }), {
      minLength: 1,
      maxLength: 5,
    });
    check(50, drawn, (drawn) => {
      const sigma = Float32Array.from(drawn);
      const [first] = sigma as unknown as [number];
      const beta = sigma.map((x) => 1 / (x * x));
      const { input, target } = sample(6 * sigma.length);
      const rowLength = sigma.length;
      const none = { reduction: 'none', rowLength } as const;
      const of = (options: object) => ({
        loss: smooth.smoothL1Loss(input, target, { ...none, ...options }),
      });
      expectSame(of({ sigma }), of({ beta }));
      expectSame(of({ sigma: first }), of({ beta: 1 / (first * first) }));
    });
  });

  test('Huber: delta times smooth L1 of the same threshold', () => {
    const drawn = fc.tuple(pair(tame, shortLength), fc.constantFrom(0.25, 0.5, 1, 2, 4, 0.3, 7));
    check(100, drawn, ([call, threshold]) => {
      const isExact = Number.isInteger(Math.log2(threshold));
      for (const role of ['forward', 'backward'] as const) {
        const of = (form: 'huber' | 'smoothL1') =>
          Object.values(
            outcome(smooth, role, { ...call, form, threshold, reduction: 'none' }, inKernel),
          )[0] as Float32Array;
        const times = Array.from(of('smoothL1'), (x) => x * Math.fround(threshold));
        expectNear(role, of('huber'), times, isExact ? 0 : 4);
      }
    });
  });
});

test('any options and bits: every backend gives the same', () => {
  const [shared, unshared, js] = backends.map(([, smooth]) => smooth) as [
    Package,
    Package,
    Package,
  ];
  check(250, call(anyBits, anyLength), (call) => {
    for (const role of rolesOf(call)) {
      const expected = outcome(shared, role, call, inKernel);
      expectSame(outcome(unshared, role, call, inKernel), expected);
      expectSame(outcome(js, role, call, inKernel), expected);
    }
  });
});

test.each(backends)('%s: a delta of -0 is a delta of 0', (_, smooth) => {
  const input = Float32Array.of(1, -1, 0, -0, Infinity, -Infinity, NaN);
  const target = new Float32Array(input.length);
  const of = (delta: number | Float32Array) => ({
    gradient: smooth.huberLossBackward(1, input, target, { delta, rowLength: 1 }),
  });
  expectSame(of(-0), of(0));
  expectSame(of(Float32Array.of(-0)), of(0));
});
