#!/usr/bin/env python3
"""Compares mempack's codecs with those of faiss: the same vectors, the same bytes, one thread.

    make bench-codec                    correlated Gaussians; rewrites the table in docs/codec.md
    make bench-codec VECTORS=F.npy      any float32 matrix [n, head_dim]; prints the table only

Both write target/bench-codec.json. docs/codec.md explains the figures. `make bench-codec CODEC_BENCH="--reuse"` passes options.
"""
import argparse
import datetime
import hashlib
import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys

import numpy as np

import chosen

ROOT = pathlib.Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs" / "codec.md"
MARKERS = ("<!-- bench-codec: this table is written by `make bench-codec` -->\n", "<!-- bench-codec: end -->\n")
RESULTS = ROOT / "target" / "bench-codec.json"
SCRATCH = ROOT / "target" / "bench-codec"
KEYS = ("system", "codec", "bytes", "relative_mse", "encode_per_s", "decode_per_s", "codebook_bytes")

DIM, TRAINED, HELD_OUT, SEED = 80, 655_360, 20_000, 1
CHUNK = 65_536  # vectors made at once
# mempack is measured on whole memories, of 8 keys and 8 values. Both systems leave the remainder out.
MEMORY = 16


def say(text):
    print(f"{datetime.datetime.now():%H:%M:%S} {text}", file=sys.stderr, flush=True)


def spectrum():
    """The variances of the Gaussian vectors along their axes."""
    return 1 / np.arange(1, DIM + 1)


def gaussian():
    """Training and held-out vectors: independent Gaussians of these variances, rotated at random."""
    random = np.random.default_rng(SEED)
    turn, triangle = np.linalg.qr(random.standard_normal((DIM, DIM)))
    turn *= np.sign(np.diag(triangle))
    mix = (np.sqrt(spectrum())[:, None] * turn.T).astype(np.float32)
    chunks = [CHUNK] * (TRAINED // CHUNK) + [HELD_OUT]
    vectors = [random.standard_normal((count, DIM), dtype=np.float32) @ mix for count in chunks]
    return np.concatenate(vectors[:-1]), vectors[-1]


def split(path):
    """The first seven eighths of a matrix for training, the rest held out: in order, because neighbours are similar."""
    vectors = np.load(path, mmap_mode="r")
    if vectors.ndim != 2 or vectors.dtype != np.float32:
        sys.exit(f"{path}: {vectors.dtype} of shape {vectors.shape}, expected a float32 matrix [n, head_dim]")
    if vectors.shape[1] % 8 or not vectors.shape[1]:
        sys.exit(f"{path}: {vectors.shape[1]} dimensions, expected a multiple of 8: the paper's codec has 8 parts")
    if len(vectors) < 8 * MEMORY:
        sys.exit(f"{path}: {len(vectors)} vectors, expected at least {8 * MEMORY}")
    border = len(vectors) * 7 // 8 // MEMORY * MEMORY
    end = border + (len(vectors) - border) // MEMORY * MEMORY
    return np.ascontiguousarray(vectors[:border]), np.ascontiguousarray(vectors[border:end])


def min_error(variances, size):
    """The lowest relative error of any code of `size` bytes for such Gaussian vectors (reverse water-filling)."""
    low, high = 0.0, float(max(variances))
    for _ in range(200):
        level = (low + high) / 2
        bits = 0.5 * np.log2(np.maximum(variances / level, 1)).sum()
        low, high = (level, high) if bits > 8 * size else (low, level)
    return float(np.minimum(variances, high).sum() / np.sum(variances))


def measured(system, command, codecs):
    """The figures of each codec, from a program that prints one line per codec."""
    if not codecs:
        return
    threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
    # faiss prints a warning for every table that it trains on few vectors: too many to show.
    log = SCRATCH / f"{system}.log"
    with log.open("w") as errors, subprocess.Popen(
            [*command, *codecs], stdout=subprocess.PIPE, stderr=errors, text=True, env={**os.environ, **threads}) as process:
        for codec in codecs:
            say(f"{system} {codec}: training and measuring")
            line = process.stdout.readline()
            if not line:
                break
            figures = {"system": system, **json.loads(line)}
            say(f"{system} {codec}: relative MSE {figures['relative_mse']:.4f}, {figures['encode_per_s']:,.0f} vectors/s encoded, "
                f"trained in {figures['train_s']:,.0f} s")
            yield figures
    if process.returncode != 0:
        last = "".join(log.read_text().splitlines(keepends=True)[-5:])
        sys.exit(f"{last}{system} ended with code {process.returncode} ({log}): the comparison is not complete, and nothing was written")


class Earlier:
    """Earlier figures of faiss, on the same vectors and processor."""

    def __init__(self, vectors, reuse):
        self.path = SCRATCH / "faiss.json"
        digest = hashlib.sha256()
        for part in vectors:
            digest.update(str(part.shape).encode() + part.tobytes())
        self.place = f"{digest.hexdigest()} faiss-cpu {importlib.metadata.version('faiss-cpu')} {processor()}"
        self.all = json.loads(self.path.read_text()) if self.path.exists() else {}
        self.reusable = dict(self.all.get(self.place, {})) if reuse else {}

    def put(self, figures):
        self.all.setdefault(self.place, {})[figures["codec"]] = {**figures, "date": f"{datetime.date.today()}"}
        self.path.write_text(json.dumps(self.all, indent=1))


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "an unnamed processor"


def table(rows, reference, bounds):
    """A Markdown table, by size and then by error, with ratios to the paper's codec in faiss."""
    def ratio(row, key):
        return f"{row[key] / reference[key]:.2f}" if reference else "-"

    lines = [
        "| bytes | system | codec | relative MSE | / paper's | encoded/s | / paper's | decoded/s | / paper's | codebook KB | training s |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for size in sorted({row["bytes"] for row in rows}, reverse=True):
        if size in bounds:
            of_paper = f"{bounds[size] / reference['relative_mse']:.2f}" if reference else "-"
            lines.append(f"| {size} | | *rate-distortion bound* | {bounds[size]:.4f} | {of_paper} | | | | | | |")
        for row in sorted((row for row in rows if row["bytes"] == size), key=lambda row: row["relative_mse"]):
            speeds = " | ".join(f"{row[key]:,.0f} | {ratio(row, key)}" for key in ("encode_per_s", "decode_per_s"))
            lines.append(f"| {size} | {row['system']} | `{row['codec']}` | {row['relative_mse']:.4f} | {ratio(row, 'relative_mse')} | {speeds} | "
                         f"{row['codebook_bytes'] / 1000:,.0f} | {row['train_s']:,.0f} |")
    return "".join(line + "\n" for line in lines)


def replaced(text, new):
    """The text with the part between the markers replaced."""
    begin, end = MARKERS
    before, rest = text.split(begin)
    after = rest.split(end)[1]
    return before + begin + new + end + after


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mempack", type=pathlib.Path, required=True, help="the built program bench_codec of mempack-benches")
    parser.add_argument("--vectors", type=pathlib.Path, help="a float32 matrix [n, head_dim] as .npy, instead of Gaussian vectors")
    parser.add_argument("--codecs", nargs="+", help="codecs of mempack, instead of those in chosen.py; docs/codec.md is then not changed")
    parser.add_argument("--reuse", action="store_true", help="reuse earlier figures of faiss for the same vectors, faiss and processor")
    args = parser.parse_args()

    if args.vectors:
        train, held_out = split(args.vectors)
        whence = f"`{args.vectors.name}`, its first seven eighths to train on, the rest held out"
    else:
        say(f"making {TRAINED + HELD_OUT:,} Gaussian vectors")
        train, held_out = gaussian()
        whence = f"correlated Gaussians, variances 1/i along randomly rotated axes, seed {SEED}"
    dim = train.shape[1]
    SCRATCH.mkdir(parents=True, exist_ok=True)
    files = [SCRATCH / "train.npy", SCRATCH / "held_out.npy"]
    for path, vectors in zip(files, (train, held_out)):
        np.save(path, vectors)

    ours = args.codecs or chosen.listed(chosen.of_mempack, dim)
    rows = list(measured("mempack", [args.mempack, *files], ours))

    paper, theirs = chosen.paper(dim), chosen.listed(chosen.of_faiss, dim)
    notes = [f"{codec} of faiss is left out: it needs {chosen.min_vectors(codec):,} training vectors"
             for codec in theirs if chosen.min_vectors(codec) > len(train)]
    theirs = [codec for codec in theirs if chosen.min_vectors(codec) <= len(train)]
    earlier = Earlier((train, held_out), args.reuse)
    reused = [earlier.reusable[codec] for codec in theirs if codec in earlier.reusable]
    notes += [f"{row['codec']} of faiss was measured on {row['date']}" for row in reused]
    rows += reused
    worker = pathlib.Path(__file__).with_name("faiss_codecs.py")
    for row in measured("faiss", [sys.executable, worker, *files], [codec for codec in theirs if codec not in earlier.reusable]):
        earlier.put(row)
        rows.append(row)

    reference = next((row for row in rows if row["system"] == "faiss" and row["codec"] == paper), None)
    bounds = {} if args.vectors else {size: min_error(spectrum(), size) for size in chosen.SIZES}
    versions = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in ("faiss-cpu", "numpy"))
    notes.insert(0, f"{datetime.date.today()}, one thread of {processor()}, {versions}. {len(train):,} vectors of {dim} dimensions to train on, "
                    f"{len(held_out):,} held out: {whence}. The paper's codec is `{paper}` of faiss")
    text = table(rows, reference, bounds) + "\n" + "".join(f"{note}.\n" for note in notes)
    print(text, end="")
    RESULTS.write_text(json.dumps([{key: row[key] for key in KEYS} for row in rows], indent=1) + "\n")
    if not args.vectors and not args.codecs:
        DOCS.write_text(replaced(DOCS.read_text(), text))


if __name__ == "__main__":
    main()
