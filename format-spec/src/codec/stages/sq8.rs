//! `SQ8`: a byte for each dimension.

use super::{Family, Numbers, StageName};
use crate::codec::layout::{DecodeError, Direct, LayoutBuilder, each_vector};
use crate::{CodecError, CodecSpec, CodecStage, SpecError};

/// `SQ8`: a byte for each dimension, which counts steps from the dimension's minimum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sq8;

impl CodecSpec {
    /// `SQ8`: see [`Sq8`].
    pub const SQ8: Self = Self::of([CodecStage::Sq8(Sq8)]);
}

impl Sq8 {
    pub(super) const NAME: StageName = StageName { pattern: "SQ8", first: true, after: &[], last: true };

    pub(super) fn from_numbers(_: Numbers) -> Option<Self> {
        Some(Self)
    }
}

impl Family for Sq8 {
    fn lay_out(&self, layout: &mut LayoutBuilder) -> Result<(), SpecError> {
        layout.direct(layout.dim(), 2 * layout.dim(), Direct { decode, check: check_steps });
        Ok(())
    }
}

fn decode(tables: &[f32], codes: &[u8], out: &mut [f32], dim: usize) -> Result<(), DecodeError> {
    let (minimums, steps) = tables.split_at_checked(dim).unwrap_or_default();
    each_vector(codes, dim, out, dim, |code, vector| {
        let ranges = minimums.iter().zip(steps);
        vector.iter_mut().zip(code).zip(ranges).for_each(|((x, &level), (minimum, step))| *x = minimum + step * f32::from(level));
        Ok(())
    })
}

/// No step is negative.
fn check_steps(group: usize, tables: &[f32]) -> Result<(), CodecError> {
    let (_, steps) = tables.split_at_checked(tables.len() / 2).unwrap_or_default();
    match steps.iter().enumerate().find(|(_, step)| **step < 0.0) {
        Some((dimension, &found)) => Err(CodecError::Step { group, dimension, found }),
        None => Ok(()),
    }
}
