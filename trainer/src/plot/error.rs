//! Why no figure was drawn.

use std::path::PathBuf;

use mempack_figure::PngError;

use crate::{LOG, TrainError};

/// Why the curves of a run were not drawn.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlotError {
    /// A file's ending names no format that can be written.
    #[error("{path}: expected a name that ends in .svg or .png, found {found}; change the name of the figure", path = path.display())]
    Ending {
        /// The file.
        path: PathBuf,
        /// Its ending.
        found: String,
    },
    /// Too many runs, or none.
    #[error("expected 1 to {most} runs for one figure, found {found}; draw them in several figures")]
    Runs {
        /// As many as fit.
        most: usize,
        /// As many as were given.
        found: usize,
    },
    /// There is no log.
    #[error("{path}: no such file; give the output folder of a training run, or the {LOG} in it", path = path.display())]
    NoLog {
        /// Where a log was looked for.
        path: PathBuf,
    },
    /// No step has been logged.
    #[error("{path}: expected at least one step, found none; wait until the run has done its first step, and plot again", path = path.display())]
    Empty {
        /// The log.
        path: PathBuf,
    },
    /// The log has a line that is no step.
    #[error("{path}: {part}: expected a step of a log, found {found}; give the {LOG} of a training run, or take the line out", path = path.display())]
    Line {
        /// The log.
        path: PathBuf,
        /// Which line.
        part: String,
        /// What is wrong with it.
        found: String,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Read {
        /// The file, and what the system says.
        source: Box<TrainError>,
    },
    /// The drawing cannot become a PNG.
    #[error("{path}: {source}", path = path.display())]
    Png {
        /// The file.
        path: PathBuf,
        /// Why.
        source: PngError,
    },
    /// The figure cannot be written.
    #[error("{path}: cannot be written: {source}; check the path of the figure", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}
