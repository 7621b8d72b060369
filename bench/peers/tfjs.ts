// TensorFlow.js: losses.huberLoss, which at delta 1 is smooth L1 at beta 1.

import type { Contender, Run, Task } from '../contender.ts';
import { loopOf } from '../contender.ts';

// What is used of it. The package is not there when the types of this project are checked.
interface Tensor {
  dataSync(): Float32Array;
  dispose(): void;
}
export interface TensorFlow {
  version: { tfjs: string };
  enableProdMode(): void;
  setBackend(name: string): Promise<boolean>;
  tensor1d(values: Float32Array): Tensor;
  tidy<T>(f: () => T): T;
  keep(tensor: Tensor): Tensor;
  losses: {
    huberLoss(labels: Tensor, predictions: Tensor, w: undefined, delta: number, r: number): Tensor;
  };
  Reduction: { MEAN: number };
  valueAndGrad(f: (x: Tensor) => Tensor): (x: Tensor) => { value: Tensor; grad: Tensor };
}

/** Above this many elements a call takes so long, or needs so much memory, that it is left out. */
const LARGEST = { cpu: 2 ** 20, wasm: 2 ** 24 };

/** `tf` is the package, with the backend loaded. */
export async function tensorFlow(tf: TensorFlow, backend: 'cpu' | 'wasm'): Promise<Contender> {
  // As one would ship it; it is also quieter.
  tf.enableProdMode();
  if (!(await tf.setBackend(backend))) throw new Error(`TF.js has no backend ${backend} here`);

  function prepare({ operation, n, windows, threads, pool }: Task): Run | string {
    if (threads > 1) return 'one thread only';
    if (n > LARGEST[backend]) return `left out above ${LARGEST[backend]} elements`;
    const places = Array.from({ length: windows }, (_, w) => ({
      input: tf.tensor1d(pool.input.slice(w * n, (w + 1) * n)),
      target: tf.tensor1d(pool.target.slice(w * n, (w + 1) * n)),
    }));
    type Place = (typeof places)[0];
    const loss = (target: Tensor, input: Tensor) =>
      tf.losses.huberLoss(target, input, undefined, 1, tf.Reduction.MEAN);
    const forward = ({ input, target }: Place) =>
      tf.tidy(() => ({ loss: loss(target, input).dataSync()[0]!, gradient: undefined }));
    // The gradient stays where an optimiser of TF.js would take it; for the check it is read.
    const fused = ({ input, target }: Place, isRead: boolean) =>
      tf.tidy(() => {
        const { value, grad } = tf.valueAndGrad((x) => loss(target, x))(input);
        return { loss: value.dataSync()[0]!, gradient: isRead ? grad.dataSync() : undefined };
      });
    const begin = async () => {
      await tf.setBackend(backend);
    };
    const loop = loopOf(
      operation === 'forward' ? forward : (place: Place) => fused(place, false),
      places,
    );
    return {
      begin,
      calls: loop,
      async check() {
        await begin();
        return operation === 'forward' ? forward(places[0]!) : fused(places[0]!, true);
      },
      dispose() {
        for (const { input, target } of places) {
          input.dispose();
          target.dispose();
        }
      },
    };
  }
  return {
    name: `TF.js ${tf.version.tfjs}, ${backend}`,
    operations: ['forward', 'fused'],
    prepare,
  };
}
