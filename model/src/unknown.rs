//! How much of a text a tokenizer does not know.

use std::ops::AddAssign;

use serde::Deserialize;
use tokenizers::{Encoding, Tokenizer};

/// Characters of texts that were encoded, and how many of them are in unknown tokens.
///
/// White space does not count. An unknown token may stand for a whole word of which the tokenizer lacks one character.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnknownText {
    /// All characters.
    pub characters: u64,
    /// Those in unknown tokens.
    pub unknown: u64,
}

impl UnknownText {
    /// The share of characters in unknown tokens, from 0 to 1; 0 for no text.
    pub fn share(&self) -> f64 {
        if self.characters == 0 { 0.0 } else { self.unknown as f64 / self.characters as f64 }
    }

    /// Counts in a text and its encoding with offsets. A text that was truncated counts up to its last token.
    pub(crate) fn count(encoding: &Encoding, text: &str, unknown: Option<u32>) -> Self {
        let characters =
            |from: usize, to: usize| text.get(from..to).map_or(0, |part| part.chars().filter(|c| !c.is_whitespace()).count() as u64);
        let end = encoding.get_offsets().iter().map(|(_, end)| *end).max().unwrap_or(0);
        let (mut found, mut counted) = (0, 0);
        for (id, (start, end)) in encoding.get_ids().iter().zip(encoding.get_offsets()) {
            if Some(*id) == unknown {
                // Several tokens of one character have its range.
                found += characters((*start).max(counted), *end);
                counted = counted.max(*end);
            }
        }
        Self { characters: characters(0, end), unknown: found }
    }
}

impl AddAssign for UnknownText {
    fn add_assign(&mut self, other: Self) {
        self.characters += other.characters;
        self.unknown += other.unknown;
    }
}

/// The id that a tokenizer gives to what it does not know; `None` if there is no such id. `bytes` are those of the tokenizer.json.
pub(crate) fn unknown_id(tokenizer: &Tokenizer, bytes: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct File {
        model: Model,
    }
    #[derive(Deserialize)]
    struct Model {
        unk_token: Option<String>,
        unk_id: Option<u32>,
    }
    let Model { unk_token, unk_id } = serde_json::from_slice::<File>(bytes).ok()?.model;
    unk_id.or_else(|| tokenizer.token_to_id(&unk_token?))
}
