//! What a build tells about itself while it runs, and at its end.

use std::fmt;
use std::time::{Duration, Instant};

use mempack_format::{CodecSpec, PackId, Quality};

use crate::Drift;

/// The stages of a build, in order; a codec that loses nothing has no `Sampling` and no `Measuring`, one without tables no `Training`, and
/// only a trellis code has `Sensing`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The corpus is read and cut into references.
    Reading,
    /// Equal references are found.
    Deduplicating,
    /// Memories are written that the codec is trained on, and others that it is measured on.
    Sampling,
    /// The model shows in which directions errors of memories matter.
    Sensing,
    /// The codec's tables are trained.
    Training,
    /// What the codec loses is measured.
    Measuring,
    /// Every memory is written and encoded, every text embedded and put into the graph.
    Writing,
    /// The graph is checked and transcribed.
    Graph,
    /// The sections are put together and brought to the disk.
    Sealing,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Reading => "reading",
            Self::Deduplicating => "deduplicating",
            Self::Sampling => "sampling",
            Self::Sensing => "sensing",
            Self::Training => "training",
            Self::Measuring => "measuring",
            Self::Writing => "writing memories",
            Self::Graph => "graph",
            Self::Sealing => "sealing",
        })
    }
}

/// Receives what a build does. All counts are of references; calls come from the thread that called [`build`](crate::build).
pub trait Progress: Sync {
    /// A stage begins; `total` references if their number is known already.
    fn stage(&self, stage: Stage, total: Option<u64>);
    /// So many more references of the stage are done, with so many tokens (0 where the stage sees none).
    fn advance(&self, references: u64, tokens: u64);
    /// A remark for the user.
    fn note(&self, text: &str);
}

/// A [`Progress`] that says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn stage(&self, _: Stage, _: Option<u64>) {}
    fn advance(&self, _: u64, _: u64) {}
    fn note(&self, _: &str) {}
}

/// What a build made.
#[derive(Clone, Debug)]
pub struct BuildReport {
    /// The pack's id.
    pub id: PackId,
    /// The pack's size.
    pub bytes: u64,
    /// Documents in the pack.
    pub documents: u64,
    /// References in the pack, each stored once.
    pub references: u64,
    /// Places in documents that the references come from: `references` and their duplicates.
    pub origins: u64,
    /// Origins beyond the first of each reference.
    pub duplicates: u64,
    /// Tokens of the references, each counted once.
    pub tokens: u64,
    /// References whose memories were computed.
    pub encoded: u64,
    /// References that this build had computed before it was interrupted.
    pub resumed: u64,
    /// References taken over from an older pack.
    pub taken: u64,
    /// How long threads worked on memories, codes and embeddings, summed over threads.
    pub encoding: Duration,
    /// How memories are stored.
    pub codec: CodecSpec,
    /// How well kept codebooks fit; none if no codebooks were kept.
    pub drift: Option<Drift>,
    /// What the codec loses, as the pack says; none if it loses nothing.
    pub quality: Option<Quality>,
    /// How long each stage took, in order.
    pub stages: Vec<(Stage, Duration)>,
}

/// Announces stages and keeps their times.
pub(crate) struct Stages<'a> {
    progress: &'a dyn Progress,
    done: Vec<(Stage, Duration)>,
    running: Option<(Stage, Instant)>,
}

impl<'a> Stages<'a> {
    pub fn new(progress: &'a dyn Progress) -> Self {
        Self { progress, done: Vec::new(), running: None }
    }

    pub fn begin(&mut self, stage: Stage, total: Option<u64>) {
        self.end();
        self.progress.stage(stage, total);
        self.running = Some((stage, Instant::now()));
    }

    fn end(&mut self) {
        if let Some((stage, started)) = self.running.take() {
            self.done.push((stage, started.elapsed()));
        }
    }

    pub fn finish(mut self) -> Vec<(Stage, Duration)> {
        self.end();
        self.done
    }
}
