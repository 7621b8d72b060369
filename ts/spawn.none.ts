// For hosts that have no workers, or another way to make them.

/** Throws: `createWorker` has to be given. */
export function spawn(): unknown {
  throw new Error('this entry is for hosts without workers');
}
