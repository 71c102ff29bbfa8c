//! Writes a folder with a corpus, its questions, and a record of how they were made.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{CorpusDocument, Question};

/// The file name of the corpus.
const CORPUS: &str = "corpus.jsonl";
/// The file name of the questions.
const QUESTIONS: &str = "questions.jsonl";
/// The file name of the record of how they were made.
const MADE: &str = "made.json";

/// Why a folder was not written. No part of it is left on disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// The folder exists and is not empty.
    #[error("{path}: the folder exists and is not empty; name a new one, or remove it")]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// The path is that of a file.
    #[error("{path}: this is a file; name a folder that does not exist yet")]
    NotAFolder {
        /// The file.
        path: PathBuf,
    },
    /// Writing failed.
    #[error("{path}: {source}; the parent folder must exist, be writable, and have space")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

/// Counts of what a folder holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Documents.
    pub documents: u64,
    /// Questions, including those without an answer.
    pub questions: u64,
    /// Questions that no document answers.
    pub unanswerable: u64,
    /// Total size of the files, in bytes.
    pub bytes: u64,
}

/// Writes a folder. It is written under a temporary name beside its final place; [`finish`](Self::finish) renames it. If the value is dropped
/// before that, the folder is removed.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    scratch: TempDir,
    corpus: BufWriter<File>,
    questions: BufWriter<File>,
    summary: Summary,
}

impl Folder {
    /// Begins the folder `path`, which must not exist or be empty.
    ///
    /// # Errors
    /// If it exists and is not empty, or its parent is not writable.
    pub fn create(path: &Path) -> Result<Self, FolderError> {
        let failed = |source| FolderError::Write { path: path.into(), source };
        match fs::read_dir(path).map(|mut entries| entries.next().is_none()) {
            Ok(false) => return Err(FolderError::NotEmpty { path: path.into() }),
            Err(_) if path.exists() => return Err(FolderError::NotAFolder { path: path.into() }),
            _ => {}
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = path.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?.to_string_lossy();
        let scratch = tempfile::Builder::new().prefix(&format!(".{name}.")).tempdir_in(parent).map_err(failed)?;
        let file = |name: &str| File::create_new(scratch.path().join(name)).map(BufWriter::new).map_err(failed);
        Ok(Self { path: path.into(), corpus: file(CORPUS)?, questions: file(QUESTIONS)?, scratch, summary: Summary::default() })
    }

    /// Adds a document and the questions about it.
    ///
    /// # Errors
    /// If writing fails.
    pub fn write(&mut self, document: &CorpusDocument, questions: &[Question]) -> Result<(), FolderError> {
        self.summary.bytes += line(&mut self.corpus, document).map_err(|source| failed(&self.path, CORPUS, source))?;
        self.summary.documents += 1;
        for question in questions {
            self.summary.bytes += line(&mut self.questions, question).map_err(|source| failed(&self.path, QUESTIONS, source))?;
            self.summary.questions += 1;
            self.summary.unanswerable += u64::from(!question.answerable);
        }
        Ok(())
    }

    /// Counts of what has been written so far.
    pub fn summary(&self) -> Summary {
        self.summary
    }

    /// Writes the record of how it was made, syncs the files, and moves the folder to its final place. `how` is a JSON object; the counts
    /// are added to it.
    ///
    /// # Errors
    /// If writing fails, or the final place has been taken meanwhile.
    pub fn finish(self, mut how: Value) -> Result<Summary, FolderError> {
        let Self { path, scratch, corpus, questions, mut summary } = self;
        for (file, name) in [(corpus, CORPUS), (questions, QUESTIONS)] {
            let file = file.into_inner().map_err(io::IntoInnerError::into_error);
            file.and_then(|file| file.sync_all()).map_err(|source| failed(&path, name, source))?;
        }
        how["counts"] = json!({"documents": summary.documents, "questions": summary.questions, "unanswerable": summary.unanswerable});
        let made = format!("{how:#}\n");
        let written = File::create_new(scratch.path().join(MADE)).and_then(|mut file| {
            file.write_all(made.as_bytes())?;
            file.sync_all()
        });
        written.map_err(|source| failed(&path, MADE, source))?;
        summary.bytes += made.len() as u64;
        // A temporary folder is readable by its owner only; the finished one gets the usual permissions.
        let whole = |source| FolderError::Write { path: path.clone(), source };
        open_to_others(scratch.path()).map_err(whole)?;
        fs::rename(scratch.path(), &path).map_err(whole)?;
        // The folder has been renamed: the guard must not remove it.
        let _ = scratch.keep();
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent).and_then(|folder| folder.sync_all()).map_err(whole)?;
        Ok(summary)
    }
}

fn failed(folder: &Path, name: &str, source: io::Error) -> FolderError {
    FolderError::Write { path: folder.join(name), source }
}

fn line(file: &mut BufWriter<File>, row: &impl Serialize) -> io::Result<u64> {
    let mut text = serde_json::to_string(row)?;
    text.push('\n');
    file.write_all(text.as_bytes())?;
    Ok(text.len() as u64)
}

#[cfg(unix)]
fn open_to_others(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn open_to_others(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn document() -> CorpusDocument {
        CorpusDocument { id: "d".into(), title: "T".into(), text: "x".into(), source: "s".into(), license: String::new() }
    }

    #[test]
    fn a_folder_appears_whole_or_not_at_all() {
        let around = tempfile::tempdir().unwrap();
        let path = around.path().join("out");
        drop(Folder::create(&path).unwrap());
        assert!(names(around.path()).is_empty());
        let mut folder = Folder::create(&path).unwrap();
        folder.write(&document(), &[]).unwrap();
        let summary = folder.finish(json!({"seed": 1})).unwrap();
        assert_eq!(names(around.path()), ["out"]);
        assert_eq!(names(&path), [CORPUS, MADE, QUESTIONS]);
        assert_eq!(fs::read_to_string(path.join(CORPUS)).unwrap(), "{\"id\":\"d\",\"title\":\"T\",\"text\":\"x\",\"source\":\"s\"}\n");
        let size: u64 = names(&path).iter().map(|name| fs::metadata(path.join(name)).unwrap().len()).sum();
        assert_eq!((summary.documents, summary.bytes), (1, size));
    }

    #[test]
    fn an_existing_file_or_folder_is_not_overwritten() {
        let around = tempfile::tempdir().unwrap();
        let path = around.path().join("out");
        fs::create_dir(&path).unwrap();
        Folder::create(&path).unwrap().finish(json!({})).unwrap();
        assert!(matches!(Folder::create(&path), Err(FolderError::NotEmpty { .. })));
        let file = path.join(MADE);
        assert!(matches!(Folder::create(&file), Err(FolderError::NotAFolder { .. })));
        assert!(matches!(Folder::create(&around.path().join("no/such")), Err(FolderError::Write { .. })));
    }
}
