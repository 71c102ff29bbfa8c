#!/usr/bin/env bash
# mempack and llama.cpp on the same questions, texts and weights: see decode.py for options.
#
#     benches/peers/decode.sh PACK QUESTIONS [options of decode.py]
#
# Needs `make build models`, node and npm, and a Python with the packages gguf and numpy (PYTHON, default python3).
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3} env=target/decode-env
mkdir -p "$env"
cp benches/peers/decode.mjs benches/peers/decode-package/package.json benches/peers/decode-package/package-lock.json "$env"
[ -d "$env/node_modules" ] || npm ci --omit=optional --ignore-scripts --no-audit --no-fund --prefix "$env"
gguf=models/gguf/SmolLM2-135M-Instruct.Q4_1.gguf
if [ ! -f "$env/Q4_1.gguf" ]; then
    "$python" scripts/setup.py base-gguf
    mv "$gguf" "$env/Q4_1.gguf"
    rmdir models/gguf
fi
for kind in Q8_0 BF16; do
    [ -f "$env/$kind.gguf" ] || "$python" benches/peers/gguf_variant.py "$env/Q4_1.gguf" "$env/$kind.gguf" "$kind"
done
"$python" benches/peers/decode.py "$@" --node-folder "$env" --gguf "$env/BF16.gguf" "$env/Q8_0.gguf" "$env/Q4_1.gguf"
