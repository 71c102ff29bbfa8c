//! What a pack holds that a question can be answered from.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use mempack_format::ReadError;
use mempack_model::{Composer, Embedder, Model, overlaps, reference_text};
use mempack_runtime::{DEFAULT_EF, Hit, IdentityMismatch, MappedPack, PackSearchError, RetrieveError};

use crate::EvaluateError;
use crate::metrics::Words;

/// Hits looked at beside those wanted, in case some repeat the question.
const SPARE: usize = 8;

/// A reference, with everything that the modes give to a model.
#[derive(Clone, Debug)]
pub(crate) struct Passage {
    /// Its number in the pack.
    pub reference: u32,
    /// Its similarity to the query.
    pub similarity: f32,
    /// The documents it stands in, the first one first.
    pub documents: Vec<String>,
    /// What was encoded of it, in words: the title, if it stands before the text, and the text.
    pub text: String,
    /// The same as the model's ids: what its memory is written from.
    pub ids: Vec<u32>,
    /// The words of its text.
    pub words: Words,
}

/// What retrieval found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Most similar first.
    pub passages: Vec<Passage>,
    /// References passed over because they repeat the query's text.
    pub left_out: usize,
}

/// A pack with the model and the embedder it was built with.
pub(crate) struct Library {
    pack: Arc<MappedPack>,
    model: Model,
    embedder: Embedder,
    /// References whose overlap with the query's text is above this are left out.
    most_overlap: f64,
}

impl Library {
    pub fn new(model: &Model, embedder: &Embedder, pack: &Arc<MappedPack>, most_overlap: f64) -> Result<Self, EvaluateError> {
        IdentityMismatch::check_model(&pack.manifest().model, model.identity())?;
        IdentityMismatch::check_embedder(&pack.manifest().embedder, embedder.identity())?;
        if !(0.0..=1.0).contains(&most_overlap) {
            let expected = "a share, 0 to 1".to_owned();
            return Err(EvaluateError::Option { option: "overlap", found: most_overlap.to_string(), expected });
        }
        Ok(Self { pack: Arc::clone(pack), model: model.share(), embedder: embedder.share(), most_overlap })
    }

    pub fn pack(&self) -> &Arc<MappedPack> {
        &self.pack
    }

    /// Unit vectors of queries, one after the other.
    pub fn embed(&self, queries: &[&str]) -> Result<Vec<Vec<f32>>, EvaluateError> {
        let rows = self.embedder.embed(queries).map_err(RetrieveError::Embed)?;
        Ok(rows.chunks_exact(self.embedder.dim().max(1)).map(<[f32]>::to_vec).collect())
    }

    /// The `most` references nearest to a query that do not repeat `text`, the tokens that they are retrieved for.
    pub fn nearest(&self, query: &[f32], text: &[u32], most: usize) -> Result<Found, EvaluateError> {
        let mut wanted = most + SPARE;
        loop {
            let hits = self.pack.search(query, wanted, DEFAULT_EF.max(wanted));
            let failed = |source| RetrieveError::Search(PackSearchError { path: self.pack.path().to_owned(), source: Box::new(source) });
            let hits = hits.map_err(failed)?;
            let all = hits.len() < wanted;
            let mut found = Found::default();
            for hit in hits {
                if found.passages.len() == most {
                    break;
                }
                let passage = self.passage(hit)?;
                if overlaps(text, &self.own_ids(&passage)?, self.most_overlap) {
                    found.left_out += 1;
                } else {
                    found.passages.push(passage);
                }
            }
            if all || found.passages.len() == most {
                return Ok(found);
            }
            wanted *= 2;
        }
    }

    /// The unit vector of a reference.
    pub fn embedding(&self, reference: u32) -> Result<Vec<f32>, EvaluateError> {
        let embedding = self.pack.embedding(reference).map_err(|source| self.unreadable("reference", reference, source))?;
        Ok(embedding.iter().map(|value| value.get()).collect())
    }

    /// Ids of a reference's text without its template, to be compared with those of other text.
    fn own_ids(&self, passage: &Passage) -> Result<Vec<u32>, EvaluateError> {
        Ok(self.model.tokenizer().encode_plain(&passage.text)?)
    }

    /// The references of some documents: each document's in the order of the pack.
    pub fn references_of(&self, documents: &HashSet<&str>) -> Result<HashMap<String, Vec<u32>>, EvaluateError> {
        let counts = self.pack.manifest().counts;
        let mut names = HashMap::new();
        for number in 0..counts.documents {
            let id = self.pack.document(number).map_err(|source| self.unreadable("document", number, source))?.id;
            if documents.contains(id.as_str()) {
                names.insert(number, id);
            }
        }
        let mut references: HashMap<String, Vec<u32>> = HashMap::new();
        for reference in 0..counts.references {
            let origins = self.pack.origins(reference).map_err(|source| self.unreadable("reference", reference, source))?;
            for name in origins.filter_map(|origin| names.get(&origin.document)) {
                let list = references.entry(name.clone()).or_default();
                // A text that stands twice in a document is one reference.
                if list.last() != Some(&reference) {
                    list.push(reference);
                }
            }
        }
        Ok(references)
    }

    /// The gold reference of a question: of the given references that hold an accepted answer word by word (of all, if none does),
    /// the one most similar to the question.
    pub fn gold(&self, query: &[f32], references: &[u32], accepted: &[Words]) -> Result<Option<Passage>, EvaluateError> {
        let mut passages = Vec::new();
        for &reference in references {
            let score = mempack_numeric::dot(query, &self.embedding(reference)?);
            passages.push(self.passage(Hit { reference, score })?);
        }
        if passages.iter().any(|passage| holds(passage, accepted)) {
            passages.retain(|passage| holds(passage, accepted));
        }
        Ok(passages.into_iter().max_by(|a, b| a.similarity.total_cmp(&b.similarity).then(b.reference.cmp(&a.reference))))
    }

    /// Text, documents and tokens of a reference, composed as the compiler does.
    pub fn passage(&self, hit: Hit) -> Result<Passage, EvaluateError> {
        let reference = hit.reference;
        let failed = |source| self.unreadable("reference", reference, source);
        let described = self.pack.describe(&hit).map_err(failed)?;
        let composer = Composer::new(&self.model)?;
        let composed = composer.compose(&composer.lead(&described.title)?, &described.text)?;
        let expected = usize::from(self.pack.reference(reference).map_err(failed)?.tokens);
        if composed.ids.len() != expected {
            let (path, found) = (self.pack.path().to_owned(), composed.ids.len());
            return Err(EvaluateError::Composed { path, reference, expected, found });
        }
        let text = reference_text(&composed.lead, &described.text).into_owned();
        let mut documents = vec![described.document];
        documents.extend(described.further.into_iter().map(|place| place.document));
        Ok(Passage { reference, similarity: hit.score, documents, words: Words::of(&text), text, ids: composed.ids })
    }

    fn unreadable(&self, item: &'static str, number: u32, source: ReadError) -> EvaluateError {
        EvaluateError::Read { path: self.pack.path().to_owned(), item, number, source: Box::new(source) }
    }
}

fn holds(passage: &Passage, accepted: &[Words]) -> bool {
    accepted.iter().any(|answer| passage.words.contains(answer))
}
