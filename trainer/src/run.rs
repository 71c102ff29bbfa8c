//! A run: stage after stage, step after step.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use mempack_model::training::{AdamW, Trainee, WriteOptions};
use mempack_model::{DeviceChoice, Embedder, LoadOptions, Precision};

use crate::batch::Batch;
use crate::checkpoint::{self, State};
use crate::config::{Learn, StageConfig};
use crate::data::Data;
use crate::divergence::Means;
use crate::log::Log;
use crate::scratch;
use crate::{LogLine, Progress, TrainConfig, TrainError};

/// What a run came to.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainReport {
    /// The adapter, or the model.
    pub folder: PathBuf,
    /// Steps done by this call; fewer than all where it went on from a checkpoint.
    pub steps: u64,
    /// The last step.
    pub last: Option<LogLine>,
}

/// What changes as a run goes on.
struct Run<'a> {
    config: &'a TrainConfig,
    trainee: Trainee,
    optimizer: AdamW,
    embedder: Option<Embedder>,
    /// The batches of a step to come, and its number.
    ahead: Option<(u64, Vec<Batch>)>,
    state: State,
    log: Log,
    progress: &'a dyn Progress,
}

/// Trains as `config` says, from the latest checkpoint in its output folder if there is one.
///
/// A run that was broken off at any point goes on to the same losses, bit for bit, on the same machine and number of threads: what
/// a step learns from depends on its number and the seed alone, and the state of the optimizer is saved exactly. Noise on memories is
/// drawn from libtorch's generator, which is one for the whole process: runs beside each other in one process would disturb each other.
///
/// # Errors
/// [`TrainError`]; on [`Interrupted`](TrainError::Interrupted) a checkpoint has been written.
pub fn train(config: &TrainConfig, device: DeviceChoice, progress: &dyn Progress, cancel: &AtomicBool) -> Result<TrainReport, TrainError> {
    let precision = config.precision()?;
    std::fs::create_dir_all(&config.output).map_err(TrainError::io(&config.output))?;
    mempack_model::set_threads(config.threads);
    let load = LoadOptions { precision, device, base: config.base.clone(), memory: config.memory.clone() };
    let mut trainee = Trainee::load(&scratch::start(config, progress)?, &load, &config.learning())?;
    let embedder = match &config.embedder {
        Some(folder) => Some(Embedder::load(folder, &LoadOptions { precision, device, ..LoadOptions::default() })?),
        None => None,
    };
    let mut optimizer = AdamW::new(config.optimizer, &trainee)?;
    let identity = identity(config);
    let state = match checkpoint::restore(&config.output, None, &identity, &mut trainee, &mut optimizer)? {
        Some(state) => {
            progress.note(&format!("going on after step {} of {}", state.step, config.steps()));
            state
        }
        None => State { run: identity, step: 0, optimizer_steps: 0, rate_share: 1.0, tries: 0, means: Means::default() },
    };
    let log = Log::open(&config.output, state.step)?;
    let mut run = Run { config, trainee, optimizer, embedder, ahead: None, state, log, progress };
    if run.state.step == 0 {
        // There is a place to go back to from the first step on.
        run.save()?;
    }
    run.all(cancel)
}

/// What the steps depend on, as text. Where the run lies and how often it is saved is no part of it.
fn identity(config: &TrainConfig) -> String {
    let mut own = config.clone();
    own.output = PathBuf::new();
    own.checkpoints = Default::default();
    serde_json::to_string(&own).unwrap_or_default()
}

impl Run<'_> {
    fn all(mut self, cancel: &AtomicBool) -> Result<TrainReport, TrainError> {
        let begun = self.state.step;
        let mut last = None;
        // Training may go back to a stage before.
        while let Some((number, stage, first)) = stage_of(self.config, self.state.step) {
            last = self.stage(number, stage, first, cancel)?.or(last);
        }
        let folder = self.config.output.join("final");
        if !folder.exists() {
            self.trainee.save(&folder, Precision::Bf16)?;
        }
        Ok(TrainReport { folder, steps: self.state.step.saturating_sub(begun), last })
    }

    /// Steps of one stage, the first of which has the number `first` over all stages.
    fn stage(&mut self, number: usize, stage: &StageConfig, first: u64, cancel: &AtomicBool) -> Result<Option<LogLine>, TrainError> {
        let seed = self.config.seed;
        let mut data = Data::read(self.trainee.model(), self.embedder.as_ref(), number, stage, seed, &self.config.output, self.progress)?;
        let mut last = None;
        while (first..first + stage.steps).contains(&self.state.step) {
            let line = self.step(number, stage, first, &mut data)?;
            if let Some(line) = line {
                self.log.push(&line)?;
                self.progress.step(&line, self.config.steps());
                let every = self.config.checkpoints.every;
                let ends = self.state.step == first + stage.steps;
                // Training does not go back to weights that may be ruined.
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

    /// One step; none if the loss ran away, and training went back.
    fn step(&mut self, number: usize, stage: &StageConfig, first: u64, data: &mut Data) -> Result<Option<LogLine>, TrainError> {
        let started = Instant::now();
        let step = self.state.step - first;
        if step == 0 {
            // What one stage loses says nothing about the next.
            self.state.means = Means::default();
        }
        // Noise on memories: the same after a resume as without one.
        self.trainee.seed(self.config.seed.wrapping_add(self.state.step));
        let batches = match self.ahead.take() {
            Some((ahead, batches)) if ahead == self.state.step => batches,
            _ => self.batches(stage, step, data)?,
        };
        let learnt: usize = batches.iter().flat_map(|b| &b.sequences).map(|s| s.learnt.iter().filter(|l| **l).count()).sum();
        let write = write_options(stage, step);
        let mut losses = Vec::with_capacity(batches.len());
        for batch in &batches {
            let references: Vec<&[u32]> = batch.references.iter().map(Vec::as_slice).collect();
            let written = match &write {
                Some(options) if !references.is_empty() => Some(self.trainee.write(&references, options)?),
                _ => None,
            };
            let part = self.trainee.loss(&batch.sequences, written.as_ref())?;
            // The mean over the whole step's tokens, however they fall into parts.
            part.backward(1.0 / learnt as f64)?;
            losses.push(part);
        }
        if step + 1 < stage.steps {
            // A GPU is still at this step: the next one's batches are made meanwhile.
            self.ahead = Some((self.state.step + 1, self.batches(stage, step + 1, data)?));
        }
        let (mut loss, mut right, mut exact, mut sequences) = (0.0, 0, 0, 0);
        let mut own = Vec::with_capacity(batches.len());
        for (part, batch) in losses.iter().zip(&batches) {
            let (sum, hits) = (part.sum()?, part.hits()?);
            own.push((batch.source, sum / hits.tokens as f64));
            loss += sum / learnt as f64;
            right += hits.right;
            exact += hits.exact.iter().filter(|exact| **exact).count();
            sequences += hits.exact.len();
        }
        let rate = self.config.optimizer.rate * stage.schedule.share(step, stage.steps) * self.state.rate_share;
        let rules = self.config.divergence;
        // What a step that ran away has added is thrown away with it.
        if own.iter().any(|(source, loss)| self.state.means.add(&rules, *source, *loss)) {
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
            stage: number,
            loss,
            right: right as f64 / learnt as f64,
            exact: exact as f64 / sequences as f64,
            gradient,
            rate,
            kept: write.map_or(0, |w| w.keep),
            tokens: batches.iter().map(Batch::tokens).sum(),
            seconds: started.elapsed().as_secs_f64(),
        }))
    }

    /// What step `step` of a stage learns from.
    fn batches(&self, stage: &StageConfig, step: u64, data: &mut Data) -> Result<Vec<Batch>, TrainError> {
        let parts = stage.accumulate as u64;
        let size = stage.batch / stage.accumulate;
        (0..parts).map(|part| data.batch(self.trainee.model(), step * parts + part, size)).collect()
    }

    /// Goes back to the last checkpoint, or to the beginning, with a lower rate.
    ///
    /// A checkpoint of this very step holds the weights that lost so much, and would again at any rate: it is passed over, and removed.
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
        self.progress.note(&format!("the loss ran away at step {}: {loss:.3}; back to step {back}, with {share} of the rate", step + 1));
        // Written at once: a run that is broken off now shall not fall into the same place again.
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

/// The stage that a step belongs to, with its number and its first step; none if all are done.
fn stage_of(config: &TrainConfig, step: u64) -> Option<(usize, &StageConfig, u64)> {
    let mut first = 0;
    for (number, stage) in config.stages.iter().enumerate() {
        if step < first + stage.steps {
            return Some((number, stage, first));
        }
        first += stage.steps;
    }
    None
}

/// How references are written at a step of the stage; `None` where there are none.
fn write_options(stage: &StageConfig, step: u64) -> Option<WriteOptions> {
    match &stage.learn {
        Learn::Text { .. } | Learn::Copy { .. } => None,
        Learn::Questions { write, .. } | Learn::Continual { write, .. } => {
            Some(WriteOptions { keep: write.keep.at(step), selection_gradient: write.selection_gradient, noise: write.noise })
        }
    }
}
