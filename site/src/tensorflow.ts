// TensorFlow.js on its WebAssembly backend, one thread. Loaded only by whoever asks for it.

import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-core/dist/register_all_gradients';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import plain from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm?url';
import simd from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm?url';
import threaded from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-threaded-simd.wasm?url';
import type { Contender } from '../../bench/contender.ts';
import { type TensorFlow, tensorFlow } from '../../bench/peers/tfjs.ts';

export function tensorFlowHere(): Promise<Contender> {
  const at = (address: string): string => new URL(address, import.meta.url).href;
  setWasmPaths({
    'tfjs-backend-wasm.wasm': at(plain),
    'tfjs-backend-wasm-simd.wasm': at(simd),
    'tfjs-backend-wasm-threaded-simd.wasm': at(threaded), // it wants to know all of them
  });
  tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
  const version = { tfjs: tf.version_core };
  return tensorFlow({ ...tf, version } as unknown as TensorFlow, 'wasm');
}
