//! Markdown: a text whose first heading is its title.

use super::text::document;
use super::{Format, FormatItems, RawInput};
use crate::{CorpusError, CorpusItem};

pub(super) struct Markdown;

impl Format for Markdown {
    fn extensions(&self) -> &'static [&'static str] {
        &["md"]
    }

    fn open(&self, input: RawInput) -> Result<FormatItems, CorpusError> {
        Ok(Box::new(std::iter::once(Ok(CorpusItem::Document(document(input).with_title_from(heading))))))
    }
}

/// The first heading of a Markdown text: a line that begins with `#` or is underlined, outside of code blocks.
fn heading(text: &str) -> Option<String> {
    let mut fence = None;
    let mut before = "";
    for line in text.lines() {
        let line = line.trim();
        let mark = ["```", "~~~"].into_iter().find(|mark| line.starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            _ => {}
        }
        if fence.is_none() {
            let rest = line.trim_start_matches('#');
            let level = line.len() - rest.len();
            if (1..=6).contains(&level) && rest.starts_with([' ', '\t']) {
                return title(rest.trim_end_matches('#'));
            }
            // Three dashes also end the metadata that some tools put before the text; lines of metadata have a colon.
            let underlined = line.len() > 2 && (line.bytes().all(|byte| byte == b'=') || line.bytes().all(|byte| byte == b'-'));
            if underlined && !before.contains(':') && title(before).is_some() {
                return title(before);
            }
        }
        before = line;
    }
    None
}

fn title(text: &str) -> Option<String> {
    let text = text.trim();
    text.contains(char::is_alphanumeric).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_heading_is_found() {
        let cases = [
            ("text\n## Doses ##\n# Other", Some("Doses")),
            ("```\n# no\n```\n\nTitle\n=====\n", Some("Title")),
            ("---\nauthor: x\n---\n# 标题", Some("标题")),
            ("#hashtag\n\nno heading", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(heading(text).as_deref(), expected, "{text}");
        }
    }
}
