// CSV (RFC 4180), a column of it. Bytes are looked at once, and no text is made of them where a number has at most
// 15 digits: the fast readers for JavaScript make strings of all fields, and shift the rest of a file where a row
// is short.
import type { Bytes } from '../bytes.ts';
import { DataError } from '../errors.ts';
import type { Column, Elements } from '../numbers.ts';
import { choose } from './choose.ts';

const [LF, CR, QUOTE, SPACE] = [10, 13, 34, 32];
const [PLUS, MINUS, POINT, ZERO, NINE] = [43, 45, 46, 48, 57];
const DELIMITERS = [',', '\t', ';', '|'];
const BLOCK = 1 << 20;
/** The longest row. */
const LONGEST = 1 << 26;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const MISSING = ['', 'NA', 'null'];
const POWERS = Array.from({ length: 23 }, (_, i) => 10 ** i);

/** What a row has in the place of a number. */
const [IS_MISSING, IS_WRONG] = [1, 2];

export async function csv(name: string, bytes: Bytes, wanted: string | undefined): Promise<Column> {
  const column = new Csv(name, bytes);
  await column.open(wanted);
  return column;
}

class Csv implements Column {
  readonly type = 'float32';
  readonly length = undefined;
  readonly shape = undefined;
  readonly isFortran = false;
  readonly hasMissing = true;
  readonly #file: string;
  name: string;
  readonly #bytes: Bytes;
  #buffer: Buffer = Buffer.alloc(BLOCK);
  /** What was read and not used yet. */
  #at = 0;
  #end = 0;
  #isEnd = false;
  #delimiter = 44;
  /** The column, and the number of columns. */
  #column = 0;
  #columns = 1;
  /** Rows before the next one, as an editor counts them. */
  #row = 0;
  /** The field of the last row. */
  #from = 0;
  #to = 0;
  #isQuoted = false;
  #fields = 0;
  #special = 0;
  /** Where the first number is: after the header, if there is one. */
  #firstRow = 1;

  constructor(name: string, bytes: Bytes) {
    this.name = name;
    this.#file = name;
    this.#bytes = bytes;
  }

  /** Reads the header, and finds the column. */
  async open(wanted: string | undefined): Promise<void> {
    await this.#fill();
    if (this.#buffer.subarray(0, 3).equals(Uint8Array.of(0xef, 0xbb, 0xbf))) this.#at = 3;
    const line = this.#buffer
      .subarray(this.#at, this.#end)
      .toString()
      .split(/[\r\n]/, 1)[0] as string;
    const outside = line.replace(/"[^"]*"/g, '');
    const delimiter = DELIMITERS.find((each) => outside.includes(each)) ?? ',';
    this.#delimiter = delimiter.charCodeAt(0);
    const start = this.#at;
    const names: string[] = [];
    // Each pass looks for one more field.
    for (this.#columns = Infinity; ; ) {
      this.#at = start;
      this.#column = names.length;
      if (!(await this.#nextRow())) throw new DataError(`${this.#file}: there is no row in it`);
      names.push(this.#text().trim());
      if (names.length === this.#fields) break;
    }
    this.#columns = names.length;
    const numbers = names.map((_, i) => String(i + 1));
    const isNumber = wanted !== undefined && !names.includes(wanted) && numbers.includes(wanted);
    // Without a header there are no names.
    const isHeader = !names.every((text) => isValue(text));
    this.#column = isNumber
      ? Number(wanted) - 1
      : wanted === undefined && names.length === 1
        ? 0
        : names.indexOf(choose(this.#file, 'column', isHeader ? names : numbers, wanted));
    if (this.#file !== this.name || wanted === undefined)
      this.name = names.length > 1 ? `${this.#file}:${this.#column + 1}` : this.#file;
    if (!isHeader) {
      this.#at = start;
      this.#row = 0;
    } else {
      this.#row = 1;
      this.#firstRow = 2;
    }
  }

  async read(to: Elements, at: number, n: number, missing: (at: number) => void): Promise<number> {
    for (let i = at; i < at + n; i++) {
      // In the buffer, nearly always.
      if (!this.#parseRow() && !(await this.#nextRow())) return i - at;
      const value = this.#value();
      if (this.#special !== 0) {
        if (this.#special === IS_WRONG) throw this.#wrong();
        missing(i);
      }
      to[i] = value;
    }
    return n;
  }

  async skip(n: number): Promise<number> {
    for (let i = 0; i < n; i++) if (!this.#parseRow() && !(await this.#nextRow())) return i;
    return n;
  }

  placeOf(i: number): string {
    return `${this.name}, row ${this.#firstRow + i}`;
  }

  close(): Promise<void> {
    return this.#bytes.close();
  }

  /** Moves what is left to the beginning of the buffer, and reads more. */
  async #fill(): Promise<void> {
    const left = this.#end - this.#at;
    if (left > LONGEST / 2)
      throw new DataError(
        `${this.#file}, row ${this.#row + 1}: the row is longer than ${left} bytes`,
      );
    const buffer =
      left > this.#buffer.length / 2 ? Buffer.alloc(2 * this.#buffer.length) : this.#buffer;
    this.#buffer.copy(buffer, 0, this.#at, this.#end);
    this.#buffer = buffer;
    this.#at = 0;
    const read = await this.#bytes.read(buffer.subarray(left));
    this.#end = left + read;
    if (this.#end < buffer.length) this.#isEnd = true;
  }

  /** Finds the field in the next row; false at the end of the file. */
  async #nextRow(): Promise<boolean> {
    while (!this.#parseRow()) {
      if (this.#isEnd) return false;
      await this.#fill();
    }
    return true;
  }

  /** Finds the field in the next row, if all of that is in the buffer. */
  #parseRow(): boolean {
    const buffer = this.#buffer;
    const [end, delimiter, column] = [this.#end, this.#delimiter, this.#column];
    let p = this.#at;
    if (p >= end) return false;
    for (let field = 0; ; field++) {
      let from = p;
      let to = p;
      let isQuoted = false;
      let c = -1;
      if (p < end && buffer[p] === QUOTE) {
        isQuoted = true;
        from = ++p;
        for (;;) {
          p = buffer.indexOf(QUOTE, p);
          if (p < 0 || p >= end) {
            if (!this.#isEnd) return false;
            throw new DataError(
              `${this.#file}, row ${this.#row + 1}, column ${field + 1}: a quote is not closed`,
            );
          }
          if (buffer[p + 1] !== QUOTE || p + 1 >= end) break;
          p += 2;
        }
        to = p++;
        c = p < end ? (buffer[p] as number) : -1;
        if (c >= 0 && c !== delimiter && c !== LF && c !== CR)
          throw new DataError(
            `${this.#file}, row ${this.#row + 1}, column ${field + 1}: there is text after a closing quote`,
          );
      } else {
        while (p < end) {
          c = buffer[p] as number;
          if (c === delimiter || c === LF || c === CR) break;
          p++;
        }
        to = p;
      }
      const isOver = p >= end;
      if (isOver && !this.#isEnd) return false;
      if (field === column) {
        this.#from = from;
        this.#to = to;
        this.#isQuoted = isQuoted;
      }
      if (!isOver && c === delimiter) {
        p++;
        continue;
      }
      if (!isOver) {
        // Whether a line feed follows must be known.
        if (c === CR && p + 1 >= end && !this.#isEnd) return false;
        p += c === CR && buffer[p + 1] === LF && p + 1 < end ? 2 : 1;
      }
      this.#fields = field + 1;
      if (field === 0 && from === to && !isQuoted) return this.#blank(p);
      this.#row++;
      if (field + 1 !== this.#columns && this.#columns !== Infinity)
        throw new DataError(
          `${this.#file}, row ${this.#row}: it has ${field + 1} columns, and the first row has ${this.#columns}`,
        );
      this.#at = p;
      return true;
    }
  }

  /** Empty lines may be at the end only: anywhere else it is not said what they stand for. */
  #blank(next: number): boolean {
    for (let p = next; p < this.#end; p++)
      if (this.#buffer[p] !== LF && this.#buffer[p] !== CR)
        throw new DataError(
          `${this.#file}, row ${this.#row + 1}: the line is empty; a missing value is NA, or "" in quotes`,
        );
    if (!this.#isEnd) return false;
    this.#at = this.#end;
    return false;
  }

  #text(): string {
    const text = this.#buffer.toString('utf8', this.#from, this.#to);
    return this.#isQuoted ? text.replaceAll('""', '"') : text;
  }

  /** The number in the field, as f64. What is special is in `#special`. */
  #value(): number {
    const buffer = this.#buffer;
    let p = this.#from;
    let to = this.#to;
    this.#special = 0;
    while (p < to && buffer[p] === SPACE) p++;
    while (p < to && buffer[to - 1] === SPACE) to--;
    const from = p;
    let c = buffer[p] as number;
    const isNegative = c === MINUS;
    if (isNegative || c === PLUS) p++;
    const first = p;
    let mantissa = 0;
    let digits = 0;
    let decimals = 0;
    let isExact = true;
    let isPoint = false;
    for (; p < to; p++) {
      c = buffer[p] as number;
      if (c >= ZERO && c <= NINE) {
        mantissa = mantissa * 10 + (c - ZERO);
        if (mantissa !== 0) digits++;
        if (isPoint) decimals++;
      } else if (c === POINT && !isPoint) isPoint = true;
      else {
        isExact = false;
        break;
      }
    }
    // Both numbers are exact then, and one division rounds once.
    if (isExact && digits <= 15 && decimals <= 22 && to - first > Number(isPoint)) {
      const value = decimals === 0 ? mantissa : mantissa / (POWERS[decimals] as number);
      return isNegative ? -value : value;
    }
    return this.#slowValue(buffer.toString('latin1', from, to));
  }

  #slowValue(text: string): number {
    if (NUMBER.test(text)) return Number(text);
    if (MISSING.includes(text)) {
      this.#special = IS_MISSING;
      return Number.NaN;
    }
    const value = special(text);
    if (value === undefined) this.#special = IS_WRONG;
    return value ?? Number.NaN;
  }

  #wrong(): DataError {
    return new DataError(
      `${this.#file}, row ${this.#row}, column ${this.#column + 1}: ${JSON.stringify(this.#text().slice(0, 50))} is no number; a missing value is empty, NA or null`,
    );
  }
}

function special(text: string): number | undefined {
  const [, sign, word] = /^([+-]?)(nan|inf|infinity)$/i.exec(text) ?? [];
  if (word === undefined) return undefined;
  if (word.toLowerCase() === 'nan') return Number.NaN;
  return sign === '-' ? -Infinity : Infinity;
}

function isValue(text: string): boolean {
  return NUMBER.test(text) || MISSING.includes(text) || special(text) !== undefined;
}
