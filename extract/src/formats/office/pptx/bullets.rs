//! Bullets and numbers of paragraphs on slides: those of a paragraph, of its text, and of the placeholders of the layout and the master that it is in.

use crate::Failure;
use crate::formats::office::numbers::number;
use crate::formats::office::writer::Label;
use crate::formats::office::xml::{Element, Node, Xml};

/// Levels of a list.
const LEVELS: usize = 9;
/// Placeholders of a layout or master that count.
const MAX_PLACEHOLDERS: usize = 200;

/// What stands before a paragraph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bullet {
    /// Nothing.
    None,
    /// A character or picture.
    Mark,
    /// A number in a scheme of ST_TextAutonumberScheme.
    Number { scheme: String, start: u64 },
}

/// Bullets by level, where something is said of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Levels([Option<Bullet>; LEVELS]);

impl Levels {
    /// Reads the levels of the list style that is open.
    pub fn read(xml: &mut Xml) -> Result<Self, Failure> {
        let mut levels = Self::default();
        while let Some(node) = xml.next()? {
            let Node::Start(element) = node else { continue };
            let name = element.name();
            let at = name.strip_prefix("lvl").and_then(|rest| rest.strip_suffix("pPr")).and_then(|level| level.parse::<usize>().ok());
            let bullet = Bullet::read(xml)?;
            if let Some(level) = at.and_then(|at| levels.0.get_mut(at.wrapping_sub(1))) {
                *level = bullet;
            }
        }
        Ok(levels)
    }

    pub fn at(&self, level: usize) -> Option<&Bullet> {
        self.0.get(level)?.as_ref()
    }
}

impl Bullet {
    /// Reads the bullet of the paragraph properties that are open, if they have one.
    pub fn read(xml: &mut Xml) -> Result<Option<Self>, Failure> {
        let mut bullet = None;
        while let Some(node) = xml.next()? {
            let Node::Start(element) = node else { continue };
            match element.name() {
                "buNone" => bullet = Some(Self::None),
                "buChar" | "buBlip" => bullet = Some(Self::Mark),
                "buAutoNum" => {
                    let scheme = element.attribute("type").unwrap_or_default();
                    bullet = Some(Self::Number { scheme, start: element.number("startAt").unwrap_or(1) });
                }
                _ => {}
            }
            xml.skip()?;
        }
        Ok(bullet)
    }
}

/// A place of a layout that a shape fills.
#[derive(Clone, Debug, Default)]
pub(super) struct Placeholder {
    /// `title`, `body`...; `obj` where nothing is said.
    pub kind: String,
    index: Option<String>,
    levels: Levels,
}

impl Placeholder {
    /// That of an element `ph`.
    pub fn new(element: &Element) -> Self {
        let kind = element.attribute("type").unwrap_or_else(|| "obj".into());
        Self { kind, index: element.attribute("idx"), levels: Levels::default() }
    }

    pub fn is_title(&self) -> bool {
        matches!(self.kind.as_str(), "title" | "ctrTitle")
    }

    /// Whether it holds what is about the slide: its date, its number, and what stands below all slides.
    pub fn is_about_slide(&self) -> bool {
        matches!(self.kind.as_str(), "dt" | "ftr" | "hdr" | "sldNum")
    }
}

/// The bullets of a layout and of its master.
#[derive(Debug, Default)]
pub(super) struct Theme {
    layout: Vec<Placeholder>,
    master: Vec<Placeholder>,
    /// Those of all texts of the master that are no titles.
    body: Levels,
}

impl Theme {
    /// Reads a part: the layout, or its master.
    pub fn read(&mut self, text: &str, is_master: bool, format: &'static str) -> Result<(), Failure> {
        let mut xml = Xml::new(text, format);
        xml.root()?;
        self.part(&mut xml, is_master)
    }

    fn part(&mut self, xml: &mut Xml, is_master: bool) -> Result<(), Failure> {
        while let Some(node) = xml.next()? {
            let Node::Start(element) = node else { continue };
            match element.name() {
                "sp" => {
                    let mut found = None;
                    let mut levels = Levels::default();
                    shape(xml, &mut found, &mut levels)?;
                    if let Some(placeholder) = found {
                        let placeholders = if is_master { &mut self.master } else { &mut self.layout };
                        if placeholders.len() < MAX_PLACEHOLDERS {
                            placeholders.push(Placeholder { levels, ..placeholder });
                        }
                    }
                }
                "bodyStyle" if is_master => self.body = Levels::read(xml)?,
                "cSld" | "spTree" | "grpSp" | "txStyles" => self.part(xml, is_master)?,
                _ => xml.skip()?,
            }
        }
        Ok(())
    }

    /// The bullet of paragraphs in a placeholder.
    pub fn bullet(&self, placeholder: &Placeholder, level: usize) -> Option<&Bullet> {
        let by_index = || self.layout.iter().find(|other| other.index.is_some() && other.index == placeholder.index);
        let by_kind = || self.layout.iter().find(|other| other.kind == placeholder.kind);
        let of_layout = by_index().or_else(by_kind);
        // The master has one body for all that are no titles.
        let kind = of_layout.unwrap_or(placeholder);
        let of_master = self.master.iter().find(|other| other.is_title() == kind.is_title() && !other.is_about_slide());
        let levels = of_layout.into_iter().chain(of_master).map(|placeholder| &placeholder.levels);
        let all = levels.chain(Some(&self.body).filter(|_| !kind.is_title()));
        all.into_iter().find_map(|levels| levels.at(level))
    }
}

/// Finds what a shape of a layout says of the paragraphs in it.
fn shape(xml: &mut Xml, found: &mut Option<Placeholder>, levels: &mut Levels) -> Result<(), Failure> {
    while let Some(node) = xml.next()? {
        let Node::Start(element) = node else { continue };
        match element.name() {
            "ph" => {
                *found = Some(Placeholder::new(&element));
                xml.skip()?;
            }
            "lstStyle" => *levels = Levels::read(xml)?,
            "p" | "spPr" => xml.skip()?,
            _ => shape(xml, found, levels)?,
        }
    }
    Ok(())
}

/// Counts the paragraphs of a text.
#[derive(Debug, Default)]
pub(super) struct Counts([Option<(String, u64)>; LEVELS]);

impl Counts {
    /// What stands before the next paragraph.
    pub fn next(&mut self, level: usize, bullet: Option<&Bullet>) -> Option<Label> {
        let level = level.min(LEVELS - 1);
        self.0[level + 1..].fill(None);
        let Some(Bullet::Number { scheme, start }) = bullet else {
            self.0[level] = None;
            return bullet.filter(|bullet| **bullet == Bullet::Mark).map(|_| Label::bullet(level as u32));
        };
        let count = match &self.0[level] {
            Some((last, count)) if last == scheme => count.saturating_add(1),
            _ => *start,
        };
        self.0[level] = Some((scheme.clone(), count));
        Some(Label { text: shown(scheme, count), level: level as u32, divides: false })
    }
}

/// A number in a scheme: `alphaLcParenR` is `b)`.
fn shown(scheme: &str, count: u64) -> String {
    const KINDS: [(&str, &str); 8] = [
        ("arabicDb", "decimalFullWidth"),
        ("alphaLc", "lowerLetter"),
        ("alphaUc", "upperLetter"),
        ("romanLc", "lowerRoman"),
        ("romanUc", "upperRoman"),
        ("circleNum", "decimalEnclosedCircle"),
        ("ea1Ch", "chineseCounting"),
        ("ea1Jpn", "japaneseCounting"),
    ];
    let kind = KINDS.into_iter().find(|(name, _)| scheme.starts_with(name)).map_or("decimal", |(_, kind)| kind);
    let number = number(count, kind);
    if scheme.ends_with("ParenBoth") {
        format!("({number})")
    } else if scheme.ends_with("ParenR") {
        format!("{number})")
    } else if scheme.ends_with("Period") {
        format!("{number}.")
    } else {
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_on_within_their_level() {
        let number = |scheme: &str, start| Some(Bullet::Number { scheme: scheme.into(), start });
        let mut counts = Counts::default();
        let mut found = Vec::new();
        for (level, bullet) in [
            (0, number("arabicPeriod", 3)),
            (1, number("alphaLcParenR", 1)),
            (1, number("alphaLcParenR", 1)),
            (0, number("arabicPeriod", 3)),
            (1, number("alphaLcParenR", 1)),
            (0, Some(Bullet::Mark)),
            (0, number("romanUcParenBoth", 1)),
            (0, number("circleNumDbPlain", 2)),
            (40, number("arabicPlain", 1)),
            (0, Some(Bullet::None)),
        ] {
            found.push(counts.next(level, bullet.as_ref()).map(|label| label.text).unwrap_or_default());
        }
        assert_eq!(found, ["3.", "a)", "b)", "4.", "a)", "-", "(I)", "②", "1", ""]);
    }

    #[test]
    fn bullets_are_those_of_the_layout_before_the_master() {
        let sp = |ph: &str, style: &str| {
            format!("<p:sp><p:nvSpPr><p:nvPr><p:ph {ph}/></p:nvPr></p:nvSpPr><p:txBody><a:lstStyle>{style}</a:lstStyle></p:txBody></p:sp>")
        };
        let none = "<a:lvl1pPr><a:buNone/></a:lvl1pPr>";
        let layout = format!("<l><p:cSld><p:spTree>{}{}</p:spTree></p:cSld></l>", sp("type='subTitle' idx='1'", none), sp("idx='2'", ""));
        let master = format!(
            "<m><p:cSld><p:spTree>{}{}</p:spTree></p:cSld><p:txStyles><p:titleStyle/><p:bodyStyle><a:lvl1pPr><a:buChar char='•'/></a:lvl1pPr><a:lvl2pPr/></p:bodyStyle></p:txStyles></m>",
            sp("type='title'", ""),
            sp("type='body'", "<a:lvl2pPr><a:buAutoNum type='arabicPeriod'/></a:lvl2pPr>")
        );
        let mut theme = Theme::default();
        theme.read(&layout, false, "test").unwrap();
        theme.read(&master, true, "test").unwrap();
        let placeholder =
            |kind: &str, index: Option<&str>| Placeholder { kind: kind.into(), index: index.map(Into::into), ..Default::default() };
        assert_eq!(theme.bullet(&placeholder("subTitle", Some("1")), 0), Some(&Bullet::None));
        assert_eq!(theme.bullet(&placeholder("obj", Some("2")), 0), Some(&Bullet::Mark));
        assert!(matches!(theme.bullet(&placeholder("obj", Some("2")), 1), Some(Bullet::Number { .. })));
        assert_eq!(theme.bullet(&placeholder("obj", None), 2), None);
        assert_eq!(theme.bullet(&placeholder("title", None), 0), None);
    }
}
