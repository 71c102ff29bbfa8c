//! Bootstrap confidence intervals of means.

use mempack_numeric::Rng;
use serde::Serialize;

/// Number of resamples.
const RESAMPLES: usize = 10_000;
/// Fixed seed, so that the same values give the same interval.
const SEED: u64 = 0x6d65_6d70_6163_6b00;

/// A mean with its 95% confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// The mean of the values.
    pub mean: f64,
    /// The 2.5th percentile of the resamples' means.
    pub low: f64,
    /// The 97.5th percentile.
    pub high: f64,
    /// Number of values.
    pub n: usize,
}

/// The mean of `values`, one per question, and the 95% percentile interval of 10,000 resamples with replacement. For a paired comparison
/// of two modes, pass the difference for each question. `None` without values.
pub fn interval(values: &[f64]) -> Option<Interval> {
    if values.is_empty() {
        return None;
    }
    let n = values.len();
    let mean = |sum: f64| sum / n as f64;
    let mut random = Rng::from_seed(SEED);
    let mut means: Vec<f64> = (0..RESAMPLES).map(|_| mean((0..n).map(|_| values[random.below(n)]).sum())).collect();
    means.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| means[((RESAMPLES - 1) as f64 * share).round() as usize];
    Some(Interval { mean: mean(values.iter().sum()), low: at(0.025), high: at(0.975), n })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_has_no_interval_and_one_value_no_width() {
        assert_eq!(interval(&[]), None);
        assert_eq!(interval(&[0.25; 7]), Some(Interval { mean: 0.25, low: 0.25, high: 0.25, n: 7 }));
    }

    #[test]
    fn an_interval_is_as_wide_as_theory_says() {
        // Of 400 values of which 100 are 1, the mean's standard error is sqrt(0.25 * 0.75 / 400) = 0.02165.
        let values: Vec<f64> = (0..400).map(|i| f64::from(u8::from(i % 4 == 0))).collect();
        let found = interval(&values).unwrap();
        assert_eq!(found.mean, 0.25);
        for (bound, sign) in [(found.low, -1.0), (found.high, 1.0)] {
            assert!((bound - (0.25 + sign * 1.96 * 0.02165)).abs() < 0.004, "{found:?}");
        }
    }

    #[test]
    fn the_same_values_give_the_same_interval() {
        let values: Vec<f64> = (0..50).map(|i| f64::from(i * i % 7)).collect();
        assert_eq!(interval(&values), interval(&values));
        let mut other = values.clone();
        other[0] += 10.0;
        assert_ne!(interval(&values), interval(&other));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn an_interval_lies_among_the_values(values in proptest::collection::vec(-1.0f64..1.0, 1..40)) {
            let Interval { mean, low, high, n } = interval(&values).unwrap();
            let (min, max) = values.iter().fold((f64::MAX, f64::MIN), |(l, m), v| (l.min(*v), m.max(*v)));
            prop_assert!(n == values.len() && low <= high);
            for x in [mean, low, high] {
                prop_assert!(x >= min - 1e-9 && x <= max + 1e-9);
            }
        }
    }
}
