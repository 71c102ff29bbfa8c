//! A document of a corpus: its metadata, and its text in blocks.

use std::fmt;

use mempack_extract::Marks;
use mempack_format::Document;

use crate::CorpusError;
use crate::blocks::Blocks;
use crate::fields::DocumentField;
use crate::formats::MAX_LINE_BYTES;

/// What a corpus consists of.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "items come one at a time, and almost all are documents")]
pub enum CorpusItem {
    /// The next document.
    Document(OpenDocument),
    /// A remark for the user.
    Note(CorpusNote),
}

/// A remark of the reader that is no error.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CorpusNote {
    /// A folder has files of unknown kinds, which are skipped.
    FilesIgnored {
        /// The folder that the user named.
        folder: String,
        /// How many files in it and in the folders below it.
        files: u64,
        /// Kinds of these files, such as `.pdf`, with how many there are, the most frequent first.
        kinds: Vec<(String, u64)>,
        /// The paths of the first of them, from the folder on.
        examples: Vec<String>,
    },
    /// A file of a folder cannot be read, and is skipped.
    Skipped {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// A file is read, and there is something to know of it.
    Remark {
        /// The file.
        path: String,
        /// What, as the end of a sentence that the file begins.
        remark: String,
    },
    /// Documents with ids of earlier documents got ids of their own.
    IdsNumbered {
        /// How many.
        documents: u64,
        /// The first of these ids, with its number.
        example: String,
    },
}

impl fmt::Display for CorpusNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FilesIgnored { folder, files, kinds, examples } => {
                let s = if *files == 1 { "" } else { "s" };
                write!(f, "{folder}: {files} file{s} ignored of kinds that are not read: ")?;
                let listed: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
                let more = if (examples.len() as u64) < *files { ", ..." } else { "" };
                write!(f, "{} ({}{more})", listed.join(", "), examples.join(", "))
            }
            Self::Skipped { path, reason } => write!(f, "{path}: skipped, because it {reason}"),
            Self::Remark { path, remark } => write!(f, "{path} {remark}"),
            Self::IdsNumbered { documents, example } => {
                write!(f, "{documents} documents have ids of earlier documents, and were given numbers, such as {example}")
            }
        }
    }
}

/// Finds the title of a document in its text.
pub(crate) type FindTitle = fn(&str) -> Option<String>;

/// A document whose text has not been read yet: [`Segmenter::cut`](crate::Segmenter::cut) cuts it into passages,
/// [`read_text`](Self::read_text) reads the whole of it.
pub struct OpenDocument {
    metadata: Document,
    /// Finds a better title than that of the metadata in the first block with words.
    find_title: Option<FindTitle>,
    blocks: Blocks,
    fields: Vec<DocumentField>,
    /// The line of its file, for a document that is a line.
    line: Option<u64>,
    /// The places in its text.
    marks: Marks,
}

impl OpenDocument {
    pub(crate) fn new(metadata: Document, blocks: Blocks) -> Self {
        Self { metadata, find_title: None, blocks, fields: Vec::new(), line: None, marks: Marks::default() }
    }

    /// The document is a line of its file, counted from 1.
    pub(crate) fn at_line(self, line: u64) -> Self {
        Self { line: Some(line), ..self }
    }

    /// The same document with fields beside those of its record.
    pub(crate) fn with_fields(self, fields: Vec<DocumentField>) -> Self {
        Self { fields, ..self }
    }

    /// The line of its file that the document is.
    pub(crate) fn line(&self) -> Option<u64> {
        self.line
    }

    /// The same document with places in its text.
    pub(crate) fn with_marks(self, marks: Marks) -> Self {
        Self { marks, ..self }
    }

    /// The same document with another id.
    pub(crate) fn with_id(mut self, id: String) -> Self {
        self.metadata.id = id;
        self
    }

    /// Also looks for the title in the text.
    pub(crate) fn with_title_from(self, find_title: FindTitle) -> Self {
        Self { find_title: Some(find_title), ..self }
    }

    /// The metadata before any text is read. A title in the text, such as the first heading of a Markdown file, is not in
    /// it yet.
    pub fn metadata(&self) -> &Document {
        &self.metadata
    }

    /// The fields beside those of its record, if they are read: see [`Documents::with_fields`](crate::Documents::with_fields).
    pub fn fields(&self) -> &[DocumentField] {
        &self.fields
    }

    /// The places in its text: pages, articles, rows, seconds.
    pub fn marks(&self) -> &Marks {
        &self.marks
    }

    /// The metadata, the other fields, the places, what finds the title, and the blocks.
    pub(crate) fn into_parts(self) -> (Document, Vec<DocumentField>, Marks, Option<FindTitle>, Blocks) {
        (self.metadata, self.fields, self.marks, self.find_title, self.blocks)
    }

    /// Reads the text to its end, to see whether it can be read.
    pub(crate) fn check(mut self) -> Result<(), CorpusError> {
        self.blocks.try_for_each(|block| block.map(drop))
    }

    /// Reads the whole text. Returns the metadata, with the title found in the text, and the text; `None` if it has no words.
    ///
    /// # Errors
    /// If the text cannot be read, is not UTF-8, or has more than [`MAX_LINE_BYTES`] bytes.
    pub fn read_text(self) -> Result<Option<(Document, String)>, CorpusError> {
        let Self { mut metadata, find_title, blocks, .. } = self;
        let mut text = String::new();
        for block in blocks {
            let block = block?;
            if text.len() + block.text.len() > MAX_LINE_BYTES {
                return Err(CorpusError::DocumentTooLong { id: metadata.id, cap: MAX_LINE_BYTES });
            }
            text.push_str(&block.shown(0..block.text.len()));
        }
        if !has_words(&text) {
            return Ok(None);
        }
        set_title(&mut metadata, find_title, &text);
        Ok(Some((metadata, text)))
    }
}

impl fmt::Debug for OpenDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenDocument").field("metadata", &self.metadata).finish_non_exhaustive()
    }
}

/// Whether a text has something to read: a letter or a digit of any script.
pub(crate) fn has_words(text: &str) -> bool {
    text.contains(char::is_alphanumeric)
}

/// Replaces the title by the one that `find_title` finds in `text`.
pub(crate) fn set_title(metadata: &mut Document, find_title: Option<FindTitle>, text: &str) {
    if let Some(title) = find_title.and_then(|find| find(text)) {
        metadata.title = title;
    }
}
