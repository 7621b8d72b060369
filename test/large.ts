// Files larger than memory, which take too long for `npm test`: large.ts [GB], 4 by default for each of two files.
// The command line takes less than 300 MB for them, and `kill -9` in the middle changes no bit. The files are holes
// with a few numbers in them, so they take no room on the disk.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  watch,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const MOST = 300e6;
const n = Math.round((Number(process.argv[2] ?? 4) * 2 ** 30) / 4);
const folder = `${mkdtempSync(`${tmpdir()}/smooth-l1-large-`)}/`;

/** A .npy file of zeros, and a few numbers. */
function make(name: string, numbers: Record<number, number>): string {
  const file = openSync(folder + name, 'w');
  const header = Buffer.alloc(128, ' ');
  header.write('\x93NUMPY\x01\0', 'latin1');
  header.writeUInt16LE(118, 8);
  header.write(`{'descr': '<f4', 'fortran_order': False, 'shape': (${n},), }`, 10, 'latin1');
  header[127] = 10;
  writeSync(file, header, 0, 128, 0);
  for (const [at, value] of Object.entries({ [n - 1]: 0, ...numbers }))
    writeSync(file, Buffer.from(Float32Array.of(value).buffer), 0, 4, 128 + 4 * Number(at));
  closeSync(file);
  return folder + name;
}

/** Runs the command; what it prints, and the most memory that it took. */
async function run(args: string[], kill?: (child: ReturnType<typeof spawn>) => void) {
  const hook = `${folder}hook.cjs`;
  const most = `${folder}most`;
  writeFileSync(
    hook,
    `process.on('exit', () => require('fs').writeFileSync(${JSON.stringify(most)}, String(1024 * process.resourceUsage().maxRSS)))`,
  );
  const child = spawn(process.execPath, ['--require', hook, `${root}dist/cli.js`, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let out = '';
  child.stdout?.on('data', (text) => (out += text));
  kill?.(child);
  const [code, signal] = await once(child, 'close');
  return { out: out.trim(), code, signal, bytes: signal ? 0 : Number(readFileSync(most, 'utf8')) };
}

function check(what: string, isRight: boolean): void {
  console.log(`${isRight ? 'right' : 'WRONG'}: ${what}`);
  if (!isRight) process.exitCode = 1;
}

try {
  const half = Math.floor(n / 2);
  const files = [
    make('p.npy', { 0: 1e20, [half]: 3, [n - 1]: 0.5 }),
    make('t.npy', { 0: 0, 7: -(2 ** 60) }),
  ];
  // In eighths. A half more or less is nothing to the large ones, as f32.
  const losses = [BigInt(Math.fround(1e20)) * 8n, 2n ** 63n, 20n, 1n];
  const wanted = Number(losses.reduce((a, b) => a + b)) / 8;
  const args = [...files, '--reduction', 'sum'];

  const whole = await run(args);
  check(`${n} elements of each file: ${whole.out}, wanted ${wanted}`, whole.out === String(wanted));
  check(`${Math.round(whole.bytes / 1e6)} MB of memory, at most ${MOST / 1e6}`, whole.bytes < MOST);

  const state = `${folder}state`;
  const resumed = [...args, '--resume', state, '--resume-every', '0.1'];
  const killed = await run(resumed, (child) => {
    const watcher = watch(folder, (_, name) => {
      if (name !== 'state') return;
      watcher.close();
      child.kill('SIGKILL');
    });
  });
  check(`killed by ${killed.signal}`, killed.signal === 'SIGKILL');
  const count = Number(readFileSync(state).readBigUInt64LE(4) & 0xffffffffffffffn);
  check(`after ${count} elements`, count > 0 && count < n);
  const rest = await run(resumed);
  check(`and after the rest: ${rest.out}`, rest.out === whole.out && !existsSync(state));
} finally {
  rmSync(folder, { recursive: true });
}
