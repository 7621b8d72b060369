// Arrow IPC, files (Feather version 2) and streams: a column of them, one record batch after the other. The library
// decodes whole files; a file is a stream with a head and an end, whose messages come one by one here.
import { tableFromIPC } from '@uwdata/flechette';
import type { FileBytes } from '../bytes.ts';
import { DataError } from '../errors.ts';
import type { Column } from '../numbers.ts';
import { choose } from './choose.ts';
import { setCodecs } from './codecs.ts';
import { type Batch, Batches } from './values.ts';

const MAGIC = Buffer.from('ARROW1');
const [SCHEMA, DICTIONARY, BATCH] = [1, 2, 3];
const CONTINUES = -1;

interface Message {
  readonly type: number;
  readonly bytes: Uint8Array;
}

export async function arrow(
  path: string,
  bytes: FileBytes,
  wanted: string | undefined,
): Promise<Column> {
  setCodecs();
  const head = Buffer.alloc(8);
  if ((await bytes.read(head)) < 8) throw new DataError(`${path}: this is no Arrow file`);
  const isFile = head.subarray(0, 6).equals(MAGIC);
  const schema = await nextMessage(path, bytes, isFile ? undefined : head);
  if (schema?.type !== SCHEMA)
    throw new DataError(`${path}: this is no Arrow file: it has no schema`);
  const names = tableFromIPC([schema.bytes]).names;
  const column = choose(path, 'column', names, wanted);
  const name = `${path}:${column}`;
  // Other columns may need their dictionaries.
  const dictionaries: Uint8Array[] = [];
  const next = async (): Promise<Batch | undefined> => {
    for (;;) {
      const message = await nextMessage(path, bytes);
      if (message === undefined) return undefined;
      if (message.type === DICTIONARY) dictionaries.push(message.bytes);
      if (message.type !== BATCH) continue;
      try {
        const table = tableFromIPC([schema.bytes, ...dictionaries, message.bytes]);
        const values = table.getChild(column);
        // An array of numbers where none is missing.
        return values.toArray();
      } catch (error) {
        throw new DataError(`${name}: ${(error as Error).message}`);
      }
    }
  };
  return new Batches(name, undefined, next, () => bytes.close());
}

/** The next message; undefined at the end. `head`: its first 8 bytes, if they were read. */
async function nextMessage(
  path: string,
  bytes: FileBytes,
  head?: Buffer,
): Promise<Message | undefined> {
  const truncated = () => new DataError(`${path}: the file is truncated`);
  const start = head ?? Buffer.alloc(8);
  if (!head) {
    const read = await bytes.read(start);
    if (read === 0) return undefined;
    if (read < 8) {
      // Before version 0.15 a stream ends with 4 bytes.
      if (read === 4 && start.readInt32LE() === 0) return undefined;
      throw truncated();
    }
  }
  const isOld = start.readInt32LE() !== CONTINUES;
  const length = isOld ? start.readInt32LE() : start.readInt32LE(4);
  if (length === 0) return undefined;
  if (length < 0) throw new DataError(`${path}: this is no Arrow file`);
  if (length > bytes.left + 4) throw truncated();
  const meta = Buffer.alloc(length);
  const known = isOld ? start.subarray(4) : start.subarray(0, 0);
  known.copy(meta);
  if ((await bytes.read(meta.subarray(known.length))) < length - known.length) throw truncated();
  const { type, bodyLength } = headerOf(path, meta);
  if (!(bodyLength >= 0 && bodyLength <= bytes.left)) throw truncated();
  const prefix = isOld ? 4 : 8;
  const message = Buffer.alloc(prefix + length + bodyLength);
  start.copy(message, 0, 0, prefix);
  meta.copy(message, prefix);
  if ((await bytes.read(message.subarray(prefix + length))) < bodyLength) throw truncated();
  return { type, bytes: new Uint8Array(message.buffer, message.byteOffset, message.length) };
}

/** What a message is, and how long its body is: two fields of a flatbuffer. */
function headerOf(path: string, meta: Buffer): { type: number; bodyLength: number } {
  try {
    return fieldsOf(meta);
  } catch {
    throw new DataError(`${path}: a message of the file is broken`);
  }
}

function fieldsOf(meta: Buffer): { type: number; bodyLength: number } {
  const table = meta.readUInt32LE(0);
  const vtable = table - meta.readInt32LE(table);
  const size = meta.readUInt16LE(vtable);
  const field = (at: number): number => (at < size ? meta.readUInt16LE(vtable + at) : 0);
  const [type, body] = [field(6), field(10)];
  return {
    type: type ? meta.readUInt8(table + type) : 0,
    bodyLength: body ? Number(meta.readBigInt64LE(table + body)) : 0,
  };
}
