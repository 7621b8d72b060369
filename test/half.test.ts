// Inputs of 16 bits: what float16() and bfloat16() round to, and that a call with such inputs has the bits
// of the call with the floats that they stand for.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { narrow } from '../ts/half.ts';
import { backends, bits, type Package } from './backends.ts';
import { type Call, rolesOf } from './calls.ts';
import { anyBits, anyLength, call, pair, wide } from './draws.ts';
import {
  type Any,
  arraysFor,
  callWith,
  type Fn,
  inKernel,
  thrown,
  withArguments,
} from './functions.ts';
import { all, HALVES, type Half, numberOf, rounded, type Type, wordsOf } from './halves.ts';
import { expectSame, outcome } from './outcomes.ts';
import { sumInOrder } from './sums.ts';

describe.each(HALVES)('%s', (type) => {
  const values = all.get(type) as Float32Array;
  const infinity = wordsOf(type, Float32Array.of(Infinity))[0] as number;

  test('every number rounds to itself, NaN to NaN', () => {
    for (const [word, value] of values.entries()) {
      const rounded = narrow(type, value);
      if (Number.isNaN(value)) expect(numberOf(type, rounded)).toBeNaN();
      else if (rounded !== word) expect.fail(`${value} gives ${rounded}, not ${word}`);
    }
  });

  test('what is between two numbers rounds to the nearer, and half way to the even one', () => {
    for (let word = 0; word < infinity; word++) {
      const low = values[word] as number;
      // Infinity is where the next number would be.
      const high =
        word + 1 === infinity
          ? 2 * low - (values[word - 1] as number)
          : (values[word + 1] as number);
      const half = (low + high) / 2;
      const even = word % 2 ? word + 1 : word;
      for (const [value, wanted] of [
        [half, even],
        [half * (1 - 2 ** -52), word],
        [half * (1 + 2 ** -52), word + 1],
      ] as const)
        for (const sign of [1, -1])
          if (narrow(type, sign * value) !== (sign < 0 ? 0x8000 : 0) + wanted)
            expect.fail(`${sign * value} gives ${narrow(type, sign * value)}, not ${wanted}`);
    }
    for (const large of [1e39, 1e300, Infinity]) {
      expect(narrow(type, large)).toBe(infinity);
      expect(narrow(type, -large)).toBe(0x8000 + infinity);
    }
    expect(narrow(type, 5e-324)).toBe(0);
    expect(narrow(type, -5e-324)).toBe(0x8000);
  });
});

/** The bits in an array of a package, whatever its type shows. */
const bitsIn = (array: ArrayBufferView): Uint16Array =>
  new Uint16Array(array.buffer as ArrayBuffer, array.byteOffset, array.byteLength / 2);

/** An array of 16-bit floats with these values, in a package or elsewhere. */
function halves(smooth: Package, type: Half, values: Float32Array, isInKernel = true): Any {
  const array = isInKernel ? smooth[type](values.length) : new Uint16Array(values.length);
  bitsIn(array).set(wordsOf(type, values));
  return array;
}

describe.each(backends)('%s', (_, smooth) => {
  test.each(HALVES)('%s() makes zeros, and what it is given', (type) => {
    const zeros = smooth[type](3);
    expect(zeros.length).toBe(3);
    expect(bitsIn(zeros)).toEqual(new Uint16Array(3));
    for (const list of [[1, -2, 0.1], new Set([1, -2, 0.1]), Float64Array.of(1, -2, 0.1)]) {
      const array = smooth[type](list);
      expect([...bitsIn(array)]).toEqual([1, -2, 0.1].map((x) => narrow(type, x)));
      smooth.free(array);
    }
    smooth.free(zeros);
    for (const wrong of ['1', [null], [[7]], BigInt64Array.of(1n)])
      expect(() => smooth[type](wrong as Any)).toThrow(TypeError);
    expect(() => smooth[type](-1)).toThrow(RangeError);
  });

  test.each(HALVES)('every %s is widened exactly, in the kernel and copied', (type) => {
    const values = all.get(type) as Float32Array;
    const zeros = new Float32Array(values.length);
    const option = { reduction: 'none' } as const;
    const right = smooth.l1Loss(values, zeros, option);
    for (const isInKernel of [true, false]) {
      const own = halves(smooth, type, values, isInKernel);
      // Not by value: NaN has many bits.
      bitsIn(own).set(Uint16Array.from(values.keys()));
      const loss = smooth.l1Loss(own, zeros, { ...option, inputType: type });
      expect(bits(loss)).toBe(bits(right));
      const shifted = smooth.l1Loss(zeros, own, { ...option, targetType: type });
      expect(bits(shifted)).toBe(bits(right));
      if (isInKernel) smooth.free(own);
    }
  });

  test('all f16 against a grid of others: the loss of the same floats', () => {
    const values = all.get('float16') as Float32Array;
    const input = halves(smooth, 'float16', values);
    for (const other of [0, -0, 1, -65504, 2 ** -24, Infinity, NaN, 0.333251953125, 1000]) {
      const grid = new Float32Array(values.length).fill(other);
      const target = halves(smooth, 'float16', grid);
      for (const reduction of ['none', 'sum'] as const)
        for (const loss of ['smoothL1Loss', 'huberLoss'] as const) {
          const options = { reduction, ignoreNaNTargets: loss === 'huberLoss' };
          const right = { loss: smooth[loss](values, grid, options) };
          expectSame({ loss: smooth[loss](input, target, options) }, right);
        }
      smooth.free(target);
    }
    smooth.free(input);
  });

  test('any call, with inputs of any types anywhere: the bits of the same with floats', () => {
    const types = fc.constantFrom<Type>('float32', 'float16', 'bfloat16');
    const drawn = fc.tuple(
      call(anyBits, anyLength),
      types,
      types,
      fc.nat({ max: 3 }),
      fc.boolean(),
    );
    fc.assert(
      fc.property(drawn, ([call, inputType, targetType, shift, isInKernel]) => {
        const target = rounded(targetType, call.target);
        const rightCall: Call = {
          ...call,
          input: rounded(inputType, call.input),
          target,
          // One that its type has.
          ignoreValue: call.ignoreValue && target.find(Number.isFinite),
        };
        for (const role of rolesOf(call)) {
          const types = { input: inputType, target: targetType };
          expectSame(
            outcome(smooth, role, rightCall, { inKernel: isInKernel, shift, types }),
            outcome(smooth, role, rightCall, { inKernel: true }),
          );
        }
      }),
      { seed: 1, numRuns: 150, includeErrorInReport: true },
    );
  });

  test('ignoreValue is rounded to the type of the target', () => {
    for (const [type, value] of [
      ['float16', 0.1],
      ['bfloat16', -9999],
      ['bfloat16', 0],
    ] as const) {
      const target = halves(smooth, type, rounded(type, Float32Array.of(value, 1, -0)));
      const options = { reduction: 'sum', ignoreValue: value, targetType: type } as const;
      const zeros = new Float32Array(3);
      expect(smooth.l1Loss(zeros, target, options)).toBe(1);
      const rows = {
        ...options,
        reduction: 'mean',
        rowLength: 1,
        divisor: 'unmaskedRows',
      } as const;
      expect(smooth.l1Loss(zeros, target, rows)).toBe(value === 0 ? 1 : 0.5);
      if (type === 'float16')
        expect(() => smooth.l1Loss(zeros, target, { ...options, ignoreValue: 7e4 })).toThrow(
          new RangeError(
            'l1Loss: ignoreValue must be within the range of target, which is float16, got 70000',
          ),
        );
    }
  });

  test.each(HALVES)(
    'a target of %s that is NaN or ignored counts for no row, others do',
    (type) => {
      const [one, infinity] = wordsOf(type, Float32Array.of(1, Infinity)) as unknown as [
        number,
        number,
      ];
      const target = halves(smooth, type, new Float32Array(8));
      bitsIn(target).set([infinity + 1, one, infinity, 0xffff, infinity - 1, 0x7fff, 1, 0xffff]);
      const options = { targetType: type, ignoreNaNTargets: true, rowLength: 2 } as const;
      const means = { ...options, reduction: 'rowMeans', divisor: 'unmasked' } as const;
      const [largest, least] = [numberOf(type, infinity - 1), numberOf(type, 1)];
      expect(smooth.l1Loss(new Float32Array(8), target, means)).toEqual(
        Float32Array.of(1, Infinity, largest, least),
      );
      bitsIn(target).set([0, one, 0x8000, one, 0, 0, 0, 0]);
      const zeros = {
        targetType: type,
        ignoreValue: 0,
        rowLength: 1,
        divisor: 'unmaskedRows',
      } as const;
      expect(smooth.l1Loss(new Float32Array(8), target, zeros)).toBe(1);
      smooth.free(target);
    },
  );

  test('sums of numbers of all magnitudes: the order of the same floats', () => {
    const lengths = fc.constantFrom(1029, 8192 + 1029, 2 * 8192 + 3077);
    fc.assert(
      fc.property(pair(wide, lengths), (drawn) => {
        const [input, target] = [drawn.input, drawn.target].map((x) => rounded('bfloat16', x)) as [
          Float32Array,
          Float32Array,
        ];
        const [x, y] = [input, target].map((values) => halves(smooth, 'bfloat16', values));
        const weight = input.map((_, i) => (i % 3) / 2);
        for (const more of [{}, { weight }, { weight, sum: 'exact' }] as const) {
          const right = smooth.huberLoss(input, target, { ...more, reduction: 'sum' });
          expect(smooth.huberLoss(x, y, { ...more, reduction: 'sum' })).toBe(right);
          if ('sum' in more) continue;
          const losses = smooth.huberLoss(input, target, { ...more, reduction: 'none' });
          expect(right).toBe(sumInOrder(losses));
        }
        const mean = { weight, sum: 'exact', divisor: 'weights' } as const;
        expect(smooth.huberLoss(x, y, mean)).toBe(smooth.huberLoss(input, target, mean));
        for (const array of [x, y]) smooth.free(array);
      }),
      { seed: 1, numRuns: 100 },
    );
  });

  test('every function takes them, and says what it needs to know', () => {
    for (const [name, fn] of withArguments) {
      const arrays = arraysFor((values) => inKernel(smooth, values));
      const pairs = fn.isDistance ? ['p', 'q'] : ['input', 'target'];
      const right = callWith(smooth, fn, arrays, {});
      for (const operand of pairs)
        for (const type of HALVES) {
          const own = halves(smooth, type, arrays[operand]);
          expect(callWith(smooth, fn, arrays, { [operand]: own }), name).toEqual(right);
          expectUnknown(fn, operand, arrays, bitsIn(own).slice());
          smooth.free(own);
        }
    }
  });

  function expectUnknown(fn: Fn, operand: string, arrays: Any, array: Uint16Array): void {
    const needs = fn.isDistance
      ? 'float16() and bfloat16() make arrays of 16-bit floats that are known'
      : `${operand}Type must say what it holds, "float16" or "bfloat16"`;
    const what = thrown(() => callWith(smooth, fn, arrays, { [operand]: array }), arrays);
    expect(what).toMatch(new RegExp(`^TypeError: \\w+: ${operand} is a Uint16Array; `));
    expect(what).toContain(needs);
    if (fn.isDistance) return;
    const more = { [`${operand}Type`]: 'float32' };
    expect(thrown(() => callWith(smooth, fn, arrays, { [operand]: array }, more))).toContain(needs);
  }

  test('a type that contradicts the array is an error', () => {
    const [f16, bf16, f32] = [smooth.float16(2), smooth.bfloat16(2), smooth.float32(2)];
    const says = (input: Any, inputType: string) =>
      thrown(() => smooth.l1Loss(input, f32, { inputType: inputType as Type }), { f32 });
    expect(says(f16, 'bfloat16')).toBe(
      'TypeError: l1Loss: inputType is "bfloat16", but input is an array of float16()',
    );
    expect(says(bf16, 'float16')).toBe(
      'TypeError: l1Loss: inputType is "float16", but input is an array of bfloat16()',
    );
    expect(says(bf16, 'float32')).toContain('but input is an array of bfloat16()');
    expect(says(f32, 'float16')).toContain('but input is an array of float32()');
    expect(says(new Float32Array(2), 'float16')).toBe(
      'TypeError: l1Loss: inputType is "float16", but input is a Float32Array',
    );
    expect(says(f32, 'half')).toContain(
      'inputType must be one of "float32", "float16", "bfloat16"',
    );
    expect(says(f32, 7 as Any)).toMatch(/^TypeError: l1Loss: inputType must be one of/);
    expect(says(f32, 'float32')).toBe('nothing was thrown');
    for (const array of [f16, bf16, f32]) smooth.free(array);
  });

  test('what is released, detached or out of its place is an error', () => {
    const [f16, f32] = [smooth.float16(2), new Float32Array(2)];
    smooth.free(f16);
    expect(thrown(() => smooth.l1Loss(f16, f32))).toContain('input was released by free()');
    const gone = new Uint16Array(2);
    structuredClone(gone, { transfer: [gone.buffer] });
    const inputType = 'float16';
    expect(thrown(() => smooth.l1Loss(gone, f32, { inputType }))).toContain('input is detached');
    const buffer: Any = new (ArrayBuffer as Any)(8, { maxByteLength: 16 });
    const tracking = new Uint16Array(buffer);
    expect(smooth.l1Loss(tracking, new Float32Array(4), { inputType })).toBe(0);
    buffer.resize(4);
    expect(smooth.l1Loss(tracking, f32, { inputType })).toBe(0);
    expect(thrown(() => smooth.l1Loss(new Float32Array(2), f16))).toContain('was released');
    for (const name of ['insideWeights', 'mask'] as const)
      expect(thrown(() => smooth.l1Loss(f32, f32, { [name]: new Uint16Array(2) as Any }))).toMatch(
        new RegExp(`^TypeError: l1Loss: ${name} must be .*, got a Uint16Array$`),
      );
  });

  test('a result is never on an input of 16 bits', () => {
    const whole = new Float32Array(4);
    for (const [at, length] of [
      [0, 4],
      [1, 4],
      [6, 2],
      [8, 0],
    ] as const) {
      const input = new Uint16Array(whole.buffer, 2 * at, length);
      const [target, out] = [new Float32Array(length), whole.subarray(0, length)];
      const overlaps = at + length > 0 && length > 0 && 2 * at < 4 * length;
      const options = { inputType: 'float16', out } as const;
      const what = thrown(() => smooth.l1LossBackward(1, input, target, options), { whole });
      expect(what).toBe(
        overlaps
          ? 'RangeError: l1LossBackward: out overlaps input; it must be apart from it, since its elements take 32 bits'
          : 'nothing was thrown',
      );
    }
  });

  test('copies take two bytes an element, and copy: "throw" forbids them', () => {
    const f32 = smooth.float32(100);
    const own = smooth.bfloat16(100);
    const before = smooth.copiedBytes();
    smooth.l1Loss(own, f32);
    expect(smooth.copiedBytes() - before).toBe(0);
    const inputType = 'bfloat16';
    smooth.l1Loss(new Uint16Array(100), f32, { inputType });
    expect(smooth.copiedBytes() - before).toBe(smooth.backend === 'js' ? 0 : 200);
    expect(() => smooth.l1Loss(new Uint16Array(100), f32, { inputType, copy: 'throw' })).toThrow(
      'bfloat16() makes arrays there',
    );
    for (const array of [f32, own]) smooth.free(array);
  });

  test('a Float16Array needs no option, nor does a view on a part of it', () => {
    const { Float16Array } = globalThis as Any;
    const own = smooth.float16([1, -2.5, 3]);
    if (!Float16Array) {
      expect(own).toBeInstanceOf(Uint16Array);
      return;
    }
    expect(own).toBeInstanceOf(Float16Array);
    expect([...own]).toEqual([1, -2.5, 3]);
    const target = new Float32Array(2);
    for (const array of [own, Float16Array.of(1, -2.5, 3)])
      expect(smooth.l1Loss(array.subarray(1), target)).toBe(2.75);
    expect(thrown(() => smooth.l1Loss(target, own, { targetType: 'bfloat16' }))).toContain(
      'targetType is "bfloat16", but target is',
    );
    smooth.free(own);
  });

  test('a Float16Array that the host does not know itself is not used', () => {
    const host = globalThis as Any;
    const before = Object.getOwnPropertyDescriptor(host, 'Float16Array');
    host.Float16Array = class extends Uint16Array {};
    try {
      const own = smooth.float16([1, 2]);
      expect(Object.getPrototypeOf(own)).toBe(Uint16Array.prototype);
      smooth.free(own);
    } finally {
      if (before) Object.defineProperty(host, 'Float16Array', before);
      else delete host.Float16Array;
    }
  });

  test('calls of one loss with inputs of other types in turns', () => {
    const values = Float32Array.of(1, -2, 0.5, 3, -4, 7);
    const target = smooth.float32(6);
    const loss = new smooth.SmoothL1Loss();
    const right = loss.forward(values, target);
    const inputs = [
      smooth.float32(values),
      smooth.float16(values),
      smooth.bfloat16(values),
      values,
    ];
    for (let i = 0; i < 12; i++)
      expect(loss.forward(inputs[(i * i) % 4] as Any, target)).toBe(right);
    for (const array of [target, ...inputs.slice(0, 3)]) smooth.free(array);
  });
});
