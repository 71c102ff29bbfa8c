//! Workbooks: .xlsx, .xlsm and .xltx (ISO/IEC 29500-1, SpreadsheetML), .xlsb ([MS-XLSB]), .xls ([MS-XLS]) and .ods, .fods (ISO/IEC 26300).
//!
//! A workbook is one document; a sheet is a heading and its tables, which empty rows divide. A row is a place. Numbers are as their formats show
//! them, dates are ISO 8601, formulas are their values. Hidden sheets are left out.

pub(super) mod ods;
mod shown;
mod xls;

use std::collections::BTreeMap;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use calamine::{
    Data, DataRef, Dimensions, ExcelDateTime, ExcelDateTimeType, Reader, SheetType, SheetVisible, WorkbookProperties, Xls, Xlsb, Xlsx,
};

use super::writer::Writer;
use super::{PASSWORD, Properties};
use crate::{Extracted, Failure, Limits, Note, Options, Place, Sink};

const FORMAT: &str = "workbook";
/// Cells of a sheet that have something in them.
const MAX_CELLS: u64 = 4_000_000;
/// Cells of a table with those that are empty, where it is held as a whole.
const MAX_AREA: u64 = 20_000_000;

/// Which format a workbook has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Xlsx,
    Xlsb,
    Xls,
}

/// The cells of a sheet that have something in them, by row and column from 0.
type Rows = BTreeMap<u32, BTreeMap<u32, String>>;

type File = Cursor<Vec<u8>>;

/// A number as its format shows it; dates are ISO 8601.
pub(super) fn shown_number(number: f64, format: &str) -> String {
    let names_date = format.contains(['y', 'Y', 'd', 'D', 'h', 'H']) && !format.contains(['#', '"', '[']);
    if names_date && format != "Standard" {
        let date = ExcelDateTime::new(number, ExcelDateTimeType::DateTime, false);
        return shown::value(&Data::DateTime(date), format, false);
    }
    shown::value(&Data::Float(number), format, false)
}

/// Gives the document of a workbook.
pub(super) fn extract(kind: Kind, bytes: Vec<u8>, options: &Options, sink: &mut dyn Sink) -> Result<(), Failure> {
    if kind == Kind::Xls {
        xls::check(&bytes)?;
    }
    let file = Cursor::new(bytes);
    let limits = &options.limits;
    // The reader of workbooks is not ours: where it panics, the file is damaged.
    let read = catch_unwind(AssertUnwindSafe(|| match kind {
        Kind::Xlsx => xlsx(file, limits, sink),
        Kind::Xlsb => others::<Xlsb<File>>(file, limits, sink, |book| book.workbook_properties().unwrap_or_default()),
        Kind::Xls => others::<Xls<File>>(file, limits, sink, |book| book.workbook_properties().unwrap_or_default()),
    }));
    let document = read.unwrap_or_else(|_| Err(Failure::invalid(FORMAT, "its parts contradict one another")))?;
    let _ = sink.document(document);
    Ok(())
}

fn xlsx(file: File, limits: &Limits, sink: &mut dyn Sink) -> Result<Extracted, Failure> {
    let mut book: Xlsx<File> = Reader::new(file).map_err(damaged)?;
    let mut writer = Writer::new(limits);
    let sheets = shown_sheets(book.sheets_metadata(), sink);
    let several = sheets.len() > 1;
    for name in sheets {
        let merged = book.merge_cells_by_sheet_name(&name).unwrap_or_default();
        let is_1904 = book.has_1904_epoch();
        let mut cells = match book.worksheet_cells_reader(&name) {
            Ok(cells) => cells,
            Err(error) => {
                sink.note(Note::PartSkipped { part: format!("sheet {name}"), reason: format!("cannot be read: {error}") });
                continue;
            }
        };
        let formats: Vec<String> = cells
            .styles()
            .iter()
            .map(|style| style.number_format.as_ref().map(|format| format.format_code.clone()).unwrap_or_default())
            .collect();
        let mut sheet = Sheet::new(limits);
        loop {
            let (cell, style) = match cells.next_cell_with_style_id() {
                Ok(Some(cell)) => cell,
                Ok(None) => break,
                Err(error) => {
                    let rows = sheet.rows.len();
                    sink.note(Note::PartSkipped {
                        part: format!("sheet {name} after {rows} rows"),
                        reason: format!("cannot be read: {error}"),
                    });
                    break;
                }
            };
            let format = formats.get(style).map(String::as_str).unwrap_or_default();
            let text = match cell.get_value() {
                DataRef::SharedString(text) => (*text).to_owned(),
                value => shown::value(&Data::from(value.clone()), format, is_1904),
            };
            sheet.add(cell.get_position(), text)?;
        }
        sheet.merge(&merged)?;
        sheet.write(&name, several, &mut writer)?;
    }
    let properties = book.workbook_properties().unwrap_or_default();
    document(writer, properties)
}

fn others<B: Reader<File>>(
    file: File,
    limits: &Limits,
    sink: &mut dyn Sink,
    properties: impl Fn(&mut B) -> WorkbookProperties,
) -> Result<Extracted, Failure> {
    let mut book = B::new(file).map_err(damaged)?;
    let mut writer = Writer::new(limits);
    let sheets = shown_sheets(book.sheets_metadata(), sink);
    let several = sheets.len() > 1;
    for name in sheets {
        let range = match book.worksheet_range(&name) {
            Ok(range) => range,
            Err(error) => {
                sink.note(Note::PartSkipped { part: format!("sheet {name}"), reason: format!("cannot be read: {error:?}") });
                continue;
            }
        };
        let (row, column) = range.start().unwrap_or_default();
        let mut sheet = Sheet::new(limits);
        for (below, right, value) in range.used_cells() {
            let at = (row.saturating_add(below as u32), column.saturating_add(right as u32));
            sheet.add(at, shown::value(value, "", false))?;
        }
        sheet.write(&name, several, &mut writer)?;
    }
    let properties = properties(&mut book);
    document(writer, properties)
}

/// The names of sheets that are seen, in their order. Those that are not are noted.
fn shown_sheets(sheets: &[calamine::Sheet], sink: &mut dyn Sink) -> Vec<String> {
    let mut shown = Vec::new();
    for sheet in sheets {
        if sheet.typ != SheetType::WorkSheet {
            continue;
        }
        if sheet.visible == SheetVisible::Visible {
            shown.push(sheet.name.clone());
        } else {
            sink.note(Note::PartSkipped { part: format!("sheet {}", sheet.name), reason: "is hidden".into() });
        }
    }
    shown
}

fn damaged(error: impl std::fmt::Debug) -> Failure {
    let error = format!("{error:?}");
    if error.contains("Password") { PASSWORD } else { Failure::invalid(FORMAT, error) }
}

fn document(writer: Writer, stated: WorkbookProperties) -> Result<Extracted, Failure> {
    let mut properties = Properties::default();
    let (mut created, mut modified) = (None, None);
    let stated = [
        ("title", stated.title),
        ("version", stated.version),
        ("creator", stated.creator),
        ("subject", stated.subject),
        ("description", stated.description),
        ("keywords", stated.keywords),
        ("category", stated.category),
        ("contentStatus", stated.content_status),
        ("Company", stated.company),
        ("created", stated.created),
        ("modified", stated.modified),
    ];
    for (name, value) in stated {
        properties.add(name, crate::markdown::one_line(&value.unwrap_or_default()), &mut created, &mut modified);
    }
    properties.dates(created, modified);
    let (text, marks) = writer.finish()?;
    Ok(Extracted { text, marks, ..properties.into_document() })
}

/// A sheet as it is read.
struct Sheet {
    rows: Rows,
    bytes: u64,
    cells: u64,
    limit: u64,
}

impl Sheet {
    fn new(limits: &Limits) -> Self {
        Self { rows: Rows::new(), bytes: 0, cells: 0, limit: limits.text_bytes }
    }

    /// Adds a cell. The first one at a place counts.
    fn add(&mut self, (row, column): (u32, u32), text: String) -> Result<(), Failure> {
        if text.trim().is_empty() {
            return Ok(());
        }
        // A cell takes a few bytes where it is written, too.
        self.bytes += text.len() as u64 + 3;
        if self.bytes > self.limit {
            return Err(Failure::text_too_large(self.limit));
        }
        self.cells += 1;
        if self.cells > MAX_CELLS {
            let advice = "save it as .csv, which is read row by row";
            return Err(Failure::TooLarge { what: "cells", limit: MAX_CELLS, name: "the cells of a sheet", advice });
        }
        self.rows.entry(row).or_default().entry(column).or_insert(text);
        Ok(())
    }

    /// Cells that are merged say what the first of them says, in rows that have other words too.
    fn merge(&mut self, merged: &[Dimensions]) -> Result<(), Failure> {
        let (mut repeated, mut looked_at) = (0, 0);
        for region in merged {
            let Some(text) = self.rows.get(&region.start.0).and_then(|row| row.get(&region.start.1)).cloned() else { continue };
            let rows: Vec<u32> = self.rows.range(region.start.0..=region.end.0.max(region.start.0)).map(|(row, _)| *row).collect();
            looked_at += rows.len() as u64;
            if looked_at > MAX_AREA {
                return Err(Failure::invalid(FORMAT, "more cells are merged than it can have"));
            }
            for row in rows {
                let has_more = self.rows[&row].keys().any(|column| !(region.start.1..=region.end.1).contains(column));
                if !has_more {
                    continue;
                }
                for column in region.start.1..=region.end.1.max(region.start.1) {
                    repeated += 1;
                    if repeated > MAX_AREA {
                        return Err(Failure::invalid(FORMAT, "more cells are merged than it can have"));
                    }
                    self.add((row, column), text.clone())?;
                }
            }
        }
        Ok(())
    }

    /// Writes the sheet: tables, which empty rows divide, and lines of one cell above them.
    fn write(self, name: &str, several: bool, writer: &mut Writer) -> Result<(), Failure> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let place = |row: u32| Place::Row(if several { name.to_owned() } else { String::new() }, u64::from(row) + 1);
        let first = self.rows.first_key_value().map(|(row, _)| *row).unwrap_or_default();
        writer.mark(place(first));
        // A name that a program gave says nothing.
        let is_default = ["Sheet", "Tabelle", "Feuil", "Hoja", "Foglio", "Лист"]
            .iter()
            .any(|word| name.strip_prefix(word).is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit())));
        if several || !is_default {
            writer.heading(2, name)?;
        }
        let mut rows = self.rows.into_iter().peekable();
        while let Some((row, cells)) = rows.next() {
            let mut block = vec![(row, cells)];
            while let Some(next) = rows.next_if(|(next, _)| block.last().is_some_and(|(last, _)| last.checked_add(1) == Some(*next))) {
                block.push(next);
            }
            // Lines above a table are no rows of it, and a single row is no table.
            let lines = block.iter().take_while(|(_, cells)| cells.len() == 1).count();
            for (row, cells) in block.drain(..lines) {
                writer.mark(place(row));
                writer.paragraph(&line(&cells))?;
            }
            // A name and its value above the table, such as the date of a list of prices.
            while block.len() > 2 && block[0].1.len() == 2 && block[1].1.len() > 2 {
                let (row, cells) = block.remove(0);
                writer.mark(place(row));
                writer.paragraph(&line(&cells))?;
            }
            if block.len() == 1 {
                writer.mark(place(block[0].0));
                writer.paragraph(&line(&block[0].1))?;
            } else {
                write_table(&block, &place, writer)?;
            }
        }
        Ok(())
    }
}

/// A row that is no part of a table: `Valid from: 2026-03-01`.
fn line(cells: &BTreeMap<u32, String>) -> String {
    let mut cells = cells.values();
    let mut line = cells.next().cloned().unwrap_or_default();
    for (at, cell) in cells.enumerate() {
        line.push_str(if at > 0 {
            ", "
        } else if line.ends_with(':') {
            " "
        } else {
            ": "
        });
        line.push_str(cell);
    }
    line
}

fn write_table(block: &[(u32, BTreeMap<u32, String>)], place: &dyn Fn(u32) -> Place, writer: &mut Writer) -> Result<(), Failure> {
    let mut columns: Vec<u32> = block.iter().flat_map(|(_, cells)| cells.keys().copied()).collect();
    columns.sort_unstable();
    columns.dedup();
    // A few cells far from one another are not a table of all columns between them.
    if columns.len() as u64 * block.len() as u64 > MAX_AREA {
        return Err(Failure::invalid(FORMAT, format!("a table of it has {} columns and {} rows", columns.len(), block.len())));
    }
    let cells: Vec<Vec<String>> =
        block.iter().map(|(_, cells)| columns.iter().map(|column| cells.get(column).cloned().unwrap_or_default()).collect()).collect();
    let places: Vec<(usize, Place)> = block.iter().enumerate().map(|(at, (row, _))| (at, place(*row))).collect();
    writer.cells(&cells, &places)
}
