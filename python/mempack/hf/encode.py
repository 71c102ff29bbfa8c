"""Writing memories with transformers, as the compiler writes them (arXiv 2407.01178, sections 3.2 and 3.3)."""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .architecture import Architecture, architecture_of
from .config import MemoryConfig, block_of_folders, parse, read_block
from .reader import attached
from .references import compose
from .text import TextTokenizer

_BATCH = 32


class EncodeError(ValueError):
    """A text that cannot be a reference: it has no tokens, or more than a reference may have."""


@dataclass(frozen=True)
class EncodedMemories:
    """Memories in the layout of `Pack.memory`. Unpacks as `keys, values, positions, counts`."""

    keys: NDArray[np.float32]
    """Keys before the rotary embedding, `[references, memory layers, heads, tokens, head_dim]`; zero in empty slots."""
    values: NDArray[np.float32]
    positions: NDArray[np.int16]
    """`[references, memory layers, heads, tokens]`: index of the token in its reference, ascending; -1 in empty slots."""
    counts: NDArray[np.uint8]
    """`[references, memory layers, heads]`: slots that are not empty."""

    def __iter__(self) -> Any:
        return iter((self.keys, self.values, self.positions, self.counts))


def encode(
    model: Any,
    tokenizer: Any,
    texts: Sequence[str | Sequence[int]],
    memory_config: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    *,
    titles: Sequence[str] | None = None,
) -> EncodedMemories:
    """Writes the memories of texts, to be compared with those of a pack.

    A text is read after the title of its document, as the compiler reads it, if `titles` has one for each text; it is put into the model's
    `reference_template` and encoded. A list of ids is taken as it is. The tokens that a head keeps are those with the
    most attention from the text's own tokens, before the rotary embedding and without a causal mask. If a reader is attached, its settings are used
    and it is off meanwhile.

    Raises:
        EncodeError: a text without tokens or with more than `reference_length`.
        FileNotFoundError: no `memory` block is given or known.
    """
    architecture = architecture_of(model)
    reader = attached(architecture.model)
    config = _config(architecture, memory_config, reader)
    if isinstance(texts, str):
        texts = [texts]
    words = TextTokenizer(tokenizer, config, {architecture.bos, *architecture.eos, *config.stop_ids, *config.reference_prefix_ids})
    leads = [""] * len(texts) if titles is None else list(titles)
    if len(leads) != len(texts):
        raise EncodeError(f"there are {len(leads)} titles for {len(texts)} texts")
    ids = [compose(words, config, title, text).ids if isinstance(text, str) else list(text) for title, text in zip(leads, texts, strict=True)]
    for number, own in enumerate(ids):
        if not 1 <= len(own) <= config.reference_length:
            raise EncodeError(f"text {number} has {len(own)} tokens; expected 1 to {config.reference_length}")
    writer = _Writer(architecture, config)
    with ExitStack() as stack:
        if reader is not None:
            stack.enter_context(reader.off())
        return writer.write(ids)


def _config(model: Architecture, given: Any, reader: Any) -> MemoryConfig:
    if given is not None:
        block, path = read_block(given)
        return parse(block, model.defaults(), path)
    if reader is not None:
        config: MemoryConfig = reader.config
        return config
    found = block_of_folders(model.folders())
    if found is None:
        raise FileNotFoundError("no memory.json is known; name the reader's folder as memory_config")
    return parse(found[0], model.defaults(), found[1])


class _Writer:
    def __init__(self, model: Architecture, config: MemoryConfig) -> None:
        self.model, self.config = model, config
        self.counts = config.counts(model.heads)

    def write(self, ids: list[list[int]]) -> EncodedMemories:
        model, most = self.model, max(max(row) for row in self.counts)
        shape = (len(ids), self.config.num_memory_layers, model.heads, most)
        keys, values = (np.zeros((*shape, model.head_dim), dtype=np.float32) for _ in range(2))
        positions = np.full(shape, -1, dtype=np.int16)
        by_length: dict[int, list[int]] = {}
        for row, own in enumerate(ids):
            by_length.setdefault(len(own), []).append(row)
        # Texts of one length at a time: no padding has a part in which tokens are kept.
        for rows in by_length.values():
            for start in range(0, len(rows), _BATCH):
                some = rows[start : start + _BATCH]
                self._write_equal([ids[row] for row in some], some, keys, values, positions)
        return EncodedMemories(keys, values, positions, (positions >= 0).sum(-1).astype(np.uint8))

    @torch.no_grad()
    def _write_equal(self, ids: list[list[int]], rows: list[int], keys: NDArray[np.float32], values: NDArray[np.float32], positions: NDArray[np.int16]) -> None:
        captured = self._pass(ids)
        for number, row in enumerate(self.counts):
            query, key, value, scaling = captured[self.config.first_memory_layer + number]
            order = self._weights(query, key, scaling).sort(dim=-1, descending=True, stable=True).indices
            for head, count in enumerate(row):
                kept = order[:, head, :count].sort(-1).values
                take = kept[..., None].expand(-1, -1, self.model.head_dim)
                held = kept.shape[1]
                if held:
                    keys[rows, number, head, :held] = key[:, head].gather(1, take).float().cpu().numpy()
                    values[rows, number, head, :held] = value[:, head].gather(1, take).float().cpu().numpy()
                    positions[rows, number, head, :held] = kept.cpu().numpy()

    def _weights(self, query: Tensor, key: Tensor, scaling: float) -> Tensor:
        """How much attention each token gets, `[rows, heads, tokens]`, summed over the query heads of a group and the tokens that attend."""
        rows, _, tokens, dim = query.shape
        own = query.float().reshape(rows, self.model.heads, self.model.group, tokens, dim)
        scores = own @ key.float()[:, :, None].transpose(-1, -2)
        # The order of these operations decides ties as the definition does.
        exact = dim**-0.5 == scaling
        scores = scores / dim**0.5 if exact else scores * scaling
        return scores.softmax(-1).sum((2, 3))

    def _pass(self, ids: list[list[int]]) -> dict[int, tuple[Tensor, Tensor, Tensor, float]]:
        """Queries, keys and values of the texts' own tokens before the rotary embedding, `[rows, heads, tokens, head_dim]`, for each layer."""
        prefix = list(self.config.reference_prefix_ids)
        decoder = self.model.decoder
        seen: dict[tuple[int, str], Tensor] = {}
        handles = []
        wanted = range(self.config.first_memory_layer, self.config.first_memory_layer + self.config.num_memory_layers)
        for layer in wanted:
            module: Any = self.model.attentions[layer]
            parts = {"q": getattr(module, "q_norm", None) or module.q_proj, "k": getattr(module, "k_norm", None) or module.k_proj, "v": module.v_proj}
            for name, part in parts.items():
                handles.append(part.register_forward_hook(_keeping(seen, (layer, name))))
        training = decoder.training
        decoder.eval()
        try:
            device = decoder.get_input_embeddings().weight.device
            decoder(input_ids=torch.tensor([prefix + own for own in ids], device=device), use_cache=False)
        finally:
            decoder.train(training)
            for handle in handles:
                handle.remove()

        # Gemma 3 norms queries and keys after it has put the heads first.
        normed_by_head = self.model.config.model_type == "gemma3_text"

        def heads(layer: int, name: str) -> Tensor:
            found = seen[layer, name]
            if found.dim() == 4 and normed_by_head:
                return found[:, :, len(prefix) :]
            split = found.reshape(len(ids), len(prefix) + len(ids[0]), -1, self.model.head_dim)
            return split[:, len(prefix) :].transpose(1, 2)

        return {
            layer: (heads(layer, "q"), heads(layer, "k"), heads(layer, "v"), float(getattr(self.model.attentions[layer], "scaling", self.model.head_dim**-0.5)))
            for layer in wanted
        }


def _keeping(seen: dict[tuple[int, str], Tensor], key: tuple[int, str]) -> Any:
    def keep(_module: Any, _inputs: Any, output: Tensor) -> None:
        seen[key] = output

    return keep
