//! What a worker says of a file: a JSON line for each document and note, and one at the end.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::ops::ControlFlow;

use mempack_extract::{Extracted, Input, Note, Options, Sink, extract};
use serde::{Deserialize, Serialize};

/// A line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Message {
    Document(Box<Extracted>),
    Note(Note),
    /// The last line of a file: why it is not read, if it is not.
    End(Option<String>),
}

/// The beginning of the last line.
pub(super) const END: &[u8] = b"{\"end\":";

/// Reads a file and writes what comes of it. Returns why it is not read, if it is not.
///
/// # Errors
/// If writing fails.
pub(super) fn write(out: &mut impl Write, name: &str, reader: impl Read, options: &Options) -> io::Result<Option<String>> {
    let mut lines = Lines { out, failed: None };
    let result = extract(Input::new(name, reader), options, &mut lines);
    let Lines { failed, .. } = lines;
    if let Some(error) = failed {
        return Err(error);
    }
    let failure = result.err().map(|failure| failure.to_string());
    end(out, failure.clone())?;
    Ok(failure)
}

/// Writes the last line of a file.
pub(super) fn end(out: &mut impl Write, failure: Option<String>) -> io::Result<()> {
    line(out, &Message::End(failure))
}

/// Why a file is not read, by its last line.
pub(super) fn failure_of(line: &[u8]) -> Option<String> {
    match serde_json::from_slice(line) {
        Ok(Message::End(failure)) => failure,
        Ok(_) => None,
        Err(error) => Some(format!("was read by a worker of another version: {error}")),
    }
}

fn line(out: &mut impl Write, message: &Message) -> io::Result<()> {
    serde_json::to_writer(&mut *out, message)?;
    out.write_all(b"\n")
}

struct Lines<'a, W> {
    out: &'a mut W,
    failed: Option<io::Error>,
}

impl<W: Write> Lines<'_, W> {
    fn write(&mut self, message: &Message) -> ControlFlow<()> {
        match line(self.out, message) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.failed = Some(error);
                ControlFlow::Break(())
            }
        }
    }
}

impl<W: Write> Sink for Lines<'_, W> {
    fn document(&mut self, document: Extracted) -> ControlFlow<()> {
        self.write(&Message::Document(Box::new(document)))
    }

    fn note(&mut self, note: Note) {
        let _ = self.write(&Message::Note(note));
    }
}

/// Reads messages back.
pub(super) struct Messages<R> {
    lines: BufReader<R>,
    line: Vec<u8>,
}

impl<R: Read> Messages<R> {
    pub fn new(reader: R) -> Self {
        Self { lines: BufReader::with_capacity(1 << 16, reader), line: Vec::new() }
    }
}

impl<R: Read> Iterator for Messages<R> {
    type Item = io::Result<Message>;

    fn next(&mut self) -> Option<Self::Item> {
        self.line.clear();
        match self.lines.read_until(b'\n', &mut self.line) {
            Ok(0) => None,
            Ok(_) => Some(serde_json::from_slice(&self.line).map_err(io::Error::from)),
            Err(error) => Some(Err(error)),
        }
    }
}
