#!/usr/bin/env python3
"""faiss' codecs on given vectors, in the manner of compiler/examples/bench_codec: one thread, a JSON object a line and codec.

    python3 benches/peers/codec/faiss_codecs.py TRAIN.npy HELD_OUT.npy CODEC...

A codec is a name for faiss' index_factory; its vectors become codes and vectors again by sa_encode and sa_decode.
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

BATCHES = (256, 4096)  # vectors encoded in one call: faiss is given the size that it is faster with
RUNS = 21  # times that everything is decoded


def timed(work):
    """What work returns, and its processor time: what else the machine does is not faiss' fault."""
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


def parts(index):
    """The pieces of an index that hold what it learnt."""
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
    """Bytes of rotations and centroids, all of them 32-bit floats."""
    tables = ("A", "b", "centroids", "codebooks")
    return 4 * sum(getattr(part, table).size() for part in parts(index) for table in tables if hasattr(part, table))


def whole_sample(index):
    """Lets the product quantizer behind a coarse one learn from all vectors; faiss would draw 256 a centroid."""
    for part in parts(index):
        if isinstance(part, faiss.ProductQuantizer):
            part.cp.max_points_per_centroid = 1 << 20


def encode_per_s(index, vectors, batch):
    """The median of calls."""
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
    # All names before any work: training takes minutes.
    for codec in sys.argv[3:]:
        faiss.index_factory(train.shape[1], codec)
    for codec in sys.argv[3:]:
        print(json.dumps(measure(codec, train, held_out)), flush=True)


if __name__ == "__main__":
    main()
