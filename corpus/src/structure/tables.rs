//! Rows of tables in plain text: cells divided by pipes or tabs.

/// What divides the cells of a row, and how often it occurs; `None` for a line that is no row.
pub(super) fn separators(line: &str) -> Option<(char, usize)> {
    let count = |wanted: char| {
        let mut escaped = false;
        line.chars().filter(|c| !std::mem::replace(&mut escaped, *c == '\\') && *c == wanted).count()
    };
    ['|', '\t'].into_iter().map(|c| (c, count(c))).find(|(_, count)| *count > 0)
}

/// Whether a line is the row of dashes under a header: `|---|:--:|`, `--- | ---`, `+----+----+`.
pub(super) fn is_delimiter(line: &str) -> bool {
    line.len() > 2
        && line.contains('-')
        && line.contains(['|', '+'])
        && line.chars().all(|c| matches!(c, '-' | ':' | '|' | '+' | '=' | ' ' | '\t'))
}

/// The first cell of a row with the separators around it, which names what the rest of the row is about. `None` if it has no words.
pub(super) fn label(line: &str, separator: char) -> Option<&str> {
    let skipped = usize::from(line.starts_with(separator));
    let at = line[skipped..].find(separator)? + skipped;
    line[..at].contains(char::is_alphanumeric).then(|| &line[..=at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_their_parts() {
        assert_eq!(separators("| a | b |"), Some(('|', 3)));
        assert_eq!(separators(r"| a \| b |"), Some(('|', 2)));
        assert_eq!(separators("a\tb\tc"), Some(('\t', 2)));
        assert_eq!(separators("a, b"), None);
        for delimiter in ["|---|:--:|", "--- | ---", "+----+----+", "|-|"] {
            assert!(is_delimiter(delimiter), "{delimiter}");
        }
        for other in ["---", "| a | b |", "||", "|  |", "- item"] {
            assert!(!is_delimiter(other), "{other}");
        }
        assert_eq!(label("| Child 1-5 | 125 mg |", '|'), Some("| Child 1-5 |"));
        assert_eq!(label("Child | 125 mg", '|'), Some("Child |"));
        assert_eq!(label("|  | 125 mg |", '|'), None);
    }
}
