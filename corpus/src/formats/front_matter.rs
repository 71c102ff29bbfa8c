//! The metadata before a Markdown text, between lines of `---` (YAML) or `+++` (TOML).
//!
//! Read are lines `key: value` or `key = value` with a string, a number, a date, true or false; lists, tables and texts of several lines are passed
//! over.

use mempack_format::Document;

use super::MAX_FIELD_BYTES;
use crate::blocks::BOM;
use crate::fields::{DocumentField, FieldValue};

/// Maximum bytes of the metadata with its marks. What is longer is text.
pub(super) const MAX_BYTES: usize = 64 << 10;

/// The keys of the record of a document, in lower case.
const KNOWN: [&str; 7] = ["title", "date", "license", "licence", "source", "version", "id"];

/// The metadata at the beginning of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FrontMatter {
    /// Bytes up to the text, with those of a byte order mark.
    pub length: usize,
    /// Keys with their values.
    fields: Vec<(String, Value)>,
}

/// A string, a number, a date, true or false.
#[derive(Debug, PartialEq, Eq)]
struct Value {
    text: String,
    /// Whether it stands between quotes, and so is a string.
    quoted: bool,
}

impl FrontMatter {
    /// The metadata that a file begins with, of which `head` is the beginning.
    pub fn read(head: &[u8]) -> Option<Self> {
        let head = &head[..head.len().min(MAX_BYTES)];
        let bom = if head.starts_with(BOM) { BOM.len() } else { 0 };
        // A character may be cut at the end of the head.
        let text = head[bom..].utf8_chunks().next()?.valid();
        let mut lines = text.split_inclusive('\n');
        let first = lines.next()?;
        let (mark, separator) = match first.trim_end() {
            "---" => ("---", ':'),
            "+++" => ("+++", '='),
            _ => return None,
        };
        let mut found = Self { length: bom + first.len(), fields: Vec::new() };
        let (mut any, mut table) = (false, false);
        for line in lines {
            found.length += line.len();
            let content = line.trim_end();
            if content == mark || mark == "---" && content == "..." {
                return any.then_some(found);
            }
            if content.is_empty() || content.starts_with('#') || content.starts_with([' ', '\t', '-', ']', '}']) {
                continue;
            }
            if mark == "+++" && content.starts_with('[') {
                (any, table) = (true, true);
                continue;
            }
            // A line of prose shows that the first line is a rule.
            let Some((key, value)) = content.split_once(separator).filter(|(key, _)| is_key(key.trim())) else {
                if any { continue } else { return None }
            };
            any = true;
            if let Some(value) = scalar(value).filter(|_| !table) {
                found.fields.push((key.trim().trim_matches(['"', '\'']).to_owned(), value));
            }
        }
        None
    }

    /// Puts what is known into the metadata of a document. Gives whether a title is among it.
    pub fn apply(&self, document: &mut Document) -> bool {
        let mut titled = false;
        for (key, value) in &self.fields {
            let key = key.to_lowercase();
            let field = match key.as_str() {
                "title" => &mut document.title,
                "date" => &mut document.date,
                "license" | "licence" => &mut document.license,
                "source" => &mut document.source,
                "version" => &mut document.version,
                "id" => &mut document.id,
                _ => continue,
            };
            field.clone_from(&value.text);
            titled |= key == "title";
        }
        titled
    }

    /// The fields that are not known. A plain number, true or false is one of JSON; what JSON writes otherwise is a string, such as `007`.
    pub fn others(self) -> Vec<DocumentField> {
        let known = |key: &str| KNOWN.contains(&key.to_lowercase().as_str());
        let field = |(name, Value { text, quoted }): (String, Value)| {
            let plain = if quoted { None } else { FieldValue::plain(&text) };
            DocumentField { name, list: false, values: vec![plain.unwrap_or_else(|| FieldValue::string(text))] }
        };
        self.fields.into_iter().filter(|(key, _)| !known(key)).map(field).collect()
    }
}

fn is_key(key: &str) -> bool {
    let key = key.trim_matches(['"', '\'']);
    !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || "_-. ".contains(c)) && key.split(' ').count() <= 3
}

/// A string, a number, a date, true or false; `None` for anything else, and for nothing.
fn scalar(value: &str) -> Option<Value> {
    let value = value.trim();
    let text = match value.chars().next()? {
        '"' => unescape(value.strip_prefix('"')?),
        '\'' => {
            // Two quotes are one.
            let inner = value.strip_prefix('\'')?;
            let marked = inner.replace("''", "\0");
            marked.split('\'').next()?.replace('\0', "'")
        }
        '[' | '{' | '|' | '>' | '&' | '*' | '!' => return None,
        _ => {
            let plain = value.find(" #").map_or(value, |comment| &value[..comment]).trim_end();
            if matches!(plain, "null" | "~" | "Null" | "NULL") {
                return None;
            }
            plain.to_owned()
        }
    };
    let text = text.trim();
    let quoted = value.starts_with(['"', '\'']);
    (!text.is_empty() && text.len() <= MAX_FIELD_BYTES && !text.contains('\0')).then(|| Value { text: text.to_owned(), quoted })
}

/// What stands before the closing quote, without the backslashes.
fn unescape(inner: &str) -> String {
    let mut text = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => match chars.next() {
                Some('n' | 't') => text.push(' '),
                Some(other) => text.push(other),
                None => {}
            },
            _ => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(head: &str) -> Option<(usize, Document)> {
        let found = FrontMatter::read(head.as_bytes())?;
        let mut document = Document::default();
        found.apply(&mut document);
        Some((found.length, document))
    }

    #[test]
    fn known_fields_are_read() {
        let yaml = "---\ntitle: \"Dosing: of \\\"Zelmarin\\\"\" # new\ndate: 2024-05-01 # of issue\nlicense: 'It''s free'\nid: 7\nversion: null\n\
                    tags: [a, b]\nauthors:\n  - A\ndraft: true\n---\ntext";
        let (length, document) = read(yaml).unwrap();
        assert_eq!(&yaml[length..], "text");
        assert_eq!(document.title, "Dosing: of \"Zelmarin\"");
        assert_eq!((document.date.as_str(), document.license.as_str(), document.id.as_str()), ("2024-05-01", "It's free", "7"));
        assert_eq!(document.version, "");
        let toml = "\u{FEFF}+++\r\ntitle = \"A\"\r\nsource = 'B'\r\n[extra]\r\ntitle = \"C\"\r\n+++\r\ntext";
        let (length, document) = read(toml).unwrap();
        assert_eq!((&toml[length..], document.title.as_str(), document.source.as_str()), ("text", "A", "B"));
    }

    #[test]
    fn other_fields_are_kept() {
        let yaml = "---\ntitle: T\nLicence: free\nReviewer: \"A. B.\"\nyear: 2021 # of issue\nedition: '7'\nnumber: 007\nratio: 1.50\ndraft: false\n\
                    off: null\ntags: [a, b]\nnested:\n  key: value\nseen: 2024-05-01\n---\ntext";
        let found = FrontMatter::read(yaml.as_bytes()).unwrap().others();
        let found: Vec<_> =
            found.iter().map(|field| (field.name.as_str(), field.values[0].kind.to_string(), field.values[0].text.as_str())).collect();
        let expected = [
            ("Reviewer", "text", "A. B."),
            ("year", "integer", "2021"),
            ("edition", "text", "7"),
            ("number", "text", "007"),
            ("ratio", "number", "1.50"),
            ("draft", "boolean", "false"),
            ("seen", "date", "2024-05-01"),
        ];
        assert_eq!(found, expected.map(|(name, kind, text)| (name, kind.to_owned(), text)));
    }

    #[test]
    fn what_is_no_metadata_is_text() {
        for text in [
            "",
            "---",
            "---\n",
            "---\ntitle: a\n",
            "---\nA rule, and words.\n\n---\n",
            "text\n---\na: b\n---\n",
            "---\n---\n",
            "----\na: b\n----\n",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..300), lines in prop::collection::vec("---|[+]{3}|[a-z]{0,4}[:=] ?[\"'a-z\\\\0-9é]{0,6}", 0..12)) {
            let _ = FrontMatter::read(&bytes);
            let text = lines.join("\n");
            if let Some(found) = FrontMatter::read(text.as_bytes()) {
                prop_assert!(found.length <= text.len() && text.is_char_boundary(found.length));
            }
        }
    }
}
