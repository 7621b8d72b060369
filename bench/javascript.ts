// The contenders that run in this very engine, and need no package but this one.

import {
  float32,
  free,
  SmoothL1Loss,
  setNumThreads,
  smoothL1Loss,
  smoothL1LossBackward,
  smoothL1LossWithGrad,
} from 'smooth-l1';
import {
  type Contender,
  FAR,
  ONE_PASS,
  type Run,
  runOf,
  type Task,
  type Window,
} from './contender.ts';

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
export function kernelWindows(task: Task) {
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

/** The kernel runs with the task's threads; the change takes effect before the clock starts. */
export function threaded(task: Task, run: Run): Run {
  return {
    ...run,
    time: async (calls) => {
      await setNumThreads(task.threads);
      return run.time(calls);
    },
  };
}

export const object: Contender = {
  name: 'smooth-l1',
  costs: ONE_PASS,
  largest: FAR,
  prepare(task) {
    const loss = new SmoothL1Loss({ beta: task.pool.beta });
    const windows = kernelWindows(task);
    const calls = {
      forward: (w: (typeof windows)[0]) => loss.forward(w.input, w.target),
      backward: (w: (typeof windows)[0]) => loss.backward(1, w.input, w.target, w.options)[0]!,
      fused: (w: (typeof windows)[0]) => loss.withGrad(w.input, w.target, w.grad),
    };
    return threaded(
      task,
      runOf(task, windows, calls[task.operation], () => freeWindows(windows)),
    );
  },
};

export const plainFunction: Contender = {
  name: 'smooth-l1, plain function',
  costs: ONE_PASS,
  prepare(task) {
    if (task.n > 4096) return 'beyond 4,096 elements it is the prepared object';
    const windows = kernelWindows(task);
    const calls = {
      forward: (w: (typeof windows)[0]) => smoothL1Loss(w.input, w.target),
      backward: (w: (typeof windows)[0]) =>
        smoothL1LossBackward(1, w.input, w.target, w.options)[0]!,
      fused: (w: (typeof windows)[0]) => smoothL1LossWithGrad(w.input, w.target, w.grad),
    };
    return threaded(
      task,
      runOf(task, windows, calls[task.operation], () => freeWindows(windows)),
    );
  },
};

export const staged: Contender = {
  name: 'smooth-l1, staged',
  // Copied in, computed, copied out: the buffer between stays in the cache.
  costs: ONE_PASS,
  prepare(task) {
    const loss = new SmoothL1Loss({ beta: task.pool.beta });
    const windows = plainWindows(task).map((w) => ({ ...w, options: { out: w.grad } }));
    const calls = {
      forward: (w: (typeof windows)[0]) => loss.forward(w.input, w.target),
      backward: (w: (typeof windows)[0]) => loss.backward(1, w.input, w.target, w.options)[0]!,
      fused: (w: (typeof windows)[0]) => loss.withGrad(w.input, w.target, w.grad),
    };
    return threaded(task, runOf(task, windows, calls[task.operation]));
  },
};

/** The definition, word for word. */
export const naive: Contender = {
  name: 'naive JavaScript',
  costs: ONE_PASS,
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

function naiveForward(input: Float32Array, target: Float32Array, beta: number): number {
  let loss = 0;
  for (let i = 0; i < input.length; i++) {
    const d = input[i]! - target[i]!;
    const a = Math.abs(d);
    loss += a < beta ? (0.5 * d * d) / beta : a - 0.5 * beta;
  }
  return loss / input.length;
}

function naiveBackward(
  input: Float32Array,
  target: Float32Array,
  grad: Float32Array,
  beta: number,
): number {
  const scale = 1 / input.length;
  for (let i = 0; i < input.length; i++) {
    const d = input[i]! - target[i]!;
    if (Math.abs(d) < beta) grad[i] = (d / beta) * scale;
    else grad[i] = d < 0 ? -scale : scale;
  }
  return 0;
}

function naiveFused(
  input: Float32Array,
  target: Float32Array,
  grad: Float32Array,
  beta: number,
): number {
  const scale = 1 / input.length;
  let loss = 0;
  for (let i = 0; i < input.length; i++) {
    const d = input[i]! - target[i]!;
    const a = Math.abs(d);
    if (a < beta) {
      loss += (0.5 * d * d) / beta;
      grad[i] = (d / beta) * scale;
    } else {
      loss += a - 0.5 * beta;
      grad[i] = d < 0 ? -scale : scale;
    }
  }
  return loss * scale;
}

/** c is twice the residual clamped to +-beta: Math.abs is one instruction, Math.min several. */
export const branchFree: Contender = {
  name: 'branch-free JavaScript',
  costs: ONE_PASS,
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

export function branchFreeForward(input: Float32Array, target: Float32Array, beta: number): number {
  let loss = 0;
  for (let i = 0; i < input.length; i++) {
    const d = input[i]! - target[i]!;
    const c = Math.abs(d + beta) - Math.abs(d - beta);
    loss += c * (4 * d - c);
  }
  return loss / (8 * beta * input.length);
}

function branchFreeBackward(
  input: Float32Array,
  target: Float32Array,
  grad: Float32Array,
  beta: number,
): number {
  const slope = 0.5 / (beta * input.length);
  for (let i = 0; i < input.length; i++) {
    const d = input[i]! - target[i]!;
    grad[i] = (Math.abs(d + beta) - Math.abs(d - beta)) * slope;
  }
  return 0;
}

function branchFreeFused(
  input: Float32Array,
  target: Float32Array,
  grad: Float32Array,
  beta: number,
): number {
  const slope = 0.5 / (beta * input.length);
  let loss = 0;
  for (let i = 0; i < input.length; i++) {
    const d = input[i]! - target[i]!;
    const c = Math.abs(d + beta) - Math.abs(d - beta);
    loss += c * (4 * d - c);
    grad[i] = c * slope;
  }
  return loss / (8 * beta * input.length);
}
