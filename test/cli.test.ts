// The command line: its readers give the numbers that other libraries wrote, and the built command, as a process
// of its own, gives the bits of one call over everything, however the data are cut and whatever kills it.
import { type ChildProcess, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseArguments, settingsOf } from '../cli/arguments.ts';
import { UsageError } from '../cli/errors.ts';
import { numberType } from '../cli/numbers.ts';
import { openColumn, placesOf } from '../cli/open.ts';
import { Series } from '../cli/series.ts';
import * as smooth from '../ts/index.ts';
import { bits } from './backends.ts';
import { root } from './pages.ts';

const FILES = `${root}test/files/`;
const folder = `${mkdtempSync(`${tmpdir()}/smooth-l1-`)}/`;
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => folder + name;

// As test/files/make.py makes them.
const I = Array.from({ length: 24 }, (_, i) => i);
const P = I.map((i) => ((i * 7) % 23) / 4 - 2);
const T = I.map((i) => ((i * 5) % 19) / 4 - 1);
const WHOLE = P.map((p) => Math.abs(Math.trunc(4 * p)));

/** All numbers of an argument, `step` at a time from number `start` on; missing ones are undefined. */
async function numbersOf(
  argument: string,
  { type = undefined as string | undefined, start = 0, step = 5, inOrder = true } = {},
): Promise<(number | undefined)[]> {
  const places = await placesOf(argument);
  const series = await Series.open('predictions', places, type ? numberType(type) : undefined);
  series.inOrder = inOrder;
  const found: (number | undefined)[] = [];
  try {
    expect(await series.skip(start)).toBe(start);
    for (;;) {
      const chunk = new Float32Array(step);
      const missing = new Set<number>();
      const n = await series.read(chunk, step, (i) => missing.add(i));
      for (let i = 0; i < n; i++) found.push(missing.has(i) ? undefined : chunk[i]);
      if (n < step) return found;
    }
  } finally {
    await series.close();
  }
}

describe('readers of files that other libraries wrote', () => {
  const files = readdirSync(FILES);
  const floats = files.filter((name) => /^p-(..-f|v|fortran)/.test(name));
  test.each(floats)('%s', async (name) => {
    expect(await numbersOf(FILES + name)).toEqual(P);
    expect(await numbersOf(FILES + name, { start: 17 })).toEqual(P.slice(17));
  });

  const whole = files.filter((name) => name.startsWith('p-int'));
  test.each(whole)('%s', async (name) => {
    expect(await numbersOf(FILES + name)).toEqual(WHOLE);
  });

  test('there are files of all types', () => {
    expect(floats).toHaveLength(10);
    expect(whole).toHaveLength(12);
  });

  const others: [argument: string, numbers: (number | undefined)[], type?: string][] = [
    ['mask.npy', I.map((i) => Number(i % 3 !== 0))],
    ['scalar.npy', [3]],
    ['empty.npy', []],
    ['p.bin', P, 'f4'],
    ['t.f8', T, '>f8'],
    ['stored.npz:p', P],
    ['stored.npz:t', T],
    ['deflated.npz:p', P],
    ['tensors.safetensors:p', P],
    ['tensors.safetensors:t', T],
    ['tensors.safetensors:p16', P],
    ['tensors.safetensors:n', I],
    ...['snappy.parquet', 'zstd.parquet', 'lz4.feather', 'zstd.feather', 'stream.arrow'].flatMap(
      (name): [string, (number | undefined)[]][] => [
        [`${name}:p`, P.map((p, i) => (i === 2 ? undefined : p))],
        [`${name}:t`, T.map((t, i) => (i === 4 ? undefined : t))],
        [`${name}:n`, I],
        [`${name}:half`, P],
      ],
    ),
    [
      'long.feather',
      Array.from({ length: 20_000 }, (_, i) => Math.fround(Math.sin(Math.floor(i / 50)))),
    ],
  ];
  test.each(others)('%s', async (argument, numbers, type) => {
    for (const start of [0, Math.floor(numbers.length / 3)]) {
      const found = await numbersOf(FILES + argument, { type, start, step: 7 });
      // NumPy's sine may differ in its last bit.
      if (argument === 'long.feather')
        for (const [i, x] of found.entries())
          expect(x).toBeCloseTo(numbers[start + i] as number, 6);
      expect(found).toHaveLength(numbers.length - start);
      if (argument !== 'long.feather') expect(found).toEqual(numbers.slice(start));
    }
  });

  test('Fortran order, as it lies', async () => {
    const columns = I.map((i) => P[(i % 6) * 4 + Math.floor(i / 6)]);
    expect(await numbersOf(`${FILES}p-fortran.npy`, { inOrder: false })).toEqual(columns);
  });

  test('several files, of several types, in the order of their names', async () => {
    const many = await numbersOf(`${FILES}p-?e-f*.npy`);
    expect(many).toEqual([...P, ...P, ...P, ...P, ...P, ...P]);
    expect(await numbersOf(`${FILES}p-?e-f*.npy`, { start: 100 })).toEqual(many.slice(100));
  });

  const wrong: [argument: string, message: string][] = [
    ['text.npy', 'numbers must be floats of 2, 4 or 8 bytes, integers or booleans, got <U1'],
    ['make.py', 'for raw numbers give --type'],
    ['stored.npz', 'say which array, as in FILE:NAME; there are p, t'],
    ['stored.npz:x', 'there is no array "x"; there are p, t'],
    ['tensors.safetensors:x', 'there is no tensor "x"; there are '],
    ['snappy.parquet:x', 'there is no column "x"; there are name, p, t, n, half'],
    ['snappy.parquet:name', 'row 1: "row 0" is no number'],
    ['lz4.feather', 'say which column'],
    ['stream.arrow:name', 'row 1: "row 0" is no number'],
    ['deflated.npz:t', 'Fortran order'],
    ['nothing.npy', 'ENOENT'],
    ['nothing-*.npy', 'no file fits this pattern'],
  ];
  test.each(wrong)(
    '%s: the error says what is wrong, and with which file',
    async (argument, message) => {
      const failure = await numbersOf(FILES + argument).catch((error) => error);
      expect(failure.message).toContain(message);
      expect(failure.message).toContain(FILES + argument.split(':')[0]);
    },
  );

  test('truncated files, and files of another format', async () => {
    const cut = (name: string, bytes: number): string => {
      const path = at(`cut-${bytes}-${name}`);
      writeFileSync(path, readFileSync(FILES + name).subarray(0, bytes));
      return path;
    };
    for (const [path, message] of [
      [
        cut('t.npy', 200),
        'truncated: it has 72 bytes of data, and 6 x 4 numbers of 4 bytes need 96',
      ],
      [cut('t.npy', 20), 'it ends in the header'],
      [`${cut('stream.arrow', 2000)}:p`, 'truncated'],
      [cut('tensors.safetensors', 100), 'no .safetensors file, or it is truncated'],
      [cut('stored.npz', 300), 'no .npz file'],
      [cut('snappy.parquet', 300), 'no .parquet file'],
    ] as const)
      await expect(numbersOf(path)).rejects.toThrow(message);
    writeFileSync(at('odd.bin'), new Uint8Array(10));
    await expect(numbersOf(at('odd.bin'), { type: 'f4' })).rejects.toThrow(
      '10 bytes are no whole numbers of 4 bytes',
    );
  });
});

describe('files that are not what they say', () => {
  const write = (name: string, ...parts: (string | Uint8Array)[]): string => {
    writeFileSync(at(name), Buffer.concat(parts.map((part) => Buffer.from(part as string))));
    return at(name);
  };

  test('numbers of 16 bytes are not those of 16 bits, and either quote is one of Python', async () => {
    const bytes = readFileSync(`${FILES}p-le-f4.npy`, 'latin1');
    const long = write('long.npy', Buffer.from(bytes.replace('<f4', '<f16'), 'latin1'));
    await expect(numbersOf(long)).rejects.toThrow('integers or booleans, got <f16');
    const quotes = write('quotes.npy', Buffer.from(bytes.replaceAll("'", '"'), 'latin1'));
    expect(await numbersOf(quotes)).toEqual(P);
  });

  test.each([
    'null',
    '{"a":{"dtype":"F32"}}',
    '{"a":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}}',
    '{"a":{"dtype":"F32","shape":[-1,-2],"data_offsets":[0,8]}}',
    '{"a":{"dtype":"F32","shape":"x","data_offsets":[0,4]}}',
  ])('safetensors with the header %s', async (header) => {
    const length = Buffer.alloc(8);
    length.writeUInt32LE(header.length);
    const path = write('lie.safetensors', length, header, Buffer.alloc(8));
    await expect(numbersOf(path)).rejects.toThrow(
      /lie\.safetensors.*(inconsistent|no JSON object)/,
    );
  });

  test('a message of Arrow that is noise, or longer than the file', async () => {
    const noise = Buffer.concat([Buffer.from('ARROW1\0\0'), Buffer.alloc(64, 255)]);
    noise.writeInt32LE(16, 12);
    await expect(numbersOf(write('noise.arrow', noise))).rejects.toThrow(/noise\.arrow.*broken/);
    noise.writeInt32LE(1 << 27, 12);
    await expect(numbersOf(write('noise.arrow', noise))).rejects.toThrow('truncated');
  });

  test('an array of .npz with a wrong bit', async () => {
    const bytes = readFileSync(`${FILES}stored.npz`);
    const place = bytes.indexOf('}') + 100;
    bytes.writeUInt8(bytes.readUInt8(place) ^ 1, place);
    await expect(numbersOf(`${write('flip.npz', bytes)}:p`)).rejects.toThrow('CRC-32');
  });

  test('a directory, and a device, which would have no numbers', async () => {
    mkdirSync(at('folder.csv'));
    await expect(numbersOf(at('folder.csv'))).rejects.toThrow('folder.csv: it is a directory');
    await expect(numbersOf('/dev/null', { type: 'f4' })).rejects.toThrow(
      '/dev/null: it is no regular file',
    );
  });
});

describe('CSV', () => {
  const read = async (text: string, part?: string) => {
    writeFileSync(at('x.csv'), text);
    return numbersOf(at('x.csv') + (part === undefined ? '' : `:${part}`), { step: 2 });
  };

  test('by name, by number, with and without a header, and whatever ends its lines', async () => {
    for (const end of ['\n', '\r\n', '\r'])
      for (const last of ['', end, end + end]) {
        const text = ['a,b', '1,2', '3,4', '5,6'].join(end) + last;
        expect(await read(text, 'a')).toEqual([1, 3, 5]);
        expect(await read(text, 'b')).toEqual([2, 4, 6]);
        expect(await read(text, '2')).toEqual([2, 4, 6]);
        expect(await read(['1', '2', '3'].join(end) + last)).toEqual([1, 2, 3]);
      }
    expect(await read('1;2\n3;4', '2')).toEqual([2, 4]);
    expect(await read('x\n1')).toEqual([1]);
    expect(await read('﻿"a ""b"", c"\tz\n"1\n2"\t-3', 'z')).toEqual([-3]);
    expect(await read('﻿"a ""b"", c"\tz\n 7 \t-3', 'a "b", c')).toEqual([7]);
  });

  test('each number is that which JavaScript reads, rounded to f32', async () => {
    const texts = [
      '0',
      '-0',
      '+1',
      '1.',
      '.5',
      '-.25',
      '1e3',
      '1E-3',
      '0.1',
      '123456789012345',
      '1234567890123456789',
      '0.30000000000000004',
      '1.000000059604644775390625',
      '4.9e-324',
      '1e39',
      '16777217',
      '00000000000000000012',
      '0.0000000000000000000000123',
      '99999999999999.9',
    ];
    const numbers = texts.map((text) => Math.fround(Number(text)));
    expect(bits(Float32Array.from((await read(`x\n${texts.join('\n')}`)) as number[]))).toBe(
      bits(Float32Array.from(numbers)),
    );
    expect(await read('x\nNaN\nnan\n-inf\nInfinity\n"2"')).toEqual([
      NaN,
      NaN,
      -Infinity,
      Infinity,
      2,
    ]);
  });

  test('what is missing', async () => {
    expect(await read('a,b\n1,\nNA,2\n"",null\n3,4', 'a')).toEqual([1, undefined, undefined, 3]);
    expect(await read('a,b\n1,\nNA,2\n"",null\n3,4', 'b')).toEqual([undefined, 2, undefined, 4]);
  });

  test('rows over the end of a block', async () => {
    const numbers = Array.from({ length: 250_000 }, (_, i) => i / 8);
    const rows = numbers.map((x, i) => (i % 7 ? `${x},"a\nb"` : `"${x}",`));
    writeFileSync(at('long.csv'), `x,y\r\n${rows.join('\r\n')}`);
    const found = await numbersOf(`${at('long.csv')}:x`, { step: 250_001 });
    expect(bits(Float32Array.from(found as number[]))).toBe(bits(Float32Array.from(numbers)));
  });

  const wrong: [text: string, part: string | undefined, message: string][] = [
    [
      'a,b\n1,2\n3,x\n',
      'b',
      'x.csv, row 3, column 2: "x" is no number; a missing value is empty, NA or null',
    ],
    ['a\n0x10', 'a', 'row 2, column 1: "0x10" is no number'],
    ['a\n.', 'a', 'row 2, column 1: "." is no number'],
    ['a\n+.', 'a', 'row 2, column 1: "+." is no number'],
    ['a\n-', 'a', 'row 2, column 1: "-" is no number'],
    ['a,b\n1,2\n3\n4,5', 'a', 'row 3: it has 1 columns, and the first row has 2'],
    ['a,b\n1,2,3', 'a', 'row 2: it has 3 columns, and the first row has 2'],
    ['a\n1\n\n2', 'a', 'row 3: the line is empty'],
    ['a\n"1', 'a', 'row 2, column 1: a quote is not closed'],
    ['a\n"1"2', 'a', 'row 2, column 1: there is text after a closing quote'],
    ['a,b\n1,2', undefined, 'say which column, as in FILE:NAME; there are a, b'],
    ['a,b\n1,2', 'c', 'there is no column "c"; there are a, b'],
    ['1,2', '3', 'there is no column "3"; there are 1, 2'],
    ['', undefined, 'there is no row in it'],
  ];
  test.each(wrong)('%j is wrong', async (text, part, message) => {
    await expect(read(text, part)).rejects.toThrow(message);
  });

  test('a place is a row of the file', async () => {
    writeFileSync(at('x.csv'), 'x\n1\n2');
    const column = await openColumn({ path: at('x.csv'), part: undefined }, undefined, true);
    expect(column.placeOf(1)).toBe(`${at('x.csv')}, row 3`);
    await column.close();
  });
});

describe('arguments', () => {
  const wrong: [args: string[], message: string][] = [
    [[], 'there must be 2 arguments, PREDICTIONS and TARGETS, got 0'],
    [['a', 'b', 'c'], 'got 3'],
    [['a', 'b', '--gamma'], "Unknown option '--gamma'"],
    [['a', 'b', '--beta', 'x'], '--beta must be a number from 0, got "x"'],
    [
      ['a', 'b', '--beta', '1', '--l1'],
      'give one of --beta, --sigma, --delta and --l1, got --beta and --l1',
    ],
    [['a', 'b', '--reduction', 'all'], '--reduction must be one of mean, sum, rows, got all'],
    [['a', 'b', '--divisor', 'x'], '--divisor must be one of elements, unmasked'],
    [['-', '-:1'], 'standard input (-) can be one of the files only'],
    [['a', 'b', '--type', 'f3'], '--type must be one of f2, f4'],
    [['a', 'b', '--grad', 'g'], '--grad must be a name that ends with .npy, got g'],
    [
      ['a', 'b', '--weights', '-:w', '--mask', '-'],
      'standard input (-) can be one of the files only',
    ],
    [['a', 'b', '--threads', '0'], '--threads must be an integer from 1, got 0'],
    [['a', 'b', '--divisor', 'weights'], '--divisor weights needs --weights'],
    [
      ['a', 'b', '--divisor', '2', '--reduction', 'sum'],
      '--divisor has a use only with --reduction mean, got sum',
    ],
    [
      ['a', 'b', '--resume', 'x', '--reduction', 'rows'],
      '--resume has no use with --reduction rows',
    ],
    [['a', '--sigma', '-1', 'b'], "'--sigma' argument is ambiguous"],
    [['a', '--sigma=-1', 'b'], '--sigma must be a number from 0, got "-1"'],
  ];
  test.each(wrong)('%j is wrong', (args, message) => {
    const call = () => {
      const { values, positionals } = parseArguments(args);
      settingsOf(values, positionals);
    };
    expect(call).toThrow(UsageError);
    expect(call).toThrow(message);
  });
});

interface Ended {
  code: number | null;
  out: string;
  err: string;
}

const children = new Set<ChildProcess>();
afterAll(() => {
  for (const child of children) child.kill('SIGKILL');
});

function start(...args: string[]): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(process.execPath, [`${root}dist/cli.js`, ...args], { cwd: folder });
  children.add(child);
  const texts = { out: '', err: '' };
  child.stdout.on('data', (text) => (texts.out += text));
  child.stderr.on('data', (text) => (texts.err += text));
  // One that was killed reads no more.
  child.stdin.on('error', () => {});
  const ended = new Promise<Ended>((resolve) =>
    child.on('close', (code) => {
      children.delete(child);
      resolve({ code, ...texts });
    }),
  );
  return { child, ended };
}

/** What the command prints, which has to be all that it says. */
async function output(...args: string[]): Promise<string> {
  const { child, ended } = start(...args);
  child.stdin?.end();
  const { code, out, err } = await ended;
  expect(err).toBe('');
  expect(code).toBe(0);
  return out;
}

describe('the command', () => {
  const N = 600_000;
  const values = (a: number): Float32Array =>
    Float32Array.from({ length: N }, (_, i) => Math.sin(a * i) * 10 ** (9 * Math.cos(i * i)));
  const [input, target] = [values(1), values(2)];
  const raw = (array: Float32Array): Buffer => Buffer.from(array.buffer);
  const wanted = (options: smooth.SmoothL1Options<'sum' | 'mean'> = {}): string =>
    `${smooth.smoothL1Loss(input, target, { ...options, sum: 'exact' })}\n`;

  beforeAll(() => {
    writeFileSync(at('p.f4'), raw(input));
    writeFileSync(at('t.f4'), raw(target));
    const cuts = [0, 1, 300_001, 300_001, N];
    for (let i = 0; i < 4; i++)
      writeFileSync(at(`t-${i}.f4`), raw(target.slice(cuts[i] as number, cuts[i + 1] as number)));
  });

  test('one number, the bits of one call, for one file, many, standard input and threads', async () => {
    const results = await Promise.all([
      output('p.f4', 't.f4', '--type', 'f4'),
      output('p.f4', 't-*.f4', '--type', 'f4', '--threads', '2'),
    ]);
    expect(results).toEqual([wanted(), wanted()]);
    const { child, ended } = start(
      'p.f4',
      '-',
      '--type',
      'f4',
      '--beta',
      '0.3',
      '--reduction',
      'sum',
    );
    child.stdin?.end(raw(target));
    expect(await ended).toEqual({ code: 0, out: wanted({ beta: 0.3, reduction: 'sum' }), err: '' });
  });

  test('parts that several processes made, merged in any order, are one call', async () => {
    const half = N / 2;
    for (const [i, [a, b]] of [
      [0, half],
      [half, N],
    ].entries()) {
      writeFileSync(at(`half-p${i}.f4`), raw(input.slice(a, b)));
      writeFileSync(at(`half-t${i}.f4`), raw(target.slice(a, b)));
    }
    await Promise.all(
      [0, 1].map((i) =>
        output(
          `half-p${i}.f4`,
          `half-t${i}.f4`,
          '--type',
          'f4',
          '--sigma',
          '3',
          '--partial',
          `part-${i}`,
        ),
      ),
    );
    expect(readFileSync(at('part-0'))).toHaveLength(128);
    const sigma = wanted({ sigma: 3 });
    expect(await output('merge', 'part-1', 'part-0', '--partial', 'all')).toBe(sigma);
    expect(JSON.parse(await output('merge', 'all', '--json'))).toEqual({
      loss: Number(sigma),
      elements: N,
    });
    const other = await start('merge', 'part-0', 'p.f4').ended;
    expect(other).toEqual({
      code: 1,
      out: '',
      err: 'smooth-l1: p.f4: bytes are of something else: they begin with 0, 0, not with 83, 76\n',
    });
  });

  test('kill -9 in the middle, then --resume: the same bits, of the gradient too', async () => {
    const args = [
      'p.f4',
      '-',
      '--type',
      'f4',
      '--reduction',
      'sum',
      '--grad',
      'grad.npy',
      '--resume',
      'state',
      '--resume-every',
      '0',
    ];
    const written = new Promise<void>((resolve) => {
      const watcher = watch(folder, (_, name) => {
        if (name !== 'state') return;
        watcher.close();
        resolve();
      });
    });
    const first = start(...args);
    // It waits for the rest, and so cannot end.
    first.child.stdin?.write(raw(target.slice(0, 550_000)));
    await written;
    first.child.kill('SIGKILL');
    await first.ended;
    const state = readFileSync(at('state'));
    const count = state.readUInt32LE(4);
    expect(count).toBeGreaterThan(0);
    expect(count).toBeLessThan(N);
    expect(existsSync(at('grad.npy'))).toBe(false);

    // Another loss, and other files, are refused.
    const huber = start(...args, '--delta', '1');
    huber.child.stdin?.end();
    expect(await huber.ended).toMatchObject({
      code: 1,
      err: expect.stringContaining('state: the losses differ in kind'),
    });
    const nan = start(...args, '--ignore-nan');
    nan.child.stdin?.end();
    expect(await nan.ended).toMatchObject({
      code: 1,
      err: expect.stringContaining('state: it is of another run: ignoreNaN differ'),
    });

    const type = start(...args, '--type', 'i4');
    type.child.stdin?.end();
    expect(await type.ended).toMatchObject({
      code: 1,
      err: expect.stringContaining('state: it is of another run: type differ'),
    });

    const second = start(...args);
    second.child.stdin?.end(raw(target));
    expect(await second.ended).toEqual({ code: 0, out: wanted({ reduction: 'sum' }), err: '' });
    expect(existsSync(at('state'))).toBe(false);
    const grad = readFileSync(at('grad.npy')).subarray(512);
    const gradient = smooth.smoothL1LossBackward(1, input, target, { reduction: 'sum' });
    expect(grad.equals(raw(gradient))).toBe(true);
  });

  test('gradients and losses are files that NumPy reads, in the shape and order of the predictions', async () => {
    const [p, t] = [Float32Array.from(P), Float32Array.from(T)];
    const files = ['--grad', 'g.npy', '--losses', 'l.npy'];
    const [x, y] = [`${FILES}p-fortran.npy`, `${FILES}t-fortran.npy`];
    expect(await output(x, y, '--delta', '0.5', ...files)).toBe(
      `${smooth.huberLoss(p, t, { delta: 0.5, sum: 'exact' })}\n`,
    );
    const grad = smooth.huberLossBackward(1, p, t, { delta: 0.5 });
    const losses = smooth.huberLoss(p, t, { delta: 0.5, reduction: 'none' });
    const header = readFileSync(at('g.npy')).toString('latin1', 0, 512);
    expect(header.slice(0, 10)).toBe('\x93NUMPY\x01\0\xf6\x01');
    expect(header.slice(10)).toMatch(
      /^\{'descr': '<f4', 'fortran_order': True, 'shape': \(6, 4\), \} *\n$/,
    );
    expect(await numbersOf(at('g.npy'))).toEqual([...grad]);
    expect(await numbersOf(at('l.npy'))).toEqual([...losses]);
    // Rows against columns.
    await output(x, `${FILES}t.npy`, '--l1', ...files);
    expect(await numbersOf(at('g.npy'))).toEqual([...smooth.l1LossBackward(1, p, t)]);
    expect(await numbersOf(at('l.npy'), { inOrder: false })).toEqual([
      ...smooth.l1Loss(p, t, { reduction: 'none' }),
    ]);
  });

  test('weights, masks, missing values and NaN, and what the mean divides by', async () => {
    const [p, t] = [Float32Array.from(P), Float32Array.from(T)];
    const weight = Float32Array.from(I, (i) => (i % 5) / 2);
    const mask = Uint8Array.from(I, (i) => Number(i % 3 !== 0));
    const files = [`${FILES}p-le-f2.npy`, `${FILES}t.npy`];
    expect(await output(...files, '--weights', `${FILES}weights.npy`, '--divisor', 'weights')).toBe(
      `${smooth.smoothL1Loss(p, t, { weight, divisor: 'weights', sum: 'exact' })}\n`,
    );
    // The divisor is not known before the end: the files are read twice.
    expect(await output(...files, '--mask', `${FILES}mask.npy`, '--grad', 'g.npy')).toBe(
      `${smooth.smoothL1Loss(p, t, { mask, divisor: 'unmasked', sum: 'exact' })}\n`,
    );
    expect(await numbersOf(at('g.npy'))).toEqual([
      ...smooth.smoothL1LossBackward(1, p, t, { mask, divisor: 'unmasked' }),
    ]);
    await output(
      ...[...files, '--weights', `${FILES}weights.npy`, '--mask', `${FILES}mask.npy`],
      ...['--divisor', 'weights', '--grad', 'g.npy'],
    );
    expect(await numbersOf(at('g.npy'))).toEqual([
      ...smooth.smoothL1LossBackward(1, p, t, { weight, mask, divisor: 'weights', sum: 'exact' }),
    ]);
    const there = Uint8Array.from(I, (i) => Number(i !== 2 && i !== 4));
    expect(await output(`${FILES}snappy.parquet:p`, `${FILES}lz4.feather:t`, '--json')).toBe(
      `{"loss":${smooth.smoothL1Loss(p, t, { mask: there, divisor: 'unmasked', sum: 'exact' })},"elements":24}\n`,
    );
    writeFileSync(at('nan.csv'), 'p,t\n1,0\n5,nan\n3,0');
    expect(await output('nan.csv:p', 'nan.csv:t', '--l1', '--ignore-nan')).toBe('2\n');
    expect(await output('nan.csv:p', 'nan.csv:t', '--json')).toBe('{"loss":"NaN","elements":3}\n');
  });

  test('a reader that has enough, and SIGTERM, leave no file that is not complete', async () => {
    const args = ['p.f4', '-', '--type', 'f4', '--grad', 'early.npy', '--reduction'];
    const written = new Promise<void>((resolve) => {
      const watcher = watch(folder, (_, name) => {
        if (name !== 'early.npy.part') return;
        watcher.close();
        resolve();
      });
    });
    const stopped = start(...args, 'sum');
    stopped.child.stdin?.write(raw(target.slice(0, 1000)));
    await written;
    stopped.child.kill('SIGTERM');
    await stopped.ended;
    expect(stopped.child.signalCode).toBe('SIGTERM');
    expect(readdirSync(folder).filter((name) => name.startsWith('early'))).toEqual([]);

    const closed = start(...args, 'rows', '--row-length', '1');
    closed.child.stdout?.destroy();
    closed.child.stdin?.end(raw(target));
    expect(await closed.ended).toMatchObject({
      code: 1,
      err: 'smooth-l1: standard output was closed in the middle, so there is no early.npy\n',
    });
    expect(readdirSync(folder).filter((name) => name.startsWith('early'))).toEqual([]);
  });

  test('sums of rows, as lines and as JSON', async () => {
    const [p, t] = [Float32Array.from(P), Float32Array.from(T)];
    const files = [`${FILES}p-fortran.npy`, `${FILES}t.npy`, '--reduction', 'rows'];
    const rows = (rowLength: number) => [
      ...smooth.smoothL1Loss(p, t, { reduction: 'rows', rowLength }),
    ];
    expect(await output(...files)).toBe(`${rows(4).join('\n')}\n`);
    expect(JSON.parse(await output(...files, '--row-length', '8', '--json'))).toEqual({
      losses: rows(8),
      elements: 24,
    });
  });

  const failures: [args: string[], code: number, message: string][] = [
    [['a', 'b', '--gamma'], 2, "Unknown option '--gamma'"],
    [['merge'], 2, 'merge: say which files'],
    [['p.f4', 't.f4'], 2, 'p.f4: the format is not known by the name'],
    [['p.f4', 'no.npy', '--type', 'f4'], 1, "ENOENT: no such file or directory, stat 'no.npy'"],
    ...[
      ['--grad', 'x.npy', '--losses', './x.npy'],
      ['--partial', 'x', '--resume', 'x'],
      ['--partial', 'p.f4'],
    ].map((args): [string[], number, string] => [
      ['p.f4', 't.f4', '--type', 'f4', ...args],
      2,
      'must be a file of its own',
    ]),
    [['p.f4', 't.f4', '--type', 'f4', '--partial', '.'], 2, '--partial must be a file, got .'],
    [['p.f4', 't.f4', '--type', 'f4', '--resume', 'no/x'], 1, "directory, access 'no'"],
    [['merge', 'part-0', 'part-*'], 2, 'part-0 is given twice'],
    [['merge', 'part-*', '--partial', 'part-1'], 2, 'part-1 is one of the files'],
    [['merge', '.'], 1, '.: EISDIR'],
    [
      ['p.f4', 't-2.f4', '--type', 'f4'],
      1,
      'the lengths differ: predictions have 600000 elements, targets 0',
    ],
    [
      [`${FILES}t.npy`, `${FILES}mask.npy`, '--weights', `${FILES}scalar.npy`],
      1,
      'the shapes differ',
    ],
    [
      ['p.f4', 'nan.csv:p', '--type', 'f4'],
      1,
      'the lengths differ: targets have 3 elements, predictions more',
    ],
  ];
  test('each failure has its exit code, says what is wrong, and prints and writes nothing', async () => {
    for (let i = 0; i < failures.length; i += 4)
      await Promise.all(
        failures.slice(i, i + 4).map(async ([args, code, message]) => {
          const { child, ended } = start(...args);
          child.stdin?.end();
          const result = await ended;
          expect(result.err).toContain(message);
          expect(result.err).toMatch(/^smooth-l1: /);
          expect([result.code, result.out]).toEqual([code, '']);
        }),
      );
    const outputs = ['--losses', 'none.npy', '--partial', 'none'];
    expect((await start('p.f4', 'nan.csv:p', '--type', 'f4', ...outputs).ended).code).toBe(1);
    expect(readdirSync(folder).filter((name) => name.startsWith('none'))).toEqual([]);
  });
});
