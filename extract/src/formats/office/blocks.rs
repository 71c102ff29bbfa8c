//! Paragraphs and tables of office documents, between where they are read and where they are written.

use super::symbols::{raised, symbol};
use super::writer::{Line, Row, Span, Words, Writer, add_to_cell};
use crate::Failure;

/// A paragraph or a table.
#[derive(Clone, Debug)]
pub(super) enum Block {
    Line(Line),
    Table(Vec<TableRow>),
}

#[derive(Clone, Debug, Default)]
pub(super) struct TableRow {
    pub cells: Vec<Cell>,
    /// Columns before the first cell.
    pub before: usize,
    /// Whether it is said to be of the header.
    pub header: bool,
    /// The page that it begins on, if that is known.
    pub page: Option<u32>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    pub blocks: Vec<Block>,
    /// Columns that it has, at least one.
    pub columns: usize,
    /// Whether it goes on another one; its blocks are not read then.
    pub span: Span,
}

impl Cell {
    /// How many paragraphs, tables and cells it has and is.
    pub fn parts(&self) -> usize {
        1 + self.blocks.iter().map(Block::parts).sum::<usize>()
    }
}

impl Block {
    /// A paragraph of these words.
    pub fn words(words: &str) -> Self {
        Self::Line(Line { words: words.into(), ..Line::default() })
    }

    /// What a picture shows.
    pub fn picture(words: &str) -> Self {
        Self::Line(Line { words: words.into(), picture: true, ..Line::default() })
    }

    /// Bytes of its words.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Line(line) => line.words.text().len() + line.notes.iter().map(String::len).sum::<usize>(),
            Self::Table(rows) => rows.iter().flat_map(|row| &row.cells).flat_map(|cell| &cell.blocks).map(Self::bytes).sum(),
        }
    }

    /// How many paragraphs, tables and cells it has.
    pub fn parts(&self) -> usize {
        match self {
            Self::Line(line) => 1 + line.notes.len(),
            Self::Table(rows) => 1 + rows.iter().flat_map(|row| &row.cells).map(Cell::parts).sum::<usize>(),
        }
    }

    /// Writes it.
    pub fn write(self, writer: &mut Writer) -> Result<(), Failure> {
        let rows = match self {
            Self::Line(line) => return writer.line(&line),
            Self::Table(rows) => rows,
        };
        // A box around paragraphs is no table.
        if rows.iter().all(|row| row.cells.len() <= 1) {
            let blocks = rows.into_iter().flat_map(|row| row.cells).flat_map(|cell| cell.blocks);
            return blocks.into_iter().try_for_each(|block| block.write(writer));
        }
        let mut notes = Vec::new();
        let rows = rows.into_iter().map(|row| flat_row(row, &mut notes)).collect();
        writer.table(rows, &notes)
    }
}

fn flat_row(row: TableRow, notes: &mut Vec<String>) -> Row {
    let mut flat_row = Row { header: row.header, page: row.page, ..Row::default() };
    for _ in 0..row.before {
        flat_row.cells.push(String::new());
        flat_row.spans.push(Span::Nothing);
    }
    for cell in row.cells {
        flat_row.cells.push(if cell.span == Span::Own { flat(&cell.blocks, notes) } else { String::new() });
        flat_row.spans.push(cell.span);
        for _ in 1..cell.columns {
            flat_row.cells.push(String::new());
            flat_row.spans.push(if cell.span == Span::Own { Span::Right } else { cell.span });
        }
    }
    flat_row
}

/// Blocks in one line, such as those of a cell. Notes that they refer to are added to `notes`.
pub(super) fn flat(blocks: &[Block], notes: &mut Vec<String>) -> String {
    let mut text = String::new();
    for block in blocks {
        match block {
            Block::Line(line) if line.words.is_empty() => {}
            Block::Line(line) => {
                let mark = line.label.as_ref().map(|label| format!("{} ", label.text)).unwrap_or_default();
                let mut lines = line.words.text().split('\u{2028}');
                add_to_cell(&mut text, &format!("{mark}{}", lines.next().unwrap_or_default()));
                lines.for_each(|line| add_to_cell(&mut text, line));
                notes.extend(line.notes.iter().cloned());
            }
            Block::Table(rows) => {
                for row in rows {
                    let cells: Vec<String> =
                        row.cells.iter().map(|cell| flat(&cell.blocks, notes)).filter(|cell| !cell.is_empty()).collect();
                    add_to_cell(&mut text, &cells.join(", "));
                }
            }
        }
    }
    text
}

/// How a run of words looks.
#[derive(Clone, Debug, Default)]
pub(super) struct Run {
    pub hidden: bool,
    pub font: Option<String>,
    /// The font of characters of the private area, where it is another one.
    pub symbols: Option<String>,
    /// Above or, if true, below the line.
    pub raised: Option<bool>,
}

impl Run {
    /// Adds words as they are seen in this run, whether it is hidden or not.
    pub fn push(&self, words: &mut Words, text: &str) {
        let font = self.font.as_deref().unwrap_or_default();
        let is_symbol = |c: char| ('\u{F020}'..='\u{F0FF}').contains(&c);
        if let Some(below) = self.raised {
            words.push(&raised(text, below));
        } else if symbol(font, 0x41).is_some() {
            text.chars().for_each(|c| words.push_char(symbol(font, c.into()).unwrap_or(c)));
        } else if text.contains(is_symbol) {
            let font = self.symbols.as_deref().or(self.font.as_deref()).unwrap_or("Symbol");
            text.chars().for_each(|c| words.push_char(symbol(font, c.into()).filter(|_| is_symbol(c)).unwrap_or(c)));
        } else {
            words.push(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_those_of_their_font() {
        let shown = |font: Option<&str>, symbols: Option<&str>, text: &str| {
            let run = Run { font: font.map(Into::into), symbols: symbols.map(Into::into), ..Run::default() };
            let mut words = Words::default();
            run.push(&mut words, text);
            words.text().to_owned()
        };
        assert_eq!(shown(Some("Symbol"), None, "a \u{F0B3}"), "α ≥");
        assert_eq!(shown(None, None, "\u{F0B3} a"), "≥ a");
        assert_eq!(shown(Some("Arial"), Some("Wingdings"), "a \u{F0FC}"), "a ✓");
        assert_eq!(shown(None, Some("Wingdings"), "a → b"), "a → b");
    }
}
