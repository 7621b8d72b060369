// Losses of streams: chunks from any source, in any cut, are one call with exact sums; and whatever goes wrong,
// the source is closed.
import { describe, expect, test, vi } from 'vitest';
import * as smooth from '../ts/index.ts';
import { bits, reloaded } from './backends.ts';

type Pair = smooth.Pair;
const N = 5000;
const values = (a: number, b: number): Float32Array =>
  Float32Array.from({ length: N }, (_, i) => Math.sin(a * i) * 10 ** (b * Math.cos(i)));
const [input, target, weight] = [values(1, 9), values(2, 4), values(3, 2)];
const mask = Uint8Array.from(input, (_, i) => Number(i % 3 !== 0));

/** The pairs between these places, as arrays or as objects. */
const cut = (...at: number[]): Pair[] =>
  at.slice(1).map((end, i) => {
    const part = <T extends Float32Array>(array: T) => array.subarray(at[i], end);
    return i % 2 ? { input: part(input), target: part(target) } : [part(input), part(target)];
  });
const CUTS = [[0, N], [0, 1, 1, 999, 4097, N], Array.from({ length: 51 }, (_, i) => 100 * i)];

async function* later(pairs: Iterable<Pair>) {
  for (const pair of pairs) {
    await Promise.resolve();
    yield pair;
  }
}
function streamOf(pairs: Pair[]): ReadableStream<Pair> {
  const left = [...pairs];
  return new ReadableStream<Pair>(
    {
      pull(controller) {
        const pair = left.shift();
        if (pair) controller.enqueue(pair);
        else controller.close();
      },
    },
    { highWaterMark: 0 },
  );
}

/** A source that tells what was done to it. After `length` chunks it ends, or does what `then` does. */
function watched(length: number, then?: () => unknown) {
  const log = { pulled: 0, closed: 0 };
  const source = {
    [Symbol.asyncIterator]: () => ({
      async next() {
        if (log.pulled === length) return then ? ((await then()) as never) : { done: true };
        log.pulled++;
        return { done: false, value: cut(0, 10)[0] as Pair };
      },
      async return() {
        log.closed++;
        return { done: true as const, value: undefined };
      },
    }),
  } as AsyncIterable<Pair>;
  return { log, source };
}
const never = () => new Promise(() => {});

describe('the same 64 bits as one call with exact sums', () => {
  const cases = [
    [smooth.smoothL1LossOf, smooth.smoothL1Loss, { beta: 0.3, scale: -3 }],
    [smooth.huberLossOf, smooth.huberLoss, { delta: 0.7, reduction: 'sum' }],
    [smooth.l1LossOf, smooth.l1Loss, {}],
  ] as const;

  test.each(cases)(
    '%s, from arrays, generators and streams, in any cut and order',
    async (lossOf, loss, options) => {
      const wanted = bits(loss(input, target, { ...options, sum: 'exact' }));
      for (const places of CUTS) {
        const pairs = cut(...places);
        for (const source of [
          pairs,
          pairs.toReversed(),
          later(pairs),
          streamOf(pairs),
          new Set(pairs),
        ])
          expect(bits(await lossOf(source, options))).toBe(wanted);
      }
    },
  );

  test('with weights and a mask for each chunk', async () => {
    const options = { divisor: 'weights', minDivisor: 0.25 } as const;
    const wanted = smooth.huberLoss(input, target, { ...options, weight, mask, sum: 'exact' });
    const pairs = [0, 1, 2, 3, 4].map((i) => {
      const part = <T extends Float32Array | Uint8Array>(array: T) =>
        array.subarray(1000 * i, 1000 * (i + 1)) as T;
      return { input: part(input), target: part(target), weight: part(weight), mask: part(mask) };
    });
    expect(bits(await smooth.huberLossOf(pairs, { ...options, weight: 1 }))).toBe(bits(wanted));
  });

  test('on the backend "js", and of 16-bit floats', async () => {
    const js = await reloaded({ backend: 'js' });
    const halves = {
      input: Uint16Array.of(0x3c00),
      target: Uint16Array.of(0),
      inputType: 'float16',
      targetType: 'bfloat16',
    } as const;
    expect(await js.l1LossOf([halves, ...cut(0, N)])).toBe(
      (1 + js.l1Loss(input, target, { reduction: 'sum', sum: 'exact' })) / (N + 1),
    );
  });

  test('of nothing it is NaN, and the sum is 0', async () => {
    expect(await smooth.smoothL1LossOf([])).toBeNaN();
    expect(await smooth.smoothL1LossOf(streamOf([]), { reduction: 'sum' })).toBe(0);
  });
});

test('one chunk is pulled at a time, and a source may fill its arrays again', async () => {
  const [a, b] = [new Float32Array(1), new Float32Array(1)];
  const seen: number[] = [];
  let elements = 0;
  function* source() {
    for (let i = 0; i < 5; i++) {
      expect(elements).toBe(i);
      a[0] = i;
      yield [a, b] as const;
    }
  }
  const onProgress = (progress: { elements: number }) => {
    ({ elements } = progress);
    seen.push(elements);
  };
  expect(await smooth.l1LossOf(source(), { reduction: 'sum', onProgress })).toBe(10);
  expect(seen).toEqual([1, 2, 3, 4, 5]);
});

test('other work has a turn though the source never waits', async () => {
  const controller = new AbortController();
  function* endless() {
    for (;;) yield [new Float32Array(1), new Float32Array(1)] as const;
  }
  setTimeout(() => controller.abort());
  await expect(smooth.l1LossOf(endless(), { signal: controller.signal })).rejects.toThrow(
    'aborted',
  );
});

test('a turn is given every 50 ms, and not before', async () => {
  const clock = vi.spyOn(Date, 'now').mockReturnValue(0);
  const turns = vi.spyOn(globalThis, 'setTimeout');
  try {
    for (const [ms, wanted] of [
      [0, 0],
      [49, 0],
      [50, 1],
    ] as const) {
      turns.mockClear();
      const start = Date.now();
      const onProgress = () => clock.mockReturnValue(start + ms);
      await smooth.l1LossOf(cut(0, 5, 10), { onProgress });
      expect(turns).toHaveBeenCalledTimes(wanted);
    }
  } finally {
    vi.restoreAllMocks();
  }
});

describe('what goes wrong rejects, and closes the source', () => {
  const wrong: [what: string, chunk: unknown, error: ErrorConstructor, message: string][] = [
    [
      'lengths that differ',
      [new Float32Array(2), new Float32Array(3)],
      RangeError,
      'smoothL1LossOf: pairs[2]: input has length 2 and target has length 3; they must be equal',
    ],
    [
      'a mask of a wrong length',
      { input: new Float32Array(2), target: new Float32Array(2), mask: new Uint8Array(1) },
      RangeError,
      'smoothL1LossOf: pairs[2]: mask',
    ],
    [
      'no target',
      { input: new Float32Array(2) },
      TypeError,
      'smoothL1LossOf: pairs[2]: target must be',
    ],
    [
      'an unknown name',
      { input: new Float32Array(2), target: new Float32Array(2), weights: 1 },
      TypeError,
      'smoothL1LossOf: pairs[2]: there is no option "weights"; did you mean weight?',
    ],
    [
      'one array',
      new Float32Array(2),
      TypeError,
      'smoothL1LossOf: pairs[2] must be [input, target] or { input, target }, got a Float32Array',
    ],
    ['three arrays', [1, 2, 3], TypeError, 'smoothL1LossOf: pairs[2] must be [input, target]'],
    ...(
      [
        [null, 'null'],
        [1, '1'],
        [undefined, 'undefined'],
      ] as const
    ).map(([chunk, text]): (typeof wrong)[number] => [
      text,
      chunk,
      TypeError,
      `smoothL1LossOf: pairs[2] must be [input, target] or { input, target }, got ${text}`,
    ]),
  ];
  test.each(wrong)('%s', async (_, chunk, error, message) => {
    const { log, source } = watched(2, () => ({ done: false, value: chunk }));
    const failure = await smooth.smoothL1LossOf(source).catch((reason) => reason);
    expect(failure).toBeInstanceOf(error);
    expect(failure.message).toContain(message);
    expect(log).toEqual({ pulled: 2, closed: 1 });

    const cancelled: unknown[] = [];
    const stream = new ReadableStream({
      start(controller) {
        for (const value of [...cut(0, 1, 2), chunk]) controller.enqueue(value);
      },
      cancel(reason) {
        cancelled.push(reason);
      },
    });
    await expect(smooth.smoothL1LossOf(stream as never)).rejects.toThrow(message);
    expect(cancelled).toHaveLength(1);
    expect(stream.locked).toBe(false);
  });

  test('the error of an accumulator is the cause of one that names the chunk', async () => {
    const pairs = [cut(0, 5)[0], [new Float32Array(2), new Float32Array(3)]] as Pair[];
    const failure = await smooth.l1LossOf(pairs).catch((reason) => reason);
    expect(failure.message).toMatch(/^l1LossOf: pairs\[1\]: input has length 2/);
    expect(failure.cause.message).toMatch(/^LossAccumulator.add: input has length 2/);
  });

  test('an error of a chunk itself comes through', async () => {
    const failure = new Error('the package says "LossAccumulator: ..."');
    const chunk = Object.defineProperty([1, new Float32Array(2)], 0, {
      get() {
        throw failure;
      },
    });
    await expect(smooth.l1LossOf([chunk as never])).rejects.toBe(failure);
  });

  test.each([undefined, null, 1])('next() that gives %s', async (result) => {
    const { log, source } = watched(0, () => result);
    await expect(smooth.l1LossOf(source)).rejects.toThrow(
      new TypeError(`l1LossOf: next() of pairs must give an object, got ${result}`),
    );
    expect(log.closed).toBe(0);
  });

  test('an error of the source comes through, and the source is not closed twice', async () => {
    const failure = new Error('the disk is gone');
    const { log, source } = watched(1, () => Promise.reject(failure));
    await expect(smooth.smoothL1LossOf(source)).rejects.toBe(failure);
    expect(log).toEqual({ pulled: 1, closed: 0 });
    const unsure = watched(1, () => ({
      get done() {
        throw failure;
      },
    }));
    await expect(smooth.smoothL1LossOf(unsure.source)).rejects.toBe(failure);
    expect(unsure.log).toEqual({ pulled: 1, closed: 0 });
    const stream = new ReadableStream<Pair>({ pull: (controller) => controller.error(failure) });
    await expect(smooth.smoothL1LossOf(stream)).rejects.toBe(failure);
    expect(stream.locked).toBe(false);
  });

  test('an error of onProgress comes through, one of closing does not hide it', async () => {
    const failure = new Error('enough');
    const onProgress = () => {
      throw failure;
    };
    let isClosed = false;
    function* source() {
      try {
        yield cut(0, 5)[0] as Pair;
      } finally {
        isClosed = true;
        // biome-ignore lint/correctness/noUnsafeFinally: a source that fails on closing
        throw new Error('on closing');
      }
    }
    await expect(smooth.l1LossOf(source(), { onProgress })).rejects.toBe(failure);
    expect(isClosed).toBe(true);
  });

  test('an abort while the source waits, before the first chunk, and after it', async () => {
    for (const length of [0, 3]) {
      const controller = new AbortController();
      const { log, source } = watched(length, () => {
        controller.abort('stop');
        return never();
      });
      await expect(smooth.l1LossOf(source, { signal: controller.signal })).rejects.toBe('stop');
      expect(log).toEqual({ pulled: length, closed: 1 });
    }
  });

  test('closing is waited for, unless the source waits for its next chunk', async () => {
    const signal = AbortSignal.abort('no');
    const onProgress = () => {
      throw 'no';
    };
    for (const options of [{ signal }, { onProgress }]) {
      let isClosed = false;
      const source = {
        [Symbol.iterator]: () => source,
        next: () => ({ done: false, value: cut(0, 5)[0] }),
        async return() {
          for (let i = 0; i < 9; i++) await undefined;
          isClosed = true;
        },
      };
      await expect(smooth.l1LossOf(source as never, options)).rejects.toBe('no');
      expect(isClosed).toBe(true);
    }
    const controller = new AbortController();
    async function* waiting() {
      controller.abort('stop');
      yield await (never() as Promise<Pair>);
    }
    await expect(smooth.l1LossOf(waiting(), { signal: controller.signal })).rejects.toBe('stop');
  });

  test('a signal that aborted before: nothing is pulled, and a stream is cancelled', async () => {
    const signal = AbortSignal.abort('no');
    const { log, source } = watched(1);
    await expect(smooth.l1LossOf(source, { signal })).rejects.toBe('no');
    expect(log).toEqual({ pulled: 0, closed: 1 });
    let reason: unknown;
    const stream = new ReadableStream<Pair>({ cancel: (why) => (reason = why) });
    await expect(smooth.l1LossOf(stream, { signal })).rejects.toBe('no');
    expect([reason, stream.locked]).toEqual(['no', false]);
  });

  test('an abort while a stream waits cancels it and lets go of it', async () => {
    const controller = new AbortController();
    let reason: unknown;
    const stream = new ReadableStream<Pair>(
      {
        pull: () => controller.abort('stop'),
        cancel: (why) => (reason = why),
      },
      { highWaterMark: 0 },
    );
    await expect(smooth.l1LossOf(stream, { signal: controller.signal })).rejects.toBe('stop');
    expect([reason, stream.locked]).toEqual(['stop', false]);
  });

  test('the signal keeps no listener', async () => {
    let listeners = 0;
    const signal = {
      aborted: false,
      reason: undefined,
      addEventListener: () => listeners++,
      removeEventListener: () => listeners--,
    } as unknown as smooth.AbortSignalLike;
    await smooth.l1LossOf(later(cut(0, 5, 10)), { signal });
    await Promise.resolve();
    expect(listeners).toBe(0);
  });
});

describe('wrong arguments reject, and touch no source', () => {
  const wrong: [args: unknown[], message: string][] = [
    [[1], 'l1LossOf: pairs must be an iterable, an async iterable or a ReadableStream, got 1'],
    [[new Float32Array(2)], 'got a Float32Array'],
    [['text'], 'got "text"'],
    [[{}], 'got an Object'],
    [[[], { beta: 1 }], 'l1LossOf: there is no option "beta"'],
    [[[], { sum: 'fast' }], 'l1LossOf: there is no option "sum"'],
    [[[], { reduction: 'none' }], 'l1LossOf: loss must have reduction "sum" or "mean", got "none"'],
    [[[], { divisor: 'weights' }], 'l1LossOf: divisor "weights" needs outsideWeights'],
    [[[], { signal: {} }], 'l1LossOf: signal must be an AbortSignal, got an Object'],
    [[[], { signal: null }], 'l1LossOf: signal must be an AbortSignal, got null'],
    [[[], { onProgress: 1 }], 'l1LossOf: onProgress must be a function, got 1'],
    [[[], null], 'l1LossOf: options must be an object, got null'],
  ];
  test.each(wrong)('%j', async (args, message) => {
    const call = smooth.l1LossOf as (...args: unknown[]) => Promise<number>;
    await expect(call(...args)).rejects.toThrow(message);
    await expect(call(...args)).rejects.toThrow(/^l1LossOf: /);
  });

  test('a threshold for each column', async () => {
    const options = { beta: new Float32Array(2), rowLength: 2 };
    const { log, source } = watched(1);
    await expect(smooth.smoothL1LossOf(source, options)).rejects.toThrow(
      'smoothL1LossOf: loss must have one beta for all elements, got one for each column',
    );
    expect(log).toEqual({ pulled: 0, closed: 0 });
  });
});
