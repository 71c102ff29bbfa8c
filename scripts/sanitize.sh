#!/usr/bin/env bash
# The format's and the runtime's tests under AddressSanitizer, which needs a nightly compiler: the mapping, the handler of truncation
# and the product of vectors are where `unsafe` is. zstd's C code is not instrumented.
#     scripts/sanitize.sh [TEST...]
set -euo pipefail
cd "$(dirname "$0")/.."

host=$(rustc +nightly -vV | sed -n 's/^host: //p')
# A handler of SIGBUS is among what is tested: the sanitizer's own must not come before it.
export ASAN_OPTIONS="handle_sigbus=0:${ASAN_OPTIONS:-}"
export RUSTFLAGS="-Zsanitizer=address ${RUSTFLAGS:-}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/sanitize"
exec cargo +nightly test -p mempack-format -p mempack-runtime --lib --tests --target "$host" "$@"
