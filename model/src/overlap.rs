//! How much a reference repeats the text it was retrieved for (arXiv 2407.01178, equation 6).
//!
//! A reference that contains most of the text would give the answer away, so it is not read.

use std::collections::HashMap;

/// The paper's threshold at evaluation. References above it are not read.
pub const DEFAULT_OVERLAP: f64 = 2.0 / 3.0;

/// The overlap of `reference` with `text`, 0 to 1: the length of the longest common subsequence of the reference and any window of
/// `2 * reference.len()` tokens of the text, over the reference's length. 0 for an empty reference.
///
/// Takes time proportional to the text's length times the square of the reference's.
pub fn overlap(text: &[u32], reference: &[u32]) -> f64 {
    if reference.is_empty() {
        return 0.0;
    }
    let window = (2 * reference.len()).min(text.len());
    if window == 0 {
        return 0.0;
    }
    let longest = text.windows(window).map(|window| common(window, reference)).max().unwrap_or_default();
    longest as f64 / reference.len() as f64
}

/// Whether [`overlap`] is above `max`. Most references share too few tokens with a text in any order; counting shows that in time
/// proportional to the sum of both lengths.
pub fn overlaps(text: &[u32], reference: &[u32], max: f64) -> bool {
    let mut left: HashMap<u32, usize> = HashMap::new();
    for token in text {
        *left.entry(*token).or_default() += 1;
    }
    let shared = reference.iter().filter(|token| left.get_mut(token).is_some_and(|n| std::mem::replace(n, n.saturating_sub(1)) > 0));
    shared.count() as f64 / reference.len() as f64 > max && overlap(text, reference) > max
}

/// Length of the longest common subsequence, by dynamic programming with one row of the table at a time.
fn common(a: &[u32], b: &[u32]) -> usize {
    let mut row = vec![0; b.len() + 1];
    for x in a {
        let mut diagonal = 0;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = if x == y { diagonal + 1 } else { above.max(row[j]) };
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_subsequence(part: &[u32], whole: &[u32]) -> bool {
        let mut rest = whole.iter();
        part.iter().all(|x| rest.any(|y| x == y))
    }

    /// By definition: every subsequence of the reference, every window of the text.
    fn slow(text: &[u32], reference: &[u32]) -> f64 {
        let mut best = 0;
        for start in 0..text.len() {
            let window = &text[start..text.len().min(start + 2 * reference.len())];
            for choice in 0u32..1 << reference.len() {
                let part: Vec<u32> = (0..reference.len()).filter(|i| choice >> i & 1 == 1).map(|i| reference[i]).collect();
                if is_subsequence(&part, window) {
                    best = best.max(part.len());
                }
            }
        }
        if reference.is_empty() { 0.0 } else { best as f64 / reference.len() as f64 }
    }

    proptest! {
        #[test]
        fn overlap_is_its_definition(text in proptest::collection::vec(0u32..5, 0..14), reference in proptest::collection::vec(0u32..5, 0..6)) {
            let expected = slow(&text, &reference);
            prop_assert_eq!(overlap(&text, &reference), expected);
            for max in [0.0, 0.5, DEFAULT_OVERLAP, 0.9, 1.0] {
                prop_assert_eq!(overlaps(&text, &reference, max), expected > max);
            }
        }
    }

    #[test]
    fn a_window_is_twice_the_reference() {
        let reference = [1, 2, 3];
        assert_eq!(overlap(&[1, 9, 2, 9, 3], &reference), 1.0);
        assert_eq!(overlap(&[1, 9, 9, 2, 9, 3], &reference), 1.0);
        // With one more token in between, the last one is outside of the window.
        assert_eq!(overlap(&[1, 9, 9, 2, 9, 9, 3], &reference), 2.0 / 3.0);
        assert_eq!(overlap(&[9, 9], &reference), 0.0);
        assert_eq!(overlap(&[], &reference), 0.0);
        assert_eq!(overlap(&reference, &[]), 0.0);
    }
}
