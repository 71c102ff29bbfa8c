//! Lines of the log.

use std::io;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};

use super::{PackRead, Record};

#[derive(Serialize)]
struct Request<'a> {
    time: String,
    request: &'a str,
    key: Option<&'a str>,
    endpoint: &'a str,
    outcome: &'a str,
    status: u16,
    packs: &'a [PackRead],
    tokens_in: u64,
    tokens_out: u64,
    ms: Durations,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

/// In milliseconds.
#[derive(Serialize)]
struct Durations {
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_token: Option<f64>,
    total: f64,
}

#[derive(Serialize)]
struct Lost {
    time: String,
    lost: u64,
}

/// The line of a request, with its end.
pub(super) fn of_request(record: &Record, texts: bool) -> Vec<u8> {
    written(&Request {
        time: time(),
        request: &record.request,
        key: record.key.as_deref(),
        endpoint: &record.endpoint,
        outcome: &record.outcome,
        status: record.status,
        packs: &record.packs,
        tokens_in: record.tokens_in,
        tokens_out: record.tokens_out,
        ms: Durations { queue: record.queue.map(ms), first_token: record.first_token.map(ms), total: ms(record.total) },
        text: record.text.as_deref().filter(|_| texts),
    })
}

/// The line that stands for lines that are missing.
pub(super) fn of_lost(lost: u64) -> Vec<u8> {
    written(&Lost { time: time(), lost })
}

/// RFC 3339 in UTC, to the millisecond.
fn time() -> String {
    format!("{:.3}", Timestamp::now())
}

/// Milliseconds, to the microsecond.
fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

fn written(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    // Neither can a vector refuse bytes nor have these structures parts that JSON has not. If it fails all the same, the line shows it.
    if value.serialize(&mut Serializer::with_formatter(&mut bytes, OneLine)).is_err() {
        bytes = br#"{"error":"the line has no form in JSON"}"#.to_vec();
    }
    bytes.push(b'\n');
    bytes
}

/// JSON that is one line to every reader and shows nothing that a terminal obeys. JSON itself demands escapes for `"`, `\` and the control
/// characters below U+0020 alone.
struct OneLine;

impl Formatter for OneLine {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| is_obeyed(*c)) {
            let (before, after) = rest.split_at(at);
            CompactFormatter.write_string_fragment(writer, before)?;
            // All of them are below U+10000.
            write!(writer, "\\u{:04x}", u32::from(c))?;
            rest = &after[c.len_utf8()..];
        }
        CompactFormatter.write_string_fragment(writer, rest)
    }
}

/// DEL and C1, separators of lines and paragraphs, and what reorders text (UAX 9).
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}
