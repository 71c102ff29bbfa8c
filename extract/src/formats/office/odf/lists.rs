//! Lists of OpenDocument, and their numbers as they are seen.

use crate::Failure;
use crate::formats::office::numbers::{expanded, number};
use crate::formats::office::writer::Label;
use crate::formats::office::xml::{Element, Node, Xml};

/// Levels of a list; what is deeper is of the last.
pub(super) const LEVELS: usize = 9;
/// Characters of what stands before a paragraph, at most.
const MAX_LABEL: usize = 100;

/// How the items of a list are marked.
#[derive(Clone, Debug, Default)]
pub(super) struct ListStyle {
    levels: [Option<Level>; LEVELS],
    /// Whether its numbers are those of clauses, as `4.2` and `Article 4` are.
    divides: bool,
}

#[derive(Clone, Debug)]
enum Level {
    Bullet,
    Number {
        format: &'static str,
        /// What is seen, as [`expanded`] takes it.
        template: String,
        start: u64,
    },
}

/// Items counted by level.
pub(super) type Counts = [Option<u64>; LEVELS];

impl ListStyle {
    /// Reads the content of the element that is open.
    pub fn read(xml: &mut Xml) -> Result<Self, Failure> {
        let mut style = Self::default();
        while let Some(node) = xml.next()? {
            let Node::Start(element) = node else { continue };
            let at = element.number::<usize>("level").unwrap_or(1).wrapping_sub(1);
            if let Some(place) = style.levels.get_mut(at) {
                *place = match element.name() {
                    "list-level-style-number" | "outline-level-style" => Some(Level::read(&element, at)),
                    "list-level-style-bullet" | "list-level-style-image" => Some(Level::Bullet),
                    _ => None,
                };
                if let Some(Level::Number { template, .. }) = place {
                    let is_named = at == 0 && template.contains('%') && template.contains(|c: char| c.is_alphabetic() || c == '§');
                    style.divides |= is_named || template.matches('%').count() > 1;
                }
            }
            xml.skip()?;
        }
        Ok(style)
    }

    /// Counts an item, and gives what stands before it. `start` is its number where it says so itself.
    pub fn next(&self, counts: &mut Counts, level: usize, start: Option<u64>, heading: bool) -> Option<Label> {
        let level = level.min(LEVELS - 1);
        let start_at = |at: usize| match &self.levels[at] {
            Some(Level::Number { start, .. }) => *start,
            _ => 1,
        };
        counts[level] = start.or_else(|| counts[level].map(|count| count.saturating_add(1))).or_else(|| Some(start_at(level)));
        counts[level + 1..].fill(None);
        match &self.levels[level] {
            // Without a style of its own a list has bullets, and a heading nothing.
            None if heading => None,
            None | Some(Level::Bullet) => Some(Label::bullet(level as u32)),
            Some(Level::Number { template, .. }) => {
                let text = expanded(template, |of| match &self.levels[of] {
                    Some(Level::Number { format, .. }) => number(counts[of].unwrap_or_else(|| start_at(of)), format),
                    _ => String::new(),
                });
                let text = text.trim().to_owned();
                (!text.is_empty()).then_some(Label { text, level: level as u32, divides: self.divides || heading })
            }
        }
    }
}

impl Level {
    /// That of an element, which is the level `at`, below [`LEVELS`].
    fn read(element: &Element, at: usize) -> Self {
        let format = format(&element.attribute("num-format").unwrap_or_default());
        let part = |name: &str| element.attribute(name).unwrap_or_default();
        let template = match element.attribute("num-list-format") {
            // An extension of LibreOffice: `%1%.%2%`.
            Some(template) => (1..=LEVELS).fold(template, |template, level| template.replace(&format!("%{level}%"), &format!("%{level}"))),
            None => {
                let shown = element.number::<usize>("display-levels").unwrap_or(1).clamp(1, at + 1);
                let numbers: Vec<String> =
                    if format == "none" { Vec::new() } else { (at + 2 - shown..=at + 1).map(|level| format!("%{level}")).collect() };
                format!("{}{}{}", part("num-prefix"), numbers.join("."), part("num-suffix"))
            }
        };
        let template = template.chars().take(MAX_LABEL).collect();
        Self::Number { format, template, start: element.number("start-value").unwrap_or(1) }
    }
}

/// The name that [`number`] has for a format of OpenDocument.
fn format(format: &str) -> &'static str {
    match format {
        "" => "none",
        "a" => "lowerAlphabet",
        "A" => "upperAlphabet",
        "i" => "lowerRoman",
        "I" => "upperRoman",
        "1st" => "ordinal",
        _ if format.starts_with("01") => "decimalZero",
        _ if format.starts_with('①') => "decimalEnclosedCircle",
        _ if format.starts_with('１') => "decimalFullWidth",
        _ if format.starts_with('一') => "chineseCounting",
        _ => "decimal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_numbered_as_they_are_seen() {
        let text = "<text:list-style>\
            <text:list-level-style-number text:level='1' style:num-format='1' style:num-suffix='.' text:start-value='4'/>\
            <text:list-level-style-number text:level='2' style:num-format='1' text:display-levels='2'/>\
            <text:list-level-style-number text:level='3' style:num-format='a' style:num-prefix='(' style:num-suffix=')'/>\
            <text:list-level-style-number text:level='4' style:num-format='I' loext:num-list-format='%1%.%2%–%4%'/>\
            <text:list-level-style-bullet text:level='5' text:bullet-char='•'/>\
            <text:list-level-style-number text:level='6' style:num-format=''/>\
            <text:list-level-style-number text:level='99' style:num-format='1'/>\
            <text:list-level-style-number text:level='0' style:num-format='1'/>\
            </text:list-style>";
        let mut xml = Xml::new(text, "test");
        xml.root().unwrap();
        let style = ListStyle::read(&mut xml).unwrap();
        assert!(style.divides);
        let mut counts = Counts::default();
        let mut found = Vec::new();
        for (level, start) in
            [(0, None), (1, None), (1, None), (2, Some(27)), (3, None), (0, None), (1, None), (4, None), (5, None), (80, None)]
        {
            found.push(style.next(&mut counts, level, start, false).map(|label| label.text).unwrap_or_default());
        }
        assert_eq!(found, ["4.", "4.1", "4.2", "(aa)", "4.2–I", "5.", "5.1", "-", "", "-"]);
    }
}
