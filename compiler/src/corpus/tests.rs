use std::fs;
use std::io::Cursor;
use std::path::Path;

use proptest::prelude::*;

use super::*;

#[derive(Default)]
struct Kept {
    documents: Vec<(Document, bool, Vec<Block>)>,
    notes: Vec<String>,
}

impl Sink for Kept {
    fn document(&mut self, mut source: Source<'_>) -> Result<(), BuildError> {
        let mut blocks = Vec::new();
        while let Some(block) = source.blocks.next()? {
            blocks.push(block);
        }
        self.documents.push((source.document, source.markdown, blocks));
        Ok(())
    }

    fn note(&mut self, text: &str) {
        self.notes.push(text.into());
    }
}

fn from_path(path: &Path) -> Result<Kept, CorpusError> {
    let mut kept = Kept::default();
    match read(&[Input::Path(path.into())], &mut std::io::empty(), &mut kept) {
        Ok(()) => Ok(kept),
        Err(BuildError::Corpus(error)) => Err(error),
        Err(other) => panic!("{other}"),
    }
}

fn from_stdin(bytes: &[u8]) -> Result<Kept, CorpusError> {
    let mut kept = Kept::default();
    match read(&[Input::Stdin], &mut Cursor::new(bytes), &mut kept) {
        Ok(()) => Ok(kept),
        Err(BuildError::Corpus(error)) => Err(error),
        Err(other) => panic!("{other}"),
    }
}

fn text(blocks: &[Block]) -> String {
    blocks.iter().map(|block| block.text.as_str()).collect()
}

#[test]
fn a_folder_is_read_in_the_order_of_its_paths() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    write("b.txt", b"\xEF\xBB\xBFone\r\ntwo");
    write("a/z.MD", b"# Head\n\nbody");
    write("a/c.jsonl", "{\"text\": \"x\", \"id\": 7, \"title\": null}\r\n\n{\"text\":\"y\",\"date\":\"2020\"}".as_bytes());
    write("c.pdf", b"%PDF");
    write(".hidden/x.txt", b"no");
    let kept = from_path(folder.path()).unwrap();
    let ids: Vec<&str> = kept.documents.iter().map(|(document, ..)| document.id.as_str()).collect();
    assert_eq!(ids, ["7", "a/c.jsonl:3", "a/z.MD", "b.txt"]);
    assert_eq!(kept.documents[1].0.date, "2020");
    assert_eq!(kept.documents[2].0.title, "z");
    assert!(kept.documents[2].1);
    // Spans count the file's bytes, the mark included.
    assert_eq!(kept.documents[3].2, [Block { start: 3, text: "one\r\ntwo".into() }]);
    assert_eq!(kept.notes.len(), 1);
    assert!(kept.notes[0].contains("1 files ignored"), "{}", kept.notes[0]);
}

#[test]
fn standard_input_is_rows_or_one_text() {
    let rows = from_stdin(b"\n  \n{\"text\": \"a\"}\n{\"text\": \"b\"}\n").unwrap();
    let ids: Vec<&str> = rows.documents.iter().map(|(document, ..)| document.id.as_str()).collect();
    assert_eq!(ids, ["standard input:3", "standard input:4"]);
    let plain = from_stdin("\u{FEFF} wört {".as_bytes()).unwrap();
    assert_eq!(plain.documents[0].2, [Block { start: 3, text: " wört {".into() }]);
    assert!(from_stdin(b"").unwrap().documents.iter().all(|(.., blocks)| blocks.is_empty()));
}

#[test]
fn errors_name_the_place() {
    let cases: [(&[u8], &str); 8] = [
        (b"{\"text\": \"a\"}\n{\"id\": \"x\"}", "line 2: the field `text` is missing"),
        (b"{\"text\": 5}", "line 1: the field `text` is a number, expected a string"),
        (b"{\"text\": \"a\", \"title\": [1]}", "the field `title` is a list, expected a string"),
        (b"{\"text\": \"a\"}\n[1]", "line 2: found a list, expected an object"),
        (b"{\"text\": \"a\"", "line 1: not a JSON object"),
        (b"{\"text\": \"a\"}\n{\"text\": \"\xFF\"}", "not UTF-8 at byte 24 (found 0xff)"),
        (b"abc \xE9t\xE9", "not UTF-8 at byte 4 (found 0xe9)"),
        (b"abc \xE2\x82", "not UTF-8 at byte 4 (found 0xe2)"),
    ];
    for (bytes, expected) in cases {
        let Err(error) = from_stdin(bytes) else { panic!("{bytes:?} was read") };
        assert!(error.to_string().contains(expected), "{error} / {expected}");
        assert!(error.to_string().starts_with("standard input"), "{error}");
    }
    let long = format!("{{\"text\": \"a\", \"title\": \"{}\"}}", "x".repeat(MAX_FIELD_BYTES + 1));
    assert!(matches!(from_stdin(long.as_bytes()), Err(CorpusError::FieldTooLong { field: "title", .. })));
    assert!(matches!(from_path(Path::new("no/such/file.txt")), Err(CorpusError::Missing { .. })));
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("x.pdf"), "x").unwrap();
    assert!(matches!(from_path(&folder.path().join("x.pdf")), Err(CorpusError::UnknownKind { .. })));
}

/// An endless line: whoever tries to hold it never ends.
struct Endless;

impl Read for Endless {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        bytes.fill(b'x');
        Ok(bytes.len())
    }
}

#[test]
fn a_long_line_is_refused_before_it_is_held() {
    let mut kept = Kept::default();
    let mut input = b"{\"text\": \"a\"}\n{".chain(Endless);
    let error = read(&[Input::Stdin], &mut input, &mut kept).unwrap_err();
    assert!(matches!(error, BuildError::Corpus(CorpusError::LineTooLong { line: 2, cap: MAX_LINE_BYTES, .. })), "{error}");
    assert_eq!(kept.documents.len(), 1);
}

proptest! {
    #[test]
    fn blocks_are_the_text(parts in prop::collection::vec("[a-zé。\r\n \u{1F600}]{0,40}", 0..30), size in 8usize..200, bom in any::<bool>()) {
        let whole = parts.concat();
        let bytes = [if bom { lines::BOM } else { b"" }, whole.as_bytes()].concat();
        let mut reader = bytes.as_slice();
        let mut blocks = Blocks::with_size(&mut reader, "x", size);
        let mut kept: Vec<Block> = Vec::new();
        while let Some(block) = blocks.next().unwrap() {
            prop_assert!(!block.text.is_empty() && block.text.len() <= size);
            prop_assert_eq!(&bytes[block.start as usize..][..block.text.len()], block.text.as_bytes());
            kept.push(block);
        }
        prop_assert_eq!(text(&kept), whole);
    }
}
