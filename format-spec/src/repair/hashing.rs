//! Hashing with progress, which can be ended.

use std::io;
use std::ops::ControlFlow;

use crate::error::Interrupted;
use crate::{Digest, Section, Tag, VerifyProgress};

/// Bytes hashed between two reports of progress.
const STEP_BYTES: usize = 1 << 20;

/// Takes the bytes of a section, in order.
pub(super) type Sink<'s> = dyn FnMut(&[u8]) -> io::Result<()> + 's;

/// Hashing under way, and where its progress is reported.
pub(super) struct Hashing<'p> {
    progress: &'p mut dyn FnMut(VerifyProgress) -> ControlFlow<()>,
    done: u64,
    total: u64,
    unreported: u64,
}

impl<'p> Hashing<'p> {
    /// Of about `total` bytes.
    pub(super) fn new(total: u64, progress: &'p mut dyn FnMut(VerifyProgress) -> ControlFlow<()>) -> Self {
        Self { progress, done: 0, total, unreported: 0 }
    }

    /// Counts bytes of a section.
    pub(super) fn advance(&mut self, section: Tag, bytes: u64) -> Result<(), Interrupted> {
        self.unreported += bytes;
        if self.unreported < STEP_BYTES as u64 {
            return Ok(());
        }
        // Damaged sections are hashed more than once, so the total is an estimate.
        self.done = self.done.saturating_add(std::mem::take(&mut self.unreported)).min(self.total);
        match (self.progress)(VerifyProgress { section, done: self.done, total: self.total }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Interrupted { section }),
        }
    }

    /// Whether some bytes are the section. Bytes of another length are not hashed.
    pub(super) fn is(&mut self, section: &Section, bytes: &[u8]) -> Result<bool, Interrupted> {
        if bytes.len() as u64 != section.length { Ok(false) } else { fits(section, self, |sink| sink(bytes)) }
    }
}

/// Whether the bytes that `feed` gives are the section.
pub(super) fn fits(
    section: &Section,
    hashing: &mut Hashing,
    feed: impl FnOnce(&mut Sink<'_>) -> io::Result<()>,
) -> Result<bool, Interrupted> {
    let mut hasher = blake3::Hasher::new();
    let mut length = 0;
    let mut interrupted = None;
    let fed = feed(&mut |bytes| {
        for step in bytes.chunks(STEP_BYTES) {
            hasher.update(step);
            length += step.len() as u64;
            if let Err(ended) = hashing.advance(section.tag, step.len() as u64) {
                interrupted = Some(ended);
                return Err(io::ErrorKind::Interrupted.into());
            }
        }
        Ok(())
    });
    match interrupted {
        Some(ended) => Err(ended),
        None => Ok(fed.is_ok() && length == section.length && Digest::from(hasher.finalize()) == section.digest),
    }
}
