//! Journal articles: JATS (NISO Z39.96), and the NLM DTD before it.
//!
//! The list of references is left out: its titles are found in place of what the article says, and none of them is a statement of it. Their numbers stay in the
//! text. Peer reviews and translations in the same file are documents of their own.

use super::body::Writer;
use super::dialect::Dialect;
use super::role::Role;
use super::tree::Element;
use super::{rules, text_field};
use crate::{Extracted, Failure};

pub(super) struct Jats;

impl Dialect for Jats {
    fn role(&self, element: Element<'_>) -> Option<Role> {
        Some(match element.name() {
            "ref-list"
            | "object-id"
            | "permissions"
            | "sec-meta"
            | "kwd-group"
            | "related-article"
            | "related-object"
            | "supplementary-material"
            | "media"
            | "sub-article"
            | "response"
            | "processing-meta"
            | "custom-meta-group"
            | "long-desc" => Role::Skip,
            "xref" if element.child("sup").is_some() => Role::Reference,
            "sup" if element.child("xref").is_some() => Role::Reference,
            "sec" | "abstract" | "trans-abstract" | "app" | "ack" | "glossary" | "notes" | "floats-group" => Role::Division,
            "p" | "disp-quote" | "verse-group" | "statement" | "speech" | "app-group" | "fn-group" | "table-wrap-foot" | "def-list"
            | "def-item" | "disp-formula-group" | "fig-group" | "table-wrap-group" | "attrib" | "body" | "back" | "front" | "bio" => {
                Role::Block
            }
            "disp-formula" => Role::Block,
            "label" => Role::Number,
            "title" | "subtitle" => Role::Heading,
            "list-item" => Role::Item,
            "table-wrap" | "fig" | "boxed-text" | "chem-struct-wrap" => Role::Captioned,
            "caption" => Role::Caption,
            "graphic" | "inline-graphic" => Role::Picture,
            "alt-text" => Role::Inline,
            "alternatives" if element.child("tex-math").is_some() || element.child("math").is_some() => Role::Formula,
            "alternatives" => Role::Block,
            "preformat" | "code" => Role::Preformatted,
            "break" | "verse-line" => Role::Break,
            "name" | "date" | "day" | "month" | "year" | "number" | "text" | "address" | "institution" => Role::Inline,
            name => return rules::role(name),
        })
    }

    fn cited(&self, kind: &str) -> Option<&'static str> {
        match kind {
            "sec" => Some("§"),
            "app" => Some(""),
            _ => None,
        }
    }
}

/// The articles of a file, each with the name that tells it from the others.
pub(super) fn articles(root: Element<'_>) -> Vec<(String, Element<'_>)> {
    let all = std::iter::once(root).chain(root.descendants());
    let mut end = 0;
    let all: Vec<_> = all
        .filter(|element| match element.name() {
            // One within another is a part of it.
            "article" if element.at() >= end => {
                end = element.end();
                true
            }
            name => matches!(name, "sub-article" | "response"),
        })
        .collect();
    let mut articles = Vec::with_capacity(all.len());
    for (number, article) in all.into_iter().enumerate() {
        // The DOI names an article of a collection.
        let doi = article.child("front").and_then(|front| id(front, "doi"));
        let name = match doi.or_else(|| article.attribute("id").map(str::to_owned)) {
            _ if article.at() == root.at() => String::new(),
            Some(name) => name,
            None => format!("article {}", number + 1),
        };
        articles.push((name, article));
    }
    articles
}

/// Whether a root is of this format.
pub(super) fn is_root(root: Element<'_>) -> bool {
    let is_article =
        |element: Element<'_>| element.name() == "article" && (element.child("front").is_some() || element.child("article-meta").is_some());
    is_article(root) || matches!(root.name(), "articles" | "pmc-articleset" | "article-set") && root.elements().any(is_article)
}

fn id(front: Element<'_>, kind: &str) -> Option<String> {
    front.descendants().find(|id| id.name() == "article-id" && id.attribute("pub-id-type") == Some(kind))?.words()
}

/// Writes an article.
pub(super) fn write(article: Element<'_>, writer: &mut Writer<'_>, document: &mut Extracted) -> Result<(), Failure> {
    let front = article.elements().find(|element| matches!(element.name(), "front" | "front-stub"));
    let meta = front.and_then(|front| front.child("article-meta").or(Some(front)));
    if let Some(meta) = meta {
        describe(article, front, meta, writer, document);
        for part in meta.elements().filter(|part| matches!(part.name(), "abstract" | "trans-abstract")) {
            if part.child("title").is_some() {
                writer.block(part, Role::Division)?;
            } else {
                let kind = part.attribute("abstract-type").map(|kind| format!(" ({})", kind.replace('-', " "))).unwrap_or_default();
                writer.part(&format!("Abstract{kind}"), part)?;
            }
        }
    }
    for part in article.elements() {
        match part.name() {
            "body" | "back" => writer.blocks(part)?,
            "floats-group" | "floats-wrap" => writer.blocks(part)?,
            _ => {}
        }
    }
    Ok(())
}

fn describe(article: Element<'_>, front: Option<Element<'_>>, meta: Element<'_>, writer: &mut Writer<'_>, document: &mut Extracted) {
    let titles = meta.child("title-group").unwrap_or(meta);
    let title = titles.child("article-title").map(|title| writer.flat(title)).filter(|title| !title.is_empty());
    let subtitle = titles.child("subtitle").map(|title| writer.flat(title)).filter(|title| !title.is_empty());
    document.title = match (title, subtitle) {
        (Some(title), Some(subtitle)) => Some(format!("{}: {subtitle}", title.trim_end_matches(':'))),
        (title, subtitle) => title.or(subtitle),
    };
    document.date = date(meta);
    document.version = meta.descendant("article-version").and_then(Element::words);
    let mut field = |name: &str, value: Option<String>| text_field(document, name, value);
    field("type", article.any_attribute(&["article-type", "response-type"]).map(str::to_owned));
    field("language", article.attribute("lang").map(str::to_owned));
    if let Some(journal) = front.and_then(|front| front.child("journal-meta")) {
        field("journal", journal.descendant("journal-title").and_then(Element::words));
        field("issn", journal.child("issn").and_then(Element::words));
        field("publisher", journal.descendant("publisher-name").and_then(Element::words));
    }
    for (kind, name) in [("doi", "doi"), ("pmid", "pmid"), ("pmc", "pmcid"), ("pmcid", "pmcid")] {
        field(name, id(meta, kind));
    }
    for group in meta.elements().filter(|group| group.name() == "contrib-group") {
        for contributor in group.descendants().filter(|contributor| contributor.name() == "contrib") {
            let role = match contributor.attribute("contrib-type") {
                None | Some("author") => "author",
                Some(other) => other,
            };
            field(role, person(contributor));
        }
    }
    for name in ["volume", "issue", "elocation-id"] {
        field(name, meta.child(name).and_then(Element::words));
    }
    if let Some(first) = meta.child("fpage").and_then(Element::words) {
        let last = meta.child("lpage").and_then(Element::words).filter(|last| *last != first);
        field("pages", Some(last.map_or(first.clone(), |last| format!("{first}-{last}"))));
    }
    for group in meta.elements().filter(|group| group.name() == "kwd-group") {
        for keyword in group.descendants().filter(|keyword| keyword.name() == "kwd") {
            field("keyword", keyword.words());
        }
    }
    for subject in meta.descendants().filter(|subject| subject.name() == "subject") {
        field("subject", subject.words());
    }
    if let Some(permissions) = meta.child("permissions") {
        field("copyright", permissions.child("copyright-statement").and_then(Element::words));
        let license = permissions.child("license");
        let link = license.and_then(|license| license.attribute("href")).map(str::to_owned);
        let reference = || permissions.descendant("license_ref").and_then(Element::words);
        document.license = link.or_else(reference).or_else(|| license.and_then(Element::words));
    }
}

/// The name of a contributor: given names before the surname.
fn person(contributor: Element<'_>) -> Option<String> {
    if let Some(name) = contributor.descendant("name") {
        let parts = ["prefix", "given-names", "surname", "suffix"].map(|part| name.child(part).and_then(Element::words));
        return Some(parts.into_iter().flatten().collect::<Vec<_>>().join(" "));
    }
    let other = contributor.child("string-name").or_else(|| contributor.child("collab")).or_else(|| contributor.descendant("string-name"));
    other.and_then(Element::words)
}

/// The date of publication: that of the electronic one before that of a collection.
fn date(meta: Element<'_>) -> Option<String> {
    let dates: Vec<_> = meta.elements().filter(|date| date.name() == "pub-date").collect();
    let kind = |date: &Element<'_>| match date.any_attribute(&["date-type", "pub-type"]) {
        Some("pub" | "epub") => 0,
        Some("ppub" | "epub-ppub") => 1,
        Some("collection") => 3,
        _ => 2,
    };
    let date = dates.into_iter().min_by_key(kind)?;
    if let Some(date) = date.any_attribute(&["iso-8601-date"]) {
        return Some(date.trim().to_owned());
    }
    let number = |name: &str| date.child(name).and_then(Element::words).and_then(|number| number.parse::<u32>().ok());
    let mut text = format!("{:04}", number("year")?);
    for part in ["month", "day"] {
        let Some(number) = number(part) else { break };
        text.push_str(&format!("-{number:02}"));
    }
    Some(text)
}
