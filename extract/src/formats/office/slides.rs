//! Slides of presentations, as they are written: the title as a heading, what is on the slide, and the notes of the speaker. The page is the number of the slide,
//! counted from 1 with those that are hidden.

use super::Properties;
use super::blocks::Block;
use super::writer::{Line, Words, Writer};
use crate::markdown::one_line;
use crate::{Extracted, Failure, Limits, Note, Sink};

/// The level of the heading of a slide. That of the title slide is above it.
const LEVEL: u8 = 2;
/// Bytes of a heading; a longer title is a paragraph.
const MAX_HEADING: usize = 300;
/// Slides that a note names.
const SHOWN_SLIDES: usize = 10;

/// What a slide says.
#[derive(Debug, Default)]
pub(super) struct Slide {
    /// Empty where it has none.
    pub title: String,
    /// Whether it is laid out as the one that a deck begins with.
    pub opens: bool,
    pub blocks: Vec<Block>,
    /// What the speaker says.
    pub notes: Vec<Block>,
}

impl Slide {
    /// Adds words of a title; the first title counts, others are paragraphs.
    pub fn add_title(&mut self, blocks: Vec<Block>) {
        if !self.title.is_empty() {
            self.blocks.extend(blocks);
            return;
        }
        for block in blocks {
            match block {
                Block::Line(line) => self.title = one_line(&format!("{} {}", self.title, line.words.text())),
                table => self.blocks.push(table),
            }
        }
    }

    fn is_empty(&self) -> bool {
        let has_words = |block: &Block| block.bytes() > 0;
        self.title.is_empty() && !self.blocks.iter().chain(&self.notes).any(has_words)
    }
}

/// Writes slides.
pub(super) struct Deck {
    writer: Writer,
    /// The number of the slide that was read last.
    number: u32,
    /// The title of the title slide.
    title: Option<String>,
    hidden: Vec<u32>,
    empty: Vec<u32>,
    is_begun: bool,
}

impl Deck {
    pub fn new(limits: &Limits) -> Self {
        Self { writer: Writer::new(limits), number: 0, title: None, hidden: Vec::new(), empty: Vec::new(), is_begun: false }
    }

    /// The number of the slide that comes next.
    pub fn next_number(&self) -> u32 {
        self.number.saturating_add(1)
    }

    /// Writes the next slide; `None` is one that is hidden. One that is damaged is noted.
    pub fn slide(&mut self, slide: Result<Option<Slide>, Failure>, sink: &mut dyn Sink) -> Result<(), Failure> {
        self.number = self.next_number();
        let slide = match slide {
            Ok(Some(slide)) => slide,
            Ok(None) => {
                self.hidden.push(self.number);
                return Ok(());
            }
            Err(failure @ Failure::Invalid { .. }) => {
                sink.note(Note::PartSkipped { part: format!("slide {}", self.number), reason: failure.to_string() });
                return Ok(());
            }
            Err(failure) => return Err(failure),
        };
        if slide.is_empty() {
            self.empty.push(self.number);
            return Ok(());
        }
        self.write(slide)
    }

    fn write(&mut self, slide: Slide) -> Result<(), Failure> {
        let opens = slide.opens && !self.is_begun && !slide.title.is_empty();
        self.is_begun = true;
        self.writer.page(self.number);
        if slide.title.is_empty() || slide.title.len() > MAX_HEADING {
            // Else it would stand below the title of the slide before.
            self.writer.heading(LEVEL, &format!("Slide {}", self.number))?;
            self.writer.paragraph(&slide.title)?;
        } else {
            self.writer.heading(if opens { LEVEL - 1 } else { LEVEL }, &slide.title)?;
        }
        if opens {
            self.title = Some(slide.title);
        }
        slide.blocks.into_iter().try_for_each(|block| block.write(&mut self.writer))?;
        let mut notes = slide.notes.into_iter().filter(|block| block.bytes() > 0).peekable();
        match notes.next_if(|block| matches!(block, Block::Line(line) if line.label.is_none() && line.heading.is_none())) {
            Some(Block::Line(line)) => {
                let mut words = Words::from("Notes: ");
                words.append(&line.words);
                self.writer.line(&Line { words, ..line })?;
            }
            _ if notes.peek().is_some() => self.writer.paragraph("Notes:")?,
            _ => {}
        }
        notes.try_for_each(|block| block.write(&mut self.writer))
    }

    /// The document of the slides.
    pub fn finish(self, mut properties: Properties, sink: &mut dyn Sink) -> Result<Extracted, Failure> {
        for (slides, one, several) in [
            (self.hidden, "is hidden", "are hidden"),
            (self.empty, "has neither words nor descriptions", "have neither words nor descriptions"),
        ] {
            if !slides.is_empty() {
                let reason = if slides.len() == 1 { one } else { several };
                sink.note(Note::PartSkipped { part: named(&slides), reason: reason.into() });
            }
        }
        properties.title = properties.title.or(self.title);
        let (text, marks) = self.writer.finish()?;
        Ok(Extracted { text, marks, ..properties.into_document() })
    }
}

/// Slides in a sentence: `slides 2, 7`.
fn named(slides: &[u32]) -> String {
    let shown: Vec<String> = slides.iter().take(SHOWN_SLIDES).map(u32::to_string).collect();
    let more = if slides.len() > SHOWN_SLIDES { format!(" and {} more", slides.len() - SHOWN_SLIDES) } else { String::new() };
    format!("slide{} {}{more}", if slides.len() == 1 { "" } else { "s" }, shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::office::writer::Label;

    #[test]
    fn a_slide_has_a_heading_and_notes() {
        let slide = |title: &str, words: &[&str], notes: Vec<Block>| Slide {
            title: title.into(),
            blocks: words.iter().map(|words| Block::words(words)).collect(),
            notes,
            ..Slide::default()
        };
        let item = Block::Line(Line { words: "Ask first".into(), label: Some(Label::bullet(0)), ..Line::default() });
        let mut notes = Vec::new();
        let mut deck = Deck::new(&Limits::default());
        for read in [
            Ok(Some(Slide { opens: true, ..slide("Doses", &["Port Halden"], vec![]) })),
            Ok(None),
            Err(Failure::invalid("presentation", "cut")),
            Ok(Some(slide("", &["3 reasons"], vec![Block::words(""), Block::words("Wait."), Block::words("Go on.")]))),
            Ok(Some(slide("", &[""], vec![]))),
            Ok(Some(slide("4 rules", &[], vec![item]))),
            Ok(None),
        ] {
            deck.slide(read, &mut Notes(&mut notes)).unwrap();
        }
        let document = deck.finish(Properties::default(), &mut Notes(&mut notes)).unwrap();
        let expected =
            "# Doses\n\nPort Halden\n\n## Slide 4\n\n3 reasons\n\nNotes: Wait.\n\nGo on.\n\n## 4 rules\n\nNotes:\n\n- Ask first\n";
        assert_eq!(document.text, expected);
        assert_eq!(document.title.as_deref(), Some("Doses"));
        let at = document.text.find("4 rules").unwrap();
        assert_eq!(document.marks.places(at, at + 1).to_string(), "p. 6");
        let expected = [
            "was read without slide 3, which is no whole presentation: cut",
            "was read without slides 2, 7, which are hidden",
            "was read without slide 5, which has neither words nor descriptions",
        ];
        assert_eq!(notes.iter().map(Note::to_string).collect::<Vec<_>>(), expected);
    }

    struct Notes<'a>(&'a mut Vec<Note>);

    impl Sink for Notes<'_> {
        fn document(&mut self, _document: Extracted) -> std::ops::ControlFlow<()> {
            std::ops::ControlFlow::Continue(())
        }

        fn note(&mut self, note: Note) {
            self.0.push(note);
        }
    }
}
