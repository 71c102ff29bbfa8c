//! The reading order of a page: what stands in columns, one column after the other, and tables without rules.

use super::marks::mark;
use super::rows::{Row, Word, append, is_cjk};

/// Width of a gap between columns or cells at least, in ems.
const GUTTER: f32 = 0.9;
/// Width of a column of text at least, in ems.
const COLUMN: f32 = 10.0;
/// Columns within one another that are looked for.
const DEPTH: u32 = 4;
/// Rows and words of a page among which columns are looked for; a page of text has up to 200 and 3,000.
const ROWS: usize = 1000;
const WORDS: usize = 50_000;

/// A part of a page.
#[derive(Debug)]
pub(super) enum Region {
    /// Lines of one column, from the top down.
    Lines(Vec<Row>),
    Table(Vec<Vec<String>>),
}

/// A gap that runs down through rows, and whether any has words to its left and right.
#[derive(Clone, Copy, Debug)]
struct Gap {
    from: f32,
    to: f32,
    left: bool,
    right: bool,
}

/// The regions of rows, in the order in which they are read. `size` is that of most of the text.
pub(super) fn regions(rows: Vec<Row>, size: f32) -> Vec<Region> {
    let mut regions = Vec::new();
    if rows.len() > ROWS || rows.iter().map(|row| row.words.len()).sum::<usize>() > WORDS {
        regions.push(Region::Lines(rows));
    } else {
        divide(rows, size, 0, &mut regions);
    }
    regions
}

fn divide(rows: Vec<Row>, size: f32, depth: u32, regions: &mut Vec<Region>) {
    let left = rows.iter().flat_map(|row| &row.words).map(|word| word.x0).fold(f32::MAX, f32::min);
    let right = rows.iter().flat_map(|row| &row.words).map(|word| word.x1).fold(f32::MIN, f32::max);
    let mut lines: Vec<Row> = Vec::new();
    let mut at = 0;
    while at < rows.len() {
        let band = if depth < DEPTH { band(&rows[at..], left, right, size) } else { None };
        let Some((count, gaps)) = band else {
            lines.push(rows[at].clone());
            at += 1;
            continue;
        };
        let (count, kind) = classify(&rows[at..at + count], &gaps, size, at + count < rows.len());
        match kind {
            Kind::Columns(columns) => {
                flush(&mut lines, regions);
                for column in columns {
                    divide(column, size, depth + 1, regions);
                }
                at += count;
            }
            Kind::Table(table) => {
                flush(&mut lines, regions);
                regions.push(Region::Table(table));
                at += count;
            }
            Kind::Lines => {
                lines.push(rows[at].clone());
                at += 1;
            }
        }
    }
    flush(&mut lines, regions);
}

fn flush(lines: &mut Vec<Row>, regions: &mut Vec<Region>) {
    if !lines.is_empty() {
        regions.push(Region::Lines(std::mem::take(lines)));
    }
}

/// The gaps of a row, with those at its ends.
fn gaps(row: &Row, left: f32, right: f32, width: f32) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let mut end = left;
    for (number, word) in row.words.iter().enumerate() {
        if word.x0 - end >= width {
            gaps.push(Gap { from: end, to: word.x0, left: number > 0, right: true });
        }
        end = end.max(word.x1);
    }
    if right - end >= width {
        gaps.push(Gap { from: end, to: right, left: true, right: false });
    }
    gaps
}

/// The rows at the start of `rows` through which a gap runs down with words on both sides, and all such gaps.
fn band(rows: &[Row], left: f32, right: f32, size: f32) -> Option<(usize, Vec<Gap>)> {
    let width = GUTTER * size;
    let mut open = gaps(rows.first()?, left, right, width);
    let within = |gaps: &[Gap]| -> Vec<Gap> { gaps.iter().filter(|gap| gap.left && gap.right).copied().collect() };
    let mut best: Option<(usize, Vec<Gap>)> = None;
    let first = within(&open);
    if !first.is_empty() {
        best = Some((1, first));
    }
    for (number, row) in rows.iter().enumerate().skip(1) {
        let next = gaps(row, left, right, width);
        let mut both = Vec::new();
        let (mut first, mut second) = (0, 0);
        while let (Some(gap), Some(other)) = (open.get(first), next.get(second)) {
            let (from, to) = (gap.from.max(other.from), gap.to.min(other.to));
            if to - from >= width {
                both.push(Gap { from, to, left: gap.left || other.left, right: gap.right || other.right });
            }
            if gap.to < other.to {
                first += 1;
            } else {
                second += 1;
            }
        }
        let found = within(&both);
        if both.is_empty() || best.as_ref().is_some_and(|(count, gaps)| *count >= 4 && gaps.len() >= 2 && found.len() < gaps.len()) {
            break;
        }
        if !found.is_empty() {
            best = Some((number + 1, found));
        }
        open = both;
    }
    let (count, gaps) = best.filter(|(count, _)| *count >= 2)?;
    // What stands apart before it, such as its heading, is none of it.
    let apart = apart(rows[1].y - rows[0].y, &rows[0], &rows[1], leading(&rows[..count]).unwrap_or(size * 1.2));
    (!(apart && is_left(&rows[0], &gaps))).then_some((count, gaps))
}

/// Whether a row has words on the left only.
fn is_left(row: &Row, gaps: &[Gap]) -> bool {
    gaps.iter().all(|gap| row.words.iter().all(|word| word.x1 <= gap.from + 0.1))
}

/// Whether rows of this distance are not lines of one text.
fn apart(distance: f32, first: &Row, second: &Row, leading: f32) -> bool {
    distance > 1.5 * leading || (first.size() - second.size()).abs() > 0.12 * first.size().max(second.size())
}

/// The usual distance of rows.
pub(super) fn leading(rows: &[Row]) -> Option<f32> {
    let mut distances: Vec<f32> = rows.windows(2).map(|pair| pair[1].y - pair[0].y).filter(|distance| *distance > 1.0).collect();
    distances.sort_by(f32::total_cmp);
    distances.get(distances.len() / 3).copied()
}

enum Kind {
    Columns(Vec<Vec<Row>>),
    Table(Vec<Vec<String>>),
    Lines,
}

/// What rows are, and how many of them; `more` rows follow.
fn classify(rows: &[Row], gaps: &[Gap], size: f32, more: bool) -> (usize, Kind) {
    let leading = leading(rows).unwrap_or(size * 1.2);
    // Rows at the end that stand apart and on the left only, such as the heading of what follows.
    let mut count = rows.len();
    for at in (2..rows.len()).rev() {
        if !is_left(&rows[at], gaps) {
            break;
        }
        if apart(rows[at].y - rows[at - 1].y, &rows[at - 1], &rows[at], leading) {
            count = at;
        }
    }
    match kind(rows, gaps, size) {
        Kind::Columns(_) if more && count < rows.len() => (count, kind(&rows[..count], gaps, size)),
        Kind::Table(_) if count < rows.len() => (count, kind(&rows[..count], gaps, size)),
        kind => (rows.len(), kind),
    }
}

fn kind(rows: &[Row], gaps: &[Gap], size: f32) -> Kind {
    let mut middles: Vec<f32> = gaps.iter().map(|gap| (gap.from + gap.to) / 2.0).collect();
    middles.sort_by(f32::total_cmp);
    // What has only numbers or bullets before it is no column of its own.
    let mut column = 0;
    while column < middles.len() {
        let cells = cells(rows, &middles);
        let marks = cells.iter().filter_map(|row| row.get(column)).filter(|cell| !cell.is_empty());
        if marks.clone().count() > 0 && marks.clone().all(|cell| is_mark(&text(cell))) {
            middles.remove(column);
        } else {
            column += 1;
        }
    }
    if middles.is_empty() {
        return Kind::Lines;
    }
    let cells = cells(rows, &middles);
    let columns = middles.len() + 1;
    let texts: Vec<bool> = (0..columns).map(|column| is_text(&cells, column, size)).collect();
    let extent = |column: usize| {
        let words = || cells.iter().flat_map(|row| &row[column]);
        words().map(|word| word.x1).fold(f32::MIN, f32::max) - words().map(|word| word.x0).fold(f32::MAX, f32::min)
    };
    let whole = extent_of(rows);
    let halves = columns == 2 && rows.len() >= 10 && (0.35..0.65).contains(&((middles[0] - whole.0) / (whole.1 - whole.0).max(1.0)));
    let wide = (0..columns).all(|column| extent(column) >= COLUMN * size);
    if rows.len() >= 3 && wide && (texts.iter().all(|text| *text) || halves && texts.iter().any(|text| *text)) {
        let part = |column: usize| {
            let parts = rows.iter().zip(&cells).filter(|(_, cells)| !cells[column].is_empty());
            parts.map(|(_, cells)| Row { y: baseline(&cells[column]), words: cells[column].clone() }).collect()
        };
        return Kind::Columns((0..columns).map(part).collect());
    }
    let complete = cells.iter().filter(|row| row.iter().filter(|cell| !cell.is_empty()).count() >= 2).count();
    let words = rows.iter().flat_map(|row| &row.words).all(|word| word.size > 0.0);
    if words && (rows.len() >= 3 || columns >= 3) && complete >= 2 && complete * 4 >= rows.len() {
        return Kind::Table(table(rows, &cells));
    }
    Kind::Lines
}

fn extent_of(rows: &[Row]) -> (f32, f32) {
    let words = || rows.iter().flat_map(|row| &row.words);
    (words().map(|word| word.x0).fold(f32::MAX, f32::min), words().map(|word| word.x1).fold(f32::MIN, f32::max))
}

/// The baseline of most of some words.
fn baseline(words: &[Word]) -> f32 {
    words.iter().max_by(|a, b| (a.size * a.text().len() as f32).total_cmp(&(b.size * b.text().len() as f32))).map_or(0.0, |word| word.y)
}

/// The words of rows, divided at places.
fn cells(rows: &[Row], middles: &[f32]) -> Vec<Vec<Vec<Word>>> {
    let divided = |row: &Row| {
        let mut cells = vec![Vec::new(); middles.len() + 1];
        for word in &row.words {
            cells[middles.partition_point(|middle| *middle <= (word.x0 + word.x1) / 2.0)].push(word.clone());
        }
        cells
    };
    rows.iter().map(divided).collect()
}

fn text(cell: &[Word]) -> String {
    cell.iter().map(Word::text).collect::<Vec<_>>().join(" ")
}

/// Whether a cell is a bullet or number of an item.
fn is_mark(cell: &str) -> bool {
    cell.chars().count() <= 12 && !cell.contains(' ') && mark(&format!("{cell} x")).is_some()
}

/// Whether a column is running text: its lines fill it.
fn is_text(cells: &[Vec<Vec<Word>>], column: usize, size: f32) -> bool {
    let lines: Vec<&Vec<Word>> = cells.iter().map(|row| &row[column]).collect();
    let (Some(first), Some(last)) = (lines.iter().position(|line| !line.is_empty()), lines.iter().rposition(|line| !line.is_empty()))
    else {
        return false;
    };
    let filled: Vec<&&Vec<Word>> = lines[first..=last].iter().filter(|line| !line.is_empty()).collect();
    let left = filled.iter().flat_map(|line| line.iter()).map(|word| word.x0).fold(f32::MAX, f32::min);
    let right = filled.iter().flat_map(|line| line.iter()).map(|word| word.x1).fold(f32::MIN, f32::max);
    let mut widths: Vec<f32> = filled.iter().map(|line| line.iter().map(|word| word.x1).fold(f32::MIN, f32::max) - line[0].x0).collect();
    let mut words: Vec<usize> = filled.iter().map(|line| line.iter().map(word_count).sum()).collect();
    widths.sort_by(f32::total_cmp);
    words.sort_unstable();
    let width = right - left;
    let median = widths.len() / 2;
    width >= COLUMN * size && widths[median] >= 0.6 * width && words[median] >= 3 && filled.len() * 5 >= (last - first + 1) * 2
}

fn word_count(word: &Word) -> usize {
    let cjk = word.text().chars().filter(|c| is_cjk(*c)).count();
    (cjk / 2).max(word.text().split(' ').count())
}

/// The rows of a table from its lines: a cell may have several.
fn table(rows: &[Row], cells: &[Vec<Vec<Word>>]) -> Vec<Vec<String>> {
    let distances: Vec<f32> = rows.windows(2).map(|pair| pair[1].y - pair[0].y).collect();
    let least = distances.iter().copied().fold(f32::MAX, f32::min);
    let size = rows[0].size().max(1.0);
    let large = distances.iter().filter(|distance| **distance > 1.2 * least).count();
    let two = large > 0;
    let many_large = large * 10 >= distances.len() * 3 && least <= 1.4 * size;
    let mut table: Vec<Vec<String>> = Vec::new();
    let mut filled = 0;
    for (number, row) in cells.iter().enumerate() {
        let here = row.iter().filter(|cell| !cell.is_empty()).count();
        let continues = number > 0 && {
            let tight = distances[number - 1] < 1.15 * least;
            let lower = row.iter().find(|cell| !cell.is_empty()).is_some_and(|cell| text(cell).starts_with(char::is_lowercase));
            if two { tight && (many_large || row[0].is_empty() && here < filled) } else { here < filled && (row[0].is_empty() || lower) }
        };
        match table.last_mut().filter(|_| continues) {
            Some(last) => {
                for (cell, words) in last.iter_mut().zip(row).filter(|(_, words)| !words.is_empty()) {
                    append(cell, &text(words));
                }
            }
            None => {
                table.push(row.iter().map(|cell| text(cell)).collect());
                filled = here;
            }
        }
    }
    table
}
