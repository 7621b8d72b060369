// NumPy's .npz: a ZIP of .npy files.
import { promisify } from 'node:util';
import { crc32 } from 'node:zlib';
import { type Entry, open, type ZipFile } from 'yauzl';
import { type FileBytes, StreamBytes } from '../bytes.ts';
import { DataError } from '../errors.ts';
import type { Column } from '../numbers.ts';
import { choose } from './choose.ts';
import { npy } from './npy.ts';

const openZip = promisify<string, { lazyEntries: true; autoClose: false }, ZipFile>(open);

export async function npz(
  path: string,
  file: FileBytes,
  array: string | undefined,
  inOrder: boolean,
): Promise<Column> {
  let zip: ZipFile;
  try {
    zip = await openZip(path, { lazyEntries: true, autoClose: false });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code) throw error;
    throw new DataError(`${path}: this is no .npz file: ${(error as Error).message}`);
  }
  try {
    const entries = await entriesOf(zip);
    const name = choose(path, 'array', [...entries.keys()], array);
    const entry = entries.get(name) as Entry;
    const stream = await promisify<Entry, NodeJS.ReadableStream>(zip.openReadStream.bind(zip))(
      entry,
    );
    const full = `${path}:${name}`;
    const bytes = new StreamBytes(checked(full, entry, stream as AsyncIterable<Uint8Array>), () =>
      zip.close(),
    );
    const column = await npy(full, bytes, inOrder);
    // It was opened to see that it is a file; the library opens it again.
    await file.close();
    return column;
  } catch (error) {
    zip.close();
    throw error;
  }
}

/** The bytes of an array. Throws where their checksum is not that of the archive, which the library does not look at. */
async function* checked(
  name: string,
  { uncompressedSize, crc32: wanted }: Entry,
  stream: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  let [sum, left] = [0, uncompressedSize];
  for await (const chunk of stream) {
    sum = crc32(chunk, sum);
    left -= chunk.length;
    if (left === 0 && sum !== wanted)
      throw new DataError(`${name}: the file is broken: its CRC-32 is not that of its bytes`);
    yield chunk;
  }
}

/** The arrays, by name. */
function entriesOf(zip: ZipFile): Promise<Map<string, Entry>> {
  return new Promise((resolve, reject) => {
    const entries = new Map<string, Entry>();
    zip.on('entry', (entry: Entry) => {
      if (entry.fileName.endsWith('.npy')) entries.set(entry.fileName.slice(0, -4), entry);
      zip.readEntry();
    });
    zip.once('end', () => resolve(entries));
    zip.once('error', reject);
    zip.readEntry();
  });
}
