//! The inner product that search spends its time in.

use zerocopy::little_endian::F32;

/// Partial sums kept apart. Lane `i` sums the products `i, i + 16, i + 32, ...`, and the lanes are added pairwise at the end:
/// the order never depends on the instruction set, so a score is the same to the bit on every machine.
const LANES: usize = 16;

/// `sum(a[i] * b[i])`; where the lengths differ, over the shorter.
pub(crate) fn dot(query: &[f32], stored: &[F32]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: `dot_avx2` is safe code whose one requirement is a processor with AVX2, which the line above has
        // established. (The answer is cached by the standard library; asking costs a load and a branch.)
        return unsafe { dot_avx2(query, stored) };
    }
    dot_lanes(query, stored)
}

/// [`dot_lanes`] compiled for 256-bit registers. Multiplication and addition stay apart (no FMA), see [`LANES`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn dot_avx2(query: &[f32], stored: &[F32]) -> f32 {
    dot_lanes(query, stored)
}

#[inline(always)]
fn dot_lanes(query: &[f32], stored: &[F32]) -> f32 {
    let length = query.len().min(stored.len());
    let (query, query_rest) = query.get(..length).unwrap_or_default().as_chunks::<LANES>();
    let (stored, stored_rest) = stored.get(..length).unwrap_or_default().as_chunks::<LANES>();
    let mut lanes = [0.0f32; LANES];
    for (a, b) in query.iter().zip(stored) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b.get();
        }
    }
    for ((lane, a), b) in lanes.iter_mut().zip(query_rest).zip(stored_rest) {
        *lane += a * b.get();
    }
    // Halves onto halves: 16, 8, 4, 2, 1.
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        let (low, high) = lanes.split_at_mut(width);
        low.iter_mut().zip(high).for_each(|(low, high)| *low += *high);
    }
    lanes.first().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_f64_and_does_not_depend_on_the_instruction_set(pairs in proptest::collection::vec((-1.0f32..1.0, -1.0f32..1.0), 0..200)) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.iter().copied().unzip();
            let stored: Vec<F32> = b.iter().map(|&x| F32::new(x)).collect();
            let exact: f64 = pairs.iter().map(|&(a, b)| f64::from(a) * f64::from(b)).sum();
            let found = dot(&a, &stored);
            prop_assert!((f64::from(found) - exact).abs() < 1e-4, "{} against {}", found, exact);
            prop_assert_eq!(found.to_bits(), dot_lanes(&a, &stored).to_bits());
        }
    }

    #[test]
    fn a_shorter_side_bounds_the_sum() {
        let stored = [F32::new(2.0), F32::new(3.0)];
        assert_eq!(dot(&[1.0, 1.0, 1.0], &stored), 5.0);
        assert_eq!(dot(&[], &stored), 0.0);
    }
}
