"""The program as a peer: what its engine answers to questions, and what it reads for that."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]


def sample_questions(count: int) -> list[str]:
    """Questions of the medical sample corpus, evenly over the file."""
    lines = (ROOT / "kb-samples" / "medical" / "questions.jsonl").read_text().splitlines()
    return [json.loads(lines[len(lines) * number // count])["question"] for number in range(count)]


def long_questions() -> list[str]:
    """Questions whose prompts take several chunks, and some whose answers cross from one chunk into the next."""
    sample = sample_questions(12)
    one = sample[0]
    story = (
        "My mother is 71 years old and lives alone. She takes several medicines every day, and her doctor has just changed one of them. We have read the"
        " leaflet together twice and are still not sure what it says, because the print is small and the words are hard. "
    )
    return [
        story + one,
        story * 2 + sample[3],
        f"{story}First: {sample[4]} Second: {sample[5]}",
        " ".join(sample[:5]),
        story[:90] + sample[7],
        f"Tell me about it in full sentences, one after the other, and leave nothing out that is written there. {sample[8]} {sample[9]}",
    ]


def ask(
    program: Path, pack: Path, reader: Path, base: Path, embedder: Path, questions: list[str], folder: Path, tokens: int, *options: str
) -> list[dict[str, Any]]:
    """The program's answers in float32, in the order of the questions."""
    file = folder / "questions.jsonl"
    file.write_text("".join(json.dumps({"id": number, "question": question}) + "\n" for number, question in enumerate(questions)))
    command = ["ask", pack, "--questions", file, "--json", "--precision", "f32", "--model", reader, "--base", base, "--embedder", embedder, "--device", "cpu"]
    libraries = {"LD_LIBRARY_PATH": os.environ["MEMPACK_LIBRARIES"]} if "MEMPACK_LIBRARIES" in os.environ else {}
    done = subprocess.run(
        [str(part) for part in (program, *command, "--max-tokens", tokens, *options)],
        capture_output=True,
        text=True,
        timeout=1800,
        env={**os.environ, **libraries},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
