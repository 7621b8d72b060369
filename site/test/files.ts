// Files as the tests drop them.

/** As numpy.save writes an array; `header` may be anything, to be wrong. */
export function npy(values: Float32Array | Float64Array, header?: string): Buffer {
  const type = values instanceof Float32Array ? '<f4' : '<f8';
  const text =
    header ?? `{'descr': '${type}', 'fortran_order': False, 'shape': (${values.length},), }`;
  const padded = `${text.padEnd(117)}\n`;
  const start = Buffer.from([0x93, ...Buffer.from('NUMPY'), 1, 0, padded.length, 0]);
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return Buffer.concat([start, Buffer.from(padded, 'latin1'), bytes]);
}

export const file = (name: string, bytes: Uint8Array | ArrayBuffer) => ({
  name,
  mimeType: 'application/octet-stream',
  buffer: Buffer.from(bytes as ArrayBuffer),
});
