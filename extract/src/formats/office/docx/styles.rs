//! Styles of a Word document (styles.xml).

use std::collections::HashMap;

use super::FORMAT;
use crate::Failure;
use crate::formats::office::xml::{Node, Xml};

/// Styles that are based on one another, at most.
const MAX_CHAIN: usize = 32;

/// All styles, by their ids.
#[derive(Debug, Default)]
pub(super) struct Styles {
    styles: HashMap<String, Style>,
    /// The style of paragraphs that name none.
    default: Option<String>,
}

#[derive(Debug, Default)]
struct Style {
    name: String,
    based_on: Option<String>,
    outline: Option<u8>,
    /// The list of its paragraphs, and their level in it.
    number: (Option<String>, Option<usize>),
    hidden: Option<bool>,
}

/// What a style and those that it is based on say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Resolved {
    pub id: Option<String>,
    /// The level of a heading, from 0; 9 for other text.
    pub outline: Option<u8>,
    pub list: Option<String>,
    pub level: Option<usize>,
    pub hidden: bool,
    pub is_title: bool,
    /// Whether it is one of a table of contents.
    pub is_contents: bool,
}

impl Styles {
    pub fn read(text: &str) -> Result<Self, Failure> {
        let mut styles = Self::default();
        let mut xml = Xml::new(text, FORMAT);
        while let Some(element) = xml.find("style")? {
            let Some(id) = element.attribute("styleId") else { continue };
            if element.attribute("default").is_some_and(|value| value == "1" || value == "true")
                && element.attribute("type").is_some_and(|kind| kind == "paragraph")
            {
                styles.default = Some(id.clone());
            }
            let mut style = Style::default();
            style.read(&mut xml)?;
            styles.styles.insert(id, style);
        }
        Ok(styles)
    }

    /// What a style says; `None` is the style of paragraphs that name none.
    pub fn resolve(&self, id: Option<&str>) -> Resolved {
        let mut next = id.or(self.default.as_deref());
        let mut resolved = Resolved { id: next.map(str::to_owned), ..Resolved::default() };
        let mut hidden = None;
        for step in 0..MAX_CHAIN {
            let Some(style) = next.and_then(|id| self.styles.get(id)) else { break };
            let name = style.name.to_lowercase();
            // Names of styles that Word has itself are English in files of all languages.
            let heading =
                name.strip_prefix("heading ").and_then(|level| level.trim().parse::<u8>().ok()).filter(|level| (1..=9).contains(level));
            resolved.outline = resolved.outline.or(style.outline).or(heading.map(|level| level - 1));
            resolved.list = resolved.list.or_else(|| style.number.0.clone());
            resolved.level = resolved.level.or(style.number.1);
            hidden = hidden.or(style.hidden);
            resolved.is_title |= step == 0 && name == "title";
            resolved.is_contents |=
                name == "toc heading" || name == "table of figures" || name.strip_prefix("toc ").is_some_and(|level| level.len() == 1);
            next = style.based_on.as_deref();
        }
        resolved.hidden = hidden.unwrap_or(false);
        resolved
    }

    /// The list of a style of lists.
    pub fn list_of(&self, id: &str) -> Option<&str> {
        self.styles.get(id)?.number.0.as_deref()
    }
}

impl Style {
    /// Reads the content of the element that is open.
    fn read(&mut self, xml: &mut Xml) -> Result<(), Failure> {
        while let Some(node) = xml.next()? {
            let Node::Start(element) = node else { continue };
            match element.name() {
                "name" => self.name = element.val().unwrap_or_default(),
                "basedOn" => self.based_on = element.val(),
                "outlineLvl" => self.outline = element.val().and_then(|level| level.parse().ok()),
                "vanish" => self.hidden = Some(element.is_on()),
                "numPr" => {
                    self.number = list(xml)?;
                    continue;
                }
                "pPr" | "rPr" => {
                    self.read(xml)?;
                    continue;
                }
                _ => {}
            }
            xml.skip()?;
        }
        Ok(())
    }
}

/// The list and the level of the `numPr` that is open.
pub(super) fn list(xml: &mut Xml) -> Result<(Option<String>, Option<usize>), Failure> {
    let (mut list, mut level) = (None, None);
    while let Some(node) = xml.next()? {
        let Node::Start(element) = node else { continue };
        match element.name() {
            "numId" => list = element.val(),
            "ilvl" => level = element.val().and_then(|level| level.parse().ok()),
            _ => {}
        }
        xml.skip()?;
    }
    Ok((list, level))
}
