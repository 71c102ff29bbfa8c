//! The first pass: the corpus becomes documents in the pack and candidates on disk.

use std::io::Read;
use std::sync::atomic::AtomicBool;

use mempack_format::{Origin, PackWriter};

use crate::builder::check;
use crate::corpus::{self, Sink, Source};
use crate::dedup::Deduplicator;
use crate::key::Keys;
use crate::scratch::{Candidate, CandidateWriter};
use crate::segment::{Segmenter, Tokens};
use crate::{BuildError, CorpusError, Input, Progress};

/// Where the parts of a corpus go.
pub(crate) struct Reading<'a, 's, T: Tokens + ?Sized> {
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

impl<T: Tokens + ?Sized> Reading<'_, '_, T> {
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

impl<T: Tokens + ?Sized> Sink for Reading<'_, '_, T> {
    fn document(&mut self, mut source: Source<'_>) -> Result<(), BuildError> {
        // The number and the title's tokens are known once there is a block with words.
        let mut begun = None;
        while let Some(block) = source.blocks.next()? {
            check(self.cancel)?;
            if !block.text.contains(char::is_alphanumeric) {
                continue;
            }
            let (document, lead) = match &begun {
                Some(begun) => begun,
                None => {
                    if let Some(heading) = source.markdown.then(|| corpus::heading(&block.text)).flatten() {
                        source.document.title = heading;
                    }
                    let lead = self.segmenter.lead(&source.document.title)?;
                    begun.insert((self.writer.push_document(&source.document)?, lead))
                }
            };
            let (mut references, mut tokens) = (0, 0);
            self.segmenter.cut(&block.text, lead, &mut |piece| {
                references += 1;
                tokens += piece.ids.len() as u64;
                let origin = Origin { document: *document, start: block.start + piece.start as u64, end: block.start + piece.end as u64 };
                let key = self.keys.key(&piece.ids);
                let text = block.text[piece.start..piece.end].to_owned();
                let name = self.candidates.push(&Candidate { key, ids: piece.ids, lead: piece.lead, text })?;
                self.deduplicator.push(&key, name, origin)
            })?;
            self.counts.candidates += references;
            self.progress.advance(references, tokens);
        }
        match begun {
            Some(_) => self.counts.documents += 1,
            None => self.counts.empty += 1,
        }
        Ok(())
    }

    fn note(&mut self, text: &str) {
        self.progress.note(text);
    }
}
