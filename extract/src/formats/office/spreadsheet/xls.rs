//! How large the sheets of an .xls file are ([MS-XLS]), before a reader that holds them as a whole opens it.

use std::io::{Cursor, Read};

use super::{FORMAT, MAX_AREA, PASSWORD};
use crate::Failure;

/// Refuses a workbook whose sheets are larger than they may be.
pub(super) fn check(bytes: &[u8]) -> Result<(), Failure> {
    let damaged = |error: std::io::Error| Failure::invalid(FORMAT, format!("{error}; if Excel opens it, save it as .xlsx"));
    let mut file = cfb::CompoundFile::open(Cursor::new(bytes)).map_err(damaged)?;
    // The reader takes a stream of this name, wherever it is.
    let is_workbook = |name: &str| name.eq_ignore_ascii_case("Workbook") || name.eq_ignore_ascii_case("Book");
    let paths: Vec<_> =
        file.walk().filter(|entry| entry.is_stream() && is_workbook(entry.name())).map(|entry| entry.path().to_owned()).collect();
    if paths.is_empty() {
        return Err(Failure::invalid(FORMAT, "it has no workbook"));
    }
    for path in paths {
        let mut stream = Vec::new();
        file.open_stream(path).and_then(|from| from.take(bytes.len() as u64).read_to_end(&mut stream)).map_err(damaged)?;
        records(&stream)?;
    }
    Ok(())
}

/// Goes over the records of a workbook: a type, a length, and so many bytes.
fn records(stream: &[u8]) -> Result<(), Failure> {
    let mut area = Area::default();
    let mut total = 0;
    let mut rest = stream;
    while let [a, b, c, d, after @ ..] = rest {
        let (kind, length) = (u16::from_le_bytes([*a, *b]), usize::from(u16::from_le_bytes([*c, *d])));
        let record = &after[..length.min(after.len())];
        rest = &after[record.len()..];
        let word = |at: usize| record.get(at..at + 2).map(|word| u64::from(u16::from_le_bytes([word[0], word[1]])));
        match kind {
            // A password (FILEPASS).
            0x002F => return Err(PASSWORD),
            // The beginning of a sheet (BOF).
            0x0809 | 0x0409 | 0x0209 | 0x0009 => total += std::mem::take(&mut area).cells(),
            // What a sheet says of its size (DIMENSIONS).
            0x0200 | 0x0000 => {
                let rows = if record.len() >= 14 {
                    record[4..8].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
                } else {
                    word(2).unwrap_or(0)
                };
                let columns = word(if record.len() >= 14 { 10 } else { 6 }).unwrap_or(0);
                if rows.saturating_mul(columns) > MAX_AREA {
                    return Err(too_large());
                }
            }
            // Cells (FORMULA, NUMBER, LABEL, BOOLERR, RK, LABELSST, RSTRING), and several in a row (MULRK).
            0x0006 | 0x0203 | 0x0204 | 0x0205 | 0x027E | 0x00FD | 0x00D6 => {
                if let (Some(row), Some(column)) = (word(0), word(2)) {
                    area.add(row, column);
                }
            }
            0x00BD => {
                if let (Some(row), Some(first), Some(last)) = (word(0), word(2), word(record.len().saturating_sub(2))) {
                    area.add(row, first);
                    area.add(row, last);
                }
            }
            _ => {}
        }
        if total + area.cells() > MAX_AREA {
            return Err(too_large());
        }
    }
    Ok(())
}

fn too_large() -> Failure {
    Failure::TooLarge { what: "cells", limit: MAX_AREA, name: "the cells of an .xls file", advice: "save it as .xlsx" }
}

/// The rows and columns that cells are in.
#[derive(Debug, Default)]
struct Area {
    rows: Option<(u64, u64)>,
    columns: Option<(u64, u64)>,
}

impl Area {
    fn add(&mut self, row: u64, column: u64) {
        let wider = |range: Option<(u64, u64)>, at: u64| range.map_or(Some((at, at)), |(first, last)| Some((first.min(at), last.max(at))));
        self.rows = wider(self.rows, row);
        self.columns = wider(self.columns, column);
    }

    fn cells(&self) -> u64 {
        match (self.rows, self.columns) {
            (Some(rows), Some(columns)) => (rows.1 - rows.0 + 1) * (columns.1 - columns.0 + 1),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u16, words: &[u16]) -> Vec<u8> {
        [kind, words.len() as u16 * 2].iter().chain(words).flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn large_sheets_are_refused() {
        let cell = |row, column| record(0x0203, &[row, column, 0, 0, 0, 0, 0]);
        let bof = record(0x0809, &[0x0600, 0x0010]);
        assert!(records(&[bof.clone(), cell(0, 0), cell(60_000, 200)].concat()).is_ok());
        let two = [bof.clone(), cell(0, 0), cell(65_535, 255), bof, cell(0, 0), cell(60_000, 200)].concat();
        assert!(matches!(records(&two), Err(Failure::TooLarge { .. })));
        assert!(matches!(records(&record(0x0200, &[0, 0, 0xFFFF, 0xFFFF, 0, 255, 0])), Err(Failure::TooLarge { .. })));
        assert!(matches!(records(&record(0x002F, &[0])), Err(Failure::Encrypted { .. })));
        assert!(records(b"\x03\x02\xFF\xFF").is_ok());
    }
}
