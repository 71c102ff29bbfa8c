//! What the revocation of documents from a pack and from a set share.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use mempack_compiler::{Revocation, RevokeError, RevokeReport, RevokeStage};
use mempack_format::DiskStorage;

use crate::failure::{Failure, Kind};
use crate::output::thousands;
use crate::progress::Progress;
use crate::terminal::{self, outln};

/// Maximum number of ids and documents that are listed without `--verbose`.
const LISTED: usize = 20;

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
