//! The arguments of `--threshold` and `--measure`, by which an answer is withheld.

use std::str::FromStr;

use mempack_model::{AnswerMeasure, MemoryConfig};
use mempack_questions::NO_ANSWER;

use crate::failure::{Failure, Kind};

/// A confidence, or the word `none`.
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
            Ok(number) if number.is_finite() => Ok(Self::Below(number)),
            _ => Err(format!("expected {}, for example -0.5; or none", AnswerMeasure::default().values())),
        }
    }
}

/// Which answers are withheld: those whose confidence by the measure is below the threshold, if there is one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    pub measure: AnswerMeasure,
    pub threshold: Option<f64>,
}

impl Rule {
    /// The rule of `--measure` and `--threshold`. A threshold is on the log-probability unless a measure is named; without one, the model's
    /// own is used if it is on the same measure.
    pub fn new(measure: Option<AnswerMeasure>, threshold: Option<Threshold>, model: &MemoryConfig) -> Self {
        match threshold {
            Some(Threshold::Below(number)) => Self { measure: measure.unwrap_or_default(), threshold: Some(number) },
            _ => {
                let measure = measure.unwrap_or(model.answer_measure);
                let own = model.answer_threshold.filter(|_| threshold.is_none() && measure == model.answer_measure);
                Self { measure, threshold: own }
            }
        }
    }
}

/// Refuses a threshold that its measure never has.
pub fn check(measure: Option<AnswerMeasure>, threshold: Option<Threshold>) -> Result<(), Failure> {
    let Some(Threshold::Below(number)) = threshold else { return Ok(()) };
    let used = measure.unwrap_or_default();
    if used.admits(number) {
        return Ok(());
    }
    let other = match measure {
        None => "; a share of attention goes with --measure memory_attention",
        Some(_) => "",
    };
    Err(Failure::new(Kind::Usage, format!("--threshold is {number}; expected {}{other}", used.values())))
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
        let below = Threshold::Below;
        for (word, expected) in
            [("none", Threshold::None), ("0", below(0.0)), ("-0.5", below(-0.5)), ("-1e3", below(-1000.0)), ("0.5", below(0.5))]
        {
            assert_eq!(word.parse(), Ok(expected), "{word}");
        }
        for word in ["", "nan", "-inf", "inf", "None", "-0,5", "50%"] {
            assert!(word.parse::<Threshold>().is_err(), "{word}");
        }
    }

    #[test]
    fn a_threshold_lies_among_the_values_of_its_measure() {
        use AnswerMeasure::{LogProbability as Log, MemoryAttention as Share};
        for (measure, number, valid) in [
            (None, -0.5, true),
            (None, 0.5, false),
            (Some(Log), 0.5, false),
            (Some(Share), 0.5, true),
            (Some(Share), 1.0, true),
            (Some(Share), -0.5, false),
            (Some(Share), 1.5, false),
        ] {
            assert_eq!(check(measure, Some(Threshold::Below(number))).is_ok(), valid, "{measure:?} {number}");
        }
        assert!(check(Some(Share), Some(Threshold::None)).is_ok() && check(None, None).is_ok());
    }
}
