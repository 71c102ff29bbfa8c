//! Building one shard of a plan.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use mempack_format::{DiskStorage, Storage, WorkFolder};
use mempack_model::{Embedder, Model};

use crate::cancel::check;
use crate::codec::Encoder;
use crate::context::BuildContext;
use crate::key::Keys;
use crate::progress::Stages;
use crate::sink::{ReferenceMeta, ReferenceSink};
use crate::work_files::{WorkFiles, conclude};
use crate::write::{ReferenceSource, SourceReference, WritePass};
use crate::{BuildError, BuildOptions, BuildProgress, MAX_THREADS, Stage};

use super::references::{PlannedReference, ReferenceReader};
use super::shard_file::{MAGIC, ShardHeader, ShardWriter, check_shard};
use super::{PROBE_FILE, Plan, PlanError, probe};

/// The options of a shard.
#[derive(Clone, Debug)]
pub struct ShardOptions {
    /// Its number.
    pub shard: u32,
    /// The file to write; without one it is [`Plan::shard_path`].
    pub output: Option<PathBuf>,
    /// Number of computing threads, 1 to [`MAX_THREADS`]. The bytes of the shard do not depend on it.
    pub threads: usize,
    /// Whether the shard is built again although it is complete.
    pub force: bool,
    /// Where output and temporary files are stored.
    pub storage: Arc<dyn Storage>,
}

impl ShardOptions {
    /// The options for a shard, with as many threads as the machine has cores.
    pub fn new(shard: u32) -> Self {
        let threads = BuildOptions::default().threads;
        Self { shard, output: None, threads, force: false, storage: Arc::new(DiskStorage) }
    }
}

/// The result of building a shard.
#[derive(Clone, Debug)]
pub struct ShardReport {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Its references.
    pub references: u64,
    /// Their tokens.
    pub tokens: u64,
    /// Whether it was complete already, so that nothing was done.
    pub was_complete: bool,
    /// References whose memories were computed.
    pub encoded: u64,
    /// References that an interrupted run had computed.
    pub resumed: u64,
    /// How long threads worked on memories, codes and embeddings, summed over threads.
    pub encoding: Duration,
    /// How long each stage took, in order.
    pub stages: Vec<(Stage, Duration)>,
}

/// Builds a shard of a plan: the memory records and the embeddings of its references, in one sealed file.
///
/// A shard is a function of its plan: neither threads nor interruptions change a byte. Memory: a few batches, whatever the size of the shard.
///
/// # Interruption
/// As [`build`](crate::build), with the folder `<output>.building`.
///
/// # Errors
/// If model, embedder or device are not the plan's, this machine computes other bits, a file of the plan was changed, or encoding or writing fails. A
/// file at the output is then unchanged.
pub fn build_shard(
    model: &Model,
    embedder: &Embedder,
    plan: &Plan,
    options: &ShardOptions,
    progress: &dyn BuildProgress,
    cancel: &AtomicBool,
) -> Result<ShardReport, PlanError> {
    let shard = options.shard;
    let Some(planned) = plan.manifest.shards.get(shard as usize) else {
        return Err(PlanError::NoShard { shard, shards: plan.shards() });
    };
    if !(1..=MAX_THREADS).contains(&options.threads) {
        return Err(BuildError::Option { option: "threads", found: options.threads as u64, expected: "1 to 256" }.into());
    }
    let storage = &options.storage;
    let mut stages = Stages::new(progress);
    let path = options.output.clone().unwrap_or_else(|| plan.shard_path(shard));
    let header = ShardHeader::of(plan, shard);
    let is_there = is_replaceable(options, &path)?;
    if is_there && !options.force {
        stages.begin(Stage::Checking, Some(planned.references));
        if check_shard(&path, &header, |_| check(cancel))?.is_ok() {
            progress.advance(planned.references, 0);
            let bytes = std::fs::metadata(&path).map_err(|source| PlanError::Io { path: path.clone(), source })?.len();
            return Ok(ShardReport {
                path,
                bytes,
                references: planned.references,
                tokens: planned.tokens,
                was_complete: true,
                encoded: 0,
                resumed: 0,
                encoding: Duration::ZERO,
                stages: stages.finish(),
            });
        }
    }
    let model = model.writer();
    plan.check(model, embedder)?;
    let references = plan.references_path(shard);
    plan.check_file(&references, &planned.file)?;
    if options.output.is_none() {
        make_folder(&**storage, &path)?;
    }
    let folder = if is_there { WorkFolder::replace(Arc::clone(storage), &path)? } else { WorkFolder::open(Arc::clone(storage), &path)? };
    let work_files = WorkFiles::new(&folder);
    let keys = Keys::new(model.identity(), plan.precision());
    let build = BuildOptions { threads: options.threads, storage: Arc::clone(storage), ..BuildOptions::default() };
    let context = BuildContext { model, embedder, options: &build, progress, cancel, work_files: &work_files, identity: keys.identity() };
    // An error of the plan is kept aside: `conclude` takes those of a build.
    let result = encode(&context, plan, &folder, header, &references, &mut stages);
    let resume = work_files.resume_state();
    let (written, bytes) = match result {
        Err(PlanError::Build(error)) => conclude(Err(error), resume, folder, progress)?,
        Err(error) => return Err(error),
        Ok(done) => conclude(Ok(done), resume, folder, progress)?,
    };
    Ok(ShardReport {
        path,
        bytes,
        references: planned.references,
        tokens: written.tokens,
        was_complete: false,
        encoded: written.encoded,
        resumed: written.resumed,
        encoding: written.time,
        stages: stages.finish(),
    })
}

/// Refuses to replace a file that is no shard, unless it is in the plan's own place. Gives whether there is a file.
fn is_replaceable(options: &ShardOptions, path: &Path) -> Result<bool, PlanError> {
    if !options.storage.is_regular_file(path) {
        return Ok(false);
    }
    if options.output.is_none() {
        return Ok(true);
    }
    let mut start = [0; MAGIC.len()];
    let length = options.storage.read_start(path, &mut start).map_err(|source| PlanError::Io { path: path.to_owned(), source })?;
    // A shard that is cut short begins as one, an empty file as anything.
    if MAGIC.starts_with(&start[..length]) { Ok(true) } else { Err(PlanError::NotAShard { path: path.to_owned() }) }
}

/// Makes the folder of the shards, which a copy of a plan may lack.
fn make_folder(storage: &dyn Storage, path: &Path) -> Result<(), PlanError> {
    let Some(folder) = path.parent() else { return Ok(()) };
    storage.create_folder(folder).map_err(|source| PlanError::Io { path: folder.to_owned(), source })
}

/// Encodes the references and seals their file.
fn encode(
    context: &BuildContext<'_>,
    plan: &Plan,
    folder: &WorkFolder,
    header: ShardHeader,
    references: &Path,
    stages: &mut Stages<'_>,
) -> Result<(crate::write::WriteTotals, u64), PlanError> {
    let pack = plan.pack.contents();
    let damaged = |source| PlanError::Pack { path: plan.pack.path().to_owned(), source: Box::new(source) };
    let parameters = pack.parameters().map_err(damaged)?;
    let encoder = context.encoder(&pack.codec(), &parameters)?;
    check_probe(context, plan, &encoder, stages)?;

    let count = header.references;
    stages.begin(Stage::Writing, Some(count));
    let file = folder.scratch().join("shard");
    let mut sink = ShardSink(ShardWriter::create(&**folder.storage(), file.clone(), &header)?);
    let source = ShardSource { reader: ReferenceReader::open(references.to_owned())?, count };
    let pass = WritePass { source, sink: &mut sink, encoder: &encoder, taken: None, embedded: None };
    let written = pass.run(context, None, &parameters)?;

    stages.begin(Stage::Sealing, Some(count));
    check(context.cancel)?;
    let bytes = sink.0.finish()?;
    folder.publish(&file).map_err(BuildError::from)?;
    context.progress.advance(count, 0);
    Ok((written, bytes))
}

/// Refuses a machine that computes other bits than the one that made the plan.
fn check_probe(context: &BuildContext<'_>, plan: &Plan, encoder: &Encoder, stages: &mut Stages<'_>) -> Result<(), PlanError> {
    let planned = &plan.manifest.probe;
    let path = plan.folder.join(PROBE_FILE);
    plan.check_file(&path, &planned.file)?;
    let mut reader = ReferenceReader::open(path)?;
    let mut probes = Vec::new();
    while let Some(PlannedReference { candidate, .. }) = reader.next()? {
        probes.push(candidate);
    }
    let count = probes.len() as u64;
    stages.begin(Stage::Probing, Some(count));
    let outputs = probe::outputs(context, encoder, probes)?;
    context.progress.advance(count, 0);
    if outputs == planned.outputs {
        return Ok(());
    }
    let (expected, found) = (Box::new(planned.machine.clone()), Box::new(context.model.decoder().machine()));
    Err(PlanError::Probe { path: plan.folder.clone(), expected, found })
}

/// The references of a shard.
struct ShardSource {
    reader: ReferenceReader,
    count: u64,
}

impl ReferenceSource for ShardSource {
    fn count(&self) -> u64 {
        self.count
    }

    fn next(&mut self) -> Result<Option<SourceReference>, BuildError> {
        let reference = self.reader.next()?;
        // Where it was found stays in the plan.
        Ok(reference.map(|reference| SourceReference { name: None, candidate: reference.candidate, occurrences: Vec::new() }))
    }
}

struct ShardSink(ShardWriter);

impl ReferenceSink for ShardSink {
    fn push(&mut self, _: &ReferenceMeta, record: &[u8], embedding: &[f32]) -> Result<(), BuildError> {
        self.0.push(record, embedding)
    }
}
