// Smooth L1 of one number in f64, word for word: from it, the losses of the papers are defined.

export function smoothL1(d: number, beta: number): { value: number; slope: number } {
  const a = Math.abs(d);
  return a < beta
    ? { value: (d * d) / (2 * beta), slope: d / beta }
    : { value: a - beta / 2, slope: Math.sign(d) };
}

/** What the predictions are more than the targets, in f64. */
export function residuals(predictions: Float32Array, targets: Float32Array): number[] {
  return Array.from(targets, (target, i) => (predictions[i] ?? NaN) - target);
}

/** A loss and its gradient to the predictions, in the order in which they are stored. */
export interface Answer {
  readonly loss: number;
  readonly gradient: Float64Array;
}
