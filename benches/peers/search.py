#!/usr/bin/env python3
"""Queries a second at equal recall: the graph of a pack beside HNSW of faiss, hnswlib and usearch, on the same vectors.

    benches/peers/search.py PACK|VECTORS.f32... [--queries N] [--threads N] [--rounds N] [--processor] [--graphs FOLDER]

The vectors are the embeddings of packs, or files of 384 little-endian f32 a row. Every program builds a graph of all but N of them, which are the queries (M 16,
efConstruction 200, inner product), and searches it with several sizes of the candidate list, one query at a time in each thread. Recall is that of the 5 nearest.
Rounds alternate between the programs, for machines that are not idle; the medians are printed, interpolated to a recall of 0.99. The time of one thread is
that of the processor, and that of several is of the clock, or with --processor the processor time of all threads over their number. The graphs are kept in
FOLDER, and taken from it by the next run with the same vectors.

Needs `cargo build --release -p mempack-benches --bin search_vectors`, and a Python with numpy, faiss-cpu, hnswlib and usearch (benches/peers/search.txt).
"""
import argparse
import json
import os
import pathlib
import statistics
import struct
import subprocess
import tempfile
import time

import faiss
import hnswlib
import numpy as np
from usearch.index import Index

ROOT = pathlib.Path(__file__).resolve().parents[2]
EFS = [15, 20, 25, 30, 40, 50, 60, 80, 120]
K, M, CONSTRUCTION, DIM = 5, 16, 200, 384
GOAL = 0.99


def vectors(path):
    """The embeddings of a pack (SPEC sections 3 and 11), or a file of vectors."""
    data = pathlib.Path(path).read_bytes()
    if not path.endswith(".f32"):
        entries = (struct.unpack_from("<8sQQQ", data, 128 + 64 * number) for number in range(struct.unpack_from("<I", data, 12)[0]))
        offset, length = next((at, size) for tag, _, at, size in entries if tag == b"EMBED   ")
        data = data[offset:offset + length]
    return np.frombuffer(data, "<f4").reshape(-1, DIM)


class Peers:
    """The other libraries, with one graph each."""

    def __init__(self, base, threads, processor, folder):
        self.threads = threads
        self.processor = processor or threads == 1
        faiss.omp_set_num_threads(threads)
        self.hnswlib = hnswlib.Index("ip", DIM)
        self.usearch = Index(ndim=DIM, metric="ip", dtype="f32", connectivity=M, expansion_add=CONSTRUCTION)
        paths = [str(folder / name) for name in ["faiss.idx", "hnswlib.idx", "usearch.idx"]]
        if all(map(os.path.exists, paths)):
            self.faiss = faiss.read_index(paths[0])
            self.hnswlib.load_index(paths[1])
            self.usearch.load(paths[2])
        else:
            self.faiss = faiss.IndexHNSWFlat(DIM, M, faiss.METRIC_INNER_PRODUCT)
            self.faiss.hnsw.efConstruction = CONSTRUCTION
            self.faiss.add(base)
            self.hnswlib.init_index(len(base), M=M, ef_construction=CONSTRUCTION)
            self.hnswlib.add_items(base, num_threads=threads)
            self.usearch.add(np.arange(len(base)), base, threads=threads)
            faiss.write_index(self.faiss, paths[0])
            self.hnswlib.save_index(paths[1])
            self.usearch.save(paths[2])
        exact = faiss.IndexFlatIP(DIM)
        exact.add(base)
        self.exact = exact

    def search(self, name, ef, queries):
        if name == "faiss":
            self.faiss.hnsw.efSearch = ef
            return self.faiss.search(queries, K)[1]
        if name == "hnswlib":
            self.hnswlib.set_ef(ef)
            return self.hnswlib.knn_query(queries, K, num_threads=self.threads)[0]
        self.usearch.expansion_search = ef
        return self.usearch.search(queries, K, threads=self.threads).keys

    def measure(self, name, queries, nearest):
        clock = (lambda: time.process_time() / self.threads) if self.processor else time.perf_counter
        for ef in EFS:
            best = float("inf")
            for _ in range(3):
                start = clock()
                found = self.search(name, ef, queries)
                best = min(best, clock() - start)
            recall = np.mean([len(set(a) & set(b)) / K for a, b in zip(found, nearest)])
            yield {"ef": ef, "recall": float(recall), "queries_per_second": len(queries) / best}


def at_goal(points):
    """Queries a second at the recall of the goal, interpolated between the two points around it."""
    for below, above in zip(points, points[1:]):
        if below["recall"] < GOAL <= above["recall"]:
            share = (GOAL - below["recall"]) / (above["recall"] - below["recall"])
            return below["queries_per_second"] + share * (above["queries_per_second"] - below["queries_per_second"])
    return points[0]["queries_per_second"] if points[0]["recall"] >= GOAL else float("nan")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("vectors", nargs="+")
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processor", action="store_true")
    parser.add_argument("--graphs")
    parser.add_argument("--tool", default=str(ROOT / "target/release/search_vectors"))
    args = parser.parse_args()
    rows = np.unique(np.concatenate([vectors(path) for path in args.vectors]), axis=0)
    rows = rows[np.random.default_rng(1).permutation(len(rows))]
    queries, base = np.ascontiguousarray(rows[:args.queries]), np.ascontiguousarray(rows[args.queries:])
    print(f"{len(base)} vectors, {len(queries)} queries, {args.threads} threads")
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(args.graphs or temporary)
        folder.mkdir(exist_ok=True)
        base.tofile(f"{folder}/base.f32")
        queries.tofile(f"{folder}/queries.f32")
        pack = f"{folder}/vectors.mpk"
        if not os.path.exists(pack):
            subprocess.run([args.tool, "build", f"{folder}/base.f32", str(DIM), pack], check=True)
        peers = Peers(base, args.threads, args.processor, folder)
        nearest = peers.exact.search(queries, K)[1]
        found = {name: [] for name in ["mempack", "faiss", "hnswlib", "usearch"]}
        for _ in range(args.rounds):
            command = [args.tool, "search", pack, f"{folder}/queries.f32", str(args.threads), *map(str, EFS)]
            lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
            points = [json.loads(line) for line in lines]
            if args.processor:
                points = [{**point, "queries_per_second": point["queries_per_processor_second"]} for point in points]
            found["mempack"].append(points)
            for name in ["faiss", "hnswlib", "usearch"]:
                found[name].append(list(peers.measure(name, queries, nearest)))
    own = [at_goal(points) for points in found["mempack"]]
    for name, rounds in found.items():
        rates = [at_goal(points) for points in rounds]
        ratios = ", ".join(f"{a / b:.2f}" for a, b in zip(own, rates))
        print(f"{name:8} {statistics.median(rates):8.0f} queries/s at recall {GOAL}; mempack is {ratios} times as fast")


if __name__ == "__main__":
    main()
