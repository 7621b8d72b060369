// The protocol of ts/threads.ts and ts/worker.ts as a model, and a search through all that can happen
// in it: every order of the steps of the calling thread and of its workers. A step is at most one
// access to shared memory, and bears the name that it has in the code.
//
// What may go wrong: a worker ends at any step, for ever; it fails at its work; it stands still at
// any step and goes on at any later time, or never, since nothing ever has to take its next step;
// and the caller's patience may end whenever it waits, whether there is a reason or not.
//
// The memory of the model is sequentially consistent. This is enough, because the search also looks
// for data races: without one, JavaScript's memory model allows nothing else.
import { AWAKE, BELL, CLAIM, DONE, FAILED, RETIRED } from '../../ts/control.ts';

export interface Setup {
  readonly workers: number;
  readonly chunks: number;
  /** Pieces of a chunk, with a look at RETIRED before each. */
  readonly pieces: number;
  /** Calls, one after the other. */
  readonly jobs: number;
  /** Pools, the first and those that replace a lost one. */
  readonly pools: number;
  /** Cores of the machine: not more threads than that are woken. */
  readonly cores: number;
  /** Workers that end or fail by themselves. */
  readonly faults: number;
  /** Whether the caller's patience may end. */
  readonly deadline: boolean;
  /** A mistake made on purpose. */
  readonly mistake?: Mistake;
}

export type Mistake = (typeof MISTAKES)[number];
export const MISTAKES = [
  'BELL is not compared before sleeping',
  'BELL is read after the look for a chunk',
  'BELL is read after the look at RETIRED',
  'AWAKE is read before the bell rings',
  'the bell rings before CLAIM is set',
  'CLAIM is set before the job is written',
  'DONE is cleared after CLAIM is set',
  'a chunk is claimed without a comparison',
  'the job is read before the claim',
  'the flag is set before the sums',
  'DONE is counted before the sums',
  'DONE is not counted',
  'RETIRED is not looked at between pieces',
  'a failed worker ends the wait for the others',
  'memory is released before the workers are gone',
  'patience has no end',
] as const;

export interface Outcome {
  states: number;
  /** What is wrong, and the steps that lead there; undefined if nothing ever is. */
  wrong?: string;
  steps?: string[];
}

/** All numbers of a state, one after the other. */
type State = number[];
type Step = [name: string, next: State];

function numbered<Name extends string>(...names: Name[]): Record<Name, number> {
  return Object.fromEntries(names.map((name, i) => [name, i])) as Record<Name, number>;
}

// ---- what a state holds -----------------------------------------------------------------------
/** The caller: where it is, its variables, and what only the search knows. */
const caller = numbered(
  'at',
  'job',
  'pool',
  'left',
  'asleep',
  'computed',
  'index',
  'done',
  'afterwards',
  // What only the search knows: claimed chunks and present results as bits, and the pools so far.
  'claimed',
  'results',
  'gaveUp',
  'pools',
  'faults',
);
const CALLER = Object.keys(caller).length;

/** The steps of the caller. */
const at = numbered(
  'idle',
  'write the job',
  'clear the flags',
  'DONE = 0',
  'CLAIM = chunks',
  'ring BELL',
  'read AWAKE',
  'notify',
  'read CLAIM',
  'claim',
  'compute',
  'write sums',
  'set flag',
  'read DONE',
  'read FAILED',
  'set RETIRED',
  'ring BELL for the last time',
  'notify all',
  'read flag',
  'compute the rest',
  'write the rest of the sums',
  'set the rest of the flags',
  'add up',
  'end',
);
const callerSteps = Object.keys(at);

/** A worker. */
const worker = numbered(
  'at',
  'pool',
  'block',
  'bell',
  'left',
  'index',
  'piece',
  'job',
  // What only the search knows: the job of the chunk it claimed, the pieces it began after its pool
  // was given up, and whether the caller has heard of its end.
  'claimed',
  'late',
  'reported',
);
const WORKER = Object.keys(worker).length;

/** The steps of a worker, and how it may end. */
const is = numbered(
  'AWAKE + 1',
  'read BELL',
  'read RETIRED',
  'read the job too early',
  'read CLAIM',
  'claim',
  'read the job',
  'look at RETIRED',
  'compute a piece',
  'write sums',
  'set flag',
  'DONE + 1',
  'FAILED + 1',
  'spin',
  'read BELL too late',
  'AWAKE - 1',
  'wait',
  'asleep',
  'gone',
  'dead',
  'dead with a chunk',
);
const workerSteps = Object.keys(is);

/** The block of a pool: its words as in control.ts; of the job, which it is; flags; sums. */
const OWNER = 7;
const JOB = 8;
const WORDS = 10;

// ---- the search -------------------------------------------------------------------------------
export function explore(setup: Setup): Outcome {
  const model = new Model(setup);
  const seen = new Map<string, number>();
  const queue: State[] = [];
  const from: number[] = [];
  const names: string[] = [];
  const add = (state: State, parent: number, name: string): void => {
    const key = String.fromCharCode(...state);
    if (seen.has(key)) return;
    seen.set(key, queue.length);
    queue.push(state);
    from.push(parent);
    names.push(name);
  };
  add(model.first(), -1, '');
  // The queue grows meanwhile.
  for (let i = 0; i < queue.length; i++) {
    try {
      const state = queue[i] as State;
      model.check(state);
      for (const [name, next] of model.steps(state)) add(next, i, name);
    } catch (error) {
      if (!(error instanceof Wrong)) throw error;
      const steps: string[] = [];
      for (let j = i; j > 0; j = from[j] as number) steps.unshift(names[j] as string);
      return { states: queue.length, wrong: error.message, steps };
    }
    // Not looked at again.
    queue[i] = [];
  }
  return { states: queue.length };
}

class Wrong extends Error {}

class Model {
  readonly #setup: Setup;
  readonly #blocks: number[] = [];
  readonly #workers: number[] = [];
  readonly #size: number;
  readonly #allResults: number;
  /** States of the caller and its block from which it is known to come to an end. */
  readonly #ending = new Set<string>();

  constructor(setup: Setup) {
    this.#setup = setup;
    const { workers, pools, chunks, pieces } = setup;
    const block = WORDS + 2 * chunks;
    for (let i = 0; i < pools; i++) this.#blocks.push(CALLER + i * block);
    for (let i = 0; i < pools * workers; i++)
      this.#workers.push(CALLER + pools * block + i * WORKER);
    this.#size = CALLER + pools * block + pools * workers * WORKER;
    this.#allResults = 2 ** (chunks * pieces) - 1;
  }

  first(): State {
    const state: State = new Array(this.#size).fill(0);
    for (const w of this.#workers) state[w + worker.at] = is.dead;
    state[caller.faults] = this.#setup.faults;
    this.#startPool(state);
    return state;
  }

  steps(s: State): Step[] {
    const steps = this.#callerSteps(s);
    for (const w of this.#workers) steps.push(...this.#workerSteps(s, w));
    return steps;
  }

  // ---- what must hold in every state
  check(s: State): void {
    const { workers, cores, chunks, deadline, mistake } = this.#setup;
    const step = at0(s);
    if (s[caller.pool] !== 0) {
      const block = this.#block(s);
      const own = this.#poolOf(s, get(s, caller.pool));
      const count = (...steps: number[]): number =>
        own.filter((w) => steps.includes(get(s, w + worker.at))).length;
      const asleep = count(is.asleep);

      if (get(s, block + RETIRED) === 0) {
        const isRung = step > at.notify && step < at['set RETIRED'];
        const lost = count(is.dead, is['dead with a chunk']);
        const wanted = Math.min(workers + 1, cores) - 1;
        if (isRung && get(s, block + CLAIM) > 0 && asleep > workers - wanted + lost)
          throw new Wrong('a wake-up is lost');

        const isWaiting = step === at['read DONE'] || step === at['read FAILED'];
        const missing = chunks - get(s, caller.computed) - get(s, block + DONE);
        if (isWaiting && missing - get(s, block + FAILED) !== own.filter((w) => holds(s, w)).length)
          throw new Wrong('the caller waits for a chunk that nobody has');

        if (
          (step === at['write the job'] && count(is['read the job'], is['compute a piece']) > 0) ||
          (step === at['write the job'] && count(is['read the job too early']) > 0) ||
          (step === at['clear the flags'] && count(is['set flag']) > 0) ||
          (step === at['add up'] && count(is['compute a piece'], is['write sums']) > 0)
        )
          throw new Wrong('a data race');
      } else {
        const isRetiring = step === at['ring BELL for the last time'] || step === at['notify all'];
        if (!isRetiring && asleep > 0)
          throw new Wrong('a worker of a pool that is over sleeps for ever');
      }
    }
    if (deadline || mistake === 'patience has no end') this.#checkEnding(s);
  }

  /** Whatever the workers do, or not, the caller alone comes to an end. */
  #checkEnding(state: State): void {
    const keyOf = (s: State): string =>
      String.fromCharCode(...s.slice(0, (this.#workers[0] as number) + 0));
    const passed: string[] = [];
    for (let s = state; at0(s) !== at.idle && at0(s) !== at.end; ) {
      const key = keyOf(s);
      if (this.#ending.has(key)) break;
      if (passed.includes(key)) throw new Wrong('the caller waits for ever');
      passed.push(key);
      // The last of several ways is that of lost patience.
      s = (this.#callerSteps(s).at(-1) as Step)[1];
    }
    for (const key of passed) this.#ending.add(key);
  }

  // ---- threads.ts
  #callerSteps(s: State): Step[] {
    const { workers, chunks, jobs, pools, cores, deadline, mistake } = this.#setup;
    const step = at0(s);
    const name = `caller: ${callerSteps[step]}`;
    if (step === at.idle) return this.#turn(s);
    if (step === at.end) return [];
    const next = s.slice();
    const block = this.#block(s);
    const go = (to: number): Step[] => {
      next[caller.at] = to;
      return [[name, next]];
    };
    const add = (place: number, n: number): void => {
      next[place] = get(s, place) + n;
    };
    const swap = (is: Mistake, first: number, second: number, then: number): number => {
      // In the wrong order, the second step comes first.
      if (mistake !== is) return step === first ? second : then;
      return step === second ? first : then;
    };
    const index = get(s, caller.index);
    const bit = (i: number): number => 2 ** i;

    switch (step) {
      // runTogether
      case at['write the job']:
        next[block + JOB] = get(s, caller.job);
        return go(
          mistake === 'CLAIM is set before the job is written'
            ? at['ring BELL']
            : at['clear the flags'],
        );
      case at['clear the flags']:
        for (let i = 0; i < chunks; i++) next[block + WORDS + i] = 0;
        return go(
          mistake === 'DONE is cleared after CLAIM is set' ? at['CLAIM = chunks'] : at['DONE = 0'],
        );
      case at['DONE = 0']:
        next[block + DONE] = 0;
        if (mistake === 'the bell rings before CLAIM is set') return go(at['ring BELL']);
        return go(
          mistake === 'DONE is cleared after CLAIM is set' ? at['ring BELL'] : at['CLAIM = chunks'],
        );
      case at['CLAIM = chunks']:
        next[block + CLAIM] = chunks;
        next[caller.claimed] = 0;
        if (mistake === 'CLAIM is set before the job is written') return go(at['write the job']);
        if (mistake === 'DONE is cleared after CLAIM is set') return go(at['DONE = 0']);
        if (mistake === 'AWAKE is read before the bell rings') return go(at['read AWAKE']);
        return go(swap('the bell rings before CLAIM is set', at['CLAIM = chunks'], at['ring BELL'], at['read AWAKE']));
      default:
        break;
    }
    return go(at.end);
  }
}
