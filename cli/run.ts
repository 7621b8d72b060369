// The loss of files: chunks are read into the kernel's memory, one ahead of that which is computed.
import { accessSync, constants, rmSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import {
  type AddOptions,
  type Divisor,
  float32,
  HuberLoss,
  L1Loss,
  LossAccumulator,
  SmoothL1Loss,
  setNumThreads,
  uint8,
} from '#core';
import { resume as goOn, type Identity, identityOf, replace, save } from './checkpoint.ts';
import { DataError, UsageError } from './errors.ts';
import type { Elements, ElementType, NumberType } from './numbers.ts';
import { placesOf } from './open.ts';
import { Output } from './output.ts';
import { isClosedPipe, jsonOf, print, printResult } from './print.ts';
import { startProgress } from './progress.ts';
import { checkShapes, liesAlike, Series } from './series.ts';

export interface Settings {
  readonly predictions: string;
  readonly targets: string;
  readonly weights: string | undefined;
  readonly mask: string | undefined;
  readonly type: NumberType | undefined;
  readonly loss: 'smoothL1' | 'huber' | 'l1';
  readonly threshold: { beta: number } | { sigma: number } | { delta: number } | undefined;
  readonly reduction: 'mean' | 'sum' | 'rows';
  readonly divisor: Divisor | undefined;
  readonly rowLength: number | undefined;
  readonly ignoreNaN: boolean;
  readonly grad: string | undefined;
  readonly losses: string | undefined;
  readonly threads: number;
  readonly json: boolean;
  readonly partial: string | undefined;
  readonly resume: string | undefined;
  /** Seconds. */
  readonly every: number;
}

/** Elements of a chunk: as many as all threads take a part of. A quarter takes a fifth more of the processor's time. */
const CHUNK = 1 << 19;
const LONGEST_ROW = 1 << 22;

/** What ends a run early: files that are not complete are removed. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** A loss object of any kind. */
type LossObject = SmoothL1Loss<'mean'>;

function lossOf({ loss, threshold }: Settings, options: object): LossObject {
  const type = loss === 'huber' ? HuberLoss : loss === 'l1' ? L1Loss : SmoothL1Loss;
  try {
    return new type({ ...options, ...threshold }) as LossObject;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

export async function run(settings: Settings): Promise<void> {
  const all: Series[] = [];
  const outputs: Output[] = [];
  const abandon = (): void => {
    for (const output of outputs.splice(0)) output.abandon(settings.resume !== undefined);
  };
  for (const signal of SIGNALS)
    process.once(signal, () => {
      abandon();
      // It is not caught a second time.
      process.kill(process.pid, signal);
    });
  try {
    for (const [role, argument] of [
      ['predictions', settings.predictions],
      ['targets', settings.targets],
      ['weights', settings.weights],
      ['masks', settings.mask],
    ] as const)
      if (argument !== undefined)
        all.push(await Series.open(role, await placesOf(argument), settings.type));
    checkOutputs(settings, all);
    await compute(settings, all, outputs);
  } catch (error) {
    if (isClosedPipe(error) && outputs.length > 0)
      throw new DataError(
        `standard output was closed in the middle, so there is no ${outputs.map(({ path }) => path).join(' and no ')}`,
      );
    throw error;
  } finally {
    abandon();
    for (const series of all) await series.close().catch(() => {});
  }
}

/** Throws where a file cannot be written, or would be written over: at the start, not after hours. */
function checkOutputs(settings: Settings, all: readonly Series[]): void {
  const users = new Map<string, string>();
  for (const { role, places } of all)
    for (const { path } of places) if (path !== '-') users.set(resolve(path), `the ${role}`);
  for (const option of ['grad', 'losses', 'partial', 'resume'] as const) {
    const path = settings[option];
    if (path === undefined) continue;
    const user = users.get(resolve(path));
    if (user !== undefined)
      throw new UsageError(`--${option} must be a file of its own, got ${path}, that of ${user}`);
    users.set(resolve(path), `--${option}`);
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory())
      throw new UsageError(`--${option} must be a file, got ${path}, a directory`);
    accessSync(dirname(path), constants.W_OK);
  }
}

async function compute(settings: Settings, all: Series[], outputs: Output[]): Promise<void> {
  const { reduction, threads } = settings;
  checkShapes(all);
  const [predictions] = all as [Series];
  const total = all.map(({ length }) => length).find((length) => length !== undefined);
  const only = predictions.facts.length === 1 ? predictions.facts[0] : undefined;
  const { shape = [] } = only ?? {};
  const hasRows = reduction === 'rows' || /ows$/.test(String(settings.divisor));
  const rowLength = settings.rowLength ?? (shape.length > 1 ? shape.at(-1) : undefined);
  if (hasRows && rowLength === undefined)
    throw new UsageError(
      `--row-length is missing: ${predictions.places[0]?.path} does not say how long its rows are`,
    );
  if (hasRows && (rowLength as number) > LONGEST_ROW)
    throw new UsageError(`--row-length must be at most ${LONGEST_ROW}, got ${rowLength}`);
  const writes = settings.grad !== undefined || settings.losses !== undefined;
  const inOrder = hasRows || !liesAlike(all) || (writes && !only);
  for (const series of all) series.inOrder = inOrder;

  const masks = settings.mask !== undefined || settings.ignoreNaN || all.some((s) => s.hasMissing);
  const divisor = settings.divisor ?? (masks ? 'unmasked' : 'elements');
  const byRows = hasRows ? { rowLength } : {};
  const common = {
    ...byRows,
    ignoreNaNTargets: settings.ignoreNaN,
    inputType: predictions.type,
    targetType: all[1]?.type,
    // Each chunk has its own.
    ...(settings.weights === undefined ? {} : { weight: 1 }),
  };
  const mean = reduction === 'mean' ? { reduction, divisor } : { reduction: 'sum' };
  const accumulator = new LossAccumulator(lossOf(settings, { ...common, ...mean }));
  const elementLoss = lossOf(settings, { ...common, reduction: 'none' }) as unknown as LossObject;
  const rowLoss = reduction === 'rows' ? lossOf(settings, { ...common, reduction }) : undefined;
  if (threads > 1)
    await setNumThreads(threads).catch((error: Error) => {
      throw new UsageError(error.message);
    });

  const chunks = new Chunks(
    all,
    hasRows
      ? Math.max(1, Math.floor(CHUNK / (rowLength as number))) * (rowLength as number)
      : CHUNK,
  );
  const identity: Identity = identityOf(all, {
    type: settings.type,
    ignoreNaN: settings.ignoreNaN,
    grad: settings.grad,
    losses: settings.losses,
  });
  if (settings.resume !== undefined) goOn(settings.resume, accumulator, identity);
  const start = accumulator.count;

  const known = divisorBefore(reduction, divisor, total, rowLength);
  const grad =
    settings.grad === undefined
      ? undefined
      : new Output(settings.grad, known === undefined ? 0 : start);
  if (grad) outputs.push(grad);
  const losses = settings.losses === undefined ? undefined : new Output(settings.losses, start);
  if (losses) outputs.push(losses);
  if (grad && known === undefined) {
    if (all.some(({ isInput }) => isInput))
      throw new UsageError(
        '--grad reads the files twice, since what a mean is divided by is not known before, and standard input can be read once: use --reduction sum, or --divisor NUMBER',
      );
  }
  const values = writes ? float32(chunks.size) : undefined;
  const rows = rowLoss ? float32(chunks.size / (rowLength as number)) : undefined;
  const writeGrad = (chunk: Chunk, at: number, by: number): void => {
    const out = (values as Float32Array).subarray(0, chunk.n);
    gradLoss(by).backward(1, chunk.input, chunk.target, { ...chunk.options, out });
    grad?.write(out, at);
  };
  let gradObject: LossObject | undefined;
  const gradLoss = (by: number): LossObject => {
    gradObject ??= lossOf(
      settings,
      reduction === 'mean'
        ? { ...common, reduction, divisor: by }
        : { ...common, reduction: 'sum' },
    );
    return gradObject;
  };

  const text = new Rows(settings.json);
  let saved = Date.now();
  const elements = await chunks.forEach(start, total, async (chunk, at) => {
    const { n, input, target, options } = chunk;
    if (hasRows && n % (rowLength as number) !== 0)
      throw new DataError(`${at + n} elements are no whole rows of ${rowLength}`);
    if (reduction !== 'rows') accumulator.add(input, target, options);
    if (losses) {
      const out = (values as Float32Array).subarray(0, n);
      elementLoss.forward(input, target, { ...options, out } as never);
      losses.write(out, at);
    }
    if (grad && known !== undefined) writeGrad(chunk, at, known);
    if (rowLoss) {
      const out = (rows as Float32Array).subarray(0, n / (rowLength as number));
      rowLoss.forward(input, target, { ...options, out } as never);
      await text.add(out);
    }
    if (settings.resume !== undefined && Date.now() - saved >= 1000 * settings.every) {
      // What they have must not be less than what the state says, when the power fails.
      for (const output of outputs) output.flush();
      save(settings.resume, accumulator, identity);
      saved = Date.now();
    }
  });
  if (grad && known === undefined) {
    if (settings.resume !== undefined) save(settings.resume, accumulator, identity);
    const by = divisorAfter(accumulator, divisor, rowLength);
    for (const series of all) await series.rewind();
    await chunks.forEach(0, elements, async (chunk, at) => writeGrad(chunk, at, by));
  }

  const whole = shape.length > 0 ? shape : [elements];
  const isFortran = only?.isFortran === true && !inOrder;
  for (const output of outputs) output.finish(whole, isFortran);
  outputs.length = 0;
  if (settings.partial !== undefined) replace(settings.partial, accumulator.toBytes());
  if (reduction === 'rows') await text.end(elements);
  else await printResult(accumulator, settings.json);
  if (settings.resume !== undefined) rmSync(settings.resume, { force: true });
}

/** What the gradient of the mean is divided by, if that is known before everything was read. */
function divisorBefore(
  reduction: string,
  divisor: Divisor,
  total: number | undefined,
  rowLength: number | undefined,
): number | undefined {
  if (reduction !== 'mean') return 1;
  if (typeof divisor === 'number') return divisor;
  if (divisor === 'elements') return total;
  if (divisor === 'rows' && total !== undefined) return total / (rowLength as number);
  return undefined;
}

/** The same when everything was read. */
function divisorAfter(
  accumulator: LossAccumulator,
  divisor: Divisor,
  rowLength: number | undefined,
): number {
  if (divisor === 'elements') return accumulator.count;
  if (divisor === 'rows') return accumulator.count / (rowLength as number);
  // docs/accumulators.md has the bytes.
  const bytes = new DataView(accumulator.toBytes().buffer);
  if (divisor !== 'weights') return bytes.getFloat64(84, true);
  let sum = 0n;
  for (let at = 124; at >= 84; at -= 4) sum = (sum << 32n) | BigInt(bytes.getUint32(at, true));
  const weights = Number(BigInt.asIntN(352, sum)) * 2 ** -149;
  // The highest bits say that a weight was NaN or infinite.
  if (bytes.getUint8(11) >> 3 !== 0)
    throw new DataError('a weight is NaN or infinite, so the mean has no gradient');
  if (weights < 0)
    throw new DataError(
      `the weights add up to ${weights}, and --grad can divide by numbers from 0 only`,
    );
  return weights;
}

/** Some elements of all files, in the kernel's memory. */
interface Chunk {
  readonly n: number;
  readonly input: Elements;
  readonly target: Elements;
  readonly options: Pick<AddOptions, 'weight' | 'mask'>;
}

class Chunks {
  readonly size: number;
  readonly #all: readonly Series[];
  readonly #buffers: readonly [Buffers, Buffers];
  /** Elements that were read. */
  #at = 0;

  constructor(all: readonly Series[], size: number) {
    this.#all = all;
    this.size = size;
    this.#buffers = [new Buffers(all, size), new Buffers(all, size)];
  }

  /** Calls `visit` with all chunks, from the element `start` on; returns where they end. The next one is read meanwhile. */
  async forEach(
    start: number,
    total: number | undefined,
    visit: (chunk: Chunk, at: number) => Promise<void>,
  ): Promise<number> {
    for (const series of this.#all)
      if ((await series.skip(start)) < start)
        throw new DataError(
          `${series.role} end before element ${start}, where the run to resume was`,
        );
    this.#at = start;
    let done = start;
    let bytes = 0;
    const progress = await startProgress(total);
    try {
      let next = this.#read(0);
      for (let i = 1; ; i = 1 - i) {
        const chunk = await next;
        if (chunk.n === 0) return done;
        next = this.#read(i);
        // It is awaited above, unless the visit fails.
        next.catch(() => {});
        await visit(chunk, done);
        done += chunk.n;
        bytes += chunk.n * (chunk.input.BYTES_PER_ELEMENT + chunk.target.BYTES_PER_ELEMENT);
        progress.update(done, bytes);
      }
    } finally {
      progress.stop();
    }
  }

  async #read(which: number): Promise<Chunk> {
    const buffers = this.#buffers[which] as Buffers;
    const at = this.#at;
    const read = await Promise.allSettled(
      this.#all.map((series) => buffers.fill(series, this.size, at)),
    );
    for (const result of read) if (result.status === 'rejected') throw result.reason;
    const counts = read.map((result) => (result.status === 'fulfilled' ? result.value : 0));
    const n = Math.min(...counts);
    const [short, long] = [counts.indexOf(n), counts.indexOf(Math.max(...counts))];
    if (short !== long && counts[long] !== n)
      throw new DataError(
        `the lengths differ: ${this.#all[short]?.role} have ${at + n} elements, ${this.#all[long]?.role} more`,
      );
    this.#at += n;
    return buffers.chunk(n);
  }
}

/** Where one chunk is. */
class Buffers {
  readonly #arrays = new Map<string, Elements>();
  readonly #mask: Uint8Array | undefined;
  readonly #hasMask: boolean;
  /** Whether an element of the chunk is missing. */
  #isMissing = false;

  constructor(all: readonly Series[], size: number) {
    for (const { role, type } of all) this.#arrays.set(role, arrayOf(role, type, size));
    this.#hasMask = this.#arrays.has('masks');
    if (this.#hasMask || all.some(({ hasMissing }) => hasMissing)) this.#mask = uint8(size).fill(1);
  }

  async fill(series: Series, n: number, at: number): Promise<number> {
    const { role } = series;
    const array = this.#arrays.get(role) as Elements;
    if (role === 'predictions' && this.#isMissing) {
      this.#mask?.fill(1);
      this.#isMissing = false;
    }
    return series.read(array, n, (i) => {
      if (role === 'weights' || role === 'masks')
        throw new DataError(`${series.placeOf(at + i)}: a value of the ${role} is missing`);
      (this.#mask as Uint8Array)[i] = 0;
      this.#isMissing = true;
    });
  }

  chunk(n: number): Chunk {
    const part = (role: string) => this.#arrays.get(role)?.subarray(0, n);
    const masks = part('masks');
    const mask = this.#mask?.subarray(0, n);
    if (masks && mask) {
      // What is missing stays out.
      for (let i = 0; i < n; i++) if (masks[i] === 0) mask[i] = 0;
      this.#isMissing = true;
    }
    return {
      n,
      input: part('predictions') as Elements,
      target: part('targets') as Elements,
      options: {
        weight: part('weights') as Float32Array | undefined,
        mask: this.#isMissing ? mask : undefined,
      },
    };
  }
}

function arrayOf(role: string, type: ElementType, size: number): Elements {
  if (role === 'masks') return new Float32Array(size);
  if (type === 'float32' || role === 'weights') return float32(size);
  const { buffer, byteOffset } = float32(Math.ceil(size / 2));
  return new Uint16Array(buffer, byteOffset, size);
}

/** The losses of rows, one a line or as JSON, as they come. */
class Rows {
  readonly #isJson: boolean;
  #isFirst = true;

  constructor(isJson: boolean) {
    this.#isJson = isJson;
  }

  async add(losses: Float32Array): Promise<void> {
    const texts = Array.from(losses, (loss) => (this.#isJson ? jsonOf(loss) : String(loss)));
    if (!this.#isJson) return print(`${texts.join('\n')}\n`);
    await print(`${this.#isFirst ? '{"losses":[' : ','}${texts.join()}`);
    this.#isFirst = false;
  }

  async end(elements: number): Promise<void> {
    if (!this.#isJson) return;
    await print(`${this.#isFirst ? '{"losses":[' : ''}],"elements":${elements}}\n`);
  }
}
