//! Aggregates outcomes into the report.

use std::collections::BTreeMap;

use mempack_model::AnswerMeasure;
use mempack_runtime::MappedPack;

use crate::bootstrap::interval;
use crate::contender::Setting;
use crate::metrics::{Words, abstains};
use crate::models::ModelName;
use crate::options::{QuestionOptions, Sweep};
use crate::outcome::{Asked, HIT_AT, Outcome};
use crate::report::{Gain, ModeReport, PairedDifference, QuestionReport, SweepPoint, Sweeps, Unanswerable};
use crate::selective::{Judged, Selective};
use crate::{Mode, Models, Question};

/// The pairs of modes whose differences are reported.
const PAIRS: [(Mode, Mode); 3] = [(Mode::Memory, Mode::InContext), (Mode::MemoryQuantized, Mode::Memory), (Mode::Memory, Mode::ClosedBook)];

/// Counts and outcomes collected while questions are answered.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    questions: usize,
    left_out: usize,
    with_gold: usize,
    ranks: Vec<usize>,
    settings: BTreeMap<Setting, Vec<ScoredOutcome>>,
}

/// The numbers of an outcome that the report needs.
#[derive(Clone, Debug)]
struct ScoredOutcome {
    /// Number of the question, by which outcomes of two settings are paired.
    question: usize,
    answerable: bool,
    /// The answer before it was withheld; `None` if the prompt was too long.
    judged: Option<Judged>,
    exact_match: f64,
    f1: f64,
    novel: Option<f64>,
    in_references: bool,
    integrated: Option<bool>,
    seconds: f64,
    first_token_seconds: Option<f64>,
    prompt_tokens: usize,
    answer_tokens: usize,
    too_long: bool,
}

impl Tally {
    pub fn add(&mut self, asked: &Asked, question: &Question, measure: AnswerMeasure) {
        let number = self.questions;
        self.questions += 1;
        self.left_out += asked.left_out;
        if !question.gold_ids.is_empty() {
            self.with_gold += 1;
            self.ranks.extend(asked.gold_rank);
        }
        for outcome in &asked.outcomes {
            self.settings.entry(outcome.setting).or_default().push(ScoredOutcome::of(outcome, number, question.answerable, measure));
        }
    }

    /// The report. `own` are the settings of the modes, without those of the sweeps.
    pub fn report(&self, own: &[Setting], options: &QuestionOptions, models: &Models<'_>, pack: &MappedPack) -> QuestionReport {
        let outcomes = |setting: &Setting| self.settings.get(setting).map_or(&[][..], Vec::as_slice);
        let hit = |n: usize| self.ranks.iter().filter(|rank| **rank <= n).count();
        let share = |n: usize| (self.with_gold > 0).then(|| n as f64 / self.with_gold as f64);
        let of = |mode: Mode| own.iter().find(|setting| setting.mode == mode).map(&outcomes);
        let mut differences = Vec::new();
        for (left, right) in PAIRS {
            if let (Some(a), Some(b)) = (of(left), of(right)) {
                for (metric, value) in METRICS {
                    let interval = interval(&paired(a, b, value));
                    differences.extend(interval.map(|interval| PairedDifference { left, right, metric, interval }));
                }
            }
        }
        // A point of a sweep differs from the setting of its mode only in the parameter that is varied.
        let points = |sweep: Sweep, modes: &[Mode], vary: &dyn Fn(Setting, Setting) -> Setting| -> Vec<SweepPoint> {
            let wanted = |s: &Setting| modes.contains(&s.mode) && own.first().is_some_and(|&own| vary(own, *s) == *s);
            let all = self.settings.iter().filter(|(setting, _)| options.sweeps.contains(&sweep) && wanted(setting));
            all.map(|(setting, outcomes)| SweepPoint { setting: *setting, figures: figures(outcomes, options.threshold) }).collect()
        };
        let modes: BTreeMap<Mode, ModeReport> =
            own.iter().map(|setting| (setting.mode, figures(outcomes(setting), options.threshold))).collect();
        let first = own.first();
        let k = first.map_or(0, |setting| setting.k);
        let written = [Mode::Memory];
        QuestionReport {
            questions: self.questions,
            pack: pack.id().to_string(),
            model: ModelName::of(models.model),
            retrieving: models.retrieving(),
            k,
            overlap: options.overlap,
            left_out: self.left_out,
            max_tokens: options.max_tokens,
            measure: options.measure.name(),
            threshold: options.threshold,
            gain: gain(&modes),
            modes,
            hit_at: HIT_AT.into_iter().map(|n| (n, share(hit(n)))).collect(),
            hit_n: self.with_gold,
            differences,
            sweep: Sweeps {
                k: points(Sweep::K, &[Mode::Memory, Mode::MemoryQuantized, Mode::InContext], &|own, s| Setting {
                    mode: s.mode,
                    k: s.k,
                    ..own
                }),
                tokens: points(Sweep::Tokens, &written, &|own, s| Setting { mode: s.mode, tokens: s.tokens, ..own }),
                bias: points(Sweep::Bias, &written, &|own, s| Setting { mode: s.mode, similarity_bias: s.similarity_bias, ..own }),
                margin: points(Sweep::Margin, &written, &|own, s| Setting { mode: s.mode, similarity_margin: s.similarity_margin, ..own }),
            },
        }
    }
}

/// A metric's name and its value for an outcome.
type Metric = (&'static str, fn(&ScoredOutcome) -> f64);

const METRICS: [Metric; 2] = [("exact_match", |outcome| outcome.exact_match), ("f1", |outcome| outcome.f1)];

impl ScoredOutcome {
    fn of(outcome: &Outcome, question: usize, answerable: bool, measure: AnswerMeasure) -> Self {
        Self {
            question,
            answerable,
            judged: judged(outcome, answerable, measure),
            exact_match: outcome.exact_match,
            f1: outcome.f1,
            novel: outcome.novel,
            in_references: outcome.in_references,
            integrated: outcome.integrated,
            seconds: outcome.seconds,
            first_token_seconds: outcome.first_token_seconds,
            prompt_tokens: outcome.prompt_tokens,
            answer_tokens: outcome.answer_tokens,
            too_long: outcome.too_long,
        }
    }
}

/// The answer as the model gave it, withheld or not.
fn judged(outcome: &Outcome, answerable: bool, measure: AnswerMeasure) -> Option<Judged> {
    let (answer, exact_match) =
        outcome.withheld.as_ref().map_or((&outcome.answer, outcome.exact_match), |withheld| (&withheld.answer, withheld.exact_match));
    let (right, abstains) = (exact_match > 0.0, abstains(&Words::of(answer)));
    Some(Judged { confidence: outcome.confidence_by(measure)?, answerable, right, abstains })
}

/// The gain of the pack's memories over texts in the prompt.
fn gain(modes: &BTreeMap<Mode, ModeReport>) -> Option<Gain> {
    let (memory, context) = (modes.get(&Mode::MemoryQuantized)?, modes.get(&Mode::InContext)?);
    Some(Gain {
        questions_per_second: memory.questions_per_second? / context.questions_per_second?,
        first_token: memory.first_token_ms? / context.first_token_ms?,
    })
}

/// The differences between two settings, on the questions that both answered.
fn paired(left: &[ScoredOutcome], right: &[ScoredOutcome], value: fn(&ScoredOutcome) -> f64) -> Vec<f64> {
    let right: BTreeMap<usize, f64> = right.iter().map(|outcome| (outcome.question, value(outcome))).collect();
    left.iter().filter_map(|outcome| Some(value(outcome) - right.get(&outcome.question)?)).collect()
}

fn figures(outcomes: &[ScoredOutcome], threshold: Option<f64>) -> ModeReport {
    let values = |value: fn(&ScoredOutcome) -> f64| outcomes.iter().map(value).collect::<Vec<f64>>();
    let [exact, f1] = METRICS.map(|(_, value)| interval(&values(value)));
    let share = |flags: Vec<bool>| mean(&flags.into_iter().map(|flag| f64::from(u8::from(flag))).collect::<Vec<_>>());
    let without: Vec<f64> = outcomes.iter().filter(|outcome| !outcome.answerable).map(|outcome| outcome.exact_match).collect();
    let seconds: f64 = values(|outcome| outcome.seconds).iter().sum();
    ModeReport {
        exact_match: exact.map(|interval| interval.mean),
        f1: f1.map(|interval| interval.mean),
        n: outcomes.len(),
        exact_match_interval: exact.map(|interval| [interval.low, interval.high]),
        f1_interval: f1.map(|interval| [interval.low, interval.high]),
        unanswerable: mean(&without).map(|exact_match| Unanswerable { exact_match, n: without.len() }),
        selective: Selective::of(&outcomes.iter().filter_map(|outcome| outcome.judged).collect::<Vec<_>>(), threshold),
        novel_information: mean(&outcomes.iter().filter_map(|outcome| outcome.novel).collect::<Vec<_>>()),
        in_references: share(outcomes.iter().map(|outcome| outcome.in_references).collect()),
        integration: share(outcomes.iter().filter_map(|outcome| outcome.integrated).collect()),
        questions_per_second: (seconds > 0.0).then(|| outcomes.len() as f64 / seconds),
        first_token_ms: median(outcomes.iter().filter_map(|outcome| outcome.first_token_seconds).collect()).map(|seconds| 1e3 * seconds),
        prompt_tokens: mean(&values(|outcome| outcome.prompt_tokens as f64)),
        answer_tokens: mean(&values(|outcome| outcome.answer_tokens as f64)),
        too_long: outcomes.iter().filter(|outcome| outcome.too_long).count(),
    }
}

pub(crate) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The middle value, or the mean of the two middle values; `None` without values.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len() % 2 == 1 { upper } else { (values[middle - 1] + upper) / 2.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(question: usize, exact_match: f64) -> ScoredOutcome {
        ScoredOutcome {
            question,
            answerable: true,
            judged: Some(Judged { confidence: -1.0, answerable: true, right: exact_match > 0.0, abstains: false }),
            exact_match,
            f1: exact_match,
            novel: None,
            in_references: false,
            integrated: None,
            seconds: 0.5,
            first_token_seconds: Some(0.1 * (question + 1) as f64),
            prompt_tokens: 10,
            answer_tokens: 2,
            too_long: false,
        }
    }

    #[test]
    fn pairs_are_those_that_both_answered() {
        let left = [scored(0, 1.0), scored(1, 1.0), scored(3, 0.0)];
        let right = [scored(1, 0.0), scored(2, 1.0), scored(3, 1.0)];
        assert_eq!(paired(&left, &right, |outcome| outcome.exact_match), [1.0, -1.0]);
    }

    #[test]
    fn gain_is_a_ratio_of_both() {
        let fast: Vec<ScoredOutcome> = [0, 1].map(|i| ScoredOutcome { seconds: 0.25, ..scored(i, 0.0) }).into();
        let slow = [ScoredOutcome { first_token_seconds: Some(0.4), ..scored(0, 0.0) }];
        let mut modes = BTreeMap::from([(Mode::MemoryQuantized, figures(&fast, None))]);
        assert_eq!(gain(&modes), None);
        modes.insert(Mode::InContext, figures(&slow, None));
        let Gain { questions_per_second, first_token } = gain(&modes).unwrap();
        assert!((questions_per_second - 2.0).abs() < 1e-9 && (first_token - 0.15 / 0.4).abs() < 1e-9);
    }

    #[test]
    fn figures_of_a_few_outcomes() {
        let mut all: Vec<ScoredOutcome> = (0..4).map(|i| scored(i, f64::from(u8::from(i == 0)))).collect();
        all[1].novel = Some(0.5);
        all[2].integrated = Some(true);
        all[3].integrated = Some(false);
        all[3].answerable = false;
        all[3].too_long = true;
        let found = figures(&all, None);
        assert_eq!((found.n, found.exact_match, found.f1, found.too_long), (4, Some(0.25), Some(0.25), 1));
        assert_eq!((found.novel_information, found.integration, found.in_references), (Some(0.5), Some(0.5), Some(0.0)));
        assert_eq!(found.selective.and_then(|selective| selective.area), Some(0.25));
        assert_eq!(found.unanswerable, Some(Unanswerable { exact_match: 0.0, n: 1 }));
        assert_eq!((found.questions_per_second, found.prompt_tokens), (Some(2.0), Some(10.0)));
        assert!((found.first_token_ms.unwrap() - 250.0).abs() < 1e-9);
        let nothing = figures(&[], None);
        assert_eq!((nothing.n, nothing.exact_match, nothing.first_token_ms), (0, None, None));
    }
}
