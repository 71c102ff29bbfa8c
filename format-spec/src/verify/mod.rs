//! Verification: every byte of a pack, against its digests and against SPEC 15; or a sample of them.
//!
//! For packs of any size and with any damage, verification holds at most [`VERIFY_MEMORY_BYTES`], the codec's tables and, to compare keys,
//! [`VERIFY_KEY_BYTES`].

mod coarse;
mod graph;
mod keys;
mod memories;
mod metadata;
mod sample;
mod tables;
mod terms;
mod text;

pub use keys::VERIFY_KEY_BYTES;
pub(crate) use memories::{check_positions, check_unit};
pub use sample::Sample;

use std::ops::ControlFlow;

use crate::constants::{PAGE_BYTES, SIGNATURE_BYTES, TRAILER_HEADER_BYTES};
use crate::error::{Damage, Defect, Interrupted, VerifyError};
use crate::{Counts, Digest, OpenError, Pack, PackId, Section, Tag, header};

/// Bytes hashed between two reports of progress.
const STEP_BYTES: u64 = 1 << 20;
/// Most memory that [`Pack::verify`] and [`Pack::survey`] take, beside the codec's tables (at most 1 GiB, and no more than
/// their section has), 16 bytes per reference (at most [`VERIFY_KEY_BYTES`]) to find repeated keys, 4 bytes per reference while the terms are
/// checked, and one bit per distinct value while a field of the metadata is.
pub const VERIFY_MEMORY_BYTES: usize = 4 << 20;

/// The progress of a verification or a repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyProgress {
    /// The section under way.
    pub section: Tag,
    /// Bytes of sections done.
    pub done: u64,
    /// Bytes that will be read.
    pub total: u64,
}

/// What [`Pack::survey`] reports while it runs.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum VerifyEvent {
    /// Progress, about once per MiB.
    Progress(VerifyProgress),
    /// A piece of damage.
    Damage(Damage),
}

/// How much of a pack [`Pack::survey`] reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scope {
    /// Every byte.
    Whole,
    /// The header page, the manifest, all leaf digests, and a sample of memories, embeddings and text blocks.
    Sample(Sample),
}

/// What a verification read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyReport {
    /// The pack's id.
    pub id: PackId,
    /// Its bytes.
    pub bytes: u64,
    /// Its sections, those unknown to this version included.
    pub sections: usize,
    /// Counts of documents, references, origins, tokens and bytes.
    pub counts: Counts,
    /// Bytes of it that were read.
    pub read: u64,
    /// Memories checked.
    pub memories: u64,
    /// Embeddings checked.
    pub embeddings: u64,
    /// Text blocks checked.
    pub text_blocks: u64,
    /// Pieces of damage reported; 0 if what was read is undamaged.
    pub damages: u64,
}

impl<D: AsRef<[u8]>> Pack<D> {
    /// Checks every byte: all digests, all padding, and everything that SPEC 15 lists for each section. Calls `progress` about once per
    /// MiB; [`ControlFlow::Break`] ends the verification.
    ///
    /// # Errors
    /// At the first damage found, with its section and its offset in the file ([`Pack::survey`] reports all damage); or if `progress` ended
    /// it.
    pub fn verify(&self, progress: &mut dyn FnMut(VerifyProgress) -> ControlFlow<()>) -> Result<VerifyReport, VerifyError> {
        let mut first = None;
        let report = self.survey(Scope::Whole, &mut |event| match event {
            VerifyEvent::Progress(at) => progress(at),
            VerifyEvent::Damage(damage) => {
                first = Some(damage);
                ControlFlow::Break(())
            }
        });
        match first {
            Some(damage) => Err(damage.into()),
            None => Ok(report?),
        }
    }

    /// Checks as [`Pack::verify`] does, or a sample only, but continues after damage and reports all of it to `watch`: by memory, embedding,
    /// text block, record and node where these can be distinguished, and by section where they cannot. Damage that only follows from
    /// reported damage is not reported. `watch` ends the survey with [`ControlFlow::Break`].
    ///
    /// # Errors
    /// If `watch` ended it.
    pub fn survey(&self, scope: Scope, watch: &mut dyn FnMut(VerifyEvent) -> ControlFlow<()>) -> Result<VerifyReport, Interrupted> {
        let total = match scope {
            Scope::Whole => self.sections().iter().map(|section| section.length).sum(),
            Scope::Sample(sample) => sample.bytes(self),
        };
        let report = VerifyReport {
            id: self.id(),
            bytes: self.bytes(),
            sections: self.sections().len(),
            counts: self.manifest().counts,
            read: 0,
            memories: 0,
            embeddings: 0,
            text_blocks: 0,
            damages: 0,
        };
        let mut verifier =
            Verifier { pack: self, watch, done: 0, total, leaves_whole: false, explained: Vec::new(), closed: Vec::new(), report };
        verifier.header()?;
        verifier.signatures()?;
        match scope {
            Scope::Whole => verifier.whole()?,
            Scope::Sample(sample) => verifier.sample(sample)?,
        }
        Ok(verifier.report)
    }
}

/// A running verification.
struct Verifier<'p, D> {
    pack: &'p Pack<D>,
    watch: &'p mut dyn FnMut(VerifyEvent) -> ControlFlow<()>,
    done: u64,
    total: u64,
    /// Whether the section of leaf digests is undamaged, so that leaves can be compared.
    leaves_whole: bool,
    /// The sections with reported damage: their digest is not reported as well.
    explained: Vec<Tag>,
    /// The sections whose check is complete.
    closed: Vec<Tag>,
    report: VerifyReport,
}

impl<D: AsRef<[u8]>> Verifier<'_, D> {
    /// Checks everything. Sections come after those that they are checked with: sizes and digests first, then records, then bulk data.
    fn whole(&mut self) -> Result<(), Interrupted> {
        self.report.read = self.pack.bytes();
        self.padding()?;
        let layout = *self.pack.layout();
        self.section(&layout.manifest)?;
        if let Some(section) = &layout.quality {
            self.section(section)?;
        }
        self.leaves_whole = self.section(&layout.leaves)?;
        let index_whole = self.section(&layout.text_index)?;
        let references_whole = self.references(&layout)?;
        if references_whole {
            // Damaged records may have equal keys, but their damage has been reported.
            keys::repeated(self.pack, &mut |damage| self.damage(damage))?;
        }
        self.origins(&layout)?;
        self.documents(&layout)?;
        if let Some(section) = layout.metadata {
            self.metadata(&section, self.pack.metadata())?;
        }
        if let Some(section) = layout.places {
            self.metadata(&section, self.pack.places())?;
        }
        if index_whole {
            self.text(&layout, references_whole)?;
        } else {
            // The places of the blocks are not known, but their section has a digest.
            self.section(&layout.text)?;
        }
        if let Some(section) = layout.graph {
            self.graph(&section)?;
        }
        if let Some(section) = layout.terms {
            self.terms(&section)?;
        }
        let largest = self.embeddings(&layout.embeddings)?;
        if let Some(section) = layout.coarse {
            self.coarse(&section, largest)?;
        }
        self.memories(&layout)?;
        // Sections without checks of their own, known or not: they have a digest like all others.
        let pack = self.pack;
        for section in pack.sections() {
            if !self.closed.contains(&section.tag) {
                self.section(section)?;
            }
        }
        Ok(())
    }

    /// Adds `bytes` of a section to what is done.
    fn advance(&mut self, section: &Section, bytes: u64) -> Result<(), Interrupted> {
        self.done += bytes;
        let progress = VerifyProgress { section: section.tag, done: self.done, total: self.total };
        self.report(section.tag, VerifyEvent::Progress(progress))
    }

    /// Reports damage, which explains why its section does not fit its digest.
    fn damage(&mut self, damage: Damage) -> Result<(), Interrupted> {
        let section = damage.section;
        if !self.explained.contains(&section) {
            self.explained.push(section);
        }
        self.report.damages += 1;
        self.report(section, VerifyEvent::Damage(damage))
    }

    fn report(&mut self, section: Tag, event: VerifyEvent) -> Result<(), Interrupted> {
        match (self.watch)(event) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Interrupted { section }),
        }
    }

    /// Reports the damage, if there is any, and returns whether there is none.
    fn checked(&mut self, result: Result<(), Damage>) -> Result<bool, Interrupted> {
        match result {
            Ok(()) => Ok(true),
            Err(damage) => self.damage(damage).map(|()| false),
        }
    }

    /// Checks the header page again: the data may be a mapping, and the file may have changed since `open`.
    fn header(&mut self) -> Result<(), Interrupted> {
        let found = match header::read(self.pack.data()) {
            Ok(header) => header.id,
            Err(OpenError::HeaderDigest { found, .. }) => found,
            Err(_) => Digest::of(self.pack.data().get(..PAGE_BYTES as usize).unwrap_or_default()),
        };
        let expected = self.pack.id().0;
        if found == expected {
            return Ok(());
        }
        self.damage(Damage { section: Tag::HEADER, offset: 0, defect: Defect::Digest { expected, found } })
    }

    /// Checks that every signature behind the pack is one of this pack (SPEC 17), trusted or not.
    fn signatures(&mut self) -> Result<(), Interrupted> {
        let pack = self.pack;
        for (index, signature) in (0u64..).zip(pack.signatures()) {
            if signature.check(pack.id()).is_err() {
                let offset = pack.bytes().saturating_add(TRAILER_HEADER_BYTES + index * SIGNATURE_BYTES);
                let defect = Defect::Signature { signer: signature.key_id() };
                self.damage(Damage { section: Tag::SIGNATURES, offset, defect })?;
            }
        }
        Ok(())
    }

    /// Checks that the bytes between sections are zero; those of the header page are covered by the root digest.
    fn padding(&mut self) -> Result<(), Interrupted> {
        let sections = self.pack.sections();
        for (section, next) in sections.iter().zip(sections.iter().skip(1)) {
            let end = section.offset + section.length;
            let padding = self.pack.data().get(end as usize..next.offset as usize).unwrap_or_default();
            if let Some((at, byte)) = padding.iter().enumerate().find(|(_, byte)| **byte != 0) {
                let damage = self.pack.damage(section, section.length + at as u64, (0, Defect::Padding { found: *byte }));
                // These are not bytes of the section: its digest is still reported.
                self.report.damages += 1;
                self.report(section.tag, VerifyEvent::Damage(damage))?;
            }
        }
        Ok(())
    }

    /// The digest of all bytes of a section that there are.
    fn hash(&mut self, section: &Section) -> Result<Digest, Interrupted> {
        let mut hasher = blake3::Hasher::new();
        let mut start = 0;
        while start < section.length {
            let length = STEP_BYTES.min(section.length - start);
            match self.pack.slice(section, start, length) {
                Ok(bytes) => hasher.update(bytes),
                Err(damage) => {
                    self.damage(damage)?;
                    break;
                }
            };
            start += length;
            self.advance(section, length)?;
        }
        Ok(hasher.finalize().into())
    }

    /// Compares a section with its digest and returns whether it fits.
    fn section(&mut self, section: &Section) -> Result<bool, Interrupted> {
        let found = self.hash(section)?;
        self.close(section, found)
    }

    /// Ends the check of a section whose bytes have the digest `found`. Reports that it does not fit if no damage of the section has been
    /// reported yet, and returns whether it fits.
    fn close(&mut self, section: &Section, found: Digest) -> Result<bool, Interrupted> {
        self.closed.push(section.tag);
        match self.pack.check_section(section, found) {
            Ok(()) => Ok(true),
            Err(_) if self.explained.contains(&section.tag) => Ok(false),
            Err(damage) => self.checked(Err(damage)),
        }
    }

    /// Checks that a field of a section has a value, and returns whether it has.
    fn equal(&mut self, section: &Section, at: u64, field: &'static str, expected: u64, found: u64) -> Result<bool, Interrupted> {
        if expected == found {
            return Ok(true);
        }
        let damage = self.pack.damage(section, at, (0, Defect::Value { field, expected, found }));
        self.checked(Err(damage))
    }
}
