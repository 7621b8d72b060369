// The memories of other programs: their arrays are used in place, by a kernel of their own.
import type { Binding, Bound } from './bind.ts';
import { bufferOf, byteOffsetOf, describe, elements, isTypedArray, type Values } from './check.ts';
import { CURVE_FLOATS } from './curves.ts';
import { PIECE } from './generated/job.ts';
import { ALIGNMENT, LOWEST, MAX_PAGES, PAGE, SKEW } from './heap.ts';
import {
  attachedKernel,
  attachedKernels,
  checkInstance,
  type Kernel,
  runningKernel,
  type WasmMemory,
  type WasmModule,
} from './kernel.ts';
import { read } from './options.ts';
import { type Plan, slot } from './plan.ts';
import { countChange } from './stamp.ts';

/** Options of {@link attach}. */
export interface AttachOptions {
  /** Takes `bytes` bytes of the memory for good, as `malloc` does; returns their byte offset. It may grow the memory. */
  allocate: (bytes: number) => number;
  /** Gives back what `allocate` returned, as `free` does. Called by `detach`, and where `attach` fails. */
  release?: ((byteOffset: number) => unknown) | undefined;
  /** The compiled kernel, for hosts that do not compile bytes: `smooth_l1_shared.wasm` for a shared memory, else `smooth_l1.wasm`. */
  module?: WasmModule | undefined;
}

/**
 * Has the functions of the package use arrays in another program's WebAssembly memory in place. A call
 * runs there, and copies nothing, if all of its arrays are in that memory, those for results included.
 * Other calls are as before: arrays of another memory are copied.
 *
 * The kernel takes some 100 KB of the memory, once, by `allocate`. A call with thresholds for each column
 * takes 24 bytes a column more, 3 MB at most, which are kept for the next one. In a shared memory, each thread of
 * `setNumThreads` but the calling one takes 100 KB more.
 *
 * @param memory the memory, shared or not. It may grow at any time.
 * @returns a function that undoes it: arrays of the memory are copied again, and `release` gets what was
 *   taken.
 * @throws {TypeError} if an argument or an option has the wrong type, or is not there.
 * @throws {RangeError} if `allocate` returns an offset that cannot be.
 * @throws {Error} if the memory is attached already, or is the package's own, or if the kernel cannot run
 *   in it. What `allocate` throws comes through.
 * @example
 * ```ts
 * import { attach, copiedBytes, smoothL1LossWithGrad } from 'smooth-l1';
 * // Of another program: its memory, and its malloc.
 * const memory = new WebAssembly.Memory({ initial: 4 });
 * let end = 1024;
 * const malloc = (bytes: number): number => {
 *   end += bytes;
 *   return end - bytes;
 * };
 *
 * const detach = attach(memory, { allocate: malloc });
 * const array = (): Float32Array => new Float32Array(memory.buffer, malloc(400), 100);
 * const [input, target, gradient] = [array().fill(3), array(), array()];
 * console.log(smoothL1LossWithGrad(input, target, gradient)); // 2.5
 * console.log(copiedBytes()); // 0
 * detach();
 * ```
 */
export function attach(memory: WasmMemory, options: AttachOptions): () => void {
  if (memory === undefined) throw wrong('memory', 'a WebAssembly.Memory', memory);
  checkInstance('attach', 'memory', 'Memory', memory);
  const { allocate, release, module } = read('attach', options, ['allocate', 'release', 'module']);
  if (typeof allocate !== 'function') throw wrong('allocate', 'a function', allocate);
  if (release !== undefined && typeof release !== 'function')
    throw wrong('release', 'a function', release);
  checkInstance('attach', 'module', 'Module', module);
  if (attachedKernels.some((kernel) => kernel.memory === memory))
    throw new Error('attach: the memory is attached already; detach it first');
  if (runningKernel()?.memory === memory)
    throw new Error(
      "attach: this is the memory of the package's own kernel, where arrays are used in place anyway",
    );
  const loans = new Loans(memory as WebAssembly.Memory, allocate);
  const kernel = kernelIn(loans, module);
  const detach = (): void => {
    const at = attachedKernels.indexOf(kernel);
    if (at < 0) return;
    attachedKernels.splice(at, 1);
    countChange();
    const giveBack = (): void => {
      if (release) for (const offset of loans.offsets) release(offset);
    };
    if (kernel.helpers) kernel.helpers.detached(kernel, giveBack);
    else giveBack();
  };
  attachedKernels.push(kernel);
  countChange();
  try {
    runningKernel()?.helpers?.attached();
  } catch (error) {
    detach();
    throw error;
  }
  return detach;
}

function wrong(name: string, wanted: string, value: unknown): TypeError {
  return new TypeError(`attach: ${name} must be ${wanted}, got ${describe(value)}`);
}

function kernelIn(loans: Loans, module: WasmModule | undefined): Kernel {
  const { memory } = loans;
  try {
    return attachedKernel(memory, module, (bytes, asker) => loans.take(bytes, asker));
  } catch (error) {
    if (!(error instanceof WebAssembly.LinkError)) throw error;
    throw new Error(
      `attach: the kernel cannot be linked to this memory (${error.message}); ${
        module
          ? 'the module must be smooth_l1_shared.wasm for a shared memory, else smooth_l1.wasm'
          : 'it must have 32-bit addresses and at least one page'
      }`,
    );
  }
}

/** What the owner of a memory lent. */
class Loans {
  readonly memory: WebAssembly.Memory;
  readonly #allocate: (bytes: number) => number;
  readonly #taken: { offset: number; bytes: number }[] = [];

  constructor(memory: WebAssembly.Memory, allocate: (bytes: number) => number) {
    this.memory = memory;
    this.#allocate = allocate;
  }

  get offsets(): number[] {
    return this.#taken.map(({ offset }) => offset);
  }

  /** Takes at least `size` bytes from a multiple of 64 on. */
  take(size: number, asker: string): [start: number, end: number] {
    // Twice as much each time: calls whose need grows do not ask each time.
    const wanted =
      this.#taken.length === 0 ? size : 2 ** Math.ceil(Math.log2(Math.max(size, 4096)));
    const bytes = wanted + ALIGNMENT;
    const allocate = this.#allocate;
    const offset = allocate(bytes);
    this.#check(offset, bytes, asker);
    this.#taken.push({ offset, bytes });
    const start = Math.ceil(offset / ALIGNMENT) * ALIGNMENT;
    return [start, start + wanted];
  }

  #check(offset: unknown, bytes: number, asker: string): void {
    const start = `${asker}: allocate(${bytes}) must return`;
    if (typeof offset !== 'number')
      throw new TypeError(`${start} a byte offset, a number, got ${describe(offset)}`);
    if (offset === 0)
      throw new RangeError(
        `${asker}: allocate(${bytes}) returned 0, as malloc does if no memory is left`,
      );
    if (offset < 0 && Number.isInteger(offset))
      throw new RangeError(
        `${start} a byte offset from ${LOWEST}, got ${offset}; an offset above 2 GiB comes out of WebAssembly as a negative number: return offset >>> 0`,
      );
    if (!(Number.isInteger(offset) && offset >= LOWEST))
      throw new RangeError(`${start} a byte offset, an integer from ${LOWEST}, got ${offset}`);
    const size = Math.min(this.memory.buffer.byteLength, MAX_PAGES * PAGE);
    if (offset + bytes > size)
      throw new RangeError(
        `${start} bytes within the memory, which has ${size}, got those from ${offset} on`,
      );
    const other = this.#taken.find(
      (loan) => offset < loan.offset + loan.bytes && loan.offset < offset + bytes,
    );
    if (other)
      throw new RangeError(
        `${start} bytes of their own, got those from ${offset} on; ${other.bytes} from ${other.offset} on were taken before`,
      );
  }
}

/** The attached kernel in whose memory all arrays of a call are, whose other kernel is `kernel`. */
export function homeOf(kernel: Kernel, { list, hasOthers }: Binding): Kernel | undefined {
  if (attachedKernels.length === 0 || !hasOthers || kernel.isAttached) return undefined;
  const home = kernelAt(list[slot.INPUT] as Bound);
  return home !== undefined && list.every((bound) => isAt(home, bound)) ? home : undefined;
}

/** The attached kernel in whose memory an array is. */
function kernelAt(bound: Bound): Kernel | undefined {
  return attachedKernels.find((kernel) => isAt(kernel, bound));
}

/** Whether an array is where a kernel can use it in place. What a call derives is made there. */
function isAt(kernel: Kernel, { isDerived, isOther, array }: Bound): boolean {
  if (isDerived) return true;
  if (!isOther || !isTypedArray(array) || !kernel.home.has(bufferOf(array))) return false;
  // The kernel's sums of addresses wrap around at either end of 4 GiB.
  const start = byteOffsetOf(array);
  const end = start + elements(array) * array.BYTES_PER_ELEMENT;
  return start >= LOWEST && end <= MAX_PAGES * PAGE;
}

/** False for an array that is in an attached memory, and another array of its call that is not there. */
export function sharesHome(bound: Bound, other: Bound): boolean {
  const home = kernelAt(bound);
  return home === undefined || isAt(home, other);
}

/** The bytes of what a call makes for itself in an attached memory. */
export function ownBytes(plan: Plan, bounds: readonly Bound[]): number {
  const { rowLength } = plan;
  const lengthOf = (at: number): number => elements((bounds[at] as Bound).array as Values);
  const n = lengthOf(slot.INPUT);
  const parts = [];
  // Of long rows, the curves of a piece, and its part of what else goes by column.
  if (plan.hasLongCurves) parts.push(4 * (CURVE_FLOATS + 4 * PIECE));
  else if (plan.hasColumns) parts.push(24 * rowLength);
  if (plan.makesUpstream) parts.push((4 * n) / rowLength);
  if (plan.reduction === 'columns' && plan.isLossArray) parts.push(4 * PIECE);
  for (const at of [slot.GRAD_INSIDE, slot.GRAD_OUTSIDE])
    if (plan.hasGradient(at) && lengthOf(at) !== n) parts.push(4 * PIECE);
  // Each begins at a multiple of 64, and long ones are shifted.
  return parts.reduce((sum, bytes) => sum + bytes + ALIGNMENT + SKEW, 0);
}

/** Makes sure that there is room for these. The memory's owner's code runs for that, while nothing is bound. */
export function reserve(kernel: Kernel, { fn }: Plan, bytes: number): void {
  const { buffer } = kernel.memory as WebAssembly.Memory;
  kernel.reserve(bytes, fn);
  if (!attachedKernels.includes(kernel))
    throw new Error(`${fn}: allocate() detached the memory during the call`);
  if (kernel.backend === 'wasm' && kernel.memory?.buffer !== buffer)
    throw new Error(
      `${fn}: allocate(), which takes memory for what the call makes of its arguments, made the memory grow, which detached the arrays of the call; make them anew, and call again`,
    );
}
