//! `mempack eval --retrieval`: where gold documents are among the references found, by each ranking.

use std::sync::Arc;

use mempack_evaluation::{self as evaluation, Question, RetrievalOptions, Stage};
use mempack_model::Embedder;
use mempack_runtime::{Mounts, Ranking, Reranking, Strategy};

use super::measuring::{Details, Measuring};
use super::packs::Search;
use crate::failure::Failure;
use crate::output_file::OutputFile;

/// What is compared: everything, or what `--search` and `--strategy` name. With a reranker, the ranking named is also measured reranked; of all, dense
/// and hybrid.
pub fn options(search: Option<Search>, strategies: &[Strategy], reranking: Option<Reranking>) -> RetrievalOptions {
    let all = RetrievalOptions::default();
    let mut stages = search.map_or(all.stages, |search| vec![Stage::of(search.into())]);
    if reranking.is_some() {
        let reranked = stages.iter().filter(|stage| search.is_some() || stage.ranking != Ranking::Lexical);
        let reranked: Vec<Stage> = reranked.map(|stage| Stage { reranked: true, ..*stage }).collect();
        stages.extend(reranked);
    }
    let strategies = if strategies.is_empty() { all.strategies } else { strategies.to_vec() };
    RetrievalOptions { stages, strategies, reranking }
}

/// Measures, and prints the report.
pub fn run(
    measuring: &Measuring,
    embedder: &Embedder,
    mounts: &Arc<Mounts>,
    questions: &[Question],
    options: &RetrievalOptions,
    details: Option<OutputFile>,
    figure: Option<OutputFile>,
) -> Result<(), Failure> {
    let mut details = Details::create(details)?;
    measuring.progress.begin("searching", "questions", Some(questions.len() as u64));
    let report = evaluation::measure_retrieval(embedder, mounts, questions, options, &mut |searched| {
        measuring.progress.advance(1, 0);
        measuring.proceed(details.write(searched))
    });
    let report = measuring.finish(details, report)?;
    if let Some(figure) = figure {
        figure.draw(&evaluation::retrieval_figure(&report))?;
    }
    measuring.print(&report)
}
