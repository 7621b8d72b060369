import { DataError } from '../errors.ts';

/** The part of a file that is meant: that with the name `wanted`, or the only one. */
export function choose(
  file: string,
  kind: 'tensor' | 'column' | 'array',
  names: readonly string[],
  wanted: string | undefined,
): string {
  const known =
    names.length > 20 ? `${names.slice(0, 20).join(', ')} and others` : names.join(', ');
  if (wanted !== undefined && names.includes(wanted)) return wanted;
  if (wanted !== undefined)
    throw new DataError(`${file}: there is no ${kind} "${wanted}"; there are ${known || 'none'}`);
  const [first] = names;
  if (names.length === 1 && first !== undefined) return first;
  throw new DataError(`${file}: say which ${kind}, as in FILE:NAME; there are ${known || 'none'}`);
}
