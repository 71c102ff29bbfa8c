//! Subtitles: SubRip (.srt) and WebVTT (W3C Candidate Recommendation of 2019-04-04). The second at which a line is said is its place.

use super::Format;
use crate::markdown::{Text, one_line};
use crate::{Extracted, Failure, Input, Options, Place, Sink, decode};

/// Seconds without a line, after which a paragraph begins.
const PAUSE: u32 = 4;

pub(super) struct Subtitles;

impl Format for Subtitles {
    fn name(&self) -> &'static str {
        "a file of subtitles"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["srt", "vtt"]
    }

    fn recognizes(&self, head: &[u8]) -> bool {
        head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head).starts_with(b"WEBVTT")
    }

    fn extract(&self, input: Input<'_>, options: &Options, sink: &mut dyn Sink) -> Result<(), Failure> {
        let text = decode::text(&input.whole(&options.limits)?, None, sink);
        let mut cues = Vec::new();
        // A cue is its time and the lines up to an empty one.
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let Some((start, end)) = times(line) else { continue };
            let mut said = Vec::new();
            while let Some(line) = lines.next_if(|line| !line.trim().is_empty() && times(line).is_none()) {
                said.push(line);
            }
            // The number of the next cue, where no empty line is before it.
            if lines.peek().is_some_and(|line| times(line).is_some()) {
                said.pop_if(|line| line.trim().bytes().all(|byte| byte.is_ascii_digit()));
            }
            cues.push((start, end, without_tags(&said.join(" "))));
        }
        if cues.is_empty() {
            return Err(Failure::invalid(
                "file of subtitles",
                "no line says when something is shown, such as 00:00:05,000 --> 00:00:07,000",
            ));
        }
        let mut written = Text::new(&options.limits);
        let mut paragraph = String::new();
        let mut starts = Vec::new();
        let mut ended = 0;
        for (number, (start, end, said)) in cues.iter().enumerate() {
            if said.is_empty() || number > 0 && cues[number - 1].2 == *said {
                // Empty, or shown on: what rolls up is said once.
                ended = *end;
                continue;
            }
            let whole = paragraph.ends_with(['.', '!', '?', '。', '！', '？', '…']);
            if !paragraph.is_empty() && (*start > ended + PAUSE || whole && paragraph.len() > 400) {
                written.spoken(&paragraph, &starts)?;
                (paragraph, starts) = (String::new(), Vec::new());
            }
            if !paragraph.is_empty() {
                paragraph.push(' ');
            }
            starts.push((paragraph.len(), *start));
            paragraph.push_str(said);
            ended = *end;
        }
        written.spoken(&paragraph, &starts)?;
        let (text, marks) = written.finish();
        let _ = sink.document(Extracted { text, marks, ..Extracted::default() });
        Ok(())
    }
}

impl Text {
    /// A paragraph of what is said from these seconds on, each at a byte of it.
    fn spoken(&mut self, paragraph: &str, starts: &[(usize, u32)]) -> Result<(), Failure> {
        for (at, second) in starts {
            self.mark_at(*at, Place::Second(*second));
        }
        self.paragraph(paragraph)
    }
}

/// The seconds of a line `00:00:05,000 --> 00:00:07,000`, with what WebVTT allows: no hours, a dot, settings after it.
fn times(line: &str) -> Option<(u32, u32)> {
    let (start, rest) = line.split_once("-->")?;
    Some((seconds(start.trim())?, seconds(rest.split_whitespace().next()?)?))
}

fn seconds(time: &str) -> Option<u32> {
    let (clock, fraction) = time.split_once([',', '.']).unwrap_or((time, "0"));
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let parts: Vec<&str> = clock.split(':').collect();
    if !(2..=3).contains(&parts.len()) {
        return None;
    }
    parts.into_iter().try_fold(0u32, |sum, part| sum.checked_mul(60)?.checked_add(part.parse().ok()?))
}

/// What is said, without `<i>` and `{\an8}`.
fn without_tags(said: &str) -> String {
    let (mut text, mut rest) = (String::with_capacity(said.len()), said);
    while let Some(at) = rest.find(['<', '{']) {
        let (before, tag) = rest.split_at(at);
        let begins = tag[1..].starts_with(|c: char| c.is_alphanumeric() || matches!(c, '/' | '\\'));
        let end = tag.find(if tag.starts_with('<') { '>' } else { '}' }).filter(|_| begins);
        text.push_str(before);
        text.push_str(if end.is_none() { &tag[..1] } else { "" });
        rest = &tag[end.unwrap_or(0) + 1..];
    }
    text.push_str(rest);
    let characters = [("&lt;", "<"), ("&gt;", ">"), ("&nbsp;", " "), ("&lrm;", ""), ("&rlm;", ""), ("&amp;", "&")];
    one_line(&characters.into_iter().fold(text, |text, (name, character)| text.replace(name, character)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_both_formats() {
        assert_eq!(times("00:00:05,000 --> 00:01:07,000"), Some((5, 67)));
        assert_eq!(times("01:05.250 --> 1:02:03.4 align:start"), Some((65, 3723)));
        for other in ["", "5 --> 7", "a --> b", "00:05 -> 00:07", "00:05. --> 00:07", "99999999:00:00,0 --> 0:00,0"] {
            assert_eq!(times(other), None, "{other}");
        }
    }

    #[test]
    fn tags_are_not_said() {
        assert_eq!(without_tags("{\\an8}<i>Twice</i> a <c.loud>day</c> &amp; night"), "Twice a day & night");
        assert_eq!(without_tags("5 < 6, {7} > 6"), "5 < 6, > 6");
        assert_eq!(without_tags("<i"), "<i");
    }
}
