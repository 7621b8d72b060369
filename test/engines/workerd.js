// The suite in workerd: bundled as wrangler bundles a worker, and run by `workerd test`.
import * as smooth from 'smooth-l1';
import outside from '../vectors/outside.json';
import vectors from '../vectors/vectors.json';
import { smoke } from './smoke.js';

export default {
  async test(_, { BACKEND }) {
    console.log(JSON.stringify(await smoke(smooth, BACKEND, [vectors, outside])));
  },
};
