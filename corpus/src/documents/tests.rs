use std::fs;
use std::io::Cursor;
use std::path::Path;

use mempack_format::Document;

use super::*;
use crate::blocks::Block;
use crate::{MAX_FIELD_BYTES, MAX_LINE_BYTES};

#[derive(Default)]
struct Corpus {
    /// With whether the title may stand in the text.
    documents: Vec<(Document, bool, Vec<Block>)>,
    notes: Vec<String>,
}

impl Corpus {
    /// Adds all that `documents` gives.
    fn read(&mut self, documents: Documents) -> Result<(), CorpusError> {
        for item in documents {
            match item? {
                CorpusItem::Document(document) => {
                    let (metadata, find_title, blocks) = document.into_parts();
                    self.documents.push((metadata, find_title.is_some(), blocks.collect::<Result<_, _>>()?));
                }
                CorpusItem::Note(note) => self.notes.push(note.to_string()),
            }
        }
        Ok(())
    }
}

fn from_path(path: &Path) -> Result<Corpus, CorpusError> {
    let mut corpus = Corpus::default();
    corpus.read(Documents::new(&[Input::Path(path.into())], io::empty()))?;
    Ok(corpus)
}

fn from_stdin(bytes: &[u8]) -> Result<Corpus, CorpusError> {
    let mut corpus = Corpus::default();
    corpus.read(Documents::new(&[Input::Stdin], Cursor::new(bytes.to_vec())))?;
    Ok(corpus)
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
    let corpus = from_path(folder.path()).unwrap();
    let ids: Vec<&str> = corpus.documents.iter().map(|(document, ..)| document.id.as_str()).collect();
    assert_eq!(ids, ["7", "a/c.jsonl:3", "a/z.MD", "b.txt"]);
    assert_eq!(corpus.documents[1].0.date, "2020");
    assert_eq!(corpus.documents[2].0.title, "z");
    assert!(corpus.documents[2].1);
    // Spans count the file's bytes, the mark included.
    assert_eq!(corpus.documents[3].2, [Block { start: 3, text: "one\r\ntwo".into(), hidden: Vec::new() }]);
    assert_eq!(corpus.notes.len(), 1);
    assert!(corpus.notes[0].contains("1 files ignored"), "{}", corpus.notes[0]);
}

#[test]
fn standard_input_is_rows_or_one_text() {
    let rows = from_stdin(b"\n  \n{\"text\": \"a\"}\n{\"text\": \"b\"}\n").unwrap();
    let ids: Vec<&str> = rows.documents.iter().map(|(document, ..)| document.id.as_str()).collect();
    assert_eq!(ids, ["standard input:3", "standard input:4"]);
    let plain = from_stdin("\u{FEFF} wört {".as_bytes()).unwrap();
    assert_eq!(plain.documents[0].2, [Block { start: 3, text: " wört {".into(), hidden: Vec::new() }]);
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

/// An endless line, which no memory holds.
struct Endless;

impl Read for Endless {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        bytes.fill(b'x');
        Ok(bytes.len())
    }
}

#[test]
fn a_long_line_is_refused_before_it_is_held() {
    let mut corpus = Corpus::default();
    let error = corpus.read(Documents::new(&[Input::Stdin], b"{\"text\": \"a\"}\n{".chain(Endless))).unwrap_err();
    assert!(matches!(error, CorpusError::LineTooLong { line: 2, cap: MAX_LINE_BYTES, .. }), "{error}");
    assert_eq!(corpus.documents.len(), 1);
}

#[test]
fn documents_come_one_at_a_time_and_end_after_an_error() {
    // The second row is bad; the first is given out before it is read.
    let rows = b"{\"id\": \"a\", \"text\": \"x\"}\n[]\n{\"id\": \"b\", \"text\": \"y\"}\n";
    let mut documents = Documents::new(&[Input::Stdin], Cursor::new(rows));
    let Some(Ok(CorpusItem::Document(first))) = documents.next() else { panic!("no first document") };
    assert_eq!(first.metadata().id, "a");
    assert!(matches!(documents.next(), Some(Err(CorpusError::NotAnObject { line: 2, .. }))));
    assert!(documents.next().is_none());
}

#[test]
fn inputs_are_read_in_their_order_and_standard_input_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.txt");
    fs::write(&file, "words").unwrap();
    let inputs = [Input::Stdin, Input::Path(folder.path().into()), Input::Path(file), Input::Stdin];
    let mut corpus = Corpus::default();
    corpus.read(Documents::new(&inputs, Cursor::new("piped"))).unwrap();
    let texts: Vec<String> = corpus.documents.iter().map(|(.., blocks)| blocks.iter().map(|block| block.text.as_str()).collect()).collect();
    assert_eq!(texts, ["piped", "words", "words", ""]);
}

/// A stream that gives a byte at a time, after an interruption.
struct Dripping(Cursor<Vec<u8>>, bool);

impl Read for Dripping {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.1 = !self.1;
        if self.1 { Err(ErrorKind::Interrupted.into()) } else { self.0.read(&mut bytes[..1]) }
    }
}

#[test]
fn a_slow_stream_is_read_like_a_fast_one() {
    for text in ["\u{FEFF} \n{\"text\": \"a\"}\n{\"text\": \"b\"}", "\u{FEFF} wört {", " \n", "\u{FEFF}", ""] {
        let mut slow = Corpus::default();
        slow.read(Documents::new(&[Input::Stdin], Dripping(Cursor::new(text.into()), false))).unwrap();
        assert_eq!(slow.documents, from_stdin(text.as_bytes()).unwrap().documents, "{text:?}");
    }
}

/// The texts of the documents that have words, with their ids.
fn texts(bytes: impl Read + 'static) -> Result<Vec<(String, String)>, CorpusError> {
    let mut texts = Vec::new();
    for item in Documents::new(&[Input::Stdin], bytes) {
        let CorpusItem::Document(document) = item? else { continue };
        texts.extend(document.read_text()?.map(|(metadata, text)| (metadata.id, text)));
    }
    Ok(texts)
}

#[test]
fn texts_are_whole_and_documents_without_words_left_out() {
    let long = "word ".repeat(50_000);
    let rows = format!("{{\"id\": \"a\", \"text\": \"{long}\"}}\n{{\"text\": \" \"}}\n{{\"id\": \"b\", \"text\": \"x\"}}\n");
    let mut documents = Documents::new(&[Input::Stdin], Cursor::new(rows.clone()));
    assert_eq!(texts(Cursor::new(rows)).unwrap(), [("a".to_owned(), long), ("b".to_owned(), "x".to_owned())]);
    // The caller ends the reading by asking for no more.
    assert!(matches!(documents.next(), Some(Ok(CorpusItem::Document(document))) if document.metadata().id == "a"));
}

#[test]
fn a_title_in_the_text_stands_for_the_name_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.md");
    fs::write(&file, "Words before.\n\n# The title\n\nMore words.").unwrap();
    let Some(Ok(CorpusItem::Document(document))) = Documents::new(&[Input::Path(file)], io::empty()).next() else { panic!() };
    assert_eq!(document.metadata().title, "a");
    assert_eq!(document.read_text().unwrap().unwrap().0.title, "The title");
}

#[test]
fn an_endless_text_is_refused() {
    let error = texts(io::repeat(b'x')).unwrap_err();
    assert!(matches!(error, CorpusError::DocumentTooLong { cap: MAX_LINE_BYTES, .. }), "{error}");
}
