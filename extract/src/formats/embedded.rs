//! Documents that are parts of others: HTML in a letter or a feed.

use std::collections::HashMap;

use crate::{Failure, Gathered, Input, Limits, Marks, Options, Sink};

/// The text of a part that is HTML, and its places. Where it cannot be read as such, it is its words without the tags.
pub(super) fn html(html: &str, depth: u32, options: &Options, sink: &mut dyn Sink) -> Result<(String, Marks), Failure> {
    // What calls itself HTML may be a letter again, so it counts as nesting.
    if depth <= options.limits.nesting {
        let mut parts = Gathered::default();
        let input = Input { name: "part.html", reader: Box::new(html.as_bytes()), depth: depth + 1 };
        let read = super::extract(input, options, &mut parts);
        if let (Ok(()), Some(part)) = (read, parts.documents.into_iter().next()) {
            parts.notes.into_iter().for_each(|note| sink.note(note));
            return Ok((part.text, part.marks));
        }
    }
    plain(&mail_parser::decoders::html::html_to_text(html), &options.limits)
}

/// The paragraphs of a plain text.
fn plain(text: &str, limits: &Limits) -> Result<(String, Marks), Failure> {
    let mut written = crate::markdown::Text::new(limits);
    let text = text.replace('\r', "");
    for paragraph in text.split("\n\n") {
        written.paragraph(&paragraph.replace('\n', "\u{2028}"))?;
    }
    Ok(written.finish())
}

/// Names that tell documents of a file from one another.
#[derive(Default)]
pub(super) struct Names {
    used: HashMap<String, u32>,
}

impl Names {
    /// The name, with a number behind it if there is one like it.
    pub fn unique(&mut self, name: String) -> String {
        let count = self.used.entry(name.clone()).or_default();
        *count += 1;
        if *count == 1 { name } else { format!("{name} ({count})") }
    }
}
