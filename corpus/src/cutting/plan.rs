//! The best way to cut a text into passages within a budget of tokens.

use super::breaks::{Break, Class};

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
        Class::Character => 40_000_000,
    }
}

/// The ends of the passages with the lowest total cost, as indices into `breaks`, found by dynamic programming over all places to cut.
///
/// `tokens[i]` counts the tokens before `breaks[i].at`, and `first` those before the text to cut. Each passage keeps to `budget`
/// unless it has no place to cut. Time: the number of places times the number that one passage can span.
pub(super) fn plan(breaks: &[Break], tokens: &[usize], first: usize, budget: usize) -> Vec<usize> {
    let budget = budget.max(1);
    // best[j]: cost of the text before place j, where place 0 is its beginning, and the place where its last passage begins.
    let mut best: Vec<(u64, usize)> = vec![(0, 0); breaks.len() + 1];
    let before = |place: usize| if place == 0 { first } else { tokens[place - 1] };
    for end in 1..=breaks.len() {
        let mut found = (u64::MAX, end - 1);
        for start in (0..end).rev() {
            let count = before(end).saturating_sub(before(start));
            if count > budget && start + 1 < end {
                break;
            }
            let cost = best[start].0 + passage_cost(count, budget);
            if cost < found.0 {
                found = (cost, start);
            }
        }
        best[end] = (found.0 + cut_cost(breaks[end - 1].class), found.1);
    }
    let mut ends = Vec::new();
    let mut place = breaks.len();
    while place > 0 {
        ends.push(place - 1);
        place = best[place].1;
    }
    ends.reverse();
    ends
}

fn passage_cost(count: usize, budget: usize) -> u64 {
    let (count, budget) = (count as u64, budget as u64);
    let missing = budget.saturating_sub(count);
    let tiny = if count * 8 < budget { TINY } else { 0 };
    PASSAGE + tiny + UNFILLED * missing * missing / (budget * budget) + EXCESS * count.saturating_sub(budget)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths of the passages of a text of words, a token each, whose sentences have these lengths.
    fn passages(sentences: &[usize], budget: usize) -> Vec<usize> {
        let (mut breaks, mut tokens) = (Vec::new(), Vec::new());
        for length in sentences {
            for word in 1..=*length {
                tokens.push(tokens.len() + 1);
                let class = if word == *length { Class::Sentence } else { Class::Word };
                breaks.push(Break { at: tokens.len(), class });
            }
        }
        let mut from = 0;
        plan(&breaks, &tokens, 0, budget).into_iter().map(|end| tokens[end] - std::mem::replace(&mut from, tokens[end])).collect()
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
