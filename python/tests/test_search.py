"""Searches against a slow one, and what is refused."""

import golden
import numpy as np
import pytest

import mempack
from mempack import Pack

QUERIES = np.array([golden.embedding(reference) for reference in range(golden.REFERENCES)], np.float32)


def slow(query: np.ndarray, admitted: list[int]) -> list[tuple[int, float]]:
    """Ids and cosines, best first, equal ones in the order of their numbers."""
    vectors = QUERIES[admitted].astype(np.float64)
    cosines = vectors @ query.astype(np.float64)
    return [(admitted[at], float(cosines[at])) for at in np.lexsort((admitted, -cosines.round(6)))]


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("exact", [False, True])
def test_nearest_references(pack: Pack, exact: bool, threads: int) -> None:
    ids, scores = pack.search(QUERIES, 6, exact=exact, threads=threads)
    assert ids.shape == scores.shape == (24, 6) and ids.dtype == np.int64 and scores.dtype == np.float32
    for row, query in enumerate(QUERIES):
        expected = slow(query, list(range(24)))[:6]
        np.testing.assert_allclose(scores[row], [score for _, score in expected], atol=1e-6)
        # Vectors repeat in this pack: those with equal cosines may stand in any order.
        assert all(abs(float(QUERIES[found] @ query) - score) < 1e-6 for found, score in zip(ids[row], scores[row], strict=True))


def test_one_vector_and_other_floats(pack: Pack) -> None:
    ids, scores = pack.search(QUERIES[4].astype(np.float64), 3)
    assert ids.shape == scores.shape == (3,)
    both = pack.search(QUERIES[4:5], 3)
    assert (ids == both[0][0]).all() and (scores == both[1][0]).all()
    # A view with strides, and no query at all.
    assert (pack.search(np.repeat(QUERIES, 2, 0)[::2], 2)[0] == pack.search(QUERIES, 2)[0]).all()
    assert pack.search(np.zeros((0, 8), np.float32), 2)[0].shape == (0, 2)


def test_fewer_hits_than_asked_for(pack: Pack) -> None:
    ids, scores = pack.search(QUERIES[0], 30, exact=True)
    assert sorted(ids[:24]) == list(range(24)) and (ids[24:] == -1).all() and np.isneginf(scores[24:]).all()


def test_filters(pack: Pack) -> None:
    ids, _ = pack.search(QUERIES[0], 24, where='id == "golden-1"')
    # A reference is admitted if one of its documents is.
    admitted = {reference for reference in range(24) if reference % 3 == 1 or (reference % 4 == 0 and (reference + 1) % 3 == 1)}
    assert set(ids[ids >= 0]) == admitted
    for expression, message in [("id ==", "expression|filter"), ('nothing == "a"', "nothing"), ("year == 'a'", "year")]:
        with pytest.raises(mempack.FilterError, match=message) as raised:
            pack.search(QUERIES[0], where=expression)
        assert raised.value.expression == expression


def test_words(pack: Pack) -> None:
    # `第三` is in every third reference once; a shorter reference scores higher.
    ids, scores = pack.search_text("第三", k=24)
    found = ids[ids >= 0]
    assert found.tolist() == list(range(0, 24, 3)) and (np.diff(scores[: len(found)]) <= 0).all()
    assert (pack.search_text(["nowhere", ""], k=3)[0] == -1).all()
    ids, _ = pack.search_text(["第三", "reference"], QUERIES[:2], 4, ranking="hybrid")
    assert ids.shape == (2, 4) and ids[0][0] == 0
    dense = pack.search_text(["第三"] * 24, QUERIES, 5, ranking="dense")
    np.testing.assert_array_equal(dense[0], pack.search(QUERIES, 5)[0])


def test_words_that_cannot_be_searched(pack: Pack) -> None:
    with pytest.raises(ValueError, match="no index of words"):
        Pack(golden.path("v1.0")).search_text("a")
    cases: list[tuple[tuple[object, ...], dict[str, object], type[Exception], str]] = [
        ((5,), {}, TypeError, "str"),
        (([1, 2],), {}, TypeError, "str"),
        (("a",), {"ranking": "hybrid"}, ValueError, "vectors"),
        (("a",), {"ranking": "best"}, ValueError, "best"),
        ((["a", "b"], QUERIES[:1]), {}, ValueError, "2 texts and 1 vectors"),
    ]
    for arguments, options, kind, message in cases:
        with pytest.raises(kind, match=message):
            pack.search_text(*arguments, **options)


@pytest.mark.parametrize(
    ("vectors", "kind", "message"),
    [
        (np.zeros((2, 8), np.float32), ValueError, "vector 0 has length 0"),
        (np.full((1, 8), np.nan, np.float32), ValueError, "length"),
        (np.full((1, 8), np.inf, np.float32), ValueError, "length"),
        (QUERIES * 2, ValueError, "divide it by its length"),
        (np.zeros((2, 7), np.float32), ValueError, "shape"),
        (np.zeros((2, 2, 8), np.float32), ValueError, "shape"),
        (np.float32(1), ValueError, "shape"),
        (QUERIES.astype(np.int32), TypeError, "int32"),
        (QUERIES.astype(np.complex64), TypeError, "complex64"),
        ("a text", TypeError, "<U6"),
        (None, TypeError, "object"),
        ([[1.0], [1.0, 2.0]], ValueError, "inhomogeneous"),
    ],
)
def test_vectors_that_are_refused(pack: Pack, vectors: object, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        pack.search(vectors)


@pytest.mark.parametrize("options", [{"k": 0}, {"k": -1}, {"k": 10**7}, {"ef": 0}, {"threads": 0}, {"k": 2**70}, {"k": 1.5}])
def test_numbers_that_are_refused(pack: Pack, options: dict[str, int]) -> None:
    with pytest.raises((ValueError, OverflowError, TypeError)):
        pack.search(QUERIES, **options)
