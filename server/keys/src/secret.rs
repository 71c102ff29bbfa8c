//! Secrets, and what is kept of them.
//!
//! A secret is 256 random bits, written as `mpk-` and 56 characters: base32 (RFC 4648, small letters) of the 32 bytes and of 3 bytes that
//! are computed from them. So a secret that was cut short or mistyped is told from one that nobody has (but for 1 in 16 million), without
//! looking at any key. 35 bytes are 56 characters without a bit to spare: each secret has one way to be written.
//!
//! What is kept is BLAKE3 of the 32 bytes in its mode for deriving keys, with a context of our own. A fast hash is enough, because there are no
//! likely secrets to try first; slow hashes are for passwords that people think of.

use std::fmt;
use std::str::FromStr;

/// How every secret begins.
const MARK: &str = "mpk-";
/// Random bytes of a secret.
const RANDOM: usize = 32;
/// Bytes by which a mistyped secret is recognised.
const CHECK: usize = 3;
/// Characters of both.
const DIGITS: usize = (RANDOM + CHECK) * 8 / 5;
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

const HASH_CONTEXT: &str = "mempack 2026-11-28 API keys: hash of a secret, version 1";
const CHECK_CONTEXT: &str = "mempack 2026-11-28 API keys: check of a secret, version 1";

/// How a hash begins in the file of keys.
const HASH_MARK: &str = "blake3:";

/// The secret of a key. It is shown once, by [`Secret::reveal`]; `Debug` does not show it.
pub struct Secret([u8; RANDOM]);

/// What is kept of a secret. Comparisons take the same time wherever the hashes differ.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretHash(blake3::Hash);

/// Why a text cannot be a secret. The text is not part of the error, because it may be nearly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// It begins with something else.
    #[error("secrets of API keys begin with `{MARK}`")]
    Mark,
    /// It is too short or too long.
    #[error("secrets of API keys have {DIGITS} characters after `{MARK}`, and there are {found}")]
    Length {
        /// Characters after the mark.
        found: usize,
    },
    /// It has a character that secrets do not have.
    #[error("character {at} is none of a to z and 2 to 7, which secrets of API keys are made of")]
    Character {
        /// Its place, counted from 1.
        at: usize,
    },
    /// Its last characters do not go with those before.
    #[error("the secret is mistyped: its characters do not belong together")]
    Check,
}

/// Why a text is no hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `{HASH_MARK}` and 64 digits of 0 to 9 and a to f")]
pub struct HashError;

impl Secret {
    /// A new secret, from the system's random numbers.
    ///
    /// # Errors
    /// If the system gives none.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; RANDOM];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// The secret as its owner gets it.
    pub fn reveal(&self) -> String {
        let bytes: Vec<u8> = self.0.into_iter().chain(self.check()).collect();
        let mut text = String::with_capacity(MARK.len() + DIGITS);
        text.push_str(MARK);
        for group in bytes.chunks(5) {
            let number = group.iter().fold(0u64, |number, &byte| number << 8 | u64::from(byte));
            text.extend((0..8).rev().map(|place| char::from(ALPHABET[(number >> (5 * place) & 31) as usize])));
        }
        text
    }

    /// What is kept of it.
    pub fn hash(&self) -> SecretHash {
        SecretHash(blake3::Hash::from_bytes(blake3::derive_key(HASH_CONTEXT, &self.0)))
    }

    fn check(&self) -> [u8; CHECK] {
        let [one, two, three, ..] = blake3::derive_key(CHECK_CONTEXT, &self.0);
        [one, two, three]
    }
}

impl FromStr for Secret {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        let digits = text.strip_prefix(MARK).ok_or(SecretError::Mark)?;
        let found = digits.chars().count();
        if found != DIGITS {
            return Err(SecretError::Length { found });
        }
        let mut values = [0u8; DIGITS];
        for (at, (value, digit)) in values.iter_mut().zip(digits.chars()).enumerate() {
            *value = match digit {
                'a'..='z' => digit as u8 - b'a',
                '2'..='7' => digit as u8 - b'2' + 26,
                _ => return Err(SecretError::Character { at: MARK.len() + at + 1 }),
            };
        }
        let mut bytes = [0u8; RANDOM + CHECK];
        for (group, digits) in bytes.chunks_mut(5).zip(values.chunks(8)) {
            let number = digits.iter().fold(0u64, |number, &digit| number << 5 | u64::from(digit));
            group.copy_from_slice(&number.to_be_bytes()[3..]);
        }
        let mut secret = Self([0; RANDOM]);
        let (random, check) = bytes.split_at(RANDOM);
        secret.0.copy_from_slice(random);
        if secret.check() == check { Ok(secret) } else { Err(SecretError::Check) }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(not shown)")
    }
}

impl fmt::Display for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{HASH_MARK}{}", self.0.to_hex())
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for SecretHash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        let digits = text.strip_prefix(HASH_MARK).ok_or(HashError)?;
        let small = digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        match blake3::Hash::from_hex(digits) {
            Ok(hash) if small => Ok(Self(hash)),
            _ => Err(HashError),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COUNTED: [u8; RANDOM] = {
        let mut bytes = [0; RANDOM];
        let mut at = 0;
        while at < RANDOM {
            bytes[at] = at as u8;
            at += 1;
        }
        bytes
    };

    /// The first 51 characters are those of RFC 4648 for the bytes 0 to 31 (255 of their 256 bits); the 32nd byte shares the next with the
    /// check.
    #[test]
    fn secrets_are_base32() {
        let text = Secret(COUNTED).reveal();
        assert_eq!(text.len(), MARK.len() + 56);
        assert_eq!(&text[..MARK.len() + 51], "mpk-aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dyp");
        assert_eq!(text.parse::<Secret>().unwrap().0, COUNTED);
    }

    /// Files of keys and secrets that were handed out depend on both contexts. The values are those of the Python package blake3.
    #[test]
    fn hashes_and_checks_stay_what_they_are() {
        assert_eq!(Secret(COUNTED).hash().to_string(), "blake3:bce0f918b275647e4f1e3dd4aae0c66943ccbea7385b1c4a75bd6753bc9877f5");
        assert_eq!(Secret(COUNTED).reveal(), "mpk-aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dypq5fba");
    }

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::generate().unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(not shown)");
        assert_ne!(secret.reveal(), Secret::generate().unwrap().reveal());
    }

    #[test]
    fn what_is_no_secret_is_told() {
        let good = Secret(COUNTED).reveal();
        let wrong = |text: &str| text.parse::<Secret>().unwrap_err();
        assert_eq!(wrong(""), SecretError::Mark);
        assert_eq!(wrong("sk-abc"), SecretError::Mark);
        assert_eq!(wrong("mpk-"), SecretError::Length { found: 0 });
        assert_eq!(wrong(&good[..good.len() - 1]), SecretError::Length { found: 55 });
        assert_eq!(wrong(&format!("{good} ")), SecretError::Length { found: 57 });
        assert_eq!(wrong(&good.replacen("aaaq", "aaAq", 1)), SecretError::Character { at: 7 });
        assert_eq!(wrong(&format!("mpk-{}", "ä".repeat(56))), SecretError::Character { at: 5 });
        assert_eq!(wrong(&good.replacen("aaaq", "aaar", 1)), SecretError::Check);
    }

    #[test]
    fn hashes_have_one_form() {
        let text = Secret(COUNTED).hash().to_string();
        assert_eq!(text.parse::<SecretHash>().unwrap(), Secret(COUNTED).hash());
        for wrong in ["", "blake3:", &text[7..], &text[..70], &format!("{text}0"), &text.to_uppercase().replace("BLAKE3", "blake3")] {
            assert_eq!(wrong.parse::<SecretHash>(), Err(HashError), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn secrets_are_read_as_they_are_written(bytes: [u8; RANDOM]) {
            let secret = Secret(bytes);
            let read: Secret = secret.reveal().parse().unwrap();
            prop_assert_eq!(read.0, bytes);
            prop_assert_eq!(read.hash(), secret.hash());
            prop_assert_eq!(secret.hash().to_string().parse::<SecretHash>().unwrap(), secret.hash());
        }

        /// A text is a secret if and only if it is how that secret is written.
        #[test]
        fn a_secret_is_written_in_one_way(bytes: [u8; RANDOM], at in 0..60usize, by in any::<char>()) {
            let text: String = Secret(bytes).reveal().chars().enumerate().map(|(place, c)| if place == at { by } else { c }).collect();
            if let Ok(secret) = text.parse::<Secret>() {
                prop_assert_eq!(secret.reveal(), text);
            }
        }

        /// Two characters that are exchanged are what people mistype.
        #[test]
        fn exchanged_characters_are_noticed(bytes: [u8; RANDOM], at in MARK.len()..59usize) {
            let mut text = Secret(bytes).reveal().into_bytes();
            text.swap(at, at + 1);
            let text = String::from_utf8(text).unwrap();
            prop_assume!(text != Secret(bytes).reveal());
            prop_assert_eq!(text.parse::<Secret>().err(), Some(SecretError::Check));
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = text.parse::<Secret>();
            let _ = format!("mpk-{text}").parse::<Secret>();
            let _ = text.parse::<SecretHash>();
        }
    }
}
