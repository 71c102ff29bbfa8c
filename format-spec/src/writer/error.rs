//! Why a pack was not written.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

use thiserror::Error;

use crate::{CodecError, Defect, FieldKind, ManifestError};

/// Why a pack was not written. A pack that was at the target before stays there unchanged.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The operating system refused.
    #[error("cannot {action} {path}: {source}{}", remedy(source), path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The folder of the target does not exist.
    #[error("cannot write {}: there is no folder {}; make it first, or name another target", path.display(), folder.display())]
    MissingFolder {
        /// The target.
        path: PathBuf,
        /// Its folder.
        folder: PathBuf,
    },
    /// The target is a folder, or has no name.
    #[error("cannot write {}: it names a folder; name the file in it, such as {}", path.display(), path.join("corpus.mpk").display())]
    TargetIsFolder {
        /// The target.
        path: PathBuf,
    },
    /// The target is a file of another kind.
    #[error("cannot write {}: the file there is no pack, and only a pack is replaced by a pack; name another file", path.display())]
    TargetIsNoPack {
        /// The target.
        path: PathBuf,
    },
    /// The target of a set is a file of another kind.
    #[error("cannot write {}: the file there is no set of packs, and only a set is replaced by a set; name another file", path.display())]
    TargetIsNoSet {
        /// The target.
        path: PathBuf,
    },
    /// The target is a pipe, a socket or a device.
    #[error("cannot write {}: it is a pipe, a socket or a device; name a file on a disk", path.display())]
    TargetIsNoFile {
        /// The target.
        path: PathBuf,
    },
    /// Another process writes the target.
    #[error(
        "cannot write {}: another process is writing it, with its files in {}; wait until it is done, or end it",
        path.display(),
        folder.display()
    )]
    Busy {
        /// The target.
        path: PathBuf,
        /// The folder of that process's files.
        folder: PathBuf,
    },
    /// An earlier error left the writer incomplete.
    #[error("cannot continue writing {}: an earlier write failed; start again", path.display())]
    Failed {
        /// The file that was written.
        path: PathBuf,
    },
    /// Something is larger than allowed.
    #[error("{what} is {found}, the most is {limit}")]
    TooLarge {
        /// What it is.
        what: &'static str,
        /// The most allowed.
        limit: u64,
        /// What was given.
        found: u64,
    },
    /// The head budget is not the one that the pack was begun with.
    #[error("tokens per head of the model: {found}, expected {expected}")]
    Budget {
        /// The budget of the memories pushed.
        expected: String,
        /// The budget of the model.
        found: String,
    },
    /// A number is not the one expected.
    #[error("{what} is {found}, expected {expected}")]
    Mismatch {
        /// What it is.
        what: &'static str,
        /// What was expected.
        expected: u64,
        /// What was given.
        found: u64,
    },
    /// Something is missing.
    #[error("{what} missing: {remedy}")]
    Missing {
        /// What is missing.
        what: &'static str,
        /// How to correct it.
        remedy: &'static str,
    },
    /// A reference has no origin.
    #[error("reference {reference} has no origin; every reference must name a document")]
    NoOrigin {
        /// Number of the reference.
        reference: u32,
    },
    /// An origin names a document that was not pushed, or an invalid span of bytes.
    #[error("origin {document}:{start}..{end} of reference {reference} is none: there are {documents} documents so far")]
    Origin {
        /// Number of the reference.
        reference: u32,
        /// Number of the document.
        document: u32,
        /// First byte.
        start: u64,
        /// The byte after the last.
        end: u64,
        /// Documents pushed so far.
        documents: u32,
    },
    /// A memory or an embedding is malformed.
    #[error("{what} {reference} is malformed: {defect}")]
    Malformed {
        /// `memory` or `embedding`.
        what: &'static str,
        /// Number of its reference.
        reference: u32,
        /// What is wrong.
        defect: Defect,
    },
    /// A value of a field is not of the field's kind.
    #[error("the field {field:?} has the value {value:?}, expected a value of kind {expected}")]
    Kind {
        /// Name of the field.
        field: String,
        /// The value.
        value: String,
        /// The kind.
        expected: FieldKind,
    },
    /// The search graph is malformed.
    #[error("the graph is malformed: neighbour {found} of node {node} on level {level} is {problem}")]
    Graph {
        /// The node.
        node: u32,
        /// The level.
        level: u32,
        /// The neighbour, or how many there are.
        found: u64,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The manifest has a field that is out of bounds.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The codec does not fit the shape, or its parameters do not fit the codec.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// How to correct what the system refused.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "; free some space, or write to another disk",
        ErrorKind::FileTooLarge => "; the file system or a limit of the shell allows no larger file: write elsewhere",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => "; write to a folder that you may write to",
        ErrorKind::NotFound => "; the folder was moved or deleted meanwhile: begin again",
        _ => "",
    }
}
