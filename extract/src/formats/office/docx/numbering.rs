//! Lists of a Word document (numbering.xml), and their numbers as they are seen.

use std::collections::{HashMap, HashSet};

use super::styles::Styles;
use super::{FORMAT, label};
use crate::Failure;
use crate::formats::office::numbers::{expanded, number};
use crate::formats::office::writer::Label;
use crate::formats::office::xml::{Node, Xml};

/// Characters of what stands before a paragraph, at most; Word allows fewer.
const MAX_LABEL: usize = 100;
/// Levels of a list.
const LEVELS: usize = 9;

/// All lists, and where their counts are.
#[derive(Debug, Default)]
pub(super) struct Numbering {
    kinds: HashMap<String, Kind>,
    lists: HashMap<String, List>,
    /// Counts by kind of list: lists of one kind count on.
    counts: HashMap<String, [Option<u64>; LEVELS]>,
    /// Lists and levels that were begun anew where they say so.
    begun: HashSet<(String, usize)>,
}

/// A kind of list (`abstractNum`).
#[derive(Debug, Default)]
struct Kind {
    levels: [Level; LEVELS],
    /// The style of lists that defines it.
    style: Option<String>,
    /// Whether its numbers are those of clauses, as `4.2` and `Article 4` are.
    divides: bool,
}

#[derive(Clone, Debug)]
struct Level {
    start: u64,
    format: String,
    /// What is seen; `%1` is the number of the first level.
    text: String,
    /// The style whose paragraphs are of this level.
    style: Option<String>,
    /// The level, from 1, after which it starts over; 0 is never.
    restart: Option<usize>,
    /// Whether all its numbers are decimal.
    legal: bool,
}

impl Default for Level {
    fn default() -> Self {
        Self { start: 0, format: "decimal".into(), text: String::new(), style: None, restart: None, legal: false }
    }
}

/// A list (`num`).
#[derive(Debug, Default)]
struct List {
    kind: String,
    starts: HashMap<usize, u64>,
    levels: HashMap<usize, Level>,
}

impl Numbering {
    pub fn read(text: &str, styles: &Styles) -> Result<Self, Failure> {
        let mut numbering = Self::default();
        let mut xml = Xml::new(text, FORMAT);
        if xml.find("numbering")?.is_none() {
            return Ok(numbering);
        }
        while let Some(node) = xml.next()? {
            let Node::Start(element) = node else { continue };
            match element.name() {
                "abstractNum" => {
                    let id = element.attribute("abstractNumId").unwrap_or_default();
                    let mut kind = Kind::read(&mut xml)?;
                    kind.divides = kind.levels.iter().enumerate().any(|(at, level)| {
                        let is_heading =
                            level.style.as_deref().is_some_and(|style| styles.resolve(Some(style)).outline.is_some_and(|level| level < 9));
                        let is_named =
                            at == 0 && level.text.contains('%') && (level.text.contains(char::is_alphabetic) || level.text.contains('§'));
                        level.format != "bullet" && (is_heading || is_named || level.text.matches('%').count() > 1)
                    });
                    numbering.kinds.insert(id, kind);
                }
                "num" => {
                    let id = element.attribute("numId").unwrap_or_default();
                    let list = List::read(&mut xml)?;
                    numbering.lists.insert(id, list);
                }
                _ => xml.skip()?,
            }
        }
        // A list of a kind that a style defines is of that style's kind.
        let linked: HashMap<&String, &String> = numbering
            .kinds
            .iter()
            .filter_map(|(id, kind)| {
                let list = numbering.lists.get(styles.list_of(kind.style.as_deref()?)?)?;
                Some((id, &list.kind))
            })
            .collect();
        let linked: Vec<(String, String)> =
            numbering.lists.iter().filter_map(|(id, list)| Some((id.clone(), (*linked.get(&list.kind)?).clone()))).collect();
        for (id, kind) in linked {
            if let Some(list) = numbering.lists.get_mut(&id) {
                list.kind = kind;
            }
        }
        Ok(numbering)
    }

    /// Counts from the beginning.
    pub fn restart(&mut self) {
        self.counts.clear();
        self.begun.clear();
    }

    /// Counts a paragraph of a list, and gives what stands before it. Without a level it is that of its style.
    pub fn next(&mut self, list_id: &str, level: Option<usize>, style: Option<&str>, heading: bool) -> Option<Label> {
        let list = self.lists.get(list_id)?;
        let kind = self.kinds.get(&list.kind)?;
        let of_style = || kind.levels.iter().position(|level| level.style.is_some() && level.style.as_deref() == style);
        let at = level.or_else(of_style).unwrap_or(0).min(LEVELS - 1);
        let level_at = |at: usize| list.levels.get(&at).unwrap_or(&kind.levels[at]);
        let start_at = |at: usize| list.starts.get(&at).copied().unwrap_or(level_at(at).start);
        let counts = self.counts.entry(list.kind.clone()).or_default();
        let anew = list.starts.contains_key(&at) && self.begun.insert((list_id.to_owned(), at));
        counts[at] = Some(match counts[at] {
            Some(count) if !anew => count.saturating_add(1),
            _ => start_at(at),
        });
        for (deeper, count) in counts.iter_mut().enumerate().skip(at + 1) {
            if level_at(deeper).restart.is_none_or(|after| at < after) {
                *count = None;
            }
        }
        let this = level_at(at);
        let text = expanded(&this.text, |of| {
            let format = if this.legal { "decimal" } else { level_at(of).format.as_str() };
            number(counts[of].unwrap_or_else(|| start_at(of)), format)
        });
        label(text, &this.format, at, kind.divides || heading)
    }
}

impl Kind {
    /// Reads the content of the element that is open.
    fn read(xml: &mut Xml) -> Result<Self, Failure> {
        let mut kind = Self::default();
        while let Some(node) = xml.next()? {
            let Node::Start(element) = node else { continue };
            match element.name() {
                "lvl" => {
                    let at = element.attribute("ilvl").and_then(|level| level.parse::<usize>().ok());
                    let level = Level::read(xml)?;
                    if let Some(place) = at.and_then(|at| kind.levels.get_mut(at)) {
                        *place = level;
                    }
                }
                "numStyleLink" => {
                    kind.style = element.val();
                    xml.skip()?;
                }
                _ => xml.skip()?,
            }
        }
        Ok(kind)
    }
}

impl Level {
    /// Reads the content of the element that is open.
    fn read(xml: &mut Xml) -> Result<Self, Failure> {
        let mut level = Self::default();
        while let Some(node) = xml.next()? {
            let Node::Start(element) = node else { continue };
            match element.name() {
                "start" => level.start = element.val().and_then(|start| start.parse().ok()).unwrap_or(0),
                "numFmt" => level.format = element.val().unwrap_or_default(),
                "lvlText" => level.text = element.val().unwrap_or_default().chars().take(MAX_LABEL).collect(),
                "pStyle" => level.style = element.val(),
                "lvlRestart" => level.restart = element.val().and_then(|after| after.parse().ok()),
                "isLgl" => level.legal = element.is_on(),
                _ => {}
            }
            xml.skip()?;
        }
        Ok(level)
    }
}

impl List {
    /// Reads the content of the element that is open.
    fn read(xml: &mut Xml) -> Result<Self, Failure> {
        let mut list = Self::default();
        while let Some(node) = xml.next()? {
            let Node::Start(element) = node else { continue };
            match element.name() {
                "abstractNumId" => {
                    list.kind = element.val().unwrap_or_default();
                    xml.skip()?;
                }
                "lvlOverride" => {
                    let at = element.attribute("ilvl").and_then(|level| level.parse::<usize>().ok()).unwrap_or(0);
                    while let Some(node) = xml.next()? {
                        let Node::Start(element) = node else { continue };
                        match element.name() {
                            "startOverride" => {
                                let start = element.val().and_then(|start| start.parse().ok());
                                start.and_then(|start| list.starts.insert(at, start));
                                xml.skip()?;
                            }
                            "lvl" => {
                                let level = Level::read(xml)?;
                                list.levels.insert(at, level);
                            }
                            _ => xml.skip()?,
                        }
                    }
                }
                _ => xml.skip()?,
            }
        }
        Ok(list)
    }
}
