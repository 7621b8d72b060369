// Safetensors: a length, a header in JSON, then the tensors. https://github.com/huggingface/safetensors#format
import type { FileBytes } from '../bytes.ts';
import { DataError } from '../errors.ts';
import { type Column, Numbers, numberType } from '../numbers.ts';
import { choose } from './choose.ts';

const TYPES: Readonly<Record<string, string>> = {
  F64: 'f8',
  F32: 'f4',
  F16: 'f2',
  BF16: 'bf16',
  I64: 'i8',
  I32: 'i4',
  I16: 'i2',
  I8: 'i1',
  U64: 'u8',
  U32: 'u4',
  U16: 'u2',
  U8: 'u1',
  BOOL: 'b1',
};
const LONGEST = 100_000_000;

interface Tensor {
  readonly dtype: string;
  readonly shape: number[];
  readonly data_offsets: [number, number];
}

export async function safetensors(
  name: string,
  bytes: FileBytes,
  tensorName: string | undefined,
): Promise<Column> {
  const size = Buffer.alloc(8);
  const isLong = (await bytes.read(size)) === 8;
  const length = isLong ? Number(size.readBigUInt64LE()) : 0;
  if (!isLong || length > Math.min(bytes.left, LONGEST))
    throw new DataError(`${name}: this is no .safetensors file, or it is truncated`);
  const text = Buffer.alloc(length);
  await bytes.read(text);
  let header: Record<string, Tensor>;
  try {
    header = JSON.parse(text.toString());
  } catch {
    throw new DataError(`${name}: this is no .safetensors file: its header is no JSON`);
  }
  const names = Object.keys(header).filter((key) => key !== '__metadata__');
  const chosen = choose(name, 'tensor', names, tensorName);
  const { dtype, shape, data_offsets: offsets } = header[chosen] as Tensor;
  const type = TYPES[dtype] && numberType(TYPES[dtype]);
  const full = tensorName === undefined ? `${name}:${chosen}` : name;
  if (!type)
    throw new DataError(
      `${full}: the type must be one of ${Object.keys(TYPES).join(', ')}, got ${dtype}`,
    );
  const [begin, end] = offsets;
  if (end - begin !== shape.reduce((a, b) => a * b, type.bytes))
    throw new DataError(
      `${full}: the header is inconsistent: ${end - begin} bytes for ${dtype} [${shape}]`,
    );
  await bytes.skip(begin);
  bytes.limit(end - begin);
  return new Numbers(full, bytes, type, shape);
}
