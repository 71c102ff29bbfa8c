//! Rows become headings, paragraphs and items. What stands on most pages at one height is left out; footnotes come after the text of their page.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::info::heading_key;
use super::marks::mark;
use super::regions::{self, Region};
use super::rows::{Content, Group, Row, append, is_cjk};
use super::sections::Sections;
use crate::markdown::Text;
use crate::{Failure, Place};

/// Part of the pages that have a running head, at least.
const MOST: f32 = 0.5;
/// Part of a page's height above and below its text, where running heads stand.
const MARGIN: f32 = 0.14;
/// Characters of a running head at most.
const RUNNING: usize = 160;
/// How much larger than the text a heading is.
const LARGER: f32 = 1.12;
/// How much more ink than usual bold letters have.
const BOLD_INK: f32 = 1.2;
/// Characters of a heading at most.
const HEADING: usize = 200;

/// A page, as its rows.
pub(super) struct Page {
    pub number: u32,
    pub groups: Vec<Group>,
}

/// What is known of the document as a whole.
pub(super) struct Style {
    /// The size of most of its text, in points.
    size: f32,
    /// Sizes of headings, the largest first.
    headings: Vec<f32>,
    /// Words that are in it undivided, in lower case.
    words: HashSet<String>,
    usual: HashMap<char, f32>,
    bookmarks: HashMap<String, usize>,
}

impl Style {
    /// `usual` is the ink of letters, `bookmarks` the depth of headings.
    pub fn new(pages: &[Page], usual: HashMap<char, f32>, bookmarks: HashMap<String, usize>) -> Self {
        let mut sizes: HashMap<u32, usize> = HashMap::new();
        let mut words = HashSet::new();
        for row in pages.iter().flat_map(|page| &page.groups).flat_map(|group| &group.rows) {
            for word in &row.words {
                *sizes.entry((word.size * 4.0).round() as u32).or_default() += word.text().chars().count();
                // The last may go on in the next line.
                for word in word.text().rsplit(' ').skip(1) {
                    let word = word.trim_matches(|c: char| !c.is_alphanumeric());
                    if word.chars().count() > 3 && !word.contains(is_cjk) && !words.contains(word) {
                        words.insert(word.to_lowercase());
                    }
                }
            }
        }
        let size = sizes
            .iter()
            .filter(|(size, _)| **size > 0)
            .max_by_key(|(size, count)| (**count, **size))
            .map_or(10.0, |(size, _)| *size as f32 / 4.0);
        let mut style = Self { size, headings: Vec::new(), words, usual, bookmarks };
        let rows = pages.iter().flat_map(|page| &page.groups).flat_map(|group| &group.rows);
        let mut headings: Vec<f32> = rows.map(Row::size).filter(|other| *other > size * LARGER).collect();
        headings.sort_by(|a, b| b.total_cmp(a));
        headings.dedup_by(|b, a| *a - *b < 0.06 * *a);
        headings.truncate(4);
        style.headings = headings;
        style
    }
}

/// Takes running heads, footers and page numbers out of all pages.
pub(super) fn leave_out_running(pages: &mut [Page]) {
    let mut same: HashMap<(u8, i32, String), usize> = HashMap::new();
    let mut apart: HashMap<(u8, i32), usize> = HashMap::new();
    let keys = |group: &Group, at: usize| -> (u8, i32, String) {
        let row = &group.rows[at];
        (group.turn, (row.y / 4.0).round() as i32, row.text())
    };
    let count = pages.len();
    // Numbers that grow with the pages: their height, and their distance to the page's number.
    let mut numbered: HashMap<(u8, i32, i64), usize> = HashMap::new();
    for page in pages.iter() {
        let (mut seen, mut places, mut numbers) = (HashSet::new(), HashSet::new(), HashSet::new());
        for group in &page.groups {
            for at in margins(group) {
                let key = keys(group, at);
                if key.2.chars().count() <= RUNNING && stands_apart(group, at) {
                    places.insert((key.0, key.1));
                    numbers.extend(distances(&key.2, page.number).into_iter().map(|distance| (key.0, key.1, distance)));
                }
                seen.insert(key);
            }
        }
        seen.into_iter().for_each(|key| *same.entry(key).or_default() += 1);
        places.into_iter().for_each(|key| *apart.entry(key).or_default() += 1);
        numbers.into_iter().for_each(|key| *numbered.entry(key).or_default() += 1);
    }
    let most = |found: usize, part: f32| found >= 2 && found as f32 >= part * count as f32;
    // Heights are rounded: a row may fall on either side.
    let near =
        |y: i32, found: &dyn Fn(i32) -> Option<usize>| -> usize { (y.saturating_sub(1)..=y.saturating_add(1)).filter_map(found).sum() };
    // The rows of each group that are kept.
    let mut kept = Vec::new();
    for page in pages.iter() {
        let page_number = page.number;
        for group in &page.groups {
            let runs = |at: usize| {
                let (turn, y, text) = keys(group, at);
                if text.chars().count() > RUNNING {
                    return false;
                }
                let alike = near(y, &|y| same.get(&(turn, y, text.clone())).copied());
                let places = near(y, &|y| apart.get(&(turn, y)).copied());
                let grows = |distance: i64| most(near(y, &|y| numbered.get(&(turn, y, distance)).copied()), MOST);
                // Left and right pages may differ.
                most(alike, if alike >= 3 { MOST * 0.7 } else { MOST })
                    || stands_apart(group, at)
                        && (places >= 4 && most(places, 0.7) && stands_far(group, at)
                            || is_page_number(&counted(&text))
                            || distances(&text, page_number).into_iter().any(grows))
            };
            // Rows from the edge of the page on, up to the last of them that stands apart from the text.
            let within = margins(group);
            let upper = (0..group.rows.len()).take_while(|at| within.contains(at) && is_upper(group, *at) && runs(*at));
            let upper = upper.filter(|at| stands_apart(group, *at)).last().map_or(0, |at| at + 1);
            let lower = (0..group.rows.len()).rev().take_while(|at| within.contains(at) && !is_upper(group, *at) && runs(*at));
            let lower = lower.filter(|at| stands_apart(group, *at)).last().unwrap_or(group.rows.len());
            kept.push(upper.min(lower)..lower);
        }
    }
    // Slides may have nothing but a heading.
    if kept.iter().all(Range::is_empty) {
        return;
    }
    for (group, kept) in pages.iter_mut().flat_map(|page| &mut page.groups).zip(kept) {
        group.rows.truncate(kept.end);
        group.rows.drain(..kept.start);
    }
}

/// The numbers in a text, as distances to a page's number.
fn distances(text: &str, page: u32) -> Vec<i64> {
    let numbers = text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() <= 5);
    numbers.filter_map(|word| Some(word.parse::<i64>().ok()? - i64::from(page))).collect()
}

/// The rows at the upper and lower edge of a page.
fn margins(group: &Group) -> Vec<usize> {
    let last = group.rows.len();
    let within = |at: &usize| {
        let y = group.rows[*at].y;
        (y < group.height * MARGIN || y > group.height * (1.0 - MARGIN))
            && group.rows[*at].words.iter().all(|word| matches!(word.content, Content::Word(_)))
    };
    (0..last).filter(|at| *at < 4 || *at + 4 >= last).filter(within).collect()
}

fn is_upper(group: &Group, at: usize) -> bool {
    group.rows[at].y < group.height / 2.0
}

/// The distance of a row to the next one away from the edge of the page.
fn inward(group: &Group, at: usize) -> Option<f32> {
    let rows = &group.rows;
    let (first, second) = if is_upper(group, at) { (Some(at), at + 1) } else { (at.checked_sub(1), at) };
    Some(rows.get(second)?.y - rows[first?].y)
}

/// Whether there is more space between a row and the text than between lines.
fn stands_apart(group: &Group, at: usize) -> bool {
    let next = if is_upper(group, at) { Some(at + 1) } else { at.checked_sub(1) };
    let size = next.and_then(|next| group.rows.get(next)).map_or(0.0, Row::size);
    inward(group, at).is_none_or(|distance| distance > 1.6 * size.max(group.rows[at].size()))
}

/// Whether there is more space than between most paragraphs, too.
fn stands_far(group: &Group, at: usize) -> bool {
    let mut distances: Vec<f32> = group.rows.windows(2).map(|pair| pair[1].y - pair[0].y).collect();
    distances.sort_by(f32::total_cmp);
    let wide = distances.get(distances.len() * 9 / 10).copied().unwrap_or_default();
    inward(group, at).is_some_and(|distance| distances.len() >= 10 && distance > 1.1 * wide)
}

/// A text with `#` for its numbers.
fn counted(text: &str) -> String {
    let mut counted = String::with_capacity(text.len());
    for c in text.chars() {
        if !c.is_ascii_digit() {
            counted.push(c);
        } else if !counted.ends_with('#') {
            counted.push('#');
        }
    }
    counted
}

/// Whether a text, as of [`counted`], is nothing but a page's number.
fn is_page_number(text: &str) -> bool {
    let bare = text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '-' | '–' | '—' | '[' | ']' | '(' | ')' | '|'));
    let roman =
        !bare.is_empty() && bare.len() <= 6 && (bare.chars().all(|c| "ivxl".contains(c)) || bare.chars().all(|c| "IVXL".contains(c)));
    let words: String = bare.chars().filter(|c| c.is_alphabetic()).flat_map(char::to_lowercase).collect();
    let page = ["", "page", "pageof", "seite", "seitevon", "p", "s", "pagesur", "pagina", "página", "第页", "第页共页", "ページ", "стр"];
    bare == "#"
        || roman
        || bare.contains('#')
            && bare.len() <= 24
            && page.contains(&words.as_str())
            && (bare.matches('#').count() <= 2)
            && !bare.contains('.')
}

/// A line of a column.
struct Line {
    text: String,
    x0: f32,
    x1: f32,
    y: f32,
    size: f32,
    bold: bool,
    /// The width of its first word.
    first: f32,
}

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Heading(u8),
    Paragraph,
    /// What a picture shows.
    Picture,
    /// Its depth and mark.
    Item(usize, String),
    Table(Vec<Vec<String>>),
}

/// What becomes a block of the text.
#[derive(Debug)]
pub(super) struct Block {
    kind: Kind,
    text: String,
    /// Where in the text a page begins.
    pages: Vec<(usize, u32)>,
    /// It ends where a column ends, and may go on.
    open: bool,
}

/// The blocks of a page: its text, and its footnotes.
pub(super) fn blocks(page: Page, style: &Style) -> (Vec<Block>, Vec<Block>) {
    let (mut text, mut notes) = (Vec::new(), Vec::new());
    for group in page.groups {
        let height = group.height;
        for region in regions::regions(group.rows, style.size) {
            match region {
                Region::Table(table) => {
                    text.push(Block { kind: Kind::Table(table), text: String::new(), pages: vec![(0, page.number)], open: false })
                }
                Region::Lines(mut rows) => {
                    let small = footnotes(&rows, height, style.size);
                    let below = rows.split_off(small);
                    let mut found = column(rows, page.number, style);
                    // A column goes on in the next.
                    let starts = found.first_mut().map(|block| std::mem::take(&mut block.open)).unwrap_or_default();
                    let mut found = found.into_iter();
                    if let (true, Some(last)) = (starts, text.last_mut())
                        && let Some(first) = found.next()
                        && let Some(first) = join(last, first, style)
                    {
                        text.push(first);
                    }
                    text.extend(found);
                    if let Some(last) = text.last_mut() {
                        last.open = true;
                    }
                    notes.extend(column(below, page.number, style));
                }
            }
        }
    }
    notes.iter_mut().for_each(|note| note.open = false);
    (text, notes)
}

/// Where the footnotes among lines begin.
fn footnotes(rows: &[Row], height: f32, size: f32) -> usize {
    let small = rows.iter().rposition(|row| row.size() > 0.93 * size || row.size() == 0.0).map_or(0, |last| last + 1);
    let is_note = |row: &&Row| row.text().starts_with(|c: char| c.is_ascii_digit() || "¹²³⁰⁴⁵⁶⁷⁸⁹*†‡§".contains(c));
    let first = rows[small..].iter().position(|row| is_note(&row)).map_or(rows.len(), |at| small + at);
    if rows.get(first).is_some_and(|row| row.y > height * 0.4) { first } else { rows.len() }
}

/// Appends a block to the one before it, if the text goes on there; gives it back if not.
fn join(last: &mut Block, next: Block, style: &Style) -> Option<Block> {
    let goes_on = last.open
        && matches!(last.kind, Kind::Paragraph | Kind::Item(..))
        && next.kind == Kind::Paragraph
        && !last
            .text
            .trim_end_matches(|c: char| "⁰¹²³⁴⁵⁶⁷⁸⁹)”\"".contains(c))
            .ends_with(['.', '!', '?', ':', ';', '。', '！', '？', '：', '；'])
        && next.text.chars().next().is_some_and(|c| {
            c.is_lowercase() || is_cjk(c) || c.is_ascii_digit() && !last.text.ends_with(is_cjk) || last.text.ends_with('-')
        });
    if !goes_on {
        return Some(next);
    }
    let at = go_on(&mut last.text, &next.text, style);
    for (from, page) in next.pages {
        if last.pages.last().is_none_or(|(_, before)| *before != page) {
            last.pages.push((at + from, page));
        }
    }
    None
}

/// Appends the next line, without the hyphen of a word that goes on, and says where it begins.
fn go_on(text: &mut String, next: &str, style: &Style) -> usize {
    let first = next.split_whitespace().next().unwrap_or_default();
    let soft = text.ends_with('\u{AD}');
    let begun = text.trim_end_matches(['-', '\u{AD}']);
    let divided = begun.len() < text.len() && begun.ends_with(char::is_alphabetic) && first.starts_with(char::is_lowercase);
    if soft || divided {
        let last = begun.rsplit(char::is_whitespace).next().unwrap_or_default();
        let bare = |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
        let (whole, hyphened) = (bare(&format!("{last}{first}")), bare(&format!("{last}-{first}")));
        // A word that is written with a hyphen elsewhere keeps it.
        let keeps = !soft && !style.words.contains(&whole) && (style.words.contains(&hyphened) || last.contains('-'));
        text.truncate(begun.len());
        if keeps {
            text.push('-');
        }
        let at = text.len();
        text.push_str(next);
        return at;
    }
    // A hyphen before a name or number stays.
    if begun.len() < text.len() && begun.ends_with(char::is_alphanumeric) && first.starts_with(char::is_alphanumeric) {
        text.push_str(next);
    } else {
        append(text, next);
    }
    text.len() - next.len()
}

/// The blocks of a column.
fn column(rows: Vec<Row>, page: u32, style: &Style) -> Vec<Block> {
    let leading = regions::leading(&rows);
    let mut builder = Builder { blocks: Vec::new(), indents: Vec::new(), page, style };
    let mut lines: Vec<Line> = Vec::new();
    for row in rows {
        let mut words = Vec::new();
        for word in row.words {
            match word.content {
                Content::Word(_) => words.push(word),
                Content::Table(table) => {
                    builder.lines(std::mem::take(&mut lines), leading);
                    builder.blocks.push(Block { kind: Kind::Table(table), text: String::new(), pages: vec![(0, page)], open: false });
                }
                Content::Alternative(text) => {
                    builder.lines(std::mem::take(&mut lines), leading);
                    builder.push(Kind::Picture, text);
                }
            }
        }
        let row = Row { words, y: row.y };
        if let (Some(first), Some(last)) = (row.words.first(), row.words.last()) {
            let size = row.size();
            let text = row.text();
            let usual: f32 = text.chars().filter_map(|c| style.usual.get(&c)).sum();
            let ink: f32 = row.words.iter().map(|word| word.ink).sum();
            let partly = row.words.iter().any(|word| word.partly_bold);
            let bold = row.words.iter().all(|word| word.bold) || !partly && usual > 0.0 && ink > BOLD_INK * usual;
            lines.push(Line { text, x0: first.x0, x1: last.x1, y: row.y, size, bold, first: first.first - first.x0 });
        }
    }
    builder.lines(lines, leading);
    // The first says whether it may go on what is before.
    if let Some(first) = builder.blocks.first_mut() {
        first.open = true;
    }
    builder.blocks
}

struct Builder<'s> {
    blocks: Vec<Block>,
    /// Where the marks of the items begin that are open.
    indents: Vec<f32>,
    page: u32,
    style: &'s Style,
}

impl Builder<'_> {
    fn push(&mut self, kind: Kind, text: String) {
        self.blocks.push(Block { kind, text, pages: vec![(0, self.page)], open: false });
    }

    fn lines(&mut self, lines: Vec<Line>, leading: Option<f32>) {
        let right = lines.iter().map(|line| line.x1).fold(0.0, f32::max);
        let left = lines.iter().map(|line| line.x0).fold(f32::MAX, f32::min);
        let ranks: Vec<Option<u8>> = (0..lines.len()).map(|at| self.rank(&lines, at)).collect();
        let mut start = 0;
        for at in 1..=lines.len() {
            if at == lines.len() || ranks[at] != ranks[at - 1] || begins(&lines, start, at, ranks[at].is_some(), leading, left, right) {
                self.block(&lines[start..at], ranks[start], left, right);
                start = at;
            }
        }
    }

    /// The level of a line that is a heading.
    fn rank(&self, lines: &[Line], at: usize) -> Option<u8> {
        let (line, style) = (&lines[at], self.style);
        let length = line.text.chars().count();
        if length > HEADING || !line.text.contains(char::is_alphabetic) || line.text.ends_with([',', ';']) {
            return None;
        }
        let sizes = style.headings.len() as u8;
        if let Some(depth) = style.bookmarks.get(&heading_key(&line.text)) {
            let titled = !style.headings.is_empty() && style.headings[0] > style.size * 1.5;
            return Some(((*depth).min(4) as u8 + 1 + u8::from(titled)).min(6));
        }
        if line.size > style.size * LARGER {
            let level = style.headings.iter().position(|size| line.size > size * 0.94).unwrap_or(style.headings.len());
            return Some(level as u8 + 1);
        }
        let numbered =
            line.text.split_once(' ').map(|(number, _)| number).filter(|number| number.starts_with(|c: char| c.is_ascii_digit()));
        let whole = !line.text.ends_with(['.', ':']) || numbered.is_some() && length <= 60;
        let alone =
            [at.checked_sub(1), Some(at + 1)].into_iter().flatten().filter_map(|near| lines.get(near)).filter(|near| near.bold).count() < 2;
        if line.bold && line.size > style.size * 0.9 && length <= 120 && whole && alone {
            let parts = numbered.map_or(1, |number| number.trim_end_matches('.').split('.').count());
            return Some((sizes + parts.min(3) as u8).clamp(1, 6));
        }
        None
    }

    fn block(&mut self, lines: &[Line], rank: Option<u8>, left: f32, right: f32) {
        let Some(first) = lines.first() else { return };
        let mut text = String::new();
        for (number, line) in lines.iter().enumerate() {
            if number == 0 {
                text.push_str(&line.text);
                continue;
            }
            let before = &lines[number - 1];
            // The next word had room: the line ends here because it is meant to.
            let room = right - before.x1 - line.first;
            let broken = rank.is_none()
                && room > 3.0 * line.size
                && room > 0.2 * (right - left)
                && before.x0 - left < 2.0 * line.size
                && !before.text.ends_with(is_cjk);
            if broken {
                text.push('\u{2028}');
                text.push_str(&line.text);
            } else {
                go_on(&mut text, &line.text, self.style);
            }
        }
        if let Some(level) = rank.filter(|_| text.chars().count() <= HEADING) {
            self.indents.clear();
            return self.push(Kind::Heading(level), text);
        }
        if let Some((mark, rest)) = mark(&text) {
            // A number of several parts is a clause of its own, not an item.
            if mark.trim_end_matches('.').contains('.') {
                self.indents.clear();
                return self.push(Kind::Paragraph, text);
            }
            while self.indents.last().is_some_and(|indent| first.x0 < indent - 0.5 * first.size) {
                self.indents.pop();
            }
            if self.indents.last().is_none_or(|indent| first.x0 > indent + 0.5 * first.size) {
                self.indents.push(first.x0);
            }
            return self.push(Kind::Item(self.indents.len() - 1, mark), rest.replace('\u{2028}', " "));
        }
        self.indents.clear();
        self.push(Kind::Paragraph, text);
    }
}

/// Whether line `at` begins a block, where the block before it begins at `start`.
fn begins(lines: &[Line], start: usize, at: usize, heading: bool, leading: Option<f32>, left: f32, right: f32) -> bool {
    let (first, before, line) = (&lines[start], &lines[at - 1], &lines[at]);
    let distance = line.y - before.y;
    let size = before.size.max(line.size);
    let usual = leading.unwrap_or(size * 1.2).max(size * 1.05);
    if (line.size - before.size).abs() > 0.12 * size && line.text.chars().count() > 2 && before.text.chars().count() > 2 {
        return true;
    }
    if heading {
        return distance > 1.6 * size.max(usual * 0.9) || distance <= 0.0;
    }
    let ends = before.text.ends_with(['.', '!', '?', ':', ';', '。', '！', '？', '：', '；', '”', '"', ')', '）']);
    let room = right - before.x1 - line.first;
    let short = room > 0.5 * size;
    if distance <= 0.0 || distance > 1.3 * usual {
        return true;
    }
    if line.text.starts_with(|c: char| "⁰¹²³⁴⁵⁶⁷⁸⁹†‡".contains(c)) {
        return true;
    }
    if let Some((found, _)) = mark(&line.text) {
        let moved = (line.x0 - before.x0).abs() > 0.5 * size || (line.x0 - first.x0).abs() < 0.5 * size && mark(&first.text).is_some();
        if found == "-" || ends || short || moved && !found.ends_with(']') {
            return true;
        }
    }
    let lines_before = at - start;
    let indent = line.x0 - before.x0;
    // The first line is indented, or all others are.
    if indent > 0.8 * size && (lines_before > 1 || ends || short) && line.x0 - left < 0.4 * (right - left) && mark(&first.text).is_none() {
        return ends || short || lines_before > 1;
    }
    if indent < -0.8 * size && lines_before > 1 && (before.x0 - lines[at - 2].x0).abs() < 0.5 * size {
        return true;
    }
    ends && short && room > 0.25 * (right - left)
        || ends
            && short
            && !before.text.ends_with([',', ')', '）', '"', '”'])
            && line.text.starts_with(|c: char| c.is_uppercase() || is_cjk(c))
            && room > 2.0 * size
            && full(&lines[start..at], right)
}

/// Whether all lines of a block but the last end at the right: then a short one ends a paragraph.
fn full(lines: &[Line], right: f32) -> bool {
    lines.iter().rev().skip(1).all(|line| right - line.x1 < 1.5 * line.size)
}

/// Blocks of the pages, joined where a paragraph goes on over the page.
#[derive(Default)]
pub(super) struct Blocks {
    blocks: Vec<Block>,
    /// The last block of the text, before the footnotes.
    last: Option<usize>,
}

impl Blocks {
    /// Adds a page's blocks.
    pub fn add(&mut self, page: Page, style: &Style) {
        let (mut text, notes) = blocks(page, style);
        if let (Some(last), false) = (self.last, text.is_empty()) {
            let first = text.remove(0);
            if let Some(first) = join(&mut self.blocks[last], first, style) {
                text.insert(0, first);
            }
        }
        if !text.is_empty() {
            self.last = Some(self.blocks.len() + text.len() - 1);
        }
        self.blocks.extend(text);
        self.blocks.extend(notes);
    }

    /// Adds paragraphs of a page that a command read in its picture.
    pub fn add_read(&mut self, number: u32, text: &str, style: &Style) {
        for paragraph in text.split("\n\n").flat_map(|part| part.split('\u{C}')) {
            let mut joined = String::new();
            for line in paragraph.lines().map(str::trim).filter(|line| !line.is_empty()) {
                go_on(&mut joined, line, style);
            }
            if joined.contains(char::is_alphanumeric) {
                self.last = None;
                self.blocks.push(Block { kind: Kind::Paragraph, text: joined, pages: vec![(0, number)], open: false });
            }
        }
    }

    /// Writes all blocks.
    pub fn write(self, text: &mut Text) -> Result<(), Failure> {
        let mut sections = Sections::default();
        for block in self.blocks {
            let before = match &block.kind {
                Kind::Heading(level) => usize::from(*level) + 1,
                Kind::Item(depth, mark) => 3 * depth.min(&8) + mark.len() + 1,
                _ => 0,
            };
            let mut places = Vec::new();
            for (at, page) in &block.pages {
                // A line separator of three bytes becomes a line feed.
                let breaks = block.text[..*at].matches('\u{2028}').count();
                let at = if *at == 0 { 0 } else { before + at - 2 * breaks };
                places.push((at, Place::Page(*page)));
            }
            let section = match &block.kind {
                Kind::Heading(_) => sections.block(&block.text, true),
                Kind::Paragraph => sections.block(&block.text, false),
                Kind::Item(depth, mark) => sections.item(*depth, mark),
                Kind::Table(_) | Kind::Picture => None,
            };
            if let Some(section) = section {
                places.push((0, Place::Section(section)));
            }
            for (at, place) in places {
                text.mark_at(at, place);
            }
            match &block.kind {
                Kind::Heading(level) => text.heading(*level, &block.text)?,
                Kind::Paragraph => text.paragraph(&block.text)?,
                Kind::Picture => {
                    let from = text.len();
                    text.paragraph(&block.text)?;
                    text.set_apart(from);
                }
                Kind::Item(depth, mark) => text.item(*depth, mark, &block.text)?,
                Kind::Table(table) => text.table(table)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn style(words: &[&str]) -> Style {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Style { size: 10.0, headings: Vec::new(), words, usual: HashMap::new(), bookmarks: HashMap::new() }
    }

    #[test]
    fn words_divided_at_the_line_end_are_joined() {
        let joined = |text: &str, next: &str, words: &[&str]| {
            let mut text = text.to_owned();
            go_on(&mut text, next, &style(words));
            text
        };
        assert_eq!(joined("the treat-", "ment of", &[]), "the treatment of");
        assert_eq!(joined("a long-", "term effect", &["long-term"]), "a long-term effect");
        assert_eq!(joined("a long-", "term effect", &["long-term", "longterm"]), "a longterm effect");
        assert_eq!(joined("the Franco-", "Prussian war", &[]), "the Franco-Prussian war");
        assert_eq!(joined("soft\u{AD}", "ware", &[]), "software");
        assert_eq!(joined("and", "so on", &[]), "and so on");
        assert_eq!(joined("租赁房", "屋的", &[]), "租赁房屋的");
    }

    #[test]
    fn marks_of_items() {
        for (text, expected) in [
            ("• rest", Some("-")),
            ("(a) rest", Some("(a)")),
            ("iv) rest", Some("iv)")),
            ("12. rest", Some("12.")),
            ("4.2 rest", Some("4.2")),
            ("2024 rest", None),
            ("a rest", None),
            ("J. Smith", None),
            ("word", None),
        ] {
            assert_eq!(mark(text).map(|(mark, _)| mark).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn page_numbers() {
        for text in ["#", "- # -", "Page # of #", "Seite #", "xii", "第 # 页"] {
            assert!(is_page_number(text), "{text}");
        }
        for text in ["", "mild", "Zorvex # mg", "#.#", "Page"] {
            assert!(!is_page_number(text), "{text}");
        }
        assert_eq!(counted("Page 12 of 340"), "Page # of #");
        assert_eq!(distances("Annals 212", 1), [211]);
    }
}
