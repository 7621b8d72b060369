// A .npy file that is written chunk by chunk, under another name until it is complete.
import { closeSync, fstatSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { DataError, named } from './errors.ts';

/** Room for any shape, of 64 axes at most: where the numbers begin. */
const HEADER = 512;

export class Output {
  readonly path: string;
  readonly #part: string;
  readonly #file: number;

  /** `done`: how many numbers an earlier run has written, which this one goes on with. */
  constructor(path: string, done: number) {
    this.path = path;
    this.#part = `${path}.part`;
    this.#file = openSync(this.#part, done === 0 ? 'w' : 'r+');
    if (done > 0 && fstatSync(this.#file).size < HEADER + 4 * done)
      throw new DataError(`${this.#part}: it is shorter than what the run to resume has written`);
  }

  /** Writes numbers, the first of which is number `at`. */
  write(values: Float32Array, at: number): void {
    const { buffer, byteOffset, byteLength } = values;
    this.#write(new Uint8Array(buffer, byteOffset, byteLength), HEADER + 4 * at);
  }

  /** Returns when what was written is on the disk. */
  flush(): void {
    try {
      fsyncSync(this.#file);
    } catch (error) {
      throw named(this.#part, error);
    }
  }

  /** Writes the header, and gives the file its name. */
  finish(shape: readonly number[], isFortran: boolean): void {
    const axes = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
    const order = isFortran ? 'True' : 'False';
    const text = `{'descr': '<f4', 'fortran_order': ${order}, 'shape': (${axes}), }`;
    const header = Buffer.alloc(HEADER, ' ');
    header.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0]);
    header.writeUInt16LE(HEADER - 10, 8);
    header.write(text, 10, 'latin1');
    header[HEADER - 1] = 10;
    this.#write(header, 0);
    this.flush();
    renameSync(this.#part, this.path);
    closeSync(this.#file);
  }

  /** Leaves what is written for a later run, or removes it. */
  abandon(isKept: boolean): void {
    closeSync(this.#file);
    if (!isKept) rmSync(this.#part, { force: true });
  }

  #write(bytes: Uint8Array, at: number): void {
    try {
      for (let done = 0; done < bytes.length; )
        done += writeSync(this.#file, bytes, done, bytes.length - done, at + done);
    } catch (error) {
      throw named(this.#part, error);
    }
  }
}
