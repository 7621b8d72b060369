// Arrays and options that change, or run code of their own, while a call looks at them.
import { describe, expect, test } from 'vitest';
import { backends, fresh } from './backends.ts';
import {
  type Any,
  type Arrays,
  arraysFor,
  baseOf,
  callWith,
  f32,
  functions,
  operandsOf,
  optionsOf,
  places,
  RESULTS,
  thrown,
  withArguments,
  withOptions,
} from './functions.ts';

interface Growable extends SharedArrayBuffer {
  grow(bytes: number): void;
}
const growable = (bytes: number, most: number): Growable =>
  new (
    SharedArrayBuffer as unknown as new (
      bytes: number,
      options: { maxByteLength: number },
    ) => Growable
  )(bytes, { maxByteLength: most });

/** An array whose prototype runs `code` when it is asked for a property that it does not have. */
function asking(array: Float32Array, code: () => void): Float32Array {
  let has = false;
  const prototype = new Proxy(Object.getPrototypeOf(array), {
    get(target, key, receiver) {
      if (typeof key === 'symbol' && !has) {
        has = true;
        code();
      }
      return Reflect.get(target, key, receiver);
    },
  });
  return Object.setPrototypeOf(array, prototype);
}

describe.each(backends)('%s: arrays that change during a call', (backend, smooth) => {
  // Short enough for a loop, for one copy, and longer than a piece.
  test.each([16, 1000, 20_000])('an array of %i that grows meanwhile reaches no other', (n) => {
    const buffer = growable(4 * n, 64 * n);
    const tracking = new Float32Array(buffer as unknown as ArrayBuffer);
    const neighbours = Array.from({ length: 8 }, () => smooth.float32(2 * n).fill(7));
    const other = asking(new Float32Array(n), () => buffer.grow(64 * n));
    for (const [input, target] of [
      [tracking, other],
      [other, tracking],
    ] as const) {
      const text = thrown(() => smooth.l1Loss(input, target, { reduction: 'sum' }));
      // Either it is as long as the other when it is looked at, or it is an error that says so.
      expect(text).toMatch(/nothing was thrown|RangeError: l1Loss: .* they must be equal/);
    }
    for (const array of neighbours) {
      expect(array.every((x) => x === 7)).toBe(true);
      smooth.free(array);
    }
  });

  test('a call in the middle of another is an error, and nothing is written', () => {
    const out = f32(7, 7);
    const input = asking(f32(1, 2), () => smooth.l1Loss(f32(5), f32(6)));
    // Another function has a job of its own.
    expect(smooth.l1LossBackward(1, input, f32(0, 0), { out, reduction: 'sum' })).toBe(out);
    const again = asking(f32(1, 2), () =>
      smooth.l1LossBackward(1, f32(3, 4), f32(0, 0), { reduction: 'sum', out: f32(0, 0) }),
    );
    const untouched = f32(7, 7);
    expect(
      thrown(() =>
        smooth.l1LossBackward(1, again, f32(0, 0), { out: untouched, reduction: 'sum' }),
      ),
    ).toBe("Error: l1LossBackward: an array's prototype called this package during the call");
    expect(Array.from(untouched)).toEqual([7, 7]);
  });

  test('an array that is released in the middle of a call is not written', () => {
    const out = smooth.float32(4);
    const input = asking(f32(1, 2, 3, 4), () => smooth.free(out));
    const text = thrown(() => smooth.l1LossBackward(1, input, f32(0, 0, 0, 0), { out }));
    expect(text).toMatch(/released/);
  });

  test('an array that was released is an error that names it, in every place', () => {
    const gone = smooth.float32([1, 2]);
    smooth.free(gone);
    const [x, y] = [smooth.float32(2), smooth.float32(2)];
    const is = 'was released by free() or unload(); make a new array';
    expect(thrown(() => smooth.l1Loss(gone, y))).toBe(`TypeError: l1Loss: input ${is}`);
    expect(thrown(() => smooth.l1LossBackward(1, x, y, { out: gone }))).toBe(
      `TypeError: l1LossBackward: out ${is}`,
    );
    expect(thrown(() => smooth.l1Loss(x, y, { weight: gone }))).toBe(
      `TypeError: l1Loss: weight ${is}`,
    );
    const loss = new smooth.L1Loss();
    expect(loss.forward(x, y)).toBe(0);
    smooth.free(x);
    // Though the object has just been called with it.
    expect(thrown(() => loss.forward(x, y))).toBe(`TypeError: L1Loss: input ${is}`);
  });

  test('an array that was looked at before is looked at again where it can have changed', () => {
    type Resizable = ArrayBuffer & { resize(bytes: number): void };
    const buffer = new (
      ArrayBuffer as unknown as new (
        bytes: number,
        options: { maxByteLength: number },
      ) => Resizable
    )(16, { maxByteLength: 64 });
    const [input, target] = [new Float32Array(buffer), new Float32Array(4)];
    const loss = new smooth.L1Loss({ reduction: 'sum' });
    input.fill(1);
    expect(loss.forward(input, target)).toBe(4);
    expect(loss.forward(input, target)).toBe(4);
    buffer.resize(8);
    expect(thrown(() => loss.forward(input, target))).toBe(
      'RangeError: L1Loss: input has length 2 and target has length 4; they must be equal',
    );
    buffer.resize(16);
    expect(loss.forward(input, target)).toBe(2);
    structuredClone(buffer, { transfer: [buffer] });
    expect(thrown(() => loss.forward(input, target))).toMatch(
      /^TypeError: L1Loss: input is detached/,
    );
  });

  test('a result that a call makes is a new array each time', () => {
    const [x, y] = [f32(3, 5), f32(1, 1)];
    const loss = new smooth.L1Loss({ reduction: 'none' });
    for (const call of [() => loss.forward(x, y), () => loss.backward(1, x, y)]) {
      const [first, second] = [call(), call()];
      expect(second).toEqual(first);
      expect(second).not.toBe(first);
    }
  });

  test('an array that has grown since the last call is as long as it is now', () => {
    const buffer = growable(4000, 8000);
    const input = new Float32Array(buffer as unknown as ArrayBuffer).fill(1);
    const loss = new smooth.L1Loss({ reduction: 'sum' });
    const target = new Float32Array(1000);
    for (let i = 0; i < 2; i++) expect(loss.forward(input, target)).toBe(1000);
    buffer.grow(8000);
    expect(thrown(() => loss.forward(input, target))).toBe(
      'RangeError: L1Loss: input has length 2000 and target has length 1000; they must be equal',
    );
  });

  test('values that change are read anew: weights, thresholds, quantiles', () => {
    const [x, y] = [smooth.float32([1, 4]), smooth.float32(2)];
    const [weight, beta, tau] = [smooth.float32([1, 1]), smooth.float32([1, 1]), smooth.float32(2)];
    const sum = { reduction: 'sum', rowLength: 2 } as const;
    const weighted = new smooth.L1Loss({ ...sum, weight });
    const smoothed = new smooth.SmoothL1Loss({ ...sum, beta });
    const quantile = new smooth.QuantileHuberLoss({ ...sum, tau });
    const all = () => [weighted, smoothed, quantile].map((loss) => loss.forward(x, y));
    expect(all()).toEqual([5, 0.5 + 3.5, 0.5 + 3.5]);
    weight[1] = 2;
    beta[1] = 8;
    tau[1] = 1;
    expect(all()).toEqual([9, 0.5 + 1, 0.5]);
  });

  if (backend === 'js')
    test('an array that is transferred takes no other with it', () => {
      const [x, y, gone] = [smooth.float32([3]), smooth.float32(1), smooth.float32(1)];
      structuredClone(gone, { transfer: [gone.buffer as ArrayBuffer] });
      expect(smooth.l1Loss(x, y)).toBe(3);
      expect(smooth.l1Loss(f32(2), y)).toBe(2);
      expect(thrown(() => smooth.l1Loss(gone, y))).toMatch(/^TypeError: l1Loss: input is detached/);
    });
});

describe.each(backends)('%s: options of any kind', (_, smooth) => {
  const [x, y] = [f32(3, 0), f32(0, 0)];

  test('inherited ones, getters, and those of an object without a prototype count', () => {
    class Options {
      get beta() {
        return 4;
      }
      get reduction() {
        return 'sum' as const;
      }
    }
    const own = { beta: 4, reduction: 'sum' } as const;
    for (const options of [
      own,
      new Options(),
      Object.create(own),
      Object.assign(Object.create(null), own),
      Object.assign(Object.create(null), own, { [Symbol.toStringTag]: 'Module' }),
    ])
      expect(smooth.smoothL1Loss(x, y, options)).toBe(1.125);
    expect(new smooth.SmoothL1Loss(new Options()).forward(x, y)).toBe(1.125);
  });

  test.each<[string, unknown]>([
    ['a Map', new Map([['beta', 4]])],
    ['a Date', new Date(0)],
    ['a Promise', Promise.resolve({})],
    ['a Set', new Set()],
    ['a RegExp', /x/],
  ])('%s is none', (described, options) => {
    const text = `TypeError: smoothL1Loss: options must be an object, got ${described}`;
    expect(thrown(() => smooth.smoothL1Loss(x, y, options as never))).toBe(text);
  });

  test('an option that a function does not have is an error where it is inherited, too', () => {
    class Options {
      get delta() {
        return 4;
      }
    }
    expect(thrown(() => smooth.smoothL1Loss(x, y, new Options() as never))).toMatch(
      /^TypeError: smoothL1Loss: there is no option "delta"/,
    );
    expect(thrown(() => smooth.smoothL1Loss(x, y, Object.create({ nonsense: 1 })))).toMatch(
      /^TypeError: smoothL1Loss: there is no option "nonsense"/,
    );
  });

  test('the name that is nearest is offered, but none that differs by more than a letter', () => {
    const of = (name: string) => thrown(() => smooth.smoothL1Loss(x, y, { [name]: 2 }));
    const near = {
      weight: ['weigth', 'Weight', 'weights', 'weght', 'wexght', 'xweight', 'ewight'],
      beta: ['BETA', 'bets', 'eta', 'xbeta', 'betaa', 'bta', 'bxeta', 'bxta', 'btea'],
    };
    for (const [right, wrong] of Object.entries(near))
      for (const name of wrong)
        expect(of(name)).toMatch(
          `TypeError: smoothL1Loss: there is no option "${name}"; did you mean ${right}? There are beta, `,
        );
    for (const name of ['colour', 'bxya', 'bxea', 'btxa', 'ewigth', 'weightxx', 'xxweight', 'wght'])
      expect(of(name)).toMatch(`no option "${name}"; there are beta, `);
  });

  test('those of a loss object count in a call that has others', () => {
    const mask = { perColumn: Uint8Array.of(1, 0) };
    const own = { rowLength: 2, mask, insideWeights: { perColumn: f32(2, 5) } } as const;
    const loss = new smooth.L1Loss({ ...own, reduction: 'sum' });
    const [input, target] = [f32(3, 1, 4, 1), f32(0, 0, 0, 0)];
    expect(loss.forward(input, target, { scale: 2 })).toBe(28);
    expect(loss.forward(input, target, { mask: [true, true, false, false] })).toBe(11);
    expect(thrown(() => loss.forward(input, target, { mask: [true, 1] as never }))).toMatch(
      /^TypeError: L1Loss: mask must be a Uint8Array, .* got an Array/,
    );
  });

  test('what Object.prototype has been given is no option', () => {
    const { prototype } = Object as unknown as { prototype: Arrays };
    const call = () => [
      smooth.smoothL1Loss(x, y),
      smooth.smoothL1Loss(x, y, {}),
      smooth.smoothL1Loss(x, y, { reduction: 'sum' }),
      new smooth.SmoothL1Loss({ reduction: 'sum' }).forward(x, y, {}),
    ];
    const before = call();
    prototype.helper = () => 1;
    const names = new Set([...functions.values()].flatMap(optionsOf));
    expect(names.size).toBe(28);
    try {
      for (const name of names) {
        const value = name === 'ignoreValue' ? y[0] : 5;
        Object.defineProperty(prototype, name, { value, configurable: true });
        expect(call(), name).toEqual(before);
        expect(smooth.smoothL1Loss(x, y, { beta: 4, reduction: 'sum' }), name).toBe(1.125);
        delete prototype[name];
      }
      prototype.backend = 'js';
      expect(fresh({}).backend).toBe('wasm-shared');
    } finally {
      for (const name of ['helper', 'backend', ...names]) delete prototype[name];
    }
  });

  test('a function finds its plan again only for options like those before', () => {
    const { smoothL1Loss } = smooth;
    expect(smoothL1Loss(x, y, { beta: 4, reduction: 'sum' })).toBe(1.125);
    expect(smoothL1Loss(x, y, { beta: 2, reduction: 'sum' })).toBe(2);
    expect(smoothL1Loss(x, y, { reduction: 'sum' })).toBe(2.5);
    expect(smoothL1Loss(x, y, { sigma: 0.5, reduction: 'sum' })).toBe(1.125);
    expect(smoothL1Loss(x, y, { beta: 4, reduction: 'sum', scale: 2 })).toBe(2.25);
    expect(smoothL1Loss(x, y, { beta: 4, reduction: 'sum', weight: 3 })).toBe(3.375);
    expect(smoothL1Loss(x, y, { beta: 4, reduction: 'sum', weight: f32(2, 0) })).toBe(2.25);
    expect(smoothL1Loss(x, y, { beta: 4, reduction: 'sum', insideWeights: f32(2, 0) })).toBe(4);
    expect(smoothL1Loss(x, y, { beta: 4 })).toBe(0.5625);
    for (const rowLength of [1, 2])
      expect(smoothL1Loss(x, y, { reduction: 'rows', rowLength }).length).toBe(2 / rowLength);
  });

  test.each(withOptions)(
    '%s: a wrong option is found after a right one of the same kind',
    (_, fn) => {
      const arrays = arraysFor((values) => values.slice());
      const options = fn.isDistance ? {} : { weight: f32(1, 1, 1, 1, 1, 1) };
      fn.call(smooth, arrays, options);
      if (fn.isDistance || fn.says.startsWith('new')) return;
      expect(thrown(() => fn.call(smooth, arrays, { weight: new Float64Array(6) }))).toMatch(
        /^TypeError: \w+: weight must be a number, a Float32Array, /,
      );
    },
  );
});

test('each option counts in its own call, whatever the options of the last call', () => {
  const four = (value: number) => f32(value, value, value, value);
  const [rowLength, three] = [2, f32(3, 0.5, -1, 7)];
  const masked = { mask: Uint8Array.of(0, 0, 0, 0), divisor: 'unmasked' };
  const sides = [{ perRow: f32(2, 3) }, { perColumn: f32(2, 3) }];
  const weights = [2, 3, four(2), null, ...sides];
  /** Inputs, targets, and options of calls that follow each other in any order. */
  const groups: ['SmoothL1Loss' | 'QuantileHuberLoss', unknown, Float32Array, Arrays[]][] = [
    [
      'SmoothL1Loss',
      three,
      f32(0, 5, 6, 0),
      [
        {},
        { beta: 2 },
        { beta: f32(2, 4), rowLength },
        { sigma: 2 },
        { sigma: f32(2, 4), rowLength },
        { reduction: 'sum' },
        { scale: 3 },
        { outLosses: four(0) },
        { sum: 'exact', outLosses: four(0) },
        ...weights.map((insideWeights) => ({ insideWeights, rowLength })),
        ...weights.map((outsideWeights) => ({ outsideWeights, rowLength })),
        ...weights.map((weight) => ({ weight, rowLength })),
        { weight: 2, divisor: 'weights' },
        { outsideWeights: 2, divisor: 'weights' },
        { divisor: 'weights' },
        { mask: Uint8Array.of(1, 1, 0, 1) },
        { mask: { perRow: Uint8Array.of(1, 0) }, rowLength },
        { mask: { perColumn: Uint8Array.of(1, 0) }, rowLength },
        { ignoreValue: 5 },
        { ignoreValue: 6 },
        { rowLength: 3 },
        { divisor: 3 },
        { minDivisor: 100 },
        masked,
        { ...masked, onZeroDivisor: 'zero' },
        { copy: 'throw' },
        { outRobustWeights: four(0) },
        { gradTarget: four(0) },
        { insideWeights: four(2), gradInsideWeights: four(0) },
        { outsideWeights: four(2), gradOutsideWeights: four(0) },
        { accumulate: true },
      ],
    ],
    ['SmoothL1Loss', three, f32(0, 1, NaN, 3), [{}, { ignoreNaNTargets: true }]],
    [
      'SmoothL1Loss',
      Uint16Array.of(0x4200, 0x3800, 0xbc00, 0x4700),
      f32(1, 2, 3, 4),
      [{}, { inputType: 'float16' }, { inputType: 'bfloat16' }],
    ],
    [
      'QuantileHuberLoss',
      three,
      four(1),
      [
        {},
        { delta: 2 },
        { delta: f32(2, 4), rowLength },
        { tau: 1 },
        { tau: 0 },
        { tau: f32(0, 1), rowLength },
      ],
    ],
  ];
  const [, smooth] = backends[2] as (typeof backends)[0];
  for (const [type, input, target, all] of groups) {
    const outcome = (loss: Any, options: Arrays): string => {
      const [own, gradInput] = [structuredClone(options), four(1)];
      let result: unknown;
      const text = thrown(() => {
        result = loss.withGrad(input, target, gradInput, own);
      });
      return `${result} ${text} ${gradInput} ${own.outLosses} ${own.outRobustWeights} ${own.gradTarget} ${own.gradInsideWeights} ${own.gradOutsideWeights}`;
    };
    const wrong: unknown[] = [];
    const alone = all.map((options) => outcome(new smooth[type](), options));
    for (const [i, options] of all.entries())
      for (const before of new Set([0, i - 1, i + 1])) {
        const loss = new smooth[type]();
        outcome(loss, all[before] ?? {});
        if (outcome(loss, options) !== alone[i]) wrong.push([all[before], options]);
      }
    expect(wrong).toEqual([]);
  }
});

test.each(backends)(
  '%s: a gradient to weights that are a number, and nothing else',
  (_, smooth) => {
    const [x, y, out] = [f32(3, 0.5, -1), f32(0, 0, 0), f32(0, 0, 0)];
    const sum = { reduction: 'sum' } as const;
    smooth.smoothL1LossBackward(2, x, y, { ...sum, outsideWeights: 7, gradOutsideWeights: out });
    expect([...out]).toEqual([5, 0.25, 1]);
    smooth.smoothL1LossBackward(2, x, y, { ...sum, insideWeights: 2, gradInsideWeights: out });
    expect([...out]).toEqual([6, 1, 2]);
  },
);

test('more losses than there are jobs: each call has its own words', () => {
  const smooth = fresh();
  const [x, y] = [smooth.float32([3, 0.5]), smooth.float32(2)];
  const losses = Array.from(
    { length: 40 },
    (_, i) => new smooth.HuberLoss({ delta: i / 8, reduction: 'sum' }),
  );
  const wanted = losses.map((loss) => loss.forward(x.slice(), y.slice()));
  for (let round = 0; round < 3; round++)
    for (const [i, loss] of losses.entries()) expect(loss.forward(x, y)).toBe(wanted[i]);
  expect(new Set(wanted).size).toBeGreaterThan(20);
});

test('two kernels in one realm have memories of their own', () => {
  const [a, b] = [fresh({ backend: 'wasm-shared' }), fresh({ backend: 'wasm', capacity: 2 ** 20 })];
  const [x, y] = [a.float32([5]), b.float32([2])];
  expect(x.buffer).not.toBe(y.buffer);
  const before = [a.copiedBytes(), b.copiedBytes()];
  expect(a.l1Loss(x, y)).toBe(3);
  expect(b.l1Loss(x, y)).toBe(3);
  expect([a.copiedBytes(), b.copiedBytes()]).toEqual(before.map((bytes) => bytes + 4));
  a.free(x);
  b.free(y);
});

test('load: options that the backend has no use for are errors', () => {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 4 });
  for (const [name, value] of Object.entries({ memory, capacity: 2 ** 20 }))
    expect(thrown(() => fresh({ backend: 'js', [name]: value }))).toBe(
      `TypeError: load: ${name} has no use with backend "js", which has no memory of its own`,
    );
  const smooth = fresh({ backend: 'wasm-shared', capacity: 2 ** 20 });
  expect(thrown(() => smooth.float32(2 ** 19))).toMatch(/cannot grow that much/);
});

// What is remembered of a call must be of no effect on the next: other arrays, and other values in them.
describe.each(backends)('%s: calls that follow each other', (_, smooth) => {
  describe.each(places)('%s', (_, place) => {
    const make = place(smooth);
    /** Other values for an operand; quantiles are from 0 to 1. */
    const others = (operand: string, values: Float32Array | Uint8Array) =>
      values.map((x) => (operand === 'mask' ? 1 - x : operand === 'tau' ? 1 - x : x + 3));
    const resultsOf = (arrays: Arrays, result: unknown): string =>
      JSON.stringify([
        typeof result === 'number' ? result : Array.from(result as Float32Array),
        ...Object.values(arrays).map((array) => (array as number[]).toString()),
      ]);

    test.each(withArguments)('%s: another place for a result', (_, fn) => {
      for (const operand of operandsOf(fn).filter((name) => RESULTS.includes(name))) {
        const arrays = arraysFor(make);
        const both = [0, 1].map(() => make(arrays[operand]));
        for (const place of both) callWith(smooth, fn, arrays, { [operand]: place });
        expect(both[1], operand).toEqual(both[0]);
        expect(both[0], operand).not.toEqual(arrays[operand].fill(7));
      }
    });

    test.each(withArguments)('%s: another array, and other values in the same one', (_, fn) => {
      for (const operand of operandsOf(fn)) {
        if (RESULTS.includes(operand)) continue;
        const arrays = arraysFor(make);
        const first = make(arrays[baseOf(operand)].slice());
        const second = make(others(operand, arrays[baseOf(operand)].slice()));
        const call = (operand_: unknown) =>
          resultsOf(arrays, callWith(smooth, fn, arrays, { [operand]: operand_ }));
        call(first);
        const found = call(second);
        // The values of the second in the place of the first, which is the last array that was used.
        call(first);
        first.set(second);
        expect(call(first), `${operand}: values`).toBe(found);
        // A call of another function uses the staging buffer in between.
        smooth.l1Loss(f32(9, 9, 9, 9, 9, 9), f32(1, 2, 3, 4, 5, 6), {
          insideWeights: { perColumn: f32(7, 8, 9) },
          weight: { perColumn: f32(7, 8, 9) },
          rowLength: 3,
        });
        expect(call(first), `${operand}: after another call`).toBe(found);
        // As plain JavaScript gives it that has seen nothing else.
        const alone = fresh({ backend: 'js' });
        const same = arraysFor((values) => values.slice());
        const result = callWith(alone, fn, same, { [operand]: second.slice() });
        expect(found, `${operand}: another array`).toBe(resultsOf(same, result));
      }
    });
  });

  test('an upstream array of the last call is not copied again', () => {
    const loss = new smooth.L1Loss({ reduction: 'sum' });
    const [x, y, out] = [f32(3, 3), f32(0, 0), f32(0, 0)];
    const bytes = (call: () => unknown): number => {
      const before = smooth.copiedBytes();
      call();
      return smooth.copiedBytes() - before;
    };
    const byNumber = bytes(() => loss.backward(1, x, y, { out }));
    loss.backward(f32(1, 1), x, y, { out });
    expect(bytes(() => loss.backward(1, x, y, { out }))).toBe(byNumber);
  });

  test('a call that is refused leaves no array behind', () => {
    const [x, y, out] = [smooth.float32([3, 1, 0.5, 3]), smooth.float32(4), smooth.float32(4)];
    const own = smooth.float32([1, 2]);
    const rows = { rowLength: 2, reduction: 'rowMeans', accumulate: true } as const;
    const losses = (beta: Float32Array, more = {}) =>
      smooth.smoothL1Loss(x, y, { beta, rowLength: 2, ...more });
    const gradients = (upstream: Float32Array, more = {}) =>
      smooth.l1LossBackward(upstream, x, y, { ...rows, ...more });
    const expected = losses(f32(1, 2));
    for (const array of [own, own.subarray(0)]) {
      // Others take their turn with the same jobs.
      for (let i = 0; i < 16; i++) new smooth.L1Loss().forward(x, y);
      expect(thrown(() => losses(f32(4, 0), { out }))).toMatch('out has a use only with');
      expect(losses(array)).toBe(expected);
      expect(thrown(() => gradients(f32(4, 0)))).toMatch('give out');
      expect(gradients(array, { out: out.fill(0) })).toEqual(f32(0.5, 0.5, 1, 1));
    }
    for (const array of [x, y, out, own]) smooth.free(array);
  });

  test('a mask of each element after one by column, whose rows are longer than a piece', () => {
    const [rowLength, rows] = [70_000, 2];
    const n = rowLength * rows;
    const options = { reduction: 'mean', divisor: 'unmaskedRows', rowLength } as const;
    const byColumn = new smooth.L1Loss(options).forward(
      new Float32Array(n).fill(1),
      new Float32Array(n),
      { mask: { perColumn: new Uint8Array(rowLength).fill(1) } },
    );
    expect(byColumn).toBe(rowLength);
    // One element counts, in the second row.
    const [x, y, mask] = [smooth.float32(n), smooth.float32(n), smooth.uint8(n)];
    x.fill(1);
    mask[rowLength + 5] = 1;
    // Of 16 losses, one has the job of the first.
    for (let i = 0; i < 16; i++) expect(new smooth.L1Loss(options).forward(x, y, { mask })).toBe(1);
    for (const array of [x, y, mask]) smooth.free(array);
  });
});
