//! Presentations of OpenDocument: titles, texts, lists, tables and alternative texts of slides in the order in which they are drawn, and what the speaker says.
//! Left out are hidden slides, dates, footers and numbers of slides, and comments.

use super::text::{Reader, is_shape};
use super::{FORMAT, Parts};
use crate::formats::office::blocks::Block;
use crate::formats::office::slides::{Deck, Slide};
use crate::formats::office::xml::{Element, Node, Xml};
use crate::{Failure, Options, Sink};

/// Gives the document of a presentation.
pub(super) fn extract(parts: Parts, options: &Options, sink: &mut dyn Sink) -> Result<(), Failure> {
    let styles = parts.styles()?;
    let mut xml = Xml::new(&parts.content, FORMAT);
    if xml.find("body")?.is_none() || xml.find("presentation")?.is_none() {
        return Err(Failure::invalid(FORMAT, "it has no slides"));
    }
    let mut deck = Deck::new(&options.limits);
    while let Some(node) = xml.next()? {
        let Node::Start(element) = node else { continue };
        if element.name() != "page" {
            xml.skip()?;
        } else if element.attribute("style-name").is_some_and(|style| styles.is_hidden_slide(&style)) {
            xml.skip()?;
            deck.slide(Ok(None), sink)?;
        } else {
            let slide = slide(&mut xml, Reader::new(&styles, &parts.formulas, &options.limits))?;
            deck.slide(Ok(Some(slide)), sink)?;
        }
    }
    xml.note_cut(sink);
    let document = deck.finish(parts.properties, sink)?;
    let _ = sink.document(document);
    Ok(())
}

/// Reads the slide that is open.
fn slide(xml: &mut Xml, mut reader: Reader) -> Result<Slide, Failure> {
    let mut slide = Slide::default();
    while let Some(node) = xml.next()? {
        let Node::Start(element) = node else { continue };
        if element.name() == "notes" {
            notes(xml, &mut reader, &mut slide.notes)?;
            continue;
        }
        let class = class(&element);
        if !is_shape(element.name()) && element.name() != "a" || is_unseen(&element, &class) {
            xml.skip()?;
            continue;
        }
        let mut blocks = Vec::new();
        reader.shape(xml, &mut blocks)?;
        blocks.iter_mut().for_each(without_heading);
        slide.opens |= class == "subtitle";
        if class == "title" {
            slide.add_title(blocks);
        } else {
            slide.blocks.extend(blocks);
        }
    }
    Ok(slide)
}

/// Reads the notes that are open.
fn notes(xml: &mut Xml, reader: &mut Reader, notes: &mut Vec<Block>) -> Result<(), Failure> {
    while let Some(node) = xml.next()? {
        let Node::Start(element) = node else { continue };
        let class = class(&element);
        if is_shape(element.name()) && !is_unseen(&element, &class) {
            reader.shape(xml, notes)?;
        } else {
            xml.skip()?;
        }
    }
    notes.iter_mut().for_each(without_heading);
    Ok(())
}

/// The part that a shape has on its slide, such as `title`.
fn class(element: &Element) -> String {
    element.attribute("class").unwrap_or_default()
}

/// Whether a shape is a hint where nothing is yet, a picture of the slide, or about the slide.
fn is_unseen(element: &Element, class: &str) -> bool {
    let is_hint = element.attribute("placeholder").is_some_and(|hint| hint == "true");
    is_hint || matches!(class, "page" | "date-time" | "footer" | "header" | "page-number")
}

/// On a slide its title is the only heading.
fn without_heading(block: &mut Block) {
    if let Block::Line(line) = block {
        line.heading = None;
    }
}
