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
    /// Between two characters of a script without spaces, perhaps within a word.
    Ideograph,
    /// Within a word, or between a number and what it counts.
    Character,
    /// Within what is read as one character, such as a letter with its accents.
    Cluster,
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
/// between characters, in a word with the marks that cling to it, as in a row of stops, between those, and in a character of many
/// code points between these.
///
/// Words, sentences and characters are those of Unicode (UAX 29). It treats each Chinese character as a word and finds no sentence at `；`;
/// `classify` adds what Chinese needs.
pub(super) fn find(text: &str, long: impl Fn(usize, usize) -> bool) -> Vec<Break> {
    // In Unicode (UAX 29) every line ends a sentence. `classify` judges lines one by one, so line ends become spaces here.
    let unbroken: String = text.chars().map(|c| if matches!(c, '\n' | '\r') { ' ' } else { c }).collect();
    let mut sentences = unbroken.split_sentence_bound_indices().map(|(at, _)| at).skip(1).peekable();
    let clusters = text.grapheme_indices(true).map(|(at, _)| at).chain([text.len()]).collect();
    let mut places = Places { text, long, clusters, breaks: Vec::new(), clinging: Vec::new() };
    let mut quoted = false;
    for (at, word) in text.split_word_bound_indices() {
        if at > 0 {
            while sentences.next_if(|sentence| *sentence < at).is_some() {}
            match classify(text, at, sentences.peek() == Some(&at), quoted) {
                Some(class) if places.is_whole(at) => places.put(Break { at, class }),
                _ => places.clinging.push(at),
            }
        }
        match word {
            "\"" => quoted = !quoted,
            _ if word.contains('\n') => quoted = false,
            _ => {}
        }
        if (places.long)(at, at + word.len()) {
            for cut in word.char_indices().skip(1).filter_map(|(inside, _)| places.within(at + inside)).collect::<Vec<_>>() {
                places.put(cut);
            }
        }
    }
    places.put(Break { at: text.len(), class: Class::Paragraph });
    places.breaks
}

struct Places<'t, L> {
    text: &'t str,
    long: L,
    /// Where characters begin, as they are read, and the text's end.
    clusters: Vec<usize>,
    breaks: Vec<Break>,
    /// Places after the last break where one word clings to the next.
    clinging: Vec<usize>,
}

impl<L: Fn(usize, usize) -> bool> Places<'_, L> {
    fn put(&mut self, next: Break) {
        let start = self.breaks.last().map_or(0, |cut| cut.at);
        // White space at the end is not part of a passage.
        let end = start + self.text[start..next.at].trim_end().len();
        let clinging = std::mem::take(&mut self.clinging);
        if (self.long)(start, end) {
            let within = clinging.into_iter().filter(|at| *at < end).filter_map(|at| self.within(at));
            self.breaks.extend(within.collect::<Vec<_>>());
        }
        self.breaks.push(next);
    }

    /// Whether a character begins at `at`.
    fn is_whole(&self, at: usize) -> bool {
        self.clusters.binary_search(&at).is_ok()
    }

    /// The place at `at`, within a word or a row of words that is long; none within a character that is not long.
    fn within(&self, at: usize) -> Option<Break> {
        match self.clusters.binary_search(&at) {
            Ok(_) => Some(Break { at, class: Class::Character }),
            Err(next) => {
                let (start, end) = (self.clusters.get(next.checked_sub(1)?)?, self.clusters.get(next)?);
                (self.long)(*start, *end).then_some(Break { at, class: Class::Cluster })
            }
        }
    }
}

/// The class of the boundary between two words at `at`; `None` if it is not a place to cut. `sentence` is whether a sentence ends there by
/// Unicode, `quoted` whether an ASCII quotation mark before it is open.
fn classify(text: &str, at: usize, sentence: bool, quoted: bool) -> Option<Class> {
    let (before, after) = text.split_at(at);
    let (last, next) = (before.chars().next_back()?, after.chars().next()?);
    if next.is_whitespace() {
        // A cut belongs after the white space.
        return None;
    }
    let word = before.trim_end();
    let Some(end) = word.chars().next_back() else { return Some(Class::Word) };
    if !last.is_whitespace() {
        // ASCII quotation marks look alike at both ends.
        let next_closes = closes(next) && !(next == '"' && !quoted && is_wide(end));
        let end_opens = opens(end) || end == '"' && quoted && is_cjk(next);
        return match end {
            _ if next_closes || end_opens => None,
            _ if stop(word).is_some_and(|stop| stop != '…' || end == '…' || is_wide(next)) => Some(Class::Sentence),
            '，' | '、' | '：' => Some(Class::Clause),
            '．' if word.trim_end_matches('．').ends_with(is_numeral) => None,
            _ if sentence && !end.is_ascii() => Some(Class::Sentence),
            ';' | '!' | '?' | ',' | ':' if is_cjk(next) && is_wide_before(word, end) => {
                Some(if matches!(end, ',' | ':') { Class::Clause } else { Class::Sentence })
            }
            _ if belongs_to_number(end, next) => None,
            _ if is_cjk(end) && is_cjk(next) => Some(Class::Ideograph),
            _ if is_cjk(end) || is_cjk(next) => Some(Class::Word),
            _ => Some(Class::Character),
        };
    }
    let lines = before[word.len()..].matches('\n').count();
    if lines > 1 {
        return Some(Class::Paragraph);
    }
    if lines == 0 && ends_with_article(word) {
        return None;
    }
    let runs_on = matches!(end, ',' | '，' | '、') || end.is_alphanumeric();
    if lines == 1 && (!runs_on || begins_item(after)) {
        return Some(Class::Sentence);
    }
    if sentence && !abbreviates(word) || stop(word).is_some_and(|stop| stop != '…') {
        return Some(Class::Sentence);
    }
    if lines == 1 || matches!(end, ',' | ';' | ':' | '，' | '、' | '：') {
        return Some(Class::Clause);
    }
    Some(Class::Word)
}

/// The stop of a script without spaces at the end of a text, before the marks that close: `。` of `他说：“好。”`. An ellipsis is one of
/// other scripts too.
fn stop(text: &str) -> Option<char> {
    let stem = text.trim_end_matches(['"', '”', '’', '」', '』', '）', '】', '》', '〉', '〕', '〗']);
    stem.chars().next_back().filter(|c| matches!(c, '。' | '！' | '？' | '；' | '｡' | '…'))
}

fn closes(c: char) -> bool {
    matches!(c, ')' | ']' | '}' | '"' | '\'' | '”' | '’' | '」' | '』' | '）' | '】' | '》' | '〉' | '〕' | '〗' | '］' | '｝' | '｣')
        || matches!(c, '.' | ',' | ';' | ':' | '!' | '?' | '%' | '。' | '，' | '、' | '；' | '：' | '！' | '？' | '…')
        || matches!(c, '％' | '‰' | '．' | '｡' | '､')
}

fn opens(c: char) -> bool {
    matches!(c, '(' | '[' | '{' | '“' | '‘' | '「' | '『' | '（' | '【' | '《' | '〈' | '〔' | '〖' | '［' | '｛' | '｢')
}

/// A character or a mark of a script without spaces.
fn is_wide(c: char) -> bool {
    is_cjk(c) || matches!(c, '\u{3000}'..='\u{303F}')
}

/// Whether the mark `end`, which ends `word`, stands after a character of a script without spaces.
fn is_wide_before(word: &str, end: char) -> bool {
    word.strip_suffix(end).and_then(|stem| stem.chars().next_back()).is_some_and(is_wide)
}

fn is_numeral(c: char) -> bool {
    c.is_ascii_digit() || matches!(c, '０'..='９') || "〇零一二三四五六七八九十百千万亿兩两".contains(c)
}

/// Whether two characters that follow each other are parts of a number, or a number and what it counts: `第三条`, `三十日`, `５０元`.
fn belongs_to_number(before: char, after: char) -> bool {
    (is_numeral(before) || before == '第') && is_numeral(after) || is_numeral(before) && is_cjk(after)
}

/// Whether a text ends in a number like `第三条` or `第２章`, which names what follows.
fn ends_with_article(text: &str) -> bool {
    let Some(stem) = text.strip_suffix(['条', '條', '款', '项', '項', '目', '章', '节', '節', '编', '編']) else { return false };
    let first = stem.trim_end_matches(is_numeral);
    first.len() < stem.len() && first.ends_with('第')
}

/// Whether a line begins a heading or an item of a list.
fn begins_item(line: &str) -> bool {
    let mark = line.split_whitespace().next().unwrap_or_default();
    match mark.chars().next() {
        Some('#' | '-' | '*' | '•' | '|' | '>' | '(' | '（') => true,
        Some('第') => ends_with_article(mark),
        Some(first) if is_numeral(first) && mark.trim_start_matches(is_numeral).starts_with(['、', '．', '）']) => true,
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
    use proptest::prelude::*;

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
        assert!(cuts("保护公民", Class::Ideograph).len() == 4);
    }

    #[test]
    fn marks_that_close_stay_with_their_sentence() {
        let cases: [(&str, &[&str]); 8] = [
            ("“走；”他答。『行……』「好！」众人散去", &["“走；”", "他答。", "『行……』", "「好！」", "众人散去"]),
            ("（见前条。）本法", &["（见前条。）", "本法"]),
            ("‘好。’”他说", &["‘好。’”", "他说"]),
            // An ASCII quotation mark alternately opens and closes a quotation. Each line begins outside of one.
            ("他说：\"好。\"然后走。\"行？\"", &["他说：\"好。\"", "然后走。", "\"行？\""]),
            ("五寸\"。\n他问：\"行？\"她答", &["五寸\"。", "他问：\"行？\"", "她答"]),
            ("国家负责;个人服从!完", &["国家负责;", "个人服从!", "完"]),
            ("水位为3.5尺；Rh血型!A组", &["水位为3.5尺；", "Rh血型!A组"]),
            ("依照〔2003〕十二号文。。完", &["依照〔2003〕十二号文。。", "完"]),
        ];
        for (text, expected) in cases {
            assert_eq!(cuts(text, Class::Sentence), expected, "{text}");
        }
    }

    #[test]
    fn an_ellipsis_ends_no_english_sentence() {
        for text in ["“Well… he said, “no…” and left…” He went.", "one…” Two", "one… two"] {
            assert_eq!(cuts(text, Class::Sentence), [text], "{text}");
        }
    }

    #[test]
    fn articles_begin_lines_and_stay_with_them() {
        let text = "第一章 总则\n第一条 本法适用于\n船舶\n第２条 船长\n一、帆船\n１．汽船\n第三者\n责任";
        let lines = ["第一章 总则", "第一条 本法适用于\n船舶", "第２条 船长", "一、帆船", "１．汽船\n第三者\n责任"];
        assert_eq!(cuts(text, Class::Sentence), lines);
        assert!(cuts(text, Class::Word).contains(&"第一条 本法适用于"), "a line that runs on is a clause");
    }

    #[test]
    fn numbers_keep_what_they_count() {
        let text = "依照第三十二条处５００元罚款，期限30日，税率百分之十五％，两年内";
        let pieces = cuts(text, Class::Ideograph);
        for whole in ["第三十二条", "５００元", "30日，", "十五％，", "两年"] {
            assert!(pieces.contains(&whole), "{whole}: {pieces:?}");
        }
        assert!(cuts("保护 mg 公民", Class::Word) == ["保护", "mg", "公民"]);
    }

    proptest! {
        #[test]
        fn no_cut_divides_what_is_read_as_one_character(
            parts in prop::collection::vec(
                "\\PC{0,9}|[一-乐]{1,9}[。，；！？」”\"]|(e\u{301}|語\u{3099}|か\u{3099}){1,9}|กำ|한국|[一-乐]\u{E0100}\
                 |(\u{1F469}\u{200D}\u{1F680}|\u{1F1E9}\u{1F1EA}|\u{1F44D}\u{1F3FD}){1,4}|a\u{300}{1,20}|[ \r\n]{1,3}",
                0..20,
            ),
            size in 1usize..30,
        ) {
            let text = parts.concat();
            let found = find(&text, |start, end| end - start > size);
            prop_assert_eq!(found.last().map(|cut| cut.at), Some(text.len()));
            let clusters: Vec<usize> = text.grapheme_indices(true).map(|(at, _)| at).chain([text.len()]).collect();
            for cut in &found {
                prop_assert!(text.is_char_boundary(cut.at));
                prop_assert!(cut.class == Class::Cluster || clusters.binary_search(&cut.at).is_ok(), "{:?} in {:?}", cut, text);
            }
            // The places ascend, so the pieces between them are the text; none that can be cut is longer than it must be.
            prop_assert!(found.is_sorted_by(|a, b| a.at < b.at));
            let mut from = 0;
            for cut in &found {
                let piece = text[std::mem::replace(&mut from, cut.at)..cut.at].trim_end();
                prop_assert!(piece.len() <= size || piece.chars().count() == 1 || piece.trim_start().chars().count() <= 1, "{:?} of {:?}", piece, text);
            }
        }
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
