// The contenders that run in this very engine, and need no package but this one.

import { float32, free, SmoothL1Loss, setNumThreads } from 'smooth-l1';
import { type Contender, FAR, type Run, runOf, type Task, type Window } from './contender.ts';
import {
  branchFreeBackward,
  branchFreeForward,
  branchFreeFused,
  naiveBackward,
  naiveForward,
  naiveFused,
} from './loops.ts';
import { OURS } from './results.ts';

/** Windows of plain arrays, outside of the kernel's memory. */
export function plainWindows({ pool, n, windows }: Task): Window[] {
  const grad = new Float32Array(n * windows);
  return Array.from({ length: windows }, (_, w) => ({
    input: pool.input.subarray(w * n, (w + 1) * n),
    target: pool.target.subarray(w * n, (w + 1) * n),
    grad: grad.subarray(w * n, (w + 1) * n),
  }));
}

/** Windows of arrays in the kernel's memory. */
export function kernelWindows(task: Task): OwnWindow[] {
  return plainWindows(task).map(({ input, target }) => {
    const grad = float32(task.n);
    return { input: float32(input), target: float32(target), grad, options: { out: grad } };
  });
}

export function freeWindows(windows: readonly Window[]): void {
  for (const { input, target, grad } of windows) {
    for (const array of [input, target, grad]) free(array);
  }
}

/** The kernel runs with the task's threads. */
export function threaded(task: Task, run: Run): Run {
  return { ...run, begin: () => setNumThreads(task.threads) };
}

interface OwnWindow extends Window {
  readonly options: { readonly out: Float32Array };
}

/** A prepared loss object over these windows. */
function prepared(task: Task, windows: readonly OwnWindow[], dispose = () => {}): Run {
  const loss = new SmoothL1Loss({ beta: task.pool.beta });
  const calls = {
    forward: (w: OwnWindow) => loss.forward(w.input, w.target),
    backward: (w: OwnWindow) => loss.backward(1, w.input, w.target, w.options)[0]!,
    fused: (w: OwnWindow) => loss.withGrad(w.input, w.target, w.grad),
  };
  return threaded(task, runOf(task, windows, calls[task.operation], dispose));
}

export const object: Contender = {
  name: OURS,
  largest: FAR,
  prepare(task) {
    const windows = kernelWindows(task);
    return prepared(task, windows, () => freeWindows(windows));
  },
};

export const staged: Contender = {
  name: `${OURS}, staged`,
  prepare(task) {
    return prepared(
      task,
      plainWindows(task).map((w) => ({ ...w, options: { out: w.grad } })),
    );
  },
};

/** The definition, word for word. */
export const naive: Contender = {
  name: 'naive JavaScript',
  largest: FAR,
  prepare(task) {
    const { beta } = task.pool;
    const calls = {
      forward: (w: Window) => naiveForward(w.input, w.target, beta),
      backward: (w: Window) => naiveBackward(w.input, w.target, w.grad, beta),
      fused: (w: Window) => naiveFused(w.input, w.target, w.grad, beta),
    };
    return runOf(task, plainWindows(task), calls[task.operation]);
  },
};

export const branchFree: Contender = {
  name: 'branch-free JavaScript',
  largest: FAR,
  prepare(task) {
    const { beta } = task.pool;
    const calls = {
      forward: (w: Window) => branchFreeForward(w.input, w.target, beta),
      backward: (w: Window) => branchFreeBackward(w.input, w.target, w.grad, beta),
      fused: (w: Window) => branchFreeFused(w.input, w.target, w.grad, beta),
    };
    return runOf(task, plainWindows(task), calls[task.operation]);
  },
};
