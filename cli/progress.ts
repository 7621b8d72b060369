// Progress, on a terminal alone.
import type { SingleBar } from 'cli-progress';

export interface Progress {
  update(elements: number, bytes: number): void;
  stop(): void;
}

const NONE: Progress = { update() {}, stop() {} };

export async function startProgress(total: number | undefined): Promise<Progress> {
  const { stderr } = process;
  if (!stderr.isTTY) return NONE;
  const { default: progress } = await import('cli-progress');
  const format =
    total === undefined
      ? '{value} elements, {speed} GB/s'
      : '{bar} {percentage} %, {value} of {total} elements, {speed} GB/s, {eta_formatted} left';
  // Ctrl-C would leave a terminal that does not wrap lines, if the bar switched that off.
  const bar: SingleBar = new progress.SingleBar(
    { format, stream: stderr, clearOnComplete: true, linewrap: true, etaBuffer: 50, fps: 5 },
    progress.Presets.shades_classic,
  );
  const start = performance.now();
  bar.start(total ?? 0, 0, { speed: '-' });
  return {
    update(elements, bytes) {
      const speed = (bytes / 1e6 / Math.max(1, performance.now() - start)).toFixed(2);
      if (total === undefined) bar.setTotal(elements);
      bar.update(elements, { speed });
    },
    stop() {
      bar.stop();
    },
  };
}
