// Bytes of a file or of a stream, one after the other.
import { type FileHandle, open, stat } from 'node:fs/promises';
import { DataError, named } from './errors.ts';

/** Bytes that are read in order. */
export interface Bytes {
  /** Fills `target`; returns how many bytes there were, fewer only at the end. */
  read(target: Uint8Array): Promise<number>;
  /** Goes on; returns by how many bytes. */
  skip(bytes: number): Promise<number>;
  /** How many are left, if that is known. */
  readonly left: number | undefined;
  close(): Promise<void>;
}

/** A part of a file, the whole of it by default. */
export class FileBytes implements Bytes {
  readonly #path: string;
  readonly #file: FileHandle;
  #at: number;
  #end: number;

  private constructor(path: string, file: FileHandle, end: number) {
    this.#path = path;
    this.#file = file;
    this.#at = 0;
    this.#end = end;
  }

  static async open(path: string): Promise<FileBytes> {
    // Before it is opened, which waits for the writer of a pipe.
    const facts = await stat(path);
    if (!facts.isFile())
      throw new DataError(
        `${path}: it is ${facts.isDirectory() ? 'a directory' : 'no regular file; - is standard input, for one of the files'}`,
      );
    const file = await open(path);
    return new FileBytes(path, file, (await file.stat()).size);
  }

  get left(): number {
    return this.#end - this.#at;
  }

  /** The place of the next byte. */
  get at(): number {
    return this.#at;
  }

  async read(target: Uint8Array): Promise<number> {
    const length = Math.min(target.length, this.left);
    const done = await this.readAt(
      length < target.length ? target.subarray(0, length) : target,
      this.#at,
    );
    this.#at += done;
    return done;
  }

  /** Fills `target` from any place. The system's threads read, while this one computes. */
  async readAt(target: Uint8Array, at: number): Promise<number> {
    let done = 0;
    while (done < target.length) {
      const { bytesRead } = await this.#file
        .read(target, done, target.length - done, at + done)
        .catch((error) => {
          throw named(this.#path, error);
        });
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return done;
  }

  async skip(bytes: number): Promise<number> {
    const done = Math.min(bytes, this.left);
    this.#at += done;
    return done;
  }

  /** The same file from another place on. */
  from(at: number): FileBytes {
    const bytes = new FileBytes(this.#path, this.#file, this.#end);
    bytes.#at = at;
    return bytes;
  }

  /** Leaves `length` bytes of what is left. */
  limit(length: number): void {
    this.#end = Math.min(this.#end, this.#at + length);
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

/** The bytes of a stream, such as standard input. */
export class StreamBytes implements Bytes {
  readonly left = undefined;
  readonly #iterator: AsyncIterator<Uint8Array>;
  readonly #close: () => unknown;
  #chunk: Uint8Array = new Uint8Array(0);

  constructor(stream: AsyncIterable<Uint8Array>, close: () => unknown = () => {}) {
    this.#iterator = stream[Symbol.asyncIterator]();
    this.#close = close;
  }

  async read(target: Uint8Array): Promise<number> {
    let done = 0;
    while (done < target.length) {
      if (this.#chunk.length === 0) {
        const { done: isEnd, value } = await this.#iterator.next();
        if (isEnd) break;
        this.#chunk = value;
      }
      const part = this.#chunk.subarray(0, target.length - done);
      target.set(part, done);
      this.#chunk = this.#chunk.subarray(part.length);
      done += part.length;
    }
    return done;
  }

  async skip(bytes: number): Promise<number> {
    const scrap = new Uint8Array(Math.min(bytes, 1 << 16));
    let done = 0;
    while (done < bytes) {
      const n = await this.read(scrap.subarray(0, bytes - done));
      if (n === 0) break;
      done += n;
    }
    return done;
  }

  /** Puts back bytes that were read to look at them. */
  unread(bytes: Uint8Array): void {
    const chunk = new Uint8Array(bytes.length + this.#chunk.length);
    chunk.set(bytes);
    chunk.set(this.#chunk, bytes.length);
    this.#chunk = chunk;
  }

  async close(): Promise<void> {
    this.#close();
    await this.#iterator.return?.();
  }
}
