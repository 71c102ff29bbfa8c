//! Merging the shards of a plan into a set of search packs.

mod pack;
mod shards;
mod spool;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mempack_format::{Digest, DiskStorage, PackSetFile, Routing, SetId, SetManifest, SetPack, Storage, WorkFolder};

use crate::cancel::check;
use crate::codec::threads;
use crate::progress::Stages;
use crate::write::WrittenReference;
use crate::{BuildError, BuildProgress, GENERATOR, MAX_THREADS, Stage};

use super::centroids::{Centroids, add, direction};
use super::references::ReferenceReader;
use super::shard_file::{ShardHeader, ShardReader};
use super::{CENTROIDS_FILE, Plan, PlanError};
use pack::{PackJob, PackParts};
use spool::{Spool, Spooled};

/// A search pack holds so many times the mean, at most. A tighter bound would send more references to a pack that is not the nearest, a looser one
/// would make packs of very different sizes.
const CAPACITY: (u64, u64) = (5, 4);
/// Most bytes of the name of a set.
const MAX_NAME: usize = 200;

/// The options of a merge.
#[derive(Clone, Debug)]
pub struct MergeOptions {
    /// Files of shards that are elsewhere than [`Plan::shard_path`], in any order.
    pub shards: Vec<PathBuf>,
    /// The folder of the set, which is created if it does not exist.
    pub output: PathBuf,
    /// The name of the set without ending: `NAME.mps` lists the packs `NAME-0000-....mpk`. The set's id depends on it.
    pub name: String,
    /// Packs that are written at the same time, 1 to [`MAX_THREADS`]. Each takes the memory of its graph. No byte depends on it.
    pub threads: usize,
    /// Where output and temporary files are stored.
    pub storage: Arc<dyn Storage>,
}

impl MergeOptions {
    /// A set named `bank` in a folder.
    pub fn new(output: PathBuf) -> Self {
        Self { shards: Vec::new(), output, name: "bank".to_owned(), threads: 1, storage: Arc::new(DiskStorage) }
    }
}

/// The result of a merge.
#[derive(Clone, Debug)]
pub struct MergeReport {
    /// The set's file.
    pub path: PathBuf,
    /// The set's id.
    pub id: SetId,
    /// Its packs.
    pub packs: Vec<SetPack>,
    /// References of all packs.
    pub references: u64,
    /// References that went to another pack than the nearest, which was full.
    pub moved: u64,
    /// How long each stage took, in order.
    pub stages: Vec<(Stage, Duration)>,
}

/// Merges the shards of a plan: checks that all are there and whole, gives each reference to the search pack of its nearest centroid that has
/// room, writes the packs and, at last, the set that lists them.
///
/// The set is a function of the plan and the name: neither the order of the shards nor threads change a byte. Memory: for each pack that is
/// written, that of [`build`](crate::build) for its references and documents; and about 80 MiB. The folder needs room for the references twice.
///
/// A set of the same name stays as it is until the new one is complete, and its packs are removed then: packs are named by number and id, so
/// that old and new ones lie side by side meanwhile.
///
/// # Errors
/// If shards are missing or cannot be merged, all of which are listed; if the plan is damaged; or if writing fails.
pub fn merge(plan: &Plan, options: &MergeOptions, progress: &dyn BuildProgress, cancel: &AtomicBool) -> Result<MergeReport, PlanError> {
    if !(1..=MAX_THREADS).contains(&options.threads) {
        return Err(BuildError::Option { option: "threads", found: options.threads as u64, expected: "1 to 256" }.into());
    }
    let starts_well = options.name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !starts_well || options.name.len() > MAX_NAME || !options.name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
        return Err(PlanError::Name { name: options.name.clone() });
    }
    let references = plan.manifest.references;
    let mut stages = Stages::new(progress);
    let target = options.output.join(format!("{}.mps", options.name));
    let old = old_packs(&target)?;

    stages.begin(Stage::Checking, Some(references));
    let shards = shards::find(plan, options, progress, cancel)?;
    let centroids = read_centroids(plan)?;
    let contents = plan.pack.contents();
    let damaged = |source| PlanError::Pack { path: plan.pack.path().to_owned(), source: Box::new(source) };
    contents.check_documents().map_err(damaged)?;
    let parameters = contents.parameters().map_err(damaged)?;

    let storage = &options.storage;
    storage.create_folder(&options.output).map_err(failed(&options.output))?;
    // Its lock keeps other merges of this set away. The set's own work folder is that of its file.
    let folder = WorkFolder::open(Arc::clone(storage), &options.output.join(format!("{}.mpk", options.name)))?;

    stages.begin(Stage::Regrouping, Some(references));
    let Regrouped { spooled, jobs, routing, moved } = regroup(plan, &shards, &centroids, &folder, progress, cancel)?;

    stages.begin(Stage::Packing, Some(references));
    let parts = PackParts { plan, parameters: &parameters, spooled: &spooled, folder: &folder, name: &options.name, progress, cancel };
    let packs = write_packs(&parts, &jobs, options.threads)?;

    stages.begin(Stage::Sealing, Some(references));
    check(cancel)?;
    for (job, pack) in jobs.iter().zip(&packs) {
        let file = options.output.join(&pack.file);
        storage.rename(&job.path(&folder), &file).map_err(failed(&file))?;
    }
    storage.sync_folder(&options.output).map_err(failed(&options.output))?;
    let set_failed = |source| PlanError::Set { path: target.clone(), source: Box::new(source) };
    let set = PackSetFile::new(set_manifest(plan, packs.clone()), routing).map_err(set_failed)?;
    set.write(Arc::clone(storage), &target)?;
    // What is complete stays complete, whatever cannot be removed.
    for name in old.iter().filter(|name| packs.iter().all(|pack| pack.file != **name)) {
        let file = options.output.join(name);
        if let Err(error) = storage.remove_file(&file) {
            progress.note(&format!("the set is complete, but {}, a pack of the set before, cannot be removed: {error}", file.display()));
        }
    }
    drop(spooled);
    if let Err(error) = folder.remove(&[]) {
        progress.note(&format!("the set is complete, but {error}"));
    }
    progress.advance(references, 0);
    Ok(MergeReport { path: target, id: set.id(), packs, references, moved, stages: stages.finish() })
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> PlanError + '_ {
    move |source| PlanError::Io { path: path.to_owned(), source }
}

/// The files of the packs of a set that is there.
fn old_packs(target: &Path) -> Result<Vec<String>, PlanError> {
    if !target.exists() {
        return Ok(Vec::new());
    }
    let bytes = std::fs::read(target).map_err(failed(target))?;
    let set = PackSetFile::read(&bytes).map_err(|source| PlanError::Set { path: target.to_owned(), source: Box::new(source) })?;
    Ok(set.manifest().packs.iter().map(|pack| pack.file.clone()).collect())
}

fn read_centroids(plan: &Plan) -> Result<Centroids, PlanError> {
    let path = plan.folder.join(CENTROIDS_FILE);
    plan.check_file(&path, &plan.manifest.centroids)?;
    let bytes = std::fs::read(&path).map_err(failed(&path))?;
    let dim = plan.pack.contents().manifest().embedder.dim;
    Centroids::read(&bytes, dim, plan.manifest.packs).map_err(|what| PlanError::File { path, what })
}

fn set_manifest(plan: &Plan, packs: Vec<SetPack>) -> SetManifest {
    let manifest = plan.pack.contents().manifest();
    SetManifest {
        generator: GENERATOR.to_owned(),
        model: manifest.model.clone(),
        precision: manifest.precision.clone(),
        embedder: manifest.embedder.clone(),
        codec: manifest.codec.clone(),
        packs,
    }
}

/// The references, by pack.
struct Regrouped {
    spooled: Spooled,
    jobs: Vec<PackJob>,
    routing: Routing,
    /// References whose nearest pack was full.
    moved: u64,
}

/// What a pack has so far.
#[derive(Clone)]
struct Tally {
    references: u64,
    first_key: Digest,
    last_key: Digest,
}

/// Gives each reference, in the order of the plan, to the pack of its nearest centroid that has room.
fn regroup(
    plan: &Plan,
    shards: &[PathBuf],
    centroids: &Centroids,
    folder: &WorkFolder,
    progress: &dyn BuildProgress,
    cancel: &AtomicBool,
) -> Result<Regrouped, PlanError> {
    let packs = plan.manifest.packs as usize;
    let (more, of) = CAPACITY;
    let capacity = u128::from(plan.manifest.references) * u128::from(more);
    let capacity = u64::try_from(capacity.div_ceil(u128::from(of) * packs as u128)).unwrap_or(u64::MAX);
    let (stride, dim) = (plan.pack.contents().record_bytes() as usize, centroids.dim());
    let mut spool = Spool::create(&**folder.storage(), folder.scratch().join("references"), 2 * packs)?;
    let mut tallies = vec![Tally { references: 0, first_key: Digest([0xFF; 32]), last_key: Digest([0; 32]) }; packs];
    let (mut sums, mut sizes, mut moved) = (vec![0f64; centroids.len() * dim], vec![0u64; centroids.len()], 0);
    let mut bytes = Vec::new();
    for (shard, path) in (0..).zip(shards) {
        let header = ShardHeader::of(plan, shard);
        let mut references = ReferenceReader::open(plan.references_path(shard))?;
        let mut payloads = ShardReader::open(path, &header)?;
        for _ in 0..header.references {
            check(cancel)?;
            let Some(reference) = references.next()? else {
                let what = format!("it has fewer than {} references", header.references);
                return Err(PlanError::File { path: plan.references_path(shard), what });
            };
            let payload = payloads.next()?;
            let embedding = WrittenReference::from_payload(payload, stride).embedding;
            let has_room = |pack: u32| tallies[pack as usize].references < capacity;
            let nearest = centroids.nearest(&embedding, |_| true).filter(|nearest| has_room(centroids.owner(*nearest)));
            moved += u64::from(nearest.is_none());
            // All packs together have more room than there are references.
            let centroid = nearest.or_else(|| centroids.nearest(&embedding, has_room)).unwrap_or_default();
            let pack = centroids.owner(centroid) as usize;
            add(&mut sums[centroid * dim..(centroid + 1) * dim], &embedding);
            sizes[centroid] += 1;
            let (tally, key) = (&mut tallies[pack], reference.candidate.key);
            tally.references += 1;
            tally.first_key = tally.first_key.min(key);
            tally.last_key = tally.last_key.max(key);
            bytes.clear();
            reference.put(&mut bytes);
            bytes.extend(payload);
            spool.push(2 * pack, &bytes)?;
            for occurrence in &reference.occurrences {
                spool.push(2 * pack + 1, &occurrence.origin.document.to_le_bytes())?;
            }
            progress.advance(1, 0);
        }
    }
    // Packs without references are none of the set.
    let mut numbers = vec![None; packs];
    let mut jobs: Vec<PackJob> = Vec::new();
    for (pack, Tally { references, first_key, last_key }) in tallies.into_iter().enumerate().filter(|(_, tally)| tally.references > 0) {
        let number = jobs.len() as u32;
        numbers[pack] = Some(number);
        jobs.push(PackJob { number, stream: 2 * pack, references, first_key, last_key });
    }
    let mut routing = Routing::default();
    for (centroid, sum) in sums.chunks_exact(dim).enumerate().filter(|(centroid, _)| sizes[*centroid] > 0) {
        routing.owners.extend(numbers[centroids.owner(centroid) as usize]);
        // Embeddings that cancel out have no mean direction.
        routing.centroids.extend(direction(sum).unwrap_or_else(|| centroids.row(centroid).to_vec()));
    }
    Ok(Regrouped { spooled: spool.finish()?, jobs, routing, moved })
}

/// Writes the packs, some at the same time. Gives them in their order.
fn write_packs(parts: &PackParts<'_>, jobs: &[PackJob], at_once: usize) -> Result<Vec<SetPack>, PlanError> {
    let results: Vec<Mutex<Option<Result<SetPack, PlanError>>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
    let stop = AtomicBool::new(false);
    threads::for_each(at_once, jobs.iter().zip(&results), |(job, result)| {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let written = job.write(parts);
        stop.fetch_or(written.is_err(), Ordering::Relaxed);
        *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(written);
    });
    let results = results.into_iter().filter_map(|result| result.into_inner().unwrap_or_else(PoisonError::into_inner));
    // Without an error, nothing was left out.
    let (packs, errors): (Vec<_>, Vec<_>) = results.partition(Result::is_ok);
    errors.into_iter().chain(packs).collect()
}
