//! Checking what is published.

use std::collections::{BTreeMap, HashSet};

use futures_util::{StreamExt as _, stream};
use mempack_format::Digest;

use crate::catalog::{chunk_name, file_name, set_name};
use crate::error::StoreError;
use crate::objects::{EditionFile, Piece};
use crate::remote::Store;
use crate::watch::{Stage, Watch};

/// What is checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VerifyOptions {
    /// A name; all if `None`.
    pub name: Option<String>,
    /// Read this share of the chunks and a seed that chooses them; all if `None`.
    pub sample: Option<(f64, u64)>,
}

/// What was checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// The names.
    pub names: u64,
    /// Banks that are published under them, or were and are still there.
    pub editions: u64,
    /// Objects that were read.
    pub objects: u64,
    /// Their bytes.
    pub read_bytes: u64,
    /// Chunks that are named.
    pub chunks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that are damaged or missing.
    pub damages: u64,
}

/// Reads what is reachable from the names, and compares it with its digests. `on_damage` gets everything that is damaged, also the rest after
/// the first.
///
/// # Errors
/// If the store fails, or nothing is published.
pub async fn verify(
    store: &Store,
    options: &VerifyOptions,
    on_damage: &mut (dyn FnMut(&StoreError) + Send),
    watch: &dyn Watch,
) -> Result<VerifyReport, StoreError> {
    let names = match &options.name {
        Some(name) => vec![store.choose_name(Some(name)).await?],
        None => store.names().await?,
    };
    if names.is_empty() {
        store.choose_name(None).await?;
    }
    let mut report = VerifyReport { names: names.len() as u64, ..VerifyReport::default() };
    let mut files: BTreeMap<Digest, EditionFile> = BTreeMap::new();
    let mut seen = HashSet::new();
    for name in &names {
        let Some(head) = whole(store.existing_head(name).await, &mut report, on_damage)? else { continue };
        report.objects += 1;
        for (age, entry) in head.editions.iter().enumerate() {
            if !seen.insert(entry.edition) {
                continue;
            }
            // What was published before may have been deleted, as a whole.
            if age > 0 && store.size(&set_name(entry.edition)).await?.is_none() {
                continue;
            }
            report.objects += 1;
            report.editions += 1;
            let Some(edition) = whole(store.edition(*entry).await, &mut report, on_damage)? else { continue };
            files.extend(edition.files.into_iter().map(|file| (file.index, file)));
        }
    }
    let at_once = store.requests().at_once;
    let mut chunks: BTreeMap<Digest, Piece> = BTreeMap::new();
    let mut indexes = stream::iter(files.values()).map(|file| store.index(file)).buffered(at_once).boxed();
    while let Some(index) = indexes.next().await {
        report.objects += 1;
        let Some(index) = whole(index, &mut report, on_damage)? else { continue };
        chunks.extend(index.chunks.into_iter().map(|piece| (piece.digest, piece)));
    }
    report.chunks = chunks.len() as u64;
    report.bytes = chunks.values().map(|piece| u64::from(piece.bytes)).sum();
    let chosen: Vec<Piece> =
        chunks.into_values().filter(|piece| options.sample.is_none_or(|sample| is_chosen(piece.digest, sample))).collect();
    watch.begin(Stage::Verifying, chosen.iter().map(|piece| u64::from(piece.bytes)).sum());
    let mut read = stream::iter(chosen).map(|piece| async move { (piece, store.chunk(piece).await) }).buffered(at_once).boxed();
    while let Some((piece, bytes)) = read.next().await {
        report.objects += 1;
        report.read_bytes += bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        whole(bytes, &mut report, on_damage)?;
        watch.advance(piece.bytes.into());
    }
    Ok(report)
}

/// What was read, unless it is damaged; then it is counted and told of.
fn whole<T>(
    read: Result<T, StoreError>,
    report: &mut VerifyReport,
    on_damage: &mut (dyn FnMut(&StoreError) + Send),
) -> Result<Option<T>, StoreError> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if error.is_damage() => {
            report.damages += 1;
            on_damage(&error);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Whether a sample has a chunk: by a digest of its name and the seed, so that each has the same chance.
fn is_chosen(digest: Digest, (share, seed): (f64, u64)) -> bool {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).update(&digest.0);
    let mut first = [0; 8];
    hasher.finalize_xof().fill(&mut first);
    (u64::from_le_bytes(first) as f64) < share * (u64::MAX as f64)
}

/// All objects that the first `keep` editions of every name need, for a clean-up.
///
/// # Errors
/// If the store fails or one of them is damaged: then it is not known what is needed.
pub async fn reachable(store: &Store, keep: usize) -> Result<HashSet<String>, StoreError> {
    let mut needed = HashSet::new();
    for name in store.names().await? {
        let head = store.existing_head(&name).await?;
        for (age, entry) in head.editions.iter().enumerate().take(keep.max(1)) {
            let set = set_name(entry.edition);
            if needed.contains(&set) || (age > 0 && store.size(&set).await?.is_none()) {
                continue;
            }
            let edition = store.edition(*entry).await?;
            needed.insert(set);
            needed.extend(edition.files.iter().map(|file| file_name(file.index)));
            for index in store.indexes(&edition).await? {
                needed.extend(index.chunks.iter().map(|piece| chunk_name(piece.digest)));
            }
        }
    }
    Ok(needed)
}
