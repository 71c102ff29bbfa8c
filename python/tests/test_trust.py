"""Damage, verification, repair, comparison, signatures."""

import json
import subprocess
import sys
from pathlib import Path

import golden
import numpy as np
import pytest

import mempack
from mempack import Mounts, Pack


def flip(path: Path, section: str) -> None:
    """Changes a byte in the middle of a section's first page, on disk and without a rename."""
    shown = subprocess.run([sys.executable, "-m", "mempack", "inspect", str(path), "--json"], check=True, capture_output=True)
    place = next(one for one in json.loads(shown.stdout)["sections"] if one["name"] == section)
    with path.open("r+b") as file:
        file.seek(place["offset"] + min(place["bytes"] // 2, 100))
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))


def test_a_whole_pack(pack: Pack) -> None:
    pack.verify()
    pack.verify(0.5, seed=3)
    for sample in (0, -1, 1.5, float("nan")):
        with pytest.raises(ValueError, match="share"):
            pack.verify(sample)


@pytest.mark.parametrize("section", ["MEMORIES", "EMBED", "TEXT", "ORIGINS", "GRAPH", "CODEC"])
def test_damage_is_found_and_repaired(copy: Path, section: str) -> None:
    names = Pack(copy).sections
    section = next((name for name in names if name.startswith(section)), section)
    flip(copy, section)
    with pytest.raises(mempack.DamageError) as raised:
        Pack(copy).verify()
    assert (raised.value.path, raised.value.section) == (str(copy), section)
    assert isinstance(raised.value.offset, int) and raised.value.offset < copy.stat().st_size
    repaired = copy.with_name("repaired.mpk")
    assert Pack(copy).repair([golden.path("v1.5")], repaired) >= 1
    assert repaired.read_bytes() == golden.path("v1.5").read_bytes()
    assert Pack(copy).repair([repaired]) >= 1
    assert copy.read_bytes() == repaired.read_bytes() and Pack(copy).repair([repaired]) == 0


def test_damage_is_met_where_it_is_read(copy: Path) -> None:
    flip(copy, "MEMORIES")
    damaged = Pack(copy)
    bad = 0
    for reference in range(len(damaged)):
        try:
            damaged.memory(reference)
        except mempack.DamageError as error:
            bad += 1
            assert error.section == "MEMORIES"
    assert bad == 1 and damaged.text(0) == golden.text(0)
    with pytest.raises(mempack.DamageError):
        damaged.memory(range(len(damaged)), threads=4)


def test_what_donors_do_not_have(copy: Path, tmp_path: Path) -> None:
    flip(copy, "MEMORIES")
    before = copy.read_bytes()
    with pytest.raises(mempack.RepairError):
        Pack(copy).repair([copy])
    assert copy.read_bytes() == before
    with pytest.raises(ValueError, match="donors"):
        Pack(copy).repair([])
    with pytest.raises(FileNotFoundError):
        Pack(copy).repair([tmp_path / "nothing.mpk"])


def test_files_that_are_no_packs(tmp_path: Path, copy: Path) -> None:
    nothing = tmp_path / "nothing.mpk"
    with pytest.raises(FileNotFoundError) as raised:
        Pack(nothing)
    assert raised.value.filename == str(nothing)
    with pytest.raises(OSError, match=str(tmp_path)):
        Pack(tmp_path)
    nothing.write_bytes(b"a text and no pack" * 1000)
    with pytest.raises(mempack.PackOpenError) as refused:
        Pack(nothing)
    assert refused.value.path == str(nothing)
    copy.write_bytes(copy.read_bytes()[:9000])
    with pytest.raises(mempack.DamageError) as cut:
        Pack(copy)
    assert cut.value.path == str(copy) and cut.value.offset is None


def test_a_file_that_shrinks_while_arrays_are_in_use(copy: Path) -> None:
    pack = Pack(copy)
    memories = pack.memory([0, 1])
    with copy.open("r+b") as file:
        file.truncate(4096)
    keys, _, _, _ = golden.memory(0, golden.EVEN)
    np.testing.assert_array_equal(memories.keys[0], keys)
    for read in (pack.memory, pack.text, pack.document, lambda one: pack.search(golden.embedding(one)), lambda one: pack.embeddings([one])):
        with pytest.raises(mempack.DamageError, match="cut short"):
            read(0)


def test_differences(pack: Pack, uneven: Pack) -> None:
    same = pack.diff(pack)
    assert same["same"] is True and same["changes"] == [] and same["documents"]["kept"] == 3
    other = pack.diff(uneven)
    assert other["same"] is False and other["references"]["kept"] == 24 and {one["field"] for one in other["differences"]}


def test_signatures(copy: Path, tmp_path: Path) -> None:
    key = tmp_path / "team.key"
    assert mempack.main(["keygen", "--output", str(key)]) == 0
    public = next(path for path in tmp_path.iterdir() if path.name.startswith("team") and path != key)
    signer = Pack(copy).sign(key)
    signed = Pack(copy)
    assert signed.signed_by == [signer] and signed.id == Pack(golden.path("v1.5")).id
    assert len(Mounts(signed, trusted=[public])) == 1
    with pytest.raises(mempack.SignatureError):
        Mounts(golden.path("v1.5"), trusted=[public])
    with pytest.raises(mempack.SignatureError):
        signed.sign(public)
