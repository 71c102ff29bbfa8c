//! Writes the text of a document: Markdown, so that headings, lists and tables are seen where it is cut.

use crate::{Failure, Limits, Marks, Place};

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
        let lines: Vec<String> = text.split('\u{2028}').map(one_line).filter(|line| !line.is_empty()).collect();
        let text = lines.join("\n");
        self.block(&text, &text, Block::Other)
    }

    /// An item of a list, `depth` 0 for one in no other item. `mark` is its bullet or number as it is seen: `-`, `1.`, `(b)`.
    pub fn item(&mut self, depth: usize, mark: &str, text: &str) -> Result<(), Failure> {
        let text = one_line(text);
        self.block(&format!("{}{mark} {text}", "   ".repeat(depth.min(8))), &text, Block::Item)
    }

    /// Lines as they are, such as those of a program.
    pub fn preformatted(&mut self, text: &str) -> Result<(), Failure> {
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

    /// Writes a block, if `words` has any.
    fn block(&mut self, block: &str, words: &str, kind: Block) -> Result<(), Failure> {
        if words.trim().is_empty() {
            self.next.iter_mut().for_each(|(at, _)| *at = 0);
            return Ok(());
        }
        if (self.text.len() + block.len()) as u64 > self.limit {
            return Err(Failure::text_too_large(self.limit));
        }
        if self.last != Block::Start && !(self.last == Block::Item && kind == Block::Item) {
            self.text.push('\n');
        }
        // After the empty line before the block, so that a passage that ends there is not of the next place.
        for (at, place) in self.next.drain(..) {
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

/// A row of a table.
fn table_row(cells: &[String], width: usize) -> String {
    let mut row = String::from("|");
    for at in 0..width {
        let cell = cells.get(at).map(|cell| one_line(cell).replace('|', "\\|")).unwrap_or_default();
        row.push_str(&format!(" {cell} |"));
    }
    row
}

/// A text in one line, with single blanks.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for word in text.split(|c: char| c.is_whitespace() || c == '\u{2028}').filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(word.chars().filter(|c| !matches!(c, '\u{AD}' | '\u{200B}' | '\u{FEFF}' | '\0'..='\u{8}')));
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
        text.item(1, "(a)", "over 60").unwrap();
        text.mark(Place::Page(3));
        text.item(0, "-", "children").unwrap();
        text.table(&[vec!["Age".into(), "Dose".into()], vec!["1-5|6".into()], vec!["7".into(), "5\nmg".into()]]).unwrap();
        text.preformatted("\nx = 1\n  y\n").unwrap();
        let (text, marks) = text.finish();
        let expected = "# Zorvex tablets\n\nTwice a day.\nWith water.\n\n- adults\n   (a) over 60\n- children\n\n| Age | Dose |\n|---|---|\n| 1-5\\|6 |  |\n| 7 | 5 mg |\n\n```\nx = 1\n  y\n```\n";
        assert_eq!(text, expected);
        let at = text.find("- adults").unwrap();
        assert_eq!(marks.places(at - 2, at - 1).to_string(), "p. 1");
        assert_eq!(marks.places(at, at + 1).to_string(), "p. 2");
        let at = text.find("- children").unwrap();
        assert_eq!(marks.places(at - 1, at).to_string(), "p. 2");
        assert_eq!(marks.places(at, at + 1).to_string(), "p. 3");
    }

    #[test]
    fn a_text_is_bounded() {
        let limits = Limits { text_bytes: 10, ..Limits::default() };
        let mut text = Text::new(&limits);
        text.paragraph("12345").unwrap();
        assert!(matches!(text.paragraph("123456"), Err(Failure::TooLarge { limit: 10, .. })));
    }
}
