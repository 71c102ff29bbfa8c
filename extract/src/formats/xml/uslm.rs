//! Legislation of the United States: USLM (United States Legislative Markup), 1.0 of the House and 2.0 of the Government Publishing Office.
//!
//! The source credit of a section stays as its last paragraph. Notes stay too, as they are law in part, and are cited as lawyers do: `§ 552 note`.
//! Tables of contents, page numbers and the quotes that amendments insert are no places; the tables of contents are left out.

use super::body::Writer;
use super::dialect::Dialect;
use super::role::Role;
use super::tree::Element;
use super::{rules, text_field};
use crate::{Extracted, Failure};

pub(super) struct Uslm;

impl Dialect for Uslm {
    fn role(&self, element: Element<'_>) -> Option<Role> {
        Some(match element.name() {
            _ if matches!(element.prefix(), "dc" | "dcterms") => Role::Skip,
            "meta" | "toc" | "page" | "header" | "sidenote" => Role::Skip,
            "ref" if element.attribute("class").is_some_and(|class| class.contains("footnoteRef")) => Role::Skip,
            "title" | "subtitle" | "part" | "subpart" | "division" | "subdivision" | "chapter" | "subchapter" | "section" | "article"
            | "subarticle" | "appendix" | "reorganizationPlan" | "courtRules" | "schedule" => Role::Division,
            "subsection"
            | "paragraph"
            | "subparagraph"
            | "clause"
            | "subclause"
            | "item"
            | "subitem"
            | "subsubitem"
            | "level"
            | "preliminary"
            | "courtRule"
            | "reorganizationPlanItem" => Role::Level,
            "num" => Role::Number,
            "heading" | "subheading" | "crossHeading" => Role::Heading,
            "chapeau" | "content" | "continuation" | "text" | "p" | "main" | "preface" | "body" | "longTitle" | "enactingFormula"
            | "officialTitle" | "docTitle" | "block" | "sourceCredit" | "signatures" | "signature" | "appropriations" | "preamble"
            | "recital" | "resolvingClause" | "notes" | "proviso" | "legislativeHistory" | "endorsement" | "explanationNote" => Role::Block,
            "note" if element.attribute("type") == Some("footnote") => Role::Note,
            "footnote" => Role::Note,
            "note" | "editorialNote" | "statutoryNote" => Role::Division,
            "layout" => Role::Table,
            "quotedContent" => Role::Quote,
            "list" => Role::List,
            "listItem" => Role::Item,
            "b" | "i" | "inline" | "term" | "quotedText" | "shortTitle" | "def" | "date" | "headingText" | "entity" | "label" => {
                Role::Inline
            }
            name => return rules::role(name),
        })
    }

    fn cited(&self, kind: &str) -> Option<&'static str> {
        match kind {
            "section" => Some("§"),
            "article" => Some("Art."),
            "courtRule" => Some("Rule"),
            _ => None,
        }
    }

    fn is_note(&self, kind: &str) -> bool {
        matches!(kind, "note" | "editorialNote" | "statutoryNote")
    }
}

/// Writes a document.
pub(super) fn write(root: Element<'_>, writer: &mut Writer<'_>, document: &mut Extracted) -> Result<(), Failure> {
    let meta = root.child("meta");
    let of = |name: &str| meta.and_then(|meta| meta.descendant(name)).and_then(Element::words);
    document.title = of("title").or_else(|| {
        let main = root.descendants().find(|element| matches!(element.name(), "officialTitle" | "docTitle" | "heading"));
        main.and_then(Element::words)
    });
    document.date = of("approvedDate").or_else(|| of("created")).or_else(|| of("date"));
    document.version = of("docReleasePoint").or_else(|| of("docStage")).or_else(|| of("docPublicationName"));
    document.license = of("rights");
    let identifier = root.attribute("identifier").or_else(|| {
        let main = root.child("main");
        let title = main.and_then(|main| main.child("title"));
        main.and_then(|main| main.attribute("identifier")).or_else(|| title.and_then(|title| title.attribute("identifier")))
    });
    let country = identifier.and_then(|identifier| identifier.trim_start_matches('/').split('/').next()).unwrap_or("us");
    text_field(document, "jurisdiction", Some(country.to_owned()));
    text_field(document, "language", of("language").or_else(|| root.attribute("lang").map(str::to_owned)));
    for (field, name) in [
        ("type", "type"),
        ("number", "docNumber"),
        ("publication", "docPublicationName"),
        ("publisher", "publisher"),
        ("creator", "creator"),
        ("congress", "congress"),
        ("session", "session"),
        ("citation", "citableAs"),
    ] {
        text_field(document, field, of(name));
    }
    text_field(document, "identifier", identifier.map(str::to_owned));
    writer.blocks(root)
}
