//! Sentence boundaries in Chinese and in scripts that separate words by spaces.

/// A sentence, as a byte range of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sentence {
    pub start: usize,
    pub end: usize,
    pub chinese: bool,
}

/// The length in characters of a sentence that can be asked about: a shorter one says too little, a longer one makes too long a question.
const SPACED: std::ops::RangeInclusive<usize> = 40..=320;
const CHINESE: std::ops::RangeInclusive<usize> = 12..=140;

/// Words after which a full stop does not end the sentence.
const ABBREVIATIONS: [&str; 26] = [
    "Mr", "Mrs", "Ms", "Dr", "Prof", "St", "No", "Nos", "Art", "Sec", "Fig", "Inc", "Ltd", "Co", "Corp", "vs", "v", "cf", "e.g", "i.e",
    "etc", "al", "pp", "p", "approx", "ca",
];

/// The complete sentences whose length allows a question.
pub(super) fn sentences(text: &str) -> Vec<Sentence> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        let end = at + c.len_utf8();
        match c {
            '。' | '！' | '？' => push_if_askable(text, start, end, &mut found),
            '.' | '!' | '?' if next.is_none_or(char::is_whitespace) && !(c == '.' && abbreviated(&text[start..at])) => {
                push_if_askable(text, start, end, &mut found);
            }
            // A line without a full stop is a heading or a list item, not a sentence.
            '\n' => {}
            _ => continue,
        }
        start = end;
    }
    found
}

/// Whether a full stop after this text belongs to an abbreviation.
fn abbreviated(text: &str) -> bool {
    let word = text.rsplit(|c: char| c.is_whitespace() || c == '(').next().unwrap_or_default();
    // A single capital is an initial; a word with stops inside is one such as U.S.
    let initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase);
    initial || word.contains('.') && word.chars().all(|c| c == '.' || c.is_alphabetic()) || ABBREVIATIONS.contains(&word)
}

/// Adds the piece `start..end` of the text if it is a sentence that can be asked about.
fn push_if_askable(text: &str, start: usize, end: usize, found: &mut Vec<Sentence>) {
    let piece = &text[start..end];
    let start = end - piece.trim_start().len();
    let piece = &text[start..end];
    let (mut letters, mut chinese) = (0usize, 0usize);
    for c in piece.chars() {
        letters += 1;
        chinese += usize::from(is_chinese(c));
    }
    let chinese = chinese * 2 > letters;
    let fits = if chinese { CHINESE.contains(&letters) } else { SPACED.contains(&letters) };
    // A piece that begins in lower case is the rest of a sentence.
    if fits && (chinese || piece.starts_with(|c: char| c.is_uppercase() || c.is_numeric())) && balanced(piece) {
        found.push(Sentence { start, end, chinese });
    }
}

/// Whether quotes and brackets are balanced.
fn balanced(piece: &str) -> bool {
    let count = |c: char| piece.matches(c).count();
    [('(', ')'), ('（', '）'), ('“', '”'), ('《', '》'), ('[', ']')].iter().all(|(open, close)| count(*open) == count(*close))
        && count('"').is_multiple_of(2)
}

pub(super) fn is_chinese(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_end_where_they_end() {
        let text = "Heading without stop\nDr. Ames of the U.S. Navy wrote to J. Ames in 1901. Short. and the rest of something else entirely.\n\
                    申请人应当自收到决定书之日起三十日内提出。短句。";
        let found: Vec<_> = sentences(text).iter().map(|s| (&text[s.start..s.end], s.chinese)).collect();
        assert_eq!(
            found,
            [("Dr. Ames of the U.S. Navy wrote to J. Ames in 1901.", false), ("申请人应当自收到决定书之日起三十日内提出。", true)]
        );
    }
}
