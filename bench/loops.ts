// Smooth L1 in JavaScript: the definition, and the best loop that is known. They import nothing.

// The definition, word for word.

export function naiveForward(input: Float32Array, target: Float32Array, beta: number): number {
  let loss = 0;
  for (let i = 0; i < input.length; i++) {
    const d = input[i]! - target[i]!;
    const a = Math.abs(d);
    loss += a < beta ? (0.5 * d * d) / beta : a - 0.5 * beta;
  }
  return loss / input.length;
}

export function naiveBackward(
  input: Float32Array,
  target: Float32Array,
  grad: Float32Array,
  beta: number,
): number {
  const scale = 1 / input.length;
  for (let i = 0; i < input.length; i++) {
    const d = input[i]! - target[i]!;
    if (Math.abs(d) < beta) grad[i] = (d / beta) * scale;
    else grad[i] = d < 0 ? -scale : scale;
  }
  return 0;
}

export function naiveFused(
  input: Float32Array,
  target: Float32Array,
  grad: Float32Array,
  beta: number,
): number {
  const scale = 1 / input.length;
  let loss = 0;
  for (let i = 0; i < input.length; i++) {
    const d = input[i]! - target[i]!;
    const a = Math.abs(d);
    if (a < beta) {
      loss += (0.5 * d * d) / beta;
      grad[i] = (d / beta) * scale;
    } else {
      loss += a - 0.5 * beta;
      grad[i] = d < 0 ? -scale : scale;
    }
  }
  return loss * scale;
}

// c is twice the residual clamped to +-beta: Math.abs is one instruction, Math.min several.

export function branchFreeForward(input: Float32Array, target: Float32Array, beta: number): number {
  let loss = 0;
  for (let i = 0; i < input.length; i++) {
    const d = input[i]! - target[i]!;
    const c = Math.abs(d + beta) - Math.abs(d - beta);
    loss += c * (4 * d - c);
  }
  return loss / (8 * beta * input.length);
}

export function branchFreeBackward(
  input: Float32Array,
  target: Float32Array,
  grad: Float32Array,
  beta: number,
): number {
  const slope = 0.5 / (beta * input.length);
  for (let i = 0; i < input.length; i++) {
    const d = input[i]! - target[i]!;
    grad[i] = (Math.abs(d + beta) - Math.abs(d - beta)) * slope;
  }
  return 0;
}

export function branchFreeFused(
  input: Float32Array,
  target: Float32Array,
  grad: Float32Array,
  beta: number,
): number {
  const slope = 0.5 / (beta * input.length);
  let loss = 0;
  for (let i = 0; i < input.length; i++) {
    const d = input[i]! - target[i]!;
    const c = Math.abs(d + beta) - Math.abs(d - beta);
    loss += c * (4 * d - c);
    grad[i] = c * slope;
  }
  return loss / (8 * beta * input.length);
}
