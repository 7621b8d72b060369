// The suite in a page without any bundler, once for each backend.
import { report } from './report.js';
import { smoke } from './smoke.js';

report(async (vectors, query) => {
  const found = [];
  for (const backend of query.get('backends').split(',')) {
    const smooth = await import(`${query.get('from') ?? '/smooth-l1/'}index.js?${backend}`);
    const worker = query.get('worker');
    const createWorker = () => new Worker(worker + location.search, { type: 'module' });
    found.push(await smoke(smooth, backend, vectors, worker ? { createWorker } : {}));
  }
  return found;
});
