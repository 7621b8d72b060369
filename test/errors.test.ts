// Wrong calls: the class and the whole text of each error, and that nothing was written.
import { describe, expect, test } from 'vitest';
import * as smooth from '../ts/index.ts';
import { backends } from './backends.ts';
import {
  type Arrays,
  arraysFor,
  baseOf,
  callWith,
  ELEMENTS,
  f32,
  functions,
  GRADS,
  inKernel,
  isForward,
  type Make,
  operandsOf,
  optionsOf,
  places,
  RESULTS,
  results,
  thresholdsOf,
  thrown,
  withArguments,
  withOptions,
} from './functions.ts';

/** Compares texts, so that a failure shows all that differ. */
class Messages {
  readonly #wrong: string[] = [];
  #count = 0;

  add(label: string, found: string, wanted: string): void {
    this.#count++;
    if (found !== wanted) this.#wrong.push(`${label}\n  found  ${found}\n  wanted ${wanted}`);
  }

  check(): void {
    expect(this.#count).toBeGreaterThan(0);
    if (this.#wrong.length > 0) expect.fail(this.#wrong.join('\n'));
  }
}

test('the table of functions has every loss that the package exports', () => {
  const listed = [...functions.keys()].map((name) => name.replace(/^new |\..*/g, ''));
  // What adds up many calls takes no arrays: other tests are about it.
  const isOfMany = /LossAccumulator|LossOf$/;
  const exported = Object.keys(smooth).filter(
    (name) => /Loss|l1|L1/.test(name) && !isOfMany.test(name),
  );
  expect([...new Set(listed)].sort()).toEqual(exported.sort());
});

test('functions have the names that they are exported under', () => {
  for (const [name, value] of Object.entries(smooth))
    if (typeof value === 'function') expect(value.name).toBe(name);
});

// ---- values of a wrong type -------------------------------------------------------------------
/** Each under what messages call it. */
const values: { [described: string]: unknown } = {
  '"1"': '1',
  '1n': 1n,
  null: null,
  true: true,
  'a function': () => 1,
  'a symbol': Symbol('s'),
  'an Object': {},
  'an Array': [1, 2, 3, 4, 5, 6],
  'a Float64Array': new Float64Array(6),
  'an Int32Array': new Int32Array(6),
  'a Uint8ClampedArray': new Uint8ClampedArray(6),
  'a DataView': new DataView(new ArrayBuffer(24)),
};

const WEIGHTS = 'a number, a Float32Array, { perRow: Float32Array } or { perColumn: Float32Array }';
const INPUT = 'must be a Float32Array, a Float16Array or a Uint16Array';
/** What an option must be. */
const types: { [option: string]: string } = {
  scale: 'must be a number',
  insideWeights: `must be ${WEIGHTS}`,
  outsideWeights: `must be ${WEIGHTS}`,
  weight: `must be ${WEIGHTS}`,
  mask: 'must be a Uint8Array, a Uint8ClampedArray, a list of booleans, { perRow: ... } or { perColumn: ... }',
  ignoreNaNTargets: 'must be true or false',
  ignoreValue: 'must be a number',
  accumulate: 'must be true or false',
  rowLength: 'must be a number',
  minDivisor: 'must be a number',
  reduction: 'must be one of "none", "sum", "mean", "rows", "rowMeans", "columns"',
  sum: 'must be one of "fast", "exact"',
  divisor:
    'must be a number or one of "elements", "rows", "weights", "nonzeroWeights", "unmasked", "unmaskedRows"',
  onZeroDivisor: 'must be one of "nan", "zero"',
  inputType: 'must be one of "float32", "float16", "bfloat16"',
  targetType: 'must be one of "float32", "float16", "bfloat16"',
  copy: 'must be one of "allow", "throw"',
  beta: 'must be a number or a Float32Array',
  sigma: 'must be a number or a Float32Array',
  delta: 'must be a number or a Float32Array',
  tau: 'must be a number or a Float32Array',
  gradOutput: 'must be a number or a Float32Array',
  out: 'must be a Float32Array',
  ...Object.fromEntries([...ELEMENTS, ...GRADS].map((name) => [name, 'must be a Float32Array'])),
};

const rangeOf = (name: string): string => (name === 'tau' ? 'from 0 to 1' : 'from 0');

/** Options that are wrong by their value, or together. */
const wrongTogether: [(a: Arrays) => Arrays, string][] = [
  ...[0, -3, 1.5, NaN, Infinity].map((rowLength): [() => Arrays, string] => [
    () => ({ rowLength }),
    `RangeError: rowLength must be an integer from 1, got ${rowLength}`,
  ]),
  ...(['divisor', 'minDivisor'] as const).flatMap((name) =>
    [-1, NaN, Infinity].map((value): [() => Arrays, string] => [
      () => ({ [name]: value }),
      `RangeError: ${name} must be a finite number from 0, got ${value}`,
    ]),
  ),
  [
    () => ({ ignoreValue: NaN }),
    'RangeError: ignoreValue must not be NaN, which equals nothing; ignoreNaNTargets: true leaves out the targets that are NaN',
  ],
  [
    () => ({ ignoreValue: -1e39 }),
    'RangeError: ignoreValue must be within the range of float32 (3.4028e38), got -1e+39',
  ],
  [
    () => ({ scale: 1e39 }),
    'RangeError: scale must be within the range of float32 (3.4028e38), got 1e+39',
  ],
  ...(['none', 'sum', 'rows'] as const).flatMap((reduction) =>
    Object.entries({ divisor: 'elements', minDivisor: 1, onZeroDivisor: 'zero' }).map(
      ([name, value]): [() => Arrays, string] => [
        () => ({ reduction, rowLength: 3, [name]: value }),
        `TypeError: ${name} has a use only with reduction "mean" or "rowMeans", got "${reduction}"`,
      ],
    ),
  ),
  ...(['weights', 'nonzeroWeights'] as const).map((divisor): [(a: Arrays) => Arrays, string] => [
    (a) => ({ divisor, insideWeights: a.weights }),
    `TypeError: divisor "${divisor}" needs outsideWeights, which are missing`,
  ]),
  ...(['rows', 'unmaskedRows'] as const).map((divisor): [() => Arrays, string] => [
    () => ({ divisor }),
    `TypeError: divisor "${divisor}" needs rowLength, which is missing`,
  ]),
  ...(['rows', 'unmaskedRows'] as const).map((divisor): [() => Arrays, string] => [
    () => ({ reduction: 'rowMeans', rowLength: 3, divisor }),
    `TypeError: divisor "${divisor}" has a use only with reduction "mean"; "rowMeans" divides each row by a number of its own`,
  ]),
  [() => ({ reduction: 'rows' }), 'TypeError: reduction "rows" needs rowLength, which is missing'],
  ...(['perRow', 'perColumn'] as const).map((side): [() => Arrays, string] => [
    () => ({ mask: { [side]: Uint8Array.of(1, 0) } }),
    `TypeError: mask.${side} needs rowLength, which is missing`,
  ]),
  [
    (a) => ({ weight: 1, outsideWeights: a.weights }),
    'TypeError: weight and outsideWeights are two names of one option; give one of them',
  ],
  ...(['insideWeights', 'outsideWeights', 'weight'] as const).flatMap(
    (name): [(a: Arrays) => Arrays, string][] => [
      [
        (a) => ({ [name]: { perRow: a.perRow } }),
        `TypeError: ${name}.perRow needs rowLength, which is missing`,
      ],
      [
        (a) => ({ [name]: { perColumn: a.perColumn } }),
        `TypeError: ${name}.perColumn needs rowLength, which is missing`,
      ],
      [
        (a) => ({ [name]: { perRow: a.perRow, perColumn: a.perColumn }, rowLength: 3 }),
        `TypeError: ${name} must be ${WEIGHTS}, got an Object`,
      ],
      [
        () => ({ [name]: { perRow: [1, 2] }, rowLength: 3 }),
        `TypeError: ${name}.perRow must be a Float32Array, got an Array`,
      ],
      [
        () => ({ [name]: { perColumn: 2 }, rowLength: 3 }),
        `TypeError: ${name}.perColumn must be a Float32Array, got 2`,
      ],
    ],
  ),
];

describe.each(backends)('%s', (_, smooth) => {
  describe.each(places)('%s', (_, place) => {
    const make = place(smooth);

    test.each(withArguments)('%s: arguments of a wrong type', (_, fn) => {
      const texts = new Messages();
      for (const arg of fn.args)
        for (const [described, value] of Object.entries({ ...values, undefined })) {
          const isUpstream = arg === 'gradOutput';
          const must = isUpstream
            ? fn.isDistance
              ? 'must be a number'
              : types.gradOutput
            : /^(input|target|p|q)$/.test(arg)
              ? INPUT
              : 'must be a Float32Array';
          const arrays = arraysFor(make);
          const call = () => fn.call(smooth, { ...arrays, [arg]: value }, results(fn, arrays));
          const wanted = `TypeError: ${fn.says}: ${arg} ${must}, got ${described}`;
          texts.add(`${arg}: ${described}`, thrown(call, arrays), wanted);
        }
      texts.check();
    });

    test.each(withOptions)('%s: options of a wrong type', (_, fn) => {
      const texts = new Messages();
      for (const option of optionsOf(fn))
        for (const [described, value] of Object.entries(values)) {
          const type = types[option] as string;
          const must =
            fn.isDistance && type.endsWith('or a Float32Array') ? 'must be a number' : type;
          if (described === 'true' && must === 'must be true or false') continue;
          if (option === 'mask' && described === 'a Uint8ClampedArray') continue;
          const isName = described === '"1"' && must.includes('one of');
          const arrays = arraysFor(make);
          const call = () => fn.call(smooth, arrays, { ...results(fn, arrays), [option]: value });
          texts.add(
            `${option}: ${described}`,
            thrown(call, arrays),
            `${isName ? 'RangeError' : 'TypeError'}: ${fn.says}: ${option} ${must}, got ${described}`,
          );
        }
      texts.check();
    });

    test.each(withOptions)('%s: options of a wrong value', (_, fn) => {
      const texts = new Messages();
      const of = (options: (a: Arrays) => Arrays, wanted: string) => {
        const arrays = arraysFor(make);
        const all = options(arrays);
        const call = () => fn.call(smooth, arrays, { ...results(fn, arrays), ...all });
        const [error, ...text] = wanted.split(': ');
        texts.add(
          Object.keys(all).join(),
          thrown(call, arrays),
          `${error}: ${fn.says}: ${text.join(': ')}`,
        );
      };
      for (const name of thresholdsOf(fn))
        for (const value of [-1, -1e-45, -Infinity, NaN])
          of(
            () => ({ [name]: value }),
            `RangeError: ${name} must be a number ${rangeOf(name)}, got ${value}`,
          );
      if (fn.isQuantile)
        of(() => ({ tau: 1.5 }), 'RangeError: tau must be a number from 0 to 1, got 1.5');
      // What f32 cannot hold would be infinite, without a word.
      for (const name of thresholdsOf(fn).filter((name) => name !== 'tau' && name !== 'sigma'))
        of(
          () => ({ [name]: 1e39 }),
          `RangeError: ${name} must be within the range of float32 (3.4028e38), got 1e+39`,
        );
      if (fn.threshold === 'beta')
        of(
          () => ({ sigma: 1e-20 }),
          'RangeError: sigma must give a beta, 1 / sigma^2, within the range of float32 (3.4028e38), got 1e-20',
        );
      if (fn.threshold === 'beta')
        of(
          () => ({ beta: 1, sigma: 3 }),
          'TypeError: beta (1) and sigma (3) both set the threshold, beta = 1 / sigma^2; give one of them',
        );
      if (fn.isDistance) return texts.check();

      for (const name of thresholdsOf(fn))
        of(
          (a) => ({ [name]: a.perColumn }),
          `TypeError: ${name} for each column needs rowLength, which is missing`,
        );
      for (const [options, wanted] of wrongTogether) of(options, wanted);
      for (const reduction of ['none', 'rows'])
        if (fn.more.includes('outLosses'))
          of(
            (a) => ({ reduction, rowLength: 3, outLosses: a.outLosses }),
            `TypeError: outLosses has a use only with reduction "mean" or "sum", got "${reduction}"`,
          );
      texts.check();
    });

    test.each(withOptions)('%s: options that it does not have', (_, fn) => {
      const texts = new Messages();
      const known = optionsOf(fn);
      for (const option of ['reduce', 'Beta', ...Object.keys(types)].filter(
        (name) => !known.includes(name),
      )) {
        const arrays = arraysFor(make);
        const call = () => fn.call(smooth, arrays, { ...results(fn, arrays), [option]: undefined });
        const here = known.includes('delta')
          ? 'here it is delta'
          : known.includes('beta')
            ? 'here it is beta or sigma'
            : 'there is none here';
        const hint =
          option === 'delta'
            ? `delta is the threshold of huberLoss; ${here}`
            : option === 'beta' || option === 'sigma'
              ? `${option} is the threshold of smoothL1Loss; ${here}`
              : option === 'Beta' && known.includes('beta')
                ? `did you mean beta? There are ${known.join(', ')}`
                : `there are ${known.join(', ')}`;
        texts.add(
          option,
          thrown(call, arrays),
          `TypeError: ${fn.says}: there is no option "${option}"; ${hint}`,
        );
      }
      for (const [described, value] of Object.entries({
        ...values,
        'a Float32Array': f32(1),
        5: 5,
      })) {
        if (described === 'an Object') continue;
        const arrays = arraysFor(make);
        const wanted = `TypeError: ${fn.says}: options must be an object, got ${described}`;
        texts.add(
          described,
          thrown(() => fn.call(smooth, arrays, value), arrays),
          wanted,
        );
      }
      texts.check();
    });

    test.each(withArguments)('%s: arrays of a wrong length', (_, fn) => {
      const texts = new Messages();
      const of = (name: string, options: Arrays, args: Arrays, wanted: string) => {
        const arrays = arraysFor(make);
        const call = () =>
          fn.call(smooth, { ...arrays, ...args }, { ...results(fn, arrays), ...options });
        texts.add(name, thrown(call, arrays), `RangeError: ${fn.says}: ${wanted}`);
      };
      const five = make(f32(1, 2, 3, 4, 5));
      const bytes = make(Uint8Array.of(1, 1, 1, 1, 1));
      const [a, b] = fn.isDistance ? ['p', 'q'] : ['input', 'target'];
      of(a, {}, { [a]: five }, `${a} has length 5 and ${b} has length 6; they must be equal`);
      of(b, {}, { [b]: five }, `${a} has length 6 and ${b} has length 5; they must be equal`);
      const elements = `it must be 6, one for each element of ${a}`;
      for (const name of ['gradInput', 'gradGradInput'])
        if (fn.args.includes(name))
          of(name, {}, { [name]: five }, `${name} has length 5; ${elements}`);
      for (const name of GRADS)
        if (fn.more.includes(name))
          of(name, { [name]: five }, {}, `${name} has length 5; ${elements}`);
      const losses = isForward(fn) || fn.args.includes('gradInput');
      if (fn.more.includes('out')) {
        const none = losses ? { reduction: 'none' } : {};
        of('out', { ...none, out: five }, {}, `out has length 5; ${elements}`);
        if (losses)
          of(
            'out',
            { reduction: 'rows', rowLength: 3, out: five },
            {},
            'out has length 5; it must be 2, one for each row',
          );
      }
      if (fn.isDistance) return texts.check();

      const free = 'it must be 6 (one for each element), unless rowLength says that there are rows';
      const byRow = 'it must be 6 (one for each element) or 2 (one for each row)';
      const byColumn = `${byRow} or 3 (one for each column)`;
      const rowLength = 3;
      for (const name of ['insideWeights', 'outsideWeights', 'weight']) {
        of(name, { [name]: five }, {}, `${name} has length 5; ${free}`);
        of(name, { [name]: five, rowLength }, {}, `${name} has length 5; ${byColumn}`);
        of(
          name,
          { [name]: { perRow: five }, rowLength },
          {},
          `${name}.perRow has length 5; it must be 2, one for each row`,
        );
        of(
          name,
          { [name]: { perColumn: five }, rowLength },
          {},
          `${name}.perColumn has length 5; it must be 3, one for each column`,
        );
      }
      of('mask', { mask: bytes }, {}, `mask has length 5; ${free}`);
      of('mask', { mask: bytes, rowLength }, {}, `mask has length 5; ${byRow}`);
      const upstream = fn.args.includes('gradOutput')
        ? [{}, { gradOutput: five }]
        : [{ gradOutput: five }, {}];
      if (fn.args.includes('gradOutput') || fn.more.includes('gradOutput')) {
        of(
          'gradOutput',
          { ...upstream[0] },
          { ...upstream[1] },
          `gradOutput has length 5; ${free}`,
        );
        of(
          'gradOutput',
          { ...upstream[0], rowLength },
          { ...upstream[1] },
          `gradOutput has length 5; ${byRow}`,
        );
      }
      of('rowLength', { rowLength: 4 }, {}, 'rowLength 4 does not divide 6, the length of input');
      of('rowLength', { rowLength: 12 }, {}, 'rowLength 12 does not divide 6, the length of input');
      if (!fn.more.includes('gradOutput'))
        for (const name of thresholdsOf(fn)) {
          of(
            name,
            { [name]: five, rowLength },
            {},
            `${name} has length 5; it must be 3, one for each column`,
          );
          of(
            name,
            { [name]: make(f32(1, -2, NaN)), rowLength },
            {},
            `${name}[1] must be a number ${rangeOf(name)}, got -2`,
          );
          of(
            name,
            { [name]: make(f32(1, 0.5, NaN)), rowLength },
            {},
            `${name}[2] must be a number ${rangeOf(name)}, got NaN`,
          );
        }
      texts.check();
    });
  });
});

/** An array on a buffer that can be resized. */
function onResizable(
  array: Float32Array | Uint8Array,
  isTracking: boolean,
): [typeof array, (bytes: number) => void] {
  const Resizable = ArrayBuffer as unknown as new (
    bytes: number,
    options: { maxByteLength: number },
  ) => ArrayBuffer & { resize(bytes: number): void };
  const buffer = new Resizable(array.byteLength, { maxByteLength: 1024 });
  const type = array.constructor as new (
    buffer: ArrayBuffer,
    at?: number,
    n?: number,
  ) => typeof array;
  const other = isTracking ? new type(buffer) : new type(buffer, 0, array.length);
  other.set(array);
  return [other, (bytes) => buffer.resize(bytes)];
}

const detach = ({ buffer }: ArrayBufferView): void => {
  structuredClone(buffer, { transfer: [buffer as ArrayBuffer] });
};

describe.each(backends)('%s: arrays that are gone', (_, smooth) => {
  const plain: Make = (values) => values.slice();

  test.each(withArguments)('%s: detached, or out of bounds', (_, fn) => {
    const texts = new Messages();
    for (const operand of operandsOf(fn)) {
      const wanted = `TypeError: ${fn.says}: ${operand} is detached, or lies outside of its resized buffer`;
      const arrays = arraysFor(plain);
      const lost = plain(arrays[baseOf(operand)]);
      detach(lost);
      texts.add(
        `${operand} detached`,
        thrown(() => callWith(smooth, fn, arrays, { [operand]: lost }), arrays),
        wanted,
      );
      const [outside, resize] = onResizable(arrays[baseOf(operand)], false);
      resize(outside.byteLength - 1);
      texts.add(
        `${operand} outside`,
        thrown(() => callWith(smooth, fn, arrays, { [operand]: outside }), arrays),
        wanted,
      );
    }
    texts.check();
  });

  test.each(withOptions)(
    '%s: an option is read once, and before any array is looked at',
    (name, fn) => {
      for (const option of optionsOf(fn)) {
        const arrays = arraysFor(plain);
        let count = 0;
        const options = {
          get [option]() {
            count++;
            detach(arrays.input);
            detach(arrays.p);
            return undefined;
          },
        };
        const text = thrown(() => fn.call(smooth, arrays, options));
        expect(count, option).toBe(1);
        const first = fn.isDistance ? 'p' : 'input';
        if (!name.startsWith('new'))
          expect(text).toBe(
            `TypeError: ${fn.says}: ${first} is detached, or lies outside of its resized buffer`,
          );
      }
    },
  );

  test.each(withArguments)('%s: an option that shortens an array', (_, fn) => {
    const arrays = arraysFor(plain);
    const [first, second] = fn.isDistance ? ['p', 'q'] : ['input', 'target'];
    const [tracking, resize] = onResizable(arrays[first], true);
    if (fn.says === 'l1Distance') return resize(11);
    const options = {
      get [fn.isDistance ? 'beta' : 'scale']() {
        // Two elements, and three bytes.
        resize(11);
        return undefined;
      },
    };
    const text = thrown(() => fn.call(smooth, { ...arrays, [first]: tracking }, options), arrays);
    expect(text).toBe(
      `RangeError: ${fn.says}: ${first} has length 2 and ${second} has length 6; they must be equal`,
    );
  });
});

// From the second call that copies on, short arrays from elsewhere take the fast path.
for (const [, smooth] of backends) smooth.l1Loss(f32(1), f32(1));

describe.each(backends)('%s: arrays in the way of each other', (_, smooth) => {
  describe.each(places)('%s', (_, place) => {
    const make = place(smooth);

    test.each(withArguments)('%s: a result that overlaps another operand in part', (_, fn) => {
      const operands = operandsOf(fn);
      const found = RESULTS.filter((name) => operands.includes(name));
      if (found.length === 0) return;
      const texts = new Messages();
      for (const result of found)
        for (const operand of operands) {
          const isResult = found.includes(operand);
          if (isResult && found.indexOf(operand) <= found.indexOf(result)) continue;
          // Each has a use only where the other has none.
          if (result === 'out' && operand === 'outLosses') continue;
          const isFull = !/[.]|mask|beta|sigma|delta|tau/.test(operand);
          // In elements of the same block: a little after it, before it, and in its place.
          for (const [at, from] of [[0, 1], [3, 1], ...(isFull && !isResult ? [] : [[2, 2]])] as [
            number,
            number,
          ][]) {
            const arrays = arraysFor(make);
            const block = make(new Float32Array(12).fill(3)) as Float32Array;
            const { length } = arrays[baseOf(operand)];
            const other =
              operand === 'mask'
                ? new Uint8Array(block.buffer, block.byteOffset + 4 * from, length)
                : block.subarray(from, from + length);
            const own = block.subarray(at, at + 6);
            if (other.byteOffset + other.byteLength <= own.byteOffset) continue;
            const call = () => callWith(smooth, fn, arrays, { [operand]: other, [result]: own });
            const rule = isResult
              ? 'results must be apart'
              : `it must be apart from it${isFull ? ', or exactly in its place' : ''}`;
            const wanted = `RangeError: ${fn.says}: ${result} overlaps ${operand.split('.')[0]}; ${rule}`;
            texts.add(
              `${result} ${at}, ${operand} ${from}`,
              thrown(call, { ...arrays, block }),
              wanted,
            );
          }
        }
      texts.check();
    });
  });

  const losses = withArguments.filter(([, { isDistance }]) => !isDistance);
  test.each(losses)('%s: copy "throw" and an array that is elsewhere', (_, fn) => {
    const texts = new Messages();
    for (const operand of operandsOf(fn)) {
      const arrays = arraysFor((values) => inKernel(smooth, values));
      const elsewhere = arrays[baseOf(operand)].slice();
      const call = () => callWith(smooth, fn, arrays, { [operand]: elsewhere }, { copy: 'throw' });
      const [name] = operand.split('.');
      const maker = name === 'mask' ? 'uint8' : 'float32';
      texts.add(
        operand,
        thrown(call, { ...arrays, elsewhere }),
        `TypeError: ${fn.says}: ${name} is not in the kernel's memory, and copy: "throw" forbids copying it; ${maker}() makes arrays there`,
      );
    }
    texts.check();
  });
});

const both = backends.flatMap(([name, smooth]) =>
  places.map(([where, place]) => [name, where, smooth, place(smooth)] as const),
);
describe.each(both)(
  '%s, %s: results of a plain call that overlap an input in part',
  (_, __, smooth, make) => {
    const block = make(new Float32Array(12)) as Float32Array;
    const [input, target] = [block.subarray(4, 8), make(new Float32Array(4)) as Float32Array];
    test.each([1, 3, 5, 7])('overlap an input in part, at element %i', (at) => {
      const out = block.subarray(at, at + 4);
      const rule = 'it must be apart from it, or exactly in its place';
      const text = (fn: string, name: string, other: string) =>
        `RangeError: ${fn}: ${name} overlaps ${other}; ${rule}`;
      const { l1LossBackward, l1LossWithGrad } = smooth;
      expect(thrown(() => l1LossBackward(1, input, target, { out }), { block })).toBe(
        text('l1LossBackward', 'out', 'input'),
      );
      expect(thrown(() => l1LossBackward(1, target, input, { out }), { block })).toBe(
        text('l1LossBackward', 'out', 'target'),
      );
      expect(thrown(() => l1LossWithGrad(input, target, out), { block })).toBe(
        text('l1LossWithGrad', 'gradInput', 'input'),
      );
      expect(thrown(() => l1LossWithGrad(target, input, out), { block })).toBe(
        text('l1LossWithGrad', 'gradInput', 'target'),
      );
    });

    test.each([3, 5])('have length %i, and the input another', (length) => {
      const out = make(new Float32Array(length)) as Float32Array;
      const why = `has length ${length}; it must be 4, one for each element of input`;
      expect(thrown(() => smooth.l1LossBackward(1, input, target, { out }), { out, block })).toBe(
        `RangeError: l1LossBackward: out ${why}`,
      );
      expect(thrown(() => smooth.l1LossWithGrad(input, target, out), { out, block })).toBe(
        `RangeError: l1LossWithGrad: gradInput ${why}`,
      );
    });

    test('may be next to an input', () => {
      for (const out of [block.subarray(0, 4), block.subarray(8)]) {
        expect(smooth.l1LossBackward(1, input, target, { out })).toBe(out);
        expect(smooth.l1LossWithGrad(input, target, out)).toBe(0);
      }
    });
  },
);

describe.each(backends)('%s: other wrong calls', (_, smooth) => {
  const [x, y] = [f32(1, 2, 3, 4), f32(4, 3, 2, 1)];
  const [bytes, floats, released] = [smooth.uint8(4), smooth.float32(4), smooth.float32(4)];
  smooth.free(released);
  const errors: [string, () => unknown, string][] = [
    [
      'arrays of the kernel that are no floats',
      () => smooth.l1Loss(bytes as never, bytes as never),
      `TypeError: l1Loss: input ${INPUT}, got a Uint8Array`,
    ],
    [
      'objects that inherit from an array of the kernel',
      () => smooth.l1Loss(Object.create(floats), Object.create(floats)),
      `TypeError: l1Loss: input ${INPUT}, got an Object`,
    ],
    [
      'an array of the kernel that was released, beside one of another length',
      () => smooth.l1Loss(released, smooth.float32(5)),
      'TypeError: l1Loss: input was released by free() or unload(); make a new array',
    ],
    [
      'weights that fit rows and columns alike',
      () => smooth.l1Loss(x, y, { rowLength: 2, insideWeights: f32(1, 2) }),
      'RangeError: l1Loss: insideWeights has length 2, which fits the rows as well as the columns; say which: { perRow: ... } or { perColumn: ... }',
    ],
    [
      'weights of no element',
      () => smooth.l1Loss(x, y, { insideWeights: f32() }),
      'RangeError: l1Loss: insideWeights has length 0; it must be 4 (one for each element), unless rowLength says that there are rows',
    ],
    [
      'a gradient to weights by row that goes by nothing',
      () =>
        smooth.l1LossBackward(1, x, y, {
          rowLength: 2,
          weight: { perRow: f32(1, 2) },
          gradOutsideWeights: f32(1, 2, 3),
        }),
      'RangeError: l1LossBackward: gradOutsideWeights has length 3; it must be 2, one for each row, or 4, one for each element',
    ],
    [
      'a gradient to weights of all elements that goes by nothing',
      () => smooth.l1LossBackward(1, x, y, { weight: x, gradOutsideWeights: f32(1, 2, 3) }),
      'RangeError: l1LossBackward: gradOutsideWeights has length 3; it must be 4, one for each element of input',
    ],
    [
      'a gradient to weights by row where the input begins',
      () =>
        smooth.l1LossBackward(1, x, y, {
          rowLength: 2,
          weight: { perRow: f32(1, 2) },
          gradOutsideWeights: x.subarray(0, 2),
        }),
      'RangeError: l1LossBackward: gradOutsideWeights overlaps input; it must be apart from it, or exactly in its place',
    ],
    [
      'a wrong threshold of the first column',
      () => smooth.smoothL1Loss(x, y, { rowLength: 2, beta: f32(-1, 1) }),
      'RangeError: smoothL1Loss: beta[0] must be a number from 0, got -1',
    ],
    [
      'an array of thresholds where one is differentiated',
      () => smooth.smoothL1LossBetaGrad(x, y, { rowLength: 2, beta: f32(1, 2) }),
      'TypeError: smoothL1LossBetaGrad: beta must be one number, not one for each column',
    ],
    [
      'upstream numbers where the mean of the weights is part of a gradient',
      () =>
        smooth.l1LossBackward(x, x, y, {
          weight: y,
          divisor: 'weights',
          gradOutsideWeights: x.slice(),
        }),
      'TypeError: l1LossBackward: gradOutsideWeights with divisor "weights" needs one number as gradOutput, got a Float32Array',
    ],
    [
      'no place for a result, and no copy allowed',
      () => smooth.l1LossBackward(1, smooth.float32(x), smooth.float32(y), { copy: 'throw' }),
      'TypeError: l1LossBackward: out is missing, and copy: "throw" forbids a new array outside of the kernel\'s memory',
    ],
    ...(['sum', 'mean'] as const).map((reduction): [string, () => unknown, string] => [
      `a place for the losses of a ${reduction}`,
      () => smooth.huberLoss(x, y, { reduction, out: x.slice() }),
      `TypeError: huberLoss: out has a use only with reduction "none", "rows", "rowMeans" or "columns", got "${reduction}"`,
    ]),
    [
      'a place for the losses of a mean that is made with its gradient',
      () => new smooth.HuberLoss().withGrad(x, y, x.slice(), { out: x.slice() }),
      'TypeError: HuberLoss: out has a use only with reduction "none", "rows", "rowMeans" or "columns", got "mean"',
    ],
  ];
  test.each(errors)('%s', (_, call, text) => {
    expect(thrown(call)).toBe(text);
  });
});

test.each(backends)('%s: an option of a wrong type after one that was right', (_, smooth) => {
  const four = f32(1, 2, 3, 4);
  const bytes = Uint8Array.of(1, 0);
  const floats = 'must be a Float32Array';
  const masks = 'must be a Uint8Array, a Uint8ClampedArray';
  for (const [name, right, text] of [
    ...['insideWeights', 'outsideWeights', 'weight'].flatMap((name) => [
      [name, four, `must be ${WEIGHTS}`],
      [name, { perRow: f32(1, 2) }, `${name}.perRow ${floats}`],
      [name, { perColumn: f32(1, 2) }, `${name}.perColumn ${floats}`],
    ]),
    ['mask', Uint8Array.of(1, 0, 1, 1), `${masks}, a list of booleans, { perRow: ... } or`],
    ['mask', { perRow: bytes }, `mask.perRow ${masks} or a list of booleans`],
    ['mask', { perColumn: bytes }, `mask.perColumn ${masks} or a list of booleans`],
    ['beta', f32(1, 2), 'must be a number or a Float32Array'],
    ...['outLosses', 'outRobustWeights', 'gradTarget'].map((name) => [
      name,
      f32(1, 2, 3, 4),
      floats,
    ]),
  ] as [string, object, string][]) {
    const call = (value: object) =>
      smooth.smoothL1LossWithGrad(four, four, f32(0, 0, 0, 0), { rowLength: 2, [name]: value });
    call(right);
    const side = Object.keys(right).find((key) => key.startsWith('per'));
    // A mask is of bytes, all others are of floats.
    const wrong = name === 'mask' ? four : Uint8Array.of(1, 2, 3, 4);
    const found = thrown(() => call(side ? { [side]: wrong } : wrong));
    const start = text.startsWith(name) ? text : `${name} ${text}`;
    expect(found).toMatch(/^TypeError: smoothL1LossWithGrad: .*, got a (Uint8|Float32)Array$/);
    expect(found).toContain(`: ${start}`);
  }
  // Of two weights, the text is about the one that is wrong.
  for (const [name, other] of [
    ['insideWeights', 'outsideWeights'],
    ['outsideWeights', 'insideWeights'],
  ] as const) {
    const call = (one: object, two: object) => () =>
      smooth.l1Loss(four, four, { rowLength: 2, [name]: one, [other]: two } as object);
    const perRow = { perRow: f32(1, 2) };
    call(four, perRow)();
    expect(thrown(call(bytes, perRow))).toContain(`: ${name} must be ${WEIGHTS}, got`);
    call(perRow, four)();
    expect(thrown(call({ perRow: bytes }, four))).toContain(`: ${name}.perRow ${floats}, got`);
  }
  const toBeta = (gradOutput: object) =>
    smooth.smoothL1LossBetaGrad(four, four, { reduction: 'none', gradOutput } as object);
  toBeta(four);
  expect(thrown(() => toBeta(Uint8Array.of(1, 2, 3, 4)))).toBe(
    'TypeError: smoothL1LossBetaGrad: gradOutput must be a number or a Float32Array, got a Uint8Array',
  );
});

test.each(backends)('%s: a call of before, again and without gradOutput', (_, smooth) => {
  const { huberLossBackward, huberLossDoubleBackward } = smooth;
  for (const make of [f32, (...values: number[]) => smooth.float32(values)]) {
    const [x, y, out] = [make(1, 2), make(3, 5), make(7, 7)];
    for (const [call, fn] of [
      [(g: unknown) => huberLossBackward(g as number, x, y, { out }), 'huberLossBackward'],
      [
        (g: unknown) => huberLossDoubleBackward(x, g as number, x, y, { out }),
        'huberLossDoubleBackward',
      ],
    ] as const) {
      call(1);
      expect(thrown(() => call(undefined), { out })).toBe(
        `TypeError: ${fn}: gradOutput must be a number or a Float32Array, got undefined`,
      );
    }
  }
});

test('a proxy that was revoked, as any argument, is an error that names the argument', () => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  const any = proxy as never;
  const { float32, free, attach, load, l1Loss, l1LossBackward, smoothL1LossWithGrad } = smooth;
  const [x, y] = [f32(1, 2), f32(3, 4)];
  const rows = { rowLength: 1 };
  const cases: [string, () => unknown][] = [
    ['float32: ', () => float32(any)],
    ['float32: values[0]', () => float32([any])],
    ['free: ', () => free(any)],
    ['load: options', () => load(any)],
    ['attach: memory', () => attach(any, any)],
    ['l1Loss: options', () => l1Loss(x, y, any)],
    ['L1Loss: options', () => new smooth.L1Loss(any)],
    ['l1Loss: input', () => l1Loss(any, y)],
    ['l1Loss: target', () => l1Loss(x, any)],
    ['l1LossBackward: gradOutput', () => l1LossBackward(any, x, y)],
    ['smoothL1LossWithGrad: gradInput', () => smoothL1LossWithGrad(x, y, any)],
    ...['insideWeights', 'weight', 'mask', 'outRobustWeights', 'reduction', 'scale'].map(
      (name): [string, () => unknown] => [`l1Loss: ${name}`, () => l1Loss(x, y, { [name]: any })],
    ),
    ['l1Loss: weight.perRow', () => l1Loss(x, y, { ...rows, weight: { perRow: any } })],
    ['l1Loss: mask.perRow', () => l1Loss(x, y, { ...rows, mask: { perRow: any } })],
  ];
  for (const [start, call] of cases) {
    const text = thrown(call);
    expect(text.startsWith(`TypeError: ${start}`), text).toBe(true);
    expect(text).toMatch(/got a Proxy that was revoked/);
  }
});
