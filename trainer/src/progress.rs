//! Progress reports of a run.

use crate::LogLine;

/// Receives the progress of a run.
pub trait TrainProgress {
    /// A part of the preparation begins. It has `total` items, if their number is known.
    fn begin(&self, what: &str, total: Option<u64>);
    /// `count` more items are done.
    fn advance(&self, count: u64);
    /// A remark for the user.
    fn note(&self, text: &str);
    /// A step of the run's `steps` is done.
    fn step(&self, line: &LogLine, steps: u64);
}

/// Ignores all reports.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl TrainProgress for NoProgress {
    fn begin(&self, _: &str, _: Option<u64>) {}
    fn advance(&self, _: u64) {}
    fn note(&self, _: &str) {}
    fn step(&self, _: &LogLine, _: u64) {}
}
