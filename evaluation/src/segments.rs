//! Texts of a script without spaces, cut into characters and words.
//!
//! The rule is that of the evaluation of CMRC 2018 (arXiv 1810.07366, section 4; `cmrc2018_evaluate.py`, mixed segmentation): lower case,
//! without punctuation marks, each Chinese character alone, and what stands between them cut into words. Three things differ. Characters
//! outside U+4E00 to U+9FA5 that are Chinese too (`〇`, rare ones) count as such. `…` and `‘` are removed beside `……` and `’`, which the
//! script names. Words are found by a simpler rule than NLTK's: they end at white space, and ASCII punctuation stands alone unless it is a
//! point or comma between digits.

/// The punctuation marks that the script removes. A number's point and percent sign stay, so `3.5%` is not `35`.
const REMOVED: &str = "-:_*^/\\~`+=，。：？！“”；’‘《》…·、「」（）－～『』";

/// Whether a character is Chinese: an ideograph, or the zero `〇`.
pub(crate) fn is_han(c: char) -> bool {
    matches!(c, '\u{3005}' | '\u{3007}' | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}')
        || matches!(c, '\u{20000}'..='\u{3FFFF}')
}

/// The segments of a text: Chinese characters, words of other scripts, and ASCII marks that are not removed.
pub(crate) fn segments(text: &str) -> Vec<String> {
    let kept: Vec<char> = text.to_lowercase().chars().filter(|c| !REMOVED.contains(*c)).collect();
    let mut all = Vec::new();
    let mut word = String::new();
    for (at, &c) in kept.iter().enumerate() {
        let digit = |place: Option<usize>| place.and_then(|place| kept.get(place)).is_some_and(char::is_ascii_digit);
        let in_number = matches!(c, '.' | ',') && digit(at.checked_sub(1)) && digit(Some(at + 1));
        let alone = is_han(c) || c.is_ascii_punctuation() && !in_number;
        if alone || c.is_whitespace() {
            all.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()));
        }
        match c {
            _ if alone => all.push(c.to_string()),
            _ if c.is_whitespace() => {}
            _ => word.push(c),
        }
    }
    all.extend(Some(word).filter(|word| !word.is_empty()));
    all
}

/// Length of the longest run of segments that both texts have.
pub(crate) fn longest_common_run(left: &[String], right: &[String]) -> usize {
    let mut longest = 0;
    // Lengths of the common runs that end at the segment before, for each place on the right.
    let mut ending = vec![0; right.len() + 1];
    for segment in left {
        let mut next = vec![0; right.len() + 1];
        for (place, other) in right.iter().enumerate() {
            if segment == other {
                next[place + 1] = ending[place] + 1;
                longest = longest.max(next[place + 1]);
            }
        }
        ending = next;
    }
    longest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn characters_stand_alone_and_words_whole() {
        let cases = [
            ("三十日内。", "三 十 日 内"),
            ("《渔业法》第十条", "渔 业 法 第 十 条"),
            ("服用 Nutepril 40mg，每日两次", "服 用 nutepril 40mg 每 日 两 次"),
            ("含量3.5%以上", "含 量 3.5 % 以 上"),
            ("1,000元、2.", "1,000 元 2 ."),
            // A mark that is removed joins what stood around it, as in the script.
            ("A-B型", "ab 型"),
            ("二〇二三年……", "二 〇 二 三 年"),
            ("‘甲’", "甲"),
            ("５０元", "５０ 元"),
            ("  ", ""),
            ("(甲)", "( 甲 )"),
        ];
        for (text, expected) in cases {
            assert_eq!(segments(text).join(" "), expected, "{text}");
        }
    }

    proptest! {
        /// Against all pairs of runs.
        #[test]
        fn the_longest_common_run_is_found(left in "[甲乙a ]{0,12}", right in "[甲乙a ]{0,12}") {
            let (left, right) = (segments(&left), segments(&right));
            let runs = |all: &[String]| -> Vec<Vec<String>> {
                (0..all.len()).flat_map(|from| (from + 1..=all.len()).map(move |to| (from, to))).map(|(a, b)| all[a..b].to_vec()).collect()
            };
            let others = runs(&right);
            let slow = runs(&left).into_iter().filter(|run| others.contains(run)).map(|run| run.len()).max().unwrap_or_default();
            prop_assert_eq!(longest_common_run(&left, &right), slow);
        }

        #[test]
        fn segments_hold_the_text_without_marks(text in "\\PC{0,40}") {
            let kept = |c: &char| !REMOVED.contains(*c) && !c.is_whitespace();
            let expected: String = text.to_lowercase().chars().filter(kept).collect();
            let all = segments(&text);
            prop_assert_eq!(all.concat(), expected);
            prop_assert!(all.iter().all(|segment| segment.chars().count() == 1 || !segment.chars().any(is_han)));
        }
    }
}
