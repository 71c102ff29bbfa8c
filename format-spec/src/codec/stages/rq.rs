//! `RQ`: residual codes.

use super::{Family, Numbers, StageName, check_parts};
use crate::codec::layout::LayoutBuilder;
use crate::{CodecSpec, CodecStage, SpecError};

/// `RQ<m>x<bits>`: a sum of m whole vectors, each one of 2^bits (Chen et al. 2010).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rq {
    /// Vectors of the sum.
    pub m: u16,
    /// Bits of each.
    pub bits: u8,
}

impl CodecSpec {
    /// `RQ<m>x<bits>`: see [`Rq`].
    pub const fn rq(m: u16, bits: u8) -> Self {
        Self::of([CodecStage::Rq(Rq { m, bits })])
    }
}

impl Rq {
    pub(super) const NAME: StageName = StageName { pattern: "RQ<m>x<bits>", first: true, after: &[], last: true };

    pub(super) fn from_numbers([m, bits, _]: Numbers) -> Option<Self> {
        Some(Self { m, bits: bits.try_into().ok()? })
    }
}

impl Family for Rq {
    fn numbers(&self) -> Numbers {
        [self.m, self.bits.into(), 0]
    }

    fn check(&self, spec: CodecSpec) -> Result<(), SpecError> {
        check_parts(spec, self.m.into(), self.bits)
    }

    fn lay_out(&self, layout: &mut LayoutBuilder) -> Result<(), SpecError> {
        (0..self.m).for_each(|_| layout.look_up(0, layout.dim(), self.bits));
        Ok(())
    }
}
