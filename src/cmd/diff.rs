//! `mempack diff`: the differences between two packs.

use std::path::{Path, PathBuf};

use mempack_format::SetPack;
use mempack_runtime::{Counted, DiffError, DiffReport, Side, diff};
use serde_json::json;

use super::sets;
use crate::failure::{Failure, Kind};
use crate::output::thousands;
use crate::terminal::{self, one_line, out, outln};

/// Documents are compared by id: a document has changed if its record or its list of references differs. References are compared by key: a
/// kept reference has the same memory, and may have moved in the corpus. The exit code is 0 whether the packs differ or not.
#[derive(clap::Args)]
pub struct Args {
    /// The old pack, or the old set of packs (.mps)
    old: PathBuf,
    /// The new pack, or set
    new: PathBuf,
    /// Print each change as a JSON object per line, and a summary as the last line
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    match [&args.old, &args.new].map(|path| sets::is_set(path)) {
        [true, true] => diff_sets(&args),
        [false, false] => diff_packs(&args),
        _ => Err(Failure::new(Kind::Usage, "a set is compared with a set, and a pack with a pack; name two of one kind")),
    }
}

/// Compares two sets: which packs only one of them has, and what has changed in those that both have under one name.
fn diff_sets(args: &Args) -> Result<(), Failure> {
    let (old, new) = (sets::read(&args.old)?, sets::read(&args.new)?);
    let (before, after) = (&old.manifest().packs, &new.manifest().packs);
    let same = before.iter().filter(|pack| after.iter().any(|other| other.id == pack.id)).count();
    let named = |pack: &SetPack, others: &[SetPack]| others.iter().any(|other| other.id == pack.id || other.file == pack.file);
    let removed: Vec<&SetPack> = before.iter().filter(|pack| !named(pack, after)).collect();
    let added: Vec<&SetPack> = after.iter().filter(|pack| !named(pack, before)).collect();
    let changed: Vec<&SetPack> =
        before.iter().filter(|pack| after.iter().any(|other| other.file == pack.file && other.id != pack.id)).collect();
    let tell = |change: &str, pack: &SetPack| {
        if args.json {
            terminal::print_json(
                &json!({"pack": pack.file, "id": pack.id.to_string(), "change": change, "references": pack.counts.references}),
            );
        } else {
            outln!("{}: {change}, {} references, id {}", one_line(&pack.file), thousands(pack.counts.references.into()), pack.id);
        }
    };
    removed.iter().for_each(|pack| tell("removed", pack));
    added.iter().for_each(|pack| tell("added", pack));
    for pack in &changed {
        tell("changed", pack);
        let side = |set: &Path| set.with_file_name(&pack.file);
        diff_packs(&Args { old: side(&args.old), new: side(&args.new), json: args.json })?;
    }
    if args.json {
        let summary =
            json!({"added": added.len(), "removed": removed.len(), "changed": changed.len(), "kept": same, "same": old.id() == new.id()});
        terminal::print_json(&json!({"packs": summary}));
    } else {
        outln!("packs        {} added, {} removed, {} changed, {same} kept", added.len(), removed.len(), changed.len());
    }
    Ok(())
}

fn diff_packs(args: &Args) -> Result<(), Failure> {
    let (old, new) = (super::open(&args.old)?, super::open(&args.new)?);
    let mut lines = Ok(());
    let report = diff(&old, &new, &mut |change| {
        if args.json && lines.is_ok() && !terminal::is_closed() {
            lines = change.to_json(&old, &new).map(|line| terminal::print_json(&line));
        }
    });
    lines.map_err(|error| failed(args, error))?;
    let report = report.map_err(|error| failed(args, error))?;
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
