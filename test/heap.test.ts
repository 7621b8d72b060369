// The allocator of the kernel's memory, against a model that keeps a plain list.
import { Session } from 'node:inspector/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Heap, PAGE } from '../ts/heap.ts';

const MiB = 2 ** 20;

/** A heap that can have 16 pages, and no more. */
function smallHeap(): Heap {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 17, shared: true });
  return new Heap({ kind: 'growing', memory });
}
/** The heap has a word of its own. */
const START = PAGE + 64;
const END = 17 * PAGE;

/** The lengths of the gaps between used ranges. */
function gapsOf(used: Map<number, number>): number[] {
  let end = START;
  const gaps: number[] = [];
  for (const [start, size] of [...used].sort(([a], [b]) => a - b)) {
    gaps.push(start - end);
    end = start + size;
  }
  return [...gaps, END - end];
}

const roundUp = (bytes: number): number => Math.ceil(Math.max(bytes, 1) / 64) * 64;

/** A key, and how many bytes it is given; what it had before is released. */
const step = fc.tuple(
  fc.nat({ max: 31 }),
  fc.oneof(fc.nat({ max: 300 }), fc.nat({ max: 20_000 }), fc.nat({ max: 400_000 })),
);

describe('what is taken and released', () => {
  test('ranges are aligned and apart, and a call fails only if no gap is large enough', () => {
    let failures = 0;
    const property = fc.property(fc.array(step, { minLength: 40, maxLength: 200 }), (steps) => {
      const heap = smallHeap();
      const held = new Map<number, number>();
      const used = new Map<number, number>();
      const release = (key: number) => {
        const start = held.get(key);
        if (start === undefined) return;
        heap.release(start);
        held.delete(key);
        used.delete(start);
      };
      for (const [key, bytes] of steps) {
        release(key);
        const size = roundUp(bytes);
        try {
          const start = heap.allocate(bytes, 'test');
          expect(start % 64).toBe(0);
          held.set(key, start);
          used.set(start, size);
          expect(Math.min(...gapsOf(used))).toBeGreaterThanOrEqual(0);
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError);
          // Long ranges may keep 576 bytes off the next one.
          expect(Math.max(...gapsOf(used))).toBeLessThan(size + 576);
          failures++;
        }
      }
      for (const key of [...held.keys()]) release(key);
      expect(heap.allocate(END - START, 'test')).toBe(START);
    });
    fc.assert(property, { seed: 1, numRuns: 300 });
    // Else nothing is known about full memories.
    expect(failures).toBeGreaterThan(100);
  });

  test('bytes that another heap over the same memory grew are left alone', () => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 2000, shared: true });
    const heaps = [0, 1].map(() => new Heap({ kind: 'growing', memory }));
    const starts = Array.from({ length: 400 }, (_, i) =>
      (heaps[i % 2] as Heap).allocate(20_000, 'test'),
    );
    const sorted = [...starts].sort((a, b) => a - b);
    for (const [i, start] of sorted.slice(1).entries())
      expect(start - (sorted[i] as number)).toBeGreaterThanOrEqual(20_000);
    // Free blocks that touch but are of two heaps stay two.
    const pages = memory.buffer.byteLength / PAGE;
    for (const [i, start] of starts.entries()) (heaps[i % 2] as Heap).release(start);
    const size = (pages / 2 + 1) * PAGE;
    const bases = heaps.map((heap) => heap.allocate(size, 'test'));
    expect(Math.abs((bases[0] as number) - (bases[1] as number))).toBeGreaterThanOrEqual(size);
  });

  test.each([1, 16, 1000, 20_000])(
    'of %i times 64 bytes, the smallest gap that is large enough is taken',
    (units) => {
      const heap = new Heap({
        kind: 'growing',
        memory: new WebAssembly.Memory({ initial: 1, maximum: 1000, shared: true }),
      });
      const size = 64 * units;
      // Each gap is followed by what stays.
      const [small, middle, large] = [1, 2, 4].map((times) => {
        const start = heap.allocate(times * size, 'test');
        heap.allocate(64, 'test');
        return start;
      }) as [number, number, number];
      for (const start of [small, middle, large]) heap.release(start);
      expect(heap.allocate(size, 'test')).toBe(small);
      expect(heap.allocate(size, 'test')).toBe(middle);
    },
  );

  test('in a full memory, any gap is found that is large enough', () => {
    /** A memory that is full of ranges of 64 bytes or these, of which some are released, in that order. */
    const fullBut = (sizes: number[], released: number[]): [heap: Heap, starts: number[]] => {
      const memory = new WebAssembly.Memory({ initial: 2, maximum: 2 });
      const heap = new Heap({ kind: 'fixed', memory, start: 0, isOwned: true });
      const starts = sizes.map((size) => heap.allocate(size, 'test'));
      const left = 2 * PAGE - 1024 - sizes.reduce((sum, size) => sum + size);
      for (let i = 0; i < left / 64; i++) heap.allocate(64, 'test');
      for (const i of released) heap.release(starts[i] as number);
      return [heap, starts];
    };
    // Behind a smaller one of almost the same size.
    const [heap, [first]] = fullBut([4480, 64, 4096], [0, 2]);
    expect(heap.allocate(4480, 'test')).toBe(first);
    // One without the room that keeps a long range off the next one.
    const [other, [start]] = fullBut([36_864, 36_864], [0, 1]);
    expect(other.allocate(73_664, 'test')).toBe(start);
  });

  test('long arrays begin at different places of a page, also those that the memory grows for', () => {
    const heap = new Heap({
      kind: 'growing',
      memory: new WebAssembly.Memory({ initial: 1, maximum: 2000, shared: true }),
    });
    const places = Array.from({ length: 8 }, () => heap.allocate(8 * MiB, 'test') % 4096);
    expect(new Set(places).size).toBeGreaterThanOrEqual(7);
  });

  test('what a memory grew by in steps is one piece, once all of it is released', () => {
    for (const order of [
      [0, 1, 2],
      [2, 1, 0],
      [1, 2, 0],
    ]) {
      const memory = new WebAssembly.Memory({ initial: 1, maximum: 100, shared: true });
      const heap = new Heap({ kind: 'growing', memory });
      // The first takes all that there is.
      const starts = [END - START, 20 * PAGE, 20 * PAGE].map((size) => heap.allocate(size, 'test'));
      for (const i of order) heap.release(starts[i] as number);
      const { byteLength } = memory.buffer;
      expect(byteLength).toBeGreaterThan(56 * PAGE);
      expect(heap.allocate(byteLength - START - 576, 'test')).toBe(START);
      expect(memory.buffer.byteLength).toBe(byteLength);
    }
  });

  test('so it is after a range in the middle was cut, or joined with the next', () => {
    for (const [sizes, size] of [
      [[128], 64],
      [[64, 64], 128],
    ] as const) {
      const memory = new WebAssembly.Memory({ initial: 1, maximum: 100, shared: true });
      const heap = new Heap({ kind: 'growing', memory });
      const first = sizes.map((bytes) => heap.allocate(bytes, 'test'));
      const rest = heap.allocate(END - START - 128, 'test');
      for (const start of first) heap.release(start);
      const middle = heap.allocate(size, 'test');
      const grown = heap.allocate(20 * PAGE, 'test');
      for (const start of [rest, middle, grown]) heap.release(start);
      const { byteLength } = memory.buffer;
      expect(heap.allocate(byteLength - START - 576, 'test')).toBe(START);
      expect(memory.buffer.byteLength).toBe(byteLength);
    }
  });

  test('a memory grows a few times for many arrays, and by little more than they need', () => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 2000, shared: true });
    const { grow } = memory;
    let count = 0;
    memory.grow = (pages) => {
      count++;
      return grow.call(memory, pages);
    };
    const heap = new Heap({ kind: 'growing', memory });
    for (let i = 0; i < 16_000; i++) heap.allocate(4096, 'test');
    expect(count).toBeLessThan(30);
    expect(memory.buffer.byteLength).toBeLessThan(1.15 * 1000 * PAGE);
  });

  test('no array starts in the first 1,024 bytes, nor in the last page of 4 GiB', () => {
    const empty = new WebAssembly.Memory({ initial: 0, maximum: 2, shared: true });
    // The heap's own word is the first.
    expect(new Heap({ kind: 'growing', memory: empty }).allocate(64, 'test')).toBe(1024 + 64);
    const fixed = new WebAssembly.Memory({ initial: 1, maximum: 1 });
    const whole = new Heap({ kind: 'fixed', memory: fixed, start: 0, isOwned: true });
    expect(whole.allocate(PAGE - 1024, 'test')).toBe(1024);

    const memory = new WebAssembly.Memory({ initial: 65_530, maximum: 65_536, shared: true });
    const heap = new Heap({ kind: 'growing', memory });
    expect(() => {
      for (;;) heap.allocate(PAGE / 2, 'test');
    }).toThrow('cannot grow that much');
    expect(memory.buffer.byteLength).toBe(65_535 * PAGE);
  });

  test('more bytes than any memory has are an error', () => {
    const heap = smallHeap();
    for (const bytes of [2 ** 32, 2 ** 38, 2 ** 40, 2 ** 52])
      expect(() => heap.allocate(bytes, 'test')).toThrow(
        `test: ${bytes} bytes asked for, ${END - START} bytes left of ${END} in the kernel's memory`,
      );
  });
});

describe('50,000 holes between as many arrays', () => {
  /** How often the statement of the allocator ran that ran most. */
  async function stepsOf(call: () => void): Promise<number> {
    const session = new Session();
    session.connect();
    try {
      await session.post('Profiler.enable');
      await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
      call();
      const { result } = await session.post('Profiler.takePreciseCoverage');
      const script = result.find(({ url }) => url.endsWith('/ts/heap.ts'));
      const counts = script?.functions.flatMap(({ ranges }) => ranges.map(({ count }) => count));
      return Math.max(...(counts as number[]));
    } finally {
      session.disconnect();
    }
  }

  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1000, shared: true });
  const heap = new Heap({ kind: 'growing', memory });
  const starts = Array.from({ length: 100_000 }, () => heap.allocate(64, 'test'));
  for (let i = 0; i < starts.length; i += 2) heap.release(starts[i] as number);

  test.each([
    ['an array that fits a hole', 64],
    ['an array that fits none', 128],
    ['a long array', MiB],
  ])('%s is made and released in a few steps', async (_, bytes) => {
    const steps = await stepsOf(() => {
      const taken = Array.from({ length: 10 }, () => heap.allocate(bytes, 'test'));
      for (const start of taken) heap.release(start);
    });
    expect(steps).toBeGreaterThanOrEqual(10);
    expect(steps).toBeLessThanOrEqual(100);
  });

  test('arrays between holes are released in a few steps', async () => {
    const steps = await stepsOf(() => {
      for (let i = 5001; i < starts.length; i += 10_000) heap.release(starts[i] as number);
    });
    expect(steps).toBeGreaterThanOrEqual(10);
    expect(steps).toBeLessThanOrEqual(100);
  });
});
