//! `mempack diff`: the differences between two packs.

use std::path::PathBuf;

use mempack_format::ReadError;
use mempack_runtime::{Change, Counted, DiffReport, MappedPack, Side, diff};
use serde_json::{Value, json};

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
    let mut lines: Result<(), Failure> = Ok(());
    let report = diff(&old, &new, &mut |change| {
        if args.json && lines.is_ok() && !terminal::is_closed() {
            lines = line(&old, &new, &change, &args).map(|line| terminal::print_json(&line));
        }
    });
    lines?;
    let report = report.map_err(|error| failed(&args, error.side, error.source))?;
    if args.json {
        terminal::print_json(&summary(&old, &new, &report));
    } else {
        out!("{}", table(&report));
    }
    Ok(())
}

fn failed(args: &Args, side: Side, error: ReadError) -> Failure {
    let path = if side == Side::Old { &args.old } else { &args.new };
    super::reading(path, matches!(error, ReadError::Damaged(_)), error)
}

fn line(old: &MappedPack, new: &MappedPack, change: &Change, args: &Args) -> Result<Value, Failure> {
    let was = |reference| place(old, reference).map_err(|error| failed(args, Side::Old, error));
    let is = |reference| place(new, reference).map_err(|error| failed(args, Side::New, error));
    Ok(match change {
        Change::DocumentAdded { id, references } => json!({"change": "added", "document": id, "references": references}),
        Change::DocumentRemoved { id, references } => json!({"change": "removed", "document": id, "references": references}),
        Change::DocumentChanged { id, fields, references } => {
            let references = references.map(|(old, new)| json!({"old": old, "new": new}));
            json!({"change": "changed", "document": id, "fields": fields, "references": references})
        }
        Change::ReferenceAdded { key, reference } => json!({"change": "added", "reference": key.to_string(), "new": is(*reference)?}),
        Change::ReferenceRemoved { key, reference } => json!({"change": "removed", "reference": key.to_string(), "old": was(*reference)?}),
        Change::ReferenceMoved { key, old, new } => {
            json!({"change": "origins changed", "reference": key.to_string(), "old": was(*old)?, "new": is(*new)?})
        }
    })
}

/// The number of a reference, its first origin, and how many origins it has.
fn place(pack: &MappedPack, reference: u32) -> Result<Value, ReadError> {
    let mut origins = pack.origins(reference)?;
    let count = origins.len();
    let Some(first) = origins.next() else { return Ok(json!({"number": reference, "origins": 0})) };
    let document = pack.document(first.document)?.id;
    Ok(json!({"number": reference, "origins": count, "document": document, "start": first.start, "end": first.end}))
}

fn summary(old: &MappedPack, new: &MappedPack, report: &DiffReport) -> Value {
    let Counted { added, removed, changed, kept } = report.documents;
    let references = report.references;
    let differences: Vec<Value> = report.making.iter().map(|one| json!({"field": one.field, "old": one.pack, "new": one.model})).collect();
    json!({"summary": {
        "same": report.same, "old": old.id().to_string(), "new": new.id().to_string(),
        "documents": {"added": added, "removed": removed, "changed": changed, "kept": kept},
        "references": {"added": references.added, "removed": references.removed, "kept": references.kept, "origins_changed": report.moved},
        "differences": differences,
    }})
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
