//! The documents of a corpus, one after the other.

mod ids;
mod names;

use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File};
use std::io::{self, Cursor, ErrorKind, Read, Seek as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use self::ids::{Ids, Place};
use mempack_format::MAX_METADATA_FIELDS;
use tempfile::NamedTempFile;

use crate::blocks::BOM;
use crate::extraction::Extractor;
use crate::fields;
use crate::folder::{FolderFiles, FolderItem, cannot_be_read, skipped};
use crate::formats::{self, FormatItems, HEAD_BYTES, RawInput, Reads};
use crate::input::STANDARD_INPUT;
use crate::pipe::PipeReader;
use crate::{CorpusError, CorpusItem, CorpusNote, DuplicateIds, Extraction, Input, OpenDocument, kinds};

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
    /// Reads what is no plain text.
    extractor: Extractor,
    /// Whether a file of a folder that cannot be read is an error.
    strict: bool,
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
            extractor: Extractor::new(Extraction::default()),
            strict: false,
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

    /// The same documents, where files that are no plain text are read so.
    pub fn with_extraction(self, extraction: Extraction) -> Self {
        Self { extractor: Extractor::new(extraction), ..self }
    }

    /// The same documents, where a file of a folder that cannot be read is an error. Without it the file is skipped, with a note.
    pub fn strict(self, strict: bool) -> Self {
        Self { strict, ..self }
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
                        Ok(open) => self.open_one_of_many(&file.path, file.name, open)?,
                        Err(error) => self.skip(skipped(&file.path, cannot_be_read(error)))?,
                    },
                    Some(FolderItem::Note(note @ CorpusNote::Skipped { .. })) => self.skip(note)?,
                    Some(FolderItem::Note(note)) => self.note = Some(note),
                    None => self.folder = None,
                }
                continue;
            }
            match self.inputs.pop_front() {
                None => return Ok(self.extractor.rules_note().or_else(|| self.ids.note()).map(CorpusItem::Note)),
                Some((Input::Path(path), prefix)) => self.open_path(&path, prefix)?,
                Some((Input::Stdin, _)) => {
                    if let Some(stdin) = self.stdin.take() {
                        let stdin = self.open_pipe(STANDARD_INPUT, move || Ok(stdin))?;
                        self.open_stream(Path::new(STANDARD_INPUT), STANDARD_INPUT.into(), stdin)?;
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
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !data.is_file() {
            let pipe = path.to_path_buf();
            let reader = self.open_pipe(&shown(), move || File::open(pipe))?;
            return self.open_stream(path, name, reader);
        }
        let file = File::open(path).map_err(failed)?;
        self.begin(path);
        self.file = Some(self.items(path, name, file)?);
        Ok(())
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

    /// Begins to read a file.
    fn begin(&mut self, path: &Path) {
        self.path = path.display().to_string();
        self.files = self.files.saturating_add(1);
    }

    /// Begins to read a file of a folder. One that cannot be read is skipped, as a whole.
    fn open_one_of_many(&mut self, path: &Path, name: String, file: File) -> Result<(), CorpusError> {
        self.begin(path);
        match self.whole(path, name, file) {
            Ok(items) => self.file = Some(items),
            Err(CorpusError::Unreadable { path, reason }) => self.skip(CorpusNote::Skipped { path, reason })?,
            Err(error) if self.strict => return Err(error),
            Err(error) => self.skip(CorpusNote::Skipped { path: self.path.clone(), reason: format!("cannot be read: {error}") })?,
        }
        Ok(())
    }

    /// The documents of a file, after it was read to its end once. Text is read again, as a file of any size fits into no memory.
    fn whole(&mut self, path: &Path, name: String, file: File) -> Result<FormatItems, CorpusError> {
        let again = file.try_clone().map_err(|source| CorpusError::Read { path: self.path.clone(), source })?;
        let (reads, items) = self.reads(path, name.clone(), file)?;
        match reads {
            Reads::Extract | Reads::Encoded(_) => Ok(items),
            Reads::Text(_) => {
                for item in items {
                    if let CorpusItem::Document(document) = item? {
                        document.check()?;
                    }
                }
                (&again).rewind().map_err(|source| CorpusError::Read { path: self.path.clone(), source })?;
                self.items(path, name, again)
            }
        }
    }

    fn items(&mut self, path: &Path, name: String, file: File) -> Result<FormatItems, CorpusError> {
        Ok(self.reads(path, name, file)?.1)
    }

    /// What reads a file, and its documents.
    fn reads(&mut self, path: &Path, name: String, mut file: File) -> Result<(Reads, FormatItems), CorpusError> {
        let mut head = Vec::new();
        let read = file.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head);
        read.map_err(|source| CorpusError::Read { path: self.path.clone(), source })?;
        let Some(reads) = formats::by_content(&head).or_else(|| formats::by_extension(path)) else {
            return Err(kinds::unknown_extension(&self.path, &head));
        };
        let reads = self.decoded(reads, &head)?;
        let title = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok((reads, self.open(reads, path, name, title, head, Box::new(file))?))
    }

    /// Begins to read a stream, whose format follows from its content, or from the extension of its name if it has one.
    fn open_stream(&mut self, path: &Path, name: String, mut reader: Box<dyn Read>) -> Result<(), CorpusError> {
        self.begin(path);
        let head = read_head(&mut reader).map_err(|source| CorpusError::Read { path: self.path.clone(), source })?;
        let known = formats::by_extension(path);
        let reads = formats::by_content(&head).or(known).unwrap_or_else(|| formats::of_stream(&head));
        let reads = self.decoded(reads, &head)?;
        let title = known.map_or_else(String::new, |_| path.file_stem().unwrap_or_default().to_string_lossy().into_owned());
        if let Reads::Text(_) = reads {
            self.file = Some(self.open(reads, path, name, title, head, reader)?);
            return Ok(());
        }
        // A worker reads files, and some formats begin at their end.
        let failed = |source| CorpusError::Read { path: path.display().to_string(), source };
        let mut copy = NamedTempFile::new().map_err(failed)?;
        io::copy(&mut Cursor::new(&head).chain(reader), &mut copy).map_err(failed)?;
        let file = copy.reopen().map_err(failed)?;
        self.file = Some(self.open(reads, copy.path(), name, title, Vec::new(), Box::new(file))?);
        Ok(())
    }

    /// What reads a text, by its first bytes: one in another encoding than UTF-8 is decoded first; damaged UTF-8 is refused where it is read.
    fn decoded(&self, reads: Reads, head: &[u8]) -> Result<Reads, CorpusError> {
        match reads {
            // This format knows one name for the text.
            Reads::Text(format) if format.has_rows() && (self.extractor.names_fields() || !has_text_field(head)) => Ok(Reads::Extract),
            Reads::Text(format) if kinds::is_other_encoding(head) => Ok(Reads::Encoded(format)),
            Reads::Text(_) => kinds::check(&self.path, head).map(|()| reads),
            _ => Ok(reads),
        }
    }

    /// The documents of a file whose first bytes were read.
    fn open(
        &mut self,
        reads: Reads,
        path: &Path,
        name: String,
        title: String,
        head: Vec<u8>,
        reader: Box<dyn Read>,
    ) -> Result<FormatItems, CorpusError> {
        // The head is read again, so that lines and offsets stay those of the file.
        let reader = Box::new(Cursor::new(head).chain(reader));
        let input = RawInput { path: self.path.clone(), name, title, fields: self.fields.is_some(), reader };
        match reads {
            Reads::Text(format) => format.open(input),
            Reads::Encoded(format) => Ok(Box::new(self.extractor.read(path, input, Some(format), self.stop.as_ref())?)),
            Reads::Extract => Ok(Box::new(self.extractor.read(path, input, None, self.stop.as_ref())?)),
        }
    }

    /// Notes a file that is skipped, or refuses it.
    fn skip(&mut self, note: CorpusNote) -> Result<(), CorpusError> {
        match note {
            CorpusNote::Skipped { path, reason } if self.strict => Err(CorpusError::Unreadable { path, reason }),
            note => {
                self.note = Some(note);
                Ok(())
            }
        }
    }
}

/// Whether the first row of a file that begins with these bytes has the field `text`, or may have it: of a stream, less may be known than a row.
fn has_text_field(head: &[u8]) -> bool {
    const FIELD: &[u8] = b"\"text\"";
    let mut lines = head.strip_prefix(BOM).unwrap_or(head).split_inclusive(|byte| *byte == b'\n');
    let first = lines.find(|line| !line.trim_ascii().is_empty()).unwrap_or_default();
    !first.ends_with(b"\n") || first.windows(FIELD.len()).any(|window| window == FIELD)
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
