// The one command: npm run bench. See README.md for what it measures, and how.

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { setNumThreads } from 'smooth-l1';
import { accuracy } from './accuracy.ts';
import { calls } from './calls.ts';
import { writeCharts } from './charts.ts';
import { type Contender, FAR } from './contender.ts';
import { cost, sizeCurve } from './cost.ts';
import { randomPool } from './data.ts';
import { edge } from './edge.ts';
import { engines } from './engines.ts';
import { branchFree, naive, object, staged } from './javascript.ts';
import { limit } from './limit.ts';
import { machine, regime } from './machine.ts';
import type { Effort } from './measure.ts';
import { onnxRuntime } from './peers/onnx.ts';
import { tensorFlowInNode } from './peers/tfjs-node.ts';
import { nativeContenders, removePool, torchContenders, writePool } from './remote.ts';
import { report, summary } from './report.ts';
import { nothing, type Results, type Skipped, toJson } from './results.ts';
import type { Section } from './section.ts';
import { besidePlain, exactBesideFast, speed, threads } from './speed.ts';
import { besideTensorFlow } from './tfjs.ts';

/** In the order in which they run. */
const SECTIONS: Readonly<Record<string, Section>> = {
  speed,
  threads,
  paths: besidePlain,
  exact: exactBesideFast,
  calls,
  sizes: sizeCurve,
  accuracy,
  cost,
  edge,
  tfjs: besideTensorFlow,
  engines,
};
const USUAL = Object.keys(SECTIONS)
  .filter((name) => name !== 'engines')
  .join();
const HELP = `npm run bench -- [options]

  --quick            fewer sizes and rounds: a few minutes, for a look
  --engines          also in Node 20 to 26, Deno, Bun, and in browsers that are installed
  --sections LIST    of ${USUAL} (default: all)
  --contenders WORD  only those whose name has it, beside smooth-l1 itself
  --rounds N         rounds of each race (default: 15, quick: 5)
  --node MAJOR       in that version of Node, from bench/peers
  --no-peers         only what this engine runs by itself: nothing is installed or built
  --baseline DIR     calls beside those of the index.js of another build
  --charts           draw docs/images/bench-*.svg from this run
  --from FILE.json   measure nothing: print, and perhaps draw, what a run has left

PYTHON names the Python that has PyTorch (default: python3).
`;

const { values: options } = parseArgs({
  allowNegative: true,
  options: {
    quick: { type: 'boolean', default: false },
    engines: { type: 'boolean', default: false },
    sections: { type: 'string', default: USUAL },
    contenders: { type: 'string', default: '' },
    rounds: { type: 'string' },
    node: { type: 'string' },
    baseline: { type: 'string' },
    peers: { type: 'boolean', default: true },
    charts: { type: 'boolean', default: false },
    from: { type: 'string' },
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
  const found: Contender[] = [staged, branchFree, naive];
  const sources: [what: string, find: () => Promise<Contender[]> | Contender[]][] = [
    ['native builds', nativeContenders],
    ['PyTorch', torchContenders],
    ['TF.js, wasm', async () => [await tensorFlowInNode('wasm')]],
    ['TF.js, cpu', async () => [await tensorFlowInNode('cpu')]],
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

async function run(): Promise<Results> {
  const { quick } = options;
  const wanted = new Set(options.sections.split(','));
  if (options.engines) wanted.add('engines');
  const rounds = Number(options.rounds ?? (quick ? 5 : 15));
  const effort: Effort = quick
    ? { rounds, batch: 2, warmUp: 50 }
    : { rounds, batch: 2, warmUp: 150 };
  const where = machine();
  const sizes = [4, 6, 8, 12, 16, 20, 22, 24].map((exponent) => 2 ** exponent);
  if (quick) sizes.splice(6);
  else if (regime(where, 8 * sizes.at(-1)!) !== 'DRAM') sizes.push(FAR);
  const pool = randomPool(sizes.at(-1)!);

  const bytes = limit(); // before anything else uses the kernel
  if (options.peers) writePool(pool);
  const others = [...(await findContenders()), bytes];
  const contenders = [object, ...others.filter(({ name }) => name.includes(options.contenders))];
  const setup = {
    machine: where,
    isQuick: quick,
    effort,
    sizes,
    pool,
    contenders,
    limit: bytes,
    hasPeers: options.peers,
    baseline: options.baseline,
    skipped,
  };
  const results = { ...nothing, machine: where, rounds, skipped };
  try {
    for (const [name, section] of Object.entries(SECTIONS)) {
      if (wanted.has(name)) Object.assign(results, await section(setup));
    }
    return results;
  } finally {
    await setNumThreads(1);
    for (const { close } of contenders) close?.();
    removePool();
  }
}

/** Only a complete run goes to bench/results. */
function save(results: Results): string {
  const isComplete =
    !options.quick && options.contenders === '' && options.peers && options.sections === USUAL;
  const folder = path(isComplete ? 'results' : '../target/bench');
  const { date, cpu, engine } = results.machine;
  const name = `${date}-${cpu}-${engine}`.toLowerCase().replace(/\(r\)|\(tm\)/g, '');
  const base = join(folder, name.replace(/[^a-z0-9.]+/g, '-').replace(/-+$/, ''));
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${base}.json`, toJson(results));
  writeFileSync(`${base}.md`, report(results));
  return base;
}

async function main(): Promise<void> {
  if (options.help) return console.log(HELP);
  let results: Results;
  if (options.from) {
    results = { ...nothing, ...JSON.parse(readFileSync(options.from, 'utf8')) };
  } else {
    if (options.peers || options.engines || options.node) installPeers();
    if (options.node && process.versions.node.split('.')[0] !== options.node) {
      inOtherNode(options.node);
    }
    results = await run();
    console.log(`All of it is in ${relative('', save(results))}.md and .json.`);
  }
  console.log(summary(results));
  if (options.charts) for (const file of writeCharts(results)) console.log(relative('', file));
  // What a contender has started may go on for ever: onnxruntime-web does.
  process.exit();
}

await main().catch((error: unknown) => {
  console.error(`\nThe bench failed. ${error instanceof Error ? error.stack : error}`);
  process.exitCode = 1;
});
