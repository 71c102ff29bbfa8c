//! Where sentences begin and end, in English and other spaced scripts, and in Chinese.

/// A sentence of a text, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sentence {
    pub start: usize,
    pub end: usize,
    pub chinese: bool,
}

/// Characters of a sentence that can be asked about: a shorter one says too little, a longer one is a question too long.
const SPACED: std::ops::RangeInclusive<usize> = 40..=320;
const CHINESE: std::ops::RangeInclusive<usize> = 12..=140;

/// Words with a stop behind them that ends no sentence.
const ABBREVIATIONS: [&str; 26] = [
    "Mr", "Mrs", "Ms", "Dr", "Prof", "St", "No", "Nos", "Art", "Sec", "Fig", "Inc", "Ltd", "Co", "Corp", "vs", "v", "cf", "e.g", "i.e",
    "etc", "al", "pp", "p", "approx", "ca",
];

/// Every whole sentence of a length that can be asked about.
pub(super) fn sentences(text: &str) -> Vec<Sentence> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        let end = at + c.len_utf8();
        match c {
            '。' | '！' | '？' => keep(text, start, end, &mut found),
            '.' | '!' | '?' if next.is_none_or(char::is_whitespace) && !(c == '.' && abbreviated(&text[start..at])) => {
                keep(text, start, end, &mut found);
            }
            // What a line break ends without a stop is a heading or an item of a list; what hangs on is no whole sentence.
            '\n' => {}
            _ => continue,
        }
        start = end;
    }
    found
}

/// Whether the stop behind this text belongs to its last word.
fn abbreviated(text: &str) -> bool {
    let word = text.rsplit(|c: char| c.is_whitespace() || c == '(').next().unwrap_or_default();
    // A single capital is the initial of a name; with stops within, it is something like U.S.
    let initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase);
    initial || word.contains('.') && word.chars().all(|c| c == '.' || c.is_alphabetic()) || ABBREVIATIONS.contains(&word)
}

fn keep(text: &str, start: usize, end: usize, found: &mut Vec<Sentence>) {
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
    // A sentence that begins in small letters is the rest of another.
    if fits && (chinese || piece.starts_with(|c: char| c.is_uppercase() || c.is_numeric())) && closed(piece) {
        found.push(Sentence { start, end, chinese });
    }
}

/// Whether quotes and brackets that open also close.
fn closed(piece: &str) -> bool {
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
