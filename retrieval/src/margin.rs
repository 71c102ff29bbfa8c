//! How many of the hits are read.

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

    /// How many hits are read, of hits with these similarities, highest first: at least one if there is one.
    pub fn count(self, mut similarities: impl Iterator<Item = f32>) -> usize {
        match (similarities.next(), self.0) {
            (None, _) => 0,
            (Some(best), Some(margin)) => 1 + similarities.take_while(|similarity| best - similarity <= margin).count(),
            (Some(_), None) => 1 + similarities.count(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_margin_counts_what_lies_within_it() {
        let count = |margin| Margin::new(margin).count([0.75f32, 0.5, 0.5, 0.25].into_iter());
        assert_eq!([None, Some(0.0), Some(0.25), Some(0.3), Some(0.5), Some(2.0)].map(count), [4, 1, 3, 3, 4, 4]);
        assert_eq!(Margin::new(Some(0.1)).count(std::iter::empty()), 0);
        assert_eq!(Margin::ALL.count(std::iter::empty()), 0);
    }
}
