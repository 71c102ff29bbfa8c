"""Several packs, searched with one ranking."""

from pathlib import Path

import golden
import numpy as np
import pytest

import mempack
from mempack import Mounts, Pack

QUERY = golden.embedding(4).astype(np.float32)


def test_one_ranking(pack: Pack, uneven: Pack) -> None:
    mounts = Mounts({"a": pack})
    assert (len(mounts), list(mounts.packs)) == (1, ["a"]) and mounts.packs["a"] is pack
    hits = mounts.search(QUERY[None], 4)
    ids, scores = pack.search(QUERY, 4)
    assert [hit.reference for hit in hits[0]] == ids.tolist() and [hit.score for hit in hits[0]] == scores.tolist()
    assert all(hit.pack is pack and hit.name == "a" for hit in hits[0])
    assert mounts.identity.name == "golden model" and mounts.embedder.dim == 8
    assert [hit.reference for hit in mounts.search_text("第三", k=3)[0]] == pack.search_text("第三", k=3)[0].tolist()
    # Another model.
    with pytest.raises(mempack.MismatchError) as raised:
        mounts.mount("uneven", uneven)
    assert raised.value.path == uneven.path and raised.value.differences and len(raised.value.differences[0]) == 3


def test_names(pack: Pack, copy: Path) -> None:
    mounts = Mounts([copy])
    assert list(mounts.packs) == ["copy"]
    with pytest.raises(mempack.MountError, match="copy") as raised:
        mounts.mount("copy", pack)
    assert raised.value.name == "copy"
    with pytest.raises(mempack.MountError, match="only mounted pack"):
        mounts.unmount("copy")
    mounts.mount("other", str(golden.path("v1.5")))
    # The same references: each is found once, in the first pack.
    assert {hit.name for hit in mounts.search(QUERY[None], 24)[0]} == {"copy"}
    mounts.unmount("copy")
    assert {hit.name for hit in mounts.search(QUERY[None], 24)[0]} == {"other"}
    mounts.replace("other", pack)
    assert mounts.packs == {"other": pack}
    with pytest.raises(mempack.MountError, match="nothing"):
        mounts.replace("nothing", pack)


def test_what_cannot_be_mounted(tmp_path: Path) -> None:
    for packs, kind in [([], ValueError), (5, TypeError), ([5], TypeError), ({"a": 5}, TypeError), (tmp_path / "nothing.mpk", FileNotFoundError)]:
        with pytest.raises(kind):
            Mounts(packs)


def test_a_filter_decides_which_document_is_cited(pack: Pack) -> None:
    """Every fourth reference is in two documents."""
    mounts = Mounts(pack)
    for document in ("golden-0", "golden-1", "golden-2"):
        hits = mounts.search(QUERY[None], 24, where=f'id == "{document}"')[0]
        assert len(hits) > 8 and {hit.document().id for hit in hits} == {document}
        assert all(hit.text() == golden.text(hit.reference) for hit in hits)
        assert all(place.document == document for hit in hits for place in hit.document().further)
    first = mounts.search(golden.embedding(5).astype(np.float32)[None], 1)[0][0]
    assert first.document().start == pack.document(first.reference).start
