//! A corpus for those who want each document's text whole.

use std::io::Read;

use mempack_format::Document;

use super::{MAX_LINE_BYTES, Sink, Source, heading, read};
use crate::{BuildError, CorpusError, Input};

/// Receives documents with their texts.
pub trait Documents {
    /// The next document. False ends the reading.
    fn document(&mut self, document: Document, text: String) -> bool;

    /// A remark for the user.
    fn note(&mut self, text: &str);
}

/// Reads a corpus as [`build`](crate::build) does, a document at a time; those without words are left out. False if `to` ended it.
///
/// Memory: one document, which may have [`MAX_LINE_BYTES`](crate::MAX_LINE_BYTES) of text.
///
/// # Errors
/// If an input cannot be read, or a document is longer.
pub fn read_corpus(inputs: &[Input], stdin: &mut dyn Read, to: &mut dyn Documents) -> Result<bool, CorpusError> {
    match read(inputs, stdin, &mut Whole(to)) {
        Ok(()) => Ok(true),
        Err(BuildError::Corpus(error)) => Err(error),
        // The only other error is the one below, by which the reading ends early.
        Err(_) => Ok(false),
    }
}

struct Whole<'a>(&'a mut dyn Documents);

impl Sink for Whole<'_> {
    fn document(&mut self, mut source: Source<'_>) -> Result<(), BuildError> {
        let mut text = String::new();
        while let Some(block) = source.blocks.next()? {
            if text.len() + block.text.len() > MAX_LINE_BYTES {
                return Err(CorpusError::DocumentTooLong { id: source.document.id, cap: MAX_LINE_BYTES }.into());
            }
            text.push_str(&block.text);
        }
        if !text.contains(char::is_alphanumeric) {
            return Ok(());
        }
        if let Some(heading) = source.markdown.then(|| heading(&text)).flatten() {
            source.document.title = heading;
        }
        if self.0.document(source.document, text) { Ok(()) } else { Err(BuildError::Interrupted) }
    }

    fn note(&mut self, text: &str) {
        self.0.note(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Kept(Vec<(String, String)>, usize);

    impl Documents for Kept {
        fn document(&mut self, document: Document, text: String) -> bool {
            self.0.push((document.id, text));
            self.0.len() != self.1
        }

        fn note(&mut self, _: &str) {}
    }

    #[test]
    fn texts_are_whole_and_reading_ends_when_told() {
        let long = "word ".repeat(50_000);
        let rows = format!("{{\"id\": \"a\", \"text\": \"{long}\"}}\n{{\"text\": \" \"}}\n{{\"id\": \"b\", \"text\": \"x\"}}\n");
        let mut all = Kept::default();
        assert!(read_corpus(&[Input::Stdin], &mut rows.as_bytes(), &mut all).unwrap());
        assert_eq!(all.0, [("a".to_owned(), long), ("b".to_owned(), "x".to_owned())]);
        let mut one = Kept(Vec::new(), 1);
        assert!(!read_corpus(&[Input::Stdin], &mut rows.as_bytes(), &mut one).unwrap());
        assert_eq!(one.0.len(), 1);
    }

    #[test]
    fn an_endless_text_is_refused() {
        let mut endless = std::io::repeat(b'x');
        let error = read_corpus(&[Input::Stdin], &mut endless, &mut Kept::default()).unwrap_err();
        assert!(matches!(error, CorpusError::DocumentTooLong { cap: MAX_LINE_BYTES, .. }), "{error}");
    }
}
