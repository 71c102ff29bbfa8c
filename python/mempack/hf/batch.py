"""A batch that is being read: what its rows have said so far, and the memories that its next tokens read.

Columns count the tokens of the padded batch from 0. The BOS of row `r` is in column `bos[r]`, before it is padding, and text token `t` is in column
`bos[r] + 1 + t`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .chunks import Transcript
from .memories import HIDDEN, Layout, MemoryLoader, Stacked
from .prefix import Prefix
from .retrieval import Read

Recall = Callable[[Sequence[Sequence[int]]], list[tuple[Read, ...]]]
"""From the ids that make queries to what they read."""

_FIRST_CAPACITY = 256

_ROOM_BYTES = 1 << 30
"""Bytes up to which the context is kept behind the memories, so that it is not copied for each token."""


@dataclass
class Segment:
    """Columns whose tokens read one list of memories a row, or two one after the other."""

    begin: int
    end: int
    memories: Stacked
    """Of one list, or of two side by side."""
    chosen: Tensor | None
    """With two lists, which of both each token reads: `[rows, columns, 2]`."""


@dataclass
class StepLayer:
    """What one token a row attends to at one layer: `memories | prefix`, and behind them, where there is room, the context."""

    keys: Tensor
    """`[rows, heads, slots + prefix + room, head_dim]`."""
    values: Tensor
    mask: Tensor | None
    """Added to scores, `[rows, heads or 1, 1, slots + prefix + capacity]`; None if everything is attended to."""
    slots: int
    """Slots of memories."""
    before: int
    """Slots of memories and tokens of the prefix."""
    filled: int = -1
    """Columns of the context that are there; -1 if they may not be the batch's."""

    def with_context(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of all that is attended to, given those of the context. Copies the last column alone where the others are there."""
        columns = key.shape[2]
        end = self.before + columns
        if end > self.keys.shape[2]:
            return torch.cat([self.keys[:, :, : self.before], key], 2), torch.cat([self.values[:, :, : self.before], value], 2)
        if self.filled == columns - 1:
            self.keys[:, :, end - 1].copy_(key[:, :, -1])
            self.values[:, :, end - 1].copy_(value[:, :, -1])
        else:
            self.keys[:, :, self.before : end].copy_(key)
            self.values[:, :, self.before : end].copy_(value)
        self.filled = columns
        return self.keys[:, :, :end], self.values[:, :, :end]

    def own(self) -> tuple[Tensor, Tensor]:
        """Keys and values of memories and prefix."""
        return self.keys[:, :, : self.before], self.values[:, :, : self.before]


class Batch:
    """The rows of a batch and their memories."""

    def __init__(
        self,
        transcripts: list[Transcript],
        bos: list[int],
        layout: Layout,
        loader: MemoryLoader,
        prefix: Prefix,
        recall: Recall,
        memories: int,
        watch: bool,
    ) -> None:
        self.transcripts, self.bos, self.layout, self.prefix = transcripts, bos, layout, prefix
        self._loader, self._recall, self.memories = loader, recall, memories
        self.columns = 0
        """Columns that were computed."""
        self.reads: list[dict[int, tuple[Read, ...]]] = [{} for _ in transcripts]
        """For each row what its lists of memories are, by their numbers."""
        self.segments: list[Segment] = []
        self.step: dict[int, StepLayer] = {}
        """For each layer what one token attends to; made when the first such token comes."""
        self._placed: list[tuple[Read, ...]] = []
        self._next_change = 0
        self._capacity = 0
        self.dtype = prefix.keys[0].dtype
        self.watch = watch
        """Whether the shares of attention that memories get are noted."""
        self._shares: list[tuple[int, Tensor]] = []
        self.prompt_masks: dict[tuple[int, int | None, int, torch.device], Tensor] = {}
        """Masks of this pass that layers share."""

    @property
    def rows(self) -> int:
        """Rows."""
        return len(self.transcripts)

    def token(self, row: int, column: int) -> int:
        """The number of the text token in a column: -1 for the BOS and for padding."""
        return max(column - self.bos[row] - 1, -1)

    def list_at(self, row: int, column: int) -> int:
        """The number of the list that the token in a column reads."""
        return self.transcripts[row].list_of(self.token(row, column))

    def prepare(self, columns: range) -> None:
        """Retrieves what the tokens of new columns read, and lays it out for attention. Their ids must be in the transcripts."""
        self.prompt_masks.clear()
        self._retrieve(columns)
        if len(columns) == 1:
            self._place(columns.start)
        else:
            self.step.clear()
            self.segments = self._segments(columns)
        self.columns = columns.stop

    def changes_at(self, column: int) -> bool:
        """Whether a token in this column may read other memories than the one before it."""
        return column >= self._next_change or not self.step

    def advance(self) -> None:
        """One more column, whose tokens read what the ones before them read."""
        self.prompt_masks.clear()
        self.columns += 1
        if self.columns > self._capacity:
            self._build_step()

    def regroup(self, transcripts: list[Transcript]) -> None:
        """Puts other transcripts in the place of these, as a search with beams does. What was retrieved is found again by its query."""
        self.transcripts = transcripts
        self.reads = [{} for _ in transcripts]
        for layer in self.step.values():
            layer.filled = -1

    def note(self, shares: Tensor) -> None:
        """Adds the attention that the last token of this pass gave to each memory at one layer: sums over query heads, `[rows, memories]`."""
        column = self.columns - 1
        if not self._shares or self._shares[-1][0] != column:
            self._shares.append((column, torch.zeros(self.rows, self.memories, device=shares.device)))
        self._shares[-1][1][:, : shares.shape[1]] += shares.to(self._shares[-1][1].device)

    def attention(self, row: int, number: int) -> tuple[float, ...] | None:
        """The mean share of attention that the memories of a list got where tokens of the answer were predicted; None if none were."""
        text = self.transcripts[row]
        end = len(text.ids) if text.ended is None else text.ended
        own = [shares[row] for column, shares in self._shares if text.prompt - 1 <= self.token(row, column) < end and self.list_at(row, column) == number]
        if not own:
            return None
        means = (torch.stack(own).mean(0) / self.layout.query_heads).clamp(0, 1)
        return tuple(float(share) for share in means.tolist())

    def _retrieve(self, columns: range) -> None:
        wanted = []
        for row in range(self.rows):
            first, last = self.list_at(row, columns.start), self.list_at(row, columns.stop - 1)
            between = {self.list_at(row, column) for column in range(columns.start, columns.stop, max(self.transcripts[row].interval, 1))}
            wanted += [(row, number) for number in sorted({first, last} | between) if number not in self.reads[row]]
        found = self._recall([self.transcripts[row].query(number) for row, number in wanted])
        for (row, number), reads in zip(wanted, found, strict=True):
            self.reads[row][number] = reads

    def _segments(self, columns: range) -> list[Segment]:
        interval = self.transcripts[0].interval
        segments = []
        for begin in range(columns.start, columns.stop, interval):
            end = min(begin + interval, columns.stop)
            firsts = [self.list_at(row, begin) for row in range(self.rows)]
            lasts = [self.list_at(row, end - 1) for row in range(self.rows)]
            lists = [self.reads[row][number] for row, number in enumerate(firsts)]
            most = max(max((len(reads) for reads in lists), default=0), 1)
            chosen = None
            if firsts == lasts:
                stacked = self._loader.stack(lists, most, self.dtype)
            else:
                seconds = [self.reads[row][number] for row, number in enumerate(lasts)]
                most = max(most, max(len(reads) for reads in seconds))
                both = self._loader.stack([reads for pair in zip(lists, seconds, strict=True) for reads in pair], most, self.dtype)
                shape = (self.rows, 2 * most)
                stacked = Stacked(
                    both.keys.reshape(*shape, *both.keys.shape[2:]), both.values.reshape(*shape, *both.values.shape[2:]), both.bias.reshape(*shape, -1)
                )
                second = [[self.list_at(row, column) != firsts[row] for column in range(begin, end)] for row in range(self.rows)]
                of_second = torch.tensor(second, device=both.keys.device)
                chosen = torch.stack([~of_second, of_second], -1)
            segments.append(Segment(begin, end, stacked, chosen))
        return segments

    def _place(self, column: int) -> None:
        """Puts the memories that the tokens of a column read next to the prefix, where they differ from those that are there."""
        lists = [self.reads[row][self.list_at(row, column)] for row in range(self.rows)]
        if not self.step:
            self._placed = lists
            self.columns = column + 1
            self._build_step()
        else:
            changed = [row for row, reads in enumerate(lists) if reads != self._placed[row]]
            if changed:
                self._write(changed, [lists[row] for row in changed])
            self._placed = lists
            if column + 1 > self._capacity:
                self._build_step()
        self._next_change = min(self._change_after(row, column) for row in range(self.rows))

    def _change_after(self, row: int, column: int) -> int:
        """The first column behind this one that may begin another list."""
        interval = self.transcripts[row].interval
        token = self.token(row, column)
        return self.bos[row] + 1 + (max(token, 0) // interval + 1) * interval

    def _build_step(self) -> None:
        """Allocates memories and masks of all layers, with room for as many columns again."""
        self._capacity = max(2 * self.columns, _FIRST_CAPACITY)
        stacked = self._loader.stack(self._placed, self.memories, self.dtype)
        padded = max(self.bos) > 0
        device = stacked.keys.device
        context = torch.zeros(self.rows, 1, 1, self.prefix.tokens + self._capacity, dtype=self.dtype, device=device)
        if padded:
            column = torch.arange(self._capacity, device=device)
            padding = column < torch.tensor(self.bos, device=device)[:, None]
            context[:, 0, 0, self.prefix.tokens :].masked_fill_(padding, HIDDEN)
        self.step = {}
        rests: dict[torch.device, Tensor] = {}
        with_memories = {slots.layer: slots for slots in self.layout.layers}
        room = self._capacity if self._bytes_of_context() <= _ROOM_BYTES else 0
        for layer, (keys, values) in enumerate(zip(self.prefix.keys, self.prefix.values, strict=True)):
            slots = with_memories.get(layer)
            count = 0 if slots is None else self.memories * slots.width
            before = count + self.prefix.tokens
            step = StepLayer(_room(keys, self.rows, before + room), _room(values, self.rows, before + room), None, count, before)
            step.keys[:, :, count:before], step.values[:, :, count:before] = keys, values
            if slots is not None:
                own = [self.layout.of_layer(slots, part).to(keys.device) for part in (stacked.keys, stacked.values, self._bias(stacked))]
                step.keys[:, :, :count], step.values[:, :, :count] = own[0], own[1]
                step.mask = torch.cat([own[2][:, :, None], context.to(keys.device).expand(-1, own[2].shape[1], -1, -1)], -1)
            elif padded:
                step.mask = rests.setdefault(keys.device, context.to(keys.device))
            self.step[layer] = step

    def _bytes_of_context(self) -> int:
        """Bytes of keys and values of as many columns as there is room for."""
        one = self.prefix.keys[0]
        return 2 * len(self.prefix.keys) * self.rows * self._capacity * one.shape[1] * one.shape[3] * one.element_size()

    def _bias(self, stacked: Stacked) -> Tensor:
        return stacked.bias.to(self.dtype)

    def _write(self, rows: list[int], lists: list[tuple[Read, ...]]) -> None:
        """Replaces the memories of some rows."""
        stacked = self._loader.stack(lists, self.memories, self.dtype)
        bias = self._bias(stacked)
        for slots in self.layout.layers:
            step = self.step[slots.layer]
            index = torch.tensor(rows, device=step.keys.device)
            assert step.mask is not None
            step.keys[index, :, : step.slots] = self.layout.of_layer(slots, stacked.keys).to(step.keys.device)
            step.values[index, :, : step.slots] = self.layout.of_layer(slots, stacked.values).to(step.keys.device)
            step.mask[index, :, 0, : step.slots] = self.layout.of_layer(slots, bias).to(step.keys.device)


def _room(like: Tensor, rows: int, columns: int) -> Tensor:
    """A tensor `[rows, heads, columns, head_dim]` without numbers in it yet."""
    return torch.empty(rows, like.shape[1], columns, like.shape[3], dtype=like.dtype, device=like.device)
