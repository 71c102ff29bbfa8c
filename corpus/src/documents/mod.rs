//! The documents of a corpus, one after the other.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Cursor, ErrorKind, Read};
use std::path::Path;

use crate::blocks::BOM;
use crate::folder::FolderFiles;
use crate::formats::{self, Format, FormatItems, HEAD_BYTES, RawInput};
use crate::input::STANDARD_INPUT;
use crate::{CorpusError, CorpusItem, Input};

/// Iterates over the documents of a corpus in the order of its inputs, and over notes where they come up. It ends after an error.
///
/// Memory: one block of a text file or one line of a JSON file, and the names in the folders above a file.
pub struct Documents {
    inputs: VecDeque<Input>,
    stdin: Option<Box<dyn Read>>,
    /// The folder that is being read.
    folder: Option<FolderFiles>,
    /// What is left of the file that is being read.
    file: Option<FormatItems>,
    failed: bool,
}

impl Documents {
    /// The documents of `inputs`. [`Input::Stdin`] reads `stdin`; named a second time, it is empty.
    pub fn new(inputs: &[Input], stdin: impl Read + 'static) -> Self {
        let inputs = inputs.iter().cloned().collect();
        Self { inputs, stdin: Some(Box::new(stdin)), folder: None, file: None, failed: false }
    }

    fn next_item(&mut self) -> Result<Option<CorpusItem>, CorpusError> {
        loop {
            if let Some(item) = self.file.as_mut().and_then(Iterator::next) {
                return item.map(Some);
            }
            self.file = None;
            if let Some(folder) = &mut self.folder {
                if let Some(file) = folder.next_file()? {
                    self.file = Some(open_file(&file.path, file.name, file.format)?);
                    continue;
                }
                let note = folder.note();
                self.folder = None;
                if let Some(note) = note {
                    return Ok(Some(CorpusItem::Note(note)));
                }
            }
            match self.inputs.pop_front() {
                None => return Ok(None),
                Some(Input::Path(path)) => self.open_path(&path)?,
                Some(Input::Stdin) => {
                    self.file = Some(open_stream(self.stdin.take().unwrap_or_else(|| Box::new(io::empty())), STANDARD_INPUT)?);
                }
            }
        }
    }

    fn open_path(&mut self, path: &Path) -> Result<(), CorpusError> {
        let shown = || path.display().to_string();
        let data = fs::metadata(path).map_err(|source| match source.kind() {
            ErrorKind::NotFound => CorpusError::Missing { path: shown() },
            _ => CorpusError::Read { path: shown(), source },
        })?;
        if data.is_dir() {
            self.folder = Some(FolderFiles::open(path)?);
            return Ok(());
        }
        let Some(format) = formats::by_extension(path) else {
            return Err(CorpusError::UnknownKind { path: shown(), expected: formats::extensions() });
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.file = Some(open_file(path, name, format)?);
        Ok(())
    }
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

fn open_file(path: &Path, name: String, format: &dyn Format) -> Result<FormatItems, CorpusError> {
    let shown = path.display().to_string();
    let file = File::open(path).map_err(|source| CorpusError::Read { path: shown.clone(), source })?;
    let title = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    format.open(RawInput { path: shown, name, title, reader: Box::new(file) })
}

/// Opens a stream, whose format follows from its content.
fn open_stream(mut reader: Box<dyn Read>, name: &str) -> Result<FormatItems, CorpusError> {
    let head = read_head(&mut reader).map_err(|source| CorpusError::Read { path: name.to_owned(), source })?;
    let format = formats::by_content(&head);
    // The head is read again, so that lines and offsets stay those of the stream.
    let reader = Box::new(Cursor::new(head).chain(reader));
    format.open(RawInput { path: name.to_owned(), name: name.to_owned(), title: String::new(), reader })
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
