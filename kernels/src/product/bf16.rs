//! Products of bf16 with bf16 (AVX512_BF16).

use std::arch::x86_64::*;
use std::ops::Range;

use super::{Output, Place, tiles};
use crate::Cpu;
use crate::int8::BLOCK;
use crate::simd::sums_of_wide;

/// Numbers of a vector.
const WIDE: usize = 32;

/// Numbers `range` of the products of rows `x`, `[rows, columns rounded up to 32]`, with `weights`, `[out, columns]`.
///
/// # Safety
/// As of [`multiply`](super::multiply).
///
/// # Panics
/// A processor without AVX512_BF16.
pub(super) unsafe fn multiply(cpu: Cpu, weights: &[u16], columns: usize, x: &[u16], range: Range<usize>, to: Output<'_>) {
    assert!(cpu.avx512().is_some_and(|token| token.bf16()), "a processor that multiplies bf16");
    assert!(range.end * columns <= weights.len() && x.len().is_multiple_of(columns.next_multiple_of(BLOCK)), "whole rows");
    // SAFETY: The instructions are there and the sizes fit, as was just checked; the outputs are up to the caller.
    unsafe { multiply_checked(weights, columns, x, range, to) }
}

/// # Safety
/// `range` must be within the rows of `weights`, and `x` must have whole rows. The outputs are as of [`multiply`](super::multiply).
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c")]
unsafe fn multiply_checked(weights: &[u16], columns: usize, x: &[u16], range: Range<usize>, to: Output<'_>) {
    let padded = columns.next_multiple_of(BLOCK);
    let rows = x.len() / padded;
    tiles(range, size_of::<u16>() * columns, rows, |place| {
        let (weights, x) = (&weights[place.first * columns..][..place.count * columns], &x[place.row * padded..]);
        let tile = Tile { weights, columns, x };
        // SAFETY: `place.rows` rows of inputs are left, and the weights are whole rows, one at least; the outputs are up to the caller.
        unsafe {
            match (place.rows, rows, place.ahead) {
                (1, 1, _) => tile.run::<8, 1, true>(place, to),
                (1, ..) => tile.run::<4, 1, true>(place, to),
                (2, ..) => tile.run::<4, 2, true>(place, to),
                (3, ..) => tile.run::<4, 3, true>(place, to),
                (_, _, Some(_)) => tile.run::<4, 4, true>(place, to),
                (_, _, None) => tile.run::<4, 4, false>(place, to),
            }
        }
    });
}

/// Some rows of weights and of inputs.
struct Tile<'a> {
    /// Whole rows.
    weights: &'a [u16],
    columns: usize,
    /// Rows of `columns` rounded up to 32.
    x: &'a [u16],
}

impl Tile<'_> {
    /// Writes the products of at most `W` rows of weights, a multiple of 4, with `R` rows of inputs, where `place` says. Prefetches if `AHEAD`.
    ///
    /// # Safety
    /// There must be one row of weights and `R` rows of inputs. The outputs are as of [`multiply`](super::multiply).
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c")]
    unsafe fn run<const W: usize, const R: usize, const AHEAD: bool>(&self, place: Place, to: Output<'_>) {
        let columns = self.columns;
        let padded = columns.next_multiple_of(BLOCK);
        let count = self.weights.len() / columns;
        debug_assert!((1..=W).contains(&count) && W.is_multiple_of(4) && R * padded <= self.x.len());
        let ahead = place.ahead.unwrap_or(0) * columns;
        let mut sums = [[_mm512_setzero_ps(); W]; R];
        // SAFETY: Weights are read at `at..at + 32` and, with a mask, at the rest of rows 0 to `count - 1`, the last of which stands for
        // those that are missing; inputs at `at..at + 32` of rows 0 to `R - 1`, whose length is a multiple of 32. A prefetch may have
        // any address.
        unsafe {
            let weights: [*const u16; W] = std::array::from_fn(|i| self.weights.as_ptr().add(i.min(count - 1) * columns));
            let x: [*const u16; R] = std::array::from_fn(|i| self.x.as_ptr().add(i * padded));
            let whole = columns - columns % WIDE;
            let mut at = 0;
            while at < whole {
                let x: [__m512bh; R] = std::array::from_fn(|i| bf16(_mm512_loadu_si512(x[i].add(at).cast())));
                for j in 0..W {
                    let here = weights[j].add(at);
                    if AHEAD {
                        _mm_prefetch::<_MM_HINT_T0>(here.wrapping_add(ahead).cast());
                    }
                    let weight = bf16(_mm512_loadu_si512(here.cast()));
                    for i in 0..R {
                        sums[i][j] = _mm512_dpbf16_ps(sums[i][j], weight, x[i]);
                    }
                }
                at += WIDE;
            }
            if at < columns {
                let mask = (1u32 << (columns - at)) - 1;
                let x: [__m512bh; R] = std::array::from_fn(|i| bf16(_mm512_loadu_si512(x[i].add(at).cast())));
                for j in 0..W {
                    let weight = bf16(_mm512_maskz_loadu_epi16(mask, weights[j].add(at).cast()));
                    for i in 0..R {
                        sums[i][j] = _mm512_dpbf16_ps(sums[i][j], weight, x[i]);
                    }
                }
            }
        }
        for (i, sums) in sums.iter().enumerate() {
            let mut products = [0f32; W];
            for (products, sums) in products.chunks_exact_mut(4).zip(sums.chunks_exact(4)) {
                // SAFETY: There are four numbers to write.
                unsafe { _mm_storeu_ps(products.as_mut_ptr(), sums_of_wide([sums[0], sums[1], sums[2], sums[3]])) };
            }
            // SAFETY: Up to the caller.
            unsafe { to.put(place.row + i, place.first, &products[..count]) };
        }
    }
}

/// 32 bf16 as the type of the intrinsics.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn bf16(x: __m512i) -> __m512bh {
    // SAFETY: Both are 64 bytes of any value.
    unsafe { std::mem::transmute(x) }
}
