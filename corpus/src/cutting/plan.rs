//! The best way to cut a text into passages within a budget of tokens.

use super::breaks::Class;
use crate::structure::Bond;

/// Cost of one more passage. A cut within a sentence costs more than a passage, so a sentence is cut only if it is too long.
const PASSAGE: u64 = 1_000_000;
/// Cost of a passage of few words.
const TINY: u64 = 1_000_000;
/// Cost of a passage that uses nothing of the budget. It grows with the square of what is unused, so that neighbours come out alike.
const UNFILLED: u64 = 300_000;
/// Cost of each token above the budget, in text that cannot be cut.
const EXCESS: u64 = 1_000_000_000;

fn cut_cost(class: Class) -> u64 {
    match class {
        Class::Paragraph => 0,
        Class::Sentence => 600_000,
        Class::Clause => 3_000_000,
        Class::Word => 4_000_000,
        // More than one more passage with a cut at a comma.
        Class::Ideograph => 8_000_000,
        Class::Character => 40_000_000,
        Class::Cluster => 400_000_000,
    }
}

/// What a cut costs beside its class, because it divides what belongs together. The header of a table parts from its rows, and a row from
/// itself, only if they are too long; an item and a heading rather part from what is below them than that a sentence is cut.
fn bond_cost(bond: Bond) -> u64 {
    match bond {
        Bond::None => 0,
        Bond::Item => 300_000,
        Bond::Lead => 2_000_000,
        Bond::Row => 8_000_000,
    }
}

/// A place to cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub class: Class,
    pub bond: Bond,
    /// Number of tokens before it.
    pub before: usize,
    /// Number of tokens that are read before a passage that begins here: the lines above it, and what it repeats.
    pub above: usize,
    /// Whether every passage ends here.
    pub ends: bool,
}

/// The ends of the passages with the lowest total cost, as indices into `places`, found by dynamic programming over all places to cut.
///
/// `first` is where the text to cut begins. Each passage keeps to `budget` with what is read before it, unless it has no place to cut.
/// Time: the number of places times the number that one passage can span.
pub(super) fn plan(places: &[Place], first: Place, budget: usize) -> Vec<usize> {
    let budget = budget.max(1);
    // best[j]: cost of the text before place j, where place 0 is its beginning, and the place where its last passage begins.
    let mut best: Vec<(u64, usize)> = vec![(0, 0); places.len() + 1];
    let place = |number: usize| if number == 0 { first } else { places[number - 1] };
    for end in 1..=places.len() {
        let Place { class, bond, before, .. } = places[end - 1];
        let mut found = (u64::MAX, end - 1);
        for start in (0..end).rev() {
            let from = place(start);
            if start + 1 < end && place(start + 1).ends {
                break;
            }
            let own = before.saturating_sub(from.before);
            if own > budget && start + 1 < end {
                break;
            }
            let cost = best[start].0 + passage_cost(own + from.above, own, budget);
            if cost < found.0 {
                found = (cost, start);
            }
        }
        best[end] = (found.0 + cut_cost(class) + bond_cost(bond), found.1);
    }
    let mut ends = Vec::new();
    let mut place = places.len();
    while place > 0 {
        ends.push(place - 1);
        place = best[place].1;
    }
    ends.reverse();
    ends
}

/// The cost of a passage of `count` tokens, of which `own` are its own text.
fn passage_cost(count: usize, own: usize, budget: usize) -> u64 {
    let (count, own, budget) = (count as u64, own as u64, budget as u64);
    let missing = budget.saturating_sub(count);
    let tiny = if own * 8 < budget { TINY } else { 0 };
    PASSAGE + tiny + UNFILLED * missing * missing / (budget * budget) + EXCESS * count.saturating_sub(budget)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths of the passages of a text of words, a token each, whose sentences have these lengths.
    fn passages(sentences: &[usize], budget: usize) -> Vec<usize> {
        let first = Place { class: Class::Paragraph, bond: Bond::None, before: 0, above: 0, ends: false };
        let mut places = Vec::new();
        for length in sentences {
            for word in 1..=*length {
                let class = if word == *length { Class::Sentence } else { Class::Word };
                places.push(Place { class, before: places.len() + 1, ..first });
            }
        }
        let mut from = 0;
        plan(&places, first, budget).into_iter().map(|end| places[end].before - std::mem::replace(&mut from, places[end].before)).collect()
    }

    #[test]
    fn what_is_read_before_a_passage_counts_in_its_budget() {
        let place = |before, above| Place { class: Class::Sentence, bond: Bond::None, before, above, ends: false };
        // Four rows of 20 tokens each: with a header of 30 tokens before it, a passage holds three of them in 100 tokens.
        let places = [place(20, 30), place(40, 30), place(60, 30), place(80, 30)];
        assert_eq!(plan(&places, place(0, 0), 100), [3]);
        assert_eq!(plan(&places, place(0, 30), 100).len(), 2);
    }

    #[test]
    fn what_stands_apart_is_a_passage() {
        let place = |before, ends| Place { class: Class::Paragraph, bond: Bond::None, before, above: 0, ends };
        let places = [place(20, false), place(30, true), place(34, true), place(60, false), place(70, false)];
        assert_eq!(plan(&places, place(0, false), 100), [1, 2, 4]);
    }

    #[test]
    fn sentences_stay_whole_and_passages_alike() {
        assert_eq!(passages(&[20; 8], 100), [80, 80]);
        assert_eq!(passages(&[50, 49, 3], 100), [50, 52]);
        assert_eq!(passages(&[90, 90, 90], 100), [90, 90, 90]);
        assert_eq!(passages(&[7], 100), [7]);
    }

    #[test]
    fn a_sentence_above_the_budget_is_cut_between_words() {
        let cut = passages(&[150], 100);
        assert_eq!(cut, [75, 75]);
        assert!(passages(&[30, 250, 30], 100).iter().all(|length| *length <= 100));
    }
}
