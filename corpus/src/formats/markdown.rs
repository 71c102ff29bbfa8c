//! Markdown: a text whose title is in its metadata or is its first heading. Comments, and images within the text, are not read.

use std::io::{Cursor, Read};

use mempack_format::Document;

use super::front_matter::{FrontMatter, MAX_BYTES};
use super::{Format, FormatItems, RawInput};
use crate::blocks::Blocks;
use crate::fence::Fence;
use crate::fields;
use crate::{CorpusError, CorpusItem, OpenDocument};

pub(super) struct Markdown;

impl Format for Markdown {
    fn extensions(&self) -> &'static [&'static str] {
        &["md", "markdown"]
    }

    fn open(&self, input: RawInput) -> Result<FormatItems, CorpusError> {
        let RawInput { path, name, title, fields: with_fields, reader } = input;
        let mut head = Vec::new();
        let mut reader = reader.take(MAX_BYTES as u64);
        reader.read_to_end(&mut head).map_err(|source| CorpusError::Read { path: path.clone(), source })?;
        let rest = reader.into_inner();
        let mut metadata = Document { id: name.clone(), title, source: name, ..Document::default() };
        let front = FrontMatter::read(&head);
        let titled = front.as_ref().is_some_and(|front| front.apply(&mut metadata));
        let length = front.as_ref().map_or(0, |front| front.length);
        let others = front.filter(|_| with_fields).map(FrontMatter::others).unwrap_or_default();
        fields::check(&others, || path.clone())?;
        let text = Cursor::new(head.split_off(length));
        let blocks = Blocks::new(text.chain(rest), path).starting_at(length as u64).hiding();
        let document = OpenDocument::new(metadata, blocks).with_fields(others);
        let document = if titled { document } else { document.with_title_from(heading) };
        Ok(Box::new(std::iter::once(Ok(CorpusItem::Document(document)))))
    }
}

/// The first heading of a Markdown text: a line that begins with `#` or is underlined, outside of code blocks.
fn heading(text: &str) -> Option<String> {
    let mut fence = Fence::default();
    let mut before = "";
    for line in text.lines() {
        let line = line.trim();
        if !fence.contains(line) {
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
