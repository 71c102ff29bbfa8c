//! Cutting documents into passages that the model can read whole (arXiv 2407.01178, section 3.2: at most 128 tokens).

mod breaks;
mod context;
mod passages;
mod plan;

use crate::composing::{Composer, Lead, ReferenceTokens};
use crate::document::{has_words, set_title};
use crate::{CorpusError, OpenDocument};

pub use passages::{Passage, Passages};

/// Minimum number of tokens beside the template: more than a character or a word that is not cut takes.
const MIN_TEXT_TOKENS: usize = 16;

/// Cuts documents for one model.
pub struct Segmenter<'a, T: ?Sized> {
    tokens: &'a T,
    composer: Composer<'a, T>,
}

impl<'a, T: ReferenceTokens + ?Sized> Segmenter<'a, T> {
    /// A segmenter for a model.
    ///
    /// # Errors
    /// [`CorpusError::ReferenceLength`] if the model's template leaves no room for text, [`CorpusError::Tokens`] if the tokenizer
    /// fails.
    pub fn new(tokens: &'a T) -> Result<Self, CorpusError> {
        let composer = Composer::new(tokens).map_err(CorpusError::tokens)?;
        let (template, found) = (composer.template(), tokens.max_reference_tokens());
        if found < template + MIN_TEXT_TOKENS {
            return Err(CorpusError::ReferenceLength { found, template, needed: template + MIN_TEXT_TOKENS });
        }
        Ok(Self { tokens, composer })
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
                return Ok(Some(Passages::new(self, metadata, lead, blocks, block)?.with_fields(fields).with_marks(marks)));
            }
        }
        Ok(None)
    }

    /// What is read before the passages of a document with this title.
    fn lead(&self, title: &str) -> Result<Lead, CorpusError> {
        self.composer.lead(title).map_err(CorpusError::tokens)
    }
}

#[cfg(test)]
mod tests;
