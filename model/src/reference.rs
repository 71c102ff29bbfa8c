//! How a model divides references into tokens.

use std::path::Path;

use mempack_corpus::ReferenceTokens;

use crate::model_folder::ModelFolder;
use crate::reading::ReadingFolder;
use crate::tokenizer::TextTokenizer;
use crate::{ComputeError, LoadError, LoadOptions, Model};

/// The tokenizer of a model, without its weights: divides references as the model that writes them does.
pub struct ReferenceTokenizer {
    tokenizer: TextTokenizer,
    template: String,
    length: usize,
}

impl ReferenceTokenizer {
    /// Reads it from the folder of a model, as [`Model::load`] does. No weights are read, so a folder needs none that fit.
    ///
    /// # Errors
    /// Those of [`Model::load`], but for the weights.
    pub fn load(folder: &Path, options: &LoadOptions) -> Result<Self, LoadError> {
        let writer = match ReadingFolder::open(folder, options)? {
            Some(reading) => reading.stack.writer,
            None => ModelFolder::open(folder, options)?,
        };
        let tokenizer = writer.load_tokenizer()?;
        Ok(Self { tokenizer, template: writer.memory.reference_template.clone(), length: writer.memory.reference_length as usize })
    }
}

impl ReferenceTokens for ReferenceTokenizer {
    type Error = ComputeError;

    fn token_starts(&self, text: &str) -> Result<Vec<usize>, ComputeError> {
        token_starts(&self.tokenizer, text)
    }

    fn encode_reference(&self, text: &str) -> Result<Vec<u32>, ComputeError> {
        encode(&self.tokenizer, &self.template, text)
    }

    fn max_reference_tokens(&self) -> usize {
        self.length
    }
}

fn token_starts(tokenizer: &TextTokenizer, text: &str) -> Result<Vec<usize>, ComputeError> {
    Ok(tokenizer.encode_spans(text)?.into_iter().map(|(_, span)| span.start).collect())
}

/// Template and text are encoded as one string, so that a space before the text becomes part of its first token.
pub(crate) fn encode(tokenizer: &TextTokenizer, template: &str, text: &str) -> Result<Vec<u32>, ComputeError> {
    tokenizer.encode_plain(&template.replacen("{text}", text, 1))
}

impl ReferenceTokens for Model {
    type Error = ComputeError;

    fn token_starts(&self, text: &str) -> Result<Vec<usize>, ComputeError> {
        token_starts(self.writer().tokenizer(), text)
    }

    fn encode_reference(&self, text: &str) -> Result<Vec<u32>, ComputeError> {
        crate::reference_tokens(self, text)
    }

    fn max_reference_tokens(&self) -> usize {
        self.memory().reference_length as usize
    }
}
