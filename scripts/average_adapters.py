#!/usr/bin/env python3
"""Averages the weights of two adapters of the same shape, one of which was trained from the other (Wortsman et al. 2022, arXiv 2109.01903).

    python3 scripts/average_adapters.py BEFORE AFTER OUT

BEFORE and AFTER are adapter folders with bf16 weights. OUT is created, with the other files of AFTER.
"""
import array
import json
import pathlib
import shutil
import struct
import sys

WEIGHTS = "adapter_model.safetensors"


def read(path):
    """The raw header of a safetensors file, and the numbers after it as bf16 patterns."""
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = data[8 : 8 + length]
    kinds = {entry["dtype"] for name, entry in json.loads(header).items() if name != "__metadata__"}
    if kinds != {"BF16"}:
        sys.exit(f"{path}: tensors of {', '.join(sorted(kinds))}, expected BF16")
    return header, array.array("H", data[8 + length :])


def floats(patterns):
    return struct.unpack(f"<{len(patterns)}f", struct.pack(f"<{len(patterns)}I", *(pattern << 16 for pattern in patterns)))


def rounded(numbers):
    """The bf16 patterns nearest to the numbers, ties to even."""
    wide = struct.unpack(f"<{len(numbers)}I", struct.pack(f"<{len(numbers)}f", *numbers))
    return array.array("H", ((x + 0x7FFF + (x >> 16 & 1)) >> 16 for x in wide))


def main():
    before, after, out = map(pathlib.Path, sys.argv[1:4])
    (header, ours), (other, theirs) = read(before / WEIGHTS), read(after / WEIGHTS)
    if json.loads(header) != json.loads(other):
        sys.exit(f"{before} and {after} differ in the names, shapes or offsets of their tensors")
    mean = rounded([(x + y) / 2 for x, y in zip(floats(ours), floats(theirs))])
    shutil.copytree(after, out)
    (out / WEIGHTS).write_bytes(struct.pack("<Q", len(header)) + header + mean.tobytes())


if __name__ == "__main__":
    main()
