//! `mempack verify`: every byte of a pack, every rule of the format.

use std::ops::ControlFlow;
use std::path::PathBuf;

use super::trust;
use crate::failure::Failure;
use crate::output::{bytes, thousands};
use crate::progress::Progress;

#[derive(clap::Args)]
pub struct Args {
    /// The packs
    #[arg(required = true)]
    packs: Vec<PathBuf>,
    /// Public keys, behind the packs: at least one of them must have signed each pack
    #[arg(long, num_args = 1.., value_name = "KEY")]
    trusted: Vec<PathBuf>,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let trusted = trust::read_keys(&args.trusted)?;
    for path in &args.packs {
        let pack = super::open(path)?;
        // Before the long work: whoever may not vouch for the pack may as well have written digests that fit.
        let signed = trust::signers(path, &pack, &trusted)?;
        let progress = Progress::new();
        progress.begin(&format!("verifying {}", path.display()), "bytes", Some(pack.bytes()));
        let report = pack
            .verify(&mut |at| {
                progress.set(at.done);
                ControlFlow::Continue(())
            })
            .map_err(|error| super::reading(path, true, error))?;
        progress.end();
        let counts = pack.manifest().counts;
        println!(
            "{}: whole: {} references of {} documents, {}, id {}{signed}",
            path.display(),
            thousands(u64::from(counts.references)),
            thousands(u64::from(counts.documents)),
            bytes(report.bytes),
            pack.id(),
        );
    }
    Ok(())
}
