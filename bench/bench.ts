// The one command: npm run bench. See README.md for what it measures, and how.

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Presets, SingleBar } from 'cli-progress';
import { setNumThreads } from 'smooth-l1';
import { accuracy } from './accuracy.ts';
import { callCosts } from './calls.ts';
import { writeCharts } from './charts.ts';
import { type Contender, FAR } from './contender.ts';
import { bundleSizes, coldStarts, sizeCurve } from './cost.ts';
import { randomPool } from './data.ts';
import { engines } from './engines.ts';
import { flightsPool } from './flights.ts';
import { branchFree, naive, object, plainFunction, staged } from './javascript.ts';
import { limit } from './limit.ts';
import { machine, regime } from './machine.ts';
import type { Effort } from './measure.ts';
import { paths } from './paths.ts';
import { onnxRuntime } from './peers/onnx.ts';
import { tensorFlow } from './peers/tfjs.ts';
import { nativeContenders, removePool, torchContenders, writePool } from './remote.ts';
import { report } from './report.ts';
import { type Results, type Skipped, short, toJson } from './results.ts';
import { hold, otherRaces, type Race, randomRaces, samplesOf, threadedRaces } from './speed.ts';
import { targetLines } from './targets.ts';

const SECTIONS = 'speed,threads,paths,calls,sizes,accuracy,cost';
const HELP = `npm run bench -- [options]

  --quick            fewer sizes and rounds: a few minutes, for a look
  --engines          also in Node 20 to 26, Deno, Bun, and in browsers that are installed
  --sections LIST    of ${SECTIONS} (default: all)
  --contenders WORD  only those whose name has it, beside smooth-l1 itself
  --rounds N         rounds of each race (default: 15, quick: 5)
  --node MAJOR       in that version of Node, from bench/peers
  --no-peers         only what this engine runs by itself: nothing is installed or built
  --baseline DIR     calls beside those of the index.js of another build
  --charts           draw docs/images/bench-*.svg from this run

PYTHON names the Python that has PyTorch (default: python3).
`;

const { values: options } = parseArgs({
  allowNegative: true,
  options: {
    quick: { type: 'boolean', default: false },
    engines: { type: 'boolean', default: false },
    sections: { type: 'string', default: SECTIONS },
    contenders: { type: 'string', default: '' },
    rounds: { type: 'string' },
    node: { type: 'string' },
    baseline: { type: 'string' },
    peers: { type: 'boolean', default: true },
    charts: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const skipped: Skipped[] = [];

/** The packages that are contenders; with --engines or --node the engines too, which are large. */
function installPeers(): void {
  const needsEngines = options.engines || options.node !== undefined;
  const probe = path(`peers/node_modules/${needsEngines ? 'node24' : 'onnxruntime-web'}`);
  if (existsSync(probe)) return;
  console.log('Installing the contenders (bench/peers), once.');
  const omit = needsEngines ? [] : ['--omit=optional'];
  execFileSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', ...omit], {
    cwd: path('peers'),
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

/** Starts over in another Node, which then does everything. */
function inOtherNode(major: string): never {
  const program = path(`peers/node_modules/node${major}/bin/node`);
  if (!existsSync(program)) throw new Error(`bench/peers has no Node ${major} for this system`);
  const args = process.argv.slice(2).filter((arg, i, all) => {
    return !arg.startsWith('--node') && all[i - 1] !== '--node';
  });
  const { status } = spawnSync(program, ['--import', 'tsx', path('bench.ts'), ...args], {
    stdio: 'inherit',
  });
  process.exit(status ?? 1);
}

/** All contenders that can run here; why another cannot is noted. */
async function findContenders(): Promise<Contender[]> {
  const found: Contender[] = [plainFunction, staged, branchFree, naive];
  const sources: [what: string, find: () => Promise<Contender[]> | Contender[]][] = [
    ['native builds', nativeContenders],
    ['PyTorch', torchContenders],
    ['TF.js, wasm', async () => [await tensorFlow('wasm')]],
    ['TF.js, cpu', async () => [await tensorFlow('cpu')]],
    ['onnxruntime-node', () => [onnxRuntime('node')]],
    ['onnxruntime-web', () => [onnxRuntime('web')]],
  ];
  for (const [what, find] of options.peers ? sources : []) {
    try {
      found.push(...(await find()));
    } catch (error) {
      const why = String(error instanceof Error ? error.message : error).trim();
      const lines = why.split('\n');
      skipped.push({ what, why: lines.find((line) => line.startsWith('error')) ?? lines.at(-1)! });
      console.log(`Without ${what}: ${skipped.at(-1)!.why}`);
    }
  }
  return found;
}

/** A bar that names what is being done. */
function progress(total: number): { step: (count: number, what: string) => void; stop(): void } {
  const bar = new SingleBar(
    {
      format: '{bar} {percentage} % | {duration_formatted} | {what}',
      noTTYOutput: true,
      notTTYSchedule: 10_000,
    },
    Presets.shades_classic,
  );
  bar.start(total, 0, { what: '' });
  return { step: (count, what) => bar.increment(count, { what }), stop: () => bar.stop() };
}

async function run(): Promise<Results> {
  const { quick } = options;
  const wanted = new Set(options.sections.split(','));
  const rounds = Number(options.rounds ?? (quick ? 5 : 15));
  const effort: Effort = quick
    ? { rounds, batch: 2, warmUp: 20 }
    : { rounds, batch: 5, warmUp: 150 };
  const where = machine();
  const sizes = [4, 6, 8, 12, 16, 20, 22, 24].map((exponent) => 2 ** exponent);
  if (quick) sizes.splice(6);
  else if (regime(where, 8 * sizes.at(-1)!) !== 'DRAM') sizes.push(FAR);
  const pool = randomPool(sizes.at(-1)!);

  const movesBytes = limit(); // before anything else uses the kernel
  if (options.peers) writePool(pool);
  const others = await findContenders();
  const isWanted = ({ name }: Contender) => name.includes(options.contenders);
  const contenders = [object, ...[...others, movesBytes].filter(isWanted)];
  const plain = [object, staged, branchFree, naive];

  const large = sizes.filter((n) => n >= 2 ** 16);
  const speed: Race[] = [];
  if (wanted.has('speed')) {
    speed.push(...randomRaces(contenders, sizes, pool));
    speed.push(...otherRaces(plain, 'sorted', sizes.slice(0, 6), pool));
    speed.push(...otherRaces(plain, 'flights', sizes.slice(4, 6), await flightsPool()));
  }
  const threaded = wanted.has('threads')
    ? threadedRaces(
        contenders.filter(({ name }) => /^smooth-l1$|PyTorch|onnxruntime/.test(name)),
        where.cores,
        large,
        pool,
      )
    : [];
  const weighted = wanted.has('paths')
    ? randomRaces(paths, quick ? [2 ** 16, 2 ** 20] : [2 ** 16, 2 ** 20, 2 ** 24], pool)
    : [];
  const curve = Array.from({ length: quick ? 9 : 13 }, (_, k) => 2 ** (4 + 2 * k));
  const lengths = Array.from({ length: quick ? 6 : 9 }, (_, k) => 2 ** (10 + 2 * k));

  const bar = progress(
    samplesOf([...speed, ...threaded, ...weighted], effort) +
      (wanted.has('calls') ? 84 : 0) +
      (wanted.has('sizes') ? curve.length * rounds : 0) +
      (wanted.has('accuracy') ? lengths.length * contenders.length : 0) +
      (wanted.has('cost') ? 4 * rounds : 0) +
      (options.engines ? 8 * 10 * rounds : 0),
  );
  try {
    const raced = async (races: readonly Race[]) => hold(races, where, effort, skipped, bar.step);
    return {
      machine: where,
      rounds,
      speed: await raced(speed),
      threaded: await raced(threaded),
      paths: await raced(weighted),
      calls: wanted.has('calls')
        ? await callCosts(pool, effort, options.baseline, (what) => bar.step(1, what))
        : [],
      sizes: wanted.has('sizes')
        ? await sizeCurve(curve, pool, movesBytes, where, effort, (what) => bar.step(rounds, what))
        : [],
      accuracy: wanted.has('accuracy')
        ? await accuracy(contenders, lengths, pool, (what) => bar.step(1, what))
        : [],
      cold: wanted.has('cost') ? coldStarts(options.peers, (what) => bar.step(rounds, what)) : [],
      bundles: wanted.has('cost') ? bundleSizes(options.peers) : [],
      engines: options.engines
        ? await engines(quick, skipped, (what) => bar.step(10 * rounds, what))
        : [],
      skipped,
    };
  } finally {
    bar.stop();
    await setNumThreads(1);
    for (const { close } of contenders) close?.();
    removePool();
  }
}

/** Only a complete run goes to bench/results. */
function save(results: Results): string {
  const isComplete =
    !options.quick && options.contenders === '' && options.peers && options.sections === SECTIONS;
  const folder = path(isComplete ? 'results' : '../target/bench');
  const { date, cpu, engine } = results.machine;
  const name = `${date}-${cpu}-${engine}`.toLowerCase().replace(/\(r\)|\(tm\)/g, '');
  const base = join(folder, name.replace(/[^a-z0-9.]+/g, '-').replace(/-+$/, ''));
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${base}.json`, toJson(results));
  writeFileSync(`${base}.md`, report(results));
  return base;
}

function show(results: Results): void {
  const own = results.speed.filter((row) => row.data === 'random');
  for (const operation of ['forward', 'backward', 'fused'] as const) {
    const rows = own.filter((row) => row.operation === operation);
    const sizes = [...new Set(rows.map(({ n }) => n))];
    if (sizes.length === 0) continue;
    console.log(`\n${operation}: times as long as smooth-l1; one thread, random residuals\n`);
    console.log(`${' '.repeat(44)}${sizes.map((n) => short(n).padStart(8)).join('')}`);
    for (const name of new Set(rows.map(({ contender }) => contender))) {
      const cells = sizes.map((n) => {
        const ratio = rows.find((row) => row.contender === name && row.n === n)?.ratio;
        return (ratio?.toPrecision(3) ?? '').padStart(8);
      });
      console.log(`${name.padEnd(44)}${cells.join('')}`);
    }
  }
  if (results.calls.length > 0)
    console.log('\nOne call: ns; naive JavaScript and the baseline in times of it\n');
  for (const { kind, n, ns, naive, baseline } of results.calls)
    console.log(
      `${kind.padEnd(36)}${short(n).padStart(6)}${ns.toFixed(0).padStart(8)}` +
        [naive, baseline].map((x) => (x?.toPrecision(3) ?? '').padStart(8)).join(''),
    );
  console.log('\nTargets\n');
  for (const line of targetLines(results)) console.log(line);
}

async function main(): Promise<void> {
  if (options.help) return console.log(HELP);
  if (options.peers || options.engines || options.node) installPeers();
  if (options.node && process.versions.node.split('.')[0] !== options.node) {
    inOtherNode(options.node);
  }
  const results = await run();
  show(results);
  const base = save(results);
  console.log(`\nAll of it is in ${relative('', base)}.md and .json.`);
  if (options.charts) for (const file of writeCharts(results)) console.log(relative('', file));
  // What a contender has started may go on for ever: onnxruntime-web does.
  process.exit();
}

await main().catch((error: unknown) => {
  console.error(`\nThe bench failed. ${error instanceof Error ? error.stack : error}`);
  process.exitCode = 1;
});
