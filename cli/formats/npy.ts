// NumPy's .npy: a header, then the numbers. https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
import { type Bytes, FileBytes } from '../bytes.ts';
import { DataError } from '../errors.ts';
import { type Column, type Elements, Numbers, type NumberType, numberType } from '../numbers.ts';

export const MAGIC = Uint8Array.of(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59);

interface Header {
  readonly type: NumberType;
  readonly shape: readonly number[];
  readonly isFortran: boolean;
}

async function exactly(name: string, bytes: Bytes, n: number): Promise<Buffer> {
  const buffer = Buffer.alloc(n);
  if ((await bytes.read(buffer)) < n)
    throw new DataError(`${name}: the file is truncated: it ends in the header`);
  return buffer;
}

async function readHeader(name: string, bytes: Bytes): Promise<Header> {
  const start = await exactly(name, bytes, 8);
  if (!start.subarray(0, 6).equals(MAGIC))
    throw new DataError(`${name}: this is no .npy file: it does not begin with \\x93NUMPY`);
  const [major = 0] = start.subarray(6);
  if (major < 1 || major > 3)
    throw new DataError(`${name}: version ${major} of .npy is not known, only 1 to 3`);
  const size = await exactly(name, bytes, major === 1 ? 2 : 4);
  const length = major === 1 ? size.readUInt16LE() : size.readUInt32LE();
  if (length > 1 << 20) throw new DataError(`${name}: a header of ${length} bytes is too long`);
  // A dictionary of Python, which may have either quote.
  const text = (await exactly(name, bytes, length))
    .toString(major === 3 ? 'utf8' : 'latin1')
    .replaceAll('"', "'");
  const descr = /'descr'\s*:\s*'([^']*)'/.exec(text)?.[1];
  const order = /'fortran_order'\s*:\s*(True|False)/.exec(text)?.[1];
  const shape = /'shape'\s*:\s*\(([\d\s,L]*)\)/.exec(text)?.[1];
  if (order === undefined || shape === undefined || !/'descr'\s*:/.test(text))
    throw new DataError(`${name}: the header is broken: ${text.trim()}`);
  const type = descr === undefined ? undefined : numberType(descr);
  if (!type)
    throw new DataError(
      `${name}: numbers must be floats of 2, 4 or 8 bytes, integers or booleans, got ${descr ?? 'a structure'}`,
    );
  const axes = shape.match(/\d+/g) ?? [];
  return { type, shape: axes.map(Number), isFortran: order === 'True' };
}

/** The numbers of a .npy file. `inOrder`: row by row, however they lie. */
export async function npy(name: string, bytes: Bytes, inOrder: boolean): Promise<Column> {
  const { type, shape, isFortran } = await readHeader(name, bytes);
  // With one axis that is longer than 1, both orders are the same.
  const isOther = isFortran && shape.filter((n) => n !== 1).length > 1;
  const numbers = new Numbers(name, bytes, type, shape, isOther);
  if (!(isOther && inOrder)) return numbers;
  if (!(bytes instanceof FileBytes))
    throw new DataError(
      `${name}: the array is in Fortran order, and cannot be read row by row from a stream; save it with np.ascontiguousarray`,
    );
  return new ByRows(name, bytes, type, shape);
}

/** An array in Fortran order, row by row: some rows are gathered at a time, a run of each column after the other. */
class ByRows implements Column {
  readonly name: string;
  readonly length: number;
  readonly shape: readonly number[];
  readonly isFortran = false;
  readonly hasMissing = false;
  readonly #bytes: FileBytes;
  readonly #type: NumberType;
  readonly #start: number;
  /** Numbers in a row. */
  readonly #width: number;
  #at = 0;
  /** The rows that were gathered last, and the first of them. */
  #rows = new Float32Array(0);
  #first = 0;

  constructor(name: string, bytes: FileBytes, type: NumberType, shape: readonly number[]) {
    this.name = name;
    this.shape = shape;
    this.length = shape.reduce((a, b) => a * b, 1);
    this.#bytes = bytes;
    this.#type = type;
    this.#start = bytes.at;
    this.#width = this.length === 0 ? 0 : this.length / (shape[0] as number);
  }

  readonly type = 'float32';

  async read(to: Elements, at: number, n: number): Promise<number> {
    const end = Math.min(this.#at + n, this.length);
    const begin = this.#at;
    while (this.#at < end) {
      const last = this.#first + this.#rows.length;
      if (this.#at < this.#first || this.#at >= last) await this.#gather();
      const part = this.#rows.subarray(this.#at - this.#first, end - this.#first);
      to.set(part, at + this.#at - begin);
      this.#at += part.length;
    }
    return end - begin;
  }

  /** Gathers some rows, from that of the next number on. */
  async #gather(): Promise<void> {
    const [all = 0, ...rest] = this.shape;
    const width = this.#width;
    const row = Math.floor(this.#at / width);
    const rows = Math.min(all - row, Math.max(1, Math.floor((1 << 18) / width)));
    const run = new Float32Array(rows);
    const gathered = new Float32Array(rows * width);
    for (let i = 0; i < width; i++) {
      // Where the run of this place in a row begins: the axes in the other order.
      let [place, step, left] = [0, all, i];
      const index = rest.map(() => 0);
      for (let axis = rest.length - 1; axis >= 0; axis--) {
        index[axis] = left % (rest[axis] as number);
        left = Math.floor(left / (rest[axis] as number));
      }
      for (let axis = 0; axis < rest.length; axis++) {
        place += (index[axis] as number) * step;
        step *= rest[axis] as number;
      }
      const from = this.#start + (place + row) * this.#type.bytes;
      const numbers = new Numbers(this.name, this.#bytes.from(from), this.#type, [rows]);
      await numbers.read(run, 0, rows);
      for (let r = 0; r < rows; r++) gathered[r * width + i] = run[r] as number;
    }
    this.#rows = gathered;
    this.#first = row * width;
  }

  async skip(n: number): Promise<number> {
    const done = Math.min(n, this.length - this.#at);
    this.#at += done;
    return done;
  }

  placeOf(i: number): string {
    return `${this.name}, element ${i}`;
  }

  close(): Promise<void> {
    return this.#bytes.close();
  }
}
