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
use super::blocks::{Block, Cell, Run, TableRow, flat};
use super::numbers::roman;
use super::symbols::{formula, symbol};
use super::writer::{Label, Line, Span, Words, Writer};
use super::xml::{Element, Node, Xml, first_version};
use super::{Package, Properties, alternative_text};
use crate::markdown::one_line;
use crate::{Extracted, Failure, Limits, Options, Sink};

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
    let mut reader = Reader::new(styles, numbering, &options.limits);
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
    xml.note_cut(sink);
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

/// Where blocks go.
enum Out {
    Write,
    Collect(Vec<Block>),
}

/// A field, such as a reference to a page.
#[derive(Debug, Default)]
struct Field {
    instruction: String,
    in_result: bool,
    /// Whether its result is a list of places in the document.
    is_contents: bool,
    /// Whether a field around it hides its words.
    is_hidden: bool,
}

impl Field {
    /// Whether words in it are no text.
    fn hides(&self) -> bool {
        self.is_hidden || !self.in_result || self.is_contents
    }
}

struct Reader {
    styles: Styles,
    numbering: Numbering,
    writer: Writer,
    /// Footnotes and endnotes by their ids.
    notes: [HashMap<String, String>; 2],
    /// How many of them are referred to.
    counted: [u64; 2],
    /// Bytes of notes that may still be referred to, as one may be referred to again and again.
    note_bytes: u64,
    /// Bytes of the text, at most.
    limit: u64,
    fields: Vec<Field>,
    pages: Pages,
    page: u32,
    /// A paragraph that goes on in the next one.
    carried: Option<Paragraph>,
    /// The first paragraph in the style of titles.
    title: Option<String>,
}

impl Reader {
    fn new(styles: Styles, numbering: Numbering, limits: &Limits) -> Self {
        Self {
            styles,
            numbering,
            writer: Writer::new(limits),
            notes: Default::default(),
            counted: [0; 2],
            note_bytes: limits.text_bytes,
            limit: limits.text_bytes,
            fields: Vec::new(),
            pages: Pages::None,
            page: 1,
            carried: None,
            title: None,
        }
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
                "AlternateContent" => first_version(xml, |xml| self.blocks(xml, out))?,
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
        self.give(Block::Line(Line { words, heading, label, notes: paragraph.notes, picture: false }), out)?;
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
            (Out::Write, block) => block.write(&mut self.writer)?,
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
                "AlternateContent" => first_version(xml, |xml| self.inline(xml, paragraph, run))?,
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
        run.hidden || self.fields.last().is_some_and(Field::hides)
    }

    fn push(&self, paragraph: &mut Paragraph, run: &Run, words: &str) {
        if self.is_hidden(run) {
            return;
        }
        run.push(&mut paragraph.words, words);
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
            let left = self.note_bytes.checked_sub(text.len() as u64);
            self.note_bytes = left.ok_or_else(|| Failure::text_too_large(self.limit))?;
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
                let is_hidden = self.fields.last().is_some_and(Field::hides);
                self.fields.push(Field { is_hidden, ..Field::default() });
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
        if let Some(text) = text.as_deref().and_then(alternative_text).filter(|_| !self.is_hidden(run)) {
            paragraph.after.push(Block::picture(text));
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
            self.give(Block::words(&text), out)?;
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
                    let (mut last, mut deleted) = (first, false);
                    self.cells(xml, &mut row, first, &mut last, &mut deleted)?;
                    self.page = last;
                    if !deleted {
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

    /// Reads the cells of the row that is open, which begins on page `first`; `last` becomes the page that it ends on, and `deleted` true
    /// if it is.
    fn cells(&mut self, xml: &mut Xml, row: &mut TableRow, first: u32, last: &mut u32, deleted: &mut bool) -> Result<(), Failure> {
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
                            "del" => *deleted = true,
                            "gridBefore" => {
                                row.before = property.val().and_then(|count| count.parse().ok()).unwrap_or(0).min(MAX_COLUMNS);
                            }
                            _ => {}
                        }
                        xml.skip()?;
                    }
                }
                "tblPrEx" | "del" | "moveFrom" | "sdtPr" => xml.skip()?,
                _ => self.cells(xml, row, first, last, deleted)?,
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
                            "vMerge" if property.val().is_none_or(|kind| kind == "continue") => cell.span = Span::Down,
                            "vMerge" => cell.span = Span::Own,
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

/// A number of a list, or its bullet.
fn label(text: String, format: &str, level: usize, divides: bool) -> Option<Label> {
    if format == "bullet" {
        return Some(Label::bullet(level as u32));
    }
    let text = text.trim().to_owned();
    (!text.is_empty()).then_some(Label { text, level: level as u32, divides })
}
