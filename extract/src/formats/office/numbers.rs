//! Numbers of lists, as they are seen.

/// How many letters a number has at most: hostile counts stay short.
const MAX_LETTERS: u64 = 20;

/// A number in a format of ISO/IEC 29500 (ST_NumberFormat), or `upperAlphabet` and `lowerAlphabet`, which count on from Z to AA and AB. Formats that are not
/// known are decimal.
pub(super) fn number(value: u64, format: &str) -> String {
    match format {
        "none" | "bullet" => String::new(),
        "decimalZero" => format!("{value:02}"),
        "lowerLetter" => letters(value).to_lowercase(),
        "upperLetter" => letters(value),
        "lowerAlphabet" => alphabet(value).to_lowercase(),
        "upperAlphabet" => alphabet(value),
        "lowerRoman" => roman(value).to_lowercase(),
        "upperRoman" => roman(value),
        "ordinal" => ordinal(value),
        "decimalEnclosedCircle" | "decimalEnclosedCircleChinese" if (1..=20).contains(&value) => {
            char::from_u32(0x245F + value as u32).map(String::from).unwrap_or_default()
        }
        "decimalFullWidth" | "decimalFullWidth2" => {
            value.to_string().chars().filter_map(|digit| char::from_u32(0xFEE0 + u32::from(digit))).collect()
        }
        "chineseCounting"
        | "chineseCountingThousand"
        | "japaneseCounting"
        | "taiwaneseCounting"
        | "taiwaneseCountingThousand"
        | "ideographDigital" => chinese(value),
        _ => value.to_string(),
    }
}

/// A to Z, AA to ZZ, AAA: as Word counts.
fn letters(value: u64) -> String {
    let Some(value) = value.checked_sub(1) else { return String::new() };
    let letter = char::from(b'A' + (value % 26) as u8);
    std::iter::repeat_n(letter, (value / 26 + 1).min(MAX_LETTERS) as usize).collect()
}

/// A to Z, AA, AB to ZZ: as a spreadsheet names its columns.
fn alphabet(mut value: u64) -> String {
    let mut letters = Vec::new();
    while let Some(rest) = value.checked_sub(1) {
        letters.push(char::from(b'A' + (rest % 26) as u8));
        value = rest / 26;
    }
    letters.iter().rev().collect()
}

/// What stands before a paragraph of a list: in `template`, `%1` to `%9` are the numbers of the levels from the first on, which `number` gives by their place
/// from 0.
pub(super) fn expanded(template: &str, number: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    let mut rest = template.chars().peekable();
    while let Some(c) = rest.next() {
        match rest.peek().and_then(|digit| digit.to_digit(10)).filter(|digit| c == '%' && *digit > 0) {
            Some(digit) => {
                rest.next();
                text.push_str(&number(digit as usize - 1));
            }
            None => text.push(c),
        }
    }
    text
}

/// A Roman number below 4000; others are decimal.
pub(in crate::formats) fn roman(mut value: u64) -> String {
    if !(1..4000).contains(&value) {
        return value.to_string();
    }
    let mut roman = String::new();
    let parts = [(1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"), (10, "X"), (9, "IX")];
    for (worth, letters) in parts.into_iter().chain([(5, "V"), (4, "IV"), (1, "I")]) {
        while value >= worth {
            roman.push_str(letters);
            value -= worth;
        }
    }
    roman
}

fn ordinal(value: u64) -> String {
    let ending = match (value % 10, value % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{value}{ending}")
}

/// A Chinese number below 10,000: `十二`, `一百零五`.
fn chinese(value: u64) -> String {
    if !(1..10_000).contains(&value) {
        return value.to_string();
    }
    let digit = |value: u64| "〇一二三四五六七八九".chars().nth(value as usize).unwrap_or('〇');
    let mut text = String::new();
    let mut skipped = false;
    for (unit, name) in [(1000, "千"), (100, "百"), (10, "十"), (1, "")] {
        let count = value / unit % 10;
        if count == 0 {
            skipped = !text.is_empty();
            continue;
        }
        if skipped {
            text.push('零');
            skipped = false;
        }
        if !(unit == 10 && count == 1 && text.is_empty()) {
            text.push(digit(count));
        }
        text.push_str(name);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_seen_as_word_shows_them() {
        for (value, format, expected) in [
            (4, "decimal", "4"),
            (4, "decimalZero", "04"),
            (2, "lowerLetter", "b"),
            (28, "upperLetter", "BB"),
            (28, "lowerAlphabet", "ab"),
            (703, "upperAlphabet", "AAA"),
            (14, "lowerRoman", "xiv"),
            (1999, "upperRoman", "MCMXCIX"),
            (0, "upperRoman", "0"),
            (22, "ordinal", "22nd"),
            (12, "ordinal", "12th"),
            (3, "decimalEnclosedCircle", "③"),
            (12, "chineseCounting", "十二"),
            (105, "chineseCountingThousand", "一百零五"),
            (5, "hebrew1", "5"),
            (5, "none", ""),
            (u64::MAX, "lowerLetter", "oooooooooooooooooooo"),
        ] {
            assert_eq!(number(value, format), expected, "{value} {format}");
        }
    }
}
