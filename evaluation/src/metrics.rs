//! Compares an answer with the accepted answers, and with the texts that it may have come from.
//!
//! The rules are those of the SQuAD evaluation (arXiv 1606.05250, section 6.1, and the script of version 2): convert to lower case, remove
//! ASCII punctuation, replace the words `a`, `an` and `the` by a space, and split at white space. An accepted answer that holds a Chinese
//! character is compared by the rules of the CMRC 2018 evaluation instead (`segments.rs`): by character, and F1 by the longest
//! run that both answers have.

use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};

use crate::segments::{is_han, longest_common_run, segments};

/// Normalised words of a text; the characters of a text that holds Chinese ones. Two texts are equal if these are.
#[derive(Clone, Debug, Default)]
pub struct Words {
    /// The words by the rule of SQuAD.
    words: Vec<String>,
    /// Characters and words by the rule of CMRC 2018.
    segments: Vec<String>,
    /// Whether the text holds a Chinese character, so that the second rule counts.
    han: bool,
}

impl PartialEq for Words {
    fn eq(&self, other: &Self) -> bool {
        self.han == other.han && self.own() == other.own()
    }
}

impl Eq for Words {}

impl Hash for Words {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.own().hash(state);
    }
}

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
        let words = without.split_whitespace().map(str::to_owned).collect();
        Self { words, segments: segments(text), han: text.contains(is_han) }
    }

    /// Whether the text holds a Chinese character, so that it is compared by character.
    pub fn by_character(&self) -> bool {
        self.han
    }

    fn own(&self) -> &[String] {
        self.by_rule(self.han)
    }

    /// The text by the rule for Chinese, or by that for other languages.
    fn by_rule(&self, han: bool) -> &[String] {
        if han { &self.segments } else { &self.words }
    }

    /// Number of words.
    pub fn len(&self) -> usize {
        self.own().len()
    }

    /// Whether there are no words.
    pub fn is_empty(&self) -> bool {
        self.own().is_empty()
    }

    /// The words, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.own().iter().map(String::as_str)
    }

    /// Whether `part` occurs in these words as a contiguous sequence; by character, if one of the two is Chinese. An empty `part` does not
    /// occur.
    pub fn contains(&self, part: &Self) -> bool {
        let han = self.han || part.han;
        let (whole, part) = (self.by_rule(han), part.by_rule(han));
        !part.is_empty() && whole.windows(part.len()).any(|window| window == part)
    }

    /// The harmonic mean of precision and recall of an answer with respect to this accepted answer, which decides on the rule. Of words, a
    /// repeated one counts as often as both sides have it, and if a side is empty, the result is 1 if both are, else 0. Of characters,
    /// the longest run counts that both have.
    pub fn f1(&self, answer: &Self) -> f64 {
        let (own, other) = (self.own(), answer.by_rule(self.han));
        if own.is_empty() || other.is_empty() {
            return f64::from(u8::from(own == other));
        }
        let common = if self.han { longest_common_run(own, other) } else { common_words(own, other) };
        // 2pr / (p + r) with p = common / other and r = common / own.
        2.0 * common as f64 / (own.len() + other.len()) as f64
    }
}

/// Number of words that both texts have, each as often as both have it.
fn common_words(own: &[String], other: &[String]) -> usize {
    let mut left: HashMap<&String, usize> = HashMap::new();
    other.iter().for_each(|word| *left.entry(word).or_default() += 1);
    own.iter().filter(|word| left.get_mut(word).is_some_and(|n| std::mem::replace(n, n.saturating_sub(1)) > 0)).count()
}

/// The score of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// 1 if the answer is one of the accepted ones, else 0.
    pub exact_match: f64,
    /// F1 of words, or of characters, with the nearest accepted answer, 0 to 1.
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

/// The same in Chinese.
const CHINESE_ABSTENTIONS: [&str; 6] = ["不知道", "没有答案", "无答案", "无法回答", "未说明", "参考资料未说明"];

/// Whether an answer abstains: it is empty, or one of a few phrases like "Unanswerable.", "I don't know." and "不知道。".
pub fn abstains(answer: &Words) -> bool {
    let known = if answer.han {
        CHINESE_ABSTENTIONS.contains(&answer.segments.concat().as_str())
    } else {
        ABSTENTIONS.iter().any(|phrase| answer.iter().eq(phrase.split(' ')))
    };
    answer.is_empty() || known
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

/// The share of an answer's words that occur in none of the texts; of its characters, if it or a text is Chinese. `None` for an answer
/// without words.
pub fn novel_share(answer: &Words, texts: &[&Words]) -> Option<f64> {
    if answer.is_empty() {
        return None;
    }
    let han = answer.han || texts.iter().any(|text| text.han);
    let known: HashSet<&String> = texts.iter().flat_map(|text| text.by_rule(han)).collect();
    let words = answer.by_rule(han);
    Some(words.iter().filter(|word| !known.contains(word)).count() as f64 / words.len().max(1) as f64)
}

/// Whether a text holds the words of an answer: all of them, in any order; of a Chinese answer, whose characters stand in most texts, the
/// whole in one place. False for an answer without words.
pub(crate) fn holds_words(text: &Words, answer: &Words) -> bool {
    if answer.han {
        return text.contains(answer);
    }
    let (known, words): (HashSet<&String>, _) = (text.by_rule(text.han).iter().collect(), answer.by_rule(text.han));
    !words.is_empty() && words.iter().all(|word| known.contains(word))
}

/// The share of the different pairs of neighbouring words (of characters, if a text is Chinese) in `texts` that none of the `known` texts has;
/// `None` if there is no pair.
pub(crate) fn novel_pairs(known: &[&Words], texts: &[&Words]) -> Option<f64> {
    let han = known.iter().chain(texts).any(|text| text.han);
    let (known, pairs) = (pairs(known, han), pairs(texts, han));
    (!pairs.is_empty()).then(|| pairs.difference(&known).count() as f64 / pairs.len() as f64)
}

/// The different pairs of neighbours in texts.
fn pairs<'a>(texts: &[&'a Words], han: bool) -> HashSet<&'a [String]> {
    texts.iter().flat_map(|text| text.by_rule(han).windows(2)).collect()
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
    fn chinese_answers_are_scored_by_character() {
        // By hand: F1 is twice the longest common run over both lengths.
        let cases: [(&str, &[&str], f64, f64); 15] = [
            ("三十日。", &["三十日"], 1.0, 1.0),
            ("三十日内", &["三十日"], 0.0, 6.0 / 7.0),
            ("在三十日内", &["三十日"], 0.0, 0.75),
            // Marks are removed wherever they stand.
            ("《渔业法》", &["渔业法"], 1.0, 1.0),
            // A run and not a bag: the longest common run of 日十三 and 三十日 is one character.
            ("日十三", &["三十日"], 0.0, 1.0 / 3.0),
            ("二十日", &["三十日"], 0.0, 2.0 / 3.0),
            ("30日", &["三十日", "30日"], 1.0, 1.0),
            // Words of other scripts are whole: `mg` against `g` has no letter in common.
            ("每次40 mg", &["每次40mg"], 0.0, 4.0 / 7.0),
            ("3.5%以上", &["3.5％以上"], 0.0, 4.0 / 7.0),
            ("35%以上", &["3.5%以上"], 0.0, 0.75),
            ("", &["三十日"], 0.0, 0.0),
            ("thirty days", &["三十日"], 0.0, 0.0),
            // The accepted answer decides: this one is English.
            ("答案是 40 mg", &["40 mg"], 0.0, 0.8),
            ("Rh 血型", &["RH血型"], 1.0, 1.0),
            ("青螺港、白鹭埠和沙屿", &["白鹭埠"], 0.0, 6.0 / 12.0),
        ];
        for (answer, accepted, exact, f1) in cases {
            let found = scored(answer, accepted);
            assert!(found.0 == exact && (found.1 - f1).abs() < 1e-12, "{answer:?} against {accepted:?}: {found:?}");
        }
    }

    #[test]
    fn characters_score_as_in_a_slow_script() {
        let rows: Vec<Vec<&str>> = include_str!("character_scores.tsv")
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split('\t').collect())
            .collect();
        assert_eq!(rows.len(), 80);
        for row in rows {
            let [answer, accepted, exact, f1] = row.as_slice() else { panic!("{row:?}") };
            let found = scored(answer, &[accepted]);
            let expected: (f64, f64) = (exact.parse().unwrap(), f1.parse().unwrap());
            assert!(
                found.0 == expected.0 && (found.1 - expected.1).abs() < 1e-9,
                "{answer} against {accepted}: {found:?}, not {expected:?}"
            );
        }
    }

    #[test]
    fn chinese_answers_stand_in_chinese_texts() {
        let text = Words::of("第三条 水深不足二尺五寸的河段，应当服用 Nutepril，每次3.5 mg。");
        for part in ["二尺五寸", "不足二尺五寸的河段", "Nutepril", "3.5 mg", "每次3.5 mg", "第三条水深"] {
            assert!(text.contains(&Words::of(part)), "{part}");
        }
        for part in ["五寸二尺", "三尺五寸", "mg 3.5", "nutepri", "每次35 mg", "。"] {
            assert!(!text.contains(&Words::of(part)), "{part}");
        }
        let texts = [&text];
        assert_eq!(novel_share(&Words::of("二尺六寸"), &texts), Some(0.25));
        assert_eq!(novel_share(&Words::of("3.5 mg daily"), &texts), Some(1.0 / 3.0));
    }

    #[test]
    fn where_there_is_no_answer_only_saying_so_is_right() {
        for right in ["", " . ", "Unanswerable.", "I don't know.", "Not stated"] {
            assert_eq!(scored(right, &[]), (1.0, 1.0), "{right:?}");
        }
        for right in ["不知道。", "参考资料未说明"] {
            assert_eq!(scored(right, &[]), (1.0, 1.0), "{right:?}");
        }
        for wrong in ["red", "Unknown soldiers", "no", "不知道三十日"] {
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
    fn words_of_an_answer_stand_in_one_text() {
        let text = Words::of("The second arch, and then the third, form the hyoid bone.");
        for held in ["The second and third", "hyoid bone.", "third arch"] {
            assert!(holds_words(&text, &Words::of(held)), "{held}");
        }
        for missing in ["The second and third arches", "", "...", "first arch"] {
            assert!(!holds_words(&text, &Words::of(missing)), "{missing}");
        }
        let text = Words::of("罚款三十贯，期限十日；每次40 mg。");
        assert!(holds_words(&text, &Words::of("三十贯")) && holds_words(&text, &Words::of("40 mg")));
        assert!(!holds_words(&text, &Words::of("十三贯")), "characters in another order are another answer");
    }

    #[test]
    fn pairs_that_the_question_has_are_not_novel() {
        let question = Words::of("What is the usual dose of Nutepril?");
        let [one, two] = ["The usual dose is 40 mg.", "Usual dose: 40 mg"].map(Words::of);
        // (usual dose) is known; (dose is), (is 40), (40 mg) and (dose 40) are not.
        assert_eq!(novel_pairs(&[&question], &[&one]), Some(0.75));
        assert_eq!(novel_pairs(&[&question], &[&one, &two]), Some(0.8));
        assert_eq!((novel_pairs(&[&question], &[]), novel_pairs(&[&question], &[&Words::of("word")])), (None, None));
        assert_eq!(novel_pairs(&[&Words::of("罚款几贯")], &[&Words::of("罚款三贯")]), Some(2.0 / 3.0));
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
