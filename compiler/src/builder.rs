//! The stages of a build, one after the other.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use mempack_format::{PackWriter, WorkFolder};
use mempack_model::{Embedder, Model};

use crate::cancel::check;
use crate::context::BuildContext;
use crate::key::Keys;
use crate::prepare::{self, Preparation, Prepared};
use crate::progress::Stages;
use crate::scratch::Scratch;
use crate::sink::PackSink;
use crate::tuning::choose::Candidates;
use crate::work_files::{WorkFiles, conclude};
use crate::write::{CorpusReferences, WritePass};
use crate::{BuildError, BuildOptions, BuildProgress, BuildReport, GENERATOR, Stage};

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
    // A pack is a function of the model that writes, measurements of its codec included.
    let model = model.writer();
    let (precision, codecs) = prepare::check(model, embedder, options)?;
    let folder = WorkFolder::open(Arc::clone(&options.storage), &options.output)?;
    let work_files = WorkFiles::new(&folder);
    let keys = Keys::new(model.identity(), &precision);
    let context = BuildContext { model, embedder, options, progress, cancel, work_files: &work_files, identity: keys.identity() };
    let result = run(&context, &folder, &keys, &precision, &codecs);
    let resume = work_files.resume_state();
    conclude(result, resume, folder, progress)
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

    let preparation = Preparation { keys, scratch: &scratch, writer: &mut writer, codecs, taken, max_routed: 0, titles: true };
    let prepared = preparation.run(context, &mut stages)?;
    let Prepared { read, references, candidates, sample, codec, parameters, encoder, measured, codebooks, .. } = prepared;
    let (count, sample) = (references.count, sample.as_ref());

    stages.begin(Stage::Writing, Some(count));
    let mut sink = PackSink::new(&mut writer, &read.titles, options.graph, count);
    let source = CorpusReferences { references, candidates };
    let pass = WritePass { source, sink: &mut sink, encoder: &encoder, taken, embedded };
    let written = pass.run(context, sample, &parameters)?;
    sink.finish(&read.places, Some(&mut stages), cancel)?;
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
        codebooks,
        quality: measured.quality,
        stages: stages.finish(),
    })
}
