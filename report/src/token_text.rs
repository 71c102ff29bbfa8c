//! The text of a reference as a model read it, and which token stands for which part of it.

use std::ops::Range;

use crate::ReportError;

/// What is known about the tokens of a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "tokenizer"), allow(dead_code))]
pub(crate) enum TokenText {
    /// The text that was read, with the template and the title, and its parts.
    Known {
        /// The text.
        text: String,
        /// Its parts that have tokens, in order.
        pieces: Vec<Piece>,
    },
    /// The tokens are known by their numbers alone, for this reason.
    Unknown(String),
}

/// A part of a text that one token stands for, or several that cannot be told apart in it, as the bytes of a character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Bytes of the text.
    pub(crate) text: Range<usize>,
    /// Numbers of the tokens.
    pub(crate) tokens: Range<usize>,
}

/// What divides references into tokens.
pub(crate) trait Divide {
    /// The text of a reference of `tokens` tokens, as the model read it.
    fn divide(&self, reference: u32, title: &str, text: &str, tokens: usize) -> Result<TokenText, ReportError>;
}

/// The parts of a text from the byte ranges of its tokens, in the order of the tokens. Ranges that overlap, and empty ones, are one part with their
/// neighbour. `None` if a part does not begin and end at characters of the text.
#[cfg_attr(not(feature = "tokenizer"), allow(dead_code))]
pub(crate) fn pieces(text: &str, spans: &[Range<usize>]) -> Option<Vec<Piece>> {
    let mut pieces: Vec<Piece> = Vec::new();
    for (token, span) in spans.iter().enumerate() {
        match pieces.last_mut() {
            Some(last) if span.is_empty() || last.text.is_empty() || span.start < last.text.end => {
                last.text.end = last.text.end.max(span.end);
                last.tokens.end = token + 1;
            }
            _ => pieces.push(Piece { text: span.clone(), tokens: token..token + 1 }),
        }
    }
    pieces.iter().all(|piece| text.get(piece.text.clone()).is_some()).then_some(pieces)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tokens_of_one_character_are_one_piece() {
        let piece = |text, tokens| Piece { text, tokens };
        assert_eq!(pieces("a é b", &[0..1, 1..4, 2..4, 4..6]).unwrap(), [piece(0..1, 0..1), piece(1..4, 1..3), piece(4..6, 3..4)]);
        // An empty range at the beginning belongs to what follows, and any other to what stands before it.
        assert_eq!(pieces("ab", &[0..0, 0..1, 1..1, 1..2]).unwrap(), [piece(0..1, 0..3), piece(1..2, 3..4)]);
        assert_eq!(pieces("éa", &[0..1, 2..3]), None);
        assert_eq!(pieces("ab", &[0..1, 1..3]), None);
        assert_eq!(pieces("", &[]), Some(Vec::new()));
    }

    proptest! {
        #[test]
        fn any_spans_give_pieces_with_every_token_once(spans in proptest::collection::vec((0usize..12, 0usize..12), 0..20)) {
            let text = "ab é 法 cd";
            let spans: Vec<_> = spans.into_iter().map(|(a, b)| a..b).collect();
            if let Some(pieces) = pieces(text, &spans) {
                let tokens: Vec<usize> = pieces.iter().flat_map(|piece| piece.tokens.clone()).collect();
                prop_assert_eq!(tokens, (0..spans.len()).collect::<Vec<_>>());
                prop_assert!(pieces.iter().all(|piece| text.get(piece.text.clone()).is_some()));
            }
        }
    }
}
