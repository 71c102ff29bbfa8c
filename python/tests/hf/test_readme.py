"""The lines of README.md that show how a model of transformers reads a pack."""

import re
from pathlib import Path
from typing import Any

from .conftest import READER, ROOT


def test_the_lines_of_the_readme_answer_with_a_citation(pack_file: Path, base_folder: Path, embedder_folder: Path, capsys: Any) -> None:
    readme = (ROOT / "README.md").read_text()
    found = re.search(r"\n    import mempack\.hf\n(?:    .*\n|\n(?=    ))*", readme)
    assert found, "README.md has no lines for mempack.hf"
    lines = [line[4:] for line in found[0].splitlines() if line.strip()]
    assert len(lines) <= 12, "the README promises few lines"
    code = "\n".join(lines)
    for shown, used in [
        ("docs.mpk", pack_file),
        ("models/SmolLM2-135M-Instruct", base_folder),
        ("models/all-MiniLM-L6-v2", embedder_folder),
        ("kb-samples/readers/smollm2", READER),
        ("How long is the notice period?", "What is the elimination half-life of velmorine?"),
    ]:
        assert shown in code, f"README.md does not name {shown}"
        code = code.replace(shown, str(used))
    exec(code, {})
    printed = capsys.readouterr().out
    assert "41 hours" in printed and "drug:velmorine" in printed, printed
