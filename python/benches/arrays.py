"""Searches and memories of a pack as numpy arrays, beside the libraries that Python programs use for them, in the same run.

    python python/benches/arrays.py search VECTORS.f32 [--queries N] [--rounds N] [--graphs FOLDER]
    python python/benches/arrays.py memories PACK [--rounds N]

`search` builds a graph of all but N vectors (384 little-endian f32 a row), and searches it with the N others, one at a time and a thousand at a time, as
`benches/peers/search.py` does it with programs; its rates are interpolated to a recall@5 of 0.99. It needs `search_vectors` of that script and its packages.

`memories` reads the memories of 5 references, as a chunk needs them, beside `torch.load` and `safetensors.safe_open` of the same values in float32 and float16,
one file for each reference, and beside the keys and values of all tokens, layers and heads of these references, which are what a cache of prompts has. Its
files are in the page cache. Rounds alternate; figures are medians of rounds.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import mempack

ROOT = Path(__file__).resolve().parents[2]


def searches(args: argparse.Namespace) -> None:
    sys.path.insert(0, str(ROOT / "benches" / "peers"))
    from search import DIM, EFS, GOAL, K, Peers, at_goal, vectors

    rows = np.unique(vectors(args.vectors), axis=0)
    rows = rows[np.random.default_rng(1).permutation(len(rows))]
    queries, base = np.ascontiguousarray(rows[: args.queries]), np.ascontiguousarray(rows[args.queries :])
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(args.graphs or temporary)
        folder.mkdir(exist_ok=True)
        path = folder / "vectors.mpk"
        if not path.exists():
            base.tofile(folder / "base.f32")
            subprocess.run([ROOT / "target/release/search_vectors", "build", folder / "base.f32", str(DIM), path], check=True)
        pack = mempack.Pack(path)
        peers = Peers(base, 2, False, folder)
        nearest = peers.exact.search(queries, K)[1]

        def search(name: str, ef: int, batch: Any) -> Any:
            # One query is searched by one thread, in every library.
            peers.threads = min(len(batch), 2)
            return pack.search(batch, K, ef=ef, threads=peers.threads)[0] if name == "mempack" else peers.search(name, ef, batch)

        def points(name: str, size: int) -> Iterator[dict[str, float]]:
            batches = [queries[at : at + size] for at in range(0, len(queries), size)]
            for ef in EFS:
                best, found = float("inf"), []
                for _ in range(3):
                    start = time.perf_counter()
                    found = [search(name, ef, batch) for batch in batches]
                    best = min(best, time.perf_counter() - start)
                # usearch gives one row without its axis.
                pairs = zip(np.concatenate([np.reshape(rows, (-1, K)) for rows in found]), nearest, strict=True)
                recall = float(np.mean([len(set(a) & set(b)) / K for a, b in pairs]))
                yield {"ef": ef, "recall": recall, "queries_per_second": len(queries) / best}

        print(f"{len(base)} vectors, {len(queries)} queries, recall@{K} of {GOAL}")
        for size in (1, 1000):
            rates: dict[str, list[float]] = {name: [] for name in ("mempack", "faiss", "hnswlib", "usearch")}
            for _ in range(args.rounds):
                for name, found in rates.items():
                    found.append(at_goal(list(points(name, size))))
            for name, found in rates.items():
                ratios = ", ".join(f"{own / other:.2f}" for own, other in zip(rates["mempack"], found, strict=True))
                print(f"batch {size:4}: {name:8} {statistics.median(found):8.0f} queries/s; mempack is {ratios} times as fast")


def memories(args: argparse.Namespace) -> None:
    import safetensors
    import safetensors.torch
    import torch

    pack = mempack.Pack(args.pack)
    model = pack.identity
    groups = [sorted(group.tolist()) for group in np.random.default_rng(1).permutation(len(pack))[:500].reshape(100, 5)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for kind in ("float32", "float16"):
            for reference in {reference for group in groups for reference in group}:
                keys, values, positions, _ = pack.memory([reference], dtype=kind)
                tensors = {"keys": torch.from_numpy(keys), "values": torch.from_numpy(values), "positions": torch.from_numpy(positions)}
                torch.save(tensors, folder / f"{kind}-{reference}.pt")
                safetensors.torch.save_file(tensors, folder / f"{kind}-{reference}.safetensors")
        # What a cache of prompts has: every token, layer and key-value head. The values do not matter to the time.
        full = torch.zeros(2, model.layers, model.shape.heads, model.reference_length, model.shape.head_dim, dtype=torch.float16)
        for reference in {reference for group in groups for reference in group}:
            torch.save(full, folder / f"full-{reference}.pt")

        def of_pack(kind: str) -> Callable[[list[int]], Any]:
            return lambda group: pack.memory(group, dtype=kind)

        shape = model.shape
        sizes = (len(groups[0]), shape.layers, shape.heads, shape.tokens, shape.head_dim)
        given = {kind: (np.empty(sizes, kind), np.empty(sizes, kind)) for kind in ("float32", "float16")}

        def of_pack_given(kind: str) -> Callable[[list[int]], Any]:
            return lambda group: pack.memory(group, dtype=kind, out=given[kind])

        def of_torch(kind: str) -> Callable[[list[int]], Any]:
            return lambda group: [torch.load(folder / f"{kind}-{reference}.pt") for reference in group]

        def of_safetensors(kind: str) -> Callable[[list[int]], Any]:
            def read(group: list[int]) -> Any:
                for reference in group:
                    with safetensors.safe_open(folder / f"{kind}-{reference}.safetensors", "pt") as file:
                        # A copy, as the others have it: a mapped tensor is read when it is used.
                        yield [file.get_tensor(name).clone() for name in file.keys()]  # noqa: SIM118

            return lambda group: list(read(group))

        ways = {
            "mempack, float32": of_pack("float32"),
            "mempack, float16": of_pack("float16"),
            "mempack, float32, out=": of_pack_given("float32"),
            "mempack, float16, out=": of_pack_given("float16"),
            "torch.load, float32": of_torch("float32"),
            "torch.load, float16": of_torch("float16"),
            "safe_open, float32": of_safetensors("float32"),
            "safe_open, float16": of_safetensors("float16"),
            "torch.load of all tokens, float16": of_torch("full"),
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(args.rounds):
            for name, way in ways.items():
                start = time.perf_counter()
                for group in groups:
                    way(group)
                times[name].append((time.perf_counter() - start) / len(groups))
        sizes_of_files = {
            "the pack, with its texts and vectors": pack.bytes // len(pack),
            "safetensors, float16": (folder / f"float16-{groups[0][0]}.safetensors").stat().st_size,
            "all tokens, float16": (folder / f"full-{groups[0][0]}.pt").stat().st_size,
        }
        print(
            f"{sum(map(len, groups)) // len(groups)} references of {shape.layers} layers, {shape.heads} heads, {shape.tokens} tokens; bytes of one: {sizes_of_files}"
        )
        own = statistics.median(times["mempack, float32"])
        for name, found in times.items():
            print(f"{name:34} {statistics.median(found) * 1e6:8.0f} us; {statistics.median(found) / own:.2f} times mempack's float32")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("search")
    command.add_argument("vectors")
    command.add_argument("--queries", type=int, default=2000)
    command.add_argument("--graphs")
    command.set_defaults(run=searches)
    other = commands.add_parser("memories")
    other.add_argument("pack")
    other.set_defaults(run=memories)
    for each in (command, other):
        each.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
