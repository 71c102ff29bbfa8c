"""The packs that the tests read: golden ones of the format, whose contents `golden.py` computes."""

import shutil
from pathlib import Path

import golden
import pytest

from mempack import Pack


@pytest.fixture(scope="session")
def pack() -> Pack:
    """24 references of 3 documents, with words, metadata and coarse embeddings."""
    return Pack(golden.path("v1.5"))


@pytest.fixture(scope="session")
def uneven() -> Pack:
    """A pack whose heads keep 3, 0, 1 and 7 tokens."""
    return Pack(golden.path("v1.2-budget"))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A pack that may be changed."""
    return Path(shutil.copy(golden.path("v1.5"), tmp_path / "copy.mpk"))
