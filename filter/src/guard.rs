//! Bounds what the parser has to do. It takes time for each character that no expression has, and collects them all; and it calls itself for each bracket and each operator of a chain, and a service reads expressions from
//! strangers: without a bound, a few thousand parentheses overflow its stack.

use crate::condition::Position;
use crate::error::{Problem, no_part};

/// Most brackets that are open at once.
const MAX_NESTING: usize = 32;
/// Most operators between two commas, `&&` or `||`, brackets' contents aside.
const MAX_CHAIN: usize = 64;

/// Refuses an expression that nests too deep, or whose texts do not end.
pub(crate) fn check(expression: &str) -> Result<(), (Position, Problem)> {
    let characters: Vec<char> = expression.chars().collect();
    // Operators seen at each depth.
    let mut chains = vec![0];
    let mut at = 0;
    while let Some(character) = characters.get(at).copied() {
        let next = characters.get(at + 1).copied();
        match character {
            '"' | '\'' => {
                at = text_end(&characters, at, is_raw(&characters, at)?)?;
                continue;
            }
            '/' if next == Some('/') => {
                while characters.get(at).is_some_and(|character| *character != '\n') {
                    at += 1;
                }
                continue;
            }
            ',' => chains.last_mut().into_iter().for_each(|chain| *chain = 0),
            '&' | '|' if next == Some(character) => {
                chains.last_mut().into_iter().for_each(|chain| *chain = 0);
                at += 1;
            }
            // Two characters that are one operator.
            '=' | '!' | '<' | '>' if next == Some('=') => {
                count(&mut chains, at)?;
                at += 1;
            }
            '(' | '[' | '{' | '.' | '!' | '<' | '>' | '+' | '-' | '*' | '/' | '%' | '?' | ':' => {
                count(&mut chains, at)?;
                if matches!(character, '(' | '[' | '{') {
                    chains.push(0);
                    if chains.len() > MAX_NESTING + 1 {
                        return Err((at, Problem::TooDeep { found: "brackets within each other", most: MAX_NESTING }));
                    }
                }
            }
            // Brackets that were never opened are the parser's to refuse.
            ')' | ']' | '}' => {
                if chains.len() > 1 {
                    chains.pop();
                }
            }
            '_' | '`' => {}
            character if character.is_ascii_alphanumeric() || character.is_ascii_whitespace() => {}
            character => {
                return Err((at, Problem::Syntax(no_part(character))));
            }
        }
        at += 1;
    }
    Ok(())
}

/// Counts an operator at the present depth.
fn count(chains: &mut [usize], at: Position) -> Result<(), (Position, Problem)> {
    let Some(chain) = chains.last_mut() else { return Ok(()) };
    *chain += 1;
    if *chain > MAX_CHAIN {
        return Err((at, Problem::TooDeep { found: "operators one after the other", most: MAX_CHAIN }));
    }
    Ok(())
}

/// Whether the text whose quote is at `quote` has the prefix of one without escapes. Any other letters or digits before it are refused: whether `0xbr"` is a
/// number before a raw text or a name before another text, only the parser knows.
fn is_raw(characters: &[char], quote: usize) -> Result<bool, (Position, Problem)> {
    let before = characters.get(..quote).unwrap_or_default();
    let length = before.iter().rev().take_while(|character| character.is_alphanumeric() || **character == '_').count();
    match before.get(quote - length..).unwrap_or_default() {
        [] | ['b' | 'B'] => Ok(false),
        ['r' | 'R'] | ['b' | 'B', 'r' | 'R'] => Ok(true),
        _ => Err((quote, Problem::Syntax("a text cannot stand here; an operator is missing before it".to_owned()))),
    }
}

/// The position after the text that begins at `start`. Escapes are those of CEL: any other would make the parser read the text's inside as operators.
fn text_end(characters: &[char], start: usize, raw: bool) -> Result<usize, (Position, Problem)> {
    let quote = characters.get(start).copied().unwrap_or('"');
    let triple = characters.get(start..start + 3).is_some_and(|three| three.iter().all(|character| *character == quote));
    let mut at = start + if triple { 3 } else { 1 };
    loop {
        match characters.get(at).copied() {
            None => return Err((start, Problem::Syntax("the text that begins here does not end".to_owned()))),
            Some('\n' | '\r') if !triple => {
                return Err((start, Problem::Syntax("the text that begins here does not end in its line".to_owned())));
            }
            Some('\\') if !raw => at += escape(characters, at)?,
            Some(character) if character == quote => {
                let ends = !triple || characters.get(at..at + 3).is_some_and(|three| three.iter().all(|character| *character == quote));
                if ends {
                    return Ok(at + if triple { 3 } else { 1 });
                }
                at += 1;
            }
            Some(_) => at += 1,
        }
    }
}

/// The characters of the escape that begins at `start`.
fn escape(characters: &[char], start: usize) -> Result<usize, (Position, Problem)> {
    let digits = |from: usize, count: usize, radix: u32| {
        characters.get(start + from..start + from + count).is_some_and(|digits| digits.iter().all(|digit| digit.is_digit(radix)))
    };
    match characters.get(start + 1) {
        Some('a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '"' | '\'' | '`' | '\\' | '?') => Ok(2),
        Some('x' | 'X') if digits(2, 2, 16) => Ok(4),
        Some('u') if digits(2, 4, 16) => Ok(6),
        Some('U') if digits(2, 8, 16) => Ok(10),
        Some('0'..='3') if digits(1, 3, 8) => Ok(4),
        _ => Err((start, Problem::Syntax("no such escape; write \\\\ for a backslash, or r\"...\" for a text without escapes".to_owned()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_bounded_and_texts_do_not_count() {
        let text = format!("a.matches(\"{}\")", "(".repeat(100));
        let deep = |open: &str| format!("{}a", open.repeat(MAX_NESTING + 1));
        let chain = |part: &str| format!("a{}", part.repeat(MAX_CHAIN + 1));
        for fine in [
            text.as_str(),
            "a == 'it''s' && b == \"\\\"((\" // ((((",
            &vec!["a.b == 1"; 1000].join(" && "),
            &vec!["a"; 1000].join(", "),
            &"(a)||".repeat(1000),
            "'''\n\"(\n''' == r'\\'",
            "a in['b'] && r\"(\" != b'(' && Br'\\' == \"\"",
            "))))",
        ] {
            assert_eq!(check(fine), Ok(()), "{fine}");
        }
        for refused in [
            deep("("),
            deep("["),
            deep("{1:"),
            deep("!("),
            deep("a.exists(b, "),
            chain(".b"),
            chain("[0]"),
            chain(".f()"),
            chain("+a"),
            "!".repeat(MAX_CHAIN + 1),
            // Characters that no expression has, or not alone.
            "判".repeat(20_000),
            "a = 1".to_owned(),
            "a & b".to_owned(),
            "a == 1; b".to_owned(),
            "a == \u{0}".to_owned(),
            // What only looks like a text or a comment.
            format!("\"a\" // \"\n{}", deep("(")),
            format!("'\n{}", deep("(")),
            format!("r\"\\\"{}", deep("(")),
            format!("\"\\q{}\"", deep("(")),
            format!("\"\\u12{}\"", deep("(")),
            format!("\"\\\"{}", deep("(")),
            // Texts right after a name or a number, which the parser may end elsewhere.
            format!("bar\"\\\" \"{}\"", deep("(")),
            format!("1r\"\\\"{}\"", deep("(")),
            format!("0xbr\"\\\"{}\"", deep("(")),
            format!("1e5r\"\\\"{}\"", deep("(")),
        ] {
            assert!(check(&refused).is_err(), "{refused}");
        }
    }
}
