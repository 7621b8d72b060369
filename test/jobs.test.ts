// Calls of different losses on one job: what a call leaves there, though it fails, is of no effect on the next.
import fc from 'fast-check';
import { afterAll, expect, test, vi } from 'vitest';
import { Kernel } from '../ts/kernel.ts';
import { backends, bits, fresh, type Package } from './backends.ts';
import { ARRAYS, type Call, inPlain, type Put, type Results, rolesOf, run } from './calls.ts';
import { anyBits, callOf, drawn, tame } from './draws.ts';
import type { Role } from './functions.ts';
import { rounded, type Type, wordsOf } from './halves.ts';
import { expectSame } from './outcomes.ts';

const styles = { anyBits, tame };
const type = fc.constantFrom<Type>('float32', 'float32', 'float16', 'bfloat16');
/** A call, what is wrong with it, and the arrays that are in the kernel's memory. */
const step = fc.constantFrom('tame', 'anyBits').chain((style) =>
  fc.record({
    style: fc.constant(style),
    drawn: drawn(styles[style], fc.constantFrom(4, 6, 12, 70)),
    types: fc.tuple(type, type),
    role: fc.nat(),
    sum: fc.constantFrom('fast', 'exact'),
    fault: fc.constantFrom('', '', '', 'options', 'lengths', 'threshold'),
    there: fc.oneof(
      fc.constant<string[]>([]),
      fc.constant([...ARRAYS, 'threshold']),
      fc.shuffledSubarray([...ARRAYS, 'threshold']),
    ),
  }),
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** Makes the call of a step; what it gives, or its error. */
function outcomeOf(smooth: Package, step: Step, put: Put): Results | string {
  const { style, drawn, types, sum, fault } = step;
  const whole = callOf(styles[style], { ...drawn, isPlain: false });
  const isSum = whole.reduction === 'sum' || whole.reduction === 'mean';
  const isExact = isSum && sum === 'exact';
  const [input, target] = [rounded(types[0], whole.input), rounded(types[1], whole.target)];
  const { rowLength = 1, threshold } = whole;
  const hasColumns = threshold instanceof Float32Array;
  const call: Call = {
    ...whole,
    input,
    target: fault === 'lengths' ? target.subarray(1) : target,
    threshold: hasColumns
      ? put('threshold', fault === 'threshold' ? threshold.with(rowLength - 1, -1) : threshold)
      : threshold,
    ignoreValue: whole.ignoreValue && target.find(Number.isFinite),
    allElements: whole.allElements && !isExact,
  };
  const typed: Put = (name, values, isOutput) => {
    const type = name === 'input' ? types[0] : name === 'target' ? types[1] : 'float32';
    if (type === 'float32') return put(name, values, isOutput);
    return put(name, wordsOf(type, values as Float32Array) as never);
  };
  const roles = rolesOf(call);
  const more = {
    inputType: types[0],
    targetType: types[1],
    ...(isSum && { sum }),
    ...(isSum && fault === 'options' && { out: new Float32Array(1) }),
  };
  try {
    return run(smooth, roles[step.role % roles.length] as Role, call, typed, more);
  } catch (error) {
    return String(error);
  }
}

let collides = false;
const { jobOf } = Kernel.prototype;
const spy = vi.spyOn(Kernel.prototype, 'jobOf').mockImplementation(function (this: Kernel, plan) {
  if (!collides) return jobOf.call(this, plan);
  const { id } = plan;
  Object.assign(plan, { id: 0 });
  const job = jobOf.call(this, plan);
  Object.assign(plan, { id });
  return job;
});
afterAll(() => spy.mockRestore());

test.each(backends)('%s: each has the bits of a kernel that has seen nothing else', (_, smooth) => {
  const property = fc.property(fc.array(step, { minLength: 2, maxLength: 4 }), (steps) => {
    const made: (Float32Array | Uint8Array)[] = [];
    /** What the results of calls before hold. */
    const results: [Float32Array, Float32Array][] = [];
    for (const [i, step] of steps.entries()) {
      const outputs: Float32Array[] = [];
      const put: Put = (name, values, isOutput) => {
        const isThere = step.there.includes(name) && !(values instanceof Uint16Array);
        const make = values instanceof Float32Array ? smooth.float32 : smooth.uint8;
        const array = isThere ? make(values as never) : values.slice();
        if (isThere) made.push(array);
        if (isOutput) outputs.push(array as Float32Array);
        return array as typeof values;
      };
      collides = true;
      const found = outcomeOf(smooth, step, put);
      collides = false;
      const expected = outcomeOf(fresh({ backend: 'js' }), step, inPlain);
      if (typeof expected === 'string') {
        // Not one of the engine, which would be an outcome like any other.
        expect(expected).toMatch(/^(Type|Range)Error: [\w.]+: /);
        expect(found).toBe(expected);
      } else expectSame(found as Results, expected, `${i}: `);
      for (const [array, values] of results)
        expectSame({ array }, { array: values }, `after ${i}: `);
      results.push(...outputs.map((x): [Float32Array, Float32Array] => [x, x.slice()]));
    }
    for (const array of made) smooth.free(array);
  });
  fc.assert(property, { numRuns: 80 });
});

test.each(backends)(
  '%s: thresholds by column leave the jobs beside their own alone',
  (_, smooth) => {
    const put = (...values: number[]): Float32Array => smooth.float32(values);
    const [x, y, out, columns] = [put(1, -2, 3, 4), put(0, 5, 1, 1), put(0, 0, 0, 0), put(2, 0.5)];
    const rows = { reduction: 'none', rowLength: 2 } as const;
    const makers = [
      () =>
        new smooth.QuantileHuberLoss({ ...rows, delta: columns, tau: columns.map((c) => c / 4) }),
      () => new smooth.L1Loss({ ...rows, scale: 3, insideWeights: { perColumn: columns } }),
    ];
    // The jobs of first calls follow one another; two pairs, since the first of one may be the last of all.
    const losses = [...makers, ...makers]
      .map((make) => make())
      .map((loss) => ({ loss, wanted: bits(loss.forward(x, y, { out })) }));
    for (const [a, b] of [
      [y, x],
      [x, y],
    ] as const)
      for (const { loss } of losses.filter((_, i) => i % 2 === 0)) loss.forward(a, b, { out });
    for (const { loss, wanted } of losses) expect(bits(loss.forward(x, y, { out }))).toBe(wanted);
    for (const array of [x, y, out, columns]) smooth.free(array);
  },
);
