"""Writes the PDF files in tests/files, and in /tmp/pdf-sources the text each was made of.

    pip install fonttools==4.68.0 reportlab==5.1.0 pikepdf==10.18.0 pillow==13.0.0
    python extract/tests/make/pdf.py [FOLDER [CHROMIUM]]

leaflet.pdf comes of headless Chromium, which puts the time into it; it is written where its path is given.
Fonts are those of fonts-liberation and fonts-dejavu.
"""

import io
import json
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import pikepdf
from PIL import Image, ImageDraw, ImageFont
from reportlab import rl_config
from reportlab.lib.enums import TA_JUSTIFY
from reportlab.lib.pagesizes import A4
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen import canvas
from reportlab.platypus import BaseDocTemplate, Frame, FrameBreak, NextPageTemplate, PageTemplate, Paragraph

rl_config.invariant = 1
FONTS = Path("/usr/share/fonts/truetype")
FOLDER = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent / "files")
SOURCES = Path("/tmp/pdf-sources")
SOURCES.mkdir(exist_ok=True)


def source(name, blocks):
    """The text that a reader expects, block by block."""
    (SOURCES / f"{name}.json").write_text(json.dumps(blocks, ensure_ascii=False))


CLAUSES = [
    ("1. Definitions", [
        "1.1 In this Agreement the following words have the meanings given to them: “Goods” means the laboratory instruments listed in Schedule 1; “Delivery Point” means the loading bay of the Buyer at Quay Street 14, Norwick.",
        "1.2 A reference to a statute is a reference to it as amended or re-enacted from time to time.",
    ]),
    ("2. Supply of Goods", [
        "2.1 The Supplier shall supply the Goods to the Buyer in accordance with the quantities, qualities and dates set out in Schedule 1, and shall give not less than five working days’ notice of each delivery.",
        "2.2 The Supplier shall ensure that the Goods:",
        "(a) correspond with their description and any applicable specification;",
        "(b) are free from defects in design, material and workmanship, and remain so for twenty-four months after delivery; and",
        "(c) comply with all statutory requirements relating to the manufacture, labelling, packaging, storage, handling and delivery of the Goods.",
        "2.3 If the Supplier fails to comply with clause 2.2, the Buyer may reject the Goods within thirty days, whether or not title has passed, and the Supplier shall bear the cost of their return.",
    ]),
    ("3. Price and Payment", [
        "3.1 The price of the Goods is EUR 48,200, exclusive of value added tax, and includes the costs of packaging, insurance and carriage.",
        "3.2 The Buyer shall pay each undisputed invoice within thirty days of its receipt. Interest accrues on a late payment at four per cent a year above the base rate of the central bank, from the due date until payment.",
    ]),
    ("4. Limitation of Liability", [
        "4.1 Nothing in this Agreement limits liability for death or personal injury caused by negligence, or for fraud.",
        "4.2 Subject to clause 4.1, neither party is liable for loss of profit, and the total liability of the Supplier does not exceed one hundred and fifty per cent of the price.",
    ]),
    ("5. Term and Termination", [
        "5.1 This Agreement begins on 1 March 2024 and continues for three years, unless it is terminated earlier under this clause.",
        "5.2 Either party may terminate this Agreement with immediate effect by written notice if the other commits a material breach and, where the breach can be remedied, fails to remedy it within twenty days of being asked to.",
        "5.3 On termination the Supplier shall return all documents of the Buyer, and clauses 4 and 6 survive.",
    ]),
    ("6. Governing Law", [
        "6.1 This Agreement and any dispute arising out of it are governed by the law of the Republic of Norwick, and the courts of its capital have exclusive jurisdiction.",
    ]),
]


def contract(path, encrypt=None):
    body = ParagraphStyle("body", fontName="Times-Roman", fontSize=11, leading=14, spaceAfter=7, alignment=TA_JUSTIFY, leftIndent=24, firstLineIndent=-24)
    item = ParagraphStyle("item", parent=body, leftIndent=48, firstLineIndent=-20)
    head = ParagraphStyle("head", fontName="Times-Bold", fontSize=12, leading=15, spaceBefore=10, spaceAfter=6)
    title = ParagraphStyle("title", fontName="Times-Bold", fontSize=20, leading=26, spaceAfter=20)

    def furniture(pdf, document):
        pdf.setFont("Times-Roman", 9)
        pdf.drawString(72, 800, "Supply Agreement No. 2024/117")
        pdf.drawRightString(523, 800, "Confidential")
        pdf.line(72, 796, 523, 796)
        pdf.drawCentredString(297, 40, f"Page {document.page} of 3")

    document = BaseDocTemplate(str(path), pagesize=A4, title="Supply Agreement", author="Norwick Instruments Ltd", subject="Supply of laboratory instruments", keywords="supply, warranty", encrypt=encrypt, lang="en-GB")
    document.addPageTemplates(PageTemplate(frames=[Frame(66, 300, 463, 480)], onPage=furniture))
    story = [Paragraph("Supply Agreement", title)]
    text = [["Supply Agreement"]]

    class Bookmarked(Paragraph):
        def draw(self):
            self.canv.bookmarkPage(self.text)
            self.canv.addOutlineEntry(self.text, self.text, 0)
            super().draw()

    for heading, clauses in CLAUSES:
        bookmarked = Bookmarked(heading, head)
        bookmarked.text = heading
        story.append(bookmarked)
        text.append([heading])
        for clause in clauses:
            number, rest = clause.split(" ", 1)
            style = item if number.startswith("(") else body
            story.append(Paragraph(f"{number} &nbsp;{rest}", style))
            text.append([clause])
    document.build(story)
    return text


ARTICLE = [
    ("h", "Introduction"),
    ("p", "The efficacy of long-acting insulin analogues in adults with reflex hypoglycaemia is difficult to estimate, since earlier trials differ in their definition of the primary outcome.<super>1</super> Official figures suggest that about one patient in five stops the treatment within a year, and that the proportion is higher among those who live alone."),
    ("p", "In this study we followed a cohort of patients who were first treated in a specialised clinic. We asked whether a simplified schedule, with a single injection in the evening, affects adherence and the frequency of nocturnal episodes."),
    ("h", "Methods"),
    ("p", "Between January 2019 and June 2021 all adults referred to the clinic were offered enrolment. Patients with renal insufficiency, defined as a filtration rate below 30 ml/min, were excluded, as were those who could not give informed consent. The protocol was registered before the first patient was enrolled, and an independent committee reviewed the safety data twice a year.<super>2</super>"),
    ("p", "The primary outcome was the number of nocturnal episodes in ninety days. Secondary outcomes were adherence, measured by the return of empty cartridges, and the score of a questionnaire on quality of life. We fitted a negative binomial model with the offset of the days under observation, and report rate ratios with confidence intervals of ninety-five per cent."),
    ("h", "Results"),
    ("p", "Of 412 patients who were screened, 356 were enrolled and 331 completed the follow-up. The simplified schedule was associated with fewer nocturnal episodes: the rate ratio was 0.71, with a confidence interval from 0.58 to 0.87. Adherence was eighty-four per cent with the simplified schedule and seventy-two per cent with the usual one."),
    ("p", "No severe episode was judged to be related to the treatment. Three patients had a reaction at the site of the injection, which resolved within a week without specific treatment."),
    ("h", "Discussion"),
    ("p", "A single injection in the evening was sufficient for most patients, and it was preferred by those who had used both schedules. The effect was larger among patients who lived alone, which suggests that a simpler schedule is of particular benefit where there is no help at home. Our findings agree with those of a smaller crossover trial, although its follow-up was short."),
    ("p", "The study has limits. It was not blinded, and the return of cartridges is an indirect measure of adherence. A confirmatory trial with continuous monitoring is under way in three hospitals."),
]
NOTES = [
    "<super>1</super> A list of the trials and their definitions is available from the authors on request.",
    "<super>2</super> The committee consisted of two physicians and a statistician, none of whom took part in the study.",
]


def plain(text):
    return text.replace("<super>1</super>", "1").replace("<super>2</super>", "2")


def article(path):
    for name, file in [("Serif", "LiberationSerif-Regular"), ("Serif-Bold", "LiberationSerif-Bold")]:
        pdfmetrics.registerFont(TTFont(name, FONTS / f"liberation/{file}.ttf"))
    pdfmetrics.registerFontFamily("Serif", normal="Serif", bold="Serif-Bold", italic="Serif", boldItalic="Serif-Bold")
    body = ParagraphStyle("body", fontName="Serif", fontSize=9.5, leading=11.5, alignment=TA_JUSTIFY, firstLineIndent=10, hyphenationLang="en_GB", embeddedHyphenation=1)
    head = ParagraphStyle("head", fontName="Serif-Bold", fontSize=11, leading=14, spaceBefore=8, spaceAfter=3)
    title = ParagraphStyle("title", fontName="Serif-Bold", fontSize=18, leading=22, spaceAfter=6)
    authors = ParagraphStyle("authors", fontName="Serif", fontSize=9.5, leading=12, spaceAfter=8)
    note = ParagraphStyle("note", fontName="Serif", fontSize=7.5, leading=9)

    def furniture(pdf, document):
        pdf.setFont("Serif", 8)
        pdf.drawString(50, 560, "Annals of Applied Endocrinology" if document.page % 2 else "Okafor and Lindqvist")
        pdf.drawRightString(370, 560, str(document.page + 211))
        if document.page == 1:
            pdf.line(50, 88, 110, 88)
            y = 86
            for text in NOTES:
                paragraph = Paragraph(text, note)
                _, height = paragraph.wrap(150, 100)
                y -= height
                paragraph.drawOn(pdf, 50, y)

    document = BaseDocTemplate(str(path), pagesize=(420, 595), title="A simplified evening schedule in reflex hypoglycaemia", author="N. Okafor; L. Lindqvist", lang="en")
    first = PageTemplate(id="first", frames=[Frame(44, 470, 332, 82), Frame(44, 92, 162, 378), Frame(214, 40, 162, 430)], onPage=furniture)
    later = PageTemplate(id="later", frames=[Frame(44, 40, 162, 510), Frame(214, 40, 162, 510)], onPage=furniture)
    document.addPageTemplates([first, later])
    story = [NextPageTemplate("later"), Paragraph("A simplified evening schedule in reflex hypoglycaemia", title), Paragraph("Ngozi Okafor and Lars Lindqvist", authors), FrameBreak()]
    text = [["A simplified evening schedule in reflex hypoglycaemia"], ["Ngozi Okafor and Lars Lindqvist"]]
    # Ligatures as characters of the font, and soft hyphens in long words, as a typesetting program has them.
    soft = {"hypoglycaemia": "hypo\u00adgly\u00adcae\u00admia", "specialised": "spe\u00adcial\u00adised", "questionnaire": "ques\u00adtion\u00adnaire", "confidence": "con\u00adfi\u00addence", "associated": "asso\u00adci\u00adated", "insufficiency": "insuf\u00adfi\u00adciency", "independent": "inde\u00adpen\u00addent", "observation": "obser\u00adva\u00adtion", "nocturnal": "noc\u00adtur\u00adnal", "definition": "defi\u00adni\u00adtion", "confirmatory": "con\u00adfirm\u00ada\u00adtory", "difficult": "dif\u00adfi\u00adcult", "continuous": "con\u00adtin\u00adu\u00adous", "adherence": "adher\u00adence", "particular": "par\u00adtic\u00adu\u00adlar", "schedule": "sched\u00adule"}
    for kind, words in ARTICLE:
        set_words = words
        for word, divided in soft.items():
            set_words = set_words.replace(word, divided)
        set_words = set_words.replace("fi", "\ufb01").replace("fl", "\ufb02")
        story.append(Paragraph(set_words, head if kind == "h" else body))
        text.append([plain(words)])
    document.build(story)
    # Footnotes come after the text of their page, and so before the last paragraph.
    return text[:-1] + [[plain(words)] for words in NOTES] + text[-1:]


LEAFLET = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Package leaflet: Zorvex 25 mg tablets</title><style>
@page { size: A5; margin: 15mm } body { font: 10pt/1.35 "Liberation Sans" } h1 { font-size: 17pt } h2 { font-size: 12pt; margin: 10pt 0 4pt }
table { border-collapse: collapse; margin: 6pt 0 } .ruled td, .ruled th { border: 1px solid black; padding: 2pt 5pt; text-align: left; vertical-align: top }
.plain td, .plain th { padding: 1pt 14pt 1pt 0; text-align: left } ul, ol { margin: 4pt 0; padding-left: 18pt } p { margin: 4pt 0 }</style></head><body>
<h1>Zorvex 25 mg tablets</h1><p>Read all of this leaflet carefully before you start taking this medicine, because it contains important information for you.</p>
<h2>1. What Zorvex is and what it is used for</h2><p>Zorvex contains the active substance zorvexine. It belongs to a group of medicines called renin blockers and is used to treat high blood pressure in adults and in children from six years.</p>
<h2>2. What you need to know before you take Zorvex</h2><p><b>Do not take Zorvex</b></p><ul><li>if you are allergic to zorvexine or to any of the other ingredients of this medicine;</li><li>if you are more than three months pregnant;</li><li>if you have severe liver disease, and one of these applies:<ul><li>your bile cannot drain from the gallbladder;</li><li>you take ciclosporin.</li></ul></li></ul>
<p><img alt="A tablet with a score line, marked Z 25" width="120" height="40" src="data:image/png;base64,PICTURE"></p>
<h2>3. How to take Zorvex</h2><p>The dose depends on age and on how well your kidneys work:</p>
<table class="ruled"><tr><th>Age</th><th>Kidney function</th><th>Dose</th></tr><tr><td>Adults</td><td>normal</td><td>25 mg once a day, which your doctor may raise to 50 mg after two weeks</td></tr><tr><td>Adults</td><td>reduced (below 30 ml/min)</td><td>12.5 mg once a day</td></tr><tr><td>Children from 6 years</td><td>normal</td><td>0.5 mg for each kilogram of body weight, at most 25 mg</td></tr></table>
<ol><li>Take the tablet with a glass of water.</li><li>Take it at about the same time each day, with or without food.</li><li>If you forget a dose, take the next one at its usual time. Do not take a double dose.</li></ol>
<h2>4. Possible side effects</h2><table class="plain"><tr><th>Frequency</th><th>Side effect</th><th>What to do</th></tr><tr><td>Common</td><td>dizziness</td><td>rest</td></tr><tr><td>Uncommon</td><td>rash</td><td>tell your doctor</td></tr><tr><td>Rare</td><td>swelling of the face</td><td>stop, and call for help</td></tr></table>
<h2>5. How to store Zorvex</h2><p>Do not store above 25 °C. Keep out of the sight and reach of children. This leaflet was last revised in March 2024.</p></body></html>"""


def leaflet(path, chromium):
    image = Image.new("RGB", (60, 20), "white")
    ImageDraw.Draw(image).ellipse((2, 2, 57, 17), outline="black")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    import base64

    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "leaflet.html"
        page.write_text(LEAFLET.replace("PICTURE", base64.b64encode(buffer.getvalue()).decode()))
        subprocess.run([chromium, "--headless", "--no-sandbox", "--disable-gpu", f"--print-to-pdf={path}", "--no-pdf-header-footer", str(page)], check=True, capture_output=True)


LEAFLET_TEXT = """Zorvex 25 mg tablets|Read all of this leaflet carefully before you start taking this medicine, because it contains important information for you.|1. What Zorvex is and what it is used for|Zorvex contains the active substance zorvexine. It belongs to a group of medicines called renin blockers and is used to treat high blood pressure in adults and in children from six years.|2. What you need to know before you take Zorvex|Do not take Zorvex|if you are allergic to zorvexine or to any of the other ingredients of this medicine;|if you are more than three months pregnant;|if you have severe liver disease, and one of these applies:|your bile cannot drain from the gallbladder;|you take ciclosporin.|A tablet with a score line, marked Z 25|3. How to take Zorvex|The dose depends on age and on how well your kidneys work:|Age Kidney function Dose|Adults normal 25 mg once a day, which your doctor may raise to 50 mg after two weeks|Adults reduced (below 30 ml/min) 12.5 mg once a day|Children from 6 years normal 0.5 mg for each kilogram of body weight, at most 25 mg|1. Take the tablet with a glass of water.|2. Take it at about the same time each day, with or without food.|3. If you forget a dose, take the next one at its usual time. Do not take a double dose.|4. Possible side effects|Frequency Side effect What to do|Common dizziness rest|Uncommon rash tell your doctor|Rare swelling of the face stop, and call for help|5. How to store Zorvex|Do not store above 25 °C. Keep out of the sight and reach of children. This leaflet was last revised in March 2024."""


def chinese(path):
    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    text = [
        "房屋租赁合同",
        "第一条 租赁房屋",
        "甲方将位于南江市和平路十二号三层的房屋出租给乙方使用，建筑面积为八十六平方米。乙方已对房屋进行实地查看，对房屋现状没有异议，并同意按照本合同的约定承租该房屋。",
        "第二条 租赁期限",
        "租赁期限为三年，自2024年3月1日起至2027年2月28日止。租赁期满前三十日，乙方需要继续承租的，应当以书面形式通知甲方，在同等条件下乙方享有优先承租的权利。",
        "第三条 租金与押金",
        "月租金为人民币4,800元，乙方应当在每月五日前支付。押金为两个月租金，合同终止后十个工作日内无息退还。",
    ]
    pdf = canvas.Canvas(str(path), pagesize=A4)
    pdf.setTitle("房屋租赁合同")
    y = 780
    for number, block in enumerate(text):
        size, width = (18, 40) if number == 0 else (13, 40) if block.startswith("第") and len(block) < 12 else (11, 38)
        pdf.setFont("STSong-Light", size)
        for start in range(0, len(block), width):
            pdf.drawString(72, y, block[start:start + width])
            y -= size * 1.5
        y -= 9
    pdf.save()
    return [[block] for block in text]


def rotated(path):
    """A page turned by /Rotate, and one whose text is turned on an upright page."""
    rows = [["Substance", "Adults", "Children", "Maximum"], ["Zorvexine", "25 mg", "0.5 mg/kg", "50 mg"], ["Calmidol", "10 mg", "5 mg", "20 mg"], ["Ferrolate", "200 mg", "3 mg/kg", "400 mg"]]
    pdf = canvas.Canvas(str(path), pagesize=A4)
    # What is drawn with its lines running up is seen upright after a turn of 90 degrees clockwise.
    pdf.saveState()
    pdf.translate(595, 0)
    pdf.rotate(90)
    pdf.setFont("Helvetica-Bold", 16)
    pdf.drawString(72, 500, "Doses by age")
    pdf.setFont("Helvetica", 11)
    for number, row in enumerate(rows):
        for column, cell in enumerate(row):
            pdf.drawString(72 + column * 130, 460 - number * 18, cell)
    pdf.restoreState()
    pdf.setPageRotation(90)
    pdf.showPage()
    pdf.setPageRotation(0)
    pdf.translate(595, 0)
    pdf.rotate(90)
    pdf.setFont("Helvetica", 11)
    pdf.drawString(72, 500, "The text of this page is turned, and the page is not. A viewer shows it on its side,")
    pdf.drawString(72, 485, "and a reader turns the head.")
    pdf.showPage()
    pdf.save()
    return [["Doses by age"], *[[" ".join(row)] for row in rows], ["The text of this page is turned, and the page is not. A viewer shows it on its side, and a reader turns the head."]]


SCAN = ["NOTICE OF HEARING", "The hearing of case 2024/38 takes place on", "12 April 2024 at 9.30 in room 4 of the", "district court. Bring this letter and a proof", "of identity with you."]


def scan_image():
    image = Image.new("L", (1000, 620), 255)
    draw = ImageDraw.Draw(image)
    font = ImageFont.truetype(str(FONTS / "liberation/LiberationSerif-Regular.ttf"), 40)
    for number, line in enumerate(SCAN):
        draw.text((60, 60 + number * 64), line, fill=0, font=font)
    return image


def scans(folder):
    """Pages that are pictures: JPEG, CCITT and deflated; one page has text."""
    image = scan_image()
    jpeg = io.BytesIO()
    image.save(jpeg, "JPEG", quality=20)
    bits = image.convert("1")
    tiff = io.BytesIO()
    bits.save(tiff, "TIFF", compression="group4")
    with Image.open(io.BytesIO(tiff.getvalue())) as packed:
        offset, size = packed.tag_v2[273][0], packed.tag_v2[279][0]
    group4 = tiff.getvalue()[offset:offset + size]
    for name, with_text in [("scan.pdf", False), ("scan-mixed.pdf", True)]:
        pdf = pikepdf.new()
        streams = [
            (jpeg.getvalue(), dict(ColorSpace=pikepdf.Name.DeviceGray, BitsPerComponent=8, Filter=pikepdf.Name.DCTDecode)),
            (group4, dict(ColorSpace=pikepdf.Name.DeviceGray, BitsPerComponent=1, Filter=pikepdf.Name.CCITTFaxDecode, DecodeParms=pikepdf.Dictionary(K=-1, Columns=1000, Rows=620))),
        ]
        for data, entries in streams if not with_text else streams[1:]:
            xobject = pikepdf.Stream(pdf, data, Type=pikepdf.Name.XObject, Subtype=pikepdf.Name.Image, Width=1000, Height=620, **entries)
            page = pdf.add_blank_page(page_size=(500, 310))
            page.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(I=xobject))
            page.Contents = pdf.make_stream(b"q 500 0 0 310 0 0 cm /I Do Q")
        if with_text:
            page = pdf.add_blank_page(page_size=(500, 310))
            font = pikepdf.Dictionary(Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica)
            page.Resources = pikepdf.Dictionary(Font=pikepdf.Dictionary(F=font))
            page.Contents = pdf.make_stream(b"BT /F 12 Tf 40 250 Td (The annex of the letter follows by post.) Tj ET")
        pdf.save(folder / name, deterministic_id=True)


def raw(objects, trailer=b"", end=True):
    """A PDF of the bodies of its objects, numbered from 1; the first is the catalog."""
    out = bytearray(b"%PDF-1.7\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    for offset in offsets:
        out += b"%010d 00000 n \n" % offset
    out += b"trailer\n<< /Size %d /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, trailer, start)
    return bytes(out)


def stream(data, entries=b""):
    return b"<< /Length %d %s >>\nstream\n" % (len(data), entries) + data + b"\nendstream"


FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
TEXT = b"BT /F 12 Tf 72 700 Td (Notice of termination is given in writing.) Tj ET"


def hostile(folder):
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F 5 0 R >> /XObject << /X0 6 0 R >> >> >>"
    tree = [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>", page]
    # A page tree that comes back to itself.
    cyclic = [tree[0], b"<< /Type /Pages /Kids [3 0 R 2 0 R 6 0 R] /Count 1 >>", page, stream(TEXT), FONT, b"<< /Type /Pages /Kids [2 0 R 6 0 R] /Count 0 >>"]
    (folder / "cyclic.pdf").write_bytes(raw(cyclic))
    # A gibibyte of blanks, deflated twice.
    bomb = zlib.compressobj(9)
    data = b"".join(bomb.compress(bytes([32]) * (1 << 20)) for _ in range(1024)) + bomb.flush()
    data = zlib.compress(data, 9)
    (folder / "bomb.pdf").write_bytes(raw([*tree, stream(data, b"/Filter [/FlateDecode /FlateDecode]"), FONT, b"null"]))
    # Forms that draw ten others each: ten to the twelfth.
    forms = []
    for number in range(12):
        below = b"<< /XObject << /X%d %d 0 R >> >>" % (number + 1, number + 7)
        content = b"/X%d Do " % (number + 1) * 10 if number < 11 else b"0 0 1 1 re f"
        forms.append(stream(content, b"/Type /XObject /Subtype /Form /BBox [0 0 595 842] /Resources " + below))
    (folder / "laughs.pdf").write_bytes(raw([*tree, stream(TEXT + b" /X0 Do"), FONT, *forms]))


def spacing(path):
    """Letters that do not stand where their font says: condensed fonts that are not in the file, lone blanks upon words, spaced letters, lines beside a large number."""
    from fontTools.fontBuilder import FontBuilder

    helvetica = pdfmetrics.getFont("Helvetica").widths
    widths = b" ".join(b"%d" % round(width * 0.7) for width in helvetica[32:127])
    condensed = b"<< /Type /Font /Subtype /Type1 /BaseFont /Gothic-Condensed /FirstChar 32 /LastChar 126 /Widths [%s] /FontDescriptor 6 0 R >>" % widths
    descriptor = b"<< /Type /FontDescriptor /FontName /Gothic-Condensed /Flags 32 /FontBBox [0 -200 800 800] /ItalicAngle 0 /Ascent 720 /Descent -210 /CapHeight 720 /StemV 80 >>"
    # A font whose glyphs have the numbers of Adobe-Japan1, and no names.
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "one"])
    builder.setupCharacterMap({})
    builder.setupGlyf({".notdef": builder_glyph(), "one": builder_glyph()})
    builder.setupHorizontalMetrics({".notdef": (1000, 0), "one": (1000, 0)})
    builder.setupHorizontalHeader(ascent=880, descent=-120)
    builder.setupPost()
    builder.font["head"].created = builder.font["head"].modified = 0
    builder.font.recalcTimestamp = False
    font = io.BytesIO()
    builder.save(font)
    numbered = [
        b"<< /Type /Font /Subtype /Type0 /BaseFont /ABCDEF+Mincho /Encoding /Identity-H /DescendantFonts [9 0 R] >>",
        b"<< /Type /Font /Subtype /CIDFontType2 /BaseFont /ABCDEF+Mincho /CIDSystemInfo << /Registry (Adobe) /Ordering (Japan1) /Supplement 2 >>"
        b" /CIDToGIDMap /Identity /DW 1000 /FontDescriptor 10 0 R >>",
        b"<< /Type /FontDescriptor /FontName /ABCDEF+Mincho /Flags 4 /FontBBox [0 -120 1000 880] /ItalicAngle 0 /Ascent 880 /Descent -120 /CapHeight 700"
        b" /StemV 80 /FontFile2 11 0 R >>",
        stream(zlib.compress(font.getvalue(), 9), b"/Filter /FlateDecode /Length1 %d" % len(font.getvalue())),
    ]
    form = b"""BT /C 9 Tf 1 0 0 1 72 700 Tm (Married filers add the amounts of lines 3 and 4, and subtract the allowance.) Tj
1 0 0 1 73 700.4 Tm [( )] TJ 1 0 0 1 98 699.6 Tm [( )] TJ
1 0 0 1 72 680 Tm (Yourself) Tj 1 0 0 1 120 680 Tm (Spouse) Tj ET
BT /F 24 Tf 1 0 0 1 72 740 Tm (1040) Tj /F 6 Tf 1 0 0 1 140 743.5 Tm (Department of the Treasury) Tj 1 0 0 1 140 736.5 Tm (Internal Revenue Service) Tj ET"""
    # As programs write it that read pictures: each word as wide as in the picture.
    hidden = b"""BT 3 Tr /F 11 Tf 70 Tz 1 0 0 1 72 700 Tm 2.6 Tc (Th) Tj 0 Tc (e) Tj 2.4 Tc ( Metropoli) Tj 0 Tc (s) Tj 2.9 Tc ( Towe) Tj 0 Tc (r) Tj ( 1 ) Tj
1 0 0 1 72 686 Tm 1.8 Tc (Singapor) Tj 0 Tc (e) Tj 1.9 Tc ( 13858) Tj 0 Tc (8 ) Tj ET"""
    japanese = b"".join(b"%04x" % (842 + ord(kana) - 0x3041) for kana in "\u3072\u3089\u304c\u306a")
    spaced = b"BT /F 12 Tf 4 Tc 1 0 0 1 72 700 Tm (CONTENTS OF THE FILE) Tj 0 Tc /J 12 Tf 1 0 0 1 72 660 Tm <%s> Tj ET" % japanese
    contents = [form, hidden, spaced]
    fonts = b"/Resources << /Font << /F 5 0 R /C 7 0 R /J 8 0 R >> >>"
    pages = [b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R %s >>" % (number, fonts) for number in (13, 15, 17)]
    tree = [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [12 0 R 14 0 R 16 0 R] /Count 3 >>", b"null", b"null"]
    drawn = [part for page, content in zip(pages, contents) for part in (page, stream(content))]
    path.write_bytes(raw([*tree, FONT, descriptor, condensed, *numbered, *drawn]))


def leftward(path):
    """Hebrew and Arabic, as it stands on the page: a page of it with a number and a table, and a line of it in English."""
    document = canvas.Canvas(str(path), pagesize=A4)
    pdfmetrics.registerFont(TTFont("DejaVu", FONTS / "dejavu/DejaVuSans.ttf"))

    def lines(texts):
        document.setFont("DejaVu", 12)
        for number, text in enumerate(texts):
            # Glyphs from the left: the letters the other way round, numbers as they are.
            seen = " ".join(word if word[0].isdigit() else word[::-1] for word in reversed(text.split(" ")))
            document.drawRightString(520, 780 - 18 * number, seen)
        document.showPage()

    lines(["\u05d4\u05e9\u05d5\u05db\u05e8 \u05de\u05e9\u05dc\u05dd 1200 \u05e9\u05e7\u05dc\u05d9\u05dd \u05d1\u05db\u05dc \u05d7\u05d5\u05d3\u05e9", "\u05d5\u05d4\u05de\u05e9\u05db\u05d9\u05e8 \u05de\u05e7\u05d1\u05dc \u05d0\u05d5\u05ea\u05dd"])
    document.setFont("DejaVu", 12)
    document.drawString(72, 780, "The tenant says " + "\u05e9\u05dc\u05d5\u05dd \u05e8\u05d1"[::-1] + " and pays.")
    document.showPage()
    document.save()


def builder_glyph():
    """A square."""
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for point in ((100, 700), (800, 700), (800, 0)):
        pen.lineTo(point)
    pen.closePath()
    return pen.glyph()


def slides(path):
    """Pages with nothing but the same heading."""
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 5 0 R /Resources << /Font << /F 6 0 R >> >> >>"
    tree = [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [3 0 R 4 0 R] /Count 2 >>", page, page]
    path.write_bytes(raw([*tree, stream(b"BT /F 30 Tf 72 780 Td (Questions and answers) Tj ET"), FONT]))


def main():
    FOLDER.mkdir(exist_ok=True, parents=True)
    source("contract", contract(FOLDER / "contract.pdf"))
    source("article", article(FOLDER / "article.pdf"))
    if len(sys.argv) > 2:
        leaflet(FOLDER / "leaflet.pdf", sys.argv[2])
    source("leaflet", [[block] for block in LEAFLET_TEXT.split("|")])
    source("chinese", chinese(FOLDER / "chinese.pdf"))
    source("rotated", rotated(FOLDER / "rotated.pdf"))
    scans(FOLDER)
    contract(FOLDER / "password.pdf", StandardEncryption("user", "owner", canPrint=0, strength=128))
    contract(FOLDER / "owner.pdf", StandardEncryption("", "owner", canPrint=0, canCopy=0, strength=128))
    whole = (FOLDER / "contract.pdf").read_bytes()
    (FOLDER / "truncated.pdf").write_bytes(whole[: len(whole) * 6 // 10])
    at = whole.rindex(b"startxref")
    (FOLDER / "xref.pdf").write_bytes(whole[:at] + b"startxref\n7\n%%EOF\n")
    with pikepdf.open(FOLDER / "contract.pdf") as pdf:
        pdf.save(FOLDER / "objects.pdf", object_stream_mode=pikepdf.ObjectStreamMode.generate, deterministic_id=True)
    hostile(FOLDER)
    spacing(FOLDER / "spacing.pdf")
    slides(FOLDER / "slides.pdf")
    leftward(FOLDER / "leftward.pdf")
    (FOLDER / "empty.pdf").write_bytes(b"")
    (FOLDER / "note.pdf").write_text("This is a note, and no PDF.\n")


main()
