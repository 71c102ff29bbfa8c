//! Verification of coarse embeddings: they follow from the embeddings.

use zerocopy::FromBytes;

use super::Verifier;
use crate::coarse::{round_to_8_bits, row_bytes};
use crate::error::{Defect, Interrupted};
use crate::{Section, Tag};

impl<D: AsRef<[u8]>> Verifier<'_, D> {
    /// Checks that every row follows from its embedding (SPEC 11.1), after the embeddings, whose largest number is `largest`. If these are
    /// damaged, only the digest is compared.
    pub(super) fn coarse(&mut self, section: &Section, largest: f32) -> Result<(), Interrupted> {
        if self.explained.contains(&Tag::EMBEDDINGS) {
            self.section(section)?;
            return Ok(());
        }
        let pack = self.pack;
        self.rows(section, row_bytes(pack.manifest().embedder.dim), |_, reference, at, row| {
            let embedding = pack.embedding(reference).unwrap_or_default();
            let expected = round_to_8_bits(embedding.iter().map(|value| value.get()), largest).chain(std::iter::repeat(0));
            let found = <[i8]>::ref_from_bytes(row).unwrap_or_default();
            let differs = found.iter().zip(expected).enumerate().find(|(_, (found, expected))| **found != *expected);
            let Some((index, (&found, expected))) = differs else { return Ok(()) };
            Err(pack.damage(section, at, (index as u64, Defect::Coarse { reference, index, expected, found })))
        })
    }
}
