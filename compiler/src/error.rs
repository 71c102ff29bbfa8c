//! Why a build failed.

use std::io;
use std::path::PathBuf;

use mempack_format::{CodecError, CodecSpec, Difference, Divergence, ReadError, WriteError};
use mempack_model::ComputeError;
use thiserror::Error;

use crate::Kept;
use crate::codec::{EncodeError, SampleError, TrainError};

/// Why a corpus was not read. `path` is what the user named, or `standard input`.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CorpusError {
    /// A path is not there.
    #[error("{path}: no such file or folder; check the path, or name another .txt, .md, .jsonl file, a folder, or - for standard input")]
    Missing {
        /// The path.
        path: String,
    },
    /// A file was named that is of no known kind.
    #[error("{path}: the kind of this file is not known, expected .txt, .md or .jsonl; rename it, or convert it to one of these")]
    UnknownKind {
        /// The path.
        path: String,
    },
    /// Reading failed.
    #[error("{path}: cannot be read: {source}; check that the file is readable and the disk in order")]
    Read {
        /// The path.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// Bytes that are not UTF-8.
    #[error("{path}: not UTF-8 at byte {offset} (found {found:#04x}); convert it, for example with iconv -f WINDOWS-1252 -t UTF-8")]
    NotUtf8 {
        /// The path.
        path: String,
        /// The first byte that does not belong, counted from 0.
        offset: u64,
        /// That byte.
        found: u8,
    },
    /// A JSON line above the cap.
    #[error("{path}, line {line}: longer than {cap} bytes, the most that a JSON line may have; split the document into several lines")]
    LineTooLong {
        /// The path.
        path: String,
        /// The line, counted from 1.
        line: u64,
        /// The cap, [`MAX_LINE_BYTES`](crate::MAX_LINE_BYTES).
        cap: usize,
    },
    /// A line that is not JSON.
    #[error("{path}, line {line}: not a JSON object: {source}; each line must be one object such as {{\"text\": \"...\"}}")]
    NotJson {
        /// The path.
        path: String,
        /// The line, counted from 1.
        line: u64,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// JSON, but no object.
    #[error("{path}, line {line}: found {found}, expected an object such as {{\"text\": \"...\"}}; write one object a line")]
    NotAnObject {
        /// The path.
        path: String,
        /// The line, counted from 1.
        line: u64,
        /// What was found.
        found: &'static str,
    },
    /// A row without its text.
    #[error("{path}, line {line}: the field `text` is missing; give the document's text in it, or remove the line")]
    NoText {
        /// The path.
        path: String,
        /// The line, counted from 1.
        line: u64,
    },
    /// A field of the wrong type.
    #[error("{path}, line {line}: the field `{field}` is {found}, expected a string; write it in quotes")]
    FieldType {
        /// The path.
        path: String,
        /// The line, counted from 1.
        line: u64,
        /// The field.
        field: &'static str,
        /// The type found.
        found: &'static str,
    },
    /// A field above the cap.
    #[error(
        "{path}, line {line}: the field `{field}` has {found} bytes, at most {cap} are kept; shorten it, and put long text into `text`"
    )]
    FieldTooLong {
        /// The path.
        path: String,
        /// The line, counted from 1.
        line: u64,
        /// The field.
        field: &'static str,
        /// Bytes found.
        found: usize,
        /// The cap, [`MAX_FIELD_BYTES`](crate::MAX_FIELD_BYTES).
        cap: usize,
    },
    /// A document above the cap, where its text is needed whole.
    #[error("the document {id} has more than {cap} bytes of text, the most that is read at a time here; split it into several documents")]
    DocumentTooLong {
        /// The document.
        id: String,
        /// The cap, [`MAX_LINE_BYTES`](crate::MAX_LINE_BYTES).
        cap: usize,
    },
    /// Nothing to build a pack from.
    #[error("the corpus {inputs} holds no document with words; name files with text (.txt, .md, .jsonl with `text`)")]
    Empty {
        /// What was named.
        inputs: String,
    },
}

/// Why a pack was not built. Whatever lay at the target before lies there still.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The corpus.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// An option that cannot be followed.
    #[error("the option `{option}` is {found}, expected {expected}")]
    Option {
        /// The option.
        option: &'static str,
        /// Its value.
        found: u64,
        /// What is allowed.
        expected: &'static str,
    },
    /// A model with which no reference can be written.
    #[error(
        "the model's reference length is {found} tokens, its template alone takes {template}: at least {needed} are needed; mend the `memory` block of its config.json"
    )]
    ReferenceLength {
        /// The reference length.
        found: usize,
        /// Tokens of the template around the text.
        template: usize,
        /// What is needed at least.
        needed: usize,
    },
    /// More references than a pack holds.
    #[error("the corpus has more than {cap} different references, the most that one pack holds; build several packs")]
    TooManyReferences {
        /// The cap.
        cap: u64,
    },
    /// The work's files beside the target.
    #[error(
        "{path}: {source}; the folder of the target must be writable and have room for the work's files: free some space there, or write elsewhere"
    )]
    Scratch {
        /// File or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The model or the embedder failed.
    #[error(transparent)]
    Compute(#[from] ComputeError),
    /// The codec does not fit the memories.
    #[error("codec {spec}: {source}; choose another --codec")]
    Codec {
        /// The codec.
        spec: String,
        /// What is wrong.
        source: CodecError,
    },
    /// The codec's sample of memories.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// The codec was not trained.
    #[error("codec {spec}: {source}")]
    Train {
        /// The codec.
        spec: String,
        /// What is wrong.
        source: TrainError,
    },
    /// A memory was not encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The pack was not written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The pack to take references from is of another model, precision or embedder.
    #[error("{}: no reference can be taken over:{}; name the model and the embedder it was built with, or build without it", path.display(), listed(differences))]
    OlderIdentity {
        /// The pack.
        path: PathBuf,
        /// In what they differ.
        differences: Vec<Difference>,
    },
    /// The pack to take references from has another codec.
    #[error("{}: its codec is {found}, asked for is {expected}; leave the codec out, or have it trained anew with --retrain-codec", path.display())]
    OlderCodec {
        /// The pack.
        path: PathBuf,
        /// The codec asked for.
        expected: CodecSpec,
        /// The pack's.
        found: CodecSpec,
    },
    /// The pack to take references from is damaged.
    #[error("{}: {source}; restore it from a copy, or build without it", path.display())]
    Older {
        /// The pack.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<ReadError>,
    },
    /// No codec has records of so few bytes.
    #[error("no codec stores a memory in {most} bytes; allow at least {least}")]
    NoCodec {
        /// What was allowed.
        most: u64,
        /// What the smallest record has.
        least: u64,
    },
    /// A codec is to be chosen although an older pack has one that is kept.
    #[error("{}: its codebooks are kept, so its codec cannot be chosen; leave --codec auto out, or have it trained anew with --retrain-codec", path.display())]
    OlderChosen {
        /// The older pack.
        path: PathBuf,
    },
    /// The codec moves the model's predictions further than was allowed.
    #[error(
        "codec {spec} moves the model's predictions by {:.4} nats a token (KL divergence over {} tokens), allowed are {most}; nothing was \
         written, and what was at the target is there still: choose a codec with more bytes a memory, or allow more with --max-kl",
        found.nats, found.tokens
    )]
    Divergence {
        /// The codec.
        spec: CodecSpec,
        /// What was measured.
        found: Divergence,
        /// What was allowed.
        most: f64,
    },
    /// A bound on the divergence was given, and it cannot be measured.
    #[error(
        "how far codec {spec} moves the model's predictions cannot be measured: of the references held out none finds a memory to read; \
         build from more text (16 references at least), or leave --max-kl out"
    )]
    DivergenceUnknown {
        /// The codec.
        spec: CodecSpec,
    },
    /// The cancel flag was set.
    #[error("interrupted; nothing was written")]
    Interrupted,
    /// The build ended early, for whatever reason, and some of its work is kept.
    #[error("{}", stopped(why, kept))]
    Stopped {
        /// Why it ended; what this error says has it in it.
        why: Box<BuildError>,
        /// What is kept.
        kept: Box<Kept>,
    },
}

impl BuildError {
    /// Why the build ended, whatever it keeps.
    pub fn reason(&self) -> &Self {
        match self {
            Self::Stopped { why, .. } => why.reason(),
            reason => reason,
        }
    }
}

fn stopped(why: &BuildError, kept: &Kept) -> String {
    match why {
        BuildError::Interrupted => format!("interrupted: {kept}"),
        why => format!("{why}\n{kept}"),
    }
}

fn listed(differences: &[Difference]) -> String {
    let line = |difference: &Difference| format!(" its {} is {}, here it is {};", difference.field, difference.pack, difference.model);
    differences.iter().map(line).collect::<String>().trim_end_matches(';').to_owned()
}
