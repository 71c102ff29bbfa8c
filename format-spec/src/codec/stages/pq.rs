//! `PQ` and `Residual`: product codes.

use super::{Family, Numbers, StageName, check_parts};
use crate::codec::layout::LayoutBuilder;
use crate::{CodecSpec, CodecStage, FEATURE_CODECS, SpecError};

/// `PQ<m>x<bits>`: m consecutive sub-vectors, each one of 2^bits (Jegou et al. 2011).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pq {
    /// Sub-vectors; divides the head dimension.
    pub m: u16,
    /// Bits of each.
    pub bits: u8,
}

/// `Residual<m>x<bits>`: a product code, of whose residual the next stage is a code. Only after [`Opq`](super::Opq).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Residual {
    /// Sub-vectors; divides the head dimension.
    pub m: u16,
    /// Bits of each.
    pub bits: u8,
}

impl CodecSpec {
    /// `PQ<m>x<bits>`: see [`Pq`].
    pub const fn pq(m: u16, bits: u8) -> Self {
        Self::of([CodecStage::Pq(Pq { m, bits })])
    }
}

impl Pq {
    pub(super) const NAME: StageName = StageName { pattern: "PQ<m>x<bits>", first: true, after: &["OPQ", "Residual"], last: true };

    pub(super) fn from_numbers([m, bits, _]: Numbers) -> Option<Self> {
        Some(Self { m, bits: bits.try_into().ok()? })
    }
}

impl Family for Pq {
    fn numbers(&self) -> Numbers {
        [self.m, self.bits.into(), 0]
    }

    fn check(&self, spec: CodecSpec) -> Result<(), SpecError> {
        check_parts(spec, self.m.into(), self.bits)
    }

    fn lay_out(&self, layout: &mut LayoutBuilder) -> Result<(), SpecError> {
        product(layout, self.m, self.bits)
    }
}

impl Residual {
    pub(super) const NAME: StageName = StageName { pattern: "Residual<c>x<bits>", first: false, after: &["OPQ"], last: false };

    pub(super) fn from_numbers([m, bits, _]: Numbers) -> Option<Self> {
        Some(Self { m, bits: bits.try_into().ok()? })
    }
}

impl Family for Residual {
    fn numbers(&self) -> Numbers {
        [self.m, self.bits.into(), 0]
    }

    fn check(&self, spec: CodecSpec) -> Result<(), SpecError> {
        check_parts(spec, self.m.into(), self.bits)
    }

    fn lay_out(&self, layout: &mut LayoutBuilder) -> Result<(), SpecError> {
        product(layout, self.m, self.bits)
    }

    fn required_features(&self) -> u64 {
        FEATURE_CODECS
    }
}

/// One look-up for each sub-vector.
fn product(layout: &mut LayoutBuilder, m: u16, bits: u8) -> Result<(), SpecError> {
    let width = layout.width_of_parts(m)?;
    (0..m.into()).for_each(|part| layout.look_up(part * width, width, bits));
    Ok(())
}
