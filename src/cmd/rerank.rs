//! The reranker of `search`, `ask` and `eval`.

use std::path::PathBuf;

use mempack_model::{DeviceChoice, LoadOptions, Reranker};
use mempack_runtime::{DEFAULT_RERANK_DEPTH, Reranking};

use crate::failure::Failure;
use crate::folders::not_loaded;

/// Which reranker to use, and how.
#[derive(clap::Args)]
pub struct RerankArgs {
    /// Reranker: the folder of a cross-encoder, a BERT or XLM-RoBERTa model that scores a query and a passage together (default: none). The best
    /// references found are put in the order of its scores, and --strategy chooses in that order
    #[arg(long, value_name = "DIR")]
    reranker: Option<PathBuf>,
    /// How many of the references found the reranker scores; others follow in the order of the search
    #[arg(long, default_value_t = DEFAULT_RERANK_DEPTH as u32, requires = "reranker", value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=1000))]
    rerank_depth: u32,
}

impl RerankArgs {
    /// Loads the reranker, if one is named.
    pub fn load(&self, device: DeviceChoice) -> Result<Option<Reranking>, Failure> {
        let Some(folder) = &self.reranker else { return Ok(None) };
        let reranker = Reranker::load(folder, &LoadOptions { device, ..LoadOptions::default() }).map_err(not_loaded)?;
        Ok(Some(Reranking { reranker, depth: self.rerank_depth as usize }))
    }
}
