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
    /// The number of the step over all stages, from 1.
    pub step: u64,
    /// The number of its stage, from 0.
    pub stage: usize,
    /// The mean loss: unless the objective says otherwise, the negative log-likelihood of a learnt token, in nats.
    #[serde(deserialize_with = "number")]
    pub loss: f64,
    /// The share of learnt tokens that were the model's most likely token.
    #[serde(deserialize_with = "number")]
    pub right: f64,
    /// The share of sequences of which all learnt tokens were.
    #[serde(deserialize_with = "number")]
    pub exact: f64,
    /// The norm of the gradients before clipping.
    #[serde(deserialize_with = "number")]
    pub gradient: f64,
    /// The learning rate.
    #[serde(deserialize_with = "number")]
    pub rate: f64,
    /// Tokens that a head kept of a reference; 0 if the stage reads none.
    pub kept: u32,
    /// Tokens of references and sequences that the model computed on.
    pub tokens: u64,
    /// The duration of the step in seconds.
    #[serde(deserialize_with = "number")]
    pub seconds: f64,
}

/// Reads a number. JSON has no literal for one that is not finite, so it is written as `null`.
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::NAN))
}

/// A log that is being written.
pub(crate) struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// Opens the log of a run that resumes after `step`. Lines of later steps are removed, as those steps are done again.
    pub fn open(output: &Path, step: u64) -> Result<Self, TrainError> {
        let path = output.join(LOG);
        let kept: String = match read_lines(&path) {
            // The lines stay as they were written: a float that is parsed and written again may differ in its last digit.
            Ok(lines) if lines.is_empty() && is_other_text(&path).map_err(TrainError::io(&path))? => {
                return Err(TrainError::Checkpoint {
                    path,
                    part: "the first line".into(),
                    expected: "a step of a log".into(),
                    found: "other text, which a training would replace; name another output folder".into(),
                });
            }
            Ok(lines) => lines.into_iter().filter(|(_, line)| line.step <= step).map(|(text, _)| text + "\n").collect(),
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

/// Whether a file without a whole step holds something else than the beginning of one.
fn is_other_text(path: &Path) -> std::io::Result<bool> {
    const BEGINNING: &[u8] = b"{\"step\":";
    let bytes = std::fs::read(path)?;
    Ok(!bytes.starts_with(BEGINNING) && !BEGINNING.starts_with(&bytes))
}

fn text(line: &LogLine) -> String {
    // Serialising plain numbers cannot fail.
    serde_json::to_string(line).map(|text| text + "\n").unwrap_or_default()
}

/// Reads the steps of a log. A last line that is cut short is left out.
pub fn read_log(path: &Path) -> Result<Vec<LogLine>, TrainError> {
    Ok(read_lines(path)?.into_iter().map(|(_, line)| line).collect())
}

/// The lines of a log, each as its text and as a step.
fn read_lines(path: &Path) -> Result<Vec<(String, LogLine)>, TrainError> {
    let file = BufReader::new(File::open(path).map_err(TrainError::io(path))?);
    let lines = file.lines().collect::<Result<Vec<_>, _>>().map_err(TrainError::io(path))?;
    let last = lines.len().saturating_sub(1);
    let mut found = Vec::with_capacity(lines.len());
    for (number, text) in lines.into_iter().enumerate() {
        match serde_json::from_str(&text) {
            Ok(line) => found.push((text, line)),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// One step; its gradient is a number that parsing and writing changes in the last digit.
    fn line(step: u64) -> String {
        format!(
            "{{\"step\":{step},\"stage\":0,\"loss\":9.054132143656414,\"right\":0.03125,\"exact\":0.0,\"gradient\":0.39175808303493764,\
             \"rate\":0.0008,\"kept\":0,\"tokens\":192,\"seconds\":0.197622247}}\n"
        )
    }

    #[test]
    fn a_resumed_run_keeps_the_lines_before_it_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LOG);
        std::fs::write(&path, [line(1), line(2), line(3), "{\"step\": 4".into()].concat()).unwrap();
        Log::open(folder.path(), 2).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), [line(1), line(2)].concat());
    }

    #[test]
    fn a_log_of_something_else_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LOG);
        for other in ["{\"level\": \"info\"}\n", "words"] {
            std::fs::write(&path, other).unwrap();
            assert!(matches!(Log::open(folder.path(), 0), Err(TrainError::Checkpoint { .. })));
            assert_eq!(std::fs::read_to_string(&path).unwrap(), other);
        }
    }
}
