"""Makes the books of tests/files: `python3 tests/make/epub.py`. The same files come out each time."""

import zipfile
from pathlib import Path

FILES = Path(__file__).resolve().parent.parent / "files"
WHEN = (2024, 1, 1, 0, 0, 0)

CONTAINER = """<?xml version="1.0"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">
<rootfiles><rootfile full-path="%s" media-type="application/oebps-package+xml"/></rootfiles></container>"""


def book(name, files, mimetype_first=True):
    with zipfile.ZipFile(FILES / name, "w") as archive:
        if mimetype_first:
            archive.writestr(zipfile.ZipInfo("mimetype", WHEN), "application/epub+zip")
        for path, text in files.items():
            info = zipfile.ZipInfo(path, WHEN)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, text)


def chapter(body, title=""):
    title = f"<title>{title}</title>" if title else "<title/>"
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<html xmlns="http://www.w3.org/1999/xhtml" '
        f'xmlns:epub="http://www.idpf.org/2007/ops" xml:lang="en"><head>{title}<link rel="stylesheet" href="a.css"/></head>'
        f"<body>{body}</body></html>"
    )


HANDBOOK = {
    "META-INF/container.xml": CONTAINER % "EPUB/package.opf",
    "EPUB/package.opf": """<?xml version="1.0" encoding="utf-8"?>
<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id" xml:lang="en">
<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">
<dc:identifier id="id">urn:isbn:9780000000019</dc:identifier><dc:title>Handbook of Poisons</dc:title>
<dc:creator>Clara Test</dc:creator><dc:creator>Dan Probe</dc:creator><dc:language>en</dc:language>
<dc:date>2023-04-01T00:00:00Z</dc:date><dc:publisher>Norland Press</dc:publisher><dc:rights>CC BY-SA 4.0</dc:rights>
<meta property="dcterms:modified">2024-01-15T12:00:00Z</meta></metadata>
<manifest>
<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>
<item id="front" href="cover.xhtml" media-type="application/xhtml+xml"/>
<item id="c1" href="text/chapter%201.xhtml" media-type="application/xhtml+xml"/>
<item id="c2" href="text/c2.xhtml" media-type="application/xhtml+xml"/>
<item id="plate" href="plate.svg" media-type="image/svg+xml"/>
<item id="lost" href="text/lost.xhtml" media-type="application/xhtml+xml"/>
</manifest>
<spine><itemref idref="front"/><itemref idref="nav"/><itemref idref="c1"/><itemref idref="c2"/><itemref idref="plate"/><itemref idref="lost"/><itemref idref="c1"/></spine>
</package>""",
    "EPUB/nav.xhtml": chapter(
        '<nav epub:type="toc"><h1>Contents</h1><ol><li><a href="text/chapter%201.xhtml">1 First aid</a></li>'
        '<li><a href="text/c2.xhtml">2 Plants</a><ol><li><a href="text/c2.xhtml#yew">Yew</a></li></ol></li></ol></nav>'
        '<nav epub:type="landmarks"><ol><li><a epub:type="cover" href="cover.xhtml">Cover</a></li></ol></nav>'
        '<nav epub:type="page-list"><ol><li><a href="text/chapter%201.xhtml#p1">1</a></li><li><a href="text/chapter%201.xhtml#p2">2</a></li>'
        '<li><a href="text/c2.xhtml#p3">3</a></li></ol></nav>'
    ),
    "EPUB/cover.xhtml": chapter('<img src="cover.jpg" alt="Cover: a bottle with a skull"/>', "Cover"),
    "EPUB/text/chapter 1.xhtml": chapter(
        '<section epub:type="chapter"><span epub:type="pagebreak" id="p1" title="1"/><h1>1 First aid</h1><p>Call the poison centre at once.</p>'
        '<p>Do not make the patient <span epub:type="pagebreak" id="p2" title="2"/>vomit.</p>'
        '<aside epub:type="sidebar"><h2>Numbers</h2><p>Norland: 0800 111.</p></aside>'
        "<table><tr><th>Poison</th><th>Antidote</th></tr><tr><td>Opioids</td><td>naloxone 0.4&#160;mg</td></tr>"
        '<tr><td>Paracetamol</td><td>acetylcysteine 150&#160;mg/kg<a epub:type="noteref" href="#n"><sup>1</sup></a></td></tr></table>'
        '<aside epub:type="footnote" id="n"><p>1. In 200 ml of glucose.</p></aside></section>'
    ),
    "EPUB/text/c2.xhtml": chapter(
        '<div epub:type="pagebreak" id="p3" role="doc-pagebreak" aria-label="3"></div><p>All parts of these plants are poisonous, but for the red of the yew.</p>'
        '<ol type="A"><li id="yew">Yew: the seeds.</li><li>Laburnum: the pods.</li></ol>'
    ),
    "EPUB/plate.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>",
}

NOVEL = {
    "META-INF/container.xml": CONTAINER % "content.opf",
    "META-INF/encryption.xml": """<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container" xmlns:enc="http://www.w3.org/2001/04/xmlenc#">
<enc:EncryptedData><enc:EncryptionMethod Algorithm="http://www.idpf.org/2008/embedding"/><enc:CipherData><enc:CipherReference URI="f.otf"/></enc:CipherData></enc:EncryptedData></encryption>""",
    "content.opf": """<?xml version="1.0"?>
<!DOCTYPE package PUBLIC "+//ISBN 0-9673008-1-9//DTD OEB 1.2 Package//EN" "http://openebook.org/dtds/oeb-1.2/oebpkg12.dtd">
<package xmlns="http://www.idpf.org/2007/opf" version="2.0" unique-identifier="b">
<metadata xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:opf="http://www.idpf.org/2007/opf">
<dc:title>Rules of the House</dc:title><dc:creator opf:role="aut">Emil Muster</dc:creator><dc:language>en</dc:language>
<dc:identifier id="b">uuid-1</dc:identifier><dc:date opf:event="modification">2020-01-01</dc:date><dc:date opf:event="publication">2011</dc:date></metadata>
<manifest><item id="ncx" href="toc.ncx" media-type="application/x-dtbncx+xml"/>
<item id="t" href="title.html" media-type="application/xhtml+xml"/><item id="a" href="a.html" media-type="application/xhtml+xml"/></manifest>
<spine toc="ncx"><itemref idref="t"/><itemref idref="a"/></spine>
<guide><reference type="cover" href="title.html"/></guide></package>""",
    "toc.ncx": """<?xml version="1.0"?><ncx xmlns="http://www.daisy.org/z3986/2005/ncx/" version="2005-1"><navMap>
<navPoint id="n1" playOrder="1"><navLabel><text>House rules</text></navLabel><content src="a.html"/></navPoint></navMap>
<pageList><pageTarget type="normal" value="7"><navLabel><text>7</text></navLabel><content src="a.html#x7"/></pageTarget></pageList></ncx>""",
    "title.html": chapter('<img src="c.jpg" alt="Rules of the House"/>', "Cover"),
    "a.html": chapter(
        '<p>§ 1</p><p>Quiet is kept from 22 to 6.</p><a id="x7"/><p>§ 2</p><p>(1) The stairs are swept on Saturdays.</p><p>(2) Bicycles stand in the cellar.</p>'
    ),
}

LOCKED = dict(
    NOVEL,
    **{
        "META-INF/encryption.xml": """<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container" xmlns:enc="http://www.w3.org/2001/04/xmlenc#">
<enc:EncryptedData><enc:EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#aes128-cbc"/><enc:CipherData><enc:CipherReference URI="a.html"/></enc:CipherData></enc:EncryptedData></encryption>""",
        "a.html": bytes(range(256)),
    },
)

book("handbook.epub", HANDBOOK)
book("rules.zip", NOVEL, mimetype_first=False)
book("locked.epub", LOCKED)
book("hollow.epub", {"META-INF/container.xml": CONTAINER % "none.opf"})
whole = (FILES / "handbook.epub").read_bytes()
(FILES / "cut.epub").write_bytes(whole[: len(whole) // 2])
