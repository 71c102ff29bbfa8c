//! Templates: text with choices `[a|b]` and fillers `{name}`. A branch of a choice may contain both.

use mempack_numeric::Rng;

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// `{name}`: replaced by the text of the filler of this name.
    Filler(String),
    /// `[a|b|c]`: one of the branches.
    Choice(Vec<Template>),
}

/// A parsed template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Template(Vec<Piece>);

/// Why a template could not be parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A bracket is not closed, or is closed but was not opened.
    #[error("`{bracket}` at byte {offset} has no partner")]
    Bracket {
        /// The bracket.
        bracket: char,
        /// Its offset in bytes.
        offset: usize,
    },
}

impl Template {
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut at = 0;
        let template = branch(text, &mut at, false)?;
        match text[at..].chars().next() {
            Some(bracket) => Err(TemplateError::Bracket { bracket, offset: at }),
            None => Ok(template),
        }
    }

    /// Expands the template: draws a branch for each choice, and takes the text of fillers from `fill`. An unknown filler, for which
    /// `fill` returns `None`, stays as its name in braces; the tests check that the built-in files have none.
    pub fn expand(&self, rng: &mut Rng, fill: &mut dyn FnMut(&str, &mut Rng) -> Option<String>) -> String {
        let mut out = String::new();
        self.write(rng, fill, &mut out);
        out
    }

    fn write(&self, rng: &mut Rng, fill: &mut dyn FnMut(&str, &mut Rng) -> Option<String>, out: &mut String) {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Filler(name) => out.push_str(&fill(name, rng).unwrap_or_else(|| format!("{{{name}}}"))),
                Piece::Choice(branches) => {
                    if let Some(branch) = rng.pick(branches) {
                        branch.write(rng, fill, out);
                    }
                }
            }
        }
    }

    /// Whether every expansion contains a filler of this name.
    pub fn always(&self, name: &str) -> bool {
        self.0.iter().any(|piece| match piece {
            Piece::Text(_) => false,
            Piece::Filler(filler) => filler == name,
            Piece::Choice(branches) => branches.iter().all(|branch| branch.always(name)),
        })
    }

    /// Whether every expansion begins with this word.
    pub fn begins_with(&self, word: &str) -> bool {
        match self.0.first() {
            Some(Piece::Text(text)) => text.split(' ').next() == Some(word),
            _ => false,
        }
    }

    /// The names of all fillers, in all branches.
    #[cfg(test)]
    pub fn fillers(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(_) => {}
                Piece::Filler(name) => names.push(name.as_str()),
                Piece::Choice(branches) => names.extend(branches.iter().flat_map(Template::fillers)),
            }
        }
        names
    }
}

/// Parses up to the end of the text or, `within` a choice, up to `|` or `]`.
fn branch(text: &str, at: &mut usize, within: bool) -> Result<Template, TemplateError> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    while let Some(next) = text[*at..].chars().next() {
        let offset = *at;
        match next {
            '{' => {
                let Some(end) = text[offset..].find('}') else { return Err(TemplateError::Bracket { bracket: next, offset }) };
                flush(&mut pieces, &mut plain);
                pieces.push(Piece::Filler(text[offset + 1..offset + end].to_owned()));
                *at = offset + end + 1;
            }
            '[' => {
                flush(&mut pieces, &mut plain);
                let mut branches = Vec::new();
                loop {
                    *at += 1;
                    branches.push(branch(text, at, true)?);
                    match text[*at..].chars().next() {
                        Some('|') => {}
                        Some(_) => break,
                        None => return Err(TemplateError::Bracket { bracket: next, offset }),
                    }
                }
                *at += 1;
                pieces.push(Piece::Choice(branches));
            }
            '|' | ']' if within => break,
            ']' | '}' => return Err(TemplateError::Bracket { bracket: next, offset }),
            other => {
                plain.push(other);
                *at += other.len_utf8();
            }
        }
    }
    flush(&mut pieces, &mut plain);
    Ok(Template(pieces))
}

/// Moves the plain text read so far into a piece of its own.
fn flush(pieces: &mut Vec<Piece>, plain: &mut String) {
    if !plain.is_empty() {
        pieces.push(Piece::Text(std::mem::take(plain)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_and_fillers_expand() {
        let template = Template::parse("a [b|[c|d] {x}|] e").unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..100 {
            seen.insert(template.expand(&mut Rng::for_stream(1, number), &mut |name, _| Some(name.to_uppercase())));
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["a  e", "a b e", "a c X e", "a d X e"]);
        assert!(!template.always("x"));
        assert!(Template::parse("[{x}|1 {x}]").unwrap().always("x"));
        assert_eq!(template.fillers(), ["x"]);
    }

    #[test]
    fn brackets_without_partner_are_refused() {
        for (text, bracket, offset) in [("a [b", '[', 2), ("a] b", ']', 1), ("{x", '{', 0), ("x}", '}', 1)] {
            assert_eq!(Template::parse(text), Err(TemplateError::Bracket { bracket, offset }), "{text}");
        }
    }
}
