"""What memories need to know of a model of transformers: its layers, heads, numbers, and the rotation of keys."""

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .config import Defaults

FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma3_text")
"""`model_type` of the models that read memories."""

CACHE_NAMES = ("cache", "past_key_values")
"""Names of the argument that is the key-value cache, the newer one first."""

_ROPE_TYPES = ("default", "linear", "llama3")


class ModelError(ValueError):
    """A model that cannot read memories. Fields: `field`, `expected`, `found`."""

    def __init__(self, field: str, expected: str, found: object, remedy: str) -> None:
        super().__init__(f"`{field}` of the model: expected {expected}, found {found}; {remedy}")
        self.field, self.expected, self.found = field, expected, str(found)


@dataclass(frozen=True)
class Architecture:
    """A causal language model, without the wrapper that an adapter may have put around it."""

    model: Any
    """The model that has `generate`."""
    decoder: Any
    """The decoder inside, from ids to hidden states."""
    config: Any
    attentions: tuple[nn.Module, ...]
    """The attention of each layer."""
    layers: int
    query_heads: int
    heads: int
    """Key-value heads of a layer."""
    head_dim: int
    vocabulary: int
    bos: int
    eos: tuple[int, ...]
    rope_base: float
    """Base of the rotary embedding, in the layers that attend to the whole context."""
    kinds: tuple[str, ...]
    """For each layer which rotation it has: all the same, except in families whose layers with a window rotate by another base."""
    windows: tuple[int | None, ...]
    """For each layer how many tokens a token attends to, itself included; None for all."""

    @property
    def group(self) -> int:
        """Query heads of a key-value head."""
        return self.query_heads // self.heads

    def device_of(self, layer: int) -> torch.device:
        """Where a layer is computed."""
        return next(self.attentions[layer].parameters()).device

    def defaults(self) -> Defaults:
        """What a `memory` block may leave out."""
        return Defaults(self.layers, self.heads, self.vocabulary, self.bos, self.eos)

    def rotation(self, kind: str, positions: range) -> tuple[Tensor, Tensor]:
        """Cosines and sines in float32, `[positions, head_dim]` each, by which keys of layers of this kind are rotated."""
        rotary = self.decoder.rotary_emb
        device = next(self.decoder.parameters()).device
        index = torch.arange(positions.start, positions.stop, device=device)[None]
        like = torch.zeros(1, dtype=torch.float32, device=device)
        extra = (kind,) if _rotates_by_kind(rotary) else ()
        with torch.no_grad():
            cos, sin = rotary(like, index, *extra)
        return cos[0].float(), sin[0].float()

    def cache_in(self, arguments: dict[str, Any]) -> Any:
        """The key-value cache among the arguments of a pass; None if there is none."""
        return next((arguments[name] for name in CACHE_NAMES if arguments.get(name) is not None), None)

    def cache_name(self) -> str:
        """What the decoder calls its key-value cache."""
        known = inspect.signature(self.decoder.forward).parameters
        return next(name for name in CACHE_NAMES if name in known)

    def folders(self) -> list[Path]:
        """Folders that the model's files may have come from."""
        names = [getattr(self.config, "_name_or_path", None), getattr(self.model, "name_or_path", None)]
        return [Path(name) for name in dict.fromkeys(names) if name and Path(name).is_dir()]


def rotated(keys: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Keys `[..., head_dim]` after the rotary embedding, whose cosines and sines have the same shape."""
    left, right = keys.chunk(2, -1)
    return keys * cos + torch.cat([-right, left], -1) * sin


def unwrapped(model: Any) -> Any:
    """The causal language model below the wrapper of an adapter or of `torch.compile`."""
    model = getattr(model, "_orig_mod", model)
    if hasattr(model, "get_base_model"):
        model = model.get_base_model()
    return model


def architecture_of(model: Any) -> Architecture:
    """The architecture of a model.

    Raises:
        TypeError: no causal language model of transformers.
        ModelError: a family or a setting with which memories are not read.
    """
    inner = unwrapped(model)
    if not isinstance(inner, nn.Module) or not hasattr(inner, "generate") or not hasattr(inner, "config"):
        raise TypeError(f"the model is a {type(model).__name__}; expected a causal language model of transformers, with an adapter or without")
    config: Any = inner.config
    decoder: Any = getattr(inner, "model", None)
    if config.model_type not in FAMILIES or decoder is None or not hasattr(decoder, "layers"):
        raise ModelError("model_type", f"one of {', '.join(FAMILIES)}", config.model_type, "use a model of one of these families")
    if getattr(config, "attn_logit_softcapping", None):
        raise ModelError("attn_logit_softcapping", "nothing", config.attn_logit_softcapping, "use a model whose scores are not capped")
    attentions = tuple(layer.self_attn for layer in decoder.layers)
    heads = int(getattr(config, "num_key_value_heads", None) or config.num_attention_heads)
    head_dim = int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
    kinds, windows = _layer_kinds(config, len(attentions), decoder)
    return Architecture(
        model=inner,
        decoder=decoder,
        config=config,
        attentions=attentions,
        layers=len(attentions),
        query_heads=int(config.num_attention_heads),
        heads=heads,
        head_dim=head_dim,
        vocabulary=int(config.vocab_size),
        bos=_bos(inner),
        eos=_ids(getattr(config, "eos_token_id", None)) or _ids(getattr(inner.generation_config, "eos_token_id", None)),
        rope_base=_rope_base(config),
        kinds=kinds,
        windows=windows,
    )


def _rotates_by_kind(rotary: Any) -> bool:
    return "layer_type" in inspect.signature(rotary.forward).parameters


def _layer_kinds(config: Any, layers: int, decoder: Any) -> tuple[tuple[str, ...], tuple[int | None, ...]]:
    listed = getattr(config, "layer_types", None) or ["full_attention"] * layers
    window = getattr(config, "sliding_window", None)
    by_kind = _rotates_by_kind(decoder.rotary_emb)
    if not getattr(config, "layer_types", None) and config.model_type == "mistral" and window:
        listed = ["sliding_attention"] * layers
    windows = tuple(int(window) if kind == "sliding_attention" and window else None for kind in listed)
    return tuple(kind if by_kind else "" for kind in listed), windows


def rope_parameters(config: Any) -> dict[str, Any]:
    """Base and scaling of the rotary embedding of the layers that attend to the whole context: `rope_theta`, `rope_type` and what that needs."""
    found = dict(getattr(config, "rope_parameters", None) or {})
    if isinstance(found.get("full_attention"), dict):
        found = dict(found["full_attention"])
    return found


def _rope_base(config: Any) -> float:
    found = rope_parameters(config)
    kind = found.get("rope_type", "default")
    if kind not in _ROPE_TYPES or found.get("partial_rotary_factor", 1.0) != 1.0:
        raise ModelError("rope_parameters", f"one of {', '.join(_ROPE_TYPES)} over whole heads", found, "use a model whose keys rotate in one of these ways")
    return float(found.get("rope_theta") or getattr(config, "rope_theta", None) or 10000.0)


def _ids(value: int | Iterable[int] | None) -> tuple[int, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, int) else tuple(value)


def _bos(model: Any) -> int:
    for config in (model.config, model.generation_config):
        ids = _ids(getattr(config, "bos_token_id", None))
        if ids:
            return ids[0]
    remedy = "set model.config.bos_token_id to a token that stood between documents in the model's training, such as the end of text"
    raise ModelError("bos_token_id", "the id of the BOS, with which every text begins", "nothing", remedy)
