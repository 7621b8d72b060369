// node safe.mjs DIRECTORY: makes the unsafe functions of these Rust files safe ones with an unsafe block, on the
// same lines. cargo-mutants leaves unsafe functions alone, and all of the kernel is in them.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

const [directory] = process.argv.slice(2);
for (const name of readdirSync(directory).filter((name) => name.endsWith('.rs'))) {
  const file = `${directory}/${name}`;
  const lines = readFileSync(file, 'utf8').split('\n');
  // wasm-bindgen and an allocator want theirs as they are.
  const end = lines.indexOf('mod exports {') + 1 || lines.length;
  for (let first = 0; first < end; first++) {
    if (!/^ *(pub(\(crate\))? )?unsafe fn /.test(lines[first])) continue;
    lines[first] = lines[first].replace('unsafe fn', 'fn');
    let open = first;
    while (!/[;{]$/.test(lines[open])) open++;
    if (lines[open].endsWith(';')) continue;
    lines[open] += ' unsafe {';
    const indent = /^ */.exec(lines[first])[0];
    lines[lines.indexOf(`${indent}}`, open)] += '}';
  }
  writeFileSync(file, lines.join('\n'));
}
