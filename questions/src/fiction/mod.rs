//! Fictional documents with questions.

mod compose;
mod english;
mod kind;
mod names;
mod page;
mod sentence;
mod subject;
mod template;
mod values;
mod words;

use std::collections::BTreeSet;

use mempack_numeric::Rng;

use kind::DocumentKind;
use names::Names;
use words::{Scene, Words};

use crate::{CorpusDocument, Question};

pub use kind::KindError;

/// The field that documents are from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Domain {
    /// Medicines, diseases, devices, trials, cases, letters, tests, procedures.
    #[default]
    Medical,
    /// Acts, regulations, leases, contracts, judgments, by-laws, wills, rules of societies.
    Legal,
}

/// Options of [`Fiction`].
#[derive(Clone, Debug, PartialEq)]
pub struct FictionOptions {
    /// The number of documents.
    pub documents: u64,
    /// The domain; both if `None`.
    pub domain: Option<Domain>,
    /// The seed of all random choices.
    pub seed: u64,
    /// The share of questions that no document answers, from 0 to 1.
    pub unanswerable: f64,
    /// Questions about each document. A document with few facts has fewer.
    pub per_document: usize,
}

impl Default for FictionOptions {
    fn default() -> Self {
        Self { documents: 1000, domain: None, seed: 0, unanswerable: 0.1, per_document: 3 }
    }
}

/// Why fiction cannot be made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FictionError {
    /// A built-in file has an error.
    #[error(transparent)]
    Kind(#[from] KindError),
    /// The share of unanswerable questions is not from 0 to 1.
    #[error("the share of unanswerable questions is {found}, expected a number from 0 to 1")]
    Unanswerable {
        /// The share.
        found: f64,
    },
}

/// A generated document and the questions about it.
#[derive(Clone, Debug, PartialEq)]
pub struct MadeDocument {
    /// The kind of document, in one word.
    pub kind: &'static str,
    /// The document.
    pub document: CorpusDocument,
    /// Its questions, including those that no document answers.
    pub questions: Vec<Question>,
    /// The proper names generated for it.
    pub names: Vec<String>,
}

/// Generates documents, in batches of similar ones: they share a kind and differ in names and values, so that retrieval can confuse
/// them. Subjects are unique: their names are held in memory, about 20 bytes a document.
#[derive(Debug)]
pub struct Fiction {
    options: FictionOptions,
    kinds: Vec<DocumentKind>,
    words: Words,
    subjects: BTreeSet<String>,
    countries: Vec<String>,
    /// Indices of the kinds that are left in this round.
    round: Vec<usize>,
    batch: Option<SimilarDocuments>,
    made: u64,
    batches: u64,
}

/// A batch of similar documents.
#[derive(Debug)]
struct SimilarDocuments {
    /// Index of their kind.
    kind: usize,
    /// Documents still to make.
    left: usize,
    names: Names,
    constants: Vec<(String, String)>,
}

/// Random streams of batches are numbered from here; those of documents from 0.
const BATCHES: u64 = 1 << 62;
/// The random stream of what the whole corpus shares.
const CORPUS: u64 = 1 << 63;

impl Fiction {
    /// Prepares to generate documents.
    ///
    /// # Errors
    /// If the share of unanswerable questions is not from 0 to 1.
    pub fn new(options: &FictionOptions) -> Result<Self, FictionError> {
        if !(0.0..=1.0).contains(&options.unanswerable) {
            return Err(FictionError::Unanswerable { found: options.unanswerable });
        }
        let words = Words::load()?;
        let mut kinds = kind::kinds()?;
        kinds.retain(|kind| options.domain.is_none_or(|domain| domain == kind.domain));
        let mut rng = Rng::for_stream(options.seed, CORPUS);
        let countries = (0..4).map(|_| Names::new(&mut rng).name(names::NameKind::Town, &mut rng)).collect();
        Ok(Self {
            options: options.clone(),
            kinds,
            words,
            subjects: BTreeSet::new(),
            countries,
            round: Vec::new(),
            batch: None,
            made: 0,
            batches: 0,
        })
    }

    fn next_batch(&mut self) -> Option<SimilarDocuments> {
        let mut rng = Rng::for_stream(self.options.seed, BATCHES + self.batches);
        self.batches += 1;
        if self.round.is_empty() {
            self.round = (0..self.kinds.len()).collect();
            rng.shuffle(&mut self.round);
        }
        let kind = self.round.pop()?;
        // A small corpus still has several kinds, and several documents of each.
        let max = (self.options.documents as usize / self.kinds.len()).clamp(4, 20);
        let left = rng.between(max / 2, max).max(2);
        let mut names = Names::new(&mut rng);
        let mut scene = Scene { words: &self.words, names: &mut names, constants: Vec::new() };
        let coinage = scene.fill("coin", &mut rng)?;
        let country = rng.pick(&self.countries)?.clone();
        Some(SimilarDocuments { kind, left, names, constants: vec![("coinage".into(), coinage), ("land".into(), country)] })
    }
}

impl Iterator for Fiction {
    type Item = MadeDocument;

    fn next(&mut self) -> Option<MadeDocument> {
        if self.made == self.options.documents {
            return None;
        }
        if self.batch.as_ref().is_none_or(|batch| batch.left == 0) {
            self.batch = self.next_batch();
        }
        let batch = self.batch.as_mut()?;
        batch.left -= 1;
        let kind = self.kinds.get(batch.kind)?;
        let mut rng = Rng::for_stream(self.options.seed, self.made);
        let scene = Scene { words: &self.words, names: &mut batch.names, constants: batch.constants.clone() };
        self.made += 1;
        let made = compose::document(kind, self.made, scene, &mut self.subjects, &self.options, &mut rng);
        if self.made == 1 {
            // Any document may name the countries.
            return Some(MadeDocument { names: [made.names, self.countries.clone()].concat(), ..made });
        }
        Some(made)
    }
}

#[cfg(test)]
mod tests;
