//! How a run tells what it does.

use crate::LogLine;

/// Hears of a run.
pub trait Progress {
    /// A part of the preparation begins, which counts up to `total`.
    fn begin(&self, what: &str, total: Option<u64>);
    /// So many are done.
    fn advance(&self, count: u64);
    /// A remark.
    fn note(&self, text: &str);
    /// A step is done, of `steps` in all.
    fn step(&self, line: &LogLine, steps: u64);
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &str, _: Option<u64>) {}
    fn advance(&self, _: u64) {}
    fn note(&self, _: &str) {}
    fn step(&self, _: &LogLine, _: u64) {}
}
