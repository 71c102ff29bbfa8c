//! `mempack sign`: appends a signature to a pack or a set, which keeps its id.

use std::path::{Path, PathBuf};

use mempack_format::{OpenError, PrivateKey, SignError, SignSetError, sign_file, sign_set_file};

use super::sets;
use crate::failure::{Failure, Kind};
use crate::interrupt;
use crate::outputs;
use crate::progress::Progress;
use crate::terminal::outln;

/// An ed25519 signature covers the pack id, and through it every byte that the pack should have. Only the header page is checked: run
/// `mempack verify` first if the file may be damaged.
///
/// The signature is appended to the file, and the id does not change. A signature of the same key is replaced; those of other keys stay.
/// The new file is written beside the target and renamed: processes that have the old file open keep reading it until they close it.
#[derive(clap::Args)]
pub struct Args {
    /// The pack, or a set of packs (.mps): its signature vouches for all packs that it names
    pack: PathBuf,
    /// The private key: a file of `mempack keygen` or `openssl genpkey -algorithm ed25519`
    #[arg(long, value_name = "KEY")]
    key: PathBuf,
    /// The signed pack to write (default: PACK itself)
    #[arg(short, long, value_name = "NEW")]
    output: Option<PathBuf>,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let cancel = interrupt::flag();
    let target = args.output.as_ref().unwrap_or(&args.pack);
    if let Some(output) = args.output.as_ref().filter(|_| !sets::is_set(&args.pack)) {
        outputs::check_pack(output, &[&args.key])?;
    }
    let key = PrivateKey::read(&args.key)?;
    if sets::is_set(&args.pack) {
        return sign_set(&args.pack, &key, target);
    }
    let progress = Progress::new();
    let signed = sign_file(&args.pack, &key, target, &mut progress.watch("copying".into(), cancel));
    let report = signed.map_err(|error| {
        let kind = match &error {
            SignError::Interrupted => Kind::Interrupted,
            SignError::Open { source, .. } if source.is_damage() || matches!(source, OpenError::NotAPack { .. }) => Kind::Damaged,
            _ => Kind::Work,
        };
        Failure::new(kind, error)
    })?;
    progress.end();
    let done = if report.replaced { "signed again" } else { "signed" };
    let all = if report.signatures == 1 { "its only signature".into() } else { format!("one of {} signatures", report.signatures) };
    outln!("{}: {done} by key {}, {all}, id {}", target.display(), key.public().id(), report.id);
    Ok(())
}

fn sign_set(path: &Path, key: &PrivateKey, target: &Path) -> Result<(), Failure> {
    let (id, signatures) = sign_set_file(path, key, target).map_err(|error| match error {
        SignSetError::Read { path, source } => sets::failed(&path, &source),
        SignSetError::Write(error) => error.into(),
        error => Failure::new(Kind::Work, error),
    })?;
    let all = if signatures == 1 { "its only signature".into() } else { format!("one of {signatures} signatures") };
    outln!("{}: signed by key {}, {all}, id {id}", target.display(), key.public().id());
    Ok(())
}
