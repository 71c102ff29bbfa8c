#!/usr/bin/env python3
"""Compares the logits of an adapter with those of transformers and peft.

    python3 scripts/check_peft.py BASE ADAPTER LOGITS.safetensors [--write] [--max 1e-3]

LOGITS.safetensors holds `ids` and `logits`, as the program `logits` of benches/tools writes them. transformers and peft load the same base
and adapter and compute in float32 without memories. The script prints the largest difference, and fails if it is above --max.
(Control tokens at the low end of a vocabulary are a bad choice: rounding dominates their logits.) With --write, the logits of transformers
and peft replace ours in the file. Needs torch, transformers, peft and safetensors.

The default model:

    MEMPACK_BASE=models/SmolLM2-135M-Instruct cargo run --release -p mempack-benches --bin logits -- kb-samples/readers/smollm2 target/reader.safetensors
    python3 scripts/check_peft.py models/SmolLM2-135M-Instruct kb-samples/readers/smollm2 target/reader.safetensors

The golden adapter of model/tests, whose file holds peft's logits:

    cargo run -p mempack-benches --bin small_adapter -- tests/fixtures/tiny model/tests/golden/tiny-adapter
    MEMPACK_BASE=tests/fixtures/tiny cargo run -p mempack-benches --bin logits -- model/tests/golden/tiny-adapter model/tests/golden/tiny-adapter-logits.safetensors
    python3 scripts/check_peft.py tests/fixtures/tiny model/tests/golden/tiny-adapter model/tests/golden/tiny-adapter-logits.safetensors --write
"""
import argparse
import sys

import peft
import torch
import transformers
from safetensors.torch import load_file, save_file


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("base")
    p.add_argument("adapter")
    p.add_argument("logits")
    p.add_argument("--write", action="store_true", help="write the logits of transformers and peft to the file")
    p.add_argument("--max", type=float, default=1e-3, help="the largest difference that is allowed")
    a = p.parse_args()
    ours = load_file(a.logits)
    base = transformers.AutoModelForCausalLM.from_pretrained(a.base, dtype=torch.float32).eval()
    with torch.inference_mode():
        plain = base(ours["ids"][None]).logits[0]
        model = peft.PeftModel.from_pretrained(base, a.adapter).eval()
        theirs = model(ours["ids"][None]).logits[0]
    change = (theirs - plain).abs().max().item()
    off = (theirs - ours["logits"]).abs().max().item()
    print(f"transformers {transformers.__version__}, peft {peft.__version__}: {len(ours['ids'])} ids, logits up to "
          f"{theirs.abs().max():.2f}; the adapter changes them by up to {change:.3f}; largest difference from ours {off:.1e}")
    if change == 0:
        sys.exit("the adapter changes nothing: it was not loaded")
    if off > a.max:
        sys.exit(f"more than {a.max}")
    if a.write:
        save_file({"ids": ours["ids"], "logits": theirs.contiguous()}, a.logits)


if __name__ == "__main__":
    main()
