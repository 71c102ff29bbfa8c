"""Finding passages by text, for the retrievers of frameworks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mempack._native import Document, Mounts, Pack

StrPath = str | PathLike[str]
Packs = Mounts | Mapping[str, Pack] | Sequence[Pack | StrPath] | Pack | StrPath
"""What a retriever searches: mounted packs, which may change while it is used, or packs and paths."""

Ranking = Literal["dense", "lexical", "hybrid"]
Embed = Callable[[list[str]], ArrayLike]
"""Texts to vectors `[texts, dim]`."""


@dataclass(frozen=True)
class Found:
    """A passage that was found."""

    text: str
    score: float
    """A cosine if vectors alone rank, BM25 if words do, else the sum of both in units of the cosine."""
    pack: str
    """The name under which its pack is mounted."""
    pack_id: str
    reference: int
    """Its number in the pack."""
    document: Document

    @property
    def id(self) -> str:
        """An id of the passage: that of its pack, and its number."""
        return f"{self.pack_id}:{self.reference}"

    def metadata(self) -> dict[str, Any]:
        """Everything but the text, as values that JSON has. `start` and `end` are bytes of the document's text; `further` has other places of the same text."""
        document = self.document
        return {
            "score": self.score,
            "pack": self.pack,
            "pack_id": self.pack_id,
            "reference": self.reference,
            "document": document.id,
            "title": document.title,
            "source": document.source,
            "license": document.license,
            "version": document.version,
            "date": document.date,
            "start": document.start,
            "end": document.end,
            "location": document.location,
            "headings": list(document.headings),
            "metadata": dict(document.metadata),
            "further": [
                {"document": place.document, "title": place.title, "start": place.start, "end": place.end, "location": place.location}
                for place in document.further
            ],
        }


@dataclass(frozen=True)
class Finder:
    """Finds the passages of mounted packs that belong to a text."""

    packs: Mounts
    k: int
    where: str | None = None
    ranking: Ranking | None = None
    """`hybrid` with an embedder and `lexical` without one, if it is None."""
    exact: bool = False
    query_prompt: str | None = None
    """What stands before a text that is embedded; the prompt that the packs state, if it is None."""
    embeds: bool = False
    """Whether there is an embedder."""

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"k is {self.k}, expected at least 1")
        if self.ranking not in (None, "dense", "lexical", "hybrid"):
            raise ValueError(f"ranking is {self.ranking!r}, expected 'dense', 'lexical' or 'hybrid'")
        if self.ranking in ("dense", "hybrid") and not self.embeds:
            raise ValueError(f"ranking {self.ranking!r} needs an embedder: give the one of the packs, {self.packs.embedder.name!r}")

    @property
    def needs_vector(self) -> bool:
        """Whether the text has to be embedded."""
        return self.embeds and self.ranking != "lexical"

    def prompted(self, text: str) -> str:
        """The text as it is embedded."""
        prompt = self.packs.embedder.query_prompt if self.query_prompt is None else self.query_prompt
        return prompt + text

    def find(self, text: str, vector: Sequence[float] | None) -> list[Found]:
        """The passages, best first, at most `k`. `vector`, `[dim]`, is the embedding of the prompted text; it need not have length 1."""
        if not self.needs_vector:
            hits = self.packs.search_text(text, None, self.k, ranking="lexical", where=self.where)
        else:
            unit = self._unit(vector)[None, :]
            if self.ranking == "dense":
                hits = self.packs.search(unit, self.k, exact=self.exact, where=self.where)
            else:
                hits = self.packs.search_text(text, unit, self.k, ranking="hybrid", exact=self.exact, where=self.where)
        return [Found(hit.text(), float(hit.score), hit.name, hit.pack.id, hit.reference, hit.document()) for hit in hits[0]]

    def _unit(self, vector: Sequence[float] | None) -> NDArray[np.float64]:
        embedder = self.packs.embedder
        found = np.asarray(vector, dtype=np.float64)
        if found.shape != (embedder.dim,):
            raise ValueError(
                f"the embedder gave a vector of shape {list(found.shape)}, expected {[embedder.dim]}: the packs are of the embedder {embedder.name!r}"
            )
        length = float(np.linalg.norm(found))
        if not np.isfinite(length) or length == 0.0:
            raise ValueError(f"the embedder gave a vector of length {length}, expected a finite length above 0")
        unit: NDArray[np.float64] = found / length
        return unit


def mounted(packs: Packs) -> Mounts:
    """The packs as mounts: the same ones, if they are mounted already."""
    return packs if isinstance(packs, Mounts) else Mounts(packs)


def embedded(embed: Embed, text: str) -> list[float]:
    """The vector of one text, `[dim]`."""
    vectors = np.asarray(embed([text]), dtype=np.float64)
    if vectors.ndim != 2 or len(vectors) != 1:
        raise ValueError(f"the embedder gave an array of shape {list(vectors.shape)} for one text, expected [1, dim]")
    return [float(value) for value in vectors[0]]
