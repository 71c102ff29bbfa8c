//! `PRQ`: a residual code for each sub-vector.

use super::{Family, Numbers, StageName, check_parts};
use crate::codec::layout::LayoutBuilder;
use crate::{CodecSpec, CodecStage, FEATURE_CODECS, SpecError};

/// `PRQ<splits>x<m>x<bits>`: consecutive sub-vectors, each a sum of m of 2^bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Prq {
    /// Sub-vectors; divides the head dimension.
    pub splits: u16,
    /// Vectors of each sum; those of all sums are at most [`MAX_CODE_PARTS`](crate::MAX_CODE_PARTS).
    pub m: u16,
    /// Bits of each.
    pub bits: u8,
}

impl CodecSpec {
    /// `PRQ<splits>x<m>x<bits>`: see [`Prq`].
    pub const fn prq(splits: u16, m: u16, bits: u8) -> Self {
        Self::of([CodecStage::Prq(Prq { splits, m, bits })])
    }
}

impl Prq {
    pub(super) const NAME: StageName = StageName { pattern: "PRQ<splits>x<m>x<bits>", first: true, after: &[], last: true };

    pub(super) fn from_numbers([splits, m, bits]: Numbers) -> Option<Self> {
        Some(Self { splits, m, bits: bits.try_into().ok()? })
    }
}

impl Family for Prq {
    fn numbers(&self) -> Numbers {
        [self.splits, self.m, self.bits.into()]
    }

    fn check(&self, spec: CodecSpec) -> Result<(), SpecError> {
        check_parts(spec, u32::from(self.splits) * u32::from(self.m), self.bits)
    }

    fn lay_out(&self, layout: &mut LayoutBuilder) -> Result<(), SpecError> {
        let width = layout.width_of_parts(self.splits)?;
        for split in 0..self.splits.into() {
            (0..self.m).for_each(|_| layout.look_up(split * width, width, self.bits));
        }
        Ok(())
    }

    fn required_features(&self) -> u64 {
        FEATURE_CODECS
    }
}
