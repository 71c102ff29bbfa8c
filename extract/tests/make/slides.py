#!/usr/bin/env python3
"""Makes the PowerPoint files of tests/files: `python3 slides.py [FOLDER]`. Needs no more than Python. Each run makes the same bytes."""

from xml.sax.saxutils import escape, quoteattr

from office import FOLDER, REL, XML, core, ole, package

NAMES = (
    'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships" xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" '
    'xmlns:a14="http://schemas.microsoft.com/office/drawing/2010/main" xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'
)
DIAGRAM = "http://schemas.openxmlformats.org/drawingml/2006/diagram"
CHART = "http://schemas.openxmlformats.org/drawingml/2006/chart"


def r(text, properties=""):
    return f'<a:r><a:rPr lang="en-GB"{properties[0] if properties else ""}>{properties[1] if properties else ""}</a:rPr><a:t>{escape(text)}</a:t></a:r>'


def p(content, level=None, bullet=""):
    """A paragraph: words or runs, its level, and its bullet where it says so itself."""
    content = content if content.startswith("<") else r(content) if content else ""
    return f'<a:p><a:pPr{f" lvl={quoteattr(str(level))}" if level else ""}>{bullet}</a:pPr>{content}<a:endParaRPr lang="en-GB"/></a:p>'


def number(scheme, start=None):
    return f'<a:buAutoNum type="{scheme}"{f" startAt={quoteattr(str(start))}" if start else ""}/>'


def sp(content, kind=None, index=None, name="Shape", hidden=False, description="", style=""):
    place = "" if kind is None and index is None else f'<p:ph{f" type={quoteattr(kind)}" if kind else ""}{f" idx={quoteattr(str(index))}" if index else ""}/>'
    box = "" if place else ' txBox="1"'
    about = f'<p:cNvPr id="2" name={quoteattr(name)}{" hidden=" + chr(34) + "1" + chr(34) if hidden else ""}{f" descr={quoteattr(description)}" if description else ""}/>'
    return (
        f"<p:sp><p:nvSpPr>{about}<p:cNvSpPr{box}/><p:nvPr>{place}</p:nvPr></p:nvSpPr><p:spPr/>"
        f"<p:txBody><a:bodyPr/><a:lstStyle>{style}</a:lstStyle>{content}</p:txBody></p:sp>"
    )


def title(text, kind="title"):
    return sp(p(text), kind)


def pic(description, name="Picture 4"):
    return (
        f'<p:pic><p:nvPicPr><p:cNvPr id="4" name={quoteattr(name)} descr={quoteattr(description)}/><p:cNvPicPr/><p:nvPr/></p:nvPicPr>'
        '<p:blipFill><a:blip/></p:blipFill><p:spPr/></p:pic>'
    )


def frame(content, uri, description=""):
    return (
        f'<p:graphicFrame><p:nvGraphicFramePr><p:cNvPr id="5" name="Frame"{f" descr={quoteattr(description)}" if description else ""}/><p:cNvGraphicFramePr/><p:nvPr/>'
        f'</p:nvGraphicFramePr><p:xfrm/><a:graphic><a:graphicData uri="{uri}">{content}</a:graphicData></a:graphic></p:graphicFrame>'
    )


def table(*rows):
    """Rows of cells: words, or (words, attributes)."""
    def cell(cell):
        words, attributes = cell if isinstance(cell, tuple) else (cell, "")
        return f"<a:tc {attributes}><a:txBody><a:bodyPr/><a:lstStyle/>{''.join(p(line) for line in words.split(chr(10)))}</a:txBody><a:tcPr/></a:tc>"
    rows = "".join(f'<a:tr h="370840">{"".join(cell(value) for value in row)}</a:tr>' for row in rows)
    return frame(f'<a:tbl><a:tblPr firstRow="1"/><a:tblGrid/>{rows}</a:tbl>', "http://schemas.openxmlformats.org/drawingml/2006/table")


def tree(shapes):
    return f'<p:cSld><p:spTree><p:nvGrpSpPr><p:cNvPr id="1" name=""/><p:cNvGrpSpPr/><p:nvPr/></p:nvGrpSpPr><p:grpSpPr/>{shapes}</p:spTree></p:cSld>'


def relations(*listed):
    body = "".join(f'<Relationship Id="{key}" Type="{kind if "/" in kind else REL + "/" + kind}" Target="{target}"/>' for key, kind, target in listed)
    return XML + f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{body}</Relationships>'


def levels(*bullets):
    return "".join(f"<a:lvl{at}pPr>{bullet}</a:lvl{at}pPr>" for at, bullet in enumerate(bullets, 1))


DOT, DASH, NONE = '<a:buChar char="•"/>', '<a:buChar char="–"/>', "<a:buNone/>"
MASTER = (
    XML + f"<p:sldMaster {NAMES}>" + tree(sp(p("Click to edit"), "title") + sp(p("Click to edit"), "body", 1) + sp(p("Halden Clinic"), "ftr", 3))
    + f"<p:txStyles><p:titleStyle>{levels(NONE)}</p:titleStyle><p:bodyStyle>{levels(DOT, DASH, DOT)}</p:bodyStyle><p:otherStyle/></p:txStyles></p:sldMaster>"
)
LAYOUTS = [
    XML + f'<p:sldLayout {NAMES} type="title">' + tree(sp(p("Title"), "ctrTitle") + sp(p("Subtitle"), "subTitle", 1, style=levels(NONE))) + "</p:sldLayout>",
    XML + f'<p:sldLayout {NAMES} type="obj">' + tree(sp(p("Title"), "title") + sp(p("Text"), None, 1)) + "</p:sldLayout>",
]


def deck(name, slides, layouts=LAYOUTS, parts=None, **stated):
    """Slides are (shapes, notes, layout from 0, attributes, further relations); shown in this order, named the other way round."""
    files = {
        "[Content_Types].xml": "",
        "_rels/.rels": relations(
            ("rId1", "officeDocument", "ppt/presentation.xml"),
            ("rId2", "http://schemas.openxmlformats.org/package/2006/relationships/metadata/core-properties", "docProps/core.xml"),
        ),
        "docProps/core.xml": core(**stated),
    }
    listed, related = "", []
    for at, (shapes, notes, layout, attributes, more) in enumerate(slides):
        part = f"slide{len(slides) - at}.xml"
        listed += f'<p:sldId id="{256 + at}" r:id="rId{at + 10}"/>'
        related.append((f"rId{at + 10}", "slide", f"slides/{part}"))
        if shapes is None:
            continue
        files[f"ppt/slides/{part}"] = XML + f"<p:sld {NAMES} {attributes}>{tree(shapes)}<p:clrMapOvr/><p:timing/></p:sld>"
        own = [("rId1", "slideLayout", f"../slideLayouts/slideLayout{layout + 1}.xml")] if layouts else []
        if notes:
            files[f"ppt/notesSlides/notes{at}.xml"] = XML + f"<p:notes {NAMES}>" + tree(
                sp("", "sldImg") + sp(notes, "body", 1) + sp(p("Halden Clinic"), "ftr", 4)
                + sp('<a:p><a:fld id="{1}" type="slidenum"><a:rPr/><a:t>7</a:t></a:fld></a:p>', "sldNum", 5)
            ) + "</p:notes>"
            own.append(("rId2", "notesSlide", f"../notesSlides/notes{at}.xml"))
        files[f"ppt/slides/_rels/{part}.rels"] = relations(*own, *more)
    files["ppt/presentation.xml"] = XML + f"<p:presentation {NAMES}><p:sldMasterIdLst/><p:sldIdLst>{listed}</p:sldIdLst></p:presentation>"
    files["ppt/_rels/presentation.xml.rels"] = relations(*related)
    for at, layout in enumerate(layouts, 1):
        files[f"ppt/slideLayouts/slideLayout{at}.xml"] = layout
        files[f"ppt/slideLayouts/_rels/slideLayout{at}.xml.rels"] = relations(("rId1", "slideMaster", "../slideMasters/slideMaster1.xml"))
    if layouts:
        files["ppt/slideMasters/slideMaster1.xml"] = MASTER
    files.update(parts or {})
    kinds = {"ppt/pres": "presentation.main", "ppt/slides/s": "slide", "ppt/slideL": "slideLayout", "ppt/slideM": "slideMaster", "ppt/notesS": "notesSlide"}
    types = "".join(
        f'<Override PartName="/{part}" ContentType="application/vnd.openxmlformats-officedocument.presentationml.{kind}+xml"/>'
        for part in files for start, kind in kinds.items() if part.startswith(start)
    )
    files["[Content_Types].xml"] = (
        XML + '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" '
        f'ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/>{types}</Types>'
    )
    return package(name, files)


def handover():
    footer = sp(p("Halden Clinic, internal"), "ftr", 11) + sp('<a:p><a:fld id="{2}" type="slidenum"><a:rPr/><a:t>2</a:t></a:fld></a:p>', "sldNum", 12) + sp(p("14 March 2026"), "dt", 10)
    agenda = (
        title("Handover in five minutes")
        + sp(p("Say who you are") + p("Name each patient:") + p("bed and age", 1) + p("reason for admission", 1) + p("allergies first", 2) + p("Ask for questions") + p("This line has no bullet.", None, NONE), None, 1)
        + footer
    )
    steps = (
        title(f"{r('Giving Zorvexin')}<a:br><a:rPr/></a:br>{r('by infusion')}")
        + sp(
            p("Check the label twice.", None, number("arabicPeriod")) + p(r("Dilute in 100 ml, at most 4 × 10") + r("9", (' baseline="30000"', "")) + r("/l platelets:"), None, number("arabicPeriod"))
            + p("saline for adults", 1, number("alphaLcParenR")) + p("glucose for children", 1, number("alphaLcParenR")) + p("") + p("Start slowly.", None, number("arabicPeriod")), None, 1,
        )
        + "<p:grpSp><p:nvGrpSpPr><p:cNvPr id='8' name='Group' descr='A pump beside the bed, its alarm above the screen'/><p:cNvGrpSpPr/><p:nvPr/></p:nvGrpSpPr><p:grpSpPr/>"
        + sp(p(r("\uf0b3 20 drops a minute", ("", '<a:latin typeface="Arial"/><a:sym typeface="Symbol"/>'))), name="Box") + pic("Drip chamber, half full, held upright") + "</p:grpSp>"
        + sp(p("Old rate: 40 drops"), name="Box", hidden=True)
        + pic("pump.png")
        + '<mc:AlternateContent><mc:Choice Requires="a14">' + sp(
            "<a:p><a14:m><m:oMath><m:r><m:t>rate = </m:t></m:r><m:f><m:num><m:r><m:t>dose × 60</m:t></m:r></m:num><m:den><m:r><m:t>4</m:t></m:r></m:den></m:f></m:oMath></a14:m></a:p>"
        ) + "</mc:Choice><mc:Fallback>" + sp(p("[formula]")) + "</mc:Fallback></mc:AlternateContent>"
        + footer
    )
    doses = (
        title("Doses by age")
        + table(
            [("Age", 'rowSpan="2"'), ("Dose", 'gridSpan="2"'), ("", 'hMerge="1"')],
            [("", 'vMerge="1"'), "morning", "evening"],
            ["2 to 5 years", "5 mg", "–"],
            ["6 to 11 years", "10 mg\nwith food", "5 mg"],
            [("Adults take 50 mg once a day.", 'gridSpan="3"'), ("", 'hMerge="1"'), ("", 'hMerge="1"')],
        )
        + footer
    )
    cycle = title("When the alarm sounds") + frame(f'<dgm:relIds xmlns:dgm="{DIAGRAM}" r:dm="rId8" r:lo="rId9"/>', DIAGRAM)
    chart = frame(f'<c:chart xmlns:c="{CHART}" r:id="rId7"/>', CHART, "Falls go down from 9 to 4 in a year")
    slides = [
        (title("Nursing on ward 7", "ctrTitle") + sp(p("Port Halden Clinic, 14 March 2026"), "subTitle", 1), p("Welcome. Phones stay on for the pagers.") + p("Hand out the list of beds."), 0, "", []),
        (agenda, "", 1, "", []),
        (steps, p("Show the pump.") + p("alarm off", None, DOT) + p("alarm on", None, DOT), 1, "", []),
        (title("Draft: do not show") + sp(p("Numbers to be checked"), None, 1), p("Hidden notes"), 1, 'show="0"', []),
        (doses, "", 1, "", []),
        (cycle, "", 1, "", [("rId8", f"{REL}/diagramData", "../diagrams/data1.xml")]),
        (chart + sp(p("Source: ward log, 2025"), name="Box"), "", 1, "", [("rId7", f"{REL}/chart", "../charts/chart1.xml")]),
        (pic("image3.jpg"), "", 1, "", []),
    ]
    points = [("0", "doc", ""), ("2", "", "Call for help"), ("1", "", "Look at the patient"), ("3", "", "breathing"), ("4", "pres", ""), ("5", "", "colour of the skin")]
    links = [("0", "1", 0), ("0", "2", 1), ("1", "3", 0), ("1", "5", 1)]
    diagram = (
        XML + f'<dgm:dataModel xmlns:dgm="{DIAGRAM}" {NAMES}><dgm:ptLst>'
        + "".join(f'<dgm:pt modelId="{key}"{f" type={quoteattr(kind)}" if kind else ""}><dgm:prSet/><dgm:t><a:bodyPr/>{p(words)}</dgm:t></dgm:pt>' for key, kind, words in points)
        + "</dgm:ptLst><dgm:cxnLst>" + "".join(f'<dgm:cxn modelId="c{at}" srcId="{a}" destId="{b}" srcOrd="{place}" destOrd="0"/>' for at, (a, b, place) in enumerate(links))
        + "</dgm:cxnLst></dgm:dataModel>"
    )
    months = "".join(f'<c:pt idx="{at}"><c:v>{month}</c:v></c:pt>' for at, month in enumerate(["January", "June", "December"]))
    series = "".join(
        f'<c:ser><c:idx val="{at}"/><c:tx><c:strRef><c:f>Sheet1!$B$1</c:f><c:strCache><c:pt idx="0"><c:v>{name}</c:v></c:pt></c:strCache></c:strRef></c:tx>'
        f'<c:cat><c:strRef><c:f>Sheet1!$A$2</c:f><c:strCache>{months}</c:strCache></c:strRef></c:cat><c:val><c:numRef><c:f>Sheet1!$B$2</c:f><c:numCache><c:formatCode>{code}</c:formatCode>'
        + "".join(f'<c:pt idx="{place}"><c:v>{value}</c:v></c:pt>' for place, value in enumerate(values)) + "</c:numCache></c:numRef></c:val></c:ser>"
        for at, (name, code, values) in enumerate([("Falls", "General", ["9", "6.0999999999999996", "4"]), ("Share at night", "0%", ["0.5", "0.45", "0.25"])])
    )
    chart_part = XML + f'<c:chartSpace xmlns:c="{CHART}" {NAMES}><c:chart><c:title><c:tx><c:rich><a:bodyPr/>{p("Falls on ward 7")}</c:rich></c:tx></c:title><c:plotArea><c:barChart>{series}</c:barChart></c:plotArea></c:chart></c:chartSpace>'
    return deck(
        "handover.pptx", slides, parts={"ppt/diagrams/data1.xml": diagram, "ppt/charts/chart1.xml": chart_part},
        title="PowerPoint Presentation", creator="Ward 7", created="2026-01-05T08:30:00Z", modified="2026-03-14T16:02:00Z", language="en-GB",
    )


def tariff():
    """A deck without layouts, masters or a title slide, in German; its numbers come from its own list styles."""
    slides = [
        (title("3 Gründe für den neuen Tarif") + sp(p("Die Gebühr richtet sich nach der Länge.") + p("Sie gilt ab 1. Juli 2026."), "body", 1, style=levels(number("romanUcPeriod"), DASH)), "", 0, "", []),
        (sp(p("Wer zahlt?"), name="Textfeld 3") + sp(p("§ 2a. Schuldner der Gebühr ist der Reeder.") + p("(1) Mehrere haften als Gesamtschuldner."), name="Textfeld 4"), "", 0, "", []),
        (title("Ermäßigungen") + table(["Schiff", "Ermäßigung"], ["unter 20 m", "50 %"], ["Behördenschiff", "100 %"]), p("Frage nach Fähren: siehe Anlage 2."), 0, "", []),
    ]
    deck("tariff.pptx", slides, layouts=[], title="Hafentarif 2026", creator="Hafenamt", modified="2026-05-02T09:00:00Z", language="de-DE")


def damaged():
    """Slide 2 has broken XML, slide 3 has no part, and the notes of slide 4 break off."""
    slides = [
        (title("First aid") + sp(p("Call 112."), None, 1), "", 1, "", []),
        (title("Burns") + sp(p("Cool for ten minutes."), None, 1), "", 1, "", []),
        (None, "", 1, "", []),
        (title("Poison") + sp(p("Do not make the patient vomit."), None, 1), p("Number of the poison centre"), 1, "", []),
    ]
    deck("damaged.pptx", slides, title="First aid", parts={
        "ppt/slides/slide3.xml": XML + f"<p:sld {NAMES}><p:cSld><p:spTree><p:sp></p:spTree></p:cSld></p:sld>",
        "ppt/notesSlides/notes3.xml": XML + f"<p:notes {NAMES}><p:cSld><p:spTree>",
    })


if __name__ == "__main__":
    whole = handover()
    (FOLDER / "cut.pptx").write_bytes(whole[: len(whole) * 2 // 3])
    deck("deck-inside.docx", [(title("Fire drill") + sp(p("Leave by stair B."), None, 1), "", 1, "", [])], title="Fire drill")
    tariff()
    damaged()
    ole("locked.pptx", "EncryptionInfo", "EncryptedPackage")
    ole("old.ppt", "PowerPoint Document", "Current User")
