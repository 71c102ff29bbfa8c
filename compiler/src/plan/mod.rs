//! Builds that are spread over machines: a plan, its shards, and their merge to search packs.
//!
//! [`plan`] reads the corpus once and fixes all that the parts share: the references and their shards, the codec with its tables, the centroids.
//! [`build_shard`] encodes one shard, anywhere. [`merge`] regroups the references by their embeddings and writes the packs.
//! A plan is a folder:
//!
//! | file | contents |
//! |---|---|
//! | `plan.json` | what the plan fixes, with the digests of the other files; its own digest is the plan's id |
//! | `plan.mpk` | a pack without references: documents, metadata, codec, quality, the identities of model and embedder |
//! | `references/0000` ... | the references of each build shard |
//! | `probe` | references whose outputs show whether a machine computes the same bits |
//! | `centroids` | which embeddings belong to which search pack |
//! | `shards/0000.shard` ... | what was built, if nobody asked for another place |

mod centroids;
mod embed;
mod error;
mod manifest;
mod merge;
mod planning;
mod probe;
mod references;
mod shard;
mod shard_file;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use mempack_format::{Difference, Digest};
use mempack_model::{Embedder, Model};

pub use error::{BadShard, PlanError};
pub use manifest::{MAX_PACKS, MAX_SHARDS};
pub use merge::{MergeOptions, MergeReport, merge};
pub use planning::{PlanOptions, PlanReport, SearchPacks, plan};
pub use shard::{ShardOptions, ShardReport, build_shard};
pub use shard_file::ShardDefect;

use crate::GENERATOR;
use crate::previous::PreviousPack;
use manifest::{PlanManifest, PlannedFile};

const MANIFEST_FILE: &str = "plan.json";
const PACK_FILE: &str = "plan.mpk";
const REFERENCES_FOLDER: &str = "references";
const SHARDS_FOLDER: &str = "shards";
const PROBE_FILE: &str = "probe";
const CENTROIDS_FILE: &str = "centroids";

/// A plan that was made.
#[derive(Debug)]
pub struct Plan {
    folder: PathBuf,
    id: Digest,
    manifest: PlanManifest,
    pack: PreviousPack,
}

impl Plan {
    /// Opens the plan in a folder. `open` opens its file `plan.mpk`.
    ///
    /// # Errors
    /// If the folder is no plan, a file of it is damaged or missing, or another version of this program made it; or what `open` returns.
    pub fn open<E: From<PlanError>>(folder: &Path, open: impl FnOnce(&Path) -> Result<PreviousPack, E>) -> Result<Self, E> {
        let path = folder.join(MANIFEST_FILE);
        let bytes = fs::read(&path).map_err(|source| match source.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => PlanError::NoPlan { path: folder.to_owned() },
            _ => PlanError::Io { path: path.clone(), source },
        })?;
        let manifest = PlanManifest::read(&bytes).map_err(|reason| PlanError::Manifest { path: path.clone(), reason })?;
        if manifest.generator != GENERATOR {
            let (found, expected) = (manifest.generator, GENERATOR.to_owned());
            return Err(PlanError::Version { path: folder.to_owned(), found, expected }.into());
        }
        let path = folder.join(PACK_FILE);
        let pack = open(&path)?;
        if pack.id().0 != manifest.pack {
            let what = format!("its id is {}, expected {}", pack.id(), manifest.pack);
            return Err(PlanError::File { path, what }.into());
        }
        Ok(Self { folder: folder.to_owned(), id: Digest::of(&bytes), manifest, pack })
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its id: the digest of `plan.json`.
    pub fn id(&self) -> Digest {
        self.id
    }

    /// How many build shards it has.
    pub fn shards(&self) -> u32 {
        // At most `MAX_SHARDS`.
        self.manifest.shards.len() as u32
    }

    /// How many references it has.
    pub fn references(&self) -> u64 {
        self.manifest.references
    }

    /// What its memories are computed in: `f32` or `bf16`.
    pub fn precision(&self) -> &str {
        &self.pack.contents().manifest().precision
    }

    /// Where a shard is, if it was written to no other place.
    pub fn shard_path(&self, shard: u32) -> PathBuf {
        self.folder.join(SHARDS_FOLDER).join(format!("{shard:04}.shard"))
    }

    fn references_path(&self, shard: u32) -> PathBuf {
        references_path(&self.folder, shard)
    }

    /// Refuses a model, an embedder or a kind of device that is not the plan's.
    fn check(&self, model: &Model, embedder: &Embedder) -> Result<(), PlanError> {
        let manifest = self.pack.contents().manifest();
        let mut differences = manifest.model.differences(model.identity());
        let precision = model.decoder().precision().to_string();
        if manifest.precision != precision {
            differences.push(Difference { field: "precision", pack: manifest.precision.clone(), model: precision });
        }
        differences.extend(manifest.embedder.differences(embedder.identity()));
        if !differences.is_empty() {
            return Err(PlanError::Identity { path: self.folder.clone(), differences });
        }
        let (expected, found) = (&self.manifest.probe.machine.device, model.decoder().machine().device);
        if *expected != found {
            return Err(PlanError::Device { path: self.folder.clone(), expected: expected.clone(), found });
        }
        Ok(())
    }

    /// Compares a file with the plan.
    fn check_file(&self, path: &Path, planned: &PlannedFile) -> Result<(), PlanError> {
        let (bytes, digest) = references::digest_of(path).map_err(|source| match source.kind() {
            ErrorKind::NotFound => PlanError::File { path: path.to_owned(), what: "it is missing".to_owned() },
            _ => PlanError::Io { path: path.to_owned(), source },
        })?;
        let what = match (bytes == planned.bytes, digest == planned.digest) {
            (true, true) => return Ok(()),
            (false, _) => format!("it has {bytes} bytes, expected {}", planned.bytes),
            (true, false) => "its bytes were changed".to_owned(),
        };
        Err(PlanError::File { path: path.to_owned(), what })
    }
}

fn references_path(folder: &Path, shard: u32) -> PathBuf {
    folder.join(REFERENCES_FOLDER).join(format!("{shard:04}"))
}
