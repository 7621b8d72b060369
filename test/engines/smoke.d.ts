import type { Found } from './checks.ts';

export function smoke(
  smooth: object,
  wanted: string,
  vectors: string[],
  threadOptions?: object,
): Promise<Found>;
