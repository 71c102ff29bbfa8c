//! `mempack build`: a corpus becomes a pack.

use std::path::{Path, PathBuf};

use mempack_compiler::{self as compiler, BuildOptions, BuildReport, Drift, Stage};
use mempack_format::{CodecSpec, ModelIdentity};
use mempack_runtime::quality_json;
use serde_json::json;

use super::encoding::{Bars, ENCODING, EncodingArgs, kind, previous, print_codebooks, skipped};
use super::planned::{seconds, stages_json};
use super::shard;
use crate::failure::Failure;
use crate::folders::{self, ModelArgs};
use crate::hints;
use crate::interrupt;
use crate::output::{bytes, quality_lines, thousands};
use crate::outputs;
use crate::progress::Progress;
use crate::terminal::{self, outln};

#[derive(clap::Args)]
pub struct Args {
    /// The corpus: texts, PDF, HTML, Office and other documents, tables (docs/corpora.md lists them), folders of them, or - for standard input
    #[arg(required_unless_present = "plan", value_name = "CORPUS")]
    corpus: Vec<PathBuf>,
    /// The pack to write; a file there is replaced when the new pack is complete. With --plan, the file of the shard [default: in the folder of the plan]
    #[arg(short, long, required_unless_present = "plan", value_name = "PACK")]
    output: Option<PathBuf>,
    /// Build a shard of this plan instead of a pack: see mempack plan
    #[arg(long, value_name = "PLAN", requires = "shard", conflicts_with_all = ENCODING)]
    plan: Option<PathBuf>,
    /// With --plan: the number of the shard, from 0
    #[arg(long, value_name = "I", requires = "plan")]
    shard: Option<u32>,
    /// With --plan: build the shard again although it is complete
    #[arg(long, requires = "plan")]
    force: bool,
    #[command(flatten)]
    encoding: EncodingArgs,
    #[command(flatten)]
    model: ModelArgs,
    /// A pack of the same model to take unchanged references from; it may be the pack to write
    #[arg(long, value_name = "OLD")]
    from: Option<PathBuf>,
    /// Number of computing threads; the pack does not depend on it
    #[arg(long, default_value_t = BuildOptions::default().threads, value_name = "N", value_parser = super::threads)]
    threads: usize,
    /// Print the figures of the build as one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    if let Some((plan, number)) = args.plan.as_deref().zip(args.shard) {
        let (output, model) = (args.output, &args.model);
        return shard::run(shard::Task { plan, shard: number, output, force: args.force, model, threads: args.threads, json: args.json });
    }
    args.encoding.codec()?;
    let output = args.output.unwrap_or_default();
    let sources: Vec<&Path> = args.corpus.iter().map(PathBuf::as_path).collect();
    outputs::check_pack(&output, &sources)?;
    let cancel = interrupt::flag();
    // Each operation runs on one thread, several side by side, so results do not depend on the number of threads.
    mempack_model::set_threads(1);
    let model = args.model.load(args.encoding.precision)?;
    folders::warn_if_untrained(&model);
    let embedder = args.model.embedder.load(args.encoding.precision)?;
    let from = args.from.as_deref().map(previous).transpose()?;
    let options = args.encoding.options(&args.corpus, output, &args.model, from, args.threads)?;
    let bars = Bars(Progress::new());
    let report = compiler::build(&model, &embedder, &options, &bars, cancel).map_err(|error| {
        let (hint, details) = (hints::build(&error), hints::build_details(&error));
        Failure::new(kind(&error), error).with_hint(hint).with_details(details)
    })?;
    bars.0.end();
    print(&options, &report, model.identity(), args.json);
    Ok(())
}

fn print(options: &BuildOptions, report: &BuildReport, model: &ModelIdentity, as_json: bool) {
    let (first_layer, head_dim) = (model.first_memory_layer, model.shape.head_dim);
    let seconds = seconds(&report.stages);
    if as_json {
        let stages = stages_json(&report.stages);
        terminal::print_json(&json!({
            "pack": options.output, "id": report.id.to_string(), "bytes": report.bytes, "documents": report.documents,
            "skipped": report.skipped.len(),
            "skipped_files": report.skipped.iter().map(|(path, reason)| json!({"path": path, "reason": reason})).collect::<Vec<_>>(),
            "references": report.references, "origins": report.origins, "duplicates": report.duplicates, "tokens": report.tokens,
            "encoded": report.encoded, "resumed": report.resumed, "taken": report.taken, "drift": report.drift.map(|drift| drift_json(&drift)),
            "codebooks": report.codebooks.as_ref().map(|used| json!({"id": used.id.to_string(), "quality": used.quality.as_ref().map(quality_json)})),
            "quality": report.quality.as_ref().map(quality_json), "codec": report.codec.to_string(), "threads": options.threads, "encoding_seconds": report.encoding.as_secs_f64(),
            "seconds": seconds, "stages": stages,
        }));
    } else {
        if let Some(drift) = &report.drift {
            print_drift(drift);
        }
        let lines = report.quality.iter().flat_map(|quality| quality_lines(quality, first_layer));
        for (at, line) in lines.take(if terminal::is_verbose() { usize::MAX } else { 1 }).enumerate() {
            outln!("{}{line}", if at == 0 { format!("codec {} loses ", report.codec) } else { "  ".to_owned() });
        }
        if let Some(used) = &report.codebooks {
            print_codebooks(used);
        }
        if let Some(advice) = cheaper_codec(report, head_dim) {
            outln!("{advice}");
        }
        outln!(
            "{}: {} references ({} duplicates{}) of {} documents{}, {} tokens, {} in {seconds:.1} s, id {}",
            options.output.display(),
            thousands(report.references),
            thousands(report.duplicates),
            origin(report),
            thousands(report.documents),
            skipped(report.skipped.len() as u64),
            thousands(report.tokens),
            bytes(report.bytes),
            report.id,
        );
    }
}

/// For a small corpus whose codec took most of the time: why it did, and which codec takes none.
fn cheaper_codec(report: &BuildReport, head_dim: u32) -> Option<String> {
    /// With more references the codec's share of the time is small.
    const FEW: u64 = 5_000;
    /// Shorter builds need no advice.
    const SECONDS: f64 = 10.0;
    let time = |wanted: &dyn Fn(Stage) -> bool| -> f64 {
        report.stages.iter().filter(|(stage, _)| wanted(*stage)).map(|(_, time)| time.as_secs_f64()).sum()
    };
    let of_codec = time(&|stage| matches!(stage, Stage::Sensitivity | Stage::Training | Stage::Measuring));
    let all = time(&|_| true);
    let plain = CodecSpec::SQ8;
    if report.codec == plain || report.references >= FEW || of_codec < SECONDS || of_codec < all / 2.0 {
        return None;
    }
    let ratio = plain.code_bytes(head_dim).ok()? as f64 / report.codec.code_bytes(head_dim).ok()? as f64;
    Some(format!(
        "training and measuring the codec took {of_codec:.0} of {all:.0} s: that depends on the codec's tables, hardly on the number of \
         references. --codec {plain} has no tables to train; its memories take {ratio:.1} times the bytes"
    ))
}

/// Where the references come from, if not all were computed now.
fn origin(report: &BuildReport) -> String {
    if report.taken + report.resumed == 0 {
        return String::new();
    }
    let mut parts = vec![format!("{} encoded", thousands(report.encoded))];
    for (count, how) in [(report.resumed, "kept from before the interruption"), (report.taken, "taken from the previous pack")] {
        if count > 0 {
            parts.push(format!("{} {how}", thousands(count)));
        }
    }
    format!("; {}", parts.join(", "))
}

fn drift_json(drift: &Drift) -> serde_json::Value {
    let fit = |fit: &compiler::Fit| json!({ "memories": fit.memories, "keys": fit.loss.keys, "values": fit.loss.values });
    json!({ "new": fit(&drift.new), "taken": fit(&drift.taken), "ratio": drift.ratio(), "trained_on": drift.trained_on, "clear": drift.is_clear() })
}

fn print_drift(drift: &Drift) {
    let Some(ratio) = drift.ratio() else { return };
    outln!(
        "kept codebooks lose {:.4} of keys and {:.4} of values of {} new memories, {:.4} and {:.4} of {} older ones{}: ratio {ratio:.2}",
        drift.new.loss.keys,
        drift.new.loss.values,
        thousands(drift.new.memories.into()),
        drift.taken.loss.keys,
        drift.taken.loss.values,
        thousands(drift.taken.memories.into()),
        if drift.trained_on { ", which they may have been trained on" } else { "" },
    );
    if drift.is_clear() {
        outln!("the new texts differ from those the codebooks were trained on; --retrain-codec trains new codebooks");
    }
}
