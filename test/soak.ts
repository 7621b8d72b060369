// Days of use in minutes: small calls of all kinds, arrays that come and go, a memory that fills and
// empties, threads that start and end, again and again. What they take must stay flat: where it does
// not, this says which, and exits with 1.
//
//   npm run soak -- --seconds 600
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import { setTimeout as wait } from 'node:timers/promises';
import { median } from 'd3-array';
import { markdownTable } from 'markdown-table';
import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import * as own from 'smooth-l1';
import type { Package } from './backends.ts';
import { arraysFor, callWith, inKernel, type Make, withArguments } from './functions.ts';
import { secondsOf } from './soak-seconds.ts';

const KiB = 2 ** 10;
const MiB = 2 ** 20;
const seconds = secondsOf(process.argv.slice(2));
const collect = globalThis.gc;
if (!collect) throw new Error('node --expose-gc is needed: npm run soak has it');

// In a round: so many calls, arrays, and pools of threads.
const CALLS = 10_000;
const ARRAYS = 1_000;
const POOLS = 10;
const done = { rounds: 0, calls: 0, arrays: 0, growths: 0, pools: 0 };

const random = xoroshiro128plus(1);
const below = (n: number): number => uniformInt(random, 0, n - 1);

// ---- calls --------------------------------------------------------------------------------------
const smooth = own as unknown as Package;
/** Every function, with arrays of the kernel and elsewhere, plain, weighted and masked. */
const makers: Make[] = [(values) => inKernel(smooth, values), (values) => values.slice()];
const kinds = makers.map(arraysFor).flatMap((arrays) =>
  withArguments.flatMap(([, fn]) => {
    const { weights, mask } = arrays;
    const options = fn.isDistance ? [{}] : [{}, { weight: weights }, { mask, scale: 0.5 }];
    return options.map((more) => () => callWith(smooth, fn, arrays, {}, more));
  }),
);

function call(latency: RecordableHistogram): void {
  for (let i = 0; i < CALLS; i++) {
    const kind = kinds[i % kinds.length] as () => unknown;
    const start = process.hrtime.bigint();
    kind();
    latency.record(process.hrtime.bigint() - start);
  }
  done.calls += CALLS;
}

// ---- arrays -------------------------------------------------------------------------------------
/** From one float to 64 KiB of them, small ones mostly. */
const mixed = (): Float32Array => own.float32(1 + below(2 ** below(15)));

function allocate(): void {
  const live: Float32Array[] = [];
  for (let i = 0; i < ARRAYS; i++) {
    live.push(mixed());
    if (live.length > 300) own.free(taken(live));
  }
  while (live.length > 0) own.free(taken(live));
  done.arrays += ARRAYS;
}

/** One of them, which it takes out. */
function taken(live: Float32Array[]): Float32Array {
  const at = below(live.length);
  const array = live[at] as Float32Array;
  live[at] = live.at(-1) as Float32Array;
  live.pop();
  return array;
}

function grow(): void {
  const large = Array.from({ length: 4 }, () => own.float32(4 * MiB));
  large.forEach(own.free);
  done.growths++;
}

/** How long an array takes to be made and released, at the median, while others live. */
function costAmong(others: number): number {
  const live = Array.from({ length: others }, () => own.float32(1 + below(64)));
  const cost = createHistogram();
  for (let i = 0; i < 20_000; i++) {
    const length = 1 + below(64);
    const old = live.length > 0 ? taken(live) : undefined;
    const start = process.hrtime.bigint();
    const array = own.float32(length);
    own.free(old ?? array);
    cost.record(process.hrtime.bigint() - start);
    if (old) live.push(array);
  }
  live.forEach(own.free);
  return cost.percentile(50);
}

// ---- threads ------------------------------------------------------------------------------------
const LONG = 600_000;
const long = [own.float32(LONG).fill(3), own.float32(LONG), own.float32(LONG)] as const;

async function thread(): Promise<void> {
  for (let i = 0; i < POOLS; i++) {
    await own.setNumThreads(2);
    const loss = own.smoothL1LossWithGrad(...long);
    if (loss !== 2.5) throw new Error(`the loss of ${LONG} residuals of 3 is ${loss}, not 2.5`);
    await own.setNumThreads(1);
    done.pools++;
  }
}

// ---- what it takes ------------------------------------------------------------------------------
const resources = (): number => process.getActiveResourcesInfo().length;

async function sample(atRest: number) {
  // Workers end a little after they were told to.
  for (let i = 0; i < 1000 && resources() > atRest; i++) await wait(5);
  collect?.();
  const { heapUsed, external, rss } = process.memoryUsage();
  const probe = own.float32(1);
  const memory = probe.buffer.byteLength;
  own.free(probe);
  return { heap: heapUsed, external, rss, memory, handles: resources() };
}
type Sample = Awaited<ReturnType<typeof sample>>;

/** How much more the last quarter may take than the second: the memory's high-water mark and the handles nothing. */
const allowed: { [what in keyof Sample]: number } = {
  heap: 256 * KiB,
  external: 64 * KiB,
  rss: 16 * MiB,
  memory: 0,
  handles: 0,
};

async function soak(): Promise<boolean> {
  const latency = createHistogram();
  const samples: Sample[] = [];
  const atRest = resources();
  const end = performance.now() + 1000 * seconds;
  while (performance.now() < end) {
    call(latency);
    allocate();
    grow();
    await thread();
    samples.push(await sample(atRest));
    done.rounds++;
  }
  if (samples.length < 8)
    throw new Error(`${samples.length} rounds are too few to see what grows: give more --seconds`);

  console.log(
    `${done.rounds} rounds: ${done.calls} calls, ${done.arrays} arrays made and released, ` +
      `the memory filled ${done.growths} times, ${done.pools} pools of threads`,
  );
  const quarter = Math.floor(samples.length / 4);
  let isFlat = true;
  const rows = Object.entries(allowed).map(([what, more]) => {
    const all = samples.map((sample) => sample[what as keyof Sample]);
    const before = median(all.slice(quarter, 2 * quarter)) as number;
    const after = median(all.slice(-quarter)) as number;
    const stays = after - before <= more;
    isFlat &&= stays;
    return [what, before, after, more, stays ? 'flat' : 'GROWS'].map(String);
  });
  console.log(markdownTable([['', 'second quarter', 'last quarter', 'allowed more', ''], ...rows]));
  const micro = (q: number): string => (latency.percentile(q) / 1000).toFixed(2);
  console.log(`a call: p50 ${micro(50)} us, p99 ${micro(99)} us, p99.9 ${micro(99.9)} us`);

  costAmong(0);
  const [alone, among] = [costAmong(0), costAmong(100_000)];
  // Linear search would make it a thousand times as much; caches alone make it twice.
  const isCheap = among <= 5 * alone;
  console.log(
    `an array made and released: ${alone} ns, among 100,000 others ${among} ns: ${isCheap ? 'flat' : 'GROWS'}`,
  );
  return isFlat && isCheap;
}

process.exitCode = (await soak()) ? 0 : 1;
