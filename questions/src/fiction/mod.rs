//! Fictional documents with questions.

mod compose;
mod english;
mod kind;
mod names;
mod page;
mod template;
mod words;

use std::collections::BTreeSet;

use kind::Kind;
use names::Names;
use words::{Scene, Words};

use crate::{Document, Question};
use mempack_numeric::Rng;

pub use kind::KindError;

/// Where the documents are from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Domain {
    /// Medicines, diseases, devices, trials, cases, letters, tests, procedures.
    #[default]
    Medical,
    /// Acts, regulations, leases, contracts, judgments, by-laws, wills, rules of societies.
    Legal,
}

/// What fiction to make.
#[derive(Clone, Debug, PartialEq)]
pub struct FictionOptions {
    /// How many documents.
    pub documents: u64,
    /// Only this domain; both if none is named.
    pub domain: Option<Domain>,
    /// Where chance begins.
    pub seed: u64,
    /// The share of questions that no document answers, from 0 to 1.
    pub unanswerable: f64,
    /// Questions about each document. A document of few facts has fewer.
    pub per_document: usize,
}

impl Default for FictionOptions {
    fn default() -> Self {
        Self { documents: 1000, domain: None, seed: 0, unanswerable: 0.1, per_document: 3 }
    }
}

/// Why no fiction is made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FictionError {
    /// A built-in file.
    #[error(transparent)]
    Kind(#[from] KindError),
    /// A share that is none.
    #[error("the share of unanswerable questions is {found}, expected a number from 0 to 1")]
    Unanswerable {
        /// The share.
        found: f64,
    },
}

/// A document and the questions about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    /// The kind of document, one word.
    pub kind: &'static str,
    /// The document.
    pub document: Document,
    /// Its questions; those that no document answers as well.
    pub questions: Vec<Question>,
    /// Every proper name that was generated for it.
    pub names: Vec<String>,
}

/// Makes one document after the other, in batches of look-alikes: one kind, other names and values, so that they are easily
/// taken for one another. Memory: what the documents are about, some 20 bytes each, so that no two have one name.
#[derive(Debug)]
pub struct Fiction {
    options: FictionOptions,
    kinds: Vec<Kind>,
    words: Words,
    subjects: BTreeSet<String>,
    lands: Vec<String>,
    /// Places in `kinds`, those yet to come before all come again.
    round: Vec<usize>,
    batch: Option<Batch>,
    made: u64,
    batches: u64,
}

/// Look-alikes in the making.
#[derive(Debug)]
struct Batch {
    kind: usize,
    left: usize,
    names: Names,
    constants: Vec<(String, String)>,
}

/// Streams of chance: batches begin here, documents at 0.
const BATCHES: u64 = 1 << 62;
/// The stream of what the whole corpus shares.
const CORPUS: u64 = 1 << 63;

impl Fiction {
    /// Ready to make documents.
    ///
    /// # Errors
    /// If the share of unanswerable questions is none.
    pub fn new(options: &FictionOptions) -> Result<Self, FictionError> {
        if !(0.0..=1.0).contains(&options.unanswerable) {
            return Err(FictionError::Unanswerable { found: options.unanswerable });
        }
        let words = Words::load()?;
        let mut kinds = kind::kinds()?;
        kinds.retain(|kind| options.domain.is_none_or(|domain| domain == kind.domain));
        let mut rng = Rng::for_stream(options.seed, CORPUS);
        let lands = (0..4).map(|_| Names::new(&mut rng).name(names::NameKind::Town, &mut rng)).collect();
        Ok(Self {
            options: options.clone(),
            kinds,
            words,
            subjects: BTreeSet::new(),
            lands,
            round: Vec::new(),
            batch: None,
            made: 0,
            batches: 0,
        })
    }

    fn next_batch(&mut self) -> Option<Batch> {
        let mut rng = Rng::for_stream(self.options.seed, BATCHES + self.batches);
        self.batches += 1;
        if self.round.is_empty() {
            self.round = (0..self.kinds.len()).collect();
            rng.shuffle(&mut self.round);
        }
        let kind = self.round.pop()?;
        // A small corpus shall have several kinds, and yet several documents of each.
        let most = (self.options.documents as usize / self.kinds.len()).clamp(4, 20);
        let left = rng.between(most / 2, most).max(2);
        let mut names = Names::new(&mut rng);
        let mut scene = Scene { words: &self.words, names: &mut names, constants: Vec::new() };
        let coinage = scene.fill("coin", &mut rng)?;
        let land = rng.pick(&self.lands)?.clone();
        Some(Batch { kind, left, names, constants: vec![("coinage".into(), coinage), ("land".into(), land)] })
    }
}

impl Iterator for Fiction {
    type Item = Made;

    fn next(&mut self) -> Option<Made> {
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
            // The lands are named in any document.
            return Some(Made { names: [made.names, self.lands.clone()].concat(), ..made });
        }
        Some(made)
    }
}

#[cfg(test)]
mod tests;
