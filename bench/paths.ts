// The paths beside the plain one: weights and masks, which move more bytes, and should cost as much more
// as that; inputs of 16 bits, which move fewer.

import {
  bfloat16,
  float16,
  float32,
  free,
  type HalfArray,
  SmoothL1Loss,
  type SmoothL1Options,
  uint8,
} from 'smooth-l1';
import { type Job, oracle } from '../test/oracle.ts';
import { type HalfType, widen } from '../ts/half.ts';
import { BYTES, type Contender, type Operation, runOf, type Task } from './contender.ts';
import { uniform } from './data.ts';
import { freeWindows, kernelWindows, threaded } from './javascript.ts';

const COLUMNS = 64;
const BOX = 4;
/** Elements on which a path is compared with the oracle, which is thorough and slow. */
const CHECKED = 4096;

/** What a path has beside input and target, as options for `n` elements; or what these two are. */
interface Extra {
  readonly name: string;
  /** Bytes an element that it moves beside those of the plain path. */
  readonly bytes: number;
  /** What input and target are, if not floats of 32 bits. */
  readonly half?: HalfType;
  /** Whether JavaScript makes floats of 32 bits of them before each call. */
  readonly isConverted?: boolean;
  options(n: number): SmoothL1Options<'mean'> & { arrays: (Float32Array | Uint8Array)[] };
}

const random = uniform(3);
const weights = (n: number) => {
  const array = float32(n);
  for (let i = 0; i < n; i++) array[i] = 0.5 + random();
  return array;
};

const EXTRAS: readonly Extra[] = [
  { name: 'plain', bytes: 0, options: () => ({ arrays: [] }) },
  {
    name: 'two weights for each element',
    bytes: 8,
    options(n) {
      const [insideWeights, outsideWeights] = [weights(n), weights(n)];
      return { insideWeights, outsideWeights, arrays: [insideWeights, outsideWeights] };
    },
  },
  {
    name: `a weight for each row of ${BOX}`,
    bytes: 4 / BOX,
    options(n) {
      const perRow = weights(n / BOX);
      return { rowLength: BOX, outsideWeights: { perRow }, arrays: [perRow] };
    },
  },
  {
    name: `a weight for each of ${COLUMNS} columns`,
    bytes: 0,
    options() {
      const perColumn = weights(COLUMNS);
      return { rowLength: COLUMNS, outsideWeights: { perColumn }, arrays: [perColumn] };
    },
  },
  {
    name: 'a mask',
    bytes: 1,
    options(n) {
      const mask = uint8(n);
      for (let i = 0; i < n; i++) mask[i] = random() < 0.5 ? 1 : 0;
      return { mask, arrays: [mask] };
    },
  },
  ...(['bfloat16', 'float16'] as const).flatMap((half) => [
    { name: `${half} inputs`, half, bytes: -4, options: () => ({ arrays: [] }) },
    {
      name: converted(half),
      half,
      isConverted: true,
      // 4 are read; 8 are written, whose lines are read first; 8 are read.
      bytes: 20,
      options: () => ({ arrays: [] }),
    },
  ]),
];

/** The name of the path that converts such inputs. */
export function converted(half: HalfType): string {
  return `${half} inputs, converted in JavaScript`;
}

/** All f16 as floats: the fastest conversion where JavaScript has no Float16Array. */
const float16s = new Float32Array(2 ** 16);
widen('float16', Uint16Array.from(float16s.keys()), 0, float16s.length, float16s);

/** Makes floats of what has 16 bits. */
function convert(half: HalfType, from: HalfArray, floats: Float32Array): void {
  if (!(from instanceof Uint16Array)) floats.set(from);
  else if (half === 'bfloat16') widen(half, from, 0, from.length, floats);
  else for (let i = 0; i < from.length; i++) floats[i] = float16s[from[i]!]!;
}

/** The bytes that a path moves, as a multiple of those of the plain one. */
export function shareOfBytes(path: string, operation: Operation): number {
  const { bytes } = EXTRAS.find(({ name }) => name === path)!;
  return 1 + bytes / BYTES[operation];
}

export const paths: readonly Contender[] = EXTRAS.map((extra) => {
  return {
    name: extra.name,
    operations: ['forward', 'fused'],
    prepare(task: Task) {
      check(extra, task);
      const { half, isConverted } = extra;
      const { arrays, ...own } = extra.options(task.n);
      const loss = new SmoothL1Loss(own);
      const call = (input: Float32Array | HalfArray, target: typeof input, grad: Float32Array) =>
        task.operation === 'forward'
          ? loss.forward(input, target)
          : loss.withGrad(input, target, grad);
      const windows = kernelWindows(task).map((w) => ({
        ...w,
        halves: half
          ? [w.input, w.target].map((array) => (half === 'bfloat16' ? bfloat16 : float16)(array))
          : [],
      }));
      const callOf = (w: (typeof windows)[number]) => {
        const [input, target] = w.halves;
        if (half === undefined || !input || !target) return call(w.input, w.target, w.grad);
        if (!isConverted) return call(input, target, w.grad);
        convert(half, input, w.input);
        convert(half, target, w.target);
        return call(w.input, w.target, w.grad);
      };
      const dispose = () => {
        freeWindows(windows);
        for (const array of [...arrays, ...windows.flatMap(({ halves }) => halves)]) free(array);
      };
      return { ...threaded(task, runOf(task, windows, callOf, dispose)), check: () => undefined };
    },
  };
});

/** The same over fewer elements, beside the oracle. */
function check({ name, half, isConverted, options }: Extra, { pool }: Task): void {
  const { arrays, ...own } = options(CHECKED);
  const floats = [pool.input, pool.target].map((array) => float32(array.subarray(0, CHECKED)));
  const halves = half
    ? floats.map(half === 'bfloat16' ? (x) => bfloat16(x) : (x) => float16(x))
    : [];
  // The floats that they stand for.
  for (const [i, array] of halves.entries()) convert(half!, array, floats[i]!);
  const [input, target] = half && !isConverted ? halves : floats;
  const grad = float32(CHECKED);
  const loss = new SmoothL1Loss(own).withGrad(input!, target!, grad);
  const right = oracle({
    ...(own as Partial<Job>),
    form: 'smoothL1',
    threshold: 1,
    input: floats[0]!,
    target: floats[1]!,
  });
  const isRight =
    Math.abs(loss - Number(right.loss)) < 1e-6 &&
    grad.every((g, i) => Math.abs(g - right.gradInput[i]!) * CHECKED < 1e-5);
  if (!isRight) throw new Error(`${name}: the loss is ${right.loss}, it found ${loss}`);
  for (const array of [...floats, ...halves, grad, ...arrays]) free(array);
}
