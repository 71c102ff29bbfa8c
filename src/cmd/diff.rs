//! `mempack diff`: the differences between two packs.

use std::path::PathBuf;

use mempack_runtime::{Counted, DiffError, DiffReport, Side, diff};
use serde_json::json;

use crate::failure::Failure;
use crate::output::thousands;
use crate::terminal::{self, one_line, out};

/// Documents are compared by id: a document has changed if its record or its list of references differs. References are compared by key: a
/// kept reference has the same memory, and may have moved in the corpus. The exit code is 0 whether the packs differ or not.
#[derive(clap::Args)]
pub struct Args {
    /// The old pack
    old: PathBuf,
    /// The new pack
    new: PathBuf,
    /// Print each change as a JSON object per line, and a summary as the last line
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let (old, new) = (super::open(&args.old)?, super::open(&args.new)?);
    let mut lines = Ok(());
    let report = diff(&old, &new, &mut |change| {
        if args.json && lines.is_ok() && !terminal::is_closed() {
            lines = change.to_json(&old, &new).map(|line| terminal::print_json(&line));
        }
    });
    lines.map_err(|error| failed(&args, error))?;
    let report = report.map_err(|error| failed(&args, error))?;
    if args.json {
        terminal::print_json(&json!({"summary": report.to_json(&old, &new)}));
    } else {
        out!("{}", table(&report));
    }
    Ok(())
}

fn failed(args: &Args, error: DiffError) -> Failure {
    let path = if error.side == Side::Old { &args.old } else { &args.new };
    super::reading(path, error.is_damage(), error.source)
}

fn table(report: &DiffReport) -> String {
    if report.same {
        return "the packs are the same, byte for byte\n".to_owned();
    }
    let Counted { added, removed, changed, kept } = report.documents;
    let mut text = format!(
        "documents    {} added, {} removed, {} changed, {} kept\n",
        thousands(added),
        thousands(removed),
        thousands(changed),
        thousands(kept)
    );
    let Counted { added, removed, kept, .. } = report.references;
    text += &format!("references   {} added, {} removed, {} kept", thousands(added), thousands(removed), thousands(kept));
    if report.moved > 0 {
        text += &format!(", of which {} from other places", thousands(report.moved));
    }
    text += "\n";
    if report.making.is_empty() {
        text += "model, embedder, codec and graph are the same\n";
    }
    for one in &report.making {
        text += &format!("{}: {} in the old pack, {} in the new\n", one.field, one_line(&one.pack), one_line(&one.model));
    }
    text
}
