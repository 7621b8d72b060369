// The loss as an ONNX model. ONNX has no such operator, so it is composed of others. A model is a
// message in the format of protocol buffers; of that, a few lines are enough here.

import type { Operation } from '../contender.ts';

type Bytes = readonly number[];

function varint(value: number): Bytes {
  return value < 128 ? [value] : [(value & 127) | 128, ...varint(value >>> 7)];
}
const number = (field: number, value: number): Bytes => [...varint(field << 3), ...varint(value)];
const message = (field: number, ...parts: Bytes[]): Bytes => {
  const body = parts.flat();
  return [...varint((field << 3) | 2), ...varint(body.length), ...body];
};
const text = (field: number, value: string): Bytes => message(field, [...Buffer.from(value)]);

const FLOAT = 1;
const OPSET = 18;

const node = (operator: string, inputs: readonly string[], output: string): Bytes =>
  message(1, ...inputs.map((name) => text(1, name)), text(2, output), text(4, operator));
const tensor = (field: number, name: string): Bytes => {
  const shape = message(2, message(1, text(2, `${name}_length`)));
  return message(field, text(1, name), message(2, message(1, number(1, FLOAT), shape)));
};
const constant = (name: string, value: number): Bytes => {
  const raw = [...new Uint8Array(Float32Array.of(value).buffer)];
  return message(5, number(1, 1), number(2, FLOAT), text(8, name), message(9, raw));
};

/** Each line is a pass over memory. Beta is 1. */
const NODES: Readonly<Record<Operation, readonly Bytes[]>> = {
  // m * (a - m / 2) with a = |d|, m = min(a, beta)
  forward: [
    node('Sub', ['input', 'target'], 'd'),
    node('Abs', ['d'], 'a'),
    node('Min', ['a', 'beta'], 'm'),
    node('Mul', ['m', 'half'], 'h'),
    node('Sub', ['a', 'h'], 'rest'),
    node('Mul', ['m', 'rest'], 'losses'),
    node('ReduceMean', ['losses'], 'loss'),
  ],
  backward: [
    node('Sub', ['input', 'target'], 'd'),
    node('Min', ['d', 'beta'], 'low'),
    node('Max', ['low', 'minus'], 'c'),
    node('Mul', ['c', 'scale'], 'gradient'),
  ],
  // c * (d - c / 2) with c = clamp(d), which is the gradient too
  fused: [
    node('Sub', ['input', 'target'], 'd'),
    node('Min', ['d', 'beta'], 'low'),
    node('Max', ['low', 'minus'], 'c'),
    node('Mul', ['c', 'half'], 'h'),
    node('Sub', ['d', 'h'], 'rest'),
    node('Mul', ['c', 'rest'], 'losses'),
    node('ReduceMean', ['losses'], 'loss'),
    node('Mul', ['c', 'scale'], 'gradient'),
  ],
};

const USES: Readonly<Record<Operation, readonly string[]>> = {
  forward: ['beta', 'half'],
  backward: ['beta', 'minus', 'scale'],
  fused: ['beta', 'minus', 'half', 'scale'],
};

export const OUTPUTS: Readonly<Record<Operation, readonly string[]>> = {
  forward: ['loss'],
  backward: ['gradient'],
  fused: ['loss', 'gradient'],
};

/** A model with the inputs `input` and `target`, of `n` floats each. */
export function onnxModel(operation: Operation, n: number): Uint8Array {
  const constants: Record<string, number> = { beta: 1, minus: -1, half: 0.5, scale: 1 / n };
  // A constant that no node uses is worth a warning to ONNX Runtime.
  const used = USES[operation].map((name) => constant(name, constants[name]!));
  const graph = message(
    7,
    ...NODES[operation],
    text(2, `smooth_l1_${operation}`),
    ...used,
    tensor(11, 'input'),
    tensor(11, 'target'),
    ...OUTPUTS[operation].map((name) => tensor(12, name)),
  );
  const opset = message(8, text(1, ''), number(2, OPSET));
  return Uint8Array.from([...number(1, 9), ...graph, ...opset]);
}
