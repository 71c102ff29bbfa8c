//! The inverted index of a pack (SPEC 12.1), and the spread of its similarities.

use std::collections::BTreeMap;

use mempack_format::{Digest, Posting, TermSource};
use mempack_lexical::{ANALYSIS, TermCounts, terms};
use mempack_numeric::dot;

/// Most embeddings that the spread is measured between.
const SPREAD_SAMPLE: usize = 256;

/// Terms of references, collected in their order.
///
/// Memory: 8 bytes for each term of each reference, each term once, and `SPREAD_SAMPLE` embeddings.
#[derive(Default)]
pub(crate) struct TermIndex {
    counts: TermCounts,
    /// The embeddings of the references with the smallest keys, so that neither order nor threads choose them.
    sample: BTreeMap<Digest, Vec<f32>>,
}

impl TermIndex {
    /// Adds the next reference: its text, the titles of the documents that it comes from, its key and its embedding.
    pub fn push<'t>(&mut self, titles: impl Iterator<Item = &'t str>, text: &str, key: &Digest, embedding: &[f32]) {
        let mut different: Vec<&str> = Vec::new();
        for title in titles {
            if !different.contains(&title) {
                different.push(title);
            }
        }
        self.counts.push(different.into_iter().chain([text]).flat_map(terms));
        if self.sample.len() < SPREAD_SAMPLE || self.sample.last_key_value().is_some_and(|(largest, _)| key < largest) {
            self.sample.insert(*key, embedding.to_vec());
            if self.sample.len() > SPREAD_SAMPLE {
                self.sample.pop_last();
            }
        }
    }
}

impl TermSource for TermIndex {
    fn analysis(&self) -> u32 {
        ANALYSIS
    }

    fn spread(&self) -> f64 {
        let sample: Vec<&Vec<f32>> = self.sample.values().collect();
        let pairs = sample.iter().enumerate().flat_map(|(at, one)| sample[..at].iter().map(|other| f64::from(dot(one, other))));
        let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for cosine in pairs {
            count += 1.0;
            sum += cosine;
            squares += cosine * cosine;
        }
        if count == 0.0 {
            return 0.0;
        }
        let mean: f64 = sum / count;
        (squares / count - mean * mean).max(0.0).sqrt()
    }

    fn lengths(&self) -> &[u32] {
        self.counts.lengths()
    }

    fn terms(&self) -> impl Iterator<Item = (&str, impl ExactSizeIterator<Item = Posting>)> {
        let posting = |of: &mempack_lexical::Posting| Posting { reference: of.text, count: of.count };
        self.counts.iter().map(move |(term, postings)| (term, postings.iter().map(posting)))
    }
}
