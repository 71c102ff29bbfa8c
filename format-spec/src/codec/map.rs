//! The linear map behind look-ups: products and sums in a fixed order, for several vectors at a time.

use pulp::{Arch, NullaryFnOnce};

/// Vectors mapped at once: rows of the map are loaded once for all of them.
const LANES: usize = 8;
/// Outputs computed at once: what stays in registers for all lanes.
const RUN: usize = 8;
/// Dimensions whose inputs are turned at once.
const TURNED: usize = 128;

/// Replaces every vector y of `vectors`, `[n, d]`, by the mean and then, for i from 0, y[i] times row i of `map`, `[d, d]`, added to it:
/// every product and every sum rounded by itself.
pub(super) fn apply(mean: &[f32], map: &[f32], vectors: &mut [f32]) {
    let dim = mean.len();
    if dim == 0 || map.len() != dim * dim {
        return;
    }
    let arch = Arch::new();
    for vectors in vectors.chunks_mut(LANES * dim) {
        arch.dispatch(Batch { mean, map, vectors });
    }
}

/// One batch, compiled for what the processor has; the operations and their order are the same everywhere.
struct Batch<'a> {
    mean: &'a [f32],
    map: &'a [f32],
    vectors: &'a mut [f32],
}

impl NullaryFnOnce for Batch<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let dim = self.mean.len();
        let mut turned = [[0.0; LANES]; TURNED];
        // Few have more dimensions; theirs are turned on the heap, once for a batch.
        let mut large = Vec::new();
        let turned = match turned.get_mut(..dim) {
            Some(turned) => turned,
            None => {
                large.resize(dim, [0.0; LANES]);
                large.as_mut_slice()
            }
        };
        for (lane, vector) in self.vectors.chunks_exact(dim).enumerate() {
            for (inputs, &y) in turned.iter_mut().zip(vector) {
                if let Some(input) = inputs.get_mut(lane) {
                    *input = y;
                }
            }
        }
        let (runs, rest) = self.mean.as_chunks::<RUN>();
        for (run, mean) in runs.iter().enumerate() {
            let first = run * RUN;
            let mut sums = [*mean; LANES];
            for (inputs, row) in turned.iter().zip(self.map.chunks_exact(dim)) {
                let Some(row) = row.get(first..).and_then(|row| row.first_chunk::<RUN>()) else { continue };
                for (sums, y) in sums.iter_mut().zip(inputs) {
                    sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += y * x);
                }
            }
            for (vector, sums) in self.vectors.chunks_exact_mut(dim).zip(&sums) {
                vector.get_mut(first..first + RUN).unwrap_or_default().copy_from_slice(sums);
            }
        }
        for (column, mean) in (dim - rest.len()..).zip(rest) {
            let mut sums = [*mean; LANES];
            for (inputs, row) in turned.iter().zip(self.map.chunks_exact(dim)) {
                let x = row.get(column).copied().unwrap_or(0.0);
                sums.iter_mut().zip(inputs).for_each(|(sum, y)| *sum += y * x);
            }
            for (vector, &sum) in self.vectors.chunks_exact_mut(dim).zip(&sums) {
                if let Some(out) = vector.get_mut(column) {
                    *out = sum;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sums_are_in_the_order_of_the_definition(dim in prop::sample::select(vec![1usize, 7, 8, 12, 64, 80, 131]), count in 0usize..20, seed in any::<u32>()) {
            let mut state = seed;
            let mut numbers = |count: usize| -> Vec<f32> {
                (0..count).map(|_| { state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223); (state >> 8) as f32 / 8_388_608.0 - 1.0 }).collect()
            };
            let (mean, map, vectors) = (numbers(dim), numbers(dim * dim), numbers(count * dim));
            let mut mapped = vectors.clone();
            apply(&mean, &map, &mut mapped);
            for (y, x) in vectors.chunks_exact(dim).zip(mapped.chunks_exact(dim)) {
                for c in 0..dim {
                    let expected = (0..dim).fold(mean[c], |sum, i| sum + y[i] * map[i * dim + c]);
                    prop_assert_eq!(x[c].to_bits(), expected.to_bits());
                }
            }
        }
    }
}
