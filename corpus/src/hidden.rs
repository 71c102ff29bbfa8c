//! What of a Markdown text is not read: comments, and images that stand in the text as base64.

use std::ops::Range;

use crate::fence::Fence;

/// Finds what is not read in the blocks of a text, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Hider {
    /// Where the open comment begins, in bytes from the beginning of the text.
    comment: Option<u64>,
    /// Whether the data of an image goes on.
    data: bool,
    fence: Fence,
    /// Whether the last block ended within a line.
    torn: bool,
}

/// Bytes at the end of a block without blanks that may begin a mark.
const MAX_MARK: usize = 64;

impl Hider {
    /// The ranges of a block, which begins at `start` of the text, that are not read, ascending.
    pub fn find(&mut self, text: &str, start: u64) -> Vec<Range<usize>> {
        let mut hidden: Vec<Range<usize>> = Vec::new();
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            let end = at + line.len();
            let begins = !std::mem::take(&mut self.torn);
            if self.comment.is_none() && !self.data && begins && self.fence.contains(line) {
                at = end;
                continue;
            }
            while at < end {
                at = self.step(text, at, end, start, &mut hidden);
            }
        }
        self.torn = !text.is_empty() && !text.ends_with('\n');
        hidden
    }

    /// Where a comment begins that does not end.
    pub fn open_comment(&self) -> Option<u64> {
        self.comment
    }

    /// Where to end a block that has no blank to end at: before what may be the beginning of a mark.
    pub fn cut(text: &str) -> usize {
        let tail = text.ceil_char_boundary(text.len().saturating_sub(MAX_MARK));
        let begins = ["<!-", "data:"].into_iter().filter_map(|mark| text[tail..].rfind(mark)).min().map(|at| at + tail);
        let partial = text.len() - text.trim_end_matches(['<', '!', '-']).len();
        let end = begins.unwrap_or(text.len()).min(text.len() - partial.min(3));
        if end == 0 { text.len() } else { end }
    }

    /// Passes what is hidden at `at`, or what is shown up to the next mark of the line.
    fn step(&mut self, text: &str, at: usize, end: usize, start: u64, hidden: &mut Vec<Range<usize>>) -> usize {
        if self.comment.is_some() {
            let closed = text[at..end].find("-->").map(|found| at + found + 3);
            if closed.is_some() {
                self.comment = None;
            }
            hide(hidden, at..closed.unwrap_or(end));
            return closed.unwrap_or(end);
        }
        if self.data {
            let length = text[at..end].bytes().take_while(|byte| byte.is_ascii_alphanumeric() || b"+/=%-_".contains(byte)).count();
            self.data = at + length == text.len();
            hide(hidden, at..at + length);
            return if length == 0 { self.step(text, at, end, start, hidden) } else { at + length };
        }
        let line = &text[at..end];
        let code = line.find('`').unwrap_or(line.len());
        let comment = line.find("<!--").unwrap_or(line.len());
        let data = data_uri(line).unwrap_or((line.len(), 0));
        if comment < code && comment < data.0 {
            self.comment = Some(start + (at + comment) as u64);
            hide(hidden, at + comment..at + comment + 4);
            return at + comment + 4;
        }
        if data.0 < code {
            self.data = true;
            hide(hidden, at + data.0..at + data.0 + data.1);
            return at + data.0 + data.1;
        }
        if code < line.len() {
            // Code within the line ends at as many backticks as it begins with.
            let run = line[code..].bytes().take_while(|byte| *byte == b'`').count();
            let inner = at + code + run;
            return closing(&text[inner..end], run).map_or(inner, |length| inner + length);
        }
        end
    }
}

fn hide(hidden: &mut Vec<Range<usize>>, range: Range<usize>) {
    match hidden.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ if range.is_empty() => {}
        _ => hidden.push(range),
    }
}

/// Bytes up to the end of a run of exactly `run` backticks.
fn closing(text: &str, run: usize) -> Option<usize> {
    let mut at = 0;
    while let Some(found) = text[at..].find('`') {
        let length = text[at + found..].bytes().take_while(|byte| *byte == b'`').count();
        at += found + length;
        if length == run {
            return Some(at);
        }
    }
    None
}

/// Where the first `data:image/png;base64,` of a line begins, and its length.
fn data_uri(line: &str) -> Option<(usize, usize)> {
    let mut from = 0;
    while let Some(found) = line[from..].find("data:") {
        let at = from + found;
        let kind = |c: char| !(c.is_ascii_alphanumeric() || "/+.-;=_".contains(c));
        let end = line[at + 5..].find(kind).map(|length| at + 5 + length);
        if let Some(end) = end.filter(|end| line[at..*end].ends_with(";base64") && line[*end..].starts_with(',')) {
            return Some((at, end + 1 - at));
        }
        from = at + 5;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is shown of a text that comes in two blocks.
    fn shown(text: &str, cut: usize) -> (String, Option<u64>) {
        let mut hider = Hider::default();
        let mut shown = String::new();
        let (first, second) = text.split_at(text.floor_char_boundary(cut));
        for (block, start) in [(first, 0), (second, first.len())] {
            let hidden = hider.find(block, start as u64);
            let mut at = 0;
            for range in hidden {
                shown.push_str(&block[at..range.start]);
                at = range.end;
            }
            shown.push_str(&block[at..]);
        }
        (shown, hider.open_comment())
    }

    #[test]
    fn comments_and_data_are_hidden_but_not_in_code() {
        let cases = [
            ("a <!-- note --> b", "a  b", None),
            ("<!-- one\ntwo\n-->\nc", "\nc", None),
            ("`<!--` is code <!-- x -->", "`<!--` is code ", None),
            ("``a ` <!-- b`` c", "``a ` <!-- b`` c", None),
            ("one ` tick <!-- x --> y", "one ` tick  y", None),
            ("```\n<!-- shown -->\n```\n<!-- x -->", "```\n<!-- shown -->\n```\n", None),
            ("![scan](data:image/png;base64,iVBOR/w0+KGg==) b", "![scan]() b", None),
            ("<img src=\"data:image/gif;base64,R0l\"> <!--a--> <!--b-->", "<img src=\"\">  ", None),
            ("data: base64, is a word", "data: base64, is a word", None),
            ("a <!-- open\nb", "a ", Some(2)),
        ];
        for (text, expected, open) in cases {
            assert_eq!(shown(text, 0), (expected.to_owned(), open), "{text}");
            for (at, _) in text.match_indices('\n') {
                assert_eq!(shown(text, at + 1), (expected.to_owned(), open), "{text} cut at {at}");
            }
        }
        assert_eq!(shown("![](data:image/png;base64,AAAABBBB) c", 30).0, "![]() c");
        assert_eq!(shown("a <!-- one two --> b", 10).0, "a  b");
    }

    #[test]
    fn a_block_without_blanks_ends_before_a_mark() {
        for (text, end) in [("aaa", 3), ("aaa<!", 3), ("aaa<!-", 3), ("aaa<!--b", 3), ("aaadata:image/p", 3), ("aaa--", 3), ("<!--", 4)] {
            assert_eq!(Hider::cut(text), end, "{text}");
        }
    }

    proptest! {
        #[test]
        fn ranges_ascend_within_any_text(parts in prop::collection::vec("<!--|-->|`{1,3}|\n|data:a/b;base64,|[A-Za-z é]{0,6}", 0..40), cut in 0usize..100) {
            let text = parts.concat();
            let mut hider = Hider::default();
            let (first, second) = text.split_at(text.floor_char_boundary(cut.min(text.len())));
            for block in [first, second] {
                let mut at = 0;
                for range in hider.find(block, 0) {
                    prop_assert!(at <= range.start && range.start < range.end && range.end <= block.len());
                    prop_assert!(block.is_char_boundary(range.start) && block.is_char_boundary(range.end));
                    at = range.end;
                }
            }
        }
    }
}
