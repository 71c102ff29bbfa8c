//! Books: EPUB 3.3 (W3C) and EPUB 2.0.1 (IDPF). A book is one document: its chapters in the order in which they are read, without cover
//! and contents. Pages of the printed
//! book are places.

use std::collections::{HashMap, HashSet};
use std::io::Cursor;

use roxmltree::{Document, Node, ParsingOptions};
use zip::ZipArchive;

use super::{Format, html};
use crate::containers::{open_zip, zip_part};
use crate::markdown::{Text, one_line};
use crate::{Extracted, Failure, Input, Limits, Note, Options, Sink, Value, decode};

/// Elements of a package or a table of contents.
const NODES: u32 = 2_000_000;

/// Elements around a line of a table of contents that are looked at, and nodes within it.
const DEPTH: usize = 200;

/// Algorithms of `encryption.xml` that hide nothing but fonts.
const FONTS: [&str; 2] = ["http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC"];

/// Roles of parts that are no text of a book, in `guide` and in the landmarks.
const NO_TEXT: [&str; 3] = ["cover", "toc", "page-list"];

type Zip = ZipArchive<Cursor<Vec<u8>>>;

pub(super) struct Epub;

impl Format for Epub {
    fn name(&self) -> &'static str {
        "an EPUB book"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["epub"]
    }

    fn recognizes(&self, head: &[u8]) -> bool {
        is_book(head)
    }

    fn extract(&self, input: Input<'_>, options: &Options, sink: &mut dyn Sink) -> Result<(), Failure> {
        let bytes = input.whole(&options.limits)?;
        if bytes.is_empty() {
            return Err(Failure::Empty { advice: "the file is empty; copy it again" });
        }
        let zip = open_zip(Cursor::new(bytes), &options.limits).map_err(|failure| match failure {
            Failure::Invalid { .. } => Failure::invalid("EPUB book", "it is no zip archive, or its end is missing; copy it again"),
            other => other,
        })?;
        let mut book = Book { zip, limits: options.limits.clone() };
        let document = book.read(sink)?;
        let _ = sink.document(document);
        Ok(())
    }
}

/// Whether the first files of a zip archive are those of a book. Its first one has to be `mimetype`, as it is; not all programs keep to
/// that.
fn is_book(head: &[u8]) -> bool {
    let mut rest = head;
    while let [b'P', b'K', 3, 4, _, _, flags, _, ..] = rest {
        let number = |at: usize, bytes: usize| {
            rest.get(at..at + bytes).map(|bytes| bytes.iter().rev().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte)))
        };
        let (Some(size), Some(name), Some(extra)) = (number(18, 4), number(26, 2), number(28, 2)) else { return false };
        let Some(found) = rest.get(30..30 + name) else { return false };
        let content = rest.get(30 + name + extra..).unwrap_or_default();
        if found == b"META-INF/container.xml" || found == b"mimetype" && content.starts_with(b"application/epub+zip") {
            return true;
        }
        // The size comes after the content, where it is.
        if flags & 8 != 0 && size == 0 {
            return false;
        }
        rest = content.get(size..).unwrap_or_default();
    }
    false
}

struct Book {
    zip: Zip,
    limits: Limits,
}

/// A file of the package.
struct Part {
    /// Its place in the manifest.
    number: usize,
    path: String,
    media_type: String,
    properties: String,
}

impl Book {
    /// A file of the archive; all of them together are within the limit.
    fn part(&mut self, path: &str) -> Result<Option<Vec<u8>>, Failure> {
        let part = zip_part(&mut self.zip, path, &self.limits)?;
        let size = part.as_ref().map_or(0, Vec::len) as u64;
        self.limits.unpacked_bytes = self.limits.unpacked_bytes.saturating_sub(size);
        Ok(part)
    }

    fn xml(&mut self, path: &str, sink: &mut dyn Sink) -> Result<Option<String>, Failure> {
        Ok(self.part(path)?.map(|bytes| decode::text(&bytes, None, sink)))
    }

    fn read(&mut self, sink: &mut dyn Sink) -> Result<Extracted, Failure> {
        let missing = |part: &str| Failure::invalid("EPUB book", format!("{part} is missing in it; copy it again, or convert it anew"));
        let container = self.xml("META-INF/container.xml", sink)?.ok_or_else(|| missing("META-INF/container.xml"))?;
        let container = parsed(&container, "META-INF/container.xml")?;
        let path = elements(container.root(), "rootfile")
            .find_map(|file| file.attribute("full-path"))
            .ok_or_else(|| missing("the path of its package"))?
            .to_owned();
        let package = self.xml(&path, sink)?.ok_or_else(|| missing(&path))?;
        let package = parsed(&package, &path)?;
        let root = package.root();
        let mut parts = HashMap::new();
        for (number, item) in elements(root, "manifest").take(1).flat_map(|manifest| elements(manifest, "item")).enumerate() {
            if let (Some(id), Some(href)) = (item.attribute("id"), item.attribute("href")) {
                let attribute = |name| item.attribute(name).unwrap_or_default().to_owned();
                parts.insert(
                    id.to_owned(),
                    Part {
                        number,
                        path: resolved(&path, href).0,
                        media_type: attribute("media-type"),
                        properties: attribute("properties"),
                    },
                );
            }
        }
        let spine: Vec<&Part> = {
            let mut seen = HashSet::new();
            let ids =
                elements(root, "spine").take(1).flat_map(|spine| elements(spine, "itemref")).filter_map(|item| item.attribute("idref"));
            ids.filter_map(|id| parts.get(id)).filter(|part| seen.insert(part.path.as_str())).collect()
        };
        self.check_encryption(&spine, sink)?;
        let contents = self.contents(root, &parts, sink);
        let mut left_out: HashSet<String> = HashSet::new();
        for reference in elements(root, "guide").take(1).flat_map(|guide| elements(guide, "reference")) {
            if let (Some("cover" | "toc"), Some(href)) = (reference.attribute("type"), reference.attribute("href")) {
                left_out.insert(resolved(&path, href).0);
            }
        }
        left_out.extend(contents.left_out.iter().cloned());
        left_out.extend(
            parts
                .iter()
                .filter(|(id, _)| matches!(id.as_str(), "cover" | "cover.xhtml" | "cover.html" | "coverpage"))
                .map(|(_, part)| part.path.clone()),
        );
        let mut text = Text::new(&self.limits);
        let none = HashMap::new();
        for part in spine {
            let is_nav = part.properties.split_whitespace().any(|property| property == "nav");
            if is_nav || left_out.contains(&part.path) {
                continue;
            }
            let skipped = |reason: String| Note::PartSkipped { part: part.path.clone(), reason };
            if !matches!(
                part.media_type.as_str(),
                "application/xhtml+xml" | "text/html" | "application/x-dtbook+xml" | "text/x-oeb1-document" | ""
            ) {
                sink.note(skipped(format!("is {}, and no text", part.media_type)));
                continue;
            }
            let bytes = match self.part(&part.path) {
                Ok(Some(bytes)) => bytes,
                Ok(None) => {
                    sink.note(skipped("is missing".to_owned()));
                    continue;
                }
                Err(failure @ (Failure::Bomb { .. } | Failure::Encrypted { .. })) => return Err(failure),
                Err(failure) => {
                    sink.note(skipped(failure.to_string()));
                    continue;
                }
            };
            let title = contents.titles.get(&part.path).map(|(level, title)| (*level, title.as_str()));
            let pages = contents.pages.get(&part.path).unwrap_or(&none);
            if let Some(page) = pages.get("") {
                text.mark(crate::Place::Page(*page));
            }
            text = html::chapter(&bytes, pages, title, text, sink)?;
        }
        if text.is_empty() {
            return Err(Failure::Empty { advice: "if its pages are pictures, convert it to PDF, and read that with --ocr" });
        }
        let mut document = metadata(root);
        (document.text, document.marks) = text.finish();
        Ok(document)
    }

    /// Fails if a chapter is encrypted. Fonts that are hidden do not matter.
    fn check_encryption(&mut self, spine: &[&Part], sink: &mut dyn Sink) -> Result<(), Failure> {
        let Some(encryption) = self.xml("META-INF/encryption.xml", sink)? else { return Ok(()) };
        let encryption = parsed(&encryption, "META-INF/encryption.xml")?;
        for data in elements(encryption.root(), "EncryptedData") {
            let child = |name: &'static str| data.children().filter(move |node| node.tag_name().name() == name);
            let algorithm = child("EncryptionMethod").find_map(|method| method.attribute("Algorithm")).unwrap_or_default();
            let mut files = child("CipherData").flat_map(|data| data.children()).filter_map(|reference| reference.attribute("URI"));
            let hides_text = |uri: &str| spine.iter().any(|part| part.path == resolved("", uri).0);
            if !FONTS.contains(&algorithm) && files.any(hides_text) {
                return Err(Failure::Encrypted { advice: "it is protected by its seller; ask for a copy without protection" });
            }
        }
        Ok(())
    }

    /// What the table of contents says: that of EPUB 3, and that of EPUB 2 where there is none.
    fn contents(&mut self, root: Node<'_, '_>, parts: &HashMap<String, Part>, sink: &mut dyn Sink) -> Contents {
        let mut contents = Contents::default();
        // The first one, where there are several.
        let first = |is_it: &dyn Fn(&Part) -> bool| parts.values().filter(|part| is_it(part)).min_by_key(|part| part.number);
        let nav = first(&|part| part.properties.split_whitespace().any(|property| property == "nav"));
        let listed = elements(root, "spine").find_map(|spine| spine.attribute("toc")).and_then(|id| parts.get(id));
        let ncx = listed.or_else(|| first(&|part| part.media_type == "application/x-dtbncx+xml"));
        for part in [nav, ncx].into_iter().flatten() {
            // Without it, the book is read all the same.
            let Ok(Some(text)) = self.xml(&part.path, sink) else { continue };
            let Ok(document) = parsed(&text, &part.path) else { continue };
            if part.media_type == "application/x-dtbncx+xml" {
                contents.read_ncx(&document, &part.path)
            } else {
                contents.read_nav(&document, &part.path)
            }
        }
        contents
    }
}

/// What a table of contents says.
#[derive(Default)]
struct Contents {
    /// By path the title of a part and its level.
    titles: HashMap<String, (u8, String)>,
    /// By path and id of the element the page that begins there; at the beginning of the part the id is empty.
    pages: HashMap<String, HashMap<String, u32>>,
    /// Paths of parts that are no text.
    left_out: Vec<String>,
}

impl Contents {
    fn read_nav(&mut self, document: &Document<'_>, path: &str) {
        // In any namespace: EPUB's own, mostly.
        let kind = |node: Node<'_, '_>| {
            node.attributes().find(|attribute| attribute.name() == "type").map(|attribute| attribute.value().to_owned()).unwrap_or_default()
        };
        for link in elements(document.root(), "a") {
            let Some(href) = link.attribute("href") else { continue };
            let above = || link.ancestors().take(DEPTH);
            let Some(nav) = above().find(|node| node.tag_name().name() == "nav") else { continue };
            match kind(nav).as_str() {
                "page-list" => self.page(path, href, &words(link)),
                "landmarks" if NO_TEXT.contains(&kind(link).as_str()) => self.left_out.push(resolved(path, href).0),
                "toc" | "" => self.title(path, href, above().filter(|node| node.tag_name().name() == "ol").count(), words(link)),
                _ => {}
            }
        }
    }

    fn read_ncx(&mut self, document: &Document<'_>, path: &str) {
        for point in elements(document.root(), "navPoint") {
            let child = |name: &str| point.children().find(|node| node.tag_name().name() == name);
            if let (Some(label), Some(href)) = (child("navLabel"), child("content").and_then(|content| content.attribute("src"))) {
                let level = point.ancestors().take(DEPTH).filter(|node| node.tag_name().name() == "navPoint").count();
                self.title(path, href, level, words(label));
            }
        }
        for target in elements(document.root(), "pageTarget") {
            let child = |name: &str| target.children().find(|node| node.tag_name().name() == name);
            if let Some(href) = child("content").and_then(|content| content.attribute("src")) {
                let label = child("navLabel").map(words).unwrap_or_default();
                self.page(path, href, target.attribute("value").filter(|_| label.is_empty()).unwrap_or(&label));
            }
        }
    }

    fn title(&mut self, path: &str, href: &str, level: usize, title: String) {
        let (path, _) = resolved(path, href);
        if !title.is_empty() {
            self.titles.entry(path).or_insert((u8::try_from(level).unwrap_or(6).clamp(1, 6), title));
        }
    }

    fn page(&mut self, path: &str, href: &str, name: &str) {
        let (path, id) = resolved(path, href);
        if let Some(page) = html::page_number(name) {
            self.pages.entry(path).or_default().entry(id).or_insert(page);
        }
    }
}

/// What the package states about the book (Dublin Core).
fn metadata(root: Node<'_, '_>) -> Extracted {
    let mut document = Extracted::default();
    let mut modified = None;
    let Some(metadata) = elements(root, "metadata").next() else { return document };
    for element in metadata.descendants().filter(Node::is_element) {
        let value = words(element);
        if value.is_empty() {
            continue;
        }
        let mut field = |name: &str, value: String| document.fields.push((name.to_owned(), Value::Text(value)));
        match element.tag_name().name() {
            "title" => {
                document.title.get_or_insert(value);
            }
            "date" => {
                let event = element.attributes().find(|attribute| attribute.name() == "event").map(|attribute| attribute.value());
                if matches!(event, None | Some("publication" | "original-publication")) || document.date.is_none() {
                    document.date = Some(html::iso(&value));
                }
            }
            "rights" => {
                document.license.get_or_insert(value);
            }
            "creator" => field("author", value),
            "contributor" => field("contributor", value),
            "language" => field("language", value),
            "identifier" => field("identifier", value),
            "publisher" => field("publisher", value),
            "subject" => field("keywords", value),
            "description" => field("description", value),
            "meta" if element.attribute("property") == Some("dcterms:modified") => modified = Some(html::iso(&value)),
            "meta" if matches!(element.attribute("property"), Some("schema:version" | "dcterms:hasVersion")) => {
                document.version = Some(value)
            }
            _ => {}
        }
    }
    if let Some(modified) = modified {
        document.fields.push(("modified".to_owned(), Value::Text(modified)));
    }
    document
}

fn parsed<'t>(text: &'t str, path: &str) -> Result<Document<'t>, Failure> {
    let options = ParsingOptions { allow_dtd: true, nodes_limit: NODES, ..ParsingOptions::default() };
    Document::parse_with_options(text.trim_start_matches('\u{FEFF}').trim_start(), options)
        .map_err(|error| Failure::invalid("EPUB book", format!("{path} is not well-formed: {error}")))
}

/// The elements of a name within a node, in any namespace.
fn elements<'a, 't: 'a>(node: Node<'a, 't>, name: &'a str) -> impl Iterator<Item = Node<'a, 't>> + 'a {
    node.descendants().filter(move |node| node.is_element() && node.tag_name().name() == name)
}

fn words(node: Node<'_, '_>) -> String {
    let text: String = node.descendants().take(DEPTH).filter(Node::is_text).filter_map(|node| node.text()).collect();
    one_line(&text)
}

/// The path and the fragment of a reference in the file at `base`.
fn resolved(base: &str, href: &str) -> (String, String) {
    let (path, fragment) = href.split_once('#').unwrap_or((href, ""));
    let path = unescaped(path.split('?').next().unwrap_or_default());
    if path.is_empty() {
        return (base.to_owned(), unescaped(fragment));
    }
    let folder = base.rsplit_once('/').map(|(folder, _)| folder).unwrap_or_default();
    let mut steps: Vec<&str> = if path.starts_with('/') { Vec::new() } else { folder.split('/').collect() };
    for step in path.split('/') {
        match step {
            "" | "." => {}
            ".." => {
                steps.pop();
            }
            step => steps.push(step),
        }
    }
    steps.retain(|step| !step.is_empty());
    (steps.join("/"), unescaped(fragment))
}

/// A part of an address without `%20`.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let code = after.get(..2).and_then(|code| std::str::from_utf8(code).ok()).and_then(|code| u8::from_str_radix(code, 16).ok());
        match (first, code) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_resolved() {
        for (base, href, path, fragment) in [
            ("OEBPS/content.opf", "text/a%20b.xhtml#p1", "OEBPS/text/a b.xhtml", "p1"),
            ("OEBPS/nav/toc.ncx", "../a.xhtml", "OEBPS/a.xhtml", ""),
            ("content.opf", "../../a.xhtml", "a.xhtml", ""),
            ("a/b.xhtml", "#x", "a/b.xhtml", "x"),
            ("a/b.xhtml", "/c%.xhtml", "c%.xhtml", ""),
        ] {
            assert_eq!(resolved(base, href), (path.to_owned(), fragment.to_owned()), "{href}");
        }
    }
}
