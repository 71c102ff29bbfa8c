//! Checkpoints: the state that a run needs to resume with the same results.

use std::path::{Path, PathBuf};

use mempack_model::NewFolder;
use mempack_model::training::{AdamW, StateError, Trainee};
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::divergence::RunningMeans;

/// A checkpoint's name is this prefix and the number of steps done.
const NAME: &str = "step-";
const STATE: &str = "state.json";
const TENSORS: &str = "tensors.safetensors";

/// The state without the tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunState {
    /// The identity of the run. A checkpoint of another run is refused.
    pub run: String,
    /// Steps done, over all stages.
    pub step: u64,
    /// Steps of the optimizer.
    pub optimizer_steps: u64,
    /// The factor on the learning rate after divergences.
    pub rate_share: f64,
    /// How often training went back to a checkpoint.
    pub tries: u32,
    /// Running means of the loss.
    pub means: RunningMeans,
}

/// Writes a checkpoint, and removes all but the latest `keep`.
pub(crate) fn write(output: &Path, state: &RunState, trainee: &Trainee, optimizer: &AdamW, keep: usize) -> Result<(), TrainError> {
    let path = folder(output, state.step);
    let io = |source| TrainError::Io { path: path.clone(), source };
    let folder = NewFolder::beside(&path).map_err(io)?;
    trainee.write_state(optimizer, &folder.join(TENSORS))?;
    let text = serde_json::to_vec_pretty(state).map_err(|e| io(e.into()))?;
    folder.write(STATE, &text).map_err(io)?;
    folder.finish().map_err(io)?;
    let all = list(output)?;
    for (_, old) in all.iter().rev().skip(keep) {
        std::fs::remove_dir_all(old).map_err(TrainError::io(old))?;
    }
    Ok(())
}

/// Whether there is a checkpoint after `step`.
pub(crate) fn exists(output: &Path, step: u64) -> bool {
    folder(output, step).exists()
}

/// Replaces the state in the checkpoint of its step. Weights and moments stay.
pub(crate) fn write_state(output: &Path, state: &RunState) -> Result<(), TrainError> {
    let path = folder(output, state.step).join(STATE);
    let new = path.with_extension("part");
    let text = serde_json::to_vec_pretty(state).map_err(|e| TrainError::io(&path)(e.into()))?;
    std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, &path)).map_err(TrainError::io(&path))
}

fn folder(output: &Path, step: u64) -> PathBuf {
    output.join(format!("{NAME}{step:08}"))
}

/// Restores the latest checkpoint of a run, before step `before` if that is given: loads weights and moments, and returns the state. `None` if
/// there is no such checkpoint.
pub(crate) fn restore(
    output: &Path,
    before: Option<u64>,
    run: &str,
    trainee: &mut Trainee,
    optimizer: &mut AdamW,
) -> Result<Option<RunState>, TrainError> {
    let earlier = |step: u64| before.is_none_or(|before| step < before);
    let Some((_, path)) = list(output)?.into_iter().rfind(|(step, _)| earlier(*step)) else { return Ok(None) };
    let wrong =
        |part: &str, expected: String, found: String| TrainError::Checkpoint { path: path.clone(), part: part.into(), expected, found };
    let text = std::fs::read(path.join(STATE)).map_err(TrainError::io(&path))?;
    let state: RunState = serde_json::from_slice(&text).map_err(|e| wrong(STATE, "the state of a run".into(), e.to_string()))?;
    if state.run != run {
        return Err(wrong("configuration", run.to_owned(), state.run));
    }
    trainee.read_state(optimizer, state.optimizer_steps, &path.join(TENSORS)).map_err(|error| match error {
        StateError::Tensor { tensor, expected, found } => wrong(&tensor, expected, found),
        other => wrong(TENSORS, "weights and moments".into(), other.to_string()),
    })?;
    Ok(Some(state))
}

/// Removes the checkpoints after `step`.
pub(crate) fn remove_after(output: &Path, step: u64) -> Result<(), TrainError> {
    for (_, path) in list(output)?.into_iter().filter(|(other, _)| *other > step) {
        std::fs::remove_dir_all(&path).map_err(TrainError::io(&path))?;
    }
    Ok(())
}

/// The checkpoints of a run with their steps, in ascending order.
fn list(output: &Path) -> Result<Vec<(u64, PathBuf)>, TrainError> {
    let entries = match std::fs::read_dir(output) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(TrainError::io(output)(source)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(TrainError::io(output))?;
        // An unfinished checkpoint has another name and does not count.
        if let Some(step) = entry.file_name().to_str().and_then(|name| name.strip_prefix(NAME)?.parse().ok()) {
            found.push((step, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}
