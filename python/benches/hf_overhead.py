"""How much `mempack.hf.attach` adds to `generate`: time of a token and to the first token, beside plain `generate` in the same run.

    python python/benches/hf_overhead.py PACK --base DIR --reader DIR --embedder DIR [--batch 1 8] [--tokens 128] [--rounds 5] [--device cpu] [--dtype float32]

Plain and reading runs alternate. The time of a token is that of `--tokens` tokens after the first, over their number, so that it has all retrievals of the
answer in it; each round asks other questions, so that no result of a search is known already. The time to the first token is also that of five texts in
the prompt, as the model's `context_template` puts them. Figures are medians; `over` is the median of the ratios of neighbouring runs.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import mempack.hf
from mempack import Pack

ROOT = Path(__file__).parents[2]


def timed(run: Callable[[], Any], device: str) -> float:
    """Seconds of a run."""
    if device != "cpu":
        torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pack")
    for name in ("base", "reader", "embedder"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    args = parser.parse_args()

    from peft import PeftModel

    model: Any = AutoModelForCausalLM.from_pretrained(args.base, dtype=getattr(torch, args.dtype)).to(args.device)
    model = PeftModel.from_pretrained(model, args.reader).merge_and_unload().eval()
    tokenizer = AutoTokenizer.from_pretrained(args.base)
    reader = mempack.hf.attach(model, tokenizer, Pack(args.pack), mempack.hf.FolderEmbedder(args.embedder), args.reader)
    lines = (ROOT / "kb-samples" / "medical" / "questions.jsonl").read_text().splitlines()
    questions = [json.loads(line)["question"] for line in lines]

    def generate(prompts: Any, tokens: int) -> float:
        return timed(lambda: model.generate(**prompts, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False), args.device)

    for batch in args.batch:
        step: dict[str, list[float]] = {"plain": [], "attached": []}
        first: dict[str, list[float]] = {"plain": [], "attached": [], "five texts": []}
        for round_ in range(args.rounds + 1):
            start = round_ * 2 * batch
            for part in range(2):
                some = [questions[(start + part * batch + number) % len(questions)] for number in range(batch)]
                prompts = reader.prompts(some)
                plain = {name: prompts[name] for name in ("input_ids", "attention_mask")}
                if part == 0:
                    with reader.off():
                        one = generate(plain, 1)
                        whole = generate(plain, args.tokens + 1)
                    first["plain"].append(one)
                    step["plain"].append((whole - one) / args.tokens)
                    one = generate(prompts, 1)
                    first["attached"].append(one)
                    texts = [texts_of(reader, row) for row in range(batch)]
                    filled = with_texts(reader, tokenizer, some, texts)
                    with reader.off():
                        first["five texts"].append(generate(filled, 1))
                else:
                    # Questions whose first search is not known yet, as in the line above.
                    whole = generate(prompts, args.tokens + 1)
                    step["attached"].append((whole - first["attached"][-1]) / args.tokens)
        # The first round warms up.
        report(batch, {name: of[1:] for name, of in step.items()}, {name: of[1:] for name, of in first.items()})


def texts_of(reader: mempack.hf.Reader, row: int) -> list[str]:
    """The texts that a row's first chunk read."""
    return [citation.text for citation in reader.citations()[row][0].citations]


def with_texts(reader: mempack.hf.Reader, tokenizer: Any, questions: list[str], texts: list[list[str]]) -> dict[str, Any]:
    """Prompts that hold texts, padded on the left."""
    template = reader.config.context_template
    assert template is not None
    tokenizer.padding_side = "left"
    filled = [
        tokenizer.bos_token + template.replace("{text}", "\n\n".join(own)).replace("{question}", question)
        for question, own in zip(questions, texts, strict=True)
    ]
    batch = tokenizer(filled, return_tensors="pt", padding=True, add_special_tokens=False)
    return {name: batch[name].to(reader.device) for name in ("input_ids", "attention_mask")}


def report(batch: int, step: dict[str, list[float]], first: dict[str, list[float]]) -> None:
    def over(of: dict[str, list[float]], name: str) -> float:
        return statistics.median(own / plain for own, plain in zip(of[name], of["plain"], strict=True))

    milliseconds = {
        name: 1e3 * statistics.median(times)
        for name, times in (*((f"token, {n}", t) for n, t in step.items()), *((f"first, {n}", t) for n, t in first.items()))
    }
    print(f"batch {batch}: " + "; ".join(f"{name} {value:.1f} ms" for name, value in milliseconds.items()))
    print(
        f"batch {batch}: a token over plain {over(step, 'attached'):.3f}; first token over plain {over(first, 'attached'):.2f}, "
        f"five texts over plain {over(first, 'five texts'):.2f}"
    )


if __name__ == "__main__":
    main()
