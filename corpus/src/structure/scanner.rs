//! Reads a document line by line and keeps what later lines need.

use std::rc::Rc;

use unicode_segmentation::UnicodeSegmentation;

use super::marks::{self, Count, Mark, Wrap};
use super::outline::{Above, Bond, Chain, Kind, Outline};
use super::tables;
use crate::fence::Fence;

/// Maximum bytes that are kept of a line.
const MAX_KEPT: usize = 1024;
/// A line of at most so many bytes that ends no sentence introduces the list or the table below it, even without a colon.
const SHORT_LINE: usize = 120;
/// A line of fewer bytes does not run on in the next line.
const WRAPPED: usize = 40;
/// A clause that ends in a comma says what an item is about if it has so many words.
const CLAUSE_WORDS: usize = 4;
/// Maximum bytes of a mark within a line.
const MAX_MARK: usize = 32;
/// Maximum number of items within one another. Deeper ones replace the deepest.
const MAX_DEPTH: usize = 12;

/// Reads the blocks of one document in order. Memory: the open headings and items, each cut to 1 KiB.
#[derive(Default)]
pub(crate) struct Scanner {
    /// The headings above, with their levels.
    headings: Vec<(u8, Rc<Above>)>,
    /// What introduces the outermost list.
    lead: Option<Rc<Above>>,
    /// The items that the next line may belong to, the outermost first.
    items: Vec<OpenItem>,
    table: Option<Table>,
    /// What ends the code block.
    fence: Fence,
    /// The paragraph that ends in the last line that is not blank; empty if that line is none.
    paragraph: String,
    /// The last line that is not blank, and where it begins in the block; nowhere if it is in an earlier one.
    last: String,
    last_start: Option<usize>,
    /// Number of blank lines since.
    blanks: usize,
    /// Whether the block before ended within a line.
    torn: bool,
    /// A heading or the header of a table, from where it binds the next line.
    binds: Option<(usize, Bond)>,
}

struct OpenItem {
    line: Rc<Above>,
    wrap: Wrap,
    count: Count,
    /// The last character of its number.
    letter: Option<char>,
    indent: usize,
}

struct Table {
    separator: char,
    caption: Option<Rc<Above>>,
    header: Option<Rc<Above>>,
}

impl Table {
    /// What its rows need.
    fn lines(&self) -> impl Iterator<Item = &Rc<Above>> {
        self.caption.iter().chain(&self.header)
    }
}

impl Scanner {
    /// The outline of the next block of the document.
    pub fn scan(&mut self, text: &str) -> Outline {
        let mut outline = Outline::default();
        (self.last_start, self.binds) = (None, None);
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            self.line(line, at, &mut outline);
            at += line.len();
        }
        self.torn = !text.ends_with('\n');
        outline
    }

    fn line(&mut self, line: &str, at: usize, outline: &mut Outline) {
        let torn = std::mem::take(&mut self.torn) && at == 0;
        let content = line.trim();
        if content.is_empty() {
            self.blanks += 1;
            self.table = None;
            return;
        }
        let start = at + (line.len() - line.trim_start().len());
        let end = start + content.len();
        if let Some((from, bond)) = self.binds.take() {
            outline.bonds.push((from, start, bond));
        }
        if torn {
            // The line goes on that the block before began with.
            let mut chain = self.chain();
            chain.extend(self.table.iter().flat_map(Table::lines).cloned());
            outline.push(start, chain.clone(), chain);
        } else if self.fence.contains(content) {
            outline.push(start, self.chain(), self.chain());
            self.paragraph.clear();
        } else if !self.table_line(content, start, end, outline)
            && !self.rule(content, start, outline)
            && !self.heading(content, start, outline)
        {
            let indent = line.chars().take_while(|c| c.is_whitespace()).map(|c| if c == '\t' { 4 } else { 1 }).sum();
            match marks::item(content).filter(|mark| self.is_item(mark)) {
                Some(_) => self.items(content, indent, start, outline),
                None => self.plain(content, indent, start, outline),
            }
            if !self.items.is_empty() {
                outline.bonds.push((start, end - 1, Bond::Item));
            }
        }
        self.last = kept(content).to_owned();
        self.last_start = Some(start);
        self.blanks = 0;
    }

    /// What stands above the next line: headings, what introduces the list, and the open items.
    fn chain(&self) -> Chain {
        let headings = self.headings.iter().map(|(_, heading)| heading);
        headings.chain(&self.lead).chain(self.items.iter().map(|item| &item.line)).cloned().collect()
    }

    /// A line of a table: its header becomes known in the line below it.
    fn table_line(&mut self, content: &str, start: usize, end: usize, outline: &mut Outline) -> bool {
        let delimiter = tables::is_delimiter(content);
        let separators = tables::separators(content);
        if self.table.is_none() && self.blanks == 0 && !self.paragraph.is_empty() {
            let header = tables::separators(&self.last).filter(|(_, count)| match separators {
                _ if delimiter => true,
                Some((_, other)) => *count > 1 && *count == other,
                None => false,
            });
            if let Some((separator, _)) = header.filter(|(c, _)| delimiter || separators.is_some_and(|(other, _)| other == *c)) {
                self.open_table(separator, start, outline);
            }
        }
        let Some(table) = &self.table else { return false };
        if !delimiter && separators.is_none_or(|(separator, _)| separator != table.separator) {
            self.table = None;
            return false;
        }
        let mut chain = self.chain();
        chain.extend(table.lines().cloned());
        let mut within = chain.clone();
        if let Some(label) = tables::label(content, table.separator).filter(|_| !delimiter) {
            within.push(Above::new(Kind::Label, kept(label)));
        }
        outline.push(start, chain, within);
        outline.bonds.push((start, end - 1, Bond::Row));
        if delimiter {
            self.binds = Some((start, Bond::Row));
        }
        true
    }

    /// The last line was the header of a table.
    fn open_table(&mut self, separator: char, start: usize, outline: &mut Outline) {
        let words = self.last.contains(char::is_alphanumeric);
        let header = words.then(|| Above::new(Kind::Header, self.last.as_str()));
        // The paragraph that the header seemed to end.
        let before = self.paragraph.strip_suffix(self.last.as_str()).unwrap_or_default().trim_end();
        let caption = introduction(before).map(|text| Above::new(Kind::Lead, text));
        if let Some(header) = self.last_start {
            outline.bonds.push((header, start, Bond::Row));
            if caption.is_some() {
                outline.bonds.push((header.saturating_sub(1), header, Bond::Lead));
            }
        }
        self.table = Some(Table { separator, caption, header });
        self.paragraph.clear();
    }

    /// A line without words: a rule, or what underlines a heading.
    fn rule(&mut self, content: &str, start: usize, outline: &mut Outline) -> bool {
        if content.contains(char::is_alphanumeric) || content.starts_with(['|', '+']) {
            return false;
        }
        let all = |mark: char| content.len() > 2 && content.chars().all(|c| c == mark);
        let level = if all('=') { Some(1) } else { all('-').then_some(2) };
        let underlines = self.blanks == 0 && self.last == self.paragraph && self.last.contains(char::is_alphanumeric);
        if let Some(level) = level.filter(|_| underlines && self.items.is_empty()) {
            if let Some(from) = self.last_start {
                outline.bonds.push((from, start, Bond::Lead));
            }
            let text = std::mem::take(&mut self.last);
            self.open_heading(level, &text);
            self.binds = Some((start, Bond::Lead));
        }
        outline.push(start, self.chain(), self.chain());
        self.paragraph.clear();
        true
    }

    fn heading(&mut self, content: &str, start: usize, outline: &mut Outline) -> bool {
        let Some((level, text)) = marks::heading(content) else { return false };
        self.headings.retain(|(open, _)| *open < level);
        (self.lead, self.items) = (None, Vec::new());
        outline.push(start, self.chain(), self.chain());
        self.open_heading(level, text);
        self.binds = Some((start, Bond::Lead));
        self.paragraph.clear();
        true
    }

    fn open_heading(&mut self, level: u8, text: &str) {
        self.headings.retain(|(open, _)| *open < level);
        (self.lead, self.items) = (None, Vec::new());
        self.headings.push((level, Above::new(Kind::Heading, kept(text))));
    }

    /// Whether a line that begins with a mark is an item: marks that prose has too must follow an item of the same kind, a blank line or
    /// what introduces a list.
    fn is_item(&self, mark: &Mark<'_>) -> bool {
        !mark.is_weak()
            || self.last.is_empty()
            || self.blanks > 0
            || self.paragraph.is_empty()
            || introduces(&self.last)
            || mark.is_first() && introduction(&self.paragraph).is_some()
            || self.items.iter().any(|item| item.wrap == mark.wrap)
    }

    /// A line of items: one, or several as in `(1) the fee; (2) the costs`.
    fn items(&mut self, content: &str, indent: usize, start: usize, outline: &mut Outline) {
        let mut from = 0;
        for end in inline_items(content).into_iter().chain([content.len()]) {
            let item = &content[from..end];
            if let Some(mark) = marks::item(item) {
                self.item(item.trim_end(), &mark, indent, start + from, outline);
            }
            from = end;
        }
    }

    /// An item, or several whose marks follow one another, as in `(b) (1) The fee`.
    fn item(&mut self, content: &str, mark: &Mark<'_>, indent: usize, start: usize, outline: &mut Outline) {
        let above = self.open_item(content, mark, indent, start, outline);
        let mut rest = content;
        let mut length = mark.length;
        loop {
            rest = rest[length..].trim_start();
            let Some(next) = marks::item(rest).filter(|next| next.wrap == Wrap::Parentheses) else { break };
            if let Some(outer) = self.items.last_mut() {
                outer.line = Above::new(Kind::Item, content[..content.len() - rest.len()].trim_end());
            }
            self.open_item(rest, &next, indent, start, outline);
            length = next.length;
        }
        outline.push(start, above, self.chain());
        self.paragraph.clear();
        // What looks like an item may be the header of a table.
        if tables::separators(content).is_some() {
            self.paragraph.push_str(kept(content));
        }
    }

    /// Gives what is above the item.
    fn open_item(&mut self, content: &str, mark: &Mark<'_>, indent: usize, start: usize, outline: &mut Outline) -> Chain {
        let alike = |item: &OpenItem, count| item.wrap == mark.wrap && item.count == count;
        let letter_after = |count| self.items.iter().rev().find(|item| alike(item, count)).map(|item| item.letter.unwrap_or(' '));
        let count = mark.count(letter_after);
        // An item of the same kind ends the one before it and what is in that, unless its count starts over or it is indented more.
        let restarts = mark.wrap == Wrap::Parentheses && mark.is_first();
        let is_sibling = |item: &OpenItem| alike(item, count) && item.indent + 1 >= indent && !(restarts && item.indent <= indent);
        let sibling = self.items.iter().any(is_sibling);
        let ends = |item: &OpenItem| match sibling {
            true => alike(item, count) && item.indent + 1 >= indent,
            false => item.indent > indent || matches!((mark.wrap, item.wrap), (Wrap::Bullet(_), Wrap::Bullet(_))) && item.indent == indent,
        };
        let keep = if mark.wrap == Wrap::Article { Some(0) } else { self.items.iter().position(ends) };
        self.items.truncate(keep.unwrap_or(self.items.len()).min(MAX_DEPTH - 1));
        if self.items.is_empty() && !sibling {
            let near = self.blanks <= 1 && !self.paragraph.is_empty();
            self.lead = near.then(|| introduction(&self.paragraph)).flatten().map(|text| Above::new(Kind::Lead, text));
        }
        if !sibling && (self.lead.is_some() || !self.items.is_empty()) {
            outline.bonds.push((start.saturating_sub(1), start, Bond::Lead));
        }
        let above = self.chain();
        let line = Above::new(Kind::Item, item_text(content, mark.length));
        self.items.push(OpenItem { line, wrap: mark.wrap, count, letter: mark.body.chars().next_back(), indent });
        above
    }

    /// A line of a paragraph, which may go on an item.
    fn plain(&mut self, content: &str, indent: usize, start: usize, outline: &mut Outline) {
        if self.blanks > 0 {
            self.items.retain(|item| item.indent < indent);
        } else if ends_sentence(&self.last) || self.last.len() < WRAPPED {
            // Paragraphs of a law's subsections follow one another without blank lines.
            let goes_on =
                |item: &OpenItem| item.indent < indent || matches!(item.wrap, Wrap::Parentheses | Wrap::Article | Wrap::Paragraph);
            while self.items.last().is_some_and(|item| !goes_on(item)) {
                self.items.pop();
            }
        }
        if self.items.is_empty() {
            self.lead = None;
        }
        let chain = self.chain();
        outline.push(start, chain.clone(), chain);
        if self.blanks > 0 {
            // What stands above a table may be a line of its own, with a blank line after it.
            let above = std::mem::take(&mut self.paragraph);
            let may_introduce = introduces(&above) || above.len() <= SHORT_LINE && above == self.last;
            if self.blanks == 1 && may_introduce && tables::separators(content).is_some() {
                self.paragraph = above;
            }
        }
        if !self.paragraph.is_empty() {
            self.paragraph.push('\n');
        }
        self.paragraph.push_str(kept(content));
        if self.paragraph.len() > 2 * MAX_KEPT {
            let from = self.paragraph.ceil_char_boundary(self.paragraph.len() - MAX_KEPT);
            self.paragraph.drain(..from);
        }
    }
}

/// What of a paragraph introduces the list or table below it: its last sentence, if the paragraph ends in a colon or is a short line that
/// ends no sentence.
fn introduction(paragraph: &str) -> Option<String> {
    let paragraph = paragraph.trim_end();
    let last_line = paragraph.rsplit('\n').next().unwrap_or_default();
    if !introduces(paragraph) && (last_line.len() > SHORT_LINE || ends_sentence(last_line)) || !last_line.contains(char::is_alphanumeric) {
        return None;
    }
    let unbroken = if introduces(paragraph) { paragraph.replace(['\n', '\r'], " ") } else { last_line.to_owned() };
    let mut from = unbroken.len();
    // An abbreviation does not end a sentence: a lead of one or two words takes the sentence before it too.
    for (at, _) in unbroken.split_sentence_bound_indices().collect::<Vec<_>>().into_iter().rev() {
        from = at;
        if unbroken[from..].split_whitespace().count() > 2 {
            break;
        }
    }
    Some(kept(unbroken[from..].trim()).to_owned())
}

/// Whether a text ends in what introduces a list.
fn introduces(text: &str) -> bool {
    let text = text.trim_end_matches(['*', '_', ' ', '\n', '\r']);
    text.ends_with([':', '：', '—', '–']) || text.ends_with("--") || text.ends_with(" -")
}

fn ends_sentence(line: &str) -> bool {
    line.trim_end_matches(['*', '_', ')', '"', '”', '」', '）', '’']).ends_with(['.', '!', '?', '。', '！', '？', ';', '；'])
}

/// Where in a line of items further ones begin: at marks after the end of a sentence or a clause. A mark that the text refers to, as in
/// `paragraphs (a), (b) or (c)`, is none.
fn inline_items(content: &str) -> Vec<usize> {
    let begins = |at: usize| {
        let before = content[..at].trim_end();
        let clause = before.strip_suffix(" and").or_else(|| before.strip_suffix(" or")).unwrap_or(before);
        if !clause.ends_with(['.', ';', ':', ',', '—', '。', '；', '：', '，']) {
            return false;
        }
        // A mark and the word after it are short.
        let rest = &content[at..content.floor_char_boundary(at + 2 * MAX_MARK)];
        let Some(mark) = marks::item(rest).filter(|mark| matches!(mark.wrap, Wrap::Parentheses | Wrap::Article | Wrap::Paragraph)) else {
            return false;
        };
        let after = &rest[mark.length..];
        let word = after.split_whitespace().next().unwrap_or_default();
        let refers = matches!(word, "and" | "or" | "of" | "to" | "through" | "above" | "below");
        after.starts_with(|c: char| c.is_whitespace() || c.is_alphanumeric()) && !refers
    };
    content.char_indices().skip(1).filter(|(_, c)| matches!(c, '(' | '（' | '第')).map(|(at, _)| at).filter(|at| begins(*at)).collect()
}

/// What is kept of an item whose mark has `mark` bytes: all of it if it introduces other items, else its first sentence or clause, which
/// says what the item is about.
fn item_text(content: &str, mark: usize) -> &str {
    let content = kept(content);
    if introduces(content) {
        return content;
    }
    let words = |end: usize| content.get(mark..end).map_or(0, |text| text.split_whitespace().count());
    let clause = content.char_indices().find_map(|(at, c)| {
        let (end, ends_word) = (at + c.len_utf8(), content[at + c.len_utf8()..].starts_with(char::is_whitespace));
        let ends = match c {
            ':' | ';' => ends_word,
            ',' => ends_word && words(end) >= CLAUSE_WORDS,
            '—' | '：' | '；' | '。' => true,
            '，' => end - mark >= CLAUSE_WORDS * '，'.len_utf8(),
            _ => false,
        };
        (ends && at > mark && content[mark..at].contains(char::is_alphanumeric)).then_some(end)
    });
    // The mark itself may look like a sentence, as `1. ` does.
    let sentence = content.split_sentence_bound_indices().map(|(at, sentence)| at + sentence.len());
    let sentence = sentence.into_iter().find(|end| words(*end) > 0 && content[mark..*end].contains(char::is_alphanumeric));
    let end = clause.unwrap_or(content.len()).min(sentence.unwrap_or(content.len()));
    content[..end].trim_end()
}

/// A line, or its first words.
fn kept(line: &str) -> &str {
    if line.len() <= MAX_KEPT {
        return line;
    }
    let head = &line[..line.floor_char_boundary(MAX_KEPT)];
    head.rfind(char::is_whitespace).map_or(head, |at| &head[..at]).trim_end()
}
