//! How far hits may be below the best one.

/// How far below the best hit's similarity a hit may be and still be read.
///
/// The paper reads all that were retrieved: [`Margin::ALL`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Margin(Option<f32>);

impl Margin {
    /// No limit.
    pub const ALL: Self = Self(None);

    /// At most `margin` below the best hit; `None` is no limit.
    pub fn new(margin: Option<f32>) -> Self {
        Self(margin)
    }

    /// The narrower of two.
    pub fn and(self, other: Self) -> Self {
        match (self.0, other.0) {
            (Some(own), Some(others)) => Self(Some(own.min(others))),
            (own, others) => Self(own.or(others)),
        }
    }

    /// How many hits are left of hits with these similarities, highest first: at least one if there is one.
    pub fn count(self, mut similarities: impl Iterator<Item = f32>) -> usize {
        let Some(best) = similarities.next() else { return 0 };
        1 + similarities.take_while(|similarity| self.admits(best, *similarity)).count()
    }

    /// Leaves out the hits, in any order, whose similarity is further below the largest. At least one is left.
    pub fn keep<T>(self, hits: &mut Vec<T>, similarity: impl Fn(&T) -> f32) {
        let best = hits.iter().map(&similarity).fold(f32::NEG_INFINITY, f32::max);
        hits.retain(|hit| similarity(hit) == best || self.admits(best, similarity(hit)));
    }

    fn admits(self, best: f32, similarity: f32) -> bool {
        self.0.is_none_or(|margin| best - similarity <= margin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(margin: Margin, similarities: &[f32]) -> Vec<f32> {
        let mut kept = similarities.to_vec();
        margin.keep(&mut kept, |similarity| *similarity);
        kept
    }

    #[test]
    fn a_margin_keeps_what_lies_within_it() {
        for (margin, count) in [(None, 4), (Some(0.0), 1), (Some(0.25), 3), (Some(0.3), 3), (Some(0.5), 4), (Some(2.0), 4)] {
            let similarities = [0.75, 0.5, 0.5, 0.25];
            assert_eq!(kept(Margin::new(margin), &similarities), similarities[..count]);
            assert_eq!(Margin::new(margin).count(similarities.into_iter()), count);
        }
        assert_eq!(Margin::new(Some(0.1)).count(std::iter::empty()), 0);
        assert_eq!(kept(Margin::new(Some(0.25)), &[0.5, 0.25, 0.75, 0.5]), [0.5, 0.75, 0.5], "in the same order");
        assert_eq!(kept(Margin::new(Some(0.1)), &[]), [0.0; 0]);
        assert_eq!(kept(Margin::ALL, &[]), [0.0; 0]);
    }

    #[test]
    fn the_narrower_of_two_counts() {
        let (narrow, wide) = (Margin::new(Some(0.1)), Margin::new(Some(0.2)));
        for (left, right, both) in [
            (narrow, wide, narrow),
            (wide, narrow, narrow),
            (wide, Margin::ALL, wide),
            (Margin::ALL, wide, wide),
            (Margin::ALL, Margin::ALL, Margin::ALL),
        ] {
            assert_eq!(left.and(right), both);
        }
    }
}
