//! `mempack build --plan`: one shard of a plan.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mempack_compiler::{self as compiler, Plan, ShardOptions, ShardReport};
use mempack_format::DiskStorage;
use mempack_model::Precision;
use serde_json::json;

use super::encoding::Bars;
use super::planned::{self, seconds, stages_json};
use crate::failure::{Failure, Kind};
use crate::folders::ModelArgs;
use crate::interrupt;
use crate::output::{bytes, thousands};
use crate::progress::Progress;
use crate::terminal::{self, outln};

/// Which shard to build, and where.
pub struct Task<'a> {
    pub plan: &'a Path,
    pub shard: u32,
    pub output: Option<PathBuf>,
    pub force: bool,
    pub model: &'a ModelArgs,
    pub threads: usize,
    pub json: bool,
}

pub fn run(task: Task<'_>) -> Result<(), Failure> {
    let plan = planned::open(task.plan)?;
    let cancel = interrupt::flag();
    mempack_model::set_threads(1);
    let precision: Precision = plan.precision().parse().map_err(|error| Failure::new(Kind::Work, error))?;
    let model = task.model.load(precision)?;
    let embedder = task.model.embedder.load(precision)?;
    let options =
        ShardOptions { shard: task.shard, output: task.output, threads: task.threads, force: task.force, storage: Arc::new(DiskStorage) };
    let bars = Bars(Progress::new());
    let report =
        compiler::build_shard(&model, &embedder, &plan, &options, &bars, cancel).map_err(|error| planned::failure(error, task.plan))?;
    bars.0.end();
    print(&plan, task.shard, &report, task.json);
    Ok(())
}

fn print(plan: &Plan, shard: u32, report: &ShardReport, as_json: bool) {
    if as_json {
        terminal::print_json(&json!({
            "plan": plan.folder(), "plan_id": plan.id().to_string(), "shard": shard, "shards": plan.shards(), "file": report.path,
            "bytes": report.bytes, "references": report.references, "tokens": report.tokens, "was_complete": report.was_complete,
            "encoded": report.encoded, "resumed": report.resumed, "encoding_seconds": report.encoding.as_secs_f64(),
            "seconds": seconds(&report.stages), "stages": stages_json(&report.stages),
        }));
        return;
    }
    let file = report.path.display();
    let of = format!("shard {shard} of {}, {} references, {}", plan.shards(), thousands(report.references), bytes(report.bytes));
    if report.was_complete {
        outln!("{file}: {of}, is complete already; --force builds it again");
    } else {
        let resumed = match report.resumed {
            0 => String::new(),
            resumed => format!(" ({} kept from before the interruption)", thousands(resumed)),
        };
        outln!("{file}: {of}{resumed}, {} tokens, in {:.1} s", thousands(report.tokens), seconds(&report.stages));
    }
}
