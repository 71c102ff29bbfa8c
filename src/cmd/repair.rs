//! `mempack repair`: repairs a damaged pack from others.

use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mempack_format::{DiskStorage, Mended, Repair, RepairError, StorageCursor, VerifyError, WorkFolder};
use mempack_runtime::{MappedBytes, MappedPack};

use crate::failure::{Failure, Kind};
use crate::interrupt;
use crate::outputs;
use crate::progress::Progress;
use crate::terminal::outln;

/// Sections come from any pack that has the same bytes under the same name; memories, embeddings and text blocks from any pack that has
/// one with the same leaf digest, such as an older version, or another pack with the same reference. Leaf digests and indices are
/// recomputed if that is enough, and padding is known. A damaged header page can only come from a copy of the same pack.
///
/// The new file is written beside the target, verified, checked to have the same id, and renamed. The damaged file stays until then. If no
/// pack given has a damaged part, nothing is written, and the missing parts are named (exit code 3).
#[derive(clap::Args)]
pub struct Args {
    /// The damaged pack
    pack: Option<PathBuf>,
    /// Packs to take parts from, in this order; they may be damaged too
    #[arg(long, required = true, num_args = 1.., value_name = "OTHER")]
    from: Vec<PathBuf>,
    /// The repaired pack to write (default: PACK itself)
    #[arg(short, long, value_name = "NEW")]
    output: Option<PathBuf>,
}

pub fn run(mut args: Args) -> Result<(), Failure> {
    let pack = super::argument_or_last(args.pack.take(), &mut args.from, "PACK")?;
    repair(&Job { pack, from: args.from, output: args.output })
}

/// What to repair from what.
struct Job {
    pack: PathBuf,
    from: Vec<PathBuf>,
    output: Option<PathBuf>,
}

fn repair(args: &Job) -> Result<(), Failure> {
    let cancel = interrupt::flag();
    let target = args.output.as_ref().unwrap_or(&args.pack);
    // A pack that is so damaged that it does not begin as one may still be replaced by what it becomes.
    let replaces = outputs::is_same(target, &args.pack);
    let donors: Vec<&Path> = args.from.iter().map(PathBuf::as_path).collect();
    if let Some(output) = args.output.as_ref().filter(|_| !replaces) {
        outputs::check_pack(output, &donors)?;
    }
    let pack = MappedBytes::open(&args.pack)?;
    let donors = args.from.iter().map(MappedBytes::open).collect::<Result<Vec<_>, _>>()?;
    let donors: Vec<&[u8]> = donors.iter().map(AsRef::as_ref).collect();
    let progress = Progress::new();
    let mut watch = progress.watch(format!("reading {}", args.pack.display()), cancel);
    let repair = Repair::plan(pack.as_ref(), &donors, &mut |at| watch(at.done, at.total)).map_err(|error| failure(args, error))?;
    progress.end();
    for mended in repair.mended() {
        outln!("{}: {}", args.pack.display(), describe(mended, &args.from));
    }
    if repair.mended().is_empty() && args.output.is_none() {
        outln!("{}: every byte is what was written; nothing to repair, id {}", args.pack.display(), repair.id());
        return Ok(());
    }
    write(&args.pack, (!replaces).then_some(target), &repair, &progress, cancel)?;
    outln!("{}: whole, id {}", target.display(), repair.id());
    Ok(())
}

fn failure(args: &Job, error: RepairError) -> Failure {
    let (kind, path) = match &error {
        RepairError::Interrupted(_) => (Kind::Interrupted, &args.pack),
        RepairError::Donor { donor, .. } => (Kind::Damaged, args.from.get(*donor).unwrap_or(&args.pack)),
        _ => (Kind::Damaged, &args.pack),
    };
    Failure::new(kind, format!("{}: {error}", path.display()))
}

/// Writes the repaired pack beside `new`, or else the damaged one, reads it back, and renames it if it is whole.
fn write(source: &Path, new: Option<&Path>, repair: &Repair<'_>, progress: &Progress, cancel: &AtomicBool) -> Result<(), Failure> {
    let target = new.unwrap_or(source);
    let failed = |action: &'static str| {
        move |error: io::Error| {
            Failure::new(Kind::Work, format!("cannot {action} {}: {error}; the damaged pack is unchanged", target.display()))
        }
    };
    let interrupted = || Failure::new(Kind::Interrupted, "interrupted; the damaged pack is unchanged");
    // One process at a time writes to the target. If it is killed, what it leaves is not named like a pack.
    let folder = match new {
        Some(new) => WorkFolder::open(Arc::new(DiskStorage), new),
        None => WorkFolder::replace(Arc::new(DiskStorage), source),
    }?;
    let path = folder.scratch().join("mended");
    let file = StorageCursor::new(folder.storage().create(&path).map_err(failed("write beside"))?, 0);
    progress.begin("writing", "bytes", Some(repair.bytes()));
    let mut out = Counted { out: BufWriter::new(file), progress, done: 0, cancel };
    let written = repair.write(&mut out).and_then(|()| io::Write::flush(&mut out));
    if cancel.load(Ordering::Relaxed) {
        return Err(interrupted());
    }
    written.map_err(failed("write"))?;
    folder.copy_permissions(source, &path)?;
    out.out.get_ref().file().sync().map_err(failed("write"))?;
    drop(out);
    let mended = MappedPack::open(&path).map_err(|error| Failure::new(Kind::Damaged, error))?;
    if mended.id() != repair.id() {
        let (found, expected) = (mended.id(), repair.id());
        return Err(Failure::new(
            Kind::Work,
            format!("the repaired pack has id {found}, expected {expected}: is another process writing to it?"),
        ));
    }
    let mut watch = progress.watch("verifying".into(), cancel);
    mended.verify(&mut |at| watch(at.done, at.total)).map_err(|error| match error {
        VerifyError::Interrupted(_) => interrupted(),
        // Every digest matches, so this is what was written.
        error => Failure::new(Kind::Damaged, format!("{}: the pack was malformed from the beginning: {error}", source.display())),
    })?;
    progress.end();
    drop(mended);
    folder.publish(&path)?;
    Ok(())
}

/// Counts what is written, and fails once `cancel` is set.
struct Counted<'a, W> {
    out: W,
    progress: &'a Progress,
    done: u64,
    cancel: &'a AtomicBool,
}

impl<W: io::Write> io::Write for Counted<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.cancel.load(Ordering::Relaxed) {
            // Not `Interrupted`, which callers retry.
            return Err(io::Error::other("stopped"));
        }
        // Sections come whole. Steps of a few MiB update the count and check `cancel` in between.
        let written = self.out.write(bytes.get(..4 << 20).unwrap_or(bytes))?;
        self.done += written as u64;
        self.progress.set(self.done);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn describe(mended: &Mended, from: &[PathBuf]) -> String {
    let name = |donor: &usize| from.get(*donor).map_or_else(String::new, |path| path.display().to_string());
    match mended {
        Mended::Header { donor } => format!("the header page is taken from {}", name(donor)),
        Mended::Section { section, donor } => format!("section {section} is taken from {}", name(donor)),
        Mended::Pieces { section, kind, count, donors } => {
            let (plural, verb) = if *count == 1 { (format!("{count} {kind}"), "is") } else { (plural(*count, *kind), "are") };
            format!("{plural} of section {section} {verb} taken from {}", donors.iter().map(name).collect::<Vec<_>>().join(", "))
        }
        Mended::Recomputed { section } => format!("section {section} is recomputed from the others"),
        Mended::Padding { section } => format!("the padding after section {section} is zeroed"),
        Mended::Signatures { donor } => format!("the signatures are taken from {}", name(donor)),
        Mended::Behind { bytes } => format!("{bytes} bytes after the pack are left out: they are no signatures"),
        other => format!("{other:?}"),
    }
}

fn plural(count: u64, kind: mempack_format::LeafKind) -> String {
    use mempack_format::LeafKind;
    match kind {
        LeafKind::Memory => format!("{count} memories"),
        LeafKind::Embedding => format!("{count} embeddings"),
        LeafKind::TextBlock => format!("{count} text blocks"),
    }
}
