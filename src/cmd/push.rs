//! `mempack push`: publishes a bank in an object store.

use std::path::PathBuf;

use mempack_store::{LocalBank, PushOptions, push};
use serde_json::json;

use super::objects::{self, Watcher};
use crate::failure::Failure;
use crate::output::{bytes, thousands};
use crate::terminal::{self, outln};

#[derive(clap::Args)]
pub struct Args {
    /// The bank: a folder with one set (NAME.mps) and its packs or with one pack, or the file of a set or pack
    bank: PathBuf,
    /// Where to: s3://BUCKET/FOLDER, gs://BUCKET/FOLDER, az://CONTAINER/FOLDER, https://HOST/FOLDER (WebDAV) or file:///FOLDER
    url: String,
    /// The name to publish it under [default: that of the set or pack]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Publish also over what another writer publishes in the meantime
    #[arg(long)]
    replace: bool,
    /// Send everything, also what the store has, because it may be damaged
    #[arg(long)]
    resend: bool,
    /// Write to a store that cannot replace an object only if no one else has. Two writers at once then lose one of their banks
    #[arg(long)]
    allow_unconditional: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let store = objects::open(&args.url, args.allow_unconditional)?;
    let watcher = Watcher::new();
    let bank = LocalBank::read(&args.bank, &watcher).map_err(objects::failed)?;
    let options = PushOptions { name: args.name, replace: args.replace, resend: args.resend };
    let report = objects::run(push(&store, &bank, &options, &watcher))?;
    watcher.end();
    if args.json {
        terminal::print_json(&json!({
            "name": report.name,
            "id": report.id.to_string(),
            "edition": report.edition.to_string(),
            "files": report.files,
            "bytes": report.bytes,
            "sent": { "objects": report.sent, "bytes": report.sent_bytes },
            "there": { "objects": report.there, "bytes": report.there_bytes },
            "unchanged": report.unchanged,
        }));
    } else {
        outln!(
            "{}: {} as {:?}, {} files, {}; sent {} objects, {}; {} objects, {}, were there; id {}",
            store.url(),
            if report.unchanged { "was already published" } else { "published" },
            report.name,
            thousands(report.files),
            bytes(report.bytes),
            thousands(report.sent),
            bytes(report.sent_bytes),
            thousands(report.there),
            bytes(report.there_bytes),
            report.id,
        );
    }
    Ok(())
}
