//! What comes before the first memory of a pack or a plan: checks, reading the corpus, choosing and measuring the codec.

use std::io;

use mempack_format::{CodecSpec, Digest, PackWriter, Quality};
use mempack_model::{Embedder, Model};

use crate::codec::Encoder;
use crate::context::BuildContext;
use crate::dedup::{Deduplicator, References};
use crate::graph::MAX_M;
use crate::ingest::{Ingest, IngestCounts};
use crate::key::Keys;
use crate::metadata::MetadataColumns;
use crate::previous::{PreviousIndex, PreviousPack};
use crate::progress::Stages;
use crate::scratch::{CandidateReader, CandidateWriter, Scratch};
use crate::tuning::choose::{self, Candidates};
use crate::tuning::measure::{self, Measured, is_lossy};
use crate::tuning::sample::{self, Sample};
use crate::tuning::selection::{CODEBOOKS_BELOW, Purpose};
use crate::tuning::train::has_tables;
use crate::{BuildError, BuildOptions, GraphOptions, MAX_THREADS, Stage, UsedCodebooks};

/// A corpus that was read, with the codec for its memories.
pub(crate) struct Prepared {
    pub read: IngestCounts,
    pub references: References,
    pub candidates: CandidateReader,
    /// The references to train centroids on, by their names among the candidates, in the order of their keys.
    pub routed: Vec<u64>,
    pub sample: Option<Sample>,
    pub codec: CodecSpec,
    pub parameters: Vec<u8>,
    pub encoder: Encoder,
    pub measured: Measured,
    /// The codebooks that came with the model, if they are used.
    pub codebooks: Option<UsedCodebooks>,
}

/// What is prepared for.
pub(crate) struct Preparation<'a> {
    pub keys: &'a Keys,
    pub scratch: &'a Scratch,
    /// Receives documents, metadata, codec and quality.
    pub writer: &'a mut PackWriter,
    pub codecs: &'a Candidates,
    /// The previous pack, if records and embeddings are taken from it.
    pub taken: Option<&'a PreviousIndex<'a>>,
    /// Maximum number of references that are selected to train centroids on.
    pub max_routed: usize,
    /// Whether the titles of documents are kept in memory.
    pub titles: bool,
}

/// Checks options, model and embedder before anything is computed. Gives the precision, and the codecs to choose from.
pub(crate) fn check(model: &Model, embedder: &Embedder, options: &BuildOptions) -> Result<(String, Candidates), BuildError> {
    check_options(options)?;
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
    Ok((precision, codecs))
}

impl Preparation<'_> {
    /// Reads the corpus, and chooses, trains and measures the codec.
    pub fn run(mut self, context: &BuildContext<'_>, stages: &mut Stages<'_>) -> Result<Prepared, BuildError> {
        let options = context.options;
        let (mut read, candidates, mut references) = self.read_corpus(context, stages)?;
        let Self { writer, codecs, taken, .. } = self;
        set_metadata(context, writer, std::mem::take(&mut read.metadata), read.documents)?;
        let count = references.count;
        let mut candidates = candidates.into_reader()?;
        let mut selection = std::mem::take(&mut references.selection);
        let routed = std::mem::take(&mut selection.routed);
        let sample = sample::write(context, selection, taken, &mut candidates, stages)?;
        let codebooks = codebooks(options).filter(|_| count < CODEBOOKS_BELOW);
        let (codec, parameters) = match taken.map(|index| index.previous).or(codebooks) {
            Some(kept) => (options.codec, kept.parameters()?),
            None => choose::codec(context, codecs, sample.as_ref(), count, stages)?,
        };
        writer.set_codec(&codec, &parameters)?;
        let encoder = context.encoder(&codec, &parameters)?;
        let measured = measure::codec(context, sample.as_ref(), taken.map(|index| index.previous), &encoder, stages)?;
        check_divergence(options, codec, measured.quality.as_ref())?;
        if let Some(quality) = &measured.quality {
            writer.set_quality(quality.clone())?;
        }
        let codebooks = codebooks.map(|pack| UsedCodebooks { id: pack.id(), quality: pack.quality().cloned() });
        Ok(Prepared { read, references, candidates, routed, sample, codec, parameters, encoder, measured, codebooks })
    }

    /// Reads the corpus into the writer and a file of candidates, merges equal candidates into references, and selects the codec's sample.
    fn read_corpus(
        &mut self,
        context: &BuildContext<'_>,
        stages: &mut Stages<'_>,
    ) -> Result<(IngestCounts, CandidateWriter, References), BuildError> {
        stages.begin(Stage::Reading, None);
        let mut candidates = CandidateWriter::create(self.scratch)?;
        let mut deduplicator = Deduplicator::new(self.scratch);
        let ingest = Ingest {
            keys: self.keys,
            writer: &mut *self.writer,
            candidates: &mut candidates,
            deduplicator: &mut deduplicator,
            titles: self.titles,
        };
        let read = ingest.read(context, io::stdin())?;

        stages.begin(Stage::Deduplicating, Some(read.candidates));
        let taken = self.taken;
        let known = |key: &Digest| taken.is_some_and(|index| index.find(key).is_some());
        let purpose = if !self.codecs.iter().any(is_lossy) {
            Purpose::Lossless
        } else if taken.is_some() {
            Purpose::KeptCodec { known: &known }
        } else {
            let max_train = if self.codecs.iter().any(has_tables) { context.options.sample } else { 0 };
            Purpose::NewCodec { max_train, codebooks: codebooks(context.options).is_some() }
        };
        let references = deduplicator.finish(purpose, self.max_routed, context.cancel)?;
        context.progress.advance(read.candidates, 0);
        Ok((read, candidates, references))
    }
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
