//! The document formats, each in a module.
//!
//! A format implements [`Format`] and has one line in [`FORMATS`]. Named files are assigned by their extension, streams by their first
//! bytes.

mod front_matter;
mod json_fields;
mod json_lines;
mod lines;
mod markdown;
mod text;

use std::io::Read;
use std::path::Path;

use crate::{CorpusError, CorpusItem};

pub use json_lines::{MAX_FIELD_BYTES, MAX_LINE_BYTES};

/// All formats. Their extensions are listed in this order in messages.
const FORMATS: [&dyn Format; 3] = [&text::PlainText, &markdown::Markdown, &json_lines::JsonLines];

/// Bytes of a stream that [`Format::recognizes`] sees: at least so many, unless the stream is shorter or a byte that is not white space
/// comes earlier.
pub(crate) const HEAD_BYTES: usize = 64 << 10;

/// A kind of file that holds documents.
pub(crate) trait Format: Sync {
    /// Extensions of its files, in lower case.
    fn extensions(&self) -> &'static [&'static str];

    /// Whether a stream that begins with these bytes has this format. A stream that no format recognizes is plain text.
    fn recognizes(&self, _head: &[u8]) -> bool {
        false
    }

    /// The documents of a file or stream, in order.
    ///
    /// # Errors
    /// If the input is not of this format. Errors that show only later are items.
    fn open(&self, input: RawInput) -> Result<FormatItems, CorpusError>;
}

/// The documents and notes of one file or stream.
pub(crate) type FormatItems = Box<dyn Iterator<Item = Result<CorpusItem, CorpusError>>>;

/// A file or stream before a format reads it.
pub(crate) struct RawInput {
    /// Its path, for errors.
    pub path: String,
    /// What documents without an id or source of their own are named after. It does not depend on where the corpus is stored.
    pub name: String,
    /// The title of a document that has none: the name of the file without its extension, empty for a stream.
    pub title: String,
    /// Whether fields beside those of the record are read.
    pub fields: bool,
    /// Its bytes.
    pub reader: Box<dyn Read>,
}

/// The format that reads files with this extension.
pub(crate) fn by_extension(path: &Path) -> Option<&'static dyn Format> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    FORMATS.into_iter().find(|format| format.extensions().contains(&extension.as_str()))
}

/// The format of a stream that begins with these bytes.
pub(crate) fn by_content(head: &[u8]) -> &'static dyn Format {
    FORMATS.into_iter().find(|format| format.recognizes(head)).unwrap_or(&text::PlainText)
}

/// All extensions, for messages: `.txt, .md or .jsonl`, for example.
pub(crate) fn extensions() -> String {
    let mut all: Vec<String> = FORMATS.iter().flat_map(|format| format.extensions()).map(|extension| format!(".{extension}")).collect();
    let last = all.pop().unwrap_or_default();
    if all.is_empty() { last } else { format!("{} or {last}", all.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_are_listed_as_a_sentence_has_them() {
        assert_eq!(extensions(), ".txt, .text, .md, .markdown, .jsonl or .ndjson");
        assert!(by_extension(Path::new("a/B.JSONL")).is_some() && by_extension(Path::new("md")).is_none());
    }

    #[test]
    fn every_extension_belongs_to_one_format() {
        let mut all: Vec<&str> = FORMATS.iter().flat_map(|format| format.extensions()).copied().collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
