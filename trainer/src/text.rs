//! Warm-up: ordinary language modelling on texts.

use std::path::PathBuf;

use mempack_corpus::{CorpusItem, Documents, Input};
use mempack_model::Model;
use mempack_model::training::Sequence;

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
        // The texts are joined, each ended by the model's end of text.
        let end = model.config().eos.first().copied().unwrap_or(model.config().bos);
        let mut tokens = Vec::new();
        for item in Documents::new(&inputs, std::io::stdin()) {
            match item? {
                CorpusItem::Note(note) => progress.note(&note.to_string()),
                CorpusItem::Document(document) => {
                    if let Some((_, text)) = document.read_text()? {
                        tokens.extend(model.tokenizer().encode_plain(&text)?);
                        tokens.push(end);
                    }
                }
            }
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
