#!/usr/bin/env bash
# The site: set up, built, and then
#
#   run.sh open   served on this machine, with the headers that threads need
#   run.sh build  left in target/site, for any static host
#   run.sh test   tried in the browsers that are here
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

task=${1:-build}
case $task in
open | build | test) ;;
*)
  echo "run.sh: '$task' is not a task: give open, build or test" >&2
  exit 1
  ;;
esac
bash ../build.sh
if ! cmp -s package-lock.json node_modules/.installed-lock; then
  echo '==> installing the npm packages of the site'
  # --ignore-scripts: none may fetch anything by itself.
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
  cp package-lock.json node_modules/.installed-lock
fi
bin=node_modules/.bin
echo '==> building the site: target/site'
$bin/tsc -p tsconfig.json --noEmit
rm -rf ../target/site/assets
$bin/vite build --logLevel warn
# The pages of the documentation, if anything has changed that they are made of.
print=$(find docs ../README.md ../CHANGELOG.md ../docs ../dist package-lock.json -type f -not -path 'docs/pages/*' \
  -not -name '*.js' -not -name '*.cjs' -print0 | LC_ALL=C sort -z | xargs -0 cat | cksum)
if [ "$(cat ../target/docs.print 2>/dev/null)" != "$print" ]; then
  echo '==> building the documentation: target/site/docs'
  rm -f ../target/docs.print
  ../node_modules/.bin/tsx docs/generate.ts
  $bin/vitepress build docs
  printf %s "$print" >../target/docs.print
fi
case $task in
open) exec $bin/vite preview --open ;;
test)
  status=0
  rm -f ../target/site.count
  ../node_modules/.bin/vitest run --config vitest.config.ts --reporter=default \
    --reporter=json --outputFile.json=../target/site.json || status=$?
  node - >../target/site.count <<'END'
    const { numPassedTests, numFailedTests, numPendingTests } = require("../target/site.json");
    console.log(`${numPassedTests} passed, ${numFailedTests} failed, ${numPendingTests} skipped`);
END
  cat ../target/site.count
  exit $status
  ;;
esac
