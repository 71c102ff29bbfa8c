//! OpenDocument (ISO/IEC 26300, OASIS ODF 1.3): texts (.odt, .ott), presentations (.odp, .otp) and workbooks (.ods, see [`super::spreadsheet`]), in packages and as
//! flat XML (.fodt, .fodp, .fods). Which of them a file is follows from its body.

mod lists;
mod math;
mod presentation;
mod styles;
mod text;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use self::styles::Styles;
use super::xml::{Node, Xml};
use super::{PASSWORD, Package, Properties, spreadsheet};
use crate::{Failure, Options, Sink};

const FORMAT: &str = "OpenDocument file";

/// What a file has of itself.
pub(super) struct Parts {
    /// The XML of its body, with the styles that it makes itself.
    pub content: String,
    /// The XML of its other styles; empty where they are in `content`.
    styles: String,
    pub properties: Properties,
    formulas: Formulas,
}

/// Formulas by the folders of their parts.
type Formulas = HashMap<String, String>;

impl Parts {
    fn styles(&self) -> Result<Styles, Failure> {
        let mut styles = Styles::default();
        // A text is read though its styles are damaged; those of its own are in its content.
        if !self.styles.is_empty() {
            let _ = styles.read(&self.styles);
        }
        styles.read(&self.content)?;
        Ok(styles)
    }
}

/// Gives the document of a package.
pub(super) fn extract(package: &mut Package, options: &Options, sink: &mut dyn Sink) -> Result<(), Failure> {
    if package.text("META-INF/manifest.xml", sink)?.is_some_and(|manifest| manifest.contains("encryption-data")) {
        return Err(PASSWORD);
    }
    let Some(content) = package.text("content.xml", sink)? else { return Err(Failure::invalid(FORMAT, "it lacks its part content.xml")) };
    let styles = package.text("styles.xml", sink)?.unwrap_or_default();
    let properties = Properties::read_open_document(&package.text("meta.xml", sink)?.unwrap_or_default());
    let formulas = formulas(package, &content, sink)?;
    body(Parts { content, styles, properties, formulas }, options, sink)
}

/// Reads the formulas that `content` shows.
fn formulas(package: &mut Package, content: &str, sink: &mut dyn Sink) -> Result<Formulas, Failure> {
    let mut formulas = Formulas::new();
    let shown = content.split("href=").skip(1).filter_map(|rest| rest.get(1..)?.split(['"', '\'']).next());
    let shown: HashSet<&str> = shown.map(|part| part.trim_start_matches("./")).collect();
    let names: Vec<String> = package.zip.file_names().flatten().map(Cow::into_owned).collect();
    for name in names {
        let Some(folder) = name.strip_suffix("/content.xml").filter(|folder| shown.contains(folder)) else { continue };
        let Some(text) = package.text(&name, sink)? else { continue };
        // A text is read though a formula of it is damaged.
        if let Ok(Some(formula)) = math::read(&text) {
            formulas.insert(folder.to_owned(), formula);
        }
    }
    Ok(formulas)
}

/// Gives the document of a flat file.
pub(super) fn extract_flat(content: String, options: &Options, sink: &mut dyn Sink) -> Result<(), Failure> {
    let properties = Properties::read_open_document(&content);
    body(Parts { content, styles: String::new(), properties, formulas: Formulas::new() }, options, sink)
}

/// Whether a file begins as flat XML of OpenDocument does.
pub(super) fn is_flat(head: &[u8]) -> bool {
    const BEGIN: usize = 8 << 10;
    let head = String::from_utf8_lossy(&head[..head.len().min(BEGIN)]);
    let is_xml = head.trim_start_matches(['\u{FEFF}', ' ', '\t', '\r', '\n']).starts_with('<');
    is_xml && head.contains("<office:document") && head.contains("application/vnd.oasis.opendocument.")
}

fn body(parts: Parts, options: &Options, sink: &mut dyn Sink) -> Result<(), Failure> {
    let mut xml = Xml::new(&parts.content, FORMAT);
    let mut kind = String::new();
    if xml.find("body")?.is_some() {
        while let Some(node) = xml.next()? {
            if let Node::Start(element) = node {
                kind = element.name().to_owned();
                break;
            }
        }
    }
    match kind.as_str() {
        "text" => text::extract(parts, options, sink),
        "presentation" => presentation::extract(parts, options, sink),
        "spreadsheet" => spreadsheet::ods::extract(parts, options, sink),
        "" => Err(Failure::invalid(FORMAT, "it has no body")),
        _ => Err(Failure::Unknown {
            what: "a document of OpenDocument that is no text, workbook or presentation",
            advice: "save it as .pdf with LibreOffice",
        }),
    }
}
