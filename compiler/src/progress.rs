//! The progress and the report of a build.

use std::fmt;
use std::time::{Duration, Instant};

use mempack_format::{CodecSpec, PackId, Quality};

use crate::UsedCodebooks;
use crate::tuning::drift::Drift;

/// The stages of a build, in order, with those of its parts if it is spread over machines. A lossless codec has no `Sampling` and no `Measuring`, a codec without tables no `Training`, and only
/// a trellis code has `Sensitivity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The corpus is read and cut into references.
    Reading,
    /// Equal references are found.
    Deduplicating,
    /// The memories that the codec is trained and measured on are written.
    Sampling,
    /// The sensitivity of the model's predictions to errors of memories is measured.
    Sensitivity,
    /// The codec's tables are trained.
    Training,
    /// The codec's loss is measured.
    Measuring,
    /// Of a plan: the centroids of search packs are trained.
    Centroids,
    /// Of a plan and its shards: a few references show whether this machine computes the bits of the plan.
    Probing,
    /// Of a plan: the references of all shards are written.
    Planning,
    /// Of a shard or a merge: shards are compared with their digests.
    Checking,
    /// Of a merge: references go to the search packs of their nearest centroids.
    Regrouping,
    /// Of a merge: the packs are written.
    Packing,
    /// Every memory is written and encoded, every text is embedded and inserted into the graph.
    Writing,
    /// The graph is checked and transcribed.
    Graph,
    /// The sections are joined and synced to the disk.
    Sealing,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Reading => "reading",
            Self::Deduplicating => "deduplicating",
            Self::Sampling => "sampling",
            Self::Sensitivity => "sensing",
            Self::Training => "training",
            Self::Measuring => "measuring",
            Self::Centroids => "centroids",
            Self::Probing => "probing",
            Self::Planning => "writing the plan",
            Self::Checking => "checking shards",
            Self::Regrouping => "regrouping",
            Self::Packing => "writing packs",
            Self::Writing => "writing memories",
            Self::Graph => "graph",
            Self::Sealing => "sealing",
        })
    }
}

/// Receives the progress of a build. All counts are of references. `advance` may be called from several threads while a codec is
/// trained.
pub trait BuildProgress: Sync {
    /// A stage begins, of `total` references if their number is known.
    fn stage(&self, stage: Stage, total: Option<u64>);
    /// `references` more references of the stage are done, with `tokens` tokens (0 in a stage that reads none).
    fn advance(&self, references: u64, tokens: u64);
    /// A remark for the user.
    fn note(&self, text: &str);
}

/// A [`BuildProgress`] that ignores everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct SilentBuild;

impl BuildProgress for SilentBuild {
    fn stage(&self, _: Stage, _: Option<u64>) {}
    fn advance(&self, _: u64, _: u64) {}
    fn note(&self, _: &str) {}
}

/// The result of a build.
#[derive(Clone, Debug)]
pub struct BuildReport {
    /// The pack's id.
    pub id: PackId,
    /// The pack's size.
    pub bytes: u64,
    /// Documents in the pack.
    pub documents: u64,
    /// Files in folders of the corpus that could not be read, and are not in the pack, each with the reason. Each was noted.
    pub skipped: Vec<(String, String)>,
    /// References in the pack.
    pub references: u64,
    /// Places in documents that the references come from, duplicates included.
    pub origins: u64,
    /// Origins beyond the first of each reference.
    pub duplicates: u64,
    /// Tokens of the references, each counted once.
    pub tokens: u64,
    /// References whose memories were computed.
    pub encoded: u64,
    /// References that this build had computed before an interruption.
    pub resumed: u64,
    /// References taken from the previous pack.
    pub taken: u64,
    /// How long threads worked on memories, codes and embeddings, summed over threads.
    pub encoding: Duration,
    /// The codec of the memories.
    pub codec: CodecSpec,
    /// How well kept codebooks fit; `None` if no codebooks were kept.
    pub drift: Option<Drift>,
    /// The codebooks that came with the model, if they were used.
    pub codebooks: Option<UsedCodebooks>,
    /// The codec's loss, as recorded in the pack; `None` for a lossless codec.
    pub quality: Option<Quality>,
    /// How long each stage took, in order.
    pub stages: Vec<(Stage, Duration)>,
}

/// Reports stages and measures their times.
pub(crate) struct Stages<'a> {
    progress: &'a dyn BuildProgress,
    done: Vec<(Stage, Duration)>,
    running: Option<(Stage, Instant)>,
}

impl<'a> Stages<'a> {
    pub fn new(progress: &'a dyn BuildProgress) -> Self {
        Self { progress, done: Vec::new(), running: None }
    }

    /// Ends the stage that is running, and begins another.
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

    /// Ends the last stage. Gives the time of each, in order.
    pub fn finish(mut self) -> Vec<(Stage, Duration)> {
        self.end();
        self.done
    }
}
