"""From the text of a chunk to the references that it reads."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mempack._native import EmbedderIdentity, Hit, Mounts, Pack

from .config import MemoryConfig
from .embedder import EmbedTexts, vectors_of
from .identity import mismatch

_SAME_TEXT = 0.99
"""Cosine that the vectors of one text have at least, computed by one embedder in whatever precision."""


@dataclass(frozen=True)
class Read:
    """A reference that a chunk reads. It keeps the pack that it was found in."""

    pack: Pack
    name: str
    """The name under which the pack is mounted."""
    reference: int
    similarity: float
    """Its similarity to the query: the cosine, with a share for common terms in hybrid rankings."""

    @property
    def key(self) -> tuple[str, int]:
        """Identifies the memory."""
        return self.pack.id, self.reference


class Retriever:
    """Finds references by text. What recent queries found is remembered for as long as the same packs are mounted."""

    def __init__(self, mounts: Mounts, embed: EmbedTexts, config: MemoryConfig, options: "SearchOptions", remembered: int = 1024) -> None:
        self.mounts, self._embed, self._config, self._options = mounts, embed, config, options
        self._identity: EmbedderIdentity = mounts.embedder
        self._remembered = remembered
        self._current: Search | None = None

    def search(self) -> "Search":
        """A search of the packs that are mounted now. It stays with them when others are mounted later."""
        packs = self.mounts.packs
        if self._current is None or self._current.packs != {name: pack.id for name, pack in packs.items()}:
            self._current = Search(Mounts(packs), self._found, self._remembered)
        return self._current

    def _found(self, mounts: Mounts, texts: list[str]) -> list[tuple[Read, ...]]:
        prompt, options = self._identity.query_prompt, self._options
        vectors = vectors_of(self._embed, [prompt + text for text in texts], self._identity.dim)
        found = mounts.search_text(texts, vectors, options.k, ranking=options.ranking, exact=options.exact, where=options.where)
        return [self._reads(hits) for hits in found]

    def _reads(self, hits: Sequence[Hit]) -> tuple[Read, ...]:
        kept = self._config.within_margin([hit.score for hit in hits])
        return tuple(Read(hit.pack, hit.name, hit.reference, float(hit.score)) for hit in hits[:kept])

    def check_embedder(self, composed: Callable[[str, str], str]) -> None:
        """Embeds a reference of each pack, which must give the vector that the pack has. `composed` makes what is read of a title and a text.

        Raises:
            MismatchError: another embedder.
        """
        for pack in self.mounts.packs.values():
            if len(pack) == 0:
                continue
            own = pack.embeddings([0])[0]
            text = self._identity.passage_prompt + composed(pack.document(0).title, pack.text(0))
            cosine = float(vectors_of(self._embed, [text], self._identity.dim)[0] @ own)
            if cosine < _SAME_TEXT:
                found = f"vectors of which that of reference 0 has a cosine of {cosine:.4f} to the pack's"
                raise mismatch(pack.path, [("embedder", self._identity.name, found)], "embedder")


class Search:
    """Searches one set of packs, and remembers what recent queries found."""

    def __init__(self, mounts: Mounts, find: "Find", remembered: int) -> None:
        self.packs = {name: pack.id for name, pack in mounts.packs.items()}
        """Names and ids of the packs."""
        self._mounts, self._find, self._remembered = mounts, find, remembered
        self._recent: OrderedDict[str, tuple[Read, ...]] = OrderedDict()

    def recall(self, texts: Sequence[str]) -> list[tuple[Read, ...]]:
        """For each text what it reads, best first. An empty text reads nothing."""
        known: dict[str, tuple[Read, ...]] = {"": ()}
        for text in texts:
            if text in self._recent:
                self._recent.move_to_end(text)
                known[text] = self._recent[text]
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            for text, reads in zip(new, self._find(self._mounts, new), strict=True):
                known[text] = self._recent[text] = reads
            while len(self._recent) > self._remembered:
                self._recent.popitem(last=False)
        return [known[text] for text in texts]


Find = Callable[[Mounts, list[str]], list[tuple[Read, ...]]]
"""A search without memory."""


@dataclass(frozen=True)
class SearchOptions:
    """How references are searched for."""

    k: int
    """References of a chunk."""
    ranking: Any = None
    """`dense`, `lexical` or `hybrid`; None is hybrid."""
    exact: bool = False
    where: str | None = None
    """A filter over the fields of documents."""
