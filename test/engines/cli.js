// The suite in Node, Deno and Bun. Takes a backend; prints what was found, and must then end by itself.
import { readFileSync } from 'node:fs';
import * as smooth from 'smooth-l1';
import { smoke } from './smoke.js';

const vectors = ['vectors', 'outside'].map((name) =>
  readFileSync(new URL(`../vectors/${name}.json`, import.meta.url), 'utf8'),
);
console.log(JSON.stringify(await smoke(smooth, process.argv[2], vectors)));
