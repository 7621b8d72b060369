// The conformance vectors and the values of other systems, over every backend.
import { describe, expect, test } from 'vitest';
import { backends, type Package } from './backends.ts';
import { names } from './functions.ts';
import { type Case, matches, type Options, type Output, readCases } from './vectors/format.ts';

type Layout = NonNullable<Options['gradOutput']>;
type Call = Record<string, unknown>;

const f32 = (values: ArrayLike<number>): Float32Array => Float32Array.from(values);

/** An option of a vector as the functions take it. */
function weights(layout: Layout): unknown {
  if (typeof layout === 'number') return layout;
  if ('perRow' in layout) return { perRow: f32(layout.perRow) };
  if ('perColumn' in layout) return { perColumn: f32(layout.perColumn) };
  return f32(layout);
}

function bytes(layout: Layout): Uint8Array {
  if (typeof layout === 'object' && 'perRow' in layout) return Uint8Array.from(layout.perRow);
  return Uint8Array.from(layout as ArrayLike<number>);
}

/** The options of a vector, and apart from them its upstream gradient. */
function callOf({ options }: Case): { options: Call; gradOutput: number | Float32Array } {
  const { gradOutput = 1, ...rest } = options;
  const call: Call = { ...rest };
  for (const name of ['insideWeights', 'outsideWeights', 'beta', 'delta'] as const)
    if (rest[name] !== undefined) call[name] = weights(rest[name]);
  if (rest.mask !== undefined) call.mask = bytes(rest.mask);
  const upstream =
    typeof gradOutput === 'object' && 'perRow' in gradOutput
      ? f32(gradOutput.perRow)
      : (weights(gradOutput) as number | Float32Array);
  return { options: call, gradOutput: upstream };
}

/** All that the functions say of a case, arrays in the kernel's memory or elsewhere. */
function results(smooth: Package, vector: Case, make: (values: ArrayLike<number>) => Float32Array) {
  const { options, gradOutput } = callOf(vector);
  const { forward, backward, withGrad } = names[vector.form];
  const input = make(f32(vector.input));
  const target = make(f32(vector.target));
  const empty = (): Float32Array => make(new Float32Array(vector.input.length));
  const [out, gradTarget, gradInsideWeights, gradOutsideWeights] = [
    empty(),
    empty(),
    empty(),
    empty(),
  ];
  const found: Partial<Record<Output | 'gradTarget', number | Float32Array>> = {};
  found.loss = smooth[forward](input, target, options);
  const shifts = options.divisor === 'weights' && typeof gradOutput !== 'number';
  const more = { gradTarget, gradInsideWeights, ...(!shifts && { gradOutsideWeights }) };
  found.gradInput = smooth[backward](gradOutput, input, target, { ...options, ...more, out });
  Object.assign(found, more);
  if (gradOutput === 1) {
    const fused = empty();
    expect(smooth[withGrad](input, target, fused, options)).toEqual(found.loss);
    expect(fused).toEqual(found.gradInput);
  }
  const threshold = options.beta ?? options.delta;
  if (vector.form === 'smoothL1' || vector.form === 'huber') {
    const { doubleBackward, thresholdGrad } = names[vector.form];
    const ones = make(new Float32Array(vector.input.length).fill(1));
    found.hessian = smooth[doubleBackward](ones, gradOutput, input, target, options);
    if (typeof threshold !== 'object')
      found.thresholdGrad = smooth[thresholdGrad](input, target, { ...options, gradOutput });
  }
  return found;
}

function check(vector: Case, found: ReturnType<typeof results>): void {
  for (const [output, expected] of Object.entries(vector.expected) as [
    Output,
    number | number[],
  ][]) {
    const actual = found[output];
    if (actual === undefined) continue;
    const [mine, theirs] =
      typeof actual === 'number'
        ? [[actual], [expected as number]]
        : [actual, expected as number[]];
    expect(mine.length, output).toBe(theirs.length);
    theirs.forEach((number, i) => {
      const one = mine[i] as number;
      if (!matches(one, number, output, vector))
        expect.fail(`${output}[${i}] is ${one}, expected ${number}`);
    });
  }
  const { gradInput, gradTarget } = found;
  // Adding 0 makes a +0 of -0: of a zero, the sign may be either.
  expect((gradTarget as Float32Array).map((g) => g + 0)).toEqual(
    (gradInput as Float32Array).map((g) => -g + 0),
  );
}

describe.each(backends)('%s', (_, smooth) => {
  for (const file of ['vectors', 'outside']) {
    const cases = readCases(new URL(`./vectors/${file}.json`, import.meta.url));
    test.each(cases.map((vector) => [vector.name ?? '', vector] as const))(
      `${file}: %s`,
      (_, vector) => {
        check(vector, results(smooth, vector, f32));
        const kept: Float32Array[] = [];
        check(
          vector,
          results(smooth, vector, (values) => {
            const array = smooth.float32(values);
            kept.push(array);
            return array;
          }),
        );
        kept.forEach(smooth.free);
      },
    );
  }
});
