//! Reading a corpus, one document after the other, each document block by block.

mod blocks;
mod files;
mod heading;
mod lines;
mod rows;
mod whole;

use std::io::{BufRead, BufReader, Read};

use mempack_format::Document;

pub(crate) use blocks::{Block, Blocks};
pub(crate) use heading::heading;
pub use whole::{Documents, read_corpus};

use crate::corpus::lines::Lines;
use crate::{BuildError, CorpusError, Input};

/// Most bytes of a JSON line, and so of a document's text in one.
pub const MAX_LINE_BYTES: usize = 16 << 20;
/// Most bytes of a field of a JSON line other than `text`.
pub const MAX_FIELD_BYTES: usize = 64 << 10;

/// Name of standard input in messages and in documents.
const STDIN: &str = "standard input";

/// A document whose text has not been read yet.
pub(crate) struct Source<'a> {
    /// What is known of it. The title of a Markdown file is the file's name until `heading` finds a better one.
    pub document: Document,
    /// Whether the first heading of the text is the title.
    pub markdown: bool,
    /// Its text.
    pub blocks: Blocks<'a>,
}

/// Receives the documents of a corpus in order.
pub(crate) trait Sink {
    fn document(&mut self, source: Source<'_>) -> Result<(), BuildError>;
    fn note(&mut self, text: &str);
}

/// Reads every input in order. Memory: one block of a text file, or one line of a JSON file, and the names in the folders above a file.
pub(crate) fn read(inputs: &[Input], stdin: &mut dyn Read, sink: &mut dyn Sink) -> Result<(), BuildError> {
    for input in inputs {
        match input {
            Input::Path(path) => files::read(path, sink)?,
            Input::Stdin => read_stdin(stdin, sink)?,
        }
    }
    Ok(())
}

fn read_stdin(stdin: &mut dyn Read, sink: &mut dyn Sink) -> Result<(), BuildError> {
    let mut reader = BufReader::with_capacity(1 << 16, stdin);
    let failed = |source| CorpusError::Read { path: STDIN.into(), source };
    // Blank bytes are skipped but counted, so that lines and offsets stay those of the input.
    let mut blank = Vec::new();
    let json = loop {
        let bytes = reader.fill_buf().map_err(failed)?;
        if blank.is_empty() && bytes.starts_with(lines::BOM) {
            blank.extend(lines::BOM);
            reader.consume(lines::BOM.len());
            continue;
        }
        let Some(first) = bytes.first() else { break false };
        match first {
            b' ' | b'\t' | b'\r' | b'\n' if blank.len() < 1 << 16 => {
                blank.push(*first);
                reader.consume(1);
            }
            first => break *first == b'{',
        }
    };
    let mut whole = blank.as_slice().chain(reader);
    if json {
        return read_rows(STDIN, STDIN, &mut BufReader::with_capacity(1 << 16, whole), sink);
    }
    let document = Document { id: STDIN.into(), source: STDIN.into(), ..Document::default() };
    sink.document(Source { document, markdown: false, blocks: Blocks::new(&mut whole, STDIN) })
}

/// JSON lines: a document each. `path` is for messages, `name` for documents without id or source.
fn read_rows(path: &str, name: &str, reader: &mut dyn BufRead, sink: &mut dyn Sink) -> Result<(), BuildError> {
    let mut lines = Lines::new(reader, path, MAX_LINE_BYTES);
    while let Some((number, line)) = lines.next()? {
        let (document, text) = rows::parse(line, path, name, number)?;
        sink.document(Source { document, markdown: false, blocks: Blocks::new(&mut text.as_bytes(), path) })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
