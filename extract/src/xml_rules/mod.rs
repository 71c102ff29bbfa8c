//! What a user says about the elements of XML files that no known format describes: rules of a TOML file.
//!
//! ```toml
//! root = "ordinance"
//!
//! [elements]
//! ordinance = { role = "document", id = "@number", title = "head/name" }
//! head = "skip"
//! "head/minister" = "field:author"
//! article = { role = "section", number = "@no", heading = "caption", cite = "Art." }
//! "article/para" = { role = "paragraph", number = "num" }
//! 'note[@type="editor"]' = "skip"
//! pb = { role = "page", number = "@n" }
//! ```
//!
//! Of several rules for an element the one with most elements in its path counts, then the one with most
//! conditions, where those with a value count twice, then the first of the file.

#[cfg(feature = "formats")]
mod parse;

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Rules for elements of XML files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct XmlRules {
    /// Their file, for messages.
    path: String,
    /// The outermost elements of the files that they are for; none if they are for all files that no known format claims.
    pub(crate) roots: Vec<String>,
    /// Those that go before others come first.
    pub(crate) rules: Vec<Rule>,
}

impl XmlRules {
    /// Bytes of a file of rules.
    pub const MAX_BYTES: u64 = 1 << 20;
    /// Rules of a file.
    pub const MAX_RULES: usize = 10_000;

    /// The path of their file, as it was given.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The outermost elements of the files that they are for; none if they are for all files that no known format claims.
    pub fn roots(&self) -> &[String] {
        &self.roots
    }
}

/// Why rules are refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub struct XmlRulesError {
    /// The file.
    pub path: String,
    /// The line, counted from 1; none if the file is not read at all.
    pub line: Option<usize>,
    /// What is wrong, and what would be right.
    pub reason: String,
}

impl fmt::Display for XmlRulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}, line {line}: {}", self.path, self.reason),
            None => write!(f, "{} {}", self.path, self.reason),
        }
    }
}

/// What an element is, and where the user says that its number and the like are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rule {
    /// The element as the file has it, for messages.
    pub written: String,
    /// The element, after those that it is directly in.
    pub steps: Vec<Step>,
    pub role: RuleRole,
    pub number: Option<Source>,
    pub heading: Option<Source>,
    pub id: Option<Source>,
    pub title: Option<Source>,
    pub value: Option<Source>,
    /// What stands before the number in a citation; empty if the number says all.
    pub cite: Option<String>,
    /// Whether a row is a header.
    pub header: bool,
    pub fields: Vec<(String, Source)>,
}

impl Rule {
    /// The places that it names by keys of its own, and by the names of fields.
    pub fn sources(&self) -> impl Iterator<Item = (Key<'_>, &Source)> {
        let own = [("number", &self.number), ("heading", &self.heading), ("id", &self.id), ("title", &self.title), ("value", &self.value)];
        let own = own.into_iter().filter_map(|(key, source)| Some((Key::Own(key), source.as_ref()?)));
        own.chain(self.fields.iter().map(|(name, source)| (Key::Field(name), source)))
    }
}

/// What a place is named for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key<'a> {
    Own(&'static str),
    Field(&'a str),
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(key) => write!(f, "{key}"),
            Self::Field(name) => write!(f, "fields.{name}"),
        }
    }
}

/// An element of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Step {
    /// Its name; with the prefix if the rule has one.
    pub name: String,
    /// An attribute that it has, and the value of it if the rule says one.
    pub condition: Option<(String, Option<String>)>,
}

/// Where a number and the like of an element is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Source {
    /// As it is written.
    pub written: String,
    /// Elements, each directly in the one before it.
    pub path: Vec<String>,
    /// The attribute of the last one.
    pub attribute: Option<String>,
    /// Words in place of these.
    pub literal: Option<String>,
}

/// What an element is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RuleRole {
    /// A document of its own.
    Document,
    /// The title of the document.
    Title,
    Heading,
    /// A part with a number or a heading.
    Section,
    Number,
    /// A paragraph, which may have a number.
    Paragraph,
    List,
    Item,
    Table,
    Row,
    Cell,
    /// Words in a line.
    Inline,
    /// A line of its own within a paragraph.
    Line,
    /// A footnote.
    Note,
    /// Text of another document.
    Quote,
    Preformatted,
    /// No text.
    Skip,
    /// Metadata, under this name.
    Field(String),
    /// Where a page begins.
    Page,
}
