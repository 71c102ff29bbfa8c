//! What ends the work with a store, and what is wrong with a bank on the disk.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use mempack_format::{Digest, OpenError, PackId, SetError};
use thiserror::Error;

use crate::objects::ObjectError;

/// Why work with a store ended early. Nothing half is published, and nothing half is in a folder under the name of a whole file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The address is not one of a store.
    #[error(
        "{url:?} is no address of a store: {reason}; name one such as s3://BUCKET/FOLDER, gs://..., az://..., https://... or file:///FOLDER"
    )]
    Url {
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A request failed, and failed again when it was repeated.
    #[error("{action} {object} failed {attempts} times; check the connection and run the command again, it goes on where it ended")]
    Request {
        /// What was asked: `reading`, `writing`.
        action: &'static str,
        /// The object.
        object: String,
        /// How often it was tried.
        attempts: u32,
        /// The last failure.
        source: Box<object_store::Error>,
    },
    /// A request failed in a way that repeating does not change.
    #[error("{action} {object} is not possible; check the address and its settings")]
    Refused {
        /// What was asked.
        action: &'static str,
        /// The object.
        object: String,
        /// The failure.
        source: Box<object_store::Error>,
    },
    /// The store does not let these credentials do it.
    #[error("the store denies {action} {object}; use credentials that may do so")]
    Denied {
        /// What was asked.
        action: &'static str,
        /// The object.
        object: String,
        /// The failure.
        source: Box<object_store::Error>,
    },
    /// No answer came.
    #[error("{action} {object}: no answer within {limit:?}, {attempts} times; run the command again, it goes on where it ended")]
    Slow {
        /// What was asked.
        action: &'static str,
        /// The object.
        object: String,
        /// How long was waited.
        limit: Duration,
        /// How often it was tried.
        attempts: u32,
    },
    /// An object that others name does not exist.
    #[error("{object} is missing from the store; push the bank again from a whole copy")]
    Missing {
        /// The object.
        object: String,
    },
    /// An object has other bytes than its name says.
    #[error("{object} is damaged: its digest is {found}, read {attempts} times; push the bank again with --resend from a whole copy")]
    Digest {
        /// The object.
        object: String,
        /// The digest of its bytes.
        found: Digest,
        /// How often it was read.
        attempts: u32,
    },
    /// An object is longer or shorter than it must be.
    #[error("{object} is damaged: it has {found} bytes, expected {expected}; push the bank again from a whole copy")]
    Length {
        /// The object.
        object: String,
        /// The bytes it must have, or the most that it may have.
        expected: u64,
        /// The bytes it has.
        found: u64,
    },
    /// An object is not what it must be.
    #[error("{object} is damaged: {source}; delete it, and push the bank again from a whole copy")]
    Object {
        /// The object.
        object: String,
        /// What is wrong.
        source: ObjectError,
    },
    /// Two objects that belong together do not fit.
    #[error("{object} does not fit {other}: {reason}; delete it, and push the bank again from a whole copy")]
    Contradiction {
        /// The object.
        object: String,
        /// The one that names it.
        other: String,
        /// In what they differ.
        reason: String,
    },
    /// Another writer published while this one was sending.
    #[error(
        "another writer published {name:?} in the meantime: it is now {found}, it was {before} when this push began, and {ours} was to be published; \
         look at what is there, and push again to put this bank in its place"
    )]
    Conflict {
        /// The name.
        name: String,
        /// What was published when the push began.
        before: String,
        /// What is published now.
        found: String,
        /// What was to be published.
        ours: String,
    },
    /// Other writers change an object over and over.
    #[error("other writers changed {object} {attempts} times in a row; run the command again when they are done")]
    Contended {
        /// The object.
        object: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// The store cannot write on a condition.
    #[error(
        "{url} does not write on a condition ({reason}), so two writers could overwrite each other; if no one else writes to it, repeat with \
         --allow-unconditional"
    )]
    Unconditional {
        /// The store.
        url: String,
        /// How this was found out.
        reason: &'static str,
    },
    /// A clean-up is deleting objects that are needed.
    #[error(
        "a gc is deleting objects that this bank needs, and has not ended within {waited:?}; run `mempack gc` to end it, then push again"
    )]
    Deleting {
        /// How long was waited.
        waited: Duration,
    },
    /// Another clean-up is deleting.
    #[error(
        "another gc began to delete {seconds} seconds ago and has not ended; wait for it, or an hour if it was killed, and run this again"
    )]
    OtherGc {
        /// Since when, by the clock of the store.
        seconds: u64,
    },
    /// Nothing is published, or not under this name.
    #[error("nothing is published as {name:?} in {url}; {known}")]
    NotPublished {
        /// The name.
        name: String,
        /// The store.
        url: String,
        /// What is there.
        known: String,
    },
    /// No name was given, and the store does not have exactly one.
    #[error("{url} has {known}; say which with --name")]
    WhichName {
        /// The store.
        url: String,
        /// What is there.
        known: String,
    },
    /// A name under which nothing can be published.
    #[error(
        "{name:?} is no name to publish under: 1 to 100 letters (a-z), digits, '-', '_' and '.', and the first a letter or digit; choose one with --name"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// An older bank that is not in the list, or is not unique.
    #[error("{found} of the banks published as {name:?} begin with {wanted:?}; they are, the newest first: {known}")]
    WhichEdition {
        /// The name.
        name: String,
        /// What was looked for.
        wanted: String,
        /// How many fit.
        found: usize,
        /// What is there.
        known: String,
    },
    /// An older bank of which a clean-up has deleted parts.
    #[error("the bank {edition} was published as {name:?}, but is no longer in the store: a gc deleted it; pull a newer one")]
    Collected {
        /// The name.
        name: String,
        /// The bank.
        edition: Digest,
    },
    /// The bank on the disk.
    #[error(transparent)]
    Bank(BankError),
    /// A file of the disk.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was done.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The failure.
        source: io::Error,
    },
    /// Another process works in the folder.
    #[error("another pull is writing to {}; wait for it", folder.display())]
    Busy {
        /// The folder.
        folder: PathBuf,
    },
    /// The caller ended the work.
    #[error("interrupted; run the command again, it goes on where it ended")]
    Interrupted,
    /// The work could not be started.
    #[error("the work with the store cannot start: {0}")]
    Start(#[source] io::Error),
}

impl StoreError {
    /// Whether something is damaged, in the store or in the bank on the disk.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Missing { .. } | Self::Digest { .. } | Self::Length { .. } | Self::Object { .. } | Self::Contradiction { .. } => true,
            Self::Bank(error) => error.is_damage(),
            _ => false,
        }
    }
}

impl From<BankError> for StoreError {
    fn from(error: BankError) -> Self {
        match error {
            BankError::Interrupted => Self::Interrupted,
            error => Self::Bank(error),
        }
    }
}

/// Why a bank on the disk is not sent.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BankError {
    /// No bank is there.
    #[error("{}: no bank is here; name a set (NAME.mps), a pack (NAME.mpk), or a folder with one of them", path.display())]
    None {
        /// The path.
        path: PathBuf,
    },
    /// Several are there.
    #[error("{}: more than one bank is here ({found}); name the file of one of them", path.display())]
    Several {
        /// The folder.
        path: PathBuf,
        /// Their names.
        found: String,
    },
    /// The name of a file is one that not every system can have.
    #[error("{}: the name of this file cannot be published; rename it to letters, digits, '-', '_' and '.'", path.display())]
    FileName {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The failure.
        source: io::Error,
    },
    /// The set is damaged.
    #[error("{}: {source}", path.display())]
    Set {
        /// The set.
        path: PathBuf,
        /// What is wrong.
        source: SetError,
    },
    /// A pack that the set names is not there.
    #[error("{}: this pack of the set is missing; copy it here, or merge the bank again", path.display())]
    MissingPack {
        /// The pack.
        path: PathBuf,
    },
    /// A pack is damaged, or not a pack.
    #[error("{}: {source}", path.display())]
    Pack {
        /// The pack.
        path: PathBuf,
        /// What is wrong.
        source: OpenError,
    },
    /// A pack is another than the set names.
    #[error(
        "{}: this is pack {found}, the set names {expected}: it was replaced since the set was written; put that pack back, or merge the bank again",
        path.display()
    )]
    Replaced {
        /// The pack.
        path: PathBuf,
        /// The id in the set.
        expected: PackId,
        /// The id of the pack.
        found: PackId,
    },
    /// A section of a pack has other bytes than its digest says.
    #[error("{}: section {section} at byte {offset} is damaged; mempack verify lists the damage, mempack repair mends it", path.display())]
    Section {
        /// The pack.
        path: PathBuf,
        /// The section.
        section: String,
        /// Where it begins.
        offset: u64,
    },
    /// The caller ended the work.
    #[error("interrupted")]
    Interrupted,
    /// A file changed while it was sent.
    #[error("{}: the file changed while it was read; push again when no one writes to it", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
}

impl BankError {
    /// Whether a file is damaged.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Set { source, .. } => source.is_damage(),
            Self::Pack { source, .. } => source.is_damage(),
            Self::Section { .. } => true,
            _ => false,
        }
    }
}
