// The built site in real browsers: every control, its numbers beside the library's, and its manners.
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { tableFromArrays, tableToIPC } from '@uwdata/flechette';
import axe from 'axe-core';
import { parquetWriteBuffer } from 'hyparquet-writer';
import type { Browser, Page } from 'playwright-core';
import * as smooth from 'smooth-l1';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { published } from '../../test/engines/published.ts';
import { npy as npyColumn } from '../src/columns.ts';
import { digits } from '../src/dom.ts';
import { built, kinds, type Server, serve, type Visit, visit } from './browsers.ts';
import { file, npy } from './files.ts';

const root = new URL('../../', import.meta.url);
const SHOTS = new URL('target/screenshots/', root);
mkdirSync(SHOTS, { recursive: true });

let isolated: Server;
let plain: Server;
beforeAll(async () => {
  [isolated, plain] = await Promise.all([serve(true), serve(false)]);
});
afterAll(() => Promise.all([isolated, plain].map((server) => server.close())));

/** The sum of the losses of test/files, which all have the same numbers, and two that are missing. */
const P = Array.from({ length: 24 }, (_, i) => ((i * 7) % 23) / 4 - 2);
const T = Array.from({ length: 24 }, (_, i) => ((i * 5) % 19) / 4 - 1);
const present = (values: number[]): number[] => values.filter((_, i) => i !== 2 && i !== 4);
const DROPPED = String(
  smooth.smoothL1Loss(Float32Array.from(present(P)), Float32Array.from(present(T)), {
    reduction: 'sum',
  }),
);

const PARTS = ['see', 'try', 'measure', 'check', 'file'];

/** Brings a part into sight and waits until its controls work. */
async function startPart(page: Page, part: string): Promise<void> {
  await page.evaluate(
    (id) => document.getElementById(id)!.scrollIntoView({ behavior: 'instant' }),
    part,
  );
  await page.locator(`#${part}[data-started]`).waitFor();
}

const firstNumber = (page: Page) =>
  page.locator('#first[data-state=done], #first[data-state=failed]').waitFor();
const cells = (page: Page, selector: string): Promise<string[]> =>
  page.locator(selector).allInnerTexts();
const text = async (page: Page, selector: string): Promise<string> =>
  (await cells(page, selector)).join();

/** What the clipboard has: pasted by its keys, since not every browser lets a page read it. */
async function pasted(page: Page): Promise<string> {
  await page.evaluate(() => {
    const field = Object.assign(document.createElement('textarea'), { id: 'pasted' });
    document.body.append(field);
    field.focus({ preventScroll: true });
  });
  await page.keyboard.press('ControlOrMeta+v');
  const value = await page.locator('#pasted').inputValue();
  await page.locator('#pasted').evaluate((field) => field.remove());
  return value;
}

/** What axe finds on a page: the rule, and where. */
async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  return page.evaluate(async () => {
    // VitePress's own search has faults of its theme.
    const exclude = ['.DocSearch', '.VPLocalSearchBox'];
    const { violations } = await (globalThis as never as { axe: typeof axe }).axe.run({ exclude });
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target).join()}`);
  });
}

/** Moves a slider as a hand does, to a value of its scale. */
const slide = (page: Page, id: string, value: number): Promise<void> =>
  page.locator(`#${id}`).fill(String(value));

test('each link of the documentation leads to a page of it, each page has what it asks for', () => {
  const folder = new URL('docs/', `file://${built}`);
  const names = readdirSync(folder).filter((name) => name.endsWith('.html'));
  expect(names.length).toBeGreaterThan(18);
  for (const name of names.filter((name) => name !== '404.html')) {
    const page = readFileSync(new URL(name, folder), 'utf8');
    const links = [...page.matchAll(/(?:href|src)="(?!https?:|#|data:)([^"#]+)/g)];
    expect(links.length).toBeGreaterThan(10);
    for (const [, link = ''] of links) {
      const target = new URL(link === './' ? 'index.html' : link, new URL(name, folder));
      expect(existsSync(target), `${name} links to ${link}`).toBe(true);
    }
  }
});

const arrays = readdirSync(new URL('test/files/', root)).filter((name) =>
  /^p-(..-f\d|v\d|int-\S+)\.npy$/.test(name),
);
test.each(arrays)('%s, as NumPy wrote it, has its numbers', async (name) => {
  const bytes = readFileSync(new URL(`test/files/${name}`, root));
  const wanted = name.includes('int') ? P.map((p) => Math.abs(Math.trunc(4 * p))) : P;
  const column = npyColumn(name, Uint8Array.from(bytes).buffer);
  expect([...(await column.read())]).toEqual(wanted);
});

describe.each(kinds)('$name', ({ program, launch }) => {
  describe.skipIf(!program)('that is here', () => {
    let browser: Browser;
    let opened: Visit;
    beforeAll(async () => {
      browser = await launch();
      opened = await visit(browser, isolated.address);
    });
    afterAll(() => browser?.close());

    test('the first number comes from at most 120 KB, and its answer was checked', async () => {
      const { page } = opened;
      await firstNumber(page);
      expect(await text(page, '#first-note')).toContain('Checked: the loss');
      const ratio = Number(await text(page, '#first-ratio'));
      expect(ratio).toBeGreaterThan(0);
      const times = await cells(page, '#first dd');
      for (const time of times) expect(time).toMatch(/^[\d.]+ (ns|µs|ms)/);

      const [paths, milliseconds] = await page.evaluate(() => {
        const [mark] = performance.getEntriesByName('first number');
        const before = performance
          .getEntriesByType('resource')
          .filter(({ startTime }) => startTime <= mark!.startTime);
        return [before.map(({ name }) => name), mark!.startTime] as const;
      });
      const files = paths
        .filter((path) => path.startsWith(isolated.address))
        .map((path) => path.slice(isolated.address.length));
      const bytes = ['index.html', ...new Set(files)].map(
        (path) => gzipSync(readFileSync(built + path)).length,
      );
      const all = bytes.reduce((sum, size) => sum + size, 0);
      console.log(
        `  ${bytes.length} files, ${all} bytes gzipped; the number after ${milliseconds.toFixed(0)} ms`,
      );
      expect(all).toBeLessThan(120 * 1024);
      expect(all).toBeGreaterThan(45_000);
    });

    test('the example prints what the README says', async () => {
      const { page } = opened;
      const readme = readFileSync(new URL('README.md', root), 'utf8');
      const [, example = ''] = /^```ts\n([\s\S]*?)^```/m.exec(readme) ?? [];
      const wanted = [...example.matchAll(/console\.log\(.*\); \/\/ (.*)$/gm)].map(
        ([, out]) => out,
      );
      expect(wanted.length).toBeGreaterThan(1);
      expect(await cells(page, '.example output')).toEqual(wanted);
    });

    test('the curves: values at each place of the sliders are those of the library', async () => {
      const { page } = opened;
      await startPart(page, 'see');
      const wanted = (d: number, beta: number, delta: number): string[][] => {
        const [x, zero] = [Float32Array.of(d), new Float32Array(1)];
        const sum = { reduction: 'sum' } as const;
        return [
          [
            smooth.smoothL1Loss(x, zero, { beta, ...sum }),
            smooth.smoothL1LossBackward(1, x, zero, { beta, ...sum })[0]!,
            smooth.smoothL1LossHessian(x, zero, { beta, ...sum })[0]!,
          ],
          [
            smooth.huberLoss(x, zero, { delta, ...sum }),
            smooth.huberLossBackward(1, x, zero, { delta, ...sum })[0]!,
            smooth.huberLossHessian(x, zero, { delta, ...sum })[0]!,
          ],
          [Math.abs(d), Math.sign(d), 0].map(Math.fround),
          [Math.fround(Math.fround(d) ** 2 / 2), Math.fround(d), 1],
        ].map((numbers) => numbers.map(digits));
      };
      const shown = async (): Promise<string[][]> => {
        const all = await cells(page, '#values td');
        return [0, 3, 6, 9].map((at) => all.slice(at, at + 3));
      };
      expect(await shown()).toEqual(wanted(0.75, 1, 0.5));
      await slide(page, 'residual', -0.3);
      expect(await shown()).toEqual(wanted(-0.3, 1, 0.5));
      await slide(page, 'delta', 0.2);
      expect(await shown()).toEqual(wanted(-0.3, 1, 0.2));
      await slide(page, 'sigma', 2);
      expect(await shown()).toEqual(wanted(-0.3, 0.25, 0.2));
      expect(await text(page, '#beta-of-sigma')).toBe('beta = 1 / sigma² = 1 / 2² = 0.25');
      await slide(page, 'beta', 1);
      expect(await text(page, '#sigma-value')).toBe('0.707');
      expect(await shown()).toEqual(wanted(-0.3, 2, 0.2));

      // A hand on a plot reads the values there.
      const over = page.locator('#plot-loss .u-over');
      const { width, height } = (await over.boundingBox())!;
      await over.hover({ position: { x: width * 0.625, y: height / 2 } });
      await expect.poll(() => text(page, '#residual-value')).toMatch(/^0\.(49|50|51)$/);
    });

    test('two vectors: sums and distances are those of the library, and errors say what is wrong', async () => {
      const { page } = opened;
      const [p, q] = [Float32Array.of(1, 2, 3), Float32Array.of(1.1, 2, 3.3)];
      await slide(page, 'sigma', 2);
      const wanted = [1, 3, 2].flatMap((sigma) => [
        digits(smooth.smoothL1Loss(p, q, { sigma, reduction: 'sum' })),
        [...smooth.smoothL1LossBackward(1, p, q, { sigma, reduction: 'sum' })]
          .map(digits)
          .join(', '),
        digits(smooth.smoothL1OfDistance(p, q, { sigma })),
        [...smooth.smoothL1OfDistanceBackward(1, p, q, { sigma })].map(digits).join(', '),
      ]);
      expect(await cells(page, '#vectors td')).toEqual(wanted);
      expect(await text(page, '#distance')).toContain('is 0.4.');
      await page.locator('#q').fill('1.1, 2');
      expect(await text(page, '#vectors-error')).toContain('p has 3 numbers and q has 2');
      expect(await cells(page, '#vectors td')).toEqual([]);
      await page.locator('#q').fill('1.1, two, 3.3');
      expect(await text(page, '#vectors-error')).toContain('“two”, which is not a number');
      await page.locator('#q').fill('1.1 2 3.3');
      expect(await cells(page, '#vectors td')).toEqual(wanted);
    });

    test('the fit: lines are the best there are, and points move by hand and by key', async () => {
      const { page } = opened;
      await startPart(page, 'try');
      const points = async (): Promise<[number, number][]> => {
        const labels = await page
          .locator('#plane .point')
          .evaluateAll((all) => all.map((point) => point.getAttribute('transform') ?? ''));
        return labels.map((label) => {
          const [x = NaN, y = NaN] = label.match(/[\d.-]+/g)!.map(Number);
          return [x / 64, 6.25 - y / 64];
        });
      };
      const lines = async (): Promise<number[][]> =>
        (await cells(page, '#lines td:nth-child(2)')).map((equation) => {
          const [, level, sign, slope] = /y = (\S+) ([+−]) (\S+) x/.exec(equation)!;
          return [Number(level!.replace('−', '-')), Number(slope) * (sign === '+' ? 1 : -1)];
        });
      const meanLoss = (all: [number, number][], [a, b]: number[], beta: number): number =>
        smooth.smoothL1Loss(
          Float32Array.from(all, ([x]) => a! + b! * x),
          Float32Array.from(all, ([, y]) => y),
          { beta },
        );
      const mustBeBest = async (beta: number): Promise<void> => {
        const all = await points();
        const [robust, ofL1, ofSquares] = await lines();
        for (const [line, threshold] of [
          [robust, beta],
          [ofL1, 0],
          [ofSquares, 1e6],
        ] as const) {
          const own = meanLoss(all, line!, threshold);
          // The equation is shown with three digits.
          for (const [da, db] of [
            [0.05, 0],
            [-0.05, 0],
            [0, 0.02],
            [0, -0.02],
          ] as const)
            expect(meanLoss(all, [line![0]! + da, line![1]! + db], threshold)).toBeGreaterThan(own);
        }
      };
      await mustBeBest(0.5);
      const before = await lines();
      await slide(page, 'fit-beta', 0.1);
      await mustBeBest(0.1);

      const first = page.locator('#plane .point').first();
      const [[x, y]] = (await points()) as [[number, number]];
      await first.focus();
      await page.keyboard.press('ArrowUp');
      await page.keyboard.press('Shift+ArrowRight');
      const [[movedX, movedY]] = (await points()) as [[number, number]];
      expect([movedX - x, movedY - y].map((step) => Number(step.toFixed(3)))).toEqual([0.5, 0.1]);
      await mustBeBest(0.1);
      await page.keyboard.press('Delete');
      expect(await points()).toHaveLength(17);
      await page.locator('#fit-add').click();
      expect(await points()).toHaveLength(18);

      await page.locator('#plane').scrollIntoViewIfNeeded();
      const box = (await page.locator('#plane .point').last().boundingBox())!;
      await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
      await page.mouse.down();
      await page.mouse.move(box.x + box.width / 2 + 60, box.y + box.height / 2 + 90, { steps: 4 });
      await page.mouse.up();
      const [dragX = 0, dragY = 0] = (await points()).at(-1)!;
      expect(dragX).toBeGreaterThan(5.5);
      expect(dragY).toBeLessThan(5);
      await mustBeBest(0.1);
      await page.locator('#fit-reset').click();
      await slide(page, 'fit-beta', 0.5);
      expect(await lines()).toEqual(before);
    });

    test('measures: threads, 16 bits and TensorFlow.js; it can be stopped', async () => {
      const { page } = opened;
      await startPart(page, 'measure');
      expect(await text(page, '#threads-note')).toMatch(/^Threads are on/);
      await page.locator('#threads').selectOption('2');
      await page.locator('#largest').selectOption('20');
      await page.locator('#measure-start').click();
      await page.locator('#measure-stop').click();
      expect(await text(page, '#measure-status')).toContain('Stopped');
      await page.locator('#largest').selectOption('10');
      await page.locator('#tensorflow').check();
      await page.locator('#measure-start').click();
      expect(await page.locator('#measure-start').isDisabled()).toBe(true);
      await page.locator('#measure-start:not([disabled])').waitFor();
      expect(await text(page, '#measure-status')).toBe('Measured.');
      const names = await cells(page, '#results table:has(caption:text-is("Loss")) th[scope=row]');
      expect(names).toEqual([
        'naive JavaScript',
        'branch-free JavaScript',
        'smooth-l1',
        'smooth-l1, inputs of 16 bits',
        'TF.js 4.22.0, wasm',
        'smooth-l1, 2 threads',
      ]);
      expect(await page.locator('#results tbody tr').count()).toBe(3 + 6 + 5 + 6);
      const speeds = await cells(page, '#results td:nth-child(2)');
      expect(speeds.filter((speed) => speed.trim() === '1.00×')).toHaveLength(3);
      for (const speed of speeds) expect(Number.parseFloat(speed)).toBeGreaterThan(0);
    });

    test('the check: vectors and hashes are the published ones; the report has all of it', async () => {
      const { page } = opened;
      await startPart(page, 'check');
      await page.locator('#check-start').click();
      await page.locator('#check-start:not([disabled])').waitFor();
      expect(await text(page, '#check-status')).toMatch(/^All is right/);
      const { elementwise, sums } = published();
      const right = (hash: string): string => `${hash} ✓`;
      const found = await cells(page, '#checks td');
      expect(found).toEqual([
        '381 of 381 right ✓',
        right(elementwise),
        right(sums),
        '2',
        '381 of 381 right ✓',
        right(elementwise),
        right(sums),
        '1',
      ]);
      expect(await cells(page, '#checks th[scope=row]')).toEqual(['wasm-shared', 'js']);

      await page.locator('summary').click();
      await expect.poll(() => page.locator('#report').inputValue()).toContain('```json');
      const report = await page.locator('#report').inputValue();
      const json = JSON.parse(/```json\n(.*)\n```/.exec(report)![1]!);
      expect(json.device).toMatchObject({ isolated: true });
      expect(json.checks).toHaveLength(2);
      expect(json.measured).toHaveLength(17);
      expect(report).toContain(`| wasm-shared | 381 | ${elementwise} | ${sums} | 2 | right |`);
      expect(report).toContain(`## smooth-l1 ${json.package} on this device`);
      const measured = report.match(/^\| (forward|backward|fused) \| 1024 \|.*/gm);
      expect(measured).toHaveLength(17);
      await page.locator('#report-copy').click();
      await page.locator('#report-status', { hasText: 'Copied.' }).waitFor();
      expect(await pasted(page)).toBe(report);
    });

    test('the command that installs it is copied', async () => {
      const { page } = opened;
      await page.locator('#copy-command').click();
      await page.locator('#copy-command', { hasText: 'Copied' }).waitFor();
      expect(await pasted(page)).toBe('npm install smooth-l1');
    });

    test('files: numbers are the exact ones of the library, from .npy, .parquet and .arrow', async () => {
      const { page } = opened;
      await startPart(page, 'file');
      const x = Float32Array.from({ length: 5000 }, (_, i) => Math.sin(i) * 3);
      const y = Float64Array.from({ length: 5000 }, (_, i) => Math.cos(2 * i));
      x[17] = NaN;
      const field = page.locator('#files');
      // As a hand does: Firefox's driver adds to a field of numbers where it should fill it.
      const threshold = async (value: string): Promise<void> => {
        await page.locator('#file-threshold').press('ControlOrMeta+a');
        await page.keyboard.type(value);
      };
      const wanted = (loss: (a: Float32Array, b: Float32Array) => number): string => {
        const present = [...x.keys()].filter((i) => i !== 17);
        return String(
          loss(
            Float32Array.from(present, (i) => x[i]!),
            Float32Array.from(present, (i) => y[i]!),
          ),
        );
      };
      const exact = { reduction: 'sum', sum: 'exact' } as const;
      const sumIs = (sum: string): Promise<void> =>
        page
          .locator('#statistics tr:nth-child(3) td', { hasText: new RegExp(`^${sum}$`) })
          .waitFor();
      const smoothL1 = wanted((a, b) => smooth.smoothL1Loss(a, b, exact));

      await field.setInputFiles([file('x.npy', npy(x)), file('y.npy', npy(y))]);
      await sumIs(smoothL1);
      const [rows, leftOut] = await cells(page, '#statistics td');
      expect([rows, leftOut]).toEqual(['4,999', '1']);
      await page.locator('#file-loss').selectOption('huber');
      await threshold('0.3');
      await sumIs(wanted((a, b) => smooth.huberLoss(a, b, { ...exact, delta: 0.3 })));
      await page.locator('#file-loss').selectOption('l1');
      await sumIs(wanted((a, b) => smooth.l1Loss(a, b, exact)));
      await page.locator('#file-loss').selectOption('square');
      await sumIs(wanted((a, b) => smooth.huberLoss(a, b, { ...exact, delta: Infinity })));
      await page.locator('#file-loss').selectOption('smoothL1');
      await threshold('1');
      await sumIs(smoothL1);

      const columnData = [
        { name: 'names', data: Array.from(x, String), type: 'STRING' as const },
        { name: 'truth', data: y, type: 'DOUBLE' as const },
        {
          name: 'guess',
          data: Array.from(x, (v) => (Number.isNaN(v) ? null : v)),
          type: 'FLOAT' as const,
          nullable: true,
        },
      ];
      await field.setInputFiles([file('table.parquet', parquetWriteBuffer({ columnData }))]);
      await page
        .locator('#input-column option', { hasText: 'guess' })
        .waitFor({ state: 'attached' });
      expect(await cells(page, '#input-column option')).toEqual(['truth', 'guess']);
      await page.locator('#input-column').selectOption('1');
      await page.locator('#target-column').selectOption('0');
      await sumIs(smoothL1);
      await page.locator('#file-status', { hasText: 'guess beside truth' }).waitFor();

      const table = tableFromArrays({
        guess: Array.from(x, (v) => (Number.isNaN(v) ? null : v)),
        truth: y,
      });
      await field.setInputFiles([file('table.arrow', tableToIPC(table, { format: 'file' })!)]);
      await page.locator('#file-status', { hasText: 'guess beside truth' }).waitFor();
      await sumIs(smoothL1);

      await page.locator('#file-example').click();
      await page.locator('#statistics td', { hasText: /^100,000$/ }).waitFor();
      expect(await page.locator('#histogram canvas').isVisible()).toBe(true);
    });

    test.each(['lz4.feather', 'zstd.feather', 'stream.arrow', 'zstd.parquet', 'snappy.parquet'])(
      'files: %s, as other programs write it, dropped by hand',
      async (name) => {
        const { page } = opened;
        await startPart(page, 'file');
        const bytes = readFileSync(new URL(`test/files/${name}`, root)).toString('base64');
        const transfer = await page.evaluateHandle(
          ([name, bytes]) => {
            const transfer = new DataTransfer();
            const content = Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0));
            transfer.items.add(new File([content], name));
            return transfer;
          },
          [name, bytes] as const,
        );
        const drop = page.locator('#drop');
        await drop.dispatchEvent('dragover', { dataTransfer: transfer });
        expect(await drop.getAttribute('class')).toBe('drop over');
        await drop.dispatchEvent('drop', { dataTransfer: transfer });
        expect(await drop.getAttribute('class')).toBe('drop');
        await page.locator('#input-column option').first().waitFor({ state: 'attached' });
        await page.locator('#input-column').selectOption({ label: 'p' });
        await page.locator('#target-column').selectOption({ label: 't' });
        await page.locator('#file-status', { hasText: 'p beside t' }).waitFor();
        expect((await cells(page, '#statistics td')).slice(0, 3)).toEqual(['22', '2', DROPPED]);
      },
    );

    const five = Float32Array.of(1, 2, 3, 4, 5);
    test.each([
      [
        'a text',
        [file('notes.npy', Buffer.from('just a text'))],
        'does not begin as a .npy file does',
      ],
      [
        'a .npy that is cut off',
        [file('cut.npy', npy(five).subarray(0, 140)), file('x.npy', npy(five))],
        'should have 5 numbers, 20 bytes, but has 12 bytes',
      ],
      [
        'records',
        [
          file(
            'r.npy',
            npy(five, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (5,), }"),
          ),
        ],
        'no plain array',
      ],
      [
        'complex numbers',
        [file('c.npy', npy(five, "{'descr': '<c8', 'fortran_order': False, 'shape': (5,), }"))],
        '“<c8”: give floats or integers',
      ],
      [
        'two lengths',
        [file('a.npy', npy(five)), file('b.npy', npy(five.slice(1)))],
        'a.npy has 5 numbers, b.npy has 4',
      ],
      [
        'no Parquet',
        [file('x.parquet', Buffer.alloc(100, 7))],
        'x.parquet cannot be read as Parquet',
      ],
      ['no Arrow', [file('x.arrow', Buffer.alloc(100, 7))], 'x.arrow cannot be read as Arrow'],
      ['a picture', [file('x.png', Buffer.alloc(10))], 'x.png is no .npy, .parquet or .arrow file'],
      [
        'two kinds',
        [file('x.npy', npy(five)), file('x.arrow', Buffer.alloc(10))],
        'files of different kinds',
      ],
    ])('files: %s gets a clear message', async (_, files, message) => {
      const { page } = opened;
      await page.locator('#files').setInputFiles(files);
      await page.locator('#file-error', { hasText: message }).waitFor();
      expect(await cells(page, '#statistics td')).toEqual([]);
    });

    test.each(['light', 'dark'])('nothing for axe to find, in %s colours', async (theme) => {
      const { page } = opened;
      const isDark = (await page.locator('html').getAttribute('data-theme')) === 'dark';
      if (isDark !== (theme === 'dark')) await page.locator('#theme').click();
      await page.locator('#file-example').click();
      await page.locator('#statistics td', { hasText: /^100,000$/ }).waitFor();
      expect(await violations(page)).toEqual([]);
      for (const part of ['main', ...PARTS]) {
        await page.evaluate(
          (id) => document.getElementById(id)!.scrollIntoView({ behavior: 'instant' }),
          part,
        );
        const path = new URL(`${browser.browserType().name()}-${part}-${theme}.png`, SHOTS);
        await page.screenshot({ path: path.pathname });
      }
    });

    test('by keyboard: the first stop skips to the content', async () => {
      await using fresh = await visit(browser, isolated.address);
      await fresh.page.keyboard.press('Tab');
      expect(await fresh.page.evaluate(() => document.activeElement?.className)).toBe('skip');
      await fresh.page.keyboard.press('Enter');
      expect(fresh.page.url()).toMatch(/#main$/);
    });

    test('a phone: nothing is wider than the screen, nothing moves by itself', async () => {
      await using phone = await visit(browser, isolated.address, {
        viewport: { width: 360, height: 740 },
      });
      const { page } = phone;
      await page.evaluate(() => {
        const shifts: number[] = [];
        Object.assign(globalThis, { shifts });
        if (PerformanceObserver.supportedEntryTypes.includes('layout-shift'))
          new PerformanceObserver((list) => {
            for (const entry of list.getEntries())
              shifts.push((entry as never as { value: number }).value);
          }).observe({ type: 'layout-shift', buffered: true });
      });
      await firstNumber(page);
      for (const part of PARTS) {
        await startPart(page, part);
        const width = await page.evaluate(() => document.documentElement.scrollWidth);
        expect(width, part).toBeLessThanOrEqual(360);
      }
      const shifts = await page.evaluate(
        () => (globalThis as never as { shifts: number[] }).shifts,
      );
      expect(shifts.reduce((sum, shift) => sum + shift, 0)).toBeLessThan(0.01);
      for (const part of ['main', ...PARTS]) {
        await page.evaluate(
          (id) => document.getElementById(id)!.scrollIntoView({ behavior: 'instant' }),
          part,
        );
        const path = new URL(`${browser.browserType().name()}-${part}-phone.png`, SHOTS);
        await page.screenshot({ path: path.pathname });
      }
      expect(phone.complaints).toEqual([]);
    });

    test('a host without the headers: one thread, the page says why, and all else works', async () => {
      await using other = await visit(browser, plain.address);
      const { page } = other;
      await firstNumber(page);
      expect(await text(page, '#first-note')).toContain('Checked: the loss');
      await startPart(page, 'measure');
      expect(await text(page, '#threads-note')).toMatch(
        /^Threads are off: .*Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp/,
      );
      expect(await text(page, '#host-note')).toContain('on one thread');
      expect(await page.locator('#threads').isDisabled()).toBe(true);
      await page.locator('#largest').selectOption('10');
      await page.locator('#measure-start').click();
      await page.locator('#measure-start:not([disabled])').waitFor();
      expect(await page.locator('#results tbody tr').count()).toBe(3 + 3 * 4);
      await startPart(page, 'file');
      await page.locator('#file-example').click();
      await page.locator('#statistics td', { hasText: /^100,000$/ }).waitFor();
      expect(other.complaints).toEqual([]);
    });

    test('the documentation: pages, drawings, anchors, search, and the way back', async () => {
      await using docs = await visit(
        browser,
        `${isolated.address}docs/index.html`,
        {},
        isolated.address,
      );
      const { page } = docs;
      await page.getByRole('link', { name: 'Sums', exact: true }).first().click();
      await page.waitForURL(/\/some\/where\/docs\/sums\.html$/);
      await page.locator('pre.mermaid svg').first().waitFor();
      expect(await violations(page)).toEqual([]);
      await page.getByRole('link', { name: 'smooth-l1', exact: true }).last().click();
      await page.waitForURL(/\/docs\/api\.html$/);
      await page.locator('#lossaccumulator').waitFor();
      expect(await violations(page)).toEqual([]);
      const dangling = await page
        .locator('.vp-doc a[href^="#"]')
        .evaluateAll((links) =>
          links
            .map((link) => decodeURIComponent((link as HTMLAnchorElement).hash.slice(1)))
            .filter((id) => !document.getElementById(id)),
        );
      expect(dangling).toEqual([]);
      await page.locator('.VPNavBarSearch button').click();
      await page.locator('#localsearch-input').fill('insideWeights');
      const hit = page.locator('#localsearch-list a').first();
      await hit.waitFor();
      expect(await hit.evaluate((link) => (link as HTMLAnchorElement).pathname)).toMatch(
        /^\/some\/where\/docs\/[\w-]+\.html$/,
      );
      await page.keyboard.press('Escape');
      await page.getByRole('link', { name: 'Try it' }).first().click();
      await page.waitForURL(/\/some\/where\/index\.html$/);
      expect(docs.complaints).toEqual([]);
    });

    test('no complaint on the console, and no request to any other host', () => {
      expect(opened.complaints).toEqual([]);
    });
  });
});
