"""Batches of prompts: left padding, the BOS, and which tokens are the user's words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .chunks import Transcript

QUESTION_MASK = "question_mask"
"""The name under which a batch says which of its tokens are the user's words: bool, `[rows, columns]`."""


class PromptError(ValueError):
    """A batch whose rows cannot be read: padding on the right, a row without tokens, masks of another shape."""


@dataclass(frozen=True)
class Rows:
    """The rows of a batch of prompts, on the CPU."""

    ids: list[list[int]]
    """Ids with padding, `[rows, columns]`."""
    begin: list[int]
    """Columns of padding before each row's first token."""
    questions: list[list[bool]] | None

    @property
    def width(self) -> int:
        """Columns."""
        return len(self.ids[0])


def rows_of(input_ids: Tensor, attention_mask: Tensor | None, question_mask: Tensor | None) -> Rows:
    """Checks a batch, `[rows, columns]`.

    Raises:
        PromptError: see there.
    """
    if input_ids.dim() != 2 or 0 in input_ids.shape:
        raise PromptError(f"input_ids have the shape {list(input_ids.shape)}; expected [rows, columns] with at least one token")
    shape = list(input_ids.shape)
    for name, mask in (("attention_mask", attention_mask), (QUESTION_MASK, question_mask)):
        if mask is not None and list(mask.shape) != shape:
            raise PromptError(f"the {name} has the shape {list(mask.shape)}; expected {shape}, as input_ids have")
    begin = [0] * shape[0]
    if attention_mask is not None:
        for row, seen in enumerate(attention_mask.tolist()):
            pads = next((column for column, value in enumerate(seen) if value), None)
            if pads is None:
                raise PromptError(f"row {row} has no token that is attended to")
            if not all(seen[pads:]):
                raise PromptError(f"row {row} is padded on the right or within; set tokenizer.padding_side = 'left'")
            begin[row] = pads
    questions = None if question_mask is None else [[bool(value) for value in row] for row in question_mask.tolist()]
    return Rows(input_ids.tolist(), begin, questions)


def without_bos(rows: Rows, bos: int) -> list[int]:
    """The rows that do not begin with the BOS."""
    return [row for row, (ids, begin) in enumerate(zip(rows.ids, rows.begin, strict=True)) if ids[begin] != bos]


def with_bos(input_ids: Tensor, attention_mask: Tensor | None, question_mask: Tensor | None, bos: int, pad: int) -> tuple[Tensor, Tensor, Tensor | None]:
    """The batch with one more column on the left: rows that do not begin with the BOS get it, the others one more token of padding."""
    rows = rows_of(input_ids, attention_mask, question_mask)
    lacking = set(without_bos(rows, bos))
    ids = torch.cat([torch.full_like(input_ids[:, :1], pad), input_ids], 1)
    mask = torch.ones_like(ids)
    question = None if question_mask is None else torch.cat([torch.zeros_like(question_mask[:, :1]), question_mask], 1)
    for row, begin in enumerate(rows.begin):
        mask[row, : begin + 1] = 0
        if row in lacking:
            ids[row, begin], mask[row, begin] = bos, 1
    return ids, mask, question


def transcripts_of(rows: Rows, prompt: int, interval: int) -> list[Transcript]:
    """The rows as text that is cut into chunks: the first `prompt` columns are prompts. Each begins with the BOS."""
    found = []
    for row, (ids, begin) in enumerate(zip(rows.ids, rows.begin, strict=True)):
        first = begin + 1
        question = None if rows.questions is None else rows.questions[row][first:prompt]
        found.append(Transcript(ids[first:], prompt - first, interval, question))
    return found


def padded(rows: Sequence[tuple[list[int], list[bool]]], bos: int, pad: int, device: Any) -> dict[str, Tensor]:
    """Prompts without the BOS, and which of their tokens are the user's words, as a batch: `input_ids`, `attention_mask`, `question_mask`."""
    width = 1 + max(len(ids) for ids, _ in rows)
    before = [width - 1 - len(ids) for ids, _ in rows]
    ids = [[pad] * gap + [bos] + ids for gap, (ids, _) in zip(before, rows, strict=True)]
    mask = [[0] * gap + [1] * (width - gap) for gap in before]
    words = [[False] * (gap + 1) + own for gap, (_, own) in zip(before, rows, strict=True)]
    return {
        "input_ids": torch.tensor(ids, device=device),
        "attention_mask": torch.tensor(mask, device=device),
        QUESTION_MASK: torch.tensor(words, device=device),
    }
