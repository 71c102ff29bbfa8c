//! Look-ups in a pack: gold references, passages, and retrieval with a whole question.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use mempack_format::ReadError;
use mempack_model::{EmbedAs, Embedder, Model};
use mempack_numeric::dot;
use mempack_retrieval::{Hit, Query, Recall, Recalled};
use mempack_runtime::{
    IdentityMismatch, MappedPack, MemoryRead, Method, Mounted, Mounts, NotRepeating, OnDamage, PackReference, Ranking, ReferenceText,
    Reranking, RetrieveError, Retriever, Strategy, read_reference,
};

use crate::metrics::Words;
use crate::{EvaluateError, Models};

/// A reference with its text.
#[derive(Clone, Debug)]
pub(crate) struct Passage {
    /// The reference and its similarity to the query.
    pub hit: Hit<PackReference>,
    /// Its text, tokens and documents.
    pub reference: ReferenceText,
    /// The words of its text.
    pub words: Words,
}

impl Passage {
    pub fn number(&self) -> u32 {
        self.hit.reference.number
    }
}

/// The passages that a question retrieves.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The passages, most similar first.
    pub passages: Vec<Passage>,
    /// Number of references filtered out because they repeat the question.
    pub left_out: usize,
}

/// The first of the mounted packs; a set of mounts is never empty.
pub(crate) fn first_pack(mounts: &Arc<Mounts>) -> Arc<MappedPack> {
    Arc::clone(mounts.packs().packs()[0].pack())
}

/// The documents of a pack that have one of these ids: the ids by the documents' numbers.
pub(crate) fn documents_named(pack: &MappedPack, wanted: &HashSet<&str>) -> Result<HashMap<u32, String>, EvaluateError> {
    let mut ids = HashMap::new();
    for number in 0..pack.manifest().counts.documents {
        let id = pack.document(number).map_err(|source| unreadable(pack, "document", number, source))?.id;
        if wanted.contains(id.as_str()) {
            ids.insert(number, id);
        }
    }
    Ok(ids)
}

/// An item of a pack that cannot be read.
pub(crate) fn unreadable(pack: &MappedPack, item: &'static str, number: u32, source: ReadError) -> EvaluateError {
    EvaluateError::Read { path: pack.path().to_owned(), item, number, source: Box::new(source) }
}

/// A pack with the model and the embedder that it was built with.
pub(crate) struct Library {
    mounts: Arc<Mounts>,
    mounted: Arc<Mounted>,
    model: Model,
    embedder: Embedder,
    retriever: Retriever,
    /// References whose overlap with the question exceeds this share are filtered out.
    max_overlap: f64,
    ranking: Ranking,
    strategy: Strategy,
    reranking: Option<Reranking>,
}

impl Library {
    pub fn new(models: &Models<'_>, pack: &Arc<MappedPack>, max_overlap: f64) -> Result<Self, EvaluateError> {
        Self::over(models, &Arc::new(Mounts::of(Arc::clone(pack))), max_overlap)
    }

    /// A library of several packs, which retrieval ranks together. What is about one pack is about the first.
    pub fn over(models: &Models<'_>, mounts: &Arc<Mounts>, max_overlap: f64) -> Result<Self, EvaluateError> {
        let Models { model, embedder, ranking, strategy, reranking, .. } = *models;
        IdentityMismatch::check_model(mounts.model(), model.identity())?;
        if !(0.0..=1.0).contains(&max_overlap) {
            let expected = "a share, 0 to 1".to_owned();
            return Err(EvaluateError::Option { option: "overlap", found: max_overlap.to_string(), expected });
        }
        let retriever =
            Retriever::over(embedder, Arc::clone(mounts))?.ranked_by(ranking).chosen_by(strategy).reranked_by(reranking.cloned())?;
        // A set of mounts is never empty.
        let mounted = Arc::clone(&mounts.packs().packs()[0]);
        let (model, embedder, mounts) = (model.share(), embedder.share(), Arc::clone(mounts));
        Ok(Self { mounts, mounted, model, embedder, retriever, max_overlap, ranking, strategy, reranking: reranking.cloned() })
    }

    pub fn pack(&self) -> &Arc<MappedPack> {
        self.mounted.pack()
    }

    /// The pack in the form that a session takes.
    pub fn mounts(&self) -> &Arc<Mounts> {
        &self.mounts
    }

    pub fn embedder(&self) -> &Embedder {
        &self.embedder
    }

    pub fn ranking(&self) -> Ranking {
        self.ranking
    }

    pub fn strategy(&self) -> Strategy {
        self.strategy
    }

    pub fn reranking(&self) -> Option<&Reranking> {
        self.reranking.as_ref()
    }

    pub fn max_overlap(&self) -> f64 {
        self.max_overlap
    }

    /// The `max` references nearest to a question that do not repeat it.
    pub fn nearest(&self, question: &str, max: usize) -> Result<Found, EvaluateError> {
        let context = self.model.tokenizer().encode_plain(question)?;
        let packs = self.mounts.packs();
        let stages = self.retriever.stages(&packs, Method::default(), OnDamage::Fail);
        let stages = stages.filtered(NotRepeating::new(&self.model, self.max_overlap));
        let recalled = stages.recall(&[Query { text: question, context: &context }], max)?;
        let Recalled { hits, filtered, .. } = recalled.into_iter().next().unwrap_or_default();
        Ok(Found { passages: hits.into_iter().map(|hit| self.passage(hit)).collect::<Result<_, _>>()?, left_out: filtered })
    }

    /// The unit vector of a reference.
    pub fn embedding(&self, number: u32) -> Result<Vec<f32>, EvaluateError> {
        let embedding = self.pack().embedding(number).map_err(|source| unreadable(self.pack(), "reference", number, source))?;
        Ok(embedding.iter().map(|value| value.get()).collect())
    }

    /// The references of each of the documents, in the order of the pack.
    pub fn references_of(&self, documents: &HashSet<&str>) -> Result<HashMap<String, Vec<u32>>, EvaluateError> {
        let names = documents_named(self.pack(), documents)?;
        let mut references: HashMap<String, Vec<u32>> = HashMap::new();
        for reference in 0..self.pack().manifest().counts.references {
            let origins = self.pack().origins(reference).map_err(|source| unreadable(self.pack(), "reference", reference, source))?;
            for name in origins.filter_map(|origin| names.get(&origin.document)) {
                let list = references.entry(name.clone()).or_default();
                // A text that occurs twice in a document is one reference.
                if list.last() != Some(&reference) {
                    list.push(reference);
                }
            }
        }
        Ok(references)
    }

    /// The gold reference of a question: among `references` that contain an accepted answer (among all, if none does), the one most similar
    /// to the question.
    pub fn gold(&self, question: &str, references: &[u32], accepted: &[Words]) -> Result<Option<Passage>, EvaluateError> {
        if references.is_empty() {
            return Ok(None);
        }
        let query = self.embedder.embed(EmbedAs::Query, &[question]).map_err(RetrieveError::Embed)?;
        let mut passages = Vec::new();
        for &number in references {
            let similarity = dot(&query, &self.embedding(number)?);
            passages.push(self.passage_of(number, similarity)?);
        }
        if passages.iter().any(|passage| holds(passage, accepted)) {
            passages.retain(|passage| holds(passage, accepted));
        }
        let order = |a: &Passage, b: &Passage| a.hit.similarity.total_cmp(&b.hit.similarity).then(b.number().cmp(&a.number()));
        Ok(passages.into_iter().max_by(order))
    }

    /// The passages of the references read, without duplicates, in the order of their first use.
    pub fn passages<'r>(&self, reads: impl Iterator<Item = &'r MemoryRead>) -> Result<Vec<Passage>, EvaluateError> {
        let mut passages: Vec<Passage> = Vec::new();
        for read in reads {
            if passages.iter().all(|passage| passage.hit.reference != read.hit.reference) {
                passages.push(self.passage(read.hit.clone())?);
            }
        }
        Ok(passages)
    }

    /// The passage of a reference of the pack.
    pub fn passage_of(&self, number: u32, similarity: f32) -> Result<Passage, EvaluateError> {
        self.passage(Hit { reference: PackReference { pack: Arc::clone(&self.mounted), number }, similarity })
    }

    /// The passage of a hit.
    pub fn passage(&self, hit: Hit<PackReference>) -> Result<Passage, EvaluateError> {
        let reference = read_reference(&self.model, hit.reference.pack.pack(), hit.reference.number)?;
        Ok(Passage { hit, words: Words::of(&reference.text), reference })
    }
}

fn holds(passage: &Passage, accepted: &[Words]) -> bool {
    accepted.iter().any(|answer| passage.words.contains(answer))
}
