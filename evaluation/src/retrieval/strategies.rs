//! What strategies choose: whether gold documents are among it, and how much of it is new.

use mempack_runtime::{Hit, OnDamage, PackReference, Strategy, cite};

use super::metrics::Ranks;
use super::report::StrategyReport;
use crate::EvaluateError;
use crate::bootstrap::interval;
use crate::metrics::{Words, novel_pairs};
use crate::tally::{mean, median};

/// What a strategy chose for a question.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ChosenReferences {
    strategy: Strategy,
    references: usize,
    ranks: Ranks,
    /// See [`novelty`].
    novel: Option<f64>,
    search_ms: f64,
}

impl ChosenReferences {
    pub fn new(strategy: Strategy, hits: &[Hit<PackReference>], ranks: Ranks, search_ms: f64) -> Result<Self, EvaluateError> {
        let text = |hit| cite(hit, OnDamage::Fail).map(|citation| Words::of(&citation.found.text));
        let texts = hits.iter().map(text).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { strategy, references: hits.len(), ranks, novel: novelty(&texts), search_ms })
    }
}

/// The mean, over the references after the first, of the share of a reference's different pairs of neighbouring words that no reference before
/// it has; `None` if there is none after the first.
fn novelty(texts: &[Words]) -> Option<f64> {
    let texts: Vec<&Words> = texts.iter().collect();
    let share = |place: usize| novel_pairs(texts.get(..place)?, texts.get(place..=place)?);
    mean(&(1..texts.len()).filter_map(share).collect::<Vec<_>>())
}

/// Results of one strategy in the ranking of `stage`; `None` without questions.
pub(super) fn strategy_report(stage: &'static str, chosen: &[&ChosenReferences]) -> Option<StrategyReport> {
    let values = |value: fn(&ChosenReferences) -> f64| chosen.iter().map(|chosen| value(chosen)).collect::<Vec<f64>>();
    Some(StrategyReport {
        stage,
        strategy: chosen.first()?.strategy.to_string(),
        recall_at_5: interval(&values(|chosen| chosen.ranks.recall(chosen.references)))?,
        novel_information: interval(&chosen.iter().filter_map(|chosen| chosen.novel).collect::<Vec<_>>()),
        references: mean(&values(|chosen| chosen.references as f64))?,
        search_ms: median(values(|chosen| chosen.search_ms))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_after_the_first_reference() {
        let novel = |texts: &[&str]| novelty(&texts.iter().map(|text| Words::of(text)).collect::<Vec<_>>());
        assert_eq!(novel(&[]), None);
        assert_eq!(novel(&["one two three"]), None);
        assert_eq!(novel(&["one two three", "One two three."]), Some(0.0));
        assert_eq!(novel(&["one two three", "four five"]), Some(1.0));
        // "two three" is known, "three four" is new; then both of the third are known, one from each of the others.
        assert_eq!(novel(&["one two three", "two three four", "one two three four"]), Some(0.25));
        assert_eq!(novel(&["one two", "word"]), None, "a text of one word has no pairs");
        assert_eq!(novel(&["承运人应当", "承运人通知"]), Some(0.5));
    }
}
