// Counting what passed, starting programs, and judging what the suite found.
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { published } from './published.ts';

export const here = fileURLToPath(new URL('.', import.meta.url));
export const work = fileURLToPath(new URL('../../target/engines/', import.meta.url));

/** What the suite says of one backend in one engine. */
export interface Found {
  backend: string;
  /** A hash of the module, where it was compiled from bytes. */
  module?: string;
  threads: number;
  /** Why there are no threads. */
  refusal?: string;
  vectors: number;
  elementwise: string;
  sums: string;
  failures: string[];
}

/** What should be found. */
export interface Wanted {
  backend: 'wasm-shared' | 'wasm' | 'js';
  /** The refusal that is wanted, where two threads are not. */
  refusal?: RegExp;
  /** The processor, which decides on the module; this one by default. */
  processor?: string;
}

/** Something that is not on this machine. */
export class Missing extends Error {}

const counts = { passed: 0, failed: 0, skipped: 0 };
const words = process.argv.slice(2).map((word) => word.toLowerCase());

/** Runs one check, unless it was not asked for, and tells how it went. */
export async function check(name: string, run: () => Promise<string>): Promise<void> {
  if (words.length > 0 && !words.some((word) => name.toLowerCase().includes(word))) return;
  try {
    const note = await run();
    counts.passed++;
    console.log(`  passed   ${name}: ${note}`);
  } catch (error) {
    const { message } = error as Error;
    const isMissing = error instanceof Missing;
    counts[isMissing ? 'skipped' : 'failed']++;
    console.log(`  ${isMissing ? 'skipped' : 'FAILED '}  ${name}: ${message}`);
  }
}

/** The closing line. */
export function close(): void {
  const { passed, failed, skipped } = counts;
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
}

// ---- judging ------------------------------------------------------------------------------------

/** The published hashes, and the first of each other kind; all others must be equal to it. */
const hashes = new Map<string, { hash: string; of: string }>(
  Object.entries(published()).map(([kind, hash]) => [kind, { hash, of: 'docs/engines.md' }]),
);

function agree(kind: string, hash: string, of: string): void {
  const first = hashes.get(kind);
  if (!first) hashes.set(kind, { hash, of });
  else if (first.hash !== hash)
    throw new Error(`the hash of its ${kind} is ${hash}, that of ${first.of} ${first.hash}`);
}

/** Each processor has its own module. */
function agreeOnModule(backend: string, processor: string, hash: string, of: string): void {
  const kind = (processor: string): string => `module for ${backend} on ${processor}`;
  agree(kind(processor), hash, of);
  const other = hashes.get(kind(processor === 'x64' ? 'arm64' : 'x64'));
  if (other?.hash === hash) throw new Error(`its module is that of ${other.of}`);
}

/** Throws unless the suite found what it should. */
export function judge(name: string, found: Found, wanted: Wanted): string {
  const { backend, refusal, processor = process.arch } = wanted;
  if (found.failures.length > 0)
    throw new Error(`${found.failures.length} wrong: ${found.failures.slice(0, 3).join('; ')}`);
  if (found.vectors === 0) throw new Error('there were no vectors');
  if (found.backend !== backend)
    throw new Error(`the backend is ${found.backend}, wanted ${backend}`);
  if (found.module && backend !== 'js') agreeOnModule(backend, processor, found.module, name);
  agree('elementwise', found.elementwise, name);
  agree('sums', found.sums, name);
  if (!refusal && found.threads !== 2)
    throw new Error(`there are no two threads: ${found.refusal ?? 'and no word why'}`);
  if (refusal && (found.threads !== 1 || !refusal.test(found.refusal ?? '')))
    throw new Error(`${found.threads} threads, ${found.refusal ?? 'and no refusal'}`);
  return `${backend}, ${found.threads === 1 ? '1 thread' : '2 threads'}`;
}

// ---- programs -----------------------------------------------------------------------------------

/** A program that has not ended by then never does. */
export const PATIENCE_MS = 180_000;

const running = new Set<ChildProcess>();
process.on('exit', () => running.forEach(stop));
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => process.exit(1));

interface StartOptions {
  env?: Record<string, string>;
  cwd?: string;
  /** How long it may take. */
  patience?: number;
}

/** Starts a program, in a group of its own with all that it starts. */
export function start(
  command: string,
  args: string[],
  { env = {}, cwd = here }: StartOptions = {},
): ChildProcess {
  const child = spawn(command, args, {
    cwd,
    env: { ...process.env, NODE_OPTIONS: '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  running.add(child);
  child.on('close', () => running.delete(child));
  return child;
}

/** Ends a program and all that it started. */
export function stop(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // They had ended already.
  }
}

/** Runs a program to its end; resolves with what it printed. */
export function run(command: string, args: string[], options?: StartOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = start(command, args, options);
    let [out, err] = ['', ''];
    child.stdout?.on('data', (data) => {
      out += data;
    });
    child.stderr?.on('data', (data) => {
      err += data;
    });
    const timer = setTimeout(() => {
      reject(new Error(`it did not end by itself; it had printed ${tail(out || err)}`));
      stop(child);
    }, options?.patience ?? PATIENCE_MS);
    child.on('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      reject(error.code === 'ENOENT' ? new Missing(`${command} is not here`) : error);
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      if (code === 0) resolve(out);
      else reject(new Error(`it ended with ${code ?? signal}: ${tail(err || out)}`));
    });
  });
}

function tail(text: string): string {
  return text.trim().split('\n').slice(-8).join('\n').slice(-800);
}
