// The protocol of the threads, in every order of its steps, with every fault at every place. The
// model has the steps of the code; that a mistake in it is found is shown by making some.
import { describe, expect, test, vi } from 'vitest';
import { explore, type Program, program, type Size } from './threads/model.ts';

vi.setConfig({ testTimeout: 300_000 });

const small: Size = { workers: 1, pieces: 4, jobs: 2, pools: 1, cores: 2, faults: 1 };
const pair: Size = { workers: 2, pieces: 2, jobs: 1, pools: 1, cores: 3, faults: 1 };

const withOrders: Size = { ...small, pieces: 2, orders: 1 };

const sizes: [string, Size][] = [
  ['one worker, four pieces, two calls', small],
  ['one worker, and another pool after the first', { ...small, pieces: 1, pools: 2 }],
  ['two workers, two calls', { ...pair, jobs: 2 }],
  ['two workers, four pieces, one call', { ...pair, pieces: 4 }],
  ['two workers that fail both', { ...pair, faults: 2 }],
  ['one worker, and orders', withOrders],
  ['two workers, and orders', { ...pair, pieces: 1, orders: 1, faults: 0 }],
  ['more threads than cores', { ...pair, jobs: 2, cores: 2, faults: 0 }],
];

describe('nothing goes wrong', () => {
  test.each(sizes)('%s', (name, size) => {
    const { states, ...outcome } = explore(size);
    console.log(`${name}: ${states} states`);
    expect(outcome).toEqual({});
    // At least so many: this shows a search that stopped early.
    expect(states).toBeGreaterThan(20_000);
  });
});

const moved = (steps: readonly string[], step: string, before: string): string[] => {
  const others = steps.filter((other) => other !== step);
  return others.toSpliced(others.indexOf(before), 0, step);
};
const without = (steps: readonly string[], step: string): string[] =>
  steps.filter((other) => other !== step);
const { publish, tell, look, take, piece, sleep } = program;

const mistakes: [string, Partial<Program>, string, Size?][] = [
  ['a worker sleeps without comparing BELL', { sleepCompares: false }, 'a wake-up is lost'],
  [
    'BELL is read after the look at CLAIM',
    { look: without(look, 'read BELL'), sleep: ['read BELL', ...sleep] },
    'a wake-up is lost',
  ],
  [
    'BELL is read after the look at RETIRED',
    { look: ['read RETIRED', 'read BELL'] },
    'a worker of a pool that is over sleeps for ever',
  ],
  [
    'AWAKE is read before BELL rings',
    { publish: moved(publish, 'read AWAKE', 'BELL + 1') },
    'a wake-up is lost',
  ],
  [
    'BELL rings before there is a claim',
    { publish: moved(publish, 'BELL + 1', 'CLAIM = pieces') },
    'a wake-up is lost',
  ],
  ['BELL does not ring', { publish: without(publish, 'BELL + 1') }, 'a wake-up is lost'],
  ['nobody is woken', { publish: without(publish, 'notify') }, 'a wake-up is lost'],
  [
    'pieces are offered before the job is written',
    { publish: moved(publish, 'CLAIM = pieces', 'write the job') },
    'a data race',
  ],
  [
    'pieces are offered before the flags are cleared',
    { publish: moved(publish, 'CLAIM = pieces', 'clear the flags') },
    'a data race',
  ],
  [
    'the flags of the last job stay',
    { publish: without(publish, 'clear the flags') },
    'the total is wrong',
  ],
  [
    'DONE is cleared when pieces are offered already',
    { publish: moved(publish, 'DONE = 0', 'BELL + 1') },
    'the caller waits for what nobody does',
  ],
  [
    'pieces are claimed without a comparison',
    { claimCompares: false },
    'two threads have the same piece',
  ],
  ['the job is read before the claim', { look: [...look, ...take], take: [] }, 'a data race'],
  [
    'a piece is flagged before its sums are there',
    { piece: moved(piece, 'set flag', 'write sums') },
    'the total is wrong',
  ],
  [
    'pieces are counted before their sums are there',
    { piece: ['look at RETIRED', 'compute', 'DONE + share', 'write sums', 'set flag'], finish: [] },
    'the total is wrong',
  ],
  ['pieces are not counted', { finish: [] }, 'the caller waits for what nobody does'],
  [
    'a worker does not look at RETIRED between pieces',
    { piece: without(piece, 'look at RETIRED') },
    'a worker begins a piece after RETIRED',
  ],
  [
    'one failed worker ends the wait for the others',
    { waitsForOthers: false },
    'a worker writes results after the call',
    pair,
  ],
  [
    'the caller returns as soon as it has given up',
    { waitsForLate: false },
    'a worker writes results after the call',
  ],
  [
    'a worker that is late does not say that it stops',
    { stop: [] },
    'the caller waits for what nobody does',
  ],
  [
    'the memory of a lost pool is used again at once',
    { keepsMemory: false },
    'a worker uses memory that its pool has given back',
    { ...small, pools: 2 },
  ],
  [
    'ORDERS is read before BELL',
    { look: moved(look, 'read ORDERS', 'read BELL') },
    'a worker sleeps, and there are orders for it',
    withOrders,
  ],
  [
    'BELL rings before ORDERS has changed',
    { tell: moved(tell, 'BELL + 1, for orders', 'ORDERS + 1') },
    'a worker sleeps, and there are orders for it',
    withOrders,
  ],
  [
    'a place is used before all workers know it',
    { awaitsAnswers: false },
    'a worker does not know the place of its job',
    withOrders,
  ],
  ['the caller is patient', { hasDeadline: false }, 'the caller waits for ever'],
];

describe('a mistake is found', () => {
  test.each(mistakes)('%s', (_, mistake, wrong, size = small) => {
    const outcome = explore(size, { ...program, ...mistake });
    expect(outcome.wrong).toBe(wrong);
    expect(outcome.steps?.length).toBeGreaterThan(0);
  });
});
