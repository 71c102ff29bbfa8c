#!/usr/bin/env python3
"""Texts of Word documents beside those of python-docx: what is kept, what is shown that a reader does not see, order, and speed.

    benches/peers/extract_docx.py [--extract PROGRAM] [--rounds N]

Both read extract/tests/files/{contract,leaflet,statute}.docx, and a document of 20,000 paragraphs and 400 tables that python-docx writes. python-docx gives
paragraphs and tables in their order (`iter_inner_content`), the cells of a row joined by tabs. Kept are phrases that a reader sees, in their order; shown are
phrases that are deleted, hidden or navigation. The speed is that of the second of two runs over the large document, with the start of the process left out.

Needs `cargo build --release -p mempack-extract --example extract`, and a Python with python-docx (benches/peers/extract_docx.txt).
"""
import argparse
import pathlib
import statistics
import subprocess
import tempfile
import time

import docx
from docx.table import Table

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = ROOT / "extract/tests/files"
SEEN = {
    "contract.docx": [
        "Master Services Agreement", "1. Services", "1.2 The Supplier shall:", "(b) answer every fault report", "Days on which banks", "(ii) report the cause",
        "2.1 Invoices are due fourteen (14) days after receipt. Clause 1.2 stays", "Reviewed every year", "per hour", "180 (at night)", "All prices are net.",
        "Travel is charged at cost.", "Emergency line", "2.3 Late payment", "Annex A: Services", "2) questions of users.", "1) repairs;", "goes on here.",
    ],
    "leaflet.docx": [
        "Zorvexin 50 mg tablets", "Keep out of the reach", "It was studied in adults", "Study ZV-14", "Adults ≥ 18 years", "CO₂", "10⁹/l", "(140 − age)/72",
        "morning", "6 to 11 years", "30 to 60 ml/min", "Table 1: doses", "Syringe held upright, the needle up", "Figure 1", "Step 2: Hold", "☒ I have read",
    ],
    "statute.docx": ["§ 1 Lotsenpflicht", "(1) Schiffe", "(a) bei Probefahrten", "§ 2a Gebühren", "3 Euro je Meter"],
}
UNSEEN = {
    "contract.docx": ["thirty (30)", "Confidential draft note", "Internal: send to legal", "Click here to enter text", "REF _Ref1", "Contents", "Confidential, page"],
    "leaflet.docx": [],
    "statute.docx": [],
}


def peer(path):
    """The text as python-docx gives it."""
    lines = []
    for block in docx.Document(str(path)).iter_inner_content():
        if isinstance(block, Table):
            lines.extend("\t".join(cell.text for cell in row.cells) for row in block.rows)
        else:
            lines.append(block.text)
    return "\n".join(lines)


def kept(text, phrases):
    """How many phrases are in a text, and whether those are in order."""
    text = " ".join(text.split())
    places = [text.find(phrase) for phrase in phrases]
    found = [place for place in places if place >= 0]
    return len(found), found == sorted(found)


def large(path):
    document = docx.Document()
    for number in range(20_000):
        if number % 50 == 0:
            document.add_heading(f"Part {number // 50 + 1}", 1)
            table = document.add_table(rows=5, cols=4)
            for row in table.rows:
                for place, cell in enumerate(row.cells):
                    cell.text = f"cell {place} of part {number // 50 + 1}"
        document.add_paragraph(f"Paragraph {number} says that the fee of {number % 97} EUR is due within {number % 30 + 1} days after receipt of the invoice.")
    document.save(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extract", default=ROOT / "target/release/examples/extract")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()

    def ours(*paths):
        return subprocess.run([arguments.extract, *map(str, paths)], capture_output=True, text=True, check=True).stdout

    print("file             program      characters  kept      in order  shown though unseen")
    for name, phrases in SEEN.items():
        for program, read in (("mempack", ours), ("python-docx", peer)):
            text = read(FILES / name)
            count, ordered = kept(text, phrases)
            unseen = [phrase for phrase in UNSEEN[name] if phrase in text]
            characters = sum(not c.isspace() for c in text)
            print(f"{name:16} {program:12} {characters:10}  {count:2} of {len(phrases):2}  {'yes' if ordered else 'no':8}  {', '.join(unseen) or 'nothing'}")
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "large.docx"
        large(path)
        times = {"mempack": [], "python-docx": []}
        for _ in range(arguments.rounds):
            for program in times:
                start = time.perf_counter()
                if program == "mempack":
                    # One file more than the start of the process and the first file.
                    ours(path)
                    once = time.perf_counter() - start
                    start = time.perf_counter()
                    text = ours(path, path)
                    times[program].append(time.perf_counter() - start - once)
                    text = text[: len(text) // 2]
                else:
                    text = peer(path)
                    times[program].append(time.perf_counter() - start)
                expected = all(f"Paragraph {number} says" in text for number in (0, 9_999, 19_999))
                assert expected, program
        for program, rounds in times.items():
            print(f"large.docx ({path.stat().st_size / 1e6:.1f} MB) {program:12} median {statistics.median(rounds):.3f} s, {min(rounds):.3f} to {max(rounds):.3f}")


if __name__ == "__main__":
    main()
