//! Plain text and Markdown, in any encoding: the text as it is.

use super::Format;
use crate::{Extracted, Failure, Input, Marks, Options, Sink, decode};

pub(super) struct Text;

impl Format for Text {
    fn name(&self) -> &'static str {
        "a text"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["txt", "text", "md", "markdown"]
    }

    fn recognizes(&self, _head: &[u8]) -> bool {
        false
    }

    fn extract(&self, input: Input<'_>, options: &Options, sink: &mut dyn Sink) -> Result<(), Failure> {
        let bytes = input.whole(&options.limits)?;
        if bytes.len() as u64 > options.limits.text_bytes {
            return Err(Failure::text_too_large(options.limits.text_bytes));
        }
        let text = decode::text(&bytes, None, sink);
        if text.contains('\0') {
            return Err(Failure::invalid("text", "it has NUL characters, as binary data has"));
        }
        let _ = sink.document(Extracted { text, marks: Marks::default(), ..Extracted::default() });
        Ok(())
    }
}
