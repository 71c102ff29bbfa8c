"""Keys and values of the reference prefix, which every token attends to at every layer."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .architecture import Architecture
from .config import MemoryConfig


@dataclass(frozen=True)
class Prefix:
    """For each layer the prefix's rotated keys and values, `[1, heads, prefix, head_dim]`."""

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]

    @property
    def tokens(self) -> int:
        """Tokens of the prefix."""
        return self.keys[0].shape[2]


class PrefixSource:
    """Computes the prefix with the model as it is: again only after its weights or its adapters changed."""

    def __init__(self, model: Architecture, config: MemoryConfig) -> None:
        self._model, self._ids = model, list(config.reference_prefix_ids)
        self._known: tuple[Any, Prefix] | None = None

    def prefix(self) -> Prefix:
        """The prefix. The model must be without memories meanwhile."""
        state = self._state()
        if self._known is None or self._known[0] != state:
            self._known = state, self._compute()
        return self._known[1]

    @torch.no_grad()
    def _compute(self) -> Prefix:
        from transformers import DynamicCache

        decoder = self._model.decoder
        device = decoder.get_input_embeddings().weight.device
        # A cache without a configuration keeps every token, also in layers with a window.
        cache: Any = DynamicCache()
        training = decoder.training
        decoder.eval()
        try:
            decoder(input_ids=torch.tensor([self._ids], device=device), use_cache=True, **{self._model.cache_name(): cache})
        finally:
            decoder.train(training)
        return Prefix(tuple(layer.keys.detach() for layer in cache.layers), tuple(layer.values.detach() for layer in cache.layers))

    def _state(self) -> tuple[Any, ...]:
        """What changes when a weight is replaced or written, or an adapter is added, switched on or off."""
        weights = tuple(
            (parameter.data_ptr(), parameter.dtype, -1 if parameter.is_inference() else parameter._version) for parameter in self._model.decoder.parameters()
        )
        tuners = tuple(
            (tuple(module.active_adapters), bool(module.disable_adapters), tuple(module.merged_adapters))
            for module in self._model.decoder.modules()
            if hasattr(module, "merged_adapters") and hasattr(module, "active_adapters")
        )
        return weights, tuners
