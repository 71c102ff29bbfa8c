//! Signing a pack in its file.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::trailer;
use super::{PrivateKey, SignError, Signature};
use crate::constants::MAX_SIGNATURES;
use crate::{DiskStorage, OutlineError, PackId, PackOutline, StorageCursor, WorkFolder};

/// Bytes copied between two reports of progress, and held in memory.
const STEP_BYTES: u64 = 1 << 20;

/// What was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignReport {
    /// The pack's id, which signing does not change.
    pub id: PackId,
    /// How many signatures the file has now.
    pub signatures: usize,
    /// Whether the key had signed before, and its signature was replaced.
    pub replaced: bool,
}

/// Signs the pack at `source` and writes it with its signatures to `target`, which may be `source`.
///
/// The new file is written in a [`WorkFolder`] beside the target, synced, and renamed. Processes that have the old file open keep reading it
/// until they close it. Meanwhile the copy needs as much disk space as the pack.
///
/// Only the header page and the form of the signatures are checked: the id is what is signed. `progress` gets the bytes copied and their
/// total; [`ControlFlow::Break`] ends the work.
///
/// # Errors
/// If `source` is not a pack, has [`MAX_SIGNATURES`] signatures of other keys, or reading or writing fails; or if `progress` ended it. The
/// file at `target` is then unchanged.
pub fn sign_file(
    source: &Path,
    key: &PrivateKey,
    target: &Path,
    progress: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<SignReport, SignError> {
    let reading = |error| SignError::Io { path: source.to_owned(), action: "read", source: error };
    let mut file = File::open(source).map_err(reading)?;
    let outline = PackOutline::read(&mut file).map_err(|error| match error {
        OutlineError::Io(error) => reading(error),
        OutlineError::Open(error) => SignError::Open { path: source.to_owned(), source: error },
    })?;
    let id = outline.id;
    let signature = key.sign(id);
    let mut signatures: Vec<Signature> = outline.signatures.iter().copied().filter(|other| other.signer() != signature.signer()).collect();
    let replaced = signatures.len() < outline.signatures.len();
    if signatures.len() >= MAX_SIGNATURES as usize {
        return Err(SignError::Full { path: source.to_owned() });
    }
    signatures.push(signature);
    let report = SignReport { id, signatures: signatures.len(), replaced };
    let trailer = trailer::write(signatures);
    write(source, &mut file, outline.bytes, &trailer, target, progress)?;
    Ok(report)
}

/// Writes the first `length` bytes of `file`, which is open at `source`, and then `trailer` to `target`.
fn write(
    source: &Path,
    file: &mut File,
    length: u64,
    trailer: &[u8],
    target: &Path,
    progress: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<(), SignError> {
    let folder = WorkFolder::open(Arc::new(DiskStorage), target)?;
    let path = folder.scratch().join("signed");
    let failed = |action| move |source| SignError::Io { path: target.to_owned(), action, source };
    let mut signed = StorageCursor::new(folder.storage().create(&path).map_err(failed("write beside"))?, 0);
    file.seek(SeekFrom::Start(0)).map_err(failed("copy the pack to"))?;
    let mut bytes = vec![0; STEP_BYTES.min(length) as usize];
    let mut done = 0;
    while done < length {
        if progress(done, length).is_break() {
            return Err(SignError::Interrupted);
        }
        let step = bytes.get_mut(..(length - done).min(STEP_BYTES) as usize).unwrap_or_default();
        file.read_exact(step).map_err(failed("copy the pack to"))?;
        signed.write_all(step).map_err(failed("copy the pack to"))?;
        done += step.len() as u64;
    }
    signed.write_all(trailer).map_err(failed("write"))?;
    folder.copy_permissions(source, &path)?;
    signed.file().sync().map_err(failed("write"))?;
    drop(signed);
    Ok(folder.publish(&path)?)
}
