//! Lists of equal records, such as the items of RSS 2.0 and the entries of Atom (RFC 4287), and what a document says about itself in fields.

use std::collections::HashMap;

use super::body::Writer;
use super::dialect::Dialect;
use super::role::Role;
use super::text_field;
use super::tree::Element;
use crate::{Extracted, Failure};

/// The records of a document.
pub(super) struct Records<'t> {
    /// Each becomes a document.
    pub elements: Vec<Element<'t>>,
    /// The language and the licence of all.
    language: Option<&'t str>,
    license: Option<String>,
    feed: Option<String>,
}

/// Elements that are records wherever there are several.
const KNOWN: [&str; 8] = ["item", "entry", "record", "doc", "document", "article", "product", "spl"];

/// The records of a document whose root, or the only element of it, has little else. `None` if it has none.
pub(super) fn records<'t>(root: Element<'t>, dialect: &dyn Dialect, roles: &[Role]) -> Option<Records<'t>> {
    let mut parent = root;
    // `rss/channel` and the like.
    for _ in 0..2 {
        let mut elements = parent.elements();
        match (elements.next(), elements.next()) {
            (Some(only), None) if only.elements().count() > 1 => parent = only,
            _ => break,
        }
    }
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let mut all = 0;
    for element in parent.elements() {
        *counts.entry(element.name()).or_default() += 1;
        all += 1;
    }
    let is_feed = is_feed(root);
    let of_feed = |name: &str| is_feed && matches!(name, "item" | "entry");
    let (name, count) = counts.into_iter().max_by_key(|(name, count)| (of_feed(name), *count, std::cmp::Reverse(*name)))?;
    let elements: Vec<_> = parent.elements().filter(|element| element.name() == name).collect();
    if elements.iter().any(|element| dialect.is_ruled(*element)) {
        return None;
    }
    let is_known = KNOWN.contains(&name);
    let has_fields = || elements.iter().all(|record| !record.has_words() && record.elements().count() > 1);
    let is_unknown = || matches!(roles[elements[0].at()], Role::Leaf | Role::Block) && super::rules::role(name).is_none();
    let found = of_feed(name)
        || is_known && count >= 2 && count * 2 >= all && has_fields()
        || count >= 3 && count * 5 >= all * 4 && has_fields() && is_unknown();
    found.then(|| Records {
        elements,
        language: root.attribute("lang").or_else(|| parent.attribute("lang")),
        license: value(parent, &["rights", "copyright", "license", "licence"], dialect, roles),
        feed: if is_feed { value(parent, &["title"], dialect, roles) } else { None },
    })
}

/// Whether a document is a list of news.
pub(super) fn is_feed(root: Element<'_>) -> bool {
    matches!(root.name(), "rss" | "feed" | "RDF")
}

/// The words of the first of these elements that an element has and that is one line.
fn value(record: Element<'_>, names: &[&str], dialect: &dyn Dialect, roles: &[Role]) -> Option<String> {
    element(record, names, dialect, roles).and_then(Element::words)
}

/// The first of these elements that an element has, and that no rule names.
fn element<'t>(record: Element<'t>, names: &[&str], dialect: &dyn Dialect, roles: &[Role]) -> Option<Element<'t>> {
    names.iter().find_map(|name| {
        let found = |element: &Element<'_>| {
            element.name().eq_ignore_ascii_case(name) && !matches!(element.prefix(), "media" | "itunes") && !dialect.is_ruled(*element)
        };
        record.elements().find(|element| found(element) && (roles[element.at()] != Role::Block || element.elements().next().is_none()))
    })
}

/// Fields by the elements that state them, in the order of preference.
const FIELDS: [(&str, &[&str]); 6] = [
    ("id", &["guid", "id", "identifier", "code", "docnumber"]),
    ("author", &["author", "creator", "byline"]),
    ("language", &["language", "lang"]),
    ("link", &["link", "url", "uri"]),
    ("publisher", &["publisher", "source"]),
    ("jurisdiction", &["jurisdiction", "country"]),
];
const TITLES: &[&str] = &["title", "headline", "name", "heading", "doctitle"];
const DATES: &[&str] = &["pubDate", "published", "date", "issued", "updated", "created", "modified", "effectiveDate"];
const LICENSES: &[&str] = &["license", "licence", "rights", "copyright"];
const VERSIONS: &[&str] = &["version", "edition", "revision"];

impl Records<'_> {
    /// Writes a record. What it has as HTML in its text is given back.
    pub fn write(&self, record: Element<'_>, writer: &mut Writer<'_>, document: &mut Extracted) -> Result<Option<String>, Failure> {
        let (dialect, roles) = (writer.dialect, writer.roles);
        let mut used = Vec::new();
        let mut take = |names: &[&str]| {
            let element = element(record, names, dialect, roles)?;
            used.push(element.at());
            Some(element)
        };
        document.title = take(TITLES).and_then(Element::words).map(|title| without_tags(&title));
        document.date = take(DATES).and_then(Element::words).map(|date| iso_date(&date));
        document.version = take(VERSIONS).and_then(Element::words);
        document.license = take(LICENSES).and_then(Element::words).or_else(|| self.license.clone());
        for (field, names) in FIELDS {
            let element = take(names);
            let value = element.and_then(|element| element.words().or_else(|| element.attribute("href").map(str::to_owned)));
            let value = value.or_else(|| if field == "id" { record.any_attribute(names).map(str::to_owned) } else { None });
            let value =
                value.or_else(|| if field == "language" { record.attribute("lang").or(self.language).map(str::to_owned) } else { None });
            if field == "id" {
                document.name = value.clone().unwrap_or_default();
            }
            text_field(document, field, value);
        }
        text_field(document, "feed", self.feed.clone());
        let is_keyword =
            |element: &Element<'_>| matches!(element.name(), "category" | "subject" | "keyword") && !dialect.is_ruled(*element);
        for category in record.elements().filter(is_keyword) {
            used.push(category.at());
            text_field(document, "keyword", category.words().or_else(|| category.any_attribute(&["term", "label"]).map(str::to_owned)));
        }
        // The whole text before the summary of it, which is left out then.
        let texts: Vec<_> =
            record.elements().filter(|element| matches!(element.name(), "encoded" | "content" | "description" | "summary")).collect();
        let order =
            |element: &Element<'_>| ["encoded", "content", "description", "summary"].iter().position(|name| *name == element.name());
        let text = texts.iter().copied().min_by_key(order).filter(|_| self.feed.is_some());
        if text.is_some() {
            used.extend(texts.iter().map(|element| element.at()));
        }
        writer.blocks_without(record, &used)?;
        let Some(text) = text else { return Ok(None) };
        let words = text.raw_text();
        let is_html = text.attribute("type") == Some("html") || words.contains("</") || words.contains("/>") || words.contains("<p>");
        if is_html {
            return Ok(Some(words));
        }
        writer.blocks(text)?;
        Ok(None)
    }
}

/// What a document says about itself: its title, date and the like.
pub(super) fn describe(root: Element<'_>, writer: &mut Writer<'_>, document: &mut Extracted) {
    let (dialect, roles) = (writer.dialect, writer.roles);
    let heads =
        ["metadata", "meta", "info", "bookinfo", "articleinfo", "prolog", "teiHeader", "front", "header", "head", "docinfo", "about"];
    // The root, its head, and what is within the head.
    let head = root.elements().find(|element| heads.contains(&element.name()));
    let is_free = |element: &Element<'_>| !dialect.is_ruled(*element);
    let within = |names: &[&str]| {
        let in_head = head.and_then(|head| {
            names
                .iter()
                .find_map(|name| head.descendants().filter(is_free).find(|element| element.name().eq_ignore_ascii_case(name))?.words())
        });
        in_head.or_else(|| value(root, names, dialect, roles))
    };
    let own = root.elements().filter(is_free).find(|element| TITLES.contains(&element.name().to_lowercase().as_str()));
    document.title = own.map(|title| writer.flat(title)).filter(|title| !title.is_empty()).or_else(|| within(TITLES));
    document.date = within(DATES).map(|date| iso_date(&date)).or_else(|| root.any_attribute(&["date"]).map(str::to_owned));
    document.version = within(VERSIONS).or_else(|| root.any_attribute(&["revision", "edition"]).map(str::to_owned));
    document.license = within(LICENSES);
    for (field, names) in FIELDS {
        let value = match field {
            "language" => root.attribute("lang").map(str::to_owned).or_else(|| within(names)),
            "id" => within(names).or_else(|| root.any_attribute(&["id"]).map(str::to_owned)),
            // Of a document, not of the works it names.
            _ => head.and(within(names)),
        };
        text_field(document, field, value);
    }
}

/// A date of RFC 822, as feeds have it, in ISO 8601; others as they are.
fn iso_date(date: &str) -> String {
    let is_822 = date.contains(':') && !date.get(..4).is_some_and(|year| year.bytes().all(|byte| byte.is_ascii_digit()));
    let parsed = is_822.then(|| mail_parser::DateTime::parse_rfc822(date)).flatten().filter(|date| date.is_valid());
    parsed.map_or_else(|| date.to_owned(), |date| date.to_rfc3339())
}

/// A title without the tags that feeds put into it.
fn without_tags(title: &str) -> String {
    if title.contains("</") { crate::markdown::one_line(&mail_parser::decoders::html::html_to_text(title)) } else { title.to_owned() }
}
