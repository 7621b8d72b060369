// The words of a job, the struct of crate/job.rs in the kernel's memory. Nobody else writes them.

import { Binding } from './bind.ts';
import {
  field,
  JOB_WORDS,
  layout,
  OPERAND_WORDS,
  OPERANDS,
  PIECE,
  RESULTS,
} from './generated/job.ts';
import { type Plan, slot, wantsOf } from './plan.ts';
import { isExact } from './totals.ts';

/** Bytes that a job takes. */
export const JOB_BYTES = 4 * JOB_WORDS;

/** Views on the kernel's memory; they are renewed when it grows. */
export interface Views {
  readonly u8: Uint8Array;
  readonly u32: Uint32Array;
  readonly f32: Float32Array;
  readonly f64: Float64Array;
}

/** The functions of crate/lib.rs, as wasm-bindgen typed them. */
export type Exports = Pick<
  typeof import('./generated/smooth_l1.d.ts'),
  'run' | 'prepare' | 'work_size'
>;

export class Job {
  /** Its byte offset in the kernel's memory. */
  readonly address: number;
  readonly #word: number;
  readonly #views: Views;
  readonly #kernel: Exports;
  readonly binding = new Binding();
  #plan: Plan | undefined;
  /** What the pointers were written for; -1 if they have to be written. */
  #pointed = -1;
  #wanted = 0;
  #counted = 0;
  /** Whether the kernel has to see the words that it derives others from. */
  #isStale = false;

  constructor(views: Views, kernel: Exports, address: number) {
    this.address = address;
    this.#word = address >>> 2;
    this.#views = views;
    this.#kernel = kernel;
  }

  /** Makes it the job of `plan`, if it is not already. */
  hold(plan: Plan): void {
    if (this.#plan === plan) return;
    this.#views.u32.set(plan.words, this.#word);
    this.#plan = plan;
    this.#wanted = plan.want;
    this.#counted = 0;
    this.#isStale = true;
    this.binding.forget();
  }

  /** Makes the next run write the pointers again. */
  forget(): void {
    this.#pointed = -1;
  }

  /** Whether something is added up exactly. */
  get isExact(): boolean {
    return isExact(this.#wanted, this.#counted);
  }

  /** What the next runs compute and count. */
  want(wanted: number, counted: number): void {
    if (this.#wanted === wanted && this.#counted === counted) return;
    const { u32 } = this.#views;
    u32[this.#word + field.want] = wanted;
    u32[this.#word + field.count] = counted;
    this.#wanted = wanted;
    this.#counted = counted;
    this.#isStale = true;
  }

  /** Points to the arrays of a call, and to those alone of its results that are wanted. */
  point(wanted: number): void {
    if (this.#pointed === wanted) return;
    this.window(wanted, 0, 0);
    this.#pointed = wanted;
  }

  /** Moves on: until the next call of `point`, pointers point to this element and this row. */
  window(wanted: number, element: number, row: number): void {
    this.#moveTo(element, row, (this.#plan as Plan).rowLength);
    this.#pointFrom(wanted, element, row);
  }

  /**
   * The same for a piece that reads the curves of its columns from a row of `PIECE` of them. The kernel
   * numbers its first element `first`, so that rows end where they do. Operands by column must be full.
   */
  windowOfPiece(wanted: number, element: number, row: number, first: number): void {
    this.#moveTo(first, 0, PIECE);
    this.#pointFrom(wanted, element, row);
  }

  #moveTo(element: number, row: number, rowLength: number): void {
    const { u32 } = this.#views;
    // A call that ends in the middle leaves nothing that the next one takes for its own.
    this.#pointed = -1;
    u32[this.#word + field.origin] = element;
    u32[this.#word + field.row_origin] = row;
    u32[this.#word + field.row_length] = rowLength;
  }

  #pointFrom(wanted: number, element: number, row: number): void {
    const { u32 } = this.#views;
    for (const bound of this.binding.list) {
      const at = bound.slot;
      // Curves are made of these.
      if (at >= slot.THRESHOLD) continue;
      let { place } = bound;
      const moves = bound.buffer === undefined && !bound.isLongRow && !bound.isFolded;
      if (moves && bound.layout !== layout.COLUMN)
        place += bound.bytesPerElement * (bound.layout === layout.ROW ? row : element);
      if (!bound.isResult) {
        const word = this.#word + OPERANDS + OPERAND_WORDS * at;
        if (u32[word] !== bound.layout) {
          u32[word] = bound.layout;
          this.#isStale = true;
        }
        u32[word + 1] = place;
      } else {
        const word = this.#word + RESULTS + at - slot.OUT;
        u32[word] = (wanted & wantsOf(at)) === 0 ? 0 : place;
      }
    }
  }

  /** The numbers that gradients are multiplied by, and that is taken from a loss before. */
  gradients(scale: number, shift: number): void {
    const { f32 } = this.#views;
    f32[this.#word + field.grad_scale] = scale;
    f32[this.#word + field.shift] = shift;
  }

  /** What a target equals that means that an element is masked. */
  ignore(value: number): void {
    this.#views.f32[this.#word + field.ignore_value] = value;
  }

  /** Computes `n` elements from `first` on, and adds to the totals at `work`. */
  run(first: number, n: number, work: number): void {
    this.prepare();
    this.#kernel.run(this.address, first, n, work);
  }

  /** Makes the kernel derive the shape from the words. */
  prepare(): void {
    if (!this.#isStale) return;
    this.#kernel.prepare(this.address);
    this.#isStale = false;
  }

  /** A copy of the words for other threads. */
  copyTo(words: Uint32Array): void {
    this.prepare();
    words.set(this.#views.u32.subarray(this.#word, this.#word + JOB_WORDS));
  }
}
