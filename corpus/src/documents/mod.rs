//! The documents of a corpus, one after the other.

mod ids;
mod names;

use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File};
use std::io::{self, Cursor, ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use self::ids::{Ids, Place};
use mempack_format::MAX_METADATA_FIELDS;

use crate::blocks::BOM;
use crate::fields;
use crate::folder::{FolderFiles, FolderItem, cannot_be_read, skipped};
use crate::formats::{self, Format, FormatItems, HEAD_BYTES, RawInput};
use crate::input::STANDARD_INPUT;
use crate::pipe::PipeReader;
use crate::{CorpusError, CorpusItem, CorpusNote, DuplicateIds, Input, OpenDocument, kinds};

/// Iterates over the documents of a corpus in the order of its inputs, and over notes where they come up. It ends after an error.
///
/// Ids are unique. A document without an id of its own is named after its file: the path below the folder if one folder is the whole
/// corpus, the folder's name and that path if there are several inputs, the base name for a file that is named itself.
///
/// Memory: one block of a text file or one line of a JSON file, the names in the folders above a file, and 28 to 56 bytes for each
/// document, by which an id is known that occurs again.
pub struct Documents {
    inputs: VecDeque<(Input, String)>,
    /// All inputs, to name a file by its number.
    all: Vec<Input>,
    stdin: Option<Box<dyn Read + Send>>,
    /// Ends a read that waits for a pipe.
    stop: Option<Arc<AtomicBool>>,
    /// The folder that is being read.
    folder: Option<FolderFiles>,
    /// What is left of the file that is being read.
    file: Option<FormatItems>,
    /// Number of files before that, and its name in errors.
    files: u32,
    path: String,
    ids: Ids,
    /// The names of the fields so far, if fields are read.
    fields: Option<BTreeSet<String>>,
    /// A note that comes before the next document.
    note: Option<CorpusNote>,
    failed: bool,
}

impl Documents {
    /// The documents of `inputs`. [`Input::Stdin`] reads `stdin`; named a second time, it has no documents. An id that occurs twice is
    /// an error.
    pub fn new(inputs: &[Input], stdin: impl Read + Send + 'static) -> Self {
        Self {
            inputs: inputs.iter().cloned().zip(names::prefixes(inputs)).collect(),
            all: inputs.to_vec(),
            stdin: Some(Box::new(stdin)),
            stop: None,
            folder: None,
            file: None,
            files: 0,
            path: String::new(),
            ids: Ids::new(DuplicateIds::Refuse),
            fields: None,
            note: None,
            failed: false,
        }
    }

    /// The same documents with another rule for ids that occur twice.
    pub fn with_duplicate_ids(self, rule: DuplicateIds) -> Self {
        Self { ids: Ids::new(rule), ..self }
    }

    /// The same documents with their fields beside those of the record. Fields that a pack has no room for are an error.
    pub fn with_fields(self) -> Self {
        Self { fields: Some(BTreeSet::new()), ..self }
    }

    /// The same documents, read until `stop` is true: a read that waits for standard input or a named pipe then fails. Such inputs are
    /// read in a thread of their own.
    pub fn stopped_by(self, stop: Arc<AtomicBool>) -> Self {
        Self { stop: Some(stop), ..self }
    }

    fn next_item(&mut self) -> Result<Option<CorpusItem>, CorpusError> {
        loop {
            if let Some(note) = self.note.take() {
                return Ok(Some(CorpusItem::Note(note)));
            }
            if let Some(item) = self.file.as_mut().and_then(Iterator::next) {
                return Ok(Some(match item? {
                    CorpusItem::Document(document) => {
                        self.count_fields(&document)?;
                        CorpusItem::Document(self.identify(document)?)
                    }
                    note => note,
                }));
            }
            self.file = None;
            if let Some(folder) = &mut self.folder {
                match folder.next_item() {
                    Some(FolderItem::File(file)) => match File::open(&file.path) {
                        Ok(open) => self.open_file(&file.path, file.name, Some(file.format), Box::new(open))?,
                        Err(error) => self.note = Some(skipped(&file.path, cannot_be_read(error))),
                    },
                    Some(FolderItem::Note(note)) => self.note = Some(note),
                    None => self.folder = None,
                }
                continue;
            }
            match self.inputs.pop_front() {
                None => return Ok(self.ids.note().map(CorpusItem::Note)),
                Some((Input::Path(path), prefix)) => self.open_path(&path, prefix)?,
                Some((Input::Stdin, _)) => {
                    if let Some(stdin) = self.stdin.take() {
                        let stdin = self.open_pipe(STANDARD_INPUT, move || Ok(stdin))?;
                        self.open_file(Path::new(STANDARD_INPUT), STANDARD_INPUT.into(), None, stdin)?;
                    }
                }
            }
        }
    }

    /// The document with the id that it has in a pack.
    fn identify(&mut self, document: OpenDocument) -> Result<OpenDocument, CorpusError> {
        let line = document.line();
        let place = Place { file: self.files - 1, line: u32::try_from(line.unwrap_or(0)).unwrap_or(u32::MAX) };
        match self.ids.take(&document.metadata().id, place) {
            Ok(None) => Ok(document),
            Ok(Some(id)) => Ok(document.with_id(id)),
            Err(first) => Err(CorpusError::DuplicateId {
                id: document.metadata().id.clone(),
                first: shown(&self.file_name(first.file), first.line),
                second: shown(&self.path, place.line),
            }),
        }
    }

    /// Counts the fields of a document.
    fn count_fields(&mut self, document: &OpenDocument) -> Result<(), CorpusError> {
        let Some(names) = &mut self.fields else { return Ok(()) };
        for field in document.fields() {
            if !names.contains(&field.name) {
                if names.len() as u64 == MAX_METADATA_FIELDS {
                    let line = u32::try_from(document.line().unwrap_or(0)).unwrap_or(u32::MAX);
                    return Err(fields::too_many(&field.name, shown(&self.path, line)));
                }
                names.insert(field.name.clone());
            }
        }
        Ok(())
    }

    /// The path of the file with a number, found by listing the files again.
    fn file_name(&self, number: u32) -> String {
        if number + 1 == self.files {
            return self.path.clone();
        }
        let mut left = number;
        for input in &self.all {
            let Input::Path(path) = input else {
                if left == 0 {
                    return STANDARD_INPUT.into();
                }
                left -= 1;
                continue;
            };
            let Ok(mut folder) = FolderFiles::open(path, String::new()) else {
                if left == 0 {
                    return path.display().to_string();
                }
                left -= 1;
                continue;
            };
            while let Some(item) = folder.next_item() {
                let FolderItem::File(file) = item else { continue };
                if File::open(&file.path).is_err() {
                    continue;
                }
                if left == 0 {
                    return file.path.display().to_string();
                }
                left -= 1;
            }
        }
        "an earlier file".into()
    }

    fn open_path(&mut self, path: &Path, prefix: String) -> Result<(), CorpusError> {
        let shown = || path.display().to_string();
        let failed = |source: io::Error| match source.kind() {
            ErrorKind::NotFound if fs::symlink_metadata(path).is_ok() => CorpusError::DanglingLink { path: shown() },
            ErrorKind::NotFound => CorpusError::Missing { path: shown() },
            _ => CorpusError::Read { path: shown(), source },
        };
        let data = fs::metadata(path).map_err(failed)?;
        if data.is_dir() {
            self.folder = Some(FolderFiles::open(path, prefix)?);
            return Ok(());
        }
        let format = formats::by_extension(path);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !data.is_file() {
            let pipe = path.to_path_buf();
            let reader = self.open_pipe(&shown(), move || File::open(pipe))?;
            return self.open_file(path, name, format, reader);
        }
        let mut file = File::open(path).map_err(failed)?;
        if format.is_none() {
            let mut head = Vec::new();
            file.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head).map_err(failed)?;
            return Err(kinds::unknown_extension(&shown(), &head, &formats::extensions()));
        }
        self.open_file(path, name, format, Box::new(file))
    }

    /// A reader of what `open` opens, which may wait for data.
    fn open_pipe<R: Read + 'static>(
        &self,
        path: &str,
        open: impl FnOnce() -> io::Result<R> + Send + 'static,
    ) -> Result<Box<dyn Read>, CorpusError> {
        let opened: io::Result<Box<dyn Read>> = match &self.stop {
            Some(stop) => PipeReader::new(open, Arc::clone(stop)).map(|reader| Box::new(reader) as Box<dyn Read>),
            None => open().map(|reader| Box::new(reader) as Box<dyn Read>),
        };
        opened.map_err(|source| CorpusError::Read { path: path.to_owned(), source })
    }

    /// Begins to read a file, or a stream whose format follows from its content.
    fn open_file(
        &mut self,
        path: &Path,
        name: String,
        format: Option<&'static dyn Format>,
        mut reader: Box<dyn Read>,
    ) -> Result<(), CorpusError> {
        self.path = path.display().to_string();
        self.files = self.files.saturating_add(1);
        let head = read_head(&mut reader).map_err(|source| CorpusError::Read { path: self.path.clone(), source })?;
        kinds::check(&self.path, &head)?;
        if kinds::is_html(&head) {
            let what = "HTML, whose tags become part of the text; a plain text reads better, for example from pandoc -f html -t plain";
            self.note = Some(CorpusNote::LooksLike { path: self.path.clone(), what });
        }
        let title = match format {
            Some(_) => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            None => String::new(),
        };
        let format = format.unwrap_or_else(|| formats::by_content(&head));
        // The head is read again, so that lines and offsets stay those of the file.
        let reader = Box::new(Cursor::new(head).chain(reader));
        self.file = Some(format.open(RawInput { path: self.path.clone(), name, title, fields: self.fields.is_some(), reader })?);
        Ok(())
    }
}

/// A place in a corpus; line 0 is none.
fn shown(path: &str, line: u32) -> String {
    if line == 0 { path.to_owned() } else { format!("{path}, line {line}") }
}

impl Iterator for Documents {
    type Item = Result<CorpusItem, CorpusError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let item = self.next_item();
        self.failed = item.is_err();
        item.transpose()
    }
}

/// The first bytes of a stream, up to one that is neither white space nor part of a byte order mark.
fn read_head(reader: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let blank = if head.starts_with(BOM) { BOM.len() } else { 0 };
        let is_blank = head[blank..].iter().all(u8::is_ascii_whitespace) || BOM.starts_with(&head);
        if !is_blank || head.len() >= HEAD_BYTES {
            return Ok(head);
        }
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(head),
            Ok(read) => head.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
