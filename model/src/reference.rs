//! How a model divides references into tokens.

use mempack_corpus::ReferenceTokens;

use crate::{ComputeError, Model};

impl ReferenceTokens for Model {
    type Error = ComputeError;

    fn token_starts(&self, text: &str) -> Result<Vec<usize>, ComputeError> {
        Ok(self.writer().tokenizer().encode_spans(text)?.into_iter().map(|(_, span)| span.start).collect())
    }

    fn encode_reference(&self, text: &str) -> Result<Vec<u32>, ComputeError> {
        crate::reference_tokens(self, text)
    }

    fn max_reference_tokens(&self) -> usize {
        self.memory().reference_length as usize
    }
}
