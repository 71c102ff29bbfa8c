//! What kept tokens are worth, head by head, and the head budget that is worth most.

use std::ops::Range;

use crate::TokensPerHead;

/// Where bins of ranks begin, from the token with the most attention on. The last bin ends at the reference length.
const STARTS: [u32; 10] = [0, 2, 4, 8, 12, 16, 24, 32, 48, 64];

/// The bins of ranks of a reference of at most `reference_length` tokens: where each begins, and where the last one ends.
pub fn rank_bins(reference_length: u32) -> Vec<u32> {
    STARTS.into_iter().filter(|start| *start < reference_length).chain([reference_length]).collect()
}

/// How far the loss falls when the heads of the memory layers keep tokens of their references. The tokens of a head are ranked by the
/// attention that they receive, and neighbouring ranks are a bin.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadGains {
    /// Memory layers.
    pub layers: usize,
    /// Key-value heads of a layer.
    pub heads: usize,
    /// Where each bin begins, and where the last one ends: ranks in ascending order, 0 first.
    pub edges: Vec<u32>,
    /// Nats for each bin, `[layers, heads, bins]`.
    pub gains: Vec<f64>,
}

impl HeadGains {
    /// Bins of a head.
    pub fn bins(&self) -> usize {
        self.edges.len().saturating_sub(1)
    }

    /// The gain of all tokens of all heads.
    pub fn sum(&self) -> f64 {
        self.gains.iter().sum()
    }

    /// The gains of all tokens of each head, `[layers, heads]`.
    pub fn of_heads(&self) -> Vec<f64> {
        self.gains.chunks(self.bins().max(1)).map(|bins| bins.iter().sum()).collect()
    }

    /// The head budget of at most `tokens` tokens, by water-filling: again and again the bins with the largest gain a token are taken, at
    /// one head, from the first bin that it has not on. Bins are taken whole, and none without a gain, so the sum may be below `tokens`.
    pub fn budget(&self, tokens: u32) -> TokensPerHead {
        let mut taken = vec![0; self.layers * self.heads];
        let mut left = tokens;
        while let Some((head, bins)) = self.best(&taken, left) {
            left -= self.width(taken[head]..bins);
            taken[head] = bins;
        }
        let of_layer = |bins: &[usize]| bins.iter().map(|bins| self.edges.get(*bins).copied().unwrap_or_default()).collect();
        TokensPerHead::Budget(taken.chunks(self.heads.max(1)).map(of_layer).collect())
    }

    /// Tokens in some bins.
    fn width(&self, bins: Range<usize>) -> u32 {
        self.edges[bins.end] - self.edges[bins.start]
    }

    /// The head that gains most a token by taking more bins than those `taken`, at most `left` tokens, and how many it has then. Of equal
    /// gains, the first.
    fn best(&self, taken: &[usize], left: u32) -> Option<(usize, usize)> {
        let mut best = None;
        let mut best_rate = 0.0;
        for (head, (gains, from)) in self.gains.chunks(self.bins().max(1)).zip(taken).enumerate() {
            let mut gain = 0.0;
            for (bin, more) in gains.iter().enumerate().skip(*from) {
                gain += more;
                let width = self.width(*from..bin + 1);
                let rate = gain / f64::from(width);
                if width <= left && rate > best_rate {
                    (best_rate, best) = (rate, Some((head, bin + 1)));
                }
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// Gains of the default reader, and the budgets that a program of its own computed from them.
    fn measured() -> (HeadGains, Vec<(u32, TokensPerHead)>) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/head_gains.json");
        let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let gain: Vec<Vec<Vec<f64>>> = serde_json::from_value(file["gain"].clone()).unwrap();
        let gains = HeadGains {
            layers: gain.len(),
            heads: gain[0].len(),
            edges: serde_json::from_value(file["bins"].clone()).unwrap(),
            gains: gain.into_iter().flatten().flatten().collect(),
        };
        let budgets = file["budgets"].as_object().unwrap().iter();
        let table = |value: &Value| TokensPerHead::Budget(serde_json::from_value(value.clone()).unwrap());
        (gains, budgets.map(|(tokens, budget)| (tokens.parse().unwrap(), table(budget))).collect())
    }

    fn numbers(budget: &TokensPerHead) -> Vec<u32> {
        match budget {
            TokensPerHead::Uniform(_) => panic!("a table"),
            TokensPerHead::Budget(table) => table.concat(),
        }
    }

    #[test]
    fn budgets_are_those_of_another_program() {
        let (gains, budgets) = measured();
        assert_eq!(budgets.len(), 5);
        for (tokens, expected) in budgets {
            let found = gains.budget(tokens);
            assert_eq!(found, expected, "{tokens} tokens");
            assert_eq!(numbers(&found).iter().sum::<u32>(), tokens);
        }
    }

    #[test]
    fn bins_end_at_the_reference_length() {
        assert_eq!(rank_bins(64), [0, 2, 4, 8, 12, 16, 24, 32, 48, 64]);
        assert_eq!(rank_bins(128), [0, 2, 4, 8, 12, 16, 24, 32, 48, 64, 128]);
        assert_eq!(rank_bins(10), [0, 2, 4, 8, 10]);
        assert_eq!(rank_bins(1), [0, 1]);
    }

    #[test]
    fn a_poor_bin_before_a_rich_one_is_taken_with_it() {
        let gains = HeadGains { layers: 2, heads: 1, edges: vec![0, 2, 4], gains: vec![0.0, 9.0, 4.0, 1.0] };
        assert_eq!(numbers(&gains.budget(4)), [4, 0]);
        // The rich one does not fit.
        assert_eq!(numbers(&gains.budget(3)), [0, 2]);
        assert_eq!(numbers(&gains.budget(8)), [4, 4]);
        assert_eq!(numbers(&gains.budget(1)), [0, 0]);
        assert_eq!((gains.sum(), gains.of_heads()), (14.0, vec![9.0, 5.0]));
    }

    fn any_gains() -> impl Strategy<Value = HeadGains> {
        (1usize..4, 1usize..4, 1u32..80).prop_flat_map(|(layers, heads, length)| {
            let edges = rank_bins(length);
            let bins = edges.len() - 1;
            // Some gains are equal, and some are losses.
            let gain = prop_oneof![-1.0..3.0f64, Just(0.0), Just(1.0)];
            prop::collection::vec(gain, layers * heads * bins).prop_map(move |gains| HeadGains {
                layers,
                heads,
                edges: edges.clone(),
                gains,
            })
        })
    }

    /// Every choice of a head and more bins of it, with its gain and its tokens.
    fn choices(gains: &HeadGains, taken: &[usize]) -> Vec<(usize, usize, f64, u32)> {
        let bins = gains.bins();
        let all = (0..taken.len()).flat_map(|head| (1..=bins).map(move |end| (head, end)));
        let open = all.filter(|(head, end)| *end > taken[*head]);
        open.map(|(head, end)| {
            let own = &gains.gains[head * bins..][taken[head]..end];
            (head, end, own.iter().sum(), gains.edges[end] - gains.edges[taken[head]])
        })
        .collect()
    }

    proptest! {
        #[test]
        fn each_step_has_the_best_rate(gains in any_gains(), tokens in 0u32..400) {
            let mut taken = vec![0; gains.layers * gains.heads];
            let mut left = tokens;
            while let Some((head, end)) = gains.best(&taken, left) {
                let all = choices(&gains, &taken);
                let (_, _, gain, width) = *all.iter().find(|choice| (choice.0, choice.1) == (head, end)).unwrap();
                let rate = gain / f64::from(width);
                prop_assert!(width <= left && rate > 0.0);
                for (other, to, gain, width) in all.iter().filter(|choice| choice.3 <= left) {
                    prop_assert!(gain / f64::from(*width) <= rate + 1e-12, "head {other} to {to}");
                }
                left -= width;
                taken[head] = end;
            }
            // Nothing with a gain fits any more.
            prop_assert!(choices(&gains, &taken).iter().all(|(_, _, gain, width)| *width > left || *gain <= 1e-12));
            let found = numbers(&gains.budget(tokens));
            prop_assert_eq!(&found, &taken.iter().map(|bins| gains.edges[*bins]).collect::<Vec<_>>());
            prop_assert!(found.iter().sum::<u32>() <= tokens);
        }
    }
}
