//! Names of keys.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

/// Most characters of a key's name.
pub const MAX_NAME: usize = 64;

/// The name of a key: ASCII letters and digits, and `.`, `_`, `-` after the first of them; at most [`MAX_NAME`] characters. So it needs no
/// quotes in logs, metrics and command lines.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(String);

/// Why a text is no name of a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// It is empty.
    #[error("the name of the key is empty")]
    Empty,
    /// It is too long.
    #[error("the name of the key has {found} characters, the most is {MAX_NAME}")]
    TooLong {
        /// Its characters.
        found: usize,
    },
    /// It has a character that names do not have.
    #[error("the name {name:?} has the character {found:?}; names are ASCII letters and digits, with `.`, `_` and `-` after the first")]
    Character {
        /// The name.
        name: String,
        /// The first such character.
        found: char,
    },
}

impl KeyName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        let found = text.chars().count();
        if found > MAX_NAME {
            return Err(NameError::TooLong { found });
        }
        let fits = |(at, c): (usize, char)| c.is_ascii_alphanumeric() || (at > 0 && matches!(c, '.' | '_' | '-'));
        match text.chars().enumerate().find(|&pair| !fits(pair)) {
            Some((_, found)) => Err(NameError::Character { name: text.to_owned(), found }),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Borrow<str> for KeyName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The name of a pack that a key sees: any text that is not empty and has no control characters.
///
/// # Errors
/// If it is none.
pub fn pack_name(text: &str) -> Result<String, PackNameError> {
    let found = text.to_owned();
    if text.is_empty() || text.contains(char::is_control) { Err(PackNameError { found }) } else { Ok(found) }
}

/// A text is no name of a pack.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no name of a pack: it is empty or has control characters")]
pub struct PackNameError {
    /// The text.
    pub found: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_need_no_quotes() {
        for good in ["a", "7", "research", "Team-2.legal_eu", &"n".repeat(MAX_NAME)] {
            assert_eq!(good.parse::<KeyName>().unwrap().as_str(), good);
        }
        assert_eq!("".parse::<KeyName>(), Err(NameError::Empty));
        assert_eq!("n".repeat(MAX_NAME + 1).parse::<KeyName>(), Err(NameError::TooLong { found: MAX_NAME + 1 }));
        for (bad, found) in [("-a", '-'), (".a", '.'), ("a b", ' '), ("a\n", '\n'), ("ä", 'ä'), ("a\"", '"'), ("a/b", '/'), ("_", '_')] {
            assert_eq!(bad.parse::<KeyName>(), Err(NameError::Character { name: bad.into(), found }));
        }
    }
}
