"""Which codecs are compared, for vectors of some dimension."""
import re

# Bytes of a code: the size of the paper's codec, and a smaller size that mempack aims to match it with.
SIZES = (14, 10)


def paper(dim):
    """The codec of the Memory3 paper, whose rotation has 20 parts, or the largest smaller number that divides the dimension."""
    parts = next(parts for parts in range(20, 0, -1) if dim % parts == 0)
    return f"OPQ{parts}_{dim},Residual2x14,PQ8x10"


def of_mempack(dim):
    """Names for `mempack build --codec`."""
    return {
        14: ["TCQ14x8", "TCQ14x10", "RQ2x8,TCQ12x8", "RQ14x8", "PRQ2x7x8", paper(dim)],
        10: ["TCQ10x8", "RQ2x8,TCQ8x8", "RQ10x8", "PQ8x10"],
    }


def of_faiss(dim):
    """Names for faiss's `index_factory`. Optimized product quantizers pad vectors that their parts do not divide."""
    return {
        14: [paper(dim), "PRQ2x7x8", "RQ14x8", f"OPQ16_{-(-dim // 16) * 16},PQ16x7"],
        10: ["PRQ2x5x8", "RQ10x8", f"OPQ8_{dim},PQ8x10"],
    }


def listed(of_system, dim):
    """All codecs of a system, larger ones first."""
    return [codec for size in SIZES for codec in of_system(dim)[size]]


def min_vectors(codec):
    """Vectors that faiss needs to train a codec: one per centroid of its largest table."""
    return 2 ** max(map(int, re.findall(r"x(\d+)(?=,|$)", codec)))
