//! The formats of plain text, each in a module, and which format a file has.
//!
//! A format implements [`Format`] and has one line in [`FORMATS`]. What is no plain text is read by `mempack-extract`.

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

/// All formats.
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

    /// Whether its documents are rows with fields, of which the user may name the one with the text.
    fn has_rows(&self) -> bool {
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

/// What reads a file.
#[derive(Clone, Copy)]
pub(crate) enum Reads {
    /// A format of plain text, in UTF-8.
    Text(&'static dyn Format),
    /// A format of plain text, in another encoding.
    Encoded(&'static dyn Format),
    /// `mempack-extract`.
    Extract,
}

/// What reads a file with this extension; `None` if the extension is not known.
pub(crate) fn by_extension(path: &Path) -> Option<Reads> {
    let extension = extension(path);
    match FORMATS.into_iter().find(|format| format.extensions().contains(&extension.as_str())) {
        Some(format) => Some(Reads::Text(format)),
        None => mempack_extract::extensions().any(|known| known == extension).then_some(Reads::Extract),
    }
}

/// What reads a file that begins with these bytes, whatever its extension says; `None` if they say nothing.
pub(crate) fn by_content(head: &[u8]) -> Option<Reads> {
    mempack_extract::is_known(head).then_some(Reads::Extract)
}

/// What reads a stream that begins with these bytes, and has no name.
pub(crate) fn of_stream(head: &[u8]) -> Reads {
    match FORMATS.into_iter().find(|format| format.recognizes(head)) {
        Some(format) => Reads::Text(format),
        None if mempack_extract::format_of(head, "").is_some() => Reads::Extract,
        None => Reads::Text(&text::PlainText),
    }
}

/// The format of text that a file in a container has, by its name without the extension of the container.
pub(crate) fn of_text(name: &str) -> Option<&'static dyn Format> {
    let inner = [".gz", ".zst"].iter().find_map(|extension| name.strip_suffix(extension)).unwrap_or(name);
    match by_extension(Path::new(inner)) {
        Some(Reads::Text(format)) => Some(format),
        _ => None,
    }
}

fn extension(path: &Path) -> String {
    path.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_extension_belongs_to_one_format() {
        let mut all: Vec<&str> = FORMATS.iter().flat_map(|format| format.extensions()).copied().collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
