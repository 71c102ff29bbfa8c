//! Legislation, judgments and debates: Akoma Ntoso 1.0 (OASIS LegalDocML 3.0, and the drafts before it).

use std::collections::HashSet;

use super::body::Writer;
use super::dialect::Dialect;
use super::role::Role;
use super::tree::Element;
use super::{rules, text_field};
use crate::{Extracted, Failure};

pub(super) struct AkomaNtoso {
    /// Whether sections are cited as in Commonwealth countries: `s. 12(3)`.
    pub commonwealth: bool,
}

/// Documents of a file.
const DOCUMENTS: [&str; 12] = [
    "act",
    "bill",
    "doc",
    "judgment",
    "debate",
    "debateReport",
    "statement",
    "amendment",
    "amendmentList",
    "officialGazette",
    "portion",
    "documentCollection",
];

impl Dialect for AkomaNtoso {
    fn role(&self, element: Element<'_>) -> Option<Role> {
        Some(match element.name() {
            "meta" | "toc" | "noteRef" | "del" | "eop" | "coverPage" | "components" => Role::Skip,
            "part" | "subpart" | "book" | "tome" | "title" | "subtitle" | "chapter" | "subchapter" | "section" | "article" | "division"
            | "subdivision" | "hcontainer" | "proviso" | "speech" | "attachment" | "introduction" | "motivation" | "decision"
            | "background" | "debateSection" | "crossHeading" => Role::Division,
            "rule" | "subrule" | "subsection" | "paragraph" | "subparagraph" | "clause" | "subclause" | "list" | "sublist" | "point"
            | "indent" | "alinea" | "level" | "recital" | "transitional" => Role::Level,
            "num" => Role::Number,
            "heading" | "subheading" => Role::Heading,
            "intro" | "wrapUp" | "content" | "p" | "body" | "mainBody" | "judgmentBody" | "preface" | "preamble" | "conclusions"
            | "longTitle" | "formula" | "recitals" | "citations" | "citation" | "container" | "tblock" | "block" | "attachments"
            | "interstitial" | "listIntroduction" | "listWrapUp" | "componentRef" | "header" | "from" => Role::Block,
            "blockList" | "ul" | "ol" => Role::List,
            "item" | "li" => Role::Item,
            "authorialNote" => Role::Note,
            "mod" | "quotedStructure" | "embeddedStructure" => {
                if element.elements().any(|child| matches!(child.name(), "quotedStructure" | "embeddedStructure"))
                    || element.name() != "mod"
                {
                    Role::Quote
                } else {
                    Role::Inline
                }
            }
            "docTitle" | "docNumber" | "docDate" | "docType" | "docProponent" | "docStage" | "docStatus" | "shortTitle" | "def"
            | "term" | "quotedText" | "rref" | "mref" | "date" | "ins" | "omissis" | "location" | "person" | "organization" | "role"
            | "signature" | "inline" | "remark" | "placeholder" | "label" | "number" => Role::Inline,
            name if DOCUMENTS.contains(&name) => Role::Block,
            name => return rules::role(name),
        })
    }

    fn cited(&self, kind: &str) -> Option<&'static str> {
        match kind {
            "article" => Some("Art."),
            "section" => Some(if self.commonwealth { "s." } else { "§" }),
            "rule" => Some("Rule"),
            "regulation" => Some("reg."),
            "recital" => Some("Recital"),
            "schedule" => Some("Schedule"),
            "annex" => Some("Annex"),
            "attachment" => Some(""),
            _ => None,
        }
    }
}

/// The documents of a file, each with the name that tells it from the others.
pub(super) fn documents(root: Element<'_>) -> Vec<(String, Element<'_>)> {
    let mut documents: Vec<(String, Element<'_>)> = Vec::new();
    let (mut components, mut end) = (HashSet::new(), 0);
    for element in root.descendants() {
        if element.name() == "component" {
            components.extend(element.elements().map(Element::at));
        }
        if !DOCUMENTS.contains(&element.name()) {
            continue;
        }
        // One within another is a part of it, unless it is a component of it.
        if element.at() >= end {
            documents.push((String::new(), element));
            end = element.end();
        } else if components.contains(&element.at()) {
            let name = element.any_attribute(&["name", "eId", "id"]).unwrap_or("component");
            documents.push((format!("{name} {}", documents.len()), element));
        }
    }
    documents
}

/// The country of a document, as ISO 3166-1 has it.
pub(super) fn country(document: Element<'_>) -> Option<&str> {
    document.descendant("FRBRcountry").and_then(|country| country.attribute("value"))
}

/// Writes a document.
pub(super) fn write(document: Element<'_>, writer: &mut Writer<'_>, extracted: &mut Extracted) -> Result<(), Failure> {
    let meta = document.child("meta");
    let level = |name: &str| meta.and_then(|meta| meta.descendant(name));
    let (work, expression) = (level("FRBRWork"), level("FRBRExpression"));
    let value = |level: Option<Element<'_>>, name: &str, attribute: &str| {
        let value = level.and_then(|level| level.child(name)).and_then(|element| element.attribute(attribute));
        value.filter(|value| !value.trim().is_empty()).map(str::to_owned)
    };
    let preface: Vec<_> = document.elements().filter(|part| matches!(part.name(), "preface" | "coverPage" | "preamble")).collect();
    let stated = |name: &str| preface.iter().find_map(|part| part.descendant(name)).and_then(Element::words);
    // `Regulation No 88/2027 of 2 April 2027 on small batteries` has more than its docTitle, `on small batteries`.
    let long = preface.iter().find_map(|part| part.descendant("longTitle")).filter(|long| long.descendant("docTitle").is_some());
    extracted.title = long
        .and_then(Element::words)
        .or_else(|| stated("docTitle"))
        .or_else(|| stated("shortTitle"))
        .or_else(|| value(work, "FRBRalias", "value"))
        .or_else(|| value(work, "FRBRname", "value"))
        .or_else(|| stated("longTitle"));
    extracted.date = value(work, "FRBRdate", "date");
    extracted.version = value(expression, "FRBRversionNumber", "value").or_else(|| value(expression, "FRBRdate", "date"));
    let author = work.and_then(|work| work.child("FRBRauthor")).and_then(|author| {
        let reference = author.attribute("href")?;
        let named = meta?.descendants().find(|element| element.attribute("eId").or(element.attribute("id")) == reference.strip_prefix('#'));
        named.and_then(|element| element.attribute("showAs")).or(Some(reference))
    });
    let mut field = |name: &str, value: Option<String>| text_field(extracted, name, value);
    field("jurisdiction", country(document).map(str::to_lowercase));
    field("language", value(expression, "FRBRlanguage", "language"));
    field("type", document.attribute("name").map(str::to_owned));
    field("number", value(work, "FRBRnumber", "value"));
    field("identifier", value(work, "FRBRthis", "value"));
    field("author", author.map(str::to_owned));
    field("publication", level("publication").and_then(|publication| publication.any_attribute(&["showAs", "name"])).map(str::to_owned));
    for keyword in meta.into_iter().flat_map(Element::descendants).filter(|element| element.name() == "keyword") {
        field("keyword", keyword.any_attribute(&["showAs", "value"]).map(str::to_owned));
    }
    writer.blocks(document)
}
