//! The text of a growing answer, and the detection of stop strings in it.

/// An answer's text, up to its end at a stop string. What may be the beginning of a stop string that is not part of the answer is held back until the
/// text goes on.
pub(crate) struct AnswerText {
    text: String,
    /// Bytes of the text that were given out.
    given: usize,
    /// Stop strings that are part of the answer.
    inside: Vec<String>,
    /// Stop strings before which the answer ends.
    before: Vec<String>,
    /// Whether white space at the beginning is dropped.
    trims: bool,
}

/// The text that a token added.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Added {
    pub(crate) text: String,
    /// The stop string that ended the answer.
    pub(crate) stop: Option<String>,
}

impl AnswerText {
    /// An empty answer, which ends behind one of the strings `inside` or before one of `before`. Empty strings are ignored.
    pub(crate) fn new(inside: &[String], before: &[String]) -> Self {
        let of = |stops: &[String]| stops.iter().filter(|stop| !stop.is_empty()).cloned().collect();
        Self { text: String::new(), given: 0, inside: of(inside), before: of(before), trims: true }
    }

    /// The same that continues a text, so that white space at its beginning is part of it.
    pub(crate) fn continuing(self) -> Self {
        Self { trims: false, ..self }
    }

    /// Bytes of the text so far, with those that are held back.
    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }

    /// Bytes that were given out.
    pub(crate) fn given(&self) -> usize {
        self.given
    }

    /// The concatenation of all that was given out.
    pub(crate) fn into_text(mut self) -> String {
        self.text.truncate(self.given);
        self.text
    }

    /// Appends `new`, and gives out what is certainly part of the answer. The answer ends at the stop string that is complete first; of those that are
    /// complete at once, the one that leaves the shortest text.
    ///
    /// Leading white space of an answer is dropped, because many tokenizers put a space before the first word.
    pub(crate) fn push(&mut self, new: &str) -> Added {
        let old = self.text.len();
        self.text.push_str(if old == 0 && self.trims { new.trim_start() } else { new });
        let inside = self.inside.iter().filter_map(|stop| self.found(stop, old).map(|(_, end)| (end, end, stop)));
        let before = self.before.iter().filter_map(|stop| self.found(stop, old).map(|(start, end)| (end, start, stop)));
        let first = inside.chain(before).min_by_key(|(end, cut, _)| (*end, *cut)).map(|(_, cut, stop)| (cut, stop.clone()));
        let Some((cut, stop)) = first else {
            let until = self.text.len() - self.held();
            return Added { text: self.give(until), stop: None };
        };
        self.text.truncate(cut);
        Added { text: self.give(cut), stop: Some(stop) }
    }

    /// Gives out what was held back, because no text follows.
    pub(crate) fn flush(&mut self) -> String {
        self.give(self.text.len())
    }

    fn give(&mut self, until: usize) -> String {
        let text = self.text.get(self.given..until).unwrap_or_default().to_owned();
        self.given = self.given.max(until);
        text
    }

    /// The first occurrence of `stop` that ends behind byte `old`.
    fn found(&self, stop: &str, old: usize) -> Option<(usize, usize)> {
        // It begins at most its length minus one byte before that.
        let earliest = (old + 1).saturating_sub(stop.len());
        let from = (0..=earliest).rev().find(|&at| self.text.is_char_boundary(at))?;
        let start = from + self.text.get(from..)?.find(stop)?;
        Some((start, start + stop.len()))
    }

    /// Bytes at the end of the text that may be the beginning of a stop string before which the answer ends.
    fn held(&self) -> usize {
        let of = |stop: &String| {
            let most = self.text.len().min(stop.len() - 1);
            (1..=most).rev().find(|bytes| self.text.as_bytes().ends_with(stop.as_bytes().get(..*bytes).unwrap_or_default())).unwrap_or(0)
        };
        self.before.iter().map(of).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What is given out of pieces, the whole text, and the stop string. After each piece, what is held back is checked.
    fn run(pieces: &[String], inside: &[String], before: &[String]) -> (String, String, Option<String>) {
        let mut answer = AnswerText::new(inside, before);
        let (mut streamed, mut all) = (String::new(), String::new());
        for piece in pieces {
            let added = answer.push(piece);
            streamed += &added.text;
            assert_eq!(streamed.len(), answer.given());
            if added.stop.is_some() {
                return (streamed, answer.into_text(), added.stop);
            }
            // Whatever follows, no stop string begins in what was streamed.
            all += piece;
            let begins = |start: &usize| {
                let rest = all.trim_start().get(*start..).unwrap_or_default();
                !rest.is_empty() && before.iter().any(|stop| stop.starts_with(rest))
            };
            assert_eq!((0..streamed.len()).find(begins), None, "{streamed:?} of {all:?}, {before:?}");
        }
        streamed += &answer.flush();
        (streamed, answer.into_text(), None)
    }

    /// The same by its definition, on the whole text: the shortest beginning of it that ends with a stop string.
    fn slow(all: &str, inside: &[String], before: &[String]) -> (String, bool) {
        let all = all.trim_start();
        let ends = |end: usize, stops: &[String]| {
            let stops = stops.iter().filter(|stop| !stop.is_empty() && all[..end].ends_with(stop.as_str()));
            stops.map(String::len).max()
        };
        for end in (0..=all.len()).filter(|end| all.is_char_boundary(*end)) {
            match (ends(end, before), ends(end, inside)) {
                (Some(bytes), _) => return (all[..end - bytes].to_owned(), true),
                (None, Some(_)) => return (all[..end].to_owned(), true),
                (None, None) => {}
            }
        }
        (all.to_owned(), false)
    }

    /// `text` cut at some of its characters.
    fn cut(text: &str, cuts: &[bool]) -> Vec<String> {
        let mut pieces = vec![String::new()];
        for (index, character) in text.chars().enumerate() {
            if cuts.get(index).copied().unwrap_or(false) {
                pieces.push(String::new());
            }
            pieces.last_mut().unwrap().push(character);
        }
        pieces
    }

    proptest! {
        #[test]
        fn without_stop_strings_all_text_streams(pieces in proptest::collection::vec("\\PC{0,6}", 0..12)) {
            let (streamed, whole, stop) = run(&pieces, &[String::new()], &[String::new()]);
            prop_assert_eq!(&streamed, &whole);
            let all = pieces.concat();
            prop_assert_eq!(whole, all.trim_start());
            prop_assert_eq!(stop, None);
        }

        #[test]
        fn an_answer_ends_at_its_first_stop_string_however_it_is_cut(
            text in "[ ab.é]{0,40}", cuts in proptest::collection::vec(any::<bool>(), 40),
            inside in proptest::collection::vec("[ab.é]{0,3}", 0..3), before in proptest::collection::vec("[ab.é]{0,5}", 0..4),
        ) {
            let (expected, ended) = slow(&text, &inside, &before);
            let (streamed, whole, stop) = run(&cut(&text, &cuts), &inside, &before);
            prop_assert_eq!(&streamed, &expected);
            prop_assert_eq!(&whole, &expected);
            prop_assert_eq!(stop.is_some(), ended);
            if let Some(stop) = stop {
                prop_assert!(before.contains(&stop) || (inside.contains(&stop) && whole.ends_with(&stop)));
            }
        }
    }

    #[test]
    fn what_turns_out_to_be_no_stop_string_is_given_out_late() {
        let mut answer = AnswerText::new(&[], &["\n\nUser:".into(), "aab".into()]);
        let texts = ["It is.", "\n", "\nUse", " it.", " aa", "a", "b"].map(|piece| answer.push(piece));
        let given = texts.each_ref().map(|added| added.text.as_str());
        assert_eq!(given, ["It is.", "", "", "\n\nUse it.", " ", "a", ""]);
        assert_eq!(
            (texts[6].stop.as_deref(), answer.flush().as_str(), answer.into_text().as_str()),
            (Some("aab"), "", "It is.\n\nUse it. a")
        );
    }
}
