//! The stages of a build, one after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mempack_format::{CodecSpec, Digest, GraphParameters, PackWriter, Quality, WorkFolder};
use mempack_model::{Embedder, Model};

use crate::auto::fitting;
use crate::choice::Choice;
use crate::dedup::Deduplicator;
use crate::graph::{GraphBuilder, MAX_M};
use crate::job::Job;
use crate::kept::Keeper;
use crate::key::Keys;
use crate::progress::Stages;
use crate::reading::{ReadCounts, Reading};
use crate::scratch::{CandidateWriter, Scratch};
use crate::segment::Segmenter;
use crate::write::Store;
use crate::{BuildError, BuildOptions, BuildReport, GraphOptions, Progress, Stage};

/// What packs say that they were written by.
pub(crate) const GENERATOR: &str = concat!("mempack ", env!("CARGO_PKG_VERSION"));

/// Builds a pack from a corpus.
///
/// The corpus is read once; texts, tokens and memories pass through files in the folder `<output>.building` and never are all in memory.
/// What grows in memory with the corpus is the search graph with its embeddings: `4 * dim` bytes and about 3 KiB for each reference.
/// Same corpus, model, embedder, options and older pack, same bytes, whatever `threads` says and however often it was interrupted.
///
/// While it runs, libtorch's own parallelism is set to one thread; `options.threads` of them run side by side.
///
/// # Interruption
/// Each thread writes what it has computed into the folder as soon as a batch is done. A build that ends early, by an error, by `cancel`
/// or because its process is killed, leaves that there, and the same build started again goes on from it: computed twice are the batches
/// that threads were at. A folder in which nothing was done yet is removed.
///
/// # Errors
/// See [`BuildError`]; also if `cancel` becomes true. Whatever lay at `options.output` then lies there still, but for an error of the
/// very last step, which puts the new pack's name on the disk.
pub fn build(
    model: &Model,
    embedder: &Embedder,
    options: &BuildOptions,
    progress: &dyn Progress,
    cancel: &AtomicBool,
) -> Result<BuildReport, BuildError> {
    check_options(options)?;
    // Said before anything is computed, and kept.
    options
        .codec
        .code_bytes(model.identity().shape.head_dim)
        .map_err(|source| BuildError::Codec { spec: options.codec.to_string(), source: source.into() })?;
    let precision = model.decoder().precision().to_string();
    let codecs = options.choose_within.map(|most| fitting(model.identity().shape, most)).transpose()?;
    if let Some(older) = &options.from {
        older.check(model.identity(), &precision, embedder.identity())?;
        if !options.retrain_codec && codecs.is_some() {
            return Err(BuildError::OlderChosen { path: older.path().to_owned() });
        }
        if !options.retrain_codec && older.codec() != options.codec {
            let (path, expected, found) = (older.path().to_owned(), options.codec, older.codec());
            return Err(BuildError::OlderCodec { path, expected, found });
        }
    }
    let folder = WorkFolder::open(Arc::clone(&options.storage), &options.output)?;
    let keeper = Keeper::new(&folder);
    let keys = Keys::new(model.identity(), &precision);
    let job = Job { model, embedder, options, progress, cancel, keeper: &keeper, identity: keys.identity() };
    match run(&job, &folder, &keys, &precision, codecs.as_deref()) {
        Ok(report) => {
            if let Err(error) = folder.remove() {
                progress.note(&format!("the pack is whole, but {error}"));
            }
            Ok(report)
        }
        // The same build would be refused again: nothing of it is worth keeping.
        Err(why) if matches!(why, BuildError::Divergence { .. } | BuildError::DivergenceUnknown { .. }) => {
            let _ = folder.remove();
            Err(why)
        }
        Err(why) => {
            if let Some(kept) = keeper.kept() {
                return Err(BuildError::Stopped { why: Box::new(why), kept: Box::new(kept) });
            }
            // The first error is the one to tell of; what is left now is emptied when the folder is opened again.
            let _ = folder.remove();
            Err(why)
        }
    }
}

fn run(job: &Job<'_>, folder: &WorkFolder, keys: &Keys, precision: &str, codecs: Option<&[CodecSpec]>) -> Result<BuildReport, BuildError> {
    let Job { model, embedder, options, progress, cancel, .. } = *job;
    let mut writer = PackWriter::create_in(folder, model.identity().shape, embedder.identity().dim)?;
    let scratch = Scratch::new(Arc::clone(&options.storage), folder.scratch());
    let index = options.from.as_ref().map(|older| older.index()).transpose()?;
    // What is known already: records with embeddings, or where codes are to change, embeddings.
    let (taken, embedded) = if options.retrain_codec { (None, index.as_ref()) } else { (index.as_ref(), None) };
    let mut stages = Stages::new(progress);

    stages.begin(Stage::Reading, None);
    let mut candidates = CandidateWriter::create(&scratch)?;
    let mut deduplicator = Deduplicator::new(&scratch);
    let reading = Reading {
        segmenter: Segmenter::new(model)?,
        keys,
        writer: &mut writer,
        candidates: &mut candidates,
        deduplicator: &mut deduplicator,
        progress,
        cancel,
        counts: ReadCounts::default(),
    };
    let read = reading.read(&options.inputs, &mut std::io::stdin())?;

    stages.begin(Stage::Deduplicating, Some(read.candidates));
    let possible = codecs.unwrap_or(std::slice::from_ref(&options.codec));
    let known = |key: &Digest| taken.is_some_and(|index| index.find(key).is_some());
    let choice = match taken {
        _ if !possible.iter().any(loses) => Choice::Nothing,
        Some(_) => Choice::Kept { known: &known },
        None => Choice::Fresh { train: if possible.iter().any(trains) { options.sample } else { 0 } },
    };
    let mut references = deduplicator.finish(choice, cancel)?;
    let count = references.count;
    progress.advance(read.candidates, 0);

    let mut candidates = candidates.into_reader()?;
    let sampled = job.sample(std::mem::take(&mut references.sample), taken, &mut candidates, &mut stages)?;
    let (codec, parameters) = match (taken, codecs) {
        (Some(index), _) => (options.codec, index.older.parameters()?),
        (None, Some(codecs)) => job.choose(codecs, &sampled, count, &mut stages)?,
        (None, None) => (options.codec, job.train(&sampled, count, &mut stages)?),
    };
    let options = &BuildOptions { codec, ..options.clone() };
    let job = &Job { options, ..*job };
    writer.set_codec(&options.codec, &parameters)?;
    let encoder = job.encoder(&parameters)?;
    let measured = job.measure(&sampled, taken.map(|index| index.older), &encoder, &mut stages)?;
    check_divergence(options, measured.quality.as_ref())?;
    if let Some(quality) = &measured.quality {
        writer.set_quality(quality.clone())?;
    }

    stages.begin(Stage::Writing, Some(count));
    let mut graph = GraphBuilder::new(options.graph, count);
    let store = Store { references, candidates, writer: &mut writer, graph: &mut graph, encoder: &encoder, taken, embedded };
    let written = job.write(store, &sampled, &parameters)?;

    stages.begin(Stage::Graph, Some(count));
    check(cancel)?;
    let parameters = GraphParameters { m: options.graph.m, ef_construction: options.graph.ef_construction };
    writer.set_graph(&graph.finish(), parameters)?;
    progress.advance(count, 0);

    stages.begin(Stage::Sealing, Some(count));
    check(cancel)?;
    let summary = writer.finish(model.identity().clone(), precision, embedder.identity().clone(), GENERATOR)?;
    progress.advance(count, 0);
    Ok(BuildReport {
        id: summary.id,
        bytes: summary.bytes,
        documents: read.documents,
        references: count,
        origins: read.candidates,
        duplicates: read.candidates - count,
        tokens: written.tokens,
        encoded: written.encoded,
        resumed: written.resumed,
        taken: written.taken,
        encoding: sampled.map_or_else(Default::default, |sampled| sampled.time) + written.time,
        codec,
        drift: measured.drift,
        quality: measured.quality,
        stages: stages.finish(),
    })
}

/// Fails if the user wants to stop.
pub(crate) fn check(cancel: &AtomicBool) -> Result<(), BuildError> {
    if cancel.load(Ordering::Relaxed) { Err(BuildError::Interrupted) } else { Ok(()) }
}

fn check_options(options: &BuildOptions) -> Result<(), BuildError> {
    let GraphOptions { m, ef_construction } = options.graph;
    let wrong = |option, found, expected| Err(BuildError::Option { option, found, expected });
    match () {
        () if options.threads == 0 => wrong("threads", 0, "at least 1"),
        () if !(2..=MAX_M).contains(&m) => wrong("graph m", m.into(), "2 to 255"),
        () if ef_construction < m => wrong("graph ef_construction", ef_construction.into(), "at least the graph's m"),
        () if (options.choose_within.is_some() || trains(&options.codec)) && options.sample == 0 => wrong("sample", 0, "at least 1"),
        () => Ok(()),
    }
}

/// Refuses a codec that moves the model's predictions further than was allowed, before a memory is written with it.
fn check_divergence(options: &BuildOptions, quality: Option<&Quality>) -> Result<(), BuildError> {
    let Some(most) = options.max_divergence.filter(|_| loses(&options.codec)) else { return Ok(()) };
    match quality.and_then(|quality| quality.divergence) {
        Some(divergence) if divergence.nats <= most => Ok(()),
        Some(divergence) => Err(BuildError::Divergence { spec: options.codec, found: divergence, most }),
        None => Err(BuildError::DivergenceUnknown { spec: options.codec }),
    }
}

/// Whether anything is lost of memories that go through a codec.
pub(crate) fn loses(codec: &CodecSpec) -> bool {
    *codec != CodecSpec::F32
}

/// Whether a codec has tables that a sample of memories decides.
pub(crate) fn trains(codec: &CodecSpec) -> bool {
    ![CodecSpec::F32, CodecSpec::BF16].contains(codec)
}
