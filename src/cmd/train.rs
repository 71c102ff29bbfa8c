//! `mempack train`: trains a model to read memories.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use mempack_model::DeviceChoice;
use mempack_trainer::{self as trainer, LogLine, PlotError, TrainConfig, TrainError};
use serde_json::json;

use crate::failure::{Failure, Kind};
use crate::folders::not_loaded;
use crate::interrupt;
use crate::output_file::{Contents, OutputFile};
use crate::progress::{Progress, duration};
use crate::terminal::{self, errln, outln};

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, disable_help_subcommand = true)]
pub struct Args {
    #[command(subcommand)]
    other: Option<Other>,
    /// The training configuration, a TOML file
    #[arg(value_name = "CONFIG", required = true)]
    config: Option<PathBuf>,
    /// The device to compute on: auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Print the result of the run as one JSON object
    #[arg(long)]
    json: bool,
}

/// Commands on finished or running trainings.
#[derive(clap::Subcommand)]
enum Other {
    /// Draw the curves of training runs
    Plot(PlotArgs),
}

#[derive(clap::Args)]
struct PlotArgs {
    /// The output folder of a run, or the log.jsonl in it; several runs are drawn side by side
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// The file to write, with the ending .svg or .png; may be given twice to write both
    #[arg(short, long = "output", value_name = "FILE", required = true)]
    outputs: Vec<PathBuf>,
}

pub fn run(args: Args) -> Result<(), Failure> {
    match (&args.other, &args.config) {
        (Some(Other::Plot(plot)), _) => draw(plot),
        (None, Some(config)) => train(config, &args),
        (None, None) => Ok(()), // clap requires one of the two
    }
}

fn draw(args: &PlotArgs) -> Result<(), Failure> {
    let figures = trainer::plot(&args.runs, &args.outputs).map_err(|error| {
        let usage = matches!(error, PlotError::Ending { .. } | PlotError::Runs { .. });
        Failure::new(if usage { Kind::Usage } else { Kind::Work }, error)
    })?;
    let mut files = Vec::with_capacity(args.outputs.len());
    for (at, file) in args.outputs.iter().enumerate() {
        let others: Vec<&Path> = args.runs.iter().chain(&args.outputs[..at]).map(PathBuf::as_path).collect();
        files.push(OutputFile::check("--output", file, Contents::of_figure(file), &others)?);
    }
    for ((file, name), figure) in files.into_iter().zip(&args.outputs).zip(figures) {
        file.write(&figure)?;
        outln!("{}", name.display());
    }
    Ok(())
}

fn train(config: &Path, args: &Args) -> Result<(), Failure> {
    let cancel = interrupt::flag();
    let config = TrainConfig::read(config)?;
    let lines = Lines { bars: Progress::new(), shown: Mutex::new(None) };
    let report = trainer::train(&config, args.device, &lines, cancel).map_err(|error| match error {
        TrainError::Load(error) => not_loaded(error),
        TrainError::Interrupted { .. } => Failure::new(Kind::Interrupted, error),
        error => Failure::new(Kind::Work, error),
    })?;
    lines.bars.end();
    if args.json {
        terminal::print_json(&json!({"folder": report.folder, "steps": report.steps, "last": report.last}));
    } else {
        outln!("{}: {} steps of {} done now", report.folder.display(), report.steps, config.steps());
    }
    Ok(())
}

/// Prints a line every few seconds.
struct Lines {
    bars: Progress,
    shown: Mutex<Option<Shown>>,
}

/// The last line that was printed.
struct Shown {
    at: Instant,
    /// The running mean of the seconds of a step.
    pace: f64,
}

const INTERVAL: Duration = Duration::from_secs(10);

impl trainer::TrainProgress for Lines {
    fn begin(&self, what: &str, total: Option<u64>) {
        // The work is named after what it is done to, as in "embedding questions".
        let unit = ["references", "questions", "pairs"].into_iter().find(|unit| what.ends_with(unit)).unwrap_or("items");
        self.bars.begin(what, unit, total);
    }

    fn advance(&self, count: u64) {
        self.bars.advance(count, 0);
    }

    fn note(&self, text: &str) {
        self.bars.note(text);
    }

    fn step(&self, line: &LogLine, steps: u64) {
        let mut guard = self.shown.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = Instant::now();
        if guard.is_none() {
            self.bars.end();
        }
        let first = guard.is_none();
        let shown = guard.get_or_insert(Shown { at: now, pace: line.seconds });
        shown.pace = 0.9 * shown.pace + 0.1 * line.seconds;
        if !first && line.step < steps && now.duration_since(shown.at) < INTERVAL {
            return;
        }
        shown.at = now;
        let left = shown.pace * steps.saturating_sub(line.step) as f64;
        let kept = if line.kept > 0 { format!(", {} tokens kept", line.kept) } else { String::new() };
        errln!(
            "step {} of {steps}: loss {:.4}, right {:.3}, exact {:.3}{kept}, rate {:.2e}, {:.0} tokens/s, {} left",
            line.step,
            line.loss,
            line.right,
            line.exact,
            line.rate,
            line.tokens as f64 / line.seconds,
            duration(left),
        );
    }
}
