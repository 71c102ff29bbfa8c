//! Damaged and hostile Office files end in a failure or a text, never in a panic.

use std::io::{Cursor, Write};
use std::path::Path;

use mempack_extract::{Extracted, Failure, Input, Limits, Options, extract};
use proptest::prelude::*;
use zip::write::SimpleFileOptions;

fn read(name: &str, bytes: &[u8]) -> Result<String, Failure> {
    let mut documents: Vec<Extracted> = Vec::new();
    extract(Input::new(name, bytes), &Options::default(), &mut documents)?;
    Ok(documents.into_iter().map(|document| document.text).collect())
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files").join(name)).unwrap()
}

/// A package of these parts beside its content types and relations.
fn package(kind: &str, main: &str, parts: &[(&str, String)]) -> Vec<u8> {
    let types = format!(
        "<Types><Override PartName='/{main}' ContentType='application/vnd.openxmlformats-officedocument.{kind}.main+xml'/></Types>"
    );
    let relations = format!("<Relationships><Relationship Id='r' Type='x/relationships/officeDocument' Target='{main}'/></Relationships>");
    archive(&[[("[Content_Types].xml", types), ("_rels/.rels", relations)].as_slice(), parts].concat())
}

fn word(body: &str) -> Vec<u8> {
    package(
        "wordprocessingml.document",
        "word/document.xml",
        &[("word/document.xml", format!("<w:document><w:body>{body}</w:body></w:document>"))],
    )
}

/// A presentation of one slide with these shapes.
fn deck(shapes: &str) -> Vec<u8> {
    let presentation = "<p:presentation><p:sldIdLst><p:sldId id='256' r:id='r1'/></p:sldIdLst></p:presentation>";
    let relations = "<Relationships><Relationship Id='r1' Type='x/relationships/slide' Target='slides/s.xml'/></Relationships>";
    package(
        "presentationml.presentation",
        "ppt/presentation.xml",
        &[
            ("ppt/presentation.xml", presentation.into()),
            ("ppt/_rels/presentation.xml.rels", relations.into()),
            ("ppt/slides/s.xml", format!("<p:sld><p:cSld><p:spTree>{shapes}</p:spTree></p:cSld></p:sld>")),
        ],
    )
}

/// A zip archive of these files.
fn archive(files: &[(&str, String)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in files {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn content(body: &str) -> String {
    format!("<office:document-content><office:body>{body}</office:body></office:document-content>")
}

/// An OpenDocument file with this body.
fn open_document(kind: &str, body: &str) -> Vec<u8> {
    archive(&[("mimetype", format!("application/vnd.oasis.opendocument.{kind}")), ("content.xml", content(body))])
}

fn open_text(blocks: &str) -> Vec<u8> {
    open_document("text", &format!("<office:text>{blocks}</office:text>"))
}

const CELL: &str = "<w:tc><w:p><w:r><w:t>x</w:t></w:r></w:p></w:tc>";

#[test]
fn nesting_is_bounded() {
    let deep =
        |open: &str, close: &str, times: usize| format!("{}<w:p><w:r><w:t>x</w:t></w:r></w:p>{}", open.repeat(times), close.repeat(times));
    let after = "<w:p><w:r><w:t>end</w:t></w:r></w:p>";
    for (open, close) in
        [("<w:tbl><w:tr><w:tc>", "</w:tc></w:tr></w:tbl>"), ("<w:sdt><w:sdtContent>", "</w:sdtContent></w:sdt>"), ("<x>", "</x>")]
    {
        let text = read("a.docx", &word(&format!("{}{after}", deep(open, close, 20_000)))).unwrap();
        assert_eq!(text, "end\n");
    }
    let boxes = "<w:p><w:r><w:pict><w:txbxContent>".repeat(20_000) + &"</w:txbxContent></w:pict></w:r></w:p>".repeat(20_000);
    assert_eq!(read("a.docx", &word(&(boxes + after))).unwrap(), "end\n");
    let end = "<p:sp><p:txBody><a:p><a:r><a:t>end</a:t></a:r></a:p></p:txBody></p:sp>";
    for (open, close) in [
        ("<p:grpSp>", "</p:grpSp>"),
        ("<mc:AlternateContent><mc:Choice>", "</mc:Choice></mc:AlternateContent>"),
        ("<p:sp><p:txBody><a:p>", "</a:p></p:txBody></p:sp>"),
    ] {
        let text = read("a.pptx", &deck(&format!("{}{end}{}{end}", open.repeat(20_000), close.repeat(20_000)))).unwrap();
        assert_eq!(text, "## Slide 1\n\nend\n");
    }
    for (open, close) in [
        ("<text:list><text:list-item>", "</text:list-item></text:list>"),
        ("<text:section>", "</text:section>"),
        ("<table:table><table:table-row><table:table-cell>", "</table:table-cell></table:table-row></table:table>"),
        ("<text:p><draw:frame><draw:text-box>", "</draw:text-box></draw:frame></text:p>"),
        ("<text:p><text:note><text:note-body>", "</text:note-body></text:note></text:p>"),
        ("<text:span>", "</text:span>"),
    ] {
        let blocks = format!("{}<text:p>x</text:p>{}<text:p>end</text:p>", open.repeat(20_000), close.repeat(20_000));
        assert_eq!(read("a.odt", &open_text(&blocks)).unwrap(), "end\n");
    }
    let groups = format!("{{\\rtf1 a{}b{}c}}", "{".repeat(100_000), "}".repeat(100_000));
    assert_eq!(read("a.rtf", groups.as_bytes()).unwrap(), "ac\n");
}

#[test]
fn what_grows_is_refused() {
    // A long cell that goes down many rows.
    let first = format!(
        "<w:tr><w:tc><w:tcPr><w:vMerge w:val='restart'/></w:tcPr><w:p><w:r><w:t>{}</w:t></w:r></w:p></w:tc><w:tc/></w:tr>",
        "word ".repeat(20_000)
    );
    let rows = "<w:tr><w:tc><w:tcPr><w:vMerge/></w:tcPr></w:tc><w:tc><w:p><w:r><w:t>x</w:t></w:r></w:p></w:tc></w:tr>".repeat(2_000);
    let failure = read("a.docx", &word(&format!("<w:tbl>{first}{rows}</w:tbl>"))).unwrap_err();
    assert!(matches!(failure, Failure::TooLarge { .. }), "{failure}");
    // One row that makes all others wide.
    let wide = format!(
        "<w:tbl><w:tr>{}</w:tr>{}</w:tbl>",
        "<w:tc><w:p/></w:tc>".repeat(49_999) + CELL,
        format!("<w:tr>{CELL}</w:tr>").repeat(2_000)
    );
    let failure = read("a.docx", &word(&wide)).unwrap_err();
    assert!(matches!(failure, Failure::TooLarge { .. }), "{failure}");
    let bomb = read("a.docx", &word(&" ".repeat(64 << 20))).unwrap_err();
    assert!(matches!(bomb, Failure::Bomb { .. }), "{bomb}");
    // Two cells at the ends of a sheet.
    let book = package("spreadsheetml.sheet", "xl/workbook.xml", &[
        ("xl/workbook.xml", "<workbook><sheets><sheet name='S' sheetId='1' r:id='r1'/></sheets></workbook>".into()),
        ("xl/_rels/workbook.xml.rels", "<Relationships><Relationship Id='r1' Type='x/relationships/worksheet' Target='worksheets/s.xml'/></Relationships>".into()),
        (
            "xl/worksheets/s.xml",
            "<worksheet><sheetData><row r='1'><c r='A1'><v>1</v></c></row><row r='1048576'><c r='XFD1048576'><v>2</v></c></row></sheetData>\
             <mergeCells><mergeCell ref='A1:XFD1048576'/></mergeCells></worksheet>"
                .into(),
        ),
    ]);
    assert_eq!(read("a.xlsx", &book).unwrap(), "## S\n\n1\n\n2\n");
    let small = Options { limits: Limits { text_bytes: 1000, ..Limits::default() }, ..Options::default() };
    let mut documents: Vec<Extracted> = Vec::new();
    let long = word(&"<w:p><w:r><w:t>words</w:t></w:r></w:p>".repeat(1_000));
    assert!(matches!(extract(Input::new("a.docx", long.as_slice()), &small, &mut documents), Err(Failure::TooLarge { .. })));
}

#[test]
fn notes_that_are_referred_to_again_and_again_are_bounded() {
    let note = format!("<w:footnote w:id='1'><w:p><w:r><w:t>{}</w:t></w:r></w:p></w:footnote>", "word ".repeat(1_000_000));
    let body = format!("<w:p>{}</w:p>", "<w:r><w:footnoteReference w:id='1'/></w:r>".repeat(20_000));
    let file = package(
        "wordprocessingml.document",
        "word/document.xml",
        &[
            ("word/document.xml", format!("<w:document><w:body>{body}</w:body></w:document>")),
            ("word/footnotes.xml", format!("<w:footnotes>{note}</w:footnotes>")),
            (
                "word/_rels/document.xml.rels",
                "<Relationships><Relationship Id='r' Type='x/relationships/footnotes' Target='footnotes.xml'/></Relationships>".into(),
            ),
        ],
    );
    assert!(matches!(read("a.docx", &file), Err(Failure::TooLarge { .. })));
}

#[test]
fn counts_that_lie_are_refused() {
    let book = package(
        "spreadsheetml.sheet",
        "xl/workbook.xml",
        &[
            ("xl/workbook.xml", "<workbook><sheets/></workbook>".into()),
            ("xl/sharedStrings.xml", "<sst uniqueCount='99999999999'><si><t>x</t></si></sst>".into()),
        ],
    );
    assert!(matches!(read("a.xlsx", &book), Err(Failure::Invalid { .. })));
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let row = "<table:table-row table:number-rows-repeated='1048576'><table:table-cell table:number-columns-repeated='16384'>\
               <text:p>x</text:p></table:table-cell></table:table-row>";
    let content = format!(
        "<d><office:body><office:spreadsheet><table:table table:name='S'>{row}</table:table></office:spreadsheet></office:body></d>"
    );
    for (name, text) in [("mimetype", "application/vnd.oasis.opendocument.spreadsheet"), ("content.xml", &content)] {
        zip.start_file(name, SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored)).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    let failure = read("a.ods", &zip.finish().unwrap().into_inner()).unwrap_err();
    assert!(matches!(failure, Failure::TooLarge { .. }), "{failure}");
}

#[test]
fn repeated_cells_are_bounded() {
    let cell = |times: u64, words: &str| format!("<table:table-cell table:number-columns-repeated='{times}'>{words}</table:table-cell>");
    let table = |rows: u64, cells: &str| {
        format!("<table:table><table:table-row table:number-rows-repeated='{rows}'>{cells}</table:table-row></table:table>")
    };
    let word = "<text:p>x</text:p>";
    for blocks in [
        table(1_048_576, &cell(16_384, word)),
        table(u64::MAX, &cell(u64::MAX, word)),
        table(50_000, &cell(2, &format!("<text:p>{}</text:p>", "word ".repeat(2_000)))),
        // Each table stands in the cells of another one.
        (0..8).fold(word.to_owned(), |inner, _| table(20, &cell(20, &inner))),
    ] {
        let failure = read("a.odt", &open_text(&blocks)).unwrap_err();
        assert!(matches!(failure, Failure::TooLarge { .. }), "{failure}");
    }
    // Cells without words take no room.
    let empty = table(1_048_576, &cell(16_384, "")) + &table(1, &(cell(1, word) + &cell(2, word) + &cell(16_384, "")));
    assert_eq!(read("a.odt", &open_text(&empty)).unwrap(), "| x | x | x |\n|---|---|---|\n");
    let spans = "<table:table><table:table-row><table:table-cell table:number-columns-spanned='99999999999' table:number-rows-spanned='99999999999'/>\
                 <table:covered-table-cell table:number-columns-repeated='99999999999'/></table:table-row></table:table><text:p>end</text:p>";
    assert_eq!(read("a.odt", &open_text(spans)).unwrap(), "end\n");
    // The same slide again and again.
    let relations = "<Relationships><Relationship Id='r1' Type='x/relationships/slide' Target='s.xml'/></Relationships>";
    let slide = format!(
        "<p:sld><p:spTree><p:sp><p:txBody><a:p><a:r><a:t>{}</a:t></a:r></a:p></p:txBody></p:sp></p:spTree></p:sld>",
        "word ".repeat(2_000)
    );
    let parts = [
        ("ppt/presentation.xml", format!("<p:presentation>{}</p:presentation>", "<p:sldId r:id='r1'/>".repeat(30_000))),
        ("ppt/_rels/presentation.xml.rels", relations.into()),
        ("ppt/s.xml", slide),
    ];
    let bytes = package("presentationml.presentation", "ppt/presentation.xml", &parts);
    for limits in [Limits { text_bytes: 1 << 20, ..Limits::default() }, Limits { unpacked_bytes: 1 << 20, ..Limits::default() }] {
        let mut documents: Vec<Extracted> = Vec::new();
        let failure =
            extract(Input::new("a.pptx", bytes.as_slice()), &Options { limits, ..Options::default() }, &mut documents).unwrap_err();
        assert!(matches!(failure, Failure::TooLarge { .. } | Failure::Bomb { .. }), "{failure}");
    }
}

#[test]
fn open_documents_are_what_their_bodies_are() {
    let slide = "<office:presentation><draw:page><draw:frame><draw:text-box><text:p>x</text:p></draw:text-box></draw:frame></draw:page></office:presentation>";
    let sheet = "<office:spreadsheet><table:table table:name='S'><table:table-row><table:table-cell><text:p>x</text:p></table:table-cell></table:table-row></table:table></office:spreadsheet>";
    let flat = |body: &str| {
        let kind = "office:mimetype='application/vnd.oasis.opendocument.text'";
        format!("<?xml version='1.0'?>\n<office:document {kind}><office:body>{body}</office:body></office:document>").into_bytes()
    };
    for (file, expected) in [
        (open_document("text", slide), "## Slide 1\n\nx\n"),
        (open_document("presentation-template", "<office:text><text:p>x</text:p></office:text>"), "x\n"),
        (open_document("text", sheet), "## S\n\nx\n"),
        // Its parts are in another order than the standard asks for, and a text as part of an archive that only looks like a package.
        (
            archive(&[
                ("Configurations2/menu.xml", String::new()),
                ("content.xml", content("<office:text><text:p>x</text:p></office:text>")),
                ("mimetype", "application/vnd.oasis.opendocument.text".into()),
            ]),
            "x\n",
        ),
        (archive(&[("word/a.txt", "x\n".into())]), "x\n"),
        (flat(slide), "## Slide 1\n\nx\n"),
        (flat(sheet), "## S\n\nx\n"),
    ] {
        assert_eq!(read("a.txt", &file).unwrap(), expected);
    }
    for body in ["", "<office:drawing/>", "<office:text/>"] {
        assert!(read("a.odt", &open_document("text", body)).is_err(), "{body}");
    }
}

#[test]
fn lengths_that_lie_are_survived() {
    for (rtf, text) in [
        ("{\\rtf1 a{\\pict\\bin99999999999 xyz}b}", "a\n"),
        ("{\\rtf1 a{\\pict\\bin-5 xyz}b}", "ab\n"),
        ("{\\rtf1 a\\uc9999999999999999999\\u233 b}", "aé\n"),
        ("{\\rtf1 a\\'", "a\n"),
        ("{\\rtf1 a\\u-10179 b\\u-8694 c}", "a\n"),
        ("{\\rtf1 a}}}}}b", "a\n"),
    ] {
        let found = read("a.rtf", rtf.as_bytes()).unwrap();
        assert!(found.starts_with(text.trim_end()), "{rtf}: {found}");
    }
}

/// The sample with some bytes changed, and an end cut off.
fn damaged(bytes: &mut Vec<u8>, changes: &[(prop::sample::Index, u8)], end: prop::sample::Index) {
    for (at, byte) in changes {
        let at = at.index(bytes.len());
        bytes[at] = *byte;
    }
    bytes.truncate(bytes.len() - end.index(bytes.len()) / 20);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn damaged_files_end_without_panic(
        sample in prop::sample::select(vec!["contract.docx", "leaflet.docx", "prices.xlsx", "berths.ods", "stock.xls", "lease.rtf", "minutes.rtf", "handover.pptx", "tariff.pptx", "berth.odt", "board.fodt", "storm.odp"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        end in any::<prop::sample::Index>(),
    ) {
        let mut bytes = file(sample);
        damaged(&mut bytes, &changes, end);
        let _ = read(sample, &bytes);
    }

    #[test]
    fn damaged_xml_ends_without_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(b"<>/w:p tbl&;'\"".to_vec())), 0..12),
        end in any::<prop::sample::Index>(),
    ) {
        let damage = |sample: &str, names: &[&'static str]| -> Vec<(&'static str, String)> {
            let mut zip = zip::ZipArchive::new(Cursor::new(file(sample))).unwrap();
            let part = |name: &&'static str| {
                let mut bytes = Vec::new();
                std::io::copy(&mut zip.by_name(name).unwrap(), &mut bytes).unwrap();
                damaged(&mut bytes, &changes, end);
                (*name, String::from_utf8_lossy(&bytes).into_owned())
            };
            names.iter().map(part).collect()
        };
        let word = damage("contract.docx", &["word/document.xml", "word/styles.xml", "word/numbering.xml", "word/_rels/document.xml.rels"]);
        let _ = read("a.docx", &package("wordprocessingml.document", "word/document.xml", &word));
        let slides = damage("handover.pptx", &["ppt/slides/slide8.xml", "ppt/slides/slide6.xml", "ppt/slides/slide3.xml", "ppt/slides/slide2.xml",
            "ppt/diagrams/data1.xml", "ppt/charts/chart1.xml", "ppt/slideLayouts/slideLayout2.xml", "ppt/slideMasters/slideMaster1.xml"]);
        let relations = ["6", "3", "2"].map(|slide| format!("<Relationship Id='r{slide}' Type='x/slide' Target='slides/slide{slide}.xml'/>")).concat();
        let of_slides = "<Relationships><Relationship Id='r1' Type='x/slideLayout' Target='../slideLayouts/slideLayout2.xml'/>\
            <Relationship Id='rId8' Type='x/d' Target='../diagrams/data1.xml'/><Relationship Id='rId7' Type='x/c' Target='../charts/chart1.xml'/></Relationships>";
        let whole = [
            ("ppt/presentation.xml", "<p><p:sldId r:id='r6'/><p:sldId r:id='r3'/><p:sldId r:id='r2'/></p>".to_owned()),
            ("ppt/_rels/presentation.xml.rels", format!("<Relationships>{relations}</Relationships>")),
            ("ppt/slides/_rels/slide6.xml.rels", of_slides.to_owned()),
            ("ppt/slides/_rels/slide3.xml.rels", of_slides.to_owned()),
            ("ppt/slides/_rels/slide2.xml.rels", of_slides.to_owned()),
        ];
        let _ = read("a.pptx", &package("presentationml.presentation", "ppt/presentation.xml", &[whole.as_slice(), &slides].concat()));
        for (sample, kind) in [("berth.odt", "text"), ("storm.odp", "presentation")] {
            let kind = ("mimetype", format!("application/vnd.oasis.opendocument.{kind}"));
            let parts = damage(sample, &["content.xml", "styles.xml", "meta.xml"]);
            let _ = read("a.zip", &archive(&[[kind].as_slice(), &parts].concat()));
        }
    }

    #[test]
    fn any_bytes_behind_a_magic_end_without_panic(
        magic in prop::sample::select(vec![&b"{\\rtf1"[..], b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05\0\0\0word/"]),
        rest in prop::collection::vec(any::<u8>(), 0..600),
        words in prop::collection::vec(prop::sample::select(vec!["{", "}", "\\par", "\\u-10179", "\\'", "\\cell", "\\row", "\\trowd", "\\footnote", "\\shptxt", "\\*\\ud", "\\upr", "\\bin3", "\\fldinst", "\\sv", "\\uc2", "x"]), 0..60),
    ) {
        let bytes = [magic, words.concat().as_bytes(), &rest].concat();
        let _ = read("a.bin", &bytes);
    }
}
