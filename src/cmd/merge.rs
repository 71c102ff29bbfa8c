//! `mempack merge`: the shards of a plan become a set of search packs.

use std::path::PathBuf;
use std::sync::Arc;

use mempack_compiler::{self as compiler, MergeOptions, MergeReport};
use mempack_format::DiskStorage;
use serde_json::json;

use super::encoding::Bars;
use super::planned::{self, seconds, stages_json};
use crate::failure::Failure;
use crate::interrupt;
use crate::output::{bytes, thousands};
use crate::progress::Progress;
use crate::terminal::{self, outln};

/// Checks that all shards are there and whole, regroups their references into search packs of references that are near each other, and writes
/// the packs and, at last, the set that lists them. It needs no model. The same plan gives the same bytes, whoever built the shards in which
/// order.
#[derive(clap::Args)]
pub struct Args {
    /// The folder of the plan
    plan: PathBuf,
    /// Files of shards that are elsewhere than in the folder of the plan
    #[arg(value_name = "SHARD")]
    shards: Vec<PathBuf>,
    /// The folder of the set, which is created if it does not exist; a set of the same name in it is replaced when the new one is complete
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
    /// The name of the set: its file is NAME.mps, those of its packs begin with it
    #[arg(long, default_value = "bank")]
    name: String,
    /// Number of packs that are written at the same time, each in the memory of its graph; the set does not depend on it
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = super::threads)]
    threads: usize,
    /// Print the figures of the merge as one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let plan = planned::open(&args.plan)?;
    let cancel = interrupt::flag();
    let options =
        MergeOptions { shards: args.shards, output: args.output, name: args.name, threads: args.threads, storage: Arc::new(DiskStorage) };
    let bars = Bars(Progress::new());
    let report = compiler::merge(&plan, &options, &bars, cancel).map_err(|error| planned::failure(error, &args.plan))?;
    bars.0.end();
    print(&report, args.json);
    Ok(())
}

fn print(report: &MergeReport, as_json: bool) {
    let size: u64 = report.packs.iter().map(|pack| pack.bytes).sum();
    if as_json {
        let pack = |pack: &mempack_format::SetPack| {
            json!({
                "file": pack.file, "id": pack.id.to_string(), "bytes": pack.bytes, "documents": pack.counts.documents,
                "references": pack.counts.references, "origins": pack.counts.origins, "tokens": pack.counts.tokens,
            })
        };
        terminal::print_json(&json!({
            "set": report.path, "id": report.id.to_string(), "packs": report.packs.iter().map(pack).collect::<Vec<_>>(),
            "references": report.references, "moved": report.moved, "bytes": size, "seconds": seconds(&report.stages),
            "stages": stages_json(&report.stages),
        }));
        return;
    }
    for pack in &report.packs {
        outln!("{}: {} references, {}, id {}", pack.file, thousands(pack.counts.references.into()), bytes(pack.bytes), pack.id);
    }
    outln!(
        "{}: {} references in {} packs, {}, in {:.1} s, id {}",
        report.path.display(),
        thousands(report.references),
        thousands(report.packs.len() as u64),
        bytes(size),
        seconds(&report.stages),
        report.id,
    );
}
