// Columns of numbers from files: .npy, .parquet and .arrow. What is missing in them becomes NaN.

import { widen } from '../../ts/half.ts';

export interface Column {
  readonly name: string;
  readonly length: number;
  /** Rounded to f32, as everything that the package takes. */
  read(): Promise<Float32Array>;
}

/** The columns of the files that were chosen together; throws what is wrong about them. */
export async function columnsOf(files: readonly File[]): Promise<Column[]> {
  const kinds = new Set(files.map(kindOf));
  if (kinds.size > 1)
    throw new Error('These are files of different kinds: give two .npy files, or one table');
  const [kind] = kinds;
  if (kind !== 'npy' && files.length > 1)
    throw new Error(`These are ${files.length} tables: give one with both columns`);
  const columns = (await Promise.all(files.map(readers[kind!]))).flat();
  if (columns.length === 0) throw new Error(`${files[0]!.name} has no column of numbers`);
  return columns;
}

type Kind = 'npy' | 'parquet' | 'arrow';

function kindOf({ name }: File): Kind {
  const [ending = ''] = /\.\w+$/.exec(name.toLowerCase()) ?? [];
  if (ending === '.npy') return 'npy';
  if (ending === '.parquet') return 'parquet';
  if (['.arrow', '.feather', '.ipc', '.arrows'].includes(ending)) return 'arrow';
  throw new Error(`${name} is no .npy, .parquet or .arrow file`);
}

const readers: Record<Kind, (file: File) => Promise<Column[]>> = {
  npy: async (file) => [npy(file.name, await file.arrayBuffer())],
  parquet,
  arrow,
};

/** Numbers of any type, in which null is missing. */
function rounded(values: ArrayLike<unknown>): Float32Array {
  const result = new Float32Array(values.length);
  for (let i = 0; i < values.length; i++) result[i] = Number(values[i] ?? NaN);
  return result;
}

// ---- .npy ---------------------------------------------------------------------------------------

const one = new Float32Array(1);

type Getter = (view: DataView, offset: number, isLittle: boolean) => number;

/** By NumPy's letter and bytes. */
const types: Record<string, Getter> = {
  f8: (view, offset, isLittle) => view.getFloat64(offset, isLittle),
  f4: (view, offset, isLittle) => view.getFloat32(offset, isLittle),
  f2: (view, offset, isLittle) => {
    const bits = Uint16Array.of(view.getUint16(offset, isLittle));
    widen('float16', bits, 0, 1, one);
    return one[0]!;
  },
  i1: (view, offset) => view.getInt8(offset),
  i2: (view, offset, isLittle) => view.getInt16(offset, isLittle),
  i4: (view, offset, isLittle) => view.getInt32(offset, isLittle),
  i8: (view, offset, isLittle) => Number(view.getBigInt64(offset, isLittle)),
  u1: (view, offset) => view.getUint8(offset),
  u2: (view, offset, isLittle) => view.getUint16(offset, isLittle),
  u4: (view, offset, isLittle) => view.getUint32(offset, isLittle),
  u8: (view, offset, isLittle) => Number(view.getBigUint64(offset, isLittle)),
  b1: (view, offset) => view.getUint8(offset),
};

/** The form of NumPy's files: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
export function npy(name: string, buffer: ArrayBuffer): Column {
  const bytes = new Uint8Array(buffer);
  const view = new DataView(buffer);
  const ascii = (from: number, to: number): string =>
    String.fromCharCode(...bytes.subarray(from, to));
  if (ascii(0, 6) !== '\x93NUMPY')
    throw new Error(`${name} does not begin as a .npy file does: was it saved by numpy.save?`);
  const start = bytes[6] === 1 ? 10 : 12;
  if (bytes.length < start) throw new Error(`${name} ends in its header`);
  const end = start + (start === 10 ? view.getUint16(8, true) : view.getUint32(8, true));
  if (bytes.length < end) throw new Error(`${name} ends in its header`);
  const header = ascii(start, end);
  const [, descr] = /'descr': *'([^']*)'/.exec(header) ?? [];
  const [, shape] = /'shape': *\(([^)]*)\)/.exec(header) ?? [];
  if (descr === undefined || shape === undefined)
    throw new Error(`${name} has no plain array: give one array of numbers, not records`);
  const sizes = shape
    .split(',')
    .filter((size) => size.trim())
    .map(Number);
  if (/'fortran_order': *True/.test(header) && sizes.length > 1)
    throw new Error(
      `${name} is stored column by column (fortran_order): save numpy.ascontiguousarray(array)`,
    );
  const get = types[descr.slice(1)];
  if (!get) throw new Error(`${name} holds “${descr}”: give floats or integers`);
  const width = Number(descr.slice(2));
  const length = sizes.reduce((product, size) => product * size, 1);
  const given = bytes.length - end;
  if (given !== length * width)
    throw new Error(
      `${name} should have ${length} numbers, ${length * width} bytes, but has ${given} bytes`,
    );
  return {
    name,
    length,
    async read() {
      const isLittle = descr[0] !== '>';
      return Float32Array.from({ length }, (_, i) => get(view, end + i * width, isLittle));
    },
  };
}

// ---- .parquet -----------------------------------------------------------------------------------

async function parquet(file: File): Promise<Column[]> {
  const [{ parquetMetadataAsync, parquetRead }, { compressors }] = await Promise.all([
    import('hyparquet'),
    import('hyparquet-compressors'),
  ]);
  const source = {
    byteLength: file.size,
    slice: (start: number, end?: number) => file.slice(start, end).arrayBuffer(),
  };
  const metadata = await parquetMetadataAsync(source).catch((error: Error) => {
    throw new Error(`${file.name} cannot be read as Parquet: ${error.message}`);
  });
  const length = Number(metadata.num_rows);
  // Columns that are not nested: as many as the first element says, each without children.
  const numeric = metadata.schema
    .slice(1)
    .filter(
      ({ type, num_children, repetition_type, converted_type, logical_type }) =>
        !num_children &&
        repetition_type !== 'REPEATED' &&
        ['INT32', 'INT64', 'FLOAT', 'DOUBLE'].includes(type ?? '') &&
        !/DATE|TIME/.test(`${converted_type} ${logical_type?.type}`),
    );
  const isFlat = metadata.schema.length === 1 + (metadata.schema[0]?.num_children ?? 0);
  if (!isFlat) throw new Error(`${file.name} has nested columns: save a table of plain columns`);
  return numeric.map(({ name }) => ({
    name,
    length,
    async read() {
      const values = new Float32Array(length).fill(NaN);
      await parquetRead({
        file: source,
        metadata,
        compressors,
        columns: [name],
        onChunk: ({ columnData, rowStart }) => values.set(rounded(columnData), rowStart),
      });
      return values;
    },
  }));
}

// ---- .arrow -------------------------------------------------------------------------------------

async function arrow(file: File): Promise<Column[]> {
  const [{ tableFromIPC, Type }, { setCodecs }] = await Promise.all([
    import('@uwdata/flechette'),
    import('../../cli/formats/codecs.ts'), // files of Feather are compressed as they are written
  ]);
  setCodecs();
  let table: ReturnType<typeof tableFromIPC>;
  try {
    table = tableFromIPC(await file.arrayBuffer());
  } catch (error) {
    throw new Error(`${file.name} cannot be read as Arrow: ${(error as Error).message}`);
  }
  const { fields } = table.schema;
  return fields.flatMap(({ name, type: { typeId } }, index) => {
    if (typeId !== Type.Int && typeId !== Type.Float) return [];
    const column = table.getChildAt(index);
    const read = async (): Promise<Float32Array> => rounded(column.toArray() as ArrayLike<unknown>);
    return [{ name, length: table.numRows, read }];
  });
}
