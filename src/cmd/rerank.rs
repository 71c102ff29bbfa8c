//! The reranker of `search`, `ask` and `eval`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use mempack_model::{DeviceChoice, LoadOptions, Model, Reranker};
use mempack_runtime::{DEFAULT_RERANK_DEPTH, MemoryCache, MemoryScorer, Reranking, Scorer};

use crate::failure::Failure;
use crate::folders::not_loaded;

/// Which reranker to use, and how.
#[derive(clap::Args)]
pub struct RerankArgs {
    /// Reranker: memory, the attention that the query gives to the references' memories in the pack's own model (--model), or the folder of a
    /// cross-encoder, a BERT or XLM-RoBERTa model that scores a query and a passage together (default: none; ./memory is a folder). The
    /// best references found are put in the order of its scores, and --strategy chooses in that order
    #[arg(long, value_name = "memory|DIR")]
    reranker: Option<Named>,
    /// How many of the references found the reranker scores; others follow in the order of the search
    #[arg(long, default_value_t = DEFAULT_RERANK_DEPTH as u32, requires = "reranker", value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=1000))]
    rerank_depth: u32,
}

/// The argument of `--reranker`.
#[derive(Clone)]
enum Named {
    Memory,
    Folder(PathBuf),
}

impl From<OsString> for Named {
    fn from(word: OsString) -> Self {
        if word == "memory" { Self::Memory } else { Self::Folder(word.into()) }
    }
}

/// A reranker that is complete, or needs the pack's model.
pub enum Chosen {
    Pairs(Reranking),
    Memories { depth: usize },
}

impl RerankArgs {
    /// Loads the reranker, if one is named that has weights of its own.
    pub fn load(&self, device: DeviceChoice) -> Result<Option<Chosen>, Failure> {
        let depth = self.rerank_depth as usize;
        let folder = match &self.reranker {
            None => return Ok(None),
            Some(Named::Memory) => return Ok(Some(Chosen::Memories { depth })),
            Some(Named::Folder(folder)) => folder,
        };
        let reranker = Reranker::load(folder, &LoadOptions { device, ..LoadOptions::default() }).map_err(not_loaded)?;
        Ok(Some(Chosen::Pairs(Reranking { scorer: Scorer::Pairs(Box::new(reranker)), depth })))
    }
}

impl Chosen {
    /// The reranker, with the pack's model and a cache of memories if it reads memories.
    pub fn with(self, model: impl FnOnce() -> Result<Model, Failure>, cache: Arc<MemoryCache>) -> Result<Reranking, Failure> {
        match self {
            Self::Pairs(reranking) => Ok(reranking),
            Self::Memories { depth } => Ok(Reranking { scorer: Scorer::Memories(Box::new(MemoryScorer::new(&model()?, cache))), depth }),
        }
    }
}
