//! Questions about references: what a sequence asks, which references it reads, and what it answers.

mod clusters;
mod config;
mod pooled;
mod source;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use mempack_model::Model;
use mempack_numeric::Rng;

use self::clusters::Clusters;
use self::pooled::Pooled;
use self::source::SourceData;
use super::{Objective, ObjectiveConfig, Part, StageContext, StageName, TrainingBatch};
use crate::config::WriteConfig;
use crate::{ConfigError, TrainError};

pub use config::{QuestionSource, QuestionsConfig};

impl ObjectiveConfig for QuestionsConfig {
    fn check(&self, stage: StageName) -> Result<(), ConfigError> {
        Self::check(self, stage)
    }

    fn paths_mut(&mut self) -> Vec<&mut PathBuf> {
        Self::paths_mut(self)
    }

    fn write(&self) -> Option<&WriteConfig> {
        Some(&self.write)
    }

    fn length(&self) -> Option<(&'static str, usize)> {
        Some(("length", self.length))
    }

    fn no_answer(&self) -> Result<Option<String>, TrainError> {
        Self::taught_no_answer(self)
    }

    fn load(&self, context: &StageContext<'_>) -> Result<Box<dyn Objective>, TrainError> {
        Ok(Box::new(Sources::read(context, self, false)?))
    }
}

/// The sources of a stage with their weights.
pub(super) struct Sources {
    sources: Vec<(SourceData, Asking, f64)>,
    seed: u64,
    /// For each part of the stage, its source and how many parts before it have the same one; empty without clusters, where the number of
    /// the part says all.
    parts: Vec<(usize, u64)>,
}

/// How the questions of a source are chosen.
enum Asking {
    Pooled(Pooled),
    Clusters(Clusters),
}

impl Sources {
    /// Reads the sources. If `prompts`, each sequence comes with the prompt that holds its text.
    pub fn read(context: &StageContext<'_>, config: &QuestionsConfig, prompts: bool) -> Result<Self, TrainError> {
        let mut sources = Vec::with_capacity(config.sources.len());
        for (place, source) in config.sources.iter().enumerate() {
            let seed = context.seed.rotate_left(place as u32 + 1);
            let data = SourceData { prompts, ..SourceData::read(context, config, source, seed)? };
            let asking = match config.clusters {
                0 => Asking::Pooled(Pooled::new(&data)),
                _ => Asking::Clusters(Clusters::new(&data, context.size.threads)),
            };
            sources.push((data, asking, source.weight));
        }
        let mut all = Self { sources, seed: context.seed, parts: Vec::new() };
        if config.clusters > 0 {
            all.divide(context, config.repeats)?;
        }
        Ok(all)
    }

    /// Gives each part of the stage a source, none of them more parts than its questions allow.
    fn divide(&mut self, context: &StageContext<'_>, repeats: Option<u64>) -> Result<(), TrainError> {
        let per_part = context.size.sequences as u64;
        let enough = context.size.parts.saturating_mul(per_part);
        let room = |(source, asking, _): &mut (SourceData, Asking, f64)| match (asking, repeats) {
            (Asking::Clusters(clusters), Some(rounds)) => clusters.sequences(source, rounds, enough) / per_part.max(1),
            _ => u64::MAX,
        };
        let room: Vec<u64> = self.sources.iter_mut().map(room).collect();
        let mut drawn = vec![0; self.sources.len()];
        for part in 0..context.size.parts {
            let open = |place: usize| drawn[place] < room[place];
            let weights: Vec<f64> =
                self.sources.iter().enumerate().map(|(place, (_, _, weight))| if open(place) { *weight } else { 0.0 }).collect();
            if weights.iter().all(|weight| *weight == 0.0) {
                let bound = repeats.unwrap_or_default();
                let what = format!("questions for {part} of {} parts of steps, with `repeats` = {bound},", context.size.parts);
                return Err(context.no_data(what, "lower `steps` or `batch`, raise `repeats`, or give more questions"));
            }
            let place = draw(&weights, &mut Rng::for_stream(self.seed, part));
            self.parts.push((place, drawn[place]));
            drawn[place] += 1;
        }
        Ok(())
    }
}

impl Objective for Sources {
    fn batch(&mut self, model: &Model, part: Part) -> Result<TrainingBatch, TrainError> {
        let (chosen, before) = match self.parts.get(part.number as usize) {
            Some(planned) => *planned,
            None => {
                let weights: Vec<f64> = self.sources.iter().map(|(_, _, weight)| *weight).collect();
                (draw(&weights, &mut Rng::for_stream(self.seed, part.number)), part.number)
            }
        };
        let batch = match self.sources.get_mut(chosen) {
            Some((source, Asking::Pooled(pooled), _)) => pooled.batch(source, model, part)?,
            Some((source, Asking::Clusters(clusters), _)) => {
                clusters.batch(source, model, before * part.sequences as u64, part.sequences)?
            }
            None => TrainingBatch::default(),
        };
        Ok(TrainingBatch { source: chosen, ..batch })
    }
}

/// Draws a place by weight.
fn draw(weights: &[f64], rng: &mut Rng) -> usize {
    let total: f64 = weights.iter().sum();
    let mut left = rng.uniform() * total;
    for (place, weight) in weights.iter().enumerate() {
        left -= weight;
        if left < 0.0 {
            return place;
        }
    }
    weights.iter().rposition(|weight| *weight > 0.0).unwrap_or_default()
}
