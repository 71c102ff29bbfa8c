#!/usr/bin/env python3
"""Texts of presentations and OpenDocument files beside those of python-pptx and odfpy: what is kept, what is shown that a reader does not see, order, and speed.

    benches/peers/extract_slides.py [--extract PROGRAM] [--rounds N]

Both read extract/tests/files/{handover,tariff}.pptx, berth.odt and storm.odp, a deck of 1,000 slides that python-pptx writes, and a text of 20,000 paragraphs that odfpy
writes. python-pptx gives the texts, tables and notes of shapes, groups opened, in their order; odfpy the paragraphs and headings of the body in their order (`teletype`).
Kept are phrases that a reader sees, in their order; shown are phrases that are deleted, hidden, or about the slide. The speed is that of the second of two runs over the
large file, with the start of the process left out.

Needs `cargo build --release -p mempack-extract --example extract`, and a Python with python-pptx and odfpy (benches/peers/extract_slides.txt).
"""
import argparse
import pathlib
import statistics
import subprocess
import tempfile
import time

import odf.opendocument
import odf.teletype
import odf.text
import pptx
import pptx.util

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = ROOT / "extract/tests/files"
SEEN = {
    "handover.pptx": [
        "Nursing on ward 7", "Port Halden Clinic, 14 March", "Welcome. Phones", "Say who you are", "bed and age", "allergies first", "Ask for questions", "Giving Zorvexin by infusion",
        "1. Check the label", "10⁹/l", "a) saline", "3. Start slowly", "≥ 20 drops", "Drip chamber, half full", "A pump beside the bed", "(dose × 60)/4", "alarm off", "Dose", "morning",
        "6 to 11 years", "Adults take 50 mg", "Look at the patient", "colour of the skin", "Call for help", "Falls on ward 7", "45%", "Falls go down", "Source: ward log",
    ],
    "tariff.pptx": ["3 Gründe", "I. Die Gebühr", "II. Sie gilt", "Wer zahlt?", "§ 2a. Schuldner", "Ermäßigungen", "unter 20 m", "Frage nach Fähren"],
    "berth.odt": [
        "Lease of a berth", "1. The berth", "1.1 Object", "360 m²", "Measured at low water", "(a) moor one ship of at most 40 m;", "(ii) no fuel", "2. Rent", "within fourteen days", "Rates are reviewed",
        "per month", "Summer", "210 | 210", "Rates are net", "Plan of the quay", "Keep this page", "Harbour master", "Annex: keys", "2) one card", "3) all keys", "if any",
    ],
    "storm.odp": [
        "Storm at the port", "Briefing of the watch", "Take the attendance", "When to stop", "ships stay at the quay", "Fog: sound", "Call 47 first", "Map of the port", "1. Leave the crane", "Who is called",
        "Night", "Ask for the list",
    ],
}
UNSEEN = {
    "handover.pptx": ["Draft: do not show", "Hidden notes", "Old rate: 40 drops", "Halden Clinic, internal", "[formula]"],
    "tariff.pptx": [],
    "berth.odt": ["thirty days", "Contents", "Is this still so", "Hidden remark", "Ask the treasurer", "Internal calculation"],
    "storm.odp": ["Old rules", "25 November", "Check the numbers"],
}


def shapes(all_shapes):
    for shape in all_shapes:
        if shape.shape_type == pptx.enum.shapes.MSO_SHAPE_TYPE.GROUP:
            yield from shapes(shape.shapes)
        else:
            yield shape


def of_pptx(path):
    """The text as python-pptx gives it."""
    lines = []
    for slide in pptx.Presentation(str(path)).slides:
        for shape in shapes(slide.shapes):
            if shape.has_text_frame:
                lines.append(shape.text_frame.text)
            if getattr(shape, "has_table", False) and shape.has_table:
                lines.extend("\t".join(cell.text for cell in row.cells) for row in shape.table.rows)
        if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
            lines.append(slide.notes_slide.notes_text_frame.text)
    return "\n".join(lines)


def of_odf(path):
    """The text as odfpy gives it."""
    def blocks(element):
        for child in element.childNodes:
            if getattr(child, "qname", None) in ((odf.text.TEXTNS, "p"), (odf.text.TEXTNS, "h")):
                yield odf.teletype.extractText(child)
            else:
                yield from blocks(child)
    return "\n".join(blocks(odf.opendocument.load(str(path)).body))


def peer(path):
    return of_pptx(path) if path.suffix == ".pptx" else of_odf(path)


def kept(text, phrases):
    """How many phrases are in a text, which are not, and whether those that are are in order."""
    text = " ".join(text.split())
    places = [text.find(phrase) for phrase in phrases]
    found = [place for place in places if place >= 0]
    return len(found), found == sorted(found), [phrase for phrase, place in zip(phrases, places) if place < 0]


def large_deck(path):
    deck = pptx.Presentation()
    for number in range(1_000):
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text = f"Slide about berth {number}"
        slide.placeholders[1].text = "\n".join(f"Rule {number}.{rule}: the fee of {rule * 7} EUR is due within {rule + 1} days." for rule in range(8))
        cells = slide.shapes.add_table(4, 3, 0, 0, pptx.util.Inches(5), pptx.util.Inches(2)).table
        for row in range(4):
            for column in range(3):
                cells.cell(row, column).text = f"cell {row} {column} of {number}"
        slide.notes_slide.notes_text_frame.text = f"Say why berth {number} is last."
    deck.save(path)
    return "Slide about berth {}", "Say why berth {} is last.", 1_000


def large_text(path):
    document = odf.opendocument.OpenDocumentText()
    for number in range(20_000):
        if number % 50 == 0:
            document.text.addElement(odf.text.H(outlinelevel=1, text=f"Part {number // 50 + 1}"))
        words = f"Paragraph {number} says that the fee of {number % 97} EUR is due within {number % 30 + 1} days after receipt of the invoice."
        document.text.addElement(odf.text.P(text=words))
    document.save(str(path))
    return "Paragraph {} says", "Paragraph {} says", 20_000


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extract", default=ROOT / "target/release/examples/extract")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()

    def ours(*paths):
        return subprocess.run([arguments.extract, *map(str, paths)], capture_output=True, text=True, check=True).stdout

    print("file             program  characters  kept      in order  shown though unseen; not kept")
    for name, phrases in SEEN.items():
        for program, read in (("mempack", ours), ("peer", peer)):
            text = read(FILES / name)
            count, ordered, missing = kept(text, phrases)
            unseen = [phrase for phrase in UNSEEN[name] if phrase in text]
            characters = sum(not c.isspace() for c in text)
            print(f"{name:16} {program:8} {characters:10}  {count:2} of {len(phrases):2}  {'yes' if ordered else 'no':8}  {', '.join(unseen) or 'nothing'}; {', '.join(missing) or 'nothing'}")
    with tempfile.TemporaryDirectory() as folder:
        for name, write in (("large.pptx", large_deck), ("large.odt", large_text)):
            path = pathlib.Path(folder) / name
            first, last, count = write(path)
            times = {"mempack": [], "peer": []}
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
                    else:
                        text = peer(path)
                        times[program].append(time.perf_counter() - start)
                    assert all(words.format(number) in text for words in (first, last) for number in (0, count // 2, count - 1)), program
            for program, rounds in times.items():
                print(f"{name} ({path.stat().st_size / 1e6:.1f} MB) {program:8} median {statistics.median(rounds):.3f} s, {min(rounds):.3f} to {max(rounds):.3f}")


if __name__ == "__main__":
    main()
