#!/usr/bin/env python3
"""Measures faiss's codecs on given vectors as benches/tools/bench_codec does: one thread, one JSON object per codec.

    python3 benches/peers/codec/faiss_codecs.py TRAIN.npy HELD_OUT.npy CODEC...

A codec is a name for faiss's index_factory. Vectors are encoded by sa_encode and decoded by sa_decode.
"""
import json
import os
import statistics
import sys
import time

for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ[library + "_NUM_THREADS"] = "1"
import faiss
import numpy as np

BATCHES = (256, 4096)  # vectors encoded in one call; the faster size counts
RUNS = 21  # how often everything is decoded


def timed(work):
    """The result of work and its processor time, which other programs on the machine do not affect."""
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


def parts(index):
    """The trained parts of an index."""
    index = faiss.downcast_index(index)
    if isinstance(index, faiss.IndexPreTransform):
        for i in range(index.chain.size()):
            yield faiss.downcast_VectorTransform(index.chain.at(i))
        yield from parts(index.index)
    elif isinstance(index, faiss.Index2Layer):
        yield faiss.downcast_index(index.q1.quantizer).pq
        yield index.pq
    else:
        names = ("pq", "prq", "rq", "plsq", "lsq")
        yield next(getattr(index, name) for name in names if hasattr(index, name))


def codebook_bytes(index):
    """Bytes of rotations and centroids, all 32-bit floats."""
    tables = ("A", "b", "centroids", "codebooks")
    return 4 * sum(getattr(part, table).size() for part in parts(index) for table in tables if hasattr(part, table))


def whole_sample(index):
    """Trains the product quantizer after a coarse one on all vectors; by default faiss samples 256 per centroid."""
    for part in parts(index):
        if isinstance(part, faiss.ProductQuantizer):
            part.cp.max_points_per_centroid = 1 << 20


def encode_per_s(index, vectors, batch):
    """Vectors per second: the median of all calls."""
    calls = [vectors[i:i + batch] for i in range(0, len(vectors) - batch + 1, batch)] or [vectors]
    return 1 / statistics.median(timed(lambda: index.sa_encode(call))[1] / len(call) for call in calls)


def measure(codec, train, held_out):
    index = faiss.index_factory(train.shape[1], codec)
    whole_sample(index)
    train_s = timed(lambda: index.train(train))[1]
    codes = index.sa_encode(held_out)
    decoded = index.sa_decode(codes)
    error = np.square(held_out - decoded, dtype=np.float64).sum()
    variance = np.square(held_out - held_out.mean(0, dtype=np.float64)).sum()
    return {
        "codec": codec,
        "bytes": index.sa_code_size(),
        "relative_mse": error / variance,
        "encode_per_s": max(encode_per_s(index, held_out, batch) for batch in BATCHES),
        "decode_per_s": len(held_out) / statistics.median(timed(lambda: index.sa_decode(codes))[1] for _ in range(RUNS)),
        "codebook_bytes": codebook_bytes(index),
        "train_s": train_s,
        "trained_on": len(train),
    }


def main():
    faiss.omp_set_num_threads(1)
    train, held_out = (np.load(path) for path in sys.argv[1:3])
    # Check all names before any work: training takes minutes.
    for codec in sys.argv[3:]:
        faiss.index_factory(train.shape[1], codec)
    for codec in sys.argv[3:]:
        print(json.dumps(measure(codec, train, held_out)), flush=True)


if __name__ == "__main__":
    main()
