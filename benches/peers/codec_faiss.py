#!/usr/bin/env python3
"""faiss' quantizers of the same sizes on the same vectors: the peer of mempack's codecs.

    python3 benches/peers/codec_faiss.py VECTORS CODEC...

`CODEC_PEER=python3 cargo bench -p mempack-compiler --bench codec` runs it and prints the ratios. VECTORS is three
little-endian u32 (vectors to train on, vectors held out, dimensions), then the keys and then the values as f32,
those to train on first. Prints a JSON object a line and codec, all on one thread: squared error of the
held-out vectors relative to their variance, seconds to train, vectors/s to encode and to decode. Needs faiss-cpu.
"""
import json
import os
import re
import statistics
import sys
import time

for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ[library + "_NUM_THREADS"] = "1"
import faiss
import numpy as np

BATCH = 256  # vectors encoded in one call


def quantizer(spec, dim):
    """The faiss quantizer of a mempack codec."""
    if spec == "SQ8":
        return faiss.ScalarQuantizer(dim, faiss.ScalarQuantizer.QT_8bit)
    family, parts, bits = re.fullmatch(r"(PQ|RQ)(\d+)x(\d+)", spec).groups()
    return (faiss.ProductQuantizer if family == "PQ" else faiss.ResidualQuantizer)(dim, int(parts), int(bits))


def timed(work):
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def main():
    faiss.omp_set_num_threads(1)
    path, specs = sys.argv[1], sys.argv[2:]
    trained, held_out, dim = np.fromfile(path, "<u4", 3)
    kinds = np.fromfile(path, "<f4", offset=12).reshape(2, trained + held_out, dim)
    for spec in specs:
        errors, train_s, encode_s, decode_s = [], 0.0, 0.0, 0.0
        for vectors in kinds:
            sample, rest = np.ascontiguousarray(vectors[:trained]), np.ascontiguousarray(vectors[trained:])
            q = quantizer(spec, int(dim))
            train_s += timed(lambda: q.train(sample))[1]
            # The median of short runs, as the bench takes it.
            runs = [timed(lambda: q.compute_codes(rest[i:i + BATCH])) for i in range(0, len(rest), BATCH)]
            codes = np.concatenate([codes for codes, _ in runs])
            encode_s += statistics.median(seconds / len(codes) for codes, seconds in runs) * len(rest)
            decoded = q.decode(codes)
            decode_s += statistics.median(timed(lambda: q.decode(codes))[1] for _ in range(21))
            errors.append(float(((rest - decoded) ** 2).sum() / ((rest - rest.mean(0)) ** 2).sum()))
        count = 2 * int(held_out)
        print(json.dumps({
            "codec": spec, "error_keys": errors[0], "error_values": errors[1],
            "train_s": train_s, "encode": count / encode_s, "decode": count / decode_s,
        }), flush=True)


main()
