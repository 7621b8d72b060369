// The paths beside the plain one: weights and masks. They move more bytes, and should cost as much
// more as that.

import { float32, free, SmoothL1Loss, type SmoothL1Options, uint8 } from 'smooth-l1';
import { type Job, oracle } from '../test/oracle.ts';
import {
  BYTES,
  type Contender,
  type Operation,
  runOf,
  type Task,
  type Window,
} from './contender.ts';
import { uniform } from './data.ts';
import { freeWindows, kernelWindows, threaded } from './javascript.ts';

const COLUMNS = 64;
const BOX = 4;
/** Elements on which a path is compared with the oracle, which is thorough and slow. */
const CHECKED = 4096;

/** What a path has beside input and target, as options for `n` elements. */
interface Extra {
  readonly name: string;
  /** Bytes an element that it reads beside those of the plain path. */
  readonly bytes: number;
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
];

/** The bytes that a path moves, as a multiple of those of the plain one. */
export function shareOfBytes(path: string, operation: Operation): number {
  const { bytes } = EXTRAS.find(({ name }) => name === path)!;
  return 1 + bytes / BYTES[operation];
}

export const paths: readonly Contender[] = EXTRAS.map(({ name, options }) => {
  return {
    name,
    operations: ['forward', 'fused'],
    prepare(task: Task) {
      check(name, task, options);
      const { arrays, ...own } = options(task.n);
      const loss = new SmoothL1Loss(own);
      const windows = kernelWindows(task);
      const call =
        task.operation === 'forward'
          ? (w: Window) => loss.forward(w.input, w.target)
          : (w: Window) => loss.withGrad(w.input, w.target, w.grad);
      const dispose = () => {
        freeWindows(windows);
        for (const array of arrays) free(array);
      };
      return { ...threaded(task, runOf(task, windows, call, dispose)), check: () => undefined };
    },
  };
});

/** The same options over fewer elements, beside the oracle. */
function check(name: string, { pool }: Task, options: Extra['options']): void {
  const { arrays, ...own } = options(CHECKED);
  const [input, target] = [pool.input, pool.target].map((array) =>
    float32(array.subarray(0, CHECKED)),
  );
  const grad = float32(CHECKED);
  const loss = new SmoothL1Loss(own).withGrad(input!, target!, grad);
  const right = oracle({
    ...(own as Partial<Job>),
    form: 'smoothL1',
    threshold: 1,
    input: input!,
    target: target!,
  });
  const isRight =
    Math.abs(loss - Number(right.loss)) < 1e-6 &&
    grad.every((g, i) => Math.abs(g - right.gradInput[i]!) * CHECKED < 1e-5);
  if (!isRight) throw new Error(`${name}: the loss is ${right.loss}, it found ${loss}`);
  for (const array of [input!, target!, grad, ...arrays]) free(array);
}
