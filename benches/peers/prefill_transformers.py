#!/usr/bin/env python3
"""Prefill of a pack's references in transformers: the peer of the write path of `mempack build`.

    references PACK | python3 benches/peers/prefill_transformers.py MODEL [--dtype bfloat16] [--threads 2] [--limit 2048]

Standard input is the output of `cargo run --release -p mempack-runtime --example references -- PACK`: one JSON object per
line with `title` and `text`. The model runs all layers without the vocabulary head, on batches of similar length, as a
batch server would. `encode.sh` in this folder runs both.
Prints references/s and tokens/s (padding and prefix not counted). Needs torch and transformers.
"""
import argparse
import json
import os
import sys
import time

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
import torch
from transformers import AutoModel, AutoTokenizer


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("model")
    p.add_argument("--dtype", default="bfloat16")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--batch-tokens", type=int, default=4096)
    p.add_argument("--limit", type=int, default=2048, help="references, evenly spaced over the input")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    tokenizer = AutoTokenizer.from_pretrained(a.model)
    model = AutoModel.from_pretrained(a.model, dtype=getattr(torch, a.dtype)).eval()
    texts = ["{title}. {text}".format(**json.loads(line)) for line in sys.stdin]
    texts = texts[:: max(1, len(texts) // a.limit)][: a.limit]
    rows = sorted((tokenizer(t, add_special_tokens=False)["input_ids"][:128] for t in texts), key=len)
    batches, batch = [], []
    for row in rows:
        if batch and (len(batch) + 1) * len(row) > a.batch_tokens:
            batches.append(batch)
            batch = []
        batch.append(row)
    batches.append(batch)
    with torch.inference_mode():
        for warm in (True, False):
            start = time.perf_counter()
            for rows in batches[:2] if warm else batches:
                width = max(map(len, rows))
                ids = torch.tensor([r + [0] * (width - len(r)) for r in rows])
                mask = torch.tensor([[1] * len(r) + [0] * (width - len(r)) for r in rows])
                model(input_ids=ids, attention_mask=mask, use_cache=False)
            seconds = time.perf_counter() - start
    tokens = sum(len(r) for b in batches for r in b)
    print(f"transformers {a.dtype} {a.threads} threads: {len(texts)} references, {tokens} tokens, "
          f"{len(texts) / seconds:.1f} references/s, {tokens / seconds:.0f} tokens/s")


if __name__ == "__main__":
    main()
