//! Where a text may be cut, and how good each place is.

use unicode_segmentation::UnicodeSegmentation;

use crate::composing::is_cjk;

/// How a place between two characters separates them, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// A blank line, or the text's end.
    Paragraph,
    /// The end of a sentence, or of a line that does not run on.
    Sentence,
    /// A comma, colon or semicolon, or a line that runs on.
    Clause,
    /// Between words.
    Word,
    /// Within a word.
    Character,
}

/// A place to cut: the bytes before `at` and those after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Break {
    pub at: usize,
    pub class: Class,
}

/// Words before a full stop that end no sentence, in lower case.
const ABBREVIATIONS: [&str; 28] = [
    "al", "approx", "art", "bzw", "ca", "cf", "dr", "e.g", "ed", "eds", "etc", "fig", "i.e", "inc", "jr", "mr", "mrs", "ms", "no", "nos",
    "nr", "p", "pp", "prof", "sec", "st", "v", "vs",
];

/// All places to cut `text`, ascending; the last one is its end. Where `long(start, end)` holds, there are places within: in a word
/// between characters, and in a word with the marks that cling to it, as in a row of stops, between those.
pub(super) fn find(text: &str, long: impl Fn(usize, usize) -> bool) -> Vec<Break> {
    // In Unicode (UAX 29) every line ends a sentence. `classify` judges lines one by one, so line ends become spaces here.
    let unbroken: String = text.chars().map(|c| if matches!(c, '\n' | '\r') { ' ' } else { c }).collect();
    let mut sentences = unbroken.split_sentence_bound_indices().map(|(at, _)| at).skip(1).peekable();
    let mut places = Places { text, long, breaks: Vec::new(), clinging: Vec::new() };
    for (at, word) in text.split_word_bound_indices() {
        if at > 0 {
            while sentences.next_if(|sentence| *sentence < at).is_some() {}
            match classify(text, at, sentences.peek() == Some(&at)) {
                Some(class) => places.put(Break { at, class }),
                None => places.clinging.push(at),
            }
        }
        if (places.long)(at, at + word.len()) {
            word.char_indices().skip(1).for_each(|(within, _)| places.put(Break { at: at + within, class: Class::Character }));
        }
    }
    places.put(Break { at: text.len(), class: Class::Paragraph });
    places.breaks
}

struct Places<'t, L> {
    text: &'t str,
    long: L,
    breaks: Vec<Break>,
    /// Places after the last break where one word clings to the next.
    clinging: Vec<usize>,
}

impl<L: Fn(usize, usize) -> bool> Places<'_, L> {
    fn put(&mut self, next: Break) {
        let start = self.breaks.last().map_or(0, |cut| cut.at);
        // White space at the end is not part of a passage.
        let end = start + self.text[start..next.at].trim_end().len();
        let clinging = self.clinging.drain(..).filter(|at| *at < end);
        if (self.long)(start, end) {
            self.breaks.extend(clinging.map(|at| Break { at, class: Class::Character }));
        }
        self.breaks.push(next);
    }
}

/// The class of the boundary between two words at `at`; `None` if it is not a place to cut.
fn classify(text: &str, at: usize, sentence: bool) -> Option<Class> {
    let (before, after) = text.split_at(at);
    let (last, next) = (before.chars().next_back()?, after.chars().next()?);
    if next.is_whitespace() {
        // A cut belongs after the white space.
        return None;
    }
    let word = before.trim_end();
    let Some(end) = word.chars().next_back() else { return Some(Class::Word) };
    if !last.is_whitespace() {
        return match end {
            '。' | '！' | '？' | '；' | '｡' | '…' if !closes(next) => Some(Class::Sentence),
            '，' | '、' | '：' if !closes(next) => Some(Class::Clause),
            _ if closes(next) || opens(end) => None,
            _ if sentence && !end.is_ascii() => Some(Class::Sentence),
            _ if is_cjk(end) || is_cjk(next) => Some(Class::Word),
            _ => Some(Class::Character),
        };
    }
    let lines = before[word.len()..].matches('\n').count();
    if lines > 1 {
        return Some(Class::Paragraph);
    }
    let runs_on = matches!(end, ',' | '，' | '、') || end.is_alphanumeric();
    if lines == 1 && (!runs_on || begins_item(after)) {
        return Some(Class::Sentence);
    }
    if sentence && !abbreviates(word) || matches!(end, '。' | '！' | '？' | '；') {
        return Some(Class::Sentence);
    }
    if lines == 1 || matches!(end, ',' | ';' | ':' | '，' | '、' | '：') {
        return Some(Class::Clause);
    }
    Some(Class::Word)
}

fn closes(c: char) -> bool {
    matches!(c, ')' | ']' | '}' | '"' | '\'' | '”' | '’' | '」' | '』' | '）' | '】' | '》' | '〉')
        || matches!(c, '.' | ',' | ';' | ':' | '!' | '?' | '%' | '。' | '，' | '、' | '；' | '：' | '！' | '？' | '…')
}

fn opens(c: char) -> bool {
    matches!(c, '(' | '[' | '{' | '“' | '‘' | '「' | '『' | '（' | '【' | '《' | '〈')
}

/// Whether a line begins a heading or an item of a list.
fn begins_item(line: &str) -> bool {
    let mark = line.split_whitespace().next().unwrap_or_default();
    match mark.chars().next() {
        Some('#' | '-' | '*' | '•' | '|' | '>' | '(' | '（') => true,
        Some(first) if first.is_numeric() => mark.ends_with(['.', ')', ':', '、', '）']),
        _ => false,
    }
}

/// Whether the full stop at the end belongs to an abbreviation or an initial.
fn abbreviates(before: &str) -> bool {
    let Some(stem) = before.strip_suffix('.') else { return false };
    let word = stem.rsplit(|c: char| c.is_whitespace() || c == '(').next().unwrap_or_default();
    let mut letters = word.chars();
    let initial = letters.next().is_some_and(char::is_uppercase) && letters.next().is_none();
    initial || ABBREVIATIONS.binary_search(&word.to_lowercase().as_str()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cuts(text: &str, worst: Class) -> Vec<&str> {
        let mut from = 0;
        let ends = find(text, |_, _| false).into_iter().filter(|cut| cut.class <= worst).map(|cut| cut.at);
        ends.map(|at| text[std::mem::replace(&mut from, at)..at].trim()).collect()
    }

    #[test]
    fn abbreviations_are_sorted() {
        assert!(ABBREVIATIONS.is_sorted());
    }

    #[test]
    fn sentences_end_where_a_reader_sees_it() {
        let text = "Dr. A. Smith gave 3.5 mg, e.g. daily. \"Is it safe?\" It is (see Fig. 2). Hard-wrapped\nline\n- item one\n- item two";
        assert_eq!(
            cuts(text, Class::Sentence),
            [
                "Dr. A. Smith gave 3.5 mg, e.g. daily.",
                "\"Is it safe?\"",
                "It is (see Fig. 2).",
                "Hard-wrapped\nline",
                "- item one",
                "- item two"
            ]
        );
        assert_eq!(cuts("One.\r\n\r\nTwo, three.\n \nFour", Class::Paragraph), ["One.", "Two, three.", "Four"]);
    }

    #[test]
    fn chinese_and_japanese_sentences_end_without_blanks() {
        let text = "第一条 为了保护公民，制定本法；国家负责。“你好！”他说。東京です？はい";
        assert_eq!(
            cuts(text, Class::Sentence),
            ["第一条 为了保护公民，制定本法；", "国家负责。", "“你好！”", "他说。", "東京です？", "はい"]
        );
        assert!(cuts(text, Class::Clause).contains(&"第一条 为了保护公民，"));
        assert!(cuts("保护公民", Class::Word).len() == 4);
    }

    #[test]
    fn marks_cling_to_words_unless_there_are_too_many() {
        let long = |start: usize, end: usize| end - start > 8;
        let at = |text| find(text, long).iter().map(|cut| (cut.at, cut.class)).collect::<Vec<_>>();
        use Class::{Character, Paragraph, Sentence};
        assert_eq!(at("Ab!?.   "), [(8, Paragraph)]);
        assert_eq!(at("“Ab!”     Cd"), [(3, Character), (5, Character), (6, Character), (14, Sentence), (16, Paragraph)]);
        assert_eq!(at(&"!".repeat(10)).len(), 10);
    }

    #[test]
    fn long_words_are_cut_anywhere() {
        let cuts = find("ab cdé", |start, end| end - start > 2);
        let at: Vec<(usize, Class)> = cuts.iter().map(|cut| (cut.at, cut.class)).collect();
        use Class::{Character, Paragraph, Word};
        assert_eq!(at, [(3, Word), (4, Character), (5, Character), (7, Paragraph)]);
    }
}
