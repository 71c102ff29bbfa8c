//! Glyphs become words, and words rows; ruled tables are taken out of them.

use hayro_interpret::kurbo::{Point, Rect};

use super::page::{Alternative, Found, Glyph};

/// A gap after which a word ends, in ems.
const WORD_GAP: f32 = 0.16;
/// A gap with a blank that was written alone, after which a word ends.
const LONE_GAP: f32 = 0.05;
/// A gap after which a word of text behind a picture ends, where blanks are written too: its letters are spaced to fit the picture.
const HIDDEN_GAP: f32 = 0.6;
/// Letters for a blank at most, where blanks are written.
const LETTERS: usize = 15;
/// Lines that are looked at in a row.
const TANGLED: usize = 16;
/// Gaps up to this are between words of a line, in ems.
const RUNNING_GAP: f32 = 0.7;
/// How far lines of a grid may miss one another, in points.
const NEAR: f32 = 3.0;
/// Blanks and dots between a bullet and its words.
const BLANKS: usize = 16;
/// Pairs of characters of two rows that are compared.
const PAIRS: usize = 1 << 20;
/// Rows and columns of a ruled table; what has more is a pattern.
const GRID: usize = 2000;

/// What stands at a place.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Word(String),
    Table(Vec<Vec<String>>),
    Alternative(String),
}

/// A word, or words with single blanks between them, in points from the top left of the page, turned so that its line runs to the right.
#[derive(Clone, Debug)]
pub(super) struct Word {
    pub content: Content,
    pub x0: f32,
    pub x1: f32,
    /// Where its first word ends.
    pub first: f32,
    /// Its baseline.
    pub y: f32,
    pub size: f32,
    /// The sum over its letters, in square ems.
    pub ink: f32,
    /// All of it is bold by its font.
    pub bold: bool,
    /// Some of it is.
    pub partly_bold: bool,
}

impl Word {
    pub fn text(&self) -> &str {
        if let Content::Word(text) = &self.content { text } else { "" }
    }
}

/// Words on a baseline, from left to right.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub words: Vec<Word>,
    pub y: f32,
}

impl Row {
    pub fn text(&self) -> String {
        self.words.iter().map(Word::text).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// The size that most of its characters have.
    pub fn size(&self) -> f32 {
        let longest = self.words.iter().max_by_key(|word| word.text().len());
        longest.map_or(0.0, |word| word.size)
    }
}

/// The rows of a page whose lines run one way.
#[derive(Debug)]
pub(super) struct Group {
    /// Quarters of a circle that its lines are turned, clockwise.
    pub turn: u8,
    /// The height of the page, in its own direction.
    pub height: f32,
    pub rows: Vec<Row>,
}

/// Whether characters are written without blanks between words.
pub(super) fn is_cjk(c: char) -> bool {
    matches!(c, '\u{2E80}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7AF}' | '\u{F900}'..='\u{FAFF}' | '\u{FE30}'..='\u{FE4F}' | '\u{FF00}'..='\u{FFEF}' | '\u{20000}'..='\u{3FFFF}')
        && !matches!(c, '\u{AC00}'..='\u{D7AF}')
}

/// Appends what stands in the next line or word of the same text.
pub(super) fn append(text: &mut String, next: &str) {
    let cjk = text.chars().next_back().is_some_and(is_cjk) && next.chars().next().is_some_and(is_cjk);
    if !text.is_empty() && !cjk {
        text.push(' ');
    }
    text.push_str(next);
}

/// The rows of a page. The first group is the direction that most of its text has.
pub(super) fn groups(mut found: Found, page: Rect) -> Vec<Group> {
    let hidden = found.glyphs.iter().filter(|glyph| glyph.hidden).count();
    // Text that is not seen counts where there is more of it than of text that is: the page is a picture with its text behind.
    let keep_hidden = hidden * 2 > found.glyphs.len();
    found.glyphs.retain(|glyph| keep_hidden || !glyph.hidden);
    let mut turned: [Vec<Glyph>; 4] = Default::default();
    let mut last = Some(0);
    for glyph in found.glyphs {
        let along = glyph.end - glyph.start;
        if along.hypot() > 0.01 {
            let quarters = along.atan2() / std::f64::consts::FRAC_PI_2;
            let near = quarters.round();
            // Slanted text is a stamp or watermark.
            last = ((quarters - near).abs() < 0.06).then_some(near.rem_euclid(4.0) as usize);
        }
        if let Some(turn) = last {
            turned[turn].push(glyph);
        }
    }
    let mut order = [0, 1, 2, 3];
    order.sort_by_key(|turn| std::cmp::Reverse(turned[*turn].len()));
    let mut groups = Vec::new();
    for (number, turn) in order.into_iter().enumerate() {
        let glyphs = std::mem::take(&mut turned[turn]);
        let alternatives = if number == 0 { std::mem::take(&mut found.alternatives) } else { Vec::new() };
        if glyphs.is_empty() && alternatives.is_empty() {
            continue;
        }
        // A page that is read from the right is mirrored, so that all of it runs to the right.
        let leftward = runs_left(&glyphs);
        let width = if turn % 2 == 0 { page.x1 } else { page.y1 };
        let place = |point: Point| -> Point {
            let point = match turn {
                0 => point,
                1 => Point::new(point.y, page.x1 - point.x),
                2 => Point::new(page.x1 - point.x, page.y1 - point.y),
                _ => Point::new(page.y1 - point.y, point.x),
            };
            if leftward { Point::new(width - point.x, point.y) } else { point }
        };
        let placed = |glyph: Glyph| {
            let (start, end) = (place(glyph.start), place(glyph.end));
            let (start, end) = if leftward { (end, start) } else { (start, end) };
            Glyph { start, end, ..glyph }
        };
        let mut rows = rows(glyphs.into_iter().map(placed).collect(), leftward);
        let turn_area = |area: Rect| Rect::from_points(place(area.origin()), place(Point::new(area.x1, area.y1)));
        if number > 0 {
            rows.iter_mut().for_each(merge);
        } else {
            let rules: Vec<Rect> = found.rules.iter().map(|rule| turn_area(*rule)).collect();
            take_tables(&mut rows, &rules);
            rows.iter_mut().for_each(merge);
            for Alternative { text, area } in alternatives {
                put(&mut rows, Content::Alternative(text), turn_area(area));
            }
        }
        let height = if turn % 2 == 0 { page.height() } else { page.width() };
        groups.push(Group { turn: turn as u8, height: height as f32, rows });
    }
    groups
}

/// Words that stand no further apart than in running text become one.
fn merge(row: &mut Row) {
    let words = std::mem::take(&mut row.words);
    row.words.reserve_exact(words.len().min(2));
    for word in words {
        if let (Some(last), Content::Word(next)) = (row.words.last_mut(), &word.content)
            && word.x0 - last.x1 < RUNNING_GAP * last.size.min(word.size)
            && (last.size - word.size).abs() < 0.1 * last.size
            && last.text() != "•"
            && let Content::Word(text) = &mut last.content
        {
            text.push(' ');
            text.push_str(next);
            last.x1 = last.x1.max(word.x1);
            last.ink += word.ink;
            last.bold &= word.bold;
            last.partly_bold |= word.partly_bold;
        } else {
            row.words.push(word);
        }
    }
    for word in &mut row.words {
        if let Content::Word(text) = &mut word.content {
            text.shrink_to_fit();
        }
    }
    row.words.shrink_to_fit();
}

/// Puts what is no word among the rows, by its upper edge.
fn put(rows: &mut Vec<Row>, content: Content, area: Rect) {
    let word = Word {
        content,
        x0: area.x0 as f32,
        x1: area.x1 as f32,
        first: area.x1 as f32,
        y: area.y0 as f32,
        size: 0.0,
        ink: 0.0,
        bold: false,
        partly_bold: false,
    };
    let at = rows.partition_point(|row| row.y <= word.y);
    rows.insert(at, Row { y: word.y, words: vec![word] });
}

fn rows(mut glyphs: Vec<Glyph>, leftward: bool) -> Vec<Row> {
    glyphs.sort_by(|a, b| a.start.y.total_cmp(&b.start.y).then(a.start.x.total_cmp(&b.start.x)));
    let mut rows: Vec<Vec<Glyph>> = Vec::new();
    let mut row: Vec<Glyph> = Vec::new();
    let (mut y, mut size) = (0.0, 0.0);
    for glyph in glyphs {
        let (small, large) = (f32::min(size, glyph.size), f32::max(size, glyph.size));
        let near = if small < 0.85 * large { 0.36 } else { 0.5 };
        if !row.is_empty() && (glyph.start.y - y).abs() >= f64::from(near * large.min(2.0 * small)) {
            rows.push(std::mem::take(&mut row));
        }
        if row.is_empty() || glyph.size > size * 1.1 {
            (y, size) = (glyph.start.y, glyph.size);
        }
        row.push(glyph);
    }
    rows.push(row);
    lower_raised(&mut rows);
    rows.into_iter().flat_map(untangled).filter_map(|row| into_row(row, leftward)).collect()
}

/// The lines of a row, if small lines stand above one another in it beside large letters.
fn untangled(row: Vec<Glyph>) -> Vec<Vec<Glyph>> {
    let mut lines: Vec<Vec<Glyph>> = Vec::new();
    let is_straight = row.first().zip(row.last()).is_none_or(|(first, last)| last.start.y - first.start.y < 0.01);
    if is_straight {
        return vec![row];
    }
    for glyph in row.iter().cloned() {
        let near = |line: &&mut Vec<Glyph>| glyph.start.y - line[0].start.y < f64::from(0.3 * glyph.size.min(line[0].size));
        match lines.last_mut().filter(near) {
            Some(line) => line.push(glyph),
            None => lines.push(vec![glyph]),
        }
    }
    let extent = |line: &Vec<Glyph>| {
        let letters = || line.iter().filter(|glyph| !glyph.dot && !glyph.text.trim().is_empty());
        let (x0, x1) =
            (letters().map(|glyph| glyph.start.x).fold(f64::MAX, f64::min), letters().map(|glyph| glyph.end.x).fold(f64::MIN, f64::max));
        (letters().count() >= 4).then_some((x0, x1, line[0].start.y, f64::from(line[0].size)))
    };
    let extents: Vec<_> = lines.iter().take(TANGLED).filter_map(extent).collect();
    let tangled = extents.iter().enumerate().any(|(at, (x0, x1, y, size))| {
        extents[at + 1..].iter().any(|(other_x0, other_x1, other_y, other_size)| {
            let overlap = x1.min(*other_x1) - x0.max(*other_x0);
            (size - other_size).abs() < 0.15 * size && other_y - y > 0.5 * size && overlap > 2.0 * size
        })
    });
    if tangled { lines } else { vec![row] }
}

/// Moves small characters that stand close above or beside a word of the next row, such as the number of a footnote, into that row.
fn lower_raised(rows: &mut [Vec<Glyph>]) {
    for at in 1..rows.len() {
        let (above, below) = rows.split_at_mut(at);
        let (Some(above), Some(below)) = (above.last_mut(), below.first_mut()) else { return };
        if above.len() * below.len() > PAIRS {
            continue;
        }
        let beside = |glyph: &Glyph, other: &Glyph| {
            let gap = (glyph.start.x - other.end.x).max(other.start.x - glyph.end.x);
            glyph.size < 0.85 * other.size && gap < f64::from(other.size)
        };
        let belongs = |glyph: &Glyph| {
            let near = |other: &&Glyph| beside(glyph, other) && other.start.y - glyph.start.y < f64::from(0.62 * other.size);
            !above.iter().any(|other| beside(glyph, other)) && below.iter().any(|other| near(&other))
        };
        let moved: Vec<bool> = above.iter().map(belongs).collect();
        let mut number = 0..;
        below.extend(above.extract_if(.., |_| number.next().is_some_and(|number: usize| moved[number])));
    }
}

/// Whether letters are written from the right to the left; `None` for what is neither letter nor digit.
fn is_leftward(text: &str) -> Option<bool> {
    text.chars().find(|c| c.is_alphanumeric()).map(|c| {
        let script = matches!(c, '\u{590}'..='\u{8FF}' | '\u{FB1D}'..='\u{FDFF}' | '\u{FE70}'..='\u{FEFC}' | '\u{10800}'..='\u{10FFF}');
        script && !c.is_numeric()
    })
}

/// Whether most letters of glyphs are.
fn runs_left(glyphs: &[Glyph]) -> bool {
    let letters = glyphs.iter().filter(|glyph| !glyph.text.contains(char::is_numeric)).filter_map(|glyph| is_leftward(&glyph.text));
    let (mut left, mut right) = (0, 0);
    letters.for_each(|leftward| *(if leftward { &mut left } else { &mut right }) += 1);
    left > right
}

/// Mirrors the parts of a row that are read the other way, such as numbers in Arabic.
fn mirror_parts(glyphs: &mut [Glyph], leftward: bool) {
    let ways: Vec<Option<bool>> = glyphs.iter().map(|glyph| is_leftward(&glyph.text)).collect();
    let mut at = 0;
    while at < glyphs.len() {
        if ways[at].is_none_or(|way| way == leftward) {
            at += 1;
            continue;
        }
        let end = ways[at..].iter().position(|way| *way == Some(leftward)).map_or(glyphs.len(), |length| at + length);
        let end = ways[at..end].iter().rposition(Option::is_some).map_or(at + 1, |last| at + last + 1);
        let part = &mut glyphs[at..end];
        let from = part.iter().map(|glyph| glyph.start.x).fold(f64::MAX, f64::min);
        let to = part.iter().map(|glyph| glyph.end.x).fold(f64::MIN, f64::max);
        for glyph in part.iter_mut() {
            (glyph.start.x, glyph.end.x) = (from + to - glyph.end.x, from + to - glyph.start.x);
        }
        part.reverse();
        at = end;
    }
}

fn into_row(mut glyphs: Vec<Glyph>, leftward: bool) -> Option<Row> {
    glyphs.sort_by(|a, b| a.start.x.total_cmp(&b.start.x));
    mirror_parts(&mut glyphs, leftward);
    // A dot is a bullet if it stands before words and apart from those before it.
    let is_written = |glyph: &&Glyph| !glyph.dot && !glyph.text.trim().is_empty();
    let bullets: Vec<bool> = (0..glyphs.len())
        .map(|at| {
            let glyph = &glyphs[at];
            if !glyph.dot {
                return false;
            }
            let before = glyphs[..at].iter().rev().take(BLANKS).find(is_written);
            let after = glyphs[at + 1..].iter().take(BLANKS).find(is_written);
            let near = |other: &Glyph| other.start.x - glyph.end.x < f64::from(other.size) * 2.5;
            after.is_some_and(near) && before.is_none_or(|before| glyph.start.x - before.end.x > f64::from(before.size))
        })
        .collect();
    let mut number = 0..;
    glyphs.retain(|glyph| number.next().is_some_and(|number: usize| !glyph.dot || bullets[number]));
    mark_raised(&mut glyphs);
    // Whether blanks are written between words.
    let written = glyphs.iter().filter(|glyph| glyph.text.trim().is_empty()).count() * LETTERS >= glyphs.len();
    let mut words: Vec<Word> = Vec::new();
    // The words that a glyph drawn twice may be in.
    let mut recent = [(None, 0.0); 3];
    let mut oldest = 0;
    let mut ended = true;
    // A blank that was written alone may stand upon a word.
    let mut lone = false;
    for glyph in glyphs {
        let drawn = (glyph.text.chars().next(), glyph.start.x);
        if recent.iter().any(|(text, x): &(Option<char>, f64)| *text == drawn.0 && (drawn.1 - x).abs() < f64::from(glyph.size) * 0.1) {
            continue;
        }
        recent[oldest] = drawn;
        oldest = (oldest + 1) % recent.len();
        if glyph.text.trim().is_empty() {
            ended |= !glyph.lone;
            lone |= glyph.lone;
            continue;
        }
        let (x0, x1) = (glyph.start.x as f32, glyph.end.x as f32);
        if let Some(word) = words.last_mut().filter(|word| !ended && word.text() != "•") {
            let cjk = word.text().chars().next_back().is_some_and(is_cjk) || glyph.text.chars().next().is_some_and(is_cjk);
            let size = f32::min(word.size, glyph.size);
            let gap = match () {
                () if cjk => 1.0,
                () if lone => LONE_GAP,
                () if glyph.hidden && written => HIDDEN_GAP,
                () => WORD_GAP,
            };
            lone = false;
            if x0 - word.x1 <= gap * size {
                if let Content::Word(text) = &mut word.content {
                    text.push_str(&glyph.text);
                }
                word.x1 = word.x1.max(x1);
                word.first = word.x1;
                word.size = word.size.max(glyph.size);
                word.ink += glyph.ink;
                word.bold &= glyph.bold;
                word.partly_bold |= glyph.bold;
                continue;
            }
        }
        (ended, lone) = (glyph.text.ends_with(char::is_whitespace), false);
        let content = Content::Word(glyph.text.trim().to_owned());
        let (y, size, ink, bold) = (glyph.start.y as f32, glyph.size, glyph.ink, glyph.bold);
        words.push(Word { content, x0, x1, first: x1, y, size, ink, bold, partly_bold: bold });
    }
    let longest = words
        .iter()
        .filter(|word| word.text() != "•" || words.len() == 1)
        .max_by(|a, b| (a.size * a.text().len() as f32).total_cmp(&(b.size * b.text().len() as f32)))?;
    Some(Row { y: longest.y, words })
}

/// Small digits above or below their line become the characters for that.
fn mark_raised(glyphs: &mut [Glyph]) {
    for at in 0..glyphs.len() {
        let glyph = &glyphs[at];
        let beside = |other: Option<&Glyph>| -> Option<f64> {
            let other = other?;
            let gap = (glyph.start.x - other.end.x).abs().min((other.start.x - glyph.end.x).abs());
            let small = glyph.size < other.size * 0.85 && gap < f64::from(other.size) * 0.4;
            small.then(|| (other.start.y - glyph.start.y) / f64::from(other.size))
        };
        // The neighbours that are not as small.
        let before = glyphs[..at].iter().rev().take(4).find(|other| other.size > glyph.size * 1.1 && !other.text.trim().is_empty());
        let after = glyphs[at + 1..].iter().take(4).find(|other| other.size > glyph.size * 1.1 && !other.text.trim().is_empty());
        let chain = |other: Option<&Glyph>| {
            beside(other).or_else(|| {
                let other = other?;
                let near = (glyph.start.x - other.end.x).abs().min((other.start.x - glyph.end.x).abs()) < f64::from(other.size) * 2.0;
                let alike = at.checked_sub(1).is_some_and(|before| glyphs[before].size == glyph.size)
                    || glyphs.get(at + 1).is_some_and(|after| after.size == glyph.size);
                (near && alike && glyph.size < other.size * 0.85).then(|| (other.start.y - glyph.start.y) / f64::from(other.size))
            })
        };
        let Some(above) = chain(before).or_else(|| chain(after)) else { continue };
        let places: [char; 12] = match above {
            0.15..0.8 => ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹', '⁺', '⁻'],
            -0.5..-0.08 => ['₀', '₁', '₂', '₃', '₄', '₅', '₆', '₇', '₈', '₉', '₊', '₋'],
            _ => continue,
        };
        let raised = |c: char| match c {
            '0'..='9' => places[c as usize - '0' as usize],
            '+' => places[10],
            '-' | '−' => places[11],
            _ => c,
        };
        glyphs[at].text = glyphs[at].text.chars().map(raised).collect();
    }
}

/// A line of a grid: where it is, and from where to where it runs.
#[derive(Clone, Copy, Debug)]
struct Line {
    at: f32,
    from: f32,
    to: f32,
}

/// Makes ruled tables of the words that stand in them.
fn take_tables(rows: &mut Vec<Row>, rules: &[Rect]) {
    let (mut across, mut down) = (Vec::new(), Vec::new());
    for rule in rules {
        let (center, wide) = (rule.center(), rule.width() >= rule.height());
        if wide {
            across.push(Line { at: center.y as f32, from: rule.x0 as f32, to: rule.x1 as f32 });
        } else {
            down.push(Line { at: center.x as f32, from: rule.y0 as f32, to: rule.y1 as f32 });
        }
    }
    let (across, down) = (joined(across), joined(down));
    if across.len() + down.len() > GRID {
        return;
    }
    // Lines that meet are of one grid.
    let count = across.len();
    let mut owner: Vec<usize> = (0..count + down.len()).collect();
    fn root(owner: &mut [usize], mut at: usize) -> usize {
        while owner[at] != at {
            owner[at] = owner[owner[at]];
            at = owner[at];
        }
        at
    }
    for (i, a) in across.iter().enumerate() {
        for (j, d) in down.iter().enumerate() {
            let meet = d.at > a.from - NEAR && d.at < a.to + NEAR && a.at > d.from - NEAR && a.at < d.to + NEAR;
            if meet {
                let (first, second) = (root(&mut owner, i), root(&mut owner, count + j));
                owner[first] = second;
            }
        }
    }
    let mut grids: Vec<(usize, Vec<Line>, Vec<Line>)> = Vec::new();
    for number in 0..owner.len() {
        let top = root(&mut owner, number);
        let at = grids.iter().position(|(root, ..)| *root == top).unwrap_or_else(|| {
            grids.push((top, Vec::new(), Vec::new()));
            grids.len() - 1
        });
        if number < count {
            grids[at].1.push(across[number]);
        } else {
            grids[at].2.push(down[number - count]);
        }
    }
    for (_, across, down) in grids {
        take_table(rows, &across, &down);
    }
}

/// Lines at one place that touch become one.
fn joined(mut lines: Vec<Line>) -> Vec<Line> {
    lines.sort_by(|a, b| a.at.total_cmp(&b.at).then(a.from.total_cmp(&b.from)));
    // Lines at about one place, then along it.
    let mut start = 0;
    for at in 1..=lines.len() {
        if at == lines.len() || lines[at].at - lines[at - 1].at > NEAR / 2.0 {
            lines[start..at].sort_by(|a, b| a.from.total_cmp(&b.from));
            start = at;
        }
    }
    let mut whole: Vec<Line> = Vec::new();
    for line in lines {
        match whole.last_mut() {
            Some(last) if (last.at - line.at).abs() <= NEAR && line.from <= last.to + NEAR => last.to = last.to.max(line.to),
            _ => whole.push(line),
        }
    }
    whole
}

fn places(lines: &[Line]) -> Vec<f32> {
    let mut places: Vec<f32> = lines.iter().map(|line| line.at).collect();
    places.sort_by(f32::total_cmp);
    places.dedup_by(|b, a| *b - *a <= NEAR);
    places
}

fn take_table(rows: &mut Vec<Row>, across: &[Line], down: &[Line]) {
    let (xs, ys) = (places(down), places(across));
    let (width, height) = (xs.len().saturating_sub(1), ys.len().saturating_sub(1));
    if width < 2 || height < 1 || width * height > GRID * 8 {
        return;
    }
    let divides = |lines: &[Line], at: f32, middle: f32| {
        lines.iter().any(|line| (line.at - at).abs() <= NEAR && line.from < middle && line.to > middle)
    };
    // The cell that a cell is a part of: those without a line between them are one.
    let mut owners = vec![vec![(0, 0); width]; height];
    for row in 0..height {
        for column in 0..width {
            owners[row][column] = if column > 0 && !divides(down, xs[column], (ys[row] + ys[row + 1]) / 2.0) {
                owners[row][column - 1]
            } else if row > 0 && !divides(across, ys[row], (xs[column] + xs[column + 1]) / 2.0) {
                owners[row - 1][column]
            } else {
                (row, column)
            };
        }
    }
    let mut cells = vec![vec![String::new(); width]; height];
    let mut filled = 0;
    let mut kept = Vec::with_capacity(rows.len());
    let mut taken = 0;
    for row in rows.iter() {
        let mut words = Vec::with_capacity(row.words.len());
        for word in &row.words {
            let (x, y) = ((word.x0 + word.x1) / 2.0, word.y - word.size * 0.3);
            let column = xs.partition_point(|at| *at <= x);
            let line = ys.partition_point(|at| *at <= y);
            if column == 0 || column > width || line == 0 || line > height {
                words.push(word.clone());
                continue;
            }
            let (line, column) = owners[line - 1][column - 1];
            let cell = &mut cells[line][column];
            filled += usize::from(cell.is_empty());
            append(cell, word.text());
            taken += 1;
        }
        if !words.is_empty() {
            kept.push(Row { words, y: row.y });
        }
    }
    // Frames around text are no tables.
    if filled < 3 || taken == 0 {
        return;
    }
    cells.retain(|row| row.iter().any(|cell| !cell.is_empty()));
    let used: Vec<bool> = (0..width).map(|column| cells.iter().any(|row| !row[column].is_empty())).collect();
    for row in &mut cells {
        let mut column = 0..;
        row.retain(|_| column.next().is_some_and(|column: usize| used[column]));
    }
    if cells.first().is_none_or(|row| row.len() < 2) {
        return;
    }
    *rows = kept;
    put(rows, Content::Table(cells), Rect::new(xs[0].into(), ys[0].into(), xs[width].into(), ys[height].into()));
}
