"""The retrievers of LangChain and LlamaIndex, each by the real package, over golden packs."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import golden
import numpy as np
import pytest
from numpy.typing import NDArray

import mempack
from mempack import Mounts, Pack

pytest.importorskip("langchain_core", reason="needs langchain-core: tests/requirements-frameworks.in")
pytest.importorskip("llama_index.core", reason="needs llama-index-core: tests/requirements-frameworks.in")

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever as LangChainBase
from langchain_core.runnables import RunnableLambda
from llama_index.core.base.base_retriever import BaseRetriever as LlamaBase
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers.no_text import NoText
from llama_index.core.schema import MetadataMode, QueryBundle

from mempack import langchain, llama_index
from mempack._finding import Finder

V15 = golden.path("v1.5")
PROMPT = "query: "


def vector(text: str) -> NDArray[np.float64]:
    """Reference n for the text `n`, behind the prompt of the packs; twice as long as a unit vector, as those of some embedders are."""
    assert text.startswith(PROMPT), text
    return 2 * golden.embedding(int(text.removeprefix(PROMPT)))


def embed(texts: list[str]) -> NDArray[np.float64]:
    return np.stack([vector(text) for text in texts])


class LangChainEmbeddings(Embeddings):
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        raise AssertionError("queries are no documents")

    def embed_query(self, text: str) -> list[float]:
        return list(vector(text))


class LangChainAsyncEmbeddings(LangChainEmbeddings):
    def embed_query(self, text: str) -> list[float]:
        raise AssertionError("the asynchronous way is there")

    async def aembed_query(self, text: str) -> list[float]:
        return list(vector(text))


class LlamaEmbedding(BaseEmbedding):
    def _get_query_embedding(self, query: str) -> list[float]:
        return list(vector(query))

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return list(vector(query))

    def _get_text_embedding(self, text: str) -> list[float]:
        raise AssertionError("queries are no documents")


def expected(reference: int) -> dict[str, Any]:
    """The metadata of a golden reference, without its score."""
    document = reference % golden.DOCUMENTS
    start = reference * 1000
    length = len(golden.text(reference).encode())
    again = (reference + 1) % golden.DOCUMENTS
    place = {
        "document": f"golden-{again}",
        "title": f"Dokument № {again}",
        "start": 2**32 - 1 + reference,
        "end": 2**32 - 1 + reference + length,
        "location": "",
    }
    return {
        "pack": "v1.5",
        "pack_id": "9ec10219605f72b93d242d9dd92ba52a17262de70d41a689c00844dec814cb69",
        "reference": reference,
        "document": f"golden-{document}",
        "title": f"Dokument № {document}",
        "source": "format-spec/tests/golden/generate.rs",
        "license": "Apache-2.0",
        "version": "1.0",
        "date": "" if document == 0 else f"2025-01-0{document}",
        "start": start,
        "end": start + length,
        "location": "",
        "headings": [],
        "further": [place] if reference % 4 == 0 else [],
    }


YEARS = {0: 2025, 1: 2025, 2: 1999}


def check(metadata: dict[str, Any], reference: int, text: str, identity: str | None) -> None:
    metadata = json.loads(json.dumps(metadata))
    fields = metadata.pop("metadata")
    assert fields["year"] == YEARS[reference % golden.DOCUMENTS]
    assert isinstance(metadata.pop("score"), float)
    assert metadata == expected(reference)
    assert text == golden.text(reference)
    assert identity == f"{metadata['pack_id']}:{reference}"


def cosines(reference: int) -> list[float]:
    """The cosines of all references to one, the largest first."""
    own = golden.embedding(reference)
    return sorted((float(own @ golden.embedding(other)) for other in range(golden.REFERENCES)), reverse=True)


EMBEDDERS: list[Any] = [embed, LangChainEmbeddings()]


@pytest.mark.parametrize("embedder", EMBEDDERS, ids=["callable", "Embeddings"])
def test_langchain_finds_what_is_nearest(embedder: Any) -> None:
    retriever = langchain.MempackRetriever(packs=V15, embedder=embedder, ranking="dense", k=4, exact=True)
    assert isinstance(retriever, LangChainBase)
    for reference in (0, 7, 20):
        documents = retriever.invoke(str(reference))
        assert [document.metadata["score"] for document in documents] == pytest.approx(cosines(reference)[:4], abs=1e-6)
        for document in documents:
            check(document.metadata, document.metadata["reference"], document.page_content, document.id)
        assert asyncio.run(retriever.ainvoke(str(reference))) == documents


def test_langchain_awaits_an_embedder() -> None:
    retriever = langchain.MempackRetriever(packs=V15, embedder=LangChainAsyncEmbeddings(), ranking="dense", k=1)
    assert asyncio.run(retriever.ainvoke("9"))[0].metadata["score"] == pytest.approx(1.0)
    with pytest.raises(AssertionError, match="asynchronous"):
        retriever.invoke("9")


def test_langchain_is_a_runnable() -> None:
    retriever = langchain.MempackRetriever(packs=V15, k=2)

    def numbers(documents: list[Document]) -> list[int]:
        return [document.metadata["reference"] for document in documents]

    chain = retriever | RunnableLambda(numbers)
    assert chain.invoke("第三") == [0, 3]
    batches: list[list[Document]] = retriever.batch(["第三", "第三 第三"])
    assert [len(batch) for batch in batches] == [2, 2]
    # A field is as it is when a query comes.
    retriever.k = 3
    assert len(retriever.invoke("第三")) == 3


@pytest.mark.parametrize("embedder", [embed, LlamaEmbedding()], ids=["callable", "BaseEmbedding"])
def test_llama_index_finds_what_is_nearest(embedder: Any) -> None:
    retriever = llama_index.MempackRetriever(V15, embedder, ranking="dense", k=4, exact=True)
    assert isinstance(retriever, LlamaBase)
    for reference in (0, 7, 20):
        found = retriever.retrieve(str(reference))
        assert [one.score for one in found] == pytest.approx(cosines(reference)[:4], abs=1e-6)
        for one in found:
            check(one.node.metadata, one.node.metadata["reference"], one.node.get_content(), one.node.node_id)
            assert one.node.ref_doc_id == one.node.metadata["document"]
        again = asyncio.run(retriever.aretrieve(str(reference)))
        assert [(one.node.node_id, one.score) for one in again] == [(one.node.node_id, one.score) for one in found]


def test_llama_index_takes_the_embedding_of_a_query() -> None:
    def none(texts: list[str]) -> NDArray[np.float64]:
        raise AssertionError("it is there")

    retriever = llama_index.MempackRetriever(V15, none, ranking="dense", k=1)
    query = QueryBundle("5", embedding=golden.embedding(5).tolist())
    assert retriever.retrieve(query)[0].score == pytest.approx(1.0)
    assert asyncio.run(retriever.aretrieve(query))[0].score == pytest.approx(1.0)


def test_llama_index_in_a_query_engine() -> None:
    retriever = llama_index.MempackRetriever(V15, k=2)
    engine = RetrieverQueryEngine(retriever, NoText(llm=MockLLM()))
    nodes = engine.query("第三").source_nodes
    assert [one.node.metadata["reference"] for one in nodes] == [0, 3]
    # A model reads what helps it.
    read = nodes[1].node.get_content(MetadataMode.LLM)
    assert golden.text(3) in read and "Dokument № 0" in read and "pack_id" not in read and "score" not in read


def references(retriever: Any, text: str) -> list[int]:
    """What either retriever finds."""
    if isinstance(retriever, LlamaBase):
        return [one.node.metadata["reference"] for one in retriever.retrieve(text)]
    return [document.metadata["reference"] for document in retriever.invoke(text)]


def both(packs: Any, embedder: Any = None, **options: Any) -> list[Any]:
    return [langchain.MempackRetriever(packs=packs, embedder=embedder, **options), llama_index.MempackRetriever(packs, embedder, **options)]


def test_rankings_are_those_of_the_pack() -> None:
    pack = Pack(V15)
    unit = golden.embedding(6).astype(np.float32)
    for retriever in both(pack, embed, k=6, query_prompt=PROMPT):
        assert references(retriever, "6") == pack.search_text("6", unit[None], 6, ranking="hybrid")[0].ravel().tolist()
    for retriever in both(pack, k=6) + both(pack, embed, ranking="lexical", k=6):
        assert references(retriever, "第三 reference") == pack.search_text("第三 reference", None, 6)[0].ravel().tolist()


def test_filters_admit_what_they_say() -> None:
    for retriever in both(V15, embed, k=24, where="year == 1999", ranking="dense"):
        # Documents 2, and the references that are in a document 2 too.
        assert sorted(references(retriever, "1")) == [r for r in range(24) if r % 3 == 2 or (r % 4 == 0 and (r + 1) % 3 == 2)]
    for retriever in both(V15, where="year =="):
        with pytest.raises(mempack.FilterError):
            references(retriever, "reference")


def test_mounts_may_change() -> None:
    mounts = Mounts({"first": Pack(V15)})
    for retriever in both(mounts, k=1):
        assert references(retriever, "第三") == [0]
    retriever = langchain.MempackRetriever(packs=mounts)
    assert retriever.invoke("第三")[0].metadata["pack"] == "first"
    mounts.mount("second", V15)
    mounts.unmount("first")
    assert retriever.invoke("第三")[0].metadata["pack"] == "second"
    for several in ({"a": Pack(V15)}, [V15], str(V15), Pack(V15)):
        assert [references(one, "第三")[0] for one in both(several, k=1)] == [0, 0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"k": 0}, "k is 0"),
        ({"ranking": "dense"}, "'golden embedder'"),
        ({"ranking": "hybrid"}, "needs an embedder"),
        ({"ranking": "other"}, "other"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        llama_index.MempackRetriever(V15, **options)
    with pytest.raises(ValueError, match=words):
        langchain.MempackRetriever(packs=V15, **options)


@pytest.mark.parametrize(
    ("vectors", "words"),
    [
        (np.ones((1, 7)), r"shape \[7\], expected \[8\].*'golden embedder'"),
        (np.ones(8), r"shape \[8\] for one text, expected \[1, dim\]"),
        (np.zeros((1, 8)), "length 0"),
        (np.full((1, 8), np.nan), "length nan"),
    ],
)
def test_vectors_that_do_not_fit(vectors: NDArray[np.float64], words: str) -> None:
    for retriever in both(V15, lambda texts: vectors):
        with pytest.raises(ValueError, match=words):
            references(retriever, "1")


def test_damage_is_told(tmp_path: Path) -> None:
    pack = Pack(V15)
    data = bytearray(V15.read_bytes())
    # The first text: no search reads it.
    at = data.index(pack_text(pack))
    data[at + 20] ^= 1
    path = tmp_path / "damaged.mpk"
    path.write_bytes(data)
    for retriever in both(path, k=1):
        with pytest.raises(mempack.DamageError) as raised:
            references(retriever, "第三")
        assert raised.value.section == "TEXT"


def pack_text(pack: Pack) -> bytes:
    """How the section of the texts begins: with a frame of Zstandard."""
    assert pack.sections["TEXT"] > 40
    return b"\x28\xb5\x2f\xfd"


def test_prompts_are_the_packs_or_what_is_given() -> None:
    seen: list[str] = []

    def note(texts: list[str]) -> NDArray[np.float64]:
        seen.extend(texts)
        return np.ones((1, 8))

    for prompt, text in [(None, "query: dose"), ("", "dose"), ("search: ", "search: dose")]:
        seen.clear()
        for retriever in both(V15, note, query_prompt=prompt):
            references(retriever, "dose")
        assert seen == [text, text]


@pytest.mark.parametrize(
    ("module", "missing", "package"), [("langchain", "langchain_core", "langchain-core"), ("llama_index", "llama_index.core", "llama-index-core")]
)
def test_a_framework_that_is_not_installed_is_named(module: str, missing: str, package: str) -> None:
    # None in sys.modules makes an import fail as if there were no such package.
    root = missing.split(".", maxsplit=1)[0]
    code = f"import sys; sys.modules[{root!r}] = None\ntry:\n    import mempack.{module}\nexcept ImportError as error:\n    print(error)"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert f"pip install {package}" in said, said


def test_a_finder_without_an_embedder_needs_no_vector() -> None:
    assert not Finder(Mounts(V15), 1).needs_vector
    assert Finder(Mounts(V15), 1, embeds=True).needs_vector and not Finder(Mounts(V15), 1, ranking="lexical", embeds=True).needs_vector
