//! The options of a build.

use std::path::PathBuf;
use std::sync::Arc;

use mempack_corpus::{CutOptions, DuplicateIds, Extraction, Input};
use mempack_format::stages::{Rq, Tcq};
use mempack_format::{CodecSpec, DiskStorage, Storage};

use crate::previous::PreviousPack;

/// Maximum number of threads. Each takes memory for its stack and its batches, and systems limit their number.
pub const MAX_THREADS: usize = 256;

/// How the search graph is built (arXiv 1603.09320).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraphOptions {
    /// Maximum number of neighbours of a node on the upper levels, 2 to 255. The lowest level has twice as many.
    pub m: u32,
    /// Number of candidates that are examined when a node is inserted, at least `m`.
    pub ef_construction: u32,
}

impl Default for GraphOptions {
    fn default() -> Self {
        Self { m: 16, ef_construction: 200 }
    }
}

/// The options of a build.
#[derive(Clone, Debug)]
pub struct BuildOptions {
    /// The corpus, read in this order.
    pub inputs: Vec<Input>,
    /// What becomes of documents with the id of an earlier one.
    pub duplicate_ids: DuplicateIds,
    /// How files that are no plain text are read.
    pub extraction: Extraction,
    /// How documents are cut into references.
    pub cut: CutOptions,
    /// The pack to write. A file there is replaced when the new pack is complete.
    pub output: PathBuf,
    /// How memories are stored. It is the codec of `from`, unless the codec is retrained.
    pub codec: CodecSpec,
    /// Maximum bytes of a memory record. If it is set, `codec` is ignored: the build takes the one of the
    /// [`CANDIDATES`](crate::CANDIDATES) within this size that loses least of memories it was not trained on. Not allowed if codebooks
    /// are kept.
    pub max_record_bytes: Option<u64>,
    /// A pack of the same model, precision and embedder, from which unchanged references are taken instead of being encoded again. It may
    /// be the pack at `output`.
    pub from: Option<Arc<PreviousPack>>,
    /// Whether the codec is trained although there are codebooks. With a previous pack, memories are then computed again, and only embeddings
    /// are taken.
    pub retrain_codec: bool,
    /// A pack of the same model with codebooks for small corpora. Its codec encodes fewer than
    /// [`CODEBOOKS_BELOW`](crate::CODEBOOKS_BELOW) references, unless a previous pack, retraining or another codec is asked for.
    pub codebooks: Option<Arc<PreviousPack>>,
    /// Number of computing threads, 1 to [`MAX_THREADS`]. The bytes of the pack do not depend on it.
    pub threads: usize,
    /// The search graph.
    pub graph: GraphOptions,
    /// Maximum number of references whose memories the codec's tables are trained on.
    pub sample: usize,
    /// Maximum divergence of the model's predictions, in nats a token. A codec that moves them further is refused.
    pub max_divergence: Option<f64>,
    /// Whether a corpus is accepted although the embedder or the model does not know more than 30% of its characters.
    pub any_language: bool,
    /// Whether a corpus is refused of which a field does not keep the types of its values (see [`MetadataNote`](crate::MetadataNote)), or a file of a folder
    /// cannot be read.
    pub strict: bool,
    /// Where output and temporary files are stored.
    pub storage: Arc<dyn Storage>,
}

impl Default for BuildOptions {
    fn default() -> Self {
        Self {
            inputs: Vec::new(),
            duplicate_ids: DuplicateIds::default(),
            extraction: Extraction::default(),
            cut: CutOptions::default(),
            output: PathBuf::new(),
            // Of 32 bytes, the fewest of 16, 24 and 32 at which the default model answers as well as without a codec (docs/codec.md).
            codec: CodecSpec::of([Rq { m: 2, bits: 8 }.stage(), Tcq { bytes: 30, window: 8 }.stage()]),
            max_record_bytes: None,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            graph: GraphOptions::default(),
            sample: 1024,
            max_divergence: None,
            from: None,
            retrain_codec: false,
            codebooks: None,
            any_language: false,
            strict: false,
            storage: Arc::new(DiskStorage),
        }
    }
}
