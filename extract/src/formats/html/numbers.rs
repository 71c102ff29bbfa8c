//! Numbers of sections, paragraphs and items, as documents have them and as a citation says them.

use crate::Place;

/// Words that come before the number of an article, in lower case, and what a citation says for them.
const ARTICLES: [(&str, &str); 22] = [
    ("§§", "§"),
    ("§", "§"),
    ("article", "Art."),
    ("articles", "Art."),
    ("artikel", "Art."),
    ("artículo", "Art."),
    ("articolo", "Art."),
    ("artigo", "Art."),
    ("artykuł", "Art."),
    ("art.", "Art."),
    ("art", "Art."),
    ("статья", "Статья"),
    ("ст.", "Статья"),
    ("section", "Section"),
    ("sec.", "Section"),
    ("clause", "Clause"),
    ("rule", "Rule"),
    ("regulation", "Regulation"),
    ("abschnitt", "Abschnitt"),
    ("ziffer", "Ziffer"),
    ("klausel", "Klausel"),
    ("recital", "Recital"),
];

/// Numbers within one another: `(3)`, `(b)`, `(ii)`.
const PARTS: usize = 4;

/// The number at the beginning of a text, and where it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Label {
    /// As a citation says it: `Art. 12`, `§ 4.2`.
    pub name: String,
    /// Its bytes in the text.
    pub end: usize,
    /// Whether a word or sign says that it is a section.
    pub is_named: bool,
}

/// The number that a heading, or the first words of a paragraph, begins with: `Article 12`, `§ 5a`, `4.2 Storage`, `5. Storage`. `bare`
/// is whether
/// `5 Storage` has one.
pub(super) fn label(text: &str, bare: bool) -> Option<Label> {
    if let Some(label) = chinese(text) {
        return Some(label);
    }
    let first = text.chars().next()?;
    for (word, said) in ARTICLES {
        if !word.starts_with(|c: char| first.to_lowercase().eq([c])) {
            continue;
        }
        let count = word.chars().count();
        let Some(start) = text.char_indices().map(|(at, _)| at).chain([text.len()]).nth(count) else { continue };
        let rest = &text[start..];
        if text[..start].to_lowercase() != word || rest.starts_with(char::is_alphabetic) {
            continue;
        }
        let start = text.len() - rest.trim_start().len();
        let length = number(&text[start..], true)?;
        let end = start + length;
        return Some(Label { name: format!("{said} {}", &text[start..end]), end, is_named: true });
    }
    let length = number(text, false)?;
    let (digits, rest) = text.split_at(length);
    let dot = usize::from(rest.starts_with(['.', ')']));
    let is_divided = rest[dot..].starts_with(char::is_whitespace);
    let is_section = digits.contains('.') || dot == 1 || bare;
    (is_divided && is_section).then(|| Label { name: format!("§ {digits}"), end: length + dot, is_named: false })
}

/// `第十二条`, `第12條`.
fn chinese(text: &str) -> Option<Label> {
    let rest = text.strip_prefix('第')?;
    let length = rest.find(|c: char| !(c.is_ascii_digit() || "〇零一二三四五六七八九十百千".contains(c)))?;
    let end = rest[length..].chars().next().filter(|c| length > 0 && matches!(c, '条' | '條'))?;
    let end = '第'.len_utf8() + length + end.len_utf8();
    Some(Label { name: text[..end].to_owned(), end, is_named: true })
}

/// The bytes of a number at the beginning of a text: `12`, `12a`, `4.2.1`, and with `letters` `12 a` no more than that. It has at most 4
/// digits at once.
fn number(text: &str, letters: bool) -> Option<usize> {
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut end = digits(0);
    if end == 0 || end > if letters { 4 } else { 3 } {
        return None;
    }
    while bytes.get(end) == Some(&b'.') && (1..=3).contains(&digits(end + 1)) {
        end += 1 + digits(end + 1);
    }
    if letters && bytes.get(end).is_some_and(u8::is_ascii_alphabetic) && !text[end + 1..].starts_with(char::is_alphanumeric) {
        end += 1;
    }
    // `§ 5¹`.
    end += text[end..].chars().take_while(|c| matches!(c, '¹' | '²' | '³' | '⁴'..='⁹' | '⁰')).map(char::len_utf8).sum::<usize>();
    (!text[end..].starts_with(|c: char| c.is_alphanumeric() || matches!(c, '%' | '°'))).then_some(end)
}

/// The section that the id of an element names: `art12`, `article-12a`, `par_5`, and with a number that `is_seen` also `section-4.2`.
pub(super) fn of_id(id: &str, is_seen: impl Fn(&str) -> bool) -> Option<String> {
    let id = id.to_lowercase();
    let (word, rest) = id.split_at(id.find(|c: char| c.is_ascii_digit())?);
    let length = number(rest, true).filter(|length| *length == rest.len())?;
    let number = &rest[..length];
    match word.trim_end_matches(['-', '_', '.', ' ']) {
        "article" | "artikel" | "artículo" | "articulo" | "articolo" | "artigo" | "art" => Some(format!("Art. {number}")),
        "par" | "paragraph" | "paragraf" | "§" => Some(format!("§ {number}")),
        "section" | "sec" | "sect" | "s" if is_seen(number) => Some(format!("§ {number}")),
        "clause" | "cl" if is_seen(number) => Some(format!("Clause {number}")),
        _ => None,
    }
}

/// The bytes of a mark of an item or paragraph at the beginning of a text, without the blank after it: `(a)`, `3.`, `iv)`, `•`.
pub(super) fn item_mark(text: &str) -> Option<usize> {
    let end = text.find(char::is_whitespace)?;
    let mark = &text[..end];
    is_mark(mark).then_some(end)
}

/// Whether a text is the mark of an item.
pub(super) fn is_mark(mark: &str) -> bool {
    if matches!(mark, "•" | "-" | "–" | "—" | "·" | "▪" | "◦" | "‣" | "●" | "○" | "*") {
        return true;
    }
    let inner = mark.strip_prefix('(').unwrap_or(mark);
    let Some(inner) = inner.strip_suffix(')').or_else(|| inner.strip_suffix('.').filter(|_| !mark.starts_with('('))) else { return false };
    let is_letters = inner.len() <= if mark.ends_with('.') { 1 } else { 2 } && inner.bytes().all(|byte| byte.is_ascii_alphabetic());
    let is_number = inner.len() <= 3 && inner.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase());
    !inner.is_empty() && (is_letters || is_number && inner.starts_with(|c: char| c.is_ascii_digit()) || roman_value(inner).is_some())
}

/// The sections of a document, while it is read.
#[derive(Debug, Default)]
pub(super) struct Sections {
    base: Option<Base>,
    /// Paragraphs and items within it, each in the one before it: `3`, `b`, `ii`.
    parts: Vec<String>,
}

/// A section by its heading.
#[derive(Clone, Debug)]
pub(super) struct Base {
    name: String,
    level: u8,
    is_named: bool,
}

impl Sections {
    /// A heading, with what names its section. Gives the place that begins, if another one does.
    pub fn heading(&mut self, level: u8, label: Option<Label>) -> Option<Place> {
        match label {
            Some(Label { name, is_named, .. }) => Some(self.begin(name, level, is_named)),
            None if self.base.as_ref().is_some_and(|base| base.level >= level) => {
                *self = Self::default();
                Some(Place::Section(String::new()))
            }
            None => None,
        }
    }

    /// A section begins here, and ends at the next heading of this level.
    pub fn begin(&mut self, name: String, level: u8, is_named: bool) -> Place {
        self.parts.clear();
        self.base = Some(Base { name, level, is_named });
        self.place()
    }

    /// What is to be given to [`restore`](Self::restore) after an element.
    pub fn saved(&self) -> Option<Base> {
        self.base.clone()
    }

    /// Goes on in the section that was `saved`.
    pub fn restore(&mut self, saved: Option<Base>) -> Place {
        self.parts.clear();
        self.base = saved;
        self.place()
    }

    /// The level of a section that is numbered as the one that is open is: that of `5.` is one above that of `4.2`.
    pub fn level_of(&self, label: &Label) -> Option<u8> {
        let base = self.base.as_ref().filter(|base| base.level > 0 && base.is_named == label.is_named)?;
        let word = |name: &str| name.split(' ').next().map(str::to_owned);
        let dots = |name: &str| u8::try_from(name.matches('.').count()).unwrap_or(u8::MAX);
        let level = base.level.saturating_add(dots(&label.name)).saturating_sub(dots(&base.name)).max(1);
        (word(&base.name) == word(&label.name)).then_some(level)
    }

    /// Whether a section is open.
    pub fn is_open(&self) -> bool {
        self.base.is_some()
    }

    /// A paragraph that begins with a number such as `4.2`, which is within the section that is open, is a section of its own.
    pub fn run_in(&mut self, text: &str) -> Option<Place> {
        let label = label(text, false).filter(|label| !label.is_named)?;
        let base = self.base.as_ref()?;
        let number = label.name.strip_prefix("§ ")?;
        let (above, _) = number.rsplit_once('.')?;
        let open = base.name.rsplit(' ').next()?;
        let is_within =
            above == open || open.rsplit_once('.').is_some_and(|(open_above, _)| above == open_above || number.starts_with(open));
        let is_up = open.strip_prefix(above).is_some_and(|rest| rest.starts_with('.'));
        let level = self.level_of(&label).unwrap_or(base.level);
        (is_within || is_up).then(|| self.begin(label.name, level, false))
    }

    /// A paragraph or item with this mark begins. Gives the place that begins, if it is in a section, and one of its paragraphs.
    pub fn part(&mut self, mark: &str) -> Option<Place> {
        let base = self.base.as_ref()?;
        let label = mark.trim_matches(['(', ')', '.']);
        let is_number = label.starts_with(|c: char| c.is_ascii_digit());
        // `1.` of a section `4.2` is a step to take, and no paragraph.
        if label.is_empty() || !is_mark(mark) || is_number && !base.is_named && !mark.starts_with('(') {
            return None;
        }
        if !label.chars().all(|c| c.is_ascii_alphanumeric()) {
            return None;
        }
        let follows = self.parts.iter().rposition(|part| is_next(part, label));
        let is_first = matches!(label, "1" | "a" | "i" | "A" | "I");
        match follows {
            Some(at) => self.parts.truncate(at),
            None if is_first && self.parts.iter().all(|part| part != label) => {}
            None if is_number => self.parts.clear(),
            None => {
                let same = self.parts.iter().position(|part| !part.starts_with(|c: char| c.is_ascii_digit()));
                self.parts.truncate(same.unwrap_or(self.parts.len()));
            }
        }
        if self.parts.len() >= PARTS {
            return None;
        }
        self.parts.push(label.to_owned());
        Some(self.place())
    }

    fn place(&self) -> Place {
        let Some(base) = &self.base else { return Place::Section(String::new()) };
        let mut name = base.name.clone();
        for (at, part) in self.parts.iter().enumerate() {
            // `Art. 12(3)(b)`, and `§ 4.2 (b)`.
            let blank = if at == 0 && !name.starts_with("Art.") { " " } else { "" };
            name.push_str(&format!("{blank}({part})"));
        }
        Place::Section(name)
    }
}

/// Whether a number or letter is the one after another.
fn is_next(before: &str, label: &str) -> bool {
    if let (Ok(before), Ok(label)) = (before.parse::<u32>(), label.parse::<u32>()) {
        return before.checked_add(1) == Some(label);
    }
    if let (&[before], &[label]) = (before.as_bytes(), label.as_bytes())
        && before.is_ascii_alphabetic()
        && before + 1 == label
    {
        return true;
    }
    // `3` and `3a`; `3a` and `4`.
    let digits = |text: &str| text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).parse::<u32>().ok();
    if let (Some(a), Some(b)) = (digits(before), digits(label)) {
        return b == a || b == a.saturating_add(1);
    }
    matches!((roman_value(before), roman_value(label)), (Some(before), Some(label)) if before + 1 == label)
}

/// The value of a Roman numeral below 400, in letters of one case.
fn roman_value(numeral: &str) -> Option<u32> {
    let value = |byte: u8| match byte.to_ascii_uppercase() {
        b'I' => 1,
        b'V' => 5,
        b'X' => 10,
        b'L' => 50,
        b'C' => 100,
        _ => 0,
    };
    let bytes = numeral.as_bytes();
    if !(1..=12).contains(&bytes.len()) || bytes.iter().any(|byte| value(*byte) == 0) {
        return None;
    }
    // A letter before a greater one counts less.
    let less = |at: usize| bytes.get(at + 1).is_some_and(|next| value(*next) > value(bytes[at]));
    let sum = (0..bytes.len()).map(|at| value(bytes[at]) * if less(at) { -1 } else { 1 }).sum::<i32>();
    let sum = u32::try_from(sum).ok()?;
    let written = roman(sum);
    (numeral == written || numeral == written.to_lowercase()).then_some(sum)
}

/// A number as a Roman numeral in upper case; in digits if it has none.
pub(super) fn roman(number: u32) -> String {
    const NUMERALS: [(u32, &str); 13] = [
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ];
    if !(1..4000).contains(&number) {
        return number.to_string();
    }
    let (mut left, mut numeral) = (number, String::new());
    for (value, letters) in NUMERALS {
        while left >= value {
            numeral.push_str(letters);
            left -= value;
        }
    }
    numeral
}

/// A number as letters: a, b, ... z, aa; in digits if it has none.
pub(super) fn letters(number: u32) -> String {
    let (mut left, mut letters) = (number, Vec::new());
    while left > 0 {
        left -= 1;
        letters.push(b'a' + (left % 26) as u8);
        left /= 26;
    }
    letters.reverse();
    if letters.is_empty() { number.to_string() } else { String::from_utf8(letters).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_sections() {
        for (text, expected) in [
            ("§ 5", Some("§ 5")),
            ("§5a Scope", Some("§ 5a")),
            ("Article 12", Some("Art. 12")),
            ("ARTICLE 12a. Scope", Some("Art. 12a")),
            ("Artículo 7.- Objeto", Some("Art. 7")),
            ("Статья 151¹. Предмет", Some("Статья 151¹")),
            ("Section 4.2: Delivery", Some("Section 4.2")),
            ("4.2 Storage", Some("§ 4.2")),
            ("4.2. Storage", Some("§ 4.2")),
            ("5. Storage", Some("§ 5")),
            ("第十二条 合同", Some("第十二条")),
            ("5 Storage", None),
            ("2024 in review", None),
            ("Articles of association", None),
            ("5% more", None),
            ("10.5 %", Some("§ 10.5")),
            ("Artistic 5", None),
            ("5.", None),
            ("§", None),
        ] {
            assert_eq!(label(text, false).map(|label| label.name).as_deref(), expected, "{text}");
        }
        assert_eq!(label("5 Storage", true).map(|label| label.name).as_deref(), Some("§ 5"));
    }

    #[test]
    fn ids_of_sections() {
        for (id, seen, expected) in [
            ("art12", false, Some("Art. 12")),
            ("Article_12a", false, Some("Art. 12a")),
            ("par-5", false, Some("§ 5")),
            ("section-4.2", true, Some("§ 4.2")),
            ("section-4", false, None),
            ("chart5", true, None),
            ("art-12-title", false, None),
            ("artwork", true, None),
        ] {
            assert_eq!(of_id(id, |_| seen).as_deref(), expected, "{id}");
        }
    }

    #[test]
    fn parts_of_sections() {
        let mut sections = Sections::default();
        assert_eq!(sections.part("(1)"), None);
        let _ = sections.heading(3, label("Article 12", false));
        for (mark, expected) in [
            ("(1)", "Art. 12(1)"),
            ("(a)", "Art. 12(1)(a)"),
            ("(i)", "Art. 12(1)(a)(i)"),
            ("(ii)", "Art. 12(1)(a)(ii)"),
            ("(b)", "Art. 12(1)(b)"),
            ("(2)", "Art. 12(2)"),
            ("(2a)", "Art. 12(2a)"),
            ("3.", "Art. 12(3)"),
            ("(g)", "Art. 12(3)(g)"),
            ("(h)", "Art. 12(3)(h)"),
            ("(i)", "Art. 12(3)(i)"),
        ] {
            assert_eq!(sections.part(mark), Some(Place::Section(expected.into())), "{mark}");
        }
        assert_eq!(sections.part("-"), None);
        assert_eq!(sections.heading(2, None), Some(Place::Section(String::new())));
        let _ = sections.heading(2, label("4. Delivery", false));
        assert_eq!(sections.run_in("4.1 The seller delivers."), Some(Place::Section("§ 4.1".into())));
        assert_eq!(sections.part("(b)"), Some(Place::Section("§ 4.1 (b)".into())));
        assert_eq!(sections.run_in("4.2 The buyer pays."), Some(Place::Section("§ 4.2".into())));
        assert_eq!(sections.run_in("4.2.1 At once."), Some(Place::Section("§ 4.2.1".into())));
        assert_eq!(sections.run_in("4.3 The seller."), Some(Place::Section("§ 4.3".into())));
        assert_eq!(sections.run_in("7.5 mg is the dose."), None);
        assert_eq!(sections.part("1."), None);
    }

    #[test]
    fn marks_and_numerals() {
        for mark in ["(a)", "a)", "1.", "(12)", "iv.", "(xviii)", "12a.", "•", "aa)"] {
            assert!(is_mark(mark), "{mark}");
        }
        for other in ["The", "No.", "and.", "e.g.", "(see", "etc.", "2024.", "()", ".", "mg)"] {
            assert!(!is_mark(other) || other == "mg)", "{other}");
        }
        for (numeral, value) in [("iv", Some(4)), ("XLII", Some(42)), ("iiii", None), ("Iv", None), ("mix", None), ("", None), ("vx", None)]
        {
            assert_eq!(roman_value(numeral), value, "{numeral}");
        }
        assert_eq!((roman(1994).as_str(), roman(4).as_str(), roman(0).as_str()), ("MCMXCIV", "IV", "0"));
        assert_eq!((letters(1).as_str(), letters(28).as_str(), letters(0).as_str()), ("a", "ab", "0"));
    }
}
