// Thresholds and quantiles by column in rows so long that their curves are made piece by piece.
import { describe, expect, test } from 'vitest';
import { CURVE_FLOATS } from '../ts/curves.ts';
import { PIECE } from '../ts/generated/job.ts';
import { backends, fresh, type Package } from './backends.ts';
import { type Call, type Results, run } from './calls.ts';
import { type Role, thrown } from './functions.ts';
import { collect } from './garbage.ts';
import { elsewhere, expectSame, outcome } from './outcomes.ts';
import { Program } from './program.ts';
import { sumInOrder } from './sums.ts';

const MiB = 2 ** 20;
/** More than the package keeps the curves of. A row ends within a piece, which the next one continues. */
const COLUMNS = 2 ** 17 + 4099;
const N = 2 * COLUMNS;

/** One of four for each column, in no order that pieces or leaves could have. */
const kindOf = (column: number): number => Math.imul(column + 1, 0x9e3779b1) >>> 30;
const THRESHOLDS = [0.5, 0, 1.75, 1];
const TAUS = [0.25, 0.5, 0.75, 0.875];
const byColumn = (values: number[], columns = COLUMNS): Float32Array =>
  Float32Array.from({ length: columns }, (_, column) => values[kindOf(column)] as number);
const numbers = (n: number, step: number): Float32Array =>
  Float32Array.from({ length: n }, (_, i) => ((i * step) % 1009) / 256 - 2);

const call = (form: Call['form']): Call => ({
  form,
  threshold: byColumn(THRESHOLDS),
  tau: byColumn(TAUS),
  input: numbers(N, 7),
  target: numbers(N, 11),
  insideWeights: { perColumn: numbers(COLUMNS, 13) },
  outsideWeights: { perRow: Float32Array.of(1.5, -0.75) },
  mask: { perColumn: Uint8Array.from({ length: COLUMNS }, (_, i) => (i % 5 === 0 ? 0 : i & 255)) },
  gradOutput: form === 'quantileHuber' ? { perRow: Float32Array.of(3, 0.25) } : undefined,
  rowLength: COLUMNS,
  reduction: 'none',
  allGradients: true,
});

/** What the elements of a call give, each with the threshold and the quantile of its column, as numbers. */
function elementwise(call: Call, role: Role): Results {
  const smooth = fresh({ backend: 'wasm', capacity: 64 * MiB });
  const kinds = THRESHOLDS.map((threshold, kind) =>
    outcome(smooth, role, { ...call, threshold, tau: TAUS[kind] }, elsewhere),
  ) as [Results, Results, Results, Results];
  const pick = (output: string): Float32Array => {
    const each = kinds.map((results) => results[output] as Float32Array);
    return Float32Array.from({ length: N }, (_, i) => each[kindOf(i % COLUMNS)]?.[i] as number);
  };
  return Object.fromEntries(Object.keys(kinds[0]).map((output) => [output, pick(output)]));
}

describe('rows of more than 131,072 columns', () => {
  const forms = [
    ['smoothL1', 'withGrad'],
    ['smoothL1', 'hessian'],
    ['quantileHuber', 'backward'],
  ] as const;
  const cases = forms.map(([form, role]): [Call, Role, Results] => [
    call(form),
    role,
    elementwise(call(form), role),
  ]) as [[Call, Role, Results], ...[Call, Role, Results][]];
  const [[smoothL1, , whole]] = cases;
  const loss = whole.loss as Float32Array;

  test.each(backends)('%s: each element has the bits of its own threshold', (backend, smooth) => {
    const where = { inKernel: () => backend === 'wasm-shared', shift: 3 };
    for (const [call, role, expected] of cases)
      expectSame(outcome(smooth, role, call, where), expected, `${role} `);
    const sums = { ...smoothL1, allGradients: false };
    const sum = outcome(smooth, 'forward', { ...sums, reduction: 'sum' }, where);
    expect(sum.loss).toBe(sumInOrder(loss));
    const rows = outcome(smooth, 'forward', { ...sums, reduction: 'rows' }, where);
    const sumOf = (row: number) =>
      Math.fround(sumInOrder(loss.subarray(row * COLUMNS, (row + 1) * COLUMNS)));
    expect(rows.loss).toEqual(Float32Array.of(sumOf(0), sumOf(1)));
  });

  test('an attached memory: the same bits, in place', () => {
    const smooth = fresh();
    const program = new Program(400);
    const taken: number[] = [];
    const allocate = (bytes: number): number => {
      taken.push(bytes);
      return program.allocate(bytes);
    };
    const detach = smooth.attach(program.memory, { allocate });
    try {
      const beta = program.floats(smoothL1.threshold as Float32Array);
      const more = { copy: 'throw', beta };
      expectSame(run(smooth, 'withGrad', smoothL1, program.put(1), more), whole);
      expect(taken.reduce((sum, bytes) => sum + bytes)).toBeLessThan(MiB);
    } finally {
      detach();
    }
  });

  type Make = () => Float32Array;
  test('an attached memory that is almost full grows before the call, not in it', () => {
    const smooth = fresh();
    const program = new Program(64);
    const detach = smooth.attach(program.memory, { allocate: program.allocate });
    try {
      const [x, y, beta, perColumn, out] = [7, 11, 1, 13, 0].map((step) => {
        const { byteOffset } = program.floats(numbers(COLUMNS, step).map(Math.abs));
        return () => new Float32Array(program.memory.buffer, byteOffset, COLUMNS);
      }) as [Make, Make, Make, Make, Make];
      program.allocate(program.memory.buffer.byteLength - program.end - 16384);
      const call = () =>
        smooth.smoothL1LossBackward(1, x(), y(), {
          beta: beta(),
          insideWeights: { perColumn: perColumn() },
          outsideWeights: { perColumn: perColumn() },
          mask: { perColumn: new Uint8Array(perColumn().buffer, 1024, COLUMNS) },
          rowLength: COLUMNS,
          out: out(),
        });
      expect(thrown(call)).toMatch('made the memory grow, which detached the arrays of the call');
      // All of it was taken.
      const { length } = program.taken;
      call();
      expect(program.taken).toHaveLength(length);
    } finally {
      detach();
    }
  });

  test('a threshold or a quantile that is wrong: nothing is written', () => {
    const beta = byColumn(THRESHOLDS);
    beta[COLUMNS - 1] = -1;
    const [x, out] = [numbers(COLUMNS, 7), new Float32Array(COLUMNS).fill(7)];
    const rest = { rowLength: COLUMNS, reduction: 'none', out } as const;
    const options = { ...rest, beta };
    for (const [, smooth] of backends)
      expect(thrown(() => smooth.smoothL1Loss(x, x, options))).toBe(
        `RangeError: smoothL1Loss: beta[${COLUMNS - 1}] must be a number from 0, got -1`,
      );
    const tau = byColumn(TAUS);
    tau[COLUMNS - 1] = 2;
    for (const [, smooth] of backends)
      expect(thrown(() => smooth.quantileHuberLoss(x, x, { ...rest, delta: 1, tau }))).toBe(
        `RangeError: quantileHuberLoss: tau[${COLUMNS - 1}] must be a number from 0 to 1, got 2`,
      );
    expect(out.every((x) => x === 7)).toBe(true);
  });
});

describe('memory', () => {
  test('the curves of a long call are looked for where they are now', () => {
    const smooth = fresh({ backend: 'wasm-shared' });
    const [x, y] = [smooth.float32(numbers(4 * PIECE, 7)), smooth.float32(4 * PIECE)];
    const beta = smooth.float32([0.5, 1, 2, 4]);
    const loss = new smooth.SmoothL1Loss({ beta, rowLength: 4 });
    const first = loss.forward(x, y);
    // In the place that they had.
    const array = smooth.float32(24).fill(7);
    expect(loss.forward(x, y)).toBe(first);
    expect(array.every((x) => x === 7)).toBe(true);
  });

  test('the curves of a short call of many columns are in the way of no result', () => {
    const columns = 4000;
    const [x, y] = [numbers(columns, 7), numbers(columns, 11)];
    const results = backends.map(([, smooth]) => {
      const [out, gradInput, gradTarget] = [x.slice(), x.slice(), x.slice()];
      const [delta, tau] = [byColumn(THRESHOLDS, columns), byColumn(TAUS, columns)];
      const options = { delta, tau, rowLength: columns, reduction: 'none' } as const;
      const loss = new smooth.QuantileHuberLoss(options);
      loss.withGrad(x, y, gradInput, { out, gradTarget });
      return [out, gradInput, gradTarget];
    });
    expect(results[0]).toEqual(results[2]);
    expect(results[1]).toEqual(results[2]);
  });

  test('what goes by column takes room beside the curves of long rows', () => {
    const smooth = fresh({ backend: 'wasm-shared' });
    const [x, y, weights] = [7, 11, 13].map((step) => smooth.float32(numbers(COLUMNS, step)));
    // A gap for the curves alone.
    const gap = smooth.float32(CURVE_FLOATS);
    const next = smooth.float32(PIECE).fill(7);
    smooth.free(gap);
    smooth.smoothL1Loss(x as Float32Array, y as Float32Array, {
      beta: byColumn(THRESHOLDS),
      weight: { perColumn: weights as Float32Array },
      rowLength: COLUMNS,
    });
    expect(next.every((x) => x === 7)).toBe(true);
  });

  /** A call with everything by column, of rows of that length. */
  function use(smooth: Package, columns: number): void {
    const x = numbers(columns, 7);
    smooth.smoothL1LossBackward(1, x, x, {
      beta: byColumn(THRESHOLDS, columns),
      insideWeights: { perColumn: numbers(columns, 13) },
      rowLength: columns,
      accumulate: true,
      out: x.slice(),
    });
  }

  test.each([false, true])('no more for longer rows, shared: %s', (shared) => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 2000, shared });
    const smooth = fresh({ memory, capacity: MiB });
    use(smooth, 2 ** 17 + 1);
    const { byteLength } = memory.buffer;
    expect(byteLength).toBeLessThan(2 * MiB);
    use(smooth, 2 ** 18 + 1);
    expect(memory.buffer.byteLength).toBe(byteLength);
  });

  test('nothing of them is kept in JavaScript', () => {
    for (const [, smooth] of backends) {
      const columns = 2 ** 17 + 1;
      const x = numbers(columns, 7);
      const beta = byColumn(THRESHOLDS, columns);
      collect();
      const before = process.memoryUsage().arrayBuffers;
      smooth.huberLoss(x, x, { delta: beta, rowLength: columns });
      collect();
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(MiB);
    }
  });
});
