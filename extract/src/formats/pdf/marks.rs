//! Marks of items: bullets, and the numbers and letters that lists have.

/// A bullet or number at the start of a line, and the rest of it.
pub(super) fn mark(text: &str) -> Option<(String, &str)> {
    let (mark, rest) = text.split_once(' ')?;
    let bullets = ["•", "‣", "◦", "▪", "–", "—", "-", "*", "·", "●", "○", "■", "□", "▶", "➢", "✓", "∙", "\u{F0B7}", "\u{F0A7}", "o"];
    if bullets.contains(&mark) {
        return Some(("-".into(), rest.trim()));
    }
    let inner = mark.trim_start_matches(['(', '[']).trim_end_matches(['.', ')', ']', ':']);
    let closed = mark.len() > inner.len() && mark.ends_with(['.', ')', ']']);
    let number = inner.len() <= 3 && inner.bytes().all(|byte| byte.is_ascii_digit());
    let letter = inner.len() == 1 && inner.bytes().all(|byte| byte.is_ascii_alphabetic()) && !mark.ends_with("].");
    let roman = inner.len() <= 5 && inner.bytes().all(|byte| b"ivx".contains(&byte));
    let parts = inner.split('.').count() >= 2
        && inner.split('.').all(|part| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit()));
    let capital = letter && inner.bytes().all(|byte| byte.is_ascii_uppercase()) && mark.ends_with('.');
    let is_mark = !inner.is_empty() && (closed && (number || letter && !capital || roman) || parts && mark.len() <= inner.len() + 1);
    is_mark.then(|| (mark.to_owned(), rest.trim()))
}
