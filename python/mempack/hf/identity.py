"""Whether a pack's memories are of the model that is to read them.

Compared is what can be without reading weights: numbers of the architecture, its digest, the `memory` block, and the tokenizer's file where it is
known. That the weights are the same is not checked.
"""

import dataclasses
from decimal import Decimal
from pathlib import Path
from typing import Any

from mempack._native import MismatchError, ModelIdentity

from .architecture import Architecture, rope_parameters
from .config import MemoryConfig
from .digest import blake3

Difference = tuple[str, str, str]
"""A field, what the pack has, and what the model has."""

SELECTION = "attention-sum-pre-rope-v1"


def differences(pack: ModelIdentity, model: Architecture, config: MemoryConfig | None, tokenizer: Path | None) -> list[Difference]:
    """The fields in which a pack's model differs from another one. Without `config`, its `memory` block is not compared. `tokenizer` is the path of
    the model's tokenizer.json, if it is known."""
    shape = pack.shape
    pairs: list[tuple[str, object, object]] = [
        ("layers", pack.layers, model.layers),
        ("query heads", pack.query_heads, model.query_heads),
        ("key-value heads", shape.heads, model.heads),
        ("head dimension", shape.head_dim, model.head_dim),
        ("RoPE base", float(pack.rope_base), model.rope_base),
        ("selection rule", pack.selection, SELECTION),
        ("architecture", pack.config, blake3(canonical(model).encode())),
    ]
    if tokenizer is not None:
        pairs.append(("tokenizer", pack.tokenizer, blake3(tokenizer.read_bytes())))
    if config is not None:
        pairs += [
            ("first memory layer", pack.first_memory_layer, config.first_memory_layer),
            ("memory layers", shape.layers, config.num_memory_layers),
            ("reference length", pack.reference_length, config.reference_length),
            ("prefix ids", list(pack.prefix_ids), list(config.reference_prefix_ids)),
            ("reference template", pack.reference_template, config.reference_template),
        ]
    found = [(name, _shown(ours), _shown(theirs)) for name, ours, theirs in pairs if ours != theirs]
    if config is not None:
        counts, own = [[int(n) for n in row] for row in shape.counts], config.counts(model.heads)
        if counts != own:
            found.append(("tokens per head", _counts_shown(counts, own), _counts_shown(own, counts)))
    return found


def mismatch(path: str | None, found: list[Difference], what: str = "model") -> MismatchError:
    """The error that names the fields in which a pack differs."""
    fields = "; ".join(f"{name}: the pack has {ours}, the {what} has {theirs}" for name, ours, theirs in found)
    error = MismatchError(f"{path or 'the pack'} was built with another {what}: {fields}. Load the {what} that built the pack, or build the pack with this one")
    error.path, error.differences = path, found
    return error


def block_of(pack: ModelIdentity) -> dict[str, Any]:
    """The fields of a `memory` block that a pack states."""
    counts = [[int(n) for n in row] for row in pack.shape.counts]
    numbers = {n for row in counts for n in row}
    return {
        "first_memory_layer": pack.first_memory_layer,
        "num_memory_layers": pack.shape.layers,
        "tokens_per_head": numbers.pop() if len(numbers) == 1 else counts,
        "reference_length": pack.reference_length,
        "reference_prefix_ids": list(pack.prefix_ids),
        "reference_template": pack.reference_template,
    }


def unstated() -> list[str]:
    """The fields of a `memory` block that no pack states, because they belong to reading."""
    stated = {"first_memory_layer", "num_memory_layers", "tokens_per_head", "reference_length", "reference_prefix_ids", "reference_template"}
    return [field.name for field in dataclasses.fields(MemoryConfig) if field.name not in stated]


def canonical(model: Architecture) -> str:
    """The numbers that change what a model computes, one a line: the text whose digest is `ModelIdentity.config`."""
    c, rope = model.config, rope_parameters(model.config)
    kind = rope.get("rope_type", "default")
    scaling = f"Some(Llama3Scaling {{ {', '.join(f'{name}: {_debug(rope[name])}' for name in _LLAMA3)} }})" if kind == "llama3" else "None"
    lines = [
        f"hidden {c.hidden_size}",
        f"intermediate {c.intermediate_size}",
        f"layers {model.layers}",
        f"query heads {model.query_heads}",
        f"key-value heads {model.heads}",
        f"head dimension {model.head_dim}",
        f"vocabulary {model.vocabulary}",
        f"norm epsilon {_exponent(c.rms_norm_eps)}",
        f"rope base {_exponent(model.rope_base)}",
        f"rope scaling {scaling}",
        f"bos {model.bos}",
    ]
    gemma = c.model_type in ("gemma", "gemma3_text")
    if gemma:
        lines += ["activation GeluTanh", "embedding scale RootOfHidden", "norm offset 1e0"]
    if c.model_type in ("qwen3", "gemma3_text"):
        lines.append("norms of queries and keys")
    if c.model_type == "gemma3_text":
        lines.append("norms after attention and feed-forward")
        scalar = float(c.query_pre_attn_scalar)
        if scalar != model.head_dim:
            lines.append(f"query scalar {_exponent(scalar)}")
    if kind == "linear" and float(rope["factor"]) != 1.0:
        lines.append(f"rope factor {_exponent(rope['factor'])}")
    if c.model_type == "gemma3_text" and any(model.windows):
        window = next(window for window in model.windows if window)
        slides = "".join("1" if window else "0" for window in model.windows)
        local = c.rope_parameters["sliding_attention"]["rope_theta"]
        lines.append(f"sliding window {window}, rope base {_exponent(local)}, in layers {slides}")
    return "\n".join(lines) + "\n"


_LLAMA3 = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")


def _exponent(value: float) -> str:
    """A number in scientific notation with as few digits as tell it apart: `1e-5`, `2.5e6`."""
    sign, digits, exponent = Decimal(repr(float(value))).normalize().as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits))
    mantissa = text[0] + (f".{text[1:]}" if len(text) > 1 else "")
    return f"{'-' if sign else ''}{mantissa}e{exponent + len(digits) - 1 if value else 0}"


def _debug(value: float) -> str:
    """A number with a decimal point."""
    return format(Decimal(repr(float(value))), "f")


def _shown(value: object) -> str:
    return repr(value) if isinstance(value, str) else str(value)


def _counts_shown(own: list[list[int]], other: list[list[int]]) -> str:
    total = sum(map(sum, own))
    for layer, (row, others) in enumerate(zip(own, other, strict=False)):
        for head, (number, of_other) in enumerate(zip(row, others, strict=False)):
            if number != of_other:
                return f"{total} in all, {number} at memory layer {layer}, head {head}"
    return f"{total} in all"
