//! The first pass: the corpus becomes documents in the pack and candidates on disk.

use std::io::Read;
use std::sync::atomic::AtomicBool;

use mempack_format::{Document, Origin, PackWriter};
use mempack_model::ReferenceTokens;

use crate::builder::check;
use crate::corpus::{self, Sink, Source};
use crate::dedup::Deduplicator;
use crate::key::Keys;
use crate::pieces::cut_document;
use crate::scratch::{Candidate, CandidateWriter};
use crate::segment::Segmenter;
use crate::{BuildError, CorpusError, Input, Progress};

/// Where the parts of a corpus go.
pub(crate) struct Reading<'a, 's, T: ReferenceTokens + ?Sized> {
    pub segmenter: Segmenter<'a, T>,
    pub keys: &'a Keys,
    pub writer: &'a mut PackWriter,
    pub candidates: &'a mut CandidateWriter,
    pub deduplicator: &'a mut Deduplicator<'s>,
    pub progress: &'a dyn Progress,
    pub cancel: &'a AtomicBool,
    pub counts: ReadCounts,
}

/// What was read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReadCounts {
    pub documents: u64,
    pub candidates: u64,
    /// Documents without words, which are left out.
    pub empty: u64,
}

impl<T: ReferenceTokens + ?Sized> Reading<'_, '_, T> {
    /// Read it all.
    pub fn read(mut self, inputs: &[Input], stdin: &mut dyn Read) -> Result<ReadCounts, BuildError> {
        corpus::read(inputs, stdin, &mut self)?;
        let counts = self.counts;
        if counts.documents == 0 {
            let names = inputs.iter().map(|input| match input {
                Input::Path(path) => path.display().to_string(),
                Input::Stdin => "standard input".to_owned(),
            });
            return Err(CorpusError::Empty { inputs: names.collect::<Vec<_>>().join(", ") }.into());
        }
        if counts.empty > 0 {
            self.progress.note(&format!("{} documents without words were left out", counts.empty));
        }
        Ok(counts)
    }
}

impl<T: ReferenceTokens + ?Sized> Sink for Reading<'_, '_, T> {
    fn document(&mut self, source: Source<'_>) -> Result<(), BuildError> {
        let Self { segmenter, keys, writer, candidates, deduplicator, progress, cancel, counts } = self;
        let begin = &mut |document: &Document| Ok(writer.push_document(document)?);
        let found = cut_document(segmenter, source, begin, &mut |document, block, piece| {
            check(cancel)?;
            let origin = Origin { document: *document, start: block.start + piece.start as u64, end: block.start + piece.end as u64 };
            let (key, tokens) = (keys.key(&piece.ids), piece.ids.len() as u64);
            let text = block.text[piece.start..piece.end].to_owned();
            let name = candidates.push(&Candidate { key, ids: piece.ids, lead: piece.lead, text })?;
            deduplicator.push(&key, name, origin)?;
            counts.candidates += 1;
            progress.advance(1, tokens);
            Ok(())
        })?;
        match found {
            Some(_) => counts.documents += 1,
            None => counts.empty += 1,
        }
        Ok(())
    }

    fn note(&mut self, text: &str) {
        self.progress.note(text);
    }
}
