// Projects as users make them, one after the other: `npm run test:projects` tries all, `npm run
// test:projects next vite` those whose name has one of the words. A line for each tells how it went;
// what cannot be had here is skipped by its name. SMOOTH_L1_KEEP=1 keeps their folders.
import { closeServers } from '../engines/browsers.ts';
import { close } from '../engines/checks.ts';
import { checkBundlers } from './bundlers.ts';
import { checkFrameworks } from './frameworks.ts';
import { pack } from './project.ts';
import { checkTools } from './tools.ts';

await pack();
await checkTools();
await checkBundlers();
await checkFrameworks();
closeServers();
close();
