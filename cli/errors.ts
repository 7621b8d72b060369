// What the command line says, and how it ends: 1 for wrong data, 2 for wrong arguments.

/** The arguments are wrong. */
export class UsageError extends Error {}

/** The data are wrong. */
export class DataError extends Error {}

/** What went wrong with a file, with its name: the system leaves it out where a file is open. */
export function named(path: string, error: unknown): Error {
  if (error instanceof UsageError || error instanceof DataError) return error;
  const { message } = error as Error;
  return new DataError(message.includes(`'${path}'`) ? message : `${path}: ${message}`);
}
