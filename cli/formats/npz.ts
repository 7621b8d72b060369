// NumPy's .npz: a ZIP of .npy files.
import { promisify } from 'node:util';
import { type Entry, open, type ZipFile } from 'yauzl';
import { StreamBytes } from '../bytes.ts';
import { DataError } from '../errors.ts';
import type { Column } from '../numbers.ts';
import { choose } from './choose.ts';
import { npy } from './npy.ts';

const openZip = promisify<string, { lazyEntries: true; autoClose: false }, ZipFile>(open);

export async function npz(
  path: string,
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
    const stream = await promisify<Entry, NodeJS.ReadableStream>(zip.openReadStream.bind(zip))(
      entries.get(name) as Entry,
    );
    const bytes = new StreamBytes(stream as AsyncIterable<Uint8Array>, () => zip.close());
    return await npy(`${path}:${name}`, bytes, inOrder);
  } catch (error) {
    zip.close();
    throw error;
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
