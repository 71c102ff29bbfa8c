"""Questions over tables and lists, answered from documents as they are, and from the texts that other libraries make of them.

    pip install -r benches/peers/extract_questions.txt
    python benches/peers/extract_questions.py MEMPACK [--folder DIR] [--precision P]

The documents of `kb-samples/structure` are Markdown. They are written as Word files, pages and PDF files; each form is built into a pack as it is, and as the
text that python-docx (paragraphs and tables, in order), trafilatura and pypdf make of it. The 40 questions of the sample are answered from all packs, and from
one of the Markdown. Printed are exact match and F1 (`mempack eval`, mode `memory_quantized`).
"""

import argparse
import html
import json
import re
import subprocess
import tempfile
from pathlib import Path

import docx
import pypdf
import trafilatura
from docx.table import Table
from reportlab.lib.styles import ParagraphStyle, getSampleStyleSheet
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer
from reportlab.platypus import Table as PdfTable

SAMPLE = Path(__file__).resolve().parents[2] / "kb-samples" / "structure"
INDENT = 18  # points for each level of items


def blocks(markdown: str) -> list[tuple]:
    """Headings (level, text), tables (rows) and paragraphs (depth, text), in order."""
    found: list[tuple] = []
    rows: list[list[str]] = []
    for line in [*markdown.splitlines(), ""]:
        if line.startswith("|"):
            if not re.fullmatch(r"[|\s:-]+", line):
                rows.append([cell.strip() for cell in line.strip().strip("|").split("|")])
            continue
        if rows:
            found.append(("table", rows))
            rows = []
        if heading := re.match(r"(#+) (.*)", line):
            found.append(("heading", len(heading[1]), heading[2]))
        elif line.strip():
            found.append(("paragraph", (len(line) - len(line.lstrip())) // 3, line.strip()))
    return found


def to_docx(document: list[tuple], path: Path) -> None:
    file = docx.Document()
    for block in document:
        match block:
            case ("heading", level, text):
                file.add_heading(text, level)
            case ("table", rows):
                table = file.add_table(len(rows), len(rows[0]))
                for row, cells in zip(table.rows, rows, strict=True):
                    for cell, text in zip(row.cells, cells, strict=True):
                        cell.text = text
            case ("paragraph", depth, text):
                paragraph = file.add_paragraph(text)
                paragraph.paragraph_format.left_indent = docx.shared.Pt(INDENT * depth)
    file.save(path)


def to_html(document: list[tuple], path: Path) -> None:
    lines = ["<!doctype html><html lang=en><body><main>"]
    for block in document:
        match block:
            case ("heading", level, text):
                lines.append(f"<h{level}>{html.escape(text)}</h{level}>")
            case ("table", rows):
                cells = ["".join(f"<{name}>{html.escape(cell)}</{name}>" for cell in row) for row, name in zip(rows, ["th"] + ["td"] * len(rows))]
                lines.append("<table>" + "".join(f"<tr>{row}</tr>" for row in cells) + "</table>")
            case ("paragraph", depth, text):
                lines.append(f'<p style="margin-left: {depth}em">{html.escape(text)}</p>')
    path.write_text("\n".join(lines) + "\n</main></body></html>\n")


def to_pdf(document: list[tuple], path: Path) -> None:
    styles, story = getSampleStyleSheet(), []
    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    for block in document:
        words = html.escape(str(block[-1]))
        font = "STSong-Light" if re.search("[\u4e00-\u9fff]", words) else "Helvetica"
        match block:
            case ("heading", level, _):
                story.append(Paragraph(words, ParagraphStyle("h", styles[f"Heading{level}"], fontName=font)))
            case ("table", rows):
                story += [PdfTable(rows, hAlign="LEFT", style=[("GRID", (0, 0), (-1, -1), 0.5, "black")]), Spacer(1, 8)]
            case ("paragraph", depth, _):
                story.append(Paragraph(words, ParagraphStyle("p", styles["BodyText"], fontName=font, leftIndent=INDENT * depth)))
    SimpleDocTemplate(str(path), invariant=True).build(story)


def text_of_docx(path: Path) -> str:
    parts = []
    for block in docx.Document(str(path)).iter_inner_content():
        if isinstance(block, Table):
            parts += ["\t".join(cell.text for cell in row.cells) for row in block.rows]
        else:
            parts.append(block.text)
    return "\n".join(parts)


def text_of_docx_paragraphs(path: Path) -> str:
    return "\n".join(paragraph.text for paragraph in docx.Document(str(path)).paragraphs)


def text_of_html(path: Path) -> str:
    return trafilatura.extract(path.read_text()) or ""


def text_of_pdf(path: Path) -> str:
    return "\n".join(page.extract_text() for page in pypdf.PdfReader(path).pages)


FORMS = {
    "docx": (to_docx, {"python-docx": text_of_docx, "python-docx, paragraphs alone": text_of_docx_paragraphs}),
    "html": (to_html, {"trafilatura": text_of_html}),
    "pdf": (to_pdf, {"pypdf": text_of_pdf}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mempack", type=Path)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--precision", default="bf16")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        corpora = {"the Markdown": SAMPLE / "corpus"}
        for form, (write, peers) in FORMS.items():
            own = folder / form
            own.mkdir(exist_ok=True)
            corpora[f"{form}, as it is"] = own
            texts = {name: folder / f"{form}-{number}" for number, name in enumerate(peers)}
            for name, path in texts.items():
                path.mkdir(exist_ok=True)
                corpora[f"{form}, by {name}"] = path
            for source in sorted((SAMPLE / "corpus").glob("*.md")):
                path = own / f"{source.stem}.{form}"
                write(blocks(source.read_text()), path)
                for name, read in peers.items():
                    (texts[name] / f"{source.stem}.txt").write_text(read(path))
        for name, corpus in corpora.items():
            pack = folder / f"{corpus.name}.mpk"
            command = [args.mempack, "build", corpus, "-o", pack, "--precision", args.precision, "--any-language"]
            subprocess.run(command, check=True, capture_output=True)
            command = [args.mempack, "eval", SAMPLE / "questions.jsonl", "--pack", pack, "--modes", "memory_quantized", "--precision", args.precision, "--json"]
            printed = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            found = printed["modes"]["memory_quantized"]
            print(f"{name:40} exact match {found['exact_match']:.3f}, F1 {found['f1']:.3f}", flush=True)


if __name__ == "__main__":
    main()
