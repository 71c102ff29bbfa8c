//! XML 1.0 (W3C, fifth edition): journal articles ([`jats`]), legislation of the United States ([`uslm`]) and of others ([`akoma_ntoso`]), feeds and other lists of
//! records ([`records`]), a user's own by the user's rules ([`ruled`]), and all else by the names of its elements
//! ([`rules`]). XHTML is HTML.

mod akoma_ntoso;
mod body;
mod dialect;
mod jats;
mod records;
mod role;
mod ruled;
mod rules;
mod table;
mod tree;
mod uslm;

use self::body::Writer;
use self::dialect::Dialect;
use self::role::Role;
use self::ruled::{Facts, Ruled};
use self::tree::{Element, Tree};
use super::Format;
use crate::{Extracted, Failure, Input, Note, Options, Sink, Value, XmlRules, decode};

pub(super) struct Xml;

impl Format for Xml {
    fn name(&self) -> &'static str {
        "an XML document"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["xml", "nxml", "akn", "rss", "atom", "dita"]
    }

    fn recognizes(&self, head: &[u8]) -> bool {
        recognizes(&head_text(head))
    }

    fn extract(&self, input: Input<'_>, options: &Options, sink: &mut dyn Sink) -> Result<(), Failure> {
        let depth = input.depth;
        let bytes = input.whole(&options.limits)?;
        if bytes.is_empty() {
            return Err(Failure::Empty { advice: "the file has no bytes; fetch it again" });
        }
        let source = decode::text(&bytes, declared(&bytes).as_deref(), sink);
        drop(bytes);
        let tree = Tree::parse(&source, &options.limits, sink)?;
        drop(source);
        let mut reading = Reading { tree: &tree, depth, options, sink, found: 0 };
        reading.read()?;
        if reading.found == 0 {
            return Err(Failure::Empty {
                advice: "its elements have no words; if they stand in attributes, export the file as text or CSV",
            });
        }
        Ok(())
    }
}

/// A document that is being read.
struct Reading<'a> {
    tree: &'a Tree,
    depth: u32,
    options: &'a Options,
    sink: &'a mut dyn Sink,
    /// Documents with text.
    found: usize,
}

impl<'a> Reading<'a> {
    fn read(&mut self) -> Result<(), Failure> {
        let root = self.tree.root();
        if let Some(rules) = self.options.xml_rules.as_ref().filter(|rules| rules.roots.iter().any(|name| name == root.name())) {
            return self.ruled(rules);
        }
        let namespace = root.own_namespace();
        if jats::is_root(root) {
            let articles = jats::articles(root);
            return self.each(&jats::Jats, articles, jats::write);
        }
        if namespace.contains("xml.house.gov/schemas/uslm") || namespace.contains("schemas.gpo.gov/xml/uslm") {
            return self.each(&uslm::Uslm, vec![(String::new(), root)], uslm::write);
        }
        if root.name() == "akomaNtoso" || namespace.contains("legaldocml/ns/akn") {
            let documents = akoma_ntoso::documents(root);
            let country = documents.first().and_then(|(_, document)| akoma_ntoso::country(*document)).unwrap_or_default().to_lowercase();
            let commonwealth =
                matches!(country.get(..2), Some("gb" | "uk" | "ie" | "au" | "nz" | "ca" | "za" | "ke" | "ng" | "gh" | "in" | "sg" | "hk"));
            let documents = if documents.is_empty() { vec![(String::new(), root)] } else { documents };
            return self.each(&akoma_ntoso::AkomaNtoso { commonwealth }, documents, akoma_ntoso::write);
        }
        match self.options.xml_rules.as_ref().filter(|rules| rules.roots.is_empty() && !records::is_feed(root)) {
            Some(rules) => self.ruled(rules),
            None => self.generic(&rules::Rules, None),
        }
    }

    /// Reads a document by the names of its elements, and by what a user says of them.
    fn generic(&mut self, dialect: &dyn Dialect, ruled: Option<&Ruled<'_>>) -> Result<(), Failure> {
        let root = self.tree.root();
        let roles = dialect::roles(self.tree, dialect);
        if let Some(records) = records::records(root, dialect, &roles) {
            return self.records(&records, dialect, &roles, ruled);
        }
        let mut document = Extracted::default();
        let mut writer = Writer::new(dialect, &roles, &self.options.limits);
        records::describe(root, &mut writer, &mut document);
        if let Some(ruled) = ruled {
            ruled.facts(root, &mut writer).put(&Facts::default(), &mut document);
        }
        writer.blocks(root)?;
        (document.text, document.marks) = writer.finish();
        self.give(document);
        Ok(())
    }

    /// Reads a document by a user's rules.
    fn ruled(&mut self, rules: &XmlRules) -> Result<(), Failure> {
        let ruled = Ruled::new(self.tree, rules);
        let documents = ruled.documents(self.tree);
        if documents.is_empty() {
            self.generic(&ruled, Some(&ruled))?;
        } else {
            self.ruled_documents(&ruled, &documents)?;
        }
        self.sink.note(Note::XmlRules { unmatched: ruled.unmatched() });
        Ok(())
    }

    /// Gives the documents that a user's rules name.
    fn ruled_documents(&mut self, ruled: &Ruled<'_>, documents: &[Element<'a>]) -> Result<(), Failure> {
        let roles = dialect::roles(self.tree, ruled);
        let outside = ruled.bytes_outside(self.tree, &roles);
        if outside > OUTSIDE {
            let part = "what stands outside of its documents".to_owned();
            let reason = format!("has {outside} bytes of text; the XML rules call no element there a document");
            self.sink.note(Note::PartSkipped { part, reason });
        }
        let common = ruled.common_facts(self.tree.root(), &mut Writer::new(ruled, &roles, &self.options.limits));
        let is_whole = documents.len() == 1 && documents[0].at() == 0;
        let mut names = super::embedded::Names::default();
        for (number, element) in documents.iter().enumerate() {
            let mut document = Extracted::default();
            let mut writer = Writer::new(ruled, &roles, &self.options.limits);
            records::describe(*element, &mut writer, &mut document);
            ruled.facts(*element, &mut writer).put(&common, &mut document);
            writer.blocks(*element)?;
            (document.text, document.marks) = writer.finish();
            if !is_whole {
                let name = document.id.clone().or_else(|| document.title.clone());
                document.name = names.unique(name.unwrap_or_else(|| format!("{} {}", element.name(), number + 1)));
            }
            if !self.give(title_alone(document)) {
                break;
            }
        }
        Ok(())
    }

    /// Gives documents that stand in elements of their own.
    fn each<W>(&mut self, dialect: &dyn Dialect, documents: Vec<(String, Element<'a>)>, write: W) -> Result<(), Failure>
    where
        W: Fn(Element<'a>, &mut Writer<'_>, &mut Extracted) -> Result<(), Failure>,
    {
        let roles = dialect::roles(self.tree, dialect);
        for (name, element) in documents {
            let mut document = Extracted { name, ..Extracted::default() };
            let mut writer = Writer::new(dialect, &roles, &self.options.limits);
            write(element, &mut writer, &mut document)?;
            (document.text, document.marks) = writer.finish();
            if !self.give(document) {
                break;
            }
        }
        Ok(())
    }

    fn records(
        &mut self,
        records: &records::Records<'a>,
        dialect: &dyn Dialect,
        roles: &[Role],
        ruled: Option<&Ruled<'_>>,
    ) -> Result<(), Failure> {
        let mut names = super::embedded::Names::default();
        for (number, record) in records.elements.iter().enumerate() {
            let mut document = Extracted::default();
            let mut writer = Writer::new(dialect, roles, &self.options.limits);
            let html = records.write(*record, &mut writer, &mut document)?;
            if let Some(ruled) = ruled {
                ruled.facts(*record, &mut writer).put(&Facts::default(), &mut document);
            }
            (document.text, document.marks) = writer.finish();
            if let Some(html) = html {
                let (text, marks) = super::embedded::html(&html, self.depth, self.options, self.sink)?;
                if document.text.is_empty() {
                    (document.text, document.marks) = (text, marks);
                } else {
                    document.text = format!("{}\n{text}", document.text);
                }
            }
            let mut document = title_alone(document);
            let name = Some(std::mem::take(&mut document.name)).filter(|name| !name.is_empty()).or_else(|| document.title.clone());
            document.name = names.unique(name.unwrap_or_else(|| format!("{} {}", record.name(), number + 1)));
            if !self.give(document) {
                break;
            }
        }
        Ok(())
    }

    /// Gives a document, if it has text. Whether more are wanted.
    fn give(&mut self, document: Extracted) -> bool {
        if document.text.is_empty() {
            return true;
        }
        self.found += 1;
        self.sink.document(document).is_continue()
    }
}

/// Bytes of text outside of documents that are not worth a note.
const OUTSIDE: usize = 200;

/// A document; without a text, its title is what it says.
fn title_alone(mut document: Extracted) -> Extracted {
    if document.text.is_empty() {
        document.text = document.title.as_ref().map(|title| format!("{title}\n")).unwrap_or_default();
    }
    document
}

/// Adds a field, if it has words.
fn text_field(document: &mut Extracted, name: &str, value: Option<String>) {
    if let Some(value) = value.filter(|value| !value.trim().is_empty()) {
        document.fields.push((name.to_owned(), Value::Text(value)));
    }
}

/// The encoding that an XML declaration has.
fn declared(bytes: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(256)]).into_owned();
    let declaration = head.trim_start().strip_prefix("<?xml")?.split_once("?>")?.0;
    let value = declaration.split_once("encoding")?.1.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    Some(value[1..].split_once(quote)?.0.to_owned())
}

/// The first characters of a file, as far as they tell what it is: those of UTF-16 lose their zeros.
fn head_text(head: &[u8]) -> String {
    let head = &head[..head.len().min(super::HEAD_BYTES)];
    let is_wide = matches!(head, [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] | [b'<', 0, ..] | [0, b'<', ..]);
    let bytes: Vec<u8> =
        if is_wide { head.iter().copied().filter(|byte| !matches!(byte, 0 | 0xFE | 0xFF)).collect() } else { head.to_vec() };
    String::from_utf8_lossy(&bytes).trim_start_matches('\u{FEFF}').trim_start().to_owned()
}

/// Roots of XML documents that need no declaration to be known.
const ROOTS: [&str; 14] = [
    "article",
    "pmc-articleset",
    "akomaNtoso",
    "uscDoc",
    "lawDoc",
    "bill",
    "pLaw",
    "statutesAtLarge",
    "rss",
    "feed",
    "TEI",
    "book",
    "records",
    "RDF",
];

/// Whether a text is the beginning of an XML document that is not HTML.
fn recognizes(head: &str) -> bool {
    let has_declaration = head.starts_with("<?xml");
    let mut rest = head;
    // The declaration, comments and the document type come before the root.
    loop {
        rest = rest.trim_start();
        let after = if let Some(comment) = rest.strip_prefix("<!--") {
            comment.split_once("-->").map(|(_, after)| after)
        } else if let Some(instruction) = rest.strip_prefix("<?") {
            instruction.split_once("?>").map(|(_, after)| after)
        } else if let Some(kind) = rest.strip_prefix("<!DOCTYPE") {
            if kind.trim_start().get(..4).is_some_and(|name| name.eq_ignore_ascii_case("html")) {
                return false;
            }
            let end = kind.find('>').unwrap_or(kind.len());
            match kind.find('[').filter(|subset| *subset < end) {
                Some(subset) => kind[subset..].split_once("]").and_then(|(_, after)| after.split_once('>')).map(|(_, after)| after),
                None => kind.get(end + 1..),
            }
        } else {
            break;
        };
        match after {
            Some(after) => rest = after,
            // It goes on after what is seen.
            None => return has_declaration,
        }
    }
    let Some(tag) = rest.strip_prefix('<') else { return false };
    let name: &str = tag.split(|c: char| c.is_whitespace() || matches!(c, '>' | '/')).next().unwrap_or_default();
    let local = name.rsplit(':').next().unwrap_or_default();
    if !local.starts_with(|c: char| c.is_alphabetic() || c == '_') || local.eq_ignore_ascii_case("html") || local == "svg" {
        return false;
    }
    let attributes = tag.split_once('>').map_or(tag, |(attributes, _)| attributes);
    has_declaration || ROOTS.contains(&local) && attributes.contains('=') || attributes.contains("xmlns=") && !attributes.contains("xhtml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_is_recognised_and_html_is_not() {
        for (head, expected) in [
            (&b"<?xml version='1.0'?><a/>"[..], true),
            (b"\xEF\xBB\xBF<?xml version='1.0'?>\n<!-- c --><!DOCTYPE a [<!ENTITY b 'c'>]>\n<a>", true),
            (b"\xFF\xFE<\0?\0x\0m\0l\0?\0>\0<\0a\0>\0", true),
            (b"<feed xmlns=\"http://www.w3.org/2005/Atom\">", true),
            (b"<rss version=\"2.0\">", true),
            (b"<?xml version='1.0'?><!DOCTYPE html PUBLIC '-'><html>", false),
            (b"<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'>", false),
            (b"<div xmlns='http://www.w3.org/1999/xhtml'>", false),
            (b"<article class='a'><p>", true),
            (b"<article><p>", false),
            (b"<p>", false),
            (b"a < b", false),
            (b"", false),
        ] {
            assert_eq!(Xml.recognizes(head), expected, "{}", String::from_utf8_lossy(head));
        }
    }

    #[test]
    fn encodings_are_declared() {
        assert_eq!(declared(b"<?xml version='1.0' encoding = \"windows-1252\" ?>").as_deref(), Some("windows-1252"));
        assert_eq!(declared(b"<?xml version='1.0'?><a encoding='b'/>"), None);
    }
}
