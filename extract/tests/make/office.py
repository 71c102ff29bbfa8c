#!/usr/bin/env python3
"""Makes the Office files of tests/files: `python3 office.py [FOLDER]`. Needs no more than Python; `.xls` needs xlwt (`pip install xlwt==1.3.0`).

Each run makes the same bytes, but for `.xls`.
"""

import io
import struct
import sys
import zipfile
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

FOLDER = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent / "files")
W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
MORE = (
    'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships" '
    'xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing" '
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    'xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape" '
    'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" '
    'xmlns:v="urn:schemas-microsoft-com:vml" '
    'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'
)
XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
REL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def package(name, parts):
    """A zip archive of texts, in their order."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for part, content in parts.items():
            info = zipfile.ZipInfo(part, (2026, 3, 14, 9, 0, 0))
            info.compress_type = zipfile.ZIP_STORED if part == "mimetype" else zipfile.ZIP_DEFLATED
            archive.writestr(info, content if isinstance(content, bytes) else content.encode())
    (FOLDER / name).write_bytes(out.getvalue())
    return out.getvalue()


def core(**stated):
    names = {"created": "dcterms:created", "modified": "dcterms:modified", "version": "cp:version", "keywords": "cp:keywords"}
    body = "".join(f"<{names.get(k, 'dc:' + k)}>{escape(v)}</{names.get(k, 'dc:' + k)}>" for k, v in stated.items())
    return (
        XML + '<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dcterms="http://purl.org/dc/terms/">' + body + "</cp:coreProperties>"
    )


def word(name, body, styles, numbering=None, footnotes=None, endnotes=None, pages=None, **stated):
    types = '<Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/>'
    parts = {
        "[Content_Types].xml": XML + '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="xml" ContentType="application/xml"/>' + types + "</Types>",
        "_rels/.rels": XML + '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        f'<Relationship Id="rId1" Type="{REL}/officeDocument" Target="word/document.xml"/>'
        '<Relationship Id="rId2" Type="http://schemas.openxmlformats.org/package/2006/relationships/metadata/core-properties" Target="docProps/core.xml"/>'
        f'<Relationship Id="rId3" Type="{REL}/extended-properties" Target="docProps/app.xml"/></Relationships>',
        "docProps/core.xml": core(**stated),
        "docProps/app.xml": XML + f"<Properties xmlns='http://schemas.openxmlformats.org/officeDocument/2006/extended-properties'><Application>Microsoft Office Word</Application>{f'<Pages>{pages}</Pages>' if pages else ''}</Properties>",
        "word/styles.xml": XML + f"<w:styles {W}>{styles}</w:styles>",
    }
    relations = f'<Relationship Id="rId1" Type="{REL}/styles" Target="styles.xml"/>'
    for kind, part in (("numbering", numbering), ("footnotes", footnotes), ("endnotes", endnotes)):
        if part:
            parts[f"word/{kind}.xml"] = XML + f"<w:{kind} {W}>{part}</w:{kind}>"
            relations += f'<Relationship Id="r{kind}" Type="{REL}/{kind}" Target="{kind}.xml"/>'
    relations += f'<Relationship Id="rHeader" Type="{REL}/header" Target="header1.xml"/>'
    parts["word/header1.xml"] = XML + f"<w:hdr {W}>{p('Confidential, page 1')}</w:hdr>"
    parts["word/_rels/document.xml.rels"] = XML + f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{relations}</Relationships>'
    parts["word/document.xml"] = XML + f"<w:document {W} {MORE}><w:body>{body}<w:sectPr/></w:body></w:document>"
    return package(name, parts)


def r(text, props=""):
    """A run. A tab is a tab, a line feed a line break."""
    inner = "".join({"\t": "<w:tab/>", "\n": "<w:br/>"}.get(c) or f'<w:t xml:space="preserve">{escape(c)}</w:t>' for c in pieces(text))
    return f"<w:r>{f'<w:rPr>{props}</w:rPr>' if props else ''}{inner}</w:r>"


def pieces(text):
    piece = ""
    for c in text:
        if c in "\t\n":
            if piece:
                yield piece
            yield c
            piece = ""
        else:
            piece += c
    if piece:
        yield piece


def p(content, style=None, num=None, props=""):
    """A paragraph of words or of runs."""
    if not content.startswith("<"):
        content = r(content)
    style = f'<w:pStyle w:val="{style}"/>' if style else ""
    num = f'<w:numPr><w:ilvl w:val="{num[1]}"/><w:numId w:val="{num[0]}"/></w:numPr>' if num else ""
    return f"<w:p><w:pPr>{style}{num}{props}</w:pPr>{content}</w:p>"


def tc(content, span=1, merge=None):
    if not content.startswith("<w:p") and not content.startswith("<w:tbl"):
        content = p(content)
    merge = {None: "", "start": '<w:vMerge w:val="restart"/>', "on": "<w:vMerge/>"}[merge]
    return f'<w:tc><w:tcPr><w:gridSpan w:val="{span}"/>{merge}</w:tcPr>{content}</w:tc>'


def tr(*cells, header=False):
    return f"<w:tr>{'<w:trPr><w:tblHeader/></w:trPr>' if header else ''}{''.join(cells)}</w:tr>"


def tbl(*rows):
    return f"<w:tbl><w:tblPr/><w:tblGrid/>{''.join(rows)}</w:tbl>"


def style(key, name, extra="", based=None, default=False):
    return (
        f'<w:style w:type="paragraph" w:styleId="{key}"{" w:default=" + chr(34) + "1" + chr(34) if default else ""}><w:name w:val="{name}"/>'
        f'{f"<w:basedOn w:val={quoteattr(based)}/>" if based else ""}{extra}</w:style>'
    )


def lvl(at, fmt, text, pstyle=None, start=1, extra=""):
    return (
        f'<w:lvl w:ilvl="{at}"><w:start w:val="{start}"/><w:numFmt w:val="{fmt}"/>{extra}'
        f'{f"<w:pStyle w:val={quoteattr(pstyle)}/>" if pstyle else ""}<w:lvlText w:val={quoteattr(text)}/></w:lvl>'
    )


def field(instruction, result):
    char = '<w:r><w:fldChar w:fldCharType="{}"/></w:r>'
    return char.format("begin") + f"<w:r><w:instrText>{instruction}</w:instrText></w:r>" + char.format("separate") + r(result) + char.format("end")


RENDERED = "<w:r><w:lastRenderedPageBreak/></w:r>"
STYLES = (
    style("Standard", "Normal", default=True)
    + style("Titel", "Title", based="Standard")
    + style("berschrift1", "heading 1", '<w:pPr><w:numPr><w:numId w:val="1"/></w:numPr><w:outlineLvl w:val="0"/></w:pPr>', "Standard")
    + style("berschrift2", "heading 2", "<w:pPr><w:numPr><w:ilvl w:val='1'/><w:numId w:val='1'/></w:numPr></w:pPr>", "berschrift1")
    + style("Anlage", "Anlage", "<w:pPr><w:numPr><w:numId w:val='0'/></w:numPr></w:pPr>", "berschrift1")
    + style("Verzeichnis1", "toc 1", based="Standard")
    + style("Geheim", "Note to editors", "<w:rPr><w:vanish/></w:rPr>", "Standard")
)


def contract():
    numbering = (
        '<w:abstractNum w:abstractNumId="0">'
        + lvl(0, "decimal", "%1.", "berschrift1")
        + lvl(1, "decimal", "%1.%2", "berschrift2")
        + lvl(2, "lowerLetter", "(%3)")
        + lvl(3, "lowerRoman", "(%4)")
        + '</w:abstractNum><w:abstractNum w:abstractNumId="1">'
        + lvl(0, "bullet", "\uf0b7")
        + '</w:abstractNum><w:abstractNum w:abstractNumId="2">'
        + lvl(0, "decimal", "%1)")
        + "</w:abstractNum>"
        '<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num><w:num w:numId="2"><w:abstractNumId w:val="1"/></w:num>'
        '<w:num w:numId="3"><w:abstractNumId w:val="2"/></w:num>'
        '<w:num w:numId="4"><w:abstractNumId w:val="2"/><w:lvlOverride w:ilvl="0"><w:startOverride w:val="1"/></w:lvlOverride></w:num>'
    )
    footnotes = (
        '<w:footnote w:type="separator" w:id="-1"><w:p><w:r><w:separator/></w:r></w:p></w:footnote>'
        f'<w:footnote w:id="1">{p("<w:r><w:footnoteRef/></w:r>" + r(" Days on which banks in Port Halden are open."))}</w:footnote>'
        f'<w:footnote w:id="2">{p("Reviewed every year in January.")}</w:footnote>'
    )
    toc = (
        "<w:sdt><w:sdtPr><w:docPartObj><w:docPartGallery w:val='Table of Contents'/></w:docPartObj></w:sdtPr><w:sdtContent>"
        + p("Contents", "Titel") + p("1. Services\t2", "Verzeichnis1") + "</w:sdtContent></w:sdt>"
    )
    box = (
        "<w:r><mc:AlternateContent><mc:Choice Requires='wps'><w:drawing><wp:anchor><wp:docPr id='1' name='Box 1'/><a:graphic><wps:wsp><wps:txbx>"
        f"<w:txbxContent>{p('Emergency line: +44 20 0000 0000, day and night.')}</w:txbxContent></wps:txbx></wps:wsp></a:graphic></wp:anchor></w:drawing></mc:Choice>"
        f"<mc:Fallback><w:pict><v:textbox><w:txbxContent>{p('Emergency line: +44 20 0000 0000, day and night.')}</w:txbxContent></v:textbox></w:pict></mc:Fallback>"
        "</mc:AlternateContent></w:r>"
    )
    note = "<w:r><w:footnoteReference w:id='{}'/></w:r>"
    deleted = '<w:del w:id="1" w:author="A"><w:r><w:delText>thirty (30)</w:delText></w:r></w:del>'
    inserted = '<w:ins w:id="2" w:author="A">' + r("fourteen (14)") + "</w:ins>"
    body = (
        p("Master Services Agreement", "Titel")
        + p("between Halden Freight Ltd and Orsina Robotics GmbH, dated 14 March 2026")
        + toc
        + p("Internal: send to legal before signing.", "Geheim")
        + p("Services", "berschrift1")
        + p("The Supplier provides the services of Annex A (the “Services”) from the Start Date on.", "berschrift2")
        + p("The Supplier shall:", "berschrift2")
        + p("deliver each part within two Business Days", None, (1, 2))
        + p(r("answer every fault report within four hours") + note.format(1) + r(", and:"), None, (1, 2))
        + p("send an engineer where the fault stops a line; and", None, (1, 3))
        + p("report the cause in writing.", None, (1, 3))
        + p("keep spare parts for ten years.", None, (1, 2))
        + p(RENDERED + r("Fees and payment"), "berschrift1")
        + p(r("Invoices are due ") + deleted + inserted + r(" days after receipt. Clause ") + field(" REF _Ref1 \\r \\h ", "1.2") + r(" stays unaffected."), "berschrift2")
        + p(r("The fees are those of this table") + note.format(2) + r(":"), "berschrift2")
        + tbl(
            tr(tc("Service", merge="start"), tc("Fee in EUR", span=2)),
            tr(tc("", merge="on"), tc("per hour"), tc("per day")),
            tr(tc("Remote support"), tc("95"), tc("700")),
            tr(tc("On-site support", merge="start"), tc("140"), tc("1,050")),
            tr(tc("", merge="on"), tc("180 (at night)"), tc("1,300 (at night)")),
            tr(tc("All prices are net.", span=3)),
        )
        + p(r("Travel is charged at cost.") + box)
        + p(r("Confidential draft note. ", "<w:vanish/>") + r("Late payment bears interest of 8 % a year ") + RENDERED + r("above the base rate."), "berschrift2")
        + p("Annex A: Services", "Anlage")
        + p("Remote support covers:")
        + p("faults of software;", None, (3, 0))
        + p("questions of users.", None, (3, 0))
        + p("On-site support covers:")
        + p("repairs;", None, (4, 0))
        + p("training, with", None, (4, 0))
        + p("up to ten persons", None, (2, 0))
        + p(r("This paragraph ends in a deleted mark,"), props="<w:rPr><w:del w:id='9' w:author='A'/></w:rPr>")
        + p(" and goes on here.")
        + "<w:sdt><w:sdtPr><w:showingPlcHdr/></w:sdtPr><w:sdtContent>" + p("Click here to enter text.") + "</w:sdtContent></w:sdt>"
    )
    return word(
        "contract.docx", body, STYLES, numbering, footnotes, pages=3, title="Master Services Agreement", creator="Legal, Halden Freight",
        created="2026-01-05T08:30:00Z", modified="2026-03-14T16:02:00Z", language="en-GB", version="3.2", keywords="services, robotics",
    )


def leaflet():
    numbering = (
        '<w:abstractNum w:abstractNumId="0">' + lvl(0, "bullet", "o") + lvl(1, "bullet", "▪") + '</w:abstractNum><w:abstractNum w:abstractNumId="1">'
        + lvl(0, "decimal", "Step %1:") + '</w:abstractNum><w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num><w:num w:numId="2"><w:abstractNumId w:val="1"/></w:num>'
    )
    styles = (
        style("Normal", "Normal", default=True) + style("H1", "heading 1", based="Normal") + style("H2", "heading 2", based="Normal")
        + style("ListParagraph", "List Paragraph", based="Normal") + style("Caption", "caption", based="Normal")
    )
    endnotes = f'<w:endnote w:id="2">{p("Study ZV-14, 412 adults, 2024.")}</w:endnote>'
    picture = (
        "<w:r><w:drawing><wp:inline><wp:docPr id='7' name='Picture 7' descr='Syringe held upright, the needle up, a drop at its tip'/>"
        "<a:graphic><a:graphicData/></a:graphic></wp:inline></w:drawing></w:r>"
    )
    symbol = '<w:r><w:sym w:font="Symbol" w:char="F0B3"/></w:r>'
    formula = (
        "<m:oMath><m:r><m:t>dose = </m:t></m:r><m:f><m:num><m:r><m:t>140 − age</m:t></m:r></m:num><m:den><m:r><m:t>72</m:t></m:r></m:den></m:f>"
        "<m:r><m:t> mg/m</m:t></m:r><m:sSup><m:e/><m:sup><m:r><m:t>2</m:t></m:r></m:sup></m:sSup></m:oMath>"
    )
    inner = tbl(tr(tc("below 30 ml/min"), tc("none")), tr(tc("30 to 60 ml/min"), tc("half")))
    body = (
        p("Zorvexin 50 mg tablets: package leaflet", "H1")
        + tbl(tr(tc(p("Warning") + p("Do not take Zorvexin with grapefruit juice.") + p("Keep out of the reach of children."))))
        + p("1. What Zorvexin is", "H2")
        + p(r("Zorvexin lowers blood pressure. It was studied in adults") + "<w:r><w:endnoteReference w:id='2'/></w:r>" + r("."))
        + p("2. How to take it", "H2")
        + p(r("Adults ") + symbol + r(" 18 years: 50 mg once a day; in CO") + r("2", '<w:vertAlign w:val="subscript"/>') + r(" retention, and below 4 × 10")
            + r("9", '<w:vertAlign w:val="superscript"/>') + r("/l platelets, ask a doctor."))
        + p("<w:r><w:t>In kidney disease: </w:t></w:r>" + formula)
        + tbl(
            tr(tc("Age", merge="start"), tc("Dose", span=2), header=True),
            tr(tc("", merge="on"), tc("morning"), tc("evening"), header=True),
            tr(tc("Children", span=3)),
            tr(tc("2 to 5 years"), tc("5 mg"), tc("–")),
            tr(tc("6 to 11 years"), tc(p("10 mg") + p("with food")), tc("5 mg")),
            tr(tc("Adults", span=3)),
            tr(tc("Kidney disease"), tc(inner + p(""), span=2)),
        )
        + p("Table 1: doses by age", "Caption")
        + p("Injection", "H2")
        + p(picture)
        + p("Figure 1: the syringe", "Caption")
        + p("Wash your hands.", "ListParagraph", (2, 0))
        + p("Hold the syringe upright.", "ListParagraph", (2, 0))
        + p("3. Side effects", "H2")
        + p("Common:")
        + p("headache", "ListParagraph", (1, 0))
        + p("stomach upset:", "ListParagraph", (1, 0))
        + p("nausea", "ListParagraph", (1, 1))
        + p("cough", "ListParagraph", (1, 0))
        + p('<w:r><w:fldChar w:fldCharType="begin"><w:ffData><w:checkBox><w:default w:val="0"/><w:checked/></w:checkBox></w:ffData></w:fldChar></w:r>'
            '<w:r><w:instrText> FORMCHECKBOX </w:instrText></w:r><w:r><w:fldChar w:fldCharType="end"/></w:r>' + r(" I have read this leaflet.\nSigned:"))
    )
    word("leaflet.docx", body, styles, numbering, None, endnotes, title="Zorvexin 50 mg", creator="python-docx", modified="2025-11-02T10:00:00Z")


def statute():
    body = (
        p("Gesetz über die Hafenlotsen", "Titel")
        + p("Erster Abschnitt", "Anlage")
        + p("§ 1 Lotsenpflicht", "Anlage")
        + p("(1) Schiffe über 90 Meter Länge nehmen einen Lotsen an Bord.")
        + p("(2) Die Pflicht entfällt")
        + p("(a) bei Probefahrten im Hafenbecken;")
        + p("(b) für Schiffe der Hafenbehörde.")
        + p(r("(3) Näheres regelt die Verordnung.") + '<w:r><w:br w:type="page"/></w:r>')
        + p("§ 2a Gebühren", "Anlage")
        + p("(1) Die Gebühr beträgt 3 Euro je Meter Schiffslänge.")
    )
    word("statute.docx", body, STYLES, pages=2, title="Hafenlotsengesetz", language="de-DE", modified="2024-07-01T00:00:00Z")


def ole(name, *streams):
    """An OLE file's head and directory: enough to tell what it is."""
    entries = b""
    for stream in ("Root Entry", *streams):
        encoded = (stream + "\0").encode("utf-16-le")
        entries += encoded.ljust(64, b"\0") + struct.pack("<H", len(encoded)) + b"\0" * 62
    (FOLDER / name).write_bytes((b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 16 + struct.pack("<HHHHH", 62, 3, 0xFFFE, 9, 6)).ljust(512, b"\0") + entries.ljust(512, b"\0"))


def column(at):
    return chr(ord("A") + at)


def xlsx(name, sheets, styles="", merged=(), **stated):
    """Sheets are rows of cells: words, numbers, (number, style), None, or `=` and a formula with its value."""
    parts = {
        "[Content_Types].xml": XML + '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/></Types>',
        "_rels/.rels": XML + '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        f'<Relationship Id="rId1" Type="{REL}/officeDocument" Target="xl/workbook.xml"/>'
        '<Relationship Id="rId2" Type="http://schemas.openxmlformats.org/package/2006/relationships/metadata/core-properties" Target="docProps/core.xml"/></Relationships>',
        "docProps/core.xml": core(**stated),
        "xl/styles.xml": XML + f'<styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">{styles}</styleSheet>',
    }
    listed = relations = ""
    for at, (title, state, rows) in enumerate(sheets, 1):
        listed += f'<sheet name={quoteattr(title)} sheetId="{at}" state="{state}" r:id="rId{at}"/>'
        relations += f'<Relationship Id="rId{at}" Type="{REL}/worksheet" Target="worksheets/sheet{at}.xml"/>'
        data = ""
        for row, cells in rows.items():
            line = ""
            for place, value in enumerate(cells):
                key = f'r="{column(place)}{row}"'
                if value is None:
                    continue
                number, look = value if isinstance(value, tuple) else (value, 0)
                if isinstance(number, str) and number.startswith("="):
                    formula, number = number[1:].split(" -> ")
                    line += f'<c {key} s="{look}"><f>{escape(formula)}</f><v>{number}</v></c>'
                elif isinstance(number, str):
                    line += f'<c {key} s="{look}" t="inlineStr"><is><t>{escape(number)}</t></is></c>'
                elif isinstance(number, bool):
                    line += f'<c {key} t="b"><v>{int(number)}</v></c>'
                else:
                    line += f'<c {key} s="{look}"><v>{number}</v></c>'
            data += f'<row r="{row}">{line}</row>'
        joined = "".join(f'<mergeCell ref="{area}"/>' for sheet, area in merged if sheet == title)
        parts[f"xl/worksheets/sheet{at}.xml"] = (
            XML + '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
            f"<sheetData>{data}</sheetData>{f'<mergeCells>{joined}</mergeCells>' if joined else ''}</worksheet>"
        )
    parts["xl/workbook.xml"] = (
        XML + f'<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="{REL}"><sheets>{listed}</sheets></workbook>'
    )
    relations += f'<Relationship Id="rIdS" Type="{REL}/styles" Target="styles.xml"/>'
    parts["xl/_rels/workbook.xml.rels"] = XML + f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{relations}</Relationships>'
    return package(name, parts)


LOOKS = (
    '<numFmts count="4"><numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd"/><numFmt numFmtId="165" formatCode="#,##0.00\\ &quot;€&quot;"/>'
    '<numFmt numFmtId="166" formatCode="0.0%"/><numFmt numFmtId="167" formatCode="0&quot; mg&quot;"/></numFmts>'
    '<cellXfs count="6"><xf numFmtId="0"/><xf numFmtId="164"/><xf numFmtId="165"/><xf numFmtId="166"/><xf numFmtId="167"/><xf numFmtId="20"/></cellXfs>'
)


def prices():
    xlsx(
        "prices.xlsx",
        [
            ("Prices", "visible", {
                1: ["Price list of Halden Freight"],
                2: ["Valid from:", (46082, 1)],
                4: ["Item", "Net price", "VAT", "Gross price", "In stock"],
                5: ["Sensor | type A", (1250, 2), (0.19, 3), ("=B5*(1+C5) -> 1487.5", 2), True],
                6: ["Cable 5 m", (8.4, 2), (0.07, 3), ("=B6*(1+C6) -> 8.988", 2), False],
                7: ["Cable 10 m", (12.95, 2), (0.07, 3), ("=B7*(1+C7) -> 13.8565", 2), True],
                9: ["Prices do not include transport."],
            }),
            ("Transport", "visible", {
                2: [None, "Zone", "Days", None],
                3: [None, None, "from", "to"],
                4: [None, "Inland", 1, 2],
                5: [None, "Overseas", 10, 21],
                6: [None, None, 14, 30],
            }),
            ("Margins", "hidden", {1: ["secret", 0.4]}),
        ],
        LOOKS,
        [("Transport", "B2:B3"), ("Transport", "C2:D2"), ("Transport", "B5:B6")],
        title="Price list 2026", creator="Sales", modified="2026-02-20T09:00:00Z",
    )


def doses():
    xlsx(
        "doses.xlsx",
        [("Sheet1", "visible", {
            1: ["Drug", "Dose", "Interval (h)", "First given", "At", "Factor"],
            2: ["Zorvexin", (50, 4), 24, (46095, 1), (0.75, 5), 0.30000000000000004],
            3: ["Ambrolat", (75, 4), 8, (46096.5, 1), (0.3125, 5), 3.3333333333333335],
        })],
        LOOKS,
    )


def rates_ods():
    office = (
        'xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" '
        'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" xmlns:meta="urn:oasis:names:tc:opendocument:xmlns:meta:1.0" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/"'
    )

    def cell(value, shown=None):
        if isinstance(value, str):
            return f'<table:table-cell office:value-type="string"><text:p>{escape(value)}</text:p></table:table-cell>'
        return f'<table:table-cell office:value-type="float" office:value="{value}"><text:p>{shown or value}</text:p></table:table-cell>'

    rows = [["Berth", "Length in m", "Fee"], ["North 1", 120, 35.5], ["North 2", 90, 28]]
    table = "".join(f"<table:table-row>{''.join(cell(value) for value in row)}</table:table-row>" for row in rows)
    empty = '<table:table-row table:number-rows-repeated="1048570"><table:table-cell table:number-columns-repeated="16384"/></table:table-row>'
    package("berths.ods", {
        "mimetype": "application/vnd.oasis.opendocument.spreadsheet",
        "META-INF/manifest.xml": XML + '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>',
        "content.xml": XML + f'<office:document-content {office}><office:body><office:spreadsheet><table:table table:name="Berths">{table}{empty}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>",
        "meta.xml": XML + f"<office:document-meta {office}><office:meta><dc:title>Berths of Port Halden</dc:title><dc:date>2026-01-31T12:00:00</dc:date></office:meta></office:document-meta>",
    })


def old_xls():
    try:
        import xlwt
    except ImportError:
        print("no xlwt: stock.xls is left as it is")
        return
    book = xlwt.Workbook()
    sheet = book.add_sheet("Stock")
    date = xlwt.easyxf(num_format_str="YYYY-MM-DD")
    for row, cells in enumerate([["Part", "Count", "Counted on"], ["Größe 5", 12, 46082], ["Ventil", 3.5, 46083]]):
        for place, value in enumerate(cells):
            sheet.write(row, place, value, *([date] if place == 2 and row else []))
    sheet.write(4, 0, "Counted by hand.")
    book.save(str(FOLDER / "stock.xls"))


if __name__ == "__main__":
    whole = contract()
    (FOLDER / "truncated.docx").write_bytes(whole[: len(whole) // 2])
    (FOLDER / "empty.docx").write_bytes(b"")
    (FOLDER / "word-inside.xls").write_bytes(whole)
    (FOLDER / "plain.docx").write_text("This is no Word document.\n")
    leaflet()
    statute()
    ole("encrypted.docx", "EncryptionInfo", "EncryptedPackage")
    ole("letter.doc", "WordDocument", "1Table")
    prices()
    doses()
    rates_ods()
    old_xls()
