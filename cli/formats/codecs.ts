// How the buffers of Arrow files are decompressed. The library for Arrow brings no codec itself.
import { CompressionType, setCompressionCodec } from '@uwdata/flechette';
import { compressors } from 'hyparquet-compressors';
import { decompress } from 'lz4js';

const unzstd = compressors.ZSTD as (bytes: Uint8Array, length: number) => Uint8Array;
const unused = (): never => {
  throw new Error('nothing is compressed here');
};

/** Called where they are needed: a bundler leaves a module out that is imported for its effects alone. */
export function setCodecs(): void {
  setCompressionCodec(CompressionType.LZ4_FRAME, {
    encode: unused,
    decode: (bytes) => decompress(bytes),
  });
  setCompressionCodec(CompressionType.ZSTD, {
    encode: unused,
    // A copy, which begins where arrays of any type may.
    decode: (bytes, length) => unzstd(bytes, length).slice(),
  });
}
