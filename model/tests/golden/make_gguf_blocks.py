"""Write gguf-blocks.safetensors: random GGUF blocks and their values as the Python package `gguf` computes them.

    python make_gguf_blocks.py        needs gguf, numpy, safetensors

Per type NAME: NAME.blocks (the bytes) and NAME.values (float32). All bytes are random but the half-precision scales,
which are made finite: a NaN has more than one bit pattern.
"""
import pathlib

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, quants
from safetensors.numpy import save_file

# Byte offsets of the half-precision numbers in a block.
HALVES = dict(F16=[0], Q4_0=[0], Q4_1=[0, 2], Q5_0=[0], Q5_1=[0, 2], Q8_0=[0], Q2_K=[80, 82], Q3_K=[108], Q4_K=[0, 2], Q5_K=[0, 2], Q6_K=[208])

rng = np.random.default_rng(20240607)
tensors = {}
for name in ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]:
    kind = GGMLQuantizationType[name]
    elements, size = GGML_QUANT_SIZES[kind]
    count = {1: 256, 32: 24, 256: 6}[elements]
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    if name in ("F32", "BF16"):
        blocks[:, -1] &= 0xBF  # the highest bit of the exponent: finite
    for at in HALVES.get(name, []):
        blocks[:, at + 1] &= 0xBF
    tensors[f"{name}.blocks"] = blocks
    tensors[f"{name}.values"] = np.ascontiguousarray(quants.dequantize(blocks, kind), dtype=np.float32).reshape(-1)
save_file(tensors, pathlib.Path(__file__).with_name("gguf-blocks.safetensors"))
