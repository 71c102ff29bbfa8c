//! Workbooks of OpenDocument (ISO/IEC 26300): .ods. Cells are as the program showed them last; dates are ISO 8601.

use std::collections::HashSet;

use calamine::Dimensions;

use super::{FORMAT, Sheet};
use crate::formats::office::odf::Parts;
use crate::formats::office::writer::{Words, Writer, add_to_cell};
use crate::formats::office::xml::{Element, Node, Xml};
use crate::{Extracted, Failure, Note, Options, Sink};

/// Columns of a sheet, and rows; programs have no more.
const MAX_COLUMNS: u32 = 16_384;
const MAX_ROWS: u32 = 1_048_576;

/// Gives the document of a workbook.
pub(in crate::formats::office) fn extract(parts: Parts, options: &Options, sink: &mut dyn Sink) -> Result<(), Failure> {
    let Parts { content: text, properties, .. } = parts;
    let hidden = hidden_styles(&text)?;
    let mut xml = Xml::new(&text, FORMAT);
    if xml.find("spreadsheet")?.is_none() {
        return Err(Failure::invalid(FORMAT, "it has no sheets"));
    }
    let mut sheets = Vec::new();
    while let Some(node) = xml.next()? {
        let Node::Start(element) = node else { continue };
        let name = element.attribute("name").unwrap_or_default();
        if element.name() != "table" {
            xml.skip()?;
        } else if element.attribute("style-name").is_some_and(|style| hidden.contains(&style)) {
            sink.note(Note::PartSkipped { part: format!("sheet {name}"), reason: "is hidden".into() });
            xml.skip()?;
        } else {
            let mut reader = Reader { sheet: Sheet::new(&options.limits), row: 0, merged: Vec::new() };
            reader.rows(&mut xml)?;
            reader.sheet.merge(&reader.merged)?;
            sheets.push((name, reader.sheet));
        }
    }
    let mut writer = Writer::new(&options.limits);
    let several = sheets.len() > 1;
    sheets.into_iter().try_for_each(|(name, sheet)| sheet.write(&name, several, &mut writer))?;
    let (text, marks) = writer.finish()?;
    let _ = sink.document(Extracted { text, marks, ..properties.into_document() });
    Ok(())
}

/// The names of styles whose sheets are not shown.
fn hidden_styles(text: &str) -> Result<HashSet<String>, Failure> {
    let mut hidden = HashSet::new();
    let mut xml = Xml::new(text, FORMAT);
    if xml.find("automatic-styles")?.is_none() {
        return Ok(hidden);
    }
    while let Some(node) = xml.next()? {
        let Node::Start(style) = node else { continue };
        while let Some(node) = xml.next()? {
            let Node::Start(properties) = node else { continue };
            if properties.name() == "table-properties" && properties.attribute("display").is_some_and(|display| display == "false") {
                hidden.extend(style.attribute("name"));
            }
            xml.skip()?;
        }
    }
    Ok(hidden)
}

struct Reader {
    sheet: Sheet,
    /// The row that comes next, from 0.
    row: u32,
    merged: Vec<Dimensions>,
}

/// How often an element stands for itself.
fn repeated(element: &Element, name: &str) -> u32 {
    element.number(name).unwrap_or(1).max(1)
}

impl Reader {
    /// Reads the rows of the element that is open.
    fn rows(&mut self, xml: &mut Xml) -> Result<(), Failure> {
        while let Some(node) = xml.next()? {
            let Node::Start(element) = node else { continue };
            match element.name() {
                "table-row" => {
                    let times = repeated(&element, "number-rows-repeated").min(MAX_ROWS.saturating_sub(self.row));
                    let cells = self.cells(xml)?;
                    if !cells.is_empty() {
                        for row in self.row..self.row + times {
                            for (column, times, text) in &cells {
                                (*column..column + times).try_for_each(|column| self.sheet.add((row, column), text.clone()))?;
                            }
                        }
                    }
                    self.row += times;
                }
                "table-row-group" | "table-header-rows" | "table-rows" => self.rows(xml)?,
                _ => xml.skip()?,
            }
        }
        Ok(())
    }

    /// The cells of the row that is open which have words: their columns, how often they are repeated, and their words.
    fn cells(&mut self, xml: &mut Xml) -> Result<Vec<(u32, u32, String)>, Failure> {
        let mut cells = Vec::new();
        let mut column = 0;
        while let Some(node) = xml.next()? {
            let Node::Start(element) = node else { continue };
            let times = repeated(&element, "number-columns-repeated").min(MAX_COLUMNS - column);
            let [down, right] = ["number-rows-spanned", "number-columns-spanned"].map(|name| repeated(&element, name) - 1);
            let value = |name: &str| element.attribute(name).filter(|value| !value.is_empty());
            let date = value("date-value").map(|date| date.strip_suffix("T00:00:00").unwrap_or(&date).to_owned());
            let number = value("value").or_else(|| value("string-value"));
            let mut shown = String::new();
            paragraphs(xml, &mut shown)?;
            let text = match date {
                Some(date) => date,
                None if shown.is_empty() => number.unwrap_or_default(),
                None => shown,
            };
            if !text.trim().is_empty() && times > 0 {
                if down > 0 || right > 0 {
                    let end = (self.row.saturating_add(down).min(MAX_ROWS), column.saturating_add(right).min(MAX_COLUMNS));
                    self.merged.push(Dimensions { start: (self.row, column), end });
                }
                cells.push((column, times, text));
            }
            column += times;
        }
        Ok(cells)
    }
}

/// Adds the paragraphs of the element that is open, without comments and drawings.
fn paragraphs(xml: &mut Xml, text: &mut String) -> Result<(), Failure> {
    while let Some(node) = xml.next()? {
        let Node::Start(element) = node else { continue };
        if matches!(element.name(), "p" | "h") {
            let mut words = Words::default();
            inline(xml, &mut words)?;
            add_to_cell(text, words.text());
        } else {
            xml.skip()?;
        }
    }
    Ok(())
}

fn inline(xml: &mut Xml, words: &mut Words) -> Result<(), Failure> {
    while let Some(node) = xml.next()? {
        match node {
            Node::Text(text) => words.push(&text),
            Node::Start(element) => match element.name() {
                "s" | "tab" | "line-break" => {
                    words.push(" ");
                    xml.skip()?;
                }
                "annotation" | "note" | "frame" => xml.skip()?,
                _ => inline(xml, words)?,
            },
        }
    }
    Ok(())
}
