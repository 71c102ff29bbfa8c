//! Errors of drawing.

use std::path::PathBuf;

use mempack_figure::PngError;

use crate::{LOG, TrainError};

/// Why the curves of runs could not be drawn.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlotError {
    /// A file's ending is neither `.svg` nor `.png`.
    #[error("{path}: expected a name that ends in .svg or .png, found {found}; change the name of the figure", path = path.display())]
    Ending {
        /// The file.
        path: PathBuf,
        /// Its ending.
        found: String,
    },
    /// Too many runs, or none.
    #[error("expected 1 to {max} runs for one figure, found {found}; draw them in several figures")]
    Runs {
        /// The maximum number.
        max: usize,
        /// The number given.
        found: usize,
    },
    /// There is no log.
    #[error("{path}: no such file; give the output folder of a training run, or the {LOG} in it", path = path.display())]
    NoLog {
        /// The expected path of the log.
        path: PathBuf,
    },
    /// No step has been logged.
    #[error("{path}: expected at least one step, found none; wait until the run has done its first step, and plot again", path = path.display())]
    Empty {
        /// The log.
        path: PathBuf,
    },
    /// The log has a line that is not a step.
    #[error("{path}: {part}: expected a step of a log, found {found}; give the {LOG} of a training run, or remove the line", path = path.display())]
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
        /// The file, and the error of the operating system.
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
}
