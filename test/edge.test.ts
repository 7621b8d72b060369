// examples/edge in workerd itself, by real requests.
import { existsSync, readFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as smooth from '../ts/index.ts';
import { blocksOf, printedBy } from './pages.ts';
import { bundleWorker, program, startWorker, type Worker } from './workerd.ts';

interface Batch {
  loss?: number;
  reduction?: number;
  gradient?: number;
  unused?: number;
  threshold?: number;
  /** What the header says, if that is not so. */
  count?: number;
  input?: readonly number[] | Float32Array;
  target?: readonly number[] | Float32Array;
}

function bytesOf(batch: Batch = {}): Uint8Array<ArrayBuffer> {
  const { loss = 0, reduction = 0, gradient = 1, unused = 0, threshold = 1 } = batch;
  const { input = [0.25, 3, -1], target = new Float32Array(input.length) } = batch;
  const bytes = new Uint8Array(16 + 8 * input.length);
  bytes.set([...new TextEncoder().encode('SML1'), loss, reduction, gradient, unused]);
  const header = new DataView(bytes.buffer);
  header.setFloat32(8, threshold, true);
  header.setUint32(12, batch.count ?? input.length, true);
  const numbers = new Float32Array(bytes.buffer, 16);
  numbers.set(input);
  numbers.set(target, input.length);
  return bytes;
}

const BINARY = { 'Content-Type': 'application/octet-stream' };

describe.skipIf(program === undefined)('examples/edge in workerd', () => {
  let worker: Worker;
  beforeAll(async () => {
    worker = await startWorker(await bundleWorker('examples/edge/worker.ts', 'edge'));
  });
  afterAll(() => worker?.stop());

  const post = (body: Uint8Array<ArrayBuffer>, headers: object = {}): Promise<Response> =>
    fetch(worker.address, { method: 'POST', headers: { ...BINARY, ...headers }, body });

  test.each([
    ['smooth L1', 0, smooth.smoothL1LossWithGrad, 'beta'],
    ['Huber', 1, smooth.huberLossWithGrad, 'delta'],
    ['L1', 2, smooth.l1LossWithGrad, undefined],
  ] as const)(
    '%s: the bits of the package, mean and sum, of 0 to 20,000 elements',
    async (_, loss, withGrad, name) => {
      for (const n of [0, 1, 20_000])
        for (const reduction of [0, 1]) {
          const input = Float32Array.from({ length: n }, (_, i) => 3 * Math.sin(i + 1));
          const target = Float32Array.from({ length: n }, (_, i) => Math.cos(i));
          const threshold = name ? 0.5 : 0;
          const response = await post(bytesOf({ loss, reduction, threshold, input, target }));
          expect(response.status).toBe(200);
          expect(response.headers.get('Content-Type')).toBe('application/octet-stream');
          const answer = await response.arrayBuffer();
          const gradient = new Float32Array(n);
          const options = {
            reduction: (['mean', 'sum'] as const)[reduction]!,
            ...(name && { [name]: threshold }),
          };
          expect(new DataView(answer).getFloat64(0, true)).toBe(
            withGrad(input, target, gradient, options as object),
          );
          expect(Buffer.from(answer, 8).equals(Buffer.from(gradient.buffer))).toBe(true);
        }
    },
  );

  test('the loss alone, and JSON', async () => {
    const alone = await post(bytesOf({ gradient: 0 }));
    expect((await alone.arrayBuffer()).byteLength).toBe(8);
    const json = { Accept: 'application/json' };
    const both = await post(bytesOf({ reduction: 1 }), json);
    expect(both.headers.get('Content-Type')).toContain('application/json');
    expect(await both.json()).toEqual({ loss: 3.03125, gradient: [0.25, 1, -1] });
    const wild = await post(bytesOf({ gradient: 0, input: [Infinity] }), json);
    expect(await wild.json()).toEqual({ loss: 'Infinity' });
  });

  test.each([
    ['an empty body', new Uint8Array(0), 'the header has 16 bytes, the body has 0'],
    ['a part of the header', bytesOf().slice(0, 15), 'the header has 16 bytes, the body has 15'],
    [
      'a body that is cut off',
      bytesOf().slice(0, -1),
      'a batch of 3 elements has 40 bytes, the body has 39',
    ],
    ['a byte too much', Uint8Array.of(...bytesOf(), 0), 'has 40 bytes, the body has 41'],
    [
      'fewer elements than there are',
      bytesOf({ count: 2 }),
      'of 2 elements has 32 bytes, the body has 40',
    ],
    [
      'more elements than memory',
      bytesOf({ count: 2 ** 32 - 1 }),
      'of 4294967295 elements has 34359738376 bytes',
    ],
    ['something else', new Uint8Array(40), 'the body must begin with "SML1"'],
    [
      'an unknown loss',
      bytesOf({ loss: 3 }),
      'the loss must be 0 (smooth L1), 1 (Huber) or 2 (L1), got 3',
    ],
    [
      'an unknown reduction',
      bytesOf({ reduction: 2 }),
      'the reduction must be 0 (mean) or 1 (sum), got 2',
    ],
    ['an unknown wish', bytesOf({ gradient: 2 }), 'byte 6 must be 1 for a gradient, or 0, got 2'],
    ['a byte that should be 0', bytesOf({ unused: 1 }), 'byte 7 must be 0, got 1'],
    [
      'a threshold of NaN',
      bytesOf({ threshold: Number.NaN }),
      'beta must be a number from 0, got NaN',
    ],
    [
      'a negative threshold',
      bytesOf({ loss: 1, threshold: -1 }),
      'delta must be a number from 0, got -1',
    ],
    ['a threshold of L1', bytesOf({ loss: 2 }), 'the threshold must be 0, as L1 has none, got 1'],
  ])('%s is a 400 that says what is wrong', async (_, body, message) => {
    const response = await post(body);
    expect(await response.text()).toContain(message);
    expect(response.status).toBe(400);
    expect(response.headers.get('Content-Type')).toContain('text/plain');
  });

  test('another method, another type, no length, and too long a body', async () => {
    const get = await fetch(worker.address);
    expect([get.status, get.headers.get('Allow')]).toEqual([405, 'POST']);
    expect(await get.text()).toContain('the method must be POST, got GET');
    const typed = await post(bytesOf(), { 'Content-Type': 'application/json' });
    expect(typed.status).toBe(415);
    expect(await typed.text()).toContain('must be application/octet-stream, got application/json');
    expect(
      (await post(bytesOf(), { 'Content-Type': `${BINARY['Content-Type']}; x=y` })).status,
    ).toBe(200);
    const long = await post(new Uint8Array(16 + 8 * 2 ** 20 + 1));
    expect(long.status).toBe(413);
    expect(await long.text()).toContain('the body may have 8388624 bytes');
    const status = await new Promise((resolve, reject) => {
      const chunked = httpRequest(
        worker.address,
        { method: 'POST', headers: BINARY },
        (response) => {
          response.resume();
          resolve(response.statusCode);
        },
      );
      chunked.on('error', reject);
      // Written in two parts, so that it has no length.
      chunked.write(bytesOf().slice(0, 20));
      chunked.end(bytesOf().slice(20));
    });
    expect(status).toBe(411);
  });

  test('a client that breaks off half way harms nobody', async () => {
    await new Promise<void>((resolve) => {
      const headers = { ...BINARY, 'Content-Length': 40 };
      const broken = httpRequest(worker.address, { method: 'POST', headers });
      broken.on('error', () => resolve());
      broken.write(bytesOf().slice(0, 20), () => broken.destroy(new Error('enough')));
    });
    expect((await post(bytesOf())).status).toBe(200);
  });

  test('whatever the bytes are, it answers 200 or 400', async () => {
    const bodies = fc.oneof(
      fc.uint8Array({ maxLength: 64 }),
      fc.tuple(fc.nat(15), fc.nat(255)).map(([at, value]) => {
        const bytes = bytesOf();
        bytes[at] = value;
        return bytes;
      }),
    );
    const property = fc.asyncProperty(bodies, async (body) => {
      const response = await post(new Uint8Array(body));
      await response.arrayBuffer();
      expect([200, 400]).toContain(response.status);
    });
    await fc.assert(property, { seed: 1, numRuns: 60 });
  });

  test('nothing is left of hundreds of batches, right and wrong: the memory stays flat', async () => {
    const input = new Float32Array(32_768).fill(2);
    const [right, wrong] = [bytesOf({ input }), bytesOf({ input, threshold: -1 })];
    const many = async (count: number): Promise<void> => {
      const statuses = new Set<number>();
      const client = async (): Promise<void> => {
        for (let i = 0; i < count / 8; i++) {
          const response = await post(i % 4 === 3 ? wrong : right);
          await response.arrayBuffer();
          statuses.add(response.status);
        }
      };
      await Promise.all(Array.from({ length: 8 }, client));
      expect([...statuses].sort()).toEqual([200, 400]);
    };
    // The bodies of a round have 30 MiB. Garbage comes and goes, later on a busy machine; what is left grows in
    // every round. One array left of each batch would be more than the kernel's memory holds.
    let growth = Infinity;
    let before = 0;
    for (let round = 0; round < 12 && (round < 4 || growth >= 8 * 2 ** 20); round++) {
      await many(120);
      const now = worker.residentBytes() ?? 0;
      if (round > 0) growth = Math.min(growth, now - before);
      before = now;
    }
    expect(growth).toBeLessThan(8 * 2 ** 20);
  });

  test('the program of its README.md gets what it says', async () => {
    const [block] = blocksOf('examples/edge/README.md', /^```js\n([\s\S]*?)^```/gm);
    const code = block?.[1] as string;
    const printed: string[] = [];
    const log = (...values: unknown[]): number => printed.push(values.join(' '));
    const body = code.replace('http://localhost:8787', worker.address);
    await new Function('console', `return (async () => {${body}})()`)({ log });
    expect(printed).toEqual(printedBy(code));
  });

  test('wrangler finds the worker', () => {
    const config = JSON.parse(readFileSync('examples/edge/wrangler.jsonc', 'utf8'));
    expect(existsSync(`examples/edge/${config.main}`)).toBe(true);
  });
});
