use std::fs;
use std::io::Cursor;
use std::path::Path;

use mempack_format::Document;

use super::*;
use crate::blocks::Block;
use crate::{DocumentField, DuplicateIds, MAX_FIELD_BYTES, MAX_LINE_BYTES};

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
                    let (metadata, _, _, find_title, blocks) = document.into_parts();
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
    write("c.xyz", b"%XYZ");
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
    assert!(corpus.notes[0].ends_with("1 file ignored of kinds that are not read: 1 .xyz (c.xyz)"), "{}", corpus.notes[0]);
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
        // Other characters say that it was UTF-8; without them it is another encoding.
        (b"{\"text\": \"\xC3\xA4\xC3\xB6\xC3\xBC\xC3\x9F\"}\n{\"text\": \"\xFF\"}", "not UTF-8 at byte 31 (found 0xff)"),
        (b"\xC3\xA4\xC3\xB6\xC3\xBC\xC3\x9F \xE9 ", "not UTF-8 at byte 9 (found 0xe9)"),
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
    fs::write(folder.path().join("x.xyz"), "x").unwrap();
    assert!(matches!(from_path(&folder.path().join("x.xyz")), Err(CorpusError::UnknownKind { .. })));
}

#[test]
fn fields_are_read_where_they_are_asked_for() {
    let fields = |documents: Documents| -> Result<Vec<String>, CorpusError> {
        let mut found = Vec::new();
        for item in documents {
            let CorpusItem::Document(document) = item? else { continue };
            let field = |field: &DocumentField| {
                format!(
                    "{} {} {}",
                    document.metadata().id,
                    field.name,
                    field.values.iter().map(|value| value.text.as_str()).collect::<Vec<_>>().join("|")
                )
            };
            found.extend(document.fields().iter().map(field));
        }
        Ok(found)
    };
    let rows = |rows: &str| Documents::new(&[Input::Stdin], Cursor::new(rows.as_bytes().to_vec()));
    let text =
        "{\"id\": \"a\", \"text\": \"x\", \"date\": \"2020\", \"n\": {\"m\": [1, 2]}}\n{\"id\": \"b\", \"text\": \"y\", \"title\": null}\n";
    assert_eq!(fields(rows(text).with_fields()).unwrap(), ["a n.m 1|2"]);
    assert_eq!(fields(rows(text)).unwrap(), [""; 0]);

    // A reader that has no use for fields refuses none.
    let many = |from: usize, to: usize| (from..to).map(|n| format!(", \"f{n}\": 1")).collect::<String>();
    let text = format!("{{\"text\": \"x\"{}}}\n{{\"text\": \"y\"{}}}\n", many(0, 1000), many(990, 1025));
    let error = fields(rows(&text).with_fields()).unwrap_err();
    assert!(
        matches!(&error, CorpusError::TooManyFields { place, field, cap: 1024 } if place == "standard input, line 2" && field == "f1024"),
        "{error}"
    );
    assert!(fields(rows(&text)).unwrap().is_empty());
    let text = "{\"text\": \"x\", \"a\": {\"b\": 1}, \"a.b\": null, \"a\": {\"b\": 2}}";
    let error = fields(rows(text).with_fields()).unwrap_err();
    assert!(matches!(&error, CorpusError::FieldTwice { place, field } if place == "standard input, line 1" && field == "a.b"), "{error}");
    let name = "裁".repeat(100);
    let text = format!("{{\"text\": \"x\", \"{name}\": 1}}");
    let error = fields(rows(&text).with_fields()).unwrap_err().to_string();
    assert!(error.contains(&"裁".repeat(80)) && !error.contains(&"裁".repeat(81)) && error.contains("300 bytes of its name"), "{error}");
    assert!(fields(rows(&text)).unwrap().is_empty());
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
    assert_eq!(texts, ["piped", "words", "words"]);
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
fn texts(bytes: impl Read + Send + 'static) -> Result<Vec<(String, String)>, CorpusError> {
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

/// A folder with these files.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

fn read(inputs: &[&Path], rule: DuplicateIds) -> Result<Corpus, CorpusError> {
    let inputs: Vec<Input> = inputs.iter().map(|path| Input::Path((*path).into())).collect();
    let mut corpus = Corpus::default();
    corpus.read(Documents::new(&inputs, io::empty()).with_duplicate_ids(rule))?;
    Ok(corpus)
}

fn ids(corpus: &Corpus) -> Vec<&str> {
    corpus.documents.iter().map(|(document, ..)| document.id.as_str()).collect()
}

#[test]
fn documents_of_several_folders_are_named_after_them() {
    let root = folder(&[
        ("d1/README.md", b"one"),
        ("d2/README.md", b"two"),
        ("x/laws/a.txt", b"three"),
        ("y/laws/a.txt", b"four"),
        ("single.txt", b"five"),
    ]);
    let at = |name: &str| root.path().join(name);
    let cases: [(&[&str], &[&str]); 5] = [
        (&["d1"], &["README.md"]),
        (&["d1", "d2"], &["d1/README.md", "d2/README.md"]),
        (&["x/laws", "y/laws", "d1"], &["x/laws/a.txt", "y/laws/a.txt", "d1/README.md"]),
        (&["single.txt", "d1"], &["single.txt", "d1/README.md"]),
        (&["d1/../d1", "d2/."], &["d1/README.md", "d2/README.md"]),
    ];
    for (inputs, expected) in cases {
        let paths: Vec<_> = inputs.iter().map(|name| at(name)).collect();
        let paths: Vec<&Path> = paths.iter().map(|path| path.as_path()).collect();
        assert_eq!(ids(&read(&paths, DuplicateIds::Refuse).unwrap()), expected, "{inputs:?}");
    }
}

#[test]
fn an_id_that_occurs_twice_is_refused_by_both_places_or_numbered() {
    let rows = b"{\"id\": \"a\", \"text\": \"x\"}\n{\"id\": \"b\", \"text\": \"y\"}\n\n{\"id\": \"a\", \"text\": \"z\"}\n{\"id\": \"a#2\", \"text\": \"u\"}\n{\"id\": \"a\", \"text\": \"v\"}";
    let root = folder(&[("d1/README.md", b"one"), ("d2/README.md", b"two"), ("r/rows.jsonl", rows), ("m/x.md", b"---\nid: b\n---\nwords")]);
    let at = |name: &str| root.path().join(name);
    let refused = |inputs: &[&str]| {
        let paths: Vec<_> = inputs.iter().map(|name| at(name)).collect();
        match read(&paths.iter().map(|path| path.as_path()).collect::<Vec<_>>(), DuplicateIds::Refuse).map(|_| ()) {
            Err(CorpusError::DuplicateId { id, first, second }) => (id, first, second),
            other => panic!("{other:?}"),
        }
    };
    let place = |name: &str, line: &str| format!("{}{line}", at(name).display());
    assert_eq!(refused(&["r"]), ("a".into(), place("r/rows.jsonl", ", line 1"), place("r/rows.jsonl", ", line 4")));
    assert_eq!(refused(&["d1/README.md", "d2/README.md"]), ("README.md".into(), place("d1/README.md", ""), place("d2/README.md", "")));
    assert_eq!(refused(&["m", "d1", "r"]), ("b".into(), place("m/x.md", ""), place("r/rows.jsonl", ", line 2")));
    let rows = at("r/rows.jsonl");
    let numbered = read(&[&rows, &at("m/x.md")], DuplicateIds::Suffix).unwrap();
    assert_eq!(ids(&numbered), ["a", "b", "a#2", "a#2#2", "a#3", "b#2"]);
    assert_eq!(numbered.notes, ["4 documents have ids of earlier documents, and were given numbers, such as a#2"]);
}

#[cfg(unix)]
#[test]
fn what_cannot_be_read_in_a_folder_is_skipped_and_listed() {
    let root = folder(&[("a.txt", b"words"), ("z.XYZ", b"xyz"), ("y.dat", b"dat"), ("Makefile", b"all:"), ("x.xyz", b"xyz")]);
    let at = |name: &str| root.path().join(name);
    std::os::unix::fs::symlink("/nowhere", at("b.txt")).unwrap();
    std::os::unix::fs::symlink("b.txt", at("loop.md")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("s.txt")).unwrap();
    let corpus = from_path(root.path()).unwrap();
    assert_eq!(ids(&corpus), ["a.txt"]);
    let skipped = |name: &str, why: &str| format!("{}: skipped, because it {why}", at(name).display());
    assert_eq!(corpus.notes[0], skipped("b.txt", "is a link that leads nowhere"));
    assert_eq!(corpus.notes[1], skipped("loop.md", "is a link that leads nowhere"));
    assert_eq!(corpus.notes[2], skipped("s.txt", "is a socket"));
    assert!(
        corpus.notes[3]
            .ends_with("4 files ignored of kinds that are not read: 2 .xyz, 1 .dat, 1 without extension (Makefile, x.xyz, y.dat, ...)"),
        "{}",
        corpus.notes[3]
    );
    // What the user names must be there.
    assert!(matches!(from_path(&at("b.txt")), Err(CorpusError::DanglingLink { .. })));
}

#[test]
fn metadata_and_comments_are_not_text() {
    let text = "---\ntitle: Dosing of Zelmarin\ndate: 2024-05-01\ndraft: true\n---\n<!-- internal note -->\n# Zelmarin\n\nTake <!-- 5? --> two. ![scan](data:image/png;base64,iVBORw0KGgo=)";
    let root = folder(&[("a.md", text.as_bytes()), ("open.md", b"Words. <!-- and no end"), ("fine.md", b"Write `<!--` before it.")]);
    let corpus = from_path(&root.path().join("a.md")).unwrap();
    let (metadata, find_title, blocks) = &corpus.documents[0];
    assert_eq!((metadata.title.as_str(), metadata.date.as_str(), *find_title), ("Dosing of Zelmarin", "2024-05-01", false));
    let block = &blocks[0];
    assert_eq!(block.shown(0..block.text.len()).trim(), "# Zelmarin\n\nTake  two. ![scan]()");
    // Offsets are those of the file.
    assert_eq!(&text[block.start as usize..][block.text.find("two").unwrap()..][..4], "two.");
    assert!(matches!(from_path(&root.path().join("open.md")), Err(CorpusError::OpenComment { offset: 7, .. })));
    assert!(from_path(&root.path().join("fine.md")).is_ok());
}
