// Where the compiled kernel comes from: here, from bytes in the package. Hosts that do not compile
// bytes have module.workerd.ts in its place, the plain JavaScript entry module.none.ts.
import { kernel, sharedFlag } from './generated/kernel.ts';

/** Bytes of a memory that cannot grow, if nobody says how many. */
export const CAPACITY = 256 * 2 ** 20;

/** Compiles the kernel for unshared or shared memory. */
export function compile(shared: boolean): WebAssembly.Module | undefined {
  const bytes = fromHex(kernel);
  if (shared) bytes[sharedFlag.at] = sharedFlag.value;
  return new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>);
}

interface HexDecoders {
  Uint8Array: { fromHex?: (hex: string) => Uint8Array };
  Buffer?: { from(hex: string, encoding: 'hex'): Uint8Array };
}

/** The engine's own decoders take 0.02 ms, the loop 1 to 2. */
function fromHex(hex: string): Uint8Array {
  const { Uint8Array: type, Buffer } = globalThis as unknown as HexDecoders;
  if (type.fromHex) return type.fromHex(hex);
  if (Buffer) return Buffer.from(hex, 'hex');
  const bytes = new Uint8Array(hex.length / 2);
  for (let i = 0; i < bytes.length; i++)
    bytes[i] = 16 * digit(hex.charCodeAt(2 * i)) + digit(hex.charCodeAt(2 * i + 1));
  return bytes;
}

function digit(code: number): number {
  return code < 58 ? code - 48 : code - 87;
}
