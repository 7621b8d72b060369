// smooth-l1/tfjs beside TensorFlow.js's own losses, on its WebAssembly and its JavaScript backend.
import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-wasm';
import * as layers from '@tensorflow/tfjs-layers';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { attach, copiedBytes } from '../ts/index.ts';
import * as ours from '../ts/tfjs.ts';
import { registerGradients } from './tfjs-gradients.ts';

const { Reduction } = tf;
const REDUCTIONS = [
  Reduction.NONE,
  Reduction.MEAN,
  Reduction.SUM,
  Reduction.SUM_BY_NONZERO_WEIGHTS,
];

beforeAll(registerGradients);

/** Numbers from -2 to 2. */
function numbers(shape: number[], seed: number): tf.Tensor {
  const values = Float32Array.from({ length: tf.util.sizeFromShape(shape) }, (_, i) =>
    Math.fround(2 * Math.sin((i + 1) * (seed + 0.37))),
  );
  return tf.tensor(values, shape);
}

function expectClose(actual: tf.Tensor, expected: tf.Tensor): void {
  expect(actual.shape).toEqual(expected.shape);
  expect(actual.dtype).toBe(expected.dtype);
  const [a, b] = [actual.dataSync(), expected.dataSync()];
  for (const [i, value] of b.entries())
    expect(Math.abs((a[i] as number) - value), `${i}: ${a[i]}, ${value}`).toBeLessThanOrEqual(
      2e-6 * Math.max(1, Math.abs(value)),
    );
}

type Loss = (
  labels: tf.Tensor,
  predictions: tf.Tensor,
  weights?: tf.Tensor,
  reduction?: tf.Reduction,
) => tf.Tensor;
const { losses } = tf;
const PAIRS: [string, Loss, Loss][] = [
  [
    'huberLoss',
    (y, x, w, r) => ours.huberLoss(y, x, w, undefined, r),
    (y, x, w, r) => losses.huberLoss(y, x, w, undefined, r),
  ],
  [
    'huberLoss, delta 0.4',
    (y, x, w, r) => ours.huberLoss(y, x, w, 0.4, r),
    (y, x, w, r) => losses.huberLoss(y, x, w, 0.4, r),
  ],
  [
    'absoluteDifference',
    (y, x, w, r) => ours.absoluteDifference(y, x, w, r),
    (y, x, w, r) => losses.absoluteDifference(y, x, w, r),
  ],
  [
    'smoothL1Loss',
    (y, x, w, r) => ours.smoothL1Loss(y, x, w, 0.5, r),
    (y, x, w, r) => tf.mul(losses.huberLoss(y, x, w, 0.5, r), 2),
  ],
  [
    'smoothL1Loss, sigma',
    (y, x, w, r) => ours.smoothL1Loss(y, x, w, { sigma: 2 }, r),
    (y, x, w, r) => tf.mul(losses.huberLoss(y, x, w, 0.25, r), 4),
  ],
];

/** Shapes of losses, and of weights over them. */
const SHAPES: [number[], number[] | undefined][] = [
  [[7], undefined],
  [[], undefined],
  [[], []],
  [[7], []],
  [[7], [7]],
  [[7], [1]],
  [
    [5, 3],
    [5, 3],
  ],
  [
    [5, 3],
    [5, 1],
  ],
  [
    [5, 3],
    [1, 3],
  ],
  [[5, 3], [3]],
  [[3, 3], [3]],
  [
    [3, 3],
    [3, 1],
  ],
  [
    [2, 5, 3],
    [2, 1, 1],
  ],
  [
    [2, 5, 3],
    [2, 5, 1],
  ],
  [
    [2, 5, 3],
    [5, 3],
  ],
  [
    [2, 5, 3],
    [1, 5, 1],
  ],
  [
    [2, 5, 3],
    [2, 1, 3],
  ],
  [
    [1, 5, 1],
    [5, 1],
  ],
];

describe.each(['wasm', 'cpu'])('%s', (backend) => {
  beforeAll(async () => {
    expect(await tf.setBackend(backend)).toBe(true);
  });

  describe.each(PAIRS)('%s', (_, mine, theirs) => {
    test.each(SHAPES)('of shape %j, weights %j: values and gradients are theirs', (shape, over) => {
      tf.tidy(() => {
        const [y, x] = [numbers(shape, 1), numbers(shape, 2)];
        const w = over && tf.abs(numbers(over, 3));
        const before = copiedBytes();
        for (const reduction of REDUCTIONS) {
          expectClose(mine(y, x, w, reduction), theirs(y, x, w, reduction));
          const dy = reduction === Reduction.NONE ? numbers(shape, 4) : tf.scalar(0.75);
          const args = w && reduction !== Reduction.SUM_BY_NONZERO_WEIGHTS ? [y, x, w] : [y, x];
          const gradients = (loss: Loss) =>
            tf.grads((y, x, own) => loss(y as tf.Tensor, x as tf.Tensor, own ?? w, reduction))(
              args,
              dy,
            );
          const expected = gradients(theirs);
          for (const [i, gradient] of gradients(mine).entries())
            expectClose(gradient, expected[i] as tf.Tensor);
          const value = tf.valueAndGrad((x) => mine(y, x, w, reduction) as tf.Scalar);
          if (reduction !== Reduction.NONE) expectClose(value(x).value, theirs(y, x, w, reduction));
        }
        if (backend === 'wasm') expect(copiedBytes() - before).toBe(0);
      });
    });
  });

  test.each([
    [[7], [1, 1]],
    [
      [1, 3],
      [5, 3],
    ],
    [
      [2, 3],
      [4, 2, 3],
    ],
  ])('losses of shape %j are broadcast to weights %j', (shape, over) => {
    tf.tidy(() => {
      const [y, x, w] = [numbers(shape, 1), numbers(shape, 2), tf.abs(numbers(over, 3))];
      const whole = tf.broadcast_util.assertAndGetBroadcastShape(shape, over);
      // Their own gradients are errors here.
      const theirs = (y: tf.Tensor, x: tf.Tensor, w: tf.Tensor, reduction: tf.Reduction) =>
        losses.huberLoss(tf.broadcastTo(y, whole), tf.broadcastTo(x, whole), w, 1, reduction);
      for (const reduction of [Reduction.NONE, Reduction.MEAN, Reduction.SUM]) {
        expectClose(ours.huberLoss(y, x, w, 1, reduction), theirs(y, x, w, reduction));
        const expected = tf.grads((y, x, w) => theirs(y!, x!, w!, reduction))([y, x, w]);
        const gradients = tf.grads((y, x, w) => ours.huberLoss(y!, x!, w, 1, reduction))([y, x, w]);
        for (const [i, gradient] of gradients.entries())
          expectClose(gradient, expected[i] as tf.Tensor);
      }
    });
  });

  test('gradients of a loss that nothing follows are theirs', () => {
    tf.tidy(() => {
      const [y, x] = [numbers([5, 3], 1), numbers([5, 3], 2)];
      for (const over of [undefined, [5, 3], [5, 1]])
        for (const reduction of REDUCTIONS) {
          const w = over && tf.abs(numbers(over, 3));
          const gradients = (loss: Loss) =>
            tf.grads((y, x) => loss(y as tf.Tensor, x as tf.Tensor, w, reduction))([y, x]);
          const [, mine, theirs] = PAIRS[0] as [string, Loss, Loss];
          const expected = gradients(theirs);
          for (const [i, gradient] of gradients(mine).entries())
            expectClose(gradient, expected[i] as tf.Tensor);
        }
    });
  });

  /** The names of the operations that run. */
  async function operations(run: () => void): Promise<string[]> {
    const { kernels } = await tf.profile(() => {
      tf.tidy(run);
      return [];
    });
    return kernels.map(({ name }) => name);
  }

  test.each([
    [[], []],
    [[7], [1]],
    [[5, 3], []],
    [
      [5, 3],
      [1, 1],
    ],
    [
      [5, 3],
      [5, 3],
    ],
    [
      [5, 3],
      [5, 1],
    ],
    [[5, 3], [3]],
    [
      [5, 3],
      [1, 3],
    ],
    [
      [2, 5, 3],
      [2, 5, 1],
    ],
    [
      [2, 5, 3],
      [2, 1, 1],
    ],
    [
      [2, 5, 3],
      [5, 3],
    ],
    [
      [1, 5, 3],
      [1, 5, 1],
    ],
  ])('over losses of shape %j, weights %j are used where they lie', async (shape, over) => {
    const [y, x, w] = [numbers(shape, 1), numbers(shape, 2), tf.ones(over)];
    expect(await operations(() => void ours.huberLoss(y, x, w))).toEqual(['SmoothL1Package/Loss']);
    tf.dispose([y, x, w]);
  });

  test('the pass that makes a loss makes its gradient, where one is asked for', async () => {
    const [y, x, w] = [numbers([5, 3], 1), numbers([5, 3], 2), tf.ones([5, 3])];
    const write = vi.spyOn(tf.backend(), 'write');
    for (const more of [[], [w]]) {
      write.mockClear();
      const loss = (x: tf.Tensor) => ours.huberLoss(y, x, more[0]) as tf.Scalar;
      const ran = await operations(() => void tf.grad(loss)(x));
      expect(write.mock.calls.filter(([, shape]) => shape.length === 2)).toHaveLength(1);
      // What is shared is given by somebody; the gradient is not.
      const shares = [y, x, ...more].map(() => 'SmoothL1Package/Share');
      expect(ran.slice(0, -1)).toEqual(['SmoothL1Package/Loss', ...shares]);
      expect(ran.at(-1)).toBe('SmoothL1Package/Grad');
    }
    write.mockRestore();
    tf.dispose([y, x, w]);
  });

  test('gradients to weights of all elements are not added up', async () => {
    const [y, x, w] = [numbers([5, 3], 1), numbers([5, 3], 2), tf.ones([5, 3])];
    const loss = (w: tf.Tensor) => ours.huberLoss(y, x, w) as tf.Scalar;
    const ran = await operations(() => void tf.grad(loss)(w));
    expect(ran).toContain('SmoothL1Package/GradWeights');
    expect(ran).not.toContain('Sum');
    tf.dispose([y, x, w]);
  });

  test('one weight over no losses', () => {
    tf.tidy(() => {
      const none = tf.zeros([0]);
      const loss = ours.huberLoss(none, none, tf.scalar(2), 1, Reduction.SUM);
      expect(loss.dataSync()[0]).toBe(0);
    });
  });

  test('the operations are registered once', () => {
    const warn = vi.spyOn(console, 'warn');
    for (let i = 0; i < 2; i++) ours.huberLoss([1], [2]).dispose();
    expect(warn).not.toHaveBeenCalledWith(expect.stringContaining('already registered'));
    warn.mockRestore();
  });

  test('weights of 0, integer labels, lists', () => {
    tf.tidy(() => {
      const w = tf.tensor1d([0, 1, 0, 2]);
      const x = tf.tensor1d([0.5, 3, -1, 4]);
      const y = tf.tensor1d([1, 2, 3, 4], 'int32');
      for (const reduction of REDUCTIONS)
        expectClose(ours.huberLoss(y, x, w, 1, reduction), losses.huberLoss(y, x, w, 1, reduction));
      expectClose(
        ours.huberLoss([1, 2], [0.5, 4], [1, 3]),
        losses.huberLoss([1, 2], [0.5, 4], [1, 3]),
      );
      expect(ours.huberLoss(y, x, tf.zeros([4])).dataSync()[0]).toBeNaN();
    });
  });

  test('the gradient of the gradient', () => {
    tf.tidy(() => {
      const [y, x] = [tf.zeros([4]), tf.tensor1d([0.25, -0.4, 0.6, -3])];
      const first = tf.grad((x) => ours.smoothL1Loss(y, x, null, 0.5, Reduction.SUM));
      expect([...first(x).dataSync()]).toEqual([0.5, Math.fround(-0.8), 1, -1]);
      const second = tf.grad((x) => tf.sum(first(x)));
      expect([...second(x).dataSync()]).toEqual([2, 2, 0, 0]);
      // With what comes before and after: sum(loss)^2 of 2 x.
      const whole = (x: tf.Tensor) =>
        tf.square(ours.huberLoss(y, tf.mul(x, 2), null, 1, Reduction.SUM));
      const direction = tf.tensor1d([1, 2, 3, 4]);
      const along = tf
        .grad((x) => tf.sum(tf.mul(tf.grad(whole)(x), direction)))(x)
        .dataSync();
      const [L, g, h] = [0.125 + 0.32 + 0.7 + 5.5, [1, -1.6, 2, -2], [4, 4, 0, 0]];
      const dot = g.reduce((sum, value, i) => sum + value * (i + 1), 0);
      for (const [i, value] of along.entries())
        expect(value).toBeCloseTo(2 * (g[i]! * dot + L * h[i]! * (i + 1)), 3);
      // To the labels.
      const mixed = tf.grad((y) =>
        tf.sum(tf.grad((x) => ours.huberLoss(y, x, null, 1, Reduction.SUM))(x)),
      );
      expect(Array.from(mixed(y).dataSync(), (value) => value + 0)).toEqual([-1, -1, -1, 0]);
    });
  });

  test('the gradient of the gradient, weighted, of each loss', () => {
    tf.tidy(() => {
      const [y, x] = [tf.zeros([4]), tf.tensor1d([0.25, -0.5, 2, -3])];
      const w = tf.tensor1d([1, 2, 3, 4]);
      const weighted = (x: tf.Tensor, w: tf.Tensor) => ours.huberLoss(y, x, w, 1, Reduction.SUM);
      const slope = tf.grad((x) => weighted(x, w));
      expect([
        ...tf
          .grad((x) => tf.sum(slope(x)))(x)
          .dataSync(),
      ]).toEqual([1, 2, 0, 0]);
      // The sum of the squares of the losses: 2 (g^2 + L h).
      const squares = (x: tf.Tensor) =>
        tf.sum(tf.square(ours.huberLoss(y, x, w, 1, Reduction.NONE)));
      const second = tf
        .grad((x) => tf.sum(tf.grad(squares)(x)))(x)
        .dataSync();
      const [L, g, h] = [
        [0.03125, 0.25, 4.5, 10],
        [0.25, -1, 3, -4],
        [1, 2, 0, 0],
      ];
      for (const [i, value] of second.entries())
        expect(value).toBeCloseTo(2 * (g[i]! ** 2 + L[i]! * h[i]!), 5);
      expect(() => tf.grad((w) => tf.sum(tf.grad((x) => weighted(x, w))(x)))(w)).toThrow(
        'smooth-l1/tfjs: there is no second derivative to weights',
      );
    });
  });

  test('nothing is left over, with gradients, without, and when they are not used', () => {
    const [y, x, w] = [numbers([32, 4], 1), numbers([32, 4], 2), numbers([32, 1], 3)];
    const step = (): void => {
      ours.huberLoss(y, x, w).dispose();
      const { value, grad } = tf.valueAndGrad((x) => ours.smoothL1Loss(y, x, w) as tf.Scalar)(x);
      value.dispose();
      grad.dispose();
      tf.grad((x) => {
        ours.huberLoss(y, x);
        return tf.sum(x);
      })(x).dispose();
      tf.grad((w) => ours.huberLoss(y, x, w))(w).dispose();
    };
    step();
    const memory = () => ({ ...tf.memory(), ids: tf.engine().backend.numDataIds() });
    const before = memory();
    const heap = () =>
      (tf.backend() as unknown as { wasm?: { HEAPU8: Uint8Array } }).wasm?.HEAPU8.length;
    const length = heap();
    for (let i = 0; i < 500; i++) step();
    expect(memory()).toEqual(before);
    expect(heap()).toBe(length);
    tf.dispose([y, x, w]);
  });

  test('a model trained with it goes where one with theirs goes', async () => {
    const cars = (
      JSON.parse(readFileSync('node_modules/vega-datasets/data/cars.json', 'utf8')) as Record<
        string,
        number | null
      >[]
    ).filter((car) => car.Miles_per_Gallon !== null && car.Horsepower !== null);
    const columns = ['Horsepower', 'Weight_in_lbs', 'Acceleration', 'Displacement'];
    const [scales, means] = [
      [40, 850, 2.8, 105],
      [105, 2980, 15.5, 195],
    ];
    const x = tf.tensor2d(
      cars.map((car) => columns.map((name, i) => ((car[name] as number) - means[i]!) / scales[i]!)),
    );
    const y = tf.tensor2d(cars.map((car) => [((car.Miles_per_Gallon as number) - 23) / 7.8]));
    const train = async (loss: (y: tf.Tensor, x: tf.Tensor) => tf.Tensor) => {
      const model = layers.sequential();
      const first = layers.layers.dense({
        units: 8,
        activation: 'relu',
        inputShape: [4],
        kernelInitializer: layers.initializers.glorotUniform({ seed: 1 }),
      });
      model.add(first);
      model.add(
        layers.layers.dense({
          units: 1,
          kernelInitializer: layers.initializers.glorotUniform({ seed: 2 }),
        }),
      );
      model.compile({ loss, optimizer: tf.train.adam(0.02) });
      const { history } = await model.fit(x, y, {
        epochs: 50,
        batchSize: cars.length,
        shuffle: false,
        verbose: 0,
      });
      const weights = model.getWeights().flatMap((weight) => [...weight.dataSync()]);
      return { history: history.loss as number[], weights };
    };
    const before = copiedBytes();
    const mine = await train((y, x) => ours.huberLoss(y, x));
    if (backend === 'wasm') expect(copiedBytes() - before).toBe(0);
    const theirs = await train((y, x) => losses.huberLoss(y, x));
    expect(mine.history).toHaveLength(50);
    expect(mine.history[49]!).toBeLessThan(mine.history[0]! / 2);
    for (const [i, loss] of theirs.history.entries())
      expect(Math.abs(mine.history[i]! - loss)).toBeLessThan(1e-5);
    for (const [i, weight] of theirs.weights.entries())
      expect(Math.abs(mine.weights[i]! - weight)).toBeLessThan(1e-4);
    tf.dispose([x, y]);
  });

  test('what is wrong is told', () => {
    tf.tidy(() => {
      const [a, b] = [tf.zeros([2]), tf.zeros([3])];
      expect(() => ours.huberLoss(a, b)).toThrow('Error in huberLoss: ');
      expect(() => ours.huberLoss(a, a, null, -1)).toThrow(
        'huberLoss: delta must be a number from 0, got -1',
      );
      expect(() => ours.smoothL1Loss(a, a, null, { beta: 1, sigma: 1 })).toThrow(
        'give one of them',
      );
      expect(() => ours.huberLoss(a, a, null, 1, 7 as never)).toThrow('Unknown reduction: 7');
      expect(() => ours.huberLoss(b, b, [1, 2])).toThrow(
        'weights of shape [2] cannot be broadcast to losses of shape [3]',
      );
    });
  });
});

test('tensors of 1 million elements, where the memory grows in between', async () => {
  await tf.setBackend('wasm');
  tf.tidy(() => {
    const before = copiedBytes();
    for (let i = 0; i < 4; i++) {
      const [y, x] = [numbers([2 ** 20], i), numbers([2 ** 20], i + 0.5)];
      const { value, grad } = tf.valueAndGrad((x) => ours.huberLoss(y, x))(x);
      const [d, g] = [tf.sub(x, y).dataSync(), grad.dataSync()] as [Float32Array, Float32Array];
      const exact =
        d.reduce((sum, e) => sum + (Math.abs(e) < 1 ? (e * e) / 2 : Math.abs(e) - 0.5), 0) /
        d.length;
      expect(Math.abs((value.dataSync()[0] as number) / exact - 1)).toBeLessThan(1e-7);
      expect(g[12_345]).toBe(Math.fround(Math.max(-1, Math.min(1, d[12_345]!)) / 2 ** 20));
    }
    expect(copiedBytes() - before).toBe(0);
  });
});

test('a memory that was attached before is used as it is', async () => {
  await tf.setBackend('wasm');
  const { wasm } = tf.backend() as unknown as { wasm: { asm: { memory: WebAssembly.Memory } } };
  expect(() => attach(wasm.asm.memory, { allocate: () => 0 })).toThrow('attached already');
});

describe('more WebAssembly backends', () => {
  interface Wasm {
    asm: { memory: WebAssembly.Memory };
    _malloc(bytes: number): number;
  }
  const factory = tf.findBackendFactory('wasm');
  const names = ['first', 'second', 'third'];
  /** What was there before runs its own operations; these have those of "wasm". */
  async function use(name: string): Promise<Wasm> {
    if (tf.findBackend(name) === null && name !== 'wasm') {
      tf.registerBackend(name, factory);
      tf.copyRegisteredKernels('wasm', name);
    }
    expect(await tf.setBackend(name)).toBe(true);
    return (tf.backend() as unknown as { wasm: Wasm }).wasm;
  }
  const loss = () => tf.tidy(() => ours.huberLoss([1, 2, 3], [1.5, 2, 6]).dataSync()[0]);
  /** Whether the memory is attached; if not, it is from now on. */
  function isAttached({ asm, _malloc }: Wasm): boolean {
    try {
      attach(asm.memory, { allocate: (bytes) => _malloc(bytes) });
      return false;
    } catch (error) {
      expect(String(error)).toContain('attached already');
      return true;
    }
  }
  afterAll(async () => {
    await tf.setBackend('wasm');
    for (const name of names) if (tf.findBackend(name) !== null) tf.removeBackend(name);
  });

  test('stay attached until they are disposed', async () => {
    const first = await use('first');
    expect(loss()).toBe(0.875);
    const second = await use('second');
    expect(loss()).toBe(0.875);
    tf.removeBackend('first');
    await use('third');
    expect(loss()).toBe(0.875);
    expect(isAttached(second)).toBe(true);
    expect(isAttached(first)).toBe(false);
    tf.removeBackend('second');
    tf.removeBackend('third');
  });

  test('may have been attached by the program', async () => {
    expect(isAttached(await use('first'))).toBe(false);
    const before = copiedBytes();
    expect(loss()).toBe(0.875);
    expect(copiedBytes() - before).toBe(0);
    tf.removeBackend('first');
  });

  test('without memory for the kernel are an error', async () => {
    const wasm = await use('first');
    wasm._malloc = () => 0;
    expect(loss).toThrow('returned 0, as malloc does if no memory is left');
    tf.removeBackend('first');
  });
});

describe('another backend', () => {
  class Remote extends tf.KernelBackend {
    override dispose(): void {}
  }
  afterAll(() => tf.removeBackend('remote'));
  test('is an error that says what to do', async () => {
    const [y, x] = [tf.zeros([2]), tf.zeros([2])];
    tf.registerBackend('remote', () => new Remote());
    await tf.setBackend('remote');
    expect(() => ours.huberLoss(y, x)).toThrow(
      'huberLoss: the backend "remote" does not give out its numbers at once. Use the backend "wasm" or "cpu" (await tf.setBackend("wasm")); or read the tensors, which is asynchronous, and give the arrays to the functions of smooth-l1: huberLoss(await predictions.data(), await labels.data())',
    );
    await tf.setBackend('wasm');
  });
});
