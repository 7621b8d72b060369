// All files of an argument, as one column of numbers.
import { DataError } from './errors.ts';
import type { Column, Elements, ElementType, NumberType } from './numbers.ts';
import { openColumn, type Place } from './open.ts';

/** What is known of a file before its numbers are read. */
interface Facts {
  readonly length: number | undefined;
  readonly shape: readonly number[] | undefined;
  readonly isFortran: boolean;
  readonly type: ElementType;
  readonly hasMissing: boolean;
}

export class Series {
  /** What it is for, as in errors: `predictions`. */
  readonly role: string;
  readonly places: readonly Place[];
  readonly facts: readonly Facts[];
  readonly #type: NumberType | undefined;
  /** Whether files in Fortran order are read row by row. */
  inOrder = false;
  #column: Column | undefined;
  #next = 0;
  /** Numbers before the file that is open, and those read of it. */
  #before = 0;
  #at = 0;

  private constructor(
    role: string,
    places: readonly Place[],
    type: NumberType | undefined,
    facts: Facts[],
    column: Column | undefined,
  ) {
    this.role = role;
    this.places = places;
    this.#type = type;
    this.facts = facts;
    this.#column = column;
    this.#next = column ? 1 : 0;
  }

  /** Looks at all files, so that what is wrong with one is known before anything is computed. */
  static async open(
    role: string,
    places: readonly Place[],
    type: NumberType | undefined,
  ): Promise<Series> {
    const facts: Facts[] = [];
    let first: Column | undefined;
    for (const place of places) {
      const column = await openColumn(place, type, false);
      const { length, shape, isFortran, type: is, hasMissing } = column;
      facts.push({ length, shape, isFortran, type: is, hasMissing });
      // Standard input cannot be opened again.
      if (place.path === '-') first = column;
      else await column.close();
    }
    return new Series(role, places, type, facts, first);
  }

  /** The number of numbers; undefined if only reading tells it. */
  get length(): number | undefined {
    let sum = 0;
    for (const { length } of this.facts) {
      if (length === undefined) return undefined;
      sum += length;
    }
    return sum;
  }

  /** What they are read as: what all files have, otherwise f32. */
  get type(): ElementType {
    if (this.inOrder && this.facts.some(({ isFortran }) => isFortran)) return 'float32';
    const [first, ...others] = this.facts.map(({ type }) => type);
    return first !== undefined && others.every((type) => type === first) ? first : 'float32';
  }

  get hasMissing(): boolean {
    return this.facts.some(({ hasMissing }) => hasMissing);
  }

  get isInput(): boolean {
    return this.places.some(({ path }) => path === '-');
  }

  /** Fills `to` with up to `n` numbers; returns how many there were, fewer only at the end. */
  async read(to: Elements, n: number, missing: (at: number) => void): Promise<number> {
    let done = 0;
    while (done < n) {
      const column = this.#column ?? (await this.#open());
      if (column === undefined) break;
      const read = await column.read(to, done, n - done, missing);
      this.#at += read;
      done += read;
      if (done < n) await this.#end();
    }
    return done;
  }

  /** Goes `n` numbers on; returns how many there were. */
  async skip(n: number): Promise<number> {
    let done = 0;
    while (done < n) {
      const column = this.#column ?? (await this.#open());
      if (column === undefined) break;
      const skipped = await column.skip(n - done);
      this.#at += skipped;
      done += skipped;
      if (done < n) await this.#end();
    }
    return done;
  }

  /** Where the number `i` of all is, if it is in the file that was read last. */
  placeOf(i: number): string {
    const { path, part } = this.places[Math.max(0, this.#next - 1)] as Place;
    const at = i - this.#before;
    return at >= 0 && this.#column
      ? this.#column.placeOf(at)
      : `${part === undefined ? path : `${path}:${part}`}, element ${i} of all`;
  }

  async #open(): Promise<Column | undefined> {
    const place = this.places[this.#next];
    if (place === undefined) return undefined;
    this.#next++;
    this.#column = await openColumn(place, this.#type, this.inOrder);
    return this.#column;
  }

  async #end(): Promise<void> {
    this.#before += this.#at;
    this.#at = 0;
    await this.#column?.close();
    this.#column = undefined;
  }

  async close(): Promise<void> {
    await this.#column?.close();
    this.#column = undefined;
  }

  /** From the first number again. */
  async rewind(): Promise<void> {
    await this.close();
    [this.#next, this.#before, this.#at] = [0, 0, 0];
  }
}

/** Whether all arrays lie in the same way, so that no order of rows matters. */
export function liesAlike(all: readonly Series[]): boolean {
  const [first, ...others] = all as [Series, ...Series[]];
  return others.every(
    (each) =>
      each.facts.length === first.facts.length &&
      each.facts.every(
        ({ shape, isFortran }, i) =>
          isFortran === first.facts[i]?.isFortran &&
          String(shape) === String(first.facts[i]?.shape),
      ),
  );
}

/** Throws where lengths or shapes are known to differ. */
export function checkShapes(all: readonly Series[]): void {
  const [first, ...others] = all as [Series, ...Series[]];
  const bare = (shape: readonly number[]) => shape.filter((n) => n !== 1).join(' x ');
  for (const each of others) {
    if (each.facts.length === first.facts.length)
      for (const [i, { shape }] of each.facts.entries()) {
        const other = first.facts[i]?.shape;
        if (shape && other && bare(shape) !== bare(other))
          throw new DataError(
            `the shapes differ: ${first.places[i]?.path} is ${other.join(' x ')}, ${each.places[i]?.path} is ${shape.join(' x ')}`,
          );
      }
    const [a, b] = [first.length, each.length];
    if (a !== undefined && b !== undefined && a !== b)
      throw new DataError(
        `the lengths differ: ${first.role} have ${a} elements, ${each.role} ${b}`,
      );
  }
}
