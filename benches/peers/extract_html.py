"""The text of HTML pages by mempack-extract and by trafilatura: what is kept of the text and of what is none, the order of the words, and the time of the processor.

    pip install --require-hashes -r benches/peers/extract_html.txt
    cargo build --release -p mempack-extract --example extract
    benches/peers/extract_html.py [--extract target/release/examples/extract] [--also NAME=COMMAND] [--rounds 5] [FILE...]

Of the pages in extract/tests/files it is known what a reader wants to see, and what is navigation, a banner or hidden: PAGES. Of other files only characters and
time are shown. A command of --also gets a file's name and prints a text.
"""

import argparse
import difflib
import re
import resource
import shlex
import statistics
import subprocess
import tempfile
from pathlib import Path

import trafilatura

ROOT = Path(__file__).resolve().parent.parent.parent
FILES = ROOT / "extract/tests/files"

# By page the words of the text in their order, and words that are none.
PAGES = {
    "act.html": (
        [
            "An Act to limit deposits",
            "Chapter 1: Deposits",
            "Article 1. Scope",
            "for more than three months",
            "Article 2. Limit",
            "(1)",
            "at most two months' rent",
            "(a)",
            "from a tenant who",
            "(i)",
            "is under 18",
            "(ii)",
            "receives housing aid",
            "(b)",
            "a fee for keeping",
            "(2a)",
            "Repealed by Act 2022",
            "is void",
            "Article 3",
            "earns interest",
            "Table 1. Rates of interest",
            "Bank account",
            "Public fund",
            "2021",
            "0.5",
            "0.7",
            "2022",
            "1.1",
            "2023 and later",
            "1.4",
            "1.9",
            "1.6 for more than 10,000 crowns",
            "2.1",
            "Schedule",
            "in the Gazette",
            "the Minister publishes the rates",
        ],
        ["Skip to the text", "Home", "cookies", "Accept", "Share", "Print", "Related acts", "Leases Act", "Contact", "console.log"],
    ),
    "regulation.html": (
        [
            "REGULATION 2024/101",
            "Article 1",
            "Subject matter",
            "1.",
            "sets out how toys are labelled",
            "2.",
            "It applies to",
            "(a)",
            "for children under 14 years",
            "(b)",
            "sold alone",
            "(i)",
            "wheels",
            "(ii)",
            "batteries",
            "Article 2",
            "Warnings",
            "5 mm high",
            "Article 3",
            "enters into force",
            "Or in a language that",
        ],
        [],
    ),
    "leaflet.html": (
        [
            "Information for the user",
            "zorvexine hydrochloride",
            "this medicine is monitored",
            "additional monitoring",
            "1. What Zorvex is",
            "lowers blood pressure",
            "2. What you need to know",
            "Do not take Zorvex",
            "if you are allergic",
            "below 30 ml/min/1.73 m",
            "if you take one of these",
            "potassium",
            "lithium",
            "Pregnancy and breast-feeding",
            "after the third month",
            "Driving",
            "may make you dizzy",
            "3. How to take Zorvex",
            "Weight",
            "below 50 kg",
            "2.5 mg once a day",
            "50 kg or more",
            "18 years and more",
            "at most 10 mg",
            "Half of it in the first week",
            "1.",
            "Press a tablet",
            "2.",
            "Swallow it",
            "Do not chew",
            "4.",
            "Close the box",
            "presses a tablet through the foil",
            "Figure 1: the blister",
            "4. Possible side effects",
            "Very common",
            "headache",
            "Common",
            "cough",
            "dizziness",
            "5. How to store",
            "Below 25 °C",
            "6. Contents",
            "free starch",
            "Port Street 3",
            "last revised",
        ],
        ["A to Z", "Mail", "Imprint", "Privacy"],
    ),
    "guideline.html": (
        [
            "Leitlinie Kniegelenk",
            "1 Einführung",
            "Ärztinnen",
            "Empfehlungsgrade",
            "Grad",
            "Bedeutung",
            "soll",
            "sollte",
            "kann",
            "2 Diagnostik",
            "2.1 Klinische",
            "b.",
            "Schwellung",
            "c.",
            "Überwärmung",
            "d.",
            "Beweglichkeit",
            "2.2 Bildgebung",
            "Bei Schwangeren nicht",
            "Strahlung",
            "Score = Schmerz",
            "+ Steife",
            "Literatur",
            "1.",
            "Das Knie",
            "2.",
            "Röntgen. 2020",
        ],
        ["Start", "Kontakt", "Impressum"],
    ),
    "news.html": (
        [
            "Recall of Zorvex, batch 12",
            "Update of 8 May",
            "the print on the blister is wrong",
            "with the batch number on its side",
            "Where the batch number is",
            "Patients should",
            "check the number",
            "take the box to a pharmacy",
            "not",
            "stop the treatment",
            "Batches",
            "12, 13",
            "Expires",
            "2026-01",
            "01234567",
            "Consent to treatment",
            "renew the consent",
        ],
        [
            "privacy",
            "Accept all",
            "Search",
            "Most read",
            "Flu vaccine",
            "Subscribe",
            "Draft",
            "Recall of Alphex",
            "thank you",
            "Port Street",
            "JavaScript",
        ],
    ),
}


def one_line(text):
    return " ".join(text.replace("\\", "").split())


def in_order(text, phrases):
    """How many phrases are in the text, and how many in their order."""
    text, at, found, ordered = one_line(text), 0, 0, 0
    for phrase in phrases:
        found += phrase in text
        place = text.find(phrase, at)
        if place >= 0:
            ordered, at = ordered + 1, place + len(phrase)
    return found, ordered


def words(text):
    return re.findall(r"\w+", text)


def by_command(command):
    return lambda path: subprocess.run([*command, str(path)], capture_output=True, text=True, check=True).stdout


def by_trafilatura(path, **options):
    return trafilatura.extract(path.read_bytes(), output_format="markdown", include_tables=True, **options) or ""


def processor_seconds():
    """What this process and those that it ran have computed."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--extract", default=ROOT / "target/release/examples/extract")
    parser.add_argument("--also", action="append", default=[], metavar="NAME=COMMAND")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--show", action="store_true", help="phrases that are missing, and those that should be")
    args = parser.parse_args()
    tools = {
        "mempack-extract": by_command([str(args.extract)]),
        "trafilatura": by_trafilatura,
        "trafilatura, favor_recall": lambda path: by_trafilatura(path, favor_recall=True, include_images=True),
    }
    tools |= {name: by_command(shlex.split(command)) for name, command in (pair.split("=", 1) for pair in args.also)}
    for name, tool in tools.items():
        kept = wanted = ordered = taken = unwanted = 0
        for page, (text, other) in PAGES.items():
            result = tool(FILES / page)
            found, in_place = in_order(result, text)
            bad = [phrase for phrase in other if phrase in one_line(result)]
            kept, wanted, ordered, taken, unwanted = (
                kept + found,
                wanted + len(text),
                ordered + in_place,
                taken + len(bad),
                unwanted + len(other),
            )
            print(
                f"{name:26} {page:16} {len(result):6} characters, text {found}/{len(text)}, in order {in_place}, other {len(bad)}/{len(other)}"
            )
            if args.show:
                print("    missing:", [phrase for phrase in text if phrase not in one_line(result)], "\n    other:", bad)
        print(f"{name:26} {'all':16} text {kept}/{wanted} ({kept / wanted:.0%}), in order {ordered / wanted:.0%}, other {taken}/{unwanted}")
    with tempfile.TemporaryDirectory() as folder:
        long = Path(folder) / "long.html"
        page = (FILES / "act.html").read_text()
        start, chapter, rest = page.partition("<h2>Chapter 1")
        body, main, end = rest.partition("</main>")
        long.write_text(start + (chapter + body) * 500 + main + end)
        for path in [FILES / "act.html", long, *args.files]:
            base = words(tools["mempack-extract"](path))[:20_000]
            for name, tool in tools.items():
                times, result = [], ""
                for _ in range(args.rounds):
                    before = processor_seconds()
                    result = tool(path)
                    times.append(processor_seconds() - before)
                same = difflib.SequenceMatcher(None, base[:3000], words(result)[:3000], autojunk=False).ratio()
                print(
                    f"{name:26} {path.name:16} {path.stat().st_size:9} bytes, {len(result):8} characters, {statistics.median(times) * 1000:8.1f} ms, like ours {same:.2f}"
                )


if __name__ == "__main__":
    main()
