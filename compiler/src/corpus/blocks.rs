//! A document's text in blocks of bounded size, cut where a reference may end anyway.

use std::io::{ErrorKind, Read};

use super::lines::BOM;
use crate::CorpusError;

/// Most bytes of a block: some hundred references, so that a cut between blocks is rare.
pub(crate) const BLOCK_BYTES: usize = 64 << 10;

/// A part of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// Where it begins, in bytes from the beginning of the document's text.
    pub start: u64,
    /// Its text.
    pub text: String,
}

/// Reads a text block by block. Together the blocks are the whole text but for a byte order mark at its beginning.
pub(crate) struct Blocks<'a> {
    reader: &'a mut dyn Read,
    path: &'a str,
    size: usize,
    held: Vec<u8>,
    /// Where `held` begins in the text.
    start: u64,
    ended: bool,
}

impl<'a> Blocks<'a> {
    pub fn new(reader: &'a mut dyn Read, path: &'a str) -> Self {
        Self::with_size(reader, path, BLOCK_BYTES)
    }

    pub(super) fn with_size(reader: &'a mut dyn Read, path: &'a str, size: usize) -> Self {
        Self { reader, path, size, held: Vec::new(), start: 0, ended: false }
    }

    /// The next block, never empty.
    pub fn next(&mut self) -> Result<Option<Block>, CorpusError> {
        self.fill()?;
        if self.held.is_empty() {
            return Ok(None);
        }
        let text = match std::str::from_utf8(&self.held) {
            Ok(text) => text,
            // A character that the end of the buffer cuts, not the end of the text.
            Err(error) if error.error_len().is_none() && !self.ended => {
                std::str::from_utf8(&self.held[..error.valid_up_to()]).unwrap_or_default()
            }
            Err(error) => {
                let at = error.valid_up_to();
                return Err(CorpusError::NotUtf8 { path: self.path.into(), offset: self.start + at as u64, found: self.held[at] });
            }
        };
        let end = if self.ended { text.len() } else { cut(text) };
        let block = Block { start: self.start, text: text[..end].to_owned() };
        self.held.drain(..end);
        self.start += end as u64;
        Ok(Some(block))
    }

    fn fill(&mut self) -> Result<(), CorpusError> {
        while !self.ended && self.held.len() < self.size {
            let held = self.held.len();
            self.held.resize(self.size, 0);
            let read = self.reader.read(&mut self.held[held..]);
            self.held.truncate(held + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => self.ended = true,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => return Err(CorpusError::Read { path: self.path.into(), source }),
            }
            if self.start == 0 && self.held.starts_with(BOM) && held < BOM.len() {
                self.held.drain(..BOM.len());
                self.start = BOM.len() as u64;
            }
        }
        Ok(())
    }
}

/// Where to cut: behind the last paragraph, else line, else blank in the second half, else at the end.
fn cut(text: &str) -> usize {
    let half = text.len() / 2;
    ["\n\n", "\r\n\r\n", "\n", " "]
        .into_iter()
        .find_map(|mark| text.rfind(mark).filter(|at| *at >= half).map(|at| at + mark.len()))
        .or_else(|| text.rfind(['。', '！', '？', '；', '　']).filter(|at| *at >= half).map(|at| at + '。'.len_utf8()))
        .unwrap_or(text.len())
}
