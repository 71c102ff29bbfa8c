"""Random calls, right and wrong: each returns or raises, and the pack answers as before. MEMPACK_RANDOM_CALLS says how many."""

import contextlib
import os

import golden
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mempack import Mounts, Pack

CALLS = int(os.environ.get("MEMPACK_RANDOM_CALLS", "1000"))
PACKS = [Pack(golden.path(name)) for name in ("v1.0", "v1.2-budget", "v1.5")]
MOUNTS = Mounts(PACKS[2])

numbers = st.one_of(st.integers(-3, 30), st.integers(), st.floats(), st.none(), st.text(max_size=3), st.booleans())
references = st.one_of(
    st.integers(0, 23),
    st.lists(st.integers(0, 23), max_size=6),
    arrays.arrays(st.sampled_from([np.int8, np.uint32, np.int64, np.float32]), st.integers(0, 5)),
    numbers,
    st.lists(numbers, max_size=4),
)
shapes = st.one_of(st.tuples(st.integers(0, 4), st.just(8)), st.just((8,)), arrays.array_shapes(min_dims=0, max_dims=3, max_side=9))
raw = arrays.arrays(st.sampled_from([np.float32, np.float64, np.float16, np.int16]), shapes, elements=st.integers(-2, 2))


@st.composite
def vectors(draw: st.DrawFn) -> object:
    """Mostly unit vectors."""
    array = draw(raw)
    if draw(st.integers(0, 5)) == 0 or array.ndim == 0 or array.dtype.kind != "f":
        return array
    array = array + array.dtype.type(0.5)
    return array / np.linalg.norm(array.astype(np.float64), axis=-1, keepdims=True)


filters = st.one_of(st.none(), st.sampled_from(["year == 2025", 'id != "golden-0"', "year =", "draft", "!(draft)", 'tags == "a"']), st.text(max_size=12))
counts = st.one_of(st.integers(1, 30), st.integers(-2, 2**65), st.none())
threads = st.one_of(st.none(), st.integers(-1, 3))
texts = st.one_of(st.text(max_size=20), st.lists(st.text(max_size=10), max_size=4), st.integers())
outs = st.one_of(
    st.none(),
    st.lists(
        st.one_of(st.builds(lambda n, t: np.zeros((n, 2, 2, 4, 8), t), st.integers(0, 4), st.sampled_from([np.float32, np.float16])), numbers), max_size=3
    ).map(tuple),
)


@settings(max_examples=CALLS, deadline=None, suppress_health_check=list(HealthCheck), derandomize="MEMPACK_RANDOM_CALLS" not in os.environ, database=None)
@given(st.data())
def test_random_calls(data: st.DataObject) -> None:
    pack = data.draw(st.sampled_from(PACKS))
    read = data.draw(st.sampled_from(["search", "search_text", "memory", "embeddings", "text", "document", "verify", "mounts", "mounts_text"]))
    with contextlib.suppress(Exception):
        if read in ("search", "mounts"):
            searched = pack if read == "search" else MOUNTS
            searched.search(
                data.draw(vectors()),
                data.draw(counts),
                exact=data.draw(st.booleans()),
                ef=data.draw(counts),
                where=data.draw(filters),
                threads=data.draw(threads),
            )
        elif read in ("search_text", "mounts_text"):
            searched = pack if read == "search_text" else MOUNTS
            given_vectors = data.draw(st.one_of(st.none(), vectors()))
            searched.search_text(data.draw(texts), given_vectors, data.draw(counts), where=data.draw(filters), threads=data.draw(threads))
        elif read == "memory":
            dtype = data.draw(st.sampled_from(["float32", "float16", "float64", 3]))
            pack.memory(data.draw(references), dtype=dtype, out=data.draw(outs), threads=data.draw(threads))
        elif read == "verify":
            pack.verify(data.draw(st.one_of(st.none(), st.floats())), data.draw(st.integers(0, 9)))
        else:
            getattr(pack, read)(data.draw(references))
    assert pack.text(7) == golden.text(7)
