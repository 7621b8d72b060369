// The licences of the packages that are bundled into the command line: licences.mjs METAFILE.
import { readdirSync, readFileSync } from 'node:fs';

const { inputs } = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const packages = new Set(
  Object.keys(inputs).flatMap(
    (path) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? [],
  ),
);
console.log('The command line has these packages in it, unchanged but for their size.');
for (const name of [...packages].sort()) {
  const folder = `node_modules/${name}`;
  const { version, license, author } = JSON.parse(readFileSync(`${folder}/package.json`, 'utf8'));
  const file = readdirSync(folder).find((each) => /^(licen[cs]e|copying)/i.test(each));
  const by = typeof author === 'string' ? author : author?.name;
  console.log(`\n${'='.repeat(80)}\n${name} ${version}: ${license}\n`);
  // Some say it in their package.json alone.
  console.log(file ? readFileSync(`${folder}/${file}`, 'utf8').trim() : `Copyright ${by ?? name}`);
}
