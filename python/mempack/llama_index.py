"""A retriever of LlamaIndex over memory packs.

from mempack.llama_index import MempackRetriever

retriever = MempackRetriever("docs.mpk", embedder=embed_model, k=5)
for found in retriever.retrieve("How long is the notice period?"):
    print(found.score, found.node.metadata["title"], found.node.get_content())
"""

import asyncio
from typing import Any

from mempack._finding import Embed, Finder, Found, Packs, Ranking, embedded, mounted

try:
    from llama_index.core.base.base_retriever import BaseRetriever
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.callbacks.base import CallbackManager
    from llama_index.core.schema import NodeRelationship, NodeWithScore, QueryBundle, RelatedNodeInfo, TextNode
except ImportError as error:
    raise ImportError("mempack.llama_index needs LlamaIndex: pip install llama-index-core") from error

__all__ = ["MempackRetriever"]

# What a language model reads beside the text of a node.
_READ = ("title", "source")


class MempackRetriever(BaseRetriever):
    """Finds passages in memory packs.

    Nodes have the passage as their text, `<pack id>:<number>` as their id, the document's id as `ref_doc_id`, and in their metadata `score`, `pack` (its
    name), `pack_id`, `reference`, `document` (its id), `title`, `source`, `license`, `version`, `date`, `start` and `end` (bytes of the document's text),
    `metadata` (the document's fields) and `further` (other places of the same text). The document is the first that has the passage and that `where`
    admits. Language models read the title and the source beside the text.
    """

    def __init__(
        self,
        packs: Packs,
        embedder: BaseEmbedding | Embed | None = None,
        *,
        k: int = 5,
        where: str | None = None,
        ranking: Ranking | None = None,
        exact: bool = False,
        query_prompt: str | None = None,
        callback_manager: CallbackManager | None = None,
        **options: Any,
    ) -> None:
        """A retriever over packs.

        `packs`: `mempack.Mounts`, which may change while others search; or a pack, a path, several of them, or names and packs. `embedder`: the packs' own, as
        an embedding model of LlamaIndex or a function from texts to vectors `[texts, dim]`; without one, words alone rank. `k`: most nodes. `where`: a filter
        over the fields of documents. `ranking`: `dense` (vectors), `lexical` (words, BM25) or `hybrid` (both); None is `hybrid`, and `lexical` without an
        embedder. `exact` compares every vector. `query_prompt` is put before a text that is embedded; None is what the packs state, and "" is for embedders
        that put it there themselves. A query that brings its own embedding is not embedded again.

        Raises `ValueError` for options that do not fit together and, in a search, for vectors of another size, `mempack.MismatchError` for packs of different
        models, `mempack.FilterError` for a filter that does not fit, and `mempack.DamageError` for damaged packs.
        """
        super().__init__(callback_manager=callback_manager, **options)
        self._embedder: Any = embedder
        self._finder = Finder(mounted(packs), k, where, ranking, exact, query_prompt, embedder is not None)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        vector = query_bundle.embedding
        if vector is None and self._finder.needs_vector:
            prompted = self._finder.prompted(query_bundle.query_str)
            is_theirs = isinstance(self._embedder, BaseEmbedding)
            vector = self._embedder.get_query_embedding(prompted) if is_theirs else embedded(self._embedder, prompted)
        return [_node(found) for found in self._finder.find(query_bundle.query_str, vector)]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        vector = query_bundle.embedding
        if vector is None and self._finder.needs_vector:
            prompted = self._finder.prompted(query_bundle.query_str)
            if isinstance(self._embedder, BaseEmbedding):
                vector = await self._embedder.aget_query_embedding(prompted)
            else:
                vector = await asyncio.to_thread(embedded, self._embedder, prompted)
        # A search releases the GIL.
        return [_node(found) for found in await asyncio.to_thread(self._finder.find, query_bundle.query_str, vector)]


def _node(found: Found) -> NodeWithScore:
    metadata = found.metadata()
    hidden = [name for name in metadata if name not in _READ]
    node = TextNode(
        id_=found.id,
        text=found.text,
        metadata=metadata,
        excluded_llm_metadata_keys=hidden,
        excluded_embed_metadata_keys=hidden,
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=found.document.id)},
    )
    return NodeWithScore(node=node, score=found.score)
