//! Vectors of plain Rust. Compilers turn the loops into whatever vectors the architecture always has.

use super::{Kernel, Simd};
use crate::number::from_bf16;

/// The path of every processor.
#[derive(Clone, Copy)]
pub(crate) struct Scalar;

const LANES: usize = 8;

type F = [f32; LANES];

#[inline(always)]
fn each(f: impl FnMut(usize) -> f32) -> F {
    std::array::from_fn(f)
}

// Every index is below LANES, in arrays of LANES elements.
impl Simd for Scalar {
    type F = F;

    const LANES: usize = LANES;

    #[inline(always)]
    fn splat(self, x: f32) -> F {
        [x; LANES]
    }

    #[inline(always)]
    fn load(self, x: &[f32]) -> F {
        let x = &x[..LANES];
        each(|i| x[i])
    }

    #[inline(always)]
    fn load_part(self, x: &[f32]) -> F {
        each(|i| x.get(i).copied().unwrap_or(0.0))
    }

    #[inline(always)]
    fn load_bf16(self, x: &[u16]) -> F {
        let x = &x[..LANES];
        each(|i| from_bf16(x[i]))
    }

    #[inline(always)]
    fn load_bf16_part(self, x: &[u16]) -> F {
        each(|i| x.get(i).copied().map_or(0.0, from_bf16))
    }

    #[inline(always)]
    fn store(self, x: F, to: &mut [f32]) {
        to[..LANES].copy_from_slice(&x);
    }

    #[inline(always)]
    fn store_part(self, x: F, to: &mut [f32]) {
        to.iter_mut().zip(x).for_each(|(to, x)| *to = x);
    }

    #[inline(always)]
    fn add(self, a: F, b: F) -> F {
        each(|i| a[i] + b[i])
    }

    #[inline(always)]
    fn mul(self, a: F, b: F) -> F {
        each(|i| a[i] * b[i])
    }

    #[inline(always)]
    fn div(self, a: F, b: F) -> F {
        each(|i| a[i] / b[i])
    }

    #[inline(always)]
    fn fma(self, a: F, b: F, c: F) -> F {
        // `mul_add` is a call into the C library where the processor is not known to have the instruction.
        each(|i| a[i] * b[i] + c[i])
    }

    #[inline(always)]
    fn max(self, a: F, b: F) -> F {
        each(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn min(self, a: F, b: F) -> F {
        each(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn round(self, x: F) -> F {
        // Adding 1.5 * 2^23 leaves no bits for fractions.
        const SHIFT: f32 = 12_582_912.0;
        each(|i| (x[i] + SHIFT) - SHIFT)
    }

    #[inline(always)]
    fn power_of_two(self, n: F) -> F {
        each(|i| f32::from_bits(((n[i] as i32 + 127) as u32) << 23))
    }

    #[inline(always)]
    fn sum4(self, x: [F; 4]) -> [f32; 4] {
        x.map(|x| ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7])))
    }
}

impl Scalar {
    /// Runs `kernel`.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }
}
