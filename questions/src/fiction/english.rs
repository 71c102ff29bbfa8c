//! English spelling: articles, capitals, numbers in words.

/// Marks the place of an `a` or `an`.
pub(crate) const ARTICLE: char = '\u{2}';

const SMALL: [&str; 20] = [
    "no",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 10] = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];

/// A number in words; in figures from 100 on.
pub(crate) fn in_words(n: usize) -> String {
    match (SMALL.get(n), TENS.get(n / 10)) {
        (Some(word), _) => (*word).to_owned(),
        (None, Some(tens)) if n.is_multiple_of(10) => (*tens).to_owned(),
        (None, Some(tens)) => format!("{tens}-{}", SMALL[n % 10]),
        (None, None) => n.to_string(),
    }
}

/// Replaces every [`ARTICLE`] by `a` or `an`, as the sound of the next word requires.
pub(crate) fn articles(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once(ARTICLE) {
        out.push_str(before);
        out.push_str(if begins_with_vowel(behind.trim_start()) { "an" } else { "a" });
        rest = behind;
    }
    out + rest
}

fn begins_with_vowel(text: &str) -> bool {
    let word: String = text.chars().take_while(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    if word.starts_with(|c: char| c.is_ascii_digit()) {
        return word.starts_with('8') || word == "11" || word == "18";
    }
    let silent = ["hour", "honest", "heir"];
    let spoken_otherwise = ["one", "once", "uni", "use", "usu", "eu"];
    silent.iter().any(|start| word.starts_with(start))
        || (word.starts_with(['a', 'e', 'i', 'o', 'u']) && !spoken_otherwise.iter().any(|start| word.starts_with(start)))
}

/// The text with its first letter in upper case.
pub(crate) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// The text with its first letter in lower case.
pub(crate) fn small(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// How often `part` occurs in `text` with no letter or digit next to it.
pub(crate) fn occurrences(text: &str, part: &str) -> usize {
    let joins = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    text.match_indices(part)
        .filter(|(at, _)| !joins(text[..*at].chars().next_back()) && !joins(text[at + part.len()..].chars().next()))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spelt() {
        assert_eq!([3, 14, 40, 57, 100].map(in_words), ["three", "fourteen", "forty", "fifty-seven", "100"]);
    }

    #[test]
    fn articles_follow_the_sound() {
        let cases = [
            ("\u{2} otter", "an otter"),
            ("\u{2} unit and \u{2} hour", "a unit and an hour"),
            ("\u{2} 8 and \u{2} 18 and \u{2} 80 and \u{2} 12", "an 8 and an 18 and an 80 and a 12"),
            ("\u{2} ivory fan, \u{2} Ulvik", "an ivory fan, an Ulvik"),
        ];
        for (text, expected) in cases {
            assert_eq!(articles(text), expected);
        }
    }

    #[test]
    fn words_are_counted_whole() {
        assert_eq!(occurrences("9 mg, 19 mg, 9 mg.", "9 mg"), 2);
        assert_eq!(occurrences("Ärm arm army", "arm"), 1);
    }
}
