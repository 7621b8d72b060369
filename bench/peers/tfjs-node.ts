// TensorFlow.js in Node.

import { createRequire } from 'node:module';
import type { Contender } from '../contender.ts';
import { type TensorFlow, tensorFlow } from './tfjs.ts';

const require = createRequire(import.meta.url);

export async function tensorFlowInNode(backend: 'cpu' | 'wasm'): Promise<Contender> {
  const tf = require('@tensorflow/tfjs') as TensorFlow;
  if (backend === 'wasm') require('@tensorflow/tfjs-backend-wasm');
  return tensorFlow(tf, backend);
}
