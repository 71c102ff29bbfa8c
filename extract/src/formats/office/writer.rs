//! Paragraphs, headings, items and tables of office documents, written as Markdown with their pages and sections.

use crate::markdown::Text;
use crate::{Failure, Limits, Marks, Place};

/// Bytes of a heading. What is longer is a paragraph, though a style of headings numbers it, as in many contracts.
const MAX_HEADING: usize = 160;
/// Bytes of a heading that ends like a sentence, and of one that has a number, which is a clause of a contract then.
const MAX_SENTENCE: usize = 80;
const MAX_CLAUSE: usize = 15;
/// Bytes of a cell that is repeated in the columns that it spans.
const MAX_REPEATED: usize = 60;
/// The level of sections that are paragraphs, after those of headings.
const PARAGRAPHS: u32 = 10;
/// The level of sections that are items of other lists.
const ITEMS: u32 = 30;

/// Words of a paragraph, with single blanks, as [`Text`] writes them; so a place in them is a place in the text.
#[derive(Clone, Debug, Default)]
pub(in crate::formats) struct Words {
    text: String,
    gap: Gap,
    /// Whether white space is before the first word, for what goes on in it.
    led: bool,
    /// How many line breaks are in `text`.
    breaks: usize,
    /// Pages that begin, and where.
    pages: Vec<(usize, u32)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Gap {
    #[default]
    None,
    Blank,
    Break,
}

impl Words {
    /// Adds words.
    pub fn push(&mut self, text: &str) {
        text.chars().for_each(|c| self.push_char(c));
    }

    /// Adds a character. U+2028 is a line break that stays; other white space is a blank.
    pub fn push_char(&mut self, c: char) {
        self.led |= self.text.is_empty() && c.is_whitespace();
        match c {
            '\u{2028}' => self.gap = Gap::Break,
            c if c.is_whitespace() => self.gap = if self.gap == Gap::Break { Gap::Break } else { Gap::Blank },
            '\u{AD}' | '\u{200B}' | '\u{FEFF}' => {}
            c if c.is_control() => {}
            c => {
                if !self.text.is_empty() {
                    match self.gap {
                        Gap::None => {}
                        Gap::Blank => self.text.push(' '),
                        Gap::Break => {
                            self.text.push('\u{2028}');
                            self.breaks += 1;
                        }
                    }
                }
                self.gap = Gap::None;
                self.text.push(c);
            }
        }
    }

    /// What comes next stands on this page.
    pub fn page(&mut self, page: u32) {
        let at = self.written() + usize::from(self.gap != Gap::None && !self.text.is_empty());
        self.pages.push((at, page));
    }

    /// Bytes of the words where they are written: a line break is a line feed there, and three bytes here.
    fn written(&self) -> usize {
        self.text.len() - 2 * self.breaks
    }

    /// Adds the words of another paragraph.
    pub fn append(&mut self, other: &Self) {
        if other.led {
            self.push_char(' ');
        }
        let mut from = 0;
        let mut breaks = 0;
        let mut pages = other.pages.iter().peekable();
        for (at, c) in other.text.char_indices() {
            while let Some((_, page)) = pages.next_if(|(place, _)| *place <= at - 2 * breaks) {
                self.push(&other.text[from..at]);
                from = at;
                self.page(*page);
            }
            breaks += usize::from(c == '\u{2028}');
        }
        self.push(&other.text[from..]);
        pages.for_each(|(_, page)| self.page(*page));
        if other.gap != Gap::None {
            self.push_char(if other.gap == Gap::Break { '\u{2028}' } else { ' ' });
        }
    }

    /// The words; line breaks are U+2028.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The page that begins with the first word.
    pub fn first_page(&self) -> Option<u32> {
        self.pages.iter().take_while(|(at, _)| *at == 0).last().map(|(_, page)| *page)
    }
}

impl From<&str> for Words {
    fn from(text: &str) -> Self {
        let mut words = Self::default();
        words.push(text);
        words
    }
}

/// What stands before a paragraph of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::formats) struct Label {
    /// The bullet or number as it is seen: `-`, `4.2`, `(b)`.
    pub text: String,
    /// How many lists it is in, from 0.
    pub level: u32,
    /// Whether it divides the document, as the clauses of a contract do; else it is an item.
    pub divides: bool,
}

impl Label {
    /// A bullet.
    pub fn bullet(level: u32) -> Self {
        Self { text: "-".into(), level, divides: false }
    }

    fn is_bullet(&self) -> bool {
        !self.text.contains(char::is_alphanumeric)
    }

    /// Whether it names the numbers above it, as `4.2` does.
    fn is_whole(&self) -> bool {
        let number = self.text.trim_end_matches('.');
        number.contains('.') && number.starts_with(|c: char| c.is_ascii_alphanumeric())
    }
}

/// A paragraph that is to be written.
#[derive(Clone, Debug, Default)]
pub(in crate::formats) struct Line {
    pub words: Words,
    /// The level of a heading, from 1.
    pub heading: Option<u8>,
    pub label: Option<Label>,
    /// Notes that it refers to, each beginning with its mark.
    pub notes: Vec<String>,
    /// Whether it is what a picture shows.
    pub picture: bool,
}

/// A row of a table.
#[derive(Clone, Debug, Default)]
pub(in crate::formats) struct Row {
    pub cells: Vec<String>,
    /// Whether the cell is one that begins above, or left of here; its text is that one's.
    pub spans: Vec<Span>,
    /// Whether it is said to be of the header.
    pub header: bool,
    /// The page that it begins on, if that is known.
    pub page: Option<u32>,
}

/// How a cell belongs to others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::formats) enum Span {
    #[default]
    Own,
    /// It goes on the cell above.
    Down,
    /// It goes on the cell to the left.
    Right,
    /// There is no cell: the row begins further right.
    Nothing,
}

/// Writes paragraphs and tables.
pub(in crate::formats) struct Writer {
    text: Text,
    /// Bytes of the text, at most.
    limit: u64,
    /// Levels of the items that are open.
    items: Vec<u32>,
    /// Sections that are open, with their levels.
    sections: Vec<(u32, String)>,
    /// The section that is marked.
    marked: String,
}

impl Writer {
    pub fn new(limits: &Limits) -> Self {
        Self { text: Text::new(limits), limit: limits.text_bytes, items: Vec::new(), sections: Vec::new(), marked: String::new() }
    }

    /// What is written next stands on this page.
    pub fn page(&mut self, page: u32) {
        self.text.mark(Place::Page(page));
    }

    /// What is written next stands at this place.
    pub fn mark(&mut self, place: Place) {
        self.text.mark(place);
    }

    /// A paragraph that is no more than its words.
    pub fn paragraph(&mut self, text: &str) -> Result<(), Failure> {
        self.items.clear();
        self.text.paragraph(text)
    }

    /// A heading that is no more than its words, though it may begin with a number. Sections end there.
    pub fn heading(&mut self, level: u8, text: &str) -> Result<(), Failure> {
        self.items.clear();
        self.sections.clear();
        if !self.marked.is_empty() {
            self.marked.clear();
            self.text.mark(Place::Section(String::new()));
        }
        self.text.heading(level, text)
    }

    /// A paragraph, heading or item.
    pub fn line(&mut self, line: &Line) -> Result<(), Failure> {
        let from = self.text.len();
        self.block(line)?;
        if line.picture {
            self.text.set_apart(from);
        }
        // A page that begins after the last word is that of what comes next.
        if let Some((_, page)) = line.words.pages.last().filter(|(at, _)| *at >= line.words.written()) {
            self.text.mark(Place::Page(*page));
        }
        Ok(())
    }

    fn block(&mut self, line: &Line) -> Result<(), Failure> {
        let Line { words, heading, label, notes, .. } = line;
        if words.is_empty() {
            return notes.iter().try_for_each(|note| self.text.paragraph(note));
        }
        let most = if label.is_some() { MAX_CLAUSE } else { MAX_SENTENCE };
        let is_sentence = words.text.len() > most && words.text.ends_with(['.', ';', ':', ',']);
        let heading = heading.filter(|_| words.text.len() <= MAX_HEADING && !is_sentence);
        self.section(words.text(), heading, label.as_ref());
        let mark = label.as_ref().map(|label| if label.is_bullet() { "-" } else { label.text.as_str() }).unwrap_or_default();
        let marked = if mark.is_empty() { words.text.clone() } else { format!("{mark} {}", words.text) };
        let mark_bytes = marked.len() - words.text.len();
        if let Some(level) = heading {
            self.items.clear();
            self.pages(words, usize::from(level.clamp(1, 6)) + 1 + mark_bytes);
            self.text.heading(level, &marked)?;
            return notes.iter().try_for_each(|note| self.text.paragraph(note));
        }
        let separate = |separator: &str| notes.iter().map(|note| format!("{separator}{note}")).collect::<String>();
        match label.as_ref().filter(|label| !mark.is_empty() && !(label.divides && (label.level == 0 || label.is_whole()))) {
            Some(label) => {
                while self.items.pop_if(|level| *level >= label.level).is_some() {}
                let depth = self.items.len();
                self.items.push(label.level);
                self.pages(words, 3 * depth.min(8) + mark_bytes);
                self.text.item(depth, mark, &format!("{}{}", words.text, separate(" ")))
            }
            None => {
                self.items.clear();
                self.pages(words, mark_bytes);
                self.text.paragraph(&format!("{marked}{}", separate("\u{2028}")))
            }
        }
    }

    /// Marks the pages of words that begin at a byte of the next block.
    fn pages(&mut self, words: &Words, from: usize) {
        for (at, page) in words.pages.iter().filter(|(at, _)| *at < words.written()) {
            // A page that begins with the words begins with their mark.
            self.text.mark_at(if *at == 0 { 0 } else { from + at }, Place::Page(*page));
        }
    }

    /// Marks the section of a paragraph.
    fn section(&mut self, words: &str, heading: Option<u8>, label: Option<&Label>) {
        let number = label.filter(|label| !label.is_bullet());
        let level = match (heading, number) {
            (Some(level), _) => level.into(),
            (None, Some(label)) if label.divides => PARAGRAPHS + label.level,
            (None, Some(label)) => ITEMS + label.level,
            (None, None) => match typed_item(words) {
                Some((level, _)) if !self.sections.is_empty() && label.is_none() => ITEMS + level,
                _ if typed_section(words, false).is_some() && label.is_none() => PARAGRAPHS,
                _ => ITEMS,
            },
        };
        if label.is_none_or(|label| !label.is_bullet()) || heading.is_some() {
            while self.sections.pop_if(|(open, _)| *open >= level).is_some() {}
        }
        let above = self.sections.last().map(|(_, section)| section.as_str());
        let section = match number {
            Some(label) => cited(label, above, heading.is_some() || label.divides),
            None if label.is_some() => None,
            None => typed_section(words, heading.is_some()).or_else(|| {
                let (_, mark) = typed_item(words)?;
                above.map(|above| joined(above, mark))
            }),
        };
        if let Some(section) = section {
            self.sections.push((level, section));
        }
        let now = self.sections.last().map(|(_, section)| section.as_str()).unwrap_or_default();
        if self.marked != now {
            self.text.mark(Place::Section(now.to_owned()));
            self.marked = now.to_owned();
        }
    }

    /// A table. Cells that span others are repeated; a row of one cell that spans all has it once.
    pub fn table(&mut self, mut rows: Vec<Row>, notes: &[String]) -> Result<(), Failure> {
        self.items.clear();
        rows.retain(|row| row.cells.iter().any(|cell| !cell.is_empty()));
        join_columns(&mut rows);
        let width = rows.iter().map(|row| row.cells.len()).max().unwrap_or_default();
        // A box around words, and a title above the columns.
        let spans_all = |row: &Row| row.spans.iter().skip(1).all(|span| *span == Span::Right);
        let titles = if width == 1 { rows.len() } else { rows.iter().take_while(|row| spans_all(row)).count() };
        for row in rows.drain(..titles) {
            row.page.into_iter().for_each(|page| self.page(page));
            if let Some(cell) = row.cells.first() {
                self.text.paragraph(cell)?;
            }
        }
        let mut bytes = 0;
        for at in 0..rows.len() {
            let (above, rest) = rows.split_at_mut(at);
            let row = &mut rest[0];
            // A long cell that spans many is more than the file has.
            if bytes > self.limit {
                return Err(Failure::text_too_large(self.limit));
            }
            let alone = spans_all(row);
            for column in 0..row.cells.len() {
                match row.spans.get(column) {
                    Some(Span::Right) if alone => row.cells[column].clear(),
                    Some(Span::Right) if column > 0 && row.cells[column - 1].len() <= MAX_REPEATED => {
                        row.cells[column] = row.cells[column - 1].clone()
                    }
                    Some(Span::Down) => row.cells[column] = above.last().and_then(|row| row.cells.get(column)).cloned().unwrap_or_default(),
                    _ => {}
                }
            }
            bytes += 3 * width as u64 + row.cells.iter().map(|cell| cell.len() as u64).sum::<u64>();
        }
        let headers = header_rows(&rows);
        if headers > 1 {
            let joined = (0..width).map(|column| {
                let mut parts: Vec<&str> = rows[..headers].iter().filter_map(|row| row.cells.get(column)).map(String::as_str).collect();
                parts.retain(|part| !part.is_empty());
                parts.dedup();
                parts.join(" – ")
            });
            rows[0].cells = joined.collect();
            rows.drain(1..headers);
        }
        let places: Vec<_> = rows.iter().enumerate().filter_map(|(at, row)| Some((at, Place::Page(row.page?)))).collect();
        let cells: Vec<Vec<String>> = rows.into_iter().map(|row| row.cells).collect();
        self.text.table_at(&cells, &places)?;
        notes.iter().try_for_each(|note| self.text.paragraph(note))
    }

    /// A table that is no more than its cells, with places from rows of it on.
    pub fn cells(&mut self, cells: &[Vec<String>], places: &[(usize, Place)]) -> Result<(), Failure> {
        self.text.table_at(cells, places)
    }

    /// The text and its places.
    ///
    /// # Errors
    /// If nothing is written.
    pub fn finish(self) -> Result<(String, Marks), Failure> {
        if self.text.is_empty() {
            return Err(Failure::Empty { advice: "if it shows pictures of pages, save it as .pdf" });
        }
        Ok(self.text.finish())
    }
}

/// Columns of a table, beyond which they are left as they are.
const MAX_JOINED: usize = 200;

/// Makes one of two columns where no row has a cell in each: rows that are moved a little make columns that nobody sees.
fn join_columns(rows: &mut [Row]) {
    let mut width = rows.iter().map(|row| row.cells.len()).max().unwrap_or_default();
    if width > MAX_JOINED {
        return;
    }
    let span = |row: &Row, at: usize| match row.cells.get(at) {
        Some(_) => row.spans.get(at).copied().unwrap_or_default(),
        None => Span::Nothing,
    };
    let mut column = 1;
    while column < width {
        let is_one = |row: &Row| span(row, column) == Span::Right || [column - 1, column].iter().any(|at| span(row, *at) == Span::Nothing);
        let spanned = rows.iter().any(|row| span(row, column) == Span::Right && span(row, column - 1) != Span::Nothing);
        if !(spanned && rows.iter().all(is_one)) {
            column += 1;
            continue;
        }
        for row in rows.iter_mut() {
            let at = if span(row, column - 1) == Span::Nothing { column - 1 } else { column };
            if at < row.cells.len() {
                row.cells.remove(at);
            }
            if at < row.spans.len() {
                row.spans.remove(at);
            }
        }
        width -= 1;
    }
}

/// How many rows are the header: those that say so, else those that a cell of the first row goes down to, where others of it are divided.
fn header_rows(rows: &[Row]) -> usize {
    let said = rows.iter().take_while(|row| row.header).count();
    let divided = rows.first().is_some_and(|row| row.spans.contains(&Span::Right));
    let down = rows.iter().skip(1).take_while(|row| row.spans.contains(&Span::Down)).count();
    let seen = if divided && down <= 2 { 1 + down } else { 1 };
    if said > 1 && said < rows.len() { said } else { seen.min(rows.len().saturating_sub(1)).max(1) }
}

/// Adds the text of a further paragraph to a cell.
pub(in crate::formats) fn add_to_cell(cell: &mut String, text: &str) {
    if text.is_empty() {
        return;
    }
    if !cell.is_empty() {
        // Lines without an end would run together.
        cell.push_str(if cell.ends_with(|c: char| c.is_alphanumeric() || ")]%\"”»°".contains(c)) { "; " } else { " " });
    }
    cell.push_str(text);
}

/// The section of a numbered paragraph as it is cited: `§ 4.2 (b)`; `None` for an item of a list that is in no section.
fn cited(label: &Label, above: Option<&str>, divides: bool) -> Option<String> {
    let number = label.text.trim().trim_end_matches(['.', ':', ',', '-', '–']).trim_end();
    if number.is_empty() {
        return None;
    }
    match above.filter(|_| !label.is_whole()) {
        Some(above) if label.level > 0 || !divides => Some(joined(above, number)),
        _ if divides => Some(named(number)),
        _ => None,
    }
}

/// A number as a section: `§ 4.2`; `Article 5` as it is.
fn named(number: &str) -> String {
    if number.starts_with(|c: char| c.is_ascii_digit()) { format!("§ {number}") } else { number.to_owned() }
}

/// A section within another one: `§ 4.2 (b)(ii)`.
fn joined(above: &str, number: &str) -> String {
    let bare = number.chars().all(char::is_alphanumeric);
    let number = if bare { format!("({number})") } else { number.to_owned() };
    if above.ends_with(')') && number.starts_with('(') { format!("{above}{number}") } else { format!("{above} {number}") }
}

/// The section that a paragraph names itself: `§ 12a`, `Article 5`, and `4.2` before the words of a heading.
fn typed_section(words: &str, heading: bool) -> Option<String> {
    const NAMES: [&str; 9] = ["§ ", "§", "Article ", "Art. ", "Artikel ", "Section ", "Clause ", "Regulation ", "Rule "];
    let name = NAMES.into_iter().find(|name| words.starts_with(name));
    let rest = &words[name.map_or(0, str::len)..];
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.')).unwrap_or(rest.len());
    let number = rest[..end].trim_end_matches('.');
    if !number.starts_with(|c: char| c.is_ascii_digit()) || number.split('.').any(|part| !(1..=4).contains(&part.len())) {
        return None;
    }
    // `12 August` and `2026` are no numbers of sections; `Section 4 of the Act holds` is a sentence.
    let next = rest[end..].trim_start().chars().next();
    let ends = rest[..end].ends_with('.') || next.is_none_or(|c| matches!(c, ':' | '–' | '—' | '('));
    let titled = next.is_some_and(char::is_uppercase) && words.len() <= MAX_HEADING;
    match name {
        Some(name) if heading || ends || titled => {
            Some(if name.starts_with('§') { format!("§ {number}") } else { format!("{name}{number}") })
        }
        None if heading && number.len() <= 12 && (number.len() < 4 || number.contains('.')) => Some(format!("§ {number}")),
        _ => None,
    }
}

/// The mark of an item that is typed, such as `(b)`, and a level by its kind: digits, letters, Roman numbers.
fn typed_item(words: &str) -> Option<(u32, &str)> {
    let inner = words.strip_prefix('(')?;
    let end = inner.find(')')?;
    let body = &inner[..end];
    let level = match body {
        "" => return None,
        _ if body.len() > 4 || !inner[end + 1..].starts_with(' ') => return None,
        _ if body.bytes().all(|byte| byte.is_ascii_digit()) => 0,
        _ if body.len() > 1 && body.bytes().all(|byte| b"ivx".contains(&byte)) => 2,
        "i" => 2,
        _ if body.len() <= 2 && body.bytes().all(|byte| byte.is_ascii_alphanumeric()) => 1,
        _ => return None,
    };
    Some((level, &words[..end + 2]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(text: &str, level: u32, divides: bool) -> Option<Label> {
        Some(Label { text: text.into(), level, divides })
    }

    fn places(lines: &[(&str, Option<u8>, Option<Label>)]) -> Vec<String> {
        let mut writer = Writer::new(&Limits::default());
        for (words, heading, label) in lines {
            writer.line(&Line { words: (*words).into(), heading: *heading, label: label.clone(), notes: vec![], picture: false }).unwrap();
        }
        let (text, marks) = writer.finish().unwrap();
        let mut at = 0;
        let mut found = Vec::new();
        for line in text.split_inclusive('\n') {
            if line != "\n" {
                found.push(marks.places(at, at + line.len()).to_string());
            }
            at += line.len();
        }
        found
    }

    #[test]
    fn sections_are_cited_as_lawyers_do() {
        let contract = [
            ("Services", Some(1), label("4.", 0, true)),
            ("The Supplier shall:", None, label("4.2", 1, true)),
            ("deliver", None, label("(b)", 2, true)),
            ("at once", None, label("(ii)", 3, true)),
            ("Bullets stay", None, Some(Label::bullet(0))),
            ("Fees", Some(1), label("5.", 0, true)),
            ("apples", None, label("a)", 0, false)),
            ("They are fruit.", None, None),
            ("Annex", Some(1), None),
            ("apples", None, label("1.", 0, false)),
        ];
        let expected = ["§ 4", "§ 4.2", "§ 4.2 (b)", "§ 4.2 (b)(ii)", "§ 4.2 (b)(ii)", "§ 5", "§ 5 a)", "§ 5", "", ""];
        assert_eq!(places(&contract), expected);
        let typed = [
            ("§ 12a Widerruf", Some(2), None),
            ("(1) Der Kunde kann widerrufen.", None, None),
            ("(2) Die Frist:", None, None),
            ("(a) vierzehn Tage", None, None),
            ("Danach nicht.", None, None),
            ("Article 5. The tenant pays.", None, None),
            ("Section 4 of the Act holds.", None, None),
            ("2026 Budget", Some(1), None),
        ];
        assert_eq!(places(&typed), ["§ 12a", "§ 12a (1)", "§ 12a (2)", "§ 12a (2)(a)", "§ 12a", "Article 5", "Article 5", ""]);
    }

    #[test]
    fn pages_begin_within_words() {
        let mut words = Words::default();
        words.push(" one \u{2028}two");
        words.push(" ");
        words.page(2);
        words.push("three");
        let mut more = Words::from("zero ");
        more.append(&words);
        let mut writer = Writer::new(&Limits::default());
        writer.line(&Line { words: more, label: label("(a)", 0, false), ..Line::default() }).unwrap();
        let (text, marks) = writer.finish().unwrap();
        assert_eq!(text, "(a) zero one two three\n");
        assert_eq!(marks.iter().next().unwrap(), (text.find("three").unwrap(), &Place::Page(2)));
    }

    #[test]
    fn columns_that_nobody_sees_are_joined() {
        let row = |cells: &[&str], spans: &[Span]| Row {
            cells: cells.iter().map(|cell| (*cell).to_owned()).collect(),
            spans: spans.to_vec(),
            ..Row::default()
        };
        let rows = vec![
            row(&["", "Word", "Meaning"], &[Span::Nothing, Span::Own, Span::Own]),
            row(&["a", "", "first"], &[Span::Own, Span::Right, Span::Own]),
            row(&["", "b", "second"], &[Span::Nothing, Span::Own, Span::Own]),
        ];
        let mut writer = Writer::new(&Limits::default());
        writer.table(rows, &[]).unwrap();
        assert_eq!(writer.finish().unwrap().0, "| Word | Meaning |\n|---|---|\n| a | first |\n| b | second |\n");
    }

    #[test]
    fn tables_have_one_header_and_whole_cells() {
        let row = |cells: &[&str], spans: &[Span]| Row {
            cells: cells.iter().map(|cell| (*cell).to_owned()).collect(),
            spans: spans.to_vec(),
            ..Row::default()
        };
        let mut writer = Writer::new(&Limits::default());
        let rows = vec![
            row(&["Doses", "", ""], &[Span::Own, Span::Right, Span::Right]),
            row(&["Age", "Dose", ""], &[Span::Own, Span::Own, Span::Right]),
            row(&["", "mg", "times"], &[Span::Down, Span::Own, Span::Own]),
            row(&["Children", "", ""], &[Span::Own, Span::Right, Span::Right]),
            row(&["2-5", "10", "2"], &[]),
            row(&["", "20", "1"], &[Span::Down, Span::Own, Span::Own]),
        ];
        writer.table(rows, &["[1] With food.".into()]).unwrap();
        let expected = "Doses\n\n| Age | Dose – mg | Dose – times |\n|---|---|---|\n| Children |  |  |\n| 2-5 | 10 | 2 |\n| 2-5 | 20 | 1 |\n\n[1] With food.\n";
        assert_eq!(writer.finish().unwrap().0, expected);
    }
}
