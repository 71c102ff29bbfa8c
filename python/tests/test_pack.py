"""What a pack says of itself and its references."""

import pickle
from pathlib import Path

import golden
import numpy as np
import pytest

import mempack
from mempack import Pack


def test_what_it_says_of_itself(pack: Pack) -> None:
    assert (len(pack), pack.documents, pack.name) == (golden.REFERENCES, golden.DOCUMENTS, "v1.5")
    assert pack.path == str(golden.path("v1.5")) and pack.bytes == golden.path("v1.5").stat().st_size
    assert len(pack.id) == 64 and pack.codec == "PQ4x3" and pack.signed_by == []
    assert pack.quality == {"memories": 300, "keys": [1 / 64, 2 / 64], "values": [1 / 16, 2 / 16], "divergence": {"nats": 0.03125, "tokens": 65_536}}
    assert pack.fields == ["court.name", "date", "draft", "id", "license", "ratio", "source", "tags", "time", "title", "version", "year"]
    assert sum(pack.sections.values()) < pack.bytes and pack.sections["MEMORIES"] > 0
    assert Pack(golden.path("v1.0")).quality is None


def test_identities(pack: Pack, uneven: Pack) -> None:
    model, shape = pack.identity, pack.identity.shape
    assert (model.name, model.layers, model.first_memory_layer, model.query_heads, model.rope_base) == ("golden model", 6, 1, 4, 10_000)
    assert (model.prefix_ids, model.reference_length, model.reference_template) == ([1, 250, 251, 65_535, 65_536], 128, "{text}")
    assert model.selection == "attention-sum-pre-rope-v1" and all(len(digest or "") == 64 for digest in (model.weights, model.adapter, model.config))
    assert (shape.layers, shape.heads, shape.tokens, shape.head_dim) == (2, 2, 4, 8)
    assert shape.counts.tolist() == [[4, 4], [4, 4]] and uneven.identity.shape.counts.tolist() == [[3, 0], [1, 7]]
    embedder = pack.embedder
    assert (embedder.name, embedder.dim, embedder.metric, embedder.max_tokens) == ("golden embedder", 8, "cosine", 256)
    assert (embedder.query_prompt, embedder.passage_prompt) == ("query: ", "Passage — № 1: ")


def test_texts_documents_and_vectors(pack: Pack) -> None:
    for reference in range(golden.REFERENCES):
        text = golden.text(reference)
        assert pack.text(reference) == text
        document = pack.document(reference)
        assert document.id == f"golden-{reference % 3}" and document.title == f"Dokument № {reference % 3}"
        assert (document.start, document.end) == (reference * 1000, reference * 1000 + len(text.encode()))
        assert (document.license, document.version, document.source) == ("Apache-2.0", "1.0", "format-spec/tests/golden/generate.rs")
        assert [place.document for place in document.further] == ([f"golden-{(reference + 1) % 3}"] if reference % 4 == 0 else [])
    vectors = pack.embeddings(range(golden.REFERENCES))
    assert vectors.dtype == np.float32 and vectors.shape == (golden.REFERENCES, golden.DIM)
    np.testing.assert_allclose(vectors, [golden.embedding(reference) for reference in range(golden.REFERENCES)], atol=1e-7)


def test_metadata_has_the_types_of_its_fields(pack: Pack) -> None:
    assert [pack.document(np.int64(reference)).metadata for reference in range(3)] == [
        {"court.name": "BGH", "draft": True, "time": "2025-01-02T03:04:05.5+01:00", "year": 2025},
        {"draft": False, "ratio": 2, "tags": ["b", "a", "b"], "time": "2025-01-02", "year": 2025},
        {"court.name": "最高裁判所", "draft": False, "ratio": -1.5e-3, "tags": [""], "year": 1999},
    ]
    assert type(pack.document(0).metadata["draft"]) is bool and type(pack.document(0).metadata["year"]) is int


def test_shown_in_terminals_and_notebooks(pack: Pack) -> None:
    assert repr(pack).startswith("Pack(") and "24 references of 3 documents" in repr(pack) and "golden model" in repr(pack)
    html = pack._repr_html_()
    assert html.startswith("<table>") and pack.id in html and '<th scope="row">codec</th><td>PQ4x3</td>' in html


def test_a_pickled_pack_opens_the_file_again(pack: Pack) -> None:
    again = pickle.loads(pickle.dumps(pack))
    assert isinstance(again, Pack) and again.id == pack.id and again.text(3) == pack.text(3)


@pytest.mark.parametrize("bad", [-1, 24, 2**40, -(2**70)])
def test_references_that_do_not_exist(pack: Pack, bad: int) -> None:
    for read in (pack.text, pack.document, pack.memory, lambda one: pack.embeddings([one]), lambda one: pack.memory([0, one])):
        with pytest.raises((IndexError, TypeError), match=r"does not exist|integers"):
            read(bad)


@pytest.mark.parametrize("bad", [1.5, "1", None, [[0]], {"a": 1}])
def test_references_that_are_no_integers(pack: Pack, bad: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        pack.memory(bad)
    with pytest.raises(TypeError):
        pack.text(bad)


def test_report(pack: Pack, tmp_path: Path) -> None:
    """The page of the command, and what is refused."""
    page = mempack.report(pack, references=3, neighbours=2, seed=4)
    written = tmp_path / "page.html"
    options = ["--references", "3", "--neighbours", "2", "--seed", "4"]
    assert mempack.main(["report", pack.path, "--output", str(written), *options]) == 0
    assert written.read_text() == page and pack.id in page
    with pytest.raises(mempack.MismatchError) as raised:
        mempack.report(pack, golden.FOLDER.parents[2] / "tests" / "fixtures" / "tiny" / "tokenizer.json")
    assert raised.value.differences[0][:2] == ("tokenizer", pack.identity.tokenizer)
    for path in (tmp_path / "nothing.json", written):
        with pytest.raises(ValueError, match=path.name):
            mempack.report(pack, path)


def test_version() -> None:
    assert mempack.__version__.count(".") == 2


def test_where_references_stand() -> None:
    pack = Pack(golden.path("v1.6"))
    documents = [pack.document(reference) for reference in range(len(pack))]
    # Every fourth reference has two origins; those of the golden pack have places by their number.
    numbers, number = [], 0
    for reference in range(len(pack)):
        numbers.append(number)
        number += 2 if reference % 4 == 0 else 1

    def location(origin: int) -> str:
        page = origin // 4 + 1
        return ["", f"p. {page}", f"pp. {page}-{page + 1}, § {origin} to § {origin + 1}", f"Teil I > § {origin}"][origin % 4]

    assert [document.location for document in documents] == [location(number) for number in numbers]
    assert [document.headings for document in documents] == [["Teil I", f"§ {number}"] if number % 4 == 3 else [] for number in numbers]
    assert [place.location for place in documents[0].further] == [location(1)]
