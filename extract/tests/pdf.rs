//! PDF files that are damaged or made to harm, and pictures of pages that a command reads.

use std::fs;
use std::path::Path;

use mempack_extract::{Failure, Gathered, Input, Limits, Note, Options, extract};
use proptest::prelude::*;

fn file(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files").join(name)).unwrap()
}

fn read(bytes: &[u8], options: &Options) -> Result<Gathered, Failure> {
    let mut found = Gathered::default();
    extract(Input::new("file.pdf", bytes), options, &mut found)?;
    Ok(found)
}

#[test]
fn the_same_text_comes_of_other_ways_to_store_it() {
    let text = |name: &str| read(&file(name), &Options::default()).unwrap().documents[0].text.clone();
    for name in ["objects.pdf", "xref.pdf", "owner.pdf"] {
        assert_eq!(text(name), text("contract.pdf"), "{name}");
    }
}

#[test]
fn limits_hold() {
    let limited = |limits: Limits| read(&file("contract.pdf"), &Options { limits, ..Options::default() }).err().unwrap().to_string();
    assert!(limited(Limits { parts: 1, ..Limits::default() }).contains("more than 1 pages"));
    assert!(limited(Limits { text_bytes: 500, ..Limits::default() }).contains("more than 500 bytes of text"));
    assert!(limited(Limits { file_bytes: 500, ..Limits::default() }).contains("more than 500 bytes"));
    assert!(limited(Limits { unpacked_bytes: 500, ..Limits::default() }).contains("unpacks to more than 500"));
}

#[test]
fn a_command_reads_pictures_of_pages() {
    let script = "head -c 4 | od -An -tx1; echo 'The hear-'; echo 'ing takes place.'";
    let ocr = vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()];
    let found = read(&file("scan.pdf"), &Options { ocr, ..Options::default() }).unwrap();
    // The first is JPEG in the file; the second is CCITT, and becomes PNG.
    assert_eq!(found.documents[0].text, "ff d8 ff e0 The hearing takes place.\n\n89 50 4e 47 The hearing takes place.\n");
    let at = found.documents[0].text.find("89").unwrap();
    assert_eq!(found.documents[0].marks.places(at, at + 1).to_string(), "p. 2");
    assert!(found.notes.is_empty());

    let ocr = vec!["false".to_owned()];
    let found = read(&file("scan-mixed.pdf"), &Options { ocr, ..Options::default() }).unwrap();
    assert!(matches!(&found.notes[0], Note::PartSkipped { part, reason } if part == "page 1" && reason.contains("fails")));
    assert_eq!(found.notes[1], Note::PagesWithoutText { pages: vec![1], of: 2 });
}

/// A PDF whose only page has this content.
fn page(content: &str) -> Vec<u8> {
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F 5 0 R >> >> >>".to_owned(),
        format!("<< /Length {} >>\nstream\n{content}\nendstream", content.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    let mut bytes = b"%PDF-1.7\n".to_vec();
    for (number, object) in objects.iter().enumerate() {
        bytes.extend_from_slice(format!("{} 0 obj\n{object}\nendobj\n", number + 1).as_bytes());
    }
    bytes.extend_from_slice(b"trailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n0\n%%EOF\n");
    bytes
}

#[test]
fn deep_nesting_is_no_overflow() {
    for (open, close) in [("[", "]"), ("<<", ">>"), ("q ", "Q "), ("/T BMC ", "EMC "), ("(", ")")] {
        let nested = format!("{} {} BT /F 12 Tf 72 700 Td (Words of a page.) Tj ET", open.repeat(100_000), close.repeat(100_000));
        // Whether the text is read is left to the parser.
        let _ = read(&page(&nested), &Options::default());
    }
}

#[test]
fn doubled_and_stamped_glyphs() {
    let content = "BT /F 12 Tf 72 700 Td (Bold by two) Tj ET BT /F 12 Tf 72.3 700 Td (Bold by two) Tj ET \
        BT 0.7 0.7 -0.7 0.7 100 300 Tm /F 40 Tf (DRAFT) Tj ET BT /F 12 Tf 300 Tf 72 3 Td (5) Tj ET";
    let found = read(&page(content), &Options::default()).unwrap();
    assert!(found.documents[0].text.contains("Bold by two\n"), "{}", found.documents[0].text);
    assert!(!found.documents[0].text.contains("DRAFT"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = read(&[b"%PDF-1.7\n", bytes.as_slice()].concat(), &Options::default());
    }

    #[test]
    fn any_content_ends(content in "([0-9]{1,4} |\\(ab-\\) Tj |BT |ET |/F 12 Tf |Td |Tm |re |f |S |l |m |cm |T\\* |q |Q |TL |Tr ){0,300}") {
        let _ = read(&page(&content), &Options::default());
    }

    #[test]
    fn damaged_files_end(
        name in prop::sample::select(vec!["contract.pdf", "chinese.pdf", "rotated.pdf", "cyclic.pdf", "objects.pdf", "owner.pdf", "scan-mixed.pdf"]),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let mut bytes = file(name);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = read(&bytes, &Options::default());
    }
}
