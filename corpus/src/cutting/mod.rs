//! Cutting documents into passages that the model can read whole (arXiv 2407.01178, section 3.2: at most 128 tokens).

mod breaks;
mod context;
mod options;
mod passages;
mod plan;

use crate::composing::{Composer, Lead, ReferenceTokens};
use crate::document::{has_words, set_title};
use crate::{CorpusError, OpenDocument};

pub use options::CutOptions;
pub use passages::{Passage, Passages};

/// Minimum number of tokens beside the template: more than a character or a word that is not cut takes.
const MIN_TEXT_TOKENS: usize = 16;

/// Cuts documents for one model.
pub struct Segmenter<'a, T: ?Sized> {
    tokens: &'a T,
    composer: Composer<'a, T>,
    options: CutOptions,
}

impl<'a, T: ReferenceTokens + ?Sized> Segmenter<'a, T> {
    /// A segmenter for a model.
    ///
    /// # Errors
    /// [`CorpusError::ReferenceLength`] if the model's template leaves no room for text, [`CorpusError::Tokens`] if the tokenizer
    /// fails.
    pub fn new(tokens: &'a T) -> Result<Self, CorpusError> {
        Self::with_options(tokens, CutOptions::default())
    }

    /// A segmenter for a model, which cuts by `options`.
    ///
    /// # Errors
    /// As [`new`](Self::new), and [`CorpusError::CutLength`] and [`CorpusError::Overlap`] if the options do not suit the model.
    pub fn with_options(tokens: &'a T, options: CutOptions) -> Result<Self, CorpusError> {
        let composer = Composer::new(tokens).map_err(CorpusError::tokens)?;
        let length = options.length(tokens.max_reference_tokens(), composer.template())?;
        Ok(Self { tokens, composer: composer.with_length(length), options })
    }

    /// Begins to cut a document: reads up to its first block with words, in which its title may stand. `None` if it has no words.
    ///
    /// # Errors
    /// If the text cannot be read, or the tokenizer fails.
    pub fn cut(&self, document: OpenDocument) -> Result<Option<Passages<'_, T>>, CorpusError> {
        let (mut metadata, fields, marks, find_title, mut blocks) = document.into_parts();
        while let Some(block) = blocks.next().transpose()? {
            if has_words(&block.text) {
                set_title(&mut metadata, find_title, &block.text);
                let lead = self.lead(&metadata.title)?;
                return Ok(Some(Passages::new(self, metadata, marks, lead, blocks, block)?.with_fields(fields)));
            }
        }
        Ok(None)
    }

    /// What is read before the passages of a document with this title.
    fn lead(&self, title: &str) -> Result<Lead, CorpusError> {
        let lead = |title| self.composer.lead(title).map_err(CorpusError::tokens);
        let found = lead(if self.options.title { title } else { "" })?;
        // The lead of a model's own length is short enough.
        let is_long = self.options.reference_length.is_some_and(|length| found.tokens() > length / 2);
        if is_long { lead("") } else { Ok(found) }
    }
}

#[cfg(test)]
mod tests;
