//! Why a plan was not made, a shard not built, or shards not merged.

use std::fmt;
use std::io;
use std::path::PathBuf;

use mempack_format::{Difference, ReadError, SetError, WriteError};
use mempack_model::Machine;
use thiserror::Error;

use crate::BuildError;

use super::shard_file::ShardDefect;

/// Why work on a plan failed. What was complete before is unchanged.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Reading the corpus, or computing and writing memories.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A plan is there already.
    #[error("{}: there is a plan already, maybe with shards; write to another folder, or have it replaced", path.display())]
    Exists {
        /// Its folder.
        path: PathBuf,
    },
    /// The folder of a new plan is something else.
    #[error("{}: this is there already and no plan; write to another folder", path.display())]
    Occupied {
        /// The path.
        path: PathBuf,
    },
    /// The folder of a plan is not one.
    #[error("{}: this is no plan: it has no file plan.json; name the folder that was planned into", path.display())]
    NoPlan {
        /// The path.
        path: PathBuf,
    },
    /// A file or folder was not read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system reports.
        source: io::Error,
    },
    /// `plan.json` says something that a plan does not.
    #[error("{}: {reason}; copy the plan again, or make it again", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The plan was made by another version of this program, which may cut, encode and merge otherwise.
    #[error(
        "{}: the plan was made by {found}, and this is {expected}: use the same version for the plan, its shards and their merge, or make the \
         plan again",
        path.display()
    )]
    Version {
        /// The folder of the plan.
        path: PathBuf,
        /// What made it.
        found: String,
        /// What this is.
        expected: String,
    },
    /// A file of the plan is not the one that was planned.
    #[error("{}: the file is not the one that was planned: {what}; copy the plan again, or make it again", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What differs.
        what: String,
    },
    /// `plan.mpk` is damaged.
    #[error("{}: {source}; copy the plan again, or make it again", path.display())]
    Pack {
        /// The file.
        path: PathBuf,
        /// The damage.
        source: Box<ReadError>,
    },
    /// The model or the embedder is not the one of the plan.
    #[error(
        "{}: model or embedder are not those of the plan: they differ in {}; use the ones that the plan was made with, or make the plan again",
        path.display(), Difference::summary(differences)
    )]
    Identity {
        /// The folder of the plan.
        path: PathBuf,
        /// The fields that differ.
        differences: Vec<Difference>,
    },
    /// The model is on another kind of device than the plan's was.
    #[error(
        "{}: the plan was made on {expected}, this is {found}; use a device of the plan's kind, or make the plan again on {found}", path.display()
    )]
    Device {
        /// The folder of the plan.
        path: PathBuf,
        /// The kind of the plan.
        expected: String,
        /// The kind of the model.
        found: String,
    },
    /// This machine computes other bits than the one that made the plan, so its memories would differ from those of other shards.
    #[error(
        "{}: this machine computes other numbers than the one that made the plan, so the shards would not fit together: the plan was made on \
         {expected}; this is {found}; build its shards on machines like the first, or make the plan again on one like this", path.display()
    )]
    Probe {
        /// The folder of the plan.
        path: PathBuf,
        /// The machine of the plan.
        expected: Box<Machine>,
        /// This machine.
        found: Box<Machine>,
    },
    /// The plan has fewer shards.
    #[error("there is no shard {shard}: the plan has {shards}, numbered from 0")]
    NoShard {
        /// The number.
        shard: u32,
        /// How many there are.
        shards: u32,
    },
    /// The file of a shard is something else.
    #[error("{}: the file there is no shard, and only a shard is replaced by a shard; name another file", path.display())]
    NotAShard {
        /// The file.
        path: PathBuf,
    },
    /// Shards are missing or cannot be merged.
    #[error("{}", listed(bad, *shards))]
    Shards {
        /// What is wrong with each of them, in the order of their numbers.
        bad: Vec<BadShard>,
        /// How many shards the plan has.
        shards: u32,
    },
    /// The name of a set is no name of a file.
    #[error("{name:?} is no name of a set: use letters, digits, '-', '_' and '.', and begin with a letter or a digit")]
    Name {
        /// The name.
        name: String,
    },
    /// A set of the same name is there and is not read, so nobody knows which packs are its.
    #[error("{}: {source}; move it away, or name another folder", path.display())]
    Set {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<SetError>,
    },
    /// The set or a shard was not written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// A shard that cannot be merged.
#[derive(Debug)]
pub struct BadShard {
    /// Its number; `None` if the file does not say.
    pub shard: Option<u32>,
    /// Its file.
    pub path: PathBuf,
    /// What is wrong.
    pub defect: ShardDefect,
}

impl fmt::Display for BadShard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shard {
            Some(shard) => write!(f, "shard {shard}: {}: {}", self.path.display(), self.defect),
            None => write!(f, "{}: {}", self.path.display(), self.defect),
        }
    }
}

impl PlanError {
    /// Why the work ended, if it is an error of a build; whether or not work is kept.
    pub fn build_reason(&self) -> Option<&BuildError> {
        match self {
            Self::Build(error) => Some(error.reason()),
            _ => None,
        }
    }

    /// The numbers of the shards that are to be built again, each once, ascending.
    pub fn bad_shards(&self) -> Vec<u32> {
        let Self::Shards { bad, .. } = self else { return Vec::new() };
        let again = bad.iter().filter(|bad| !matches!(bad.defect, ShardDefect::Twice { .. }));
        let mut numbers: Vec<u32> = again.filter_map(|bad| bad.shard).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }
}

fn listed(bad: &[BadShard], shards: u32) -> String {
    let lines: Vec<String> = bad.iter().map(|bad| format!("\n  {bad}")).collect();
    format!("{} of the plan's {shards} shards cannot be merged, and nothing was written:{}", bad.len(), lines.concat())
}
