//! `mempack plan`: a corpus becomes a plan, whose shards are built anywhere.

use std::path::{Path, PathBuf};

use mempack_compiler::{self as compiler, MAX_PACKS, MAX_SHARDS, PlanOptions, PlanReport, SearchPacks};
use mempack_runtime::quality_json;
use serde_json::json;

use super::encoding::{Bars, EncodingArgs, print_codebooks, skipped};
use super::planned::{self, seconds, stages_json};
use crate::failure::{Failure, Kind};
use crate::folders::{self, ModelArgs};
use crate::interrupt;
use crate::output::{quality_line, thousands};
use crate::outputs;
use crate::progress::Progress;
use crate::terminal::{self, outln};

/// Reads the corpus once, cuts it, removes duplicates, trains the codec, and assigns each reference to a build shard. Then `mempack build --plan PLAN
/// --shard I` builds each shard, on any machine that computes as this one does, and `mempack merge PLAN -o FOLDER` makes search packs of them.
///
/// The plan holds the texts: changes of the corpus after it do not matter, and the machines need the plan and the models alone.
#[derive(clap::Args)]
pub struct Args {
    /// The corpus: texts, PDF, HTML, Office and other documents, tables (docs/corpora.md lists them), folders of them, or - for standard input
    #[arg(required = true, value_name = "CORPUS")]
    corpus: Vec<PathBuf>,
    /// The folder of the plan, which must not exist
    #[arg(short, long, value_name = "PLAN")]
    output: PathBuf,
    /// Number of build shards
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SHARDS)))]
    shards: u32,
    /// Number of search packs; a pack has references that are near each other
    #[arg(long, value_name = "P", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_PACKS)), conflicts_with = "pack_references")]
    packs: Option<u32>,
    /// References of a search pack on average, if --packs does not say how many packs there are [default: 1000000]
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u64).range(1..))]
    pack_references: Option<u64>,
    /// Replace a plan in the folder, with the shards that were built from it
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    encoding: EncodingArgs,
    #[command(flatten)]
    model: ModelArgs,
    /// Number of computing threads; the plan does not depend on it
    #[arg(long, default_value_t = compiler::BuildOptions::default().threads, value_name = "N", value_parser = super::threads)]
    threads: usize,
    /// Print the figures of the plan as one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    args.encoding.codec()?;
    if let Some(input) = args.corpus.iter().find(|input| outputs::is_same(input, &args.output)) {
        let why = format!("--output {}: the corpus is there; name another folder", input.display());
        return Err(Failure::new(Kind::Usage, why));
    }
    let cancel = interrupt::flag();
    // Each operation runs on one thread, several side by side, so results do not depend on the number of threads.
    mempack_model::set_threads(1);
    let model = args.model.load(args.encoding.precision)?;
    folders::warn_if_untrained(&model);
    let embedder = args.model.embedder.load(args.encoding.precision)?;
    let build = args.encoding.options(&args.corpus, args.output.clone(), &args.model, None, args.threads)?;
    let packs = match (args.packs, args.pack_references) {
        (Some(count), _) => SearchPacks::Count(count),
        (None, Some(each)) => SearchPacks::Holding(each),
        (None, None) => SearchPacks::default(),
    };
    let options = PlanOptions { build, shards: args.shards, packs, force: args.force };
    let bars = Bars(Progress::new());
    let report = compiler::plan(&model, &embedder, &options, &bars, cancel).map_err(|error| planned::failure(error, &args.output))?;
    bars.0.end();
    print(&args.output, &report, args.json);
    Ok(())
}

fn print(folder: &Path, report: &PlanReport, as_json: bool) {
    if as_json {
        terminal::print_json(&json!({
            "plan": folder, "id": report.id.to_string(), "unchanged": report.unchanged, "documents": report.documents,
            "skipped": report.skipped.len(),
            "skipped_files": report.skipped.iter().map(|(path, reason)| json!({"path": path, "reason": reason})).collect::<Vec<_>>(),
            "references": report.references, "origins": report.origins, "duplicates": report.origins - report.references,
            "tokens": report.tokens, "shards": report.shards, "packs": report.packs, "centroids": report.centroids,
            "codec": report.codec.to_string(),
            "codebooks": report.codebooks.as_ref().map(|used| json!({"id": used.id.to_string(), "quality": used.quality.as_ref().map(quality_json)})),
            "quality": report.quality.as_ref().map(quality_json), "seconds": seconds(&report.stages), "stages": stages_json(&report.stages),
        }));
        return;
    }
    if let Some(quality) = &report.quality {
        outln!("codec {} loses {}", report.codec, quality_line(quality));
    }
    if let Some(used) = &report.codebooks {
        print_codebooks(used);
    }
    outln!(
        "{}{}: {} references of {} documents{}, {} tokens, in {} build shards and for {} search packs, in {:.1} s, id {}",
        folder.display(),
        if report.unchanged { " is the same as before and stays with its shards" } else { "" },
        thousands(report.references),
        thousands(report.documents),
        skipped(report.skipped.len() as u64),
        thousands(report.tokens),
        thousands(report.shards.into()),
        thousands(report.packs.into()),
        seconds(&report.stages),
        report.id,
    );
    let last = report.shards - 1;
    let shards = if last == 0 { "0".to_owned() } else { format!("I, I = 0 to {last}") };
    outln!("next: mempack build --plan {0} --shard {shards}; then mempack merge {0} -o bank", folder.display());
}
