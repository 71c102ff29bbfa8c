"""What is in the golden packs of the format: the formulas of format-spec/tests/golden/generate.rs, computed slowly."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).resolve().parents[2] / "format-spec" / "tests" / "golden"
REFERENCES, DOCUMENTS, LAYERS, HEADS, HEAD_DIM, DIM = 24, 3, 2, 2, 8, 8
EVEN, UNEVEN = [4, 4, 4, 4], [3, 0, 1, 7]


def path(name: str) -> Path:
    return FOLDER / f"{name}.mpk"


def tokens(reference: int) -> int:
    return 1 + reference * 11 % 128


def text(reference: int) -> str:
    return f"Reference {reference} — {'одно и то же, ' * (reference % 5)}."


def embedding(reference: int) -> NDArray[np.float64]:
    raw = np.array([(reference * 7 + dimension * dimension * 3) % 11 - 4.5 for dimension in range(DIM)])
    unit: NDArray[np.float64] = raw / np.linalg.norm(raw)
    return unit


def memory(reference: int, budget: list[int]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int16], NDArray[np.uint8]]:
    """Keys and values `[layers, heads, tokens, head_dim]`, positions `[layers, heads, tokens]`, counts `[layers, heads]` of a reference."""
    most, heads = max(budget), LAYERS * HEADS
    vectors = np.zeros((2, heads, most, HEAD_DIM), np.float32)
    positions = np.full((heads, most), -1, np.int16)
    number = 0
    for head, kept in enumerate(budget):
        for slot in range(kept):
            if slot < tokens(reference):
                positions[head, slot] = slot * 31 + reference if budget == EVEN else slot * 13 + reference
                for kind in range(2):
                    code = (reference * 40_503 + number * 977 + kind * 31_337) & 0x0FFF
                    for dimension in range(HEAD_DIM):
                        part = dimension // 2
                        row = code >> (3 * part) & 7
                        vectors[kind, head, slot, dimension] = (kind * heads + head - 3.5) + part * 0.25 + row * 0.125 - dimension % 2
            number += 1
    counts = (positions >= 0).sum(1).astype(np.uint8)
    shape = (LAYERS, HEADS, most)
    return vectors[0].reshape(*shape, HEAD_DIM), vectors[1].reshape(*shape, HEAD_DIM), positions.reshape(shape), counts.reshape(LAYERS, HEADS)
