/**
 * Smooth L1, Huber and L1 losses with their gradients, at memory speed.
 *
 * @module
 */
export { bfloat16, float16, float32, free, type KernelArray, uint8 } from './arrays.ts';
export { type AttachOptions, attach } from './attach.ts';
export {
  l1Distance,
  smoothL1OfDistance,
  smoothL1OfDistanceBackward,
  smoothL1OfDistanceWithGrad,
} from './distance.ts';
export type {
  BackwardFunction,
  CallOptions,
  DoubleBackwardFunction,
  HessianFunction,
  LossFunction,
  ObjectOptions,
  ThresholdGradFunction,
  WithGradFunction,
} from './functions.ts';
export {
  type Backend,
  backend,
  copiedBytes,
  type LoadOptions,
  load,
  unload,
  type WasmMemory,
  type WasmModule,
} from './kernel.ts';
export { type AddOptions, LossAccumulator } from './loss-accumulator.ts';
export {
  HuberLoss,
  type HuberOptions,
  huberLoss,
  huberLossBackward,
  huberLossDeltaGrad,
  huberLossDoubleBackward,
  huberLossHessian,
  huberLossOf,
  huberLossWithGrad,
  L1Loss,
  l1Loss,
  l1LossBackward,
  l1LossOf,
  l1LossWithGrad,
  QuantileHuberLoss,
  type QuantileHuberOptions,
  quantileHuberLoss,
  quantileHuberLossBackward,
  quantileHuberLossWithGrad,
  SmoothL1Loss,
  type SmoothL1Options,
  smoothL1Loss,
  smoothL1LossBackward,
  smoothL1LossBetaGrad,
  smoothL1LossDoubleBackward,
  smoothL1LossHessian,
  smoothL1LossOf,
  smoothL1LossWithGrad,
} from './losses.ts';
export type {
  Divisor,
  ElementOptions,
  ElementType,
  GradOptions,
  GradOutputOption,
  HalfArray,
  HuberThreshold,
  InputArray,
  LossOf,
  LossOptions,
  Mask,
  MaskValues,
  NewArray,
  OutOption,
  QuantileHuberThreshold,
  Reduction,
  ResultOf,
  SmoothL1Threshold,
  Weights,
} from './options.ts';
export { type Difference, selfTest } from './self-test.ts';
export type {
  AbortSignalLike,
  Chunk,
  Pair,
  Pairs,
  ReadableStreamLike,
  StreamOptions,
} from './streams.ts';
export { getNumThreads, setNumThreads, type ThreadOptions, type WorkerLike } from './threads.ts';
