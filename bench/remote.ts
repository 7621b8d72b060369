// Contenders in other processes: the Rust program in native/, and PyTorch. They read their data from
// files, and answer questions one line at a time, so that they take turns with those in this one:
//
//   prepare CONTENDER OPERATION N WINDOWS THREADS   ->  ok, or no
//   time CALLS                                      ->  milliseconds
//   check FILE                                      ->  the loss of one call, its gradient in FILE

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type Contender, FAR } from './contender.ts';
import type { Pool } from './data.ts';

const WORK = fileURLToPath(new URL('../target/bench/', import.meta.url));
const [INPUT, TARGET, GRADIENT] = ['input', 'target', 'gradient'].map(
  (name) => `${WORK}${name}.f32`,
);

/** Leaves the pool where the other processes read it. They know no other, and its beta is 1. */
export function writePool({ input, target }: Pool): void {
  mkdirSync(WORK, { recursive: true });
  writeFileSync(INPUT!, input);
  writeFileSync(TARGET!, target);
}

export function removePool(): void {
  for (const file of [INPUT, TARGET, GRADIENT]) rmSync(file!, { force: true });
}

/** A process that answers each line with a line. */
class Remote {
  /** Its first line, after the word "ready". */
  readonly greeting: string;
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #failed: Promise<never>;
  /** What it is ready for. */
  #task = '';

  private constructor(
    greeting: string,
    child: ChildProcess,
    lines: AsyncIterator<string>,
    failed: Promise<never>,
  ) {
    this.greeting = greeting;
    this.#child = child;
    this.#lines = lines;
    this.#failed = failed;
  }

  static async start(
    command: string,
    args: readonly string[] = [],
    env: object = {},
  ): Promise<Remote> {
    const child = spawn(command, [...args, INPUT!, TARGET!], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    });
    let complaint = '';
    child.stderr.on('data', (data) => {
      complaint = `${complaint}${data}`.slice(-2000);
    });
    const failed = new Promise<never>((_, reject) => {
      const fail = (why: unknown) => reject(new Error(`${command}: ${why}\n${complaint}`));
      child.on('error', fail);
      child.on('close', (status) => fail(`ended with ${status}`));
    });
    failed.catch(() => {});
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const { value, done } = await Promise.race([lines.next(), failed]);
    if (done) await failed;
    return new Remote(String(value).replace(/^ready ?/, ''), child, lines, failed);
  }

  contender(name: string, word: string, isChecked = true): Contender {
    return {
      name,
      largest: FAR,
      prepare: async ({ operation, n, windows, threads }) => {
        const task = ['prepare', word, operation, n, windows, threads].join(' ');
        if ((await this.#ask(task)) !== 'ok') return 'one thread only';
        this.#task = task;
        const ask = (question: string) => this.#askAbout(task, question);
        const check = async () => {
          const loss = Number(await ask(`check ${GRADIENT}`));
          if (operation === 'forward') return { loss };
          const gradient = new Float32Array(new Uint8Array(readFileSync(GRADIENT!)).buffer);
          return { loss, gradient };
        };
        return {
          async calls(count) {
            return { overriddenDuration: Number(await ask(`time ${count}`)) };
          },
          check: isChecked ? check : () => undefined,
          dispose: () => {},
        };
      },
      close: () => this.#child.kill(),
    };
  }

  /** Contenders of one process take turns in it too. */
  async #askAbout(task: string, question: string): Promise<string> {
    if (this.#task !== task) {
      this.#task = task;
      await this.#ask(task);
    }
    return this.#ask(question);
  }

  async #ask(line: string): Promise<string> {
    this.#child.stdin!.write(`${line}\n`);
    const { value, done } = await Promise.race([this.#lines.next(), this.#failed]);
    return done ? this.#failed : value;
  }
}

/** Builds the Rust program for each width of vectors that this processor has. */
export async function nativeContenders(): Promise<Contender[]> {
  const is64 = process.arch === 'x64';
  const has = is64 ? readFileSync('/proc/cpuinfo', 'utf8') : '';
  const contenders: Contender[] = [];
  const baseline = await Remote.start(build('baseline', []));
  contenders.push(baseline.contender('native, the kernel at 128 bits', 'kernel'));
  let limit = baseline;
  if (has.includes(' avx2 ')) {
    limit = await Remote.start(build('avx2', ['-Ctarget-cpu=x86-64-v3']));
    contenders.push(limit.contender('native, AVX2', 'wide'));
  }
  if (has.includes(' avx512vl ')) {
    // Compilers take 256 bits where there are 512, unless told not to.
    const flags = ['-Ctarget-cpu=x86-64-v4', '-Ctarget-feature=-prefer-256-bit'];
    limit = await Remote.start(build('avx512', flags));
    contenders.push(limit.contender('native, AVX-512', 'wide'));
  }
  const name = 'limit: native that only moves the bytes';
  contenders.push(limit.contender(name, 'limit', false));
  return contenders;
}

function build(name: string, flags: string[]): string {
  const target = `${WORK}native-${name}`;
  console.log(`Building the native contender, ${name}.`);
  const manifest = fileURLToPath(new URL('native/Cargo.toml', import.meta.url));
  execFileSync(
    'cargo',
    ['build', '--release', '--locked', '--quiet', '--manifest-path', manifest],
    {
      env: { ...process.env, RUSTFLAGS: flags.join(' '), CARGO_TARGET_DIR: target },
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  return `${target}/release/smooth-l1-native`;
}

/**
 * PyTorch twice: as it is, and with a malloc that keeps the memory of its temporaries. Without that,
 * every large call gets new pages from the system, and waits while they are filled with zeros.
 */
export async function torchContenders(): Promise<Contender[]> {
  const python = process.env.PYTHON ?? 'python3';
  const script = fileURLToPath(new URL('peers/torch_bench.py', import.meta.url));
  const plain = await Remote.start(python, [script]);
  const keep = { MALLOC_MMAP_THRESHOLD_: '4294967295', MALLOC_TRIM_THRESHOLD_: '4294967295' };
  const kept = await Remote.start(python, [script], keep);
  return [
    plain.contender(`PyTorch ${plain.greeting}`, 'eager'),
    kept.contender(`PyTorch ${kept.greeting}, memory kept`, 'eager'),
  ];
}
