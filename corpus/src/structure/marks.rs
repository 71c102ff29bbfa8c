//! What a line of a text begins with: the mark of a list item, the marks of a heading.

/// What stands around the number or letter of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrap {
    /// `-`, `*`, `+`, `•` and the like.
    Bullet(char),
    /// `(a)`, `（一）`, `①`.
    Parentheses,
    /// `a)`, `1）`.
    Closing,
    /// `1.`, `2.3.`; with how many numbers there are.
    Dots(usize),
    /// `一、`, `1、`.
    Comma,
    /// `第一条`, `Article 5.`, `§ 12.`.
    Article,
    /// `第一款`, `第一项`.
    Paragraph,
}

/// The numbers or letters that an item is counted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    None,
    Decimal,
    Lower,
    Upper,
    LowerRoman,
    UpperRoman,
    Han,
}

/// The mark of a list item at the beginning of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark<'t> {
    pub wrap: Wrap,
    /// The number or letter alone.
    pub body: &'t str,
    /// Bytes of the mark, without the blanks after it.
    pub length: usize,
}

impl Mark<'_> {
    /// Whether prose may begin a line like this: `12. ` may be the end of a sentence, `A. ` an initial.
    pub fn is_weak(&self) -> bool {
        matches!(self.wrap, Wrap::Dots(_) | Wrap::Article | Wrap::Comma) || matches!(self.wrap, Wrap::Bullet('–' | '—'))
    }

    /// Whether a list may begin with it.
    pub fn is_first(&self) -> bool {
        matches!(self.body, "1" | "a" | "A" | "i" | "I" | "一" | "①") || matches!(self.wrap, Wrap::Bullet(_))
    }

    /// What the item is counted with; a letter may be a Roman number, which `after`, the item before it in the same list, decides.
    pub fn count(&self, after: impl Fn(Count) -> Option<char>) -> Count {
        if matches!(self.wrap, Wrap::Bullet(_)) {
            return Count::None;
        }
        let Some(first) = self.body.chars().next() else { return Count::None };
        if first.is_ascii_digit() || ('０'..='９').contains(&first) {
            return Count::Decimal;
        }
        if !first.is_ascii_alphabetic() {
            return Count::Han;
        }
        let (letter, roman) = match first.is_ascii_lowercase() {
            true => (Count::Lower, Count::LowerRoman),
            false => (Count::Upper, Count::UpperRoman),
        };
        let is_roman = self.body.chars().all(|c| "ivxlcdm".contains(c.to_ascii_lowercase()));
        let follows = |c: char| u32::from(c) + 1 == u32::from(first);
        match self.body.len() {
            1 if after(letter).is_some_and(follows) => letter,
            1 if is_roman && (after(roman).is_some() || matches!(first, 'i' | 'v' | 'x' | 'I' | 'V' | 'X')) => roman,
            1 => letter,
            _ if is_roman => roman,
            _ => letter,
        }
    }
}

/// The mark that `line`, which begins with no white space, begins with.
pub(super) fn item(line: &str) -> Option<Mark<'_>> {
    let mark = bullet(line).or_else(|| enclosed(line)).or_else(|| numbered(line)).or_else(|| article(line))?;
    // An item has words.
    line[mark.length..].contains(char::is_alphanumeric).then_some(mark)
}

fn bullet(line: &str) -> Option<Mark<'_>> {
    let first = line.chars().next()?;
    let length = first.len_utf8();
    match first {
        '-' | '*' | '+' | '•' | '‣' | '◦' | '▪' | '–' | '—' | '·' if line[length..].starts_with([' ', '\t']) => {
            Some(Mark { wrap: Wrap::Bullet(first), body: &line[..length], length })
        }
        // Circled numbers.
        '\u{2460}'..='\u{2473}' => Some(Mark { wrap: Wrap::Parentheses, body: &line[..length], length }),
        _ => None,
    }
}

/// `(a)`, `（一）`.
fn enclosed(line: &str) -> Option<Mark<'_>> {
    let inner = line.strip_prefix(['(', '（'])?;
    let open = line.len() - inner.len();
    let body = &inner[..inner.find([')', '）'])?];
    let close = inner[body.len()..].chars().next()?.len_utf8();
    is_number(body).then_some(Mark { wrap: Wrap::Parentheses, body, length: open + body.len() + close })
}

/// `1.`, `2.3.`, `a)`, `1、`, `一、`.
fn numbered(line: &str) -> Option<Mark<'_>> {
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || is_han_number(c)))?;
    let (number, rest) = line.split_at(end);
    let next = rest.chars().next()?;
    let mark = |wrap, body, length| is_number(body).then_some(Mark { wrap, body, length });
    match next {
        ')' | '）' => mark(Wrap::Closing, number, end + next.len_utf8()),
        '、' => mark(Wrap::Comma, number, end + next.len_utf8()),
        ' ' | '\t' => {
            let body = number.strip_suffix('.')?;
            if body.contains('.') {
                let parts = body.split('.').filter(|part| is_digits(part)).count();
                let all = body.split('.').count() == parts;
                return all.then_some(Mark { wrap: Wrap::Dots(parts), body, length: end });
            }
            mark(Wrap::Dots(1), body, end)
        }
        _ => None,
    }
}

/// `第一条`, `第一款`, `Article 5.`, `§ 12.`.
fn article(line: &str) -> Option<Mark<'_>> {
    if let Some(rest) = line.strip_prefix('第') {
        let body = &rest[..rest.find(|c: char| !counts_articles(c))?];
        let unit = rest[body.len()..].chars().next()?;
        let wrap = match unit {
            '条' | '條' => Wrap::Article,
            '款' | '项' | '項' | '目' => Wrap::Paragraph,
            _ => return None,
        };
        let after = rest[body.len() + unit.len_utf8()..].chars().next();
        // `第十条规定` within a sentence is no mark.
        let marks = after.is_some_and(|c| c.is_whitespace() || matches!(c, '　' | '：' | '、' | '.' | '【' | '（'));
        return (!body.is_empty() && marks).then_some(Mark { wrap, body, length: '第'.len_utf8() + body.len() + unit.len_utf8() });
    }
    let rest = ["Article ", "Art. ", "Section ", "Sec. ", "Clause ", "Rule ", "§ "].into_iter().find_map(|word| line.strip_prefix(word))?;
    let end = rest.find(|c: char| c.is_whitespace() || matches!(c, ':' | '—' | '–'))?;
    let body = rest[..end].strip_suffix('.').or_else(|| rest[end..].starts_with([':', '—', '–']).then_some(&rest[..end]))?;
    let numeric = body.starts_with(|c: char| c.is_ascii_digit()) && body.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c));
    numeric.then_some(Mark { wrap: Wrap::Article, body, length: line.len() - rest.len() + end })
}

/// Whether a text counts something: up to three digits, a letter or two of the same, a Roman or a Chinese number.
fn is_number(body: &str) -> bool {
    if is_digits(body) {
        return true;
    }
    if body.is_empty() || body.len() > 18 {
        return false;
    }
    if body.chars().all(is_han_number) {
        return true;
    }
    let mut chars = body.chars();
    let Some(first) = chars.next() else { return false };
    let same_case = body.chars().all(|c| c.is_ascii_lowercase()) || body.chars().all(|c| c.is_ascii_uppercase());
    let alike = body.len() <= 2 && chars.all(|c| c == first);
    same_case && (alike || is_roman(&body.to_ascii_lowercase()))
}

fn is_digits(body: &str) -> bool {
    (1..=3).contains(&body.len()) && body.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether letters are a Roman number below 100 in its usual form, so that `(mix)` and `(civil)` are none.
fn is_roman(letters: &str) -> bool {
    let tens = ["xc", "xl", "lxxx", "lxx", "lx", "l", "xxx", "xx", "x"].into_iter().find_map(|ten| letters.strip_prefix(ten));
    let ones = tens.unwrap_or(letters);
    matches!(ones, "" | "i" | "ii" | "iii" | "iv" | "v" | "vi" | "vii" | "viii" | "ix") && !letters.is_empty()
}

fn is_han_number(c: char) -> bool {
    "〇零一二三四五六七八九十百千".contains(c)
}

/// Whether a character may stand between `第` and `条`.
fn counts_articles(c: char) -> bool {
    is_han_number(c) || c.is_ascii_digit() || matches!(c, '０'..='９')
}

/// The level and text of a heading line: `## Doses ##`, `第一章 总则`, `Chapter 2 Fees`.
pub(super) fn heading(line: &str) -> Option<(u8, &str)> {
    let rest = line.trim_start_matches('#');
    let level = line.len() - rest.len();
    if (1..=6).contains(&level) {
        let text = rest.trim().trim_end_matches('#').trim_end();
        return (rest.starts_with([' ', '\t']) && has_words(text)).then_some((level as u8, text));
    }
    named_division(line).map(|level| (level, line))
}

/// Maximum bytes of a heading that is known by its first word.
const MAX_DIVISION: usize = 100;

/// The level of a line that names a division of a law or a contract. It is short and ends like no sentence.
fn named_division(line: &str) -> Option<u8> {
    if line.len() > MAX_DIVISION || line.ends_with(['.', ',', ';', ':', '。', '，', '；', '：', '!', '?', '-']) {
        return None;
    }
    if let Some(rest) = line.strip_prefix('第') {
        let number = rest.find(|c: char| !counts_articles(c))?;
        let unit = rest[number..].chars().next()?;
        let ends = rest[number + unit.len_utf8()..].chars().next().is_none_or(char::is_whitespace);
        let level = ['编', '章', '节'].iter().position(|known| *known == unit)?;
        return (number > 0 && ends).then_some(level as u8 + 1);
    }
    let (word, rest) = line.split_once(' ')?;
    let word = word.to_lowercase();
    let level = ["title", "part", "chapter", "subchapter", "subpart"].iter().position(|known| *known == word);
    let level = level.or_else(|| ["annex", "appendix", "schedule"].contains(&word.as_str()).then_some(1))?;
    let number = rest.split_whitespace().next()?.trim_end_matches(['.', ':', ',', '—', '-']);
    let counted =
        is_digits(number) || number.len() < 6 && (is_roman(&number.to_lowercase()) || number.len() == 1) && number == number.to_uppercase();
    // A sentence goes on in lower case: "Part 5 of this chapter".
    let titled = rest.split_whitespace().nth(1).is_none_or(|next| !next.starts_with(char::is_lowercase));
    (counted && titled).then_some(level as u8 + 1)
}

fn has_words(text: &str) -> bool {
    text.contains(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_items() {
        let cases = [
            ("- milk", Some((Wrap::Bullet('-'), "-", 1))),
            ("-milk", None),
            ("* * *", None),
            ("(a) first", Some((Wrap::Parentheses, "a", 3))),
            ("(ii) second", Some((Wrap::Parentheses, "ii", 4))),
            ("(civil) court", None),
            ("(see above) text", None),
            ("（一）总则", Some((Wrap::Parentheses, "一", 9))),
            ("(2024) text", None),
            ("① eins", Some((Wrap::Parentheses, "①", 3))),
            ("a) first", Some((Wrap::Closing, "a", 2))),
            ("10. tenth", Some((Wrap::Dots(1), "10", 3))),
            ("2.3. part", Some((Wrap::Dots(2), "2.3", 4))),
            ("3.5 mg daily", None),
            ("1987. The act", None),
            ("一、范围", Some((Wrap::Comma, "一", 6))),
            ("第十条 有下列情形", Some((Wrap::Article, "十", 9))),
            ("第１０条 有下列情形", Some((Wrap::Article, "１０", 12))),
            ("第十条规定的情形", None),
            ("第二款 期限", Some((Wrap::Paragraph, "二", 9))),
            ("Article 5. The tenant", Some((Wrap::Article, "5", 10))),
            ("Section 4 of the Act", None),
            ("I am here", None),
            ("e.g. this", None),
            ("(b)", None),
        ];
        for (line, expected) in cases {
            assert_eq!(item(line).map(|mark| (mark.wrap, mark.body, mark.length)), expected, "{line}");
        }
    }

    #[test]
    fn letters_and_roman_numbers_are_told_apart() {
        let count = |line, before: &[(Count, char)]| {
            let after = |wanted| before.iter().find(|(count, _)| *count == wanted).map(|(_, letter)| *letter);
            item(line).unwrap().count(after)
        };
        assert_eq!(count("(i) x", &[]), Count::LowerRoman);
        assert_eq!(count("(i) x", &[(Count::Lower, 'h')]), Count::Lower);
        assert_eq!(count("(c) x", &[(Count::Lower, 'b')]), Count::Lower);
        assert_eq!(count("(v) x", &[(Count::Lower, 'a'), (Count::LowerRoman, 'i')]), Count::LowerRoman);
        assert_eq!(count("(iv) x", &[]), Count::LowerRoman);
        assert_eq!(count("(A) x", &[]), Count::Upper);
        assert_eq!(count("（三）x", &[]), Count::Han);
        assert_eq!(count("(3) x", &[]), Count::Decimal);
        assert_eq!(count("- x", &[]), Count::None);
    }

    #[test]
    fn headings_of_markdown_and_of_laws() {
        let cases = [
            ("## Doses ##", Some((2, "Doses"))),
            ("#hashtag", None),
            ("####### seven", None),
            ("# ", None),
            ("第二章 期限", Some((2, "第二章 期限"))),
            ("第２章 期限", Some((2, "第２章 期限"))),
            ("第二章规定了期限", None),
            ("Chapter IV Fees", Some((3, "Chapter IV Fees"))),
            ("Part 5 of this chapter", None),
            ("Part of it", None),
            ("Schedule 1", Some((2, "Schedule 1"))),
            ("Schedule 1 sets the fees.", None),
        ];
        for (line, expected) in cases {
            assert_eq!(heading(line), expected, "{line}");
        }
    }
}
