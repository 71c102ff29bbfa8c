//! The stages of a build, one after the other.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use mempack_format::{CodecSpec, Digest, GraphParameters, PackWriter, Quality, WorkFolder};
use mempack_model::{Embedder, Model};

use crate::cancel::check;
use crate::context::BuildContext;
use crate::dedup::{Deduplicator, References};
use crate::graph::{GraphBuilder, MAX_M};
use crate::ingest::{Ingest, IngestCounts};
use crate::key::Keys;
use crate::metadata::MetadataColumns;
use crate::previous::{PreviousIndex, PreviousPack};
use crate::progress::Stages;
use crate::scratch::{CandidateWriter, Scratch};
use crate::terms::TermIndex;
use crate::tuning::choose::{self, Candidates};
use crate::tuning::measure::{self, is_lossy};
use crate::tuning::sample;
use crate::tuning::selection::{CODEBOOKS_BELOW, Purpose};
use crate::tuning::train::has_tables;
use crate::work_files::{WORK_FILES, WorkFiles};
use crate::write::WritePass;
use crate::{BuildError, BuildOptions, BuildProgress, BuildReport, GENERATOR, GraphOptions, MAX_THREADS, Stage, UsedCodebooks};

/// A pack of at least so many references has coarse embeddings, by which its graph is searched at least 1.7 times as fast (docs/retrieval.md). Smaller packs are scanned, or
/// searched in a tenth of a millisecond.
pub const COARSE_FROM: u64 = 5000;

/// Builds a pack from a corpus.
///
/// The corpus is read once. Texts, tokens and memories pass through files in the folder `<output>.building` and are never all in memory.
/// What grows in memory with the corpus is the search graph with its embeddings, `4 * dim` bytes and about 3 KiB for each reference; and the
/// inverted index, 8 bytes for each different term of a reference, with the titles of the documents; and their metadata, every different value
/// once and 4 bytes for each document that has it.
/// The same corpus, model, embedder, options and previous pack give the same bytes, whatever `threads` is and however often the build is
/// interrupted.
///
/// With a reading adapter, its writer builds: the adapter changes no byte.
///
/// While it runs, libtorch's own parallelism is set to one thread, and `options.threads` threads run side by side.
///
/// # Interruption
/// Each thread writes its results into the folder as soon as a batch is done. A build that ends early, by an error, by `cancel` or because
/// its process is killed, leaves them there, and the same build resumes from them: only batches in flight are recomputed. A folder
/// without results is removed.
///
/// # Errors
/// See [`BuildError`]; one of them is returned if `cancel` becomes true. A file at `options.output` is then unchanged, unless the very
/// last step failed, which syncs the new pack's name to the disk.
pub fn build(
    model: &Model,
    embedder: &Embedder,
    options: &BuildOptions,
    progress: &dyn BuildProgress,
    cancel: &AtomicBool,
) -> Result<BuildReport, BuildError> {
    check_options(options)?;
    // A pack is a function of the model that writes, measurements of its codec included.
    let model = model.writer();
    // A codec that does not fit the model is refused before anything is computed.
    options
        .codec
        .code_bytes(model.identity().shape.head_dim)
        .map_err(|source| BuildError::Codec { spec: options.codec.to_string(), source: source.into() })?;
    let precision = model.decoder().precision().to_string();
    let codecs = match options.max_record_bytes {
        Some(max) => Candidates::fitting(&model.identity().shape, max)?,
        None => Candidates::only(options.codec),
    };
    if let Some(codebooks) = codebooks(options) {
        codebooks.check_codebooks(model.identity())?;
    }
    if let Some(previous) = &options.from {
        check_previous(previous, model, embedder, &precision, options)?;
    }
    let folder = WorkFolder::open(Arc::clone(&options.storage), &options.output)?;
    let work_files = WorkFiles::new(&folder);
    let keys = Keys::new(model.identity(), &precision);
    let context = BuildContext { model, embedder, options, progress, cancel, work_files: &work_files, identity: keys.identity() };
    match run(&context, &folder, &keys, &precision, &codecs) {
        Ok(report) => {
            if let Err(error) = folder.remove(&WORK_FILES) {
                progress.note(&format!("the pack is complete, but {error}"));
            }
            Ok(report)
        }
        // The same build would be refused again, so none of its work is kept.
        Err(why) if matches!(why, BuildError::Divergence { .. } | BuildError::DivergenceUnknown { .. } | BuildError::Metadata { .. }) => {
            let _ = folder.remove(&WORK_FILES);
            Err(why)
        }
        Err(why) => {
            if let Some(resume) = work_files.resume_state() {
                return Err(BuildError::Stopped { why: Box::new(why), resume: Box::new(resume) });
            }
            // The first error is reported. What cannot be removed now is emptied when the folder is opened again.
            let _ = folder.remove(&WORK_FILES);
            Err(why)
        }
    }
}

fn run(
    context: &BuildContext<'_>,
    folder: &WorkFolder,
    keys: &Keys,
    precision: &str,
    codecs: &Candidates,
) -> Result<BuildReport, BuildError> {
    let BuildContext { model, embedder, options, progress, cancel, .. } = *context;
    let mut writer = PackWriter::create_in(folder, model.identity().shape.clone(), embedder.identity().dim)?;
    let scratch = Scratch::new(Arc::clone(&options.storage), folder.scratch());
    let index = options.from.as_ref().map(|previous| previous.index()).transpose()?;
    // Records and embeddings are taken from the previous pack; if the codec is retrained, only embeddings are.
    let (taken, embedded) = if options.retrain_codec { (None, index.as_ref()) } else { (index.as_ref(), None) };
    let mut stages = Stages::new(progress);

    let (mut read, candidates, mut references) = read_corpus(context, keys, &scratch, &mut writer, codecs, taken, &mut stages)?;
    set_metadata(context, &mut writer, std::mem::take(&mut read.metadata), read.documents)?;
    let count = references.count;
    let mut candidates = candidates.into_reader()?;
    let selection = std::mem::take(&mut references.selection);
    let sample = sample::write(context, selection, taken, &mut candidates, &mut stages)?;
    let sample = sample.as_ref();
    let codebooks = codebooks(options).filter(|_| count < CODEBOOKS_BELOW);
    let (codec, parameters) = match taken.map(|index| index.previous).or(codebooks) {
        Some(kept) => (options.codec, kept.parameters()?),
        None => choose::codec(context, codecs, sample, count, &mut stages)?,
    };
    writer.set_codec(&codec, &parameters)?;
    let encoder = context.encoder(&codec, &parameters)?;
    let measured = measure::codec(context, sample, taken.map(|index| index.previous), &encoder, &mut stages)?;
    check_divergence(options, codec, measured.quality.as_ref())?;
    if let Some(quality) = &measured.quality {
        writer.set_quality(quality.clone())?;
    }

    stages.begin(Stage::Writing, Some(count));
    let mut graph = GraphBuilder::new(options.graph, count);
    let mut terms = TermIndex::default();
    let mut places = Vec::new();
    let pass = WritePass {
        references,
        candidates,
        writer: &mut writer,
        graph: &mut graph,
        terms: &mut terms,
        titles: &read.titles,
        places: &mut places,
        encoder: &encoder,
        taken,
        embedded,
    };
    let written = pass.run(context, sample, &parameters)?;

    if places.len() as u64 <= u32::MAX.into() {
        writer.set_places(&read.places.columns(&places))?;
    }
    writer.set_terms(&terms)?;
    if count >= COARSE_FROM {
        writer.add_coarse_embeddings();
    }
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
        skipped: read.skipped,
        references: count,
        origins: read.candidates,
        duplicates: read.candidates - count,
        tokens: written.tokens,
        encoded: written.encoded,
        resumed: written.resumed,
        taken: written.taken,
        encoding: sample.map_or(Duration::ZERO, |sample| sample.time) + written.time,
        codec,
        drift: measured.drift,
        codebooks: codebooks.map(|pack| UsedCodebooks { id: pack.id(), quality: pack.quality().cloned() }),
        quality: measured.quality,
        stages: stages.finish(),
    })
}

/// Reads the corpus into `writer` and a file of candidates, merges equal candidates into references, and selects the codec's sample.
fn read_corpus(
    context: &BuildContext<'_>,
    keys: &Keys,
    scratch: &Scratch,
    writer: &mut PackWriter,
    codecs: &Candidates,
    taken: Option<&PreviousIndex<'_>>,
    stages: &mut Stages<'_>,
) -> Result<(IngestCounts, CandidateWriter, References), BuildError> {
    stages.begin(Stage::Reading, None);
    let mut candidates = CandidateWriter::create(scratch)?;
    let mut deduplicator = Deduplicator::new(scratch);
    let ingest = Ingest { keys, writer, candidates: &mut candidates, deduplicator: &mut deduplicator };
    let read = ingest.read(context, io::stdin())?;

    stages.begin(Stage::Deduplicating, Some(read.candidates));
    let known = |key: &Digest| taken.is_some_and(|index| index.find(key).is_some());
    let purpose = if !codecs.iter().any(is_lossy) {
        Purpose::Lossless
    } else if taken.is_some() {
        Purpose::KeptCodec { known: &known }
    } else {
        let max_train = if codecs.iter().any(has_tables) { context.options.sample } else { 0 };
        Purpose::NewCodec { max_train, codebooks: codebooks(context.options).is_some() }
    };
    let references = deduplicator.finish(purpose, context.cancel)?;
    context.progress.advance(read.candidates, 0);
    Ok((read, candidates, references))
}

/// Writes the fields of the documents, and says of which the values do not keep their type; or refuses the corpus because of them.
fn set_metadata(context: &BuildContext<'_>, writer: &mut PackWriter, columns: MetadataColumns, documents: u64) -> Result<(), BuildError> {
    // The writer numbers documents with a u32.
    let (fields, notes) = columns.finish(u32::try_from(documents).unwrap_or(u32::MAX));
    if context.options.strict && !notes.is_empty() {
        return Err(BuildError::Metadata { notes });
    }
    notes.iter().for_each(|note| context.progress.note(&note.to_string()));
    Ok(writer.set_metadata(&fields)?)
}

/// The codebooks for small corpora, if the options allow for them.
fn codebooks(options: &BuildOptions) -> Option<&PreviousPack> {
    let trained = options.retrain_codec || options.max_record_bytes.is_some();
    options.codebooks.as_deref().filter(|pack| !trained && options.from.is_none() && pack.codec() == options.codec)
}

/// Refuses options that are out of range.
fn check_options(options: &BuildOptions) -> Result<(), BuildError> {
    let GraphOptions { m, ef_construction } = options.graph;
    let wrong = |option, found, expected| Err(BuildError::Option { option, found, expected });
    if !(1..=MAX_THREADS).contains(&options.threads) {
        return wrong("threads", options.threads as u64, "1 to 256");
    }
    if !(2..=MAX_M).contains(&m) {
        return wrong("graph m", m.into(), "2 to 255");
    }
    if ef_construction < m {
        return wrong("graph ef_construction", ef_construction.into(), "at least the graph's m");
    }
    if options.sample == 0 && (options.max_record_bytes.is_some() || has_tables(&options.codec)) {
        return wrong("sample", 0, "at least 1");
    }
    Ok(())
}

/// Refuses a previous pack whose references this build cannot take.
fn check_previous(
    previous: &PreviousPack,
    model: &Model,
    embedder: &Embedder,
    precision: &str,
    options: &BuildOptions,
) -> Result<(), BuildError> {
    previous.check(model.identity(), precision, embedder.identity())?;
    if options.retrain_codec {
        return Ok(());
    }
    let path = || previous.path().to_owned();
    if options.max_record_bytes.is_some() {
        return Err(BuildError::PreviousTables { path: path() });
    }
    if previous.codec() != options.codec {
        return Err(BuildError::PreviousCodec { path: path(), expected: options.codec, found: previous.codec() });
    }
    Ok(())
}

/// Refuses a codec that moves the model's predictions further than is allowed, before a memory is written with it.
fn check_divergence(options: &BuildOptions, spec: CodecSpec, quality: Option<&Quality>) -> Result<(), BuildError> {
    let Some(max) = options.max_divergence.filter(|_| is_lossy(&spec)) else { return Ok(()) };
    match quality.and_then(|quality| quality.divergence) {
        Some(divergence) if divergence.nats <= max => Ok(()),
        Some(divergence) => Err(BuildError::Divergence { spec, found: divergence, max }),
        None => Err(BuildError::DivergenceUnknown { spec }),
    }
}
