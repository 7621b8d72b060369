// A user's application, for the bundlers.
import * as smooth from 'smooth-l1';
import { report } from './report.js';
import { smoke } from './smoke.js';

report(async (vectors) => [await smoke(smooth, 'default', vectors)]);
