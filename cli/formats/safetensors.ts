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
  let header: Record<string, unknown> | null;
  try {
    header = JSON.parse(text.toString());
  } catch {
    header = null;
  }
  if (header === null || typeof header !== 'object')
    throw new DataError(`${name}: this is no .safetensors file: its header is no JSON object`);
  const names = Object.keys(header).filter((key) => key !== '__metadata__');
  const chosen = choose(name, 'tensor', names, tensorName);
  const { dtype, shape, data_offsets: offsets } = Object(header[chosen]);
  const code = TYPES[dtype];
  const type = code === undefined ? undefined : numberType(code);
  const full = tensorName === undefined ? `${name}:${chosen}` : name;
  if (!type)
    throw new DataError(
      `${full}: the type must be one of ${Object.keys(TYPES).join(', ')}, got ${dtype}`,
    );
  const [begin, end] = areSizes(offsets) ? offsets : [];
  if (
    begin === undefined ||
    end === undefined ||
    !areSizes(shape) ||
    end - begin !== shape.reduce((a, b) => a * b, type.bytes)
  )
    throw new DataError(
      `${full}: the header is inconsistent: shape ${JSON.stringify(shape)} of ${dtype}, data_offsets ${JSON.stringify(offsets)}`,
    );
  await bytes.skip(begin);
  bytes.limit(end - begin);
  return new Numbers(full, bytes, type, shape);
}

function areSizes(list: unknown): list is number[] {
  return Array.isArray(list) && list.every((n) => Number.isSafeInteger(n) && n >= 0);
}
