//! An inverted index that is built in memory.

use std::collections::BTreeMap;

/// One text that has a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posting {
    /// The number of the text.
    pub text: u32,
    /// How often the term is in it; at least 1.
    pub count: u32,
}

/// How often each term is in each text.
///
/// Memory: 8 bytes for each term of each text, and each term once.
#[derive(Clone, Debug, Default)]
pub struct TermCounts {
    lengths: Vec<u32>,
    postings: BTreeMap<String, Vec<Posting>>,
}

impl TermCounts {
    /// An index of no texts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next text, by its terms in any order.
    pub fn push(&mut self, terms: impl IntoIterator<Item = String>) {
        let text = self.lengths.len() as u32;
        let mut length = 0u32;
        for term in terms {
            length = length.saturating_add(1);
            let of_term = self.postings.entry(term).or_default();
            match of_term.last_mut() {
                Some(last) if last.text == text => last.count = last.count.saturating_add(1),
                _ => of_term.push(Posting { text, count: 1 }),
            }
        }
        self.lengths.push(length);
    }

    /// Terms of each text, repetitions counted.
    pub fn lengths(&self) -> &[u32] {
        &self.lengths
    }

    /// Terms in the order of their bytes, each with the texts that have it, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &[Posting])> {
        self.postings.iter().map(|(term, postings)| (term.as_str(), postings.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_counted_text_by_text() {
        let mut counts = TermCounts::new();
        for text in ["b a b", "", "a"] {
            counts.push(text.split_whitespace().map(str::to_owned));
        }
        let posting = |text, count| Posting { text, count };
        let all: Vec<_> = counts.iter().map(|(term, postings)| (term, postings.to_vec())).collect();
        assert_eq!(all, [("a", vec![posting(0, 1), posting(2, 1)]), ("b", vec![posting(0, 2)])]);
        assert_eq!(counts.lengths(), [3, 0, 1]);
    }
}
