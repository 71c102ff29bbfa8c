"""Which codecs are compared, for vectors of some dimension."""
import re

# Bytes of a vector's code: the paper's size, and the smaller one at which mempack means to be as good.
SIZES = (14, 10)


def paper(dim):
    """The codec of the Memory3 paper; it has a rotation for 20 parts, or for as many below as divide the dimension."""
    parts = next(parts for parts in range(20, 0, -1) if dim % parts == 0)
    return f"OPQ{parts}_{dim},Residual2x14,PQ8x10"


def of_mempack(dim):
    """Names that `mempack build --codec` takes."""
    return {
        14: ["TCQ14x8", "TCQ14x10", "RQ2x8,TCQ12x8", "RQ14x8", "PRQ2x7x8", paper(dim)],
        10: ["TCQ10x8", "RQ2x8,TCQ8x8", "RQ10x8", "PQ8x10"],
    }


def of_faiss(dim):
    """Names that faiss' `index_factory` takes. Optimized product quantizers pad the vectors where their parts do not divide them."""
    return {
        14: [paper(dim), "PRQ2x7x8", "RQ14x8", f"OPQ16_{-(-dim // 16) * 16},PQ16x7"],
        10: ["PRQ2x5x8", "RQ10x8", f"OPQ8_{dim},PQ8x10"],
    }


def listed(of_system, dim):
    """All of a system's codecs, the larger ones first."""
    return [codec for size in SIZES for codec in of_system(dim)[size]]


def least_vectors(codec):
    """Vectors that faiss wants to train a codec of that name: one for each of its largest table's centroids."""
    return 2 ** max(map(int, re.findall(r"x(\d+)(?=,|$)", codec)))
