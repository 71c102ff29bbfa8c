//! Making a plan.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mempack_format::{CodecSpec, Digest, PackWriter, Quality, Storage, WorkFolder};
use mempack_model::{Embedder, Model};

use crate::cancel::check;
use crate::context::BuildContext;
use crate::dedup::Occurrence;
use crate::key::Keys;
use crate::places::PlaceTable;
use crate::prepare::{self, Preparation, Prepared};
use crate::progress::Stages;
use crate::scratch::{Scratch, failed};
use crate::tuning::choose::Candidates;
use crate::work_files::{WorkFiles, conclude};
use crate::write::{CorpusReferences, ReferenceSource as _, SourceReference};
use crate::{BuildError, BuildOptions, BuildProgress, GENERATOR, Stage, UsedCodebooks};

use super::centroids::Centroids;
use super::embed::embed;
use super::manifest::{MAX_PACKS, MAX_SHARDS, PLAN_FORMAT, PlanManifest, PlannedFile, PlannedOptions, PlannedProbe, PlannedShard};
use super::probe::{self, PROBE_REFERENCES};
use super::references::{DigestFile, PlannedOccurrence, PlannedReference};
use super::{CENTROIDS_FILE, MANIFEST_FILE, PACK_FILE, PROBE_FILE, PlanError, REFERENCES_FOLDER, SHARDS_FOLDER, references_path};

/// Most references whose embeddings centroids are trained on.
const MAX_ROUTED: usize = 4096;
/// Fewest of them, if there are so many.
const MIN_ROUTED: u64 = 256;
/// Of so many references one is taken, between these bounds: embedding them is done again when their shard is built.
const ROUTED_SHARE: u64 = 32;

/// How many search packs the references of a plan go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchPacks {
    /// So many, at most [`MAX_PACKS`].
    Count(u32),
    /// As many as it takes if each has so many references on average.
    Holding(u64),
}

impl Default for SearchPacks {
    fn default() -> Self {
        Self::Holding(1_000_000)
    }
}

impl SearchPacks {
    /// The number for so many references. A pack has at least one.
    fn number(self, references: u64) -> Result<u32, BuildError> {
        let found = match self {
            Self::Count(count) => count.into(),
            Self::Holding(0) => 0,
            Self::Holding(each) => references.div_ceil(each),
        };
        match u32::try_from(found) {
            Ok(number @ 1..=MAX_PACKS) => Ok(number.min(u32::try_from(references).unwrap_or(u32::MAX)).max(1)),
            _ => Err(BuildError::Option { option: "packs", found, expected: "1 to 4096" }),
        }
    }
}

/// The options of a plan.
#[derive(Clone, Debug)]
pub struct PlanOptions {
    /// Those of a build; `output` is the folder of the plan. A previous pack is not used.
    pub build: BuildOptions,
    /// How many build shards, at most [`MAX_SHARDS`].
    pub shards: u32,
    /// How many search packs.
    pub packs: SearchPacks,
    /// Whether a plan at the output is replaced, with its shards.
    pub force: bool,
}

/// The result of planning.
#[derive(Clone, Debug)]
pub struct PlanReport {
    /// The plan's id.
    pub id: Digest,
    /// Whether the plan that was there is the same, and stays with its shards.
    pub unchanged: bool,
    /// Documents.
    pub documents: u64,
    /// Files in folders of the corpus that could not be read, each with the reason. Each was noted.
    pub skipped: Vec<(String, String)>,
    /// References.
    pub references: u64,
    /// Places in documents that the references come from, duplicates included.
    pub origins: u64,
    /// Tokens of the references, each counted once.
    pub tokens: u64,
    /// Build shards.
    pub shards: u32,
    /// Search packs.
    pub packs: u32,
    /// Centroids of all packs.
    pub centroids: usize,
    /// The codec of the memories.
    pub codec: CodecSpec,
    /// The codebooks that came with the model, if they are used.
    pub codebooks: Option<UsedCodebooks>,
    /// The codec's loss; `None` for a lossless codec.
    pub quality: Option<Quality>,
    /// How long each stage took, in order.
    pub stages: Vec<(Stage, Duration)>,
}

/// Plans a build: reads the corpus, and writes a folder from which shards can be built anywhere.
///
/// Texts and tokens pass through files. What grows in memory with the corpus are the values of metadata, every different one once, with 4 bytes
/// for each document that has it, and the different places of references.
///
/// # Interruption
/// The folder is made as `<output>.building` and renamed at the end. A plan that ends early leaves what it has computed there, and the same plan
/// resumes from it.
///
/// # Errors
/// Those of a build; and if there is something at the output. What is there is then unchanged.
pub fn plan(
    model: &Model,
    embedder: &Embedder,
    options: &PlanOptions,
    progress: &dyn BuildProgress,
    cancel: &AtomicBool,
) -> Result<PlanReport, PlanError> {
    if !(1..=MAX_SHARDS).contains(&options.shards) {
        return Err(BuildError::Option { option: "shards", found: options.shards.into(), expected: "1 to 100000" }.into());
    }
    options.packs.number(1)?;
    let build = BuildOptions { from: None, ..options.build.clone() };
    let model = model.writer();
    let (precision, codecs) = prepare::check(model, embedder, &build)?;
    let storage = &build.storage;
    let target = PlanFolder::new(Arc::clone(storage), &build.output, options.force)?;
    target.begin()?;
    let folder = WorkFolder::open(Arc::clone(storage), &target.building.join(PACK_FILE))?;
    let work_files = WorkFiles::new(&folder);
    let keys = Keys::new(model.identity(), &precision);
    let context = BuildContext { model, embedder, options: &build, progress, cancel, work_files: &work_files, identity: keys.identity() };
    let result = make(&context, &folder, &target, &keys, &precision, &codecs, options);
    let resume = work_files.resume_state();
    match conclude(result, resume, folder, progress) {
        Ok((mut report, manifest)) => {
            report.unchanged = target.publish(&manifest)?;
            Ok(report)
        }
        Err(error) => {
            target.clean();
            Err(error.into())
        }
    }
}

/// The folder of a plan while it is made.
struct PlanFolder {
    storage: Arc<dyn Storage>,
    target: PathBuf,
    building: PathBuf,
}

impl PlanFolder {
    fn new(storage: Arc<dyn Storage>, output: &Path, force: bool) -> Result<Self, PlanError> {
        let target = storage.follow_links(output).map_err(|source| PlanError::Io { path: output.to_owned(), source })?;
        // Without the slash that a path of a folder may end with.
        let target: PathBuf = target.components().collect();
        let Some(name) = target.file_name() else { return Err(PlanError::Occupied { path: target }) };
        if storage.exists(&target) {
            let is_plan = storage.is_regular_file(&target.join(MANIFEST_FILE));
            let is_empty = std::fs::read_dir(&target).is_ok_and(|mut entries| entries.next().is_none());
            if is_plan && !force {
                return Err(PlanError::Exists { path: target });
            }
            if !is_plan && !is_empty {
                return Err(PlanError::Occupied { path: target });
            }
        }
        let mut name = name.to_os_string();
        name.push(".building");
        let building = target.with_file_name(name);
        Ok(Self { storage, target, building })
    }

    fn io<T>(path: &Path, result: std::io::Result<T>) -> Result<T, PlanError> {
        result.map_err(|source| PlanError::Io { path: path.to_owned(), source })
    }

    fn begin(&self) -> Result<(), PlanError> {
        Self::io(&self.building, self.storage.create_folder(&self.building))
    }

    /// Removes all but what the same plan resumes from.
    fn clean(&self) {
        // The first error is reported; what stays now is overwritten when the plan is made again.
        let _ = self.storage.remove_folder(&self.building.join(REFERENCES_FOLDER));
        let _ = self.storage.remove_folder(&self.building.join(SHARDS_FOLDER));
        for name in [PACK_FILE, PROBE_FILE, CENTROIDS_FILE, MANIFEST_FILE] {
            let _ = self.storage.remove_file(&self.building.join(name));
        }
        let _ = self.storage.remove_empty_folder(&self.building);
    }

    /// Puts the plan in its place, or keeps the one that is there if it is the same. Gives whether it is the same.
    fn publish(&self, manifest: &[u8]) -> Result<bool, PlanError> {
        let Self { storage, target, building } = self;
        if std::fs::read(target.join(MANIFEST_FILE)).is_ok_and(|there| there == manifest) {
            Self::io(building, storage.remove_folder(building))?;
            return Ok(true);
        }
        let mut name = target.file_name().unwrap_or_default().to_os_string();
        name.push(".replaced");
        let replaced = target.with_file_name(name);
        if storage.exists(target) {
            Self::io(&replaced, storage.remove_folder(&replaced))?;
            Self::io(target, storage.rename(target, &replaced))?;
        }
        Self::io(target, storage.rename(building, target))?;
        let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Self::io(parent, storage.sync_folder(parent))?;
        Self::io(&replaced, storage.remove_folder(&replaced))?;
        Ok(false)
    }
}

/// Makes all files of the plan in the folder that it is built in. Gives the contents of `plan.json` too.
fn make(
    context: &BuildContext<'_>,
    folder: &WorkFolder,
    target: &PlanFolder,
    keys: &Keys,
    precision: &str,
    codecs: &Candidates,
    options: &PlanOptions,
) -> Result<(PlanReport, Vec<u8>), BuildError> {
    let BuildContext { model, embedder, progress, cancel, .. } = *context;
    let storage = folder.storage();
    let mut writer = PackWriter::create_in(folder, model.identity().shape.clone(), embedder.identity().dim)?;
    let scratch = Scratch::new(Arc::clone(storage), folder.scratch());
    let mut stages = Stages::new(progress);
    let preparation =
        Preparation { keys, scratch: &scratch, writer: &mut writer, codecs, taken: None, max_routed: MAX_ROUTED, titles: false };
    let Prepared { read, references, mut candidates, mut routed, codec, encoder, measured, codebooks, .. } =
        preparation.run(context, &mut stages)?;
    let count = references.count;

    let packs = options.packs.number(count)?;
    let wanted = (count / ROUTED_SHARE).clamp(MIN_ROUTED, MAX_ROUTED as u64).max(packs.into());
    routed.truncate(wanted as usize);
    stages.begin(Stage::Centroids, Some(routed.len() as u64));
    let embeddings = embed(context, &mut candidates, &routed)?;
    let stop = || cancel.load(Ordering::Relaxed);
    let centroids = Centroids::train(&embeddings, embedder.dim(), packs, context.options.threads, &stop)?;
    drop(embeddings);
    let mut file = DigestFile::create(&**storage, target.building.join(CENTROIDS_FILE))?;
    file.write(&centroids.to_bytes())?;
    let centroids_file = planned(file.finish()?);

    let step = routed.len().div_ceil(PROBE_REFERENCES).max(1);
    let probes: Vec<u64> = routed.iter().copied().step_by(step).collect();
    stages.begin(Stage::Probing, Some(probes.len() as u64));
    let mut file = DigestFile::create(&**storage, target.building.join(PROBE_FILE))?;
    let mut chosen = Vec::new();
    for name in &probes {
        let reference = PlannedReference { candidate: candidates.read(*name)?, occurrences: Vec::new() };
        put(&reference, &mut file)?;
        chosen.push(reference.candidate);
    }
    let outputs = probe::outputs(context, &encoder, chosen)?;
    let probe = PlannedProbe { file: planned(file.finish()?), outputs, machine: model.decoder().machine() };
    progress.advance(probes.len() as u64, 0);

    stages.begin(Stage::Planning, Some(count));
    let source = CorpusReferences { references, candidates };
    let shards = write_shards(context, &target.building, options.shards, source, &read.places)?;
    let summary = writer.finish(model.identity().clone(), precision, embedder.identity().clone(), GENERATOR)?;
    let cut = context.options.cut;
    let manifest = PlanManifest {
        format: PLAN_FORMAT,
        generator: GENERATOR.to_owned(),
        pack: summary.id.0,
        options: PlannedOptions {
            graph_m: context.options.graph.m,
            graph_ef: context.options.graph.ef_construction,
            reference_length: cut.reference_length,
            reference_overlap: cut.overlap,
            title: cut.title,
        },
        documents: read.documents,
        references: count,
        origins: read.candidates,
        tokens: shards.iter().map(|shard| shard.tokens).sum(),
        shards,
        packs,
        centroids: centroids_file,
        probe,
    };
    check(cancel)?;
    let bytes = manifest.to_bytes();
    // Last: a folder without this file is no plan.
    let mut file = DigestFile::create(&**storage, target.building.join(MANIFEST_FILE))?;
    file.write(&bytes)?;
    file.finish()?;
    storage.sync_folder(&target.building).map_err(failed(&target.building))?;
    let report = PlanReport {
        id: Digest::of(&bytes),
        unchanged: false,
        documents: read.documents,
        skipped: read.skipped,
        references: count,
        origins: read.candidates,
        tokens: manifest.tokens,
        shards: options.shards,
        packs,
        centroids: centroids.len(),
        codec,
        codebooks,
        quality: measured.quality,
        stages: stages.finish(),
    };
    Ok((report, bytes))
}

fn planned((bytes, digest): (u64, Digest)) -> PlannedFile {
    PlannedFile { bytes, digest }
}

fn put(reference: &PlannedReference, file: &mut DigestFile) -> Result<(), BuildError> {
    let mut bytes = Vec::new();
    reference.put(&mut bytes);
    file.write(&bytes)
}

/// Writes the references of each shard: contiguous runs of about as many references, in the order of their first occurrence.
fn write_shards(
    context: &BuildContext<'_>,
    building: &Path,
    shards: u32,
    mut source: CorpusReferences,
    places: &PlaceTable,
) -> Result<Vec<PlannedShard>, BuildError> {
    let storage = &context.options.storage;
    let folders = [REFERENCES_FOLDER, SHARDS_FOLDER].map(|name| building.join(name));
    for folder in &folders {
        // An interrupted plan may have left more of them.
        storage.remove_folder(folder).and_then(|()| storage.create_folder(folder)).map_err(failed(folder))?;
    }
    let places: BTreeMap<u32, _> = places.by_number().collect();
    let place = |occurrence: Occurrence| PlannedOccurrence {
        origin: occurrence.origin,
        place: places.get(&occurrence.place).copied().cloned().unwrap_or_default(),
    };
    let (count, mut done) = (source.count(), 0);
    let mut planned_shards = Vec::with_capacity(shards as usize);
    for shard in 0..shards {
        let end = u64::try_from(u128::from(count) * u128::from(shard + 1) / u128::from(shards)).unwrap_or(count);
        let mut file = DigestFile::create(&**storage, references_path(building, shard))?;
        let (references, mut tokens) = (end - done, 0);
        while done < end {
            check(context.cancel)?;
            let Some(SourceReference { candidate, occurrences, .. }) = source.next()? else { break };
            tokens += candidate.ids.len() as u64;
            put(&PlannedReference { candidate, occurrences: occurrences.into_iter().map(place).collect() }, &mut file)?;
            context.progress.advance(1, 0);
            done += 1;
        }
        planned_shards.push(PlannedShard { references, tokens, file: planned(file.finish()?) });
    }
    storage.sync_folder(&folders[0]).map_err(failed(&folders[0]))?;
    Ok(planned_shards)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_are_as_many_as_hold_the_references() {
        assert_eq!(SearchPacks::default().number(1_000_000).unwrap(), 1);
        assert_eq!(SearchPacks::default().number(1_000_001).unwrap(), 2);
        assert_eq!(SearchPacks::Holding(10).number(95).unwrap(), 10);
        assert_eq!(SearchPacks::Count(8).number(1000).unwrap(), 8);
        // No pack without a reference.
        assert_eq!(SearchPacks::Count(8).number(5).unwrap(), 5);
        for (packs, references) in
            [(SearchPacks::Count(0), 5), (SearchPacks::Holding(0), 5), (SearchPacks::Count(4097), 5), (SearchPacks::Holding(1), 4097)]
        {
            assert!(matches!(packs.number(references), Err(BuildError::Option { option: "packs", .. })), "{packs:?}");
        }
    }
}
