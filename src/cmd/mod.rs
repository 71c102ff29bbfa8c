//! One file a subcommand: its arguments and its `run`.

#[cfg(feature = "engine")]
pub mod ask;
#[cfg(feature = "engine")]
pub mod build;
pub mod completions;
#[cfg(feature = "engine")]
pub mod eval;
#[cfg(feature = "engine")]
pub mod import;
pub mod inspect;
#[cfg(feature = "engine")]
pub mod search;
pub mod verify;

use std::error::Error;
use std::path::Path;

use mempack_runtime::MappedPack;

use crate::failure::{Failure, Kind};

/// Map a pack; a damaged one has an exit code of its own.
fn open(path: &Path) -> Result<MappedPack, Failure> {
    MappedPack::open(path).map_err(|error| {
        let kind = if error.is_damage() { Kind::Damaged } else { Kind::Work };
        Failure::new(kind, error)
    })
}

/// A failure for damage that was found behind the header of `path`.
fn damage(path: &Path, error: impl Error) -> Failure {
    Failure::damaged(format!("{}: {error}", path.display()))
}
