//! Why a build failed.

use std::io;
use std::path::PathBuf;

use mempack_corpus::CorpusError;
use mempack_format::{CodecError, CodecSpec, Difference, Divergence, ReadError, WriteError};
use mempack_model::ComputeError;
use thiserror::Error;

use crate::MetadataNote;
use crate::codec::{CodecTrainError, EncodeError, SampleError};
use crate::resume::ResumeState;

/// Why a pack was not built. A file at the target is unchanged.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The corpus was not read or cut.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// An option whose value is not allowed.
    #[error("the option `{option}` is {found}, expected {expected}")]
    Option {
        /// The option.
        option: &'static str,
        /// Its value.
        found: u64,
        /// What is allowed.
        expected: &'static str,
    },
    /// The corpus is in a language that the embedder or the model does not know.
    #[error(
        "the {party} {name} does not know {:.0}% of the characters of the corpus, which is in a language that it was not made for; use a \
         {party} that knows it", 100.0 * share
    )]
    UnknownText {
        /// `embedder` or `model`.
        party: &'static str,
        /// Its name.
        name: String,
        /// The share of characters that it does not know, from 0 to 1.
        share: f64,
    },
    /// More references than a pack holds.
    #[error("the corpus has more than {cap} different references, the maximum of one pack; build several packs")]
    TooManyReferences {
        /// The cap.
        cap: u64,
    },
    /// A temporary file beside the target failed.
    #[error(
        "{path}: {source}; the folder of the target must be writable and have room for temporary files: free some space there, or write elsewhere"
    )]
    Scratch {
        /// The file or folder.
        path: PathBuf,
        /// What the system reports.
        source: io::Error,
    },
    /// A file of a plan or a shard, whose digest was right before, was not read.
    #[error("{}: {source}; copy the file again, or make it again", path.display())]
    PlanFile {
        /// The file.
        path: PathBuf,
        /// What the system reports, or what is wrong.
        source: io::Error,
    },
    /// The model or the embedder failed.
    #[error(transparent)]
    Compute(#[from] ComputeError),
    /// The codec does not fit the memories.
    #[error("codec {spec}: {source}; choose another codec")]
    Codec {
        /// The codec.
        spec: String,
        /// What is wrong.
        source: CodecError,
    },
    /// The codec's sample of memories was not written or read.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// The codec was not trained.
    #[error("codec {spec}: {source}")]
    Train {
        /// The codec.
        spec: String,
        /// What is wrong.
        source: CodecTrainError,
    },
    /// A memory was not encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The pack was not written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The previous pack was built with another model, precision or embedder.
    #[error("{}: no reference can be taken from this pack: they differ in {}; use the model and the embedder it was built with, or build without it", path.display(), Difference::summary(differences))]
    PreviousIdentity {
        /// The pack.
        path: PathBuf,
        /// The fields that differ.
        differences: Vec<Difference>,
    },
    /// The previous pack has another codec than the build, and its codebooks are kept.
    #[error("{}: its codec is {found}, the build's is {expected}; keep the codec of the pack, or train the new one", path.display())]
    PreviousCodec {
        /// The pack.
        path: PathBuf,
        /// The codec of the build.
        expected: CodecSpec,
        /// The codec of the pack.
        found: CodecSpec,
    },
    /// The codebooks are those of another model.
    #[error("{}: these codebooks are those of another model: they differ in {}; remove the file, or train the codec", path.display(), Difference::summary(differences))]
    Codebooks {
        /// Their file.
        path: PathBuf,
        /// The fields that differ.
        differences: Vec<Difference>,
    },
    /// The previous pack is damaged.
    #[error("{}: {source}; restore it from a copy, or build without it", path.display())]
    PreviousPack {
        /// The pack.
        path: PathBuf,
        /// The damage.
        source: Box<ReadError>,
    },
    /// No codec has records of so few bytes.
    #[error("no codec stores a memory in {max} bytes; allow at least {min}")]
    NoCodec {
        /// The bytes allowed.
        max: u64,
        /// The bytes of the smallest record.
        min: u64,
    },
    /// A codec is to be chosen, but the codebooks of the previous pack are kept.
    #[error("{}: its codebooks are kept, so no other codec can be chosen; keep its codec, or train the new one", path.display())]
    PreviousTables {
        /// The pack.
        path: PathBuf,
    },
    /// The codec moves the model's predictions further than is allowed.
    #[error(
        "codec {spec} moves the model's predictions by {:.4} nats a token (KL divergence over {} tokens), the maximum is {max}; nothing was \
         written, and a file at the target is unchanged: choose a codec with more bytes a memory, or allow a larger divergence",
        found.nats, found.tokens
    )]
    Divergence {
        /// The codec.
        spec: CodecSpec,
        /// What was measured.
        found: Divergence,
        /// The maximum, in nats a token.
        max: f64,
    },
    /// The divergence has a maximum, and it cannot be measured.
    #[error(
        "how far codec {spec} moves the model's predictions cannot be measured: no held-out reference retrieved a memory; build from more \
         text (at least 16 references), or set no maximum"
    )]
    DivergenceUnknown {
        /// The codec.
        spec: CodecSpec,
    },
    /// Fields of the corpus do not keep the types of their values, and that is refused.
    #[error("{}; give each field values of one kind in all documents", listed(notes))]
    Metadata {
        /// What is said of each of these fields.
        notes: Vec<MetadataNote>,
    },
    /// The cancel flag was set.
    #[error("interrupted; nothing was written")]
    Interrupted,
    /// The build ended early, and some of its work is kept.
    #[error("{}", stopped(why, resume))]
    Stopped {
        /// Why it ended. The message of this error contains it.
        why: Box<BuildError>,
        /// What the same build resumes from.
        resume: Box<ResumeState>,
    },
}

impl BuildError {
    /// Why the build ended, whether or not work is kept.
    pub fn reason(&self) -> &Self {
        match self {
            Self::Stopped { why, .. } => why.reason(),
            reason => reason,
        }
    }
}

/// The first notes, with how many there are.
fn listed(notes: &[MetadataNote]) -> String {
    let shown: Vec<String> = notes.iter().take(5).map(ToString::to_string).collect();
    let more = notes.len() - shown.len();
    format!("{}{}", shown.join("; "), if more > 0 { format!("; and {more} more") } else { String::new() })
}

fn stopped(why: &BuildError, resume: &ResumeState) -> String {
    match why {
        BuildError::Interrupted => {
            format!("interrupted: {resume}; run the same build again to resume it, or delete that folder to give it up")
        }
        // The same build would fail in the same way.
        why => format!("{why}\n{resume}; mend the cause and run the same build again to resume it, or delete that folder to give it up"),
    }
}
