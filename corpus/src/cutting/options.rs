//! How documents are cut, where the model leaves a choice.

use super::MIN_TEXT_TOKENS;
use crate::CorpusError;

/// How documents are cut. The default is what the model was trained for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutOptions {
    /// Maximum number of tokens of a reference, with the template; the model's own where it is `None`. It changes no identity: a model
    /// reads shorter references as it reads any.
    pub reference_length: Option<usize>,
    /// Tokens, at most, of the text before it in its section that a passage repeats: whole sentences where one fits, else words.
    pub overlap: usize,
    /// Whether the title of a document is read before its passages. It takes at most a quarter of the model's reference length, and is left
    /// out where that is more than half of `reference_length`.
    pub title: bool,
}

impl Default for CutOptions {
    fn default() -> Self {
        Self { reference_length: None, overlap: 0, title: true }
    }
}

impl CutOptions {
    /// The length of references of a model whose own is `model`, and whose template has `template` tokens.
    pub(super) fn length(&self, model: usize, template: usize) -> Result<usize, CorpusError> {
        let least = template + MIN_TEXT_TOKENS;
        if model < least {
            return Err(CorpusError::ReferenceLength { found: model, template, needed: least });
        }
        let length = self.reference_length.unwrap_or(model);
        if !(least..=model).contains(&length) {
            return Err(CorpusError::CutLength { asked: length, least, model });
        }
        let most = (length - template) / 2;
        if self.overlap > most {
            return Err(CorpusError::Overlap { asked: self.overlap, length, most });
        }
        Ok(length)
    }
}
