// Numbers side by side: what they should be, and what the package makes of them.

export interface Row {
  readonly name: string;
  readonly expected: number;
  /** How the expected number is written where it comes from. */
  readonly written?: string;
  readonly ours: number;
}

/** Relative to the number: a dozen roundings to f32, each of them by up to 2^-24. */
export const ROUNDING = 12 * 2 ** -24;

/** The difference relative to the expected number; infinite from 0, and if there is a NaN. */
export function difference(expected: number, ours: number): number {
  if (ours === expected) return 0;
  const relative = Math.abs(ours - expected) / Math.abs(expected);
  return Number.isNaN(relative) ? Infinity : relative;
}

/** A row for many numbers: that of them which is furthest off. */
export function worst(name: string, expected: ArrayLike<number>, ours: ArrayLike<number>): Row {
  let furthest = { expected: 0, ours: 0 };
  for (let i = 0; i < expected.length; i++) {
    const pair = { expected: expected[i] ?? NaN, ours: ours[i] ?? NaN };
    if (difference(pair.expected, pair.ours) > difference(furthest.expected, furthest.ours))
      furthest = pair;
  }
  return { name: `${name}, worst of ${expected.length}`, ...furthest };
}

/** Prints the rows. If one of them is off by more than rounding, the program will fail. */
export function compare(title: string, source: string, rows: readonly Row[]): void {
  const width = Math.max(...rows.map(({ name }) => name.length));
  const print = (name: string, ...cells: readonly string[]): void => {
    console.log(`  ${name.padEnd(width)}${cells.map((cell) => cell.padStart(17)).join('')}`);
  };
  console.log(title);
  print('', source, 'smooth-l1', 'difference');
  for (const { name, expected, written = digits(expected), ours } of rows) {
    const off = difference(expected, ours);
    print(name, written, digits(ours), off > ROUNDING ? 'WRONG' : off.toExponential(0));
    if (off > ROUNDING) process.exitCode = 1;
  }
  console.log();
}

function digits(number: number): string {
  return String(Number(number.toPrecision(9)));
}
