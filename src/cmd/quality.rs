//! `mempack quality`: whether a pack's codec loses more than the pack records.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use mempack_evaluation::{EvaluateError, Models, QualityOptions, measure_quality};
use mempack_model::Precision;
use mempack_runtime::{Ranking, Strategy};

use crate::failure::{Failure, Kind};
use crate::folders::ModelArgs;
use crate::hints;
use crate::interrupt;
use crate::progress::Progress;
use crate::terminal::{self, out};

/// Computes the memories of a sample of references again from the pack's texts, and compares them with the pack's records: the loss of keys
/// and values, layer by layer, and how far the model's predictions move. The exit code is 1 if a figure exceeds the recorded one by more
/// than four standard errors and a hundredth, or if the memories are not those of the texts.
#[derive(clap::Args)]
pub struct Args {
    /// The pack
    pack: PathBuf,
    #[command(flatten)]
    model: ModelArgs,
    /// Maximum number of references whose memories are computed again
    #[arg(long, default_value_t = QualityOptions::default().sample, value_name = "N")]
    sample: usize,
    /// Seed of the sample
    #[arg(long, default_value_t = QualityOptions::default().seed, value_name = "N")]
    seed: u64,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// Threads for one operation of the model
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = super::threads)]
    threads: usize,
}

pub fn run(args: Args) -> Result<u8, Failure> {
    let interrupted = interrupt::flag();
    mempack_model::set_threads(args.threads);
    let pack = Arc::new(super::open(&args.pack)?);
    // Another precision would change the memories, which is no fault of the codec.
    let precision: Precision = pack.manifest().precision.parse()?;
    let model = args.model.load(precision)?;
    let embedder = args.model.embedder.load(Precision::F32)?;
    let models =
        Models { model: &model, base: None, embedder: &embedder, ranking: Ranking::default(), strategy: Strategy::TOP_K, reranking: None };
    let progress = Progress::new();
    progress.begin("measuring", "memories", Some(args.sample.min(pack.manifest().counts.references as usize) as u64));
    let report = measure_quality(&models, &pack, &QualityOptions { sample: args.sample, seed: args.seed }, &mut |done, _| {
        progress.set(done as u64);
        if interrupted.load(Ordering::SeqCst) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    progress.end();
    let report = report.map_err(|error| {
        let kind = match &error {
            EvaluateError::Interrupted => Kind::Interrupted,
            EvaluateError::Mismatch(_) => Kind::Mismatch,
            EvaluateError::Option { .. } => Kind::Usage,
            error if error.is_damage() => Kind::Damaged,
            _ => Kind::Work,
        };
        let (hint, details) = (hints::evaluation(&error), hints::evaluation_details(&error));
        Failure::new(kind, error).with_hint(hint).with_details(details)
    })?;
    if args.json {
        terminal::print_json(&serde_json::to_string(&report)?);
    } else {
        out!("{report}");
    }
    // A figure that is worse than recorded is a finding, not a failure: it is printed like the others.
    Ok(if report.worse { Kind::Work as u8 } else { 0 })
}
