//! One file per command: its arguments and its `run`.

#[cfg(feature = "engine")]
pub mod ask;
#[cfg(feature = "engine")]
pub mod build;
pub mod completions;
mod corpus;
pub mod diff;
#[cfg(feature = "engine")]
pub mod eval;
#[cfg(feature = "engine")]
pub mod import;
pub mod inspect;
pub mod keygen;
pub mod make_questions;
#[cfg(feature = "engine")]
mod packs;
#[cfg(feature = "engine")]
pub mod quality;
pub mod repair;
#[cfg(feature = "engine")]
pub mod revoke;
#[cfg(feature = "engine")]
pub mod search;
pub mod sign;
#[cfg(feature = "engine")]
pub mod train;
mod trust;
pub mod verify;

use std::error::Error;
use std::path::Path;

use mempack_format::OpenError;
use mempack_runtime::{MapError, MappedPack};

use crate::failure::{Failure, Kind};

/// Maps a pack. Damaged packs, and files that are no packs, have an exit code of their own; packs of another version do not.
fn open(path: &Path) -> Result<MappedPack, Failure> {
    MappedPack::open(path).map_err(|error| {
        let no_pack = matches!(&error, MapError::Open { source: OpenError::NotAPack { .. }, .. });
        Failure::new(if no_pack || error.is_damage() { Kind::Damaged } else { Kind::Work }, error)
    })
}

/// A failure while reading the pack at `path`.
fn reading(path: &Path, is_damage: bool, error: impl Error + Send + Sync + 'static) -> Failure {
    if is_damage { Failure::new(Kind::Damaged, format!("{}: {error}", path.display())) } else { Failure::from(error) }
}

/// A failure whose error already names its pack.
#[cfg(feature = "engine")]
fn failed(is_damage: bool, error: impl Error + Send + Sync + 'static) -> Failure {
    Failure::new(if is_damage { Kind::Damaged } else { Kind::Work }, error)
}
