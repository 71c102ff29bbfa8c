//! From the tokens of an answer to the pieces that are streamed.

use std::ops::ControlFlow;

use mempack_model::{TextStream, TextTokenizer};

use super::answer::Stop;
use super::error::AskError;
use super::log_probability::TokenLogProbabilities;
use super::text::{Added, AnswerText};

/// A part of an answer, as soon as it is certain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Piece<'p> {
    /// Its text. It is empty only in a last piece for tokens that have no text.
    pub text: &'p str,
    /// The tokens that begin in this text; empty unless log-probabilities are asked for. A token whose text was held back, because it was a part of a
    /// character or might have been the beginning of a stop string, comes with the piece that has its text, and a token without text with the next one.
    pub tokens: &'p [TokenLogProbabilities],
}

/// Receives an answer piece by piece, and can stop it.
pub type OnPiece<'a> = Box<dyn FnMut(&Piece<'_>) -> ControlFlow<()> + 'a>;

/// Converts tokens to text and streams it.
pub(crate) struct Output<'a> {
    stream: TextStream,
    text: AnswerText,
    on_piece: OnPiece<'a>,
    /// The log-probabilities of tokens, if they are wanted, each with the bytes of text before it.
    tokens: Vec<TokenLogProbabilities>,
    starts: Vec<usize>,
    /// How many of them were given out.
    given: usize,
}

/// What was streamed of an answer, and why it ended.
pub(crate) struct Streamed {
    pub text: String,
    pub tokens: Vec<TokenLogProbabilities>,
    pub stop: Stop,
}

impl<'a> Output<'a> {
    /// An answer with this text.
    pub fn new(tokenizer: &TextTokenizer, text: AnswerText, on_piece: OnPiece<'a>) -> Self {
        let stream = TextStream::new(tokenizer);
        Self { stream, text, on_piece, tokens: Vec::new(), starts: Vec::new(), given: 0 }
    }

    /// Adds a token, with its log-probabilities if they are wanted.
    pub fn push(&mut self, token: u32, measured: Option<TokenLogProbabilities>) -> Result<Option<Stop>, AskError> {
        if let Some(measured) = measured {
            self.starts.push(self.text.len());
            self.tokens.push(measured);
        }
        let new = self.stream.push(token)?;
        Ok(self.add(&new))
    }

    /// Streams the rest of the text.
    pub fn finish(mut self, mut stop: Stop) -> Result<Streamed, AskError> {
        if !matches!(stop, Stop::Text(_) | Stop::Interrupted) {
            let rest = self.stream.finish()?;
            let ended = self.add(&rest).or_else(|| {
                let held = self.text.flush();
                self.give(&held, self.tokens.len() - self.given)
            });
            stop = ended.unwrap_or(stop);
        }
        self.tokens.truncate(self.given);
        Ok(Streamed { text: self.text.into_text(), tokens: self.tokens, stop })
    }

    /// Adds text and gives out what is certain.
    fn add(&mut self, new: &str) -> Option<Stop> {
        let Added { text, stop } = self.text.push(new);
        let until = self.text.given();
        let ready = self.starts.iter().skip(self.given).take_while(|start| **start < until).count();
        self.give(&text, ready).or(stop.map(Stop::Text))
    }

    /// Gives out text and the next `count` tokens.
    fn give(&mut self, text: &str, count: usize) -> Option<Stop> {
        let tokens = self.tokens.get(self.given..self.given + count).unwrap_or_default();
        self.given += count;
        let interrupted = !(text.is_empty() && tokens.is_empty()) && (self.on_piece)(&Piece { text, tokens }).is_break();
        interrupted.then_some(Stop::Interrupted)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::path::Path;
    use std::rc::Rc;

    use proptest::prelude::*;

    use super::*;

    fn tokenizer() -> TextTokenizer {
        TextTokenizer::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/tiny/tokenizer.json")).unwrap()
    }

    /// The log-probabilities of a token, as if the model knew no other one.
    fn measured(tokenizer: &TextTokenizer, token: u32) -> TokenLogProbabilities {
        let mut logits = vec![f32::NEG_INFINITY; token as usize];
        logits.push(0.0);
        TokenLogProbabilities::new(tokenizer, &logits, token, 1)
    }

    /// A text and the tokens that came with it.
    type Given = (String, Vec<u32>);

    /// Streams the tokens of a text. Returns the pieces, each with the tokens that had been pushed then, and what was streamed.
    fn stream(tokenizer: &TextTokenizer, ids: &[u32], before: &[String]) -> (Vec<(usize, Given)>, Streamed) {
        let pieces = Rc::new(RefCell::new((0, Vec::new())));
        let seen = Rc::clone(&pieces);
        let on_piece = move |piece: &Piece<'_>| {
            let (pushed, pieces) = &mut *seen.borrow_mut();
            pieces.push((*pushed, (piece.text.to_owned(), piece.tokens.iter().map(|token| token.token).collect())));
            ControlFlow::Continue(())
        };
        let mut output = Output::new(tokenizer, AnswerText::new(&[], before), Box::new(on_piece));
        let mut stop = Stop::MaxTokens;
        for id in ids {
            pieces.borrow_mut().0 += 1;
            if let Some(ends) = output.push(*id, Some(measured(tokenizer, *id))).unwrap() {
                stop = ends;
                break;
            }
        }
        let streamed = output.finish(stop).unwrap();
        (pieces.take().1, streamed)
    }

    proptest! {
        #[test]
        fn tokens_come_with_the_piece_that_has_their_text(text in "[ ab日é🙂]{0,20}", before in prop::collection::vec("[ab日]{1,4}", 0..3)) {
            let tokenizer = tokenizer();
            let ids = tokenizer.encode_plain(&text).unwrap();
            let (pieces, streamed) = stream(&tokenizer, &ids, &before);
            let joined: String = pieces.iter().map(|(_, (text, _))| text.as_str()).collect();
            prop_assert_eq!(&joined, &streamed.text);
            let tokens: Vec<u32> = pieces.iter().flat_map(|(_, (_, tokens))| tokens.clone()).collect();
            prop_assert!(ids.starts_with(&tokens) && streamed.tokens.iter().map(|token| token.token).eq(tokens.iter().copied()));
            let ended = matches!(streamed.stop, Stop::Text(_));
            prop_assert!(ended || (tokens == ids && joined == text.trim_start()));
            // Where the text of each token begins, by all the bytes before it. White space at the beginning is not part of the answer.
            let bytes = |tokens: &[u32]| tokens.iter().flat_map(|id| measured(&tokenizer, *id).bytes.unwrap()).collect::<Vec<u8>>();
            let dropped = bytes(&ids).len() - text.trim_start().len();
            let begins = |at: usize| bytes(&ids[..at]).len().saturating_sub(dropped);
            let (mut length, mut count) = (0, 0);
            for (_, (text, tokens)) in &pieces {
                length += text.len();
                count += tokens.len();
                // All that begin in the text that was given, and no others but those whose character began before them.
                prop_assert!((0..count).all(|at| begins(at) < length || text.is_empty()));
                prop_assert!((count..ids.len()).all(|at| begins(at) >= length));
            }
        }
    }

    #[test]
    fn characters_and_stop_strings_hold_tokens_back() {
        let tokenizer = tokenizer();
        let ids = tokenizer.encode_plain("x🙂ab").unwrap();
        let bytes = |count: usize| ids[..count].iter().flat_map(|id| measured(&tokenizer, *id).bytes.unwrap()).collect::<Vec<u8>>();
        let within = |text: &str| (0..=ids.len()).find(|count| bytes(*count).ends_with(text.as_bytes())).unwrap();
        let (begin, face) = (within("x"), within("x🙂") - within("x"));
        assert!(face > 1, "a token for each byte");
        let (pieces, streamed) = stream(&tokenizer, &ids, &["🙂b".into()]);
        assert_eq!((streamed.text.trim(), streamed.tokens.len(), streamed.stop), ("x🙂ab", ids.len(), Stop::MaxTokens));
        // The face might have begun the stop string.
        assert!(pieces.iter().all(|(pushed, (text, _))| !text.contains('🙂') || *pushed > begin + face), "{pieces:?}");
        let (_, streamed) = stream(&tokenizer, &ids, &["🙂".into()]);
        assert_eq!((streamed.text.trim(), streamed.stop), ("x", Stop::Text("🙂".into())));
        assert!(streamed.tokens.len() <= begin, "tokens of the stop string are left out");
    }
}
