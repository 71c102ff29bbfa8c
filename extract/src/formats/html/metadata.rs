//! What a page states about itself: elements of its head (HTML, Open Graph, Dublin Core, Highwire Press), and JSON-LD (schema.org).

use serde_json::Value as Json;

use super::content::Content;
use super::tree::{Id, ROOT, Tree};
use crate::markdown::one_line;
use crate::{Extracted, Value};

/// Bytes of a title or field: what is longer is text.
const LONGEST: usize = 2000;

/// Types of JSON-LD that are no document.
const OTHERS: [&str; 9] =
    ["Organization", "Person", "WebSite", "BreadcrumbList", "ListItem", "ImageObject", "SiteNavigationElement", "SearchAction", "Product"];

/// Names of elements of the head and of JSON-LD by what they say, the most exact first.
const TITLES: [&str; 6] = ["og:title", "citation_title", "dcterms.title", "dc.title", "twitter:title", "ld:headline"];
const DATES: [&str; 13] = [
    "article:published_time",
    "ld:datePublished",
    "ld:legislationDate",
    "datepublished",
    "citation_publication_date",
    "citation_date",
    "dcterms.issued",
    "dc.date.issued",
    "dcterms.date",
    "dc.date",
    "dcterms.created",
    "date",
    "pubdate",
];
const LICENSES: [&str; 6] = ["dcterms.license", "ld:license", "license", "dc.rights", "dcterms.rights", "copyright"];
const VERSIONS: [&str; 4] = ["version", "ld:version", "dcterms.hasversion", "ld:legislationLegalForce"];
const FIELDS: [(&str, &[&str]); 10] = [
    ("author", &["author", "citation_author", "dc.creator", "dcterms.creator", "ld:author", "article:author", "byl"]),
    ("description", &["description", "og:description", "dcterms.description", "dc.description", "dcterms.abstract", "ld:description"]),
    ("keywords", &["keywords", "citation_keywords", "dc.subject", "dcterms.subject", "ld:keywords", "article:tag"]),
    ("modified", &["article:modified_time", "ld:dateModified", "datemodified", "dcterms.modified", "last-modified", "og:updated_time"]),
    ("publisher", &["dcterms.publisher", "dc.publisher", "citation_publisher", "ld:publisher", "og:site_name"]),
    ("journal", &["citation_journal_title", "prism.publicationname"]),
    ("doi", &["citation_doi", "prism.doi"]),
    ("identifier", &["dcterms.identifier", "dc.identifier", "ld:legislationIdentifier"]),
    ("jurisdiction", &["ld:legislationJurisdiction", "dcterms.spatial", "jurisdiction"]),
    ("type", &["dcterms.type", "dc.type", "ld:legislationType"]),
];

/// What a page states, by name; names of JSON-LD begin with `ld:`.
struct Stated(Vec<(String, String)>);

impl Stated {
    fn add(&mut self, name: &str, value: &str) {
        let value = one_line(value);
        if !value.is_empty() && value.len() <= LONGEST {
            self.0.push((name.to_owned(), value));
        }
    }

    /// All values of the first name that has any.
    fn all(&self, names: &[&str]) -> Vec<&str> {
        let of = |name: &str| -> Vec<&str> { self.0.iter().filter(|(found, _)| found == name).map(|(_, value)| &**value).collect() };
        names.iter().map(|name| of(name)).find(|values| !values.is_empty()).unwrap_or_default()
    }

    fn first(&self, names: &[&str]) -> Option<String> {
        self.all(names).first().map(|value| (*value).to_owned())
    }
}

/// The document with what the page states, and without a text.
pub(super) fn read(tree: &Tree, content: &Content<'_>) -> Extracted {
    let mut stated = Stated(Vec::new());
    let mut title = None;
    let mut language = None;
    let mut canonical = None;
    for id in tree.descendants(ROOT) {
        let attribute = |name| tree.attribute(id, name);
        match tree.name(id) {
            "html" | "body" if language.is_none() => language = attribute("lang").or_else(|| attribute("xml:lang")).map(one_line),
            "title" if title.is_none() && tree.parent(id).is_none_or(|parent| tree.name(parent) != "svg") => {
                title = Some(one_line(&tree.words(id))).filter(|title| !title.is_empty());
            }
            "meta" => {
                if let (Some(name), Some(value)) = (
                    attribute("property")
                        .or_else(|| attribute("name"))
                        .or_else(|| attribute("itemprop"))
                        .or_else(|| attribute("http-equiv")),
                    attribute("content"),
                ) {
                    stated.add(&name.to_lowercase(), value);
                }
            }
            "script" if attribute("type").is_some_and(|kind| kind.eq_ignore_ascii_case("application/ld+json")) => {
                if let Ok(json) = serde_json::from_str::<Json>(&tree.words(id)) {
                    linked_data(&json, &mut stated);
                }
            }
            "link" | "a" => match attribute("rel").map(str::to_lowercase) {
                Some(rel) if rel.split_whitespace().any(|rel| rel == "license") => {
                    let (words, href) = (one_line(&tree.words(id)), attribute("href").unwrap_or_default());
                    let is_url = href.starts_with("http");
                    let license = if words.is_empty() || !is_url {
                        format!("{words}{}", if words.is_empty() { href } else { "" })
                    } else {
                        format!("{words} ({href})")
                    };
                    stated.add("rel:license", &license);
                }
                Some(rel) if rel == "author" && tree.name(id) == "a" && !content.is_out(id) => stated.add("rel:author", &tree.words(id)),
                Some(rel) if rel == "canonical" => canonical = attribute("href").map(one_line),
                _ => {}
            },
            _ => {
                if let Some(property) = attribute("itemprop").filter(|property| matches!(*property, "datePublished" | "dateModified")) {
                    let date = attribute("datetime").or_else(|| attribute("content")).map(str::to_owned);
                    stated.add(&property.to_lowercase(), &date.unwrap_or_else(|| tree.words(id)));
                }
            }
        }
    }
    let h1 = content.nodes().find(|id| tree.name(*id) == "h1").map(|id| one_line(&tree.words(id))).filter(|title| !title.is_empty());
    let site = stated.first(&["og:site_name"]);
    let title = stated.first(&TITLES[..1]).map(|title| without_site(title, site.as_deref(), h1.as_deref()));
    let title = title.or_else(|| page_title(tree).map(|title| without_site(title, site.as_deref(), h1.as_deref())));
    let mut document = Extracted {
        title: title.or_else(|| stated.first(&TITLES[1..])).or(h1),
        date: stated.first(&DATES).or_else(|| time(tree, content)).map(|date| iso(&date)),
        version: stated.first(&VERSIONS[..3]),
        license: stated.first(&["rel:license"]).or_else(|| stated.first(&LICENSES)),
        ..Extracted::default()
    };
    let language = language.filter(|language| !language.is_empty());
    if let Some(language) =
        language.or_else(|| stated.first(&["content-language", "dcterms.language", "dc.language", "ld:inLanguage", "og:locale"]))
    {
        document.fields.push(("language".to_owned(), Value::Text(language)));
    }
    for (field, names) in FIELDS {
        let mut values: Vec<&str> = Vec::new();
        for value in stated.all(names) {
            // An author by a page of a network is no name.
            let is_address = field == "author" && value.starts_with("http");
            if !is_address && !values.contains(&value) {
                values.push(value);
            }
        }
        let values: Vec<String> = match field {
            "author" if values.is_empty() => stated.first(&["rel:author"]).into_iter().collect(),
            "modified" => values.first().map(|date| iso(date)).into_iter().collect(),
            "author" | "keywords" | "identifier" => values.into_iter().map(str::to_owned).collect(),
            _ => values.first().map(|value| (*value).to_owned()).into_iter().collect(),
        };
        document.fields.extend(values.into_iter().map(|value| (field.to_owned(), Value::Text(value))));
    }
    if let Some(url) = canonical.or_else(|| stated.first(&["og:url"])).filter(|url| url.starts_with("http")) {
        document.fields.push(("url".to_owned(), Value::Text(url)));
    }
    document
}

fn page_title(tree: &Tree) -> Option<String> {
    let head = tree.find(ROOT, "head")?;
    let title = one_line(&tree.words(tree.find(head, "title")?));
    (!title.is_empty() && title.len() <= LONGEST).then_some(title)
}

/// A title without the name of its site: `Zorvex | Medicines Office`, where the page says that name, or its heading is the rest.
fn without_site(title: String, site: Option<&str>, h1: Option<&str>) -> String {
    for divider in [" | ", " - ", " – ", " — ", " · ", " :: "] {
        if let Some((before, after)) = title.rsplit_once(divider)
            && (site == Some(after) || h1 == Some(before))
        {
            return before.to_owned();
        }
    }
    title
}

/// The time of the first `time` element of the text, or of one that says that it is the date of publication.
fn time(tree: &Tree, content: &Content<'_>) -> Option<String> {
    let times: Vec<Id> = content.nodes().filter(|id| tree.name(*id) == "time").take(20).collect();
    let stated = times.iter().find(|id| tree.attribute(**id, "pubdate").is_some()).or(times.first())?;
    let date = tree.attribute(*stated, "datetime").map(str::to_owned).unwrap_or_else(|| tree.words(*stated));
    date.trim_start().starts_with(|c: char| c.is_ascii_digit()).then(|| one_line(&date)).filter(|date| date.len() >= 4)
}

/// A date as ISO 8601 has it, where it is written in that order: `2024-03-05T10:00Z`, `2024/03/05`, `20240305`.
pub(in crate::formats) fn iso(date: &str) -> String {
    let date = date.trim();
    let head = date.get(..10).unwrap_or_default();
    let parts: Vec<&str> = head.split(['-', '/', '.']).collect();
    let is_date = |parts: &[&str]| {
        let [year, month, day] = parts else { return false };
        let within = |part: &str, least: u32, most: u32| {
            part.bytes().all(|byte| byte.is_ascii_digit()) && part.parse().is_ok_and(|part: u32| (least..=most).contains(&part))
        };
        year.len() == 4 && within(year, 1, 9999) && within(month, 1, 12) && within(day, 1, 31)
    };
    if is_date(&parts) && !date[10..].starts_with(|c: char| c.is_ascii_digit()) {
        return parts.join("-");
    }
    if date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit()) {
        let parts = [&date[..4], &date[4..6], &date[6..]];
        if is_date(&parts) {
            return parts.join("-");
        }
    }
    date.to_owned()
}

/// Adds what JSON-LD says about documents.
fn linked_data(json: &Json, stated: &mut Stated) {
    match json {
        Json::Array(values) => values.iter().for_each(|value| linked_data(value, stated)),
        Json::Object(object) => {
            if let Some(graph) = object.get("@graph") {
                linked_data(graph, stated);
            }
            let kinds = object.get("@type").map(names).unwrap_or_default();
            if kinds.iter().any(|kind| OTHERS.contains(&kind.as_str())) {
                return;
            }
            for (key, value) in object {
                let name = format!("ld:{key}");
                if !key.starts_with('@') && !stated.0.iter().any(|(found, _)| *found == name) {
                    names(value).iter().for_each(|value| stated.add(&name, value));
                }
            }
            if let Some(main) = object.get("mainEntity").or_else(|| object.get("mainEntityOfPage")) {
                linked_data(main, stated);
            }
        }
        _ => {}
    }
}

/// The words of a value of JSON-LD: a text, a number, the name or address of an object, or those of a list.
fn names(value: &Json) -> Vec<String> {
    match value {
        Json::String(text) => vec![text.clone()],
        Json::Number(number) => vec![number.to_string()],
        Json::Array(values) => values.iter().flat_map(names).collect(),
        Json::Object(object) => {
            ["name", "url", "@id", "@value"].iter().find_map(|key| object.get(*key)?.as_str()).map(str::to_owned).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_become_iso() {
        for (date, expected) in [
            ("2024-03-05T10:00:00+01:00", "2024-03-05"),
            ("2024/03/05", "2024-03-05"),
            ("20240305", "2024-03-05"),
            ("2024", "2024"),
            ("5 March 2024", "5 March 2024"),
            ("2024-13-05", "2024-13-05"),
            ("05.03.2024", "05.03.2024"),
            ("ä024-03-05", "ä024-03-05"),
        ] {
            assert_eq!(iso(date), expected, "{date}");
        }
    }
}
