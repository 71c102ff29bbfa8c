//! What is measured.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::EvaluateError;

/// Largest batch, number of references and length of a question that can be asked for.
const MAX: usize = 4096;

/// Options of [`measure_speed`](super::measure_speed). Each list is varied while the others keep their base: a batch of 1, the model's own number of
/// memories, questions of 64 tokens.
#[derive(Clone, Debug)]
pub struct SpeedOptions {
    /// Numbers of questions that are answered at once.
    pub batches: Vec<usize>,
    /// Numbers of memories.
    pub memories: Vec<usize>,
    /// Tokens of a question; not varied if there are [`questions`](Self::questions).
    pub inputs: Vec<usize>,
    /// The questions; if there are none, texts of the first pack are cut to the wanted length.
    pub questions: Vec<String>,
    /// Turns of a conversation, of which the last one is measured. Each turn asks another question.
    pub turns: usize,
    /// Tokens of an answer: every answer has as many.
    pub tokens: usize,
    /// How often each case is measured; the rounds alternate between the cases.
    pub rounds: usize,
    /// Seed of the choice of texts as questions.
    pub seed: u64,
}

impl Default for SpeedOptions {
    fn default() -> Self {
        Self {
            batches: vec![1, 8, 32],
            memories: vec![1, 3, 5],
            inputs: vec![32, 128, 512],
            questions: Vec::new(),
            turns: 1,
            tokens: 48,
            rounds: 5,
            seed: 0,
        }
    }
}

/// What an answer is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reads {
    /// The weights alone.
    Nothing,
    /// This many memories.
    Memories(usize),
    /// This many texts in the prompt.
    Texts(usize),
}

impl fmt::Display for Reads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Memories(1) => f.write_str("1 memory"),
            Self::Memories(count) => write!(f, "{count} memories"),
            Self::Texts(1) => f.write_str("1 text"),
            Self::Texts(count) => write!(f, "{count} texts"),
        }
    }
}

impl Serialize for Reads {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One row of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Case {
    /// Number of the pack, from 0.
    pub pack: usize,
    /// What answers are read from.
    pub reads: Reads,
    /// Questions that are answered at once.
    pub batch: usize,
    /// Tokens of a question, without the prompt's template; `None` for given questions.
    pub input: Option<usize>,
}

/// Tokens of a question where its length is not varied.
pub(super) const INPUT: usize = 64;

/// The cases of `packs` packs for a model that reads `own` memories, each once. Only what reads memories depends on the pack.
pub(super) fn cases(options: &SpeedOptions, packs: usize, own: usize) -> Result<Vec<Case>, EvaluateError> {
    let SpeedOptions { batches, memories, inputs, turns, tokens, rounds, .. } = options;
    for (option, numbers) in [
        ("batch", batches.as_slice()),
        ("memories", memories),
        ("input", inputs),
        ("turns", &[*turns]),
        ("tokens", &[*tokens]),
        ("rounds", &[*rounds]),
    ] {
        if let Some(found) = numbers.iter().find(|number| !(1..=MAX).contains(*number)) {
            return Err(EvaluateError::Option { option, found: found.to_string(), expected: format!("1 to {MAX}") });
        }
    }
    let base = options.questions.is_empty().then_some(INPUT);
    let mut cases = Vec::new();
    let mut add = |case| {
        if !cases.contains(&case) {
            cases.push(case);
        }
    };
    let all = |pack| [Reads::Memories(own), Reads::Nothing, Reads::Texts(own)].into_iter().take(if pack == 0 { 3 } else { 1 });
    for pack in 0..packs {
        for &batch in std::iter::once(&1).chain(batches) {
            all(pack).for_each(|reads| add(Case { pack, reads, batch, input: base }));
        }
        memories.iter().for_each(|count| add(Case { pack, reads: Reads::Memories(*count), batch: 1, input: base }));
        for input in base.iter().flat_map(|_| inputs) {
            all(pack).for_each(|reads| add(Case { pack, reads, batch: 1, input: Some(*input) }));
        }
    }
    Ok(cases)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_case_once_and_nothing_twice_for_several_packs() {
        let options = SpeedOptions { batches: vec![1, 8], memories: vec![1, 5], inputs: vec![64, 512], ..SpeedOptions::default() };
        let one = cases(&options, 1, 5).unwrap();
        assert_eq!(one.len(), 3 + 3 + 1 + 3);
        let two = cases(&options, 2, 5).unwrap();
        assert_eq!(two[..one.len()], one);
        assert!(two[one.len()..].iter().all(|case| case.pack == 1 && matches!(case.reads, Reads::Memories(_))));
        assert_eq!(two.len(), one.len() + 1 + 1 + 1 + 1);
        let given = SpeedOptions { questions: vec!["Who?".into()], ..options.clone() };
        assert!(cases(&given, 1, 5).unwrap().iter().all(|case| case.input.is_none()));
        for wrong in [
            SpeedOptions { batches: vec![0], ..options.clone() },
            SpeedOptions { rounds: 0, ..options.clone() },
            SpeedOptions { tokens: 5000, ..options },
        ] {
            assert!(matches!(cases(&wrong, 1, 5), Err(EvaluateError::Option { .. })));
        }
    }
}
