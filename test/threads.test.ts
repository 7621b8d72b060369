// Threads: the results are those of one thread to the bit, whatever the workers do; and what
// `setNumThreads` does. The pools are real. Workers that go wrong are in threads/faulty.mjs.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import os from 'node:os';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { MAX_PIECES } from '../ts/control.ts';
import type { ThreadOptions, WorkerLike } from '../ts/index.ts';
import { bits, fresh, type Package } from './backends.ts';
import { type Call, rolesOf } from './calls.ts';
import { call, mix, tame } from './draws.ts';
import { isCollected } from './garbage.ts';
import { expectSame, outcome, type Where } from './outcomes.ts';
import { Program } from './program.ts';

vi.setConfig({ testTimeout: 120_000 });

const PIECE = 8192;
const THRESHOLD = 4 * PIECE;

const dist = (file: string): URL => new URL(`../dist/${file}`, import.meta.url);
const script = (file: string): URL => new URL(`./threads/${file}`, import.meta.url);
const sound = (): Worker => new Worker(dist('worker.js'));
/** A worker with a script of one line. */
const line = (code: string): Worker => new Worker(code, { eval: true });

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** Makes leaves of many sizes: their sum is rounded then, and in another order it has other bits. */
function spreadOut(values: Float32Array): void {
  for (let i = 0; i < values.length; i++)
    values[i] = (values[i] as number) * 2 ** ((Math.floor(i / 1024) * 7) % 61);
}

/** Uneven values between -2 and 2, spread out. */
function fillUnevenly(values: Float32Array): void {
  for (let i = 0; i < values.length; i++) values[i] = ((i * 7919) % 4001) / 1000 - 2;
  spreadOut(values);
}

// The pool wakes no more threads than there are cores. With 8 it wakes all, on any machine.
vi.spyOn(os, 'availableParallelism').mockReturnValue(8);

// A caller gives up on its workers by this clock. It advances with each look, too slowly for a caller
// to give up on a busy machine. Where a test wants the caller to give up, it makes the clock jump.
let time = 0;
const slowly = (): number => {
  time += 0.01;
  return time;
};
const clock = vi.spyOn(performance, 'now').mockImplementation(slowly);

afterEach(() => {
  clock.mockImplementation(slowly);
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

// ---- results ----------------------------------------------------------------------------------
describe('the results are those of one thread', () => {
  let alone: Package;
  const together: [number, Package][] = [];
  const cells = new Int32Array(new SharedArrayBuffer(8));
  const counted = (): Worker => new Worker(script('faulty.mjs'), { workerData: { cells } });

  beforeAll(async () => {
    alone = await fresh();
    for (const n of [2, 3, 4]) {
      const smooth = await fresh();
      await smooth.setNumThreads(n, { createWorker: counted });
      together.push([n, smooth]);
    }
  });

  function check(call: Call, given: Partial<Where> = {}, roles = rolesOf(call)): void {
    const where = { inKernel: true, shift: 1, ...given };
    for (const role of roles) {
      const expected = outcome(alone, role, call, where);
      for (const [n, smooth] of together)
        expectSame(outcome(smooth, role, call, where), expected, `${role}, ${n} threads: `);
    }
  }

  const LONGEST = 64 * PIECE;
  const words = Array.from({ length: 251 }, (_, i) => Math.imul(i + 1, 0x9e3779b1) >>> 0);
  const numbers = [0, 1, 2, 3, 4, 5, 6].map((role) => tame.numbers(mix(words, role, LONGEST), 4));
  spreadOut(numbers[0] as Float32Array);
  const some = (role: number, n: number): Float32Array =>
    (numbers[role] as Float32Array).subarray(0, n);
  const bytes = (role: number, n: number): Uint8Array =>
    Uint8Array.from(some(role, n), (x) => +(x < 2));

  const sample = (n: number, more: Partial<Call> = {}): Call => ({
    form: 'smoothL1',
    threshold: 0.7,
    input: some(0, n),
    target: some(1, n),
    gradGradInput: some(2, n),
    ...more,
  });

  test.each([-1, 0, 1, 1025, PIECE - 1, PIECE + 1, 2 * PIECE - 17])(
    'the threshold and %i elements more',
    (more) => {
      for (const reduction of ['none', 'sum', 'mean'] as const)
        check(sample(THRESHOLD + more, { reduction }));
    },
  );

  const n = 24 * PIECE; // divisible by 3
  const inRows = { rowLength: 3, reduction: 'rows' } as const;
  const features: [string, Partial<Call>][] = [
    ['Huber', { form: 'huber', threshold: 1.5 }],
    ['half the squared error', { form: 'huber', threshold: Infinity }],
    ['L1', { form: 'l1' }],
    ['a subnormal threshold', { threshold: 2 ** -140 }],
    ['a scale', { scale: -0.5, reduction: 'sum' }],
    ['numbers as weights', { insideWeights: 0.5, outsideWeights: -2 }],
    ['weights of the elements', { insideWeights: some(3, n), outsideWeights: some(4, n) }],
    [
      'weights of the rows',
      {
        rowLength: 3,
        insideWeights: { perRow: some(3, n / 3) },
        outsideWeights: { perRow: some(4, n / 3) },
      },
    ],
    [
      'weights of the columns',
      {
        rowLength: 3,
        insideWeights: { perColumn: some(3, 3) },
        outsideWeights: { perColumn: some(4, 3) },
      },
    ],
    ['a mask of the elements', { mask: bytes(5, n) }],
    ['a mask of the rows', { rowLength: 3, mask: bytes(5, n / 3) }],
    [
      'NaN as a target that does not count',
      { ignoreNaNTargets: true, target: some(1, n).map((x) => (x > 3 ? NaN : x)) },
    ],
    [
      'a value as a target that does not count',
      { ignoreValue: -9, target: some(1, n).map((x) => (x > 3 ? -9 : x)) },
    ],
    ['an upstream number', { gradOutput: -2 }],
    ['an upstream gradient of the elements', { gradOutput: some(6, n) }],
    ['an upstream gradient of the rows', { ...inRows, gradOutput: some(6, n / 3) }],
    ['all gradients', { allGradients: true, outsideWeights: some(4, n) }],
    ['gradients that are added', { accumulate: true, old: 0.75, allGradients: true }],
    ['thresholds of the columns', { rowLength: 3, threshold: Float32Array.of(0.5, 1, 2) }],
    ['rows of three', inRows],
    ['rows of a thousand and more', { rowLength: 1024 * 3, reduction: 'rows' }],
    ['rows of more than a piece', { rowLength: 2 * PIECE, reduction: 'rows' }],
    ['one row', { rowLength: n, reduction: 'rows' }],
    [
      'means of rows',
      {
        rowLength: 3,
        reduction: 'rowMeans',
        divisor: 'unmasked',
        mask: bytes(5, n),
        gradOutput: some(6, n / 3),
      },
    ],
    ...(['rows', 'weights', 'nonzeroWeights', 'unmasked', 7.5, 0] as const).map(
      (divisor): [string, Partial<Call>] => [
        `the divisor ${divisor}`,
        {
          divisor,
          rowLength: 3,
          mask: bytes(5, n),
          outsideWeights: some(4, n),
          allGradients: true,
        },
      ],
    ),
    [
      'a divisor that is 0',
      { divisor: 'unmasked', mask: new Uint8Array(n), onZeroDivisor: 'zero' },
    ],
  ];
  test.each(features)('%s', (_, more) => {
    check(sample(n, more));
  });

  test.each(['float16', 'bfloat16'] as const)('inputs of %s', (type) => {
    const { input, target } = sample(n);
    const found = (smooth: Package): string[] => {
      const [x, y, grad] = [smooth[type](input), smooth[type](target), smooth.float32(n)];
      const losses = [smooth.smoothL1Loss(x, y), smooth.smoothL1LossWithGrad(x, target, grad)];
      const all = [...losses, grad].map(bits);
      for (const array of [x, y, grad]) smooth.free(array);
      return all;
    };
    for (const [, smooth] of together) expect(found(smooth)).toEqual(found(alone));
  });

  test('all options together, any that go together', () => {
    const lengths = fc.constantFrom(THRESHOLD - 1, THRESHOLD, THRESHOLD + 12, 18 * PIECE, 200_000);
    const seed = Number(process.env.SEED ?? 1);
    const numRuns = 10 * Number(process.env.RUNS ?? 1);
    const property = fc.property(call(tame, lengths), (drawn) => check(drawn));
    fc.assert(property, { seed, numRuns, endOnFailure: true, includeErrorInReport: true });
  });

  const everything: Partial<Call> = {
    rowLength: 3,
    insideWeights: { perColumn: some(3, 3) },
    outsideWeights: some(4, n),
    mask: bytes(5, n),
    gradOutput: some(6, n),
    allGradients: true,
  };
  test('arrays elsewhere', () => check(sample(n, everything), { inKernel: false }));
  test('some arrays elsewhere', () =>
    check(sample(n, everything), { inKernel: (name) => name !== 'insideWeights' }));
  test.each(['input', 'target'])('the gradient over %s', (input) => {
    for (const role of ['backward', 'withGrad'] as const)
      check(sample(n), { shared: { gradInput: input } }, [role]);
    check(sample(n, { reduction: 'none' }), { shared: { out: input } }, ['forward']);
  });

  test('more pieces than fit in a turn', () => {
    // Two views on one array, to need half the memory.
    const whole = new Float32Array(8193 * PIECE + 18);
    for (let i = 0; i < whole.length; i += LONGEST)
      whole.set(some(0, Math.min(LONGEST, whole.length - i)), i);
    const losses = (smooth: Package, base: Float32Array): string[] =>
      [8192 * PIECE, 8192 * PIECE + 1, 8193 * PIECE + 17].map((n) =>
        bits(smooth.smoothL1Loss(base.subarray(1, n + 1), base.subarray(0, n))),
      );
    // What is copied through knows no turns.
    const right = losses(alone, whole);
    expect(new Set(right).size).toBe(3);
    for (const smooth of [alone, together[2]?.[1] as Package]) {
      const base = smooth.float32(whole);
      expect(losses(smooth, base)).toEqual(right);
      smooth.free(base);
    }
  });

  test('the workers have done their part', () => {
    expect(Atomics.load(cells, 0)).toBeGreaterThan(0);
  });
});

// ---- setNumThreads ----------------------------------------------------------------------------
const headers =
  /Cross-Origin-Opener-Policy: same-origin.*Cross-Origin-Embedder-Policy: require-corp/;

/** A package of its own, with a call to compute, the workers that were made, and what was warned of. */
async function laboratory(makers: (() => WorkerLike)[] = []) {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true });
  const smooth = await fresh({ memory });
  const n = 128 * PIECE + 5;
  const [input, target, gradInput] = [smooth.float32(n), smooth.float32(n), smooth.float32(n)];
  fillUnevenly(input);

  /** The bits of a loss and of its gradient. */
  const compute = (): string => {
    gradInput.fill(NaN);
    const loss = smooth.smoothL1LossWithGrad(input, target, gradInput);
    return `${bits(loss)} ${createHash('sha256').update(bytesOf(gradInput)).digest('hex')}`;
  };
  const right = compute();

  const workers: WorkerLike[] = [];
  const exits: Promise<unknown>[] = [];
  const warnings: string[] = [];
  const options = {
    createWorker(): WorkerLike {
      const worker = (makers.shift() ?? sound)();
      workers.push(worker);
      if (worker instanceof Worker) exits.push(new Promise((end) => worker.once('exit', end)));
      return worker;
    },
    onWarning(message: string): void {
      warnings.push(message);
    },
  };
  return {
    smooth,
    memory,
    input,
    target,
    gradInput,
    workers,
    exits,
    warnings,
    options,
    /** Fails unless the results are right. */
    check: () => expect(compute()).toBe(right),
    start: (threads: number, more: ThreadOptions = {}) =>
      smooth.setNumThreads(threads, { ...options, ...more }),
    /** When all that was asked for so far is done: a call that fails waits for its turn too. */
    settled: () => smooth.setNumThreads(NaN).catch(() => {}),
    /** Bytes of the kernel's memory that are in use. */
    used(): number {
      try {
        smooth.float32(2 ** 40);
      } catch (error) {
        const [left, size] = / (\d+) bytes left of (\d+)/.exec(String(error))?.slice(1) ?? [];
        return Number(size) - Number(left);
      }
      throw new Error('so much memory is not there');
    },
  };
}

describe('setNumThreads', () => {
  const cells = new Int32Array(new SharedArrayBuffer(8));
  const counting = (): Worker => new Worker(script('faulty.mjs'), { workerData: { cells } });
  const runs = (): number => Atomics.load(cells, 0);

  const wrong: [unknown, string][] = [
    [0, 'RangeError: setNumThreads: n must be an integer from 1 to 256, got 0'],
    [-1, 'RangeError: setNumThreads: n must be an integer from 1 to 256, got -1'],
    [NaN, 'RangeError: setNumThreads: n must be an integer from 1 to 256, got NaN'],
    [1.5, 'RangeError: setNumThreads: n must be an integer from 1 to 256, got 1.5'],
    [257, 'RangeError: setNumThreads: n must be an integer from 1 to 256, got 257'],
    [10_000, 'RangeError: setNumThreads: n must be an integer from 1 to 256, got 10000'],
    [Infinity, 'RangeError: setNumThreads: n must be an integer from 1 to 256, got Infinity'],
    ['2', 'TypeError: setNumThreads: n must be a number, got "2"'],
    [2n, 'TypeError: setNumThreads: n must be a number, got 2n'],
    [undefined, 'TypeError: setNumThreads: n must be a number, got undefined'],
  ];
  const wrongOptions: [unknown, string][] = [
    [null, 'TypeError: setNumThreads: options must be an object, got null'],
    [2, 'TypeError: setNumThreads: options must be an object, got 2'],
    [
      { threads: 2 },
      'TypeError: setNumThreads: there is no option "threads"; there are createWorker, onWarning',
    ],
    [{ createWorker: 2 }, 'TypeError: setNumThreads: createWorker must be a function, got 2'],
    [{ onWarning: 'log' }, 'TypeError: setNumThreads: onWarning must be a function, got "log"'],
  ];

  test('what is wrong is refused, and changes nothing', async () => {
    const { smooth, start, workers, check } = await laboratory();
    await start(2);
    for (const [n, message] of wrong)
      await expect(smooth.setNumThreads(n as number).catch(String)).resolves.toBe(message);
    for (const [options, message] of wrongOptions)
      await expect(smooth.setNumThreads(3, options as object).catch(String)).resolves.toBe(message);
    expect(smooth.getNumThreads()).toBe(2);
    expect(workers.length).toBe(1);
    check();
  });

  test('getNumThreads tells the truth at every step', async () => {
    const { smooth, start, check, workers } = await laboratory();
    expect(smooth.getNumThreads()).toBe(1);
    const more = start(3);
    expect(smooth.getNumThreads()).toBe(1);
    check();
    await more;
    expect(smooth.getNumThreads()).toBe(3);
    const fewer = start(2);
    expect(smooth.getNumThreads()).toBe(3);
    check();
    await fewer;
    expect(smooth.getNumThreads()).toBe(2);
    check();
    await smooth.setNumThreads(2);
    expect(workers.length).toBe(3); // the same again is nothing new
    await start(2);
    expect(workers.length).toBe(4); // unless there is a new way to make them
    check();
    const one = smooth.setNumThreads(1);
    expect(smooth.getNumThreads()).toBe(2);
    await one;
    expect(smooth.getNumThreads()).toBe(1);
    check();
  });

  test('256 may be asked for, and options that are undefined', async () => {
    const { smooth } = await laboratory();
    const none = (): WorkerLike => {
      throw new Error('there are none here');
    };
    const message = await smooth.setNumThreads(256, { createWorker: none }).catch(String);
    expect(message).toContain('there are none here');
    await smooth.setNumThreads(1, { createWorker: undefined, onWarning: undefined } as object);
  });

  test('one after the other, when asked for at once', async () => {
    const { smooth, start, check } = await laboratory();
    const seen: number[] = [];
    const see = (): unknown => seen.push(smooth.getNumThreads());
    await Promise.all([
      start(2).then(see),
      start(4).then(see),
      start(0).catch(see),
      start(3).then(see),
    ]);
    expect(seen).toEqual([2, 4, 4, 3]);
    check();
  });

  test('more than there are cores', async () => {
    const { smooth, start, check } = await laboratory();
    vi.mocked(os.availableParallelism).mockReturnValueOnce(2);
    await start(8);
    expect(smooth.getNumThreads()).toBe(8);
    for (let i = 0; i < 20; i++) check();
  });

  test('twenty times there and back takes no memory', async () => {
    const { smooth, memory, start, check, exits, used } = await laboratory();
    const before = used();
    const sizes = new Set<number>();
    for (let i = 0; i < 20; i++) {
      await start(3);
      check();
      await smooth.setNumThreads(1);
      await Promise.all(exits);
      expect(used()).toBe(before);
      sizes.add(memory.buffer.byteLength);
    }
    expect(sizes.size).toBe(1);
  });

  test('threads that have gone leave nothing behind', async () => {
    const { smooth } = await laboratory();
    const use = async (): Promise<WeakRef<object>> => {
      const worker = sound();
      const exit = once(worker, 'exit');
      await smooth.setNumThreads(2, { createWorker: () => worker });
      await smooth.setNumThreads(1);
      await exit;
      return new WeakRef(worker);
    };
    expect(await isCollected(await use())).toBe(true);
    expect(smooth.getNumThreads()).toBe(1);
  });

  test('the memory grows while workers sleep and while they work', async () => {
    const { smooth, memory, start, check } = await laboratory([counting]);
    await start(2);
    for (let i = 0; i < 3; i++) {
      const size = memory.buffer.byteLength;
      const [input, target] = [smooth.float32(size / 4).fill(1), smooth.float32(size / 4)];
      expect(memory.buffer.byteLength).toBeGreaterThan(size);
      const before = runs();
      while (runs() === before) expect(smooth.smoothL1Loss(input, target)).toBe(0.5);
      check();
    }
  });

  test.each([
    ['accumulates', { accumulate: true }],
    ['is written over', {}],
  ])('what %s stays on one thread', async (how, options) => {
    const { smooth, start, check } = await laboratory([counting]);
    await start(2);
    const before = runs();
    while (runs() === before) check();
    // As long, and as often, as a call that may be shared is.
    const n = 128 * PIECE;
    const [input, target] = [smooth.float32(n).fill(1), smooth.float32(n)];
    const gradInput = how === 'accumulates' ? smooth.float32(n) : input;
    const after = runs();
    for (let i = 1; i <= 20; i++) {
      smooth.smoothL1LossWithGrad(input, target, gradInput, { ...options, reduction: 'sum' });
      expect(gradInput.every((g) => g === (how === 'accumulates' ? i : 1))).toBe(true);
    }
    expect(runs()).toBe(after);
  });

  test.each(['wasm', 'js'] as const)('the backend "%s" has no threads', async (backend) => {
    const smooth = fresh({ backend });
    expect(await smooth.setNumThreads(2).catch(String)).toBe(
      `Error: setNumThreads: threads need the backend "wasm-shared", and the backend here is "${backend}" (chosen by load(), or by this entry of the package)`,
    );
    await smooth.setNumThreads(1);
    expect(smooth.getNumThreads()).toBe(1);
    expect(
      smooth.smoothL1Loss(new Float32Array(THRESHOLD).fill(1), new Float32Array(THRESHOLD)),
    ).toBe(0.5);
  });

  test('a host that has lost SharedArrayBuffer has no threads', async () => {
    const { start, workers } = await laboratory();
    vi.stubGlobal('SharedArrayBuffer', undefined);
    expect(await start(2).catch(String)).toBe(
      'Error: setNumThreads: this host shares no memory with workers',
    );
    expect(workers).toEqual([]);
  });

  test('a page that is not isolated has no threads', async () => {
    const { smooth, start, workers, check } = await laboratory();
    vi.stubGlobal('crossOriginIsolated', false);
    const message = await start(2).catch(String);
    expect(message).toMatch(headers);
    expect(message).toContain('not cross-origin isolated');
    expect(smooth.getNumThreads()).toBe(1);
    expect(workers).toEqual([]);
    check();
    vi.stubGlobal('crossOriginIsolated', true);
    await start(2);
    expect(smooth.getNumThreads()).toBe(2);
  });
});

// ---- workers that do not start ----------------------------------------------------------------
describe('a worker that does not start', () => {
  const bare = { postMessage() {}, terminate() {} };
  const cases: [string, () => WorkerLike, RegExp][] = [
    ['cannot be made', () => thrown('no more workers'), /^Error: no more workers$/],
    [
      'is nothing',
      () => undefined as never,
      /^TypeError: .* createWorker must return a worker, got undefined/,
    ],
    ['is no worker', () => ({}) as WorkerLike, /^TypeError: .* createWorker must return a worker/],
    [
      'cannot be ended',
      () => ({ postMessage() {} }) as unknown as WorkerLike,
      /^TypeError: .* createWorker must return a worker/,
    ],
    [
      'takes no message',
      () => ({ ...bare, postMessage: () => thrown('not that') }),
      /did not start \(not that\)/,
    ],
    ['has no script', () => new Worker(script('none.mjs')), /did not start \(Cannot find module/],
    [
      'has a script that throws',
      () => line('throw new Error("no kernel here")'),
      /did not start \(no kernel here\)/,
    ],
    [
      'has a script that throws nothing',
      () => line('throw undefined'),
      /did not start \(undefined\)/,
    ],
    ['ends', () => line(''), /did not start \(it ended\)/],
  ];

  describe.each([1, 2, 3])('at place %i of three', (place) => {
    test.each(cases)('%s', async (name, make, message) => {
      const { smooth, start, check, exits, used } = await laboratory(
        Array.from({ length: 3 }, (_, i) => (i + 1 === place ? make : sound)),
      );
      const before = used();
      expect(await start(4).catch(String)).toMatch(message);
      expect(smooth.getNumThreads()).toBe(1);
      check();
      await Promise.all(exits);
      // One that cannot tell that it has ended keeps its memory.
      if (name !== 'takes no message') expect(used()).toBe(before);
      await start(2);
      expect(smooth.getNumThreads()).toBe(2);
      check();
    });
  });
});

test('an async createWorker is an error, and the worker that it makes is ended', async () => {
  const { smooth, start } = await laboratory([]);
  const ended = new Promise<void>((resolve) => {
    const late = { postMessage() {}, terminate: () => resolve() };
    const createWorker = (async () => late) as unknown as () => WorkerLike;
    void start(2, { createWorker }).catch(() => {});
  });
  await ended;
  const fails = (async () => thrown('no worker')) as () => Promise<never>;
  expect(await start(2, { createWorker: fails as never }).catch(String)).toBe(
    'TypeError: setNumThreads: createWorker must return a worker, got a Promise',
  );
  expect(smooth.getNumThreads()).toBe(1);
});

function thrown(message: string): never {
  throw new Error(message);
}

describe('while workers start', () => {
  test('one that never answers is given up', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const silent = (): Worker =>
      line("require('node:worker_threads').parentPort.on('message', () => {})");
    const { smooth, start, check, exits, used } = await laboratory([sound, silent]);
    const before = used();
    const end = start(3).catch(String);
    // The first worker has ended before the second is given up, or after: it makes no difference.
    await vi.advanceTimersByTimeAsync(20_000);
    expect(await end).toBe('Error: setNumThreads: a worker has not started within 20 s');
    expect(smooth.getNumThreads()).toBe(1);
    await Promise.all(exits);
    expect(used()).toBe(before);
    expect(vi.getTimerCount()).toBe(0);
    check();
  });

  test('one that ends after it was ready is missed', async () => {
    const gate = new Int32Array(new SharedArrayBuffer(4));
    const ready = "const { parentPort, workerData } = require('node:worker_threads');";
    const short = (): Worker => {
      const worker = line(
        `${ready} parentPort.once('message', () => parentPort.postMessage('ready'))`,
      );
      worker.once('exit', () => {
        Atomics.store(gate, 0, 1);
        Atomics.notify(gate, 0);
      });
      return worker;
    };
    const late = (): Worker =>
      new Worker(`${ready} Atomics.wait(workerData, 0, 0); parentPort.postMessage('ready');`, {
        eval: true,
        workerData: gate,
      });
    const { smooth, start, exits, used } = await laboratory([short, late]);
    const before = used();
    expect(await start(3).catch(String)).toMatch(/did not start \(it ended\)/);
    expect(smooth.getNumThreads()).toBe(1);
    await Promise.all(exits);
    expect(used()).toBe(before);
  });

  test('the pool that was there goes on, and stays if they fail', async () => {
    const { smooth, start, check, warnings } = await laboratory([sound, () => line('')]);
    await start(2);
    const end = start(3).catch(String);
    check();
    expect(await end).toMatch(/did not start/);
    expect(smooth.getNumThreads()).toBe(2);
    check();
    expect(warnings).toEqual([]);
  });
});

// ---- workers that are lost --------------------------------------------------------------------
describe('a worker that is lost', () => {
  const inTheMiddle =
    'a thread was lost in the middle of a call; the calling thread has done its part';
  const ended = 'a thread was lost (it ended)';
  const GIVEN_UP = 'one thread does everything now';

  /** A worker that goes wrong, and what it shares with the test. */
  const faulty = (fault: 'throw' | 'end' | 'hold' | 'hold before', at: number) => {
    const cells = new Int32Array(new SharedArrayBuffer(8));
    const runs = (): number => Atomics.load(cells, 0);
    return {
      cells,
      make: (): Worker => new Worker(script('faulty.mjs'), { workerData: { fault, at, cells } }),
      runs,
      /** Computes until it has happened; from then on, the caller has no patience. */
      provoke(check: () => void): void {
        clock.mockImplementation(() => {
          if (runs() > at) time += 10_000;
          return slowly();
        });
        while (runs() <= at) check();
        clock.mockImplementation(slowly);
      },
      release(): void {
        Atomics.store(cells, 1, 1);
        Atomics.notify(cells, 1);
      },
    };
  };

  // After runs of the kernel, each of which is a piece.
  const faults = (['throw', 'end', 'hold'] as const).flatMap((fault) =>
    [0, 3, 7].map((at) => [fault, at] as const),
  );
  test.each(faults)('in the middle of a call: %s, after run %i', async (fault, at) => {
    const { make, runs, provoke } = faulty(fault, at);
    const { smooth, start, settled, check, warnings, workers, exits, used } = await laboratory([
      sound,
      make,
    ]);
    await start(3);
    const before = used();
    provoke(check);
    // The call that had the fault was right, and is over.
    expect(smooth.getNumThreads()).toBe(1);
    check();
    await settled();
    expect(warnings).toEqual([inTheMiddle]);
    expect(smooth.getNumThreads()).toBe(3);
    expect(workers.length).toBe(4);
    for (let i = 0; i < 5; i++) check();
    await Promise.all(exits.slice(0, 2));
    expect(used()).toBe(before);
    expect(runs()).toBe(at + 1);
  });

  test('in the first of two turns: the calling thread does the second one, in the same order', async () => {
    const { make, runs } = faulty('throw', 0);
    const { smooth, start } = await laboratory([make]);
    const base = smooth.float32((MAX_PIECES + 2) * PIECE + 18);
    fillUnevenly(base.subarray(0, 9 * PIECE));
    // Two views on one array, to need half the memory.
    const compute = (): string => bits(smooth.l1Loss(base.subarray(1), base.subarray(0, -1)));
    for (let i = 9 * PIECE; i < base.length; i += 9 * PIECE)
      base.copyWithin(i, 0, Math.min(9 * PIECE, base.length - i));
    const right = compute();
    await start(2);
    expect(compute()).toBe(right);
    expect(runs()).toBe(1);
    expect(smooth.getNumThreads()).toBe(1);
    smooth.free(base);
  });

  test('one that throws does not exhaust the patience of the caller', async () => {
    const { make, runs } = faulty('throw', 0);
    const { smooth, start, check } = await laboratory([make, sound, sound]);
    await start(4);
    const before = clock();
    while (runs() === 0) check();
    expect(clock() - before).toBeLessThan(1000);
    expect(smooth.getNumThreads()).toBe(1);
  });

  /** As in a browser at first: nothing ends it. */
  const lasting = (worker: Worker): WorkerLike => ({
    postMessage: worker.postMessage.bind(worker),
    on: worker.on.bind(worker) as Worker['on'],
    unref: worker.unref.bind(worker),
    terminate() {},
  });

  test.each([false, true])(
    'one that stands still within a piece writes nothing after the call; terminate() ends it: %s',
    async (ends) => {
      const { make, runs, release } = faulty('hold before', 2);
      const worker = make();
      const exit = once(worker, 'exit');
      const { start, settled, check, warnings, gradInput } = await laboratory([
        () => (ends ? worker : lasting(worker)),
      ]);
      await start(2);
      // It goes on after five seconds, which is later than the caller gives it up.
      let looks = 0;
      clock.mockImplementation(() => {
        if (runs() > 2 && looks < 10) {
          time += 500;
          if (++looks === 10) release();
        }
        return slowly();
      });
      while (runs() <= 2) check();
      gradInput.fill(7);
      expect(looks).toBe(10);
      await exit;
      expect(gradInput.every((g) => g === 7)).toBe(true);
      expect(runs()).toBe(3);
      await settled();
      expect(warnings).toEqual([inTheMiddle]);
      check();
    },
  );

  test('one that goes on when the call is over touches nothing', async () => {
    const { make, runs, release, provoke } = faulty('hold', 2);
    const worker = make();
    const { smooth, start, settled, check, warnings, gradInput, used } = await laboratory([
      () => lasting(worker),
    ]);
    await start(2);
    const before = used();
    provoke(check);
    await settled();
    expect(smooth.getNumThreads()).toBe(2);
    // The memory of the old pool is kept, beside that of the new one.
    expect(used()).toBeGreaterThan(before);
    gradInput.fill(7);
    const exit = once(worker, 'exit');
    release();
    await exit;
    expect(gradInput.every((g) => g === 7)).toBe(true);
    expect(runs()).toBe(3);
    expect(used()).toBe(before);
    check();
    expect(warnings).toEqual([inTheMiddle]);
  });

  test('what the call took for itself is given back when the threads are gone', async () => {
    const { make, provoke } = faulty('hold', 0);
    const { smooth, start, settled, input, target, exits, used } = await laboratory([make]);
    const pair = [input, target].map((x) => x.subarray(0, 128 * PIECE)) as [
      Float32Array,
      Float32Array,
    ];
    const beta = smooth.float32(4).fill(1);
    const byColumn = (): number => smooth.smoothL1Loss(...pair, { beta, rowLength: 4 });
    const right = byColumn();
    await start(2);
    const before = used();
    provoke(() => expect(byColumn()).toBe(right));
    // The thread may still read it.
    expect(used()).toBeGreaterThan(before);
    await settled();
    await exits[0];
    expect(used()).toBe(before);
  });

  test('one that only stands still for a while is waited for', async () => {
    const { make, runs, cells } = faulty('hold', 0);
    const { smooth, start, check, warnings } = await laboratory([make, sound]);
    await start(3);
    // The caller is in its call then: somebody else lets the worker go on.
    const code = `const { workerData: cells } = require('node:worker_threads');
      while (Atomics.load(cells, 0) === 0) Atomics.wait(cells, 1, 0, 1);
      Atomics.store(cells, 1, 1);
      Atomics.notify(cells, 1);`;
    const other = new Worker(code, { eval: true, workerData: cells });
    await once(other, 'online');
    while (runs() === 0) check();
    expect(smooth.getNumThreads()).toBe(3);
    expect(warnings).toEqual([]);
    // It takes part again: what it was held up with may have been the last of that call.
    while (runs() === 1) check();
    check();
  });

  test('one that tells its end at once is not missed when it is not needed any more', async () => {
    const prompt = (): WorkerLike => {
      const worker = sound();
      const listeners: ((code: unknown) => void)[] = [];
      return {
        postMessage: worker.postMessage.bind(worker),
        on(event, listener) {
          if (event === 'exit') listeners.push(listener);
          else worker.on(event, listener);
        },
        terminate() {
          for (const tell of listeners) tell(0);
          return worker.terminate();
        },
      };
    };
    const { smooth, start, settled, warnings } = await laboratory([prompt, prompt, prompt]);
    await start(3);
    await start(2);
    await smooth.setNumThreads(1);
    await settled();
    expect(smooth.getNumThreads()).toBe(1);
    expect(warnings).toEqual([]);
  });

  test('between two calls', async () => {
    const { smooth, start, settled, check, warnings, workers, exits, used } = await laboratory();
    await start(3);
    const before = used();
    await workers[1]?.terminate();
    expect(smooth.getNumThreads()).toBe(1);
    check();
    await settled();
    expect(smooth.getNumThreads()).toBe(3);
    expect(warnings).toEqual([ended]);
    check();
    await Promise.all(exits.slice(0, 2));
    expect(used()).toBe(before);
  });

  test('and nobody has heard of it yet', async () => {
    const { smooth, start, settled, check, warnings, workers } = await laboratory();
    await start(4);
    const old = workers.map((worker) => worker.terminate());
    // They may still take pieces, and end with them.
    clock.mockImplementation(() => {
      time += 10_000;
      return time;
    });
    for (let i = 0; i < 3; i++) check();
    clock.mockImplementation(slowly);
    await Promise.all(old);
    await settled();
    expect(smooth.getNumThreads()).toBe(4);
    expect([[ended], [inTheMiddle]]).toContainEqual(warnings);
    check();
  });

  test('is replaced three times, then one thread does everything', async () => {
    const { smooth, start, settled, check, warnings, workers } = await laboratory();
    await start(2);
    for (let lost = 1; lost <= 4; lost++) {
      expect(smooth.getNumThreads()).toBe(2);
      await workers.at(-1)?.terminate();
      await settled();
      check();
    }
    expect(smooth.getNumThreads()).toBe(1);
    expect(workers.length).toBe(4);
    expect(warnings).toEqual([
      ended,
      ended,
      ended,
      ended,
      `threads were lost 4 times; ${GIVEN_UP}`,
    ]);
    // Asked for anew, threads are there anew.
    await start(2);
    await workers.at(-1)?.terminate();
    await settled();
    expect(smooth.getNumThreads()).toBe(2);
  });

  test('cannot be replaced', async () => {
    const { smooth, start, settled, check, warnings, workers } = await laboratory([
      sound,
      () => thrown('no more workers'),
    ]);
    await start(2);
    await workers[0]?.terminate();
    await settled();
    expect(smooth.getNumThreads()).toBe(1);
    expect(warnings).toEqual([ended, `no more workers; ${GIVEN_UP}`]);
    check();
  });

  test.each([1, 3])('is not replaced when %i threads were asked for meanwhile', async (n) => {
    for (const isAskedBefore of [true, false]) {
      const { make, provoke } = faulty('end', 0);
      const { smooth, start, settled, check, warnings, workers } = await laboratory([make]);
      await start(2);
      // A call needs no turn of the event loop: it loses a worker after that was asked, or before.
      const asked = isAskedBefore ? start(n) : undefined;
      provoke(check);
      await (asked ?? start(n));
      await settled();
      expect(smooth.getNumThreads()).toBe(n);
      expect(workers.length).toBe(isAskedBefore ? n : 1 + 1 + (n - 1));
      expect(warnings).toEqual([inTheMiddle]);
      check();
    }
  });

  test('a warning may call anything', async () => {
    const { smooth, start, settled, check, workers } = await laboratory();
    let isDone: Promise<void> | undefined;
    const onWarning = (): void => {
      check();
      isDone = smooth.setNumThreads(1);
    };
    await start(2, { onWarning });
    await workers[0]?.terminate();
    await settled();
    await isDone;
    expect(smooth.getNumThreads()).toBe(1);
    check();
  });

  test('nothing is said where nobody listens', async () => {
    const log = vi.spyOn(console, 'error');
    const { smooth, options, settled, check, workers } = await laboratory();
    await smooth.setNumThreads(2, { createWorker: options.createWorker });
    await workers[0]?.terminate();
    await settled();
    expect(smooth.getNumThreads()).toBe(2);
    expect(log).not.toHaveBeenCalled();
    check();
  });
});

// ---- unload -----------------------------------------------------------------------------------
describe('unload', () => {
  test('resolves when the threads have ended, those of pools before too; again for who asks again', async () => {
    const { smooth, start, workers, warnings, input, target } = await laboratory();
    const hasEnded = () => workers.map((worker) => (worker as Worker).threadId === -1);
    await start(3);
    const loss = smooth.l1Loss(input, target);
    await start(2);
    const first = smooth.unload();
    expect(smooth.getNumThreads()).toBe(1);
    const values = [Float32Array.from(input), Float32Array.from(target)] as const;
    // A new memory, while the threads of the old one end.
    expect(smooth.l1Loss(...values)).toBe(loss);
    await smooth.unload();
    expect(hasEnded()).toEqual([true, true, true]);
    await first;
    expect(smooth.l1Loss(...values)).toBe(loss);
    await start(2);
    expect(smooth.getNumThreads()).toBe(2);
    expect(smooth.l1Loss(...values)).toBe(loss);
    await smooth.unload();
    expect(hasEnded()).toEqual([true, true, true, true]);
    expect(warnings).toEqual([]);
  });

  test('ends threads that are still starting, and leaves those of the next kernel alone', async () => {
    const { smooth, start, workers } = await laboratory();
    const starting = start(2);
    const ended = smooth.unload();
    const next = start(3);
    await Promise.all([starting, ended, next]);
    expect(workers.map((worker) => (worker as Worker).threadId === -1).sort()).toEqual([
      false,
      false,
      true,
    ]);
    expect(smooth.getNumThreads()).toBe(3);
    await smooth.unload();
  });
});

// ---- browsers ---------------------------------------------------------------------------------
describe('a worker as browsers have it, which does not tell its end', () => {
  const ends: Promise<unknown>[] = [];
  const terminated: Worker[] = [];

  /** It has `onmessage` and `onerror` instead of `on`. */
  const inBrowser = (worker: Worker): WorkerLike => {
    const like: WorkerLike & {
      onmessage?: (event: { data: unknown }) => void;
      onerror?: (event: { message: string }) => void;
    } = {
      postMessage: worker.postMessage.bind(worker),
      terminate() {
        terminated.push(worker);
        return worker.terminate();
      },
    };
    const gone = new Promise((end) => {
      worker.on('message', (data) => {
        like.onmessage?.({ data });
        if (data === 'gone') end(data);
      });
    });
    worker.on('error', ({ message }) => like.onerror?.({ message }));
    ends.push(gone);
    return like;
  };

  test('says that it has stopped, and is ended a little later', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const workers = [sound(), sound()];
    const exits = workers.map((worker) => once(worker, 'exit'));
    const { smooth, start, check, used, warnings } = await laboratory(
      workers.map((worker) => () => inBrowser(worker)),
    );
    const before = used();
    await start(3);
    for (let i = 0; i < 5; i++) check();
    await smooth.setNumThreads(1);
    await Promise.all(ends.slice(-2));
    expect(used()).toBe(before);
    expect(terminated).toEqual([]);
    await vi.advanceTimersByTimeAsync(1000);
    expect(terminated).toEqual(workers);
    await Promise.all(exits);
    expect(warnings).toEqual([]);
    check();
  });

  test('is ended by unload as soon as it says that it has stopped', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const workers = [sound(), sound()];
    const { smooth, start } = await laboratory(workers.map((worker) => () => inBrowser(worker)));
    await start(3);
    await smooth.unload();
    expect(terminated.slice(-2)).toEqual(workers);
    expect(workers.map(({ threadId }) => threadId)).toEqual([-1, -1]);
  });

  test('is ended by unload after a second if it hangs', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const worker = line(
      `const { parentPort } = require('node:worker_threads');
       parentPort.once('message', () => parentPort.postMessage('ready'));
       setInterval(() => {}, 1e6);`,
    );
    const { smooth, start } = await laboratory([() => inBrowser(worker)]);
    await start(2);
    const exit = once(worker, 'exit');
    const ended = smooth.unload();
    // It is not ended at once: it could be about to write.
    await vi.advanceTimersByTimeAsync(999);
    expect(terminated).not.toContain(worker);
    await vi.advanceTimersByTimeAsync(1);
    await Promise.all([ended, exit]);
    expect(terminated.at(-1)).toBe(worker);
  });

  test('does not start', async () => {
    const { smooth, start, check } = await laboratory([
      () => inBrowser(sound()),
      () => inBrowser(line('throw new Error("no kernel here")')),
    ]);
    expect(await start(3).catch(String)).toMatch(/did not start \(no kernel here\)/);
    expect(smooth.getNumThreads()).toBe(1);
    check();
  });

  test('is lost in the middle of a call', async () => {
    const cells = new Int32Array(new SharedArrayBuffer(8));
    const workerData = { fault: 'throw', at: 3, cells };
    const { smooth, start, settled, check, warnings } = await laboratory([
      () => inBrowser(new Worker(script('faulty.mjs'), { workerData })),
      () => inBrowser(sound()),
    ]);
    await start(3);
    while (Atomics.load(cells, 0) <= 3) check();
    await settled();
    expect(warnings.length).toBe(1);
    expect(smooth.getNumThreads()).toBe(3);
    check();
  });
});

// ---- how a page makes its workers -----------------------------------------------------------------
describe('a page', () => {
  type Loads = (address: string) => WorkerLike | undefined;

  /** Makes this process a page, whose `Worker` is what `load` gives for an address, or fails to load. */
  function page(load: Loads): string[] {
    const addresses: string[] = [];
    Object.defineProperty(process, 'type', { value: 'renderer', configurable: true });
    vi.stubGlobal('Blob', function Blob([text]: [string]) {
      return { text };
    });
    vi.spyOn(URL, 'createObjectURL').mockImplementation(
      (blob) => `blob:${(blob as unknown as { text: string }).text}`,
    );
    vi.stubGlobal('Worker', function PageWorker(address: URL | string) {
      const text = String(address);
      addresses.push(text.startsWith('blob:') ? 'blob' : (text.split('/').pop() as string));
      const like = load(text) ?? { postMessage() {}, terminate() {} };
      if (!('postMessage' in like && 'unref' in like))
        queueMicrotask(() => (like as { onerror?: (event: object) => void }).onerror?.({}));
      return like;
    });
    return addresses;
  }

  /** It has `onmessage` instead of `on`. */
  const inPage = (worker: Worker): WorkerLike => {
    const like = {
      postMessage: worker.postMessage.bind(worker),
      terminate: () => worker.terminate(),
      unref: () => worker.unref(),
      onmessage: (_: { data: unknown }) => {},
    };
    worker.on('message', (data) => like.onmessage({ data }));
    return like;
  };
  const fromText: Loads = (address) =>
    address.startsWith('blob:') ? inPage(line(address.slice(5))) : undefined;

  afterEach(() => {
    Reflect.deleteProperty(process, 'type');
    vi.mocked(URL.createObjectURL).mockRestore();
  });

  test.each<[string, Loads, string[]]>([
    ['takes the file', () => inPage(sound()), ['worker.js', 'worker.js']],
    [
      'takes the text where the file is not there',
      fromText,
      ['worker.js', 'worker.js', 'blob', 'blob'],
    ],
    [
      'takes the text where the file is of another origin',
      (address) => fromText(address) ?? thrown('another origin'),
      ['worker.js', 'blob', 'blob'],
    ],
  ])('%s', async (_, load, expected) => {
    const { smooth, check, used } = await laboratory();
    const before = used();
    const addresses = page(load);
    await smooth.setNumThreads(3);
    expect(addresses).toEqual(expected);
    expect(smooth.getNumThreads()).toBe(3);
    check();
    await smooth.setNumThreads(1);
    while (used() !== before) await new Promise((next) => setTimeout(next, 5));
  });

  test('where neither is there, the error says what helps', async () => {
    const { smooth, check, used } = await laboratory();
    const before = used();
    page(() => undefined);
    const reason =
      'a worker did not start (its script could not be loaded; where the page has the header "Cross-Origin-Embedder-Policy", the script needs it too)';
    expect(await smooth.setNumThreads(2).catch(String)).toBe(
      `Error: setNumThreads: this host starts no worker by itself (${reason}; ${reason}); give createWorker, which makes one that runs smooth-l1/worker`,
    );
    expect(used()).toBe(before);
    check();
  });

  test('a full memory is no fault of its workers', async () => {
    const smooth = fresh({ backend: 'wasm-shared', capacity: 2 ** 20 });
    const addresses = page(fromText);
    expect(await smooth.setNumThreads(256).catch(String)).toMatch(/^RangeError: setNumThreads: /);
    expect(addresses.filter((address) => address === 'blob')).toEqual([]);
  });
});

// ---- attached memories ------------------------------------------------------------------------
describe('an attached memory', () => {
  const attached: (() => void)[] = [];
  afterEach(() => {
    for (const detach of attached.splice(0)) detach();
  });
  const n = 128 * PIECE + 5;

  /** A package whose workers count, and a program's memory with a call to compute there. */
  async function guest({
    shared = true,
    fault = '',
    at = -1,
    first = [] as (() => WorkerLike)[],
  } = {}) {
    const cells = new Int32Array(new SharedArrayBuffer(8));
    const make = (): Worker =>
      new Worker(script('faulty.mjs'), { workerData: { fault, at, cells } });
    const lab = await laboratory([...first, make, make, make]);
    const program = new Program(1, { shared });
    const { allocate, release, memory } = program;
    const attach = (more: object = {}): (() => void) => {
      const detach = lab.smooth.attach(memory, { allocate, release, ...more });
      attached.push(detach);
      return detach;
    };
    const places = [0, 1, 2].map(() => allocate(4 * n));
    const arrays = () =>
      places.map((at) => new Float32Array(memory.buffer, at, n)) as [
        Float32Array,
        Float32Array,
        Float32Array,
      ];
    fillUnevenly(arrays()[0]);
    /** Fails unless the results are right, and nothing was copied if the memory is attached. */
    const check = (isAttached = true): void => {
      const [input, target, gradInput] = arrays();
      gradInput.fill(NaN);
      const before = lab.smooth.copiedBytes();
      expect(bits(lab.smooth.smoothL1LossWithGrad(input, target, gradInput))).toBe(loss);
      expect(Buffer.compare(bytesOf(gradInput), bytesOf(gradient))).toBe(0);
      expect(lab.smooth.copiedBytes() - before).toBe(isAttached ? 0 : 12 * n);
    };
    const gradient = new Float32Array(n);
    const loss = bits(lab.smooth.smoothL1LossWithGrad(lab.input, lab.target, gradient));
    const runs = (): number => Atomics.load(cells, 0);
    return {
      ...lab,
      program,
      attach,
      arrays,
      cells,
      runs,
      checkHere: check,
      /** Computes there until a worker takes part. */
      share(): void {
        for (const before = runs(); runs() === before; ) check();
      },
      /** Computes there until the fault has happened; from then on, the caller has no patience. */
      provoke(): void {
        clock.mockImplementation(() => {
          if (runs() > at) time += 10_000;
          return slowly();
        });
        while (runs() <= at) check();
        clock.mockImplementation(slowly);
      },
    };
  }

  test.each([2, 3, 4])(
    'is shared by %i threads, with the bits of one, every option',
    async (threads) => {
      const { smooth, start, attach, program, share, check, runs } = await guest();
      attach();
      await start(threads);
      share();
      const m = 24 * PIECE;
      const values = (step: number): Float32Array => {
        const array = new Float32Array(m);
        fillUnevenly(array);
        return array.map((x) => x * step);
      };
      const own = [values(1), values(0.7), values(0), values(3).map(Math.abs)] as const;
      const there = own.map((array) => program.floats(array)) as unknown as typeof own;
      const beta = [Float32Array.of(0.5, 1, 2), program.floats([0.5, 1, 2])] as const;
      const results = ([x, t, g, w]: typeof own, delta: Float32Array): string[] => [
        bits(smooth.smoothL1LossWithGrad(x, t, g, { sum: 'exact', insideWeights: w })),
        createHash('sha256').update(bytesOf(g)).digest('hex'),
        bits(smooth.smoothL1Loss(x, t, { reduction: 'sum', beta: delta, rowLength: 3 })),
        bits(smooth.huberLoss(x, t, { divisor: 'nonzeroWeights', outsideWeights: w })),
        bits(smooth.l1Loss(x, t, { reduction: 'rows', rowLength: m / 3, out: g.subarray(0, 3) })),
        bits(g.subarray(0, 3)),
      ];
      const expected = results(own, beta[0]);
      const before = [runs(), smooth.copiedBytes()];
      while (runs() === before[0]) expect(results(there, beta[1])).toEqual(expected);
      expect(smooth.copiedBytes()).toBe(before[1]);
      check();
      // Over an input, and added: on one thread.
      const [x, t, g] = there;
      const after = runs();
      g.fill(1);
      smooth.l1LossBackward(1, x, t, { out: g, accumulate: true, reduction: 'sum' });
      expect(
        g.every((value, i) => value === 1 + Math.sign((x[i] as number) - (t[i] as number))),
      ).toBe(true);
      smooth.l1LossBackward(1, x, t, { out: x, reduction: 'sum' });
      expect(x.every((value, i) => value === (g[i] as number) - 1)).toBe(true);
      expect(runs()).toBe(after);
    },
  );

  test('that comes when there are threads, that grows, and that is one of two', async () => {
    const { smooth, start, attach, program, share, checkHere, check, runs, warnings } =
      await guest();
    await start(3);
    attach();
    // No worker has heard of it.
    const before = runs();
    checkHere();
    expect(runs()).toBe(before);
    await smooth.setNumThreads(3);
    share();
    check();
    const other = new Program(1, { shared: true });
    attached.push(smooth.attach(other.memory, { allocate: other.allocate }));
    share();
    await smooth.setNumThreads(3);
    for (let i = 0; i < 3; i++) {
      for (const { memory, end } of [program, other]) {
        memory.grow(100);
        const ones = new Float32Array(memory.buffer, Math.ceil(end / 4) * 4, 4 * THRESHOLD).fill(1);
        const zeros = new Float32Array(
          memory.buffer,
          memory.buffer.byteLength - 16 * THRESHOLD,
        ).fill(0);
        for (const before = runs(); runs() === before; )
          expect(smooth.l1Loss(ones, zeros, { copy: 'throw' })).toBe(1);
      }
      share();
      check();
    }
    expect(warnings).toEqual([]);
  });

  test('that comes, and goes, when the threads have gone', async () => {
    const { smooth, start, attach, checkHere, program } = await guest();
    await start(2);
    await smooth.setNumThreads(1);
    const before = program.taken.length;
    const detach = attach();
    checkHere();
    detach();
    expect(program.released.length).toBe(program.taken.length - before);
  });

  test('that comes, and one that goes, while threads start', async () => {
    const { smooth, start, attach, share, check } = await guest();
    const other = new Program(1, { shared: true });
    const { allocate, release } = other;
    const detach = smooth.attach(other.memory, { allocate, release });
    const started = start(2);
    // Now the workers are on their way.
    await new Promise(setImmediate);
    expect(smooth.getNumThreads()).toBe(1);
    attach();
    detach();
    await started;
    await smooth.setNumThreads(2);
    share();
    check();
    expect(other.released.length).toBe(other.taken.length);
  });

  test('of which a worker never heard, since it ended: who waits for that gets another worker', async () => {
    const code = `const { parentPort } = require('node:worker_threads');
      parentPort.once('message', () => {
        parentPort.postMessage('ready');
        parentPort.once('message', () => process.exit());
      });`;
    const { smooth, start, attach, share, warnings } = await guest({ first: [() => line(code)] });
    await start(2);
    attach();
    await smooth.setNumThreads(2);
    expect(smooth.getNumThreads()).toBe(2);
    share();
    expect(warnings).toEqual(['a thread was lost (it ended)']);
  });

  /** A worker that is sound until it has had its first message. */
  const takesOne = (): WorkerLike => {
    const worker = sound();
    let taken = 0;
    return {
      postMessage(message) {
        if (taken++ > 0) throw new Error('it takes no more');
        worker.postMessage(message);
      },
      on: worker.on.bind(worker) as Worker['on'],
      unref: worker.unref.bind(worker),
      terminate: () => worker.terminate(),
    };
  };

  test('of which no worker can be told: the threads are lost, and come again', async () => {
    const { smooth, start, settled, attach, checkHere, share, warnings } = await guest({
      first: [takesOne],
    });
    await start(2);
    attach();
    expect(smooth.getNumThreads()).toBe(1);
    checkHere();
    await settled();
    expect(smooth.getNumThreads()).toBe(2);
    share();
    expect(warnings).toEqual(['a thread was lost (it takes no more)']);
  });

  test('of which no worker can be told while threads start: none start, and nothing is kept', async () => {
    const { smooth, start, attach, share, checkHere, workers, program, used } = await guest({
      first: [takesOne],
    });
    const before = used();
    const started = start(2).catch(String);
    await new Promise(setImmediate);
    attach();
    expect(await started).toBe('Error: setNumThreads: a worker did not start (it takes no more)');
    expect(smooth.getNumThreads()).toBe(1);
    checkHere();
    await workers[0]?.terminate();
    await new Promise(setImmediate);
    expect(used()).toBe(before);
    // What they took of it is there for others.
    const { length } = program.taken;
    await start(2);
    share();
    expect(program.taken.length).toBe(length);
  });

  test.each([
    ['answers, is not missed', true],
    ['does not answer within 20 s, is lost', false],
  ])('of which a worker that has heard, and %s', async (_, answers) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const deaf = `const { parentPort } = require('node:worker_threads');
      parentPort.once('message', () => parentPort.postMessage('ready'));
      parentPort.on('message', () => {});`;
    const { smooth, start, attach, checkHere, share, settled, warnings } = await guest({
      first: answers ? [] : [() => line(deaf)],
    });
    await start(2);
    attach();
    if (answers) await smooth.setNumThreads(2);
    vi.advanceTimersByTime(19_999);
    expect(smooth.getNumThreads()).toBe(2);
    vi.advanceTimersByTime(1);
    expect(smooth.getNumThreads()).toBe(answers ? 2 : 1);
    checkHere();
    await settled();
    share();
    const lost = ['a thread was lost (it has not answered within 20 s)'];
    expect(warnings).toEqual(answers ? [] : lost);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('whose allocator attaches another memory takes its place there once', async () => {
    const { smooth, start, attach, program, share, check } = await guest();
    const other = new Program(1, { shared: true });
    const attachOther = (): unknown =>
      attached.push(smooth.attach(other.memory, { allocate: other.allocate }));
    await start(2);
    let asked = 0;
    attach({
      allocate(bytes: number) {
        // First for the kernel there, then for its threads.
        if (++asked === 2) attachOther();
        return program.allocate(bytes);
      },
    });
    await smooth.setNumThreads(2);
    share();
    check();
    // The place that was not needed is there for the next threads.
    const { length } = program.taken;
    await start(2);
    share();
    expect(program.taken.length).toBe(length);
  });

  test('does not keep a memory that was unloaded', async () => {
    const program = new Program(1, { shared: true });
    const smooth = await fresh();
    await smooth.unload();
    const compute = async (): Promise<WeakRef<object>> => {
      const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true });
      smooth.load({ memory });
      attached.push(smooth.attach(program.memory, { allocate: program.allocate }));
      await smooth.setNumThreads(2, { createWorker: sound });
      await smooth.unload();
      return new WeakRef(memory);
    };
    expect(await isCollected(await compute())).toBe(true);
    const one = new Float32Array(program.memory.buffer, program.allocate(4), 1).fill(3);
    expect(smooth.l1Loss(one, one, { copy: 'throw' })).toBe(0);
  });

  test('that is unshared stays on one thread', async () => {
    const { smooth, start, attach, checkHere, runs, check } = await guest({ shared: false });
    attach();
    await start(2);
    await smooth.setNumThreads(2);
    for (const before = runs(); runs() === before; ) check();
    const before = runs();
    checkHere();
    expect(runs()).toBe(before);
  });

  test('takes nothing more when the number of threads changes and comes back', async () => {
    const { smooth, start, attach, program, share, checkHere, exits } = await guest();
    const detach = attach();
    const before = program.taken.length;
    for (let i = 0; i < 4; i++) {
      await start(3);
      if (i === 0) share();
      checkHere();
      await smooth.setNumThreads(1);
      checkHere();
      await Promise.all(exits);
    }
    expect(program.taken.length).toBe(before + 1);
    detach();
    expect(program.released.length).toBe(2);
  });

  test('that is detached is left by the workers, and given back at once', async () => {
    const orders: { places: unknown[] }[] = [];
    const telltale = (): Worker => {
      const worker = sound();
      const post = worker.postMessage.bind(worker);
      worker.postMessage = (message) => {
        orders.push(message);
        post(message);
      };
      return worker;
    };
    const { smooth, start, attach, program, share, checkHere, check, warnings } = await guest({
      first: [telltale],
    });
    await start(3);
    const counts = (): number[] => orders.map(({ places }) => places.length);
    for (let i = 0; i < 3; i++) {
      const detach = attach();
      await smooth.setNumThreads(3);
      share();
      detach();
      expect(program.released.length).toBe(2 * i + 2);
      checkHere(false);
      check();
    }
    expect(counts()).toEqual([1, 2, 1, 2, 1, 2, 1]);
    // At once, and while threads start.
    attach()();
    const more = start(4);
    const detach = attach();
    await more;
    share();
    detach();
    checkHere(false);
    check();
    expect(warnings).toEqual([]);
  });

  test.each(['throw', 'end', 'hold'])('in which a worker is lost: %s', async (fault) => {
    const { smooth, start, settled, attach, program, provoke, checkHere, check, exits, workers } =
      await guest({ fault, at: 3 });
    const detach = attach();
    await start(2);
    provoke();
    expect(smooth.getNumThreads()).toBe(1);
    checkHere();
    check();
    // It may still be there.
    const before = program.released.length;
    detach();
    expect(program.released.length).toBe(before);
    await exits[0];
    expect(program.released.length).toBe(before + 2);
    await settled();
    expect(smooth.getNumThreads()).toBe(2);
    expect(workers.length).toBe(2);
    checkHere(false);
    // The next pool has it again.
    attach();
    await smooth.setNumThreads(2);
    checkHere();
  });

  test('outlives unload(), and is shared by the threads that come after it', async () => {
    const { smooth, start, attach, program, share, checkHere, runs } = await guest();
    attach();
    await start(2);
    share();
    const { length } = program.taken;
    const end = smooth.unload();
    checkHere();
    await end;
    const before = runs();
    checkHere();
    expect(runs()).toBe(before);
    await start(2);
    share();
    expect(program.taken.length).toBe(length);
  });

  test('whose allocator fails: nothing is attached, and no thread started', async () => {
    const { smooth, start, attach, program, checkHere, check } = await guest();
    let left = 1;
    const allocate = (bytes: number): number => (left-- > 0 ? program.allocate(bytes) : 0);
    const full = /^RangeError: setNumThreads: allocate\(\d+\) returned 0/;
    const detach = attach({ allocate });
    expect(await start(2).catch(String)).toMatch(full);
    expect(smooth.getNumThreads()).toBe(1);
    checkHere();
    detach();
    expect(program.released.length).toBe(1);
    await start(2);
    left = 1;
    expect(() => attach({ allocate })).toThrow('attach: allocate(');
    expect(program.released.length).toBe(2);
    checkHere(false);
    check();
    expect(smooth.getNumThreads()).toBe(2);
  });
});

// ---- the package as it is built ---------------------------------------------------------------
describe('the package as it is built', () => {
  const url = dist('index.js').href;

  /** What a Node process that runs a script says, and how it ends. */
  const node = (code: string): [string, string, number | null] => {
    const script = `import { float32, getNumThreads, setNumThreads, smoothL1Loss } from '${url}';
      const compute = (n) => smoothL1Loss(float32(n).fill(1), float32(n));
      ${code}`;
    const { stdout, stderr, status } = spawnSync(
      process.execPath,
      ['--input-type=module', '--eval', script],
      { encoding: 'utf8' },
    );
    return [stdout, stderr, status];
  };

  test('a process with threads ends by itself', () => {
    const code = `await setNumThreads(3); console.log(getNumThreads(), compute(${THRESHOLD}))`;
    expect(node(code)).toEqual(['3 0.5\n', '', 0]);
  });

  test('so does one that does not wait for them, or that they failed', () => {
    expect(node('setNumThreads(2); console.log(getNumThreads())')).toEqual(['1\n', '', 0]);
    const fails = 'createWorker: () => { throw new Error("none") }';
    expect(
      node(`setNumThreads(2, { ${fails} }).catch(console.log.bind(0, "no:")).then(() => {
      console.log(getNumThreads()) })`)[2],
    ).toBe(0);
  });

  test('a process whose threads are lost ends by itself', () => {
    const code = `import { Worker } from 'node:worker_threads';
      let worker;
      const createWorker = () => (worker = new Worker(new URL('worker.js', '${url}'), { execArgv: [] }));
      await setNumThreads(2, { createWorker, onWarning: (message) => console.log(message) });
      await worker.terminate();
      console.log(getNumThreads(), compute(${THRESHOLD}));`;
    expect(node(code)).toEqual(['a thread was lost (it ended)\n1 0.5\n', '', 0]);
  });

  test('no listener and no name is left on global objects', async () => {
    const seen = () => [
      process.eventNames().map((name) => [name, process.listenerCount(name)]),
      Object.getOwnPropertyNames(globalThis),
      [globalThis.onmessage, globalThis.onerror],
    ];
    const before = seen();
    const smooth: Package = await import(/* @vite-ignore */ url);
    await smooth.setNumThreads(3);
    const [input, target] = [smooth.float32(THRESHOLD).fill(1), smooth.float32(THRESHOLD)];
    expect(smooth.smoothL1Loss(input, target)).toBe(0.5);
    expect(seen()).toEqual(before);
    await smooth.setNumThreads(1);
    expect(seen()).toEqual(before);
  });
});

// ---- threads of the user's own ----------------------------------------------------------------
describe("a user's own thread computes at the same time", () => {
  test.each([
    ['places of arrays', 1, 1],
    ['places of arrays', 2, 3],
    ['views, sent with the memory', 1, 1],
    ['views, sent with the memory', 3, 2],
  ])('with %s; %i threads here, %i there', async (how, here, there) => {
    const { smooth, memory, start } = await laboratory();
    const n = THRESHOLD + 77;
    const place = (): Float32Array => smooth.float32(n);
    const [input, target, mine, theirs] = [place(), place(), place(), place()];
    fillUnevenly(input);
    const right = smooth.smoothL1LossWithGrad(input, target, mine);
    const gradient = mine.slice();
    await start(here);

    const cells = new Int32Array(new SharedArrayBuffer(8));
    const places = [input, target, theirs].map(({ byteOffset }) => [byteOffset, n] as const);
    // The buffer of a memory that has grown is another object: a view has to be on the present one.
    const views = places.map(([offset]) => new Float32Array(memory.buffer, offset, n));
    const sent =
      how === 'places of arrays'
        ? { places }
        : { input: views[0], target: views[1], gradInput: views[2] };
    const copied = smooth.copiedBytes();
    const own = new Worker(script('own.mjs'), {
      workerData: { memory, threads: there, rounds: 200, cells, ...sent },
    });
    const answer = once(own, 'message');
    await new Promise<void>((begin) => {
      const look = (): unknown => (Atomics.load(cells, 0) === 1 ? begin() : setImmediate(look));
      look();
    });
    do {
      mine.fill(NaN);
      expect(smooth.smoothL1LossWithGrad(input, target, mine)).toBe(right);
    } while (Atomics.load(cells, 1) === 0);
    expect(smooth.copiedBytes()).toBe(copied);
    expect((await answer)[0]).toEqual({ losses: [right], copied: 0 });
    expect(Buffer.compare(bytesOf(mine), bytesOf(gradient))).toBe(0);
    expect(Buffer.compare(bytesOf(theirs), bytesOf(gradient))).toBe(0);
    await own.terminate();
  });
});
