// Losses of data that come in chunks: a source is pulled one chunk at a time, and closed whatever happens.
import { describe, isTypedArray } from './check.ts';
import { LossObject } from './functions.ts';
import type { Loss } from './loss.ts';
import { type AddOptions, LossAccumulator } from './loss-accumulator.ts';
import { type InputArray, type LossOptions, optionNames, read } from './options.ts';

/** A chunk of data, as an object: the options are for this chunk. */
export interface Chunk
  extends Pick<
    AddOptions,
    'insideWeights' | 'outsideWeights' | 'weight' | 'mask' | 'inputType' | 'targetType'
  > {
  input: InputArray;
  target: InputArray;
}

/** A chunk of data: predictions, and as many true values. */
export type Pair = readonly [input: InputArray, target: InputArray] | Chunk;

/** A web `ReadableStream`, as far as it is needed. */
export interface ReadableStreamLike<T> {
  getReader(): {
    read(): PromiseLike<{ done: boolean; value?: T | undefined }>;
    cancel(reason?: unknown): PromiseLike<unknown>;
    releaseLock(): void;
  };
}

/** Where chunks come from. */
export type Pairs = Iterable<Pair> | AsyncIterable<Pair> | ReadableStreamLike<Pair>;

/** An `AbortSignal`, as far as it is needed. */
export interface AbortSignalLike {
  readonly aborted: boolean;
  readonly reason: unknown;
  addEventListener(type: 'abort', listener: () => void): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

/** Options of a stream's loss, beside its threshold. */
export interface StreamOptions extends Omit<LossOptions<'sum' | 'mean'>, 'sum'> {
  /** Aborts: the source is closed, and the promise rejects with the signal's reason. */
  signal?: AbortSignalLike | undefined;
  /** Called after each chunk with the number of elements so far. */
  onProgress?: ((progress: { elements: number }) => void) | undefined;
}

const CHUNK_NAMES = [
  'insideWeights',
  'outsideWeights',
  'weight',
  'mask',
  'inputType',
  'targetType',
] as const;
/** Milliseconds after which other work has a turn, if the source always has its next chunk at hand. */
const TURN = 50;

/** Computes a loss of chunks, for the function `fn`. */
export async function streamLoss(
  loss: Loss,
  fn: string,
  pairs: Pairs,
  options: StreamOptions = {},
): Promise<number> {
  const own = optionNames(loss, 'object').filter((name) => name !== 'sum');
  const names = [...own, 'signal', 'onProgress'];
  const { signal, onProgress } = read(fn, options, names);
  if (signal !== undefined && typeof signal?.addEventListener !== 'function')
    throw new TypeError(`${fn}: signal must be an AbortSignal, got ${describe(signal)}`);
  if (onProgress !== undefined && typeof onProgress !== 'function')
    throw new TypeError(`${fn}: onProgress must be a function, got ${describe(onProgress)}`);
  const object = new LossObject<'sum' | 'mean'>(fn, loss, options, names);
  const accumulator = renamed(fn, () => new LossAccumulator(object));
  const source = openSource(fn, pairs);
  let turn = Date.now();
  try {
    for (let i = 0; ; i++) {
      const result = await pull(source, signal);
      if (result.done) return accumulator.value();
      addChunk(accumulator, `${fn}: pairs[${i}]`, result.value);
      onProgress?.({ elements: accumulator.count });
      if (Date.now() - turn < TURN) continue;
      await new Promise((resolve) => setTimeout(resolve));
      turn = Date.now();
    }
  } catch (error) {
    await source.close(error);
    throw error;
  } finally {
    source.release();
  }
}

/** Errors of an accumulator, in the name of `place`. */
function renamed<T>(place: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    const [prefix] = /^LossAccumulator(\.add)?(?=: )/.exec((error as Error).message) ?? [];
    if (prefix === undefined) throw error;
    const type = error instanceof RangeError ? RangeError : TypeError;
    throw new type(place + (error as Error).message.slice(prefix.length), { cause: error });
  }
}

function addChunk(accumulator: LossAccumulator, place: string, chunk: unknown): void {
  if (Array.isArray(chunk) && chunk.length === 2) {
    renamed(place, () => accumulator.add(chunk[0], chunk[1]));
    return;
  }
  if (typeof chunk !== 'object' || chunk === null || isTypedArray(chunk) || Array.isArray(chunk))
    throw new TypeError(
      `${place} must be [input, target] or { input, target }, got ${describe(chunk)}`,
    );
  const { input, target, ...options } = read(place, chunk as Chunk, [
    'input',
    'target',
    ...CHUNK_NAMES,
  ]);
  renamed(place, () => accumulator.add(input as InputArray, target as InputArray, options));
}

interface Result {
  readonly done?: boolean | undefined;
  readonly value?: unknown;
}

/** Where chunks come from, however they are given. */
class Source {
  readonly #fn: string;
  readonly #next: () => unknown;
  readonly #close: (reason: unknown) => unknown;
  /** Lets go of what it was made of. */
  readonly release: () => void;
  /** False once it has ended or failed by itself: then there is nothing to close. */
  #isOpen = true;
  #isBusy = false;

  constructor(
    fn: string,
    next: () => unknown,
    close: (reason: unknown) => unknown,
    release = (): void => {},
  ) {
    this.#fn = fn;
    this.#next = next;
    this.#close = close;
    this.release = release;
  }

  async next(): Promise<Result> {
    this.#isBusy = true;
    let isEnd = true;
    try {
      const result = (await this.#next()) as Result;
      if (typeof result !== 'object' || result === null)
        throw new TypeError(`${this.#fn}: next() of pairs must give an object, got ${result}`);
      isEnd = result.done === true;
      return result;
    } finally {
      this.#isBusy = false;
      if (isEnd) this.#isOpen = false;
    }
  }

  /** Closes it. What goes wrong in that is not said: something else went wrong before. */
  async close(reason: unknown): Promise<void> {
    if (!this.#isOpen) return;
    const isBusy = this.#isBusy;
    const closed = (async () => this.#close(reason))().catch(() => {});
    // A generator that waits for something closes only after that.
    if (!isBusy) await closed;
  }
}

function openSource(fn: string, pairs: unknown): Source {
  // Of a stream, the reader: its iterator cannot be closed while it waits.
  const from = (typeof pairs === 'object' ? pairs : undefined) as
    | (Partial<ReadableStreamLike<unknown>> &
        Partial<AsyncIterable<unknown>> &
        Partial<Iterable<unknown>>)
    | null
    | undefined;
  if (typeof from?.getReader === 'function') {
    const reader = from.getReader();
    return new Source(
      fn,
      () => reader.read(),
      (reason) => reader.cancel(reason),
      () => reader.releaseLock(),
    );
  }
  const iterator = from?.[Symbol.asyncIterator]?.() ?? from?.[Symbol.iterator]?.();
  if (iterator === undefined || isTypedArray(from))
    throw new TypeError(
      `${fn}: pairs must be an iterable, an async iterable or a ReadableStream, got ${describe(pairs)}`,
    );
  return new Source(
    fn,
    () => iterator.next(),
    () => iterator.return?.(),
  );
}

/** The next chunk, unless the signal aborts before it comes. */
function pull(source: Source, signal: AbortSignalLike | undefined): Promise<Result> {
  if (signal === undefined) return source.next();
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    if (signal.aborted) {
      abort();
      return;
    }
    signal.addEventListener('abort', abort);
    source
      .next()
      .then(resolve, reject)
      .finally(() => signal.removeEventListener('abort', abort));
  });
}
