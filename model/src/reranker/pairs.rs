//! Pairs of a query and a text as token ids.

use crate::encoder::EncoderText;
use crate::tokenizer::TextTokenizer;

/// The special tokens around and between the texts of a pair: `[CLS] query [SEP] text [SEP]` for BERT, `<s> query </s></s> text </s>` for
/// XLM-R.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PairLayout {
    before: Vec<u32>,
    between: Vec<u32>,
    after: Vec<u32>,
    /// Whether the second text and the tokens after it have token type 1. All others have type 0.
    pub typed: bool,
}

/// What is wrong with a tokenizer.
pub(super) struct WrongLayout {
    pub expected: &'static str,
    pub found: String,
}

impl PairLayout {
    /// The layout that a tokenizer gives to pairs. With `typed`, it also gives token types; else all tokens have type 0.
    pub fn of(tokenizer: &TextTokenizer, typed: bool) -> Result<Self, WrongLayout> {
        let expected = "special tokens before, between and after the two texts of a pair";
        let wrong = |found: String| WrongLayout { expected, found };
        let encoding = tokenizer.encode_pair("a", "a").map_err(|error| wrong(error.to_string()))?;
        // Each token with the text that it is of, if it is of one.
        let sequences = encoding.get_sequence_ids();
        let shape: String = sequences.iter().map(|of| of.map_or("_".to_owned(), |of| of.to_string())).collect();
        let count = |of: Option<usize>| sequences.iter().filter(|own| **own == of).count();
        let (first, second) = (count(Some(0)), count(Some(1)));
        let start = sequences.iter().position(|of| *of == Some(0)).unwrap_or_default();
        let middle = sequences.iter().position(|of| *of == Some(1)).unwrap_or_default();
        let ids = encoding.get_ids();
        let parts = (ids.get(..start), ids.get(start + first..middle), ids.get(middle + second..));
        let (Some(before @ [_, ..]), Some(between @ [_, ..]), Some(after @ [_, ..])) = parts else {
            return Err(wrong(format!("the order {shape}, where _ is a special token, 0 the query, 1 the text")));
        };
        let types = encoding.get_type_ids();
        let (zeros, ones) = types.split_at_checked(middle).unwrap_or((types, &[]));
        let typed = match (zeros.iter().all(|id| *id == 0), ones) {
            _ if !typed => false,
            (true, ones) if ones.iter().all(|id| *id == 1) => true,
            (true, ones) if ones.iter().all(|id| *id == 0) => false,
            _ => {
                let expected = "token type 0 for the query, and 0 or 1 for the text";
                return Err(WrongLayout { expected, found: format!("the types {types:?}") });
            }
        };
        Ok(Self { before: before.to_vec(), between: between.to_vec(), after: after.to_vec(), typed })
    }

    /// Number of special tokens.
    pub fn special(&self) -> usize {
        self.before.len() + self.between.len() + self.after.len()
    }

    /// The pair with at most `max` tokens.
    pub fn pair(&self, query: &[u32], text: &[u32], max: usize) -> Pair {
        let (first, second) = longest_first(query.len(), text.len(), max.saturating_sub(self.special()));
        let head = [&self.before, query.get(..first).unwrap_or(query), &self.between].concat();
        let tail = [text.get(..second).unwrap_or(text), &self.after].concat();
        let first_type = head.len() + if self.typed { 0 } else { tail.len() };
        Pair { ids: [head, tail].concat(), first_type }
    }
}

/// A pair as token ids, special tokens included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub ids: Vec<u32>,
    /// The number of its first tokens that have type 0; the others have type 1.
    pub first_type: usize,
}

impl Pair {
    pub fn text(&self) -> EncoderText<'_> {
        EncoderText { ids: &self.ids, first_type: self.first_type }
    }
}

/// How many tokens of two texts are kept so that at most `room` are: the end of the longer one is cut first. So a query that takes at most
/// half of the room stays whole, and only the text is cut.
fn longest_first(query: usize, text: usize, room: usize) -> (usize, usize) {
    // An odd token goes to the text that is longer, as in the tokenizers library.
    let half = if text >= query { room.div_ceil(2) } else { room / 2 };
    let kept = text.min(room.saturating_sub(query).max(half));
    (query.min(room.saturating_sub(kept)), kept)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_longer_text_is_cut_first() {
        for (query, text, room, kept) in [
            (3, 5, 8, (3, 5)),
            (3, 9, 8, (3, 5)),
            (9, 3, 8, (5, 3)),
            (9, 9, 8, (4, 4)),
            (9, 9, 7, (3, 4)),
            (9, 8, 7, (4, 3)),
            (0, 9, 7, (0, 7)),
            (9, 0, 7, (7, 0)),
            (9, 9, 0, (0, 0)),
            (usize::MAX, usize::MAX, 2, (1, 1)),
        ] {
            assert_eq!(longest_first(query, text, room), kept, "{query} {text} {room}");
        }
    }

    #[test]
    fn pairs_are_laid_out() {
        let bert = PairLayout { before: vec![1], between: vec![2], after: vec![2], typed: true };
        assert_eq!(bert.pair(&[7, 8], &[9], 512), Pair { ids: vec![1, 7, 8, 2, 9, 2], first_type: 4 });
        assert_eq!(bert.pair(&[7, 8], &[9, 10, 11], 7), Pair { ids: vec![1, 7, 8, 2, 9, 10, 2], first_type: 4 });
        let xlmr = PairLayout { before: vec![0], between: vec![2, 2], after: vec![2], typed: false };
        assert_eq!(xlmr.pair(&[7], &[], 9), Pair { ids: vec![0, 7, 2, 2, 2], first_type: 5 });
    }

    proptest! {
        #[test]
        fn as_cutting_one_token_at_a_time(query in 0usize..40, text in 0usize..40, room in 0usize..50) {
            let (mut first, mut second) = (query, text);
            while first + second > room {
                if first > second || (first == second && text >= query) { first -= 1 } else { second -= 1 }
            }
            prop_assert_eq!(longest_first(query, text, room), (first, second));
        }
    }
}
