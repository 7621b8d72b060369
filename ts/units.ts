// The lengths that a long call is cut into. Each is a multiple of the one before, so that a sum's
// leaves lie at the same elements wherever a call is cut.
import { LEAF } from './generated/job.ts';

/** Elements that are copied, or computed between two looks at a pool's state: they stay in the L2 cache. */
export const PIECE = 8 * LEAF;
/** Elements whose losses are one sum, and one thread's work; the sums of chunks are added in order. */
export const CHUNK = 64 * LEAF;
