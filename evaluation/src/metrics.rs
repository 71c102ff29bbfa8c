//! Compares an answer with the accepted answers, and with the texts that it may have come from.
//!
//! The rules are those of the SQuAD evaluation (arXiv 1606.05250, section 6.1, and the script of version 2): convert to lower case, remove
//! ASCII punctuation, replace the words `a`, `an` and `the` by a space, and split at white space.

use std::collections::{HashMap, HashSet};

/// Normalised words of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Words(Vec<String>);

impl Words {
    /// The words of `text`, normalised.
    pub fn of(text: &str) -> Self {
        let lower = text.to_lowercase();
        let kept: String = lower.chars().filter(|c| !c.is_ascii_punctuation()).collect();
        // An article is a complete run of letters and digits, also in "a–b", whose dash is not ASCII punctuation.
        let mut without = String::with_capacity(kept.len());
        let mut rest = kept.as_str();
        while let Some(first) = rest.chars().next() {
            let wordy = first.is_alphanumeric();
            let end = rest.find(|c: char| c.is_alphanumeric() != wordy).unwrap_or(rest.len());
            let (run, behind) = rest.split_at(end);
            without.push_str(if matches!(run, "a" | "an" | "the") { " " } else { run });
            rest = behind;
        }
        Self(without.split_whitespace().map(str::to_owned).collect())
    }

    /// Number of words.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no words.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The words, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether `part` occurs in these words as a contiguous sequence. An empty `part` does not occur.
    pub fn contains(&self, part: &Self) -> bool {
        !part.is_empty() && self.0.windows(part.len()).any(|window| window == part.0)
    }

    /// The harmonic mean of precision and recall of the words. A repeated word counts as often as both sides have it. If a side is empty, 1
    /// if both are, else 0.
    pub fn f1(&self, other: &Self) -> f64 {
        if self.is_empty() || other.is_empty() {
            return f64::from(u8::from(self == other));
        }
        let mut left: HashMap<&str, usize> = HashMap::new();
        other.iter().for_each(|word| *left.entry(word).or_default() += 1);
        let common = self.iter().filter(|word| left.get_mut(word).is_some_and(|n| std::mem::replace(n, n.saturating_sub(1)) > 0)).count();
        // 2pr / (p + r) with p = common / self and r = common / other.
        2.0 * common as f64 / (self.len() + other.len()) as f64
    }
}

/// The score of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// 1 if the answer is one of the accepted ones, else 0.
    pub exact_match: f64,
    /// Word F1 with the nearest accepted answer, 0 to 1.
    pub f1: f64,
}

/// Answers that count as abstaining, like an empty answer.
const ABSTENTIONS: [&str; 9] = [
    "references do not tell",
    "no answer",
    "unanswerable",
    "not answerable",
    "not stated",
    "not known",
    "unknown",
    "i dont know",
    "i do not know",
];

/// Whether an answer abstains: it is empty, or one of a few phrases like "Unanswerable." and "I don't know.".
pub fn abstains(answer: &Words) -> bool {
    answer.is_empty() || ABSTENTIONS.iter().any(|phrase| answer.iter().eq(phrase.split(' ')))
}

/// Scores an answer against the accepted answers; the best score counts. If no answer is accepted, only an answer that
/// [abstains](abstains) is right.
pub fn score(answer: &Words, accepted: &[Words]) -> Score {
    if accepted.is_empty() {
        let right = f64::from(u8::from(abstains(answer)));
        return Score { exact_match: right, f1: right };
    }
    let best = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, f64::max);
    Score {
        exact_match: best(&mut accepted.iter().map(|a| f64::from(u8::from(a == answer)))),
        f1: best(&mut accepted.iter().map(|a| a.f1(answer))),
    }
}

/// The share of an answer's words that occur in none of the texts; `None` for an answer without words.
pub fn novel_share(answer: &Words, texts: &[&Words]) -> Option<f64> {
    if answer.is_empty() {
        return None;
    }
    let known: HashSet<&str> = texts.iter().flat_map(|text| text.iter()).collect();
    let novel = answer.iter().filter(|word| !known.contains(word)).count();
    Some(novel as f64 / answer.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(answer: &str, accepted: &[&str]) -> (f64, f64) {
        let accepted: Vec<Words> = accepted.iter().map(|a| Words::of(a)).collect();
        let Score { exact_match, f1 } = score(&Words::of(answer), &accepted);
        (exact_match, f1)
    }

    #[test]
    fn words_are_those_of_the_official_script() {
        let cases = [
            ("The Corn Exchange.", "corn exchange"),
            ("  A  cat,\tan owl\nand the hen ", "cat owl and hen"),
            // Punctuation is removed before articles, and leaves no space.
            ("a.b", "ab"),
            ("the-end", "theend"),
            ("Theatre another an", "theatre another"),
            ("A. B.", "b"),
            // A dash outside ASCII stays, and delimits words.
            ("a–b", "–b"),
            ("24–10", "24–10"),
            ("don't", "dont"),
            ("$5.00", "500"),
            ("L'Élysée", "lélysée"),
            ("the a an", ""),
            ("...", ""),
            ("", ""),
        ];
        for (text, expected) in cases {
            let words = Words::of(text);
            assert_eq!(words.iter().collect::<Vec<_>>().join(" "), expected, "{text:?}");
        }
    }

    #[test]
    fn scores_are_those_of_the_official_script() {
        // Computed with the functions of the published script for version 2.
        let cases: [(&str, &[&str], f64, f64); 12] = [
            ("the Corn Exchange", &["Corn exchange."], 1.0, 1.0),
            ("Corn", &["the Corn Exchange"], 0.0, 2.0 / 3.0),
            ("in the Corn Exchange at Marrowick", &["Corn Exchange"], 0.0, 4.0 / 7.0),
            // Repeated words count as often as both sides have them.
            ("yes yes yes", &["yes"], 0.0, 0.5),
            ("to be or not to be", &["to be to be"], 0.0, 0.8),
            ("be to", &["to be"], 0.0, 1.0),
            ("nineteen", &["19", "Nineteen"], 1.0, 1.0),
            ("19 members", &["nineteen", "19"], 0.0, 2.0 / 3.0),
            ("blue", &["red"], 0.0, 0.0),
            ("", &["red"], 0.0, 0.0),
            ("the", &["a"], 1.0, 1.0),
            ("red", &["the"], 0.0, 0.0),
        ];
        for (answer, accepted, exact, f1) in cases {
            let found = scored(answer, accepted);
            assert!(found.0 == exact && (found.1 - f1).abs() < 1e-12, "{answer:?} against {accepted:?}: {found:?}");
        }
    }

    #[test]
    fn where_there_is_no_answer_only_saying_so_is_right() {
        for right in ["", " . ", "Unanswerable.", "I don't know.", "Not stated"] {
            assert_eq!(scored(right, &[]), (1.0, 1.0), "{right:?}");
        }
        for wrong in ["red", "Unknown soldiers", "no"] {
            assert_eq!(scored(wrong, &[]), (0.0, 0.0), "{wrong:?}");
        }
        assert_eq!(scored("Unanswerable.", &["red"]), (0.0, 0.0));
    }

    #[test]
    fn a_part_stands_without_a_gap() {
        let text = Words::of("The dose is 40 mg, twice a day.");
        for part in ["40 mg", "Dose is 40 mg twice", "twice day"] {
            assert!(text.contains(&Words::of(part)), "{part}");
        }
        for part in ["40 twice", "mg 40", "4", "", "the", "the dose is 40 mg twice a day or so"] {
            assert!(!text.contains(&Words::of(part)), "{part}");
        }
    }

    #[test]
    fn novel_words_stand_in_no_text() {
        let texts = [Words::of("Take 40 mg."), Words::of("Keep it dry.")];
        let texts: Vec<&Words> = texts.iter().collect();
        assert_eq!(novel_share(&Words::of("Take it dry."), &texts), Some(0.0));
        assert_eq!(novel_share(&Words::of("Take it with milk"), &texts), Some(0.5));
        assert_eq!(novel_share(&Words::of("milk milk take"), &texts), Some(2.0 / 3.0));
        assert_eq!(novel_share(&Words::of("milk"), &[]), Some(1.0));
        assert_eq!(novel_share(&Words::of("the."), &texts), None);
    }
}
