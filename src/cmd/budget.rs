//! `mempack budget`: how many tokens of a reference each head of a model is worth.

use std::path::{Path, PathBuf};

use mempack_model::{MemoryConfig, Model, Precision};
use mempack_trainer::{self as trainer, BudgetError, BudgetOptions, LogLine};
use serde_json::json;

use crate::failure::{Failure, Kind};
use crate::folders::not_loaded;
use crate::interrupt;
use crate::output_file::{Contents, OutputFile};
use crate::progress::Progress;
use crate::terminal::{self, errln, out};

/// Measures what the tokens that heads keep are worth, by integrated gradients of the loss of answers, and writes the model's memory block
/// with the head budget that is worth most. Each question reads the reference that answers it. The budget is compared with as many tokens
/// at every head on questions that it was not measured with.
#[derive(clap::Args)]
pub struct Args {
    /// Model: a Hugging Face folder, or a LoRA adapter folder
    #[arg(value_name = "MODEL")]
    folder: PathBuf,
    /// Corpus: a .txt, .md or .jsonl file, or a folder; may be repeated
    #[arg(long, value_name = "PATH", required = true)]
    corpus: Vec<PathBuf>,
    /// Questions about the corpus that the model was not trained on: one {"id", "question", "answers": [...], "gold_ids": [...]} per line
    #[arg(long, value_name = "FILE")]
    questions: PathBuf,
    /// Questions that confirm the budget [default: a third of the questions]
    #[arg(long, value_name = "FILE")]
    development: Option<PathBuf>,
    /// Tokens to keep of a reference, at all heads together
    #[arg(long, value_name = "N")]
    tokens: u32,
    /// The file to write: a memory block, which an adapter folder has as memory.json
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Draw the gains and the budget as an SVG file: layers by heads
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Use at most this many questions to measure, and to confirm
    #[arg(long, default_value_t = 192, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Seed of the choice of questions
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    /// The base of an adapter, if its adapter_config.json does not name it
    #[arg(long, value_name = "DIR", env = "MEMPACK_BASE")]
    base: Option<PathBuf>,
    /// Device: auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    device: mempack_model::DeviceChoice,
    /// Precision of the computation: f32 or bf16
    #[arg(long, default_value_t)]
    precision: Precision,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// Threads for one operation of the model
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = super::threads)]
    threads: usize,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let cancel = interrupt::flag();
    let inputs = args.corpus.iter().chain([&args.questions]).chain(&args.development).map(PathBuf::as_path);
    let inputs: Vec<&Path> = inputs.collect();
    let output = OutputFile::check("--output", &args.output, Contents::Memory, &inputs)?;
    let others: Vec<&Path> = inputs.into_iter().chain([args.output.as_path()]).collect();
    let svg = args.svg.as_deref().map(|path| OutputFile::check("--svg", path, Contents::Svg, &others)).transpose()?;
    mempack_model::set_threads(args.threads);
    let load = mempack_model::LoadOptions { precision: args.precision, device: args.device, base: args.base.clone(), ..Default::default() };
    let model = Model::load(&args.folder, &load).map_err(not_loaded)?;
    let options = BudgetOptions {
        corpora: args.corpus.clone(),
        questions: args.questions.clone(),
        development: args.development.clone(),
        tokens: args.tokens,
        limit: args.limit as usize,
        seed: args.seed,
    };
    let lines = Lines(Progress::new());
    let report = trainer::measure_budget(&model, &options, &lines, cancel);
    lines.0.end();
    let report = report.map_err(|error| {
        let kind = match error {
            BudgetError::Interrupted => Kind::Interrupted,
            BudgetError::Tokens { .. } => Kind::Usage,
            _ => Kind::Work,
        };
        let hint = match error {
            BudgetError::Tokens { .. } => Some("use --tokens N to name another number"),
            BudgetError::Gold { .. } => Some("use --corpus PATH to name the corpus; it may be repeated"),
            _ => None,
        };
        Failure::new(kind, error).with_hint(hint)
    })?;
    report.warnings().iter().for_each(|warning| errln!("warning: {warning}"));
    let memory = MemoryConfig { tokens_per_head: report.budget(), ..model.memory().clone() };
    output.write(format!("{:#}\n", memory.to_json()).as_bytes())?;
    if let Some(svg) = svg {
        svg.write(trainer::budget_figure(&report).as_bytes())?;
    }
    if args.json {
        let mut row = json!(report);
        row["warnings"] = json!(report.warnings());
        terminal::print_json(&row);
    } else {
        out!("{report}");
    }
    Ok(())
}

struct Lines(Progress);

impl trainer::TrainProgress for Lines {
    fn begin(&self, what: &str, total: Option<u64>) {
        self.0.begin(what, "questions", total);
    }

    fn advance(&self, count: u64) {
        self.0.advance(count, 0);
    }

    fn note(&self, text: &str) {
        self.0.note(text);
    }

    fn step(&self, _: &LogLine, _: u64) {}
}
