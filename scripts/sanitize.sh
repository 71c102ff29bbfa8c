#!/usr/bin/env bash
# The tests of format, runtime and numeric under AddressSanitizer, which needs a nightly compiler: `unsafe` code is in the mapping, the
# handler of truncation and the inner product. zstd's C code is not instrumented.
#     scripts/sanitize.sh [TEST...]
set -euo pipefail
cd "$(dirname "$0")/.."

host=$(rustc +nightly -vV | sed -n 's/^host: //p')
# The tests include a SIGBUS handler, which the sanitizer's own must not precede.
export ASAN_OPTIONS="handle_sigbus=0:${ASAN_OPTIONS:-}"
export RUSTFLAGS="-Zsanitizer=address ${RUSTFLAGS:-}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/sanitize"
exec cargo +nightly test -p mempack-format -p mempack-runtime -p mempack-numeric --lib --tests --target "$host" "$@"
