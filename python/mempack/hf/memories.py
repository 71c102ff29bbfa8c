"""Memories of references as tensors that attention can read: decoded, rotated and laid out by layer."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mempack._native import Pack

from .architecture import Architecture, rotated
from .config import MemoryConfig
from .retrieval import Read

HIDDEN = float("-inf")
"""What is added to the scores of slots that are not read."""


@dataclass(frozen=True)
class LayerSlots:
    """Where in a flat memory the tokens of a layer are: `heads * width` slots from `start` on, head by head."""

    layer: int
    """Number of the layer in the model."""
    start: int
    width: int
    """Most tokens that a head of the layer keeps. Heads that keep fewer leave slots empty."""
    reading: int
    """Key-value heads of the layer that keep any."""


class Layout:
    """How the slots of a memory lie one after the other. Layers whose heads keep nothing have none."""

    def __init__(self, model: Architecture, config: MemoryConfig) -> None:
        counts = config.counts(model.heads)
        self.heads = model.heads
        found: list[LayerSlots] = []
        take: list[NDArray[np.int64]] = []
        most = max(max(row) for row in counts)
        start = 0
        for number, row in enumerate(counts):
            width = max(row)
            if width == 0:
                continue
            found.append(LayerSlots(config.first_memory_layer + number, start, width, sum(n > 0 for n in row)))
            heads = (number * model.heads + np.arange(model.heads, dtype=np.int64)) * most
            take.append((heads[:, None] + np.arange(width, dtype=np.int64)).reshape(-1))
            start += width * model.heads
        self.layers = tuple(found)
        self.slots = start
        self.tokens = most
        self.take = np.concatenate(take)
        """For each slot its place among `[memory layers, heads, tokens]`."""
        self.uniform = len({n for row in counts for n in row}) == 1
        """Whether all heads keep as many tokens."""
        self.query_heads = sum(slots.reading for slots in found) * model.group
        """Query heads, of all layers, that read memories."""

    def of_layer(self, slots: LayerSlots, flat: Tensor) -> Tensor:
        """The part of a layer of `[rows, memories, slots, ...]`: `[rows, heads, memories * width, ...]`."""
        part = flat[:, :, slots.start : slots.start + self.heads * slots.width]
        return part.view(*part.shape[:2], self.heads, slots.width, *part.shape[3:]).transpose(1, 2).flatten(2, 3)


@dataclass(frozen=True)
class Flat:
    """A memory: rotated keys and values `[slots, head_dim]`, and which slots are empty, `[slots]`."""

    keys: Tensor
    values: Tensor
    empty: Tensor

    @property
    def nbytes(self) -> int:
        """Bytes of the tensors."""
        return sum(tensor.numel() * tensor.element_size() for tensor in (self.keys, self.values, self.empty))


@dataclass(frozen=True)
class Stacked:
    """The memories of several rows: keys and values `[rows, memories, slots, head_dim]`, and what is added to scores, `[rows, memories, slots]`
    in float32: the similarity bias, and -inf at empty slots."""

    keys: Tensor
    values: Tensor
    bias: Tensor


class MemoryLoader:
    """Loads memories through a cache of so many bytes. Tensors have the model's device and precision."""

    def __init__(self, model: Architecture, config: MemoryConfig, layout: Layout, cache_bytes: int) -> None:
        self._config, self._layout, self._cache_bytes = config, layout, cache_bytes
        self._cache: OrderedDict[tuple[str, int], Flat] = OrderedDict()
        self._used = 0
        self._head_dim = model.head_dim
        prefix = len(config.reference_prefix_ids)
        kinds = sorted(set(model.kinds))
        tables = [model.rotation(kind, range(prefix, prefix + config.reference_length)) for kind in kinds]
        # [kinds * reference_length, head_dim]; a slot's row is its token's in the table of its layer.
        self._cos = torch.cat([cos for cos, _ in tables])
        self._sin = torch.cat([sin for _, sin in tables])
        offsets = np.zeros(layout.slots, dtype=np.int64)
        for slots in layout.layers:
            kind = kinds.index(model.kinds[slots.layer])
            offsets[slots.start : slots.start + layout.heads * slots.width] = kind * config.reference_length
        self._offsets = offsets
        self._blank: Flat | None = None

    def load(self, reads: Sequence[Read], dtype: torch.dtype) -> list[Flat]:
        """The memories of references, in their order."""
        self._convert(dtype)
        missing: dict[str, tuple[Pack, list[int]]] = {}
        for read in reads:
            if read.key in self._cache:
                self._cache.move_to_end(read.key)
            else:
                numbers = missing.setdefault(read.pack.id, (read.pack, []))[1]
                if read.reference not in numbers:
                    numbers.append(read.reference)
        loaded: dict[tuple[str, int], Flat] = {}
        for pack, numbers in missing.values():
            for number, flat in zip(numbers, self._decode(pack, numbers, dtype), strict=True):
                loaded[pack.id, number] = flat
        found = [loaded.get(read.key) or self._cache[read.key] for read in reads]
        for key, flat in loaded.items():
            self._keep(key, flat)
        return found

    def stack(self, lists: Sequence[Sequence[Read]], memories: int, dtype: torch.dtype) -> Stacked:
        """The memories of lists, a row each, with `memories` places. Places that a list does not fill are empty."""
        flats = iter(self.load([read for reads in lists for read in reads], dtype))
        blank = self._empty(dtype)
        rows: list[Flat] = []
        lags = np.full((len(lists), memories), HIDDEN, dtype=np.float32)
        for row, reads in enumerate(lists):
            rows += [next(flats) for _ in reads] + [blank] * (memories - len(reads))
            best = max((read.similarity for read in reads), default=0.0)
            for place, read in enumerate(reads):
                lags[row, place] = self._config.similarity_bias * (read.similarity - best)
        shape = (len(lists), memories, self._layout.slots)
        keys = torch.stack([flat.keys for flat in rows]).view(*shape, -1)
        values = torch.stack([flat.values for flat in rows]).view(*shape, -1)
        empty = torch.stack([flat.empty for flat in rows]).view(shape)
        lag = torch.from_numpy(lags).to(keys.device)[..., None]
        return Stacked(keys, values, torch.where(empty, HIDDEN, lag))

    def clear(self) -> None:
        """Empties the cache."""
        self._cache.clear()
        self._used, self._blank = 0, None

    def _decode(self, pack: Pack, numbers: list[int], dtype: torch.dtype) -> list[Flat]:
        keys, values, positions, _ = _unpacked(pack, numbers)
        take, count = self._layout.take, len(numbers)
        picked = positions.reshape(count, -1)[:, take].astype(np.int64)
        device = self._cos.device
        places = torch.from_numpy(np.maximum(picked, 0) + self._offsets).to(device)
        own = torch.from_numpy(np.ascontiguousarray(keys.reshape(count, -1, self._head_dim)[:, take])).to(device)
        empty = torch.from_numpy(picked < 0).to(device)
        turned = rotated(own, self._cos[places], self._sin[places]).to(dtype)
        held = torch.from_numpy(np.ascontiguousarray(values.reshape(count, -1, self._head_dim)[:, take])).to(device, dtype)
        return [Flat(turned[row], held[row], empty[row]) for row in range(count)]

    def _empty(self, dtype: torch.dtype) -> Flat:
        if self._blank is None or self._blank.keys.dtype != dtype:
            zeros = torch.zeros(self._layout.slots, self._head_dim, dtype=dtype, device=self._cos.device)
            self._blank = Flat(zeros, zeros, torch.ones(self._layout.slots, dtype=torch.bool, device=self._cos.device))
        return self._blank

    def _convert(self, dtype: torch.dtype) -> None:
        """Forgets memories of another precision."""
        some = next(iter(self._cache.values()), None)
        if some is not None and some.keys.dtype != dtype:
            self.clear()

    def _keep(self, key: tuple[str, int], flat: Flat) -> None:
        # Rows of one decoded array would keep all of it.
        own = Flat(flat.keys.clone(), flat.values.clone(), flat.empty.clone())
        self._cache[key] = own
        self._used += own.nbytes
        while self._used > self._cache_bytes and len(self._cache) > 1:
            self._used -= self._cache.popitem(last=False)[1].nbytes


def _unpacked(pack: Pack, numbers: list[int]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int16], NDArray[np.uint8]]:
    memories = pack.memory(numbers, dtype="float32")
    return memories.keys, memories.values, memories.positions, memories.counts
