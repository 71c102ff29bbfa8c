//! The files of a folder and of the folders below it.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File, FileType};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::vec::IntoIter;

use crate::formats::{HEAD_BYTES, by_content, by_extension};
use crate::{CorpusError, CorpusNote};

/// Names of ignored files that a note gives.
const EXAMPLES: usize = 3;
/// Kinds of ignored files that are counted apart; a note names as many.
const KINDS: usize = 6;

/// A file of a known format.
pub(crate) struct FoundFile {
    pub path: PathBuf,
    /// What it is named after: its path from the folder that the user named.
    pub name: String,
}

/// What comes out of a folder.
pub(crate) enum FolderItem {
    File(FoundFile),
    Note(CorpusNote),
}

/// Iterates over the files of known formats in a folder and the folders below it, in the order of the bytes of their names. Skips
/// hidden files and folders, and links to folders; what cannot be read is skipped with a note.
///
/// Memory: the names in the folders above the file.
pub(crate) struct FolderFiles {
    root: String,
    /// The folders that are being read, the innermost last.
    open: Vec<Folder>,
    ignored: u64,
    kinds: HashMap<String, u64>,
    examples: Vec<String>,
}

struct Folder {
    path: PathBuf,
    /// What stands before the names of its files.
    name: String,
    files: IntoIter<OsString>,
}

impl FolderFiles {
    /// The files below `path`, whose names begin with `prefix`.
    ///
    /// # Errors
    /// If the folder itself cannot be read.
    pub fn open(path: &Path, prefix: String) -> Result<Self, CorpusError> {
        let shown = path.display().to_string();
        let files = list(path).map_err(|source| CorpusError::Read { path: shown.clone(), source })?;
        let folder = Folder { path: path.to_owned(), name: prefix, files };
        Ok(Self { root: shown, open: vec![folder], ignored: 0, kinds: HashMap::new(), examples: Vec::new() })
    }

    /// A note on the files that were skipped because their format is not known.
    fn note(&mut self) -> Option<CorpusNote> {
        let mut kinds: Vec<(String, u64)> = std::mem::take(&mut self.kinds).into_iter().collect();
        kinds.sort_unstable_by(|(a, most), (b, count)| count.cmp(most).then_with(|| a.cmp(b)));
        let files = std::mem::take(&mut self.ignored);
        let (folder, examples) = (self.root.clone(), std::mem::take(&mut self.examples));
        (files > 0).then_some(CorpusNote::FilesIgnored { folder, files, kinds, examples })
    }

    /// The next file, or note; the last one is on what was ignored.
    pub fn next_item(&mut self) -> Option<FolderItem> {
        while let Some(folder) = self.open.last_mut() {
            let Some(file) = folder.files.next() else {
                self.open.pop();
                continue;
            };
            let (path, file) = (folder.path.join(&file), file.to_string_lossy());
            if file.starts_with('.') {
                continue;
            }
            let name = format!("{}{file}", folder.name);
            match self.look(&path, name) {
                Ok(Some(file)) => return Some(FolderItem::File(file)),
                Ok(None) => {}
                Err(reason) => return Some(FolderItem::Note(skipped(&path, reason))),
            }
        }
        self.note().map(FolderItem::Note)
    }

    /// Enters a folder, counts a file of an unknown kind, or gives a file. Fails with the reason why it cannot be read.
    fn look(&mut self, path: &Path, name: String) -> Result<Option<FoundFile>, String> {
        let link = fs::symlink_metadata(path).map_err(cannot_be_read)?.is_symlink();
        let data = match fs::metadata(path) {
            Ok(data) => data,
            Err(_) if link => return Err("is a link that leads nowhere".into()),
            Err(error) => return Err(cannot_be_read(error)),
        };
        if data.is_dir() {
            // A link to a folder may lead back to a folder above it.
            if !link {
                let files = list(path).map_err(cannot_be_read)?;
                self.open.push(Folder { path: path.to_owned(), name: format!("{name}/"), files });
            }
            return Ok(None);
        }
        // A pipe may never end, and reading a device may do anything.
        if !data.is_file() {
            return if by_extension(path).is_some() { Err(special(data.file_type()).into()) } else { Ok(None) };
        }
        if by_extension(path).is_none() && by_content(&head(path).map_err(cannot_be_read)?).is_none() {
            self.ignore(path, name);
            return Ok(None);
        }
        Ok(Some(FoundFile { path: path.to_owned(), name }))
    }

    fn ignore(&mut self, path: &Path, name: String) {
        self.ignored += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(name);
        }
        let extension = path.extension().map(|extension| format!(".{}", extension.to_string_lossy().to_lowercase()));
        let mut kind = extension.unwrap_or_else(|| "without extension".into());
        if self.kinds.len() >= KINDS && !self.kinds.contains_key(&kind) {
            kind = "of other kinds".into();
        }
        *self.kinds.entry(kind).or_default() += 1;
    }
}

/// The first bytes of a file.
fn head(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(path)?.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// A note on a file that is skipped.
pub(crate) fn skipped(path: &Path, reason: String) -> CorpusNote {
    CorpusNote::Skipped { path: path.display().to_string(), reason }
}

/// Why a file is skipped that the system does not give.
pub(crate) fn cannot_be_read(error: std::io::Error) -> String {
    format!("cannot be read: {error}")
}

fn list(path: &Path) -> std::io::Result<IntoIter<OsString>> {
    let mut files = fs::read_dir(path)?.map(|entry| Ok(entry?.file_name())).collect::<std::io::Result<Vec<OsString>>>()?;
    files.sort_unstable();
    Ok(files.into_iter())
}

#[cfg(unix)]
fn special(kind: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;

    match kind {
        _ if kind.is_fifo() => "is a named pipe",
        _ if kind.is_socket() => "is a socket",
        _ => "is a device",
    }
}

#[cfg(not(unix))]
fn special(_: FileType) -> &'static str {
    "is no regular file"
}
