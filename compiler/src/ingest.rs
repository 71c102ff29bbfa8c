//! The first pass: the corpus becomes documents in the pack and passages on disk.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use mempack_corpus::{CorpusError, CorpusItem, CorpusNote, Documents, OpenDocument, Segmenter};
use mempack_format::{Origin, PackWriter};
use mempack_model::Model;

use crate::BuildError;
use crate::cancel::check;
use crate::context::BuildContext;
use crate::dedup::{Deduplicator, Occurrence};
use crate::key::Keys;
use crate::metadata::MetadataColumns;
use crate::places::PlaceTable;
use crate::scratch::{Candidate, CandidateWriter};
use crate::unknown_text::UnknownCount;

/// How often a build that waits for its corpus looks whether it is cancelled.
const WATCH: Duration = Duration::from_millis(50);

/// Where the parts of a corpus go.
pub(crate) struct Ingest<'a, 's> {
    pub keys: &'a Keys,
    pub writer: &'a mut PackWriter,
    pub candidates: &'a mut CandidateWriter,
    pub deduplicator: &'a mut Deduplicator<'s>,
    /// Whether the titles of the documents are collected.
    pub titles: bool,
}

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct IngestCounts {
    /// Documents with words.
    pub documents: u64,
    /// Their titles, if they are collected.
    pub titles: Vec<String>,
    /// Their fields beside those of their records.
    pub metadata: MetadataColumns,
    /// Where their passages stand.
    pub places: PlaceTable,
    /// Their passages.
    pub candidates: u64,
    /// Documents without words, which are left out.
    pub empty: u64,
    /// Files of folders that cannot be read, which are left out, each with the reason.
    pub skipped: Vec<(String, String)>,
}

impl Ingest<'_, '_> {
    /// Reads the whole corpus of the build.
    pub fn read(mut self, context: &BuildContext<'_>, stdin: impl Read + Send + 'static) -> Result<IngestCounts, BuildError> {
        // The reader of a pipe outlives no build, but its flag must be its own: a thread passes the build's flag on to it.
        let (stop, done) = (Arc::new(AtomicBool::new(false)), AtomicBool::new(false));
        thread::scope(|scope| {
            let watch = scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    if context.cancel.load(Ordering::Relaxed) {
                        stop.store(true, Ordering::Relaxed);
                    }
                    thread::park_timeout(WATCH);
                }
            });
            let read = self.read_until(context, stdin, Arc::clone(&stop));
            done.store(true, Ordering::Relaxed);
            watch.thread().unpark();
            // A read that was given up is an interruption, not a failure of the input.
            read.map_err(|error| if context.cancel.load(Ordering::Relaxed) { BuildError::Interrupted } else { error })
        })
    }

    fn read_until(
        &mut self,
        context: &BuildContext<'_>,
        stdin: impl Read + Send + 'static,
        stop: Arc<AtomicBool>,
    ) -> Result<IngestCounts, BuildError> {
        let segmenter = Segmenter::with_options(context.model, context.options.cut)?;
        let inputs = &context.options.inputs;
        let mut counts = IngestCounts::default();
        let mut unknown = UnknownCount::default();
        let documents = Documents::new(inputs, stdin)
            .with_duplicate_ids(context.options.duplicate_ids)
            .with_fields()
            .with_extraction(context.options.extraction.clone())
            .strict(context.options.strict)
            .stopped_by(stop);
        for item in documents {
            match item? {
                CorpusItem::Note(note) => {
                    context.progress.note(&note.to_string());
                    if let CorpusNote::Skipped { path, reason } = note {
                        counts.skipped.push((path, reason));
                    }
                }
                CorpusItem::Document(document) => self.document(context, &segmenter, document, &mut counts, &mut unknown)?,
            }
        }
        if counts.documents == 0 {
            let names: Vec<String> = inputs.iter().map(ToString::to_string).collect();
            return Err(CorpusError::Empty { inputs: names.join(", ") }.into());
        }
        unknown.check(context)?;
        if counts.empty > 0 {
            context.progress.note(&format!("{} documents without words were left out", counts.empty));
        }
        Ok(counts)
    }

    fn document(
        &mut self,
        context: &BuildContext<'_>,
        segmenter: &Segmenter<'_, Model>,
        document: OpenDocument,
        counts: &mut IngestCounts,
        unknown: &mut UnknownCount,
    ) -> Result<(), BuildError> {
        let Some(passages) = segmenter.cut(document)? else {
            counts.empty += 1;
            return Ok(());
        };
        let number = self.writer.push_document(passages.metadata())?;
        counts.metadata.push(number, &passages.metadata().id, passages.fields());
        if self.titles {
            counts.titles.push(passages.metadata().title.clone());
        }
        counts.documents += 1;
        for passage in passages {
            let passage = passage?;
            check(context.cancel)?;
            unknown.push(context.model, context.embedder, &passage.text)?;
            let origin = Origin { document: number, start: passage.start, end: passage.end };
            let occurrence = Occurrence { origin, place: counts.places.number(passage.place) };
            let (key, tokens) = (self.keys.key(&passage.ids), passage.ids.len() as u64);
            let name = self.candidates.push(&Candidate { key, ids: passage.ids, lead: passage.lead, text: passage.text })?;
            self.deduplicator.push(&key, name, occurrence)?;
            counts.candidates += 1;
            context.progress.advance(1, tokens);
        }
        Ok(())
    }
}
