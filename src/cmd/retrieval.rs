//! `mempack eval --retrieval`: where gold documents are among the references found, by each ranking.

use std::sync::Arc;

use mempack_evaluation::{self as evaluation, Question, Stage};
use mempack_model::Embedder;
use mempack_runtime::Mounts;

use super::measuring::{Details, Measuring};
use super::packs::Search;
use crate::failure::Failure;
use crate::output_file::OutputFile;

/// Measures the stages, or the one of `search`.
pub fn run(
    measuring: &Measuring,
    embedder: &Embedder,
    mounts: &Arc<Mounts>,
    questions: &[Question],
    search: Option<Search>,
    details: Option<OutputFile>,
    figure: Option<OutputFile>,
) -> Result<(), Failure> {
    let stages = search.map_or_else(|| Stage::ALL.to_vec(), |search| vec![Stage { ranking: search.into() }]);
    let mut details = Details::create(details)?;
    measuring.progress.begin("searching", "questions", Some(questions.len() as u64));
    let report = evaluation::measure_retrieval(embedder, mounts, questions, &stages, &mut |searched| {
        measuring.progress.advance(1, 0);
        measuring.proceed(details.write(searched))
    });
    let report = measuring.finish(details, report)?;
    if let Some(figure) = figure {
        figure.draw(&evaluation::retrieval_figure(&report))?;
    }
    measuring.print(&report)
}
