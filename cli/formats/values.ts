// Columns that a library gives out batch by batch.
import { DataError } from '../errors.ts';
import type { Column, Elements } from '../numbers.ts';

/** Values of a column, missing ones as null or undefined. */
export type Batch = ArrayLike<unknown>;

export class Batches implements Column {
  readonly type = 'float32';
  readonly isFortran = false;
  readonly hasMissing = true;
  readonly name: string;
  readonly length: number | undefined;
  readonly shape = undefined;
  readonly #next: () => Promise<Batch | undefined>;
  readonly #close: () => Promise<void>;
  #batch: Batch = [];
  #at = 0;
  /** Values before those of the batch. */
  #before = 0;

  constructor(
    name: string,
    length: number | undefined,
    next: () => Promise<Batch | undefined>,
    close: () => Promise<void>,
  ) {
    this.name = name;
    this.length = length;
    this.#next = next;
    this.#close = close;
  }

  async read(to: Elements, at: number, n: number, missing: (at: number) => void): Promise<number> {
    let done = 0;
    while (done < n && (await this.#hasMore())) {
      const batch = this.#batch;
      const size = Math.min(n - done, batch.length - this.#at);
      for (let i = 0; i < size; i++) {
        const value = batch[this.#at + i];
        if (typeof value === 'number') to[at + done + i] = value;
        else if (typeof value === 'bigint' || typeof value === 'boolean')
          to[at + done + i] = Number(value);
        else if (value === null || value === undefined) {
          to[at + done + i] = Number.NaN;
          missing(at + done + i);
        } else
          throw new DataError(
            `${this.placeOf(this.#before + this.#at + i)}: ${JSON.stringify(value)?.slice(0, 50)} is no number`,
          );
      }
      this.#at += size;
      done += size;
    }
    return done;
  }

  async skip(n: number): Promise<number> {
    let done = 0;
    while (done < n && (await this.#hasMore())) {
      const size = Math.min(n - done, this.#batch.length - this.#at);
      this.#at += size;
      done += size;
    }
    return done;
  }

  placeOf(i: number): string {
    return `${this.name}, row ${i + 1}`;
  }

  close(): Promise<void> {
    return this.#close();
  }

  async #hasMore(): Promise<boolean> {
    while (this.#at === this.#batch.length) {
      this.#before += this.#batch.length;
      const batch = await this.#next();
      if (batch === undefined) return false;
      this.#batch = batch;
      this.#at = 0;
    }
    return true;
  }
}
