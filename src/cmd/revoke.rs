//! `mempack revoke`: a pack without some of its documents.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use mempack_compiler::{Revocation, RevokeError, RevokeReport, RevokeStage};
use mempack_corpus::read_id_list;
use mempack_format::DiskStorage;

use super::{corpus, revoke_set, sets};
use crate::failure::{Failure, Kind};
use crate::interrupt;
use crate::output::thousands;
use crate::outputs;
use crate::progress::Progress;
use crate::terminal::{self, one_line, outln};

/// The new pack lacks the records of the documents, and text, memory, embedding and graph node of every reference that comes from these
/// documents alone. References that also come from other documents remain. Everything else is the same byte for byte, and the graph is
/// rebuilt over the remaining references. The codec's codebooks remain, which are averages over a sample of all memories.
///
/// The new pack has another id and no signatures: sign it again. It has the permissions of the file that it replaces, or else of PACK. The
/// bytes of the old file remain in copies and backups, in processes that have it open, and on the disk until the space is used again:
/// delete what must not remain.
#[derive(clap::Args)]
pub struct Args {
    /// The pack, or a set of packs (.mps): packs of it that have the documents are written again under new names, and then the set
    pack: Option<PathBuf>,
    /// Ids of the documents to revoke
    #[arg(long, num_args = 1.., value_name = "ID", required_unless_present = "documents")]
    document: Vec<String>,
    /// A file of further ids, one a line
    #[arg(long, value_name = "FILE")]
    documents: Option<PathBuf>,
    /// The pack to write; it may be PACK, which is replaced when the new pack is complete
    #[arg(short, long, value_name = "NEW", required_unless_present = "dry_run")]
    output: Option<PathBuf>,
    /// List the documents that would be revoked, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Ignore ids that no document has; if no document has any of the ids, nothing is written
    #[arg(long)]
    ignore_missing: bool,
}

/// Maximum number of ids and documents that are listed without `--verbose`.
const LISTED: usize = 20;

pub fn run(mut args: Args) -> Result<(), Failure> {
    let cancel = interrupt::flag();
    let path = match args.pack.take() {
        Some(path) => path,
        None => super::argument_or_last(None, &mut args.document, "PACK")?.into(),
    };
    let mut ids = args.document;
    if let Some(list) = &args.documents {
        let bytes = fs::read(list).map_err(|error| Failure::new(Kind::Work, format!("{}: {error}", list.display())))?;
        ids.extend(read_id_list(&list.display().to_string(), &bytes).map_err(corpus::failure)?);
    }
    let lists: Vec<&Path> = args.documents.iter().map(PathBuf::as_path).collect();
    let is_set = sets::is_set(&path);
    if let Some(output) = args.output.as_ref().filter(|_| !is_set) {
        outputs::check_pack(output, &lists)?;
    }
    let wanted = Wanted { ids, ignore_missing: args.ignore_missing };
    let output = args.output.filter(|_| !args.dry_run);
    if is_set {
        return revoke_set::run(&path, &wanted, output.as_deref(), cancel);
    }
    let pack = super::open(&path)?;
    let failed = |error| failed(&path, error);
    let revocation = Revocation::find(&pack, &wanted.ids).map_err(failed)?.with_permissions_of(&path);
    wanted.check_missing(&path, revocation.missing())?;
    if revocation.documents() == 0 {
        outln!("{}: none of the documents is in the pack; nothing was written", path.display());
        return Ok(());
    }
    let mut removed = Vec::with_capacity(revocation.documents());
    for document in revocation.removed() {
        let (id, title) = document.map_err(failed)?;
        removed.push(format!("  {}  {}", one_line(&id), one_line(&title)));
    }
    outln!("{}: documents to revoke:\n{}", path.display(), listed(removed.into_iter(), "\n"));
    let Some(output) = output else {
        outln!("nothing was written");
        return Ok(());
    };
    let report = write(revocation, &path, &output, cancel)?;
    print(&output.display().to_string(), &report, pack.signatures().len());
    Ok(())
}

/// The documents to revoke.
pub struct Wanted {
    pub ids: Vec<String>,
    pub ignore_missing: bool,
}

impl Wanted {
    /// Tells the ids that no document has, or refuses them.
    pub fn check_missing(&self, path: &Path, missing: &[String]) -> Result<(), Failure> {
        let names = || listed(missing.iter().map(|id| format!("{id:?}")), ", ");
        if !missing.is_empty() && !self.ignore_missing {
            let path = path.display();
            let what = format!("{path}: no document has the id {}; nothing was written: check the ids, or add --ignore-missing", names());
            return Err(Failure::new(Kind::Work, what));
        }
        if !missing.is_empty() {
            outln!("{} of the ids named no document: {}", thousands(missing.len() as u64), names());
        }
        Ok(())
    }
}

pub fn failed(path: &Path, error: RevokeError) -> Failure {
    match error {
        RevokeError::Interrupted => Failure::new(Kind::Interrupted, error),
        error => super::reading(path, error.is_damage(), error),
    }
}

/// Writes the pack at `path` without the documents to `output`, and shows the progress.
pub fn write(
    revocation: Revocation<'_, impl AsRef<[u8]>>,
    path: &Path,
    output: &Path,
    cancel: &AtomicBool,
) -> Result<RevokeReport, Failure> {
    let progress = Progress::new();
    let mut running = None;
    let report = revocation.write(
        Arc::new(DiskStorage),
        output,
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
    let report = report.map_err(|error| failed(path, error))?;
    progress.end();
    Ok(report)
}

/// The first of many, or all with `--verbose`.
pub fn listed(all: impl ExactSizeIterator<Item = String>, separator: &str) -> String {
    let max = if terminal::is_verbose() { usize::MAX } else { LISTED };
    let more = all.len().saturating_sub(max);
    let mut shown: Vec<String> = all.take(max).collect();
    if more > 0 {
        shown.push(format!("and {} more, which --verbose lists", thousands(more as u64)));
    }
    shown.join(separator)
}

fn print(output: &str, report: &RevokeReport, signatures: usize) {
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
    if signatures > 0 {
        outln!("the new pack has no signatures, because those of the old pack cover its id: sign the new pack");
    }
}
