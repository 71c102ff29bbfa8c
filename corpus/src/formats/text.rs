//! Plain text: a file is a document.

use mempack_format::Document;

use super::{Format, FormatItems, RawInput};
use crate::blocks::Blocks;
use crate::{CorpusError, CorpusItem, OpenDocument};

pub(super) struct PlainText;

impl Format for PlainText {
    fn extensions(&self) -> &'static [&'static str] {
        &["txt", "text"]
    }

    fn open(&self, input: RawInput) -> Result<FormatItems, CorpusError> {
        Ok(Box::new(std::iter::once(Ok(CorpusItem::Document(document(input))))))
    }
}

/// The file as one document, titled by its name.
pub(super) fn document(input: RawInput) -> OpenDocument {
    let RawInput { path, name, title, reader, .. } = input;
    let metadata = Document { id: name.clone(), title, source: name, ..Document::default() };
    OpenDocument::new(metadata, Blocks::new(reader, path))
}
