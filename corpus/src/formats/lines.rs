//! Lines of a UTF-8 file, none longer than a cap.

use std::io::BufRead;

use crate::blocks::BOM;
use crate::{CorpusError, kinds};

pub(super) struct Lines<R> {
    reader: R,
    /// The path in errors.
    path: String,
    cap: usize,
    line: Vec<u8>,
    number: u64,
    /// Where the next line begins.
    offset: u64,
}

impl<R: BufRead> Lines<R> {
    /// The lines of what `reader` gives, of at most `cap` bytes each. `path` names it in errors.
    pub fn new(reader: R, path: String, cap: usize) -> Self {
        Self { reader, path, cap, line: Vec::new(), number: 0, offset: 0 }
    }

    /// The next line that is not blank, without its end, with its number from 1. Never holds more than `cap` bytes of it.
    pub fn next_line(&mut self) -> Result<Option<(u64, &str)>, CorpusError> {
        loop {
            let start = self.offset;
            if !self.fill()? {
                return Ok(None);
            }
            self.number += 1;
            let bom = if self.number == 1 && self.line.starts_with(BOM) { BOM.len() } else { 0 };
            if self.line[bom..].iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            return match std::str::from_utf8(&self.line[bom..]) {
                Ok(line) => Ok(Some((self.number, line))),
                Err(error) => Err(kinds::not_utf8(&self.path, &self.line, start, bom + error.valid_up_to())),
            };
        }
    }

    /// Reads up to the next line feed, which is not part of the line. False at the end of the file.
    fn fill(&mut self) -> Result<bool, CorpusError> {
        self.line.clear();
        loop {
            let bytes = match self.reader.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(CorpusError::Read { path: self.path.clone(), source }),
            };
            if bytes.is_empty() {
                return Ok(!self.line.is_empty());
            }
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let piece = &bytes[..end.unwrap_or(bytes.len())];
            if self.line.len() + piece.len() > self.cap {
                return Err(CorpusError::LineTooLong { path: self.path.clone(), line: self.number + 1, cap: self.cap });
            }
            self.line.extend_from_slice(piece);
            let taken = piece.len() + usize::from(end.is_some());
            self.reader.consume(taken);
            self.offset += taken as u64;
            if end.is_some() {
                return Ok(true);
            }
        }
    }
}
