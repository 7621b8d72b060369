// The kernel that is really running, started on first use.

import { CAPACITY, compile } from '#module';
import { checkNumber, describe } from './check.ts';
import type { Exports } from './exports.ts';
import { JOB_WORDS } from './generated/job.ts';
import { fixedMemory, Heap, PAGE, sharedMemory } from './heap.ts';
import { checkNames } from './options.ts';
import { createPlainKernel } from './plain-kernel.ts';

/**
 * What computes: `"wasm-shared"`, WebAssembly SIMD over a shared memory that grows; `"wasm"`, the
 * same over an unshared memory of a fixed size; `"js"`, plain JavaScript.
 */
export type Backend = 'wasm-shared' | 'wasm' | 'js';

/** Options of {@link load}. */
export interface LoadOptions {
  /** The backend to use. Without it, the first that works. */
  backend?: Backend;
  /** The compiled kernel, for hosts that do not compile bytes: `smooth_l1_shared.wasm` for a shared memory, else `smooth_l1.wasm`. */
  module?: WebAssembly.Module;
  /** The memory to work in. What it holds stays untouched: the kernel uses what it adds by growing. */
  memory?: WebAssembly.Memory;
  /** Bytes of a memory that cannot grow (backends `"wasm"` and `"js"`). Default 256 MiB, on Cloudflare Workers 48 MiB. */
  capacity?: number;
}

/** A running kernel: its heap, and the places in it of the job and of the working memory. */
export interface Kernel {
  readonly backend: Backend;
  readonly heap: Heap;
  readonly run: Exports['run'];
  readonly module: WebAssembly.Module | undefined;
  readonly memory: WebAssembly.Memory | undefined;
  readonly job: number;
  readonly work: number;
  readonly workBytes: number;
}

const BACKENDS: readonly Backend[] = ['wasm-shared', 'wasm', 'js'];

let kernel: Kernel | undefined;

/**
 * What is really running. Before the first use it is what will be tried first.
 *
 * @example
 * ```ts
 * import { backend } from 'smooth-l1';
 * if (backend === 'js') console.warn('No WebAssembly SIMD here: losses will be slow.');
 * ```
 */
export let backend: Backend = typeof WebAssembly === 'object' ? 'wasm-shared' : 'js';

/** The kernel, started if it is not running yet. */
export function theKernel(): Kernel {
  return kernel ?? start({});
}

/**
 * Starts the kernel, for hosts that must supply its module or its memory, and for choosing a
 * backend. Nobody else needs to call it: the kernel starts on first use.
 *
 * @throws {TypeError} if an option has the wrong type.
 * @throws {RangeError} if an option has a wrong value.
 * @throws {Error} if the kernel runs already, or if what is asked for cannot run here.
 * @example
 * ```ts
 * import { backend, load } from 'smooth-l1';
 * load({ backend: 'wasm', capacity: 64 * 2 ** 20 });
 * console.log(backend); // wasm
 * ```
 */
export function load(options: LoadOptions = {}): void {
  checkNames('load', options, ['backend', 'module', 'memory', 'capacity']);
  const { backend: wanted, module, memory, capacity } = options;
  if (wanted !== undefined && !BACKENDS.includes(wanted)) {
    const error = typeof wanted === 'string' ? RangeError : TypeError;
    throw new error(`load: backend must be "wasm-shared", "wasm" or "js", got ${describe(wanted)}`);
  }
  checkInstance('module', 'Module', module);
  checkInstance('memory', 'Memory', memory);
  if (capacity !== undefined) {
    checkNumber('load', 'capacity', capacity);
    if (!(capacity >= 2 ** 20 && capacity < 2 ** 32))
      throw new RangeError(`load: capacity must be from 1 MiB to less than 4 GiB, got ${capacity}`);
  }
  if (kernel)
    throw new Error(
      `load: the kernel runs already (${kernel.backend}); load must come before the first use`,
    );
  start(options);
}

function checkInstance(name: string, type: 'Module' | 'Memory', value: unknown): void {
  if (value === undefined) return;
  if (typeof WebAssembly !== 'object' || !(value instanceof WebAssembly[type]))
    throw new TypeError(`load: ${name} must be a WebAssembly.${type}, got ${describe(value)}`);
}

function start(options: LoadOptions): Kernel {
  const { capacity = CAPACITY } = options;
  const isShared = options.memory && options.memory.buffer.constructor.name === 'SharedArrayBuffer';
  const wanted = options.backend ?? (options.memory && (isShared ? 'wasm-shared' : 'wasm'));
  // Who gives a module wants it used.
  const candidates = wanted ? [wanted] : options.module ? BACKENDS.slice(0, 2) : BACKENDS;
  const reasons: string[] = [];
  for (const candidate of candidates) {
    try {
      kernel = candidate === 'js' ? startPlain(capacity) : startWasm(candidate, options, capacity);
      backend = candidate;
      return kernel;
    } catch (error) {
      reasons.push(`${candidate}: ${(error as Error).message}`);
    }
  }
  throw new Error(`smooth-l1 cannot run here (${reasons.join('; ')})`);
}

function startWasm(
  backend: 'wasm-shared' | 'wasm',
  options: LoadOptions,
  capacity: number,
): Kernel {
  if (typeof WebAssembly !== 'object') throw new Error('this host has no WebAssembly');
  const shared = backend === 'wasm-shared';
  const module = options.module ?? compile(shared);
  if (!module) throw new Error('this entry has no such module');
  const memory = options.memory ?? (shared ? sharedMemory() : fixedMemory(capacity));
  if (!memory) throw new Error('this host has no shared memory');
  const exports = new WebAssembly.Instance(module, { env: { memory } })
    .exports as unknown as Exports;
  let heap: Heap;
  if (shared) heap = new Heap({ kind: 'growing', memory });
  else {
    // The memory's owner had its views before: it is grown once, here, and never again.
    const start = options.memory ? memory.grow(Math.ceil(capacity / PAGE)) * PAGE : 0;
    heap = new Heap({ kind: 'fixed', buffer: memory.buffer, start });
  }
  return settle(backend, heap, exports, module, memory);
}

function startPlain(capacity: number): Kernel {
  const heap = new Heap({
    kind: 'fixed',
    buffer: new ArrayBuffer(Math.ceil(capacity / PAGE) * PAGE),
    start: 0,
  });
  return settle('js', heap, createPlainKernel(heap.f32.buffer), undefined, undefined);
}

function settle(
  backend: Backend,
  heap: Heap,
  exports: Exports,
  module: WebAssembly.Module | undefined,
  memory: WebAssembly.Memory | undefined,
): Kernel {
  const workBytes = exports.work_size();
  const job = heap.allocate(4 * JOB_WORDS, 'smooth-l1');
  const work = heap.allocate(workBytes, 'smooth-l1');
  return { backend, heap, run: exports.run, module, memory, job, work, workBytes };
}
