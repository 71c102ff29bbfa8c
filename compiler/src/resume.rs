//! What an interrupted build has done, for messages.

use std::fmt;
use std::path::PathBuf;

/// The work that an interrupted build leaves for the same build to resume from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumeState {
    /// The folder that the work is in.
    pub folder: PathBuf,
    /// How far the build came; `None` if it ended before it knew.
    pub done: Option<StageProgress>,
}

/// How far a stage came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageProgress {
    /// What is counted.
    pub what: &'static str,
    /// How many of them are done.
    pub done: u64,
    /// How many there are, if that is known before the end.
    pub total: Option<u64>,
}

impl fmt::Display for ResumeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.folder.display();
        match self.done {
            Some(StageProgress { what, done, total: Some(total) }) => write!(f, "{done} of {total} {what} are done and kept in {folder}")?,
            Some(StageProgress { what, done, total: None }) => write!(f, "{done} {what} are done and kept in {folder}")?,
            None => write!(f, "earlier work is kept in {folder}")?,
        }
        Ok(())
    }
}
