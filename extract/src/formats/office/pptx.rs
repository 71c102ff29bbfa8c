//! PowerPoint presentations (ISO/IEC 29500-1, PresentationML): .pptx, .pptm, .potx, .potm, .ppsx, .ppsm.
//!
//! Read are titles, lists with the bullets and numbers that are seen, other texts, tables, diagrams, the data of charts, alternative texts of pictures, and what the
//! speaker says. What stands on a slide is read in the order of its shapes, as a screen reader does. Left out are hidden slides and shapes, dates, footers and
//! numbers of slides, and comments.

mod bullets;
mod chart;
mod diagram;

use std::collections::HashMap;
use std::rc::Rc;

use self::bullets::{Bullet, Counts, Levels, Placeholder, Theme};
use super::blocks::{Block, Cell, Run, TableRow};
use super::slides::{Deck, Slide};
use super::symbols::formula;
use super::writer::{Line, Span, Words};
use super::xml::{Node, Xml, first_version};
use super::{Package, Properties, Relation, alternative_text};
use crate::{Failure, Note, Options, Sink};

const FORMAT: &str = "presentation";

/// Gives the document of a package whose main part is `main`.
pub(super) fn extract(package: &mut Package, main: &str, options: &Options, sink: &mut dyn Sink) -> Result<(), Failure> {
    let Some(text) = package.text(main, sink)? else {
        return Err(Failure::invalid(FORMAT, format!("it lacks its part {main}")));
    };
    let relations = package.relations(main, sink)?;
    let properties = Properties::read(package, sink)?;
    let mut xml = Xml::new(&text, FORMAT);
    let mut ids = Vec::new();
    while let Some(element) = xml.find("sldId")? {
        ids.push(element.prefixed("id").unwrap_or_default());
    }
    let parts = by_id(&relations);
    let mut deck = Deck::new(&options.limits);
    let mut themes = HashMap::new();
    for id in ids {
        let slide = match parts.get(id.as_str()) {
            Some(part) => slide(package, part, deck.next_number(), &mut themes, sink),
            None => Err(Failure::invalid(FORMAT, "no part is named for it")),
        };
        deck.slide(slide, sink)?;
    }
    let document = deck.finish(properties, sink)?;
    let _ = sink.document(document);
    Ok(())
}

/// The names of parts by the ids of relations.
fn by_id(relations: &[Relation]) -> HashMap<&str, &str> {
    relations.iter().map(|relation| (relation.id.as_str(), relation.target.as_str())).collect()
}

/// Reads a slide and its notes; `None` if it is hidden.
fn slide(
    package: &mut Package,
    part: &str,
    number: u32,
    themes: &mut HashMap<String, Rc<Theme>>,
    sink: &mut dyn Sink,
) -> Result<Option<Slide>, Failure> {
    let Some(text) = package.text(part, sink)? else { return Err(Failure::invalid(FORMAT, format!("it lacks its part {part}"))) };
    let mut xml = Xml::new(&text, FORMAT);
    let Some(element) = xml.find("sld")? else { return Err(Failure::invalid(FORMAT, format!("{part} is no slide"))) };
    if element.attribute("show").is_some_and(|show| matches!(show.as_str(), "0" | "false")) {
        return Ok(None);
    }
    let relations = package.relations(part, sink)?;
    let theme = theme(package, &relations, themes, sink)?;
    let mut reader = Reader { package, parts: by_id(&relations), theme: &theme, number, sink };
    let mut slide = Slide::default();
    reader.tree(&mut xml, &mut slide)?;
    if let Some(notes) = relations.iter().find(|relation| relation.is("notesSlide")) {
        match reader.notes(&notes.target) {
            Ok(notes) => slide.notes = notes,
            Err(failure) => reader.skipped("notes", failure)?,
        }
    }
    Ok(Some(slide))
}

/// The bullets of the layout that a slide has, and of its master.
fn theme(
    package: &mut Package,
    relations: &[Relation],
    themes: &mut HashMap<String, Rc<Theme>>,
    sink: &mut dyn Sink,
) -> Result<Rc<Theme>, Failure> {
    let Some(layout) = relations.iter().find(|relation| relation.is("slideLayout")) else { return Ok(Rc::default()) };
    if let Some(theme) = themes.get(&layout.target) {
        return Ok(Rc::clone(theme));
    }
    let mut theme = Theme::default();
    // A slide is read though its layout is damaged.
    if let Some(text) = package.text(&layout.target, sink)? {
        let _ = theme.read(&text, false, FORMAT);
    }
    let relations = package.relations(&layout.target, sink).unwrap_or_default();
    if let Some(master) = relations.iter().find(|relation| relation.is("slideMaster"))
        && let Some(text) = package.text(&master.target, sink)?
    {
        let _ = theme.read(&text, true, FORMAT);
    }
    let theme = Rc::new(theme);
    themes.insert(layout.target.clone(), Rc::clone(&theme));
    Ok(theme)
}

/// A shape as it is read.
#[derive(Default)]
struct Shape {
    placeholder: Option<Placeholder>,
    hidden: bool,
    description: Option<String>,
    blocks: Vec<Block>,
}

/// A paragraph as it is read.
#[derive(Default)]
struct Paragraph {
    words: Words,
    level: usize,
    bullet: Option<Bullet>,
}

struct Reader<'a> {
    package: &'a mut Package,
    /// What the slide is related to, by ids.
    parts: HashMap<&'a str, &'a str>,
    theme: &'a Theme,
    /// That of the slide.
    number: u32,
    sink: &'a mut dyn Sink,
}

impl Reader<'_> {
    /// Notes that something of the slide is damaged; other failures are those of the file.
    fn skipped(&mut self, what: &str, failure: Failure) -> Result<(), Failure> {
        if !matches!(failure, Failure::Invalid { .. }) {
            return Err(failure);
        }
        self.sink.note(Note::PartSkipped { part: format!("the {what} of slide {}", self.number), reason: failure.to_string() });
        Ok(())
    }

    /// Reads the shapes of the slide that is open.
    fn tree(&mut self, xml: &mut Xml, slide: &mut Slide) -> Result<(), Failure> {
        if xml.find("spTree")?.is_some() {
            self.shapes(xml, slide)?;
        }
        xml.note_cut(self.sink);
        Ok(())
    }

    /// What the speaker says.
    fn notes(&mut self, part: &str) -> Result<Vec<Block>, Failure> {
        let Some(text) = self.package.text(part, self.sink)? else { return Ok(Vec::new()) };
        let mut xml = Xml::new(&text, FORMAT);
        let mut notes = Slide::default();
        let theme = Theme::default();
        let mut reader =
            Reader { package: &mut *self.package, parts: HashMap::new(), theme: &theme, number: self.number, sink: &mut *self.sink };
        reader.tree(&mut xml, &mut notes)?;
        Ok(notes.blocks)
    }

    /// Reads the shapes of the group that is open.
    fn shapes(&mut self, xml: &mut Xml, slide: &mut Slide) -> Result<(), Failure> {
        let mut group = Shape::default();
        while let Some(node) = xml.next()? {
            let Node::Start(element) = node else { continue };
            match element.name() {
                _ if group.hidden => xml.skip()?,
                "nvGrpSpPr" => self.content(xml, &mut group)?,
                "grpSp" => self.shapes(xml, slide)?,
                "AlternateContent" => first_version(xml, |xml| self.shapes(xml, slide))?,
                "sp" | "pic" | "graphicFrame" | "cxnSp" => {
                    let mut shape = Shape::default();
                    self.content(xml, &mut shape)?;
                    add(shape, slide);
                }
                _ => xml.skip()?,
            }
        }
        slide.blocks.extend(group.description.filter(|_| !group.hidden).map(|text| Block::picture(&text)));
        Ok(())
    }

    /// Reads what is in the shape that is open.
    fn content(&mut self, xml: &mut Xml, shape: &mut Shape) -> Result<(), Failure> {
        while let Some(node) = xml.next()? {
            let Node::Start(element) = node else { continue };
            match element.name() {
                "cNvPr" => {
                    shape.hidden = element.attribute("hidden").is_some_and(|hidden| matches!(hidden.as_str(), "1" | "true"));
                    shape.description = element.attribute("descr").as_deref().and_then(alternative_text).map(str::to_owned);
                    xml.skip()?;
                }
                "ph" => {
                    shape.placeholder = Some(Placeholder::new(&element));
                    xml.skip()?;
                }
                "txBody" => self.text(xml, shape.placeholder.as_ref(), &mut shape.blocks)?,
                "tbl" => {
                    let mut rows = Vec::new();
                    self.rows(xml, &mut rows)?;
                    shape.blocks.push(Block::Table(rows));
                }
                "relIds" => {
                    let part = element.prefixed("dm");
                    self.drawing(part, "diagram", diagram::read, shape)?;
                    xml.skip()?;
                }
                "chart" => {
                    let part = element.prefixed("id");
                    self.drawing(part, "chart", chart::read, shape)?;
                    xml.skip()?;
                }
                "AlternateContent" => first_version(xml, |xml| self.content(xml, shape))?,
                "spPr" | "style" | "blipFill" | "oleObj" | "xfrm" | "extLst" => xml.skip()?,
                _ => self.content(xml, shape)?,
            }
        }
        Ok(())
    }

    /// Reads a part that a shape shows.
    fn drawing(
        &mut self,
        id: Option<String>,
        what: &'static str,
        read: fn(&str) -> Result<Vec<Block>, Failure>,
        shape: &mut Shape,
    ) -> Result<(), Failure> {
        let Some(part) = id.and_then(|id| self.parts.get(id.as_str())) else { return Ok(()) };
        let Some(text) = self.package.text(part, self.sink)? else { return Ok(()) };
        match read(&text) {
            Ok(blocks) => shape.blocks.extend(blocks),
            Err(failure) => self.skipped(what, failure)?,
        }
        Ok(())
    }

    /// Reads the paragraphs of the text that is open.
    fn text(&mut self, xml: &mut Xml, placeholder: Option<&Placeholder>, blocks: &mut Vec<Block>) -> Result<(), Failure> {
        let mut own = Levels::default();
        let mut counts = Counts::default();
        while let Some(node) = xml.next()? {
            let Node::Start(element) = node else { continue };
            match element.name() {
                "lstStyle" => own = Levels::read(xml)?,
                "p" => {
                    let mut paragraph = Paragraph::default();
                    inline(xml, &mut paragraph, &mut Run::default())?;
                    // One without words shows no number.
                    if paragraph.words.is_empty() {
                        continue;
                    }
                    let level = paragraph.level;
                    let inherited = || placeholder.and_then(|placeholder| self.theme.bullet(placeholder, level));
                    let bullet = paragraph.bullet.as_ref().or_else(|| own.at(level)).or_else(inherited);
                    blocks.push(Block::Line(Line { words: paragraph.words, label: counts.next(level, bullet), ..Line::default() }));
                }
                _ => xml.skip()?,
            }
        }
        Ok(())
    }

    /// Reads the rows of the table that is open.
    fn rows(&mut self, xml: &mut Xml, rows: &mut Vec<TableRow>) -> Result<(), Failure> {
        while let Some(node) = xml.next()? {
            let Node::Start(element) = node else { continue };
            if element.name() != "tr" {
                xml.skip()?;
                continue;
            }
            let mut row = TableRow::default();
            while let Some(node) = xml.next()? {
                let Node::Start(element) = node else { continue };
                if element.name() != "tc" {
                    xml.skip()?;
                    continue;
                }
                let goes_on = |name: &str| element.attribute(name).is_some_and(|value| matches!(value.as_str(), "1" | "true"));
                let span = if goes_on("vMerge") {
                    Span::Down
                } else if goes_on("hMerge") {
                    Span::Right
                } else {
                    Span::Own
                };
                let mut blocks = Vec::new();
                while let Some(node) = xml.next()? {
                    match node {
                        Node::Start(element) if element.name() == "txBody" => self.text(xml, None, &mut blocks)?,
                        Node::Start(_) => xml.skip()?,
                        Node::Text(_) => {}
                    }
                }
                row.cells.push(Cell { blocks, columns: 1, span });
            }
            rows.push(row);
        }
        Ok(())
    }
}

/// Adds a shape to its slide.
fn add(shape: Shape, slide: &mut Slide) {
    let is_about_slide = shape.placeholder.as_ref().is_some_and(Placeholder::is_about_slide);
    if shape.hidden || is_about_slide {
        return;
    }
    match shape.placeholder {
        Some(placeholder) if placeholder.is_title() => {
            slide.opens |= placeholder.kind == "ctrTitle";
            slide.add_title(shape.blocks);
        }
        _ => slide.blocks.extend(shape.blocks),
    }
    slide.blocks.extend(shape.description.map(|text| Block::picture(&text)));
}

/// Reads what is within a paragraph, up to the end of the element that is open.
fn inline(xml: &mut Xml, paragraph: &mut Paragraph, run: &mut Run) -> Result<(), Failure> {
    while let Some(node) = xml.next()? {
        let Node::Start(element) = node else { continue };
        let is_formula = element.full_name().starts_with("m:");
        match element.name() {
            "pPr" if !is_formula => {
                paragraph.level = element.number("lvl").unwrap_or(0);
                paragraph.bullet = Bullet::read(xml)?;
            }
            "rPr" if !is_formula => {
                let baseline: i64 = element.attribute("baseline").and_then(|shift| shift.trim_end_matches('%').parse().ok()).unwrap_or(0);
                run.raised = (baseline != 0).then_some(baseline < 0);
                while let Some(node) = xml.next()? {
                    let Node::Start(font) = node else { continue };
                    match font.name() {
                        "latin" => run.font = font.attribute("typeface"),
                        "sym" => run.symbols = font.attribute("typeface"),
                        _ => {}
                    }
                    xml.skip()?;
                }
            }
            "t" => run.push(&mut paragraph.words, &xml.words()?),
            "br" => {
                paragraph.words.push("\u{2028}");
                xml.skip()?;
            }
            "fld" if element.attribute("type").is_some_and(|kind| kind == "slidenum") => xml.skip()?,
            "r" | "fld" => inline(xml, paragraph, &mut run.clone())?,
            "AlternateContent" => first_version(xml, |xml| inline(xml, paragraph, run))?,
            "rad" if is_formula => {
                paragraph.words.push("√(");
                inline(xml, paragraph, run)?;
                paragraph.words.push(")");
            }
            "num" | "den" | "sup" | "sub" if is_formula => {
                let name = element.name().to_owned();
                let mut part = Paragraph::default();
                inline(xml, &mut part, run)?;
                paragraph.words.push(&formula(&name, part.words.text()));
            }
            "endParaRPr" | "deg" | "pPr" | "rPr" => xml.skip()?,
            _ => inline(xml, paragraph, run)?,
        }
    }
    Ok(())
}
