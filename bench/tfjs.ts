// smooth-l1/tfjs beside TensorFlow.js's own loss, over the same tensors on its WebAssembly backend.

import { createRequire } from 'node:module';
import { copiedBytes } from 'smooth-l1';
import { registerGradients } from '../test/tfjs-gradients.ts';
import { exactMean } from './accuracy.ts';
import type { Contender, Task } from './contender.ts';
import { type TensorFlow, tensorFlow } from './peers/tfjs.ts';
import { OURS, type TensorRow } from './results.ts';
import type { Section } from './section.ts';
import { hold, racesOf } from './speed.ts';

const require = createRequire(import.meta.url);

export const besideTensorFlow: Section = async (setup) => {
  const contenders = await inTensorFlow();
  const before = copiedBytes();
  const races = racesOf(contenders, [2 ** 16, 2 ** 20], setup.pool);
  const rows = await hold('tfjs', races, setup);
  const copied = copiedBytes() - before;
  const tfjs: TensorRow[] = [];
  for (const row of rows) {
    const contender = contenders.find(({ name }) => name === row.contender)!;
    const relativeError = await errorOf(contender, { ...row, windows: 1, pool: setup.pool });
    tfjs.push({ ...row, relativeError, copied });
  }
  return { tfjs };
};

/** The first is this package. */
async function inTensorFlow(): Promise<Contender[]> {
  // The packages that the tests use; those of bench/peers are a bundle.
  const tf = require('@tensorflow/tfjs-core');
  require('@tensorflow/tfjs-backend-wasm');
  await registerGradients();
  const theirs: TensorFlow = { ...tf, version: { tfjs: tf.version_core } };
  const losses = (await import('smooth-l1/tfjs')) as unknown as TensorFlow['losses'];
  return [
    { ...(await tensorFlow({ ...theirs, losses }, 'wasm')), name: `${OURS}/tfjs` },
    await tensorFlow(theirs, 'wasm'),
  ];
}

/** The part of the exact mean that a contender's is off. */
async function errorOf(contender: Contender, task: Task): Promise<number> {
  const run = await contender.prepare(task);
  if (typeof run === 'string') throw new Error(`${contender.name}: ${run}`);
  try {
    const outcome = await run.check();
    return Math.abs(outcome!.loss! / exactMean(task.pool, task.n) - 1);
  } finally {
    run.dispose();
  }
}
