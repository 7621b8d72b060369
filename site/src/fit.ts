// Points on a plane, and the lines fitted through them under three losses.

import { float32, free, HuberLoss, L1Loss, SmoothL1Loss } from 'smooth-l1';
import { uniform } from '../../bench/data.ts';
import { byId, digits, fill, make, row } from './dom.ts';

interface Point {
  x: number;
  y: number;
}
interface Line {
  readonly level: number;
  readonly slope: number;
}

// ---- fitting ------------------------------------------------------------------------------------

/** The line of the least weighted squares. */
function leastSquares(points: readonly Point[], weights: ArrayLike<number>): Line {
  let [w, wx, wy, wxx, wxy] = [0, 0, 0, 0, 0];
  for (const [i, { x, y }] of points.entries()) {
    const weight = weights[i]!;
    w += weight;
    wx += weight * x;
    wy += weight * y;
    wxx += weight * x * x;
    wxy += weight * x * y;
  }
  const spread = w * wxx - wx * wx;
  const slope = spread > 1e-9 * w * wxx ? (w * wxy - wx * wy) / spread : 0;
  return { level: (wy - slope * wx) / w, slope };
}

type Loss = SmoothL1Loss<'mean'> | HuberLoss<'mean'>;

/**
 * Iteratively reweighted least squares: each pass of the package gives the loss of a line and the
 * weights of the next one.
 */
function fit(points: readonly Point[], loss: Loss, start: Line, passes: number): Line {
  const y = float32(points.map((point) => point.y));
  const [prediction, grad, weights] = [float32(y.length), float32(y.length), float32(y.length)];
  let line = start;
  for (let pass = 0; pass < passes; pass++) {
    prediction.set(points.map(({ x }) => line.level + line.slope * x));
    loss.withGrad(prediction, y, grad, { outRobustWeights: weights });
    line = leastSquares(points, weights);
  }
  for (const array of [y, prediction, grad, weights]) free(array);
  return line;
}

function meanLoss(points: readonly Point[], loss: Loss | L1Loss<'mean'>, line: Line): number {
  const predictions = Float32Array.from(points, ({ x }) => line.level + line.slope * x);
  return loss.forward(
    predictions,
    Float32Array.from(points, ({ y }) => y),
  );
}

const square = new HuberLoss({ delta: Infinity });
const absolute = new L1Loss();

interface Fitted {
  readonly name: string;
  readonly colour: string;
  readonly dash: string;
  readonly line: Line;
  readonly loss: number;
}

export function fitAll(points: readonly Point[], beta: number): Fitted[] {
  const flat = { level: 0, slope: 0 };
  const ofSquares = fit(points, square, flat, 1);
  const smooth = new SmoothL1Loss({ beta });
  const robust = fit(points, smooth, ofSquares, 100);
  // L1 is where smooth L1 goes as beta goes to 0; straight to the end, it would stop at a corner.
  let ofL1 = ofSquares;
  for (let beta = 1; beta > 1e-4; beta /= 2)
    ofL1 = fit(points, new SmoothL1Loss({ beta }), ofL1, 20);
  const entry = (name: string, colour: string, dash: string, line: Line, of: Loss | L1Loss) => ({
    name,
    colour,
    dash,
    line,
    loss: meanLoss(points, of, line),
  });
  return [
    entry('smooth L1', 'accent', '', robust, smooth),
    entry('L1', 'l1', '2 5', ofL1, absolute),
    entry('half squared error', 'square', '9 6', ofSquares, square),
  ];
}

// ---- the plane ----------------------------------------------------------------------------------

/** Of the plane: 0 to 10 to the right, 0 to 6.25 up. */
const UNIT = 64;
const [RIGHT, TOP] = [10, 6.25];
const OUTLIERS = [8, 13, 16];

function fresh(): Point[] {
  const random = uniform(7);
  return Array.from({ length: 18 }, (_, i) => {
    const x = 0.6 + (i * 8.8) / 17;
    const noise = (random() + random() + random() - 1.5) * 0.6;
    const y = 1 + 0.42 * x + noise;
    return { x, y: OUTLIERS.includes(i) ? y - 2.6 - 0.1 * i * random() : y };
  }).map(clamped);
}

function clamped({ x, y }: Point): Point {
  return { x: Math.min(RIGHT, Math.max(0, x)), y: Math.min(TOP, Math.max(0, y)) };
}

function draw<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Record<string, string | number>,
  ...children: Node[]
): SVGElementTagNameMap[K] {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

const right = (x: number): number => x * UNIT;
const down = (y: number): number => (TOP - y) * UNIT;

export function start(): void {
  const plane = document.getElementById('plane') as unknown as SVGSVGElement;
  const slider = byId<HTMLInputElement>('fit-beta');
  let points = fresh();
  const grid = draw('g', {});
  for (let x = 1; x < RIGHT; x++)
    grid.append(draw('path', { class: 'grid', d: `M${right(x)},0V${down(0)}` }));
  for (let y = 1; y < TOP; y++)
    grid.append(draw('path', { class: 'grid', d: `M0,${down(y)}H${right(RIGHT)}` }));
  const lines = draw('g', {});
  const dots = draw('g', {});
  plane.replaceChildren(grid, lines, dots);

  function showLines(): void {
    const beta = Number(slider.value);
    byId('fit-beta-value').textContent = String(beta);
    const all = fitAll(points, beta);
    lines.replaceChildren(
      ...all.map(({ colour, dash, line: { level, slope } }) =>
        draw('path', {
          class: 'fitted',
          d: `M0,${down(level)}L${right(RIGHT)},${down(level + slope * RIGHT)}`,
          'stroke-dasharray': dash,
          style: `stroke: var(--${colour})`,
        }),
      ),
    );
    fill(
      'lines',
      all.map(({ name, colour, dash, line, loss }) => {
        const key = make('span', { className: 'key' });
        key.style.borderColor = `var(--${colour})`;
        if (dash) key.style.borderTopStyle = dash.startsWith('2') ? 'dotted' : 'dashed';
        const sign = line.slope < 0 ? '−' : '+';
        const slope = Math.abs(line.slope).toFixed(3);
        const equation = `y = ${line.level.toFixed(3).replace('-', '−')} ${sign} ${slope} x`;
        return row(make('span', {}, key, name), equation, digits(loss));
      }),
    );
  }

  function place(dot: SVGGElement, index: number): void {
    const { x, y } = points[index]!;
    dot.setAttribute('transform', `translate(${right(x)},${down(y)})`);
    const where = `x ${x.toFixed(2)}, y ${y.toFixed(2)}`;
    dot.setAttribute(
      'aria-label',
      `Point ${index + 1} at ${where}. Arrow keys move it, Delete removes it.`,
    );
  }

  function move(dot: SVGGElement, index: number, to: Point): void {
    points[index] = clamped(to);
    place(dot, index);
    showLines();
  }

  function showPoints(): void {
    dots.replaceChildren(
      ...points.map((_, index) => {
        const dot = draw(
          'g',
          { class: 'point', tabindex: 0, role: 'button' },
          draw('circle', { class: 'area', r: 24 }),
          draw('circle', { r: 6.5 }),
        );
        place(dot, index);
        dot.addEventListener('pointerdown', (event) => {
          dot.setPointerCapture(event.pointerId);
          dot.classList.add('dragged');
        });
        dot.addEventListener('pointermove', (event) => {
          if (!dot.hasPointerCapture(event.pointerId)) return;
          const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(
            plane.getScreenCTM()!.inverse(),
          );
          move(dot, index, { x: at.x / UNIT, y: TOP - at.y / UNIT });
        });
        dot.addEventListener('lostpointercapture', () => dot.classList.remove('dragged'));
        dot.addEventListener('keydown', (event) => {
          const { x, y } = points[index]!;
          const step = event.shiftKey ? 0.5 : 0.1;
          const moves: Record<string, Point> = {
            ArrowLeft: { x: x - step, y },
            ArrowRight: { x: x + step, y },
            ArrowUp: { x, y: y + step },
            ArrowDown: { x, y: y - step },
          };
          const to = moves[event.key];
          if (to) move(dot, index, to);
          else if (event.key === 'Delete' || event.key === 'Backspace') remove(index);
          else return;
          event.preventDefault();
        });
        return dot;
      }),
    );
    showLines();
  }

  function remove(index: number): void {
    if (points.length <= 2) return; // a line needs two
    points.splice(index, 1);
    showPoints();
    (dots.children[Math.min(index, points.length - 1)] as SVGElement).focus();
  }

  slider.addEventListener('input', showLines);
  byId('fit-add').addEventListener('click', () => {
    points.push({ x: RIGHT / 2, y: TOP - 0.5 });
    showPoints();
    (dots.lastElementChild as SVGElement).focus();
  });
  byId('fit-reset').addEventListener('click', () => {
    points = fresh();
    showPoints();
  });
  showPoints();
}
