//! The tokenizer of the model that wrote a pack.

use std::fs;
use std::ops::Range;
use std::path::Path;

use mempack_corpus::{Composer, Recomposed, ReferenceTokens, reference_text};
use mempack_format::{Digest, ModelIdentity};
use tokenizers::{Encoding, Tokenizer};

use crate::ReportError;
use crate::token_text::{Divide, TokenText, pieces};

/// Divides references into tokens as the model did that wrote them.
pub(crate) struct Tokens {
    tokenizer: Tokenizer,
    /// Ids of added tokens that are no white space, in ascending order.
    added: Vec<u32>,
    /// What is encoded of a reference, around `{text}`.
    template: String,
    /// Most tokens of a reference.
    longest: usize,
}

/// The tokenizer failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failed(String);

impl Tokens {
    /// Reads a tokenizer.json, which must be the one that `model` had.
    pub(crate) fn load(path: &Path, model: &ModelIdentity) -> Result<Self, ReportError> {
        let wrong = |reason: String| ReportError::Tokenizer { path: path.to_owned(), reason };
        let bytes = fs::read(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
        let found = Digest::of(&bytes);
        let mut tokenizer = Tokenizer::from_bytes(&bytes).map_err(|error| wrong(format!("this is no tokenizer: {error}")))?;
        if found != model.tokenizer {
            let (path, model_name, expected) = (path.to_owned(), model.name.clone(), model.tokenizer);
            return Err(ReportError::OtherTokenizer { path, model: model_name, expected, found });
        }
        // Both are for batches of a fixed length.
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|error| wrong(error.to_string()))?;
        // In a text, the names of special tokens are ordinary characters.
        tokenizer.set_encode_special_tokens(true);
        let names = tokenizer.get_added_tokens_decoder();
        let named = names.into_iter().filter(|(_, token)| !token.content.chars().all(char::is_whitespace));
        let mut added: Vec<u32> = named.map(|(id, _)| id).collect();
        added.sort_unstable();
        Ok(Self { tokenizer, added, template: model.reference_template.clone(), longest: model.reference_length as usize })
    }

    fn encode(&self, text: &str) -> Result<Encoding, Failed> {
        self.tokenizer.encode(text, false).map_err(|error| Failed(error.to_string()))
    }

    fn fill(&self, text: &str) -> String {
        self.template.replacen("{text}", text, 1)
    }

    fn compose(&self, title: &str, text: &str, tokens: usize) -> Result<TokenText, Failed> {
        let composer = Composer::new(self)?;
        let composed = match composer.recompose(title, text, tokens)? {
            Recomposed::Known(composed) => composed,
            Recomposed::Unknown { tokens: found } => {
                return Ok(TokenText::Unknown(format!("title and text are {found} tokens, and the memory was written from {tokens}")));
            }
        };
        let whole = self.fill(&reference_text(&composed.lead, text));
        let encoding = self.encode(&whole)?;
        let ids = encoding.get_ids();
        // Which of them the model reads as control tokens is in files beside the tokenizer.
        if ids.iter().any(|id| self.added.binary_search(id).is_ok()) {
            return Ok(TokenText::Unknown("the text has the name of a token that models may divide otherwise".to_owned()));
        }
        let spans: Vec<Range<usize>> = encoding.get_offsets().iter().map(|(start, end)| *start..*end).collect();
        Ok(match pieces(&whole, &spans) {
            Some(pieces) => TokenText::Known { text: whole, pieces },
            None => TokenText::Unknown("the tokenizer does not say where its tokens stand in the text".to_owned()),
        })
    }
}

impl Divide for Tokens {
    fn divide(&self, reference: u32, title: &str, text: &str, tokens: usize) -> Result<TokenText, ReportError> {
        self.compose(title, text, tokens).map_err(|Failed(reason)| ReportError::Tokenize { reference, reason })
    }
}

impl ReferenceTokens for Tokens {
    type Error = Failed;

    fn token_starts(&self, text: &str) -> Result<Vec<usize>, Failed> {
        Ok(self.encode(text)?.get_offsets().iter().map(|(start, _)| *start).collect())
    }

    fn encode_reference(&self, text: &str) -> Result<Vec<u32>, Failed> {
        Ok(self.encode(&self.fill(text))?.get_ids().to_vec())
    }

    fn max_reference_tokens(&self) -> usize {
        self.longest
    }
}
