"""Follows a model's passes: which tokens come next, and what they read.

A call of `generate` says what its prompts are, and before each pass it shows all ids so far. Passes outside of it are followed by their key-value cache.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from .architecture import Architecture
from .batch import Batch
from .chunks import Transcript, lists_read
from .citations import ChunkReads
from .config import MemoryConfig
from .memories import Layout, MemoryLoader
from .prefix import Prefix
from .prompts import PromptError, Rows, rows_of, transcripts_of, without_bos
from .retrieval import Read, Retriever, Search
from .text import TextTokenizer


@dataclass
class Call:
    """What is read for one sequence of passes: a call of `generate`, or passes with one cache."""

    search: Search
    """The packs that are read from beginning to end."""
    rows: Rows | None = None
    """The prompts of a call of `generate`."""
    beams: bool = False
    """Whether rows may change their places between passes."""
    full: Tensor | None = None
    """All ids so far, `[rows, columns]`."""
    batch: Batch | None = None
    recalled: dict[tuple[int, ...], tuple[str, tuple[Read, ...]]] = field(default_factory=dict)
    """For ids that made queries: their text, and what it found."""
    base: Tensor | None = None
    """For each row the position of column 0, `[rows, 1]`."""


@dataclass(frozen=True)
class Sources:
    """What passes are prepared from."""

    model: Architecture
    config: MemoryConfig
    tokenizer: TextTokenizer
    retriever: Retriever
    loader: MemoryLoader
    layout: Layout
    memories: int
    """Most memories of a chunk."""
    watch: bool
    """Whether the shares of attention that memories get are noted."""
    pad: int
    """The id of padding."""


class Passes:
    """Prepares memories and positions for each pass of a model's decoder."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._model, self._config = sources.model, sources.config
        self.generating: Call | None = None
        self.last: Call | None = None
        """What `citations` are about."""
        self._batch: Batch | None = None
        self._calls: WeakKeyDictionary[Any, Call] = WeakKeyDictionary()

    def batch(self) -> Batch:
        """The batch of the pass that is running."""
        if self._batch is None:
            raise RuntimeError("a layer computes outside of the model's decoder; call the model, or detach the reader")
        return self._batch

    def begin(self, rows: Rows, beams: bool) -> Call:
        """A call of `generate` with these prompts."""
        self.generating = Call(self._sources.retriever.search(), rows, beams)
        return self.generating

    def before(self, kwargs: dict[str, Any], prefix: Callable[[], Prefix]) -> None:
        """Prepares a pass of the decoder with these arguments, which get the positions of its tokens."""
        question = kwargs.pop("question_mask", None)
        ids = kwargs.get("input_ids")
        if ids is None:
            raise PromptError("the model is called with inputs_embeds; memories are found by the text of input_ids")
        with torch.inference_mode(False), torch.no_grad():
            if self.generating is not None:
                call = self.generating
                first = self._in_generate(call, ids, kwargs, prefix)
            else:
                call, first = self._alone(ids, question, kwargs, prefix)
            assert call.batch is not None and call.base is not None
            columns = torch.arange(first, first + ids.shape[1], device=ids.device) if ids.shape[1] > 1 else first
            kwargs["position_ids"] = (call.base + columns).clamp_min(0) if ids.shape[1] > 1 else call.base + columns
        self._batch, self.last = call.batch, call

    def _in_generate(self, call: Call, ids: Tensor, kwargs: dict[str, Any], prefix: Callable[[], Prefix]) -> int:
        """Prepares a pass of `generate`. Returns its first column."""
        assert call.rows is not None
        width, tokens = call.rows.width, ids.shape[1]
        full = call.full if call.full is not None and call.full.shape[1] >= width else None
        first = full.shape[1] - tokens if full is not None and full.shape[1] > width else _length(self._model.cache_in(kwargs))
        batch = call.batch
        if batch is not None and tokens == 1 and first == batch.columns and first >= width and not call.beams and not batch.changes_at(first):
            batch.advance()
            return first
        so_far = first + tokens
        if full is not None and full.shape[1] > width:
            listed = full[:, :so_far].tolist()
        else:
            repeats = len(ids) // len(call.rows.ids)
            listed = [row for row in call.rows.ids for _ in range(repeats)]
        transcripts = self._transcripts(call, listed)
        if batch is None or len(transcripts) != batch.rows or first == 0:
            self._start(call, transcripts, ids.device, prefix())
        else:
            batch.regroup(transcripts)
        assert call.batch is not None
        call.batch.prepare(range(first, so_far))
        return first

    def _transcripts(self, call: Call, listed: list[list[int]]) -> list[Transcript]:
        """The rows of a call of `generate`, which may have several rows for each prompt."""
        assert call.rows is not None
        prompts = call.rows
        repeats = len(listed) // len(prompts.ids)
        begin = [first for first in prompts.begin for _ in range(repeats)]
        questions = None if prompts.questions is None else [own for own in prompts.questions for _ in range(repeats)]
        transcripts = transcripts_of(Rows(listed, begin, questions), prompts.width, self._config.retrieval_interval)
        stops = {*self._model.eos, *self._config.stop_ids, self._sources.pad}
        for transcript in transcripts:
            ends = (index for index in range(transcript.prompt, len(transcript.ids)) if transcript.ids[index] in stops)
            transcript.ended = next(ends, None)
        return transcripts

    def _alone(self, ids: Tensor, question: Tensor | None, kwargs: dict[str, Any], prefix: Callable[[], Prefix]) -> tuple[Call, int]:
        """Prepares a pass outside of `generate`. Returns its first column."""
        past = self._model.cache_in(kwargs)
        uses = kwargs.get("use_cache")
        if past is None and (self._model.config.use_cache if uses is None else uses):
            from transformers import DynamicCache

            past = kwargs[self._model.cache_name()] = DynamicCache(config=self._model.config)
        first = _length(past)
        if first == 0:
            rows = rows_of(ids, _flat_mask(kwargs.get("attention_mask")), question)
            lacking = without_bos(rows, self._model.bos)
            if lacking:
                raise PromptError(
                    f"row {lacking[0]} does not begin with the BOS, {self._model.bos}; make prompts with reader.prompts, or call generate, which adds it"
                )
            call = Call(self._sources.retriever.search())
            transcripts = transcripts_of(rows, rows.width, self._config.retrieval_interval)
            self._start(call, transcripts, ids.device, prefix())
            if past is not None:
                self._calls[past] = call
        else:
            known = self._calls.get(past)
            if known is None or known.batch is None or known.batch.rows != len(ids) or first > known.batch.columns:
                raise PromptError(f"the cache holds {first} tokens that this reader has not followed; begin with an empty cache, or call generate with all ids")
            call = known
            for row, (transcript, new) in enumerate(zip(known.batch.transcripts, ids.tolist(), strict=True)):
                # The BOS is no token of the text.
                del transcript.ids[max(first - known.batch.bos[row] - 1, 0) :]
                transcript.ids.extend(new)
            if first != known.batch.columns or len(ids[0]) > 1:
                known.batch.regroup(known.batch.transcripts)
        assert call.batch is not None
        batch = call.batch
        if ids.shape[1] == 1 and first == batch.columns and not batch.changes_at(first):
            batch.advance()
        else:
            batch.prepare(range(first, first + ids.shape[1]))
        return call, first

    def _start(self, call: Call, transcripts: list[Transcript], device: torch.device, prefix: Prefix) -> None:
        bos = _bos_columns(call, transcripts)
        recall = self._recall(call)
        own = self._sources
        call.batch = Batch(transcripts, bos, own.layout, own.loader, prefix, recall, own.memories, own.watch)
        start = prefix.tokens + self._config.reference_length
        call.base = torch.tensor([[start - column] for column in bos], device=device)

    def _recall(self, call: Call) -> Callable[[Sequence[Sequence[int]]], list[tuple[Read, ...]]]:
        recalled, search = call.recalled, call.search

        def recall(queries: Sequence[Sequence[int]]) -> list[tuple[Read, ...]]:
            new = [key for key in dict.fromkeys(tuple(query) for query in queries) if key not in recalled]
            texts = [self._sources.tokenizer.decode(key) for key in new]
            for key, text, reads in zip(new, texts, search.recall(texts), strict=True):
                recalled[key] = text, reads
            return [recalled[tuple(query)][1] for query in queries]

        return recall

    def finished(self, call: Call, sequences: Tensor) -> list[list[ChunkReads]]:
        """What the rows of `sequences`, prompts and answers with padding, read. The last token of an answer was not computed."""
        transcripts = self._transcripts(call, sequences.tolist())
        if call.batch is not None and len(transcripts) == call.batch.rows:
            call.batch.regroup(transcripts)
        return [self._reads(call, row, transcript, range(-1, _computed(transcript))) for row, transcript in enumerate(transcripts)]

    def followed(self) -> list[list[ChunkReads]]:
        """What the rows of the last passes outside of `generate` read."""
        if self.last is None or self.last.batch is None:
            return []
        call, batch = self.last, self.last.batch
        return [self._reads(call, row, transcript, range(-1, len(transcript.ids))) for row, transcript in enumerate(batch.transcripts)]

    def _reads(self, call: Call, row: int, transcript: Transcript, tokens: range) -> list[ChunkReads]:
        found = []
        for number in lists_read(transcript, tokens):
            query = tuple(transcript.query(number))
            if query in call.recalled:
                text, reads = call.recalled[query]
                shares = None if call.batch is None or call.beams else call.batch.attention(row, number)
                found.append(ChunkReads(number, text, reads, None if shares is None else shares[: len(reads)]))
        return found


def _bos_columns(call: Call, transcripts: list[Transcript]) -> list[int]:
    """The columns of the rows' BOS: what is in a row before its text."""
    width = call.rows.width if call.rows is not None else None
    longest = max(transcript.prompt for transcript in transcripts)
    return [(longest if width is None else width - 1) - transcript.prompt for transcript in transcripts]


def _computed(transcript: Transcript) -> int:
    """Tokens of the text that were computed: all but the last, or those before the one that ended it."""
    return len(transcript.ids) - 1 if transcript.ended is None else transcript.ended


def _length(past: Any) -> int:
    return 0 if past is None else int(past.get_seq_length())


def _flat_mask(mask: Any) -> Tensor | None:
    if mask is None or (isinstance(mask, Tensor) and mask.dim() == 2):
        return mask
    shape = list(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
    raise PromptError(f"the attention_mask has the shape {shape}; expected [rows, columns], with 0 where a row is padded on the left")
