"""Where the tests of mempack.hf find models and packs.

`MEMPACK_PROGRAM` is the program (else `target/release/mempack`), `MEMPACK_BASE` the folder of SmolLM2-135M-Instruct (else `models/…`),
`MEMPACK_EMBEDDER` that of all-MiniLM-L6-v2 (else `models/…`), and `MEMPACK_PACK` a pack of `kb-samples/medical` by the default reader; without it,
one is built. What is missing skips a test and says why; with `REQUIRE_HF=1` it is an error.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
FIXTURES = ROOT / "tests" / "fixtures"
READER = ROOT / "kb-samples" / "readers" / "smollm2"
REQUIRED = os.environ.get("REQUIRE_HF") == "1"


def lacking(what: str) -> Any:
    """Skips a test, or fails it where everything must be there."""
    if REQUIRED:
        pytest.fail(f"{what}; REQUIRE_HF=1 asks for it")
    pytest.skip(what)


for module in ("torch", "transformers", "peft", "mempack._native"):
    try:
        __import__(module)
    except ImportError as error:
        if REQUIRED:
            raise
        pytest.skip(f"{module} is not installed ({error}); install mempack[hf] and peft", allow_module_level=True)


def place(variable: str, default: str) -> Path:
    """A file or folder that the environment names."""
    path = Path(os.environ.get(variable, ROOT / default)).resolve()
    if not path.exists():
        lacking(f"{path} does not exist; set {variable}")
    return path


@pytest.fixture(scope="session")
def base_folder() -> Path:
    return place("MEMPACK_BASE", "models/SmolLM2-135M-Instruct")


@pytest.fixture(scope="session")
def embedder_folder() -> Path:
    return place("MEMPACK_EMBEDDER", "models/all-MiniLM-L6-v2")


@pytest.fixture(scope="session")
def program() -> Path:
    return place("MEMPACK_PROGRAM", "target/release/mempack")


@pytest.fixture(scope="session")
def pack_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack of the medical sample corpus, by the default reader."""
    if "MEMPACK_PACK" in os.environ:
        return place("MEMPACK_PACK", "")
    base, embedder, program = (
        place(*names)
        for names in (
            ("MEMPACK_BASE", "models/SmolLM2-135M-Instruct"),
            ("MEMPACK_EMBEDDER", "models/all-MiniLM-L6-v2"),
            ("MEMPACK_PROGRAM", "target/release/mempack"),
        )
    )
    out = tmp_path_factory.mktemp("packs") / "medical.mpk"
    command = [program, "build", ROOT / "kb-samples" / "medical", "-o", out, "--model", READER, "--base", base, "--embedder", embedder]
    built = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=3600, check=False)
    assert built.returncode == 0, built.stderr
    return out


@pytest.fixture(scope="session")
def smollm(base_folder: Path) -> Iterator[tuple[Any, Any]]:
    """The default reader: SmolLM2 with its adapter, merged, in float32; and its tokenizer."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = AutoModelForCausalLM.from_pretrained(base_folder, dtype=torch.float32)
    yield PeftModel.from_pretrained(base, READER).merge_and_unload().eval(), AutoTokenizer.from_pretrained(base_folder)
