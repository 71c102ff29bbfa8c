//! One file per command: its arguments and its `run`.

#[cfg(feature = "engine")]
mod answer;
#[cfg(feature = "serve")]
pub mod api_keys;
#[cfg(feature = "engine")]
pub mod ask;
#[cfg(feature = "engine")]
mod ask_many;
#[cfg(feature = "engine")]
pub mod bench;
#[cfg(feature = "engine")]
pub mod budget;
#[cfg(feature = "engine")]
pub mod build;
#[cfg(feature = "engine")]
pub mod codebooks;
pub mod completions;
pub mod corpus;
#[cfg(feature = "engine")]
pub mod cut;
pub mod diff;
#[cfg(feature = "engine")]
mod encoding;
#[cfg(feature = "engine")]
pub mod eval;
#[cfg(feature = "engine")]
pub mod files;
#[cfg(feature = "store")]
pub mod gc;
mod identity;
#[cfg(feature = "engine")]
pub mod import;
pub mod inspect;
#[cfg(feature = "engine")]
mod inspect_model;
pub mod keygen;
pub mod make_questions;
#[cfg(feature = "engine")]
mod measuring;
#[cfg(feature = "engine")]
pub mod merge;
#[cfg(feature = "engine")]
pub mod models;
#[cfg(feature = "store")]
mod objects;
#[cfg(feature = "engine")]
mod packs;
#[cfg(feature = "engine")]
pub mod plan;
#[cfg(feature = "engine")]
mod planned;
#[cfg(feature = "store")]
pub mod pull;
#[cfg(feature = "store")]
pub mod push;
#[cfg(feature = "engine")]
pub mod quality;
pub mod repair;
pub mod report;
#[cfg(feature = "engine")]
mod rerank;
#[cfg(feature = "engine")]
mod retrieval;
#[cfg(feature = "engine")]
pub mod revoke;
#[cfg(feature = "engine")]
mod revoke_set;
#[cfg(feature = "engine")]
mod revoking;
#[cfg(feature = "engine")]
pub mod search;
#[cfg(feature = "serve")]
pub mod serve;
mod sets;
#[cfg(feature = "engine")]
mod shard;
pub mod sign;
#[cfg(feature = "engine")]
mod threshold;
#[cfg(feature = "engine")]
pub mod train;
mod trust;
pub mod verify;
#[cfg(feature = "store")]
mod verify_store;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use mempack_format::{DiskStorage, OpenError, Storage as _};
#[cfg(feature = "engine")]
use mempack_runtime::SessionError;
use mempack_runtime::{MapError, MappedPack};

use crate::failure::{Failure, Kind};
#[cfg(feature = "engine")]
use crate::hints;

/// The kind of a session's failure, a hint, and what differs.
#[cfg(feature = "engine")]
fn of_session(error: &SessionError) -> (Kind, Option<&'static str>, Option<String>) {
    let kind = match error {
        SessionError::Mismatch(_) | SessionError::NotSigned(_) => Kind::Mismatch,
        SessionError::Option(_) => Kind::Usage,
        _ => Kind::Work,
    };
    (kind, hints::session(error), hints::session_details(error))
}

/// The value of `--threads`, for every command that has it.
#[cfg(feature = "engine")]
fn threads(word: &str) -> Result<usize, String> {
    let max = mempack_compiler::MAX_THREADS;
    match word.parse() {
        Ok(threads) if (1..=max).contains(&threads) => Ok(threads),
        _ => Err(format!("expected a number of threads from 1 to {max}; the number of cores is a good choice")),
    }
}

/// The value of `--precision`, for commands that decode answers.
#[cfg(feature = "engine")]
fn answering(word: &str) -> Result<mempack_model::Precision, String> {
    match word {
        "int8" => Ok(mempack_model::Precision::Int8),
        _ => word.parse().map_err(|_| "expected f32, bf16 or int8".to_owned()),
    }
}

/// The positional argument of a command that has an option with several values: what stands after such an option is taken for one more
/// of its values, and the last of them is then the argument, as in `repair --from COPY PACK`.
fn argument_or_last<T>(argument: Option<T>, option: &mut Vec<T>, name: &str) -> Result<T, Failure> {
    match argument {
        Some(argument) => Ok(argument),
        None if option.len() > 1 => option.pop().ok_or_else(|| missing(name)),
        None => Err(missing(name)),
    }
}

fn missing(name: &str) -> Failure {
    Failure::new(Kind::Usage, format!("the argument {name} is missing; --help shows how to use this command"))
}

/// Maps a pack. Damaged packs, and files that are no packs, have an exit code of their own; packs of another version do not.
fn open(path: &Path) -> Result<MappedPack, Failure> {
    if path.is_dir() {
        return Err(Failure::new(
            Kind::Work,
            format!("{}: this is a folder; name a pack, such as {}", path.display(), example(path).display()),
        ));
    }
    MappedPack::open(path).map_err(|error| {
        let no_pack = matches!(&error, MapError::Open { source: OpenError::NotAPack { .. }, .. });
        let hint = if no_pack { what_else(path) } else { None };
        Failure::new(if no_pack || error.is_damage() { Kind::Damaged } else { Kind::Work }, error).with_hint(hint)
    })
}

/// A pack in a folder, or the name that one might have.
fn example(folder: &Path) -> PathBuf {
    let packs = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    packs.filter(|path| path.extension().is_some_and(|ending| ending == "mpk")).min().unwrap_or_else(|| folder.join("NAME.mpk"))
}

/// What a file is that is no pack, and what to do with it.
fn what_else(path: &Path) -> Option<&'static str> {
    let mut start = [0; 64];
    let length = DiskStorage.read_start(path, &mut start).ok()?;
    let start = start.get(..length)?;
    const KNOWN: [(&[u8], &str); 10] = [
        (b"", "the file is empty: writing it was interrupted, or it is still being copied"),
        (
            b"\x89MPS",
            "this is a set of packs: this command takes a single pack, such as one of those that `mempack inspect` lists of the set",
        ),
        (b"version https://git-lfs", "this is a git-LFS pointer in place of the pack: run git lfs pull"),
        (b"-----BEGIN", "this is a key: give it with --trusted or --key"),
        (b"GGUF", "this is a GGUF model: mempack import makes a folder of it, which --model takes"),
        (b"\x1F\x8B", "this is gzip-compressed: decompress it with gunzip"),
        (b"PK\x03\x04", "this is a zip archive: unpack it"),
        (b"\x28\xB5\x2F\xFD", "this is zstd-compressed: decompress it with zstd -d"),
        (b"{", "this is JSON: mempack build makes a pack of a corpus"),
        (b"<", "this is a web page or XML, perhaps an error page in place of a download: download the pack again"),
    ];
    let found = KNOWN.iter().find(|(magic, _)| if magic.is_empty() { start.is_empty() } else { start.starts_with(magic) });
    found.map(|(_, hint)| *hint)
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
