// Where the compiled kernel comes from: here, from bytes in the package. Hosts that do not compile
// bytes have module.workerd.ts in its place, the plain JavaScript entry module.none.ts.
import { clamps, kernel, sharedLimits } from './generated/kernel.ts';

/** The place of the first backend that this entry tries: all three, in their order. */
export const START = 0;

/** Bytes of a memory that cannot grow, if nobody says how many. */
export const CAPACITY = 256 * 2 ** 20;

/**
 * Compiles the kernel for unshared or shared memory. If `strict`, it clamps by min and max in place of
 * pmin and pmax: the same bits at another speed. On ARM64 that is one instruction in place of two, 8
 * fewer of the 60 that V8 makes for 16 elements of the forward loop; on x64 it takes 1.7 to 3.6 times
 * as long.
 */
export function compile(shared: boolean, strict = !isX64()): WebAssembly.Module | undefined {
  const bytes = fromHex(kernel);
  if (shared) bytes.set(sharedLimits.bytes, sharedLimits.at);
  if (strict) {
    let at = 0;
    for (const step of clamps) {
      at += step;
      bytes[at] = (bytes[at] as number) - 2;
    }
  }
  return new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>);
}

/**
 * Whether infinity less infinity is a NaN with a sign, as on x64 and nowhere else. A wrong answer costs
 * time, never a result. The operand comes from memory, so that no compiler works the answer out.
 */
function isX64(): boolean {
  const x = Float32Array.of(Infinity) as Float32Array & [number];
  x[0] -= x[0];
  return (new Int32Array(x.buffer)[0] as number) < 0;
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
