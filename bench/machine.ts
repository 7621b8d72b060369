// Where a bench ran, and which of its memories an amount of data fits.

import { readdirSync, readFileSync } from 'node:fs';
import os from 'node:os';

export interface Machine {
  readonly date: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  /** Bytes of one core's L1 and L2, and of the L3; undefined where the system does not say. */
  readonly caches: Partial<Record<'L1' | 'L2' | 'L3', number>>;
  readonly engine: string;
  readonly system: string;
  /** Processes that wanted a core when the bench began. Of a quiet machine it is near 0. */
  readonly load: number;
}

export function machine(): Machine {
  return {
    date: new Date().toISOString().slice(0, 10),
    cpu: cpuName(),
    cores: os.availableParallelism(),
    memoryGiB: Math.round(os.totalmem() / 2 ** 30),
    caches: caches(),
    engine: `Node ${process.versions.node}`,
    system: `${os.type()} ${os.machine()}`,
    load: os.loadavg()[0]!,
  };
}

function cpuName(): string {
  const model = os.cpus()[0]?.model ?? 'unknown processor';
  if (process.platform !== 'linux') return model;
  // Hosts rent processors out under names like "Xeon Processor": the numbers tell them apart.
  const info = readFileSync('/proc/cpuinfo', 'utf8');
  const of = (key: string) => new RegExp(`^${key}\\s*: (.*)$`, 'm').exec(info)?.[1];
  const [family, number] = [of('cpu family'), of('model')];
  return family && number ? `${model} (family ${family}, model ${number})` : model;
}

function caches(): Machine['caches'] {
  const found: Record<string, number> = {};
  const root = '/sys/devices/system/cpu/cpu0/cache';
  try {
    for (const name of readdirSync(root).filter((entry) => entry.startsWith('index'))) {
      const read = (file: string) => readFileSync(`${root}/${name}/${file}`, 'utf8').trim();
      const [, size, unit] = /^(\d+)([KM])$/.exec(read('size')) ?? [];
      const bytes = Number(size) * (unit === 'M' ? 2 ** 20 : 2 ** 10);
      if (read('type') !== 'Instruction') found[`L${read('level')}`] = bytes;
    }
  } catch {
    // Not Linux: sizes stay unknown.
  }
  return found;
}

/** The smallest memory that holds so many bytes, or "?" where the caches are not known. */
export function regime({ caches }: Pick<Machine, 'caches'>, bytes: number): string {
  if (caches.L1 === undefined) return '?';
  for (const level of ['L1', 'L2', 'L3'] as const) {
    if (bytes <= (caches[level] ?? 0)) return level;
  }
  return 'DRAM';
}
