//! The stages of a build, one after the other.

use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use mempack_format::{CodecSpec, GraphParameters, PackWriter};
use mempack_model::{Embedder, Model, reference_text};

use crate::codec::{self, Encoder, SampleStore, TrainError, TrainOptions};
use crate::dedup::{Deduplicator, References};
use crate::graph::{GraphBuilder, MAX_M};
use crate::key::Keys;
use crate::pipeline::{BatchRule, Task, in_order};
use crate::progress::Stages;
use crate::reading::{ReadCounts, Reading};
use crate::scratch::{Candidate, CandidateReader, CandidateWriter, Scratch};
use crate::segment::Segmenter;
use crate::work::{SampleWork, WriteWork};
use crate::{BuildError, BuildOptions, BuildReport, GraphOptions, Progress, Stage};

/// Tokens of a batch, with padding: enough for products of matrices to be worth their call.
const BATCH_TOKENS: usize = 2048;
/// Most references sorted by length together.
const MOST_WINDOW: usize = 512;
/// Records of a window, unless a few have more.
const WINDOW_BYTES: usize = 64 << 20;
/// Random numbers of the codec's training follow from this.
const TRAINING_SEED: u64 = 0;

/// Builds a pack from a corpus.
///
/// The corpus is read once; texts, tokens and memories pass through scratch files beside the target and never are all in memory.
/// What grows in memory with the corpus is the search graph with its embeddings: `4 * dim` bytes and about 3 KiB for each reference.
/// Same corpus, model, embedder and options, same bytes, whatever `threads` says.
///
/// While it runs, libtorch's own parallelism is set to one thread; `options.threads` of them run side by side.
///
/// # Errors
/// See [`BuildError`]; also if `cancel` becomes true. Whatever lay at `options.output` then lies there still, and nothing else remains.
pub fn build(
    model: &Model,
    embedder: &Embedder,
    options: &BuildOptions,
    progress: &dyn Progress,
    cancel: &AtomicBool,
) -> Result<BuildReport, BuildError> {
    check_options(options)?;
    let mut writer = PackWriter::create(&options.output, model.identity().shape, embedder.identity().dim)?;
    let scratch = Scratch::beside(&options.output)?;
    let mut stages = Stages::new(progress);
    let precision = model.decoder().precision().to_string();
    let keys = Keys::new(model.identity(), &precision);

    stages.begin(Stage::Reading, None);
    let mut candidates = CandidateWriter::create(&scratch)?;
    let mut deduplicator = Deduplicator::new(&scratch);
    let reading = Reading {
        segmenter: Segmenter::new(model)?,
        keys: &keys,
        writer: &mut writer,
        candidates: &mut candidates,
        deduplicator: &mut deduplicator,
        progress,
        cancel,
        counts: ReadCounts::default(),
    };
    let read = reading.read(&options.inputs, &mut std::io::stdin())?;

    stages.begin(Stage::Deduplicating, Some(read.candidates));
    let mut references = deduplicator.finish(if trains(&options.codec) { options.sample } else { 0 }, cancel)?;
    let count = references.count;
    progress.advance(read.candidates, 0);

    let mut candidates = candidates.into_reader()?;
    let job = Job { model, embedder, options, progress, cancel };
    let sample = job.sample(&scratch, &references, &mut candidates, &mut stages)?;
    let parameters = job.train(&sample, count, &mut stages)?;
    writer.set_codec(&options.codec, &parameters)?;
    let encoder = Encoder::new(&options.codec, model.identity().shape, &parameters)
        .map_err(|source| BuildError::Codec { spec: options.codec.to_string(), source })?;

    stages.begin(Stage::Writing, Some(count));
    let mut graph = GraphBuilder::new(options.graph, count);
    let tokens = job.write(&mut references, &mut candidates, &sample, &encoder, &mut writer, &mut graph)?;

    stages.begin(Stage::Graph, Some(count));
    check(cancel)?;
    let parameters = GraphParameters { m: options.graph.m, ef_construction: options.graph.ef_construction };
    writer.set_graph(&graph.finish(), parameters)?;
    progress.advance(count, 0);

    stages.begin(Stage::Sealing, Some(count));
    check(cancel)?;
    let generator = concat!("mempack ", env!("CARGO_PKG_VERSION"));
    let summary = writer.finish(model.identity().clone(), &precision, embedder.identity().clone(), generator)?;
    progress.advance(count, 0);
    Ok(BuildReport {
        id: summary.id,
        bytes: summary.bytes,
        documents: read.documents,
        references: count,
        origins: read.candidates,
        duplicates: read.candidates - count,
        tokens,
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
        () if trains(&options.codec) && options.sample == 0 => wrong("sample", 0, "at least 1"),
        () => Ok(()),
    }
}

/// Whether a codec has tables that a sample of memories decides.
fn trains(codec: &CodecSpec) -> bool {
    !matches!(codec, CodecSpec::F32 | CodecSpec::Bf16)
}

/// What every pass over the references needs.
struct Job<'a> {
    model: &'a Model,
    embedder: &'a Embedder,
    options: &'a BuildOptions,
    progress: &'a dyn Progress,
    cancel: &'a AtomicBool,
}

impl Job<'_> {
    /// The memories of the sampled references, in their order; none for a codec without tables.
    fn sample(
        &self,
        scratch: &Scratch,
        references: &References,
        candidates: &mut CandidateReader,
        stages: &mut Stages<'_>,
    ) -> Result<Option<SampleStore>, BuildError> {
        if references.sample.is_empty() {
            return Ok(None);
        }
        let shape = self.model.identity().shape;
        stages.begin(Stage::Sampling, Some(references.sample.len() as u64));
        let mut store = SampleStore::create_in(scratch.folder(), shape)?;
        let workers = (0..self.options.threads).map(|_| SampleWork { model: self.model.share() }).collect();
        let mut names = references.sample.iter();
        let mut source = || match names.next() {
            None => Ok(None),
            Some(name) => Ok(Some((Task { ids: candidates.read(*name)?.ids, text: String::new(), sampled: None }, ()))),
        };
        // A memory held here has four bytes a float, whatever the codec makes of it later.
        let rule = self.rule(8 * shape.floats());
        in_order(workers, rule, self.cancel, &mut source, &mut |count, tokens| self.progress.advance(count, tokens), &mut |(), memory| {
            Ok(store.push(&memory)?)
        })?;
        Ok(Some(store))
    }

    /// The codec's parameters.
    fn train(&self, sample: &Option<SampleStore>, references: u64, stages: &mut Stages<'_>) -> Result<Vec<u8>, BuildError> {
        let Some(sample) = sample else {
            // The parameters of a codec without tables: no groups (SPEC 9).
            return Ok(0u32.to_le_bytes().to_vec());
        };
        stages.begin(Stage::Training, Some(sample.len()));
        let told = Mutex::new(0);
        let tell = |done: usize, all: usize| {
            let now = sample.len() * done as u64 / all.max(1) as u64;
            let mut told = told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            self.progress.advance(now.saturating_sub(*told), 0);
            *told = now.max(*told);
            if check(self.cancel).is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let options = TrainOptions { seed: TRAINING_SEED, threads: self.options.threads, references };
        codec::train(&self.options.codec, sample, &options, &tell).map_err(|source| match source {
            TrainError::Interrupted => BuildError::Interrupted,
            source => BuildError::Train { spec: self.options.codec.to_string(), source },
        })
    }

    /// Every reference with memory and embedding into the pack, every embedding into the graph; returns the tokens.
    fn write(
        &self,
        references: &mut References,
        candidates: &mut CandidateReader,
        sample: &Option<SampleStore>,
        encoder: &Encoder,
        writer: &mut PackWriter,
        graph: &mut GraphBuilder,
    ) -> Result<u64, BuildError> {
        let worker = |_| WriteWork { model: self.model.share(), embedder: self.embedder.share(), encoder, sample: sample.as_ref() };
        let workers = (0..self.options.threads).map(worker).collect();
        let sampled = std::mem::take(&mut references.sample);
        let mut sampled = sampled.into_iter().zip(0u64..).peekable();
        let mut source = || {
            let Some(unique) = references.next()? else { return Ok(None) };
            let Candidate { key, ids, lead, text } = candidates.read(unique.name)?;
            let sampled = sampled.next_if(|(name, _)| *name == unique.name).map(|(_, index)| index);
            let tokens = ids.len() as u16;
            let task = Task { ids, text: reference_text(&lead, &text).into_owned(), sampled };
            Ok(Some((task, (key, tokens, text, unique.origins))))
        };
        let mut total = 0;
        let rule = self.rule(encoder.codec().stride());
        in_order(
            workers,
            rule,
            self.cancel,
            &mut source,
            &mut |count, tokens| {
                total += tokens;
                self.progress.advance(count, tokens);
            },
            &mut |(key, tokens, text, origins), written| {
                writer.push_reference(&key, tokens, &text, &origins)?;
                writer.push_memory(&written.record)?;
                writer.push_embedding(&written.embedding)?;
                graph.push(&written.embedding);
                Ok(())
            },
        )?;
        Ok(total)
    }

    /// Batches of references whose outputs take so many bytes each.
    fn rule(&self, bytes: usize) -> BatchRule {
        let window = (WINDOW_BYTES / bytes.max(1)).clamp(16, MOST_WINDOW);
        BatchRule { window, tokens: BATCH_TOKENS, prefix: self.model.identity().prefix_ids.len() }
    }
}
