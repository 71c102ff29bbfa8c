//! `mempack revoke`: a pack without some of its documents.

use std::fs;
use std::path::{Path, PathBuf};

use mempack_compiler::{Revocation, RevokeReport};
use mempack_corpus::read_id_list;

use super::revoking::{Wanted, failed, listed, write};
use super::{corpus, revoke_set, sets};
use crate::failure::{Failure, Kind};
use crate::interrupt;
use crate::output::thousands;
use crate::outputs;
use crate::terminal::{one_line, outln};

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
