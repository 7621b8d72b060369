// A line through the flights, fitted twice: robustly, by following the gradient of smooth L1, and
// by least squares, solved exactly. The model is linear in three standardised features:
//
//   prediction = level + a * hour + b * distance + c * weekend        (minutes of delay)

import { smoothL1LossWithGrad } from 'smooth-l1';
import { value } from '../test/oracle.ts';
import type { Flights } from './data.ts';

/** The coefficients, all in minutes: of the average flight, then per standard deviation. */
export type Line = readonly [level: number, hour: number, distance: number, weekend: number];

/** Two columns to work in, again in the kernel's memory. */
export interface Scratch {
  readonly prediction: Float32Array;
  readonly gradient: Float32Array;
}

export interface Fit {
  readonly line: Line;
  /** The mean loss at the start of each epoch. */
  readonly losses: readonly number[];
  /** The longest change of a coefficient in each epoch, in minutes. */
  readonly steps: readonly number[];
}

export function predict(line: Line, flights: Flights, prediction: Float32Array): void {
  const { hour, distance, weekend } = flights;
  const [level, a, b, c] = line;
  for (let i = 0; i < prediction.length; i++) {
    prediction[i] = level + a * hour[i]! + b * distance[i]! + c * weekend[i]!;
  }
}

/** The chain rule: from d loss / d prediction to d loss / d coefficient. */
function backToLine(gradient: Float32Array, flights: Flights): Line {
  const { hour, distance, weekend } = flights;
  let [level, a, b, c] = [0, 0, 0, 0];
  for (let i = 0; i < gradient.length; i++) {
    const g = gradient[i]!;
    level += g;
    a += g * hour[i]!;
    b += g * distance[i]!;
    c += g * weekend[i]!;
  }
  return [level, a, b, c];
}

/** Mean loss and its gradient with respect to the line; the kernel does the middle step. */
function lossAndGradient(line: Line, flights: Flights, beta: number, scratch: Scratch) {
  const { prediction, gradient } = scratch;
  predict(line, flights, prediction);
  const loss = smoothL1LossWithGrad(prediction, flights.delay, gradient, { beta });
  return { loss, slope: backToLine(gradient, flights) };
}

export const EPOCHS = 20;

/**
 * Gradient descent with the step `beta`. The second derivative of smooth L1 is at most 1 / beta,
 * and the features are standardised and nearly uncorrelated, so that in no direction the loss
 * curves much more than that: a step of `beta` is long and safe, and the loss falls in every epoch.
 */
export function fitRobust(
  flights: Flights,
  beta: number,
  scratch: Scratch,
  onEpoch: (epoch: number) => void = () => {},
): Fit {
  let line: Line = [0, 0, 0, 0];
  const losses: number[] = [];
  const steps: number[] = [];
  for (let epoch = 1; epoch <= EPOCHS; epoch++) {
    const { loss, slope } = lossAndGradient(line, flights, beta, scratch);
    line = mapLine(line, (old, j) => old - beta * slope[j]!);
    losses.push(loss);
    steps.push(beta * Math.max(...slope.map(Math.abs)));
    onEpoch(epoch);
  }
  const last = steps.at(-1)!;
  if (!(last < 1e-6)) throw new Error(`The fit did not converge: its last step was ${last} min.`);
  return { line, losses, steps };
}

/** Least squares over the flights whose delay `keeps` accepts: the normal equations, solved. */
export function leastSquares(flights: Flights, keeps: (delay: number) => boolean): Line {
  const { delay, hour, distance, weekend } = flights;
  const equations = Array.from({ length: 4 }, () => new Float64Array(5)); // [X'X | X'y]
  const row = Float64Array.of(1, 0, 0, 0, 0);
  for (let i = 0; i < delay.length; i++) {
    row[4] = delay[i]!;
    if (!keeps(row[4])) continue;
    row[1] = hour[i]!;
    row[2] = distance[i]!;
    row[3] = weekend[i]!;
    for (let j = 0; j < 4; j++) {
      for (let k = 0; k < 5; k++) equations[j]![k]! += row[j]! * row[k]!;
    }
  }
  return solve(equations);
}

/** Gauss-Jordan; the matrix is positive definite, so no pivoting is needed. */
function solve(equations: Float64Array[]): Line {
  for (const [j, pivot] of equations.entries()) {
    const lead = pivot[j]!;
    for (let k = 0; k < pivot.length; k++) pivot[k]! /= lead;
    for (const other of equations) {
      if (other === pivot) continue;
      const factor = other[j]!;
      for (let k = 0; k < pivot.length; k++) other[k]! -= factor * pivot[k]!;
    }
  }
  return mapLine([0, 0, 0, 0], (_, j) => equations[j]![4]!);
}

function meanLossInDoubles(line: Line, flights: Flights, beta: number): number {
  const { delay, hour, distance, weekend } = flights;
  const [level, a, b, c] = line;
  let sum = 0;
  for (let i = 0; i < delay.length; i++) {
    const prediction = level + a * hour[i]! + b * distance[i]! + c * weekend[i]!;
    sum += value('smoothL1', beta, prediction - delay[i]!);
  }
  return sum / delay.length;
}

export interface GradientCheck {
  readonly analytic: Line;
  readonly numeric: Line;
  readonly relativeErrors: Line;
}

/**
 * The gradient that the fit follows beside central differences of the loss, in double precision.
 * The two share no code but the model.
 */
export function checkGradient(
  line: Line,
  flights: Flights,
  beta: number,
  scratch: Scratch,
): GradientCheck {
  const analytic = lossAndGradient(line, flights, beta, scratch).slope;
  const numeric = mapLine(line, (_, j) => {
    const at = (h: number) =>
      meanLossInDoubles(
        mapLine(line, (old, k) => (k === j ? old + h : old)),
        flights,
        beta,
      );
    return (at(DIFFERENCE) - at(-DIFFERENCE)) / (2 * DIFFERENCE);
  });
  const relativeErrors = mapLine(numeric, (found, j) => Math.abs(analytic[j]! / found - 1));
  return { analytic, numeric, relativeErrors };
}
/** Minutes. Shorter and rounding shows, longer and the third derivative does. */
const DIFFERENCE = 1e-3;

export function mapLine(line: Line, f: (value: number, j: number) => number): Line {
  return [f(line[0], 0), f(line[1], 1), f(line[2], 2), f(line[3], 3)];
}
