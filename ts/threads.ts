// All cores: a pool of workers that share the kernel's memory, and the calling thread.
//
// The pool is one for all memories: the package's own and the shared ones that are attached. In each it has a
// place, with the job and a working memory for each worker; the block through which threads meet is in the
// package's own. Orders tell workers which places there are. A call in a place is shared once all workers
// have answered to the orders that have it, so that whoever claims a piece has a kernel there.
//
//   caller   write the job, CLAIM = pieces but the first, which it keeps, ring BELL
//            compute these; claim others and compute them, as everybody does: several at a time while many are left
//            wait until DONE + its own = all pieces, add the sums up in order
//
//   worker   asleep --BELL--> claim --left--> compute each, leave its sums, flag it; DONE + share --> claim
//               ^               |
//               +---- none -----+   (after a short spin)
//
//   either   RETIRED: the pool is over. A worker stops before its next piece.
//            ORDERS: there is a message. A worker that has no piece leaves its loop to get it.
//
// Claims and DONE are read-modify-write operations, so each piece has one owner, and the caller
// sees DONE only after the sums and results that were written before it (all are sequentially
// consistent, which the memory model of JavaScript gives to every Atomics operation).
//
// No wake-up is lost: a worker reads BELL before it looks at RETIRED, ORDERS and CLAIM, and whoever changes
// one of these rings afterwards, so that a worker that saw what was before does not fall asleep.
//
// No job is lost: if pieces are missing and nothing has moved for DEADLINE_MS, or if what is missing
// is what workers had claimed that failed, the caller retires the pool and computes every piece that
// has no flag itself. No job is run twice with effect: a piece's results depend on its inputs alone,
// which the call leaves unchanged (a call with an output on top of an input stays on one thread: of a
// piece that a lost thread left half done, neither the input nor a copy would be there), so that a late
// worker writes the same bits. A retired pool's memory, the job among it, is not used again before its
// workers are gone.
//
// Nothing is written after the call: a worker looks at RETIRED before each piece, and counts what it
// claimed, in DONE or in FAILED, after the last piece that it begins. The caller sets RETIRED, then waits
// until all is counted, and only then has workers terminated. What remains is a worker that the system
// stops within a piece for LATE_MS more: the caller cannot tell it from one that has ended there.
//
// test/threads/model.ts goes through every order of all these steps, with workers that stop at any.
import { ways } from '#spawn';
import { checkNumber, describe } from './check.ts';
import {
  AWAKE,
  BELL,
  CLAIM,
  CONTROL_BYTES,
  type Control,
  control,
  DONE,
  END,
  EXACTS,
  FAILED,
  FIRST,
  MAX_PIECES,
  ORDERS,
  type Orders,
  PIECES,
  PLACE,
  RETIRED,
  SIZE,
} from './control.ts';
import { JOB_WORDS, PIECE } from './generated/job.ts';
import { type Home, roundUp } from './heap.ts';
import { JOB_BYTES, type Job } from './job.ts';
import { attachedKernels, type Helpers, type Kernel, runningKernel, theKernel } from './kernel.ts';
import { builtin } from './node.ts';
import { read } from './options.ts';
import { Sums } from './walk.ts';

/**
 * A call of fewer elements stays on one thread. Two that are awake are 1.2 to 1.5 times as fast as one at
 * this length.
 */
const THRESHOLD = 4 * PIECE;
/**
 * A call of fewer wakes no workers, unless the one before has just ended. Ringing takes 3 to 10 us, and
 * they come after 30 to 60: it made calls of 262,144 elements 10 % slower than alone, and those of this
 * length 20 % faster. (All on two cores of a virtual Xeon under Node 20.)
 */
const WAKE_THRESHOLD = 64 * PIECE;
/** Calls that follow so soon find the workers that the first of them wakes, since these spin as long. */
const JUST_MS = 0.2;
const DEADLINE_MS = 1000;
/**
 * So long a pool that was given up may be at the pieces that it had begun, before the call returns without
 * it. A worker that is alive comes back sooner from what schedulers do; one that was ended within a piece
 * never does, which no caller can see: it hears of ends between calls.
 */
const LATE_MS = 10_000;
/** After so long without a finished piece, workers may be waiting for the caller's own core. */
const REST_MS = 0.2;
const START_MS = 20_000;
const GRACE_MS = 1000;
const MAX_THREADS = 256;
const MAX_RESTARTS = 3;
/** Where the working memories of a place begin, after its job. */
const WORK_AT = /* @__PURE__ */ roundUp(JOB_BYTES);

/** What a pool needs of a worker: that of `node:worker_threads`, or of a browser. */
export interface WorkerLike {
  postMessage(message: unknown): void;
  terminate(): unknown;
  /** Node: lets the process end while the worker lives. */
  unref?(): void;
  /** Node. */
  on?(event: 'message' | 'error' | 'exit', listener: (value: unknown) => void): unknown;
  onmessage?: unknown;
  onerror?: unknown;
}

/** Options of {@link setNumThreads}. */
export interface ThreadOptions {
  /** Makes a worker that runs `smooth-l1/worker`, for hosts that need a way of their own. */
  createWorker?: () => WorkerLike;
  /** Called when a thread was lost, and when the pool could not be restored. Without it nothing is said: results are right all the same. */
  onWarning?: (message: string) => void;
}

/** What a pool has in the memory of a kernel. */
interface Place {
  readonly id: number;
  /** The byte offset of the job. The working memories follow. */
  readonly job: number;
  readonly jobWords: Uint32Array;
  /** The orders that have it. */
  readonly since: number;
}

/** The workers, and what they share. */
interface Pool {
  readonly threads: number;
  readonly workers: WorkerLike[];
  readonly control: Control;
  readonly options: ThreadOptions;
  /** The byte offset of the control block. */
  readonly address: number;
  /** Where it computes; the package's own kernel comes first. */
  readonly places: Map<Kernel, Place>;
  /** How many places it has had. */
  ids: number;
  /** Orders that were sent after the first ones, and how many of them each worker has answered to. */
  orders: number;
  readonly answers: number[];
  /** Called when all workers have answered to all orders, or when the pool is over. */
  readonly waiting: (() => void)[];
  /** What is done once its workers are gone, such as releasing what it took of a memory. */
  readonly atEnd: (() => void)[];
  /** Workers that a job wakes: not more than there are cores for. */
  readonly wanted: number;
  /** When the last call that it could take part in ended. */
  ended: number;
  /** Workers that are known to be gone. */
  gone: number;
  /** Whether it was given up in the middle of a call. */
  isLate: boolean;
  /** Why a worker was lost before the pool was complete. */
  failure?: string;
}

/**
 * Sets how many threads a call may use, the calling one included. Functions stay synchronous, and
 * their results stay the same to the bit. Calls of fewer than 32,768 elements, calls that copy,
 * accumulate, or write over one of their inputs, and calls with thresholds for each of more than
 * 131,072 columns, use one thread.
 *
 * @param n from 1 to 256. More than there are cores brings nothing.
 * @returns a promise that resolves when the threads run.
 * @throws {TypeError} if `n` is not a number; {RangeError} if it is not an integer from 1 to 256;
 *   {Error} if this host has no shared memory, or a worker does not start. All reject the promise
 *   and change nothing.
 * @see `torch.set_num_threads`
 * @example
 * ```ts
 * import { getNumThreads, setNumThreads } from 'smooth-l1';
 * await setNumThreads(1);
 * console.log(getNumThreads()); // 1
 * ```
 */
export function setNumThreads(n: number, options: ThreadOptions = {}): Promise<void> {
  const kernel = theKernel();
  if (!(kernel.helpers instanceof Threads)) kernel.helpers = new Threads(kernel);
  return (kernel.helpers as Threads).set(n, options);
}

function checkHooks(given: ThreadOptions): ThreadOptions {
  const options = read('setNumThreads', given, ['createWorker', 'onWarning']);
  for (const [name, value] of Object.entries(options))
    if (value !== undefined && typeof value !== 'function')
      throw new TypeError(`setNumThreads: ${name} must be a function, got ${describe(value)}`);
  return options;
}

/**
 * How many threads a call may use now. It is 1 until {@link setNumThreads} resolves, and while a
 * pool that lost a thread is being restored.
 *
 * @example
 * ```ts
 * import { getNumThreads } from 'smooth-l1';
 * console.log(getNumThreads()); // 1
 * ```
 */
export function getNumThreads(): number {
  return runningKernel()?.helpers?.threads ?? 1;
}

/** The threads of one kernel. */
class Threads implements Helpers {
  readonly #kernel: Kernel;
  #pool: Pool | undefined;
  /** The last change of the pool that was asked for; the next one waits for it. */
  #change: Promise<void> = Promise.resolve();
  /** How often `set` had its way: a lost pool is not restored after that has asked for another. */
  #changes = 0;
  #restarts = 0;
  /** Pools whose workers are not known to be gone: the running one, and those that are ending. */
  readonly #pools = new Set<Pool>();
  /** Workers that were given up in the running call, and may still read what its job points to. */
  #lost: Pool | undefined;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  get threads(): number {
    return this.#pool?.threads ?? 1;
  }

  set(n: number, given: ThreadOptions): Promise<void> {
    const next = this.#change.then(async () => {
      checkNumber('setNumThreads', 'n', n);
      if (!(Number.isInteger(n) && n >= 1 && n <= MAX_THREADS))
        throw new RangeError(
          `setNumThreads: n must be an integer from 1 to ${MAX_THREADS}, got ${n}`,
        );
      let options = checkHooks(given);
      const pool = this.#pool;
      if (pool?.threads === n && Object.keys(options).length === 0) {
        await haveAnswered(pool);
        if (n === this.threads) return;
        // It was lost meanwhile: another one is made as it was.
        options = pool.options;
      }
      this.#use(n > 1 ? await this.#start(n, options) : undefined);
      this.#changes++;
      this.#restarts = 0;
    });
    this.#change = next.catch(() => {});
    return next;
  }

  end(): Promise<unknown> {
    const next = this.#change.then(async () => {
      this.#use(undefined);
      this.#changes++;
      await Promise.all(Array.from(this.#pools, ended));
      // Else it would hold the memory that was unloaded.
      for (const kernel of attachedKernels) if (kernel.helpers === this) kernel.helpers = undefined;
    });
    this.#change = next.catch(() => {});
    return next;
  }

  attached(): void {
    if (this.#pool) this.#follow(this.#pool);
  }

  detached(kernel: Kernel, then: () => void): void {
    // No job is there between two calls: the workers of the pool do not touch it any more.
    if (this.#pool) this.#follow(this.#pool);
    const late = Array.from(this.#pools).find((pool) => pool.isLate && pool.places.has(kernel));
    if (late) late.atEnd.push(() => this.detached(kernel, then));
    else then();
  }

  /** Makes a pool the one that calls use, or none. */
  #use(started: Pool | undefined): void {
    if (started) {
      try {
        // Memories may have been attached or detached while it started, and a worker that was ready may have
        // ended while the others started.
        this.#follow(started);
        if (started.failure !== undefined) throw notStarted(started.failure);
      } catch (error) {
        retire(started);
        throw error;
      }
    }
    const old = this.#pool;
    this.#pool = started;
    if (old) retire(old);
  }

  /** Gives a pool a place in each memory that is attached, and in no other. */
  #follow(own: Pool): void {
    const { places } = own;
    const wanted = attachedKernels.filter(isShared);
    const left = [...places.keys()].filter((at) => at !== this.#kernel && !wanted.includes(at));
    const entered = wanted.filter((kernel) => !places.has(kernel));
    if (left.length + entered.length === 0) return;
    for (const kernel of left) places.delete(kernel);
    for (const kernel of entered) this.#enter(own, kernel, 'attach');
    this.#tell(own);
  }

  /** Takes the memory of a place, which the next orders have. */
  #enter(own: Pool, kernel: Kernel, asker: string): void {
    const { home, views, workBytes } = kernel;
    const job = home.allocate(WORK_AT + (own.threads - 1) * roundUp(workBytes), asker);
    // An allocator of somebody's may have attached or detached a memory, and so brought us here before.
    if (own.places.has(kernel)) {
      home.release(job);
      return;
    }
    own.places.set(kernel, {
      id: own.ids++,
      job,
      jobWords: new Uint32Array(views.u32.buffer, job, JOB_WORDS),
      since: own.orders + 1,
    });
    kernel.helpers = this;
  }

  /** Sends orders to all workers. */
  #tell(own: Pool): void {
    own.orders++;
    try {
      for (const [i, worker] of own.workers.entries()) worker.postMessage(ordersFor(own, i));
    } catch (error) {
      this.#miss(own, messageOf(error));
      return;
    }
    Atomics.add(own.control.words, ORDERS, 1);
    ring(own);
    const timer = setTimeout(
      () => this.#miss(own, `it has not answered within ${START_MS / 1000} s`),
      START_MS,
    );
    own.waiting.push(() => clearTimeout(timer));
  }

  /** A worker of a pool is lost. */
  #miss(own: Pool, reason: string): void {
    own.failure ??= reason;
    if (this.#pool === own) this.#lose(own, `a thread was lost (${reason})`);
  }

  share(kernel: Kernel, job: Job, first: number, n: number, size: number): boolean {
    const own = this.#pool;
    if (!own || n < THRESHOLD || own.wanted === 0) return false;
    const place = own.places.get(kernel);
    if (!place || own.answers.some((answer) => answer < place.since)) return false;
    const rings = n >= WAKE_THRESHOLD || performance.now() - own.ended < JUST_MS;
    if (rings || Atomics.load(own.control.words, AWAKE) > 0)
      this.#inTurns(kernel, job, first, n, size, rings);
    else kernel.compute(job, first, n);
    own.ended = performance.now();
    return true;
  }

  /** Computes a job together, as many pieces at a time as there is room for. */
  #inTurns(kernel: Kernel, job: Job, first: number, n: number, size: number, rings: boolean): void {
    const total = new Sums();
    const end = first + n;
    for (let from = first; from < end; ) {
      // A piece at a time, too, where a lost pool leaves the caller alone: the order of the sums is the same.
      const to = Math.min(from + (this.#pool ? MAX_PIECES : 1) * size, end);
      if (this.#pool) this.#runTogether(this.#pool, kernel, job, from, to, size, rings, total);
      else {
        kernel.compute(job, from, to - from);
        total.join(kernel.sums);
      }
      from = to;
    }
    kernel.sums.loss = total.loss;
    kernel.sums.count = total.count;
    kernel.sums.clearExact();
    kernel.sums.exactLoss.join(total.exactLoss);
    kernel.sums.exactCount.join(total.exactCount);
  }

  release(home: Home, offsets: number[]): void {
    const lost = this.#lost;
    this.#lost = undefined;
    const giveBack = (): void => {
      for (const offset of offsets) home.release(offset);
    };
    if (lost) {
      lost.atEnd.push(giveBack);
      release(lost);
    } else giveBack();
  }

  #runTogether(
    own: Pool,
    kernel: Kernel,
    job: Job,
    first: number,
    end: number,
    size: number,
    rings: boolean,
    total: Sums,
  ): void {
    const { sums } = kernel;
    const place = own.places.get(kernel) as Place;
    const pieces = Math.ceil((end - first) / size);
    const { words, flags, sums: pieceSums, exacts } = own.control;
    const { claim, shareOf, rangeOf, finish } = own.control;
    job.copyTo(place.jobWords);
    words[PLACE] = place.id;
    words[PIECES] = pieces;
    words[SIZE] = size;
    words[FIRST] = first;
    words[END] = end;
    flags.fill(0, 0, pieces);
    Atomics.store(words, DONE, 0);
    // The same in each call, since what they are about is in the caller's caches: with two threads
    // fused calls take 0.85 of the time at 64K, 0.9 at 128K and 256K.
    const kept = Math.floor((3 * pieces) / (4 * (own.wanted + 1)));
    Atomics.store(words, CLAIM, pieces - kept);
    Atomics.add(words, BELL, 1);
    const asleep = rings ? own.wanted - Atomics.load(words, AWAKE) : 0;
    if (asleep > 0) Atomics.notify(words, BELL, asleep);

    const compute = (index: number): void => {
      const [from, to] = rangeOf(index, size);
      kernel.compute(job, from, to - from);
      if (job.isExact) sums.writeExact(exacts, EXACTS * index);
      finish(index, sums.loss, sums.count);
    };
    for (let index = 0; index < kept; index++) compute(index);
    let computed = kept;
    for (let left = claim(); left > 0; left = claim()) {
      const begin = pieces - left;
      const share = shareOf(left);
      for (let index = begin; index < begin + share; index++) compute(index);
      computed += share;
    }
    if (!isFinished(own, pieces - computed)) {
      this.#lost = own;
      own.isLate = true;
      this.#lose(
        own,
        'a thread was lost in the middle of a call; the calling thread has done its part',
      );
      for (let index = 0; index < pieces; index++)
        if (Atomics.load(flags, index) === 0) compute(index);
    }
    for (let index = 0; index < pieces; index++) {
      total.add(pieceSums[2 * index] as number, pieceSums[2 * index + 1] as number);
      if (job.isExact) total.addExact(exacts, EXACTS * index);
    }
  }

  async #start(threads: number, options: ThreadOptions): Promise<Pool> {
    checkHost(this.#kernel);
    if (options.createWorker)
      return this.#startWith(options.createWorker, this.#prepare(threads, options));
    const reasons: string[] = [];
    for (const way of ways() as (() => WorkerLike)[]) {
      // A full memory is full whoever makes the workers.
      const prepared = this.#prepare(threads, options);
      try {
        return await this.#startWith(way, prepared);
      } catch (error) {
        reasons.push(messageOf(error).replace(/^setNumThreads: /, ''));
      }
    }
    throw new Error(
      `setNumThreads: this host starts no worker by itself (${reasons.join('; ')}); give createWorker, which makes one that runs smooth-l1/worker`,
    );
  }

  /** A pool without workers, with all memory that it needs. */
  #prepare(threads: number, options: ThreadOptions): Pool {
    const kernel = this.#kernel;
    const { home } = kernel;
    const address = home.allocate(CONTROL_BYTES, 'setNumThreads');
    const { buffer } = kernel.views.f32;
    new Uint8Array(buffer, address, CONTROL_BYTES).fill(0);
    const created: Pool = {
      threads,
      workers: [],
      control: control(buffer, address, threads),
      options,
      address,
      places: new Map(),
      ids: 0,
      orders: -1,
      answers: [],
      waiting: [],
      atEnd: [() => home.release(address), () => this.#pools.delete(created)],
      wanted: Math.min(threads, cores()) - 1,
      ended: -Infinity,
      gone: 0,
      isLate: false,
    };
    this.#pools.add(created);
    try {
      for (const at of [kernel, ...attachedKernels.filter(isShared)])
        this.#enter(created, at, 'setNumThreads');
    } catch (error) {
      retire(created);
      throw error;
    }
    created.orders = 0;
    return created;
  }

  /** Starts a pool of workers that are all made in one way. */
  async #startWith(make: () => WorkerLike, created: Pool): Promise<Pool> {
    try {
      const ready: Promise<void>[] = [];
      for (let i = 1; i < created.threads; i++) {
        const worker = make();
        if (typeof worker?.postMessage !== 'function' || typeof worker.terminate !== 'function') {
          endLater(worker);
          throw new TypeError(
            `setNumThreads: createWorker must return a worker, got ${describe(worker)}`,
          );
        }
        created.workers.push(worker);
        const isReady = this.#started(created, worker);
        // If the next one cannot be made, nobody waits for this one.
        isReady.catch(() => {});
        ready.push(isReady);
      }
      await Promise.all(ready);
    } catch (error) {
      retire(created);
      throw error;
    }
    return created;
  }

  /** Starts a worker; resolves when it is ready, and from then on looks after it. */
  #started(own: Pool, worker: WorkerLike): Promise<void> {
    const at = own.answers.push(-1) - 1;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error(`setNumThreads: a worker has not started within ${START_MS / 1000} s`));
      }, START_MS);
      const ready = (): void => {
        clearTimeout(timer);
        own.answers[at] = (own.answers[at] as number) + 1;
        if (hasAnswered(own)) endWaiting(own);
        resolve();
      };
      const failed = (error: unknown): void => {
        clearTimeout(timer);
        reject(notStarted(messageOf(error)));
        this.#miss(own, messageOf(error));
      };
      let isGone = false;
      // Once for each worker, whatever it says: the others may still use the memory of the pool.
      const gone = (reason = 'it ended'): void => {
        failed(reason);
        if (isGone) return;
        isGone = true;
        own.gone++;
        release(own);
      };
      if (worker.on) {
        worker.on('message', ready);
        worker.on('error', failed);
        worker.on('exit', () => gone());
      } else {
        worker.onmessage = ({ data }: { data: string }) => (data === 'gone' ? gone() : ready());
        worker.onerror = (event: { message?: string; preventDefault?: () => void }) => {
          event.preventDefault?.();
          if (event.message !== undefined) return failed(event.message);
          // It has never run, and never will.
          gone(`its script could not be loaded; ${WORKER_HEADER}`);
        };
      }
      try {
        worker.postMessage(ordersFor(own, at));
        worker.unref?.();
      } catch (error) {
        failed(error);
      }
    });
  }

  /** Gives a pool up that lost a worker, and starts another. */
  #lose(own: Pool, message: string): void {
    // First, since some hosts tell the end of a worker while they are asked to end it.
    this.#pool = undefined;
    retire(own);
    warn(own, message);
    if (++this.#restarts > MAX_RESTARTS) {
      warn(own, `threads were lost ${this.#restarts} times; one thread does everything now`);
      return;
    }
    const seen = this.#changes;
    this.#change = this.#change.then(async () => {
      if (this.#changes !== seen) return;
      try {
        this.#use(await this.#start(own.threads, own.options));
      } catch (error) {
        warn(own, `${messageOf(error)}; one thread does everything now`);
      }
    });
  }
}

/**
 * Waits for the workers' pieces; false if some are missing, as workers failed or are late. The pool is
 * over then.
 */
function isFinished({ control: { words } }: Pool, wanted: number): boolean {
  if (haveStopped(words, wanted, DEADLINE_MS)) return Atomics.load(words, DONE) === wanted;
  // Those that are late stop before their next piece, and are not ended before they have said so: what
  // they write after the call would fall on what the program has put there.
  Atomics.store(words, RETIRED, 1);
  haveStopped(words, wanted, LATE_MS);
  return false;
}

/** Waits until all shares are counted, as done or as failed; false if nothing has moved for so long. */
function haveStopped(words: Int32Array, wanted: number, patience: number): boolean {
  let seen = -1;
  let since = 0;
  for (;;) {
    for (let i = 0; i < 500; i++) if (Atomics.load(words, DONE) === wanted) return true;
    const done = Atomics.load(words, DONE);
    if (done + Atomics.load(words, FAILED) === wanted) return true;
    const now = performance.now();
    if (done !== seen) {
      seen = done;
      since = now;
    } else if (now > since + patience) return false;
    else if (now > since + REST_MS) rest(words, done);
  }
}

/** Leaves the core to others for a moment, if nothing changes meanwhile. */
function rest(words: Int32Array, done: number): void {
  try {
    Atomics.wait(words, DONE, done, 0.1);
  } catch {
    // The main thread of a page may not sleep.
  }
}

const HEADERS =
  'in a browser the page must be served with the headers "Cross-Origin-Opener-Policy: same-origin" and "Cross-Origin-Embedder-Policy: require-corp"';

const WORKER_HEADER =
  'where the page has the header "Cross-Origin-Embedder-Policy", the script needs it too';

/** Throws where there can be no workers. */
function checkHost({ backend, refused }: Kernel): void {
  const { crossOriginIsolated: isIsolated } = globalThis as { crossOriginIsolated?: boolean };
  // Where nothing is known of isolation, or where it is there, no header helps.
  const remedy = isIsolated === false ? `; ${HEADERS}` : '';
  if (backend !== 'wasm-shared')
    throw new Error(
      `setNumThreads: threads need the backend "wasm-shared", and the backend here is "${backend}" (${refused ?? 'chosen by load(), or by this entry of the package'})${backend === 'wasm' && refused ? remedy : ''}`,
    );
  if (isIsolated === false)
    throw new Error(`setNumThreads: this page is not cross-origin isolated${remedy}`);
  if (typeof SharedArrayBuffer === 'undefined')
    throw new Error('setNumThreads: this host shares no memory with workers');
}

function notStarted(reason: string): Error {
  return new Error(`setNumThreads: a worker did not start (${reason})`);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Ends the worker of an async `createWorker`, which would keep the process alive. */
function endLater(promised: unknown): void {
  const ended = Promise.resolve(promised as WorkerLike | undefined).then((worker) =>
    worker?.terminate?.(),
  );
  // What comes instead of a worker is not this package's.
  ended.catch(() => {});
}

/** Later, since a listener may call functions of this package, and one may be running now. */
function warn({ options }: Pool, message: string): void {
  queueMicrotask(() => options.onWarning?.(message));
}

function isShared({ backend }: Kernel): boolean {
  return backend === 'wasm-shared';
}

/** The orders of a worker: all places of its pool. */
function ordersFor({ address, threads, places }: Pool, worker: number): Orders {
  const all = Array.from(places, ([{ memory, module, workBytes }, { id, job }]) => ({
    id,
    memory: memory as WebAssembly.Memory,
    module: module as WebAssembly.Module,
    job,
    work: job + WORK_AT + worker * roundUp(workBytes),
  }));
  return { places: all, address, threads };
}

/** Whether all workers know all places. */
function hasAnswered({ answers, orders }: Pool): boolean {
  return answers.every((answer) => answer >= orders);
}

function haveAnswered(own: Pool): Promise<void> {
  return new Promise((resolve) => {
    if (hasAnswered(own)) resolve();
    else own.waiting.push(resolve);
  });
}

function endWaiting(own: Pool): void {
  for (const end of own.waiting.splice(0)) end();
}

/** Wakes all workers. */
function ring({ control: { words } }: Pool): void {
  Atomics.add(words, BELL, 1);
  Atomics.notify(words, BELL);
}

function retire(own: Pool): void {
  Atomics.store(own.control.words, RETIRED, 1);
  ring(own);
  for (const worker of own.workers) {
    // A browser says nothing when it has ended a worker, but the worker does when it ends itself.
    if (worker.on) worker.terminate();
    else setTimeout(() => worker.terminate(), GRACE_MS);
  }
  endWaiting(own);
  release(own);
}

function isGone({ gone, workers }: Pool): boolean {
  return gone >= workers.length;
}

/** Gives the memory of a pool back, once it is sure that its workers are gone. */
function release(own: Pool): void {
  if (!isGone(own) || Atomics.load(own.control.words, RETIRED) === 0) return;
  for (const [{ home }, { job }] of own.places) home.release(job);
  own.places.clear();
  for (const end of own.atEnd.splice(0)) end();
}

/** Waits until the workers of a retired pool have ended. */
async function ended(own: Pool): Promise<void> {
  if (own.workers.some((worker) => !worker.on))
    await new Promise<void>((resolve) => {
      own.atEnd.push(resolve);
      // One that hangs never says that it is gone.
      setTimeout(resolve, GRACE_MS);
    });
  // In Node it resolves when the thread has ended.
  await Promise.all(own.workers.map((worker) => worker.terminate()));
}

function cores(): number {
  const said: unknown =
    builtin('node:os')?.availableParallelism?.() ?? globalThis.navigator?.hardwareConcurrency;
  // A host, or a shield against fingerprinting, may say anything.
  return Number.isInteger(said) && (said as number) >= 1 ? (said as number) : 2;
}
