//! Verification of references, origins and documents.

use super::Verifier;
use crate::constants::{ORIGIN_BYTES, REFERENCE_BYTES};
use crate::error::{Damage, Defect, Interrupted};
use crate::pack::Layout;
use crate::{ReferenceInfo, Section};

impl<D: AsRef<[u8]>> Verifier<'_, D> {
    /// Checks that references follow one another without gap in text and origins, and have tokens (SPEC 7). Returns whether they are
    /// undamaged.
    pub(super) fn references(&mut self, layout: &Layout) -> Result<bool, Interrupted> {
        let section = &layout.references;
        let digest = self.hash(section)?;
        let counts = self.pack.manifest().counts;
        // Sums over the references so far; unknown after a wrong one, until the next one that can be read.
        let (mut text, mut origins, mut tokens) = (Some(0), Some(0), Some(0));
        let before = self.report.damages;
        for reference in 0..counts.references {
            let at = u64::from(reference) * REFERENCE_BYTES;
            let info = match self.read_reference(section, reference, at) {
                Ok(info) => info,
                Err(damage) => {
                    self.damage(damage)?;
                    (text, origins, tokens) = (None, None, None);
                    continue;
                }
            };
            let follows = [
                (32, "start of a reference's text", &mut text, info.text_start, u64::from(info.text_len)),
                (40, "first origin of a reference", &mut origins, info.first_origin, u64::from(info.origins)),
            ];
            for (field_at, field, sum, start, length) in follows {
                let expected = sum.unwrap_or(start);
                // No overflow: both ends lie within the manifest's counts.
                *sum = self.equal(section, at + field_at, field, expected, start)?.then_some(start + length);
            }
            tokens = tokens.map(|tokens| tokens + u64::from(info.tokens));
        }
        // Where a sum was lost, damage has been reported already.
        let end = section.length;
        let sums = [
            ("bytes of all references' texts", counts.text_bytes, text),
            ("origins of all references", counts.origins, origins),
            ("tokens of all references", counts.tokens, tokens),
        ];
        for (field, expected, sum) in sums {
            if let Some(found) = sum.filter(|_| before == self.report.damages) {
                self.equal(section, end, field, expected, found)?;
            }
        }
        Ok(self.close(section, digest)? && before == self.report.damages)
    }

    /// Reads a reference and checks everything that does not depend on others.
    fn read_reference(&self, section: &Section, reference: u32, at: u64) -> Result<ReferenceInfo, Damage> {
        let info = self.pack.read_reference(reference)?;
        self.pack.raw_reference(reference)?.check_reserved().map_err(|defect| self.pack.damage(section, at, defect))?;
        let too_small = |field, at_field| Err(self.pack.damage(section, at, (at_field, Defect::TooSmall { field, limit: 1, found: 0 })));
        if info.origins == 0 {
            return too_small("origins of a reference", 52);
        }
        if info.tokens == 0 {
            return too_small("tokens of a reference", 56);
        }
        let limit = u64::from(self.pack.manifest().model.reference_length);
        if u64::from(info.tokens) > limit {
            let defect = Defect::TooLarge { field: "tokens of a reference", limit, found: info.tokens.into() };
            return Err(self.pack.damage(section, at, (56, defect)));
        }
        Ok(info)
    }

    /// Checks that the documents of origins exist (SPEC 7).
    pub(super) fn origins(&mut self, layout: &Layout) -> Result<(), Interrupted> {
        let section = &layout.origins;
        let digest = self.hash(section)?;
        let counts = &self.pack.manifest().counts;
        for origin in 0..counts.origins {
            let raw = self.pack.raw_origin(origin);
            let checked = raw.and_then(|raw| raw.check(counts).map_err(|defect| self.pack.damage(section, origin * ORIGIN_BYTES, defect)));
            self.checked(checked)?;
        }
        self.close(section, digest)?;
        Ok(())
    }

    /// Checks that document records fill their section and hold six UTF-8 strings each (SPEC 6).
    pub(super) fn documents(&mut self, layout: &Layout) -> Result<(), Interrupted> {
        let (index, documents) = (&layout.document_index, &layout.documents);
        if self.section(index)? {
            let digest = self.hash(documents)?;
            self.document_records(index, documents)?;
            self.close(documents, digest)?;
        } else {
            // The places of the records are not known, but their section has a digest.
            self.section(documents)?;
        }
        Ok(())
    }

    fn document_records(&mut self, index: &Section, documents: &Section) -> Result<(), Interrupted> {
        // The end of the record before; unknown after a wrong one.
        let mut end = Some(0);
        for document in 0..self.pack.manifest().counts.documents {
            let (start, next) = match self.pack.span(index, document.into(), "end of a document record", documents.length) {
                Ok(span) => span,
                Err(damage) => {
                    self.damage(damage)?;
                    end = None;
                    continue;
                }
            };
            let follows = self.equal(index, u64::from(document) * 8, "start of a document record", end.unwrap_or(start), start)?;
            end = follows.then_some(next);
            if follows {
                let read = self.pack.read_document(document).map(|_| ());
                self.checked(read)?;
            }
        }
        if let Some(end) = end {
            self.equal(index, index.length.saturating_sub(8), "end of the document records", documents.length, end)?;
        }
        Ok(())
    }
}
