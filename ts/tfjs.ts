/**
 * The losses of this package for TensorFlow.js: the arguments of `tf.losses.*`, differentiable, twice. With
 * the WebAssembly backend they work on its tensors in place.
 *
 * @module
 */

import {
  broadcastTo,
  cast,
  engine,
  getBackend,
  getKernel,
  mul,
  neg,
  ones,
  Reduction,
  registerGradient,
  registerKernel,
  reshape,
  type Scalar,
  sum,
  Tensor,
  type TensorInfo,
  type TensorLike,
  tensor,
  tidy,
  util,
} from '@tensorflow/tfjs-core';
import {
  attach,
  huberLoss as huber,
  huberLossBackward,
  huberLossDoubleBackward,
  huberLossWithGrad,
  type SmoothL1Threshold,
  smoothL1Loss as smoothL1,
  smoothL1LossBackward,
  smoothL1LossDoubleBackward,
  smoothL1LossWithGrad,
} from '#core';

// What each operation takes, as a list:
const LOSS = 'SmoothL1Package/Loss'; //             x, y, weights?, slopes?
const GRAD = 'SmoothL1Package/Grad'; //         dy, x, y, weights?, slopes?    the gradient to x
const GRAD_WEIGHTS = 'SmoothL1Package/GradWeights'; // dy, x, y, weights       for each element
const SHARE = 'SmoothL1Package/Share'; //           x                          itself
const DOUBLE_GRAD = 'SmoothL1Package/DoubleGrad'; // ddx, dy, x, y, weights?   the gradient of GRAD to x

const HUBER = {
  loss: huber,
  withGrad: huberLossWithGrad,
  backward: huberLossBackward,
  doubleBackward: huberLossDoubleBackward,
};
const SMOOTH_L1 = {
  loss: smoothL1,
  withGrad: smoothL1LossWithGrad,
  backward: smoothL1LossBackward,
  doubleBackward: smoothL1LossDoubleBackward,
} as unknown as typeof HUBER;

/** The attributes of all operations. */
interface Attributes {
  readonly form: typeof HUBER;
  readonly threshold: object;
  readonly reduction: Reduction;
  /** How weights lie. */
  readonly weights: 'none' | 'number' | 'full' | 'perRow' | 'perColumn';
  readonly rowLength: number;
}

/** Where the tensors of a backend are. */
interface Place {
  make(shape: number[]): TensorInfo;
  /** Its numbers, which must be asked for after all tensors were made: making one may grow the memory. */
  view(info: TensorInfo): Float32Array;
  share(info: TensorInfo): TensorInfo;
  drop(info: TensorInfo): void;
}

/** What is used of the backends. */
interface Backend {
  incRef(dataId: object): void;
  disposeData(dataId: object): boolean;
}
interface WasmBackend extends Backend {
  /** null when it was disposed. */
  wasm: {
    asm: { memory?: WebAssembly.Memory };
    wasmMemory?: WebAssembly.Memory;
    _malloc(bytes: number): number;
  } | null;
  getMemoryOffset(dataId: object): number;
  makeOutput(shape: number[], dtype: 'float32'): TensorInfo;
}
interface CpuBackend extends Backend {
  readSync(dataId: object): Float32Array | Int32Array | Uint8Array;
  makeTensorInfo(shape: number[], dtype: 'float32', values: Float32Array): TensorInfo;
}

const places = new WeakMap<object, Place>();
/** The backends whose memory is attached. */
const attached = new Map<WasmBackend, () => void>();

/** Throws where tensors cannot be read at once. */
function placeOf(fn: string): Place {
  const { backend } = engine();
  let place = places.get(backend);
  if (place === undefined) {
    if ('getMemoryOffset' in backend) place = wasmPlace(backend as unknown as WasmBackend);
    else if (getBackend() === 'cpu') place = cpuPlace(backend as unknown as CpuBackend);
    else
      throw new Error(
        `${fn}: the backend "${getBackend()}" does not give out its numbers at once. Use the backend "wasm" or "cpu" (await tf.setBackend("wasm")); or read the tensors, which is asynchronous, and give the arrays to the functions of smooth-l1: huberLoss(await predictions.data(), await labels.data())`,
      );
    places.set(backend, place);
  }
  return place;
}

function wasmPlace(backend: WasmBackend): Place {
  for (const [old, detach] of attached)
    if (old.wasm === null) {
      detach();
      attached.delete(old);
    }
  const wasm = backend.wasm as NonNullable<WasmBackend['wasm']>;
  const memory = (wasm.wasmMemory ?? wasm.asm.memory) as WebAssembly.Memory;
  try {
    const allocate = (bytes: number): number => wasm._malloc(bytes) >>> 0;
    attached.set(backend, attach(memory, { allocate }));
  } catch (error) {
    // Somebody else may have attached it.
    if (!String(error).includes('attached already')) throw error;
  }
  return {
    make: (shape) => backend.makeOutput(shape, 'float32'),
    view({ dataId, shape }) {
      const at = backend.getMemoryOffset(dataId);
      return new Float32Array(memory.buffer, at, util.sizeFromShape(shape));
    },
    ...common(backend),
  };
}

function cpuPlace(backend: CpuBackend): Place {
  return {
    make(shape) {
      const values = new Float32Array(util.sizeFromShape(shape));
      return backend.makeTensorInfo(shape, 'float32', values);
    },
    view({ dataId }) {
      // A tensor that was cast still has the integers that it was made of.
      const values = backend.readSync(dataId);
      return values instanceof Float32Array ? values : Float32Array.from(values);
    },
    ...common(backend),
  };
}

function common(backend: Backend): Pick<Place, 'share' | 'drop'> {
  return {
    share({ dataId, shape, dtype }) {
      backend.incRef(dataId);
      return { dataId, shape, dtype };
    },
    drop({ dataId }) {
      backend.disposeData(dataId);
    },
  };
}

/** The options of this package. */
function optionsOf(attributes: Attributes, weights: Float32Array | undefined): object {
  const { threshold, reduction, weights: layout, rowLength } = attributes;
  const isMean = reduction !== Reduction.NONE && reduction !== Reduction.SUM;
  const options: Record<string, unknown> = {
    ...threshold,
    reduction: isMean ? 'mean' : reduction === Reduction.SUM ? 'sum' : 'none',
  };
  if (weights === undefined) return options;
  if (isMean) options.divisor = reduction === Reduction.MEAN ? 'weights' : 'nonzeroWeights';
  if (layout === 'number') options.weight = weights[0];
  else if (layout === 'full') options.weight = weights;
  else {
    options.weight = { [layout]: weights };
    options.rowLength = rowLength;
  }
  return options;
}

/** The numbers of tensors: after all were made. */
function views<T extends unknown[]>(place: Place, ...infos: T): { [K in keyof T]: Float32Array } {
  return infos.map((info) => place.view(info as TensorInfo)) as never;
}

type Kernel = (place: Place, inputs: TensorInfo[], attributes: Attributes) => TensorInfo;

/** The kernels; each makes its tensors first. */
const KERNELS: Record<string, Kernel> = {
  [LOSS](place, [x, y, ...more], attributes) {
    const { form, reduction, weights } = attributes;
    const [own, slopes] = weights === 'none' ? [undefined, more[0]] : more;
    const isArray = reduction === Reduction.NONE;
    const out = place.make(isArray ? (x?.shape as number[]) : []);
    const [input, target, losses] = views(place, x, y, out);
    const options = optionsOf(attributes, own && place.view(own));
    if (isArray) form.loss(input, target, { ...options, out: losses } as object);
    else
      losses[0] = slopes
        ? form.withGrad(input, target, place.view(slopes), options)
        : form.loss(input, target, options);
    return out;
  },

  [GRAD](place, [dy, x, y, ...more], attributes) {
    const [own, slopes] = attributes.weights === 'none' ? [undefined, more[0]] : more;
    // The loss has left the gradient already, if what follows is the loss itself.
    if (slopes && place.view(dy as TensorInfo)[0] === 1) return place.share(slopes);
    const result = place.make(x?.shape as number[]);
    const [input, target, out] = views(place, x, y, result);
    const options = optionsOf(attributes, own && place.view(own));
    attributes.form.backward(upstream(place, dy, attributes), input, target, { ...options, out });
    return result;
  },

  [SHARE]: (place, [x]) => place.share(x as TensorInfo),

  [GRAD_WEIGHTS](place, [dy, x, y, weights], attributes) {
    const [result, rest] = [place.make(x?.shape as number[]), place.make(x?.shape as number[])];
    const numbers = views(place, x, y, weights, rest, result);
    const [input, target, own, out, gradOutsideWeights] = numbers;
    const options = { ...optionsOf(attributes, own), out, gradOutsideWeights };
    attributes.form.backward(upstream(place, dy, attributes), input, target, options);
    place.drop(rest);
    return result;
  },

  [DOUBLE_GRAD](place, [ddx, dy, x, y, weights], attributes) {
    const result = place.make(x?.shape as number[]);
    const [direction, input, target, out] = views(place, ddx, x, y, result);
    const options = { ...optionsOf(attributes, weights && place.view(weights)), out };
    const following = upstream(place, dy, attributes);
    attributes.form.doubleBackward(direction, following, input, target, options);
    return result;
  },
};

/** What follows: one number, or one for each loss. */
function upstream(place: Place, dy: TensorInfo | undefined, { reduction }: Attributes) {
  const values = place.view(dy as TensorInfo);
  return reduction === Reduction.NONE ? values : (values[0] as number);
}

/** Registers the kernels for the backend that runs, unless they are. */
function register(fn: string): void {
  placeOf(fn);
  const backendName = getBackend();
  if (getKernel(LOSS, backendName)) return;
  for (const [kernelName, kernel] of Object.entries(KERNELS))
    registerKernel({
      kernelName,
      backendName,
      kernelFunc: ({ inputs, attrs }) =>
        kernel(placeOf(fn), inputs as unknown as TensorInfo[], attrs as unknown as Attributes),
    });
}

/** Runs an operation. `own` is what it takes that is nobody else's. */
function run(
  name: string,
  inputs: (Tensor | undefined)[],
  attributes: Attributes,
  own?: Tensor | undefined,
): Tensor {
  const tf = engine();
  const given = [...inputs, own].filter((input) => input !== undefined);
  const result = tf.runKernel(name, given as never, attributes as never) as Tensor;
  // What gradients will need is shared. The WebAssembly backend would copy what the tape saves by itself,
  // 2 of 3 ms for a million elements.
  const node = tf.state.activeTape?.at(-1);
  if (node?.outputs[0] === result)
    for (const input of given)
      node.saved?.push(tf.keep(input === own ? own : tf.runKernel(SHARE, [input] as never)));
  return result;
}

// The registry of gradients is the same for all backends.
registerGradient({
  kernelName: SHARE,
  gradFunc: (dy) => ({ 0: () => cast(dy as Tensor, 'float32') }),
});
registerGradient({
  kernelName: LOSS,
  gradFunc(dy, saved, attrs) {
    const attributes = attrs as unknown as Attributes;
    const [x, y, ...more] = saved;
    const own = attributes.weights === 'none' ? undefined : more[0];
    return {
      0: () => run(GRAD, [dy as Tensor, x, y, ...more], attributes),
      // The loss is the same for the two, exchanged.
      1: () => run(GRAD, [dy as Tensor, y, x, own], attributes),
      2: () => gradToWeights(dy as Tensor, x as Tensor, y as Tensor, own as Tensor, attributes),
    };
  },
});
registerGradient({
  kernelName: GRAD,
  gradFunc(ddx, saved, attrs) {
    const attributes = attrs as unknown as Attributes;
    const [dy, x, y, more] = saved;
    const weights = attributes.weights === 'none' ? undefined : more;
    const toX = (): Tensor => run(DOUBLE_GRAD, [ddx as Tensor, dy, x, y, weights], attributes);
    return {
      0: () => {
        const one = ones((dy as Tensor).shape);
        const product = mul(ddx as Tensor, run(GRAD, [one, x, y, weights], attributes));
        return attributes.reduction === Reduction.NONE ? product : sum(product);
      },
      1: toX,
      2: () => neg(toX()),
      3: () => {
        throw new Error('smooth-l1/tfjs: there is no second derivative to weights');
      },
    };
  },
});

/** The gradients to all elements' weights, added up for those that are one. */
function gradToWeights(dy: Tensor, x: Tensor, y: Tensor, own: Tensor, attributes: Attributes) {
  const { weights, rowLength } = attributes;
  const all = run(GRAD_WEIGHTS, [dy, x, y, own], attributes);
  if (weights === 'full') return reshape(all, own.shape);
  if (weights === 'number') return reshape(sum(all), own.shape);
  const rows = reshape(all, [-1, rowLength]);
  return reshape(sum(rows, weights === 'perRow' ? 1 : 0), own.shape);
}

/** How weights of that shape lie over losses of the other; undefined if they must be broadcast. */
function layoutOf(
  weights: number[],
  losses: number[],
): Pick<Attributes, 'weights' | 'rowLength'> | undefined {
  const own = [...losses.map(() => 1), ...weights].slice(-Math.max(losses.length, weights.length));
  if (own.length > losses.length) return undefined;
  const first = own.findIndex((size) => size !== 1);
  if (first < 0) return { weights: 'number', rowLength: 0 };
  let end = own.length;
  while (own[end - 1] === 1) end--;
  const isSame = (from: number, to: number): boolean =>
    own.slice(from, to).every((size, i) => size === losses[from + i]);
  if (isSame(0, own.length)) return { weights: 'full', rowLength: 0 };
  const sizeFrom = (at: number): number => util.sizeFromShape(losses.slice(at));
  // Ones in front of rows of one element each, or of one row, change nothing.
  if (isSame(0, end)) return { weights: 'perRow', rowLength: sizeFrom(end) };
  if (isSame(first, own.length)) return { weights: 'perColumn', rowLength: sizeFrom(first) };
  return undefined;
}

function asFloats(value: Tensor | TensorLike): Tensor {
  const own = value instanceof Tensor ? value : tensor(value);
  return own.dtype === 'float32' ? own : cast(own, 'float32');
}

function lossOf(
  fn: string,
  form: typeof HUBER,
  threshold: object,
  labels: Tensor | TensorLike,
  predictions: Tensor | TensorLike,
  weights: Tensor | TensorLike | null | undefined,
  reduction: Reduction = Reduction.SUM_BY_NONZERO_WEIGHTS,
): Tensor {
  return tidy(fn, () => {
    let [y, x] = [asFloats(labels), asFloats(predictions)];
    util.assertShapesMatch(y.shape, x.shape, `Error in ${fn}: `);
    if (Reduction[reduction] === undefined) throw new Error(`Unknown reduction: ${reduction}`);
    register(fn);
    let own = weights === null || weights === undefined ? undefined : asFloats(weights);
    let layout: Pick<Attributes, 'weights' | 'rowLength'> = { weights: 'none', rowLength: 0 };
    if (own !== undefined) {
      let found = layoutOf(own.shape, x.shape);
      if (found === undefined) {
        const shape = broadcastShape(own.shape, x.shape);
        [x, y, own] = [x, y, own].map((one) =>
          util.arraysEqual(one.shape, shape) ? one : broadcastTo(one, shape),
        ) as [Tensor, Tensor, Tensor];
        found = { weights: 'full', rowLength: 0 };
      }
      layout = found;
    }
    const attributes: Attributes = { form, threshold, reduction, ...layout };
    // Where a gradient will be asked for, the pass that makes the loss leaves it.
    const slopes =
      engine().state.gradientDepth > 0 && reduction !== Reduction.NONE
        ? engine().makeTensorFromTensorInfo(placeOf(fn).make(x.shape))
        : undefined;
    return run(LOSS, [x, y, own], attributes, slopes);
  });
}

function broadcastShape(a: number[], b: number[]): number[] {
  const rank = Math.max(a.length, b.length);
  const sizeAt = (shape: number[], i: number): number => shape[i - rank + shape.length] ?? 1;
  return Array.from({ length: rank }, (_, i) => {
    const [p, q] = [sizeAt(a, i), sizeAt(b, i)];
    if (p !== q && p !== 1 && q !== 1)
      throw new Error(`weights of shape [${a}] cannot be broadcast to losses of shape [${b}]`);
    return p === 1 ? q : p;
  });
}

/**
 * The Huber loss, as `tf.losses.huberLoss`.
 *
 * @param labels the true values.
 * @param predictions a tensor of the same shape.
 * @param weights a tensor that can be broadcast to that shape.
 * @param delta the threshold, from 0.
 * @param reduction as in TensorFlow.js.
 * @throws {RangeError} if `delta` is negative or NaN; {Error} with a backend other than `"wasm"` and `"cpu"`.
 * @example
 * ```ts
 * import '@tensorflow/tfjs-backend-cpu';
 * import * as tf from '@tensorflow/tfjs-core';
 * import { huberLoss } from 'smooth-l1/tfjs';
 * const [labels, predictions] = [tf.tensor1d([1, 2, 3]), tf.tensor1d([1.5, 2, 6])];
 * console.log(huberLoss(labels, predictions).dataSync()[0]); // 0.875
 * const gradient = tf.grad((x) => huberLoss(labels, x, null, 1, tf.Reduction.SUM))(predictions);
 * console.log(gradient.dataSync().join()); // 0.5,0,1
 * ```
 */
export function huberLoss<O extends Tensor = Scalar>(
  labels: Tensor | TensorLike,
  predictions: Tensor | TensorLike,
  weights?: Tensor | TensorLike | null,
  delta = 1,
  reduction?: Reduction,
): O {
  return lossOf('huberLoss', HUBER, { delta }, labels, predictions, weights, reduction) as O;
}

/**
 * The smooth L1 loss, which TensorFlow.js does not have: `huberLoss` divided by its threshold.
 *
 * @param beta the threshold, from 0; or `{ beta }` or `{ sigma }`.
 * @throws as {@link huberLoss}. The other arguments are those of it.
 * @example
 * ```ts
 * import '@tensorflow/tfjs-backend-cpu';
 * import { smoothL1Loss } from 'smooth-l1/tfjs';
 * console.log(smoothL1Loss([1, 2], [1.25, 4], null, 0.5).dataSync()[0]); // 0.90625
 * console.log(smoothL1Loss([1, 2], [1.25, 4], [1, 0], { sigma: 2 }).dataSync()[0]); // 0.125
 * ```
 */
export function smoothL1Loss<O extends Tensor = Scalar>(
  labels: Tensor | TensorLike,
  predictions: Tensor | TensorLike,
  weights?: Tensor | TensorLike | null,
  beta: number | SmoothL1Threshold = 1,
  reduction?: Reduction,
): O {
  const threshold = typeof beta === 'number' ? { beta } : beta;
  return lossOf('smoothL1Loss', SMOOTH_L1, threshold, labels, predictions, weights, reduction) as O;
}

/**
 * The absolute difference, as `tf.losses.absoluteDifference`.
 *
 * @throws {Error} with a backend other than `"wasm"` and `"cpu"`. The arguments are those of {@link huberLoss}.
 * @example
 * ```ts
 * import '@tensorflow/tfjs-backend-cpu';
 * import { absoluteDifference } from 'smooth-l1/tfjs';
 * console.log(absoluteDifference([1, 2], [1.25, 4]).dataSync()[0]); // 1.125
 * ```
 */
export function absoluteDifference<O extends Tensor = Scalar>(
  labels: Tensor | TensorLike,
  predictions: Tensor | TensorLike,
  weights?: Tensor | TensorLike | null,
  reduction?: Reduction,
): O {
  const fn = 'absoluteDifference';
  return lossOf(fn, SMOOTH_L1, { beta: 0 }, labels, predictions, weights, reduction) as O;
}
