// The forms that the functions of a loss have, and what each form does with its arguments.
import { compute } from './call.ts';
import { checkArray } from './check.ts';
import type { Loss } from './loss.ts';
import {
  type ElementOptions,
  type Given,
  type GradOptions,
  type GradOutputOption,
  type InputArray,
  type LossOf,
  type LossOptions,
  NONE,
  type OutOption,
  optionNames,
  type Reduction,
  type ResultOf,
  type Role,
  readOptions,
} from './options.ts';
import { Plan, Plans } from './plan.ts';

type MaybeArray = Float32Array | undefined;

/**
 * A loss. `T` are the options of its threshold. Type arguments are inferred: a call that gave one, `_None`, could
 * promise an array while its options do not ask for one.
 */
export type LossFunction<T> = <
  _None extends never = never,
  R extends Reduction | undefined = undefined,
  Out extends MaybeArray = undefined,
>(
  input: InputArray,
  target: InputArray,
  options?: LossOptions<R> & T & OutOption<Out> & ElementOptions,
) => LossOf<R, Out>;

/** The gradient of a loss to its input. */
export type BackwardFunction<T> = <Out extends MaybeArray = undefined>(
  gradOutput: number | Float32Array,
  input: InputArray,
  target: InputArray,
  options?: LossOptions & T & GradOptions & OutOption<Out>,
) => ResultOf<Out>;

/** A loss and its gradient in one pass. */
export type WithGradFunction<T> = <
  _None extends never = never,
  R extends Reduction | undefined = undefined,
  Out extends MaybeArray = undefined,
>(
  input: InputArray,
  target: InputArray,
  gradInput: Float32Array,
  options?: LossOptions<R> & T & GradOptions & OutOption<Out> & ElementOptions,
) => LossOf<R, Out>;

/** The diagonal of the Hessian of a loss. */
export type HessianFunction<T> = <Out extends MaybeArray = undefined>(
  input: InputArray,
  target: InputArray,
  options?: LossOptions & T & OutOption<Out>,
) => ResultOf<Out>;

/** The gradient of a gradient to the input. */
export type DoubleBackwardFunction<T> = <Out extends MaybeArray = undefined>(
  gradGradInput: Float32Array,
  gradOutput: number | Float32Array,
  input: InputArray,
  target: InputArray,
  options?: LossOptions & T & OutOption<Out>,
) => ResultOf<Out>;

/** The derivative of a loss to its threshold. */
export type ThresholdGradFunction<T> = (
  input: InputArray,
  target: InputArray,
  options?: LossOptions & T & GradOutputOption,
) => number;

type Values = Float32Array;
type Upstream = number | Float32Array;

/** Reads the options of calls of one function, or of one method of an object with options `base`. */
export class Caller {
  readonly #fn: string;
  readonly #names: readonly string[];
  readonly #base: Given;
  readonly #plans: Plans;

  constructor(fn: string, loss: Loss, role: Role, base: Given = NONE) {
    this.#fn = fn;
    this.#names = optionNames(loss, role);
    this.#base = base;
    this.#plans = new Plans(fn, loss, role, base);
  }

  read(options: unknown): Given {
    return readOptions(this.#fn, this.#names, options, this.#base);
  }

  plan(given: Given): Plan {
    return this.#plans.for(given);
  }

  forward(input: InputArray, target: InputArray, options: unknown): Values | number {
    const given = this.read(options);
    const out = given.out as Values | undefined;
    return compute(this.plan(given), given, input, target, 1, undefined, undefined, out);
  }

  backward(gradOutput: Upstream, input: InputArray, target: InputArray, options: unknown): Values {
    const given = this.read(options);
    const plan = this.plan(given);
    this.#checkUpstream(gradOutput);
    const out = given.out as Values | undefined;
    return compute(plan, given, input, target, gradOutput, undefined, out, undefined) as Values;
  }

  withGrad(
    input: InputArray,
    target: InputArray,
    gradInput: Values,
    options: unknown,
  ): Values | number {
    const given = this.read(options);
    const plan = this.plan(given);
    if (gradInput === undefined) checkArray(this.#fn, 'gradInput', gradInput, 'Float32Array');
    const out = given.out as Values | undefined;
    return compute(plan, given, input, target, 1, undefined, gradInput, out);
  }

  hessian(input: InputArray, target: InputArray, options: unknown): Values {
    const given = this.read(options);
    const out = given.out as Values | undefined;
    return compute(this.plan(given), given, input, target, 1, undefined, out, undefined) as Values;
  }

  doubleBackward(
    gradGradInput: Values,
    gradOutput: Upstream,
    input: InputArray,
    target: InputArray,
    options: unknown,
  ): Values {
    const given = this.read(options);
    const plan = this.plan(given);
    checkArray(this.#fn, 'gradGradInput', gradGradInput, 'Float32Array');
    this.#checkUpstream(gradOutput);
    const out = given.out as Values | undefined;
    return compute(plan, given, input, target, gradOutput, gradGradInput, out, undefined) as Values;
  }

  thresholdGrad(input: InputArray, target: InputArray, options: unknown): number {
    const given = this.read(options);
    const plan = this.plan(given);
    const upstream = given.gradOutput === undefined ? 1 : (given.gradOutput as Upstream);
    return compute(plan, given, input, target, upstream, undefined, undefined, undefined) as number;
  }

  #checkUpstream(gradOutput: unknown): void {
    if (typeof gradOutput !== 'number')
      checkArray(this.#fn, 'gradOutput', gradOutput, 'Float32Array', 'a number or a Float32Array');
  }
}

/** Gives a function the name that it is exported under. */
function named<F>(fn: string, call: F): F {
  return Object.defineProperty(call, 'name', { value: fn });
}

export function forward<T>(loss: Loss, fn: string): LossFunction<T> {
  const caller = new Caller(fn, loss, 'forward');
  return named(fn, (input: InputArray, target: InputArray, options?: unknown) =>
    caller.forward(input, target, options),
  ) as LossFunction<T>;
}

export function backward<T>(loss: Loss, fn: string): BackwardFunction<T> {
  const caller = new Caller(fn, loss, 'backward');
  return named(
    fn,
    (gradOutput: Upstream, input: InputArray, target: InputArray, options?: unknown) =>
      caller.backward(gradOutput, input, target, options),
  ) as BackwardFunction<T>;
}

export function withGrad<T>(loss: Loss, fn: string): WithGradFunction<T> {
  const caller = new Caller(fn, loss, 'withGrad');
  return named(fn, (input: InputArray, target: InputArray, gradInput: Values, options?: unknown) =>
    caller.withGrad(input, target, gradInput, options),
  ) as WithGradFunction<T>;
}

export function hessian<T>(loss: Loss, fn: string): HessianFunction<T> {
  const caller = new Caller(fn, loss, 'hessian');
  return named(fn, (input: InputArray, target: InputArray, options?: unknown) =>
    caller.hessian(input, target, options),
  ) as HessianFunction<T>;
}

export function doubleBackward<T>(loss: Loss, fn: string): DoubleBackwardFunction<T> {
  const caller = new Caller(fn, loss, 'doubleBackward');
  return named(
    fn,
    (
      gradGradInput: Values,
      gradOutput: Upstream,
      input: InputArray,
      target: InputArray,
      options?: unknown,
    ) => caller.doubleBackward(gradGradInput, gradOutput, input, target, options),
  ) as DoubleBackwardFunction<T>;
}

export function thresholdGrad<T>(loss: Loss, fn: string): ThresholdGradFunction<T> {
  const caller = new Caller(fn, loss, 'thresholdGrad');
  return named(fn, (input, target, options) => caller.thresholdGrad(input, target, options));
}

/** Options of one call of a loss object, on top of those that the object was made with. */
export type CallOptions = Omit<LossOptions, 'reduction'>;

/** What a loss object is made of: options `O`, which must be there where `R` promises an array. */
export type ObjectOptions<R extends Reduction | undefined, O> = undefined extends R
  ? [options?: O]
  : [R] extends ['mean' | 'sum']
    ? [options?: O]
    : [options: O & { reduction: R }];

/** What a loss object was made of. */
interface Parts {
  readonly loss: Loss;
  readonly base: Given;
}

const PARTS = /* @__PURE__ */ new WeakMap<object, Parts>();

/** What a loss object was made of; undefined for anything else. */
export function partsOf(value: unknown): Parts | undefined {
  return PARTS.get(value as object);
}

/** What all loss classes have in common: options that are read once. */
export class LossObject<R extends Reduction | undefined> {
  readonly #forward: Caller;
  readonly #backward: Caller;
  readonly #withGrad: Caller;

  constructor(
    name: string,
    loss: Loss,
    options: unknown,
    names: readonly string[] = optionNames(loss, 'object'),
  ) {
    const base = readOptions(name, names, options, NONE);
    // Wrong options throw now, not in the first call.
    new Plan(name, loss, 'object', base);
    PARTS.set(this, { loss, base });
    this.#forward = new Caller(name, loss, 'forward', base);
    this.#backward = new Caller(name, loss, 'backward', base);
    this.#withGrad = new Caller(name, loss, 'withGrad', base);
  }

  /** The loss. `options` are those that differ from the object's in this call. */
  forward<Out extends MaybeArray = undefined>(
    input: InputArray,
    target: InputArray,
    options?: CallOptions & OutOption<Out> & ElementOptions,
  ): LossOf<R, Out> {
    return this.#forward.forward(input, target, options) as LossOf<R, Out>;
  }

  /** The gradient to the input, for the upstream gradient `gradOutput`. */
  backward<Out extends MaybeArray = undefined>(
    gradOutput: number | Float32Array,
    input: InputArray,
    target: InputArray,
    options?: CallOptions & GradOptions & OutOption<Out>,
  ): ResultOf<Out> {
    return this.#backward.backward(gradOutput, input, target, options) as ResultOf<Out>;
  }

  /** The loss and, in `gradInput`, its gradient, in one pass over memory. */
  withGrad<Out extends MaybeArray = undefined>(
    input: InputArray,
    target: InputArray,
    gradInput: Float32Array,
    options?: CallOptions & GradOptions & OutOption<Out> & ElementOptions,
  ): LossOf<R, Out> {
    return this.#withGrad.withGrad(input, target, gradInput, options) as LossOf<R, Out>;
  }
}
