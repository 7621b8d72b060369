// How long the soak tests take.
import { parseArgs } from 'node:util';

export function secondsOf(args: string[]): number {
  const { values } = parseArgs({ args, options: { seconds: { type: 'string', default: '600' } } });
  const seconds = Number(values.seconds);
  if (!(seconds > 0))
    throw new RangeError(`--seconds must be a number above 0, got ${values.seconds}`);
  return seconds;
}
