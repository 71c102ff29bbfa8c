//! A file that is to be read, and how.

use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Failure, XmlRules};

/// How much of a file is read, and what may come of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of a file that is read as a whole; a table or list of rows may have more.
    pub file_bytes: u64,
    /// Bytes that an archive or a stream of a file unpacks to.
    pub unpacked_bytes: u64,
    /// Bytes of the text of a document.
    pub text_bytes: u64,
    /// Bytes of a row, a line or a field.
    pub row_bytes: u64,
    /// Archives within one another.
    pub nesting: u32,
    /// Files of an archive, elements within one another, and other counts of parts are bounded by this.
    pub parts: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { file_bytes: 256 << 20, unpacked_bytes: 1 << 30, text_bytes: 64 << 20, row_bytes: 16 << 20, nesting: 3, parts: 100_000 }
    }
}

/// What a user says about files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// How much is read.
    pub limits: Limits,
    /// The field of a row that is its text; names of objects within one another are joined by dots.
    pub text_field: Option<String>,
    /// The field of a row that is its title.
    pub title_field: Option<String>,
    /// The field of a row that is its id.
    pub id_field: Option<String>,
    /// A command that reads a picture of a page from standard input and writes its text to standard output, such as `tesseract - -`.
    pub ocr: Vec<String>,
    /// What elements of XML files are that no known format describes.
    pub xml_rules: Option<XmlRules>,
}

/// A file that is to be read.
pub struct Input<'a> {
    /// Its name, for the format where the content leaves it open, and for errors.
    pub name: &'a str,
    /// Its bytes.
    pub reader: Box<dyn Read + 'a>,
    /// How many archives it is in.
    pub(crate) depth: u32,
}

impl<'a> Input<'a> {
    /// A file and its name.
    pub fn new(name: &'a str, reader: impl Read + 'a) -> Self {
        Self { name, reader: Box::new(reader), depth: 0 }
    }

    /// The last extension of the name, in lower case; empty if it has none.
    pub fn extension(&self) -> String {
        Path::new(self.name).extension().map(|extension| extension.to_string_lossy().to_lowercase()).unwrap_or_default()
    }

    /// All bytes, within the limit of a file.
    ///
    /// # Errors
    /// [`Failure::TooLarge`], and if it cannot be read.
    pub fn whole(self, limits: &Limits) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        self.reader.take(limits.file_bytes + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limits.file_bytes {
            return Err(Failure::TooLarge {
                what: "bytes",
                limit: limits.file_bytes,
                name: "a file that is read as a whole",
                advice: "divide it into several files",
            });
        }
        Ok(bytes)
    }
}
