//! The log of a run: one JSON object a step.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize};

use crate::TrainError;

/// The name of the log in the run's folder.
pub const LOG: &str = "log.jsonl";

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// Its number over all stages, from 1.
    pub step: u64,
    /// Its stage, from 0.
    pub stage: usize,
    /// Mean negative log-likelihood of the learnt tokens, in nats.
    #[serde(deserialize_with = "number")]
    pub loss: f64,
    /// Share of the learnt tokens that were the most likely.
    #[serde(deserialize_with = "number")]
    pub right: f64,
    /// Share of the sequences of which all learnt tokens were.
    #[serde(deserialize_with = "number")]
    pub exact: f64,
    /// Norm of the gradients before it was cut.
    #[serde(deserialize_with = "number")]
    pub gradient: f64,
    /// Rate of the step.
    #[serde(deserialize_with = "number")]
    pub rate: f64,
    /// Tokens that a head kept of a reference; 0 where nothing was read.
    pub kept: u32,
    /// Tokens computed on, references' and sequences'.
    pub tokens: u64,
    /// Seconds the step took.
    #[serde(deserialize_with = "number")]
    pub seconds: f64,
}

/// JSON has no word for what is not a finite number; it is written as `null`.
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::NAN))
}

/// A log being written.
pub(crate) struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// Opens the log of a run that goes on after `step`: lines of later steps, which will be done again, are taken away.
    pub fn open(output: &Path, step: u64) -> Result<Self, TrainError> {
        let path = output.join(LOG);
        let kept: String = match read_log(&path) {
            Ok(lines) => lines.iter().filter(|line| line.step <= step).map(text).collect(),
            Err(TrainError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let new = output.join(".log.part");
        std::fs::write(&new, kept).and_then(|()| std::fs::rename(&new, &path)).map_err(TrainError::io(&path))?;
        let file = OpenOptions::new().append(true).open(&path).map_err(TrainError::io(&path))?;
        Ok(Self { path, file })
    }

    pub fn push(&mut self, line: &LogLine) -> Result<(), TrainError> {
        self.file.write_all(text(line).as_bytes()).map_err(TrainError::io(&self.path))
    }
}

fn text(line: &LogLine) -> String {
    // A line of numbers has no part that JSON could not hold.
    serde_json::to_string(line).map(|text| text + "\n").unwrap_or_default()
}

/// The steps of a log. A last line that was cut short is left out.
pub fn read_log(path: &Path) -> Result<Vec<LogLine>, TrainError> {
    let file = BufReader::new(File::open(path).map_err(TrainError::io(path))?);
    let lines = file.lines().collect::<Result<Vec<_>, _>>().map_err(TrainError::io(path))?;
    let last = lines.len().saturating_sub(1);
    let mut found = Vec::with_capacity(lines.len());
    for (number, line) in lines.iter().enumerate() {
        match serde_json::from_str(line) {
            Ok(line) => found.push(line),
            Err(_) if number == last => {}
            Err(error) => {
                return Err(TrainError::Checkpoint {
                    path: path.to_owned(),
                    part: format!("line {}", number + 1),
                    expected: "a step of a log".into(),
                    found: error.to_string(),
                });
            }
        }
    }
    Ok(found)
}
