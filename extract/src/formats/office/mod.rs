//! Office documents: packages of ISO/IEC 29500 (Word, Excel, PowerPoint) and of OpenDocument (ISO/IEC 26300), and the OLE files before them.
//!
//! Which of them a file is follows from its parts, so that a wrong extension does no harm.

mod blocks;
mod docx;
mod numbers;
mod odf;
mod pptx;
mod slides;
mod spreadsheet;
pub(super) mod symbols;
pub(super) mod writer;
mod xml;

use std::borrow::Cow;
use std::io::Cursor;

use zip::ZipArchive;

pub(super) use self::numbers::roman;
use self::xml::{Node, Xml};
use super::Format;
use crate::containers::{self, Container};
use crate::{Extracted, Failure, Input, Limits, Options, Sink, Value, decode};

/// The first bytes of an OLE file ([MS-CFB]).
const OLE: &[u8] = b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1";

/// How the header of a file in a zip archive begins.
const LOCAL_FILE: &[u8] = b"PK\x03\x04";

/// How the types of OpenDocument files begin.
const OPEN_DOCUMENT: &str = "application/vnd.oasis.opendocument.";

const PASSWORD: Failure = Failure::Encrypted { advice: "open it with its password in the program that made it, and save it without one" };

/// A file of no bytes.
pub(super) const EMPTY_FILE: Failure = Failure::Empty { advice: "its size is 0 bytes: get it again from where it came from" };

pub(super) struct Office;

impl Format for Office {
    fn name(&self) -> &'static str {
        "an Office document"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &[
            "docx", "docm", "dotx", "dotm", "xlsx", "xlsm", "xltx", "xltm", "xlsb", "xls", "pptx", "pptm", "potx", "potm", "ppsx", "ppsm",
            "odt", "ott", "fodt", "ods", "ots", "fods", "odp", "otp", "fodp",
        ]
    }

    fn recognizes(&self, head: &[u8]) -> bool {
        if head.starts_with(OLE) || odf::is_flat(head) {
            return true;
        }
        // Which parts come first is up to the program. An archive that begins like a package and is none is read as an archive.
        const PARTS: [&[u8]; 4] = [b"[Content_Types].xml", b"_rels/.rels", b"mimetype", b"content.xml"];
        const FOLDERS: [&[u8]; 5] = [b"word/", b"xl/", b"ppt/", b"docProps/", b"customXml/"];
        let is_part = |name: &[u8]| PARTS.contains(&name) || FOLDERS.iter().any(|folder| name.starts_with(folder));
        head.starts_with(LOCAL_FILE) && memchr::memmem::find_iter(head, LOCAL_FILE).filter_map(|at| name(&head[at..])).any(is_part)
    }

    fn extract(&self, input: Input<'_>, options: &Options, sink: &mut dyn Sink) -> Result<(), Failure> {
        let (name, depth) = (input.name, input.depth);
        let bytes = input.whole(&options.limits)?;
        if bytes.is_empty() {
            return Err(EMPTY_FILE);
        }
        if bytes.starts_with(OLE) {
            return ole(bytes, options, sink);
        }
        if odf::is_flat(&bytes) {
            return odf::extract_flat(decode::text(&bytes, None, sink), options, sink);
        }
        if !bytes.starts_with(b"PK") {
            return Err(Failure::Unknown {
                what: "no Office document, whatever its name says",
                advice: "give it the extension of what it is",
            });
        }
        let mut package = Package::new(bytes, &options.limits)?;
        match package.kind(sink)? {
            Kind::Word(main) => docx::extract(&mut package, &main, options, sink),
            Kind::Table(kind) => {
                package.check(sink)?;
                spreadsheet::extract(kind, package.zip.into_inner().into_inner(), options, sink)
            }
            Kind::Slides(main) => pptx::extract(&mut package, &main, options, sink),
            Kind::OpenDocument => odf::extract(&mut package, options, sink),
            Kind::Other(what, advice) => Err(Failure::Unknown { what, advice }),
            Kind::None => {
                let reader = Box::new(Cursor::new(package.zip.into_inner().into_inner()));
                containers::extract(Container::Zip, Input { name, reader, depth }, options, sink)
            }
        }
    }
}

/// The name of a file of a zip archive, by its local header.
fn name(header: &[u8]) -> Option<&[u8]> {
    let length = u16::from_le_bytes(header.get(26..28)?.try_into().ok()?);
    header.get(30..30 + usize::from(length))
}

/// An OLE file: what is in it is told by the names of its streams, which are UTF-16.
fn ole(bytes: Vec<u8>, options: &Options, sink: &mut dyn Sink) -> Result<(), Failure> {
    let has = |name: &str| {
        let name: Vec<u8> = name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
        // Entries of the directory are 128 bytes each, and begin with the name.
        bytes.chunks_exact(128).any(|entry| entry.starts_with(&name))
    };
    if has("EncryptedPackage") {
        return Err(PASSWORD);
    }
    if has("Workbook") || has("WORKBOOK") || has("Book") {
        return spreadsheet::extract(spreadsheet::Kind::Xls, bytes, options, sink);
    }
    let (what, advice) = if has("WordDocument") {
        ("a Word document of before 2007", "save it as .docx with Word or LibreOffice")
    } else if has("PowerPoint Document") {
        ("a presentation of before 2007", "save it as .pptx with PowerPoint or LibreOffice")
    } else if has("__nameid_version1.0") || has("__properties_version1.0") {
        ("a message of Outlook", "save it as .eml or .txt with Outlook")
    } else {
        ("an OLE file of no known kind", "export its text with the program that made it")
    };
    Err(Failure::Unknown { what, advice })
}

/// What a package is, with its main part.
enum Kind {
    Word(String),
    Table(spreadsheet::Kind),
    Slides(String),
    OpenDocument,
    Other(&'static str, &'static str),
    None,
}

/// A file of a zip archive whose parts name one another.
struct Package {
    zip: ZipArchive<Cursor<Vec<u8>>>,
    limits: Limits,
}

/// That a part has a part of a kind.
struct Relation {
    id: String,
    kind: String,
    target: String,
}

impl Relation {
    /// Whether it is of this kind, in both kinds of ISO/IEC 29500 (Transitional and Strict).
    fn is(&self, kind: &str) -> bool {
        self.kind.rsplit('/').next() == Some(kind)
    }
}

impl Package {
    fn new(bytes: Vec<u8>, limits: &Limits) -> Result<Self, Failure> {
        Ok(Self { zip: containers::open_zip(Cursor::new(bytes), limits)?, limits: limits.clone() })
    }

    /// The bytes of a part; all parts together are bounded.
    fn bytes(&mut self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        let bytes = containers::zip_part(&mut self.zip, name, &self.limits)?;
        let taken = bytes.as_ref().map(Vec::len).unwrap_or_default() as u64;
        self.limits.unpacked_bytes = self.limits.unpacked_bytes.saturating_sub(taken);
        Ok(bytes)
    }

    /// The text of a part.
    fn text(&mut self, name: &str, sink: &mut dyn Sink) -> Result<Option<String>, Failure> {
        Ok(self.bytes(name)?.map(|bytes| decode::text(&bytes, None, sink)))
    }

    /// What the part `name` is related to; of the package itself for an empty name.
    fn relations(&mut self, name: &str, sink: &mut dyn Sink) -> Result<Vec<Relation>, Failure> {
        let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
        let separator = if folder.is_empty() { "" } else { "/" };
        let Some(text) = self.text(&format!("{folder}{separator}_rels/{file}.rels"), sink)? else { return Ok(Vec::new()) };
        let mut xml = Xml::new(&text, "Office document");
        let mut relations = Vec::new();
        while let Some(element) = xml.find("Relationship")? {
            let inside = element.attribute("TargetMode").is_none_or(|mode| mode != "External");
            if let (true, Some(kind), Some(target)) = (inside, element.attribute("Type"), element.attribute("Target")) {
                let id = element.attribute("Id").unwrap_or_default();
                relations.push(Relation { id, kind, target: resolve(folder, &target) });
            }
        }
        Ok(relations)
    }

    /// Unpacks all parts that have words, for a reader that knows no limits, and refuses counts that would make it take memory at once.
    fn check(&mut self, sink: &mut dyn Sink) -> Result<(), Failure> {
        let names: Vec<String> = self.zip.file_names().flatten().filter(|name| !name.contains("media/")).map(Cow::into_owned).collect();
        for name in names {
            let Some(bytes) = self.bytes(&name)? else { continue };
            if name.to_ascii_lowercase().ends_with("sharedstrings.xml") {
                let text = decode::text(&bytes, None, sink);
                let counts = text.split("uniqueCount").skip(1).map(|rest| {
                    let digits = rest.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '=' | '"' | '\'' | '+'));
                    digits[..digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len())].parse::<u64>().unwrap_or(0)
                });
                if counts.into_iter().any(|count| count > bytes.len() as u64) {
                    return Err(Failure::invalid("workbook", "it says that it has more words than it has bytes"));
                }
            }
        }
        Ok(())
    }

    /// What it is.
    fn kind(&mut self, sink: &mut dyn Sink) -> Result<Kind, Failure> {
        let mut kind = self.text("mimetype", sink)?;
        if kind.is_none() && self.zip.index_for_name("content.xml").is_some() {
            // Not all programs write the type that the standard asks for; the list of parts has it too.
            kind = self.text("META-INF/manifest.xml", sink)?.filter(|list| list.contains(OPEN_DOCUMENT)).map(|_| OPEN_DOCUMENT.to_owned());
        }
        if let Some(kind) = kind {
            return Ok(if kind.trim().starts_with(OPEN_DOCUMENT) { Kind::OpenDocument } else { Kind::None });
        }
        let relations = self.relations("", sink)?;
        let main = relations.into_iter().find(|relation| relation.is("officeDocument")).map(|relation| relation.target);
        let known = ["word/document.xml", "xl/workbook.xml", "ppt/presentation.xml"];
        let main = main.or_else(|| known.into_iter().find(|name| self.zip.index_for_name(name).is_some()).map(str::to_owned));
        let Some(main) = main else { return Ok(Kind::None) };
        let types = self.text("[Content_Types].xml", sink)?.unwrap_or_default();
        let mut xml = Xml::new(&types, "Office document");
        let mut kind = String::new();
        while let Some(element) = xml.find("Override")? {
            if element.attribute("PartName").is_some_and(|name| name.trim_start_matches('/') == main) {
                kind = element.attribute("ContentType").unwrap_or_default().to_lowercase();
            }
        }
        if kind.is_empty() {
            // Without a type the folder tells what programs write.
            kind = main.replace("word/", "wordprocessingml").replace("xl/", "spreadsheetml").replace("ppt/", "presentationml");
        }
        Ok(if kind.contains("wordprocessingml") || kind.contains("ms-word") {
            Kind::Word(main)
        } else if kind.contains("ms-excel.sheet.binary") {
            Kind::Table(spreadsheet::Kind::Xlsb)
        } else if kind.contains("spreadsheetml") || kind.contains("ms-excel") {
            Kind::Table(spreadsheet::Kind::Xlsx)
        } else if kind.contains("presentationml") || kind.contains("powerpoint") {
            Kind::Slides(main)
        } else if kind.contains("xps") || kind.contains("visio") {
            Kind::Other("a drawing in a package of Office", "save it as .pdf with the program that made it")
        } else {
            Kind::None
        })
    }
}

/// The name of a part that another part in `folder` names.
fn resolve(folder: &str, target: &str) -> String {
    let (mut parts, target): (Vec<&str>, _) = match target.strip_prefix('/') {
        Some(target) => (Vec::new(), target),
        None => (folder.split('/').filter(|part| !part.is_empty()).collect(), target),
    };
    for part in target.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The alternative text of a picture, as its author wrote it; `None` for a name of a file, and without what a program adds when it guessed the text.
fn alternative_text(text: &str) -> Option<&str> {
    // What a program guessed says so in English at its end.
    let text = text.split("Description automatically generated").next().unwrap_or_default().trim();
    // Chinese and Japanese have no blanks between words.
    let is_sentence = |text: &str| text.contains(char::is_whitespace) || text.chars().filter(|c| *c >= '\u{3040}').count() > 3;
    Some(text).filter(|text| is_sentence(text))
}

/// What a document states of itself.
#[derive(Debug, Default)]
struct Properties {
    title: Option<String>,
    date: Option<String>,
    version: Option<String>,
    fields: Vec<(String, Value)>,
    /// Pages that the program counted.
    pages: Option<u32>,
}

impl Properties {
    /// Reads the properties of a package of ISO/IEC 29500-2.
    fn read(package: &mut Package, sink: &mut dyn Sink) -> Result<Self, Failure> {
        let mut properties = Self::default();
        for relation in package.relations("", sink)? {
            let is_core = relation.is("core-properties") || relation.is("metadata/core-properties");
            if !(is_core || relation.is("extended-properties") || relation.is("extendedProperties") || relation.is("coreProperties")) {
                continue;
            }
            let Some(text) = package.text(&relation.target, sink)? else { continue };
            // A document is read though what it states of itself is damaged.
            let _ = properties.read_part(&text);
        }
        Ok(properties)
    }

    /// The properties of an OpenDocument file, of the XML that has them.
    fn read_open_document(text: &str) -> Self {
        let mut properties = Self::default();
        let mut xml = Xml::new(text, "Office document");
        // A document is read though what it states of itself is damaged.
        if let Ok(Some(_)) = xml.find("meta") {
            let _ = properties.elements(&mut xml);
        }
        properties
    }

    fn read_part(&mut self, text: &str) -> Result<(), Failure> {
        let mut xml = Xml::new(text, "Office document");
        xml.root()?;
        self.elements(&mut xml)
    }

    /// Reads the properties in the element that is open.
    fn elements(&mut self, xml: &mut Xml) -> Result<(), Failure> {
        let (mut created, mut modified) = (None, None);
        // OpenDocument has the author beside who saved it last.
        let mut author = None;
        while let Some(node) = xml.next()? {
            let Node::Start(element) = node else { continue };
            let name = element.name().to_owned();
            self.pages = self.pages.or_else(|| element.number("page-count").filter(|_| name == "document-statistic"));
            let words = crate::markdown::one_line(&xml.words()?);
            if name == "initial-creator" && !words.is_empty() {
                author = Some(words);
            } else {
                self.add(&name, words, &mut created, &mut modified);
            }
        }
        if let Some(author) = author {
            self.fields.retain(|(name, _)| name != "author");
            self.fields.insert(0, ("author".into(), Value::Text(author)));
        }
        self.dates(created, modified);
        Ok(())
    }

    /// A date of the document is that of its last change.
    fn dates(&mut self, created: Option<String>, modified: Option<String>) {
        let date = modified.clone().or_else(|| created.clone());
        self.date = self.date.take().or_else(|| date.map(|date| date.split('T').next().unwrap_or_default().to_owned()));
        for (name, date) in [("created", created), ("modified", modified)] {
            self.fields.extend(date.map(|date| (name.to_owned(), Value::Text(date))));
        }
    }

    fn add(&mut self, name: &str, words: String, created: &mut Option<String>, modified: &mut Option<String>) {
        // What programs write where the author said nothing.
        let is_default =
            matches!(words.as_str(), "python-docx" | "openpyxl" | "generated by python-docx" | "Word Document" | "PowerPoint Presentation");
        if words.is_empty() || is_default {
            return;
        }
        let field = match name {
            "title" => {
                self.title = Some(words).filter(|title| !title.starts_with("Microsoft Word - "));
                return;
            }
            "version" => {
                self.version = Some(words);
                return;
            }
            "created" | "creation-date" => {
                *created = Some(words);
                return;
            }
            "modified" | "date" => {
                *modified = Some(words);
                return;
            }
            "Pages" => {
                self.pages = words.parse().ok();
                return;
            }
            "creator" => "author",
            "subject" => "subject",
            "description" => "description",
            "keywords" | "keyword" => "keywords",
            "category" => "category",
            "contentStatus" => "status",
            "language" => "language",
            "Company" => "company",
            _ => return,
        };
        self.fields.push((field.to_owned(), Value::Text(words)));
    }

    /// A document of these properties.
    fn into_document(self) -> Extracted {
        Extracted { title: self.title, date: self.date, version: self.version, fields: self.fields, ..Extracted::default() }
    }
}
