// smooth-l1/arrow on columns of both libraries, beside the package on arrays with the same numbers.
import * as flechette from '@uwdata/flechette';
import * as apache from 'apache-arrow';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as arrow from '../ts/arrow.ts';
import * as core from '../ts/index.ts';

type Value = number | null;

/** The types of numbers: in Arrow's format, and what their elements may be. */
const TYPES = {
  float16: [() => new apache.Float16(), (x: number) => Math.round(x * 8) / 8],
  float32: [() => new apache.Float32(), Math.fround],
  float64: [() => new apache.Float64(), (x: number) => x * 1.1],
  int8: [() => new apache.Int8(), (x: number) => Math.trunc(x) + 0],
  uint16: [() => new apache.Uint16(), (x: number) => Math.abs(Math.trunc(x))],
  int32: [() => new apache.Int32(), (x: number) => Math.trunc(x * 1e7) + 0],
  int64: [() => new apache.Int64(), (x: number) => Math.trunc(x * 1e12) + 0],
  uint64: [() => new apache.Uint64(), (x: number) => Math.abs(Math.trunc(x * 1e12))],
} as const satisfies Record<string, readonly [() => apache.DataType, (x: number) => number]>;
type TypeName = keyof typeof TYPES;

const chunkOf = (type: apache.DataType, values: readonly (Value | boolean)[]): apache.Vector =>
  apache.vectorFromArray(
    type instanceof apache.Int && type.bitWidth === 64
      ? values.map((value) => (value === null ? null : BigInt(value)))
      : values,
    type,
  );

/** Values as a vector whose chunks end at these places. */
function vectorOf(
  type: apache.DataType,
  values: readonly (Value | boolean)[],
  cuts: readonly number[],
): apache.Vector {
  const ends = [...cuts, values.length];
  const chunks = ends.map((end, i) => chunkOf(type, values.slice(ends[i - 1] ?? 0, end)));
  return chunks.length === 1
    ? (chunks[0] as apache.Vector)
    : new apache.Vector(chunks.flatMap(({ data }) => data));
}

/** The same vector out of a file. Its record batches are the chunks. */
function throughFile(vector: apache.Vector, read: (bytes: Uint8Array) => unknown): unknown {
  const field = new apache.Field('column', vector.type, true);
  const batches = vector.data.map(
    (data) =>
      new apache.RecordBatch(
        new apache.Schema([field]),
        apache.makeData({
          type: new apache.Struct([field]),
          length: data.length,
          children: [data],
        }),
      ),
  );
  const bytes = apache.tableToIPC(new apache.Table(new apache.Schema([field]), batches), 'file');
  return read(bytes);
}

/** How a column comes to be. */
const WAYS = {
  'apache-arrow': vectorOf,
  // The bitmap of a slice begins where that of the whole does.
  'apache-arrow, sliced': (type, values, cuts) =>
    vectorOf(
      type,
      [...values.slice(0, 3), ...values, ...values.slice(0, 5)],
      cuts.map((cut) => cut + Math.min(3, values.length)),
    ).slice(Math.min(3, values.length), Math.min(3, values.length) + values.length),
  'apache-arrow, from a file': (type, values, cuts) =>
    throughFile(vectorOf(type, values, cuts), (bytes) =>
      apache.tableFromIPC(bytes).getChild('column'),
    ),
  '@uwdata/flechette, from a file': (type, values, cuts) =>
    throughFile(vectorOf(type, values, cuts), (bytes) =>
      flechette.tableFromIPC(bytes).getChild('column'),
    ),
} satisfies Record<string, (...given: Parameters<typeof vectorOf>) => unknown>;
type Way = keyof typeof WAYS;

const columnOf = (
  way: Way,
  type: apache.DataType,
  values: readonly (Value | boolean)[],
  cuts: readonly number[],
): arrow.ArrowColumn => WAYS[way](type, values, cuts) as arrow.ArrowColumn;

interface Column {
  way: Way;
  type: TypeName;
  values: Value[];
  cuts: number[];
}

const column = (n: number): fc.Arbitrary<Column> =>
  fc
    .record({
      way: fc.constantFrom(...(Object.keys(WAYS) as Way[])),
      type: fc.constantFrom(...(Object.keys(TYPES) as TypeName[])),
      values: fc.array(
        fc.option(fc.double({ min: -9, max: 9, noNaN: true, noDefaultInfinity: true }), {
          freq: 8,
        }),
        { minLength: n, maxLength: n },
      ),
      isWhole: fc.boolean(),
      cuts: fc.array(fc.nat(n), { maxLength: 4 }),
    })
    .map(({ way, type, values, isWhole, cuts }) => ({
      way,
      type,
      values: values.map((value) =>
        value === null ? (isWhole ? 1 : null) : TYPES[type][1](value),
      ),
      cuts: cuts.sort((a, b) => a - b),
    }));

const make = ({ way, type, values, cuts }: Column): arrow.ArrowColumn =>
  columnOf(way, TYPES[type][0](), values, cuts);
const floatsOf = ({ values }: Column): Float32Array => Float32Array.from(values, (x) => x ?? 7);

type Functions = typeof arrow;

/** All that a loss gives: values of numbers and arrays alike. */
function resultsOf(
  { smoothL1Loss, smoothL1LossBackward, smoothL1LossWithGrad }: Functions,
  input: arrow.ColumnInput,
  target: arrow.ColumnInput,
  n: number,
  options: object,
): unknown[] {
  const gradient = new Float32Array(n);
  const given = { beta: 0.7, ...options };
  return [
    smoothL1Loss(input, target, given),
    smoothL1Loss(input, target, { ...given, sum: 'exact' }),
    smoothL1Loss(input, target, { ...given, divisor: 'unmasked' }),
    smoothL1Loss(input, target, { ...given, reduction: 'none', sum: undefined }),
    smoothL1LossBackward(0.5, input, target, given),
    smoothL1LossWithGrad(input, target, gradient, { ...given, reduction: 'sum', scale: 2 }),
    gradient,
  ];
}
const onArrays = core as unknown as Functions;

describe('columns', () => {
  test('of all types, cuts and libraries give the bits of one call over arrays', () => {
    const drawn = fc.integer({ min: 0, max: 40 }).chain((n) =>
      fc.record({
        n: fc.constant(n),
        input: column(n),
        target: column(n),
        weight: fc.option(column(n)),
        mask: fc.option(fc.array(fc.boolean(), { minLength: n, maxLength: n })),
        form: fc.constantFrom('column', 'bitmap', 'bytes', 'list'),
        shift: fc.nat(20),
      }),
    );
    fc.assert(
      fc.property(drawn, ({ n, input, target, weight, mask, form, shift }) => {
        const isThere = (i: number): boolean =>
          input.values[i] !== null && target.values[i] !== null && (mask?.[i] ?? true);
        const options: Record<string, unknown> = {
          mask: Uint8Array.from({ length: n }, (_, i) => Number(isThere(i))),
        };
        const given: Record<string, unknown> = {};
        if (weight) {
          const whole = { ...weight, values: weight.values.map((value) => value ?? 2) };
          options.weight = floatsOf(whole);
          given.weight = make(whole);
        }
        if (mask) {
          const bits = new Uint8Array(Math.ceil((shift + n) / 8)).fill(0xa5);
          for (const [i, value] of mask.entries()) {
            const at = shift + i;
            bits[at >> 3] = (bits[at >> 3]! & ~(1 << (at & 7))) | (Number(value) << (at & 7));
          }
          given.mask = {
            column: columnOf(input.way, new apache.Bool(), mask, target.cuts),
            bitmap: { bitmap: bits, offset: shift },
            bytes: Uint8Array.from(mask, (value) => (value ? 3 : 0)),
            list: mask,
          }[form];
        }
        const actual = resultsOf(arrow, make(input), make(target), n, given);
        const wanted = resultsOf(onArrays, floatsOf(input), floatsOf(target), n, options);
        expect(actual).toEqual(wanted);
      }),
      { seed: Number(process.env.SEED ?? 1), numRuns: 150 * Number(process.env.RUNS ?? 1) },
    );
  });

  test.each([
    ['fast', 'perRow'],
    ['exact', 'perColumn'],
  ])('longer than a piece: a %s sum has the bits of one call, masked %s', (sum, side) => {
    const [rows, rowLength] = [5_003, 5];
    const n = rows * rowLength;
    const values = (seed: number): Value[] =>
      Array.from({ length: n }, (_, i) =>
        i % 1_009 === seed ? null : Math.fround(Math.sin(i * seed + 1) * 2 ** (i % 30)),
      );
    const [p, t] = [values(3), values(5)];
    const input = columnOf('apache-arrow, from a file', new apache.Float32(), p, [1, 8_191, 8_200]);
    const target = columnOf('@uwdata/flechette, from a file', new apache.Float64(), t, [16_385]);
    const mask = Array.from({ length: side === 'perRow' ? rows : rowLength }, (_, i) => i % 3 > 0);
    const weights = mask.map((_, i) => i + 0.5);
    const options = { sum, rowLength };
    const actual = resultsOf(arrow, input, target, n, {
      ...options,
      mask: { [side]: columnOf('apache-arrow', new apache.Bool(), mask, [2]) },
      weight: { [side]: columnOf('apache-arrow', new apache.Float32(), weights, [1]) },
    });
    const index = (i: number): number => (side === 'perRow' ? Math.floor(i / 5) : i % 5);
    const wanted = resultsOf(
      onArrays,
      Float32Array.from(p, (x) => x ?? 0),
      Float32Array.from(t, (x) => x ?? 0),
      n,
      {
        ...options,
        mask: Uint8Array.from(p, (x, i) => Number(x !== null && t[i] !== null && mask[index(i)])),
        weight: { [side]: Float32Array.from(weights) },
      },
    );
    // As text: it takes a tenth of the time.
    const texts = (results: unknown[]): string[] => results.map((result) => String(result));
    expect(texts(actual)).toEqual(texts(wanted));
  });

  test('NaN, infinities, and numbers beyond f32 are as in an array of f32', () => {
    const values = [Number.NaN, Infinity, -Infinity, -0, 1e300, 1e-300, 1e-40, 0.1];
    const input = columnOf('apache-arrow', new apache.Float64(), values, [3]);
    const zeros = new Float32Array(values.length);
    for (const reduction of ['none', 'sum'] as const)
      expect(arrow.huberLoss(input, zeros, { reduction })).toEqual(
        core.huberLoss(Float32Array.from(values), zeros, { reduction }),
      );
  });

  test('bits of bf16 in a column of 16-bit integers', () => {
    const bits = [0x3f80, 0xc000, 0x4040];
    for (const cuts of [[], [1]]) {
      const input = columnOf('apache-arrow', new apache.Uint16(), bits, cuts);
      const options = { inputType: 'bfloat16', reduction: 'none' } as const;
      expect([...arrow.l1Loss(input, new Float32Array(3), options)]).toEqual([1, 2, 3]);
    }
  });

  test('bits of f16 in a column of 16-bit integers, which are numbers otherwise', () => {
    const bits = [0x3c00, 0xc000, 1];
    const zeros = new Float32Array(3);
    for (const cuts of [[], [1]]) {
      const input = columnOf('apache-arrow', new apache.Uint16(), bits, cuts);
      const lossAs = (inputType: 'float16' | 'float32') =>
        Array.from(arrow.l1Loss(input, zeros, { inputType, reduction: 'none' }));
      expect(lossAs('float16')).toEqual([1, 2, 2 ** -24]);
      expect(lossAs('float32')).toEqual(bits);
    }
  });

  test('a mask for the columns of a square, and nulls', () => {
    const input = vectorOf(new apache.Float32(), [1, null, 3, 4], []);
    const mask = { perColumn: vectorOf(new apache.Bool(), [true, false], []) };
    const options = { mask, rowLength: 2, reduction: 'sum' } as const;
    expect(arrow.l1Loss(input, new Float32Array(4), options)).toBe(4);
  });

  test('a mask of integers of 8 bits', () => {
    const input = vectorOf(new apache.Float32(), [1, 2, 4], []);
    for (const type of [new apache.Int8(), new apache.Uint8()]) {
      const mask = vectorOf(type, [3, 0, 1], [2]);
      expect(arrow.l1Loss(input, new Float32Array(3), { mask, reduction: 'sum' })).toBe(5);
    }
  });

  test('a column without chunks, and one of chunks without elements', () => {
    const empty = new flechette.Column([] as never[]);
    const parts = columnOf('@uwdata/flechette, from a file', new apache.Float32(), [], [0, 0]);
    expect(arrow.l1Loss(empty, parts, { reduction: 'sum' })).toBe(0);
    expect(arrow.l1Loss(parts, empty)).toBeNaN();
  });

  test('all losses have their three functions', () => {
    const [input, target] = [apache.vectorFromArray([1, 4]), apache.vectorFromArray([0, 1])];
    const [p, t] = [Float32Array.of(1, 4), Float32Array.of(0, 1)];
    const [ours, theirs] = [arrow, onArrays].map((from) => ({ ...from })) as [Functions, Functions];
    for (const loss of ['smoothL1Loss', 'huberLoss', 'quantileHuberLoss', 'l1Loss'] as const) {
      expect(ours[loss].name).toBe(loss);
      expect(ours[loss](input, target)).toBe(theirs[loss](p, t));
      const backward = `${loss}Backward` as const;
      expect(ours[backward](3, input, target)).toEqual(theirs[backward](3, p, t));
      const withGrad = `${loss}WithGrad` as const;
      const [a, b] = [new Float32Array(2), new Float32Array(2)];
      expect(ours[withGrad](input, target, a)).toBe(theirs[withGrad](p, t, b));
      expect(a).toEqual(b);
    }
  });
});

describe('an accumulator', () => {
  test('of record batches has the bits of one call over the table', () => {
    const values = Array.from({ length: 99 }, (_, i) => (i % 7 ? Math.sin(i) * 2 ** i : null));
    const input = vectorOf(new apache.Float64(), values, [11, 60]);
    const target = vectorOf(new apache.Float32(), [...values].reverse(), [11, 60]);
    const loss = new core.SmoothL1Loss({ divisor: 'unmasked' });
    const sum = new arrow.LossAccumulator(loss);
    const gradients: number[] = [];
    for (const [i, data] of input.data.entries()) {
      const [p, t] = [new apache.Vector([data]), new apache.Vector([target.data[i] as never])];
      const gradient = new Float32Array(data.length);
      if (i === 1) sum.add(p, t);
      else sum.addWithGrad(p, t, gradient);
      gradients.push(...gradient);
    }
    expect(sum.value()).toBe(
      arrow.smoothL1Loss(input, target, { divisor: 'unmasked', sum: 'exact' }),
    );
    expect(sum.count).toBe(99);
    const whole = arrow.smoothL1LossBackward(1, input, target, { reduction: 'sum' });
    expect(gradients.slice(60)).toEqual([...whole.subarray(60)]);
    expect(() => sum.add(input, target, { scale: 2 } as never)).toThrow(
      'LossAccumulator.add: scale is an option of the loss object',
    );
  });
});

describe('copies', () => {
  const copiedBy = (call: () => void): number => {
    const before = arrow.copiedBytes();
    call();
    return arrow.copiedBytes() - before;
  };

  test.each([
    ['apache-arrow', apache.tableFromIPC],
    ['@uwdata/flechette', flechette.tableFromIPC],
  ] as [string, (bytes: Uint8Array) => { getChild(name: string): unknown }][])(
    'there are none of a file of %s that lies in the kernel memory',
    (_, read) => {
      const [p, t] = [Float32Array.of(1, 2, 3), Float32Array.of(0, 0, 1)];
      const table = apache.tableFromArrays({ p, t });
      using bytes = core.uint8(apache.tableToIPC(table, 'file'));
      const { p: input, t: target } = Object.fromEntries(
        ['p', 't'].map((name) => [name, read(bytes).getChild(name) as arrow.ArrowColumn]),
      ) as { p: arrow.ArrowColumn; t: arrow.ArrowColumn };
      using gradient = core.float32(3);
      const copied = copiedBy(() => {
        expect(arrow.l1LossWithGrad(input, target, gradient, { copy: 'throw' })).toBe(5 / 3);
      });
      expect(copied).toBe(0);
    },
  );

  test('there are none of chunks without elements, nor of f16', () => {
    using numbers = core.float32(2);
    using halves = core.float16(2);
    using zeros = core.float32(2);
    numbers.set([1, -2]);
    const bits = new Uint16Array(halves.buffer as ArrayBuffer, halves.byteOffset, 2);
    bits.set([0x3c00, 0xc000]);
    const [empty, whole] = [new Float32Array(0), numbers as Float32Array].flatMap(
      (values) => apache.makeVector(values).data,
    ) as [apache.Data<apache.Float32>, apache.Data<apache.Float32>];
    for (const input of [
      new apache.Vector([empty, whole]),
      new apache.Vector([apache.makeData({ type: new apache.Float16(), data: bits })]),
    ])
      expect(arrow.l1Loss(input, zeros, { copy: 'throw' })).toBe(1.5);
  });

  test('are counted: what is elsewhere, cut, of another type, and the mask of nulls', () => {
    const zeros = core.float32(4);
    const loss = (input: arrow.ColumnInput) => () => arrow.l1Loss(input, zeros);
    const of = (type: TypeName, values: Value[], cuts: number[] = []): arrow.ArrowColumn =>
      columnOf('apache-arrow', TYPES[type][0](), values, cuts);
    expect(copiedBy(loss(of('float32', [1, 2, 3, 4])))).toBe(16);
    expect(copiedBy(loss(of('float32', [1, 2, 3, 4], [3])))).toBe(16);
    expect(copiedBy(loss(of('float64', [1, 2, 3, 4])))).toBe(16);
    expect(copiedBy(loss(of('float16', [1, 2, 3, 4])))).toBe(8);
    expect(copiedBy(loss(of('float16', [1, 2, 3, 4], [1])))).toBe(8);
    expect(copiedBy(loss(of('float32', [1, null, 3, 4])))).toBe(20);
    core.free(zeros);
  });

  test('give their memory back, also where a call throws', () => {
    const place = (): number => {
      using array = core.float32(1);
      return array.byteOffset;
    };
    const input = columnOf('apache-arrow', new apache.Float64(), [1, null, 3], [1]);
    const before = place();
    arrow.l1Loss(input, input);
    expect(place()).toBe(before);
    const short = apache.vectorFromArray([1, 2]);
    expect(() => arrow.l1Loss(input, short)).toThrow('length 3 and target has length 2');
    const holes = { weight: input };
    expect(() => arrow.l1Loss(input, input, holes)).toThrow('weight has nulls (1)');
    expect(place()).toBe(before);
  });

  test('a result may lie over a column', () => {
    const numbers = Float32Array.of(0, 3, -4, 5);
    const [whole, parts] = [numbers.slice(), numbers.slice()];
    const cut = new apache.Vector(
      [parts.subarray(0, 1), parts.subarray(1)].flatMap((part) => apache.makeVector(part).data),
    );
    const zeros = new Float32Array(4);
    const options = { reduction: 'sum' } as const;
    arrow.l1LossBackward(2, apache.makeVector(whole), zeros, { ...options, out: whole });
    arrow.l1LossBackward(2, cut, zeros, { ...options, out: parts });
    expect([...whole]).toEqual([0, 2, -2, 2]);
    expect([...parts]).toEqual([0, 2, -2, 2]);
  });
});

describe('what is wrong is told', () => {
  const input = apache.vectorFromArray([1, 2], new apache.Float32());
  const zeros = new Float32Array(2);
  const table = apache.tableFromArrays({ p: zeros });
  const cut = vectorOf(new apache.Float32(), [1, 2], [1]);
  const holes = vectorOf(new apache.Float32(), [1, null], []);
  const flags = vectorOf(new apache.Bool(), [true, false], []);
  const words = apache.vectorFromArray(['a', 'b'], new apache.Utf8());
  const lying = (more: object): never =>
    ({ length: 2, nullCount: 1, data: [{ ...input.data[0], length: 2, ...more }] }) as never;
  const ofType = (typeId: number): never => lying({ type: { typeId } });
  const wrong = (more: object): never => more as never;
  const six = vectorOf(new apache.Float32(), [1, null, 3, 4, 5, 6], []);
  const sixZeros = new Float32Array(6);
  test.each([
    [() => arrow.l1Loss(ofType(-1), zeros), 'input is a column of Dictionary; it must be'],
    [() => arrow.l1Loss(ofType(13), zeros), 'input is a column of Struct; it must be'],
    [() => arrow.l1Loss(ofType(99), zeros), 'input is a column of type 99; it must be'],
    [() => arrow.l1Loss(undefined as never, zeros), 'input must be a Float32Array, a Float16Array'],
    [() => arrow.l1Loss(wrong({ length: 2, data: [1, 2] }), zeros), 'got an Object'],
    [() => arrow.l1Loss(wrong({ length: 2, data: [null] }), zeros), 'got an Object'],
    [() => arrow.l1Loss(wrong({ length: 2, data: [{}] }), zeros), 'got an Object'],
    [
      () => arrow.l1Loss(lying({ values: undefined }), zeros),
      'a chunk of input has 0 values for 2 elements',
    ],
    [
      () => arrow.l1Loss(input, zeros, { inputType: 'bfloat16' }),
      'inputType is "bfloat16", but input is a Float32Array',
    ],
    [() => arrow.l1Loss(input, zeros, { weight: null as never }), 'weight must be a number, a'],
    [
      () => arrow.l1Loss(input, zeros, wrong({ weight: { perRow: input, perColumn: input } })),
      'weight must be a number, a Float32Array',
    ],
    [() => arrow.l1Loss(input, zeros, { mask: null as never }), 'mask must be a Uint8Array, a'],
    [() => arrow.l1Loss(holes, zeros, { mask: [true, 1] as never }), 'mask must be a Uint8Array'],
    [
      () => arrow.l1Loss(six, sixZeros, { mask: { perRow: flags }, rowLength: 2 }),
      'mask.perRow has length 2; it must be 3, one for each row',
    ],
    [
      () => arrow.l1Loss(six, sixZeros, { mask: { perColumn: flags }, rowLength: 3 }),
      'mask.perColumn has length 2; it must be 3, one for each column',
    ],
    [
      () => arrow.l1Loss(input, zeros, { mask: vectorOf(new apache.Int16(), [1, 0], []) }),
      'mask is a column of Int; it must be one of booleans or of integers of 8 bits',
    ],
    [
      () => arrow.l1Loss(input, zeros, { mask: words as never }),
      'mask is a column of Utf8; it must be one of booleans or of integers of 8 bits',
    ],
    [
      () => arrow.l1Loss(input, zeros, { mask: { bitmap: new Uint8Array(1), length: -1 } }),
      'the length of mask must be an integer from 0, got -1',
    ],
    [() => arrow.l1Loss(table.getChild('q' as 'p'), zeros), 'input is null: getChild() returns it'],
    [() => arrow.l1Loss(input, table as never), 'target is a table; it must be a column of it'],
    [() => arrow.l1Loss(words as never, zeros), 'input is a column of Utf8; it must be one of'],
    [() => arrow.l1Loss(flags as never, zeros), 'input is a column of Bool; it must be one of'],
    [
      () => arrow.l1Loss(input, [0, 0] as never),
      'target must be a Float32Array, a Float16Array or a Uint16Array, got an Array',
    ],
    [
      () => arrow.l1Loss(input, zeros, { mask: holes as never }),
      'mask has nulls (1); elements of input and target may be null, those of mask may not',
    ],
    [
      () => arrow.l1Loss(input, zeros, { mask: cut }),
      'mask is a column of Float; it must be one of booleans or of integers of 8 bits',
    ],
    [
      () => arrow.l1Loss(input, zeros, { mask: { bitmap: new Uint8Array(1), offset: 7 } }),
      'mask has 8 bits; 9 are needed',
    ],
    [
      () => arrow.l1Loss(input, zeros, { mask: { bitmap: new Uint8Array(1), offset: -1 } }),
      'the offset of mask must be an integer from 0, got -1',
    ],
    [
      () => arrow.l1Loss(input, zeros, { mask: { bitmap: [1] as never } }),
      'mask.bitmap must be a Uint8Array, got an Array',
    ],
    [() => arrow.l1Loss(cut, zeros, { copy: 'throw' }), 'input would be copied'],
    [() => arrow.l1Loss(holes, zeros, { mask: new Uint8Array(3) }), 'mask has length 3'],
    [() => arrow.l1Loss(holes, zeros, { mask: [1, 0] as never }), 'mask must be a Uint8Array'],
    [
      () => arrow.l1Loss(holes, zeros, { mask: { perRow: flags } }),
      'mask.perRow needs rowLength, which is missing',
    ],
    [
      () => arrow.l1Loss(lying({ values: new Float32Array(1) }), zeros),
      'a chunk of input has 1 values for 2 elements',
    ],
    [
      () =>
        arrow.l1Loss(
          lying({ type: input.type, values: zeros, nullCount: 1, nullBitmap: null }),
          zeros,
        ),
      'a validity bitmap has 0 bits; 2 are needed',
    ],
    [() => arrow.l1Loss(input, zeros, { redution: 'sum' } as object), 'did you mean reduction?'],
    [
      () => arrow.l1Loss(holes, zeros, new Map() as object),
      'l1Loss: options must be an object, got a Map',
    ],
    [() => arrow.l1Loss(holes, zeros, [] as object), 'options must be an object, got an Array'],
    [() => arrow.smoothL1Loss(input, zeros, { beta: -1 }), 'beta must be a number from 0, got -1'],
  ])('%s', (call, message) => {
    expect(call).toThrow(message);
  });

  test('options are read once each, own or inherited', () => {
    const reads: string[] = [];
    const options = Object.create(
      new Proxy(
        { mask: Uint8Array.of(1, 1), reduction: 'sum', weight: holes.slice(0, 1), copy: 'allow' },
        {
          get(values, name) {
            if (typeof name === 'string') reads.push(name);
            return Reflect.get(values, name);
          },
        },
      ),
    );
    expect(() => arrow.l1Loss(holes, zeros, options)).toThrow('weight has length 1');
    expect(
      reads.filter((name) => name in { mask: 0, reduction: 0, weight: 0, copy: 0 }).sort(),
    ).toEqual(['copy', 'mask', 'reduction', 'weight']);
  });
});
