//! `mempack bench`: how fast a model decodes with the memories of packs.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mempack_evaluation::{Models, SpeedOptions, measure_speed, speed_figure};
use mempack_model::Precision;
use mempack_runtime::{MemoryCache, Ranking, Strategy};

use super::ask_many;
use super::measuring::{Details, Measuring};
use super::packs::Search;
use super::rerank::RerankArgs;
use crate::failure::Failure;
use crate::folders::ModelArgs;
use crate::interrupt;
use crate::output_file::{Contents, OutputFile};
use crate::progress::Progress;

/// Measures tokens a second and the time to the first token with memories, without, and with the texts in the prompt: by batch size, number of memories,
/// and length of the question, one varied at a time. Shows where the time goes: retrieval, loading memories, prompt, generation. Questions are texts
/// of the first pack, or --questions; answers go on to their full length.
#[derive(clap::Args)]
pub struct Args {
    /// The packs of one model; several show what their codecs cost
    #[arg(required = true)]
    packs: Vec<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
    /// Precision of the computation: f32, bf16, or int8 (8-bit weights where answers are decoded, else bf16; on the CPU)
    #[arg(long, default_value_t, value_parser = super::answering)]
    precision: Precision,
    /// Questions that are answered at once, separated by commas
    #[arg(long, value_delimiter = ',', default_values_t = SpeedOptions::default().batches, value_name = "LIST")]
    batch: Vec<usize>,
    /// Memories that are read, separated by commas
    #[arg(long, value_delimiter = ',', default_values_t = SpeedOptions::default().memories, value_name = "LIST")]
    memories: Vec<usize>,
    /// Tokens of a question, separated by commas
    #[arg(long, value_delimiter = ',', default_values_t = SpeedOptions::default().inputs, value_name = "LIST")]
    input: Vec<usize>,
    /// A file of questions to ask in place of texts, one {"id": ..., "question": ...} per line
    #[arg(long, value_name = "FILE", conflicts_with = "input")]
    questions: Option<PathBuf>,
    /// Turns of a conversation, of which the last one is measured; the keys and values of the turns before it are reused
    #[arg(long, default_value_t = SpeedOptions::default().turns, value_name = "N")]
    turns: usize,
    /// Tokens of an answer
    #[arg(long, default_value_t = SpeedOptions::default().tokens, value_name = "N")]
    tokens: usize,
    /// How often each case is measured, in turn with the others
    #[arg(long, default_value_t = SpeedOptions::default().rounds, value_name = "N")]
    rounds: usize,
    /// Seed of the choice of questions
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    /// By what references are ranked, as in ask
    #[arg(long, value_enum, default_value_t, value_name = "RANKING")]
    search: Search,
    #[command(flatten)]
    rerank: RerankArgs,
    /// Draw where the time goes as an SVG file, or as PNG if its name ends in .png
    #[arg(long, value_name = "FILE")]
    figure: Option<PathBuf>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// Threads for one operation of the model
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = super::threads)]
    threads: usize,
}

pub fn run(args: Args) -> Result<(), Failure> {
    mempack_model::set_threads(args.threads);
    let inputs: Vec<&Path> = args.packs.iter().map(PathBuf::as_path).collect();
    let figure = args.figure.as_deref().map(|path| OutputFile::check("--figure", path, Contents::of_figure(path), &inputs)).transpose()?;
    let rows = args.questions.as_deref().map(ask_many::read).transpose()?.unwrap_or_default();
    let packs = args.packs.iter().map(|path| Ok(Arc::new(super::open(path)?))).collect::<Result<Vec<_>, Failure>>()?;
    let reranking = args.rerank.load(args.model.embedder.device)?;
    let model = args.model.load(args.precision)?;
    let reranking = reranking.map(|chosen| chosen.with(|| Ok(model.share()), Arc::new(MemoryCache::new(0)))).transpose()?;
    let embedder = args.model.embedder.load(Precision::F32)?;
    let models = Models {
        model: &model,
        base: None,
        embedder: &embedder,
        ranking: Ranking::from(args.search),
        strategy: Strategy::TOP_K,
        reranking: reranking.as_ref(),
    };
    let options = SpeedOptions {
        batches: args.batch,
        memories: args.memories,
        inputs: args.input,
        questions: rows.into_iter().map(|row| row.question).collect(),
        turns: args.turns,
        tokens: args.tokens,
        rounds: args.rounds,
        seed: args.seed,
    };
    let measuring = Measuring { interrupted: interrupt::flag(), progress: Progress::new(), json: args.json };
    let mut begun = false;
    let report = measure_speed(&models, &packs, &options, &mut |done, total| {
        if !begun {
            measuring.progress.begin("measuring", "runs", Some(total as u64));
            begun = true;
        }
        measuring.progress.set(done as u64);
        measuring.proceed(ControlFlow::Continue(()))
    });
    let report = measuring.finish(Details::create(None)?, report)?;
    if let Some(figure) = figure {
        figure.draw(&speed_figure(&report))?;
    }
    measuring.print(&report)
}
