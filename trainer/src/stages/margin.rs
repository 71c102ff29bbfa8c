//! An objective for tests, which compares two runs of the model: the log-likelihood of each text should exceed that of a reference model.

use std::path::PathBuf;

use mempack_model::training::{Tensor, Trainee, TrainingLoss, Written};
use mempack_model::{ComputeError, LoadOptions, Model};
use serde::{Deserialize, Serialize};

use super::text::Texts;
use super::{Objective, ObjectiveConfig, Part, StageContext, StageName, TrainingBatch};
use crate::{ConfigError, TrainError};

/// `kind = "margin"`: the loss of a sequence is `-log(sigmoid(beta * margin))`, where the margin is the difference of its log-likelihoods under the
/// trained model and under a fixed reference model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarginConfig {
    pub corpora: Vec<PathBuf>,
    pub length: usize,
    /// The folder of the reference model.
    pub reference: PathBuf,
    pub beta: f64,
}

impl ObjectiveConfig for MarginConfig {
    fn check(&self, stage: StageName) -> Result<(), ConfigError> {
        stage.require("beta", self.beta > 0.0, "a positive number", self.beta)
    }

    fn paths_mut(&mut self) -> Vec<&mut PathBuf> {
        self.corpora.iter_mut().chain([&mut self.reference]).collect()
    }

    fn load(&self, context: &StageContext<'_>) -> Result<Box<dyn Objective>, TrainError> {
        let texts = Texts::read(context, &self.corpora, self.length)?;
        let reference = Model::load(&self.reference, &LoadOptions::default())?;
        Ok(Box::new(Margin { texts, reference, beta: self.beta }))
    }
}

struct Margin {
    texts: Texts,
    reference: Model,
    beta: f64,
}

impl Objective for Margin {
    fn batch(&mut self, model: &Model, part: Part) -> Result<TrainingBatch, TrainError> {
        self.texts.batch(model, part)
    }

    fn terms(&self, batch: &TrainingBatch) -> usize {
        batch.sequences.len()
    }

    fn loss(&self, trainee: &Trainee, batch: &TrainingBatch, written: Option<&Written>) -> Result<TrainingLoss, ComputeError> {
        let trained = trainee.model().predict(&batch.sequences, written)?;
        let reference = self.reference.predict(&batch.sequences, None)?.sequence_log_likelihoods()?;
        let margins: Tensor = trained.sequence_log_likelihoods()?.f_sub(&reference)?;
        let losses = margins.f_mul_scalar(self.beta)?.f_log_sigmoid()?.f_neg()?;
        trained.loss(losses.f_sum(None)?)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::AtomicBool;

    use mempack_model::DeviceChoice;

    use crate::{ConfigError, LOG, LogLine, NoProgress, TrainConfig, read_log, train};

    const TEXTS: &str = "The harbour board meets every month. It may refuse a licence to any vessel. An appeal is lodged with the clerk. ";

    fn read(folder: &Path, learn: &str) -> Result<TrainConfig, ConfigError> {
        let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/tiny");
        let text = format!(
            "model = {tiny:?}\noutput = \"run\"\nthreads = 1\n[optimizer]\nrate = 1e-3\n[[stage]]\nsteps = 6\nbatch = 4\naccumulate = 2\n\
             schedule = {{ warmup = 0 }}\n[stage.learn]\nkind = \"margin\"\ncorpora = [\"texts.txt\"]\nlength = 24\nreference = {tiny:?}\n{learn}\n"
        );
        std::fs::write(folder.join("run.toml"), text).unwrap();
        std::fs::write(folder.join("texts.txt"), TEXTS.repeat(20)).unwrap();
        TrainConfig::read(&folder.join("run.toml"))
    }

    #[test]
    fn an_objective_may_compare_two_runs_of_the_model() {
        let folder = tempfile::tempdir().unwrap();
        let config = read(folder.path(), "beta = 0.1").unwrap();
        let report = train(&config, DeviceChoice::Cpu, &NoProgress, &AtomicBool::new(false)).unwrap();
        assert_eq!(report.steps, 6);
        let lines = read_log(&config.output.join(LOG)).unwrap();
        let losses: Vec<f64> = lines.iter().map(|line: &LogLine| line.loss).collect();
        println!("{losses:?}");
        // Before the first step both models are the same: every margin is 0, and the mean loss of a sequence is log(2).
        assert!((losses[0] - 2f64.ln()).abs() < 1e-6, "{losses:?}");
        assert!(lines[0].gradient > 0.0);
        // The trained model moves away from the reference, which stays.
        assert!(losses[5] < 0.9 * losses[0], "{losses:?}");
    }

    #[test]
    fn its_table_is_checked_like_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |learn: &str| read(folder.path(), learn).unwrap_err().to_string();
        assert!(refused("beta = 0.0").contains("stage 0: beta"));
        assert!(refused("beta = 0.1\ngamma = 2.0").contains("unknown field `gamma`, expected one of"));
    }
}
