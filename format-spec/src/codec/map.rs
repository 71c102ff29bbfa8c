//! The linear map after look-ups: products and sums in a fixed order, for several vectors at a time.

use pulp::Simd;

/// Vectors mapped at once: each number of the map is loaded once for all of them.
pub(super) const LANES: usize = 8;

/// Sets every vector of `out`, `[at most LANES, d]`, to the mean, and then, for i from 0, adds y[i] times row i of `map`, `[at most d, d]`.
/// Every product and every sum is rounded. `inputs` holds number i of all y at place i.
#[inline(always)]
pub(super) fn apply<S: Simd>(simd: S, mean: &[f32], map: &[f32], inputs: &[[f32; LANES]], out: &mut [f32]) {
    let dim = mean.len();
    if dim == 0 {
        return;
    }
    let (runs, rest) = S::as_simd_f32s(mean);
    let mut run = 0;
    // Where registers hold the sums of two runs of columns, both share the loaded numbers of the vectors.
    while S::REGISTER_COUNT > 2 * LANES + 4 && run + 2 <= runs.len() {
        two_runs(simd, runs, map, inputs, out, dim, run);
        run += 2;
    }
    while run < runs.len() {
        one_run(simd, runs, map, inputs, out, dim, run);
        run += 1;
    }
    for (column, mean) in (dim - rest.len()..).zip(rest) {
        let mut sums = [*mean; LANES];
        for (row, inputs) in map.chunks_exact(dim).zip(inputs) {
            let x = row.get(column).copied().unwrap_or(0.0);
            sums.iter_mut().zip(inputs).for_each(|(sum, y)| *sum += y * x);
        }
        for (out, sum) in out.chunks_exact_mut(dim).zip(&sums) {
            out.iter_mut().skip(column).take(1).for_each(|out| *out = *sum);
        }
    }
}

#[inline(always)]
fn one_run<S: Simd>(simd: S, mean: &[S::f32s], map: &[f32], inputs: &[[f32; LANES]], out: &mut [f32], dim: usize, run: usize) {
    let Some(mean) = mean.get(run) else { return };
    let mut sums = [*mean; LANES];
    for (row, inputs) in map.chunks_exact(dim).zip(inputs) {
        let Some(row) = S::as_simd_f32s(row).0.get(run) else { continue };
        for (sum, y) in sums.iter_mut().zip(inputs) {
            *sum = simd.add_f32s(*sum, simd.mul_f32s(simd.splat_f32s(*y), *row));
        }
    }
    for (out, sum) in out.chunks_exact_mut(dim).zip(&sums) {
        S::as_mut_simd_f32s(out).0.iter_mut().skip(run).take(1).for_each(|out| *out = *sum);
    }
}

#[inline(always)]
fn two_runs<S: Simd>(simd: S, mean: &[S::f32s], map: &[f32], inputs: &[[f32; LANES]], out: &mut [f32], dim: usize, run: usize) {
    let Some([first, second]) = mean.get(run..run + 2) else { return };
    let (mut firsts, mut seconds) = ([*first; LANES], [*second; LANES]);
    for (row, inputs) in map.chunks_exact(dim).zip(inputs) {
        let Some([first, second]) = S::as_simd_f32s(row).0.get(run..run + 2) else { continue };
        for ((sum_1, sum_2), y) in firsts.iter_mut().zip(&mut seconds).zip(inputs) {
            let y = simd.splat_f32s(*y);
            *sum_1 = simd.add_f32s(*sum_1, simd.mul_f32s(y, *first));
            *sum_2 = simd.add_f32s(*sum_2, simd.mul_f32s(y, *second));
        }
    }
    for ((out, first), second) in out.chunks_exact_mut(dim).zip(&firsts).zip(&seconds) {
        if let Some(out) = S::as_mut_simd_f32s(out).0.get_mut(run..run + 2) {
            out.copy_from_slice(&[*first, *second]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use pulp::{Arch, WithSimd};

    struct Apply<'a>(&'a [f32], &'a [f32], &'a [[f32; LANES]], &'a mut [f32]);

    impl WithSimd for Apply<'_> {
        type Output = ();

        fn with_simd<S: Simd>(self, simd: S) {
            apply(simd, self.0, self.1, self.2, self.3);
        }
    }

    proptest! {
        #[test]
        fn sums_are_in_the_order_of_the_definition(
            dim in prop::sample::select(vec![1usize, 7, 8, 12, 24, 64, 80, 131]), fewer in 0usize..9, count in 0usize..=LANES, seed in any::<u32>(),
        ) {
            let mut state = seed;
            let mut numbers = |count: usize| -> Vec<f32> {
                (0..count).map(|_| { state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223); (state >> 8) as f32 / 8_388_608.0 - 1.0 }).collect()
            };
            let rows = dim - fewer.min(dim);
            let (mean, map, vectors) = (numbers(dim), numbers(rows * dim), numbers(count * dim));
            let inputs: Vec<[f32; LANES]> = (0..dim).map(|i| std::array::from_fn(|lane| vectors.get(lane * dim + i).copied().unwrap_or(0.0))).collect();
            for arch in [Arch::new(), Arch::Scalar] {
                let mut mapped = vec![f32::NAN; vectors.len()];
                arch.dispatch(Apply(&mean, &map, &inputs, &mut mapped));
                for (y, x) in vectors.chunks_exact(dim).zip(mapped.chunks_exact(dim)) {
                    for c in 0..dim {
                        let expected = (0..rows).fold(mean[c], |sum, i| sum + y[i] * map[i * dim + c]);
                        prop_assert_eq!(x[c].to_bits(), expected.to_bits());
                    }
                }
            }
        }
    }
}
