#!/usr/bin/env bash
# Tests `mempack.ray` with clusters on this machine: its scheduling with a program that computes nothing, and the bank with MEMPACK_BINARY. Needs `make build`.
#
# usage: python/ray.sh MEMPACK_BINARY [pytest arguments]
set -euo pipefail
program=$(realpath "$1")
shift
cd "$(dirname "$0")/.."
. python/extra.sh
test_extra ray "$program" "$@"
