//! The text of a growing answer, and the detection of stop strings in it.

/// An answer's text, up to the end of its first stop string.
pub(crate) struct AnswerText {
    text: String,
    stops: Vec<String>,
}

/// The text that a token added.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) text: String,
    /// The stop string that the answer now ends with. It is part of the answer.
    pub(crate) stop: Option<String>,
}

impl AnswerText {
    /// An empty answer. Empty stop strings are ignored.
    pub(crate) fn new(stops: &[String]) -> Self {
        Self { text: String::new(), stops: stops.iter().filter(|stop| !stop.is_empty()).cloned().collect() }
    }

    /// The concatenation of all pieces.
    pub(crate) fn into_text(self) -> String {
        self.text
    }

    /// Appends `new`, up to the end of the first stop string that it completes.
    ///
    /// Leading white space of the answer is dropped, because many tokenizers put a space before the first word.
    pub(crate) fn push(&mut self, new: &str) -> Piece {
        let old = self.text.len();
        self.text.push_str(if old == 0 { new.trim_start() } else { new });
        let ends = self.stops.iter().filter_map(|stop| {
            // A stop string that ends in the new text begins at most its length minus one byte before it.
            let earliest = old.saturating_sub(stop.len() - 1);
            let from = (0..=earliest).rev().find(|&at| self.text.is_char_boundary(at))?;
            let found = self.text.get(from..)?.find(stop.as_str())?;
            Some((from + found + stop.len(), stop))
        });
        let stop = ends.min_by_key(|(end, _)| *end).map(|(end, stop)| (end, stop.clone()));
        let stop = stop.map(|(end, stop)| {
            self.text.truncate(end);
            stop
        });
        Piece { text: self.text.get(old..).unwrap_or_default().to_owned(), stop }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(pieces: &[String], stops: &[String]) -> (String, String, Option<String>) {
        let mut answer = AnswerText::new(stops);
        let mut streamed = String::new();
        for piece in pieces {
            let added = answer.push(piece);
            streamed += &added.text;
            if added.stop.is_some() {
                return (streamed, answer.into_text(), added.stop);
            }
        }
        (streamed, answer.into_text(), None)
    }

    proptest! {
        #[test]
        fn without_stop_strings_all_text_streams(pieces in proptest::collection::vec("\\PC{0,6}", 0..12)) {
            let (streamed, whole, stop) = run(&pieces, &[String::new()]);
            prop_assert_eq!(&streamed, &whole);
            let all = pieces.concat();
            prop_assert_eq!(whole, all.trim_start());
            prop_assert_eq!(stop, None);
        }

        #[test]
        fn an_answer_ends_behind_its_first_stop_string(
            pieces in proptest::collection::vec("[a-cé.]{0,4}", 0..12), stops in proptest::collection::vec("[a-cé.]{1,3}", 0..3),
        ) {
            let all = pieces.concat();
            let first = stops.iter().filter_map(|stop| all.find(stop.as_str()).map(|at| at + stop.len())).min();
            let (streamed, whole, stop) = run(&pieces, &stops);
            prop_assert_eq!(&streamed, &whole);
            prop_assert_eq!(&whole, &all[..first.unwrap_or(all.len())]);
            prop_assert_eq!(stop.is_some(), first.is_some());
            prop_assert!(stop.is_none_or(|stop| whole.ends_with(&stop)));
        }
    }
}
