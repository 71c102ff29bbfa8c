//! Characters of symbol fonts, and small figures above and below the line, in Unicode.

/// The Greek letters of the font Symbol, for A to Z and a to z.
const GREEK: [&str; 2] = ["ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ", "αβχδεφγηιϕκλμνοπθρστυϖωξψζ"];
/// The characters of the font Symbol from 0xA1 on.
const SYMBOL: &str = "ϒ′≤⁄∞ƒ♣♦♥♠↔←↑→↓°±″≥×∝∂•÷≠≡≈…⏐⎯↵ℵℑℜ℘⊗⊕∅∩∪⊃⊇⊄⊂⊆∈∉∠∇®©™∏√⋅¬∧∨⇔⇐⇑⇒⇓◊〈®©™∑";

/// The character that a font shows at a place, if it is a font of symbols; code points of the private area are places too.
pub(in crate::formats) fn symbol(font: &str, code: u32) -> Option<char> {
    let code = if (0xF000..=0xF0FF).contains(&code) { code - 0xF000 } else { code };
    let at = u8::try_from(code).ok()?;
    let font = font.to_ascii_lowercase();
    if font.contains("wingdings") || font.contains("webdings") {
        return Some(match at {
            0x6C | 0x9F => '●',
            0x6E | 0xA7 => '▪',
            0x6F | 0x71 | 0x72 | 0xA8 => '☐',
            0x75 => '◆',
            0xD8 => '➢',
            0xE0 | 0xE8 | 0xF0 => '→',
            0xFB | 0xFD | 0x78 => '☒',
            0xFC => '✓',
            0xFE => '☑',
            0x20 => ' ',
            _ => '•',
        });
    }
    if !font.starts_with("symbol") {
        return None;
    }
    match at {
        b'A'..=b'Z' => GREEK[0].chars().nth(usize::from(at - b'A')),
        b'a'..=b'z' => GREEK[1].chars().nth(usize::from(at - b'a')),
        0x22 => Some('∀'),
        0x24 => Some('∃'),
        0x27 => Some('∋'),
        0x2A => Some('∗'),
        0x2D => Some('−'),
        0x40 => Some('≅'),
        0x5C => Some('∴'),
        0x5E => Some('⊥'),
        0x7E => Some('∼'),
        0x20..0x7F => Some(char::from(at)),
        0xF2 => Some('∫'),
        0xA1.. => SYMBOL.chars().nth(usize::from(at - 0xA1)),
        _ => None,
    }
}

/// A text as it is seen above the line (`m²`) or below it (`CO₂`), if Unicode has all its characters; else as it is.
pub(in crate::formats) fn raised(text: &str, below: bool) -> String {
    let changed: Option<String> = text
        .chars()
        .map(|c| match c {
            '0'..='9' if below => char::from_u32(0x2080 + u32::from(c) - 0x30),
            '+' if below => Some('₊'),
            '-' | '−' | '–' if below => Some('₋'),
            '1' => Some('¹'),
            '2' => Some('²'),
            '3' => Some('³'),
            '0' | '4'..='9' => char::from_u32(0x2070 + u32::from(c) - 0x30),
            '+' => Some('⁺'),
            '-' | '−' | '–' => Some('⁻'),
            c if c.is_whitespace() => Some(c),
            _ => None,
        })
        .collect();
    changed.unwrap_or_else(|| text.to_owned())
}

/// A part of a formula in a line: `(a + b)/c`, `m²`, `x_1`.
pub(super) fn formula(part: &str, words: &str) -> String {
    let whole = if words.chars().all(char::is_alphanumeric) { words.to_owned() } else { format!("({words})") };
    let changed = raised(words, part == "sub");
    match part {
        "num" => whole,
        "den" => format!("/{whole}"),
        _ if words.is_empty() || changed != words => changed,
        "sup" => format!("^{whole}"),
        _ => format!("_{whole}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_those_that_are_seen() {
        let expected =
            [("Symbol", 0xF0B3, '≥'), ("Symbol", 0x6D, 'μ'), ("Symbol", 0xB0, '°'), ("Symbol", 0xE5, '∑'), ("Symbol", 0xF2, '∫')];
        for (font, code, character) in expected.into_iter().chain([("Wingdings", 0xF0FE, '☑'), ("Symbol", 0xD6, '√')]) {
            assert_eq!(symbol(font, code), Some(character), "{code:x}");
        }
        assert_eq!(symbol("Arial", 0x41), None);
        assert_eq!(symbol("Symbol", 0x2265), None);
        assert_eq!(raised("2", false), "²");
        assert_eq!(raised("12", true), "₁₂");
        assert_eq!(raised("-6", false), "⁻⁶");
        assert_eq!(raised("st", false), "st");
    }
}
