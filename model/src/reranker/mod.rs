//! Scoring of a query and a text together.

mod config;
mod pairs;
mod scores;

pub use scores::Reranker;
