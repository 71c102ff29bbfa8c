//! `mempack verify`: checks every byte of a pack and every rule of the format, or a sample.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use mempack_format::{Damage, DiskStorage, PublicKey, Sample, Scope, Storage as _, VerifyEvent, VerifyReport};
use serde_json::json;

use super::{sets, trust};
use crate::failure::{Failure, Kind};
use crate::output::{bytes, thousands};
use crate::progress::Progress;
use crate::terminal::{self, outln};

/// Damaged places listed without `--all`.
const LISTED: usize = 20;

#[derive(clap::Args)]
pub struct Args {
    /// The packs; of a set of packs (.mps), all that it names; of the address of an object store, all that is published there
    #[arg(value_name = "PACK", required_unless_present = "trusted")]
    packs: Vec<PathBuf>,
    /// Check the header, the manifest, the leaf digests, and only this share of memories, embeddings and text blocks: 5% or 0.05
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    sample: Option<f64>,
    /// Seed of the sample
    #[arg(long, default_value_t = 0, requires = "sample")]
    seed: u64,
    /// List all damage, not only the first 20 places
    #[arg(long)]
    all: bool,
    /// Print one JSON object per pack
    #[arg(long)]
    json: bool,
    /// Public keys; at least one of them must have signed each pack, or the set
    #[arg(long, num_args = 1.., value_name = "KEY")]
    trusted: Vec<PathBuf>,
}

/// The result for one pack.
struct Outcome {
    report: VerifyReport,
    /// The first damaged places, or all of them.
    damages: Vec<Damage>,
    signed: String,
}

pub fn run(mut args: Args) -> Result<(), Failure> {
    // Packs after the keys are taken for more keys.
    if args.packs.is_empty() {
        let (keys, packs) = args.trusted.into_iter().partition(|path| is_key(path));
        (args.trusted, args.packs) = (keys, packs);
    }
    if args.packs.is_empty() {
        return Err(super::missing("PACK"));
    }
    let trusted = trust::read_keys(&args.trusted)?;
    let scope = match args.sample {
        None => Scope::Whole,
        Some(share) => Scope::Sample(
            Sample::new(share, args.seed).ok_or_else(|| Failure::new(Kind::Usage, "--sample is a share above 0 and at most 100%"))?,
        ),
    };
    let mut failures = Failures::default();
    for path in &args.packs {
        if let Some(ended) = verify_store(&args, path) {
            failures.keep(ended);
        } else if sets::is_set(path) {
            verify_set(&args, path, scope, &trusted, &mut failures);
        } else {
            failures.keep(verify_pack(&args, path, scope, &trusted));
        }
    }
    failures.last.map_or(Ok(()), Err)
}

/// All packs are checked, even after a damaged one: failures are reported as they come, but one that decides the exit code, which damage does.
#[derive(Default)]
struct Failures {
    last: Option<Failure>,
    count: usize,
}

impl Failures {
    fn keep(&mut self, ended: Result<(), Failure>) {
        let Err(new) = ended else { return };
        self.count += 1;
        let keep = self.last.as_ref().is_some_and(|old| old.kind() == Kind::Damaged || new.kind() != Kind::Damaged);
        let reported = if keep { Some(new) } else { self.last.replace(new) };
        if let Some(failure) = reported {
            failure.report();
        }
    }
}

/// Verifies a set: its file, that each pack is the one it names, and each pack. A trusted signature of the set vouches for its packs.
fn verify_set(args: &Args, path: &Path, scope: Scope, trusted: &[PublicKey], failures: &mut Failures) {
    let before = failures.count;
    let (set, signed) = match sets::read(path).and_then(|set| {
        let signed = trust::signers(path, trusted, |keys| set.signed_by(keys))?;
        // Without keys, a wrong signature is damage all the same, as in a pack (SPEC 15).
        let wrong = set.signatures().iter().find_map(|signature| signature.check(set.id()).err());
        wrong.map_or(Ok((set, signed)), |error| Err(Failure::new(Kind::Damaged, format!("{}: {error}", path.display()))))
    }) {
        Ok(read) => read,
        Err(failure) => {
            if args.json {
                terminal::print_json(&json!({ "set": path.to_string_lossy(), "whole": false, "error": failure.to_string() }));
            }
            return failures.keep(Err(failure));
        }
    };
    for (index, pack) in sets::packs(path, &set).enumerate() {
        let named = super::open(&pack).and_then(|opened| {
            set.check_pack(index, &*opened).map_err(|error| Failure::new(Kind::Damaged, format!("{}: {error}", path.display())))
        });
        failures.keep(named.and_then(|()| verify_pack(args, &pack, scope, &[])));
    }
    let whole = failures.count == before;
    let total = sets::totals(&set);
    if args.json {
        let packs = set.manifest().packs.len();
        terminal::print_json(
            &json!({ "set": path.to_string_lossy(), "id": set.id().to_string(), "whole": whole, "packs": packs, "bytes": total.bytes }),
        );
    } else if whole {
        outln!(
            "{}: {}: {} packs, {} references, {}, id {}{signed}",
            path.display(),
            if args.sample.is_some() { "whole in the sample of each pack" } else { "whole" },
            thousands(set.manifest().packs.len() as u64),
            thousands(total.references),
            bytes(total.bytes),
            set.id(),
        );
    }
}

fn verify_pack(args: &Args, path: &Path, scope: Scope, trusted: &[PublicKey]) -> Result<(), Failure> {
    let outcome = verify(args, path, scope, trusted)?;
    if args.json {
        print_json(args, path, &outcome)
    } else {
        print(args, path, &outcome)
    }
    match outcome.report.damages {
        0 => Ok(()),
        damages => Err(Failure::new(Kind::Damaged, damaged(path, damages))),
    }
}

/// Whether a file begins as keys do.
fn is_key(path: &Path) -> bool {
    let mut start = [0; 10];
    DiskStorage.read_start(path, &mut start).is_ok() && &start == b"-----BEGIN"
}

fn damaged(path: &Path, damages: u64) -> String {
    let places = if damages == 1 { "one place".into() } else { format!("{} places", thousands(damages)) };
    format!("{}: damaged in {places}; repair it with `mempack repair {} --from COPY`, or build it again", path.display(), path.display())
}

/// Verifies what is published in an object store; `None` if the path is no address of one.
#[cfg(feature = "store")]
fn verify_store(args: &Args, path: &Path) -> Option<Result<(), Failure>> {
    let address = path.to_str().filter(|path| mempack_store::is_address(path))?;
    if !args.trusted.is_empty() {
        let error = format!("{address}: --trusted is for files; pull the bank and verify its set or pack");
        return Some(Err(Failure::new(Kind::Usage, error)));
    }
    let max = if args.all { usize::MAX } else { LISTED };
    Some(super::verify_store::run(address, args.sample.map(|share| (share, args.seed)), max, args.json))
}

#[cfg(not(feature = "store"))]
fn verify_store(_: &Args, _: &Path) -> Option<Result<(), Failure>> {
    None
}

fn verify(args: &Args, path: &Path, scope: Scope, trusted: &[PublicKey]) -> Result<Outcome, Failure> {
    let pack = super::open(path).inspect_err(|failure| {
        if args.json {
            terminal::print_json(&json!({ "pack": path.to_string_lossy(), "whole": false, "error": failure.to_string() }));
        }
    })?;
    // Before the long work: without a trusted signature the digests may be forged too.
    let signed = trust::signers(path, trusted, |keys| pack.signed_by(keys))?;
    let max = if args.all { usize::MAX } else { LISTED };
    let mut damages = Vec::new();
    let progress = Progress::new();
    let mut begun = false;
    let report = pack.survey(scope, &mut |event| {
        match event {
            VerifyEvent::Progress(at) => {
                if !std::mem::replace(&mut begun, true) {
                    progress.begin(&format!("verifying {}", path.display()), "bytes", Some(at.total));
                }
                progress.set(at.done);
            }
            VerifyEvent::Damage(damage) if damages.len() < max => damages.push(damage),
            _ => {}
        }
        ControlFlow::Continue(())
    })?;
    progress.end();
    Ok(Outcome { report, damages, signed })
}

fn print(args: &Args, path: &Path, outcome: &Outcome) {
    let Outcome { report, damages, signed } = outcome;
    let (path, counts) = (path.display(), report.counts);
    for damage in damages {
        outln!("{path}: section {} is damaged at byte {}: {}", damage.section, damage.offset, damage.defect);
    }
    let rest = report.damages - damages.len() as u64;
    if rest > 0 {
        outln!("{path}: {} more damaged places; --all lists them", thousands(rest));
    }
    if let Some(share) = args.sample {
        let of = |some: u64, all: u64| format!("{} of {}", thousands(some), thousands(all));
        outln!(
            "{path}: {}a sample of {}% (seed {}): header, manifest, leaf digests, {} memories, {} embeddings, {} text blocks; {} of {} read, id {}{signed}",
            if report.damages == 0 { "whole in " } else { "" },
            share * 100.0,
            args.seed,
            of(report.memories, counts.references.into()),
            of(report.embeddings, counts.references.into()),
            of(report.text_blocks, counts.text_blocks()),
            bytes(report.read),
            bytes(report.bytes),
            report.id,
        );
    } else if report.damages == 0 {
        outln!(
            "{path}: whole: {} references of {} documents, {}, id {}{signed}",
            thousands(counts.references.into()),
            thousands(counts.documents.into()),
            bytes(report.bytes),
            report.id,
        );
    }
}

fn print_json(args: &Args, path: &Path, outcome: &Outcome) {
    let report = &outcome.report;
    let damages: Vec<_> = outcome
        .damages
        .iter()
        .map(|damage| json!({ "section": damage.section.to_string(), "offset": damage.offset, "problem": damage.defect.to_string() }))
        .collect();
    terminal::print_json(&json!({
        "pack": path.to_string_lossy(),
        "id": report.id.to_string(),
        "whole": report.damages == 0,
        "bytes": report.bytes,
        "read": report.read,
        "sample": args.sample.map(|share| json!({ "share": share, "seed": args.seed })),
        "memories": report.memories,
        "embeddings": report.embeddings,
        "text_blocks": report.text_blocks,
        "damages": report.damages,
        "listed": damages,
    }));
}

/// `5%` or `0.05`.
fn parse_share(text: &str) -> Result<f64, String> {
    let (number, unit) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    let share = number.trim().parse::<f64>().map_err(|error| format!("{error}; expected a share such as 5% or 0.05"))? / unit;
    if share > 0.0 && share <= 1.0 { Ok(share) } else { Err("a share is above 0 and at most 100%".into()) }
}
