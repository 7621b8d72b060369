#!/usr/bin/env bash
# The one builder, and the set-up: npm packages and Rust tools -> the kernel -> the wrapper.
#
#   ./build.sh         set up what is missing, build what has changed
#   ./build.sh test    that, then every test; ends with "N passed, N failed"
#   ./build.sh lint    that, then every linter
#   ./build.sh wheel   that, then the Python package in target/wheel, from python/
#   ./build.sh scale   that, then its tests with Ray and Spark, and ruff; skipped where there is no Python
#   ./build.sh miri    the Rust tests under Miri, which looks for undefined behaviour
#   ./build.sh asan    the Rust tests with AddressSanitizer
#   ./build.sh fuzz    builds what npm run fuzz:kernel runs
#   ./build.sh exhaustive [--threads N]
#                      all 2^32 residuals at chosen thresholds
#   ./build.sh mutants [-f crate/exact.rs]
#                      changes the kernel in one place at a time, and looks whether a test fails
#   ./build.sh verify [PACKAGE]
#                      builds a copy of the sources at another path, and compares each file with dist/
#                      here, or with a package of that version (node_modules/smooth-l1)
#   ./build.sh audit [--offline]
#                      what is known against the crates and npm packages that are built with
#
# The Rust tools are built once and kept outside the tree, for every clone: in SMOOTH_L1_CACHE, else
# in ~/.cache/smooth-l1.
set -euo pipefail

WASM_PACK=0.15.0
WASM_BINDGEN=0.2.127 # the version of the crate in Cargo.toml
RUST=86              # Rust 1.86 is the oldest that wasm-bindgen-cli takes
NODE=20.19
CARGO_MUTANTS=27.1.0
CARGO_FUZZ=0.13.2
CARGO_DENY=0.20.2 # takes Rust 1.88, which only audits need
PYTHON=3.11 # what the newest NumPy takes; the package itself takes 3.10
TARGET=wasm32-unknown-unknown

say() { printf '==> %s\n' "$*"; }
fail() {
  printf 'build.sh: %s\n' "$*" >&2
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

task=${1:-build}
case $task in
build | test | lint | wheel | scale | miri | asan | fuzz | exhaustive | mutants | verify | audit) ;;
*) fail "'$task' is not a task: give none, test, lint, wheel, scale, miri, asan, fuzz, exhaustive, mutants, verify or audit" ;;
esac
cache=${SMOOTH_L1_CACHE:-${XDG_CACHE_HOME:-${HOME:?is not set: set SMOOTH_L1_CACHE}/.cache}/smooth-l1}
mkdir -p "$cache" || fail "cannot write to $cache: set SMOOTH_L1_CACHE to another directory"
cache=$(cd "$cache" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")"
mkdir -p target
[ -t 1 ] || export NO_COLOR=1

# ---- running things ---------------------------------------------------------------------------
# Nothing half-made keeps its final name: it grows as NAME.part.PID and is renamed when complete.
job=
tidy() {
  if [ -n "$job" ]; then
    kill -- "-$job" 2>/dev/null || true
    wait "$job" 2>/dev/null || true
  fi
  rm -rf "$cache"/*.part.$$
}
trap tidy EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# step NAME HINT COMMAND...: runs a long command with a clock and its last line of output. All of
# its output shows only if it fails, with HINT.
step() {
  local name=$1 hint=$2 log=target/build.log start=$SECONDS next=30 status=0
  shift 2
  [ -t 1 ] || say "$name"
  # Its own process group, so that an interruption ends all of it; without the locks, so that a
  # daemon that it leaves behind (a compiler cache) does not keep them.
  set -m
  "$@" >"$log" 2>&1 </dev/null 8>&- 9>&- &
  job=$!
  set +m
  while kill -0 "$job" 2>/dev/null; do
    if [ -t 1 ]; then
      printf '\r\033[K%.78s' "==> $name, $((SECONDS - start)) s: $(last_line "$log")"
    elif ((SECONDS - start >= next)); then
      printf '    %d s: %.70s\n' $((SECONDS - start)) "$(last_line "$log")"
      next=$((next + 30))
    fi
    sleep 0.2
  done
  wait "$job" || status=$?
  job=
  [ ! -t 1 ] || printf '\r\033[K'
  if [ $status != 0 ]; then
    tr '\r' '\n' <"$log" | grep -v '^ *Building \[' | tail -n 40 >&2 || true
    fail "$name: failed${hint:+. $hint}"
  fi
  if [ -t 1 ]; then
    say "$name: $((SECONDS - start)) s"
  elif ((SECONDS - start >= 2)); then
    printf '    done in %d s\n' $((SECONDS - start))
  fi
}
last_line() { tail -c 500 "$1" | tr '\r' '\n' | sed $'s/\033\\[[0-9;]*[A-Za-z]//g' | LC_ALL=C tr -cd '[:print:]\n' | grep . | tail -n 1 || true; }

# lock FD FILE: holds FILE's lock until FD is closed, at the latest when this script ends. A system
# without the flock program (macOS) has Perl, whose lock belongs to the open file just the same.
lock() {
  local take=(flock) try=(flock -n)
  if ! have flock; then
    # shellcheck disable=SC2016 # Perl's dollar
    take=(perl -e 'open F, ">&=", shift or die; exit !flock F, 2')
    # shellcheck disable=SC2016
    try=(perl -e 'open F, ">&=", shift or die; exit !flock F, 6')
  fi
  eval "exec $1>>\"\$2\""
  have "${take[0]}" || return 0
  "${try[@]}" "$1" && return
  say "waiting for another build.sh to finish"
  "${take[@]}" "$1"
}
locked() {
  lock 9 "$cache/lock"
  "$@"
  exec 9>&-
}

# Changes to the packages of the system. Asks for the password before the clock runs.
apt_install() {
  local sudo=()
  have apt-get || return 1
  if [ "$(id -u)" != 0 ]; then
    have sudo || fail "install these as root, then run this again: apt-get install $*"
    if [ -t 0 ]; then sudo -v; else sudo -n true 2>/dev/null; fi ||
      fail "sudo does not let you in here. Do this, then run this again: sudo apt-get install $*"
    sudo=(sudo -n)
  fi
  # --no-remove: what the user has installed stays.
  # shellcheck disable=SC2016 # expanded by the inner shell
  step "installing Debian's $*" "Rust from https://rustup.rs serves as well" \
    ${sudo[@]+"${sudo[@]}"} env DEBIAN_FRONTEND=noninteractive sh -ec '
      apt-get update -qq
      apt-get install -y --no-remove --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"' sh "$@"
}

# ---- set-up -----------------------------------------------------------------------------------
setup_npm() {
  local version
  if ! { have node && have npm; }; then fail "Node $NODE or later with npm is needed: https://nodejs.org"; fi
  version=$(node --version)
  if ! { [[ $version =~ ^v([0-9]+)\.([0-9]+) ]] &&
    ((BASH_REMATCH[1] * 1000 + BASH_REMATCH[2] >= ${NODE%.*} * 1000 + ${NODE#*.})); }; then
    fail "Node $version is too old: $NODE or later is needed"
  fi
  if ! cmp -s package-lock.json node_modules/.installed-lock; then
    rm -f node_modules/.installed-lock
    # --ignore-scripts: none of the packages needs one, and none may fetch anything by itself.
    step "installing npm packages" "If package.json has changed, npm install brings the lock file up to date" \
      npm ci --ignore-scripts --no-audit --no-fund
    cp package-lock.json node_modules/.installed-lock
  fi
}

# rust_serves RUSTC: is it new enough, and does it have the target?
rust_serves() {
  [[ $("$1" --version 2>/dev/null) =~ ^rustc\ 1\.([0-9]+) ]] && ((BASH_REMATCH[1] >= RUST)) &&
    compgen -G "$("$1" --print target-libdir --target $TARGET)/libcore-*.rlib" >/dev/null
}

# Debian has no standard library for the target, but its packages hold the source with its
# vendored dependencies. It is built once, and put into a sysroot beside the compiler's own
# libraries: /usr stays as the package manager left it.
debian_sysroot() { printf '%s/sysroot-%s' "$cache" "$(/usr/bin/rustc --version | tr -cs 'A-Za-z0-9.\n' -)"; }
debian_ready() { [ -x /usr/bin/cargo ] && [ -x /usr/bin/rustc ] && have wasm-ld-22 && [ -d "$(debian_sysroot)" ]; }
debian_std() {
  local out=$1 work=$1/work library dir
  library=$(cd /usr/lib/rustlib/src/rust/library && pwd -P)
  mkdir -p "$work/src" "$work/.cargo" "$out/bin" "$out/lib/rustlib/$TARGET/lib"
  printf '[package]\nname = "empty"\nversion = "0.0.0"\nedition = "2021"\n' >"$work/Cargo.toml"
  printf '#![no_std]\n' >"$work/src/lib.rs"
  printf '[source.crates-io]\nreplace-with = "vendored"\n[source.vendored]\ndirectory = "%s/vendor"\n' \
    "$library" >"$work/.cargo/config.toml"
  cd "$work"
  # RUSTC_BOOTSTRAP: -Zbuild-std is unstable. embed-bitcode: the release profile has lto = "fat".
  RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_ENCODED_RUSTFLAGS=$'-C\x1fembed-bitcode=yes' CARGO_TARGET_DIR="$work/target" \
    /usr/bin/cargo build --release --target $TARGET -Zbuild-std=std,panic_abort
  rm -f "target/$TARGET/release/deps/"libempty-*
  cp "target/$TARGET/release/deps/"lib*.rlib "$out/lib/rustlib/$TARGET/lib"
  for dir in /usr/lib/rustlib/*; do
    [ -e "$out/lib/rustlib/${dir##*/}" ] || ln -s "$dir" "$out/lib/rustlib/"
  done
  # shellcheck disable=SC2016 # a script's own variables
  printf '#!/bin/sh\nexec /usr/bin/rustc --sysroot "${0%%/bin/*}" "$@"\n' >"$out/bin/rustc"
  chmod +x "$out/bin/rustc"
  rm -rf "$work"
}
debian_install() {
  local part
  debian_ready && return
  if ! { [ -d /usr/lib/rustlib/src/rust/library/vendor ] && [ -x /usr/bin/cargo ] && have wasm-ld-22; }; then
    apt_install rustc-web cargo-web rust-web-src lld-22 ||
      fail "no Rust 1.$RUST or later with the target $TARGET: install Rust from https://rustup.rs, then run this again"
  fi
  part=$(debian_sysroot).part.$$
  step "building Rust's standard library for $TARGET (once)" "" debian_std "$part"
  mv "$part" "$(debian_sysroot)"
}
# Takes Debian's tools from here on. These alone, not all of /usr/bin: it may hold another node.
debian_path() {
  local sysroot tool
  sysroot=$(debian_sysroot)
  for tool in cargo rustdoc cargo-fmt rustfmt cargo-clippy clippy-driver; do
    [ ! -x "/usr/bin/$tool" ] || ln -sf "/usr/bin/$tool" "$sysroot/bin/$tool"
  done
  # SYSROOT is for clippy, which does not ask this rustc.
  export PATH="$sysroot/bin:$PATH" RUSTC="$sysroot/bin/rustc" RUSTDOC="$sysroot/bin/rustdoc" SYSROOT="$sysroot"
  export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld-22
}

rust_from=
setup_rust() {
  [ -z "$rust_from" ] || return 0
  rust_from=PATH
  if have cargo && rust_serves rustc; then return; fi
  if ! debian_ready; then
    if have rustup; then
      say "asking rustup for $TARGET"
      rustup target add $TARGET 8>&- || true
      if have cargo && rust_serves rustc; then return; fi
      if [[ $(rustc --version 2>/dev/null) =~ ^rustc\ 1\.([0-9]+) ]] && ((BASH_REMATCH[1] < RUST)); then
        fail "$(rustc --version) is too old, 1.$RUST or later is needed: rustup update"
      fi
      say "rustup cannot get it here: taking Debian's compiler"
    fi
    locked debian_install
  fi
  rust_from=Debian
  debian_path
}

# setup_tool CRATE VERSION PROGRAM
setup_tool() {
  local root=$cache/$1-$2
  if [ "$("$3" --version 2>/dev/null)" != "$3 $2" ]; then
    [ -x "$root/bin/$3" ] || locked install_tool "$1" "$2" "$3" "$root"
    export PATH="$root/bin:$PATH"
  fi
}
install_tool() {
  [ ! -x "$4/bin/$3" ] || return 0
  # opt-level 0: the tools work for a moment on a small file; optimizing them takes minutes.
  # One directory for all of them: they share libraries.
  step "building $1 $2 (once)" "" env CARGO_TARGET_DIR="$cache/build" CARGO_PROFILE_RELEASE_OPT_LEVEL=0 \
    CARGO_TERM_PROGRESS_WHEN=always CARGO_TERM_PROGRESS_WIDTH=70 \
    cargo install --locked "$1" --version "=$2" --bin "$3" --root "$4.part.$$" --no-track
  rm -rf "$4"
  mv "$4.part.$$" "$4"
}

# python_env NAME: sets $python to that of an environment with the packages of python/requirements/NAME.txt.
python_env() {
  local name root
  python=
  for name in python3 python3.14 python3.13 python3.12 python3.11; do
    if "$name" -c "import sys, venv; sys.exit(sys.version_info < (${PYTHON/./, }))" 2>/dev/null; then
      python=$(command -v "$name")
      break
    fi
  done
  [ -n "$python" ] || fail "there is no Python $PYTHON or later with venv here"
  root=$cache/python-$1-$({ "$python" --version && cat "python/requirements/$1.txt"; } | "${sha[@]}" | cut -c 1-12)
  # Its programs have its place in them: it cannot be renamed, so it is complete once it says so.
  [ -e "$root/complete" ] || locked install_python_env "$1" "$root"
  python=$root/bin/python
}
install_python_env() {
  [ ! -e "$2/complete" ] || return 0
  rm -rf "$2"
  # shellcheck disable=SC2016 # expanded by the inner shell
  step "installing the Python packages of python/requirements/$1.txt (once)" "" sh -ec '
    "$1" -m venv "$2"
    "$2/bin/python" -m pip install --no-input --disable-pip-version-check -r "$3"
    touch "$2/complete"' sh "$python" "$2" "python/requirements/$1.txt"
}

# ---- the build --------------------------------------------------------------------------------
# print_of FILE...: a fingerprint of these files, and of the files in these directories.
if have sha256sum; then sha=(sha256sum); else sha=(shasum -a 256); fi
print_of() { find "$@" -type f | LC_ALL=C sort | tr '\n' '\0' | xargs -0 "${sha[@]}" | "${sha[@]}"; }
# The fingerprint is removed before a build and written after it: an interrupted one is not taken
# for a complete one.
fresh() { [ "$(cat "target/$1.print" 2>/dev/null)" = "$2" ]; }

# simd128: the kernel is written for it. import-memory: JavaScript owns the memory.
wasm_flags="-C target-feature=+simd128 -C link-arg=--import-memory"
kernel() {
  # --no-opt: wasm-pack would download wasm-opt. --no-pack: pkg/ is not a package to publish.
  RUSTFLAGS=$wasm_flags wasm-pack build --mode no-install --target web --no-opt --no-pack --release \
    --out-name smooth_l1 . -- --locked
}
# The worker is a file, and text in the package for hosts that do not find the file.
worker_script() {
  esbuild ts/worker.ts --bundle --minify --target=es2022 --format=iife --log-level=warning --outfile=target/worker.js
  node - >ts/generated/worker.ts <<'END'
    const text = require("node:fs").readFileSync("target/worker.js", "utf8").trim();
    console.log(`// Written by build.sh: worker.ts as a script.\nexport const script = ${JSON.stringify(text)};`);
END
}
declarations() {
  find dist -type f ! -name '*.wasm' -exec rm -f {} +
  rm -rf dist/cli
  tsc -p tsconfig.build.json --noEmit false --declaration --emitDeclarationOnly --outDir target/declarations
  # One file with the public names alone.
  dts-bundle-generator --silent --no-check --export-referenced-types=false --project tsconfig.build.json \
    -o target/index.d.ts ts/index.ts
  # Without this line KernelArray is any where a project's lib has no Disposable.
  { printf '/// <reference lib="esnext.disposable" />\n' && cat target/index.d.ts; } >dist/index.d.ts
  # The same for CommonJS: TypeScript tells the two by the name of the file.
  cp dist/index.d.ts dist/index.d.cts
  # These share the types of the main entry.
  local entry
  for entry in tfjs arrow; do
    sed "s/'#core'/'smooth-l1'/g" target/declarations/$entry.d.ts >dist/$entry.d.ts
    cp dist/$entry.d.ts dist/$entry.d.cts
  done
  # The worker is a script: it exports nothing.
  printf 'export {};\n' >dist/worker.d.ts
  cp ts/wasm.d.ts dist/wasm.d.ts
}
bundle() {
  # Minified, and without source maps, which would be three quarters of the package.
  local entry format common=(--bundle --minify --target=es2022 --platform=neutral '--external:node:*' --log-level=warning)
  esbuild ts/index.ts "${common[@]}" --format=esm --outfile=dist/index.js
  esbuild ts/index.ts "${common[@]}" --format=cjs --conditions=commonjs --outfile=dist/index.cjs
  # The same names, without WebAssembly.
  esbuild ts/index.ts "${common[@]}" --format=esm --conditions=reference --outfile=dist/reference.js
  esbuild ts/index.ts "${common[@]}" --format=cjs --conditions=reference --outfile=dist/reference.cjs
  # Hosts that refuse to compile bytes import the module as it is.
  esbuild ts/index.ts "${common[@]}" --format=esm --conditions=workerd '--external:*.wasm' --outfile=dist/index.workerd.js
  # They share the kernel of the package's main entry.
  for entry in tfjs arrow; do
    for format in esm cjs; do
      esbuild ts/$entry.ts "${common[@]}" --format=$format --external:#core '--external:@tensorflow/*' |
        sed 's/"#core"/"smooth-l1"/g' >"dist/$entry.$([ $format = esm ] && echo js || echo cjs)"
    done
  done
  cp target/worker.js dist/worker.js
  command_line
}
# The command and, in files of their own, what it loads when a file needs it: libraries are in them, so that the
# package needs no other. It imports the package's main entry.
command_line() {
  # CommonJS libraries ask for Node's modules by require.
  local banner='import{createRequire}from"node:module";const require=createRequire(import.meta.url);'
  esbuild cli=cli/main.ts --bundle --splitting --minify --legal-comments=none --format=esm --platform=node \
    --target=node$NODE --alias:#core=smooth-l1 --external:smooth-l1 --banner:js="$banner" --log-level=warning \
    --outdir=dist '--chunk-names=cli/[name]-[hash]' --metafile=target/cli.json
  chmod +x dist/cli.js
  node cli/licences.mjs target/cli.json >dist/cli/LICENCES.txt
}
sums() {
  (cd dist && find . -type f ! -name SHA256SUMS | cut -c 3- | LC_ALL=C sort | xargs "${sha[@]}") >target/SHA256SUMS
  mv target/SHA256SUMS dist/SHA256SUMS
}
build() {
  local now built=
  lock 8 target/build.lock
  setup_npm
  now=$(print_of crate Cargo.toml Cargo.lock build.sh node_modules/binaryen/package.json)
  if ! { fresh kernel "$now" && [ -e dist/smooth_l1.wasm ] && [ -e ts/generated/kernel.ts ] && [ -e python/smooth_l1/_job.py ]; }; then
    built=1
    rm -f target/kernel.print
    setup_rust
    setup_tool wasm-bindgen-cli $WASM_BINDGEN wasm-bindgen
    setup_tool wasm-pack $WASM_PACK wasm-pack
    [ ! -d "$cache/build" ] || locked rm -rf "$cache/build"
    step "compiling the kernel (wasm-pack)" "" kernel
    say "stripping, checking and embedding it"
    node crate/link.mjs
    printf %s "$now" >target/kernel.print
  fi
  worker_script
  now=$(print_of ts cli tsconfig.json tsconfig.build.json package.json package-lock.json build.sh)
  if ! { fresh wrapper "$now" && [ -e dist/index.js ] && [ -e dist/index.d.ts ] && [ -e dist/cli.js ]; }; then
    built=1
    rm -f target/wrapper.print
    say "checking the wrapper's types (tsc), bundling it (esbuild)"
    declarations || fail "the wrapper does not fit its types or the kernel's: see above"
    bundle
    sums
    printf %s "$now" >target/wrapper.print
  fi
  [ -n "$built" ] || say "nothing to build"
  exec 8>&-
}

# ---- the tasks --------------------------------------------------------------------------------
run_tests() {
  local status=0 ts_status=0
  rm -f target/tests.count target/vitest.json
  setup_rust
  say "Rust tests"
  cargo test --locked --no-fail-fast 2>&1 | tee target/cargo-test.log || status=1
  grep -q '^test result:' target/cargo-test.log || fail "the Rust tests did not run: see above"
  [ $status = 0 ] || grep -q '^test result: .*FAILED' target/cargo-test.log || fail "a Rust test program broke off: see above"
  say "TypeScript tests"
  vitest run --reporter=default --reporter=json --outputFile.json=target/vitest.json || ts_status=1
  [ -e target/vitest.json ] || fail "the TypeScript tests did not run: see above"
  TS_STATUS=$ts_status node - <<'END' || status=1
    const { readFileSync, writeFileSync } = require("node:fs");
    let [passed, failed, skipped] = [0, 0, 0];
    const rust = readFileSync("target/cargo-test.log", "utf8");
    for (const [, p, f, s] of rust.matchAll(/^test result: .*? (\d+) passed; (\d+) failed; (\d+) ignored/gm)) {
      passed += +p;
      failed += +f;
      skipped += +s;
    }
    const ts = JSON.parse(readFileSync("target/vitest.json", "utf8"));
    passed += ts.numPassedTests;
    failed += ts.numFailedTests;
    skipped += ts.numPendingTests + ts.numTodoTests;
    // A file that did not load has no failed test in it, an error outside the tests no place at all.
    const files = ts.testResults.filter((f) => f.status === "failed" && f.assertionResults.every((t) => t.status !== "failed"));
    failed += files.length;
    if (process.env.TS_STATUS !== "0" && ts.numFailedTests + files.length === 0) failed += 1;
    const count = `${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ""}\n`;
    writeFileSync("target/tests.count", count);
    process.stdout.write(count);
    const none = ts.numPassedTests + ts.numFailedTests === 0;
    if (none) console.error("build.sh: no TypeScript test ran");
    process.exit(failed || none ? 1 : 0);
END
  [ $status = 0 ] || fail "not every test passed"
}

build_wheel() {
  local python
  python_env wheel
  rm -rf target/wheel
  say "the Python package"
  "$python" -m pip wheel --quiet --disable-pip-version-check --no-build-isolation --no-deps --wheel-dir target/wheel ./python
  ls target/wheel/*.whl
}

run_scale() {
  local python status=0
  rm -rf target/scale.count target/pytest.xml target/python
  if ! (python_env test && python_env wheel); then
    say "skipped: the tests of the Python package, which need Python $PYTHON or later and what pip installs"
    echo '0 passed, 0 failed, 1 skipped' >target/scale.count
    return
  fi
  build_wheel
  python_env test
  # Beside the tree, as its users have it.
  "$python" -m pip install --quiet --disable-pip-version-check --no-deps --target target/python target/wheel/*.whl
  say "ruff"
  "$python" -m ruff check --no-cache python examples ||
    fail "ruff complains; some of it mends itself: ruff check --fix"
  "$python" -m ruff format --no-cache --check python examples || fail "not formatted: ruff format"
  say "Python tests"
  # From here, and -P: neither this Python nor the workers of Ray find the sources, which have no module.
  PYTHONPATH=$PWD/target/python PYTHONDONTWRITEBYTECODE=1 \
    "$python" -P -m pytest -c python/pyproject.toml --rootdir python --junit-xml=target/pytest.xml python/tests || status=1
  [ -e target/pytest.xml ] || fail "the Python tests did not run: see above"
  "$python" - <<'END' | tee target/scale.count
import xml.etree.ElementTree as tree
suite = tree.parse("target/pytest.xml").find("testsuite")
total, skipped = (int(suite.get(name)) for name in ("tests", "skipped"))
failed = int(suite.get("failures")) + int(suite.get("errors"))
print(f"{total - failed - skipped} passed, {failed} failed, {skipped} skipped")
END
  [ $status = 0 ] || fail "not every Python test passed"
}

has_linters() { cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1; }
setup_linters() {
  has_linters && return
  if [ "$rust_from" = Debian ]; then
    locked apt_install rustfmt-web rust-web-clippy
    debian_path
  elif have rustup; then
    step "adding rustfmt and clippy (rustup)" "" rustup component add rustfmt clippy
  fi
  has_linters || fail "rustfmt and clippy are needed: install Rust from https://rustup.rs"
}
run_linters() {
  setup_rust
  setup_linters
  say "rustfmt"
  cargo fmt --check || fail "not formatted: npm run format"
  say "clippy"
  cargo clippy --locked --all-targets --quiet -- -D warnings || fail "clippy complains: see above"
  RUSTFLAGS=$wasm_flags cargo clippy --locked --lib --target $TARGET --quiet -- -D warnings ||
    fail "clippy complains about the code for $TARGET: see above"
  cargo clippy --locked --manifest-path bench/native/Cargo.toml --target-dir target/bench-native --quiet -- -D warnings ||
    fail "clippy complains about bench/native: see above"
  say "biome"
  biome check --error-on-warnings || fail "biome complains; this mends what can be mended by itself: npm run format"
  say "tsc"
  tsc -p tsconfig.json || fail "a type is wrong: see above"
  if have shellcheck; then
    say "shellcheck"
    shellcheck build.sh .ci/run site/run.sh test/engines/run.sh test/engines/arm64.sh || fail "shellcheck complains: see above"
  fi
  say "no complaints"
}

run_miri() {
  cargo +nightly miri --version >/dev/null 2>&1 ||
    fail "there is no Miri here. With rustup: rustup toolchain install nightly --component miri,rust-src"
  # disable-isolation: the tests read their vectors from files.
  MIRIFLAGS=${MIRIFLAGS:--Zmiri-disable-isolation} cargo +nightly miri test --locked
}

run_asan() {
  cargo +nightly --version >/dev/null 2>&1 || fail "there is no nightly Rust here: rustup toolchain install nightly"
  # A target of its own: otherwise build scripts and macros would have the sanitizer too.
  RUSTFLAGS=-Zsanitizer=address cargo +nightly test --locked --test kernel \
    --target "$(rustc +nightly -vV | sed -n 's/^host: //p')"
}

run_fuzz() {
  local out=target/fuzz-kernel
  setup_npm
  setup_rust
  cargo +nightly --version >/dev/null 2>&1 || fail "there is no nightly Rust here: rustup toolchain install nightly"
  setup_tool cargo-fuzz $CARGO_FUZZ cargo-fuzz
  [ ! -d "$cache/build" ] || locked rm -rf "$cache/build"
  cargo fetch --locked --quiet --manifest-path test/kernel/fuzz/Cargo.toml
  # no-trace-compares: a job has no number to be guessed, and looking for them takes most of the time.
  step "building the search, with AddressSanitizer" "" \
    cargo +nightly fuzz build --no-trace-compares --fuzz-dir test/kernel/fuzz --target-dir $out kernel
  ln -sf "$(rustc +nightly -vV | sed -n 's/^host: //p')/release/kernel" $out/kernel
}

run_exhaustive() {
  setup_rust
  # For this processor: twice as fast, with the same bits, since Rust fuses no operations.
  RUSTFLAGS="-C target-cpu=native" cargo run --locked --release --quiet --target-dir target/exhaustive \
    --example exhaustive -- "$@"
}

run_mutants() {
  local copy=target/mutants
  setup_rust
  setup_tool cargo-mutants $CARGO_MUTANTS cargo-mutants
  [ ! -d "$cache/build" ] || locked rm -rf "$cache/build"
  mkdir -p "$copy"
  rm -rf "${copy:?}"/{crate,test}
  mkdir "$copy/test"
  cp -R crate Cargo.toml Cargo.lock "$copy"
  cp -R test/kernel test/kernel.rs test/exhaustive.rs "$copy/test"
  node test/mutants/kernel/safe.mjs "$copy/crate"
  # What only WebAssembly has is not compiled here.
  (cd "$copy" && cargo-mutants mutants --list --json --exclude-re 'wasm::|exports::' "$@") >"$copy/list.json"
  cargo run --locked --quiet --manifest-path test/mutants/kernel/Cargo.toml --target-dir target/mutants-tool -- "$copy"
  node test/mutants/kernel/run.mjs "$copy"
}

run_verify() {
  local package=${1:-.} copy=$cache/verify.part.$$
  [ -e "$package/dist/SHA256SUMS" ] || fail "$package has no dist/SHA256SUMS: give the folder of the package"
  mkdir "$copy"
  git ls-files -z --cached --others --exclude-standard | tar --null -T - -cf - | tar -xf - -C "$copy"
  step "building the same sources at $copy" "" bash "$copy/build.sh"
  (cd "$package/dist" && "${sha[@]}" -c SHA256SUMS >/dev/null) || fail "$package/dist has not the files of its SHA256SUMS"
  diff "$package/dist/SHA256SUMS" "$copy/dist/SHA256SUMS" ||
    fail "these files differ. Other versions of Rust make other modules: here it is $(rustc --version)"
  say "the same bits: $(grep -c . "$copy/dist/SHA256SUMS") files, built by $(rustc --version)"
}

run_audit() {
  setup_npm
  setup_rust
  setup_tool cargo-deny $CARGO_DENY cargo-deny
  [ ! -d "$cache/build" ] || locked rm -rf "$cache/build"
  say "cargo-deny: licenses, sources, duplicates"
  cargo-deny check bans licenses sources || fail "a crate is not what deny.toml accepts: see above"
  if [ "${1:-}" = --offline ]; then
    say "nobody was asked for advisories, on crates or on npm packages (--offline)"
    return
  fi
  say "cargo-deny: advisories"
  cargo-deny check advisories || fail "there are advisories, or nobody to ask: see above. The rest: npm run audit -- --offline"
  say "npm audit"
  npm audit || fail "there are advisories, or nobody to ask: see above"
}

case $task in
miri | asan | fuzz)
  "run_$task"
  exit
  ;;
exhaustive | mutants)
  "run_$task" "${@:2}"
  exit
  ;;
audit)
  run_audit "${2:-}"
  exit
  ;;
esac
export PATH="$PWD/node_modules/.bin:$PATH"
build
case $task in
test) run_tests ;;
lint) run_linters ;;
verify) run_verify "${2:-}" ;;
wheel) build_wheel ;;
scale) run_scale ;;
esac
