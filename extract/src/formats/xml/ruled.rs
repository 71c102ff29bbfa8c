//! XML files whose elements a user describes: see [`XmlRules`](crate::XmlRules). What no rule names follows the rules for all vocabularies.

use std::collections::{HashMap, HashSet};

use super::body::Writer;
use super::dialect::{Cited, Dialect, Stated};
use super::role::Role;
use super::rules::Rules;
use super::tree::{Element, Tree};
use crate::formats::html;
use crate::xml_rules::{Key, Rule, RuleRole, Source, Step};
use crate::{Extracted, Value, XmlRules};

/// No rule, among the numbers of rules.
const NONE: u16 = u16::MAX;

/// The rules of the elements of a document.
pub(super) struct Ruled<'a> {
    rules: &'a XmlRules,
    /// For each node the number of its rule, or [`NONE`].
    by_node: Vec<u16>,
    /// Elements that are numbers, headings or titles of others, and no text where they stand.
    taken: HashSet<usize>,
    /// Elements that are documents, in their order.
    documents: Vec<usize>,
    /// Whether an element matched, and whether it counted, by rule.
    matched: Vec<(bool, bool)>,
    /// The keys by which something was found, by rule.
    found: Vec<HashSet<Key<'a>>>,
}

impl<'a> Ruled<'a> {
    /// Finds the rule of each element.
    pub fn new(tree: &Tree, rules: &'a XmlRules) -> Self {
        let count = rules.rules.len();
        let mut ruled = Self {
            rules,
            by_node: vec![NONE; tree.len()],
            taken: HashSet::new(),
            documents: Vec::new(),
            matched: vec![(false, false); count],
            found: vec![HashSet::new(); count],
        };
        let mut by_name: HashMap<&str, Vec<u16>> = HashMap::new();
        for (number, rule) in (0u16..).zip(&rules.rules) {
            if let Some(last) = rule.steps.last() {
                by_name.entry(local(&last.name)).or_default().push(number);
            }
        }
        let mut open: Vec<Element<'_>> = Vec::new();
        for at in 0..tree.len() {
            let Some(element) = tree.element(at) else { continue };
            while open.last().is_some_and(|last| last.end() <= at) {
                open.pop();
            }
            open.push(element);
            for number in by_name.get(element.name()).into_iter().flatten() {
                let (index, rule) = (usize::from(*number), &rules.rules[usize::from(*number)]);
                let is_first = ruled.by_node[at] == NONE;
                if (is_first || !ruled.matched[index].0) && matches(&rule.steps, &open) {
                    ruled.matched[index].0 = true;
                    if is_first {
                        ruled.matched[index].1 = true;
                        ruled.by_node[at] = *number;
                    }
                }
            }
            if let Some(rule) = ruled.rule(element) {
                ruled.note(element, rule);
            }
        }
        ruled.take_titles(tree);
        ruled
    }

    /// Notes what a rule says about an element.
    fn note(&mut self, element: Element<'_>, rule: &'a Rule) {
        if rule.role == RuleRole::Document {
            self.documents.push(element.at());
        }
        for (key, source) in rule.sources() {
            let place = found(element, source);
            let is_head = matches!(key, Key::Own("number" | "heading" | "title")) && source.attribute.is_none();
            if let Some(found) = place.filter(|found| is_head && found.at() != element.at()) {
                self.taken.insert(found.at());
            }
            if place.is_some() {
                self.found[usize::from(self.by_node[element.at()])].insert(key);
            }
        }
    }

    /// The first title of each document is that of it, and others are headings.
    fn take_titles(&mut self, tree: &Tree) {
        let documents = if self.documents.is_empty() { &[0][..] } else { &self.documents };
        let mut titles = Vec::new();
        for document in documents {
            let title = tree.element(*document).into_iter().flat_map(|document| self.own(document)).find(|element| self.is_title(*element));
            titles.extend(title.map(Element::at));
        }
        self.taken.extend(titles);
    }

    fn is_title(&self, element: Element<'_>) -> bool {
        self.rule(element).is_some_and(|rule| rule.role == RuleRole::Title)
    }

    fn rule(&self, element: Element<'_>) -> Option<&'a Rule> {
        self.rules.rules.get(usize::from(self.by_node[element.at()]))
    }

    /// The elements that are documents of their own, in their order.
    pub fn documents<'t>(&self, tree: &'t Tree) -> Vec<Element<'t>> {
        self.documents.iter().filter_map(|at| tree.element(*at)).collect()
    }

    /// The elements in a document that are not in another document within it.
    fn own<'t>(&self, document: Element<'t>) -> impl Iterator<Item = Element<'t>> {
        let mut end = 0;
        document.descendants().filter(move |element| {
            if element.at() >= end && self.rule(*element).is_some_and(|rule| rule.role == RuleRole::Document) {
                end = element.end();
            }
            element.at() >= end
        })
    }

    /// Rules that no element matched, and keys of others by which nothing was found, as they are written.
    pub fn unmatched(&self) -> Vec<String> {
        let mut unmatched = Vec::new();
        for (number, rule) in self.rules.rules.iter().enumerate() {
            let (is_matched, counted) = self.matched[number];
            if !is_matched {
                unmatched.push(format!("{:?}", rule.written));
            } else if counted {
                let lost = rule.sources().filter(|(key, _)| !self.found[number].contains(key));
                unmatched.extend(lost.map(|(key, source)| format!("{key} = {:?} of {:?}", source.written, rule.written)));
            }
        }
        unmatched
    }

    /// What rules say about a document: `id` and the like, and fields.
    pub fn facts(&self, document: Element<'_>, writer: &mut Writer<'_>) -> Facts {
        let mut facts = Facts::default();
        if let Some(rule) = self.rule(document).filter(|rule| rule.role == RuleRole::Document) {
            for (key, source) in rule.sources() {
                let (Key::Own(name) | Key::Field(name)) = key;
                facts.add(name, value(document, source, writer));
            }
        }
        for element in self.own(document) {
            self.fact(element, writer, &mut facts);
        }
        facts
    }

    /// What rules say outside of all documents, which holds for each of them.
    pub fn common_facts(&self, root: Element<'_>, writer: &mut Writer<'_>) -> Facts {
        let mut facts = Facts::default();
        if self.rule(root).is_none_or(|rule| rule.role != RuleRole::Document) {
            for element in self.own(root) {
                self.fact(element, writer, &mut facts);
            }
        }
        facts.values.retain(|(name, _)| !matches!(name.as_str(), "id" | "title"));
        facts
    }

    fn fact(&self, element: Element<'_>, writer: &mut Writer<'_>, facts: &mut Facts) {
        let Some(rule) = self.rule(element) else { return };
        let name = match &rule.role {
            RuleRole::Field(name) => name,
            RuleRole::Title if self.taken.contains(&element.at()) => "title",
            _ => return,
        };
        let found = match &rule.value {
            Some(source) => value(element, source, writer),
            None => Some(writer.flat(element)),
        };
        facts.add(name, found);
    }

    /// Bytes of the words that are in no document, and that no rule and no role leaves out.
    pub fn bytes_outside(&self, tree: &Tree, roles: &[Role]) -> usize {
        let (mut at, mut bytes) = (0, 0);
        while at < tree.len() {
            match tree.element(at) {
                // The role of a document is to be left out where it stands.
                Some(element) if roles[at] == Role::Skip => at = element.end(),
                _ => {
                    bytes += tree.text(at).map_or(0, |text| text.trim().len());
                    at += 1;
                }
            }
        }
        bytes
    }
}

impl Dialect for Ruled<'_> {
    fn role(&self, element: Element<'_>) -> Option<Role> {
        if self.taken.contains(&element.at()) {
            return Some(Role::Skip);
        }
        let Some(rule) = self.rule(element) else { return Rules.role(element) };
        Some(match rule.role {
            // One within another is a document of its own.
            RuleRole::Document | RuleRole::Skip | RuleRole::Field(_) => Role::Skip,
            RuleRole::Title | RuleRole::Heading => Role::Heading,
            RuleRole::Section => Role::Division,
            RuleRole::Number => Role::Number,
            RuleRole::Paragraph => Role::Level,
            RuleRole::List => Role::List,
            RuleRole::Item => Role::Item,
            RuleRole::Table => Role::Table,
            RuleRole::Row if rule.header => Role::HeadRow,
            RuleRole::Row => Role::Row,
            RuleRole::Cell => Role::Cell,
            RuleRole::Inline => Role::Inline,
            RuleRole::Line => Role::Break,
            RuleRole::Note => Role::Note,
            RuleRole::Quote => Role::Quote,
            RuleRole::Preformatted => Role::Preformatted,
            RuleRole::Page => Role::Page,
        })
    }

    fn cited(&self, kind: &str) -> Option<&'static str> {
        Rules.cited(kind)
    }

    fn cites(&self, element: Element<'_>, kind: &str) -> Cited {
        let rule = self.rule(element);
        match (rule.and_then(|rule| rule.cite.as_ref()), rule.map(|rule| &rule.role)) {
            (Some(words), _) => Cited::Given(words.clone()),
            // A numbered paragraph is one of the section that it is in.
            (None, Some(RuleRole::Paragraph)) => Cited::Within,
            (None, Some(RuleRole::Section)) => self.cited(kind).map_or(Cited::Alone, Cited::Named),
            (None, _) => self.cited(kind).map_or(Cited::Within, Cited::Named),
        }
    }

    fn number<'t>(&self, element: Element<'t>) -> Option<Stated<'t>> {
        stated(element, self.rule(element)?.number.as_ref()?)
    }

    fn heading<'t>(&self, element: Element<'t>) -> Option<Stated<'t>> {
        stated(element, self.rule(element)?.heading.as_ref()?)
    }

    fn page(&self, element: Element<'_>) -> Option<u32> {
        let words = match self.rule(element)?.number.as_ref() {
            Some(source) => stated(element, source).map(|stated| match stated {
                Stated::Words(text) => text,
                Stated::Element(element) => element.raw_text(),
            }),
            None => element.any_attribute(&["n", "number", "no", "num", "page"]).map(str::to_owned).or_else(|| element.words()),
        };
        html::page_number(&words?)
    }

    fn is_ruled(&self, element: Element<'_>) -> bool {
        self.rule(element).is_some() || self.taken.contains(&element.at())
    }

    fn names_leaves(&self) -> bool {
        true
    }
}

/// What rules say about a document, in the order of the document.
#[derive(Default)]
pub(super) struct Facts {
    values: Vec<(String, String)>,
}

impl Facts {
    fn add(&mut self, name: &str, value: Option<String>) {
        if let Some(value) = value.filter(|value| !value.trim().is_empty()) {
            self.values.push((name.to_owned(), value));
        }
    }

    /// Puts them into a document, in place of what is known of it. `common` are those that hold where these say nothing.
    pub fn put(self, common: &Self, document: &mut Extracted) {
        let own: HashSet<String> = self.values.iter().map(|(name, _)| name.clone()).collect();
        let common = common.values.iter().filter(|(name, _)| !own.contains(name)).cloned();
        let all: Vec<(String, String)> = self.values.into_iter().chain(common).collect();
        document.fields.retain(|(name, _)| !all.iter().any(|(other, _)| other == name));
        let mut set = HashSet::new();
        for (name, value) in all {
            let property = match name.as_str() {
                "id" => &mut document.id,
                "title" => &mut document.title,
                "date" => &mut document.date,
                "version" => &mut document.version,
                "license" | "licence" => &mut document.license,
                "source" => &mut document.source,
                _ => {
                    document.fields.push((name, Value::Text(value)));
                    continue;
                }
            };
            // The first counts.
            if set.insert(name) {
                *property = Some(value);
            }
        }
    }
}

/// A name without its prefix.
fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

/// Whether the last of the open elements is the one that a rule is for.
fn matches(steps: &[Step], open: &[Element<'_>]) -> bool {
    steps.len() <= open.len() && steps.iter().rev().zip(open.iter().rev()).all(|(step, element)| step_matches(step, *element))
}

fn step_matches(step: &Step, element: Element<'_>) -> bool {
    let named = match step.name.split_once(':') {
        Some((prefix, name)) => element.prefix() == prefix && element.name() == name,
        None => element.name() == step.name,
    };
    named
        && step.condition.as_ref().is_none_or(|(attribute, value)| {
            element.attribute(local(attribute)).is_some_and(|found| value.as_ref().is_none_or(|value| value.trim() == found.trim()))
        })
}

/// The element that a rule names, or the one whose attribute it names. Words of the rule are those of the element itself.
fn found<'t>(element: Element<'t>, source: &Source) -> Option<Element<'t>> {
    search(element, &source.path, source.attribute.as_deref())
}

fn search<'t>(element: Element<'t>, path: &[String], attribute: Option<&str>) -> Option<Element<'t>> {
    let Some((first, rest)) = path.split_first() else {
        let has = attribute.is_none_or(|name| element.attribute(local(name)).is_some_and(|value| !value.trim().is_empty()));
        return has.then_some(element);
    };
    let step = |child: &Element<'_>| match first.split_once(':') {
        Some((prefix, name)) => child.prefix() == prefix && child.name() == name,
        None => child.name() == first,
    };
    element.elements().filter(step).find_map(|child| search(child, rest, attribute))
}

/// Where a number or heading is that a rule names.
fn stated<'t>(element: Element<'t>, source: &Source) -> Option<Stated<'t>> {
    if let Some(words) = &source.literal {
        return Some(Stated::Words(words.clone()));
    }
    let found = found(element, source)?;
    match &source.attribute {
        Some(name) => found.attribute(local(name)).map(|words| Stated::Words(words.to_owned())),
        None => Some(Stated::Element(found)),
    }
}

/// The words of a value that a rule names.
fn value(element: Element<'_>, source: &Source, writer: &mut Writer<'_>) -> Option<String> {
    Some(match stated(element, source)? {
        Stated::Words(text) => crate::markdown::one_line(&text),
        Stated::Element(found) => writer.flat(found),
    })
}
