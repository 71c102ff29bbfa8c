//! Errors of loading and of computing: what, where, what was expected, and how to mend it.

use std::path::PathBuf;

use mempack_format::MemoryShape;
use tch::TchError;

/// Why a model, an adapter, a tokenizer or an embedder could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A folder or file is not there.
    #[error("{path}: no such {what}; {remedy}", path = path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
        /// What it is.
        what: &'static str,
        /// How to mend it.
        remedy: String,
    },
    /// A file is there and cannot be read.
    #[error("{path}: cannot be read: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file that should be JSON is not.
    #[error("{path}: not valid JSON: {source}; fetch the file again", path = path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Line, column and reason.
        source: serde_json::Error,
    },
    /// A field of a JSON file is missing, of the wrong type, or has a value that is not supported.
    #[error("{path}: field `{field}`: expected {expected}, found {found}; {remedy}", path = path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The field, with the block it lies in.
        field: Box<str>,
        /// What would be accepted.
        expected: String,
        /// What is there.
        found: String,
        /// How to mend it.
        remedy: String,
    },
    /// The frame of a safetensors file is damaged.
    #[error("{path}: damaged safetensors file: {part}: expected {expected}, found {found}; the file was cut short or altered, fetch it again", path = path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// Which part of the file.
        part: String,
        /// What would be accepted.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A tensor is missing or has another shape or type than the configuration says.
    #[error("{path}: tensor `{tensor}`: expected {expected}, found {found}; {remedy}", path = path.display())]
    Tensor {
        /// The file or folder.
        path: PathBuf,
        /// The tensor's name.
        tensor: Box<str>,
        /// What would be accepted.
        expected: String,
        /// What is there.
        found: String,
        /// How to mend it.
        remedy: String,
    },
    /// A tokenizer cannot be read, or does not belong to this model.
    #[error("{path}: tokenizer: expected {expected}, found {found}; {remedy}", path = path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What would be accepted.
        expected: String,
        /// What is there.
        found: String,
        /// How to mend it.
        remedy: String,
    },
    /// The base model of an adapter is nowhere.
    #[error("{path}: the adapter's base model `{name}` is not found; looked in {looked}; run `make` in the repository to put the default base in place, pass the base's folder, or set MEMPACK_MODELS to the folder that holds it", path = path.display(), looked = list(looked))]
    BaseNotFound {
        /// The adapter's folder.
        path: PathBuf,
        /// The base's name, from `base_model_name_or_path`.
        name: String,
        /// The folders tried, in order.
        looked: Vec<PathBuf>,
    },
    /// The device asked for is not there.
    #[error("device {wanted} is not available: {found}; use the CPU, or a libtorch 2.11 built for CUDA")]
    Device {
        /// What was asked for.
        wanted: String,
        /// What there is.
        found: String,
    },
    /// libtorch reported a failure.
    #[error("libtorch: {0}")]
    Torch(#[from] TchError),
}

/// Why a computation was refused or failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComputeError {
    /// A reference without tokens.
    #[error("reference {index} of the batch has no tokens")]
    EmptyReference {
        /// Its place in the batch.
        index: usize,
    },
    /// A reference longer than the model's reference length.
    #[error("reference {index} of the batch has {tokens} tokens, the model's reference length is {most}")]
    LongReference {
        /// Its place in the batch.
        index: usize,
        /// Its tokens.
        tokens: usize,
        /// The most there may be.
        most: usize,
    },
    /// A token id outside the vocabulary.
    #[error("token id {token} is outside the vocabulary of {vocabulary}")]
    UnknownToken {
        /// The id.
        token: u32,
        /// Size of the vocabulary.
        vocabulary: usize,
    },
    /// More memories than a chunk has slots for.
    #[error("{given} memories for a chunk that has room for {slots}")]
    TooManyMemories {
        /// Memories given.
        given: usize,
        /// Memories a chunk may read.
        slots: usize,
    },
    /// A memory of another model.
    #[error("a memory has shape {found:?}, the model reads {expected:?}")]
    MemoryShape {
        /// The model's shape.
        expected: MemoryShape,
        /// The memory's shape.
        found: MemoryShape,
    },
    /// A memory whose parts disagree with its shape, or with a position past the reference length.
    #[error("a memory is damaged: {field}: expected {expected}, found {found}")]
    DamagedMemory {
        /// Which part.
        field: &'static str,
        /// What would be accepted.
        expected: usize,
        /// What is there.
        found: usize,
    },
    /// A reader whose cache is full.
    #[error("the context holds {capacity} tokens and {wanted} are wanted; make the reader with a larger capacity")]
    Capacity {
        /// Tokens the reader was made for.
        capacity: usize,
        /// Tokens it would have to hold.
        wanted: usize,
    },
    /// A prompt given to a reader that already holds one, or memories or a step before any prompt.
    #[error("{operation} needs a reader {needs}")]
    Order {
        /// What was called.
        operation: &'static str,
        /// In which state the reader has to be.
        needs: &'static str,
    },
    /// Memories given to a reader that was made without a prefix, and so without memory slots.
    #[error("a reader made with `prefix: false` has no place for memories")]
    NoSlots,
    /// A sequence to learn from whose marks are not as many as its tokens.
    #[error("sequence {index} of the batch has {expected} tokens and {found} marks of what is learnt")]
    Marks {
        /// Its place in the batch.
        index: usize,
        /// Its tokens.
        expected: usize,
        /// Its marks.
        found: usize,
    },
    /// A batch in which no token is to be learnt.
    #[error("no token of the batch is to be learnt; give sequences with answers")]
    NothingToLearn,
    /// A chunk that reads a reference which was not written.
    #[error("a chunk reads reference {reference} of {written} written")]
    NotWritten {
        /// The number it names.
        reference: usize,
        /// References written.
        written: usize,
    },
    /// A `memory` block that a model of this architecture cannot have.
    #[error("memory block: {field}: expected {expected}, found {found}")]
    MemoryBlock {
        /// The field.
        field: &'static str,
        /// What would be accepted.
        expected: String,
        /// What was given.
        found: String,
    },
    /// The tokenizer refused a text.
    #[error("the tokenizer failed: {reason}")]
    Tokenize {
        /// What it says.
        reason: String,
    },
    /// libtorch reported a failure.
    #[error("libtorch: {0}")]
    Torch(#[from] TchError),
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ")
}
