"""Decodes prompts with transformers, greedily, answers of full length: see decode.py.

    decode_transformers.py MODEL PROMPTS.jsonl TOKENS THREADS BATCH

PROMPTS and what is printed are those of decode.mjs. Weights and computation are bf16. A batch is padded on the left, and all of its answers are decoded
together, so that each gets its first token when all prompts are computed.
"""

import json
import os
import statistics
import sys
import time

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

path, prompts, count, threads, batch = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
torch.set_num_threads(threads)
tokenizer = PreTrainedTokenizerFast(tokenizer_file=f"{path}/tokenizer.json")
model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.bfloat16).eval()
with open(prompts, encoding="utf-8") as file:
    rows = [json.loads(line) for line in file if line.strip()]


def answer(texts):
    """The seconds until the first tokens, and until the last ones."""
    ids = [[model.config.bos_token_id] + tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    started = time.perf_counter()
    width = max(map(len, ids))
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in ids])
    tokens = torch.tensor([[0] * (width - len(row)) + row for row in ids])
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    cache, first = None, 0.0
    for step in range(count):
        out = model(input_ids=tokens, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache, tokens = out.past_key_values, out.logits[:, -1:].argmax(-1)
        if step == 0:
            first = time.perf_counter() - started
        mask = torch.cat([mask, torch.ones(len(texts), 1, dtype=mask.dtype)], 1)
        positions = positions[:, -1:] + 1
    return first, time.perf_counter() - started


groups = [rows[start : start + batch] for start in range(0, len(rows) - batch + 1, batch)]
with torch.inference_mode():
    for kind in ["question", "texts"]:
        answer([row[kind] for row in groups[0]])
        times = [answer([row[kind] for row in group]) for group in groups]
        median = lambda values: statistics.median(list(values))
        print(json.dumps({
            "reads": kind, "prompts": len(groups) * batch, "first_token_ms": 1e3 * median(first for first, _ in times),
            "tokens_per_second": median(batch * count / last for _, last in times),
            "decoding_tokens_per_second": median(batch * (count - 1) / (last - first) for first, last in times),
        }))
