#!/usr/bin/env bash
# Tests `mempack.hf` with transformers and torch, on the sample packs, beside `mempack ask`. Needs `make build models`; the environment takes 5 GB, because torch
# from the package index brings CUDA.
#
# usage: python/hf.sh MEMPACK_BINARY [pytest arguments]
set -euo pipefail
program=$(realpath "$1")
shift
cd "$(dirname "$0")/.."
. python/extra.sh
test_extra hf "$program" "$@"
