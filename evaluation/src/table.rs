//! Reports as text tables.

use std::fmt::{self, Display, Formatter};

use crate::choices::ChoiceReport;
use crate::perplexity::PerplexityReport;
use crate::report::{ModeReport, PairedDifference, QuestionReport};
use crate::selective::Declined;
use crate::suite::{SettingReport, SuiteReport};

/// Width of the column of names, in characters.
const NAMES: usize = 24;

/// A share or a mean with three decimals, or a dash.
fn share(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{value:.3}"))
}

/// A larger number with one decimal, or a dash.
fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{value:.1}"))
}

fn row(f: &mut Formatter<'_>, name: impl Display, cells: &[String]) -> fmt::Result {
    write!(f, "{name:<NAMES$}")?;
    cells.iter().try_for_each(|cell| write!(f, " {cell:>9}"))?;
    writeln!(f)
}

fn head(f: &mut Formatter<'_>, name: &str, columns: &[&str]) -> fmt::Result {
    row(f, name, &columns.iter().map(|column| (*column).to_owned()).collect::<Vec<_>>())
}

fn cells(figures: &ModeReport) -> Vec<String> {
    vec![
        share(figures.exact_match),
        share(figures.f1),
        figures.n.to_string(),
        share(figures.in_references),
        share(figures.integration),
        share(figures.novel_information),
        number(figures.prompt_tokens),
        share(figures.questions_per_second),
        number(figures.first_token_ms),
    ]
}

const COLUMNS: [&str; 9] = ["exact", "F1", "n", "in refs", "integr.", "novel", "prompt", "q/s", "first ms"];

/// The number that is printed for a threshold. It is rounded down: a larger one would lose more answers.
fn rounded_down(threshold: f64) -> f64 {
    (threshold * 1e4).floor() / 1e4
}

impl Display for Declined {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { threshold, lost, right, unanswerable_declined, unanswerable } = self;
        write!(f, "threshold {:.4} loses {lost} of {right} right answers", rounded_down(*threshold))?;
        if let Some(declined) = self.declined_share() {
            write!(f, " and declines {unanswerable_declined} of {unanswerable} questions without an answer ({declined:.3})")?;
        }
        Ok(())
    }
}

fn differences(f: &mut Formatter<'_>, all: &[PairedDifference]) -> fmt::Result {
    if all.is_empty() {
        return Ok(());
    }
    writeln!(f, "\npaired differences, with 95% bootstrap intervals:")?;
    for PairedDifference { left, right, metric, interval } in all {
        let name = format!("{left} - {right}");
        writeln!(f, "{name:<36} {metric:<20} {:+.3} [{:+.3}, {:+.3}]", interval.mean, interval.low, interval.high)?;
    }
    Ok(())
}

impl Display for QuestionReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} questions, {} references each, model {}, pack {}", self.questions, self.k, self.model, self.pack)?;
        write!(f, "{}", self.retrieving)?;
        let hits: Vec<String> = self.hit_at.iter().map(|(n, share_of)| format!("{} at {n}", share(*share_of))).collect();
        writeln!(f, "gold document retrieved: {} (of {})", hits.join(", "), self.hit_n)?;
        if self.left_out > 0 {
            writeln!(f, "{} references left out because they repeat the question", self.left_out)?;
        }
        if let Some(threshold) = self.threshold {
            writeln!(f, "answers from references are withheld below {} {threshold}, and count as abstaining", self.measure)?;
        }
        writeln!(f)?;
        head(f, "mode", &COLUMNS)?;
        for (mode, figures) in &self.modes {
            row(f, mode, &cells(figures))?;
        }
        for (mode, figures) in &self.modes {
            if let Some(without) = figures.unanswerable {
                writeln!(f, "{mode}: abstains on {:.3} of {} questions without an answer", without.exact_match, without.n)?;
            }
            if let Some(selective) = &figures.selective {
                write!(f, "{mode}: area under precision over coverage {}", share(selective.area))?;
                match (selective.given, selective.chosen) {
                    (Some(declined), _) | (None, Some(declined)) => writeln!(f, "; {declined}")?,
                    (None, None) => writeln!(f)?,
                }
            }
            if figures.too_long > 0 {
                writeln!(f, "{mode}: {} prompts were too long for the model", figures.too_long)?;
            }
        }
        if let Some(gain) = self.gain {
            let (rate, first) = (gain.questions_per_second, gain.first_token);
            writeln!(
                f,
                "memory_quantized relative to in_context: {rate:.2} times the questions per second, {first:.2} times the time to the first text"
            )?;
        }
        differences(f, &self.differences)?;
        for (what, points, step) in self.sweep.series() {
            writeln!(f, "\n{what}")?;
            head(f, "", &COLUMNS)?;
            for point in points {
                row(f, format!("{} {}", point.setting.mode, step(&point.setting)), &cells(&point.figures))?;
            }
        }
        Ok(())
    }
}

impl Display for ChoiceReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} questions with choices, model {}", self.questions, self.model)?;
        writeln!(f, "{}", self.retrieving)?;
        head(f, "mode", &["MC1", "MC2", "accuracy", "by byte"])?;
        for (mode, s) in &self.modes {
            row(f, mode, &[s.mc1, s.mc2, s.accuracy, s.accuracy_normalised].map(share))?;
        }
        differences(f, &self.differences)
    }
}

impl Display for SuiteReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let packs = if self.packs.is_empty() { "no pack".into() } else { format!("packs {}", self.packs.join(", ")) };
        writeln!(f, "suite {}, model {} ({} parameters), {packs}", self.suite, self.model, self.parameters)?;
        write!(f, "{}", self.retrieving)?;
        for task in &self.tasks {
            let (name, second) = match task.metric {
                "mc1" => ("MC1", ("MC2", "mc2")),
                "accuracy" => ("accuracy", ("by byte", "accuracy_normalised")),
                _ => ("by byte", ("in all", "accuracy")),
            };
            writeln!(f, "\n{}: {} questions; low and high bound the 95% bootstrap interval", task.task, task.questions)?;
            head(f, "mode, memories", &[name, "low", "high", "gain", second.0, "hit rate", "integr.", "lost", "novel"])?;
            for setting in &task.settings {
                let score = setting.scores.get(task.metric);
                let gain = setting.gains.get(task.metric).map_or_else(|| "-".into(), |gain| format!("{:+.3}", gain.mean));
                let mut cells = [score.map(|s| s.mean), score.map(|s| s.low), score.map(|s| s.high)].map(share).to_vec();
                cells.push(gain);
                let SettingReport { hit_rate, integration, lost, novel_information, .. } = setting;
                let second = setting.scores.get(second.1).map(|score| score.mean);
                cells.extend([second, *hit_rate, *integration, *lost, *novel_information].map(share));
                row(f, format!("{} {}", setting.mode, setting.memories), &cells)?;
            }
        }
        Ok(())
    }
}

impl Display for PerplexityReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} tokens in {} windows of {} texts, model {}", self.tokens, self.windows, self.texts, self.model)?;
        writeln!(f, "{}", self.retrieving)?;
        head(f, "mode", &["perplex.", "nats/tok", "bits/byte"])?;
        for (mode, p) in &self.modes {
            row(f, mode, &[p.perplexity, p.nats_per_token, p.bits_per_byte].map(|value| share(Some(value))))?;
        }
        differences(f, &self.differences)
    }
}
