#!/usr/bin/env bash
# The package as it is packed, in every engine and bundler that is here.
#
#   run.sh              all of them
#   run.sh bun firefox  those whose name has one of the words
#
# Chromium, Firefox and WebKitGTK are those of the system (Debian: chromium firefox-esr
# webkit2gtk-driver xvfb xauth); all else comes from npm. What is not here is skipped, with a sentence.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

if ! cmp -s package-lock.json node_modules/.installed-lock; then
  echo '==> installing engines and bundlers (over a gigabyte)'
  # --ignore-scripts: none may fetch anything by itself.
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
  cp package-lock.json node_modules/.installed-lock
fi

# What npm would publish, put where everything here finds it.
work=../../target/engines
rm -rf "$work" node_modules/smooth-l1
mkdir -p "$work" node_modules/smooth-l1
(cd ../.. && npm pack --ignore-scripts --silent --pack-destination target/engines) >/dev/null
mv "$work"/smooth-l1-*.tgz "$work/smooth-l1.tgz"
tar -xzf "$work/smooth-l1.tgz" -C node_modules/smooth-l1 --strip-components=1

exec ../../node_modules/.bin/tsx run.ts "$@"
