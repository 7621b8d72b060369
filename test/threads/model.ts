// The protocol of ts/threads.ts and ts/worker.ts as a model, and a search through all that can happen
// in it: every order of the steps of the calling thread and of its workers. A step is at most one
// access to shared memory.
//
// What may go wrong: a worker ends, or fails at its work; any thread stands still before any step,
// for a while or for ever, since nothing ever has to take its next step; and the caller's patience
// may end whenever it waits, with a reason or without.
//
// The memory of the model is sequentially consistent. That is enough, since the search looks for
// data races too: without any, JavaScript's memory model allows nothing else.
import { AWAKE, BELL, CLAIM, DONE, FAILED, ORDERS, PLACE, RETIRED } from '../../ts/control.ts';

/** The steps whose order is of the essence. Each list ends where the next thing begins. */
export interface Program {
  /** The caller gives a job to the workers; then it claims pieces itself. */
  readonly publish: readonly string[];
  /** The caller sends all workers orders that have another place. */
  readonly tell: readonly string[];
  /**
   * A worker looks for pieces: these, then the claim; where there are none, `spin` and `sleep`. At new
   * orders, `obey`.
   */
  readonly look: readonly string[];
  /** With a share claimed; then come its pieces. */
  readonly take: readonly string[];
  /** A piece; as long as there are more, again. A share is counted with its last piece at the earliest. */
  readonly piece: readonly string[];
  /** With all pieces of the share done. */
  readonly finish: readonly string[];
  /** At RETIRED, in place of its next piece. */
  readonly stop: readonly string[];
  readonly sleep: readonly string[];
  readonly obey: readonly string[];
  /** A claim compares CLAIM with what it has read, and sleeping compares BELL with it. */
  readonly claimCompares: boolean;
  readonly sleepCompares: boolean;
  /** When one worker has failed, the pieces of the others are waited for. */
  readonly waitsForOthers: boolean;
  /** When the caller has given up, it waits until nobody is at a piece. */
  readonly waitsForLate: boolean;
  /** A job is in a place that all workers have said that they know. */
  readonly awaitsAnswers: boolean;
  /** The memory of a pool is kept until its workers are gone. */
  readonly keepsMemory: boolean;
  /** Patience ends. */
  readonly hasDeadline: boolean;
}

/** What ts/ does. */
export const program: Program = {
  publish: [
    'write the job',
    'clear the flags',
    'DONE = 0',
    'CLAIM = pieces',
    'BELL + 1',
    'read AWAKE',
    'notify',
  ],
  tell: ['ORDERS + 1', 'BELL + 1, for orders', 'notify all, for orders'],
  look: ['read BELL', 'read RETIRED', 'read ORDERS'],
  take: ['read the job'],
  piece: ['look at RETIRED', 'compute', 'write sums', 'set flag'],
  finish: ['DONE + share'],
  stop: ['FAILED + share, and goes on'],
  sleep: ['AWAKE - 1', 'wait'],
  obey: ['AWAKE - 1, for orders', 'answer'],
  claimCompares: true,
  sleepCompares: true,
  waitsForOthers: true,
  waitsForLate: true,
  awaitsAnswers: true,
  keepsMemory: true,
  hasDeadline: true,
};

/** A small instance. */
export interface Size {
  readonly workers: number;
  readonly pieces: number;
  /** Calls, one after the other. */
  readonly jobs: number;
  /** Pools: the first, and those that replace a lost one. */
  readonly pools: number;
  /** Not more threads than that are woken. */
  readonly cores: number;
  /** Workers that end or fail. */
  readonly faults: number;
  /** Orders that a pool is sent after its first ones. */
  readonly orders?: number;
}

export interface Outcome {
  states: number;
  /** What is wrong, and the steps that lead there; undefined if nothing is in any state. */
  wrong?: string;
  steps?: string[];
}

/** Everything, as small numbers one after the other. */
type State = number[];
type Step = [name: string, next: State];

// ---- what a state consists of -----------------------------------------------------------------
/** The caller: the step it is at, and its variables. Pools and jobs count from 1; 0 is none. */
const [AT, JOB, POOL, BLOCK, LEFT, ASLEEP, COMPUTED, INDEX, TODO, MISSING, RINGS, THEN, HERE] = [
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
];
/** What only the search knows: claimed pieces and results there are, as bits; and so on. */
const [CLAIMED, RESULTS, POOLS, FAULTS] = [13, 14, 15, 16];
const CALLER = 17;

/** The block of a pool: its words as in ts/control.ts, and three more; then the flags and the sums. */
const [OWNER, ITS_JOB] = [5, 6];
/** What only the search knows: the caller has not waited until nobody was at a piece. */
const NOT_AWAITED = 7;
const WORDS = 12;

/** A worker: the step it is at, where it belongs, and its variables. */
const [IS, MY_POOL, MY_BLOCK, MY_BELL, MY_LEFT, MY_INDEX, MY_TODO, MY_JOB] = [
  0, 1, 2, 3, 4, 5, 6, 7,
];
/**
 * What only the search knows: the job it claimed pieces of, how many that are not counted yet, pieces
 * begun too late, whether its end is known.
 */
const [MY_CLAIM, MY_SHARE, LATE, REPORTED] = [8, 9, 10, 11];
/** Orders after the first ones: each brings a place, by its number. */
const RECEIVED = 12;
const WORKER = 13;

/** How many pieces a claim takes; more than in ts/control.ts, so that few pieces show what may happen. */
const shareOf = (left: number): number => Math.ceil(left / 2);

class Wrong extends Error {}

// ---- the search -------------------------------------------------------------------------------
/** Looks at all states, the nearest first. */
export function explore(size: Size, chosen: Program = program): Outcome {
  const { first, steps, check, sort } = modelOf(size, chosen);
  const found = new States(first().length);
  const parents: number[] = [];
  const names: string[] = [];
  const add = (state: State, parent: number, name: string): void => {
    sort(state);
    if (!found.add(state)) return;
    parents.push(parent);
    names.push(name);
  };
  add(first(), -1, '');
  for (let i = 0; i < found.count; i++) {
    try {
      const state = found.at(i);
      check(state);
      for (const [name, next] of steps(state)) add(next, i, name);
    } catch (error) {
      if (!(error instanceof Wrong)) throw error;
      const path: string[] = [];
      for (let j = i; j > 0; j = parents[j] as number) path.unshift(names[j] as string);
      return { states: found.count, wrong: error.message, steps: path };
    }
  }
  return { states: found.count };
}

/** Different states in the order of their coming, a byte for each number: half the time of a set of strings. */
class States {
  count = 0;
  readonly #width: number;
  #bytes: Uint8Array;
  /** By their hash, the numbers of states from 1 on. A quarter of it is full at most. */
  #table = new Int32Array(2 ** 16);

  constructor(width: number) {
    this.#width = width;
    this.#bytes = new Uint8Array(width * (this.#table.length / 4));
  }

  at(index: number): State {
    const state: State = [];
    const start = index * this.#width;
    for (let i = 0; i < this.#width; i++) state.push(this.#bytes[start + i] as number);
    return state;
  }

  /** Whether it is a new one. */
  add(state: State): boolean {
    const table = this.#table;
    let slot = this.#hash(state, 0) & (table.length - 1);
    for (; table[slot] !== 0; slot = (slot + 1) & (table.length - 1)) {
      const start = ((table[slot] as number) - 1) * this.#width;
      let i = 0;
      while (i < this.#width && this.#bytes[start + i] === state[i]) i++;
      if (i === this.#width) return false;
    }
    for (const value of state) if (value !== (value & 255)) throw new Error(`${value} is no byte`);
    this.#bytes.set(state, this.count * this.#width);
    this.count++;
    table[slot] = this.count;
    if (4 * this.count === table.length) this.#grow();
    return true;
  }

  #grow(): void {
    const table = new Int32Array(4 * this.#table.length);
    const bytes = new Uint8Array(4 * this.#bytes.length);
    bytes.set(this.#bytes);
    for (let i = 0; i < this.count; i++) {
      let slot = this.#hash(bytes, i * this.#width) & (table.length - 1);
      while (table[slot] !== 0) slot = (slot + 1) & (table.length - 1);
      table[slot] = i + 1;
    }
    this.#table = table;
    this.#bytes = bytes;
  }

  #hash(values: ArrayLike<number>, start: number): number {
    let hash = 0;
    for (let i = start; i < start + this.#width; i++)
      hash = Math.imul(hash ^ (values[i] as number), 0x9e3779b1) ^ (hash >>> 15);
    return hash ^ (hash >>> 13);
  }
}

/** A state as a string, which a set can hold. */
function keyOf(state: State): string {
  return String.fromCharCode.apply(null, state);
}

// ---- the model --------------------------------------------------------------------------------
function modelOf(size: Size, chosen: Program) {
  const { pieces, jobs } = size;
  const { publish, tell, take, piece, finish, stop, sleep, obey } = chosen;
  const { orders = 0 } = size;
  // A word that never changes makes no difference, and a step to read it many states.
  const look = chosen.look.filter((step) => step !== 'read ORDERS' || orders > 0);
  const wanted = Math.min(size.workers + 1, size.cores) - 1;
  const allResults = 2 ** pieces - 1;
  /** The first pieces, which the caller keeps for itself. */
  const kept = pieces > 2 ? 1 : 0;

  const callerSteps = [
    'outside',
    ...publish,
    ...['read CLAIM', 'claim', 'compute', 'write sums', 'set flag'],
    ...['read DONE', 'read FAILED', 'RETIRED = 1, first'],
    ...['RETIRED = 1', 'BELL + 1, the last', 'notify all'],
    ...['read a flag', 'compute the rest', 'write its sums', 'set its flag'],
    ...['add up', 'end'],
    ...tell,
  ];
  const workerSteps = [
    'AWAKE + 1',
    ...look,
    ...['read CLAIM', 'claim'],
    ...[...take, ...piece, ...finish, ...stop],
    ...['spin', ...sleep, 'asleep'],
    ...obey,
    ...['FAILED + share', 'gone'],
  ];
  const at = placesOf(callerSteps);
  const is = placesOf(workerSteps);
  const top = is(look[0] as string);

  const blockLength = WORDS + 2 * pieces;
  const blocks = Array.from({ length: size.pools }, (_, i) => CALLER + i * blockLength);
  const firstWorker = CALLER + size.pools * blockLength;
  const workers = Array.from(
    { length: size.pools * size.workers },
    (_, i) => firstWorker + i * WORKER,
  );
  const get = (s: State, place: number): number => s[place] as number;
  const flag = (block: number, index: number): number => block + WORDS + index;
  const sum = (block: number, index: number): number => block + WORDS + pieces + index;
  const blockAt = (s: State, place: number): number => blocks[get(s, place)] as number;
  const team = (s: State, pool: number): number[] =>
    workers.filter((w) => get(s, w + MY_POOL) === pool);
  const isGone = (s: State, w: number): boolean => get(s, w + IS) === is('gone');

  function first(): State {
    const s: State = new Array(firstWorker + workers.length * WORKER).fill(0);
    s[JOB] = 1;
    for (const w of workers) s[w + IS] = is('gone');
    startPool(s);
    return s;
  }

  function steps(s: State): Step[] {
    const all = stepsOfCaller(s);
    for (const w of workers) all.push(...stepsOfWorker(s, w));
    return all;
  }

  // ---- what must hold in every state
  const ending = new Set<string>();

  function check(s: State): void {
    const name = callerSteps[get(s, AT)] as string;
    const own = get(s, POOL);
    const isRetiring = name === 'BELL + 1, the last' || name === 'notify all';
    for (const w of workers)
      if (get(s, w + IS) === is('asleep') && get(s, w + MY_POOL) !== own)
        throw new Wrong('a worker of a pool that is over sleeps for ever');
    if (own !== 0 && !isRetiring) checkPool(s, name, blockAt(s, BLOCK), team(s, own));
    // Whatever the workers do, or not, the caller alone comes to the end of its call.
    const passed: string[] = [];
    for (let t = s; get(t, AT) !== at('outside') && get(t, AT) !== at('end'); ) {
      const key = keyOf(t.slice(0, firstWorker));
      if (ending.has(key)) break;
      if (passed.includes(key)) throw new Wrong('the caller waits for ever');
      passed.push(key);
      // Of several ways, losing patience is the last.
      t = (stepsOfCaller(t).at(-1) as Step)[1];
    }
    for (const key of passed) ending.add(key);
  }

  /** A pool that is not retired. */
  function checkPool(s: State, name: string, block: number, own: number[]): void {
    const count = (...names: string[]): number =>
      own.filter((w) => names.includes(workerSteps[get(s, w + IS)] as string)).length;
    const isUnread = (w: number): boolean =>
      get(s, w + IS) === is('asleep') && get(s, w + RECEIVED) !== get(s, block + ORDERS);
    if (!tell.includes(name) && own.some(isUnread))
      throw new Wrong('a worker sleeps, and there are orders for it');
    const isCalled = get(s, AT) > publish.length && get(s, AT) <= at('read FAILED');
    const lost = count('gone');
    const mayStay = size.workers - wanted + lost;
    const isRung = isCalled && get(s, RINGS) > 0;
    if (isRung && get(s, block + CLAIM) > 0 && count('asleep') > mayStay)
      throw new Wrong('a wake-up is lost');

    const held = own.reduce((sum, w) => sum + get(s, w + MY_SHARE), 0);
    const open = pieces - get(s, COMPUTED) - get(s, block + DONE) - get(s, block + FAILED);
    if ((name === 'read DONE' || name === 'read FAILED') && open !== held)
      throw new Wrong('the caller waits for what nobody does');

    // Both could be the next step: nothing orders them.
    const isRace =
      (name === 'write the job' && count('read the job', 'compute') > 0) ||
      (name === 'clear the flags' && count('set flag') > 0) ||
      (name === 'add up' && count('compute', 'write sums') > 0);
    if (isRace) throw new Wrong('a data race');
  }

  // ---- threads.ts
  function stepsOfCaller(s: State): Step[] {
    const name = callerSteps[get(s, AT)] as string;
    const next = s.slice();
    const block = blockAt(s, BLOCK);
    const index = get(s, INDEX);
    /** In a call: the pool was given up. */
    const isLate = get(s, block + RETIRED) !== 0;
    const go = (to: number): Step[] => {
      next[AT] = to;
      return [[`caller: ${name}`, next]];
    };
    const advance = (): Step[] => go(get(s, AT) + 1);

    switch (name) {
      case 'outside':
        return outside(s);
      case 'end':
        return [];

      // runTogether
      case 'write the job':
        next[block + ITS_JOB] = get(s, JOB);
        next[block + PLACE] = get(s, HERE);
        return advance();
      case 'clear the flags':
        next.fill(0, flag(block, 0), flag(block, pieces));
        return advance();
      case 'DONE = 0':
        next[block + DONE] = 0;
        return advance();
      case 'CLAIM = pieces':
        next[block + CLAIM] = pieces - kept;
        return advance();
      case 'BELL + 1':
        next[block + BELL] = get(s, block + BELL) + 1;
        return advance();
      case 'read AWAKE':
        next[ASLEEP] = get(s, RINGS) * Math.max(wanted - get(s, block + AWAKE), 0);
        return advance();
      case 'notify': {
        const sleepers = team(s, get(s, POOL)).filter((w) => get(s, w + IS) === is('asleep'));
        return choices(sleepers, get(s, ASLEEP)).map((woken) => {
          const then = next.slice();
          wake(then, woken);
          then[ASLEEP] = 0;
          then[TODO] = kept;
          then[AT] = at(kept > 0 ? 'compute' : 'read CLAIM');
          return [`caller: notify ${woken.length}`, then];
        });
      }

      // claim, compute, finish
      case 'read CLAIM':
        next[LEFT] = get(s, block + CLAIM);
        return get(next, LEFT) > 0 ? advance() : go(at('read DONE'));
      case 'claim': {
        const left = claim(s, next, block, get(s, LEFT));
        if (left < 0) {
          next[INDEX] = pieces - get(s, LEFT);
          next[TODO] = shareOf(get(s, LEFT));
        }
        next[LEFT] = Math.max(left, 0);
        return left < 0 ? advance() : go(left > 0 ? at('claim') : at('read DONE'));
      }
      case 'compute':
      case 'compute the rest':
        next[RESULTS] = get(s, RESULTS) | (1 << index);
        return advance();
      case 'write sums':
      case 'write its sums':
        next[sum(block, index)] = get(s, JOB);
        return advance();
      case 'set flag':
        next[flag(block, index)] = 1;
        next[COMPUTED] = get(s, COMPUTED) + 1;
        next[TODO] = get(s, TODO) - 1;
        next[INDEX] = next[TODO] > 0 ? index + 1 : 0;
        return go(at(next[TODO] > 0 ? 'compute' : 'read CLAIM'));

      // isFinished
      case 'read DONE':
        next[MISSING] = pieces - get(s, COMPUTED) - get(s, block + DONE);
        if (next[MISSING] !== 0) return advance();
        return go(isLate ? at('RETIRED = 1') : at('add up'));
      case 'read FAILED': {
        const failed = get(s, block + FAILED);
        next[MISSING] = 0;
        next[THEN] = at('read a flag');
        if (failed > 0 && (failed === get(s, MISSING) || !chosen.waitsForOthers))
          return go(at('RETIRED = 1'));
        const again = s.slice();
        again[AT] = at('read DONE');
        again[MISSING] = 0;
        const ways: Step[] = [['caller: waits', again]];
        if (!chosen.hasDeadline) return ways;
        if (isLate) next[block + NOT_AWAITED] = 1;
        next[AT] = at(isLate || !chosen.waitsForLate ? 'RETIRED = 1' : 'RETIRED = 1, first');
        return [...ways, ['caller: loses patience', next]];
      }
      case 'RETIRED = 1, first':
        next[block + RETIRED] = 1;
        return go(at('read DONE'));

      // tell
      case 'ORDERS + 1':
        next[block + ORDERS] = get(s, block + ORDERS) + 1;
        return advance();
      case 'BELL + 1, for orders':
        next[block + BELL] = get(s, block + BELL) + 1;
        return advance();
      case 'notify all, for orders':
        wake(next, team(s, get(s, POOL)));
        return go(at('outside'));

      // lose, retire
      case 'RETIRED = 1':
        next[block + RETIRED] = 1;
        return advance();
      case 'BELL + 1, the last':
        next[block + BELL] = get(s, block + BELL) + 1;
        return advance();
      case 'notify all':
        wake(next, team(s, get(s, POOL)));
        next[POOL] = 0;
        if (!chosen.keepsMemory) next[block + OWNER] = 0;
        release(next);
        return go(get(s, THEN));

      // what is missing
      case 'read a flag':
        if (index === pieces) return go(at('add up'));
        if (get(s, flag(block, index)) === 0) return advance();
        next[INDEX] = index + 1;
        return go(at('read a flag'));
      case 'set its flag':
        next[flag(block, index)] = 1;
        next[INDEX] = index + 1;
        return go(at('read a flag'));
      case 'add up':
        for (let i = 0; i < pieces; i++)
          if (get(s, sum(block, i)) !== get(s, JOB)) throw new Wrong('the total is wrong');
        if (get(s, RESULTS) !== allResults) throw new Wrong('a result is missing');
        next.fill(0, LEFT, POOLS);
        next[JOB] = get(s, JOB) + 1;
        return go(at('outside'));
      default:
        throw new Error(name);
    }
  }

  function wake(s: State, sleepers: number[]): void {
    for (const w of sleepers) if (get(s, w + IS) === is('asleep')) s[w + IS] = is('AWAKE + 1');
  }

  /** Workers of a pool are all alike: one order of them stands for all. */
  function sort(s: State): void {
    for (let i = 1; i < workers.length; i++)
      for (let j = i; j > 0 && j % size.workers !== 0; j--) {
        const [w, v] = [workers[j - 1] as number, workers[j] as number];
        let k = 0;
        while (k < WORKER && s[w + k] === s[v + k]) k++;
        if (k === WORKER || get(s, w + k) < get(s, v + k)) break;
        for (; k < WORKER; k++) [s[w + k], s[v + k]] = [get(s, v + k), get(s, w + k)];
      }
  }

  /** Between calls: what the program does, and what it is told of. */
  function outside(s: State): Step[] {
    const ways: Step[] = [];
    const way = (name: string, change: (next: State) => void): void => {
      const next = s.slice();
      change(next);
      ways.push([`caller: ${name}`, next]);
    };
    const retire = (next: State, then: string): void => {
      next[THEN] = at(then);
      next[AT] = at('RETIRED = 1');
    };
    for (const w of workers)
      if (isGone(s, w) && get(s, w + MY_POOL) !== 0 && !get(s, w + REPORTED))
        way('hears that a worker is gone', (next) => {
          next[w + REPORTED] = 1;
          if (get(s, w + MY_POOL) === get(s, POOL)) retire(next, 'outside');
          else release(next);
        });
    if (get(s, JOB) > jobs)
      way('ends', (next) => {
        if (get(s, POOL)) retire(next, 'end');
        else next[AT] = at('end');
      });
    else if (get(s, POOL)) {
      const sent = get(s, blockAt(s, BLOCK) + ORDERS);
      const answers = team(s, get(s, POOL)).map((w) => get(s, w + RECEIVED));
      const known = chosen.awaitsAnswers ? Math.min(...answers) : sent;
      for (let here = 0; here <= known; here++)
        for (const rings of [0, 1])
          way(rings ? 'calls' : 'calls those that are awake', (next) => {
            next[HERE] = here;
            next[RINGS] = rings;
            next[AT] = at(publish[0] as string);
          });
      if (sent < orders)
        way('has orders', (next) => {
          next[AT] = at(tell[0] as string);
        });
    } else {
      way('calls, alone', (next) => {
        next[JOB] = get(s, JOB) + 1;
      });
      if (get(s, POOLS) < size.pools) way('starts another pool', startPool);
    }
    return ways;
  }

  function startPool(s: State): void {
    const pool = get(s, POOLS) + 1;
    const index = blocks.findIndex((block) => get(s, block + OWNER) === 0);
    const block = blocks[index] as number;
    s[POOLS] = s[POOL] = pool;
    s[BLOCK] = index;
    s.fill(0, block, block + blockLength);
    s[block + OWNER] = pool;
    for (const w of workers.slice((pool - 1) * size.workers, pool * size.workers)) {
      s[w + IS] = is('AWAKE + 1');
      s[w + MY_POOL] = pool;
      s[w + MY_BLOCK] = index;
    }
  }

  /** Blocks of pools that are over, and whose workers are all gone. */
  function release(s: State): void {
    for (const block of blocks) {
      const own = team(s, get(s, block + OWNER));
      if (get(s, block + RETIRED) && own.every((w) => get(s, w + REPORTED))) s[block + OWNER] = 0;
    }
  }

  // ---- control.ts
  /** Tries to take a share where `left` were seen: how many are left instead, or -1 if it is taken. */
  function claim(s: State, next: State, block: number, left: number): number {
    const there = get(s, block + CLAIM);
    if (chosen.claimCompares && there !== left) return there;
    next[block + CLAIM] = left - shareOf(left);
    // The bits of CLAIMED are those of the job that is there.
    const before = left === pieces - kept ? 0 : get(s, CLAIMED);
    const taken = (1 << (left + 1)) - (1 << (left + 1 - shareOf(left)));
    if (before & taken) throw new Wrong('two threads have the same piece');
    next[CLAIMED] = before | taken;
    return -1;
  }

  // ---- worker.ts
  function stepsOfWorker(s: State, w: number): Step[] {
    if (isGone(s, w)) return [];
    const name = workerSteps[get(s, w + IS)] as string;
    const block = blockAt(s, w + MY_BLOCK);
    const ways: Step[] = [];
    const way = (what: string, to: number): State => {
      const next = s.slice();
      next[w + IS] = to;
      ways.push([`worker: ${what}`, next]);
      return next;
    };
    const isOver = get(s, block + RETIRED) !== 0;
    const mayFail = get(s, FAULTS) < size.faults;
    /** What is not needed any more is 0, so that there are fewer states. */
    const leave = (what: string): State => {
      const next = way(what, is('gone'));
      next.fill(0, w + MY_BELL, w + REPORTED);
      return next;
    };
    if (get(s, POOL) !== get(s, w + MY_POOL)) leave('is terminated');
    else if (mayFail) {
      const next = leave('ends');
      next[FAULTS] = get(s, FAULTS) + 1;
      // The caller waits for that in vain.
      next[w + MY_SHARE] = get(s, w + MY_SHARE);
    }
    if (name === 'asleep') return ways;
    if (get(s, block + OWNER) !== get(s, w + MY_POOL))
      throw new Wrong('a worker uses memory that its pool has given back');

    const go = (to: number): State => way(name, to);
    const following = get(s, w + IS) + 1;
    /** To the top of the loop. */
    const again = (): State => {
      const next = go(top);
      next.fill(0, w + MY_BELL, w + REPORTED);
      return next;
    };
    const index = get(s, w + MY_INDEX);
    const todo = get(s, w + MY_TODO);
    const advance = (): State => {
      if (name === finish.at(-1) || name === stop.at(-1)) return again();
      if (name !== piece.at(-1)) return go(following);
      if (todo === 1 && finish.length === 0) return again();
      const next = go(todo > 1 ? is(piece[0] as string) : following);
      next[w + MY_INDEX] = todo > 1 ? index + 1 : 0;
      next[w + MY_TODO] = todo - 1;
      return next;
    };
    const count = (word: number): void => {
      const next = name === 'FAILED + share' ? leave(name) : advance();
      if (name === 'DONE + share' && todo > 1) return;
      next[block + word] = get(s, block + word) + get(s, w + MY_SHARE);
      next[w + MY_SHARE] = 0;
    };

    switch (name) {
      case 'AWAKE + 1':
        advance()[block + AWAKE] = get(s, block + AWAKE) + 1;
        break;
      case 'read BELL':
        advance()[w + MY_BELL] = get(s, block + BELL);
        break;
      case 'read RETIRED':
        if (isOver) leave(name);
        else advance();
        break;

      case 'read ORDERS':
        if (get(s, block + ORDERS) === get(s, w + RECEIVED)) advance();
        else go(is(obey[0] as string))[w + MY_BELL] = 0;
        break;
      case 'AWAKE - 1, for orders':
        advance()[block + AWAKE] = get(s, block + AWAKE) - 1;
        break;
      case 'answer':
        go(is('AWAKE + 1'))[w + RECEIVED] = get(s, w + RECEIVED) + 1;
        break;

      // findPieces
      case 'read CLAIM':
        go(get(s, block + CLAIM) > 0 ? following : is('spin'))[w + MY_LEFT] = get(s, block + CLAIM);
        break;
      case 'claim': {
        const next = go(following);
        const left = claim(s, next, block, get(s, w + MY_LEFT));
        next[w + MY_LEFT] = Math.max(left, 0);
        if (left < 0) {
          next[w + MY_INDEX] = pieces - get(s, w + MY_LEFT);
          next[w + MY_TODO] = next[w + MY_SHARE] = shareOf(get(s, w + MY_LEFT));
          next[w + MY_CLAIM] = get(s, JOB);
        } else next[w + IS] = is(left > 0 ? 'claim' : 'spin');
        break;
      }
      case 'read the job':
        advance()[w + MY_JOB] = get(s, block + ITS_JOB);
        break;
      case 'look at RETIRED':
        if (!isOver) advance();
        else if (stop.length > 0) go(is(stop[0] as string));
        else again();
        break;
      case 'compute': {
        const job = get(s, w + MY_CLAIM);
        if (get(s, block + PLACE) > get(s, w + RECEIVED))
          throw new Wrong('a worker does not know the place of its job');
        if (get(s, w + MY_JOB) !== job) throw new Wrong('a worker computes what it did not claim');
        if (job !== get(s, JOB) && !get(s, block + NOT_AWAITED))
          throw new Wrong('a worker writes results after the call');
        const next = advance();
        if (job === get(s, JOB)) next[RESULTS] = get(s, RESULTS) | (1 << index);
        if (isOver) next[w + LATE] = get(s, w + LATE) + 1;
        if (get(next, w + LATE) > 1) throw new Wrong('a worker begins a piece after RETIRED');
        if (mayFail) way('fails', is('FAILED + share'))[FAULTS] = get(s, FAULTS) + 1;
        break;
      }
      case 'FAILED + share':
      case 'FAILED + share, and goes on':
        count(FAILED);
        break;
      case 'write sums':
        advance()[sum(block, index)] = get(s, w + MY_JOB);
        break;
      case 'set flag':
        advance()[flag(block, index)] = 1;
        break;
      case 'DONE + share':
        count(DONE);
        break;

      case 'spin':
        // It looks for a while, which changes nothing, or not at all.
        if (get(s, block + CLAIM) > 0) again();
        go(following);
        break;
      case 'AWAKE - 1':
        advance()[block + AWAKE] = get(s, block + AWAKE) - 1;
        break;
      case 'wait': {
        const isSame = get(s, block + BELL) === get(s, w + MY_BELL) || !chosen.sleepCompares;
        go(isSame ? is('asleep') : is('AWAKE + 1'))[w + MY_BELL] = 0;
        break;
      }
      default:
        throw new Error(name);
    }
    return ways;
  }

  return { first, steps, check, sort };
}

function placesOf(names: string[]): (name: string) => number {
  const places = new Map(names.map((name, i) => [name, i]));
  return (name) => {
    const place = places.get(name);
    if (place === undefined) throw new Error(`no step is "${name}"`);
    return place;
  };
}

/** All ways to choose so many of them, or all if there are fewer. */
function choices(from: number[], count: number): number[][] {
  if (count >= from.length) return [from];
  if (count <= 0) return [[]];
  const [one, ...others] = from;
  return [
    ...choices(others, count - 1).map((chosen) => [one as number, ...chosen]),
    ...choices(others, count),
  ];
}
