//! Word documents (ISO/IEC 29500-1, WordprocessingML): .docx, .docm, .dotx, .dotm.
//!
//! Read are paragraphs, headings, lists with the numbers that are seen, tables, text boxes, foot- and endnotes, and alternative texts of
//! pictures. Left out are deleted and hidden text, headers, footers, comments, instructions of fields, and tables of contents. Pages are
//! those that Word recorded when it showed the document last; where it recorded none, there are no pages.

mod numbering;
mod styles;

use std::collections::HashMap;

use self::numbering::Numbering;
use self::styles::Styles;
use super::numbers::{number, roman};
use super::symbols::{raised, symbol};
use super::writer::{Label, Line, Row, Span, Words, Writer, add_to_cell};
use super::xml::{Element, Node, Xml};
use super::{Package, Properties};
use crate::markdown::one_line;
use crate::{Extracted, Failure, Note, Options, Sink};

const FORMAT: &str = "Word document";
/// Columns that a cell spans at most; Word has no more than 63.
const MAX_COLUMNS: usize = 64;

/// Gives the document of a package whose main part is `main`.
pub(super) fn extract(package: &mut Package, main: &str, options: &Options, sink: &mut dyn Sink) -> Result<(), Failure> {
    let Some(text) = package.text(main, sink)? else {
        return Err(Failure::invalid(FORMAT, format!("it lacks its part {main}")));
    };
    let relations = package.relations(main, sink)?;
    let part = |kind: &str, package: &mut Package, sink: &mut dyn Sink| match relations.iter().find(|relation| relation.is(kind)) {
        Some(relation) => package.text(&relation.target, sink),
        None => Ok(None),
    };
    let styles = part("styles", package, sink)?;
    let numbering = part("numbering", package, sink)?;
    let notes = [part("footnotes", package, sink)?, part("endnotes", package, sink)?];
    let mut properties = Properties::read(package, sink)?;
    let styles = styles.map(|text| Styles::read(&text)).transpose()?.unwrap_or_default();
    let numbering = numbering.map(|text| Numbering::read(&text, &styles)).transpose()?.unwrap_or_default();
    let mut reader = Reader::new(styles, numbering, Writer::new(&options.limits));
    for (at, text) in notes.iter().enumerate() {
        if let Some(text) = text {
            reader.notes[at] = reader.read_notes(text)?;
        }
    }
    // What was counted for the notes does not count for the text.
    reader.numbering.restart();
    reader.pages = pages(&text, properties.pages);
    let mut xml = Xml::new(&text, FORMAT);
    if xml.find("body")?.is_none() {
        return Err(Failure::invalid(FORMAT, "it has no body"));
    }
    if reader.pages != Pages::None {
        reader.writer.page(1);
    }
    let mut out = Out::Write;
    reader.blocks(&mut xml, &mut out)?;
    reader.flush(&mut out)?;
    if xml.cut {
        sink.note(Note::PartSkipped { part: "what is deepest in it".into(), reason: "is within too many other parts".into() });
    }
    properties.title = properties.title.or(reader.title);
    let (text, marks) = reader.writer.finish()?;
    let _ = sink.document(Extracted { text, marks, ..properties.into_document() });
    Ok(())
}

/// Which breaks are those of pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Pages {
    /// None: where pages end is not known.
    #[default]
    None,
    /// Those that Word recorded when it showed the document.
    Rendered,
    /// Those of the author, because there are as many as Word counted pages.
    Manual,
}

fn pages(text: &str, counted: Option<u32>) -> Pages {
    let manual = text.matches("w:type=\"page\"").count();
    if text.contains("lastRenderedPageBreak") {
        Pages::Rendered
    } else if manual > 0 && counted.is_some_and(|pages| pages as usize == manual + 1) {
        Pages::Manual
    } else {
        Pages::None
    }
}

/// A paragraph as it is read.
#[derive(Debug, Default)]
struct Paragraph {
    words: Words,
    style: Option<String>,
    /// Its list and level, where it says so itself.
    number: (Option<String>, Option<usize>),
    outline: Option<u8>,
    notes: Vec<String>,
    /// Text boxes and alternative texts, which follow it.
    after: Vec<Block>,
    /// Whether its end is deleted, so that the next one goes on in it.
    joins: bool,
}

#[derive(Debug)]
enum Block {
    Line(Line),
    Table(Vec<TableRow>),
}

#[derive(Debug, Default)]
struct TableRow {
    cells: Vec<Cell>,
    /// Columns before the first cell.
    before: usize,
    header: bool,
    deleted: bool,
    page: Option<u32>,
}

#[derive(Debug, Default)]
struct Cell {
    blocks: Vec<Block>,
    columns: usize,
    goes_on: bool,
}

/// Where blocks go.
enum Out {
    Write,
    Collect(Vec<Block>),
}

/// How a run of words looks.
#[derive(Clone, Debug, Default)]
struct Run {
    hidden: bool,
    font: Option<String>,
    /// Above or, if true, below the line.
    raised: Option<bool>,
}

/// A field, such as a reference to a page.
#[derive(Debug, Default)]
struct Field {
    instruction: String,
    in_result: bool,
    /// Whether its result is a list of places in the document.
    is_contents: bool,
}

struct Reader {
    styles: Styles,
    numbering: Numbering,
    writer: Writer,
    /// Footnotes and endnotes by their ids.
    notes: [HashMap<String, String>; 2],
    /// How many of them are referred to.
    counted: [u64; 2],
    fields: Vec<Field>,
    pages: Pages,
    page: u32,
    /// A paragraph that goes on in the next one.
    carried: Option<Paragraph>,
    /// The first paragraph in the style of titles.
    title: Option<String>,
}

impl Reader {
    fn new(styles: Styles, numbering: Numbering, writer: Writer) -> Self {
        let (notes, counted) = (Default::default(), [0; 2]);
        Self { styles, numbering, writer, notes, counted, fields: Vec::new(), pages: Pages::None, page: 1, carried: None, title: None }
    }

    /// The texts of foot- or endnotes.
    fn read_notes(&mut self, text: &str) -> Result<HashMap<String, String>, Failure> {
        let mut notes = HashMap::new();
        let mut xml = Xml::new(text, FORMAT);
        xml.root()?;
        while let Some(node) = xml.next()? {
            let Node::Start(note) = node else { continue };
            // Lines that separate notes have a type.
            let is_note = note.attribute("type").is_none_or(|kind| kind == "normal");
            match note.attribute("id").filter(|_| is_note) {
                Some(id) => {
                    let mut out = Out::Collect(Vec::new());
                    self.blocks(&mut xml, &mut out)?;
                    self.flush(&mut out)?;
                    let Out::Collect(blocks) = out else { continue };
                    notes.insert(id, flat(&blocks, &mut Vec::new()));
                }
                None => xml.skip()?,
            }
        }
        Ok(notes)
    }

    /// Reads the paragraphs and tables of the element that is open.
    fn blocks(&mut self, xml: &mut Xml, out: &mut Out) -> Result<(), Failure> {
        while let Some(node) = xml.next()? {
            let Node::Start(element) = node else { continue };
            match element.name() {
                "p" => {
                    let paragraph = self.paragraph(xml)?;
                    self.end_paragraph(paragraph, out)?;
                }
                "tbl" => {
                    self.flush(out)?;
                    self.table(xml, out)?;
                }
                "sdt" => self.control(xml, |reader, xml| reader.blocks(xml, out))?,
                "AlternateContent" => self.alternatives(xml, |reader, xml| reader.blocks(xml, out))?,
                "del" | "moveFrom" | "sectPr" | "tcPr" => xml.skip()?,
                _ => self.blocks(xml, out)?,
            }
        }
        Ok(())
    }

    /// Reads a content control, without what it shows before it is filled in, and without tables of contents.
    fn control(&mut self, xml: &mut Xml, mut content: impl FnMut(&mut Self, &mut Xml) -> Result<(), Failure>) -> Result<(), Failure> {
        let mut left_out = false;
        while let Some(node) = xml.next()? {
            let Node::Start(element) = node else { continue };
            match element.name() {
                "sdtPr" => left_out = is_left_out(xml)?,
                "sdtContent" if !left_out => content(self, xml)?,
                _ => xml.skip()?,
            }
        }
        Ok(())
    }

    /// Reads the first of several versions of the same content.
    fn alternatives(&mut self, xml: &mut Xml, mut content: impl FnMut(&mut Self, &mut Xml) -> Result<(), Failure>) -> Result<(), Failure> {
        let mut read = false;
        while let Some(node) = xml.next()? {
            if !matches!(node, Node::Start(_)) {
                continue;
            }
            if read {
                xml.skip()?;
            } else {
                content(self, xml)?;
                read = true;
            }
        }
        Ok(())
    }

    fn paragraph(&mut self, xml: &mut Xml) -> Result<Paragraph, Failure> {
        let mut paragraph = Paragraph::default();
        let mut run = Run::default();
        self.inline(xml, &mut paragraph, &mut run)?;
        Ok(paragraph)
    }

    /// Gives a paragraph and what follows it to `out`.
    fn end_paragraph(&mut self, mut paragraph: Paragraph, out: &mut Out) -> Result<(), Failure> {
        if let Some(mut carried) = self.carried.take() {
            carried.words.append(&paragraph.words);
            carried.notes.append(&mut paragraph.notes);
            carried.after.append(&mut paragraph.after);
            paragraph = Paragraph { words: carried.words, notes: carried.notes, after: carried.after, ..paragraph };
        }
        if paragraph.joins {
            self.carried = Some(Paragraph { joins: false, ..paragraph });
            return Ok(());
        }
        let style = self.styles.resolve(paragraph.style.as_deref());
        let heading = paragraph.outline.or(style.outline).filter(|level| *level < 9).map(|level| level + 1);
        if heading.is_some() && !paragraph.words.is_empty() {
            // The end of a table of contents is missing.
            self.fields.clear();
        }
        let (list, level) = match &paragraph.number {
            (Some(list), level) => (Some(list.clone()), level.or(style.level)),
            (None, level) => (style.list.clone(), level.or(style.level)),
        };
        let label = list.and_then(|list| self.numbering.next(&list, level, style.id.as_deref(), heading.is_some()));
        let words = if style.is_contents { Words::default() } else { paragraph.words };
        let heading = if style.is_title { Some(1) } else { heading };
        if style.is_title && self.title.is_none() && !words.is_empty() {
            self.title = Some(one_line(words.text()));
        }
        self.give(Block::Line(Line { words, heading, label, notes: paragraph.notes }), out)?;
        paragraph.after.into_iter().try_for_each(|block| self.give(block, out))
    }

    /// Gives the paragraph whose next one is missing.
    fn flush(&mut self, out: &mut Out) -> Result<(), Failure> {
        match self.carried.take() {
            Some(paragraph) => self.end_paragraph(paragraph, out),
            None => Ok(()),
        }
    }

    fn give(&mut self, block: Block, out: &mut Out) -> Result<(), Failure> {
        match (out, block) {
            (Out::Collect(_), Block::Line(line)) if line.words.is_empty() && line.notes.is_empty() => {}
            (Out::Collect(blocks), block) => blocks.push(block),
            (Out::Write, Block::Line(line)) => self.writer.line(&line)?,
            (Out::Write, Block::Table(rows)) => self.write_table(rows)?,
        }
        Ok(())
    }

    /// Reads what is within a paragraph, up to the end of the element that is open.
    fn inline(&mut self, xml: &mut Xml, paragraph: &mut Paragraph, run: &mut Run) -> Result<(), Failure> {
        while let Some(node) = xml.next()? {
            let Node::Start(element) = node else { continue };
            match element.name() {
                "pPr" => {
                    self.paragraph_properties(xml, paragraph)?;
                    run.hidden = self.styles.resolve(paragraph.style.as_deref()).hidden;
                }
                "r" => self.inline(xml, paragraph, &mut run.clone())?,
                "rPr" => self.run_properties(xml, run)?,
                "t" => {
                    let words = xml.words()?;
                    self.push(paragraph, run, &words);
                }
                "tab" | "ptab" => self.leaf(xml, paragraph, run, " ")?,
                "cr" => self.leaf(xml, paragraph, run, "\u{2028}")?,
                "noBreakHyphen" => self.leaf(xml, paragraph, run, "-")?,
                "br" => {
                    if element.attribute("type").is_some_and(|kind| kind == "page") {
                        self.page_break(paragraph, Pages::Manual);
                    }
                    self.leaf(xml, paragraph, run, "\u{2028}")?;
                }
                "lastRenderedPageBreak" => {
                    self.page_break(paragraph, Pages::Rendered);
                    xml.skip()?;
                }
                "sym" => {
                    let font = element.attribute("font").unwrap_or_default();
                    let code = element.attribute("char").and_then(|code| u32::from_str_radix(&code, 16).ok()).unwrap_or_default();
                    let c = symbol(&font, code).or_else(|| char::from_u32(code)).map(String::from).unwrap_or_default();
                    self.leaf(xml, paragraph, run, &c)?;
                }
                "footnoteReference" => self.note(xml, &element, 0, paragraph, run)?,
                "endnoteReference" => self.note(xml, &element, 1, paragraph, run)?,
                "fldChar" => self.field(xml, &element, paragraph, run)?,
                "instrText" => {
                    let words = xml.words()?;
                    if let Some(field) = self.fields.last_mut().filter(|field| !field.in_result && field.instruction.len() < 100) {
                        field.instruction.push_str(&words);
                    }
                }
                "docPr" => {
                    self.alternative_text(element.attribute("descr"), paragraph, run);
                    xml.skip()?;
                }
                "shape" | "rect" | "roundrect" => {
                    self.alternative_text(element.attribute("alt"), paragraph, run);
                    self.inline(xml, paragraph, run)?;
                }
                "txbxContent" => self.text_box(xml, paragraph, run)?,
                "sdt" => self.control(xml, |reader, xml| reader.inline(xml, paragraph, run))?,
                "AlternateContent" => self.alternatives(xml, |reader, xml| reader.inline(xml, paragraph, run))?,
                "rad" if element.full_name().starts_with("m:") => {
                    self.push(paragraph, run, "√(");
                    self.inline(xml, paragraph, run)?;
                    self.push(paragraph, run, ")");
                }
                "num" | "den" | "sup" | "sub" if element.full_name().starts_with("m:") => {
                    let name = element.name().to_owned();
                    let mut part = Paragraph::default();
                    self.inline(xml, &mut part, run)?;
                    self.push(paragraph, run, &formula(&name, part.words.text()));
                }
                "del" | "moveFrom" | "delText" | "fldData" | "rt" | "deg" | "binData" => xml.skip()?,
                _ => self.inline(xml, paragraph, run)?,
            }
        }
        Ok(())
    }

    /// Adds words for an element that has none.
    fn leaf(&mut self, xml: &mut Xml, paragraph: &mut Paragraph, run: &Run, words: &str) -> Result<(), Failure> {
        self.push(paragraph, run, words);
        xml.skip()
    }

    fn is_hidden(&self, run: &Run) -> bool {
        run.hidden || self.fields.iter().any(|field| !field.in_result || field.is_contents)
    }

    fn push(&self, paragraph: &mut Paragraph, run: &Run, words: &str) {
        if self.is_hidden(run) {
            return;
        }
        let font = run.font.as_deref().unwrap_or_default();
        let is_symbol = |c: char| ('\u{F020}'..='\u{F0FF}').contains(&c);
        if let Some(below) = run.raised {
            paragraph.words.push(&raised(words, below));
        } else if words.contains(is_symbol) || symbol(font, 0x41).is_some() {
            let font = if font.is_empty() { "Symbol" } else { font };
            words.chars().for_each(|c| paragraph.words.push_char(symbol(font, c.into()).unwrap_or(c)));
        } else {
            paragraph.words.push(words);
        }
    }

    fn page_break(&mut self, paragraph: &mut Paragraph, kind: Pages) {
        if self.pages == kind {
            self.page = self.page.saturating_add(1);
            paragraph.words.page(self.page);
        }
    }

    /// A reference to a note: its mark stays in the words, and the note follows the paragraph.
    fn note(&mut self, xml: &mut Xml, element: &Element, kind: usize, paragraph: &mut Paragraph, run: &Run) -> Result<(), Failure> {
        let found = element.attribute("id").and_then(|id| self.notes[kind].get(&id)).filter(|text| !text.is_empty()).cloned();
        if let Some(text) = found.filter(|_| !self.is_hidden(run)) {
            self.counted[kind] += 1;
            let count = self.counted[kind];
            let mark = if kind == 0 { format!("[{count}]") } else { format!("[{}]", roman(count).to_lowercase()) };
            paragraph.words.push(&mark);
            paragraph.notes.push(format!("{mark} {text}"));
        }
        xml.skip()
    }

    fn field(&mut self, xml: &mut Xml, element: &Element, paragraph: &mut Paragraph, run: &Run) -> Result<(), Failure> {
        match element.attribute("fldCharType").as_deref() {
            Some("begin") => {
                self.fields.push(Field::default());
                return self.check_box(xml, paragraph, run);
            }
            Some("separate") => {
                if let Some(field) = self.fields.last_mut() {
                    field.in_result = true;
                    let name = field.instruction.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
                    field.is_contents = matches!(name.as_str(), "TOC" | "INDEX" | "TOA");
                }
            }
            _ => {
                self.fields.pop();
            }
        }
        xml.skip()
    }

    /// A box of a form that is ticked or not, in the beginning of its field.
    fn check_box(&mut self, xml: &mut Xml, paragraph: &mut Paragraph, run: &Run) -> Result<(), Failure> {
        let (mut is_box, mut ticked, mut depth) = (false, false, 1);
        while depth > 0 {
            match xml.next()? {
                Some(Node::Start(element)) => {
                    depth += 1;
                    match element.name() {
                        "checkBox" => is_box = true,
                        "default" | "checked" if is_box => ticked = element.is_on(),
                        _ => {}
                    }
                }
                Some(Node::Text(_)) => {}
                None => depth -= 1,
            }
        }
        if is_box && !run.hidden {
            paragraph.words.push(if ticked { "☒" } else { "☐" });
        }
        Ok(())
    }

    fn alternative_text(&mut self, text: Option<String>, paragraph: &mut Paragraph, run: &Run) {
        // What a program guessed says so in English at its end.
        let text = text.map(|text| text.split("Description automatically generated").next().unwrap_or_default().trim().to_owned());
        if let Some(text) = text.filter(|text| text.contains(char::is_whitespace) && !self.is_hidden(run)) {
            paragraph.after.push(Block::Line(Line { words: text.as_str().into(), ..Line::default() }));
        }
    }

    fn text_box(&mut self, xml: &mut Xml, paragraph: &mut Paragraph, run: &Run) -> Result<(), Failure> {
        let carried = self.carried.take();
        let mut out = Out::Collect(Vec::new());
        self.blocks(xml, &mut out)?;
        self.flush(&mut out)?;
        self.carried = carried;
        if let Out::Collect(blocks) = out
            && !self.is_hidden(run)
        {
            paragraph.after.extend(blocks);
        }
        Ok(())
    }

    fn paragraph_properties(&mut self, xml: &mut Xml, paragraph: &mut Paragraph) -> Result<(), Failure> {
        while let Some(node) = xml.next()? {
            let Node::Start(element) = node else { continue };
            match element.name() {
                "pStyle" => paragraph.style = element.val(),
                "outlineLvl" => paragraph.outline = element.val().and_then(|level| level.parse().ok()),
                "numPr" => {
                    paragraph.number = styles::list(xml)?;
                    continue;
                }
                "rPr" => {
                    while let Some(node) = xml.next()? {
                        if let Node::Start(mark) = node {
                            paragraph.joins |= matches!(mark.name(), "del" | "moveFrom");
                            xml.skip()?;
                        }
                    }
                    continue;
                }
                _ => {}
            }
            xml.skip()?;
        }
        Ok(())
    }

    fn run_properties(&mut self, xml: &mut Xml, run: &mut Run) -> Result<(), Failure> {
        while let Some(node) = xml.next()? {
            let Node::Start(element) = node else { continue };
            match element.name() {
                "rStyle" => run.hidden |= element.val().is_some_and(|style| self.styles.resolve(Some(&style)).hidden),
                "vanish" => run.hidden = element.is_on(),
                "rFonts" => run.font = element.attribute("ascii").or_else(|| element.attribute("hAnsi")),
                "vertAlign" => {
                    run.raised = match element.val().as_deref() {
                        Some("superscript") => Some(false),
                        Some("subscript") => Some(true),
                        _ => None,
                    };
                }
                _ => {}
            }
            xml.skip()?;
        }
        Ok(())
    }

    fn table(&mut self, xml: &mut Xml, out: &mut Out) -> Result<(), Failure> {
        let mut rows = Vec::new();
        let mut about = Vec::new();
        self.rows(xml, &mut rows, &mut about)?;
        for text in about {
            self.give(Block::Line(Line { words: text.as_str().into(), ..Line::default() }), out)?;
        }
        self.give(Block::Table(rows), out)
    }

    /// Reads the rows of the element that is open, and the caption and description of the table.
    fn rows(&mut self, xml: &mut Xml, rows: &mut Vec<TableRow>, about: &mut Vec<String>) -> Result<(), Failure> {
        while let Some(node) = xml.next()? {
            let Node::Start(element) = node else { continue };
            match element.name() {
                "tr" => {
                    let mut row = TableRow { page: (self.pages != Pages::None).then_some(self.page), ..TableRow::default() };
                    let first = self.page;
                    let mut last = first;
                    self.cells(xml, &mut row, first, &mut last)?;
                    self.page = last;
                    if !row.deleted {
                        rows.push(row);
                    }
                }
                "tblPr" => {
                    while let Some(node) = xml.next()? {
                        let Node::Start(property) = node else { continue };
                        if matches!(property.name(), "tblCaption" | "tblDescription") {
                            about.extend(property.val().filter(|text| text.contains(char::is_whitespace)));
                        }
                        xml.skip()?;
                    }
                }
                "tblGrid" | "tblPrEx" | "del" | "moveFrom" | "sdtPr" => xml.skip()?,
                _ => self.rows(xml, rows, about)?,
            }
        }
        Ok(())
    }

    /// Reads the cells of the row that is open, which begins on page `first`; `last` becomes the page that it ends on.
    fn cells(&mut self, xml: &mut Xml, row: &mut TableRow, first: u32, last: &mut u32) -> Result<(), Failure> {
        while let Some(node) = xml.next()? {
            let Node::Start(element) = node else { continue };
            match element.name() {
                "tc" => {
                    // Each cell records the break of a page that the row goes over.
                    self.page = first;
                    let cell = self.cell(xml)?;
                    if row.cells.is_empty()
                        && let (Some(page), Some(Block::Line(line))) = (row.page.as_mut(), cell.blocks.first())
                    {
                        *page = line.words.first_page().unwrap_or(*page);
                    }
                    *last = (*last).max(self.page);
                    row.cells.push(cell);
                }
                "trPr" => {
                    while let Some(node) = xml.next()? {
                        let Node::Start(property) = node else { continue };
                        match property.name() {
                            "tblHeader" => row.header = property.is_on(),
                            "del" => row.deleted = true,
                            "gridBefore" => {
                                row.before = property.val().and_then(|count| count.parse().ok()).unwrap_or(0).min(MAX_COLUMNS);
                            }
                            _ => {}
                        }
                        xml.skip()?;
                    }
                }
                "tblPrEx" | "del" | "moveFrom" | "sdtPr" => xml.skip()?,
                _ => self.cells(xml, row, first, last)?,
            }
        }
        Ok(())
    }

    fn cell(&mut self, xml: &mut Xml) -> Result<Cell, Failure> {
        let mut cell = Cell { columns: 1, ..Cell::default() };
        let mut out = Out::Collect(Vec::new());
        while let Some(node) = xml.next()? {
            let Node::Start(element) = node else { continue };
            match element.name() {
                "tcPr" => {
                    while let Some(node) = xml.next()? {
                        let Node::Start(property) = node else { continue };
                        match property.name() {
                            "gridSpan" => {
                                let columns = property.val().and_then(|count| count.parse().ok()).unwrap_or(1);
                                cell.columns = usize::clamp(columns, 1, MAX_COLUMNS);
                            }
                            "vMerge" => cell.goes_on = property.val().is_none_or(|kind| kind == "continue"),
                            _ => {}
                        }
                        xml.skip()?;
                    }
                }
                "p" => {
                    let paragraph = self.paragraph(xml)?;
                    self.end_paragraph(paragraph, &mut out)?;
                }
                "tbl" => self.table(xml, &mut out)?,
                "sdt" => self.control(xml, |reader, xml| reader.blocks(xml, &mut out))?,
                "del" | "moveFrom" => xml.skip()?,
                _ => self.blocks(xml, &mut out)?,
            }
        }
        self.flush(&mut out)?;
        if let Out::Collect(blocks) = out {
            cell.blocks = blocks;
        }
        Ok(cell)
    }

    fn write_table(&mut self, rows: Vec<TableRow>) -> Result<(), Failure> {
        // A box around paragraphs is no table.
        if rows.iter().all(|row| row.cells.len() <= 1) {
            let blocks = rows.into_iter().flat_map(|row| row.cells).flat_map(|cell| cell.blocks);
            return blocks.into_iter().try_for_each(|block| self.give(block, &mut Out::Write));
        }
        let mut notes = Vec::new();
        let rows = rows.into_iter().map(|row| flat_row(row, &mut notes)).collect();
        self.writer.table(rows, &notes)
    }
}

/// Whether the properties of a content control say that it shows no content of its own, or a table of contents.
fn is_left_out(xml: &mut Xml) -> Result<bool, Failure> {
    let (mut left_out, mut depth) = (false, 1);
    while depth > 0 {
        match xml.next()? {
            Some(Node::Start(element)) => {
                depth += 1;
                left_out |= match element.name() {
                    "showingPlcHdr" => element.is_on(),
                    "docPartGallery" => element.val().is_some_and(|gallery| gallery == "Table of Contents"),
                    _ => false,
                };
            }
            Some(Node::Text(_)) => {}
            None => depth -= 1,
        }
    }
    Ok(left_out)
}

/// A part of a formula in a line: `(a + b)/c`, `m²`, `x_1`.
fn formula(part: &str, words: &str) -> String {
    let whole = if words.chars().all(char::is_alphanumeric) { words.to_owned() } else { format!("({words})") };
    let changed = raised(words, part == "sub");
    match part {
        "num" => whole,
        "den" => format!("/{whole}"),
        _ if words.is_empty() || changed != words => changed,
        "sup" => format!("^{whole}"),
        _ => format!("_{whole}"),
    }
}

fn flat_row(row: TableRow, notes: &mut Vec<String>) -> Row {
    let mut flat_row = Row { header: row.header, page: row.page, ..Row::default() };
    for _ in 0..row.before {
        flat_row.cells.push(String::new());
        flat_row.spans.push(Span::Nothing);
    }
    for cell in row.cells {
        let goes_on = if cell.goes_on { Span::Down } else { Span::Own };
        flat_row.cells.push(if cell.goes_on { String::new() } else { flat(&cell.blocks, notes) });
        flat_row.spans.push(goes_on);
        for _ in 1..cell.columns {
            flat_row.cells.push(String::new());
            flat_row.spans.push(if cell.goes_on { goes_on } else { Span::Right });
        }
    }
    flat_row
}

/// Blocks in one line, such as those of a cell. Notes that they refer to are added to `notes`.
fn flat(blocks: &[Block], notes: &mut Vec<String>) -> String {
    let mut text = String::new();
    for block in blocks {
        match block {
            Block::Line(line) if line.words.is_empty() => {}
            Block::Line(line) => {
                let mark = line.label.as_ref().map(|label| format!("{} ", label.text)).unwrap_or_default();
                let mut lines = line.words.text().split('\u{2028}');
                add_to_cell(&mut text, &format!("{mark}{}", lines.next().unwrap_or_default()));
                lines.for_each(|line| add_to_cell(&mut text, line));
                notes.extend(line.notes.iter().cloned());
            }
            Block::Table(rows) => {
                for row in rows {
                    let cells: Vec<String> =
                        row.cells.iter().map(|cell| flat(&cell.blocks, notes)).filter(|cell| !cell.is_empty()).collect();
                    add_to_cell(&mut text, &cells.join(", "));
                }
            }
        }
    }
    text
}

/// A number of a list, or its bullet.
fn label(text: String, format: &str, level: usize, divides: bool) -> Option<Label> {
    if format == "bullet" {
        return Some(Label::bullet(level as u32));
    }
    let text = text.trim().to_owned();
    (!text.is_empty()).then_some(Label { text, level: level as u32, divides })
}
