//! Where the time of a session goes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What a session spends time on. Retrieval and loading may overlap the rest, because they run on a second thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Embedding queries, searching, reranking.
    Retrieval,
    /// Reading memories from packs and decoding them, or writing them.
    Loading,
    /// Computing prompts.
    Prompt,
    /// Computing the tokens of answers.
    Generation,
}

impl Part {
    /// All of them, in the order of the work.
    pub const ALL: [Self; 4] = [Self::Retrieval, Self::Loading, Self::Prompt, Self::Generation];

    /// Its name: `retrieval`, `loading`, `prompt` or `generation`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Retrieval => "retrieval",
            Self::Loading => "loading",
            Self::Prompt => "prompt",
            Self::Generation => "generation",
        }
    }
}

/// The time that a session and its threads have spent on each part, in nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Times([AtomicU64; 4]);

impl Times {
    /// Runs `work` and adds the time that it takes.
    pub fn measure<T>(&self, part: Part, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = work();
        self.add(part, started.elapsed());
        result
    }

    /// Adds time that was spent on a part.
    pub fn add(&self, part: Part, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        if let Some(sum) = self.0.get(part as usize) {
            sum.fetch_add(nanoseconds, Ordering::Relaxed);
        }
    }

    /// The time so far.
    pub fn of(&self, part: Part) -> Duration {
        self.0.get(part as usize).map_or(Duration::ZERO, |sum| Duration::from_nanos(sum.load(Ordering::Relaxed)))
    }
}
