"""A retriever of LangChain over memory packs.

from mempack.langchain import MempackRetriever

retriever = MempackRetriever(packs="docs.mpk", embedder=embeddings, k=5)
for document in retriever.invoke("How long is the notice period?"):
    print(document.metadata["score"], document.metadata["title"], document.page_content)
"""

import asyncio
from typing import Any

from mempack._finding import Finder, Found, Ranking, embedded, mounted
from mempack._native import Mounts

try:
    from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings
    from langchain_core.retrievers import BaseRetriever
    from pydantic import ConfigDict, PrivateAttr
except ImportError as error:
    raise ImportError("mempack.langchain needs LangChain: pip install langchain-core") from error

__all__ = ["MempackRetriever"]


class MempackRetriever(BaseRetriever):
    """Finds passages in memory packs.

    Documents have the passage as their text, `<pack id>:<number>` as their id, and in their metadata `score`, `pack` (its name), `pack_id`, `reference`,
    `document` (its id), `title`, `source`, `license`, `version`, `date`, `start` and `end` (bytes of the document's text), `metadata` (the document's fields)
    and `further` (other places of the same text). The document is the first that has the passage and that `where` admits.

    Raises `ValueError` for options that do not fit together and for vectors of another size, `mempack.MismatchError` for packs of different models,
    `mempack.FilterError` for a filter that does not fit, and `mempack.DamageError` for damaged packs.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    packs: Any
    """`mempack.Mounts`, which may change while others search; or a pack, a path, several of them, or names and packs."""
    embedder: Any = None
    """The packs' own embedder: an `Embeddings` of LangChain, or a function from texts to vectors `[texts, dim]`. Without one, words alone rank."""
    k: int = 5
    """Most documents."""
    where: str | None = None
    """A filter over the fields of documents, such as `year >= 2020`."""
    ranking: Ranking | None = None
    """`dense` (vectors), `lexical` (words, BM25) or `hybrid` (both). None is `hybrid`, and `lexical` without an embedder."""
    exact: bool = False
    """Compares every vector, rather than those that the search graph leads to."""
    query_prompt: str | None = None
    """What is put before a text that is embedded. None is what the packs state; use "" if the embedder puts it there itself."""

    _mounts: Mounts = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        self._mounts = mounted(self.packs)
        self._finder()

    def _finder(self) -> Finder:
        # Made for every query: fields may be assigned.
        return Finder(self._mounts, self.k, self.where, self.ranking, self.exact, self.query_prompt, self.embedder is not None)

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        finder = self._finder()
        vector = None
        if finder.needs_vector:
            prompted = finder.prompted(query)
            vector = self.embedder.embed_query(prompted) if isinstance(self.embedder, Embeddings) else embedded(self.embedder, prompted)
        return [_document(found) for found in finder.find(query, vector)]

    async def _aget_relevant_documents(self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun) -> list[Document]:
        finder = self._finder()
        vector = None
        if finder.needs_vector:
            prompted = finder.prompted(query)
            if isinstance(self.embedder, Embeddings):
                vector = await self.embedder.aembed_query(prompted)
            else:
                vector = await asyncio.to_thread(embedded, self.embedder, prompted)
        # A search releases the GIL.
        return [_document(found) for found in await asyncio.to_thread(finder.find, query, vector)]


def _document(found: Found) -> Document:
    return Document(page_content=found.text, id=found.id, metadata=found.metadata())
