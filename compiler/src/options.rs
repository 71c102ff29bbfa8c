//! What a build is told to do.

use std::path::PathBuf;
use std::sync::Arc;

use mempack_format::stages::{Rq, Tcq};
use mempack_format::{CodecSpec, DiskStorage, Storage};

use crate::Older;

/// One part of the corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A `.txt`, `.md` or `.jsonl` file, or a folder of such files.
    Path(PathBuf),
    /// Standard input: JSON lines if its first byte that is not blank is `{`, one text document otherwise.
    Stdin,
}

/// How the search graph is built (arXiv 1603.09320).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraphOptions {
    /// Neighbours of a node on the upper levels, twice as many at the ground; 2 to 256.
    pub m: u32,
    /// Candidates looked at when a node is inserted, at least `m`.
    pub ef_construction: u32,
}

impl Default for GraphOptions {
    fn default() -> Self {
        Self { m: 16, ef_construction: 200 }
    }
}

/// Everything about a build but the model and the embedder.
#[derive(Clone, Debug)]
pub struct BuildOptions {
    /// The corpus, read in this order.
    pub inputs: Vec<Input>,
    /// The pack to write; replaced as a whole at the end, or not at all.
    pub output: PathBuf,
    /// How memories are stored; as in `from`, unless its codebooks are not kept.
    pub codec: CodecSpec,
    /// Bytes that a memory record may have: then `codec` is not used, but that of the [`CANDIDATES`](crate::CANDIDATES) with so many
    /// bytes at most that loses least of memories that it was not trained on. Not with codebooks that are kept.
    pub choose_within: Option<u64>,
    /// A pack of the same model, precision and embedder: references that are in it are taken from there, not encoded again. The pack
    /// at `output` may be the one.
    pub from: Option<Arc<Older>>,
    /// Whether the codec is trained anew although there is a pack to take from: memories are then computed again, and embeddings taken.
    pub retrain_codec: bool,
    /// Threads that compute, at least 1. The pack's bytes do not depend on it.
    pub threads: usize,
    /// The search graph.
    pub graph: GraphOptions,
    /// References whose memories the codec's tables are trained on, at most.
    pub sample: usize,
    /// How far the codec may move the model's predictions, in nats a token; a codec that moves them further is refused.
    pub max_divergence: Option<f64>,
    /// Where output and temporary files lie.
    pub storage: Arc<dyn Storage>,
}

impl Default for BuildOptions {
    fn default() -> Self {
        Self {
            inputs: Vec::new(),
            output: PathBuf::new(),
            // Of 32 bytes, the fewest of 16, 24 and 32 at which the default model answers as well as without a codec (docs/codec.md).
            codec: CodecSpec::of([Rq { m: 2, bits: 8 }.stage(), Tcq { bytes: 30, window: 8 }.stage()]),
            choose_within: None,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            graph: GraphOptions::default(),
            sample: 1024,
            max_divergence: None,
            from: None,
            retrain_codec: false,
            storage: Arc::new(DiskStorage),
        }
    }
}
