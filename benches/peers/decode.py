"""Tokens a second and the time to the first token of mempack, llama.cpp and transformers: the same questions, texts and weights, in alternating rounds.

    benches/peers/decode.sh PACK QUESTIONS [--questions 16] [--tokens 48] [--threads 1,2] [--batches 1,16] [--rounds 3] [--precisions bf16,int8]
    [--turns 1]

decode.sh makes what this needs: the program, the models, the base as GGUF at several precisions, node-llama-cpp; transformers if the Python has it.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("pack")
parser.add_argument("file")
parser.add_argument("--questions", type=int, default=16)
parser.add_argument("--tokens", type=int, default=48)
parser.add_argument("--threads", default="1,2")
parser.add_argument("--batches", default="1,16")
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--turns", type=int, default=1, help="turns of a conversation, of which the last is measured; transformers has none")
parser.add_argument("--precisions", default="bf16,int8", help="of mempack")
parser.add_argument("--mempack", default="target/release/mempack")
parser.add_argument("--reader", default="kb-samples/readers/smollm2")
parser.add_argument("--node-folder", default="target/decode-env", help="has node_modules and decode.mjs")
parser.add_argument("--gguf", nargs="*", default=[])
parser.add_argument("--transformers", metavar="PYTHON", help="a Python that has torch and transformers; without it they are left out")
parser.add_argument("--base", default="models/SmolLM2-135M-Instruct", help="what transformers loads")
args = parser.parse_args()


def lines(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder)
    with open(args.file, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file if line.strip()]
    rows = rows[:: max(1, len(rows) // args.questions)][: args.questions]
    ids = range(len(rows))
    (folder / "queries").write_text("".join(json.dumps({"id": i, "query": row["question"]}) + "\n" for i, row in zip(ids, rows)))
    (folder / "questions").write_text("".join(json.dumps({"id": i, "question": row["question"]}) + "\n" for i, row in zip(ids, rows)))
    memory = json.loads((Path(args.reader) / "memory.json").read_text())
    found = lines([args.mempack, "search", args.pack, "--queries", folder / "queries", "-k", "5", "--json"])
    with open(folder / "prompts", "w", encoding="utf-8") as file:
        for row, hits in zip(rows, found):
            text = "\n\n".join(hit["text"] for hit in hits["hits"])
            fill = lambda template: template.replace("{question}", row["question"]).replace("{text}", text)
            file.write(json.dumps({"question": fill(memory["prompt_template"]), "texts": fill(memory["context_template"])}) + "\n")

    results = {}
    turns = [str(args.turns)] if args.turns > 1 else []
    for _ in range(args.rounds):
        for threads in args.threads.split(","):
            for batch in args.batches.split(","):
                for precision in args.precisions.split(","):
                    command = [args.mempack, "bench", args.pack, "--model", args.reader, "--questions", folder / "questions",
                               "--precision", precision, "--batch", batch, "--memories", "5", "--turns", str(args.turns), "--rounds",
                               str(max(1, args.questions // (int(batch) * args.turns))), "--tokens", str(args.tokens), "--threads", threads,
                               "--json"]
                    for row in lines(command)[0]["rows"]:
                        if row["batch"] == int(batch):
                            figures = [row[name]["median"] for name in ("first_token_ms", "tokens_per_second", "decoding_tokens_per_second")]
                            results.setdefault((threads, batch, f"mempack {precision}, {row['reads']}"), []).append(figures)
                peers = [(f"llama.cpp {Path(gguf).stem}", ["node", Path(args.node_folder) / "decode.mjs", gguf]) for gguf in args.gguf]
                if args.transformers and not turns:
                    peers.append(("transformers bf16", [args.transformers, Path(__file__).with_name("decode_transformers.py"), args.base]))
                for name, command in peers:
                    for row in lines([*command, folder / "prompts", str(args.tokens), threads, batch, *turns]):
                        reads = "5 texts" if row["reads"] == "texts" else "nothing"
                        figures = [row[name] for name in ("first_token_ms", "tokens_per_second", "decoding_tokens_per_second")]
                        results.setdefault((threads, batch, f"{name}, {reads}"), []).append(figures)

first = args.precisions.split(",")[0]
print(f"{len(rows)} questions, {args.tokens} tokens an answer, medians of {args.rounds} alternating rounds; ratios of mempack {first} with 5 memories, round by round\n")
print(f"{'threads':>7} {'batch':>5}  {'':<36} {'first ms':>9} {'tokens/s':>9} {'decoding':>9}   ratios: first token, tokens/s, decoding")
for (threads, batch, name), rounds in results.items():
    own = results[threads, batch, f"mempack {first}, 5 memories"]
    ratio = lambda column, invert: sorted((b[column] / a[column]) if invert else (a[column] / b[column]) for a, b in zip(own, rounds))
    spread = lambda ratios: f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    medians = [statistics.median(column) for column in zip(*rounds)]
    ratios = "   ".join(spread(ratio(column, column == 0)) for column in range(3))
    print(f"{threads:>7} {batch:>5}  {name:<36} {medians[0]:>9.1f} {medians[1]:>9.1f} {medians[2]:>9.1f}   {ratios}")
