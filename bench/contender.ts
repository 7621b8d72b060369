// What takes part in a bench.

import type { Pool } from './data.ts';

/** The mean loss; the gradient of the mean to the input; both. */
export type Operation = 'forward' | 'backward' | 'fused';
export const OPERATIONS: readonly Operation[] = ['forward', 'backward', 'fused'];

/**
 * The bytes of an element that an operation cannot do without: two floats are read; a gradient is
 * one float that is written, and out of the second-level cache its line is read first.
 */
export const BYTES: Readonly<Record<Operation, number>> = { forward: 8, backward: 16, fused: 16 };

export interface Task {
  readonly operation: Operation;
  readonly n: number;
  /** Pieces of `n` elements, one after the other in the pool, on which calls take turns. */
  readonly windows: number;
  readonly threads: number;
  readonly pool: Pool;
}

export interface Contender {
  readonly name: string;
  /** What it does; all three operations without it. */
  readonly operations?: readonly Operation[];
  /** The most elements that it is asked for; 2^24 without it. */
  readonly largest?: number;
  /** Gets ready for a task, or says why it cannot take part. */
  prepare(task: Task): Promise<Run | string> | Run | string;
  /** Ends what it started. */
  close?(): void;
}

export interface Run {
  /** Comes before each turn, off the clock. */
  begin?(): Promise<void>;
  /**
   * Does so many calls. Another process takes the time by itself and returns tinybench's
   * `overriddenDuration`, in milliseconds, so that the way there does not count.
   */
  calls(count: number): unknown;
  /** One call on the first window. `undefined`: this is no loss, only its memory traffic. */
  check(): Outcome | Promise<Outcome> | undefined;
  dispose(): void;
}

export interface Outcome {
  readonly loss?: number | undefined;
  readonly gradient?: ArrayLike<number> | undefined;
}

/** The arrays of one call. */
export interface Window {
  readonly input: Float32Array;
  readonly target: Float32Array;
  readonly grad: Float32Array;
}

/** Where a contender may go, as far as memory is concerned: beyond any cache. */
export const FAR = 2 ** 26;

/** The run of a function that returns a loss, if any, and leaves the gradient in its window. */
export function runOf<W extends Window>(
  { operation }: Task,
  windows: readonly W[],
  call: (window: W) => number,
  dispose = () => {},
): Run {
  return {
    calls: loopOf(call, windows),
    check: () => {
      const first = windows[0]!;
      first.grad.fill(NaN);
      const loss = call(first);
      return {
        loss: operation === 'backward' ? undefined : loss,
        gradient: operation === 'forward' ? undefined : first.grad,
      };
    },
    dispose,
  };
}

/**
 * A loop of its own for each contender. Engines collect what they know about a call by its place in
 * the source: with one loop for all, every contender would be called as one of many.
 */
export function loopOf<W>(call: (window: W) => unknown, windows: readonly W[]) {
  const make = new Function(
    'call',
    'windows',
    `let next = 0;
    let last;
    return (count) => {
      for (let i = 0; i < count; i++) {
        last = call(windows[next]);
        if (++next === windows.length) next = 0;
      }
      return last;
    };`,
  );
  return make(call, windows) as (count: number) => unknown;
}

/** A run of a call that needs no check. */
export function unchecked(call: () => unknown): Run {
  return { calls: loopOf(call, [undefined]), check: () => undefined, dispose: () => {} };
}
