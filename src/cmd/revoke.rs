//! `mempack revoke`: a pack without some of its documents.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mempack_compiler::{Revocation, RevokeError, RevokeReport, RevokeStage};
use mempack_format::DiskStorage;

use crate::failure::{Failure, Kind};
use crate::interrupt;
use crate::output::thousands;
use crate::outputs;
use crate::progress::Progress;
use crate::terminal::outln;

/// The new pack lacks the records of the documents, and text, memory, embedding and graph node of every reference that comes from these
/// documents alone. References that also come from other documents remain. Everything else is the same byte for byte, and the graph is
/// rebuilt over the remaining references. The codec's codebooks remain, which are averages over a sample of all memories.
///
/// The new pack has another id and no signatures: sign it again. It has the permissions of the file that it replaces. The bytes of the old
/// file remain in copies and backups, in processes that have it open, and on the disk until the space is used again: delete what must not
/// remain.
#[derive(clap::Args)]
pub struct Args {
    /// The pack
    pack: Option<PathBuf>,
    /// Ids of the documents to revoke
    #[arg(long, num_args = 1.., value_name = "ID", required_unless_present = "documents")]
    document: Vec<String>,
    /// A file of further ids, one a line
    #[arg(long, value_name = "FILE")]
    documents: Option<PathBuf>,
    /// The pack to write; it may be PACK, which is replaced when the new pack is complete
    #[arg(short, long, value_name = "NEW")]
    output: PathBuf,
    /// Ignore ids that no document has; if no document has any of the ids, nothing is written
    #[arg(long)]
    ignore_missing: bool,
}

/// Maximum number of missing ids that an error lists.
const LISTED: usize = 10;

pub fn run(mut args: Args) -> Result<(), Failure> {
    let cancel = interrupt::flag();
    let path = match args.pack.take() {
        Some(path) => path,
        None => super::argument_or_last(None, &mut args.document, "PACK")?.into(),
    };
    let mut ids = args.document;
    if let Some(list) = &args.documents {
        let text = fs::read_to_string(list).map_err(|error| Failure::new(Kind::Work, format!("{}: {error}", list.display())))?;
        ids.extend(text.lines().filter(|line| !line.trim().is_empty()).map(String::from));
    }
    let lists: Vec<&Path> = args.documents.iter().map(PathBuf::as_path).collect();
    outputs::check_pack(&args.output, &lists)?;
    let pack = super::open(&path)?;
    let failed = |error: RevokeError| match error {
        RevokeError::Interrupted => Failure::new(Kind::Interrupted, error),
        error => super::reading(&path, error.is_damage(), error),
    };
    let revocation = Revocation::find(&pack, &ids).map_err(failed)?.with_permissions_of(&path);
    let missing = revocation.missing();
    if !missing.is_empty() && !args.ignore_missing {
        let more = if missing.len() > LISTED { format!(" and {} more", thousands((missing.len() - LISTED) as u64)) } else { String::new() };
        let names = missing.iter().take(LISTED).map(|id| format!("{id:?}")).collect::<Vec<_>>().join(", ");
        let path = path.display();
        return Err(Failure::new(
            Kind::Work,
            format!("{path}: no document has the id {names}{more}; nothing was written: check the ids, or add --ignore-missing"),
        ));
    }
    if revocation.documents() == 0 {
        outln!("{}: none of the documents is in the pack; nothing was written", path.display());
        return Ok(());
    }
    let progress = Progress::new();
    let mut running = None;
    let report = revocation.write(
        Arc::new(DiskStorage),
        &args.output,
        &mut |stage, done, total| {
            if running != Some(stage) {
                let unit = if stage == RevokeStage::Verifying { "bytes" } else { "references" };
                progress.begin(&stage.to_string(), unit, Some(total));
                running = Some(stage);
            }
            progress.set(done);
        },
        cancel,
    );
    let report = report.map_err(failed)?;
    progress.end();
    print(&args.output.display().to_string(), &report, missing.len(), pack.signatures().len());
    Ok(())
}

fn print(output: &str, report: &RevokeReport, missing: usize, signatures: usize) {
    let count = |n: u32, what: &str| format!("{} {what}{}", thousands(n.into()), if n == 1 { "" } else { "s" });
    outln!(
        "{output}: {} and {} revoked, {} of other documents too remain; left: {} of {}, id {}",
        count(report.documents, "document"),
        count(report.references, "reference"),
        thousands(report.shared.into()),
        count(report.references_left, "reference"),
        count(report.documents_left, "document"),
        report.id,
    );
    if missing > 0 {
        outln!("{} of the ids named no document", thousands(missing as u64));
    }
    if signatures > 0 {
        outln!("the new pack has no signatures, because those of the old pack cover its id: sign the new pack");
    }
}
