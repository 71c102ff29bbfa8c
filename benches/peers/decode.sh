#!/usr/bin/env bash
# mempack, llama.cpp and transformers on the same questions, texts and weights: see decode.py for options.
#
#     benches/peers/decode.sh PACK QUESTIONS [options of decode.py]
#
# Needs `make build models`, node and npm, and a Python with the packages gguf and numpy (PYTHON, default python3). transformers takes part if the Python
# named by TRANSFORMERS has the packages torch and transformers.
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
[ -n "${TRANSFORMERS:-}" ] || echo "transformers is left out: TRANSFORMERS names no Python that has it" >&2
"$python" benches/peers/decode.py "$@" ${TRANSFORMERS:+--transformers "$TRANSFORMERS"} --node-folder "$env" --gguf "$env/BF16.gguf" "$env/Q8_0.gguf" "$env/Q4_1.gguf"
