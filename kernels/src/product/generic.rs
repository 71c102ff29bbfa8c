//! Products with f32 and bf16 weights and f32 inputs, on every path.

use std::ops::Range;

use super::{Output, Place, tiles};
use crate::Cpu;
use crate::simd::{Element, Kernel, Simd};

/// Numbers `range` of the products of rows `x`, `[rows, columns]`, with `weights`, `[out, columns]`.
///
/// # Safety
/// As of [`multiply`](super::multiply).
pub(super) unsafe fn multiply<T: Element>(cpu: Cpu, weights: &[T], columns: usize, x: &[f32], range: Range<usize>, to: Output<'_>) {
    tiles(range, size_of::<T>() * columns, x.len() / columns, |place| {
        let Place { first, count, row, rows, .. } = place;
        let weights = &weights[first * columns..][..count * columns];
        let x = &x[row * columns..][..rows * columns];
        // SAFETY: The caller makes sure that nobody else uses the numbers.
        let write = |i: usize, sums: &[f32]| unsafe { to.put(row + i, first, &sums[..count]) };
        match rows {
            1 => cpu.run(Tile::<T, _, 8, 1> { weights, columns, x, write }),
            2 => cpu.run(Tile::<T, _, 4, 2> { weights, columns, x, write }),
            3 => cpu.run(Tile::<T, _, 4, 3> { weights, columns, x, write }),
            _ => cpu.run(Tile::<T, _, 4, 4> { weights, columns, x, write }),
        }
    });
}

/// The products of at most `W` rows of weights, which must be a multiple of 4, with `R` rows of inputs.
pub(crate) struct Tile<'a, T, F, const W: usize, const R: usize> {
    /// Whole rows, one at least.
    pub weights: &'a [T],
    pub columns: usize,
    /// `[R, columns]`.
    pub x: &'a [f32],
    /// Takes the number of an input row and its `W` products.
    pub write: F,
}

impl<T: Element, F: FnMut(usize, &[f32]), const W: usize, const R: usize> Kernel for Tile<'_, T, F, W, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let columns = self.columns;
        let last = self.weights.len() / columns - 1;
        // The last row stands for those that are missing.
        let weights: [&[T]; W] = std::array::from_fn(|i| &self.weights[i.min(last) * columns..][..columns]);
        let x: [&[f32]; R] = std::array::from_fn(|i| &self.x[i * columns..][..columns]);
        let mut sums = [[s.splat(0.0); W]; R];
        let whole = columns - columns % S::LANES;
        let mut at = 0;
        while at < whole {
            let x: [S::F; R] = std::array::from_fn(|i| s.load(&x[i][at..at + S::LANES]));
            for j in 0..W {
                let weight = T::load(s, &weights[j][at..at + S::LANES]);
                for i in 0..R {
                    sums[i][j] = s.fma(x[i], weight, sums[i][j]);
                }
            }
            at += S::LANES;
        }
        if at < columns {
            let x: [S::F; R] = std::array::from_fn(|i| s.load_part(&x[i][at..]));
            for j in 0..W {
                let weight = T::load_part(s, &weights[j][at..]);
                for i in 0..R {
                    sums[i][j] = s.fma(x[i], weight, sums[i][j]);
                }
            }
        }
        for (i, sums) in sums.iter().enumerate() {
            let mut products = [0.0; W];
            for (to, sums) in products.chunks_exact_mut(4).zip(sums.chunks_exact(4)) {
                to.copy_from_slice(&s.sum4([sums[0], sums[1], sums[2], sums[3]]));
            }
            (self.write)(i, &products);
        }
    }
}
