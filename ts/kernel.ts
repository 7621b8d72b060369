// The kernel: a memory, the module over it, and all state of a call. Several can exist; the functions
// of the package use one, which starts on first use.

import { CAPACITY, compile, START } from '#module';
import type { Binding } from './bind.ts';
import { checkNumber, describe, isRevoked } from './check.ts';
import { EXACT_WORDS, TOTALS_WORDS, totals } from './generated/job.ts';
import {
  ALIGNMENT,
  fixedMemory,
  Heap,
  type Home,
  PAGE,
  roundUp,
  SKEW,
  sharedMemory,
} from './heap.ts';
import { type Exports, JOB_BYTES, Job, type Views } from './job.ts';
import { read } from './options.ts';
import { createPlainKernel, PlainHome } from './plain-kernel.ts';
import type { Plan } from './plan.ts';
import { Stage } from './stage.ts';
import { countChange } from './stamp.ts';
import { clearTotals } from './totals.ts';
import { Sums } from './walk.ts';

/**
 * What computes: `"wasm-shared"`, WebAssembly SIMD over a shared memory that grows; `"wasm"`, the
 * same over an unshared memory of a fixed size; `"js"`, plain JavaScript.
 */
export type Backend = 'wasm-shared' | 'wasm' | 'js';

/** A compiled module; of any type where a project's libraries do not know WebAssembly. */
export type WasmModule = typeof globalThis extends {
  WebAssembly: { Module: { prototype: infer Module } };
}
  ? Module
  : object;

/** A memory, likewise. */
export type WasmMemory = typeof globalThis extends {
  WebAssembly: { Memory: { prototype: infer Memory } };
}
  ? Memory
  : object;

/** Options of {@link load}. */
export interface LoadOptions {
  /** The backend to use. Without it, the first that works. */
  backend?: Backend | undefined;
  /** The compiled kernel, for hosts that do not compile bytes: `smooth_l1_shared.wasm` for a shared memory, else `smooth_l1.wasm`. */
  module?: WasmModule | undefined;
  /** The memory to work in. What it holds stays untouched: the kernel uses what it adds by growing. */
  memory?: WasmMemory | undefined;
  /** Bytes of memory: the most that `"wasm-shared"` grows to (default 4 GiB), all that `"wasm"` has (default 256 MiB, on Cloudflare Workers 48 MiB). */
  capacity?: number | undefined;
}

/** Threads that take a part of long calls. */
export interface Helpers {
  readonly threads: number;
  /** Computes the elements `first .. first + n` together, in pieces of that size, and leaves what they add up to in the kernel's sums; false, having done nothing, if that takes longer. */
  share(kernel: Kernel, job: Job, first: number, n: number, size: number): boolean;
  /** Releases memory of a call that has ended, as soon as no thread reads it. */
  release(home: Home, offsets: number[]): void;
  /** Tells the threads of a kernel that was attached. What its owner's allocator throws comes through. */
  attached(): void;
  /** Tells the threads of a kernel that was detached; calls `then` as soon as none of them can be in its memory. */
  detached(kernel: Kernel, then: () => void): void;
  /** Ends all threads; resolves when they have ended. */
  end(): Promise<unknown>;
}

/** Jobs whose words are kept. A loop over a few losses finds its words in place. */
const JOBS = 16;

/** What a kernel is made of. */
interface Parts {
  readonly backend: Backend;
  /** Where arrays are made. */
  readonly home: Home;
  /** Views on the memory that jobs and sums are in. */
  readonly views: Views;
  readonly exports: Exports;
  /** Undefined where nothing is copied: in plain JavaScript, and in an attached memory. */
  readonly stage: Stage | undefined;
  /** The byte offset of the working memory. */
  readonly work: number;
  /** The byte offset of the jobs. */
  readonly jobs: number;
  readonly module?: WebAssembly.Module;
  readonly memory?: WebAssembly.Memory;
}

export class Kernel {
  readonly backend: Backend;
  readonly home: Home;
  readonly views: Views;
  readonly stage: Stage | undefined;
  readonly work: number;
  readonly workBytes: number;
  readonly module: WebAssembly.Module | undefined;
  readonly memory: WebAssembly.Memory | undefined;
  readonly sums = new Sums();
  /** The threads of `setNumThreads`; in an attached memory, once they were told of it. */
  helpers: Helpers | undefined = undefined;
  /** Why the first backend that was tried does not run here. */
  refused: string | undefined;
  readonly #jobs: readonly Job[];
  /** Memory that the running call took for itself. */
  #taken: number[] = [];

  constructor(parts: Parts) {
    const { backend, home, views, exports, stage, work, jobs, module, memory } = parts;
    this.backend = backend;
    this.home = home;
    this.views = views;
    this.stage = stage;
    this.work = work;
    this.workBytes = exports.work_size();
    this.module = module;
    this.memory = memory;
    this.#jobs = Array.from(
      { length: JOBS },
      (_, i) => new Job(views, exports, jobs + i * JOB_BYTES),
    );
  }

  /** The job of a plan, with all words that are the same for each call. */
  jobOf(plan: Plan): Job {
    // The owner of the memory may have grown it.
    if (this.views.u32.length === 0) (this.home as Heap).refresh();
    const job = this.#jobs[plan.id & (JOBS - 1)] as Job;
    job.hold(plan);
    return job;
  }

  /** The arrays of the job at that byte offset, in plain JavaScript: the first is at 0. */
  bindingAt(address: number): Binding {
    return (this.#jobs[address / JOB_BYTES] as Job).binding;
  }

  /** Computes `n` elements from `first` on. What they add up to is in the sums then. */
  compute(job: Job, first: number, n: number): void {
    this.clearTotals(job);
    job.run(first, n, this.work);
    this.readTotals(job);
  }

  /** Sets the totals to 0, for the runs that follow to add to. */
  clearTotals(job: Job): void {
    const { f64, u32 } = this.views;
    const at = this.work >>> 3;
    clearTotals(f64, at, u32, 2 * (at + TOTALS_WORDS), job.isExact);
  }

  /** Makes what the runs added up the sums. */
  readTotals(job: Job): void {
    const { f64, u32 } = this.views;
    const at = this.work >>> 3;
    this.sums.loss = f64[at + totals.LOSS] as number;
    this.sums.count = f64[at + totals.COUNT] as number;
    if (!job.isExact) return;
    this.sums.clearExact();
    this.sums.addExact(u32, 2 * (at + TOTALS_WORDS));
  }

  /** Whether arrays are used wherever they are: in plain JavaScript. */
  get isPlain(): boolean {
    return this.memory === undefined;
  }

  /** Whether it is in the memory of another program. */
  get isAttached(): boolean {
    return this.memory !== undefined && this.stage === undefined;
  }

  /** Makes sure that there is room for `bytes` bytes, which the running call takes later. */
  reserve(bytes: number, fn: string): void {
    this.home.release(this.home.allocate(bytes, fn));
  }

  /** Takes memory until the call ends. */
  take(bytes: number, fn: string): number {
    const offset = this.home.allocate(bytes, fn);
    this.#taken.push(offset);
    return offset;
  }

  /** Ends a call. */
  end(): void {
    if (this.#taken.length === 0) return;
    const taken = this.#taken;
    this.#taken = [];
    if (this.helpers) this.helpers.release(this.home, taken);
    else for (const offset of taken) this.home.release(offset);
  }
}

/** The compiled kernel over a memory, which exists: so the host has WebAssembly. */
function instantiate(
  isShared: boolean,
  memory: WebAssembly.Memory,
  given: WasmModule | undefined,
): { module: WebAssembly.Module; exports: Exports } {
  const module = given ?? compile(isShared);
  if (!module) throw new Error('this entry has no such module');
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  return { module, exports: exports as unknown as Exports };
}

/** A kernel in WebAssembly. */
function wasmKernel(
  backend: 'wasm-shared' | 'wasm',
  { module: given, memory: owned, capacity }: LoadOptions,
): Kernel {
  if (typeof WebAssembly !== 'object') throw new Error('this host has no WebAssembly');
  const isShared = backend === 'wasm-shared';
  const memory = owned ?? (isShared ? sharedMemory(capacity) : fixedMemory(capacity ?? CAPACITY));
  if (!memory) throw new Error('this host has no shared memory');
  const { module, exports } = instantiate(isShared, memory, given);
  // The memory's owner had its views before: an unshared one is grown once, here.
  const start =
    owned && !isShared ? owned.grow(Math.ceil((capacity ?? CAPACITY) / PAGE)) * PAGE : 0;
  const heap = new Heap(
    isShared ? { kind: 'growing', memory } : { kind: 'fixed', memory, start, isOwned: !owned },
  );
  return kernelOver(heap, backend, memory, module, exports, new Stage(heap));
}

/** A kernel in the memory of another program, which lends what it takes. */
export function attachedKernel(
  memory: WebAssembly.Memory,
  given: WasmModule | undefined,
  take: (bytes: number, asker: string) => [start: number, end: number],
): Kernel {
  const isShared = isSharedMemory(memory);
  const { module, exports } = instantiate(isShared, memory, given);
  // Its working memory and its jobs, and the heap's own word.
  const first = roundUp(exports.work_size()) + SKEW + roundUp(JOBS * JOB_BYTES) + ALIGNMENT;
  const heap = new Heap({ kind: 'lent', memory, isShared, first, take });
  return kernelOver(heap, isShared ? 'wasm-shared' : 'wasm', memory, module, exports, undefined);
}

function kernelOver(
  heap: Heap,
  backend: Backend,
  memory: WebAssembly.Memory,
  module: WebAssembly.Module,
  exports: Exports,
  stage: Stage | undefined,
): Kernel {
  return new Kernel({
    backend,
    home: heap,
    views: heap,
    exports,
    stage,
    work: heap.allocate(exports.work_size(), 'smooth-l1'),
    jobs: heap.allocate(JOBS * JOB_BYTES, 'smooth-l1'),
    module,
    memory,
  });
}

/** A kernel in plain JavaScript. It has no memory but for its jobs and sums. */
function plainKernel(): Kernel {
  const work = JOBS * JOB_BYTES;
  const buffer = new ArrayBuffer(work + 8 * (TOTALS_WORDS + EXACT_WORDS));
  const views = {
    u8: new Uint8Array(buffer),
    u32: new Uint32Array(buffer),
    f32: new Float32Array(buffer),
    f64: new Float64Array(buffer),
  };
  const exports = createPlainKernel(views, (address) => kernel.bindingAt(address));
  const kernel = new Kernel({
    backend: 'js',
    home: new PlainHome(),
    views,
    exports,
    stage: undefined,
    work,
    jobs: 0,
  });
  return kernel;
}

/** The kernel that functions use. */
let current: Kernel | undefined;

/** In the order in which they are tried. */
const BACKENDS: readonly Backend[] = ['wasm-shared', 'wasm', 'js'];

/** The kernels in memories of other programs, which take the calls whose arrays all lie there. */
export const attachedKernels: Kernel[] = [];

/** What will be tried first. */
const FIRST = BACKENDS[typeof WebAssembly === 'object' ? START : 2] as Backend;

/**
 * What is really running. Before the first use it is what will be tried first: `"wasm"` on
 * Cloudflare Workers, `"js"` in `smooth-l1/reference` and where there is no WebAssembly.
 *
 * @example
 * ```ts
 * import { backend, load } from 'smooth-l1';
 * load(); // or any other first use
 * if (backend === 'js') console.warn('No WebAssembly SIMD here: losses will be slow.');
 * console.log(backend); // wasm-shared
 * ```
 */
export let backend: Backend = FIRST;

/** The kernel, started if it is not running yet. */
export function theKernel(): Kernel {
  if (current === undefined) use(startKernel(read('load', {}, [])));
  return current as unknown as Kernel;
}

/** The kernel, if it is running. */
export function runningKernel(): Kernel | undefined {
  return current;
}

/** Makes functions use this kernel from now on. With none, the next use starts one. */
export function use(kernel: Kernel | undefined): void {
  current = kernel;
  backend = kernel?.backend ?? FIRST;
}

/**
 * How many bytes were copied so far, into the kernel's memory or out of it, because an array of a
 * call was elsewhere. It stays 0 as long as all arrays are made by `float32()`, and with the
 * backend `"js"`, which uses arrays wherever they are. After {@link unload} it is 0 again.
 *
 * @example
 * ```ts
 * import { copiedBytes, float32, l1Loss } from 'smooth-l1';
 * const before = copiedBytes();
 * l1Loss(float32(10), float32(10));
 * console.log(copiedBytes() - before); // 0
 * l1Loss(new Float32Array(10), new Float32Array(10));
 * console.log(copiedBytes() - before); // 80
 * ```
 */
export function copiedBytes(): number {
  return current?.stage?.copied ?? 0;
}

/**
 * Starts the kernel, for hosts that must supply its module or its memory, and for choosing a
 * backend. Nobody else needs to call it: the kernel starts on first use.
 *
 * @throws {TypeError} if an option has the wrong type, or has no use.
 * @throws {RangeError} if an option has a wrong value.
 * @throws {Error} if the kernel runs already, since a first use or since `load`, and was not unloaded; or if
 *   what is asked for cannot run here.
 * @example
 * ```ts
 * import { backend, load } from 'smooth-l1';
 * load({ backend: 'wasm', capacity: 64 * 2 ** 20 });
 * console.log(backend); // wasm
 * ```
 */
export function load(options: LoadOptions = {}): void {
  const own = read('load', options, ['backend', 'module', 'memory', 'capacity']);
  const { backend: wanted, module, memory, capacity } = own;
  if (wanted !== undefined && !BACKENDS.includes(wanted)) {
    const error = typeof wanted === 'string' ? RangeError : TypeError;
    throw new error(`load: backend must be "wasm-shared", "wasm" or "js", got ${describe(wanted)}`);
  }
  checkInstance('load', 'module', 'Module', module);
  checkInstance('load', 'memory', 'Memory', memory);
  if (capacity !== undefined) {
    checkNumber('load', 'capacity', capacity);
    if (!(capacity >= 2 ** 20 && capacity < 2 ** 32))
      throw new RangeError(`load: capacity must be from 1 MiB to less than 4 GiB, got ${capacity}`);
  }
  for (const [name, value] of Object.entries({ module, memory, capacity }))
    if (wanted === 'js' && value !== undefined)
      throw new TypeError(
        `load: ${name} has no use with backend "js", which has no memory of its own`,
      );
  if (current)
    throw new Error(
      `load: the kernel runs already (${current.backend}); load must come before the first use, or after unload()`,
    );
  if (attachedKernels.some((kernel) => kernel.memory === memory))
    throw new Error('load: memory is attached; a memory is for attach, or for load');
  use(startKernel(own));
}

/** Resolves when the threads of all kernels that were unloaded have ended. */
let unloading: Promise<void> | undefined;

/**
 * Gives back all that the package holds: its memory with everything in it, and its threads. `free` makes
 * room for other arrays, but the memory never shrinks. The next use of any function starts anew, with
 * {@link load} as before the first use, and with `setNumThreads` where there were threads.
 *
 * All of it is given up at once, before the promise resolves. The host takes memory back when it collects
 * garbage, once nobody holds an array that was in it: drop these arrays too. To use one in a call is an
 * error, as after {@link free}; `free` and `using` still take it. Memories that are attached stay so, and
 * a memory that was given to `load` stays its owner's.
 *
 * @returns a promise that resolves when the threads have ended. Without threads it need not be awaited.
 * @example
 * ```ts
 * import { float32, l1Loss, unload } from 'smooth-l1';
 * let input: Float32Array | undefined = float32(2 ** 20);
 * input = undefined;
 * await unload();
 * console.log(l1Loss(float32([1, 2]), float32(2))); // 1.5
 * ```
 */
export function unload(): Promise<void> {
  const kernel = current;
  use(undefined);
  if (kernel) {
    kernel.home.isUnloaded = true;
    countChange();
  }
  const ended = Promise.all([unloading, kernel?.helpers?.end()]).then(() => {});
  // Who calls again waits for the same threads, but the error of a worker is for the first.
  unloading = ended.catch(() => {});
  return ended;
}

/** Throws for what is no object of that type of WebAssembly, unless it is undefined. */
export function checkInstance(
  fn: string,
  name: string,
  type: 'Module' | 'Memory',
  value: unknown,
): void {
  if (value === undefined) return;
  const isOf =
    typeof WebAssembly === 'object' && !isRevoked(value) && value instanceof WebAssembly[type];
  if (!isOf)
    throw new TypeError(`${fn}: ${name} must be a WebAssembly.${type}, got ${describe(value)}`);
}

function isSharedMemory(memory: WasmMemory): boolean {
  return (memory as WebAssembly.Memory).buffer.constructor.name === 'SharedArrayBuffer';
}

/** Starts the first kernel that works. */
export function startKernel(options: LoadOptions): Kernel {
  const { memory } = options;
  const wanted = options.backend ?? (memory && (isSharedMemory(memory) ? 'wasm-shared' : 'wasm'));
  // A module that was given must run: there is no fallback to JavaScript.
  const candidates = wanted
    ? [wanted]
    : options.module
      ? BACKENDS.slice(0, 2)
      : BACKENDS.slice(START);
  const reasons: string[] = [];
  for (const candidate of candidates) {
    try {
      const kernel = candidate === 'js' ? plainKernel() : wasmKernel(candidate, options);
      kernel.refused = reasons[0];
      return kernel;
    } catch (error) {
      reasons.push(`${candidate}: ${(error as Error).message}`);
    }
  }
  throw new Error(`smooth-l1 cannot run here (${reasons.join('; ')})`);
}
