//! Draws the curves of runs from their logs.

mod axis;
mod curve;
mod error;
mod panels;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::{LOG, LogLine, TrainError, read_log};

pub use error::PlotError;

/// The maximum number of runs in one figure: more cannot be told apart on a wide screen.
const MAX_RUNS: usize = 12;

/// A run to draw.
struct PlottedRun {
    name: String,
    /// At least one.
    lines: Vec<LogLine>,
}

/// The format of a figure, by the file's ending.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Svg,
    Png,
}

/// Draws the curves of `runs`, side by side with the same axes. Returns the bytes of the figure for each of `files`, which are not written.
///
/// A run is given by its output folder or by the log in it. The ending of a file, `.svg` or `.png`, selects its format; all files show the same
/// figure. It shows loss, shares of right tokens and of exact sequences, learning rate, tokens kept in a head, and tokens per second over the
/// steps, as values and as running means. Vertical lines mark the start of a stage. The log of a run in progress can be drawn.
///
/// # Errors
/// [`PlotError`], if a log cannot be read or the ending of a file is neither `.svg` nor `.png`.
pub fn plot(runs: &[PathBuf], files: &[PathBuf]) -> Result<Vec<Vec<u8>>, PlotError> {
    let formats = files.iter().map(|file| format(file)).collect::<Result<Vec<_>, _>>()?;
    if !(1..=MAX_RUNS).contains(&runs.len()) {
        return Err(PlotError::Runs { max: MAX_RUNS, found: runs.len() });
    }
    let names = names(runs);
    let runs =
        runs.iter().zip(names).map(|(run, name)| Ok(PlottedRun { name, lines: read(run)? })).collect::<Result<Vec<_>, PlotError>>()?;
    let drawing = panels::draw(&runs);
    let mut figures = Vec::with_capacity(files.len());
    for (file, format) in files.iter().zip(formats) {
        figures.push(match format {
            Format::Svg => drawing.svg().into_bytes(),
            Format::Png => drawing.png().map_err(|source| PlotError::Png { path: file.clone(), source })?,
        });
    }
    Ok(figures)
}

fn format(file: &Path) -> Result<Format, PlotError> {
    match file.extension().map(OsStr::to_ascii_lowercase) {
        Some(ending) if ending == "svg" => Ok(Format::Svg),
        Some(ending) if ending == "png" => Ok(Format::Png),
        ending => {
            let found = ending.map_or("no ending".to_owned(), |ending| format!(".{}", ending.to_string_lossy()));
            Err(PlotError::Ending { path: file.to_owned(), found })
        }
    }
}

/// The log of a run.
fn log(run: &Path) -> PathBuf {
    if run.is_dir() { run.join(LOG) } else { run.to_owned() }
}

fn read(run: &Path) -> Result<Vec<LogLine>, PlotError> {
    let path = log(run);
    match read_log(&path) {
        Ok(lines) if lines.is_empty() => Err(PlotError::Empty { path }),
        Ok(lines) => Ok(lines),
        Err(TrainError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Err(PlotError::NoLog { path }),
        Err(TrainError::Checkpoint { part, found, .. }) => Err(PlotError::Line { path, part, found }),
        Err(source) => Err(PlotError::Read { source: Box::new(source) }),
    }
}

/// The names of the runs: their folders, with as many parent folders as make the names distinct.
fn names(runs: &[PathBuf]) -> Vec<String> {
    let folders: Vec<Vec<String>> = runs.iter().map(|run| folder(run)).collect();
    let depth = folders.iter().map(Vec::len).max().unwrap_or_default();
    let last = |folder: &Vec<String>, count: usize| folder[folder.len().saturating_sub(count)..].join("/");
    let mut count = 1;
    loop {
        let names: Vec<String> = folders.iter().map(|folder| last(folder, count)).collect();
        let distinct = names.iter().collect::<BTreeSet<_>>().len() == folders.iter().collect::<BTreeSet<_>>().len();
        if distinct || count >= depth {
            return names;
        }
        count += 1;
    }
}

/// The names of the folder of a run's log and of its parents, outermost first.
fn folder(run: &Path) -> Vec<String> {
    let log = log(run);
    // A missing run is reported when it is read.
    let log = log.canonicalize().unwrap_or(log);
    let names = log.parent().into_iter().flat_map(Path::components).filter_map(|part| match part {
        std::path::Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    });
    names.collect()
}
