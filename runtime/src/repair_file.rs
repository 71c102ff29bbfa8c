//! Writes a repaired pack in place of a damaged one, or beside it.

use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mempack_format::{DiskStorage, PackId, Repair, StorageCursor, VerifyError, WorkFolder, WriteError};

use crate::{MapError, MappedPack};

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepairStage {
    /// The repaired pack is written beside the target.
    Writing,
    /// What was written is read back.
    Verifying,
}

/// Why a repaired pack was not put in its place. The file at the target is unchanged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepairFileError {
    /// It cannot be written.
    #[error("cannot {action} {}: {source}; the damaged pack is unchanged", path.display())]
    Io {
        /// The target.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// It cannot take its place.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// What was written is no pack.
    #[error(transparent)]
    Map(#[from] MapError),
    /// Something else than what was planned was read back.
    #[error("the repaired pack has id {found}, expected {expected}: is another process writing to it?")]
    Changed {
        /// The id that was read back.
        found: PackId,
        /// The id that was planned.
        expected: PackId,
    },
    /// Every digest is right, and the contents break the format's rules.
    #[error("{}: the pack was malformed from the beginning: {source}", path.display())]
    Malformed {
        /// The damaged pack.
        path: PathBuf,
        /// What is wrong.
        source: VerifyError,
    },
    /// The caller ended it.
    #[error("interrupted; the damaged pack is unchanged")]
    Interrupted,
}

/// Writes what `repair` planned for the pack at `source` to `target`, or in place of `source`.
///
/// The new file is written in a [`WorkFolder`] beside the target, synced, verified, and renamed. `progress` gets the stage, the bytes that are done, and all bytes of
/// the stage; [`ControlFlow::Break`] ends the work.
///
/// # Errors
/// If another process writes to the target, reading or writing fails, what is read back is not whole, or `progress` ended it.
pub fn write_repaired(
    repair: &Repair<'_>,
    source: &Path,
    target: Option<&Path>,
    progress: &mut dyn FnMut(RepairStage, u64, u64) -> ControlFlow<()>,
) -> Result<(), RepairFileError> {
    let path = target.unwrap_or(source);
    let failed = |action: &'static str| move |source| RepairFileError::Io { path: path.to_owned(), action, source };
    // One process at a time writes to the target. If it is killed, what it leaves is not named like a pack.
    let folder = match target {
        Some(target) => WorkFolder::open(Arc::new(DiskStorage), target),
        None => WorkFolder::replace(Arc::new(DiskStorage), source),
    }?;
    let written = folder.scratch().join("mended");
    let file = StorageCursor::new(folder.storage().create(&written).map_err(failed("write beside"))?, 0);
    let mut out = Counted { out: BufWriter::new(file), total: repair.bytes(), done: 0, progress: &mut *progress, ended: false };
    let result = repair.write(&mut out).and_then(|()| out.flush());
    if out.ended {
        return Err(RepairFileError::Interrupted);
    }
    result.map_err(failed("write"))?;
    folder.copy_permissions(source, &written)?;
    out.out.get_ref().file().sync().map_err(failed("write"))?;
    drop(out);
    let mended = MappedPack::open(&written)?;
    if mended.id() != repair.id() {
        return Err(RepairFileError::Changed { found: mended.id(), expected: repair.id() });
    }
    mended.verify(&mut |at| progress(RepairStage::Verifying, at.done, at.total)).map_err(|error| match error {
        VerifyError::Interrupted(_) => RepairFileError::Interrupted,
        source => RepairFileError::Malformed { path: path.to_owned(), source },
    })?;
    drop(mended);
    folder.publish(&written)?;
    Ok(())
}

/// Tells what is written, and fails once the caller has ended it.
struct Counted<'a, W> {
    out: W,
    total: u64,
    done: u64,
    progress: &'a mut dyn FnMut(RepairStage, u64, u64) -> ControlFlow<()>,
    ended: bool,
}

impl<W: Write> Write for Counted<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Sections come whole. Steps of a few MiB tell how far it is in between.
        let written = self.out.write(bytes.get(..4 << 20).unwrap_or(bytes))?;
        self.done += written as u64;
        if (self.progress)(RepairStage::Writing, self.done, self.total).is_break() {
            self.ended = true;
            // Not `Interrupted`, which callers retry.
            return Err(io::Error::other("stopped"));
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
