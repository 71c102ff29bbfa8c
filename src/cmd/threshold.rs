//! The argument of `--threshold`, below which an answer is withheld.

use std::str::FromStr;

use mempack_model::MemoryConfig;
use mempack_questions::NO_ANSWER;

/// A mean log-probability in nats per token, or the word `none`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Threshold {
    /// Every answer is given.
    None,
    Below(f64),
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word.parse::<f64>() {
            _ if word == "none" => Ok(Self::None),
            Ok(number) if number.is_finite() && number <= 0.0 => Ok(Self::Below(number)),
            _ => Err("expected a mean log-probability in nats per token, at most 0, for example -0.5; or none".to_owned()),
        }
    }
}

impl Threshold {
    pub fn get(self) -> Option<f64> {
        match self {
            Self::None => None,
            Self::Below(number) => Some(number),
        }
    }
}

/// What is said in place of a withheld answer.
pub fn no_answer(memory: &MemoryConfig) -> &str {
    memory.no_answer.as_deref().unwrap_or(NO_ANSWER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds() {
        for (word, expected) in [("none", None), ("0", Some(0.0)), ("-0.5", Some(-0.5)), ("-1e3", Some(-1000.0))] {
            assert_eq!(word.parse::<Threshold>().map(Threshold::get), Ok(expected), "{word}");
        }
        for word in ["", "0.5", "1", "nan", "-inf", "inf", "None", "-0,5", "50%"] {
            assert!(word.parse::<Threshold>().is_err(), "{word}");
        }
    }
}
