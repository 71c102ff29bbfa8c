//! Warm-up: ordinary language modelling on texts.

use std::path::PathBuf;

use mempack_compiler::{Documents, Input, read_corpus};
use mempack_format::Document;
use mempack_model::training::Sequence;
use mempack_model::{ComputeError, Model};

use crate::batch::{Batch, Order};
use crate::{Progress, TrainError};

/// Texts as one run of tokens, in windows. It holds four bytes a token.
pub(crate) struct Texts {
    tokens: Vec<u32>,
    length: usize,
    windows: Order,
}

impl Texts {
    pub fn read(
        model: &Model,
        stage: usize,
        corpora: &[PathBuf],
        length: usize,
        seed: u64,
        progress: &dyn Progress,
    ) -> Result<Self, TrainError> {
        let inputs: Vec<_> = corpora.iter().cloned().map(Input::Path).collect();
        let mut reading = Reading { model, tokens: Vec::new(), failed: None, progress };
        read_corpus(&inputs, &mut std::io::stdin(), &mut reading)?;
        let Reading { tokens, failed, .. } = reading;
        if let Some(error) = failed {
            return Err(error.into());
        }
        let windows = tokens.len() / length;
        if windows == 0 {
            let what = format!("fewer than {length} tokens");
            return Err(TrainError::NoData { stage, what, remedy: "give more text, or a smaller length" });
        }
        Ok(Self { tokens, length, windows: Order::new(seed, windows) })
    }

    /// The part that begins with the sequence number `first`.
    pub fn batch(&mut self, first: u64, count: usize) -> Batch {
        let sequences = (first..first + count as u64).map(|number| {
            let start = self.windows.at(number) * self.length;
            let tokens = self.tokens[start..start + self.length].to_vec();
            Sequence { learnt: vec![true; tokens.len()], tokens, chunks: Vec::new() }
        });
        Batch { sequences: sequences.collect(), ..Batch::default() }
    }
}

/// Strings texts together, each ended by the model's end of text.
struct Reading<'a> {
    model: &'a Model,
    tokens: Vec<u32>,
    failed: Option<ComputeError>,
    progress: &'a dyn Progress,
}

impl Documents for Reading<'_> {
    fn document(&mut self, _: Document, text: String) -> bool {
        match self.model.tokenizer().encode_plain(&text) {
            Ok(ids) => self.tokens.extend(ids),
            Err(error) => self.failed = Some(error),
        }
        self.tokens.push(self.model.config().eos.first().copied().unwrap_or(self.model.config().bos));
        self.failed.is_none()
    }

    fn note(&mut self, text: &str) {
        self.progress.note(text);
    }
}
