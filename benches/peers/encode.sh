#!/usr/bin/env bash
# References/s and tokens/s of `mempack build`, and of prefilling the same references in transformers, in one run.
#
#     benches/peers/encode.sh CORPUS [PRECISION] [THREADS]
#
# Needs `make build models`, and a Python with torch and transformers (PYTHON, default python3).
set -euo pipefail
cd "$(dirname "$0")/../.."
corpus=$1 precision=${2:-bf16} threads=${3:-2}
export OMP_WAIT_POLICY=passive
pack=$(mktemp -d)/peer.mpk
trap 'rm -rf "$(dirname "$pack")"' EXIT
# With a small sample nearly all of the time is writing.
target/release/mempack build "$corpus" -o "$pack" --precision "$precision" --threads "$threads" --codec SQ8 --sample 64 --json
cargo run --release --quiet -p mempack-runtime --example references -- "$pack" |
    "${PYTHON:-python3}" benches/peers/prefill_transformers.py "${BASE:-models/SmolLM2-135M-Instruct}" \
        --dtype "$([ "$precision" = bf16 ] && echo bfloat16 || echo float32)" --threads "$threads"
