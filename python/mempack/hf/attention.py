"""Attention to memories, the prefix and the context, with one softmax over all of them.

Functions of two names are registered with transformers: one computes with `scaled_dot_product_attention`, the other step by step as transformers'
`eager`. Which batch a layer is computing is looked up by its module.
"""

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask

from .batch import Batch, Segment
from .memories import HIDDEN, LayerSlots

NAMES = {"sdpa": "mempack_sdpa", "eager": "mempack_eager"}
"""The names under which the functions are registered, by the implementation that they stand for."""


class Reading:
    """What the attention of one layer needs to know."""

    def __init__(self, layer: int, slots: LayerSlots | None, window: int | None, batch: Callable[[], Batch]) -> None:
        self.layer, self.slots, self.window, self.batch = layer, slots, window, batch


_READINGS: "WeakKeyDictionary[nn.Module, Reading]" = WeakKeyDictionary()


def attach_layer(module: nn.Module, reading: Reading) -> None:
    """Lets a layer's attention read."""
    _READINGS[module] = reading


def detach_layer(module: nn.Module) -> None:
    """Undoes `attach_layer`."""
    _READINGS.pop(module, None)


Attend = Callable[[Tensor, Tensor, Tensor, Tensor | None, float, float], tuple[Tensor, Tensor | None]]
"""From queries, keys, values, mask, scaling and dropout to outputs and, if they are at hand, weights."""


def _fused(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float, dropout: float) -> tuple[Tensor, None]:
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout, scale=scaling), None


def _plain(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float, dropout: float) -> tuple[Tensor, Tensor]:
    scores = query @ key.transpose(-1, -2) * scaling
    weights = (scores if mask is None else scores + mask).softmax(-1, dtype=torch.float32).to(query.dtype)
    return F.dropout(weights, dropout) @ value, weights


def _reading_attention(attend: Attend) -> Callable[..., tuple[Tensor, Tensor | None]]:
    def attention(
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        scaling: float | None = None,
        dropout: float = 0.0,
        **_: Any,
    ) -> tuple[Tensor, Tensor | None]:
        reading = _READINGS.get(module)
        if reading is None:
            raise RuntimeError(
                "a layer that no reader is attached to computes with mempack's attention; call attach() on its model, or set_attn_implementation('sdpa')"
            )
        factor = query.shape[-1] ** -0.5 if scaling is None else scaling
        batch = reading.batch()
        mask = None if attention_mask is None else _with_prefix(reading, batch, attention_mask, query, key.shape[2])
        compute = _one_token if query.shape[2] == 1 else _many_tokens
        output, weights = compute(attend, reading, batch, query, key, value, mask, factor, dropout)
        return output.transpose(1, 2).contiguous(), weights

    return attention


def _one_token(
    attend: Attend, reading: Reading, batch: Batch, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float, dropout: float
) -> tuple[Tensor, Tensor | None]:
    """One token a row: the query heads of a group are rows of one product with their key-value head. Without a mask all columns are seen but
    those of padding."""
    step = batch.step[reading.layer]
    rows, query_heads, _, head_dim = query.shape
    heads = key.shape[1]
    if mask is None:
        keys, values = step.with_context(key, value)
        mask = None if step.mask is None else step.mask[..., : keys.shape[2]]
    else:
        own_keys, own_values = step.own()
        keys, values = torch.cat([own_keys, key], 2), torch.cat([own_values, value], 2)
        if step.slots:
            assert step.mask is not None
            mask = torch.cat([step.mask[..., : step.slots], mask.expand(-1, step.mask.shape[1], -1, -1)], -1)
    grouped = query.reshape(rows, heads, query_heads // heads, head_dim)
    output, weights = attend(grouped, keys, values, mask, scaling, dropout)
    if batch.watch and reading.slots is not None:
        _note(batch, reading.slots, grouped, keys, mask, step.slots, None, scaling)
    own = None if weights is None else weights[..., -key.shape[2] :].reshape(rows, query_heads, 1, -1)
    return output.reshape(rows, query_heads, 1, head_dim), own


def _many_tokens(
    attend: Attend, reading: Reading, batch: Batch, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float, dropout: float
) -> tuple[Tensor, Tensor | None]:
    """Any number of tokens, in the segments of the batch. Without memories at this layer they are one."""
    if mask is None:
        raise RuntimeError("a pass over several tokens came without a mask; mempack's masks must be registered under the name of its attention")
    first = batch.columns - query.shape[2]
    keys = torch.cat([batch.prefix.keys[reading.layer].expand(len(key), -1, -1, -1), key], 2)
    values = torch.cat([batch.prefix.values[reading.layer].expand(len(key), -1, -1, -1), value], 2)
    if reading.slots is None:
        output, shares = _grouped(attend, query, keys, values, mask, scaling, dropout)
        return output, None if shares is None else shares[..., -key.shape[2] :]
    outputs, weights = [], []
    for segment in batch.segments:
        begin, end = segment.begin - first, segment.end - first
        own = [batch.layout.of_layer(reading.slots, part).to(key.device) for part in (segment.memories.keys, segment.memories.values)]
        bias = _segment_bias(batch, reading.slots, segment).to(key.device, query.dtype)
        here = mask[:, :, begin:end].expand(-1, bias.shape[1], -1, -1)
        both = torch.cat([bias.expand(-1, -1, end - begin, -1), here], -1)
        output, shares = _grouped(attend, query[:, :, begin:end], torch.cat([own[0], keys], 2), torch.cat([own[1], values], 2), both, scaling, dropout)
        outputs.append(output)
        if shares is not None:
            weights.append(shares[..., -key.shape[2] :])
        if batch.watch and segment is batch.segments[-1]:
            last = query[:, :, -1:].reshape(len(query), key.shape[1], -1, query.shape[-1])
            _note(batch, reading.slots, last, torch.cat([own[0], keys], 2), both[:, :, -1:], own[0].shape[2], segment.chosen, scaling)
    return torch.cat(outputs, 2), torch.cat(weights, 2) if weights else None


def _note(batch: Batch, slots: LayerSlots, query: Tensor, keys: Tensor, mask: Tensor | None, own: int, chosen: Tensor | None, scaling: float) -> None:
    """Notes the share of attention that one token a row gives to each memory: `own` slots stand before the other keys."""
    scores = query @ keys.transpose(-1, -2) * scaling
    shares = (scores if mask is None else scores + mask).softmax(-1, dtype=torch.float32)[..., :own]
    sums = shares.reshape(*shares.shape[:-1], -1, slots.width).sum((1, 2, 4))
    if chosen is not None:
        # Of two lists, the one that is read has all of the shares.
        sums = sums.view(len(sums), 2, -1).mul(chosen[:, -1, :, None]).sum(1)
    batch.note(sums)


def _segment_bias(batch: Batch, slots: LayerSlots, segment: Segment) -> Tensor:
    """What is added to the scores of memories, `[rows, heads or 1, tokens or 1, slots]`."""
    own = batch.layout.of_layer(slots, segment.memories.bias)
    if batch.layout.uniform:
        own = own[:, :1]
    if segment.chosen is None:
        return own[:, :, None]
    of_list = segment.chosen.repeat_interleave(own.shape[-1] // 2, -1)[:, None]
    return torch.where(of_list, own[:, :, None], HIDDEN)


def _with_prefix(reading: Reading, batch: Batch, given: Tensor, query: Tensor, columns: int) -> Tensor:
    """A mask of the context as it is added to scores, with the prefix's columns before it: `[rows, 1, tokens, prefix + columns]`.

    A window counts prefix and context alike, and leaves out the memories' positions. Layers of one kind share the result.
    """
    key = id(given), reading.window, columns, query.device
    known = batch.prompt_masks.get(key)
    if known is not None:
        return known
    given = given[..., :columns].to(query.device)
    rows, _, tokens, _ = given.shape
    prefix = batch.prefix.tokens
    whole = torch.zeros(rows, 1, tokens, prefix + columns, dtype=query.dtype, device=query.device)
    if given.dtype == torch.bool:
        whole[..., prefix:].masked_fill_(~given, HIDDEN)
    else:
        whole[..., prefix:] = given
    if reading.window is not None:
        first = batch.columns - tokens
        column = torch.arange(first, first + tokens, device=query.device) - torch.tensor(batch.bos, device=query.device)[:, None]
        hidden = torch.arange(prefix, device=query.device) <= (column + prefix - reading.window)[..., None]
        whole[..., :prefix].masked_fill_(hidden[:, None], HIDDEN)
    batch.prompt_masks[key] = whole
    return whole


def _grouped(attend: Attend, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor, scaling: float, dropout: float) -> tuple[Tensor, Tensor | None]:
    """Attention of `query`, `[rows, query heads, tokens, head_dim]`, to keys with fewer heads; `mask` is `[rows, heads or 1, tokens, columns]`."""
    rows, query_heads, tokens, head_dim = query.shape
    heads = keys.shape[1]
    group = query_heads // heads
    folded = mask if group == 1 else mask[:, :, None].expand(-1, -1, group, -1, -1).flatten(2, 3)
    output, weights = attend(query.reshape(rows, heads, group * tokens, head_dim), keys, values, folded, scaling, dropout)
    shape = (rows, query_heads, tokens)
    return output.reshape(*shape, head_dim), None if weights is None else weights.reshape(*shape, -1)


def _mask(batch_size: int, q_length: int, kv_length: int, q_offset: Any = 0, kv_offset: int = 0, **kwargs: Any) -> Tensor | None:
    """The mask of the context: True where a token is attended to, `[rows, 1, tokens, columns]`.

    None for one token a row that sees all columns but those of padding, which the batch knows.
    """
    whole = isinstance(q_offset, int) and kv_offset == 0 and kv_length == q_offset + 1
    if q_length == 1 and whole and kwargs.get("local_size") is None:
        return None
    kwargs["allow_is_causal_skip"] = False
    kwargs["allow_is_bidirectional_skip"] = False
    return sdpa_mask(batch_size=batch_size, q_length=q_length, kv_length=kv_length, q_offset=q_offset, kv_offset=kv_offset, **kwargs)


_eager: Any = torch.compiler.disable
"""Keeps a function out of compiled graphs, which would not see that memories change."""

for _name, _attend in (("sdpa", _fused), ("eager", _plain)):
    AttentionInterface.register(NAMES[_name], _eager(_reading_attention(_attend)))
    AttentionMaskInterface.register(NAMES[_name], _mask)
