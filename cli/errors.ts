// What the command line says, and how it ends: 1 for wrong data, 2 for wrong arguments.

/** The arguments are wrong. */
export class UsageError extends Error {}

/** The data are wrong. */
export class DataError extends Error {}
