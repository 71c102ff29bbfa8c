//! The references that a report shows, read from the pack.

use std::collections::BTreeMap;

use mempack_numeric::Rng;
use mempack_runtime::{EXACT_UP_TO, Hit, MappedPack, MemoryCache, Method, OnDamage, ResolvedHit};

use crate::ReportError;
use crate::heat::Kept;
use crate::token_text::{Divide, TokenText};

/// The references that a report shows.
pub(crate) struct Sample {
    /// The sample itself, by number.
    pub(crate) references: Vec<Shown>,
    /// References near those of the sample that are not of it, by number.
    pub(crate) others: Vec<ResolvedHit>,
    /// Whether the nearest references are surely the nearest.
    pub(crate) exact: bool,
}

/// A reference of the sample.
pub(crate) struct Shown {
    /// Where it comes from, and its text.
    pub(crate) found: ResolvedHit,
    /// Which of its tokens are kept.
    pub(crate) kept: Kept,
    /// Its text by tokens; `None` without a tokenizer.
    pub(crate) text: Option<TokenText>,
    /// The references nearest to it, the nearest first.
    pub(crate) near: Vec<Hit>,
}

impl Sample {
    /// Reads `references` references, each with its `neighbours` nearest ones.
    pub(crate) fn read(
        pack: &MappedPack,
        references: usize,
        neighbours: usize,
        seed: u64,
        tokens: Option<&dyn Divide>,
    ) -> Result<Self, ReportError> {
        let cache = MemoryCache::new(0);
        let numbers = spread(pack.manifest().counts.references, references, seed);
        let shown: Vec<Shown> = numbers.iter().map(|number| read(pack, &cache, *number, neighbours, tokens)).collect::<Result<_, _>>()?;
        let near = shown.iter().flat_map(|reference| &reference.near).map(|hit| (hit.reference, *hit));
        let others: BTreeMap<u32, Hit> = near.filter(|(number, _)| numbers.binary_search(number).is_err()).collect();
        let others = others.values().map(|hit| pack.describe(hit).map_err(|source| ReportError::read(pack, source)));
        let exact = pack.manifest().counts.references <= EXACT_UP_TO || pack.manifest().graph.is_none();
        Ok(Self { others: others.collect::<Result<_, _>>()?, references: shown, exact })
    }
}

fn read(pack: &MappedPack, cache: &MemoryCache, number: u32, neighbours: usize, tokens: Option<&dyn Divide>) -> Result<Shown, ReportError> {
    let damaged = |source| ReportError::read(pack, source);
    let found = pack.describe(&Hit { reference: number, similarity: 1.0 }).map_err(damaged)?;
    let count = usize::from(pack.reference(number).map_err(damaged)?.tokens);
    let kept = Kept::of(&*cache.get(pack, number)?, count);
    let text = tokens.map(|tokens| tokens.divide(number, &found.title, &found.text, count)).transpose()?;
    Ok(Shown { kept, text, near: nearest(pack, number, neighbours)?, found })
}

/// The `count` references nearest to one.
fn nearest(pack: &MappedPack, reference: u32, count: usize) -> Result<Vec<Hit>, ReportError> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let query: Vec<f32> = pack.embedding(reference).map_err(|source| ReportError::read(pack, source))?.iter().map(|x| x.get()).collect();
    // It finds itself too.
    let most = count.min(pack.manifest().counts.references as usize) + 1;
    let hits = pack.nearest(&query, most, Method::default(), OnDamage::Fail);
    let failed = |source| ReportError::Search { path: pack.path().to_owned(), reference, source: Box::new(source) };
    let mut hits = hits.map_err(failed)?;
    hits.retain(|hit| hit.reference != reference);
    hits.truncate(count);
    Ok(hits)
}

/// `count` of the numbers below `references`, or all if they are fewer, in ascending order: one of each of `count` runs of about the same length.
fn spread(references: u32, count: usize, seed: u64) -> Vec<u32> {
    let references = u64::from(references);
    let count = (count as u64).min(references);
    let mut rng = Rng::from_seed(seed);
    let begins = |run: u64| run * references / count;
    let one = |run| begins(run) + rng.below((begins(run + 1) - begins(run)) as usize) as u64;
    // Each is below `references`.
    (0..count).map(one).map(|number| number as u32).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_sample_is_spread_over_the_pack(references in any::<u32>(), count in 0usize..60, seed in any::<u64>()) {
            let numbers = spread(references, count, seed);
            prop_assert_eq!(numbers.len() as u64, u64::from(references).min(count as u64));
            prop_assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(numbers.iter().all(|number| *number < references));
            // No stretch of two runs is without one.
            let run = u64::from(references) / (count as u64).max(1) + 1;
            prop_assert!(numbers.windows(2).all(|pair| u64::from(pair[1] - pair[0]) < 2 * run));
        }
    }

    #[test]
    fn all_of_a_small_pack_are_shown_and_seeds_differ() {
        assert_eq!(spread(5, 20, 3), [0, 1, 2, 3, 4]);
        assert_eq!(spread(0, 20, 3), [0; 0]);
        assert_eq!(spread(1000, 20, 3), spread(1000, 20, 3));
        assert_ne!(spread(1000, 20, 3), spread(1000, 20, 4));
    }
}
