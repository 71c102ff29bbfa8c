//! From a corpus to a memory pack: documents are cut into references, references become memories, memories codes, and with texts,
//! origins, embeddings and a search graph they become one file.
//!
//! ```no_run
//! use std::sync::atomic::AtomicBool;
//!
//! use mempack_compiler::{BuildOptions, Input, Silent, build};
//! use mempack_model::{Embedder, LoadOptions, Model};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let load = LoadOptions::default();
//! let model = Model::load("model".as_ref(), &load)?;
//! let embedder = Embedder::load("embedder".as_ref(), &load)?;
//! let options = BuildOptions { inputs: vec![Input::Path("corpus".into())], output: "corpus.mpk".into(), ..BuildOptions::default() };
//! let report = build(&model, &embedder, &options, &Silent, &AtomicBool::new(false))?;
//! println!("{} references, id {}", report.references, report.id);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod auto;
mod builder;
mod choice;
mod codec;
mod corpus;
mod dedup;
mod drift;
mod error;
mod graph;
mod job;
mod kept;
mod key;
mod older;
mod options;
mod pieces;
mod pipeline;
mod probes;
mod progress;
mod quality;
mod reading;
mod revoke;
mod scratch;
mod segment;
mod sense;
mod slots;
mod work;
mod write;

pub use auto::CANDIDATES;
pub use builder::build;
pub use codec::{EncodeError, Encoder, SampleError, SampleStore, TrainError, TrainOptions, train as train_codec};
pub use corpus::{Documents, MAX_FIELD_BYTES, MAX_LINE_BYTES, read_corpus};
pub use drift::{Drift, Fit};
pub use error::{BuildError, CorpusError};
pub use kept::{Done, Kept};
pub use older::Older;
pub use options::{BuildOptions, GraphOptions, Input};
pub use pieces::for_each_reference;
pub use progress::{BuildReport, Progress, Silent, Stage};
pub use revoke::{Revocation, RevokeError, RevokeReport, RevokeStage};
pub use sense::SENSITIVITY_TEXTS;
