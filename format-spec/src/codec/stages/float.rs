//! `F32` and `BF16`: the numbers themselves.

use super::{Family, Numbers, StageName};
use crate::codec::layout::{Direct, LayoutBuilder, each_vector};
use crate::{CodecError, CodecSpec, CodecStage, SpecError};

/// `F32`: the vector itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct F32;

/// `BF16`: the upper half of each float, rounded to nearest, ties to even.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bf16;

impl CodecSpec {
    /// `F32`: the vector itself. It is the only codec that loses nothing.
    pub const F32: Self = Self::of([CodecStage::F32(F32)]);
    /// `BF16`: see [`Bf16`].
    pub const BF16: Self = Self::of([CodecStage::Bf16(Bf16)]);
}

impl F32 {
    pub(super) const NAME: StageName = StageName { pattern: "F32", first: true, after: &[], last: true };

    pub(super) fn from_numbers(_: Numbers) -> Option<Self> {
        Some(Self)
    }
}

impl Family for F32 {
    fn lay_out(&self, layout: &mut LayoutBuilder) -> Result<(), SpecError> {
        let decode = |_: &[f32], codes: &[u8], out: &mut [f32], dim| {
            each_vector(codes, 4 * dim, out, dim, |code, vector| {
                let numbers = code.as_chunks::<4>().0;
                vector.iter_mut().zip(numbers).for_each(|(x, bytes)| *x = f32::from_le_bytes(*bytes));
                check_finite(vector)
            })
        };
        layout.direct(4 * layout.dim(), 0, Direct { decode, check: |_, _| Ok(()) });
        Ok(())
    }
}

impl Bf16 {
    pub(super) const NAME: StageName = StageName { pattern: "BF16", first: true, after: &[], last: true };

    pub(super) fn from_numbers(_: Numbers) -> Option<Self> {
        Some(Self)
    }
}

impl Family for Bf16 {
    fn lay_out(&self, layout: &mut LayoutBuilder) -> Result<(), SpecError> {
        let decode = |_: &[f32], codes: &[u8], out: &mut [f32], dim| {
            each_vector(codes, 2 * dim, out, dim, |code, vector| {
                let numbers = code.as_chunks::<2>().0;
                vector.iter_mut().zip(numbers).for_each(|(x, bytes)| *x = f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16));
                check_finite(vector)
            })
        };
        layout.direct(2 * layout.dim(), 0, Direct { decode, check: |_, _| Ok(()) });
        Ok(())
    }
}

fn check_finite(vector: &[f32]) -> Result<(), CodecError> {
    // A fold over all numbers compiles to vector instructions; the search for the first wrong one would not.
    if vector.iter().fold(true, |finite, x| finite & x.is_finite()) {
        return Ok(());
    }
    Err(CodecError::NotFinite { dimension: vector.iter().position(|x| !x.is_finite()).unwrap_or(0) })
}
