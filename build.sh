#!/usr/bin/env bash
# The one builder, and the set-up: toolchain -> wasm-pack -> strip and embed -> tsc.
#
#   ./build.sh         set up what is missing, build what has changed
#   ./build.sh test    build, then every test
#   ./build.sh lint    build, then the linters
#
# Tools are installed once, outside the tree: SMOOTH_L1_CACHE, else ~/.cache/smooth-l1.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

WASM_PACK=0.15.0
WASM_BINDGEN=0.2.127 # the version of the crate in Cargo.toml
TARGET=wasm32-unknown-unknown
cache=${SMOOTH_L1_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/smooth-l1}
mkdir -p "$cache" target

say() { printf '==> %s\n' "$*"; }
fail() {
  printf 'build.sh: %s\n' "$*" >&2
  exit 1
}
# step NAME COMMAND...: runs a long command with a clock; its output shows only if it fails.
step() {
  local name=$1 log start=$SECONDS pid
  shift
  log=$(mktemp "$cache/log.XXXXXX")
  "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    if [ -t 1 ]; then
      printf '\r\033[K==> %s ... %ds  %.60s' "$name" $((SECONDS - start)) "$(tail -n 1 "$log" | tr -cd '[:print:]')"
    elif (((SECONDS - start) % 30 == 29)); then
      printf '    %s: %d s so far\n' "$name" $((SECONDS - start))
      sleep 0.6
    fi
    sleep 0.4
  done
  if wait "$pid"; then
    [ -t 1 ] && printf '\r\033[K'
    say "$name: done in $((SECONDS - start)) s"
    rm -f "$log"
  else
    [ -t 1 ] && printf '\r\033[K'
    tail -n 40 "$log" >&2
    fail "$name failed (all of its output: $log)"
  fi
}

# ---- Rust -------------------------------------------------------------------------------------
has_target() { ls "$("$1" --print sysroot 2>/dev/null)/lib/rustlib/$TARGET/lib/"libcore-*.rlib >/dev/null 2>&1; }
# Debian has no rlibs of the target, but its packages hold the source and vendored dependencies of
# the standard library. Built once and put beside the compiler's own, they make the target ordinary.
debian_packages() {
  local sudo=""
  [ "$(id -u)" = 0 ] || sudo=sudo
  $sudo apt-get update -qq &&
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      rustc-web cargo-web rust-web-src lld-22
}
debian_std() {
  local src=/usr/lib/rustlib/src/rust/library work=$cache/std sudo="" lib
  [ -w /usr/lib ] || sudo=sudo
  rm -rf "$work" && mkdir -p "$work/src" "$work/.cargo"
  printf '[package]\nname = "empty"\nversion = "0.0.0"\nedition = "2021"\n' >"$work/Cargo.toml"
  printf '#![no_std]\n' >"$work/src/lib.rs"
  printf '[source.crates-io]\nreplace-with = "vendored"\n[source.vendored]\ndirectory = "%s"\n' \
    "$(realpath "$src/vendor")" >"$work/.cargo/config.toml"
  # RUSTC_BOOTSTRAP: -Zbuild-std is unstable. embed-bitcode: the release profile has lto = "fat".
  (cd "$work" && PATH="/usr/bin:$PATH" RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS="-C embed-bitcode=yes" \
    CARGO_TARGET_DIR="$work/target" /usr/bin/cargo build --release --target $TARGET -Zbuild-std=std,panic_abort)
  lib=$(/usr/bin/rustc --print sysroot)/lib/rustlib/$TARGET/lib
  $sudo mkdir -p "$lib"
  $sudo cp "$work/target/$TARGET/release/deps/"lib*.rlib "$lib/"
  $sudo rm -f "$lib"/libempty-*.rlib
  rm -rf "$work"
}
setup_rust() {
  if command -v rustc >/dev/null && has_target rustc; then
    return
  fi
  if [ ! -e "$cache/rustup-refused" ] && command -v rustup >/dev/null; then
    say "Rust: asking rustup for $TARGET"
    if timeout 120 rustup target add $TARGET >/dev/null 2>&1; then
      return
    fi
    say "rustup cannot download the target here; taking Debian's compiler instead"
    touch "$cache/rustup-refused"
  fi
  if ! { [ -x /usr/bin/rustc ] && [ -d /usr/lib/rustlib/src/rust/library/vendor ] && command -v wasm-ld-22 >/dev/null; }; then
    command -v apt-get >/dev/null ||
      fail "no Rust for $TARGET: install rustup (https://rustup.rs), then: rustup target add $TARGET"
    step "installing Debian's Rust (rustc-web, cargo-web, rust-web-src, lld-22)" debian_packages
  fi
  has_target /usr/bin/rustc || step "building Rust's standard library for $TARGET (once, about a minute)" debian_std
  has_target /usr/bin/rustc || fail "the standard library for $TARGET was built, but $(/usr/bin/rustc --print sysroot) does not have it"
  export PATH="/usr/bin:$PATH" RUSTC=/usr/bin/rustc CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld-22
}
setup_tool() { # crate version
  local root=$cache/$1-$2
  if [ ! -x "$root/bin/${1%-cli}" ]; then
    step "installing $1 $2 (once, some minutes)" env CARGO_TARGET_DIR="$cache/build" \
      cargo install --locked "$1" --version "$2" --root "$root"
    rm -rf "$cache/build"
  fi
  export PATH="$root/bin:$PATH"
}
setup_npm() {
  command -v node >/dev/null || fail "Node 20.19 or later is needed (https://nodejs.org)"
  node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
    fail "Node $(node --version) is too old: 20.19 or later is needed"
  if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
    step "installing npm packages" npm ci --no-audit --no-fund
    touch node_modules/.package-lock.json
  fi
}

# ---- the build --------------------------------------------------------------------------------
kernel() {
  # simd128: the kernel is written for it. import-memory: JavaScript owns the memory.
  RUSTFLAGS="-C target-feature=+simd128 -C link-arg=--import-memory" \
    wasm-pack build --mode no-install --target web --no-opt --no-pack --release --out-name smooth_l1 . -- --locked
}
# Prints a fingerprint of the files that are named.
print_of() { find "$@" -type f -not -path '*/generated/*' -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -c1-64; }
fresh() { [ "$(cat "target/$1.print" 2>/dev/null)" = "$2" ]; }

setup_npm
export PATH="$PWD/node_modules/.bin:$PATH"
now=$(print_of crate Cargo.toml Cargo.lock build.sh)
if fresh kernel "$now" && [ -e dist/smooth_l1.wasm ] && [ -e ts/generated/kernel.ts ]; then
  say "kernel: nothing changed"
else
  setup_rust
  setup_tool wasm-bindgen-cli $WASM_BINDGEN
  setup_tool wasm-pack $WASM_PACK
  step "compiling the kernel (wasm-pack)" kernel
  say "stripping, checking and embedding it"
  node crate/link.mjs
  printf %s "$now" >target/kernel.print
fi
now=$(print_of ts tsconfig.json tsconfig.build.json target/kernel.print package-lock.json)
if fresh wrapper "$now" && [ -e dist/index.js ]; then
  say "wrapper: nothing changed"
else
  say "compiling the wrapper (tsc)"
  tsc -p tsconfig.build.json || fail "the wrapper does not compile"
  printf %s "$now" >target/wrapper.print
fi

case "${1:-}" in
"") ;;
test)
  command -v cargo >/dev/null || setup_rust
  say "Rust tests"
  cargo test --locked --quiet
  say "TypeScript tests"
  vitest run
  ;;
lint)
  say "rustfmt, clippy"
  cargo fmt --check
  cargo clippy --locked --all-targets --quiet -- -D warnings
  say "biome, tsc"
  biome ci .
  tsc -p tsconfig.json
  ;;
*) fail "'$1' is not a task: give none, test or lint" ;;
esac
