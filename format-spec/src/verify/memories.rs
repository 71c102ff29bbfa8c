//! Verification of embeddings and memories, the bulk of a pack: each byte is read once.

use zerocopy::FromBytes;
use zerocopy::little_endian::F32;

use super::{STEP_BYTES, Verifier};
use crate::coarse::largest_of;
use crate::codec::VectorKind;
use crate::constants::UNIT_TOLERANCE;
use crate::error::{Damage, Defect, Interrupted};
use crate::pack::Layout;
use crate::{Codec, CodecError, Digest, EMPTY_SLOT, LeafKind, MemoryShape, ReadError, Section};

impl<D: AsRef<[u8]>> Verifier<'_, D> {
    /// Checks that embeddings fit their leaves and their section's digest, are finite and of unit length (SPEC 11, 13). Gives the largest
    /// magnitude of their numbers.
    pub(super) fn embeddings(&mut self, section: &Section) -> Result<f32, Interrupted> {
        let mut largest = 0.0;
        self.rows(section, self.pack.embedding_bytes(), |verifier, reference, at, row| {
            verifier.report.embeddings += 1;
            let numbers = <[F32]>::ref_from_bytes(row).unwrap_or_default();
            largest = largest_of(largest, numbers.iter().map(|value| value.get()));
            verifier.embedding(section, reference, at, row)
        })?;
        Ok(largest)
    }

    /// Checks that memories fit their leaves and their section's digest, and that positions and codes are valid (SPEC 9, 10, 13).
    pub(super) fn memories(&mut self, layout: &Layout) -> Result<(), Interrupted> {
        let digest = self.hash(&layout.codec)?;
        let codec = match self.pack.codec() {
            Ok(codec) => Some(codec),
            // Without it codes cannot be checked, but leaves and positions can.
            Err(error) => {
                if let ReadError::Damaged(damage) = error {
                    self.damage(damage)?;
                }
                None
            }
        };
        self.close(&layout.codec, digest)?;
        let mut vector = vec![0.0; self.pack.manifest().model.shape.head_dim as usize];
        let section = &layout.memories;
        self.rows(section, self.pack.record_bytes(), |verifier, reference, at, record| {
            verifier.report.memories += 1;
            verifier.positions(section, reference, at, record)?;
            codec.as_ref().map_or(Ok(()), |codec| verifier.codes(section, at, codec, record, &mut vector))
        })
    }

    /// Checks every row of a section of rows of `stride` bytes, one per reference, and the section's digest.
    pub(super) fn rows(
        &mut self,
        section: &Section,
        stride: u64,
        mut check: impl FnMut(&mut Self, u32, u64, &[u8]) -> Result<(), Damage>,
    ) -> Result<(), Interrupted> {
        let mut hasher = blake3::Hasher::new();
        let mut unreported = 0;
        for reference in 0..self.pack.manifest().counts.references {
            let at = u64::from(reference) * stride;
            let row = match self.pack.slice(section, at, stride) {
                Ok(row) => row,
                Err(damage) => {
                    self.damage(damage)?;
                    break;
                }
            };
            hasher.update(row);
            let checked = check(self, reference, at, row);
            self.checked(checked)?;
            unreported += stride;
            if unreported >= STEP_BYTES {
                self.advance(section, std::mem::take(&mut unreported))?;
            }
        }
        self.advance(section, unreported)?;
        self.close(section, hasher.finalize().into())?;
        Ok(())
    }

    /// Checks one embedding: its leaf, then its numbers.
    pub(super) fn embedding(&self, section: &Section, reference: u32, at: u64, row: &[u8]) -> Result<(), Damage> {
        if self.leaves_whole {
            self.pack.check_leaf(LeafKind::Embedding, reference.into(), at, Digest::of(row))?;
        }
        let row = <[F32]>::ref_from_bytes(row).unwrap_or_default();
        check_unit(reference, row).map_err(|defect| self.pack.damage(section, at, defect))
    }

    /// Checks one memory except for its codes: its leaf, then its positions.
    pub(super) fn positions(&self, section: &Section, reference: u32, at: u64, record: &[u8]) -> Result<(), Damage> {
        if self.leaves_whole {
            self.pack.check_leaf(LeafKind::Memory, reference.into(), at, Digest::of(record))?;
        }
        let model = &self.pack.manifest().model;
        let positions = record.get(..model.shape.slots()).unwrap_or_default();
        let checked = check_positions(positions, &model.shape, model.reference_length);
        checked.map_err(|defect| self.pack.damage(section, at, defect))
    }

    /// Checks the codes of one record. Decodes vector by vector, so that no whole memory is held.
    fn codes(&self, section: &Section, at: u64, codec: &Codec, record: &[u8], vector: &mut [f32]) -> Result<(), Damage> {
        let shape = codec.shape();
        let (slots, heads) = (shape.slots(), shape.heads as usize);
        let (positions, codes) = record.split_at_checked(slots).unwrap_or_default();
        let (keys, values) = codes.split_at_checked(codes.len() / 2).unwrap_or_default();
        for (kind, codes, start) in [(VectorKind::Key, keys, slots), (VectorKind::Value, values, slots + keys.len())] {
            let head_of_slots = shape.slots_of_heads().enumerate().flat_map(|(head, slots)| slots.map(move |_| head));
            for (slot, ((code, position), head)) in codes.chunks_exact(codec.code_bytes()).zip(positions).zip(head_of_slots).enumerate() {
                let checked = match *position {
                    EMPTY_SLOT if code.iter().any(|byte| *byte != 0) => Err(CodecError::EmptySlot { slot }),
                    EMPTY_SLOT => Ok(()),
                    _ => codec.decode(codec.group_of(kind, head / heads, head % heads), code, vector),
                };
                let code_at = (start + slot * codec.code_bytes()) as u64;
                checked.map_err(|error| self.pack.damage(section, at, (code_at, error.into())))?;
            }
        }
        Ok(())
    }
}

/// Positions of a head ascend, empty slots come last, and none lies behind the longest reference.
pub(crate) fn check_positions(positions: &[u8], shape: &MemoryShape, reference_length: u32) -> Result<(), (u64, Defect)> {
    for slots in shape.slots_of_heads() {
        let positions = positions.get(slots.clone()).unwrap_or_default();
        let mut min = 0;
        for (token, &position) in positions.iter().enumerate() {
            let at = (slots.start + token) as u64;
            let found = u64::from(position);
            if position == EMPTY_SLOT {
                // From here on only empty slots may follow: no position is as large.
                min = u64::from(EMPTY_SLOT);
            } else if found < min {
                return Err((at, Defect::TooSmall { field: "position", limit: min, found }));
            } else if found >= u64::from(reference_length) {
                let limit = u64::from(reference_length).saturating_sub(1);
                return Err((at, Defect::TooLarge { field: "position", limit, found }));
            } else {
                min = found + 1;
            }
        }
    }
    Ok(())
}

/// A row of finite numbers whose squares sum to 1; the sum is taken in f64, in order.
pub(crate) fn check_unit(reference: u32, row: &[F32]) -> Result<(), (u64, Defect)> {
    if let Some((at, value)) = row.iter().enumerate().find(|(_, value)| !value.get().is_finite()) {
        return Err((4 * at as u64, Defect::NotFinite { reference, value: value.get() }));
    }
    let length = row.iter().map(|value| f64::from(value.get()).powi(2)).sum::<f64>().sqrt();
    if (length - 1.0).abs() <= UNIT_TOLERANCE { Ok(()) } else { Err((0, Defect::NotUnit { reference, length })) }
}
