//! A run: its stages and their steps.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use mempack_model::training::{AdamW, Trainee};
use mempack_model::{DeviceChoice, Embedder, LoadOptions, Precision};

use crate::checkpoint::{self, RunState};
use crate::config::StageConfig;
use crate::divergence::RunningMeans;
use crate::fit::fit;
use crate::log::Log;
use crate::scratch;
use crate::stages::{Objective, Part, StageContext, StageSize, StageStart, TrainingBatch};
use crate::{LogLine, TrainConfig, TrainError, TrainProgress};

/// The result of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainReport {
    /// The folder of the adapter or model.
    pub folder: PathBuf,
    /// Steps done by this call: fewer than all if the run was resumed.
    pub steps: u64,
    /// The last of these steps.
    pub last: Option<LogLine>,
}

/// A run in progress.
struct TrainingRun<'a> {
    config: &'a TrainConfig,
    trainee: Trainee,
    optimizer: AdamW,
    embedder: Option<Embedder>,
    /// The batches of the next step, with its number.
    next: Option<(u64, Vec<TrainingBatch>)>,
    state: RunState,
    log: Log,
    progress: &'a dyn TrainProgress,
}

/// Runs the training that `config` describes, from the latest checkpoint in its output folder if there is one.
///
/// An interrupted run resumes to the same losses, bit for bit, on the same machine with the same number of threads: the batches of a step
/// depend on its number and the seed alone, and the state of the optimizer is saved exactly. Noise on memories is drawn from libtorch's
/// generator, of which a process has one, so two runs in one process disturb each other.
///
/// # Errors
/// [`TrainError`]; on [`Interrupted`](TrainError::Interrupted) a checkpoint has been written.
pub fn train(
    config: &TrainConfig,
    device: DeviceChoice,
    progress: &dyn TrainProgress,
    cancel: &AtomicBool,
) -> Result<TrainReport, TrainError> {
    let precision = config.precision()?;
    std::fs::create_dir_all(&config.output).map_err(TrainError::io(&config.output))?;
    mempack_model::set_threads(config.threads);
    let load = LoadOptions { precision, device, base: config.base.clone(), memory: config.memory.clone() };
    let mut trainee = Trainee::load(&scratch::start(config, progress)?, &load, &config.learning())?;
    fit(&config.stages, &mut trainee)?;
    let embedder = match &config.embedder {
        Some(folder) => Some(Embedder::load(folder, &LoadOptions { precision, device, ..LoadOptions::default() })?),
        None => None,
    };
    let mut optimizer = AdamW::new(config.optimizer, &trainee)?;
    let identity = identity(config);
    let state = match checkpoint::restore(&config.output, None, &identity, &mut trainee, &mut optimizer)? {
        Some(state) => {
            progress.note(&format!("resuming after step {} of {}", state.step, config.steps()));
            state
        }
        None => RunState { run: identity, step: 0, optimizer_steps: 0, rate_share: 1.0, tries: 0, means: RunningMeans::default() },
    };
    let log = Log::open(&config.output, state.step)?;
    let mut run = TrainingRun { config, trainee, optimizer, embedder, next: None, state, log, progress };
    if run.state.step == 0 {
        // The first step needs a checkpoint to go back to.
        run.save()?;
    }
    run.run_stages(cancel)
}

/// The identity of a run: the configuration that its steps depend on, as JSON. The output folder and the checkpoint settings do not count.
fn identity(config: &TrainConfig) -> String {
    let mut own = config.clone();
    own.output = PathBuf::new();
    own.checkpoints = Default::default();
    serde_json::to_string(&own).unwrap_or_default()
}

impl TrainingRun<'_> {
    fn run_stages(mut self, cancel: &AtomicBool) -> Result<TrainReport, TrainError> {
        let begun = self.state.step;
        let mut last = None;
        // After a divergence, training may go back to an earlier stage.
        while let Some(stage) = stage_of(self.config, self.state.step) {
            last = self.run_stage(stage, cancel)?.or(last);
        }
        let folder = self.config.output.join("final");
        if !folder.exists() {
            self.trainee.save(&folder, Precision::Bf16)?;
        }
        Ok(TrainReport { folder, steps: self.state.step.saturating_sub(begun), last })
    }

    /// Does the steps of a stage, until it ends or training goes back to an earlier one. Returns the last step done.
    fn run_stage(&mut self, stage: StageSteps<'_>, cancel: &AtomicBool) -> Result<Option<LogLine>, TrainError> {
        let mut objective = stage.config.learn.objective().load(&StageContext {
            model: self.trainee.model(),
            embedder: self.embedder.as_ref(),
            stage: stage.number,
            seed: self.config.seed ^ (stage.number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15),
            size: StageSize {
                parts: stage.config.steps.saturating_mul(stage.config.accumulate as u64),
                sequences: stage.config.batch / stage.config.accumulate,
                threads: self.config.threads,
            },
            cache: &self.config.output,
            progress: self.progress,
        })?;
        objective.begin(
            &self.trainee,
            &StageStart {
                number: stage.number,
                steps: self.state.step - stage.first,
                run: &self.state.run,
                folder: &self.config.output,
                progress: self.progress,
            },
        )?;
        let mut last = None;
        while stage.steps().contains(&self.state.step) {
            let line = self.step(stage, objective.as_mut())?;
            if let Some(line) = line {
                self.log.push(&line)?;
                self.progress.step(&line, self.config.steps());
                let every = self.config.checkpoints.every;
                let ends = self.state.step == stage.steps().end;
                // A checkpoint must not hold weights that may be ruined.
                let due = self.state.step.is_multiple_of(every) && self.state.means.calm();
                if due || ends || cancel.load(Ordering::Relaxed) {
                    self.save()?;
                }
                last = Some(line);
            }
            if cancel.load(Ordering::Relaxed) {
                return Err(TrainError::Interrupted { step: self.state.step });
            }
        }
        Ok(last)
    }

    /// Does one step. Returns `None` if the loss diverged and training went back to a checkpoint.
    fn step(&mut self, stage: StageSteps<'_>, objective: &mut dyn Objective) -> Result<Option<LogLine>, TrainError> {
        let started = Instant::now();
        let step = self.state.step - stage.first;
        if step == 0 {
            // The loss of one stage says nothing about the next.
            self.state.means = RunningMeans::default();
        }
        // Noise on memories is the same whether or not the run was resumed here.
        self.trainee.seed(self.config.seed.wrapping_add(self.state.step));
        let batches = match self.next.take() {
            Some((number, batches)) if number == self.state.step => batches,
            _ => self.batches(stage.config, step, objective)?,
        };
        let terms: usize = batches.iter().map(|batch| objective.terms(batch)).sum();
        let write = stage.config.learn.objective().write().map(|write| write.options(step));
        let mut losses = Vec::with_capacity(batches.len());
        for batch in &batches {
            let references: Vec<&[u32]> = batch.references.iter().map(Vec::as_slice).collect();
            let written = match &write {
                Some(options) if !references.is_empty() => Some(self.trainee.write(&references, options)?),
                _ => None,
            };
            let part = objective.loss(&self.trainee, batch, written.as_ref())?;
            // The mean is over the terms of the whole step, however they are split into parts.
            part.backward(1.0 / terms as f64)?;
            losses.push(part);
        }
        if step + 1 < stage.config.steps {
            // The next step's batches are made while a GPU still computes this one.
            self.next = Some((self.state.step + 1, self.batches(stage.config, step + 1, objective)?));
        }
        let (mut loss, mut tokens, mut right, mut exact, mut sequences) = (0.0, 0, 0, 0, 0);
        let mut part_losses = Vec::with_capacity(batches.len());
        for (part, batch) in losses.iter().zip(&batches) {
            let (sum, hits) = (part.sum()?, part.hits()?);
            part_losses.push((batch.source, sum / objective.terms(batch) as f64));
            loss += sum / terms as f64;
            tokens += hits.tokens;
            right += hits.right;
            exact += hits.exact.iter().filter(|exact| **exact).count();
            sequences += hits.exact.len();
        }
        let rate = self.config.optimizer.rate * stage.config.schedule.share(step, stage.config.steps) * self.state.rate_share;
        let rules = self.config.divergence;
        // The means that a diverged step adds to are replaced by those of the checkpoint.
        if part_losses.iter().any(|(source, loss)| self.state.means.add(&rules, *source, *loss)) {
            self.trainee.clear_gradients()?;
            self.go_back(loss)?;
            return Ok(None);
        }
        let gradient = self.optimizer.step(&mut self.trainee, rate)?;
        if !gradient.is_finite() {
            self.go_back(loss)?;
            return Ok(None);
        }
        self.state.step += 1;
        Ok(Some(LogLine {
            step: self.state.step,
            stage: stage.number,
            loss,
            right: right as f64 / tokens as f64,
            exact: exact as f64 / sequences as f64,
            gradient,
            rate,
            kept: write.map_or(0, |w| w.keep.unwrap_or(self.trainee.model().decoder().shape().tokens)),
            tokens: batches.iter().map(TrainingBatch::tokens).sum(),
            seconds: started.elapsed().as_secs_f64(),
        }))
    }

    /// The batches of step `step` of a stage.
    fn batches(&self, stage: &StageConfig, step: u64, objective: &mut dyn Objective) -> Result<Vec<TrainingBatch>, TrainError> {
        let parts = stage.accumulate as u64;
        let sequences = stage.batch / stage.accumulate;
        let part = |part| Part { number: step * parts + part, sequences };
        (0..parts).map(|number| objective.batch(self.trainee.model(), part(number))).collect()
    }

    /// Goes back to the last checkpoint with a lower learning rate.
    ///
    /// A checkpoint of the current step is skipped and removed: it holds the weights that diverged, and would diverge again at any rate.
    fn go_back(&mut self, loss: f64) -> Result<(), TrainError> {
        let rules = self.config.divergence;
        let (step, tries, share) = (self.state.step, self.state.tries + 1, self.state.rate_share * rules.cut);
        if tries > rules.tries {
            return Err(TrainError::Diverged { step, loss, tries: self.state.tries });
        }
        let Self { config, state, trainee, optimizer, .. } = self;
        let Some(state) = checkpoint::restore(&config.output, Some(step), &state.run, trainee, optimizer)? else {
            return Err(TrainError::Diverged { step, loss, tries: self.state.tries });
        };
        self.state = state;
        self.state.tries = tries;
        self.state.rate_share = share;
        self.log = Log::open(&self.config.output, self.state.step)?;
        let back = self.state.step;
        self.progress.note(&format!("the loss diverged at step {}: {loss:.3}; back to step {back}, with {share} of the rate", step + 1));
        // Saved at once, so that a run interrupted now does not repeat the divergence.
        checkpoint::write_state(&self.config.output, &self.state)?;
        checkpoint::remove_after(&self.config.output, back)
    }

    fn save(&mut self) -> Result<(), TrainError> {
        if checkpoint::exists(&self.config.output, self.state.step) {
            return Ok(());
        }
        self.state.optimizer_steps = self.optimizer.steps();
        checkpoint::write(&self.config.output, &self.state, &self.trainee, &self.optimizer, self.config.checkpoints.keep)
    }
}

/// A stage with its place in the run.
#[derive(Clone, Copy)]
struct StageSteps<'a> {
    /// Its number, from 0.
    number: usize,
    config: &'a StageConfig,
    /// The number of its first step over all stages.
    first: u64,
}

impl StageSteps<'_> {
    /// Its steps, numbered over all stages.
    fn steps(&self) -> Range<u64> {
        self.first..self.first + self.config.steps
    }
}

/// The stage that a step belongs to; `None` if all stages are done.
fn stage_of(config: &TrainConfig, step: u64) -> Option<StageSteps<'_>> {
    let mut first = 0;
    for (number, config) in config.stages.iter().enumerate() {
        let stage = StageSteps { number, config, first };
        if stage.steps().contains(&step) {
            return Some(stage);
        }
        first += config.steps;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAGES: &str = r#"
model = "model"
embedder = "embedder"
output = "run"
seed = 12
adapter = { rank = 2, alpha = 4.0, targets = ["q_proj"] }
checkpoints = { every = 7, keep = 1 }
[[stage]]
steps = 2
batch = 4
accumulate = 2
schedule = { kind = "cosine", warmup = 1 }
learn = { kind = "text", corpora = ["a.jsonl", "folder"], length = 48 }
[[stage]]
steps = 3
batch = 8
learn = { kind = "copy", length = 64 }
[[stage]]
steps = 3
batch = 8
learn = { kind = "copy", period = [2, 9], length = 24 }
[[stage]]
steps = 4
batch = 2
[stage.learn]
kind = "continual"
write = { keep = [[0, 16], [2, 8]] }
corpora = ["a.jsonl"]
references = ["b.jsonl", "/absolute/c.jsonl"]
length = 128
[[stage]]
steps = 4
batch = 2
[stage.learn]
kind = "continual"
corpora = ["a.jsonl"]
references = ["b.jsonl"]
length = 128
previous = 2
overlap = 0.5
write = { keep = [[0, 16]], selection_gradient = true, noise = [0.02, 0.05] }
[[stage]]
steps = 5
batch = 6
[stage.learn]
kind = "questions"
pool = 4
reads = [1, 2, 3]
questions = 2
length = 96
write = { keep = [[0, 128]] }
[[stage.learn.sources]]
corpora = ["fiction/corpus.jsonl"]
questions = ["fiction/questions.jsonl"]
[[stage]]
steps = 5
batch = 6
[stage.learn]
kind = "questions"
pool = 4
reads = [1]
questions = 2
length = 96
no_answer = "No reference says."
withheld = 0.125
write = { keep = [[0, 128]], noise = [0.0, 0.1] }
[[stage.learn.sources]]
corpora = ["one.jsonl"]
questions = ["one/questions.jsonl", "more.jsonl"]
weight = 0.3
[[stage.learn.sources]]
corpora = ["two.jsonl"]
questions = ["two/questions.jsonl"]
"#;

    /// Checkpoints hold this text: if it changes, runs that have begun cannot be resumed.
    #[test]
    fn the_identity_of_a_run_does_not_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.toml");
        std::fs::write(&path, STAGES).unwrap();
        let found = identity(&TrainConfig::read(&path).unwrap()).replace(folder.path().to_str().unwrap(), "FOLDER");
        assert_eq!(found, include_str!("../tests/identity.json").trim_end());
    }
}
