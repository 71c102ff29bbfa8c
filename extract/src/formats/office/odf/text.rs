//! Texts of OpenDocument: headings and lists with the numbers that are seen, paragraphs, tables, foot- and endnotes, text boxes, and alternative texts of pictures.
//! Left out are deleted and hidden text, comments, headers and footers, tables of contents and other indexes.
//!
//! Pages are known where the program recorded those that it began itself (`text:soft-page-break`), or where there are as many breaks of the author as it counted
//! pages; and only if it counted as many as are found.

use std::collections::HashMap;
use std::mem;

use super::lists::{Counts, LEVELS};
use super::styles::Styles;
use super::{FORMAT, Formulas, Parts, math};
use crate::formats::office::alternative_text;
use crate::formats::office::blocks::{Block, Cell, Run, TableRow, flat};
use crate::formats::office::writer::{Label, Line, Span, Words, Writer};
use crate::formats::office::xml::{Element, Node, Xml};
use crate::markdown::one_line;
use crate::{Extracted, Failure, Limits, Marks, Options, Place, Sink};

/// Columns of a table that cells which stand for several fill at most.
const MAX_COLUMNS: usize = 1_024;
/// Cells of a document that repeat others, with the paragraphs in them.
const MAX_REPEATED: usize = 100_000;
/// Rows that a cell spans at most.
const MAX_ROWS: usize = 1 << 20;

/// Gives the document of a text.
pub(super) fn extract(parts: Parts, options: &Options, sink: &mut dyn Sink) -> Result<(), Failure> {
    let styles = parts.styles()?;
    let mut properties = parts.properties;
    let mut xml = Xml::new(&parts.content, FORMAT);
    if xml.find("body")?.is_none() {
        return Err(Failure::invalid(FORMAT, "it has no body"));
    }
    let counted = properties.pages;
    let is_recorded = parts.content.contains("soft-page-break");
    let mut reader = Reader::new(&styles, &parts.formulas, &options.limits);
    reader.page = (is_recorded || counted.is_some()).then_some(1);
    let mut blocks = Vec::new();
    reader.blocks(&mut xml, &mut blocks)?;
    xml.note_cut(sink);
    properties.title = properties.title.or(reader.title);
    let pages = reader.page.filter(|page| counted.map_or(is_recorded, |counted| counted == *page));
    let mut writer = Writer::new(&options.limits);
    if pages.is_some() {
        writer.page(1);
    }
    blocks.into_iter().try_for_each(|block| block.write(&mut writer))?;
    let (text, mut marks) = writer.finish()?;
    if pages.is_none() {
        marks = without_pages(&marks);
    }
    let _ = sink.document(Extracted { text, marks, ..properties.into_document() });
    Ok(())
}

fn without_pages(marks: &Marks) -> Marks {
    let mut others = Marks::default();
    marks.iter().filter(|(_, place)| !matches!(place, Place::Page(_))).for_each(|(at, place)| others.push(at, place.clone()));
    others
}

/// A paragraph as it is read.
#[derive(Default)]
struct Paragraph {
    words: Words,
    notes: Vec<String>,
    /// Text boxes and alternative texts, which follow it.
    after: Vec<Block>,
}

/// An item whose first paragraph is to come.
struct Item {
    style: String,
    level: usize,
    /// Its number where it says so itself.
    start: Option<u64>,
}

/// A row as it is read, before cells that stand for several are as many.
type Cells = Vec<(Cell, usize)>;

/// Reads paragraphs, lists, tables and shapes.
pub(super) struct Reader<'a> {
    styles: &'a Styles,
    formulas: &'a Formulas,
    limits: &'a Limits,
    /// The formula of the shape that was read.
    formula: Option<String>,
    /// The page that is reached, if pages are counted, and the last one that words were given.
    page: Option<u32>,
    marked: Option<u32>,
    /// Whether a paragraph or table is read.
    is_begun: bool,
    /// The items of the list that is open, and of the headings.
    items: Counts,
    headings: Counts,
    /// Those of lists that are read, by their ids and by their styles.
    lists: HashMap<String, Counts>,
    lists_by_style: HashMap<String, Counts>,
    /// Cells, and paragraphs in them, that repeat others, and their bytes.
    repeated: (usize, usize),
    /// The first paragraph in the style of titles.
    title: Option<String>,
}

impl<'a> Reader<'a> {
    /// A reader that counts no pages.
    pub fn new(styles: &'a Styles, formulas: &'a Formulas, limits: &'a Limits) -> Self {
        Self {
            styles,
            formulas,
            limits,
            formula: None,
            page: None,
            marked: None,
            is_begun: false,
            items: Counts::default(),
            headings: Counts::default(),
            lists: HashMap::new(),
            lists_by_style: HashMap::new(),
            repeated: (0, 0),
            title: None,
        }
    }

    /// Reads the blocks of the element that is open.
    pub fn blocks(&mut self, xml: &mut Xml, out: &mut Vec<Block>) -> Result<(), Failure> {
        while let Some(node) = xml.next()? {
            let Node::Start(element) = node else { continue };
            self.block(xml, &element, &mut None, out)?;
        }
        Ok(())
    }

    /// Reads the block that is open. A paragraph takes the item.
    fn block(&mut self, xml: &mut Xml, element: &Element, item: &mut Option<Item>, out: &mut Vec<Block>) -> Result<(), Failure> {
        match element.name() {
            "p" | "h" => self.paragraph(xml, element, item.take(), out),
            "list" => self.list(xml, element, None, out),
            "numbered-paragraph" => self.numbered_paragraph(xml, element, out),
            "table" => self.table(xml, element, out),
            "soft-page-break" => {
                self.page_break();
                xml.skip()
            }
            "tracked-changes"
            | "annotation"
            | "forms"
            | "table-of-content"
            | "illustration-index"
            | "table-index"
            | "object-index"
            | "user-index"
            | "alphabetical-index"
            | "bibliography-source"
            | "binary-data" => xml.skip(),
            _ if element.attribute("display").is_some_and(|display| display == "none") => xml.skip(),
            name if is_shape(name) => self.shape(xml, out),
            _ => self.blocks(xml, out),
        }
    }

    fn page_break(&mut self) {
        self.page = self.page.map(|page| page.saturating_add(1));
    }

    fn paragraph(&mut self, xml: &mut Xml, element: &Element, item: Option<Item>, out: &mut Vec<Block>) -> Result<(), Failure> {
        let style = self.styles.paragraph(element.attribute("style-name").as_deref());
        if style.break_before && self.is_begun {
            self.page_break();
        }
        self.is_begun = true;
        let level = (element.name() == "h").then(|| element.number::<u8>("outline-level").unwrap_or(1).max(1));
        let label = match (item, level) {
            (Some(item), _) => self.label(&item, level),
            (None, Some(level))
                if style.list.as_deref() != Some("") && element.attribute("is-list-header").is_none_or(|is| is != "true") =>
            {
                let restarts = element.attribute("restart-numbering").is_some_and(|restarts| restarts == "true");
                let start = element.number("start-value").filter(|_| restarts);
                self.styles.outline.next(&mut self.headings, usize::from(level) - 1, start, true)
            }
            _ => None,
        };
        let mut paragraph = Paragraph::default();
        self.give_page(&mut paragraph.words);
        self.inline(xml, &mut paragraph, &style.run)?;
        if style.break_after {
            self.page_break();
        }
        let Paragraph { words, notes, after } = paragraph;
        if style.is_title && self.title.is_none() && !words.is_empty() {
            self.title = Some(one_line(words.text()));
        }
        if words.is_empty() {
            self.marked = None;
        }
        if !words.is_empty() || !notes.is_empty() {
            let heading = if style.is_title { Some(1) } else { level };
            out.push(Block::Line(Line { words, heading, label, notes, picture: false }));
        }
        out.extend(after);
        Ok(())
    }

    /// Says on which page the words that come next are.
    fn give_page(&mut self, words: &mut Words) {
        if self.marked != self.page
            && let Some(page) = self.page
        {
            words.page(page);
            self.marked = self.page;
        }
    }

    /// What stands before an item.
    fn label(&mut self, item: &Item, heading: Option<u8>) -> Option<Label> {
        match (self.styles.list(&item.style), heading) {
            (Some(style), _) => style.next(&mut self.items, item.level, item.start, heading.is_some()),
            // A heading in a list that says nothing of it has the number of its outline.
            (None, Some(level)) => self.styles.outline.next(&mut self.headings, usize::from(level) - 1, item.start, true),
            (None, None) => Some(Label::bullet(item.level as u32)),
        }
    }

    /// Reads the list that is open; `above` are the style and the level of the one that it is in.
    fn list(&mut self, xml: &mut Xml, element: &Element, above: Option<(&str, usize)>, out: &mut Vec<Block>) -> Result<(), Failure> {
        let style = element.attribute("style-name").or_else(|| above.map(|(style, _)| style.to_owned())).unwrap_or_default();
        if let Some((_, level)) = above {
            return self.items(xml, &style, (level + 1).min(LEVELS - 1), out);
        }
        let continued = element.attribute("continue-list");
        let goes_on = element.attribute("continue-numbering").is_some_and(|goes_on| goes_on == "true");
        let begun = match continued {
            Some(id) => self.lists.get(&id).copied(),
            None if goes_on => self.lists_by_style.get(&style).copied(),
            None => None,
        };
        let id = element.attribute("id");
        let outer = mem::replace(&mut self.items, begun.unwrap_or_default());
        self.items(xml, &style, 0, out)?;
        let items = mem::replace(&mut self.items, outer);
        id.and_then(|id| self.lists.insert(id, items));
        self.lists_by_style.insert(style, items);
        Ok(())
    }

    fn items(&mut self, xml: &mut Xml, style: &str, level: usize, out: &mut Vec<Block>) -> Result<(), Failure> {
        while let Some(node) = xml.next()? {
            let Node::Start(element) = node else { continue };
            let mut item = match element.name() {
                "list-item" => Some(Item { style: style.to_owned(), level, start: element.number("start-value") }),
                "list-header" => None,
                _ => {
                    self.block(xml, &element, &mut None, out)?;
                    continue;
                }
            };
            while let Some(node) = xml.next()? {
                let Node::Start(element) = node else { continue };
                if element.name() == "list" {
                    self.list(xml, &element, Some((style, level)), out)?;
                } else {
                    self.block(xml, &element, &mut item, out)?;
                }
            }
        }
        Ok(())
    }

    /// Reads a paragraph that is of a list though it stands alone.
    fn numbered_paragraph(&mut self, xml: &mut Xml, element: &Element, out: &mut Vec<Block>) -> Result<(), Failure> {
        let style = element.attribute("style-name").unwrap_or_default();
        let level = element.number::<usize>("level").unwrap_or(1).clamp(1, LEVELS) - 1;
        let list = element.attribute("list-id").unwrap_or_default();
        let mut item = Some(Item { style, level, start: element.number("start-value") });
        let outer = mem::replace(&mut self.items, self.lists.get(&list).copied().unwrap_or_default());
        while let Some(node) = xml.next()? {
            if let Node::Start(element) = node {
                self.block(xml, &element, &mut item, out)?;
            }
        }
        let items = mem::replace(&mut self.items, outer);
        self.lists.insert(list, items);
        Ok(())
    }

    /// Reads what is within a paragraph, up to the end of the element that is open.
    fn inline(&mut self, xml: &mut Xml, paragraph: &mut Paragraph, run: &Run) -> Result<(), Failure> {
        while let Some(node) = xml.next()? {
            let element = match node {
                Node::Start(element) => element,
                Node::Text(text) => {
                    if !run.hidden {
                        run.push(&mut paragraph.words, &text);
                    }
                    continue;
                }
            };
            match element.name() {
                "span" => {
                    let mut inner = run.clone();
                    if let Some(style) = element.attribute("style-name") {
                        self.styles.change(&mut inner, &style);
                    }
                    self.inline(xml, paragraph, &inner)?;
                }
                "s" | "tab" => {
                    paragraph.words.push(" ");
                    xml.skip()?;
                }
                "line-break" => {
                    paragraph.words.push("\u{2028}");
                    xml.skip()?;
                }
                "soft-page-break" => {
                    self.page_break();
                    self.give_page(&mut paragraph.words);
                    xml.skip()?;
                }
                "note" => self.note(xml, paragraph, run)?,
                "annotation" | "ruby-text" | "placeholder" | "hidden-text" | "script" | "binary-data" => xml.skip()?,
                _ if element.attribute("display").is_some_and(|display| display == "none") => xml.skip()?,
                name if is_shape(name) => {
                    let mut blocks = Vec::new();
                    self.parts(xml, &mut blocks)?;
                    let formula = self.formula.take();
                    if !run.hidden {
                        paragraph.words.push(&formula.unwrap_or_default());
                        paragraph.after.extend(blocks);
                    }
                }
                _ => self.inline(xml, paragraph, run)?,
            }
        }
        Ok(())
    }

    /// A foot- or endnote: its mark stays in the words, and the note follows the paragraph.
    fn note(&mut self, xml: &mut Xml, paragraph: &mut Paragraph, run: &Run) -> Result<(), Failure> {
        let (mut mark, mut blocks) = (String::new(), Vec::new());
        // Notes stand at the end of a page or of the document, whatever their own breaks are.
        let pages = (self.page.take(), self.marked.take());
        while let Some(node) = xml.next()? {
            let Node::Start(element) = node else { continue };
            match element.name() {
                "note-citation" => mark = one_line(&xml.words()?),
                "note-body" => self.blocks(xml, &mut blocks)?,
                _ => xml.skip()?,
            }
        }
        (self.page, self.marked) = pages;
        let text = flat(&blocks, &mut paragraph.notes);
        if !run.hidden && !text.is_empty() {
            paragraph.words.push(&format!("[{mark}]"));
            paragraph.notes.push(format!("[{mark}] {text}"));
        }
        Ok(())
    }

    /// Reads the shape or frame that is open: its text, its alternative text, and its formula as a paragraph.
    pub fn shape(&mut self, xml: &mut Xml, out: &mut Vec<Block>) -> Result<(), Failure> {
        self.parts(xml, out)?;
        out.extend(self.formula.take().map(|formula| Block::words(&formula)));
        Ok(())
    }

    /// Reads the shape that is open. Its formula stays for whoever reads what it stands in.
    fn parts(&mut self, xml: &mut Xml, out: &mut Vec<Block>) -> Result<(), Failure> {
        while let Some(node) = xml.next()? {
            let Node::Start(element) = node else { continue };
            match element.name() {
                "title" | "desc" => {
                    let text = one_line(&xml.words()?);
                    out.extend(alternative_text(&text).map(Block::picture));
                }
                "text-box" => self.blocks(xml, out)?,
                "p" | "h" | "list" | "table" | "numbered-paragraph" => self.block(xml, &element, &mut None, out)?,
                "object" => {
                    self.formula = match element.attribute("href") {
                        Some(part) => {
                            xml.skip()?;
                            self.formulas.get(part.trim_start_matches("./")).cloned()
                        }
                        None => math::within(xml)?,
                    };
                }
                "image" | "object-ole" | "plugin" | "applet" | "floating-frame" | "image-map" | "event-listeners" | "glue-point"
                | "enhanced-geometry" | "annotation" => xml.skip()?,
                _ => self.parts(xml, out)?,
            }
        }
        Ok(())
    }

    fn table(&mut self, xml: &mut Xml, element: &Element, out: &mut Vec<Block>) -> Result<(), Failure> {
        let begins_page = element.attribute("style-name").is_some_and(|style| self.styles.is_table_break(&style));
        if begins_page && self.is_begun {
            self.page_break();
        }
        self.is_begun = true;
        let mut rows = Vec::new();
        self.rows(xml, false, &mut Vec::new(), &mut rows, out)?;
        out.push(Block::Table(rows));
        self.marked = None;
        Ok(())
    }

    /// Reads the rows of the element that is open. `below` are the rows further down that cells span, by column.
    fn rows(
        &mut self,
        xml: &mut Xml,
        header: bool,
        below: &mut Vec<usize>,
        rows: &mut Vec<TableRow>,
        out: &mut Vec<Block>,
    ) -> Result<(), Failure> {
        while let Some(node) = xml.next()? {
            let Node::Start(element) = node else { continue };
            match element.name() {
                "table-row" => {
                    let times = element.number::<usize>("number-rows-repeated").unwrap_or(1).max(1);
                    let mut row = TableRow { header, page: self.page, ..TableRow::default() };
                    let cells = self.cells(xml, below)?;
                    self.add_cells(cells, &mut row)?;
                    self.add_row(row, times, rows)?;
                }
                "soft-page-break" => {
                    self.page_break();
                    xml.skip()?;
                }
                "title" | "desc" => {
                    let text = one_line(&xml.words()?);
                    out.extend(alternative_text(&text).map(Block::picture));
                }
                "table-header-rows" => self.rows(xml, true, below, rows, out)?,
                "table-rows" | "table-row-group" => self.rows(xml, header, below, rows, out)?,
                _ => xml.skip()?,
            }
        }
        Ok(())
    }

    /// Reads the cells of the row that is open, each with how often it stands there.
    fn cells(&mut self, xml: &mut Xml, below: &mut Vec<usize>) -> Result<Cells, Failure> {
        let mut cells = Cells::new();
        let (mut column, mut right) = (0, 0);
        // Each cell records the break of a page that the row goes over.
        let first = self.page;
        let mut last = first;
        while let Some(node) = xml.next()? {
            let Node::Start(element) = node else { continue };
            let times = element.number::<usize>("number-columns-repeated").unwrap_or(1);
            let times = times.min(MAX_COLUMNS.saturating_sub(column)).max(1);
            match element.name() {
                "table-cell" => {
                    let [columns, rows] = ["number-columns-spanned", "number-rows-spanned"].map(|name| element.number(name).unwrap_or(1));
                    right = usize::clamp(columns, 1, MAX_COLUMNS) - 1;
                    set(below, column, (times + right).min(MAX_COLUMNS), usize::clamp(rows, 1, MAX_ROWS) - 1);
                    let mut blocks = Vec::new();
                    self.page = first;
                    self.blocks(xml, &mut blocks)?;
                    last = last.max(self.page);
                    cells.push((Cell { blocks, columns: 1, span: Span::Own }, times));
                }
                "covered-table-cell" => {
                    for at in column..column + times {
                        let is_below = below.get_mut(at).filter(|rows| **rows > 0);
                        let span = match is_below {
                            _ if right > 0 => {
                                right -= 1;
                                Span::Right
                            }
                            Some(rows) => {
                                *rows -= 1;
                                Span::Down
                            }
                            None => Span::Nothing,
                        };
                        cells.push((Cell { columns: 1, span, ..Cell::default() }, 1));
                    }
                    xml.skip()?;
                }
                _ => {
                    xml.skip()?;
                    continue;
                }
            }
            column += times;
        }
        self.page = last;
        // A row is as wide as its words.
        while cells.pop_if(|(cell, times)| *times > 1 && cell.blocks.is_empty()).is_some() {}
        Ok(cells)
    }

    /// Adds cells to their row, as often as they stand there.
    fn add_cells(&mut self, cells: Cells, row: &mut TableRow) -> Result<(), Failure> {
        for (cell, times) in cells {
            self.repeat(std::slice::from_ref(&cell), times - 1)?;
            row.cells.extend(std::iter::repeat_n(cell, times));
        }
        Ok(())
    }

    /// Adds a row to its table, as often as it stands there, if it has words.
    fn add_row(&mut self, row: TableRow, times: usize, rows: &mut Vec<TableRow>) -> Result<(), Failure> {
        if row.cells.iter().all(|cell| cell.blocks.is_empty()) {
            return Ok(());
        }
        self.repeat(&row.cells, times - 1)?;
        rows.extend(std::iter::repeat_n(row, times));
        Ok(())
    }

    /// Counts cells that stand at so many further places.
    fn repeat(&mut self, cells: &[Cell], times: usize) -> Result<(), Failure> {
        if times == 0 {
            return Ok(());
        }
        let bytes: usize = cells.iter().flat_map(|cell| &cell.blocks).map(Block::bytes).sum();
        let (all, all_bytes) = &mut self.repeated;
        *all = all.saturating_add(times.saturating_mul(cells.iter().map(Cell::parts).sum()));
        *all_bytes = all_bytes.saturating_add(times.saturating_mul(bytes));
        if *all > MAX_REPEATED {
            return Err(Failure::TooLarge {
                what: "cells that repeat others",
                limit: MAX_REPEATED as u64,
                name: "the cells of tables in a text",
                advice: "delete the rows and columns that only repeat others",
            });
        }
        if *all_bytes as u64 > self.limits.text_bytes {
            return Err(Failure::text_too_large(self.limits.text_bytes));
        }
        Ok(())
    }
}

/// Sets columns from a place on.
fn set(columns: &mut Vec<usize>, from: usize, count: usize, value: usize) {
    let end = from.saturating_add(count).min(MAX_COLUMNS);
    if columns.len() < end {
        columns.resize(end, 0);
    }
    columns.iter_mut().take(end).skip(from).for_each(|column| *column = value);
}

/// Whether an element is a shape, a frame or a group of them.
pub(super) fn is_shape(name: &str) -> bool {
    matches!(
        name,
        "frame"
            | "g"
            | "custom-shape"
            | "rect"
            | "line"
            | "polyline"
            | "polygon"
            | "regular-polygon"
            | "path"
            | "circle"
            | "ellipse"
            | "connector"
            | "caption"
            | "measure"
            | "control"
            | "scene"
    )
}
