//! What must hold of the documents of any file.

use std::io::{self, Read};

use mempack_extract::{Extracted, Gathered, Input, Limits, Note, Options, Value, extract};
use serde_json::value::RawValue;

/// Limits that a small input can reach.
pub fn options() -> Options {
    let limits = Limits { file_bytes: 1 << 20, unpacked_bytes: 300_000, text_bytes: 200_000, row_bytes: 50_000, nesting: 3, parts: 1000 };
    Options { limits, ..Options::default() }
}

/// What comes of a file, or why nothing does. What was found before a failure does not count.
fn read(name: &str, reader: impl Read, options: &Options) -> Result<Gathered, String> {
    let mut found = Gathered::default();
    extract(Input::new(name, reader), options, &mut found).map_err(|failure| failure.to_string())?;
    Ok(found)
}

/// Gives a few bytes at a time, as pipes may.
struct Pieces<'a>(&'a [u8]);

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(17);
        self.0.read(&mut buffer[..most])
    }
}

/// Reads a file twice, whole and in pieces. Panics if something does not hold.
pub fn check(name: &str, file: &[u8], options: &Options) {
    let found = read(name, file, options);
    assert_eq!(found, read(name, Pieces(file), options), "the same bytes are the same documents");
    let messages = match &found {
        Ok(found) => found.notes.iter().map(Note::to_string).collect(),
        Err(failure) => vec![failure.clone()],
    };
    for message in messages {
        assert!(message.len() > 10, "{message:?} does not say what is wrong");
        assert!(!message.contains(char::is_control), "{message:?} may change a terminal");
    }
    for document in found.iter().flat_map(|found| &found.documents) {
        check_document(document, options);
    }
}

fn check_document(document: &Extracted, options: &Options) {
    let Extracted { text, marks, fields, .. } = document;
    assert!(text.len() as u64 <= options.limits.text_bytes, "a text of {} bytes is above the limit", text.len());
    assert!(!text.contains(['\0', '\r']), "{text:?} has NUL characters or line ends other than line feeds");
    let mut before = 0;
    for (at, place) in marks.iter() {
        assert!(at >= before && at <= text.len(), "{place:?} at {at}, which is after the text, or before {before}");
        assert!(text.is_char_boundary(at), "{place:?} is within a character");
        before = at;
    }
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let place = marks.places(start, start + line.len());
        assert_eq!(place.to_string().is_empty(), place.is_empty(), "{place:?}");
        start += line.len();
    }
    for (name, value) in fields {
        if let Value::Json(json) = value {
            assert!(serde_json::from_str::<&RawValue>(json).is_ok(), "the field {name:?} is no JSON: {json}");
        }
    }
    // A worker writes documents as JSON.
    let passed_on = serde_json::to_string(document).expect("a document is JSON");
    assert!(!passed_on.contains('\n'));
    assert_eq!(*document, serde_json::from_str(&passed_on).expect("a document"), "a worker passes on what it reads");
}
