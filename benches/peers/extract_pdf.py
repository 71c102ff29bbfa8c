"""Compares the text of PDF files with the text they were made of: mempack-extract, pypdf and pdfminer.six.

    pip install -r benches/peers/extract_pdf.txt
    cargo build --release -p mempack-extract --example extract
    python extract/tests/make/pdf.py /tmp/pdf-files /usr/bin/chromium      # writes the sources to /tmp/pdf-sources too
    python benches/peers/extract_pdf.py /tmp/pdf-files /tmp/pdf-sources target/release/examples/extract [LARGE.pdf]

For each file: `recall` and `precision` of characters without blanks, `words` of the source that are found, and `order`, one less the edit distance
per character. What is not text of the source, such as running heads, counts against precision and order. A LARGE file is read for its speed alone.
Each reader is a process of its own, so the seconds have its start in them.
"""

import collections
import json
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

from rapidfuzz.distance import Levenshtein

READERS = {
    "pypdf": "import sys, pypdf; print('\\n'.join(page.extract_text() for page in pypdf.PdfReader(sys.argv[1]).pages))",
    "pdfminer.six": "import sys; from pdfminer.high_level import extract_text; print(extract_text(sys.argv[1]))",
}


def read(reader, path, extract):
    command = [extract, path] if reader == "mempack" else [sys.executable, "-c", READERS[reader], path]
    start = time.perf_counter()
    result = subprocess.run(command, capture_output=True, text=True, timeout=900)
    return result.stdout, time.perf_counter() - start


def bare(text, markdown):
    """The text without marks of Markdown, in the characters that a keyboard has."""
    if markdown:
        lines = [line for line in text.splitlines() if not line.startswith("|---")]
        text = "\n".join(line.lstrip("# ").removeprefix("- ").replace("|", " ") for line in lines)
    return unicodedata.normalize("NFKC", text).replace("\u00ad", "").replace("\u2010", "-")


def compare(expected, found):
    words, found_words = (collections.Counter(text.split()) for text in (expected, found))
    a, b = "".join(expected.split()), "".join(found.split())
    common = (collections.Counter(a) & collections.Counter(b)).total()
    return {
        "recall": common / len(a),
        "precision": common / max(len(b), 1),
        "words": (words & found_words).total() / words.total(),
        "order": Levenshtein.normalized_similarity(a, b),
    }


def main():
    files, sources, extract, *large = sys.argv[1:]
    readers = ["mempack", *READERS]
    print(f"{'file':<10} {'reader':<14} recall precision words  order  seconds")
    for source in sorted(Path(sources).glob("*.json")):
        expected = bare("\n".join(block[0] for block in json.loads(source.read_text())), False)
        for reader in readers:
            text, seconds = read(reader, str(Path(files) / f"{source.stem}.pdf"), extract)
            found = compare(expected, bare(text, reader == "mempack"))
            print(f"{source.stem:<10} {reader:<14} {found['recall']:.4f} {found['precision']:.4f}   {found['words']:.4f} {found['order']:.4f} {seconds:.2f}")
    for path in large:
        for reader in readers:
            text, seconds = read(reader, path, extract)
            print(f"{Path(path).name}: {reader} {len(text)} characters, {seconds:.1f} s")


main()
