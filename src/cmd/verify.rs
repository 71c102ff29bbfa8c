//! `mempack verify`: every byte of a pack, every rule of the format.

use std::ops::ControlFlow;
use std::path::PathBuf;

use crate::failure::Failure;
use crate::output::{bytes, thousands};
use crate::progress::Progress;

#[derive(clap::Args)]
pub struct Args {
    /// The packs
    #[arg(required = true)]
    packs: Vec<PathBuf>,
}

pub fn run(args: Args) -> Result<(), Failure> {
    for path in &args.packs {
        let pack = super::open(path)?;
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
            "{}: whole: {} references of {} documents, {}, id {}",
            path.display(),
            thousands(u64::from(counts.references)),
            thousands(u64::from(counts.documents)),
            bytes(report.bytes),
            pack.id(),
        );
    }
    Ok(())
}
