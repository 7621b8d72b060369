#!/usr/bin/env node
// The command `smooth-l1`: what it is asked to do, and how it ends.
import { readFileSync } from 'node:fs';
import { HELP, parseArguments, settingsOf } from './arguments.ts';
import { DataError, UsageError } from './errors.ts';
import { isClosedPipe, print } from './print.ts';

async function main(args: string[]): Promise<void> {
  const { values, positionals } = parseArguments(args);
  if (values.help) return print(HELP);
  if (values.version) {
    const manifest = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
    return print(`${JSON.parse(manifest).version}\n`);
  }
  if (positionals[0] === 'merge') {
    const files = positionals.slice(1);
    if (files.length === 0) throw new UsageError('merge: say which files, written by --partial');
    const others = Object.keys(values).filter((name) => name !== 'json' && name !== 'partial');
    if (others.length > 0)
      throw new UsageError(`merge: --${others[0]} has no use; the files say which loss it is`);
    const { merge } = await import('./merge.ts');
    return merge({ files, json: values.json === true, partial: values.partial });
  }
  const settings = settingsOf(values, positionals);
  const { run } = await import('./run.ts');
  return run(settings);
}

main(process.argv.slice(2)).catch((error: NodeJS.ErrnoException) => {
  // Standard input would keep the process.
  process.stdin.destroy();
  if (isClosedPipe(error)) return;
  const isUsage = error instanceof UsageError;
  // Of the system, and of the data; anything else is a defect, which its stack helps to mend.
  const isKnown = isUsage || error instanceof DataError || error.code !== undefined;
  process.stderr.write(`smooth-l1: ${isKnown ? error.message : error.stack}\n`);
  if (isUsage) process.stderr.write('smooth-l1 --help lists the arguments\n');
  process.exitCode = isUsage ? 2 : 1;
});
