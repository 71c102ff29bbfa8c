//! Which of the references found are read, by name.

use std::fmt;
use std::str::FromStr;

use crate::{Diverse, Margin};

/// The margin of [`Strategy::SIMILARITY`]. As lambda below, it is the strongest of those tried that costs less than 0.01 of recall@5 on the sets of
/// docs/retrieval.md, in dense and in hybrid rankings.
const MARGIN: f32 = 0.2;
/// The weight of the similarity to the query in [`Strategy::DIVERSE`].
const LAMBDA: f32 = 0.8;

/// Which k references are read of those that a search finds.
///
/// As text: `top-k`, `similarity`, `similarity:0.1`, `diverse`, `diverse:0.7`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Strategy(Kind);

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Kind {
    #[default]
    TopK,
    Similarity(f32),
    Diverse(f32),
}

impl Strategy {
    /// The k most similar to the query.
    pub const TOP_K: Self = Self(Kind::TopK);
    /// Of the k most similar, those whose similarity is at most 0.2 below that of the best. `similarity:X` names another number, 0 or more.
    pub const SIMILARITY: Self = Self(Kind::Similarity(MARGIN));
    /// k that are similar to the query and unlike each other: maximal marginal relevance with lambda = 0.8 ([`Diverse`]). `diverse:X` names
    /// another lambda, 0 to 1.
    pub const DIVERSE: Self = Self(Kind::Diverse(LAMBDA));
    /// All of them, with their default numbers.
    pub const ALL: [Self; 3] = [Self::TOP_K, Self::SIMILARITY, Self::DIVERSE];

    /// How far below the best hit a hit may be.
    pub fn margin(self) -> Margin {
        match self.0 {
            Kind::Similarity(margin) => Margin::new(Some(margin)),
            Kind::TopK | Kind::Diverse(_) => Margin::ALL,
        }
    }

    /// The reranker, if the strategy changes the order.
    pub fn reranker<C>(self, compare: C) -> Option<Diverse<C>> {
        match self.0 {
            Kind::Diverse(lambda) => Some(Diverse::new(lambda, compare)),
            Kind::TopK | Kind::Similarity(_) => None,
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::TopK => f.write_str("top-k"),
            Kind::Similarity(margin) => write!(f, "similarity:{margin}"),
            Kind::Diverse(lambda) => write!(f, "diverse:{lambda}"),
        }
    }
}

/// A word that names no [`Strategy`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownStrategy {
    /// The word.
    pub found: String,
}

impl fmt::Display for UnknownStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = &self.found;
        write!(
            f,
            "unknown strategy `{found}`; expected top-k, similarity or similarity:MARGIN (0 or more, for example similarity:{MARGIN}), diverse or \
             diverse:LAMBDA (0 to 1, for example diverse:{LAMBDA})"
        )
    }
}

impl std::error::Error for UnknownStrategy {}

impl FromStr for Strategy {
    type Err = UnknownStrategy;

    fn from_str(word: &str) -> Result<Self, UnknownStrategy> {
        let (name, number) = word.split_once(':').map_or((word, None), |(name, number)| (name, Some(number)));
        let number = number.map(|number| number.parse::<f32>().unwrap_or(f32::NAN));
        match (name, number) {
            ("top-k", None) => Ok(Self::TOP_K),
            ("similarity", None) => Ok(Self::SIMILARITY),
            ("similarity", Some(margin)) if margin.is_finite() && margin >= 0.0 => Ok(Self(Kind::Similarity(margin))),
            ("diverse", None) => Ok(Self::DIVERSE),
            ("diverse", Some(lambda)) if (0.0..=1.0).contains(&lambda) => Ok(Self(Kind::Diverse(lambda))),
            _ => Err(UnknownStrategy { found: word.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn names() {
        let read = |word: &str| word.parse::<Strategy>().map(|strategy| strategy.to_string());
        for (word, name) in [
            ("top-k", "top-k"),
            ("similarity", "similarity:0.2"),
            ("similarity:0", "similarity:0"),
            ("similarity:1.5", "similarity:1.5"),
            ("diverse", "diverse:0.8"),
            ("diverse:0.25", "diverse:0.25"),
            ("diverse:1", "diverse:1"),
        ] {
            assert_eq!(read(word), Ok(name.to_owned()));
        }
        let wrong = [
            "",
            "topk",
            "Top-K",
            "top-k:1",
            "similarity:",
            "similarity:-0.1",
            "similarity:nan",
            "similarity:inf",
            "diverse:1.1",
            "diverse:-1",
        ];
        for word in wrong.into_iter().chain(["diverse:x", "diverse:0.5:0.5", "mmr", " diverse"]) {
            let error = word.parse::<Strategy>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{word}`")) && error.contains("similarity:0.2"), "{error}");
        }
        assert_eq!(Strategy::default(), Strategy::TOP_K);
    }

    proptest! {
        #[test]
        fn a_name_is_read_as_what_it_names(word in "(top-k|similarity|diverse)?(:[0-9.e-]{0,6})?") {
            if let Ok(strategy) = word.parse::<Strategy>() {
                prop_assert_eq!(strategy.to_string().parse(), Ok(strategy));
            }
        }
    }
}
