#!/usr/bin/env python3
"""The text of any files by mempack-extract and by other readers: what each reads, what each lacks of the other's words, their order, and the time.

    pip install --require-hashes -r benches/peers/extract_files.txt
    cargo build --release -p mempack-extract --example extract
    benches/peers/extract_files.py FOLDER [--extract target/release/examples/extract] [--kind pdf] [--limit 60] [--worst 10] [--texts FOLDER] [--json FILE]

Nobody says what the text of a file of others is, so readers are compared with one another, both ways. For each kind of file and each rival:

    letters     letters and digits of ours, divided by those of the rival
    lacks       words of the rival that ours lacks (as often as they occur), of all words of the rival
    more        words of ours that the rival lacks, of all words of ours
    order       five words in sequence of the rival's text that are somewhere in ours; `back` the other way round
    seconds     of all files that both read; those of a rival without the start of its process, those of ours with it

These are sums over all files that both read; `half` is the median of the files. `agreed` are the words that all rivals of a kind have: what ours lacks of them
is most likely lost. A file is read if it gives a letter or digit, empty if it gives none, and failed if it gives an error or takes longer than the limit.
"""

import argparse
import collections
import json
import multiprocessing
import re
import resource
import statistics
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MEMORY = 4 << 30
OURS = "mempack"
AGREED = "agreed"
KINDS = {
    ".pdf": "pdf",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".docx": "docx",
    ".epub": "epub",
    ".xml": "xml",
    ".nxml": "xml",
    ".rtf": "rtf",
    ".eml": "eml",
    ".xlsx": "xlsx",
}
# Elements that a browser shows no text of.
UNSEEN = {"script", "style", "noscript", "template", "head", "title"}
# Elements within a line, of HTML and of JATS.
INLINE = {"a", "abbr", "b", "code", "em", "font", "i", "span", "strong", "sub", "sup", "tt", "u"}
INLINE |= {"bold", "italic", "underline", "monospace", "sc", "xref", "ext-link", "named-content", "styled-content", "inline-formula"}
CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
WORD = re.compile(rf"[{CJK}]|[^\W_{CJK}]+")


def lines_of(root, unseen):
    """The text of an element in its order, each element a line of its own that is not in one."""
    lines = []

    def walk(element):
        if not isinstance(element.tag, str) or element.tag.rpartition("}")[2] in unseen:
            return
        end = "" if element.tag.rpartition("}")[2] in INLINE else "\n"
        lines.extend((end, element.text or ""))
        for child in element:
            walk(child)
            lines.append(child.tail or "")
        lines.append(end)

    walk(root)
    return "".join(lines)


def all_text(markup):
    """All text of an HTML or XHTML page, without scripts and styles."""
    import lxml.html

    return lines_of(lxml.html.document_fromstring(markup), UNSEEN)


def by_pypdf(path):
    import pypdf

    return "\n".join(page.extract_text() for page in pypdf.PdfReader(path).pages)


def by_pdfminer(path):
    import pdfminer.high_level

    return pdfminer.high_level.extract_text(path)


def by_trafilatura(path, **options):
    import trafilatura

    return trafilatura.extract(Path(path).read_bytes(), output_format="markdown", include_tables=True, **options) or ""


def by_python_docx(path):
    import docx
    from docx.table import Table

    def blocks(container):
        for block in container.iter_inner_content():
            if isinstance(block, Table):
                # A cell that spans several is given once for each of them.
                for row in block.rows:
                    seen = []
                    for cell in row.cells:
                        if cell._tc not in seen:
                            seen.append(cell._tc)
                            yield from blocks(cell)
            else:
                yield block.text

    return "\n".join(blocks(docx.Document(path)))


def by_docx2txt(path):
    import docx2txt

    return docx2txt.process(path)


def by_ebooklib(path):
    import ebooklib.epub

    book = ebooklib.epub.read_epub(path, {"ignore_ncx": True})
    items = [book.get_item_with_id(name) for name, *_ in book.spine]
    return "\n".join(all_text(item.get_content()) for item in items if item is not None)


def by_lxml(path):
    import lxml.etree

    parser = lxml.etree.XMLParser(resolve_entities=True, no_network=True, load_dtd=False)
    return lines_of(lxml.etree.parse(path, parser).getroot(), set())


def by_striprtf(path):
    from striprtf.striprtf import rtf_to_text

    return rtf_to_text(Path(path).read_bytes().decode("latin-1"), errors="replace")


def by_email(path):
    import email
    import email.policy

    message = email.message_from_bytes(Path(path).read_bytes(), policy=email.policy.default)
    # The subject is no text to us either: it is the title.
    lines = []
    for part in message.walk():
        kind = part.get_content_type()
        if kind == "text/plain":
            lines.append(part.get_content())
        elif kind == "text/html" and not any(other.get_content_type() == "text/plain" for other in message.walk()):
            lines.append(all_text(part.get_content()))
    return "\n".join(lines)


def by_openpyxl(path):
    import openpyxl

    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    rows = (row for sheet in book.worksheets for row in sheet.iter_rows(values_only=True))
    return "\n".join("\t".join("" if cell is None else str(cell) for cell in row) for row in rows)


RIVALS = {
    "pdf": {"pypdf": by_pypdf, "pdfminer.six": by_pdfminer},
    "html": {
        "trafilatura": by_trafilatura,
        "trafilatura, favor_recall": lambda path: by_trafilatura(path, favor_recall=True),
        "lxml, all text": lambda path: all_text(Path(path).read_bytes()),
    },
    "docx": {"python-docx": by_python_docx, "docx2txt": by_docx2txt},
    "epub": {"ebooklib": by_ebooklib},
    "xml": {"lxml, all text": by_lxml},
    "rtf": {"striprtf": by_striprtf},
    "eml": {"email of Python": by_email},
    "xlsx": {"openpyxl": by_openpyxl},
}
MODULES = {
    "pdf": ["pypdf", "pdfminer.high_level"],
    "html": ["trafilatura", "lxml.html"],
    "docx": ["docx", "docx2txt"],
    "epub": ["ebooklib.epub", "lxml.html"],
    "xml": ["lxml.etree"],
    "rtf": ["striprtf.striprtf"],
    "eml": ["email", "lxml.html"],
    "xlsx": ["openpyxl"],
}


def child(read, path, connection):
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    start = time.perf_counter()
    try:
        text, error = read(str(path)), None
    except BaseException as failure:
        text, error = "", f"{type(failure).__name__}: {failure}"[:200]
    connection.send((text.encode("utf-8", "replace"), time.perf_counter() - start, error))


def by_rival(read, path, limit):
    """Text, seconds, and what went wrong, of a reader in a process that is forked."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=child, args=(read, path, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        text, seconds, error = ours.recv() if ours.poll(limit) else (b"", float(limit), "takes too long")
    except EOFError:
        text, seconds, error = b"", 0.0, "ended"
    process.kill()
    process.join()
    return text.decode("utf-8", "replace"), seconds, error


def by_ours(extract, path, limit):
    start = time.perf_counter()
    try:
        result = subprocess.run([extract, path], capture_output=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return "", float(limit), "takes too long"
    seconds = time.perf_counter() - start
    said = result.stderr.decode("utf-8", "replace").strip()
    if result.returncode != 0:
        empty = " has no text" in said
        return "", seconds, None if empty else f"({result.returncode}) " + said.splitlines()[-1].replace(str(path), "it")[:200]
    return result.stdout.decode("utf-8", "replace"), seconds, None


def words(text):
    """Words as they are compared: without case, ligatures and division at the end of a line; a character of Chinese, Japanese or Korean is a word."""
    text = unicodedata.normalize("NFKC", text).replace("\u00ad", "").replace("\u200b", "")
    text = re.sub(r"(?<=[^\W\d_])[-\u2010]\s*\n\s*(?=[a-z])", "", text)
    return WORD.findall(text.casefold())


def fives(found):
    return collections.Counter(zip(*(found[at:] for at in range(5))))


class Read:
    """What a reader made of a file."""

    def __init__(self, text, seconds, error):
        self.seconds, self.error = seconds, error
        self.words = words(text)
        self.letters = sum(map(len, self.words))
        self.state = "failed" if error else "read" if self.words else "empty"


def share(part, whole):
    return part / whole if whole else 0.0


def compare(ours, rival):
    """Counts of a file that both read."""
    mine, theirs = collections.Counter(ours.words), collections.Counter(rival.words)
    my_fives, their_fives = fives(ours.words), fives(rival.words)
    common = (my_fives & their_fives).total()
    return {
        "letters": (ours.letters, rival.letters),
        "lacks": ((theirs - mine).total(), theirs.total()),
        "more": ((mine - theirs).total(), mine.total()),
        "order": (common, their_fives.total()),
        "back": (common, my_fives.total()),
        "examples": [
            " ".join(f"{word}*{count}" if count > 1 else word for word, count in (a - b).most_common(12))
            for a, b in ((theirs, mine), (mine, theirs))
        ],
    }


def report(kind, files, results, worst):
    """Prints the comparison of the files of a kind; `results` by the reader and the file."""
    print(f"\n== {kind}: {len(files)} files, {sum(path.stat().st_size for path in files) / 1e6:.1f} MB")
    for name, reads in results.items():
        states = collections.Counter(read.state for read in reads.values())
        print(
            f"{name:26} read {states['read']:4}  empty {states['empty']:3}  failed {states['failed']:3}  {sum(read.seconds for read in reads.values()):8.2f} s"
        )
    rivals = [name for name in results if name != OURS]
    if len(rivals) > 1:
        agreed = {}
        for path in files:
            reads = [results[name][path] for name in rivals]
            common = collections.Counter(reads[0].words)
            for read in reads[1:]:
                common &= collections.Counter(read.words)
            read = Read("", 0.0, None)
            read.words, read.letters, read.state = list(common.elements()), sum(map(len, common.elements())), "read" if common else "empty"
            agreed[path] = read
        results = results | {AGREED: agreed}
    print(f"{'':26} files  letters   half |  lacks   half |   more   half |  order   half |   back   half | seconds ours, rival")
    compared = {}
    for name in [*rivals, *([AGREED] if len(rivals) > 1 else [])]:
        both = [path for path in files if results[OURS][path].state == results[name][path].state == "read"]
        compared[name] = {path: compare(results[OURS][path], results[name][path]) for path in both}
        line = f"{name:26} {len(both):5}"
        for column in ["letters", "lacks", "more", "order", "back"]:
            if name == AGREED and column not in ("letters", "lacks"):
                continue
            pairs = [found[column] for found in compared[name].values()]
            total = share(sum(part for part, _ in pairs), sum(whole for _, whole in pairs))
            middle = statistics.median([share(*pair) for pair in pairs] or [0.0])
            line += f"   {total:6.3f} {middle:6.3f}" + ("" if column == "letters" else "")
        if name != AGREED:
            line += f"   {sum(results[OURS][path].seconds for path in both):.2f}, {sum(results[name][path].seconds for path in both):.2f}"
        print(line)
    for path in files:
        mine = results[OURS][path]
        for name in rivals:
            other = results[name][path]
            if mine.state != other.state:
                print(
                    f"   {path.name}: {OURS} {mine.state}, {name} {other.state} ({len(other.words)} words; {mine.error or other.error or ''})"
                )
    for name in compared:
        for column, place in (("lacks", 0), ("more", 1)):
            if name == AGREED and column == "more":
                continue
            order = sorted(compared[name].items(), key=lambda pair: -pair[1][column][0])
            print(f"   most words that {'ours lacks of' if column == 'lacks' else 'ours has and that are not in'} {name}:")
            for path, found in order[:worst]:
                if found[column][0]:
                    print(
                        f"      {found[column][0]:6} of {found[column][1]:6}  order {share(*found['order']):.2f}  {path.name}: {found['examples'][place][:150]}"
                    )
    return compared


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--extract", default=ROOT / "target/release/examples/extract")
    parser.add_argument("--kind", action="append", choices=RIVALS, help="only files of this kind; may be given again")
    parser.add_argument("--limit", type=float, default=60, help="seconds for a file")
    parser.add_argument("--worst", type=int, default=10, help="files that are named")
    parser.add_argument("--texts", type=Path, help="a folder for the texts of all readers")
    parser.add_argument("--json", type=Path, help="a file for the figures of all files")
    arguments = parser.parse_args()
    sys.setrecursionlimit(20_000)
    figures = []
    for kind in arguments.kind or RIVALS:
        files = sorted(path for path in arguments.folder.rglob("*") if path.is_file() and KINDS.get(path.suffix.lower()) == kind)
        if not files:
            continue
        for module in MODULES[kind]:
            __import__(module)
        results = {name: {} for name in [OURS, *RIVALS[kind]]}
        for path in files:
            for name in results:
                read = RIVALS[kind].get(name)
                found = by_rival(read, path, arguments.limit) if read else by_ours(arguments.extract, path, arguments.limit)
                results[name][path] = Read(*found)
                if arguments.texts:
                    place = arguments.texts / kind / f"{path.name}.{re.sub(r'[^a-z0-9]+', '-', name)}.txt"
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_text(found[0])
        compared = report(kind, files, results, arguments.worst)
        for path in files:
            readers = {
                name: {"state": reads[path].state, "error": reads[path].error, "seconds": reads[path].seconds}
                for name, reads in results.items()
            }
            figures.append(
                {
                    "kind": kind,
                    "file": path.name,
                    "readers": readers,
                    "compared": {name: found[path] for name, found in compared.items() if path in found},
                }
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
