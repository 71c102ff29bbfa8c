//! A document's text in blocks of bounded size, cut where a passage may end anyway.

use std::io::{ErrorKind, Read};
use std::ops::Range;

use crate::CorpusError;
use crate::hidden::Hider;
use crate::kinds;

/// A byte order mark, which is skipped at the beginning of a file.
pub(crate) const BOM: &[u8] = b"\xEF\xBB\xBF";

/// Maximum bytes of a block. It holds some hundred passages, so few of them end at the end of a block.
const BLOCK_BYTES: usize = 64 << 10;

/// A part of a document's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// Where the block begins, in bytes from the beginning of the text.
    pub start: u64,
    /// Its text, never empty.
    pub text: String,
    /// What of it is no text, such as a comment, in ascending ranges of bytes. In `text` it is blanks.
    pub hidden: Vec<Range<usize>>,
}

impl Block {
    /// Whether the byte at a place is no text.
    pub fn hides(&self, at: usize) -> bool {
        let after = self.hidden.partition_point(|range| range.start <= at);
        after > 0 && at < self.hidden[after - 1].end
    }

    /// Puts blanks where what is no text stands.
    fn blank_hidden(&mut self) {
        let mut blanked = String::with_capacity(self.text.len());
        let mut at = 0;
        for hidden in &self.hidden {
            blanked.push_str(&self.text[at..hidden.start]);
            blanked.extend(std::iter::repeat_n(' ', hidden.len()));
            at = hidden.end;
        }
        blanked.push_str(&self.text[at..]);
        self.text = blanked;
    }

    /// The text in a range of bytes, without what is no text.
    pub fn shown(&self, range: Range<usize>) -> String {
        let mut shown = String::with_capacity(range.len());
        let mut at = range.start;
        for hidden in self.hidden.iter().filter(|hidden| hidden.end > range.start && hidden.start < range.end) {
            shown.push_str(&self.text[at..hidden.start.max(at)]);
            at = hidden.end.min(range.end);
        }
        shown.push_str(&self.text[at..range.end]);
        shown
    }
}

/// Iterates over the blocks of a UTF-8 text. Concatenated they are the text without its byte order mark. The iterator ends after an
/// error.
pub(crate) struct Blocks {
    reader: Box<dyn Read>,
    /// The path in errors.
    path: String,
    block_bytes: usize,
    buffer: Vec<u8>,
    /// Where `buffer` begins in the text.
    start: u64,
    ended: bool,
    /// Finds what is not read.
    hider: Option<Hider>,
}

impl Blocks {
    /// The blocks of what `reader` gives. `path` names it in errors.
    pub fn new(reader: impl Read + 'static, path: String) -> Self {
        Self::with_block_bytes(reader, path, BLOCK_BYTES)
    }

    /// The text begins at byte `start` of the file, after metadata that `reader` does not give.
    pub fn starting_at(self, start: u64) -> Self {
        Self { start, ..self }
    }

    /// Comments and images in the text are not read.
    pub fn hiding(self) -> Self {
        Self { hider: Some(Hider::default()), ..self }
    }

    fn with_block_bytes(reader: impl Read + 'static, path: String, block_bytes: usize) -> Self {
        Self { reader: Box::new(reader), path, block_bytes, buffer: Vec::new(), start: 0, ended: false, hider: None }
    }

    fn read_block(&mut self) -> Result<Option<Block>, CorpusError> {
        self.fill()?;
        if self.buffer.is_empty() {
            return match self.hider.as_ref().and_then(Hider::open_comment) {
                Some(offset) => Err(CorpusError::OpenComment { path: self.path.clone(), offset }),
                None => Ok(None),
            };
        }
        let text = match std::str::from_utf8(&self.buffer) {
            Ok(text) => text,
            // The end of the buffer cuts a character in two; the rest of it follows in the reader.
            Err(error) if error.error_len().is_none() && !self.ended => {
                std::str::from_utf8(&self.buffer[..error.valid_up_to()]).unwrap_or_default()
            }
            Err(error) => return Err(kinds::not_utf8(&self.path, &self.buffer, self.start, error.valid_up_to())),
        };
        let end = match &self.hider {
            _ if self.ended => text.len(),
            None => cut(text),
            Some(_) => Some(cut(text)).filter(|end| *end < text.len()).unwrap_or_else(|| Hider::cut(text)),
        };
        let mut block = Block { start: self.start, text: text[..end].to_owned(), hidden: Vec::new() };
        if let Some(hider) = &mut self.hider {
            block.hidden = hider.find(&block.text, block.start);
            block.blank_hidden();
        }
        self.buffer.drain(..end);
        self.start += end as u64;
        Ok(Some(block))
    }

    /// Reads until the buffer has the size of a block or the text ends.
    fn fill(&mut self) -> Result<(), CorpusError> {
        while !self.ended && self.buffer.len() < self.block_bytes {
            let before = self.buffer.len();
            self.buffer.resize(self.block_bytes, 0);
            let read = self.reader.read(&mut self.buffer[before..]);
            self.buffer.truncate(before + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => self.ended = true,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => return Err(CorpusError::Read { path: self.path.clone(), source }),
            }
            if self.start == 0 && self.buffer.starts_with(BOM) && before < BOM.len() {
                self.buffer.drain(..BOM.len());
                self.start = BOM.len() as u64;
            }
        }
        Ok(())
    }
}

impl Iterator for Blocks {
    type Item = Result<Block, CorpusError>;

    fn next(&mut self) -> Option<Self::Item> {
        let block = self.read_block();
        if block.is_err() {
            self.ended = true;
            self.buffer.clear();
            self.hider = None;
        }
        block.transpose()
    }
}

/// Where to end a block: after the last paragraph, line, space or CJK mark in its second half, in this order of preference, or else at
/// its end.
fn cut(text: &str) -> usize {
    let half = text.len() / 2;
    ["\n\n", "\r\n\r\n", "\n", " "]
        .into_iter()
        .find_map(|mark| text.rfind(mark).filter(|at| *at >= half).map(|at| at + mark.len()))
        .or_else(|| text.rfind(['。', '！', '？', '；', '　']).filter(|at| *at >= half).map(|at| at + '。'.len_utf8()))
        .unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn blocks_are_the_text(parts in prop::collection::vec("[a-zé。\r\n \u{1F600}]{0,40}", 0..30), size in 8usize..200, bom in any::<bool>()) {
            let whole = parts.concat();
            let bytes = [if bom { BOM } else { b"" }, whole.as_bytes()].concat();
            let mut read: Vec<Block> = Vec::new();
            for block in Blocks::with_block_bytes(Cursor::new(bytes.clone()), "x".into(), size) {
                let block = block.unwrap();
                prop_assert!(!block.text.is_empty() && block.text.len() <= size);
                prop_assert_eq!(&bytes[block.start as usize..][..block.text.len()], block.text.as_bytes());
                read.push(block);
            }
            prop_assert_eq!(read.iter().map(|block| block.text.as_str()).collect::<String>(), whole);
        }
    }

    #[test]
    fn blocks_end_after_an_error() {
        let mut blocks = Blocks::with_block_bytes(&b"words words \xFF words words"[..], "x".into(), 8);
        let ended = blocks.by_ref().find(Result::is_err);
        assert!(matches!(ended, Some(Err(CorpusError::NotUtf8 { offset: 12, found: 0xFF, .. }))), "{ended:?}");
        assert!(blocks.next().is_none());
    }
}
