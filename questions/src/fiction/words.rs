//! Fillers: the text that replaces `{name}` in a template.

use std::collections::BTreeMap;

use mempack_numeric::Rng;

use super::english::{ARTICLE, articles, in_words};
use super::kind::KindError;
use super::names::{NameKind, Names};
use super::template::Template;

/// The word lists. Each entry is a template.
#[derive(Debug)]
pub(crate) struct Words(BTreeMap<&'static str, Vec<Template>>);

impl Words {
    /// The built-in lists.
    pub fn load() -> Result<Self, KindError> {
        let mut lists = BTreeMap::new();
        for (number, line) in (1..).zip(include_str!("words.txt").lines()) {
            let at = |reason: String| KindError { file: "words.txt", line: number, reason };
            if line.starts_with('#') {
                continue;
            }
            let (name, list) = line.split_once(": ").ok_or_else(|| at("expected `name: template; template`".into()))?;
            let list: Result<Vec<_>, _> = list.split("; ").map(Template::parse).collect();
            lists.insert(name, list.map_err(|error| at(error.to_string()))?);
        }
        Ok(Self(lists))
    }
}

/// Attempts to expand a template to a text that meets a condition.
pub(super) const ATTEMPTS: usize = 40;

/// What templates are expanded with: word lists, names, and the constants of a document and its batch.
pub(crate) struct Scene<'a> {
    pub words: &'a Words,
    pub names: &'a mut Names,
    /// Constants by name. Of two with one name, the later one counts.
    pub constants: Vec<(String, String)>,
}

impl Scene<'_> {
    /// The text of a filler; `None` if there is no filler of that name.
    pub fn fill(&mut self, name: &str, rng: &mut Rng) -> Option<String> {
        if let Some((_, text)) = self.constants.iter().rev().find(|(constant, _)| constant == name) {
            return Some(text.clone());
        }
        let name_kind = match name {
            "a" => return Some(ARTICLE.into()),
            "first" => Some(NameKind::First),
            "surname" => Some(NameKind::Surname),
            "town" => Some(NameKind::Town),
            "drug" => Some(NameKind::Drug),
            "illness" => Some(NameKind::Illness),
            "brand" => Some(NameKind::Brand),
            _ => None,
        };
        if let Some(kind) = name_kind {
            return Some(self.names.name(kind, rng));
        }
        if let Some((form, range)) = name.split_once(':') {
            let (low, high) = range.split_once('-')?;
            let number = rng.between(low.parse().ok()?, high.parse().ok()?);
            return Some(match form {
                "n" => number.to_string(),
                "w" => in_words(number),
                "d" => format!("{number}.{}", rng.between(1, 9)),
                "h" => format!("{number}00"),
                "t" => format!("{number},000"),
                _ => return None,
            });
        }
        let words = self.words;
        let template = rng.pick(words.0.get(name)?)?;
        Some(self.expand(template, rng))
    }

    /// The text of a template.
    pub fn expand(&mut self, template: &Template, rng: &mut Rng) -> String {
        template.expand(rng, &mut |name, rng| self.fill(name, rng))
    }

    /// The first text of a template that meets a condition, with its articles in place; `None` if no attempt gives one.
    pub fn find(&mut self, template: &Template, rng: &mut Rng, accept: impl Fn(&str) -> bool) -> Option<String> {
        (0..ATTEMPTS).map(|_| articles(&self.expand(template, rng))).find(|text| accept(text))
    }
}
