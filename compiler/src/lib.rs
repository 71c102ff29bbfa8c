//! From a corpus to a memory pack.
//!
//! The documents of a corpus are cut into references, references become memories, and memories become codes. With texts, origins,
//! embeddings and a search graph they make one file.
//!
//! ```no_run
//! use std::sync::atomic::AtomicBool;
//!
//! use mempack_compiler::{BuildOptions, Input, SilentBuild, build};
//! use mempack_model::{Embedder, LoadOptions, Model};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let load = LoadOptions::default();
//! let model = Model::load("model".as_ref(), &load)?;
//! let embedder = Embedder::load("embedder".as_ref(), &load)?;
//! let options = BuildOptions { inputs: vec![Input::Path("corpus".into())], output: "corpus.mpk".into(), ..BuildOptions::default() };
//! let report = build(&model, &embedder, &options, &SilentBuild, &AtomicBool::new(false))?;
//! println!("{} references, id {}", report.references, report.id);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod builder;
mod cancel;
mod codebooks;
mod codec;
mod context;
mod dedup;
mod error;
mod graph;
mod ingest;
mod key;
mod metadata;
mod options;
mod pipeline;
mod places;
mod previous;
mod progress;
mod resume;
mod revoke;
mod scratch;
mod slots;
mod terms;
mod tuning;
mod unknown_text;
mod work_files;
mod write;

pub use builder::{COARSE_FROM, build};
pub use codebooks::{CODEBOOKS_FILE, CodebooksError, UsedCodebooks, write_codebooks};
pub use codec::{CodecTrainError, EncodeError, Encoder, SampleError, SampleStore, TrainOptions, train as train_codec};
pub use error::BuildError;
pub use graph::{FlatGraph, GraphBuilder};
pub use mempack_corpus::{CorpusError, CutOptions, DuplicateIds, Input};
pub use metadata::MetadataNote;
pub use options::{BuildOptions, GraphOptions, MAX_THREADS};
pub use previous::PreviousPack;
pub use progress::{BuildProgress, BuildReport, SilentBuild, Stage};
pub use resume::{ResumeState, StageProgress};
pub use revoke::{Revocation, RevokeError, RevokeReport, RevokeStage};
pub use tuning::choose::CANDIDATES;
pub use tuning::drift::{Drift, Fit};
pub use tuning::sample::MAX_SENSITIVITY_TEXTS;
pub use tuning::selection::CODEBOOKS_BELOW;

/// The generator that packs name in their manifest.
pub const GENERATOR: &str = concat!("mempack ", env!("CARGO_PKG_VERSION"));
