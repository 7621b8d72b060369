// The arguments of the command line.
import { parseArgs } from 'node:util';
import { UsageError } from './errors.ts';
import { numberType, TYPE_NAMES } from './numbers.ts';
import type { Settings } from './run.ts';

export const HELP = `Usage: smooth-l1 PREDICTIONS TARGETS [options]
       smooth-l1 merge FILE... [--json] [--partial FILE]

The smooth L1, Huber or L1 loss of files: exact, in any cut and order, in little memory.

Files: .npy, .npz, .safetensors, .parquet, .arrow, .feather, .csv, .tsv; others are raw numbers
(--type); - is standard input. FILE:NAME is a column, an array or a tensor of a file; columns of CSV
have numbers too, from 1. A pattern in quotes, such as 'part-*.npy', is several files in order.

  --beta B           the threshold of smooth L1 (default 1)
  --sigma S          the same as --beta 1/S^2
  --delta D          Huber with this threshold
  --l1               L1
  --reduction R      mean (default), sum, or rows: one sum for each row
  --divisor D        what the mean divides by: elements, unmasked, weights, nonzeroWeights, rows,
                     unmaskedRows, or a number. Default: the elements that are there
  --row-length N     elements in a row (default: the last axis of the predictions)
  --weights FILE     multiply the losses
  --mask FILE        elements whose value is 0 are left out
  --ignore-nan       elements whose target is NaN are left out
  --losses FILE.npy  receives the losses of the elements
  --grad FILE.npy    receives the gradient to the predictions
  --type T           the type of raw numbers: f4, f2, bf16, f8, i1 to u8; > before it: big-endian
  --threads N        threads that compute (default 1)
  --partial FILE     receives what was added up, 128 bytes for smooth-l1 merge
  --resume FILE      goes on from this file, which is written every few seconds
  --resume-every S   seconds between (default 5)
  --json             print the result as JSON
  --help, --version

Ends with 0, or with 1 if data are wrong, 2 if arguments are.
`;

const OPTIONS = {
  beta: { type: 'string' },
  sigma: { type: 'string' },
  delta: { type: 'string' },
  l1: { type: 'boolean' },
  reduction: { type: 'string' },
  divisor: { type: 'string' },
  'row-length': { type: 'string' },
  weights: { type: 'string' },
  mask: { type: 'string' },
  'ignore-nan': { type: 'boolean' },
  losses: { type: 'string' },
  grad: { type: 'string' },
  type: { type: 'string' },
  threads: { type: 'string' },
  partial: { type: 'string' },
  resume: { type: 'string' },
  'resume-every': { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean' },
  version: { type: 'boolean' },
} as const;

const REDUCTIONS = ['mean', 'sum', 'rows'] as const;
const DIVISORS = [
  'elements',
  'unmasked',
  'weights',
  'nonzeroWeights',
  'rows',
  'unmaskedRows',
] as const;

/** Stands for the sign of standard input where a column follows, so that it is no option. */
const INPUT = '\0:';

type Values = ReturnType<typeof parseArguments>['values'];

export function parseArguments(all: readonly string[]) {
  const args = all.map((arg) => arg.replace(/^-:/, INPUT));
  const restored = (text: string): string => text.replace(INPUT, '-:');
  try {
    const { values, positionals } = parseArgs({ args, options: OPTIONS, allowPositionals: true });
    for (const name of ['weights', 'mask'] as const) {
      const value = values[name];
      if (value !== undefined) values[name] = restored(value);
    }
    return { values, positionals: positionals.map(restored) };
  } catch (error) {
    throw new UsageError(restored((error as Error).message));
  }
}

/** What a run is to do. Throws a {@link UsageError} for what cannot be. */
export function settingsOf(values: Values, positionals: string[]): Settings {
  const [predictions, targets, ...more] = positionals;
  if (predictions === undefined || targets === undefined || more.length > 0)
    throw new UsageError(
      `there must be 2 arguments, PREDICTIONS and TARGETS, got ${positionals.length}; put a pattern such as '*.npy' in quotes`,
    );
  const given = (['beta', 'sigma', 'delta', 'l1'] as const).filter(
    (name) => values[name] !== undefined,
  );
  if (given.length > 1)
    throw new UsageError(
      `give one of --beta, --sigma, --delta and --l1, got ${given.map((name) => `--${name}`).join(' and ')}`,
    );
  const [name] = given;
  const reduction = oneOf('reduction', REDUCTIONS, values.reduction) ?? 'mean';
  const divisor = Number.isNaN(Number(values.divisor ?? Number.NaN))
    ? oneOf('divisor', DIVISORS, values.divisor, ' or a number')
    : number('divisor', values.divisor);
  if (divisor !== undefined && reduction !== 'mean')
    throw new UsageError(`--divisor has a use only with --reduction mean, got ${reduction}`);
  for (const option of ['partial', 'resume'] as const)
    if (values[option] !== undefined && reduction === 'rows')
      throw new UsageError(`--${option} has no use with --reduction rows: there is no sum of all`);
  if (/^(nonzeroW|w)eights$/.test(String(divisor)) && values.weights === undefined)
    throw new UsageError(`--divisor ${divisor} needs --weights`);
  for (const option of ['grad', 'losses'] as const)
    if (values[option] !== undefined && !values[option].endsWith('.npy'))
      throw new UsageError(`--${option} must be a name that ends with .npy, got ${values[option]}`);
  const type = values.type === undefined ? undefined : numberType(values.type);
  if (values.type !== undefined && !type)
    throw new UsageError(`--type must be one of ${TYPE_NAMES}, got ${values.type}`);
  const inputs = [predictions, targets, values.weights, values.mask];
  if (inputs.filter((path) => path !== undefined && /^-(:|$)/.test(path)).length > 1)
    throw new UsageError('standard input (-) can be one of the files only');
  const threshold =
    name === undefined || name === 'l1' ? undefined : { [name]: number(name, values[name]) };
  return {
    predictions,
    targets,
    weights: values.weights,
    mask: values.mask,
    type,
    loss: name === 'delta' ? 'huber' : name === 'l1' ? 'l1' : 'smoothL1',
    threshold: threshold as Settings['threshold'],
    reduction,
    divisor,
    rowLength: integer('row-length', values['row-length']),
    ignoreNaN: values['ignore-nan'] === true,
    grad: values.grad,
    losses: values.losses,
    threads: integer('threads', values.threads) ?? 1,
    json: values.json === true,
    partial: values.partial,
    resume: values.resume,
    every: number('resume-every', values['resume-every']) ?? 5,
  };
}

function oneOf<T extends string>(
  name: string,
  all: readonly T[],
  text: string | undefined,
  more = '',
): T | undefined {
  if (text === undefined || (all as readonly string[]).includes(text)) return text as T | undefined;
  throw new UsageError(`--${name} must be one of ${all.join(', ')}${more}, got ${text}`);
}

function number(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (Number.isNaN(value) || value < 0)
    throw new UsageError(`--${name} must be a number from 0, got ${JSON.stringify(text)}`);
  return value;
}

function integer(name: string, text: string | undefined): number | undefined {
  const value = number(name, text);
  if (value !== undefined && !(Number.isSafeInteger(value) && value > 0))
    throw new UsageError(`--${name} must be an integer from 1, got ${text}`);
  return value;
}
