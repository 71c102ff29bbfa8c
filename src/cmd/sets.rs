//! Sets of packs, for the commands that take one where they take a pack.

use std::path::{Path, PathBuf};

use mempack_format::{DiskStorage, PackSetFile, SetError, Storage as _};
use mempack_report::signers;
#[cfg(feature = "engine")]
use mempack_runtime::MappedSet;
use serde_json::{Value, json};

use super::trust;
use crate::failure::{Failure, Kind};
use crate::output::{bytes, thousands};
use crate::terminal::{one_line, outln};

/// Whether the file at `path` begins as a set does.
pub fn is_set(path: &Path) -> bool {
    let mut start = [0; 8];
    DiskStorage.read_start(path, &mut start).is_ok() && PackSetFile::is_set(&start)
}

/// Opens a set and all its packs.
#[cfg(feature = "engine")]
pub fn open(path: &Path) -> Result<MappedSet, Failure> {
    MappedSet::open(path).map_err(|error| {
        let kind = if error.is_damage() { Kind::Damaged } else { Kind::Work };
        Failure::new(kind, error)
    })
}

/// Reads the file of a set, without its packs.
pub fn read(path: &Path) -> Result<PackSetFile, Failure> {
    let bytes = std::fs::read(path).map_err(|error| Failure::new(Kind::Work, format!("{}: {error}", path.display())))?;
    PackSetFile::read(&bytes).map_err(|error| failed(path, &error))
}

pub fn failed(path: &Path, error: &SetError) -> Failure {
    let kind = if error.is_damage() { Kind::Damaged } else { Kind::Work };
    Failure::new(kind, format!("{}: {error}", path.display()))
}

/// The paths of the packs of a set.
pub fn packs<'a>(path: &'a Path, set: &'a PackSetFile) -> impl Iterator<Item = PathBuf> + 'a {
    set.manifest().packs.iter().map(|pack| path.with_file_name(&pack.file))
}

/// Each path, and in place of a set its packs.
pub fn expanded(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut all = Vec::new();
    for path in paths {
        if is_set(path) {
            all.extend(packs(path, &read(path)?));
        } else {
            all.push(path.clone());
        }
    }
    Ok(all)
}

/// Totals over the packs of a set.
pub struct Totals {
    /// References. One that is in several packs counts in each.
    pub references: u64,
    pub bytes: u64,
}

pub fn totals(set: &PackSetFile) -> Totals {
    let packs = &set.manifest().packs;
    Totals {
        references: packs.iter().map(|pack| u64::from(pack.counts.references)).sum(),
        bytes: packs.iter().map(|pack| pack.bytes).sum(),
    }
}

/// What `inspect` says of a set.
pub fn inspect(set: &PackSetFile) {
    let row = |name: &str, value: String| outln!("{name:<12} {}", one_line(&value));
    let (manifest, total) = (set.manifest(), totals(set));
    row("set", set.id().to_string());
    row("written by", manifest.generator.clone());
    row("signed by", trust::names(signers(set.signatures(), set.id()), "no one"));
    row(
        "references",
        format!("{} in {} packs, {}", thousands(total.references), thousands(manifest.packs.len() as u64), bytes(total.bytes)),
    );
    row(
        "routing",
        match set.routing().owners.len() {
            0 => "none: every search looks at all packs".into(),
            centroids => format!("{} centroids", thousands(centroids as u64)),
        },
    );
    row("codec", manifest.codec.clone());
    row("model", format!("{}, memories computed in {}", manifest.model.name, manifest.precision));
    row("embedder", format!("{}, {} dimensions, {}", manifest.embedder.name, manifest.embedder.dim, manifest.embedder.metric));
    outln!("\n{:<24} {:>12} {:>12} {:>10}  id", "pack", "references", "documents", "bytes");
    for pack in &manifest.packs {
        let counts = pack.counts;
        outln!(
            "{:<24} {:>12} {:>12} {:>10}  {:.16}",
            one_line(&pack.file),
            thousands(counts.references.into()),
            thousands(counts.documents.into()),
            bytes(pack.bytes),
            pack.id.to_string()
        );
    }
}

/// As [`inspect`], as JSON.
pub fn to_json(set: &PackSetFile) -> Value {
    let manifest = set.manifest();
    let packs: Vec<Value> = manifest
        .packs
        .iter()
        .map(|pack| {
            let counts = pack.counts;
            json!({
                "file": pack.file, "id": pack.id.to_string(), "bytes": pack.bytes,
                "counts": {"documents": counts.documents, "references": counts.references, "origins": counts.origins,
                           "tokens": counts.tokens, "text_bytes": counts.text_bytes},
                "first_key": pack.first_key.to_string(), "last_key": pack.last_key.to_string(),
            })
        })
        .collect();
    let signatures: Vec<Value> =
        signers(set.signatures(), set.id()).iter().map(|(key, right)| json!({"key": key, "right": right})).collect();
    json!({
        "set": set.id().to_string(), "generator": manifest.generator, "codec": {"name": manifest.codec},
        "model": {"name": manifest.model.name, "precision": manifest.precision},
        "embedder": {"name": manifest.embedder.name, "digest": manifest.embedder.digest.to_string(), "dim": manifest.embedder.dim},
        "centroids": set.routing().owners.len(), "signatures": signatures, "packs": packs,
    })
}
