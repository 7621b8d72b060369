// The TypeScript side of the tests: reads cases as JSON, prints what LossAccumulator makes of each.
import { readFileSync } from 'node:fs';
import {
  HuberLoss,
  L1Loss,
  LossAccumulator,
  QuantileHuberLoss,
  SmoothL1Loss,
} from '../../dist/index.js';

const losses = { HuberLoss, L1Loss, QuantileHuberLoss, SmoothL1Loss };

const types = {
  float32: Float32Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  uint8: Uint8Array,
};

/** An array as it lies in a file, or a number, or one for each row or column. */
function read(value) {
  if (value === null || typeof value !== 'object') return value;
  if (value.perRow) return { perRow: read(value.perRow) };
  if (value.perColumn) return { perColumn: read(value.perColumn) };
  const bytes = readFileSync(value.file);
  return new types[value.type](new Uint8Array(bytes).buffer);
}

/** JSON has no infinity and no NaN. */
const revive = (_, value) =>
  typeof value === 'string' && /^-?(Infinity|NaN)$/.test(value) ? Number(value) : value;

const hex = (value) => Buffer.from(new Float64Array([value]).buffer).toString('hex');

const results = [];
for (const { kind, options, input, target, call, merge } of JSON.parse(
  readFileSync(0, 'utf8'),
  revive,
)) {
  const sum = new LossAccumulator(new losses[kind](options));
  for (const part of merge ?? []) sum.merge(Buffer.from(part, 'hex'));
  if (input) {
    const given = { inputType: input.type, targetType: target.type };
    for (const [name, value] of Object.entries(call ?? {})) given[name] = read(value);
    sum.add(read(input), read(target), given);
  }
  results.push({
    bytes: Buffer.from(sum.toBytes()).toString('hex'),
    value: hex(sum.value()),
    count: sum.count,
  });
}
console.log(JSON.stringify(results));
