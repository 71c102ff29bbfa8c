//! Documents of files that are no plain text, read by `mempack-extract`.
//!
//! What comes of a file is spooled before it counts, so that a file that fails halfway leaves nothing behind. A [`Worker`] reads files in a process of its own, which is
//! ended if a file takes too long or too much memory; without one they are read here.

mod messages;
mod rules;
mod worker;

use std::cell::RefCell;
use std::io::{self, Seek as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use mempack_extract::{Extracted, Note, Options, Value};
use mempack_format::Document;
use tempfile::SpooledTempFile;

use self::messages::{Message, Messages};
use self::rules::RulesUse;
use self::worker::Worker;
use crate::blocks::Blocks;
use crate::fields::{self, DocumentField, FieldValue};
use crate::formats::{self, Format, FormatItems, RawInput};
use crate::{CorpusError, CorpusItem, CorpusNote, OpenDocument};

pub use self::worker::{WorkerCommand, read_files};

/// Bytes of a file's documents that are kept in memory; more are in a temporary file.
const IN_MEMORY: usize = 8 << 20;

/// How files that are no plain text are read.
#[derive(Clone, Debug, Default)]
pub struct Extraction {
    /// What the user says about files, and their limits.
    pub options: Options,
    /// The command that reads them in a process of its own; none reads them in this process, where a file may take any time.
    pub worker: Option<WorkerCommand>,
}

/// Reads files, one after the other.
pub(crate) struct Extractor {
    extraction: Extraction,
    worker: Option<Worker>,
    /// Which XML rules matched; `None` once this has been reported.
    rules: Option<Rc<RefCell<RulesUse>>>,
}

impl Extractor {
    pub fn new(extraction: Extraction) -> Self {
        let rules = extraction.options.xml_rules.as_ref().map(|_| Rc::default());
        Self { extraction, worker: None, rules }
    }

    /// What a user is to know of the rules for XML after the last file; once.
    pub fn rules_note(&mut self) -> Option<CorpusNote> {
        let (used, rules) = (self.rules.take()?, self.extraction.options.xml_rules.as_ref()?);
        used.borrow().note(rules)
    }

    /// Whether the user names the fields of rows.
    pub fn names_fields(&self) -> bool {
        let Options { text_field, title_field, id_field, .. } = &self.extraction.options;
        [text_field, title_field, id_field].iter().any(|field| field.is_some())
    }

    /// The documents of a file, after the whole of it is read. `text` is its format if it is a text in another encoding than UTF-8.
    ///
    /// # Errors
    /// [`CorpusError::Unreadable`] if it cannot be read.
    pub fn read(
        &mut self,
        path: &Path,
        input: RawInput,
        text: Option<&'static dyn Format>,
        stop: Option<&Arc<AtomicBool>>,
    ) -> Result<Items, CorpusError> {
        let unreadable = |reason: String| CorpusError::Unreadable { path: input.path.clone(), reason };
        let mut spool = SpooledTempFile::new(IN_MEMORY);
        let encoded = text.and_then(|format| format.extensions().first()).map(|extension| format!("text.{extension}"));
        let file_name = encoded.as_deref().unwrap_or_else(|| input.name.rsplit('/').next().unwrap_or_default());
        let failure = match &self.extraction.worker {
            Some(command) => {
                let worker = match self.worker.take() {
                    Some(worker) => worker,
                    None => {
                        Worker::start(command).map_err(|error| unreadable(format!("needs {command}, which does not start: {error}")))?
                    }
                };
                let (worker, failure) = worker.read(path, file_name, &self.extraction.options, &mut spool, stop);
                self.worker = worker;
                failure
            }
            None => {
                let read = || messages::write(&mut spool, file_name, input.reader, &self.extraction.options);
                // A parser of others may panic; what it had is dropped.
                match catch_unwind(AssertUnwindSafe(read)) {
                    Ok(Ok(failure)) => failure,
                    Ok(Err(error)) => Some(spool_failure(&error)),
                    Err(_) => {
                        Some("is damaged in a way that its reader does not handle; save it anew with the program that made it".into())
                    }
                }
            }
        };
        if let Some(reason) = failure {
            return Err(CorpusError::Unreadable { path: input.path, reason });
        }
        let rewound = spool.flush().and_then(|()| spool.rewind());
        rewound.map_err(|error| unreadable(spool_failure(&error)))?;
        Ok(Items {
            messages: Messages::new(spool),
            path: input.path,
            name: input.name,
            title: input.title,
            fields: input.fields,
            text,
            inner: None,
            rules: self.rules.clone(),
        })
    }
}

fn spool_failure(error: &io::Error) -> String {
    format!("has documents that cannot be kept in a temporary file: {error}; TMPDIR names another folder for it")
}

/// The documents and notes of a file that was read.
pub(crate) struct Items {
    messages: Messages<SpooledTempFile>,
    path: String,
    name: String,
    title: String,
    fields: bool,
    text: Option<&'static dyn Format>,
    /// What is left of a text that a format of plain text reads.
    inner: Option<FormatItems>,
    /// Takes what of the rules for XML was matched.
    rules: Option<Rc<RefCell<RulesUse>>>,
}

impl Items {
    fn next_item(&mut self) -> Result<Option<CorpusItem>, CorpusError> {
        loop {
            if let Some(item) = self.inner.as_mut().and_then(Iterator::next) {
                return item.map(Some);
            }
            let failed = |source| CorpusError::Read { path: self.path.clone(), source };
            match self.messages.next().transpose().map_err(failed)? {
                None => return Ok(None),
                Some(Message::End(_)) => {}
                // One file need not have all that rules are for.
                Some(Message::Note(Note::XmlRules { unmatched })) => {
                    if let Some(rules) = &self.rules {
                        rules.borrow_mut().add(unmatched);
                    }
                }
                Some(Message::Note(note)) => return Ok(Some(CorpusItem::Note(self.note(&note)))),
                Some(Message::Document(document)) => match self.plain(&document) {
                    Some(format) => self.inner = Some(self.open(format, *document)?),
                    None => return Ok(Some(CorpusItem::Document(self.document(*document)?))),
                },
            }
        }
    }

    fn note(&self, note: &Note) -> CorpusNote {
        CorpusNote::Remark { path: self.path.clone(), remark: note.to_string() }
    }

    /// The format of plain text that a document has, which finds its title and what is no text in it.
    fn plain(&self, document: &Extracted) -> Option<&'static dyn Format> {
        let name = if document.name.is_empty() { &self.name } else { &document.name };
        (document.row.is_none() && document.title.is_none() && document.marks.is_empty())
            .then(|| self.text.or_else(|| formats::of_text(name)))
            .flatten()
    }

    fn open(&self, format: &'static dyn Format, document: Extracted) -> Result<FormatItems, CorpusError> {
        let Extracted { name, text, .. } = document;
        format.open(RawInput {
            path: self.path.clone(),
            title: if name.is_empty() { self.title.clone() } else { stem(&name) },
            name: self.part(&name),
            fields: self.fields,
            reader: Box::new(io::Cursor::new(text.into_bytes())),
        })
    }

    /// What a document of the file is named after.
    fn part(&self, name: &str) -> String {
        if name.is_empty() { self.name.clone() } else { format!("{}/{name}", self.name) }
    }

    /// The document with the metadata of a pack.
    fn document(&self, extracted: Extracted) -> Result<OpenDocument, CorpusError> {
        let Extracted { name, row, id, source, title, date, version, license, fields, text, marks } = extracted;
        let part = self.part(&name);
        let numbered = || row.map_or_else(|| part.clone(), |row| format!("{part}:{row}"));
        let metadata = Document {
            id: id.unwrap_or_else(numbered),
            // A row without a title has none: that of its file would stand before every row.
            title: title.unwrap_or_else(|| match (row, name.is_empty()) {
                (Some(_), _) => String::new(),
                (None, true) => self.title.clone(),
                (None, false) => stem(&name),
            }),
            license: license.unwrap_or_default(),
            source: source.unwrap_or_else(|| part.clone()),
            version: version.unwrap_or_default(),
            date: date.unwrap_or_default(),
        };
        let others = if self.fields { document_fields(fields) } else { Vec::new() };
        fields::check(&others, numbered)?;
        let blocks = Blocks::new(io::Cursor::new(text.into_bytes()), self.path.clone());
        let document = OpenDocument::new(metadata, blocks).with_fields(others).with_marks(marks);
        Ok(match row {
            Some(row) => document.at_line(row),
            None => document,
        })
    }
}

impl Iterator for Items {
    type Item = Result<CorpusItem, CorpusError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_item().transpose()
    }
}

/// The name of a file without folders and extension.
fn stem(name: &str) -> String {
    Path::new(name).file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Fields as packs have them. A name that occurs again is a list.
fn document_fields(extracted: Vec<(String, Value)>) -> Vec<DocumentField> {
    let mut fields: Vec<DocumentField> = Vec::new();
    for (name, value) in extracted {
        let value = match value {
            Value::Text(text) => FieldValue::string(text),
            Value::Number(text) => FieldValue::plain(&text).unwrap_or_else(|| FieldValue::string(text)),
            Value::Boolean(value) => FieldValue::boolean(value),
            Value::Json(json) => FieldValue::nested(&json),
        };
        match fields.iter_mut().find(|field| field.name == name) {
            Some(field) => {
                field.list = true;
                field.values.push(value);
            }
            None => fields.push(DocumentField { name, list: false, values: vec![value] }),
        }
    }
    fields
}

#[cfg(test)]
mod tests;
