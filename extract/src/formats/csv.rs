//! Tables of text: CSV (RFC 4180), and what people call so, with semicolons, tabs or pipes between the cells. A row is a document, see [`rows`](super::rows).
//!
//! A file is read as a stream, so that it may be larger than memory. Separator and quotes are those with which the rows of the first [`SAMPLE`] bytes have the
//! same number of cells. The first row is a header, unless one of its cells is a number, a date or as long as a sentence. Lines above the header with one cell alone
//! are the title. Rows are counted as a spreadsheet does: a line feed in quotes begins no row, and an empty line is one.

use std::collections::HashMap;
use std::io::{BufRead, Cursor, Read};

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::Format;
use super::cell::{Cell, Fields};
use super::rows::Rows;
use crate::decode::Utf8Reader;
use crate::{Failure, Input, Limits, Options, Sink, Value};

/// Bytes that are read to detect the separator and the header.
const SAMPLE: usize = 256 << 10;
/// Rows from which they are told, at most.
const SAMPLE_ROWS: usize = 200;
/// Rows above the header, at most.
const ABOVE_HEADER: usize = 10;
/// Characters of a cell of a header, at most.
const HEADER_CHARS: usize = 80;
/// What may stand between cells, the likeliest first.
const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];

pub(super) struct Csv;

impl Format for Csv {
    fn name(&self) -> &'static str {
        "a CSV file"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["csv", "tsv", "tab", "psv"]
    }

    /// Any text may be a CSV file: the name says it.
    fn recognizes(&self, _head: &[u8]) -> bool {
        false
    }

    fn extract(&self, input: Input<'_>, options: &Options, sink: &mut dyn Sink) -> Result<(), Failure> {
        let tabs = matches!(input.extension().as_str(), "tsv" | "tab");
        let mut reader = Utf8Reader::new(input.reader);
        let mut sample = Vec::new();
        reader.by_ref().take(SAMPLE as u64).read_to_end(&mut sample)?;
        if sample.iter().all(u8::is_ascii_whitespace) {
            return Err(Failure::Empty { advice: "look whether it was saved as a whole" });
        }
        let whole = sample.len() < SAMPLE;
        let (skipped, said) = said_separator(&sample);
        let dialect = said.map_or_else(|| Dialect::of(&sample, whole, tabs), |separator| Dialect { separator, quotes: Quotes::Doubled });
        let shape = Shape::of(&records_of(&sample[skipped..], whole, dialect));
        let mut start = Cursor::new(sample);
        start.set_position(skipped as u64);
        let mut records = Records::new(start.chain(&mut reader), dialect, &options.limits);
        let mut rows = Rows::new(options, sink);
        rows.file.title = shape.title.clone();
        rows.header = shape.has_header;
        // What stands above the first row is read already.
        let above = shape.above + usize::from(shape.has_header);
        let (mut seen, mut broke) = (0, false);
        while let Some((number, record)) = records.next()? {
            seen += 1;
            if seen > above && rows.row(number, shape.fields(record))?.is_break() {
                broke = true;
                break;
            }
        }
        drop(records);
        if !broke {
            if seen <= above {
                return Err(Failure::Empty { advice: "it has a header, and no row below it" });
            }
            rows.finish()?;
        }
        reader.note(sink);
        Ok(())
    }
}

/// How cells are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Dialect {
    separator: u8,
    quotes: Quotes,
}

/// How a quote is written within quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quotes {
    /// As two.
    Doubled,
    /// After a backslash.
    Escaped,
    /// Quotes are characters as all others.
    None,
}

impl Dialect {
    fn reader(self) -> Reader {
        let mut builder = ReaderBuilder::new();
        builder.delimiter(self.separator);
        match self.quotes {
            Quotes::Doubled => {}
            Quotes::Escaped => _ = builder.escape(Some(b'\\')).double_quote(false),
            Quotes::None => _ = builder.quoting(false),
        }
        builder.build()
    }

    /// The dialect in which most rows have the same number of cells.
    fn of(sample: &[u8], whole: bool, tabs: bool) -> Self {
        let escaped = sample.windows(2).any(|bytes| bytes == b"\\\"");
        // Quotes that are characters are seldom: one has no other.
        let odd = !whole || memchr::memchr_iter(b'"', sample).count() % 2 == 1;
        let separators = if tabs { [b'\t', b',', b';', b'|'] } else { SEPARATORS };
        let mut best = (0, Self { separator: separators[0], quotes: Quotes::Doubled });
        for separator in separators {
            for quotes in [Quotes::Doubled, Quotes::Escaped, Quotes::None] {
                let dialect = Self { separator, quotes };
                let is_likely = match quotes {
                    Quotes::Doubled => true,
                    Quotes::Escaped => escaped,
                    Quotes::None => odd || separator == b'\t',
                };
                let score = if is_likely { dialect.score(&records_of(sample, whole, dialect)) } else { 0 };
                if score > best.0 {
                    best = (score, dialect);
                }
            }
        }
        best.1
    }

    /// How well rows are divided, in thousandths: the share of those that have the commonest number of cells, less the share of those with quotes that are
    /// taken wrongly.
    fn score(self, records: &[Vec<String>]) -> usize {
        let mut widths: Vec<usize> = records.iter().map(Vec::len).collect();
        widths.sort_unstable();
        let (width, rows) =
            widths.chunk_by(|a, b| a == b).map(|same| (same[0], same.len())).max_by_key(|(_, rows)| *rows).unwrap_or_default();
        if width < 2 {
            return 0;
        }
        let share = |rows: usize| rows * 1000 / records.len();
        // A quote that is not closed swallows rows: most lines of the cell have the separators of a row.
        let is_row = |line: &&str| line.bytes().filter(|byte| *byte == self.separator).count() + 1 == width;
        let swallowed = |cell: &&String| {
            let rows = cell.lines().filter(is_row).count();
            rows >= 2 && rows * 5 >= cell.lines().count() * 3
        };
        // Quotes that are not taken off.
        let quoted = |cell: &&String| cell.starts_with('"') || cell.ends_with('"');
        let wrong = match self.quotes {
            Quotes::None => share(records.iter().flatten().filter(quoted).count()),
            _ => share(records.iter().flatten().filter(swallowed).count()) * 2 / 3,
        };
        share(rows).saturating_sub(wrong).max(1)
    }
}

/// The separator that Excel writes in a line of its own, and the bytes of the line: `sep=;`.
fn said_separator(sample: &[u8]) -> (usize, Option<u8>) {
    match sample {
        [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', separator, b'\n', ..] => (6, Some(*separator)),
        [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', separator, b'\r', b'\n', ..] => (7, Some(*separator)),
        _ => (0, None),
    }
}

/// The first records; without the last one if it may be cut.
fn records_of(sample: &[u8], whole: bool, dialect: Dialect) -> Vec<Vec<String>> {
    let mut records = Records::new(sample, dialect, &Limits { row_bytes: SAMPLE as u64, ..Limits::default() });
    let mut found = Vec::new();
    while found.len() < SAMPLE_ROWS
        && let Ok(Some((_, record))) = records.next()
    {
        found.push(record.map(str::to_owned).collect());
    }
    if !whole && found.len() < SAMPLE_ROWS && found.len() > 1 {
        found.pop();
    }
    found
}

/// Reads records.
struct Records<R> {
    reader: R,
    core: Reader,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    limit: usize,
    most_cells: usize,
    /// The number of the record as a spreadsheet shows it: an empty line is one, too.
    number: u64,
    after_return: bool,
}

impl<R: BufRead> Records<R> {
    fn new(reader: R, dialect: Dialect, limits: &Limits) -> Self {
        let limit = usize::try_from(limits.row_bytes).unwrap_or(usize::MAX);
        Self {
            reader,
            core: dialect.reader(),
            bytes: vec![0; limit.clamp(1, 4096)],
            ends: vec![0; 64],
            limit,
            most_cells: limits.parts as usize,
            number: 0,
            after_return: false,
        }
    }

    /// Goes over empty lines.
    fn skip_empty(&mut self) -> Result<(), Failure> {
        loop {
            match self.reader.fill_buf()?.first() {
                Some(b'\n') if self.after_return => self.after_return = false,
                Some(b'\n') => self.number += 1,
                Some(b'\r') => {
                    self.after_return = true;
                    self.number += 1;
                }
                _ => return Ok(()),
            }
            self.reader.consume(1);
        }
    }

    /// The cells of the next record.
    fn next(&mut self) -> Result<Option<(u64, impl Iterator<Item = &str>)>, Failure> {
        let (mut bytes, mut cells) = (0, 0);
        self.skip_empty()?;
        self.after_return = false;
        self.number += 1;
        loop {
            let input = self.reader.fill_buf()?;
            let (result, read, written, ended) = self.core.read_record(input, &mut self.bytes[bytes..], &mut self.ends[cells..]);
            self.after_return = input[..read].last().map_or(self.after_return, |last| *last == b'\r');
            self.reader.consume(read);
            bytes += written;
            cells += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if bytes < self.limit => self.bytes.resize((bytes * 2).min(self.limit), 0),
                ReadRecordResult::OutputFull => {
                    return Err(Failure::TooLarge {
                        what: "bytes in a row",
                        limit: self.limit as u64,
                        name: "a row",
                        advice: "look for a quote that is not closed, and for the separator",
                    });
                }
                ReadRecordResult::OutputEndsFull if cells < self.most_cells => self.ends.resize((cells * 2).min(self.most_cells), 0),
                ReadRecordResult::OutputEndsFull => {
                    return Err(Failure::TooLarge {
                        what: "cells in a row",
                        limit: self.most_cells as u64,
                        name: "the cells of a row",
                        advice: "look whether its rows end in line feeds",
                    });
                }
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return Ok(None),
            }
        }
        let text = std::str::from_utf8(&self.bytes[..bytes])
            .map_err(|error| Failure::invalid("CSV file", format!("row {}: {error}", self.number)))?;
        let mut start = 0;
        let cells = self.ends[..cells].iter().map(move |end| {
            let cell = text.get(start..*end).unwrap_or_default();
            start = *end;
            cell
        });
        Ok(Some((self.number, cells)))
    }
}

/// What the columns are.
struct Shape {
    /// Rows above the header, and the words of the first one.
    above: usize,
    title: Option<String>,
    has_header: bool,
    names: Vec<String>,
    kinds: Vec<Kind>,
}

/// What all cells of a column are, as far as they are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Number,
    Boolean,
    Text,
}

impl Shape {
    fn of(records: &[Vec<String>]) -> Self {
        let filled = |record: &[String]| record.iter().filter(|cell| !cell.trim().is_empty()).count();
        // A title stands above the header, in a row with one cell, if all rows below have more.
        let above = records.iter().take(ABOVE_HEADER).take_while(|record| filled(record) <= 1).count();
        let below = &records[above..];
        let is_title =
            above < ABOVE_HEADER && below.len() >= 2 && below.iter().filter(|record| filled(record) >= 2).count() * 10 >= below.len() * 9;
        let above = if is_title { above } else { 0 };
        let title = records[..above].iter().flatten().map(|cell| cell.trim()).find(|cell| !cell.is_empty()).map(crate::markdown::one_line);
        let records = &records[above..];
        let first = records.first().map(Vec::as_slice).unwrap_or_default();
        let has_header = is_header(first) && filled(first) > 0;
        let mut names: Vec<String> = Vec::with_capacity(first.len());
        // Of each name, how often it occurs: again, it would make a list of two columns.
        let mut counts: HashMap<String, usize> = HashMap::new();
        for (at, cell) in first.iter().enumerate() {
            let name = if has_header { crate::markdown::one_line(cell) } else { String::new() };
            let name = if name.is_empty() { format!("column {}", at + 1) } else { name };
            let mut unique = name.clone();
            while counts.contains_key(&unique) {
                let count = counts.entry(name.clone()).or_default();
                *count += 1;
                unique = format!("{name} {count}");
            }
            counts.insert(unique.clone(), 1);
            names.push(unique);
        }
        let data = &records[usize::from(has_header).min(records.len())..];
        let kinds = (0..names.len())
            .map(|at| {
                let cells = || data.iter().filter_map(|record| record.get(at)).map(|cell| cell.trim()).filter(|cell| !cell.is_empty());
                match cells().next() {
                    Some(_) if cells().all(is_number) => Kind::Number,
                    Some(_) if cells().all(|cell| boolean(cell).is_some()) => Kind::Boolean,
                    _ => Kind::Text,
                }
            })
            .collect();
        Self { above, title, has_header, names, kinds }
    }

    /// The fields of a record. An empty cell is none; a cell beyond the header is named after its column.
    fn fields<'a>(&self, record: impl Iterator<Item = &'a str>) -> Fields {
        let mut fields = Vec::with_capacity(self.names.len());
        for (at, cell) in record.enumerate() {
            let trimmed = cell.trim_matches([' ', '\t', '\r', '\n', '\0']);
            if trimmed.is_empty() {
                continue;
            }
            let name = self.names.get(at).cloned().unwrap_or_else(|| format!("column {}", at + 1));
            let value = match self.kinds.get(at) {
                Some(Kind::Number) if is_number(trimmed) => Value::Number(trimmed.to_owned()),
                Some(Kind::Boolean) => boolean(trimmed).map_or_else(|| Value::Text(trimmed.to_owned()), Value::Boolean),
                _ if trimmed.contains('\0') => Value::Text(trimmed.replace('\0', "")),
                _ => Value::Text(trimmed.to_owned()),
            };
            fields.push((name, Cell::One(value)));
        }
        fields
    }
}

/// Whether a first row names the columns. Years may: a column for each.
fn is_header(row: &[String]) -> bool {
    let is_year = |cell: &str| cell.len() == 4 && (cell.starts_with("19") || cell.starts_with("20"));
    let is_data = |cell: &str| is_number(cell) && !is_year(cell) || is_date(cell) || cell.chars().nth(HEADER_CHARS).is_some();
    let cells = || row.iter().map(|cell| cell.trim());
    !cells().any(is_data) && !cells().filter(|cell| !cell.is_empty()).all(is_number)
}

/// Whether a cell is a number as JSON has it, so that nothing of it is lost: 007 is none.
fn is_number(cell: &str) -> bool {
    let bytes = cell.as_bytes();
    let digits = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut rest = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let whole = digits(rest);
    if whole == 0 || whole > 1 && rest[0] == b'0' {
        return false;
    }
    rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = &fraction[count..];
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = exponent.strip_prefix(b"-").or(exponent.strip_prefix(b"+")).unwrap_or(exponent);
        let count = digits(exponent);
        return count > 0 && count == exponent.len();
    }
    rest.is_empty()
}

fn boolean(cell: &str) -> Option<bool> {
    let is = |word: &str| cell.eq_ignore_ascii_case(word);
    if is("true") { Some(true) } else { is("false").then_some(false) }
}

/// Whether a cell is a date in digits: 2024-05-01, 1.5.2024, 05/01/24.
fn is_date(cell: &str) -> bool {
    let parts: Vec<&str> = cell.split([' ', 'T']).next().unwrap_or_default().split(['-', '/', '.']).collect();
    parts.len() == 3 && parts.iter().all(|part| (1..=4).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dialects_are_told_from_the_first_rows() {
        for (text, separator, quotes) in [
            ("a,b\n1,2\n", b',', Quotes::Doubled),
            ("a;b\n\"1,5\";2\n\"2,5\";3\n", b';', Quotes::Doubled),
            ("a\tb\n1, 2\t3\n", b'\t', Quotes::Doubled),
            ("a|b|c\n1|2|3\n", b'|', Quotes::Doubled),
            ("id,text\n1,\"He said \\\"no\\\", twice, \"\n2,\"x\"\n", b',', Quotes::Escaped),
            ("id\ttext\n1\t\"no end\n2\tb\n3\tc\n4\td\n5\te\n", b'\t', Quotes::None),
            ("words alone\nin lines\n", b',', Quotes::Doubled),
        ] {
            assert_eq!(Dialect::of(text.as_bytes(), true, false), Dialect { separator, quotes }, "{text}");
        }
    }

    #[test]
    fn headers_are_told_from_data() {
        let is_header = |row: &str| is_header(&row.split(',').map(str::to_owned).collect::<Vec<_>>());
        assert!(is_header("Drug,Dose,Unit"));
        assert!(is_header(",text,label"));
        assert!(is_header("Region,2019,2020"));
        assert!(!is_header("Zorvex,250,mg"));
        assert!(!is_header("Zorvex,2024-05-01"));
        assert!(!is_header("1,2,3"));
    }

    #[test]
    fn numbers_are_those_of_json() {
        for number in ["0", "-7", "12.50", "1e5", "1.5E-3"] {
            assert!(is_number(number), "{number}");
        }
        for other in ["", "-", "007", "1.", ".5", "1,5", "+1", "1e", "5 mg", "0x1F", "NaN"] {
            assert!(!is_number(other), "{other}");
        }
    }

    #[test]
    fn columns_have_names_of_their_own() {
        let records: Vec<Vec<String>> =
            ["Doses,,", ",,", "a,a,", "x,1,true", "y,2,false"].iter().map(|row| row.split(',').map(str::to_owned).collect()).collect();
        let shape = Shape::of(&records);
        assert_eq!(shape.title.as_deref(), Some("Doses"));
        assert_eq!((shape.above, shape.has_header), (2, true));
        assert_eq!(shape.names, ["a", "a 2", "column 3"]);
        assert_eq!(shape.kinds, [Kind::Text, Kind::Number, Kind::Boolean]);
    }
}
