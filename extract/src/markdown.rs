//! Writes the text of a document: Markdown, so that headings, lists and tables are seen where it is cut.

use std::borrow::Cow;

use crate::{Failure, Limits, Marks, Place};

/// Words that a passage of its own has at least, or characters that are not ASCII: those of scripts without spaces are words.
const APART_WORDS: usize = 5;
const APART_CHARACTERS: usize = 8;

/// A text that is being written, with its places.
///
/// Words are not escaped: what a document says is read by a model, and `\*` is not what it says.
#[derive(Debug)]
pub(crate) struct Text {
    text: String,
    marks: Marks,
    limit: u64,
    /// What stands last, for the lines between blocks.
    last: Block,
    /// Places of the next block, at their bytes of it.
    next: Vec<(usize, Place)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    Start,
    Item,
    Other,
}

impl Text {
    pub fn new(limits: &Limits) -> Self {
        Self { text: String::new(), marks: Marks::default(), limit: limits.text_bytes, last: Block::Start, next: Vec::new() }
    }

    /// What is written next stands at a place.
    pub fn mark(&mut self, place: Place) {
        self.mark_at(0, place);
    }

    /// What is written from byte `at` of the next block on stands at a place. Where that block has no words, the one after it does.
    pub fn mark_at(&mut self, at: usize, place: Place) {
        self.next.push((at, place));
    }

    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// A heading of level 1 to 6. Without words it is left out, as all blocks are.
    pub fn heading(&mut self, level: u8, text: &str) -> Result<(), Failure> {
        let text = one_line(text);
        self.block(&format!("{} {text}", "#".repeat(level.clamp(1, 6).into())), &text, Block::Other)
    }

    /// A paragraph: white space becomes single blanks. A line feed in `text` that is to stay is U+2028.
    pub fn paragraph(&mut self, text: &str) -> Result<(), Failure> {
        self.paragraph_at(text, &[])
    }

    /// A paragraph, and places from bytes of `text` on, in ascending order.
    pub fn paragraph_at(&mut self, text: &str, places: &[(usize, Place)]) -> Result<(), Failure> {
        self.words_at("", text, places, lines, Block::Other)
    }

    /// An item of a list, `depth` 0 for one in no other item. `mark` is its bullet or number as it is seen: `-`, `1.`, `(b)`.
    pub fn item(&mut self, depth: usize, mark: &str, text: &str) -> Result<(), Failure> {
        self.item_at(depth, mark, text, &[])
    }

    /// An item of a list, and places from bytes of `text` on, in ascending order.
    pub fn item_at(&mut self, depth: usize, mark: &str, text: &str, places: &[(usize, Place)]) -> Result<(), Failure> {
        self.words_at(&format!("{}{} ", "   ".repeat(depth.min(8)), one_line(mark)), text, places, one_line, Block::Item)
    }

    /// Writes words as `written` has them, after a beginning, with places at bytes of the words. Those at their end are places of the next block.
    fn words_at(
        &mut self,
        begin: &str,
        text: &str,
        places: &[(usize, Place)],
        written: fn(&str) -> String,
        kind: Block,
    ) -> Result<(), Failure> {
        let words = written(text);
        let mut after = Vec::new();
        for (at, place) in places {
            let before = &text[..*at];
            let mut at = written(before).len();
            // What comes next is another word, or the rest of one.
            at += usize::from(at > 0 && words.get(at..).is_some_and(|rest| rest.starts_with([' ', '\n'])));
            if at == words.len() && !words.is_empty() {
                after.push(place.clone());
            } else {
                self.mark_at(if at == 0 { 0 } else { begin.len() + at }, place.clone());
            }
        }
        self.block(&format!("{begin}{words}"), &words, kind)?;
        after.into_iter().for_each(|place| self.mark(place));
        Ok(())
    }

    /// Lines as they are, such as those of a program.
    pub fn preformatted(&mut self, text: &str) -> Result<(), Failure> {
        let text = with_line_feeds(text);
        let text = text.trim_matches('\n').trim_end();
        self.block(&format!("```\n{text}\n```"), text, Block::Other)
    }

    /// A table whose first row is its header. Cells that a row lacks are empty; a line feed in a cell becomes a blank.
    pub fn table(&mut self, rows: &[Vec<String>]) -> Result<(), Failure> {
        self.table_at(rows, &[])
    }

    /// A table, and places from rows of it on, in ascending order of the rows.
    pub fn table_at(&mut self, rows: &[Vec<String>], places: &[(usize, Place)]) -> Result<(), Failure> {
        if !rows.iter().flatten().any(|cell| cell.contains(char::is_alphanumeric)) {
            places.iter().for_each(|(_, place)| self.mark(place.clone()));
            return Ok(());
        }
        let width = rows.iter().map(Vec::len).max().unwrap_or_default();
        // Empty cells have bytes, too.
        if rows.len().saturating_mul(width).saturating_mul(3) as u64 > self.limit {
            return Err(Failure::text_too_large(self.limit));
        }
        let mut table = String::new();
        let mut places = places.iter().peekable();
        for (number, row) in rows.iter().enumerate() {
            if number > 0 {
                table.push('\n');
            }
            while let Some((_, place)) = places.next_if(|(row, _)| *row <= number) {
                self.mark_at(table.len(), place.clone());
            }
            table.push_str(&table_row(row, width));
            if number == 0 {
                table.push_str(&format!("\n|{}", "---|".repeat(width)));
            }
        }
        self.block(&table, "words", Block::Other)
    }

    /// Bytes that are written.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// What was written from byte `from` on is a passage of its own, such as what a picture shows, if it has the words for that.
    pub fn set_apart(&mut self, from: usize) {
        let written = self.text.get(from..).unwrap_or_default();
        let start = from + (written.len() - written.trim_start().len());
        let written = written.trim();
        if written.split_whitespace().count() >= APART_WORDS || written.chars().filter(|c| !c.is_ascii()).count() >= APART_CHARACTERS {
            self.marks.set_apart(start..start + written.len());
        }
    }

    /// Writes a block, if `words` has any.
    fn block(&mut self, block: &str, words: &str, kind: Block) -> Result<(), Failure> {
        if words.trim().is_empty() {
            self.next.iter_mut().for_each(|(at, _)| *at = 0);
            return Ok(());
        }
        let divided = self.last != Block::Start && !(self.last == Block::Item && kind == Block::Item);
        if (self.text.len() + usize::from(divided) + block.len() + 1) as u64 > self.limit {
            return Err(Failure::text_too_large(self.limit));
        }
        if divided {
            self.text.push('\n');
        }
        // After the empty line before the block, so that a passage that ends there is not of the next place. A format counts bytes of words
        // whose white space is not final, so a place may be a little off; it is within the block, and at a whole character.
        let mut places = std::mem::take(&mut self.next);
        places.iter_mut().for_each(|(at, _)| *at = block.floor_char_boundary(*at));
        places.sort_by_key(|(at, _)| *at);
        for (at, place) in places {
            self.marks.push(self.text.len() + at, place);
        }
        self.text.push_str(block);
        self.text.push('\n');
        self.last = kind;
        Ok(())
    }

    /// The text and its places.
    pub fn finish(self) -> (String, Marks) {
        (self.text, self.marks)
    }
}

/// A text in lines with single blanks; they end at U+2028.
fn lines(text: &str) -> String {
    let lines: Vec<String> = text.split('\u{2028}').map(one_line).filter(|line| !line.is_empty()).collect();
    lines.join("\n")
}

/// A row of a table.
fn table_row(cells: &[String], width: usize) -> String {
    let mut row = String::from("|");
    for at in 0..width {
        let cell = cells.get(at).map(|cell| one_line(cell).replace('|', "\\|")).unwrap_or_default();
        row.push_str(&format!(" {cell} |"));
    }
    row
}

/// A text whose lines end in line feeds alone, without NUL characters.
pub(crate) fn with_line_feeds(text: &str) -> Cow<'_, str> {
    if text.contains(['\r', '\0']) { text.replace("\r\n", "\n").replace('\r', "\n").replace('\0', "").into() } else { text.into() }
}

/// A text in one line, with single blanks.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        let mut characters = word.chars().filter(|c| !matches!(c, '\u{AD}' | '\u{200B}' | '\u{FEFF}' | '\0'..='\u{8}')).peekable();
        // Of some words nothing is left.
        if !line.is_empty() && characters.peek().is_some() {
            line.push(' ');
        }
        line.extend(characters);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_divided_by_lines() {
        let mut text = Text::new(&Limits::default());
        text.mark(Place::Page(1));
        text.heading(1, " Zorvex \n tablets ").unwrap();
        text.paragraph("Twice\n a\tday.\u{2028}With water.").unwrap();
        text.paragraph("  ").unwrap();
        text.mark(Place::Page(2));
        text.item(0, "-", "adults").unwrap();
        text.item(1, "(\0a\r\n)", "over 60").unwrap();
        text.mark(Place::Page(3));
        text.item(0, "-", "children").unwrap();
        text.table(&[vec!["Age".into(), "Dose".into()], vec!["1-5|6".into()], vec!["7".into(), "5\nmg".into()]]).unwrap();
        text.preformatted("\nx = 1\r\n  y\0\r").unwrap();
        let (text, marks) = text.finish();
        let expected = "# Zorvex tablets\n\nTwice a day.\nWith water.\n\n- adults\n   (a ) over 60\n- children\n\n| Age | Dose |\n|---|---|\n| 1-5\\|6 |  |\n| 7 | 5 mg |\n\n```\nx = 1\n  y\n```\n";
        assert_eq!(text, expected);
        let at = text.find("- adults").unwrap();
        assert_eq!(marks.places(at - 2, at - 1).to_string(), "p. 1");
        assert_eq!(marks.places(at, at + 1).to_string(), "p. 2");
        let at = text.find("- children").unwrap();
        assert_eq!(marks.places(at - 1, at).to_string(), "p. 2");
        assert_eq!(marks.places(at, at + 1).to_string(), "p. 3");
    }

    #[test]
    fn what_stands_apart_has_words_and_holds_what_is_within() {
        let mut text = Text::new(&Limits::default());
        text.paragraph("It beats.").unwrap();
        let figure = text.len();
        for words in ["[Picture: the four rooms of a heart]", "Figure 1. A heart"] {
            let from = text.len();
            text.paragraph(words).unwrap();
            text.set_apart(from);
        }
        text.set_apart(figure);
        let from = text.len();
        text.paragraph("[Picture: a ship]").unwrap();
        text.set_apart(from);
        let from = text.len();
        text.paragraph("[图：心脏有四个房间]").unwrap();
        text.set_apart(from);
        let (text, marks) = text.finish();
        let apart: Vec<&str> = marks.apart().iter().map(|range| &text[range.clone()]).collect();
        assert_eq!(apart, ["[Picture: the four rooms of a heart]\n\nFigure 1. A heart", "[图：心脏有四个房间]"]);
    }

    #[test]
    fn places_within_words_are_kept() {
        let mut text = Text::new(&Limits::default());
        let page = Place::Page;
        let words = " Twice  a\u{2028}day.\u{AD} End ";
        let at = |part: &str| words.find(part).unwrap();
        text.paragraph_at(words, &[(0, page(1)), (at(" a"), page(2)), (at("day"), page(3)), (at("y."), page(4)), (words.len(), page(5))])
            .unwrap();
        text.item_at(1, "(a)", "one two", &[(4, page(6))]).unwrap();
        text.paragraph_at(" ", &[(1, page(7))]).unwrap();
        text.paragraph("last").unwrap();
        let (text, marks) = text.finish();
        let found: Vec<(&str, &Place)> = marks.iter().map(|(at, place)| (&text[at..at + 3], place)).collect();
        let expected =
            [("Twi", page(1)), ("a\nd", page(2)), ("day", page(3)), ("y. ", page(4)), ("   ", page(5)), ("two", page(6)), ("las", page(7))];
        assert_eq!(found, expected.each_ref().map(|(words, place)| (*words, place)));
    }

    #[test]
    fn a_text_is_bounded() {
        let limits = Limits { text_bytes: 10, ..Limits::default() };
        let mut text = Text::new(&limits);
        text.paragraph("12345").unwrap();
        assert!(matches!(text.paragraph("678"), Err(Failure::TooLarge { limit: 10, .. })));
        text.paragraph("67").unwrap();
        assert_eq!(text.finish().0.len(), 10);
    }

    #[test]
    fn a_line_has_single_blanks() {
        for text in ["a \u{AD} b", "a\u{200B} \u{FEFF}\0\u{2028} b", " a b \u{200B}"] {
            assert_eq!(one_line(text), "a b");
        }
    }
}
