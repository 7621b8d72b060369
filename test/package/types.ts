// What a user's compiler makes of the declarations. Nothing runs this file: package.test.ts has it
// checked against the published types, strictly and with all of their own text.
import {
  type Backend,
  backend,
  bfloat16,
  copiedBytes,
  float16,
  float32,
  free,
  getNumThreads,
  type HalfArray,
  HuberLoss,
  huberLoss,
  huberLossDeltaGrad,
  type KernelArray,
  L1Loss,
  l1Distance,
  l1Loss,
  l1LossBackward,
  l1LossWithGrad,
  load,
  type NewArray,
  type Reduction,
  SmoothL1Loss,
  type SmoothL1Options,
  setNumThreads,
  smoothL1Loss,
  smoothL1LossBackward,
  smoothL1LossHessian,
  smoothL1LossOf,
  smoothL1LossWithGrad,
  uint8,
} from 'smooth-l1';
import * as reference from 'smooth-l1/reference';

type Same<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** Takes a value whose type is exactly `Expected`. */
function exactly<Expected>() {
  return <Actual>(_: Actual, ..._same: Same<Actual, Expected> extends true ? [] : [never]) => {};
}

const x = float32(4);
const y = new Float32Array(4);
exactly<KernelArray<Float32Array>>()(x);
exactly<KernelArray<Uint8Array>>()(uint8([1, 0]));
exactly<KernelArray<Uint16Array>>()(bfloat16(4));
exactly<KernelArray<HalfArray>>()(float16([1, 2]));
exactly<void>()(free(x));

// A number or an array, by the reduction.
exactly<number>()(smoothL1Loss(x, y));
exactly<number>()(smoothL1Loss(x, y, { beta: 2 }));
exactly<number>()(smoothL1Loss(x, y, { reduction: 'mean' }));
exactly<number>()(smoothL1Loss(x, y, { reduction: 'sum' }));
exactly<typeof y>()(smoothL1Loss(x, y, { reduction: 'none', out: y }));
exactly<NewArray>()(huberLoss(x, y, { delta: 2, reduction: 'rows', rowLength: 2 }));
exactly<number>()(l1LossWithGrad(x, y, x, { reduction: 'sum' }));
exactly<NewArray>()(smoothL1LossWithGrad(x, y, x, { reduction: 'none' }));
exactly<number>()(smoothL1Loss(x, y, { reduction: undefined }));
exactly<number>()(smoothL1LossWithGrad(x, y, x, { beta: 2, reduction: undefined }));
exactly<NewArray>()(l1Loss(x, y, { reduction: 'columns', rowLength: 2 }));
exactly<number>()(new L1Loss({ reduction: undefined }).forward(x, y));
declare const reduction: Reduction;
exactly<number | NewArray>()(l1Loss(x, y, { reduction }));
declare const maybe: Reduction | undefined;
exactly<number | NewArray>()(l1Loss(x, y, { reduction: maybe }));
// A type argument alone says nothing to a function, which would return a number.
// @ts-expect-error
smoothL1Loss<'none'>(x, y);
// @ts-expect-error
huberLoss<'none'>(x, y, { delta: 2 });
// @ts-expect-error
l1LossWithGrad<'rows'>(x, y, x, { rowLength: 2 });
// @ts-expect-error
new HuberLoss<'none'>();
// @ts-expect-error
new SmoothL1Loss<'none'>({ beta: 2 });
exactly<NewArray>()(new HuberLoss<'none'>({ reduction: 'none' }).forward(x, y));
exactly<number>()(new HuberLoss<'sum'>({ reduction: 'sum' }).forward(x, y));
exactly<number | NewArray>()(new L1Loss({ reduction }).forward(x, y));

exactly<NewArray>()(smoothL1LossBackward(1, x, y));
// Inputs may have 16 bits, results not.
exactly<number>()(smoothL1Loss(float16(4), bfloat16(4)));
exactly<number>()(l1Loss(x, new Uint16Array(4), { targetType: 'bfloat16' }));
// @ts-expect-error: a gradient is f32
l1LossWithGrad(x, y, bfloat16(4));
exactly<typeof x>()(l1LossBackward(y, x, y, { out: x, accumulate: true }));
exactly<NewArray>()(smoothL1LossHessian(x, y, { sigma: 3 }));
exactly<number>()(huberLossDeltaGrad(x, y));
exactly<number>()(l1Distance(x, y));

exactly<number>()(new SmoothL1Loss().forward(x, y));
exactly<number>()(new HuberLoss({ delta: 1, reduction: 'sum' }).withGrad(x, y, x));
exactly<NewArray>()(new L1Loss({ reduction: 'none' }).forward(x, y));
exactly<NewArray>()(new SmoothL1Loss({ sigma: 3 }).backward(1, x, y));

// Chunks from anywhere.
exactly<Promise<number>>()(smoothL1LossOf([[x, y]], { sigma: 3, reduction: 'sum' }));
exactly<Promise<number>>()(smoothL1LossOf(new Set([{ input: x, target: y, weight: y }])));
// @ts-expect-error: a stream's loss is one number
smoothL1LossOf([[x, y]], { reduction: 'none' });
// @ts-expect-error: a chunk has a target
smoothL1LossOf([[x]]);

exactly<Promise<void>>()(setNumThreads(2, { onWarning: (message) => message.trim() }));
exactly<number>()(getNumThreads());
exactly<number>()(copiedBytes());
exactly<Backend>()(backend);
load({ backend: 'wasm', capacity: 2 ** 20 });

// Both entries have the same names.
exactly<typeof import('smooth-l1')>()(reference);

/** Options that are built up, and arrays that are declared with `using`. */
export function total(values: Iterable<number>, sigma?: number): number {
  const options: SmoothL1Options<'sum'> = { reduction: 'sum' };
  if (sigma !== undefined) options.sigma = sigma;
  using input = float32(values);
  return smoothL1Loss(input, new Float32Array(input.length), options);
}

/** Options that may be missing, and functions that are chosen. */
export function chosen(isHuber: boolean, weight: Float32Array | undefined): number {
  const loss = isHuber ? huberLoss : l1Loss;
  return loss(x, y, { weight, reduction: 'sum' });
}

// A new array is on an ArrayBuffer, as Blob asks for.
declare class OnArrayBuffer {
  constructor(parts: readonly { readonly buffer: ArrayBuffer; readonly byteLength: number }[]);
}
new OnArrayBuffer([smoothL1LossBackward(1, x, y), new L1Loss({ reduction: 'none' }).forward(x, y)]);

// What is no use is no option.
// @ts-expect-error: delta is the threshold of Huber
smoothL1Loss(x, y, { delta: 1 });
// @ts-expect-error: there is no such reduction
smoothL1Loss(x, y, { reduction: 'average' });
// @ts-expect-error: the numbers must be f32 already
smoothL1Loss([1], [2]);
// @ts-expect-error: a mask has one byte for each element
l1Loss(x, y, { mask: y });
// @ts-expect-error: L1 has no threshold
new L1Loss({ beta: 1 });
// An array of the kernel is one, in a project without Disposable too.
// @ts-expect-error
x.thisDoesNotExist();
