//! Writes a folder with a corpus, its questions, and a record of how they were made.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{CorpusDocument, Preference, Question};

/// The file name of the corpus.
const CORPUS: &str = "corpus.jsonl";
/// The file name of the questions.
const QUESTIONS: &str = "questions.jsonl";
/// The file name of preferences.
const PREFERENCES: &str = "preferences.jsonl";
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

/// Writes a folder with a corpus and its questions. It is written under a temporary name beside its final place; [`finish`](Self::finish)
/// renames it. If the value is dropped before that, the folder is removed.
#[derive(Debug)]
pub struct Folder {
    corpus: LineFile,
    questions: LineFile,
    place: NewPlace,
    summary: Summary,
}

impl Folder {
    /// Begins the folder `path`, which must not exist or be empty.
    ///
    /// # Errors
    /// If it exists and is not empty, or its parent is not writable.
    pub fn create(path: &Path) -> Result<Self, FolderError> {
        let place = NewPlace::create(path)?;
        Ok(Self { corpus: place.file(CORPUS)?, questions: place.file(QUESTIONS)?, place, summary: Summary::default() })
    }

    /// Adds a document and the questions about it.
    ///
    /// # Errors
    /// If writing fails.
    pub fn write(&mut self, document: &CorpusDocument, questions: &[Question]) -> Result<(), FolderError> {
        self.summary.bytes += self.corpus.line(document)?;
        self.summary.documents += 1;
        for question in questions {
            self.summary.bytes += self.questions.line(question)?;
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
        let Self { corpus, questions, place, mut summary } = self;
        corpus.close()?;
        questions.close()?;
        how["counts"] = json!({"documents": summary.documents, "questions": summary.questions, "unanswerable": summary.unanswerable});
        summary.bytes += place.finish(&how)?;
        Ok(summary)
    }
}

/// Writes a folder with preferences, as [`Folder`] writes one with a corpus.
#[derive(Debug)]
pub struct PreferenceFolder {
    file: LineFile,
    place: NewPlace,
}

impl PreferenceFolder {
    /// Begins the folder `path`, which must not exist or be empty.
    ///
    /// # Errors
    /// As [`Folder::create`].
    pub fn create(path: &Path) -> Result<Self, FolderError> {
        let place = NewPlace::create(path)?;
        Ok(Self { file: place.file(PREFERENCES)?, place })
    }

    /// Writes the preferences and the record of how they were made, and moves the folder to its final place. Returns its size in bytes.
    ///
    /// # Errors
    /// As [`Folder::finish`].
    pub fn finish(self, preferences: &[Preference], mut how: Value) -> Result<u64, FolderError> {
        let Self { mut file, place } = self;
        let mut size = 0;
        for preference in preferences {
            size += file.line(preference)?;
        }
        file.close()?;
        how["counts"] = json!({"preferences": preferences.len()});
        Ok(size + place.finish(&how)?)
    }
}

/// A folder under a temporary name beside its final place; it is removed if it is dropped.
#[derive(Debug)]
struct NewPlace {
    path: PathBuf,
    scratch: TempDir,
}

impl NewPlace {
    fn create(path: &Path) -> Result<Self, FolderError> {
        let failed = |source| FolderError::Write { path: path.into(), source };
        match fs::read_dir(path).map(|mut entries| entries.next().is_none()) {
            Ok(false) => return Err(FolderError::NotEmpty { path: path.into() }),
            Err(_) if path.exists() => return Err(FolderError::NotAFolder { path: path.into() }),
            _ => {}
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = path.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?.to_string_lossy();
        let scratch = tempfile::Builder::new().prefix(&format!(".{name}.")).tempdir_in(parent).map_err(failed)?;
        Ok(Self { path: path.into(), scratch })
    }

    /// Begins the file `name` in it.
    fn file(&self, name: &str) -> Result<LineFile, FolderError> {
        let path = self.path.join(name);
        let file = File::create_new(self.scratch.path().join(name)).map(BufWriter::new);
        // The error names the folder, which is what cannot be written to.
        let file = file.map_err(|source| FolderError::Write { path: self.path.clone(), source })?;
        Ok(LineFile { path, file })
    }

    /// Writes the record and moves the folder to its final place. Returns the size of the record.
    fn finish(self, how: &Value) -> Result<u64, FolderError> {
        let Self { path, scratch } = self;
        let made = format!("{how:#}\n");
        let written = File::create_new(scratch.path().join(MADE)).and_then(|mut file| {
            file.write_all(made.as_bytes())?;
            file.sync_all()
        });
        written.map_err(|source| FolderError::Write { path: path.join(MADE), source })?;
        // A temporary folder is readable by its owner only; the finished one gets the usual permissions.
        let whole = |source| FolderError::Write { path: path.clone(), source };
        open_to_others(scratch.path()).map_err(whole)?;
        fs::rename(scratch.path(), &path).map_err(whole)?;
        // The folder has been renamed: the guard must not remove it.
        let _ = scratch.keep();
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent).and_then(|folder| folder.sync_all()).map_err(whole)?;
        Ok(made.len() as u64)
    }
}

/// A file of lines in a new folder.
#[derive(Debug)]
struct LineFile {
    /// Where it will be.
    path: PathBuf,
    file: BufWriter<File>,
}

impl LineFile {
    /// Adds a line. Returns its size.
    fn line(&mut self, row: &impl Serialize) -> Result<u64, FolderError> {
        let written = serde_json::to_string(row).map_err(io::Error::from).and_then(|mut text| {
            text.push('\n');
            self.file.write_all(text.as_bytes())?;
            Ok(text.len() as u64)
        });
        written.map_err(|source| FolderError::Write { path: self.path.clone(), source })
    }

    /// Writes what is left, and syncs.
    fn close(self) -> Result<(), FolderError> {
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error);
        file.and_then(|file| file.sync_all()).map_err(|source| FolderError::Write { path: self.path, source })
    }
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
