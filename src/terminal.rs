//! Standard output and standard error: text that is safe to show, and streams that may close or be full.
//!
//! Packs come from strangers, and so do the texts, titles, ids and file names in them. What a terminal would obey (escape sequences, other
//! control characters, characters that reverse the direction of text) is shown as `\u{1b}` instead. JSON escapes its strings itself and is
//! written as it is.
//!
//! A reader such as `head` may close the stream. Printing then ends, and the work goes on: a pack is written all the same. A stream that
//! takes no more for another reason, such as a full disk, is remembered, and [`output_error`] says so at the end.

use std::fmt::{self, Display, Write as _};
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Prints text to standard output.
macro_rules! out {
    ($($arg:tt)*) => { $crate::terminal::print(format_args!($($arg)*)) };
}

/// Prints a line of text to standard output.
macro_rules! outln {
    () => { $crate::terminal::print(format_args!("\n")) };
    ($($arg:tt)+) => { $crate::terminal::print(format_args!("{}\n", format_args!($($arg)+))) };
}

/// Prints a line of text to standard error.
macro_rules! errln {
    ($($arg:tt)+) => { $crate::terminal::print_error(format_args!("{}\n", format_args!($($arg)+))) };
}

pub(crate) use {errln, out, outln};

/// A stream, and why it takes no more.
struct Stream(Mutex<State>);

enum State {
    Open,
    /// The reader has closed it.
    Closed,
    Failed(io::Error),
}

static OUT: Stream = Stream(Mutex::new(State::Open));
static ERR: Stream = Stream(Mutex::new(State::Open));

impl Stream {
    /// Writes to `stream`, unless an earlier write failed.
    fn write(&self, mut stream: impl Write, bytes: &[u8]) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Open) {
            // Both streams write out whole lines themselves; a part of an answer must not wait for the end of its line.
            let whole = bytes.ends_with(b"\n");
            match stream.write_all(bytes).and_then(|()| if whole { Ok(()) } else { stream.flush() }) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::BrokenPipe => *state = State::Closed,
                Err(error) => *state = State::Failed(error),
            }
        }
    }
}

static VERBOSE: AtomicBool = AtomicBool::new(false);

/// Prints details from now on.
pub fn be_verbose() {
    VERBOSE.store(true, Ordering::Relaxed);
}

/// Whether the user wants details.
pub fn is_verbose() -> bool {
    VERBOSE.load(Ordering::Relaxed)
}

/// Prints text to standard output; see [`out!`].
pub fn print(text: fmt::Arguments<'_>) {
    OUT.write(io::stdout(), shown(text).as_bytes());
}

/// Prints text to standard error; see [`errln!`]. A write that fails is not reported, because standard error is where it would be.
pub fn print_error(text: fmt::Arguments<'_>) {
    ERR.write(io::stderr(), shown(text).as_bytes());
}

/// Prints a JSON value to standard output as one line.
pub fn print_json(value: &impl Display) {
    OUT.write(io::stdout(), format!("{value}\n").as_bytes());
}

/// Writes bytes to standard output as they are.
pub fn print_raw(bytes: &[u8]) {
    OUT.write(io::stdout(), bytes);
}

/// Whether standard output takes no more. Commands whose only work is what they print then stop.
pub fn is_closed() -> bool {
    !matches!(*OUT.0.lock().unwrap_or_else(PoisonError::into_inner), State::Open)
}

/// Why standard output was not written, unless all was or its reader closed it.
pub fn output_error() -> Option<String> {
    match &*OUT.0.lock().unwrap_or_else(PoisonError::into_inner) {
        State::Failed(error) => Some(format!(
            "cannot write to standard output: {error}; the command has done its work, but not all that it printed was written"
        )),
        State::Open | State::Closed => None,
    }
}

/// The text with everything escaped that a terminal obeys. Line feeds and tabs stay, and a carriage return before a line feed is left out.
fn shown(text: fmt::Arguments<'_>) -> String {
    let mut out = Escaped { out: String::new(), keeps_lines: true };
    // Writing to a string cannot fail; a `Display` that fails has written what it could.
    let _ = out.write_fmt(text);
    out.out
}

/// A string of a pack or a file on one line: also line feeds and tabs are escaped, so that it cannot pass for another line of output.
pub fn one_line(text: &str) -> String {
    let mut out = Escaped { out: String::with_capacity(text.len()), keeps_lines: false };
    let _ = out.write_str(text);
    out.out
}

struct Escaped {
    out: String,
    keeps_lines: bool,
}

impl fmt::Write for Escaped {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\n' | '\t' if self.keeps_lines => self.out.push(c),
                '\r' if self.keeps_lines && chars.peek() == Some(&'\n') => {}
                _ if is_obeyed(c) => self.out.extend(c.escape_default()),
                _ => self.out.push(c),
            }
        }
        Ok(())
    }
}

/// Whether a terminal obeys a character instead of showing it: control characters (C0, DEL, C1), line and paragraph separators, and the
/// embeddings, overrides and isolates of the Unicode bidirectional algorithm (UAX 9), which reorder what stands around them.
fn is_obeyed(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_terminals_obey_is_shown() {
        for (text, expected) in [
            ("plain, wörter, 法律\n\tindented", "plain, wörter, 法律\n\tindented"),
            ("\u{1b}[31mred\u{1b}]0;title\u{7}", "\\u{1b}[31mred\\u{1b}]0;title\\u{7}"),
            ("\u{9b}2J\u{7f}\0", "\\u{9b}2J\\u{7f}\\u{0}"),
            ("one\r\ntwo\rover", "one\ntwo\\rover"),
            ("a\u{202e}b\u{2066}c\u{2028}", "a\\u{202e}b\\u{2066}c\\u{2028}"),
        ] {
            assert_eq!(shown(format_args!("{text}")), expected);
        }
        assert_eq!(one_line("a\nb\tc\r\n"), "a\\nb\\tc\\r\\n");
    }

    /// A reader that takes some bytes and then fails.
    struct Fails(ErrorKind, usize);

    impl Write for Fails {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.1 == 0 {
                return Err(self.0.into());
            }
            let taken = bytes.len().min(self.1);
            self.1 -= taken;
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stream_that_fails_is_not_written_again() {
        for (kind, closed) in [(ErrorKind::BrokenPipe, true), (ErrorKind::StorageFull, false)] {
            let stream = Stream(Mutex::new(State::Open));
            stream.write(Fails(kind, 3), b"words");
            assert_eq!(matches!(*stream.0.lock().unwrap(), State::Closed), closed);
            let mut later = Vec::new();
            stream.write(&mut later, b"more");
            assert!(later.is_empty());
        }
    }
}
