import { Presets, SingleBar } from 'cli-progress';

/** How far something is. */
export interface Progress {
  /** Some more of it is done; `what` comes next. */
  step(count: number, what?: string): void;
  stop(): void;
}

/** A bar in a terminal; elsewhere, as in a log, nothing. */
export function progress(name: string, total: number): Progress {
  const bar = new SingleBar(
    { format: `${name} {bar} {percentage} % | {duration_formatted} {what}`, clearOnComplete: true },
    Presets.shades_classic,
  );
  bar.start(total, 0, { what: '' });
  return {
    step: (count, what = '') => bar.increment(count, { what: what && `| ${what}` }),
    stop: () => bar.stop(),
  };
}
