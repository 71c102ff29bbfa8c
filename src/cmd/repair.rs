//! `mempack repair`: repairs a damaged pack from others.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use mempack_format::{Mended, Repair, RepairError};
use mempack_runtime::{MappedBytes, MappedPack, RepairFileError, RepairStage, write_repaired};

use super::sets;
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
    /// The damaged pack, or a set of packs (.mps), of which all are repaired
    pack: Option<PathBuf>,
    /// Packs to take parts from, or sets of them, in this order; they may be damaged too
    #[arg(long, required = true, num_args = 1.., value_name = "OTHER")]
    from: Vec<PathBuf>,
    /// The repaired pack to write (default: PACK itself)
    #[arg(short, long, value_name = "NEW")]
    output: Option<PathBuf>,
}

pub fn run(mut args: Args) -> Result<(), Failure> {
    let pack = super::argument_or_last(args.pack.take(), &mut args.from, "PACK")?;
    let from = sets::expanded(&args.from)?;
    if sets::is_set(&pack) {
        return match args.output {
            None => repair_set(&pack, from),
            Some(_) => {
                Err(Failure::new(Kind::Usage, "the packs of a set are repaired in their places; leave out --output, or copy the set first"))
            }
        };
    }
    repair(&Job { pack, from, output: args.output })
}

/// Repairs every pack of a set in its place. A pack whose file is gone is taken from a copy. All packs are tried, even after one that cannot be
/// repaired.
fn repair_set(path: &Path, from: Vec<PathBuf>) -> Result<(), Failure> {
    let set = sets::read(path)?;
    let mut failure: Option<Failure> = None;
    for (entry, pack) in set.manifest().packs.iter().zip(sets::packs(path, &set)) {
        let job = match MappedPack::open(&pack) {
            _ if !pack.exists() => {
                let copy = from.iter().find(|copy| MappedPack::open(copy).is_ok_and(|copy| copy.id() == entry.id));
                copy.map(|copy| Job { pack: copy.clone(), from: from.clone(), output: Some(pack.clone()) }).ok_or_else(|| {
                    Failure::new(
                        Kind::Damaged,
                        format!("{} is missing, and no pack of --from is its copy (id {})", pack.display(), entry.id),
                    )
                })
            }
            Ok(other) if other.id() != entry.id => {
                let what = format!(
                    "{} is pack {}, the set names {}; move it away, and the right one is taken from a copy",
                    pack.display(),
                    other.id(),
                    entry.id
                );
                Err(Failure::new(Kind::Damaged, what))
            }
            _ => Ok(Job { pack: pack.clone(), from: from.clone(), output: None }),
        };
        if let Err(new) = job.and_then(|job| repair(&job))
            && let Some(before) = failure.replace(new)
        {
            before.report();
        }
    }
    failure.map_or(Ok(()), Err)
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

fn write(source: &Path, new: Option<&Path>, repair: &Repair<'_>, progress: &Progress, cancel: &AtomicBool) -> Result<(), Failure> {
    let mut writing = progress.watch("writing".into(), cancel);
    let mut verifying = progress.watch("verifying".into(), cancel);
    let written = write_repaired(repair, source, new, &mut |stage, done, total| match stage {
        RepairStage::Writing => writing(done, total),
        RepairStage::Verifying => verifying(done, total),
    });
    written.map_err(|error| match error {
        // Its kind and its hint are those of other commands.
        RepairFileError::Write(error) => error.into(),
        RepairFileError::Interrupted => Failure::new(Kind::Interrupted, error),
        RepairFileError::Map(_) | RepairFileError::Malformed { .. } => Failure::new(Kind::Damaged, error),
        error => Failure::new(Kind::Work, error),
    })?;
    progress.end();
    Ok(())
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
