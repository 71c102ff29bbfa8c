//! Files and folders.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use mempack_format::Document;

use super::{Blocks, Sink, Source, read_rows};
use crate::{BuildError, CorpusError};

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Markdown,
    Rows,
}

impl Kind {
    fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "txt" => Some(Self::Text),
            "md" => Some(Self::Markdown),
            "jsonl" => Some(Self::Rows),
            _ => None,
        }
    }
}

/// Reads what the user named: a file of a known kind, or a folder.
pub(super) fn read(path: &Path, sink: &mut dyn Sink) -> Result<(), BuildError> {
    let shown = path.display().to_string();
    let data = fs::metadata(path).map_err(|source| match source.kind() {
        ErrorKind::NotFound => CorpusError::Missing { path: shown.clone() },
        _ => CorpusError::Read { path: shown.clone(), source },
    })?;
    if data.is_dir() {
        let mut ignored = 0;
        read_folder(path, "", &mut ignored, sink)?;
        if ignored > 0 {
            sink.note(&format!("{shown}: {ignored} files ignored that are not .txt, .md or .jsonl"));
        }
        return Ok(());
    }
    let Some(kind) = Kind::of(path) else { return Err(CorpusError::UnknownKind { path: shown }.into()) };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    read_file(path, &name, kind, sink)
}

/// The files of a folder and of the folders in it, in the order of their names' bytes; hidden ones are passed over.
///
/// `name` is the folder's path from the one that the user named, with `/` behind it: a pack does not depend on where its corpus lies.
fn read_folder(path: &Path, name: &str, ignored: &mut u64, sink: &mut dyn Sink) -> Result<(), BuildError> {
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |source| CorpusError::Read { path, source }
    };
    let mut names: Vec<OsString> = Vec::new();
    for entry in fs::read_dir(path).map_err(failed(path))? {
        names.push(entry.map_err(failed(path))?.file_name());
    }
    names.sort_unstable();
    for file in names {
        let full: PathBuf = path.join(&file);
        let file = file.to_string_lossy();
        if file.starts_with('.') {
            continue;
        }
        let link = fs::symlink_metadata(&full).map_err(failed(&full))?.is_symlink();
        let data = fs::metadata(&full).map_err(failed(&full))?;
        if data.is_dir() {
            // A link to a folder may lead back up.
            if !link {
                read_folder(&full, &format!("{name}{file}/"), ignored, sink)?;
            }
        } else if let Some(kind) = Kind::of(&full).filter(|_| data.is_file()) {
            read_file(&full, &format!("{name}{file}"), kind, sink)?;
        } else {
            *ignored += 1;
        }
    }
    Ok(())
}

fn read_file(path: &Path, name: &str, kind: Kind, sink: &mut dyn Sink) -> Result<(), BuildError> {
    let shown = path.display().to_string();
    let mut file = File::open(path).map_err(|source| CorpusError::Read { path: shown.clone(), source })?;
    match kind {
        Kind::Rows => read_rows(&shown, name, &mut BufReader::with_capacity(1 << 16, file), sink),
        Kind::Text | Kind::Markdown => {
            let title = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let document = Document { id: name.into(), title, source: name.into(), ..Document::default() };
            sink.document(Source { document, markdown: matches!(kind, Kind::Markdown), blocks: Blocks::new(&mut file, &shown) })
        }
    }
}
