#!/usr/bin/env python3
"""Makes the OpenDocument texts and presentations of tests/files: `python3 opendocument.py [FOLDER]`. Needs no more than Python. Each run makes the same bytes."""

from xml.sax.saxutils import escape, quoteattr

from office import FOLDER, XML, package

URN = "urn:oasis:names:tc:opendocument:xmlns:"
NAMES = " ".join(
    [f'xmlns:{name}="{URN}{name}:1.0"' for name in ("office", "style", "text", "table", "meta", "presentation", "manifest")]
    + [f'xmlns:draw="{URN}drawing:1.0" xmlns:fo="{URN}xsl-fo-compatible:1.0" xmlns:svg="{URN}svg-compatible:1.0"']
    + ['xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:loext="urn:org:documentfoundation:names:experimental:office:xmlns:loext:1.0"']
)
BREAK = "<text:soft-page-break/>"


def p(content, style=None, kind="p", **attributes):
    """A paragraph: words, or elements."""
    content = content if "<" in content else escape(content)
    named = f" text:style-name={quoteattr(style)}" if style else ""
    more = "".join(f" text:{name.replace('_', '-')}={quoteattr(str(value))}" for name, value in attributes.items())
    return f"<text:{kind}{named}{more}>{content}</text:{kind}>"


def h(content, level, style=None, **attributes):
    return p(content, style or f"Heading_20_{level}", "h", outline_level=level, **attributes)


def span(text, style):
    return f'<text:span text:style-name="{style}">{escape(text)}</text:span>'


def items(*contents, style=None, **attributes):
    named = f" text:style-name={quoteattr(style)}" if style else ""
    more = "".join(f" {name.replace('__', ':').replace('_', '-')}={quoteattr(value)}" for name, value in attributes.items())
    body = "".join(f"<text:list-item>{content if content.startswith('<') else p(content)}</text:list-item>" for content in contents)
    return f"<text:list{named}{more}>{body}</text:list>"


def note(mark, text, kind="footnote"):
    return (
        f'<text:note text:note-class="{kind}"><text:note-citation>{mark}</text:note-citation><text:note-body>{p(text, "Footnote")}</text:note-body></text:note>'
    )


def cell(content="", attributes="", covered=False):
    content = content if content.startswith("<") or not content else p(content)
    return "<table:covered-table-cell/>" if covered else f"<table:table-cell {attributes}>{content}</table:table-cell>"


def row(*cells, attributes=""):
    return f"<table:table-row {attributes}>{''.join(value if value.startswith('<table:') else cell(value) for value in cells)}</table:table-row>"


def table(*rows, header=""):
    header = f"<table:table-header-rows>{header}</table:table-header-rows>" if header else ""
    return f'<table:table table:name="T"><table:table-column table:number-columns-repeated="3"/>{header}{"".join(rows)}</table:table>'


def frame(content, attributes="", title="", description=""):
    about = "".join(f"<svg:{name}>{escape(text)}</svg:{name}>" for name, text in (("title", title), ("desc", description)) if text)
    return f'<draw:frame {attributes}>{content}{about}</draw:frame>'


def box(*paragraphs):
    return f"<draw:text-box>{''.join(paragraphs)}</draw:text-box>"


IMAGE = '<draw:image xlink:href="Pictures/1.png"/>'


OBJECT = '<draw:object xlink:href="./Object 1"/>'
FORMULA = (
    '<math xmlns="http://www.w3.org/1998/Math/MathML"><semantics><mrow><mi>r</mi><mo>=</mo><mfrac><mrow><mi>R</mi><mo>×</mo><mi>d</mi></mrow><mn>30</mn></mfrac></mrow>'
    '<annotation encoding="StarMath 5.0">r = {R times d} over 30</annotation></semantics></math>'
)


def style(name, family="paragraph", parent=None, properties="", attributes=""):
    return f'<style:style style:name="{name}" style:family="{family}"{f" style:parent-style-name={quoteattr(parent)}" if parent else ""} {attributes}>{properties}</style:style>'


def numbers(*levels, kind="list-level-style-number"):
    """Levels are (format, prefix, suffix, levels shown), or a bullet."""
    out = ""
    for at, level in enumerate(levels, 1):
        if isinstance(level, str):
            out += f'<text:list-level-style-bullet text:level="{at}" text:bullet-char="{level}"/>'
        else:
            format, prefix, suffix, shown = level
            out += (
                f'<text:{kind} text:level="{at}" style:num-format="{format}" style:num-prefix="{prefix}" style:num-suffix="{suffix}"'
                f'{f" text:display-levels={quoteattr(str(shown))}" if shown > 1 else ""}/>'
            )
    return out


def meta(pages=None, **stated):
    names = {"author": "meta:initial-creator", "created": "meta:creation-date", "keyword": "meta:keyword"}
    body = "".join(f"<{names.get(name, 'dc:' + name)}>{escape(value)}</{names.get(name, 'dc:' + name)}>" for name, value in stated.items())
    return f"<office:meta>{body}{f'<meta:document-statistic meta:page-count={quoteattr(str(pages))}/>' if pages else ''}</office:meta>"


def document(name, kind, body, automatic="", styles="", about="", encrypted=False, mimetype=True, more=None):
    types = f"application/vnd.oasis.opendocument.{kind}"
    entry = "<manifest:encryption-data manifest:checksum='x'/>" if encrypted else ""
    parts = {"mimetype": types} if mimetype else {}
    content = XML + f"<office:document-content {NAMES}><office:automatic-styles>{automatic}</office:automatic-styles><office:body>{body}</office:body></office:document-content>"
    parts |= {
        "content.xml": bytes(range(256)) * 4 if encrypted else content,
        "styles.xml": XML + f"<office:document-styles {NAMES}><office:styles>{styles}</office:styles></office:document-styles>",
        "meta.xml": XML + f"<office:document-meta {NAMES}>{about or meta()}</office:document-meta>",
        "META-INF/manifest.xml": XML + f'<manifest:manifest {NAMES}><manifest:file-entry manifest:full-path="/" manifest:media-type="{types}"/>'
        f'<manifest:file-entry manifest:full-path="content.xml" manifest:media-type="text/xml">{entry}</manifest:file-entry></manifest:manifest>',
    }
    return package(name, parts | (more or {}))


def text(name, *blocks, **more):
    return document(name, "text", f"<office:text>{''.join(blocks)}</office:text>", **more)


HEADINGS = (
    style("Title") + style("Standard") + style("Heading_20_1", parent="Heading") + style("Footnote")
    + "<text:outline-style style:name='Outline'>" + numbers(("1", "", ".", 1), ("1", "", "", 2), kind="outline-level-style") + "</text:outline-style>"
)


def lease():
    automatic = (
        style("P1", parent="Title", attributes='style:master-page-name="Standard"') + style("P2", parent="Standard", properties='<style:paragraph-properties fo:break-before="page"/>')
        + style("P3", parent="Heading_20_1", attributes='style:list-style-name=""') + style("P4", properties='<style:text-properties text:display="none"/>')
        + style("T1", "text", properties='<style:text-properties text:display="none"/>') + style("T2", "text", properties='<style:text-properties style:text-position="super 58%"/>')
        + "<text:list-style style:name='L1'>" + numbers(("a", "(", ")", 1), ("i", "(", ")", 1)) + "</text:list-style>"
        + "<text:list-style style:name='L2'>" + numbers("•", "◦") + "</text:list-style>"
        + "<text:list-style style:name='L3'>" + numbers(("1", "", ")", 1)) + "</text:list-style>"
    )
    changes = (
        "<text:tracked-changes><text:changed-region text:id='ct1'><text:deletion><office:change-info><dc:creator>A</dc:creator></office:change-info>"
        + p("thirty days") + "</text:deletion></text:changed-region></text:tracked-changes>"
    )
    contents = "<text:table-of-content text:name='C'><text:index-body><text:index-title>" + p("Contents") + "</text:index-title>" + p("1. The berth<text:tab/>1") + "</text:index-body></text:table-of-content>"
    comment = "<office:annotation><dc:creator>Anna</dc:creator>" + p("Is this still so?") + "</office:annotation>"
    return text(
        "berth.odt",
        changes,
        p("Lease of a berth", "P1"),
        p("between the Port of Halden and the Tenant, dated 2 February 2026"),
        contents,
        h("The berth", 1),
        h("Object", 2),
        p(f"The Port lets berth North 4 of 360 m{span('2', 'T2')}{note('1', 'Measured at low water in May 2025.')} to the Tenant.{comment}"),
        h("Use", 2),
        p("The Tenant may:"),
        items(p("moor one ship of at most 40<text:s text:c='2'/>m;"), p("store on the quay:") + items("ropes and fenders;", "no fuel."), "let guests stay for three days.", style="L1"),
        p("Hidden remark to the typist", "P4"),
        h("Rent", 1, "Heading_20_1"),
        p(f"Rent is due within <text:change text:change-id='ct1'/>fourteen days.{span(' Ask the treasurer.', 'T1')} It is paid in these rates{note('i', 'Rates are reviewed each January.', 'endnote')}:"),
        BREAK,
        table(
            row(cell("Season", 'table:number-rows-spanned="2"'), cell("Rent in EUR", 'table:number-columns-spanned="2"'), cell(covered=True)),
            row(cell(covered=True), "per month", "per day"),
            row("Summer", "420", "18"),
            row("Winter", cell("210", 'table:number-columns-repeated="2"')),
            row(cell("Rates are net of value added tax.", 'table:number-columns-spanned="3"'), cell(covered=True) * 2),
        ),
        p(f"For part of a month the rent is {frame(OBJECT)} (rounded)."),
        p(f"The quay is shown here:{frame(IMAGE, title='Plan', description='Plan of the quay: berth North 4 lies between the crane and the ferry stage')}"),
        p(frame(box(p("Harbour master: +47 00 00 00 00, day and night."))) + " Keep this page at hand."),
        "<text:section text:name='S' text:display='none'>" + p("Internal calculation") + "</text:section>",
        h("Annex: keys", 1, "P3"),
        p("The Tenant gets:"),
        items("two keys of the gate;", "one card for the quay.", style="L3", xml__id="list1"),
        p("Returned are:", "P2"),
        items(f"all keys;{BREAK} also copies", style="L3", text__continue_list="list1"),
        items(p("ropes of the Port:") + items("if any", style="L2"), style="L2"),
        automatic=automatic, styles=HEADINGS, more={"Object 1/content.xml": XML + FORMULA},
        about=meta(4, title="Lease of berth North 4", author="Port of Halden", creator="Clerk", created="2026-01-12T09:00:00", date="2026-02-02T15:30:00", language="en-GB", keyword="berth", subject="Lease"),
    )


def leaflet():
    """As Word writes it: headings that are not numbered, pages by the breaks of the author, no type in the package."""
    automatic = (
        "<text:list-style style:name='LFO1'>" + numbers("\uf0b7", "o") + "</text:list-style>"
        + "<text:list-style style:name='LFO2'>" + numbers(("1", "Step ", ":", 1)) + "</text:list-style>"
        + style("New", parent="Standard", properties='<style:paragraph-properties fo:break-before="page"/>')
        + style("Sy", "text", properties='<style:text-properties style:font-name="Symbol"/>') + style("Lo", "text", properties='<style:text-properties style:text-position="-25% 58%"/>')
    )
    text(
        "inhaler.odt",
        h("Ambrolat inhaler: leaflet for patients", 1),
        table(row(cell(p("Warning") + p("Do not use it more than four times a day.")))),
        h("How to use it", 2),
        items("Shake the inhaler.", "Breathe out, then in through the mouthpiece.", style="LFO2"),
        p(f"Adults: {span(chr(0xF0B3), 'Sy')} 18 years, 2 puffs; with O{span('2', 'Lo')} at home, ask a doctor."),
        h("Side effects", 2, "New"),
        items("trembling", p("fast heart beat:") + items("at rest"), style="LFO1"),
        table(
            row("Age", "Puffs a day"),
            row("4 to 11 years", "1"),
            row(cell(p("12 years") + p("and over")), "2"),
        ),
        p("Figure 1: the mouthpiece"),
        p(frame(IMAGE, description="吸入器吸口朝下时的侧视图")),
        automatic=automatic, styles=style("Standard"), about=meta(2, title="Ambrolat inhaler", date="2025-09-30T10:00:00"), mimetype=False,
    )


def minutes():
    """Flat XML."""
    body = (
        "<office:text>" + h("Minutes of the harbour board", 1) + p("Halden, 3 March 2026") + items("Present: all members.", "The minutes of January are approved.", style="L1")
        + p(frame("<draw:image><office:binary-data>iVBORw0KGgoAAAANSUhEUgAA</office:binary-data></draw:image>", description="Signatures of the chair and the clerk")) + "</office:text>"
    )
    automatic = "<text:list-style style:name='L1'>" + numbers(("I", "", ".", 1)) + "</text:list-style>"
    (FOLDER / "board.fodt").write_text(
        XML + f'<office:document {NAMES} office:version="1.3" office:mimetype="application/vnd.oasis.opendocument.text">'
        + meta(title="Minutes, March 2026", author="Clerk", language="en", date="2026-03-04T08:00:00")
        + f"<office:automatic-styles>{automatic}</office:automatic-styles><office:body>{body}</office:body></office:document>"
    )


def bombs():
    cells = f'<table:table-cell table:number-columns-repeated="16384">{p("x")}</table:table-cell>'
    text("repeats.odt", p("A table that stands for a thousand million cells:"), table(f'<table:table-row table:number-rows-repeated="1048576">{cells}</table:table-row>'))
    deep = "<draw:g>" * 3000 + frame(box(p("deep"))) + "</draw:g>" * 3000
    slides("nested.odp", page("Groups", frame(box(p("What is too deep is left out")), 'presentation:class="title"') + deep + frame(box(p("This is not.")))))


def page(name, content, style_name="dp1", notes=""):
    notes = f'<presentation:notes><draw:page-thumbnail presentation:class="page"/>{frame(box(notes), CLASS.format("notes"))}</presentation:notes>' if notes else ""
    return f'<draw:page draw:name="{name}" draw:style-name="{style_name}" draw:master-page-name="Default">{content}{notes}</draw:page>'


CLASS = 'presentation:class="{}"'


def title(words):
    return frame(box(p(words)), CLASS.format("title"))


def slides(name, *pages, **more):
    return document(name, "presentation", f"<office:presentation><presentation:footer-decl presentation:name='f'>Port of Halden</presentation:footer-decl>{''.join(pages)}</office:presentation>", **more)


def briefing():
    automatic = (
        style("dp1", "drawing-page") + style("dp2", "drawing-page", properties='<style:drawing-page-properties presentation:visibility="hidden"/>')
        + "<text:list-style style:name='L1'>" + numbers("●", "–") + "</text:list-style><text:list-style style:name='L2'>" + numbers(("1", "", ".", 1)) + "</text:list-style>"
    )
    outline = items(p("Wind above 20 m/s:") + items("no crane works", "ships stay at the quay", style="L1"), "Fog: sound the horn every two minutes", style="L1")
    shape = '<draw:custom-shape draw:name="Arrow">' + p("Call 47 first") + "<draw:enhanced-geometry/></draw:custom-shape>"
    return slides(
        "storm.odp",
        page("page1", title("Storm at the port") + frame(box(p("Briefing of the watch, November 2025")), CLASS.format("subtitle")), notes=p("Take the attendance first.") + p("Then begin.")),
        page("page2", title("When to stop") + frame(box(outline), CLASS.format("outline")) + frame(box(p("25 November")), CLASS.format("date-time")) + frame(box(p("<text:page-number>2</text:page-number>")), CLASS.format("page-number"))),
        page("page3", title("Old rules") + frame(box(p("Do not show")), CLASS.format("outline")), "dp2"),
        page("page4", frame(box(), CLASS.format("title") + ' presentation:placeholder="true"') + shape + frame(IMAGE, title="Map", description="Map of the port with the two shelters marked in red")
             + f'<draw:g>{frame(box(items("Leave the crane.", "Go to shelter A.", style="L2")))}</draw:g>'),
        page("page5", title("Who is called") + frame(table(row("Watch", "Telephone"), row("Day", "47"), row("Night", "48")) + IMAGE)
             + "<office:annotation>" + p("Check the numbers") + "</office:annotation>", notes=items("Ask for the list", style="L1")),
        page("page6", frame(IMAGE)),
        automatic=automatic, about=meta(author="Harbour master", date="2025-11-20T07:45:00", language="en"),
    )


if __name__ == "__main__":
    whole = lease()
    (FOLDER / "cut.odt").write_bytes(whole[: len(whole) // 2])
    text("text-inside.odp", p("A text under the name of a presentation."))
    leaflet()
    minutes()
    text("locked.odt", encrypted=True)
    bombs()
    show = briefing()
    (FOLDER / "cut.odp").write_bytes(show[:-300])
    slides("locked.odp", encrypted=True)
    slides("pictures.odp", page("page1", frame(IMAGE)), page("page2", frame(IMAGE)))
