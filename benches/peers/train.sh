#!/usr/bin/env bash
# Tokens/s of `mempack train` and of the same step in PyTorch, one after the other on the same threads.
#
#     benches/peers/train.sh [STEPS] [THREADS]
#
# 14 references and 14 sequences per step on SmolLM2-135M-Instruct, LoRA of rank 16 on all linear layers, 8 tokens kept, bf16. Both
# count tokens without prefixes and padding, and leave the first step out. They alternate three times, for machines that are not idle.
# DEVICE=cuda runs both on a GPU; BATCH=64 sets the number of references and sequences.
# Needs `make build models`, and a Python with torch, safetensors and tokenizers (PYTHON, default python3).
set -euo pipefail
cd "$(dirname "$0")/../.."
steps=${1:-8} threads=${2:-2} rounds=${ROUNDS:-3} batch=${BATCH:-14} device=${DEVICE:-cpu}
mempack=${MEMPACK:-target/release/mempack}
base=$(realpath "${BASE:-models/SmolLM2-135M-Instruct}")
embedder=$(realpath "${EMBEDDER:-models/all-MiniLM-L6-v2}")
export OMP_WAIT_POLICY=passive
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$mempack" make-questions fiction -o "$scratch/fiction" --documents 200 --seed 7 --unanswerable 0 --json >/dev/null
cat >"$scratch/train.toml" <<END
model = "$base"
memory = "$PWD/kb-samples/readers/smollm2/memory.json"
embedder = "$embedder"
output = "run"
precision = "bf16"
threads = $threads
[adapter]
rank = 16
alpha = 16.0
[optimizer]
rate = 6e-4
[[stage]]
steps = $steps
batch = $batch
[stage.learn]
kind = "questions"
pool = $batch
reads = [1, 2, 3, 5, 5]
questions = 3
length = 110
write = { keep = [[0, 8]], selection_gradient = true }
[[stage.learn.sources]]
corpora = ["fiction/corpus.jsonl"]
questions = ["fiction/questions.jsonl"]
END
for _ in $(seq "$rounds"); do
    rm -rf "$scratch/run"
    "$mempack" train "$scratch/train.toml" --device "$device" 2>"$scratch/errors" >/dev/null || { cat "$scratch/errors" >&2; exit 1; }
    "${PYTHON:-python3}" - "$scratch/run/log.jsonl" "$threads" "$device" <<'END'
import json, statistics, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
pace = statistics.median(line["tokens"] / line["seconds"] for line in lines[1:])
print(f"mempack: {sys.argv[3]}, {sys.argv[2]} threads, {statistics.mean(line['tokens'] for line in lines):.0f} tokens a step, "
      f"loss {lines[0]['loss']:.3f} to {lines[-1]['loss']:.3f}, {pace:.1f} tokens/s")
END
    "${PYTHON:-python3}" benches/peers/train_pytorch.py "$base" "$scratch/fiction" --steps "$steps" --threads "$threads" \
        --references "$batch" --sequences "$batch" --device "$device"
done | tee "$scratch/paces"
awk '{ pace = $(NF - 1); if ($1 == "mempack:") ours += pace; else theirs += pace } END { printf "mempack / PyTorch: %.2f\n", ours / theirs }' "$scratch/paces"
