//! Schedules: the learning rate, and the tokens that references keep, over the steps of a stage.

use serde::{Deserialize, Serialize};

use crate::ConfigError;
use crate::error::require;

/// The learning rate over the steps of a stage, as a share of the optimizer's rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    /// The shape of the curve.
    pub kind: ScheduleKind,
    /// Steps in which the rate rises linearly from 0.
    pub warmup: u64,
    /// The share of the steps, at the end, in which the rate falls. A cosine ignores it: it falls in all steps after the warm-up.
    pub decay: f64,
    /// The share of the rate that is left at the end.
    pub floor: f64,
}

/// The shape of a [`Schedule`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleKind {
    /// Warm-up, constant rate, linear decay (the pretraining of arXiv 2407.01178, section 3.6).
    WarmupStableDecay,
    /// Warm-up, then decay along half a cosine (the fine-tuning of the same paper).
    Cosine,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { kind: ScheduleKind::WarmupStableDecay, warmup: 20, decay: 0.35, floor: 0.03 }
    }
}

impl Schedule {
    pub(crate) fn check(&self, name: &str) -> Result<(), ConfigError> {
        require(&format!("{name}.decay"), (0.0..=1.0).contains(&self.decay), "a share from 0 to 1", self.decay)?;
        require(&format!("{name}.floor"), (0.0..=1.0).contains(&self.floor), "a share from 0 to 1", self.floor)
    }

    /// The share of the rate at step `step` (from 0) of `steps`.
    pub fn share(&self, step: u64, steps: u64) -> f64 {
        let rise = if step < self.warmup { (step + 1) as f64 / self.warmup as f64 } else { 1.0 };
        let (step, steps, warmup) = (step as f64, steps as f64, self.warmup as f64);
        let fall = match self.kind {
            ScheduleKind::WarmupStableDecay => {
                let left = 1.0 - step / steps;
                if left < self.decay { left / self.decay } else { 1.0 }
            }
            ScheduleKind::Cosine => {
                let done = ((step - warmup) / (steps - warmup).max(1.0)).clamp(0.0, 1.0);
                0.5 * (1.0 + (std::f64::consts::PI * done).cos())
            }
        };
        rise * (self.floor + (1.0 - self.floor) * fall)
    }
}

/// Tokens that a head keeps of a reference, as pairs of a first step and a number of tokens: `[[0, 128], [60, 48], [320, "budget"]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeepSchedule(pub Vec<(u64, Keep)>);

/// How many tokens heads keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Keep {
    /// This number at every head.
    Tokens(u32),
    /// What the model's `memory` block says (`tokens_per_head`).
    Budget(BudgetWord),
}

/// The word `budget`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BudgetWord {
    /// What the model's `memory` block says.
    Budget,
}

impl Default for KeepSchedule {
    /// What the model's `memory` block says, from the first step on.
    fn default() -> Self {
        Self(vec![(0, Keep::Budget(BudgetWord::Budget))])
    }
}

impl KeepSchedule {
    pub(crate) fn check(&self, name: &str) -> Result<(), ConfigError> {
        let ascending = self.0.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let whole = self.0.first().is_some_and(|(step, _)| *step == 0) && self.0.iter().all(|(_, keep)| *keep != Keep::Tokens(0));
        require(
            name,
            ascending && whole,
            "pairs of a step and a number of tokens or `budget`, the first for step 0, ascending",
            format!("{:?}", self.0),
        )
    }

    /// Tokens that every head keeps at step `step` of the stage; `None` for what the model's `memory` block says.
    pub fn at(&self, step: u64) -> Option<u32> {
        match self.0.iter().take_while(|(from, _)| *from <= step).last() {
            Some((_, Keep::Tokens(tokens))) => Some(*tokens),
            Some((_, Keep::Budget(_))) | None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_stays_and_falls() {
        let schedule = Schedule { kind: ScheduleKind::WarmupStableDecay, warmup: 10, decay: 0.2, floor: 0.1 };
        let share = |step| schedule.share(step, 100);
        assert!((share(0) - 0.1).abs() < 1e-12 && (share(4) - 0.5).abs() < 1e-12);
        assert!([9, 50, 80].into_iter().all(|step| (share(step) - 1.0).abs() < 1e-9));
        assert!((share(90) - (0.1 + 0.9 * 0.5)).abs() < 1e-9);
        assert!((schedule.share(100, 100) - 0.1).abs() < 1e-9);
        assert!((80..100).all(|step| share(step + 1) < share(step)));
    }

    #[test]
    fn half_a_cosine() {
        let schedule = Schedule { kind: ScheduleKind::Cosine, warmup: 0, decay: 0.0, floor: 0.0 };
        assert_eq!(schedule.share(0, 100), 1.0);
        assert!((schedule.share(50, 100) - 0.5).abs() < 1e-9);
        assert!(schedule.share(100, 100).abs() < 1e-9);
    }

    #[test]
    fn tokens_kept_step_down() {
        let read = |text: &str| serde_json::from_str::<KeepSchedule>(text);
        let keep = read(r#"[[0, 128], [60, 48], [320, 8], [400, "budget"]]"#).unwrap();
        keep.check("keep").unwrap();
        let at = [0, 59, 60, 319, 320, 400, 9999].map(|step| keep.at(step));
        assert_eq!(at, [Some(128), Some(128), Some(48), Some(48), Some(8), None, None]);
        assert_eq!(KeepSchedule::default().at(0), None);
        for wrong in ["[]", "[[1, 8]]", "[[0, 8], [0, 4]]", "[[0, 0]]", r#"[[1, "budget"]]"#] {
            assert!(read(wrong).unwrap().check("keep").is_err(), "{wrong}");
        }
        assert!(read(r#"[[0, "most"]]"#).is_err());
    }
}
