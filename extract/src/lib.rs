//! Texts of documents as people have them, with the places that a citation names.
//!
//! [`extract`] reads a file and gives its documents: each a text in Markdown, so that headings, lists and tables are seen where it is cut, and the
//! places in it: pages, articles, rows, seconds. What a file is follows from its content, and from its name where the content leaves it open.
//!
//! ```
//! use mempack_extract::{Extracted, Input, Options, extract};
//!
//! let file = "1\n00:00:05,000 --> 00:00:07,000\nTwice a day.\n";
//! let mut documents: Vec<Extracted> = Vec::new();
//! extract(Input::new("talk.srt", file.as_bytes()), &Options::default(), &mut documents)?;
//! assert_eq!(documents[0].text, "Twice a day.\n");
//! assert_eq!(documents[0].marks.places(0, 1).to_string(), "0:05");
//! # Ok::<(), mempack_extract::Failure>(())
//! ```
//!
//! A format is a module in `formats` and a line in its list. It reads no more than [`Limits`] say: a file that is larger, or that unpacks to more, is a [`Failure`],
//! and nothing of it is a document.
#![forbid(unsafe_code)]
// What formats share is used by them alone.
#![cfg_attr(not(feature = "formats"), allow(dead_code))]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

mod containers;
mod decode;
mod failure;
mod formats;
mod input;
mod markdown;
mod place;
mod wide;
mod xml_rules;

use std::fmt;

use serde::{Deserialize, Serialize};

use failure::printable;

pub use decode::is_damaged_utf8;
pub use failure::Failure;
pub use formats::{extensions, extract, format_of, is_known};
pub use input::{Input, Limits, Options};
pub use mempack_format::OriginPlace;
pub use place::{Marks, Place};
pub use wide::{ByteOrder, utf16_order};
pub use xml_rules::{XmlRules, XmlRulesError};

/// A document of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extracted {
    /// What tells it from the other documents of its file: the name of a file in an archive, of an attachment; empty where a file is one document.
    pub name: String,
    /// The row or record that it is, counted from 1.
    pub row: Option<u64>,
    /// Its id as the file states it, for a row with one.
    pub id: Option<String>,
    /// Where it comes from as the file states it, for a row that does.
    pub source: Option<String>,
    /// Its title as the file states it.
    pub title: Option<String>,
    /// Its date as the file states it, ISO 8601 where that can be told.
    pub date: Option<String>,
    /// Its version as the file states it.
    pub version: Option<String>,
    /// Its licence as the file states it.
    pub license: Option<String>,
    /// What else the file states: `language`, `author`, `jurisdiction`; in the order of the file. A name that occurs again is a list.
    pub fields: Vec<(String, Value)>,
    /// Its text in Markdown (CommonMark, tables of GitHub Flavored Markdown); lines end in line feeds.
    pub text: String,
    /// The places in it.
    pub marks: Marks,
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    /// Words; a date is words of ISO 8601.
    Text(String),
    /// A number, as it was written in decimal.
    Number(String),
    /// True or false.
    Boolean(bool),
    /// The JSON text of what has lists or objects within.
    Json(String),
}

/// What takes the documents of a file, and what is to be known of it.
pub trait Sink {
    /// Takes a document. Breaks to end the reading: the file then counts as read.
    fn document(&mut self, document: Extracted) -> std::ops::ControlFlow<()>;

    /// Takes a remark on what is not read, such as pages without text.
    fn note(&mut self, _note: Note) {}
}

impl Sink for Vec<Extracted> {
    fn document(&mut self, document: Extracted) -> std::ops::ControlFlow<()> {
        self.push(document);
        std::ops::ControlFlow::Continue(())
    }
}

/// A sink that keeps everything: the documents of a file, and the notes on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gathered {
    /// In the order of the file.
    pub documents: Vec<Extracted>,
    /// As they came.
    pub notes: Vec<Note>,
}

impl Sink for Gathered {
    fn document(&mut self, document: Extracted) -> std::ops::ControlFlow<()> {
        self.documents.document(document)
    }

    fn note(&mut self, note: Note) {
        self.notes.push(note);
    }
}

/// What a user is to know of a file that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Note {
    /// Pages that are pictures, counted from 1. `ocr` in [`Options`] reads them.
    PagesWithoutText {
        /// Which.
        pages: Vec<u32>,
        /// How many pages there are.
        of: u32,
    },
    /// The fields that text, title and id of rows were taken from, as they were guessed.
    Guessed {
        /// The name of the text's field.
        text: String,
        /// The name of the title's field.
        title: Option<String>,
        /// The name of the id's field.
        id: Option<String>,
    },
    /// The encoding was guessed from the bytes: nothing in the file says it.
    GuessedEncoding {
        /// The encoding, as WHATWG calls it.
        encoding: String,
    },
    /// Characters that are replaced by U+FFFD, because they are not of the encoding.
    Replaced {
        /// The encoding, as WHATWG calls it.
        encoding: String,
        /// How many.
        characters: u64,
    },
    /// An XML file was read by the user's rules.
    XmlRules {
        /// Which of them no element matched, and which of their keys nothing was found by, as the file of rules has them.
        unmatched: Vec<String>,
    },
    /// A part of the file that is not read.
    PartSkipped {
        /// Its name.
        part: String,
        /// Why, as the end of a sentence that the part begins.
        reason: String,
    },
}

impl fmt::Display for Note {
    /// As the end of a sentence that the file's name begins: `scan.pdf has 3 of 12 pages without text (2, 5, 6); ...`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PagesWithoutText { pages, of } => {
                let shown: Vec<String> = pages.iter().take(SHOWN_PAGES).map(u32::to_string).collect();
                let more = if pages.len() > SHOWN_PAGES { ", ..." } else { "" };
                write!(
                    f,
                    "has {} of {of} pages without text ({}{more}), which are pictures; --ocr COMMAND reads them",
                    pages.len(),
                    shown.join(", ")
                )
            }
            Self::Guessed { text, title, id } => {
                write!(f, "has its text in the field {text:?}")?;
                for (what, field) in [("title", title), ("id", id)] {
                    if let Some(field) = field {
                        write!(f, ", the {what} in {field:?}")?;
                    }
                }
                write!(f, ", by its first rows; --text-field, --title-field and --id-field say otherwise")
            }
            Self::GuessedEncoding { encoding } => {
                write!(f, "was read as {encoding}, by its bytes; convert it with iconv -t UTF-8 if it is in another encoding")
            }
            Self::Replaced { encoding, characters } => {
                write!(f, "was read as {encoding}, which {characters} of its characters are not; they became U+FFFD")
            }
            Self::XmlRules { unmatched } if unmatched.is_empty() => write!(f, "was read by the XML rules"),
            Self::XmlRules { unmatched } => write!(f, "was read by the XML rules; nothing in it matches {}", unmatched.join(", ")),
            Self::PartSkipped { part, reason } => write!(f, "was read without {}, which {}", printable(part), printable(reason)),
        }
    }
}

/// Pages that a note names.
const SHOWN_PAGES: usize = 10;
