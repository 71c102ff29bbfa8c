//! From a text to its terms.

use std::sync::LazyLock;

use snowball_stemmers_rs::{Algorithm, Stemmer};
use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

use crate::stop_words::is_stop_word;

/// The number of this analysis. Packs state it, because a query must be analysed as the texts were; it changes when terms do.
pub const ANALYSIS: u32 = 1;

/// Longer words are cut at this many bytes: they are data, such as base64, and no one searches for their ends.
const MAX_TERM_BYTES: usize = 64;

static STEMMER: LazyLock<Stemmer> = LazyLock::new(|| Stemmer::create(Algorithm::English));

/// The terms of a text, in order and with repetitions.
///
/// The text is brought into Unicode's compatible composed form (NFKC, UAX 15) and lower case, and divided into words (UAX 29), so that
/// `158.210` and `J45.909` are one word each, and `COVID-19` is two. English stop words are left out. Words of ASCII letters are
/// reduced to their stems (Snowball's English stemmer). Chinese and Japanese have no blanks between words: of each run of Han,
/// Hiragana or Katakana characters every two neighbours are a term, and a character that stands alone is one.
pub fn terms(text: &str) -> Vec<String> {
    let text: String = text.nfkc().flat_map(char::to_lowercase).collect();
    let mut terms = Vec::new();
    // The characters of a run without blanks, and where it ends.
    let mut run: Vec<char> = Vec::new();
    let mut end = 0;
    for (start, word) in text.unicode_word_indices() {
        let unspaced = word.chars().all(is_unspaced);
        if start != end || !unspaced {
            flush(&mut run, &mut terms);
        }
        end = start + word.len();
        if unspaced {
            run.extend(word.chars());
        } else if !is_stop_word(word) {
            terms.push(term(word));
        }
    }
    flush(&mut run, &mut terms);
    terms
}

/// The term of a word in lower case.
fn term(word: &str) -> String {
    // "court's" is about courts.
    let word = word.strip_suffix("'s").or(word.strip_suffix("\u{2019}s")).unwrap_or(word);
    let word = &word[..word.floor_char_boundary(MAX_TERM_BYTES)];
    if word.bytes().all(|byte| byte.is_ascii_lowercase()) { STEMMER.stem(word).into_owned() } else { word.to_owned() }
}

/// The pairs of neighbours of a run, or its only character.
fn flush(run: &mut Vec<char>, terms: &mut Vec<String>) {
    match run.as_slice() {
        [one] => terms.push(one.to_string()),
        all => terms.extend(all.windows(2).map(|pair| pair.iter().collect::<String>())),
    }
    run.clear();
}

/// Whether a character belongs to a script that is written without blanks between words.
fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{3040}'..='\u{30ff}' // Hiragana, Katakana
        | '\u{3005}'..='\u{3007}' // repetition and zero, as in 二〇二一
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' // Han
        | '\u{20000}'..='\u{323af}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_become_terms() {
        for (text, expected) in [
            ("", &[][..]),
            (" \t\n.,;!?()", &[]),
            ("The committee's members are meeting.", &["committe", "member", "meet"]),
            ("The court\u{2019}s rules", &["court", "rule"]),
            ("§ 12(3) of 45 CFR 158.210", &["12", "3", "45", "cfr", "158.210"]),
            ("J45.909, COVID-19 and H2O2", &["j45.909", "covid", "19", "h2o2"]),
            ("第十二条 本法所称", &["第十", "十二", "二条", "本法", "法所", "所称"]),
            ("１２條、法", &["12", "條", "法"]),
            ("二〇二一年", &["二〇", "〇二", "二一", "一年"]),
            ("Art. 5法律", &["art", "5", "法律"]),
            ("カタカナ", &["カタ", "タカ", "カナ"]),
            ("ﬁnal CAFÉ Straße", &["final", "café", "straße"]),
            ("to be or not", &["not"]),
        ] {
            assert_eq!(terms(text), expected, "{text:?}");
        }
        assert_eq!(terms(&"x".repeat(1000)), ["x".repeat(64)]);
        assert_eq!(terms(&"é".repeat(1000)), ["é".repeat(32)]);
    }

    #[test]
    fn a_form_of_a_word_finds_the_others() {
        for (one, other) in [("prescribe", "prescribed"), ("liability", "liabilities"), ("Ｆｅｖｅｒ", "fevers"), ("Ⅳ", "IV")] {
            assert_eq!(terms(one), terms(other), "{one} {other}");
        }
    }

    proptest! {
        #[test]
        fn any_text_has_short_terms_that_are_their_own(text in "\\PC{0,200}") {
            let all = terms(&text);
            for term in &all {
                prop_assert!(!term.is_empty() && term.len() <= MAX_TERM_BYTES, "{term:?}");
            }
            prop_assert_eq!(terms(&text), all);
        }
    }
}
