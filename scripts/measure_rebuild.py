#!/usr/bin/env python3
"""Measures the cost of rebuilding a pack after a small change, relative to a full build.

    scripts/measure_rebuild.py MEMPACK CORPUS.jsonl [--articles N] [--percent 1] [--model DIR] [--codec RQ2x8,TCQ14x8] [--sample N]

Builds a pack of the first N articles (all without --articles), changes a percent of them (a sentence is added to each, chosen by seed) and
builds again with --from over the same target. Prints, for both builds, the references encoded, the seconds that threads worked on
memories, codes and embeddings (`encoding_seconds`), the seconds of every stage and the processor time of the whole process, and the ratios
of the two builds. Fails if the ratio of encoding is not below --max percent (5). On a busy machine, trust the processor time.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("mempack")
    parser.add_argument("corpus")
    parser.add_argument("--articles", type=int)
    parser.add_argument("--percent", type=float, default=1.0)
    parser.add_argument("--max", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", default="1")
    parser.add_argument("--codec", default="RQ2x8,TCQ14x8")
    parser.add_argument("--sample", default="1024")
    parser.add_argument("--model", default=str(ROOT / "tests/fixtures/tiny"))
    arguments = parser.parse_args()
    with open(arguments.corpus, encoding="utf-8") as file:
        rows = [json.loads(line) for line, _ in zip(file, range(arguments.articles or sys.maxsize))]
    with tempfile.TemporaryDirectory(prefix="measure-rebuild-") as folder:
        folder = Path(folder)
        target = folder / "corpus.mpk"

        def build(name, *more):
            path = folder / name
            path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
            command = [arguments.mempack, "build", str(path), "-o", str(target), "--model", arguments.model, "--json"]
            command += ["--threads", arguments.threads, "--sample", arguments.sample, *more]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            report = process.stdout.read()
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode != 0:
                sys.exit(f"{' '.join(command)}: {process.returncode}")
            return {**json.loads(report), "processor": used.ru_utime + used.ru_stime}

        full = build("before.jsonl", "--codec", arguments.codec)
        changed = random.Random(arguments.seed).sample(range(len(rows)), max(1, round(len(rows) * arguments.percent / 100)))
        for number in changed:
            rows[number]["text"] += f"\n第{number}号修改决定自公布之日起施行。"
        again = build("after.jsonl", "--from", str(target))
    print(f"{len(rows)} articles, {len(changed)} changed; {arguments.codec}, {arguments.threads} threads, model {arguments.model}")
    for name, report in (("full build", full), ("rebuild", again)):
        stages = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in report["stages"].items())
        print(
            f"{name}: {report['references']} references, {report['encoded']} encoded, {report['taken']} taken; "
            f"encoding {report['encoding_seconds']:.2f} s, all stages {report['seconds']:.1f} s ({stages}); processor {report['processor']:.1f} s"
        )
    print(f"drift: {json.dumps(again['drift'])}")
    encoding = 100 * again["encoding_seconds"] / full["encoding_seconds"]
    whole = 100 * again["seconds"] / full["encoding_seconds"]
    print(f"the rebuild's encoding takes {encoding:.2f}% of the full build's; all of its stages together take {whole:.2f}% of it")
    processor = 100 * again["processor"] / full["processor"]
    print(f"the processor time of the whole rebuild, loading of the models included, is {processor:.2f}% of the full build's")
    if encoding >= arguments.max:
        sys.exit(f"above {arguments.max}%")


if __name__ == "__main__":
    main()
