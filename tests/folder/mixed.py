#!/usr/bin/env python3
"""A folder of many kinds of files with broken ones among them is read to the end, and every file is accounted for.

    tests/folder/mixed.py MEMPACK_BINARY [--files 10000] [--seed 1]

Files are the samples of extract/tests/files: whole, cut short, with bytes changed, under the extension of another kind, empty. `mempack corpus FOLDER --json` reads them. A whole copy must give as
many references as its sample alone; a sample that is refused alone is refused in the folder; every other file is read or listed with a reason. Prints time, peak memory, and counts.
"""
import argparse
import collections
import json
import pathlib
import random
import resource
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


def read(program, path):
    """The references of a corpus by file, the summary, and the remarks."""
    command = [program, "corpus", path, "--json", "--duplicate-ids", "suffix", "--model", ROOT / "tests/fixtures/tiny"]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return done, lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    samples = sorted(path for path in (ROOT / "extract/tests/files").iterdir() if path.is_file() and path.suffix != ".golden")
    chance = random.Random(args.seed)
    expected = {}
    with tempfile.TemporaryDirectory() as temporary:
        # Each sample alone: how many references it gives, none if it is refused.
        for sample in samples:
            done, lines = read(args.program, sample)
            expected[sample.name] = lines[-1]["references"] if done.returncode == 0 else None
        folder = pathlib.Path(temporary) / "mixed"
        kinds = collections.Counter()
        whole = {}
        for number in range(args.files):
            sample = chance.choice(samples)
            data = bytearray(sample.read_bytes())
            kind = chance.choices(["whole", "cut", "changed", "renamed", "empty"], [6, 1, 1, 1, 0.2])[0]
            name = f"{number:05}-{sample.name}"
            if kind == "cut":
                data = data[: chance.randrange(len(data) + 1)]
            elif kind == "changed":
                for _ in range(chance.randrange(1, 20)):
                    if data:
                        data[chance.randrange(len(data))] = chance.randrange(256)
            elif kind == "renamed":
                name += chance.choice(samples).suffix
            elif kind == "empty":
                data = b""
            if kind == "whole":
                whole[name] = sample.name
            kinds[kind] += 1
            target = folder / f"{number % 100:02}" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        start = time.monotonic()
        done, lines = read(args.program, folder)
        seconds = time.monotonic() - start
    if done.returncode != 0:
        sys.exit(f"exit status {done.returncode}: {done.stderr[-2000:]}")
    summary, references = lines[-1], lines[:-1]
    skipped = {pathlib.Path(file["path"]).name: file["reason"] for file in summary["skipped_files"]}
    wrong = [name for name, sample in whole.items() if (expected[sample] is None) != (name in skipped)]
    if wrong:
        sys.exit(f"{len(wrong)} whole files are not read as alone, such as {wrong[:5]}: {[skipped.get(name) for name in wrong[:5]]}")
    if any(not reason.strip() for reason in skipped.values()):
        sys.exit("a file was skipped without a reason")
    alone = sum(expected[sample] or 0 for sample in whole.values())
    if len(references) < alone:
        sys.exit(f"{len(references)} references, and the whole files alone have {alone}")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    report = {
        "files": args.files, "kinds": dict(kinds), "documents": summary["documents"], "references": summary["references"], "skipped": len(skipped),
        "without_words": summary["without_words"], "seconds": round(seconds, 1), "files_per_second": round(args.files / seconds, 1), "peak_resident_mb_of_a_process": peak,
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
