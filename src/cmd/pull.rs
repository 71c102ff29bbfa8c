//! `mempack pull`: fetches a bank from an object store.

use std::path::PathBuf;

use mempack_store::{PullOptions, pull};
use serde_json::json;

use super::objects::{self, Watcher};
use crate::failure::Failure;
use crate::output::{bytes, thousands};
use crate::terminal::{self, outln};

#[derive(clap::Args)]
pub struct Args {
    /// Where from: the address that it was pushed to
    url: String,
    /// The folder to write its files into. Chunks of packs that are there are used, and files of the same names replaced
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
    /// The name that it was published under [default: the only one that there is]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The id of a set or pack that was published under the name, or the beginning of one [default: the newest]
    #[arg(long, value_name = "ID")]
    set: Option<String>,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let store = objects::open(&args.url, false)?;
    let watcher = Watcher::new();
    let options = PullOptions { name: args.name, set: args.set };
    let report = objects::run(pull(&store, &args.output, &options, &watcher))?;
    watcher.end();
    if args.json {
        terminal::print_json(&json!({
            "name": report.name,
            "id": report.id.to_string(),
            "edition": report.edition.to_string(),
            "bank": report.entry.to_string_lossy(),
            "files": report.files,
            "unchanged_files": report.unchanged,
            "bytes": report.bytes,
            "fetched_bytes": report.fetched_bytes,
        }));
    } else {
        outln!(
            "{}: {} files, {}, of which {} were whole; fetched {}; id {}",
            report.entry.display(),
            thousands(report.files),
            bytes(report.bytes),
            thousands(report.unchanged),
            bytes(report.fetched_bytes),
            report.id,
        );
    }
    Ok(())
}
