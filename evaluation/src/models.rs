//! The models that are compared.

use std::fmt;

use mempack_model::{Embedder, Model};
use mempack_runtime::{Ranking, Reranking, Strategy};
use serde::Serialize;

/// A model, the base model that it is compared with, and the embedder.
#[derive(Clone, Copy)]
pub struct Models<'a> {
    /// The model that reads memories.
    pub model: &'a Model,
    /// The base model of an adapter ([`Model::load_base`]), for the modes that need it.
    pub base: Option<&'a Model>,
    /// The embedder that the pack was built with.
    pub embedder: &'a Embedder,
    /// By what references are ranked.
    pub ranking: Ranking,
    /// Which of them are read.
    pub strategy: Strategy,
    /// A reranker, in whose order the strategy chooses.
    pub reranking: Option<&'a Reranking>,
}

/// How references are found, in the head of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Retrieving {
    /// By what they are ranked: `dense`, `lexical` or `hybrid`.
    pub search: &'static str,
    /// Which of them are read, for example `top-k` or `diverse:0.8`.
    pub strategy: String,
    /// The reranker; `None` without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reranker: Option<RerankerName>,
}

/// A reranker in a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RerankerName {
    /// The name of its folder, or `memory`.
    pub name: String,
    /// How many of the references found it scores.
    pub depth: usize,
}

impl RerankerName {
    pub(crate) fn of(reranking: &Reranking) -> Self {
        Self { name: reranking.scorer.name().to_owned(), depth: reranking.depth }
    }
}

impl Models<'_> {
    /// How references are found.
    pub(crate) fn retrieving(&self) -> Retrieving {
        Retrieving { search: self.ranking.name(), strategy: self.strategy.to_string(), reranker: self.reranking.map(RerankerName::of) }
    }
}

/// A model in the head of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModelName {
    /// The name of the model; with a reading adapter, of the model that writes.
    pub model: String,
    /// The reading adapter; `None` without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reader: Option<ReaderName>,
}

/// A reading adapter in a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReaderName {
    /// Its name.
    pub name: String,
    /// The digest of its weights and scale.
    pub digest: String,
}

impl ModelName {
    /// The name of a model.
    pub(crate) fn of(model: &Model) -> Self {
        let reader = model.reading_adapter().map(|adapter| ReaderName { name: adapter.name.clone(), digest: adapter.digest.to_string() });
        Self { model: model.identity().name.clone(), reader }
    }

    /// The names alone, for a figure.
    pub(crate) fn short(&self) -> String {
        let reader = self.reader.iter().map(|reader| reader.name.as_str());
        std::iter::once(self.model.as_str()).chain(reader).collect::<Vec<_>>().join(" read by ")
    }
}

/// Nothing for the defaults, else one line.
impl fmt::Display for Retrieving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { search, strategy, reranker } = self;
        if reranker.is_none() && *search == Ranking::default().name() && *strategy == Strategy::default().to_string() {
            return Ok(());
        }
        write!(f, "references by {search} search")?;
        if let Some(RerankerName { name, depth }) = reranker {
            write!(f, ", the best {depth} reranked by {name}")?;
        }
        writeln!(f, ", {strategy}")
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.model)?;
        match &self.reader {
            Some(ReaderName { name, digest }) => write!(f, ", read by {name} ({digest})"),
            None => Ok(()),
        }
    }
}
