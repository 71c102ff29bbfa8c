//! The report: medians over the rounds.

use std::fmt;

use mempack_runtime::Part;
use serde::Serialize;

use super::cases::{Case, SpeedOptions};
use crate::models::ModelName;

/// What one run took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub seconds: f64,
    /// Mean seconds from the start to the first text of an answer.
    pub first_token: f64,
    pub tokens: usize,
    pub answers: usize,
    /// Seconds of each [`Part`].
    pub parts: [f64; 4],
}

/// The median of the rounds with the smallest and the largest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |place: usize| values.get(place).copied().unwrap_or_default();
        let (middle, last) = (values.len() / 2, values.len().saturating_sub(1));
        let median = if values.len().is_multiple_of(2) { (at(middle.saturating_sub(1)) + at(middle)) / 2.0 } else { at(middle) };
        Self { median, min: at(0), max: at(last) }
    }
}

/// One case.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SpeedRow {
    /// What was measured.
    #[serde(flatten)]
    pub case: Case,
    /// Tokens of all answers a second, from the questions to the last token.
    pub tokens_per_second: Spread,
    /// Tokens a second of the steps alone: those of all answers but each one's first, by the time that steps took.
    pub decoding_tokens_per_second: Spread,
    /// Milliseconds from the questions to the first text of an answer, the mean of the batch.
    pub first_token_ms: Spread,
    /// Milliseconds an answer of retrieval, loading, prompt and generation: medians. Retrieval and loading partly overlap the rest.
    pub parts_ms: [f64; 4],
}

/// The result of [`measure_speed`](super::measure_speed).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SpeedReport {
    /// The model.
    #[serde(flatten)]
    pub model: ModelName,
    /// What it computes in.
    pub precision: String,
    /// Path and codec of each pack.
    pub packs: Vec<(String, String)>,
    /// Turns of a conversation, of which the last was measured.
    pub turns: usize,
    /// Tokens of an answer.
    pub tokens: usize,
    /// Rounds.
    pub rounds: usize,
    /// The cases.
    pub rows: Vec<SpeedRow>,
}

impl SpeedReport {
    pub(super) fn new(
        (model, precision): (ModelName, String),
        packs: Vec<(String, String)>,
        options: &SpeedOptions,
        cases: &[Case],
        runs: &[Vec<Run>],
    ) -> Self {
        let row = |(case, runs): (&Case, &Vec<Run>)| {
            let spread = |of: fn(&Run) -> f64| Spread::of(runs.iter().map(of));
            let part = |part: usize| Spread::of(runs.iter().map(|run| 1e3 * run.parts[part] / run.answers as f64)).median;
            SpeedRow {
                case: *case,
                tokens_per_second: spread(|run| run.tokens as f64 / run.seconds),
                decoding_tokens_per_second: spread(|run| {
                    run.tokens.saturating_sub(run.answers) as f64 / run.parts[Part::Generation as usize].max(1e-9)
                }),
                first_token_ms: spread(|run| 1e3 * run.first_token),
                parts_ms: [0, 1, 2, 3].map(part),
            }
        };
        let rows = cases.iter().zip(runs).map(row).collect();
        Self { model, precision, packs, turns: options.turns, tokens: options.tokens, rounds: options.rounds, rows }
    }

    /// What a row reads, with the pack where there are several.
    pub(super) fn name(&self, case: &Case) -> String {
        if self.packs.len() > 1 { format!("{} of pack {}", case.reads, case.pack + 1) } else { case.reads.to_string() }
    }
}

/// The length of the questions, or a dash.
pub(super) fn input(case: &Case) -> String {
    case.input.map_or_else(|| "-".to_owned(), |tokens| tokens.to_string())
}

impl fmt::Display for SpeedReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}, {}, answers of {} tokens, medians of {} rounds (smallest to largest)",
            self.model, self.precision, self.tokens, self.rounds
        )?;
        if self.turns > 1 {
            writeln!(f, "the last of {} turns of a conversation", self.turns)?;
        }
        for (number, (path, codec)) in self.packs.iter().enumerate() {
            writeln!(f, "pack {}: {path}, {codec}", number + 1)?;
        }
        let [retrieval, loading, prompt, generation] = Part::ALL.map(Part::name);
        writeln!(f, "\n{:<22} {:>5} {:>5}  {:<24} {:>9} {:>9}   milliseconds an answer", "", "", "", "", "", "first")?;
        writeln!(
            f,
            "{:<22} {:>5} {:>5}  {:<24} {:>9} {:>9}   {retrieval:>9} {loading:>9} {prompt:>9} {generation:>10}",
            "reads", "batch", "input", "tokens/s", "decoding", "token ms"
        )?;
        for row in &self.rows {
            let SpeedRow { case, tokens_per_second: all, decoding_tokens_per_second: decoding, first_token_ms: first, parts_ms } = row;
            let all = format!("{:.1} ({:.1} to {:.1})", all.median, all.min, all.max);
            write!(
                f,
                "{:<22} {:>5} {:>5}  {all:<24} {:>9.1} {:>9.1}  ",
                self.name(case),
                case.batch,
                input(case),
                decoding.median,
                first.median
            )?;
            let [retrieval, loading, prompt, generation] = parts_ms;
            writeln!(f, " {retrieval:>9.1} {loading:>9.2} {prompt:>9.1} {generation:>10.1}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_ends() {
        let spread = |values: &[f64]| Spread::of(values.iter().copied());
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]), Spread { median: 2.5, min: 1.0, max: 4.0 });
        assert_eq!(spread(&[]), Spread { median: 0.0, min: 0.0, max: 0.0 });
    }
}
