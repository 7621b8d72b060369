// Long calls are cut into pieces where arrays are copied, or results are sums: rows go on from one piece to the
// next. Each has the bits of a row alone, in the kernel's memory, which nothing cuts.
import { expect, test } from 'vitest';
import { backends, type Package } from './backends.ts';
import { type Any, inKernel } from './functions.ts';
import { groupSums, PIECE, sumInOrder } from './sums.ts';

const [, smooth] = backends[0] as [string, Package];
const values = (seed: number, length: number): Float32Array =>
  Float32Array.from({ length }, (_, i) => ((i * seed) % 4001) / 1000 - 2);
const each = { beta: 0.3, scale: 2, reduction: 'none' } as const;

/** A call with something for each element, for each row and for each column. */
function sample(rowLength: number) {
  const rows = Math.ceil((2 * PIECE) / rowLength);
  const n = rows * rowLength;
  const [x, y, upstream] = [values(7919, n), values(104_729, n), values(1_299_709, n)];
  const [perRow, perColumn] = [values(6151, rows), values(3079, rowLength)];
  const mask = Uint8Array.from(perColumn, (_, i) => i % 7);
  return { rows, n, x, y, upstream, perRow, perColumn, mask };
}

/** Its losses and gradients, one row after the other; those to weights have one number for each element. */
function rowByRow(rowLength: number) {
  const { rows, n, x, y, upstream, perRow, perColumn, mask } = sample(rowLength);
  const make = () => new Float32Array(n);
  const right = {
    losses: make(),
    gradInput: make(),
    gradTarget: make(),
    gradInsideWeights: make(),
    gradOutsideWeights: make(),
  };
  for (let row = 0; row < rows; row++) {
    const cut = (array: Float32Array) => array.subarray(row * rowLength, (row + 1) * rowLength);
    const made: Any[] = [];
    const put = (array: Float32Array | Uint8Array): Any => {
      made.push(inKernel(smooth, array));
      return made.at(-1);
    };
    const { losses, gradInput, ...grads } = Object.fromEntries(
      Object.entries(right).map(([name, array]) => [name, put(cut(array))]),
    );
    const own = { ...each, insideWeights: perRow[row], weight: put(perColumn), mask: put(mask) };
    const [input, target] = [put(cut(x)), put(cut(y))];
    smooth.smoothL1Loss(input, target, { ...own, out: losses });
    const more = { ...grads, out: gradInput };
    smooth.smoothL1LossBackward(put(cut(upstream)), input, target, { ...own, ...more });
    for (const [name, array] of Object.entries({ losses, gradInput, ...grads }))
      cut(right[name as 'losses']).set(array);
    made.forEach(smooth.free);
  }
  return right;
}

const places = [3333, PIECE, 9000].flatMap((rowLength) => {
  const right = rowByRow(rowLength);
  return [true, false].map((isInKernel) => ({ rowLength, isInKernel, right }));
});

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Buffer =>
  Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength);
const areSame = (a: Float32Array, b: Float32Array): boolean => bytesOf(a).equals(bytesOf(b));

test.each(places)(
  'rows of $rowLength, in the kernel: $isInKernel',
  ({ rowLength, isInKernel, right }) => {
    const { rows, n, ...arrays } = sample(rowLength);
    const isLong = rowLength > PIECE;
    const made: Any[] = [];
    /** An array of which the call is given all but the last element. */
    const put = (values: Float32Array | Uint8Array): Any => {
      if (!isInKernel) return values.slice();
      const isMask = values instanceof Uint8Array;
      const whole: Any = isMask
        ? smooth.uint8(values.length + 1)
        : smooth.float32(values.length + 1);
      whole.fill(9).set(values);
      made.push(whole);
      return whole.subarray(0, values.length);
    };
    const old = (length: number): Any => put(new Float32Array(length).fill(0.75));
    /** Makes a call, which copies so many bytes if its arrays are elsewhere. */
    const copying = (bytes: number, call: () => unknown) => {
      const before = smooth.copiedBytes();
      call();
      expect(smooth.copiedBytes() - before).toBe(isInKernel ? 0 : bytes);
    };
    const [x, y, upstream] = [put(arrays.x), put(arrays.y), put(arrays.upstream)];
    const [perRow, out] = [put(arrays.perRow), old(n)];
    const options = {
      ...each,
      rowLength,
      insideWeights: { perRow },
      weight: { perColumn: put(arrays.perColumn) },
      mask: { perColumn: put(arrays.mask) },
    };
    // A row that is cut is copied twice where it is one number; of long rows, pieces have their own columns.
    const cuts = [PIECE, 2 * PIECE].filter((at) => at < n && at % rowLength !== 0).length;
    const spread = 4 * (rows + cuts) + 5 * (isLong ? n : rowLength);

    copying(12 * n + spread, () => smooth.smoothL1Loss(x, y, { ...options, out }));
    expect(areSame(out, right.losses)).toBe(true);
    const outRows = old(rows);
    copying(8 * n + spread + (isLong ? 0 : 4 * rows), () =>
      smooth.smoothL1Loss(x, y, { ...options, reduction: 'rows', out: outRows }),
    );
    const sums = outRows.map((_: number, row: number) => {
      const own = right.losses.subarray(row * rowLength, (row + 1) * rowLength);
      return isLong ? sumInOrder(own) : own.reduce((a, b) => a + b, 0);
    });
    expect(outRows).toEqual(sums);
    const whole = smooth.float32(rows);
    smooth.smoothL1Loss(x, y, { ...options, reduction: 'rows', out: whole });
    expect(whole).toEqual(sums);
    smooth.free(whole);

    const { gradInput, gradTarget, gradInsideWeights, gradOutsideWeights } = right;
    const wanted = [
      gradInput,
      gradTarget,
      groupSums(gradInsideWeights, rows, (i) => Math.floor(i / rowLength)),
      groupSums(gradOutsideWeights, rowLength, (i) => i % rowLength),
    ];
    for (const accumulate of [false, true]) {
      const grads = {
        out: old(n),
        gradTarget: old(n),
        gradInsideWeights: old(rows),
        gradOutsideWeights: old(rowLength),
      };
      smooth.smoothL1LossBackward(upstream, x, y, { ...options, ...grads, accumulate });
      const added = accumulate ? wanted.map((grad) => grad.map((value) => 0.75 + value)) : wanted;
      for (const [i, [name, grad]] of Object.entries(grads).entries())
        expect(areSame(grad, added[i] as Float32Array), name).toBe(true);
    }

    const rowMeans = { rowLength, reduction: 'rowMeans', out } as const;
    copying(12 * n + 4 * rows, () => smooth.l1LossBackward(perRow, x, y, rowMeans));
    // The first pass counts, the second writes.
    const mean = { ...options, reduction: 'mean', divisor: 'unmasked' } as const;
    const gradient = smooth.smoothL1LossBackward(1, x, y, mean);
    smooth.smoothL1LossBackward(1, x, y, { ...mean, out: x });
    expect(areSame(x, gradient)).toBe(true);

    for (const array of made) {
      expect(array.at(-1)).toBe(9);
      smooth.free(array);
    }
  },
);

test('rows with a threshold for each of more columns than are prepared at once: the bits of parts of them', () => {
  const columns = 2 ** 17 + 4099;
  const [x, y, weights] = [7919, 104_729, 6151].map((seed, i) =>
    smooth.float32(values(seed, i < 2 ? 2 * columns : columns)),
  ) as [Any, Any, Any];
  const beta = smooth.float32(weights.map(Math.abs));
  const mask = smooth.uint8(beta.map((_, i) => i % 3));
  const perRow = smooth.float32([0.5, -3]);
  const all = smooth.smoothL1Loss(x, y, {
    rowLength: columns,
    beta,
    insideWeights: { perRow },
    weight: { perColumn: weights },
    mask: { perColumn: mask },
    reduction: 'none',
  });
  for (const row of [0, 1])
    for (const [from, to] of [
      [0, 70_000],
      [70_000, columns],
    ] as const) {
      const cut = (array: Any) => array.subarray(row * columns + from, row * columns + to);
      const part = smooth.smoothL1Loss(cut(x), cut(y), {
        rowLength: to - from,
        beta: beta.subarray(from, to),
        insideWeights: perRow[row],
        weight: { perColumn: weights.subarray(from, to) },
        mask: { perColumn: mask.subarray(from, to) },
        reduction: 'none',
      });
      expect(areSame(cut(all), part)).toBe(true);
    }
  smooth.free(perRow);
  for (const array of [x, y, weights, beta, mask]) smooth.free(array);
});
