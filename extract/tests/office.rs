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
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let all = [("[Content_Types].xml", types), ("_rels/.rels", relations)];
    for (name, text) in all.iter().chain(parts) {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn word(body: &str) -> Vec<u8> {
    package(
        "wordprocessingml.document",
        "word/document.xml",
        &[("word/document.xml", format!("<w:document><w:body>{body}</w:body></w:document>"))],
    )
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
    let content = format!("<d><b><office:spreadsheet><table:table table:name='S'>{row}</table:table></office:spreadsheet></b></d>");
    for (name, text) in [("mimetype", "application/vnd.oasis.opendocument.spreadsheet"), ("content.xml", &content)] {
        zip.start_file(name, SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored)).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    let failure = read("a.ods", &zip.finish().unwrap().into_inner()).unwrap_err();
    assert!(matches!(failure, Failure::TooLarge { .. }), "{failure}");
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
        sample in prop::sample::select(vec!["contract.docx", "leaflet.docx", "prices.xlsx", "berths.ods", "stock.xls", "lease.rtf", "minutes.rtf"]),
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
        let mut zip = zip::ZipArchive::new(Cursor::new(file("contract.docx"))).unwrap();
        let mut parts = Vec::new();
        for name in ["word/document.xml", "word/styles.xml", "word/numbering.xml", "word/_rels/document.xml.rels"] {
            let mut bytes = Vec::new();
            std::io::copy(&mut zip.by_name(name).unwrap(), &mut bytes).unwrap();
            damaged(&mut bytes, &changes, end);
            parts.push((name, String::from_utf8_lossy(&bytes).into_owned()));
        }
        let _ = read("a.docx", &package("wordprocessingml.document", "word/document.xml", &parts));
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
