use std::cell::Cell;

use mempack_model::{ComputeError, reference_text};
use proptest::prelude::*;

use super::*;

/// A tokenizer: a token for each ASCII word with the blank before it, a token a byte for anything else, one for the template.
struct Words {
    limit: usize,
    /// Tokens that a text has more when it is encoded as a reference.
    extra: usize,
    encoded: Cell<usize>,
}

impl Words {
    fn new(limit: usize) -> Self {
        Self { limit, extra: 0, encoded: Cell::new(0) }
    }
}

impl ReferenceTokens for Words {
    fn starts(&self, text: &str) -> Result<Vec<usize>, ComputeError> {
        self.encoded.set(self.encoded.get() + text.len());
        let bytes = text.as_bytes();
        let inner = |at: usize| at > 0 && bytes[at].is_ascii_alphabetic() && (bytes[at - 1].is_ascii_alphabetic() || bytes[at - 1] == b' ');
        // A byte within a character counts where the character begins, as in byte-level vocabularies.
        let begin = |at: usize| text.floor_char_boundary(at);
        Ok((0..bytes.len()).filter(|at| !inner(*at)).map(begin).collect())
    }

    fn reference(&self, text: &str) -> Result<Vec<u32>, ComputeError> {
        let extra = if text.len() > 40 { self.extra } else { 0 };
        Ok(vec![0; self.starts(text)?.len() + 1 + extra])
    }

    fn limit(&self) -> usize {
        self.limit
    }
}

fn cut(tokens: &Words, title: &str, text: &str) -> Vec<Piece> {
    let segmenter = Segmenter::new(tokens).unwrap();
    let lead = segmenter.lead(title).unwrap();
    let mut pieces = Vec::new();
    segmenter
        .cut(text, &lead, &mut |piece| {
            pieces.push(piece);
            Ok(())
        })
        .unwrap();
    pieces
}

#[test]
fn the_title_stands_before_each_piece_unless_the_text_has_it() {
    let text = "# Zorvex\n\nZorvex is a drug for the heart that is given by mouth. It was made long ago by people who are no more. Take it twice a day.";
    let pieces = cut(&Words::new(24), "Zorvex", text);
    assert!(pieces.len() > 1);
    assert_eq!(pieces[0].lead, "");
    assert!(pieces[1..].iter().all(|piece| piece.lead == "Zorvex. "), "{pieces:?}");
    assert_eq!(cut(&Words::new(64), "刑法", "第一条")[0].lead, "刑法。");
    assert_eq!(cut(&Words::new(64), "Why?", "Because.")[0].lead, "Why? ");
    assert_eq!(cut(&Words::new(64), "", "Because.")[0].lead, "");
    assert_eq!(cut(&Words::new(64), "Heart", "Heartless it was.")[0].lead, "Heart. ");
}

#[test]
fn a_long_title_keeps_to_its_quarter() {
    let title = "one two three four five six seven eight nine ten eleven twelve thirteen";
    let pieces = cut(&Words::new(40), title, "Text.");
    assert_eq!(pieces[0].lead, "one two three four five six seven eight nine. ");
    let pieces = cut(&Words::new(40), &"字".repeat(100), "Text.");
    assert!(!pieces[0].lead.is_empty() && pieces[0].lead.len() <= 10, "{pieces:?}");
}

#[test]
fn few_words_are_not_left_over() {
    let text = (0..5).map(|_| "There are ten tokens in this sentence with its stop. ").collect::<String>() + "And four more here.";
    let pieces = cut(&Words::new(34), "", &text);
    assert!(pieces.iter().all(|piece| piece.ids.len() > 8), "{:?}", pieces.iter().map(|piece| piece.ids.len()).collect::<Vec<_>>());
    assert!(pieces.iter().all(|piece| text[..piece.end].ends_with('.')));
}

#[test]
fn a_template_that_leaves_no_room_is_refused() {
    assert!(matches!(Segmenter::new(&Words::new(10)), Err(BuildError::ReferenceLength { found: 10, .. })));
}

#[test]
fn a_document_is_not_encoded_again_and_again() {
    let tokens = Words::new(64);
    let text = "Some words that make a sentence of a usual length, as there are many. ".repeat(900);
    cut(&tokens, "", &text);
    assert!(tokens.encoded.get() < 3 * text.len(), "{} of {}", tokens.encoded.get(), text.len());
}

#[test]
fn what_has_no_room_beside_the_title_does_without_it() {
    let text = "a".repeat(60) + "！。；. ";
    let pieces = cut(&Words { extra: 2, ..Words::new(17) }, "a a a a a", &text);
    assert_eq!(pieces.iter().map(|piece| (piece.lead.as_str(), &text[piece.start..piece.end])).collect::<Vec<_>>(), [("", text.trim())]);
}

#[test]
fn a_row_of_stops_is_cut() {
    let text = "Contents".to_owned() + &"。".repeat(500) + "7";
    let pieces = cut(&Words::new(40), "Heart", &text);
    assert_eq!(pieces.iter().map(|piece| &text[piece.start..piece.end]).collect::<String>(), text);
    assert!(pieces.iter().all(|piece| piece.ids.len() <= 40 && piece.lead == "Heart. "), "{pieces:?}");
}

proptest! {
    #[test]
    fn nothing_is_lost_and_every_piece_fits(
        parts in prop::collection::vec("[a-zA-Z ]{0,30}|[。，！？；]|[。！)]{1,40}|[\u{4E00}-\u{4E40}]{1,40}|\\. |\r?\n|\n\n|[a-z]{60}|é{40}|\u{1F469}\u{200D}\u{1F680}", 0..60),
        title in "[a-z ]{0,60}|[\u{4E00}-\u{4E40}]{0,30}",
        limit in 17usize..140,
        extra in 0usize..4,
    ) {
        let text = parts.concat();
        let tokens = Words { extra, ..Words::new(limit) };
        let mut from = 0;
        for piece in cut(&tokens, &title, &text) {
            prop_assert!(text[from..piece.start].trim().is_empty());
            let own = &text[piece.start..piece.end];
            prop_assert!(!own.is_empty() && own.trim() == own);
            prop_assert_eq!(piece.ids.len(), tokens.reference(&reference_text(&piece.lead, own)).unwrap().len());
            prop_assert!(piece.ids.len() <= limit);
            from = piece.end;
        }
        prop_assert!(text[from..].trim().is_empty());
    }
}
