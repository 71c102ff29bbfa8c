//! Verification: every byte of a pack, against its digests and against SPEC 15.
//!
//! Whatever the pack's size, verification holds at most [`VERIFY_MEMORY_BYTES`] and the codec's tables.

mod graph;
mod keys;
mod memories;
mod tables;

pub use keys::VERIFY_KEY_BYTES;
pub(crate) use memories::{check_positions, check_unit};

use std::ops::ControlFlow;

use crate::error::{Damage, Defect, VerifyError};
use crate::{Counts, Digest, OpenError, Pack, PackId, Section, Tag, header};

/// Bytes hashed between two reports of progress.
const STEP_BYTES: u64 = 1 << 20;
/// Most memory that [`Pack::verify`] takes, beside the codec's tables (at most 1 GiB, and no more than their section has) and 16 bytes a
/// reference (at most [`VERIFY_KEY_BYTES`]) to find keys that are there twice.
pub const VERIFY_MEMORY_BYTES: usize = 4 << 20;

/// How far a verification has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyProgress {
    /// The section under way.
    pub section: Tag,
    /// Bytes of sections done.
    pub done: u64,
    /// Bytes of all sections.
    pub total: u64,
}

/// What a verification found whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyReport {
    /// The pack's id.
    pub id: PackId,
    /// Its bytes.
    pub bytes: u64,
    /// Its sections, those unknown to this version included.
    pub sections: usize,
    /// How many there are of everything.
    pub counts: Counts,
}

impl<D: AsRef<[u8]>> Pack<D> {
    /// Checks every byte: all digests, all padding, and all that SPEC 15 lists of every section's contents.
    /// `progress` is told about once a MiB, and ends the verification by [`ControlFlow::Break`].
    ///
    /// # Errors
    /// At the first damage found, with its section and its offset in the file; or if `progress` ended it.
    pub fn verify(&self, progress: &mut dyn FnMut(VerifyProgress) -> ControlFlow<()>) -> Result<VerifyReport, VerifyError> {
        let total = self.sections().iter().map(|section| section.length).sum();
        let mut verifier = Verifier { pack: self, progress, done: 0, total };
        verifier.header()?;
        verifier.padding()?;
        // What points comes after what it is checked with: sizes and digests first, then records, then bulk.
        let layout = *self.layout();
        verifier.digest(&layout.manifest)?;
        verifier.digest(&layout.codec)?;
        verifier.digest(&layout.leaves)?;
        verifier.digest(&layout.text_index)?;
        verifier.references(&layout)?;
        keys::repeated(self, &mut |damage| Err(VerifyError::from(damage)))?;
        verifier.origins(&layout)?;
        verifier.documents(&layout)?;
        verifier.text(&layout)?;
        if let Some(section) = layout.graph {
            verifier.digest(&section)?;
            verifier.graph()?;
        }
        verifier.embeddings(&layout.embeddings)?;
        verifier.memories(&layout.memories)?;
        for section in self.sections().iter().filter(|section| section.tag.known().is_none()) {
            verifier.digest(section)?;
        }
        Ok(VerifyReport { id: self.id(), bytes: self.bytes(), sections: self.sections().len(), counts: self.manifest().counts })
    }
}

/// A verification under way.
struct Verifier<'p, D> {
    pack: &'p Pack<D>,
    progress: &'p mut dyn FnMut(VerifyProgress) -> ControlFlow<()>,
    done: u64,
    total: u64,
}

impl<'p, D: AsRef<[u8]>> Verifier<'p, D> {
    /// Adds `bytes` of a section to what is done.
    fn advance(&mut self, section: &Section, bytes: u64) -> Result<(), VerifyError> {
        self.done += bytes;
        match (self.progress)(VerifyProgress { section: section.tag, done: self.done, total: self.total }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(VerifyError::Interrupted { section: section.tag }),
        }
    }

    /// The header page once more: the data may be a mapping, and the file may have changed since `open`.
    fn header(&self) -> Result<(), Damage> {
        let damage = |expected, found| Damage { section: Tag::HEADER, offset: 0, defect: Defect::Digest { expected, found } };
        match header::read(self.pack.data()) {
            Ok(header) if header.id == self.pack.id().0 => Ok(()),
            Ok(header) => Err(damage(self.pack.id().0, header.id)),
            Err(OpenError::HeaderDigest { expected, found }) => Err(damage(expected, found)),
            Err(_) => {
                let found = Digest::of(self.pack.data().get(..crate::constants::PAGE_BYTES as usize).unwrap_or_default());
                Err(damage(self.pack.id().0, found))
            }
        }
    }

    /// The bytes between a section and the next must be zero; the header page's own are under the root digest.
    fn padding(&self) -> Result<(), Damage> {
        let sections = self.pack.sections();
        for (section, next) in sections.iter().zip(sections.iter().skip(1)) {
            let end = section.offset + section.length;
            let padding = self.pack.data().get(end as usize..next.offset as usize).unwrap_or_default();
            if let Some((at, byte)) = padding.iter().enumerate().find(|(_, byte)| **byte != 0) {
                return Err(self.pack.damage(section, section.length + at as u64, (0, Defect::Padding { found: *byte })));
            }
        }
        Ok(())
    }

    /// Compares a section with its digest.
    fn digest(&mut self, section: &Section) -> Result<(), VerifyError> {
        let mut hasher = blake3::Hasher::new();
        let mut start = 0;
        while start < section.length {
            let length = STEP_BYTES.min(section.length - start);
            hasher.update(self.pack.slice(section, start, length)?);
            start += length;
            self.advance(section, length)?;
        }
        self.check_digest(section, &hasher)
    }

    fn check_digest(&self, section: &Section, hasher: &blake3::Hasher) -> Result<(), VerifyError> {
        Ok(self.pack.check_section(section, hasher.finalize().into())?)
    }

    /// A field of a section must have a value.
    fn equal(&self, section: &Section, at: u64, field: &'static str, expected: u64, found: u64) -> Result<(), VerifyError> {
        if expected == found { Ok(()) } else { Err(self.pack.damage(section, at, (0, Defect::Value { field, expected, found })).into()) }
    }
}
