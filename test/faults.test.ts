// Faults that are made on purpose: each call is right, or an error that says what is wrong and has
// written nothing. docs/faults.md has all of them; those that are not here are where it says.
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import os from 'node:os';
import { fileURLToPath } from 'node:url';
import vm from 'node:vm';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { ThreadOptions, WorkerLike } from '../ts/index.ts';
import { backends, fresh, type Package, reloaded } from './backends.ts';
import { type Any, f32, thrown } from './functions.ts';

const dist = (file: string): URL => new URL(`../dist/${file}`, import.meta.url);
const MiB = 2 ** 20;

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

/** What a program prints that has the package as `smooth`, in a process of its own. */
function printed(code: string, { flags = [], limit = '' }: { flags?: string[]; limit?: string }) {
  const script = `const smooth = await import(${JSON.stringify(dist('index.js').href)});\n${code}`;
  const args = [...flags, '--input-type=module', '--eval', script];
  const { stdout, stderr, status } = limit
    ? spawnSync('bash', ['-c', `${limit}; exec "$0" "$@"`, process.execPath, ...args])
    : spawnSync(process.execPath, args);
  expect(status, String(stderr)).toBe(0);
  return String(stdout).trim();
}

// ---- memory -------------------------------------------------------------------------------------
describe('memory.grow fails', () => {
  /** Everything that takes memory of the kernel: arrays of each kind, copies, thresholds by column. */
  function steps(smooth: Package): [name: string, step: () => unknown, results?: Float32Array][] {
    const n = 100_000;
    const [x, y] = [new Float32Array(n).fill(3), new Float32Array(n)];
    const columns = new Float32Array(n).fill(0.5);
    const [out, gradInput] = [new Float32Array(n), new Float32Array(n)];
    const own: Float32Array[] = [];
    const make = (length: number | number[]) => {
      own.push(smooth.float32(length as number));
      return own.at(-1)?.length;
    };
    return [
      ['float32(n)', () => make(n)],
      ['float32(list)', () => make([1, 2, 3])],
      ['float16', () => smooth.float16(MiB).length],
      ['uint8', () => smooth.uint8(3 * MiB).length],
      ['a call that copies', () => smooth.l1Loss(x, y)],
      [
        'thresholds by column',
        () => smooth.smoothL1Loss(x, y, { beta: columns, rowLength: n, reduction: 'none', out }),
        out,
      ],
      ['a gradient', () => smooth.smoothL1LossWithGrad(x, y, gradInput), gradInput],
      ['arrays of its own', () => smooth.l1Loss(own[0] as Float32Array, y)],
      ['an array larger than all before', () => make(4 * MiB)],
    ];
  }
  const value = (result: unknown): unknown =>
    result instanceof Float32Array ? result[99] : result;

  test('the N-th time, for each N: an error that names it and wrote nothing; then it goes on', () => {
    let isOver = false;
    let failures = 0;
    for (let failing = 1; !isOver; failing++) {
      const memory = new WebAssembly.Memory({ initial: 1, maximum: 2000, shared: true });
      const { grow } = WebAssembly.Memory.prototype;
      let count = 0;
      memory.grow = (pages) => {
        if (++count === failing) throw new RangeError('WebAssembly.Memory.grow(): no memory');
        return grow.call(memory, pages);
      };
      const smooth = fresh();
      const message = thrown(() => smooth.load({ memory }));
      if (message !== 'nothing was thrown') {
        expect(message).toMatch(
          /^Error: smooth-l1 cannot run here \(wasm-shared: .*kernel's memory/,
        );
        smooth.load({ memory });
        failures++;
      }
      const right = [100_000, 3, MiB, 3 * MiB, 3, 2.75, 2.5, 0, 4 * MiB];
      for (const [i, [name, step, results]] of steps(smooth).entries()) {
        results?.fill(7);
        const text = thrown(() => expect(value(step()), name).toBe(right[i]));
        if (text === 'nothing was thrown') continue;
        failures++;
        expect(text, name).toMatch(
          /^RangeError: \w+: \d+ bytes asked for, \d+ bytes left of \d+ in the kernel's memory/,
        );
        expect(results?.every((x) => x === 7) ?? true, name).toBe(true);
        expect(value(step()), name).toBe(right[i]);
      }
      isOver = count < failing;
    }
    expect(failures).toBeGreaterThanOrEqual(4);
  });
});

test.skipIf(process.platform !== 'linux')(
  'ulimit -v leaves no room for a memory of WebAssembly: plain JavaScript, and it says so',
  () => {
    const code = `
      const [x, y] = [smooth.float32([1, 2, 3]), Float32Array.of(1.5, 2, 5)];
      console.log(smooth.smoothL1Loss(x, y, { reduction: 'sum' }), smooth.backend);`;
    expect(printed(code, { limit: 'ulimit -v 4000000' })).toBe('1.625 js');
  },
);

// ---- hosts --------------------------------------------------------------------------------------
test('a host that lets nothing be written, and nothing be read but the package: all the same', () => {
  const flag =
    Number(process.versions.node.split('.')[0]) >= 24 ? 'permission' : 'experimental-permission';
  const flags = [`--${flag}`, '--allow-worker', `--allow-fs-read=${fileURLToPath(dist('.'))}*`];
  const code = `
    const [x, y] = [smooth.float32(600_000).fill(3), smooth.float32(600_000)];
    await smooth.setNumThreads(2);
    console.log(smooth.l1Loss(x, y), smooth.getNumThreads(), smooth.backend);`;
  expect(printed(code, { flags })).toBe('3 2 wasm-shared');
});

test('no Worker: setNumThreads says so, and calls go on with one thread', async () => {
  vi.stubGlobal('Worker', undefined);
  const smooth = await reloaded();
  const { getBuiltinModule } = process;
  vi.spyOn(process, 'getBuiltinModule').mockImplementation(((name: string) =>
    name === 'node:worker_threads' ? undefined : getBuiltinModule(name)) as never);
  expect(await smooth.setNumThreads(2).catch(String)).toMatch(
    /^Error: setNumThreads: this host starts no worker by itself \(.*\); give createWorker/,
  );
  expect(smooth.getNumThreads()).toBe(1);
  expect(smooth.l1Loss(f32(3), f32(1))).toBe(2);
});

describe('a host that says of its cores', () => {
  test.each([0, -1, 1.5, NaN, Infinity, '4', null])('%o: two are taken', async (cores) => {
    vi.spyOn(os, 'availableParallelism').mockReturnValue(cores as number);
    const n = 600_000;
    const smooth = fresh({ backend: 'wasm-shared' });
    const [x, y] = [smooth.float32(n).fill(3), smooth.float32(n)];
    const warnings: string[] = [];
    await smooth.setNumThreads(3, {
      createWorker: () => new Worker(dist('worker.js')),
      onWarning: (message) => warnings.push(message),
    });
    expect(smooth.l1Loss(x, y)).toBe(3);
    expect(smooth.getNumThreads()).toBe(3);
    await smooth.setNumThreads(1);
    expect(warnings).toEqual([]);
  });
});

// ---- workers ------------------------------------------------------------------------------------
describe('a worker that answers twice', () => {
  interface Page extends WorkerLike {
    onmessage?: (event: { data: string }) => void;
  }
  /** As a page has them: a message tells their end. They do nothing. */
  const page = (): Page => ({ postMessage() {}, terminate() {} });

  async function pool(workers: WorkerLike[], options: ThreadOptions = {}) {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true });
    const smooth = fresh({ memory });
    smooth.float32(1);
    const used = (): number => {
      const text = thrown(() => smooth.float32(2 ** 40));
      const [left, size] = / (\d+) bytes left of (\d+)/.exec(text)?.slice(1) ?? [];
      return Number(size) - Number(left);
    };
    const before = used();
    const createWorker = () => workers.shift() as WorkerLike;
    const start = smooth.setNumThreads(workers.length + 1, { createWorker, ...options });
    // It asks for its workers in a later turn.
    await Promise.resolve().then(() => {});
    return { smooth, used, before, start };
  }

  test('that it is ready: it is', async () => {
    const [a, b] = [page(), page()];
    const { smooth, start } = await pool([a, b]);
    a.onmessage?.({ data: 'ready' });
    a.onmessage?.({ data: 'ready' });
    let isStarted = false;
    void start.then(() => {
      isStarted = true;
    });
    await new Promise(setImmediate);
    expect(isStarted).toBe(false);
    b.onmessage?.({ data: 'ready' });
    await start;
    expect(smooth.getNumThreads()).toBe(3);
  });

  test('that it has ended: the memory that another still uses is kept', async () => {
    const [a, b] = [page(), page()];
    const { smooth, used, before, start } = await pool([a, b]);
    for (const worker of [a, b]) worker.onmessage?.({ data: 'ready' });
    await start;
    await smooth.setNumThreads(1);
    const taken = used();
    expect(taken).toBeGreaterThan(before);
    a.onmessage?.({ data: 'gone' });
    a.onmessage?.({ data: 'gone' });
    expect(used()).toBe(taken);
    b.onmessage?.({ data: 'gone' });
    expect(used()).toBe(before);
  });
});

// ---- values that change -------------------------------------------------------------------------
test('a shared array that another thread writes all the time: a mixture, and nothing else', async () => {
  const smooth = fresh({ backend: 'wasm-shared' });
  const n = 20_000;
  const [before, shared, after] = [smooth.float32(n), smooth.float32(n), smooth.float32(n)];
  for (const array of [before, after]) array.fill(7);
  const cells = new Int32Array(new SharedArrayBuffer(4));
  const writer = new Worker(
    `const { shared, cells } = require('node:worker_threads').workerData;
     for (let i = 0; Atomics.load(cells, 0) === 0; i++) {
       shared.fill(i % 2);
       if (i === 1) require('node:worker_threads').parentPort.postMessage('writing');
     }`,
    { eval: true, workerData: { shared, cells } },
  );
  await once(writer, 'message');
  const zeros = smooth.float32(n);
  const [losses, gradInput] = [smooth.float32(n), smooth.float32(n)];
  for (let i = 0; i < 200; i++) {
    const loss = smooth.smoothL1LossWithGrad(shared, zeros, gradInput);
    expect(loss >= 0 && loss <= 0.5).toBe(true);
    smooth.l1Loss(shared, zeros, { reduction: 'none', out: losses });
    expect(losses.every((x) => x === 0 || x === 1)).toBe(true);
  }
  expect(gradInput.every((x) => x >= 0 && x <= 1 / n)).toBe(true);
  for (const array of [before, after]) expect(array.every((x) => x === 7)).toBe(true);
  Atomics.store(cells, 0, 1);
  await once(writer, 'exit');
});

describe.each(backends)('%s: an option with a getter that', (_, smooth) => {
  const gone = 'is detached, or lies outside of its resized buffer';
  const actions: [string, (array: Float32Array) => void, string][] = [
    [
      'transfers an array',
      (a) => void structuredClone(a.buffer, { transfer: [a.buffer as ArrayBuffer] }),
      gone,
    ],
    ['shortens it', (a) => (a.buffer as Any).resize(6), 'has length 1 and target has length 4'],
    ['lengthens it', (a) => (a.buffer as Any).resize(32), 'has length 8 and target has length 4'],
  ];
  test.each(actions)('%s: the call sees what is there afterwards', (_, act, says) => {
    const buffer = new (ArrayBuffer as Any)(16, { maxByteLength: 64 });
    const [input, gradInput] = [new Float32Array(buffer), f32(7, 7, 7, 7)];
    const options = {
      get scale() {
        act(input);
        return 1;
      },
    };
    const call = () => smooth.l1LossWithGrad(input, f32(0, 0, 0, 0), gradInput, options);
    expect(thrown(call, { gradInput })).toMatch(
      new RegExp(`^\\w+Error: l1LossWithGrad: input ${says}[^;]*(; they must be equal)?$`),
    );
  });

  test('releases it: an error that says so', () => {
    const input = smooth.float32(4);
    const options = {
      get scale() {
        smooth.free(input);
        return 1;
      },
    };
    expect(thrown(() => smooth.l1Loss(input, f32(0, 0, 0, 0), options))).toBe(
      'TypeError: l1Loss: input was released by free() or unload(); make a new array',
    );
  });
});

// ---- realms and prototypes ----------------------------------------------------------------------
describe.each(backends)('%s: a call from another realm', (_, smooth) => {
  test('its arrays, lists and options are as good as those of this one', () => {
    const realm = vm.createContext({ smooth, results: {} });
    const code = `
      const f32 = (...values) => Float32Array.from(values);
      const [x, y, gradInput, out] = [f32(1, 2, 3, 4), f32(0, 0, 0, 0), f32(0, 0, 0, 0), f32(0, 0)];
      results.loss = smooth.smoothL1LossWithGrad(x, y, gradInput, {
        beta: f32(1, 2), rowLength: 2, weight: { perRow: f32(1, 2) }, mask: [true, true, false, true],
        reduction: 'rows', out, gradTarget: f32(0, 0, 0, 0),
      });
      results.rows = Array.from(out);
      results.gradient = Array.from(gradInput);
      results.object = new smooth.HuberLoss({ delta: 0.5, reduction: 'sum' }).forward(x, y);
      const bytes = new smooth.LossAccumulator(new smooth.L1Loss({ reduction: 'sum', sum: 'exact' })).add(x, y).toBytes();
      results.merged = smooth.LossAccumulator.from(Uint8Array.from(bytes)).value();
      try { smooth.l1Loss(x, f32(1)); } catch (error) { results.error = String(error); }`;
    vm.runInContext(code, realm);
    const { results } = realm;
    expect([...results.rows]).toEqual([0.5 + 1, 2 * 3]);
    expect([...results.gradient]).toEqual([1, 1, 0, 2]);
    expect(results.object).toBe(0.5 * (10 - 4 * 0.25));
    expect(results.merged).toBe(10);
    expect(results.error).toMatch(
      /^RangeError: l1Loss: input has length 4 and target has length 1/,
    );
  });
});

describe('Object.prototype and others have properties of everybody', () => {
  /** Names of options, of WebAssembly and of others, with a value that is wrong anywhere. With "signal" Node itself fails. */
  const pollute = `
    for (const prototype of [Object.prototype, Array.prototype, Function.prototype, Float32Array.prototype]) {
      for (const name of ['beta', 'sigma', 'delta', 'tau', 'reduction', 'sum', 'scale', 'weight',
        'insideWeights', 'outsideWeights', 'mask', 'ignoreNaNTargets', 'rowLength', 'divisor', 'minDivisor',
        'onZeroDivisor', 'copy', 'inputType', 'targetType', 'out', 'outLosses', 'outRobustWeights',
        'gradTarget', 'gradInsideWeights', 'gradOutsideWeights', 'gradOutput', 'accumulate', 'perRow',
        'perColumn', 'backend', 'module', 'memory', 'capacity', 'createWorker', 'onWarning', 'allocate',
        'release', 'shared', 'onProgress', 'input', 'target', 'helper'])
        Object.defineProperty(prototype, name, { value: 5, writable: true, configurable: true, enumerable: name === 'helper' });
    }`;
  const use = `
    const [x, y, gradInput] = [smooth.float32(600_000).fill(3), smooth.float32(600_000), smooth.float32(600_000)];
    const { memory } = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.of(
      0, 97, 115, 109, 1, 0, 0, 0, 5, 3, 1, 0, 9, 7, 10, 1, 6, 109, 101, 109, 111, 114, 121, 2, 0))).exports;
    let end = 65536;
    const detach = smooth.attach(memory, { allocate: (bytes) => (end += bytes) - bytes });
    const there = new Float32Array(memory.buffer, 1024, 2).fill(4);
    await smooth.setNumThreads(2);
    const pairs = [[Float32Array.of(1), Float32Array.of(3)], { input: Float32Array.of(1), target: Float32Array.of(4) }];
    console.log([
      smooth.backend,
      smooth.smoothL1LossWithGrad(x, y, gradInput),
      gradInput[9],
      smooth.smoothL1Loss(x, y, { reduction: 'sum', beta: 2 }),
      new smooth.HuberLoss({ reduction: 'sum' }).forward(Float32Array.of(3), Float32Array.of(1), { weight: { perRow: Float32Array.of(2) }, rowLength: 1 }),
      smooth.smoothL1OfDistance(Float32Array.of(3), Float32Array.of(0)),
      smooth.l1Loss(there, there.subarray(0)),
      await smooth.l1LossOf(pairs, { reduction: 'sum' }),
      smooth.LossAccumulator.from(new smooth.LossAccumulator(new smooth.L1Loss({ reduction: 'sum', sum: 'exact' })).add(...pairs[0]).toBytes()).value(),
      smooth.getNumThreads(),
    ].join(' '));
    detach();
    await smooth.setNumThreads(1);`;
  const right = 'wasm-shared 2.5 0.0000016666666624587378 1200000 3 2.5 0 5 2 2';

  test('after the import', () => {
    expect(printed(pollute + use, {})).toBe(right);
  });

  test('before the import, and with a backend that was chosen', () => {
    const code = `
      const again = await import(${JSON.stringify(`${dist('index.js').href}?again`)});
      again.load({ backend: 'wasm' });
      console.log(again.backend, again.l1Loss(again.float32([3]), again.float32(1)));`;
    expect(printed(pollute + code, {})).toBe('wasm 3');
  });
});
