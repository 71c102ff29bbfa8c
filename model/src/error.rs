//! Errors of loading and computing: where, what was expected, what was found, and how to fix it.

use std::path::PathBuf;

use mempack_format::MemoryShape;
use tch::TchError;

/// An error while loading a model, an adapter, a tokenizer, an embedder or a reranker.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A folder or file does not exist.
    #[error("{path}: no such {what}; {remedy}", path = path.display())]
    Missing {
        /// Its path.
        path: PathBuf,
        /// What it should be, as "folder".
        what: &'static str,
        /// How to fix it.
        remedy: String,
    },
    /// A file exists and cannot be read.
    #[error("{path}: cannot be read: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file or folder is something else than it should be, as a git-LFS pointer or a file in place of a folder.
    #[error("{path}: expected {expected}, found {found}; {remedy}", path = path.display())]
    WrongFile {
        /// The file or folder.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: String,
        /// How to fix it.
        remedy: String,
    },
    /// A file is not valid JSON.
    #[error("{path}: not valid JSON: {source}; correct it there, or fetch the file again", path = path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Line, column and reason.
        source: serde_json::Error,
    },
    /// A field of a JSON file is missing, has the wrong type, or a value that is not supported.
    #[error("{path}: field `{field}`: expected {expected}, found {found}; {remedy}", path = path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The field, with its block before it.
        field: Box<str>,
        /// What would be accepted.
        expected: String,
        /// What is there.
        found: String,
        /// How to fix it.
        remedy: String,
    },
    /// The header of a safetensors file is damaged.
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
    /// A tensor is missing, or its shape or type contradicts the configuration.
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
        /// How to fix it.
        remedy: String,
    },
    /// A tokenizer cannot be read, or belongs to another model.
    #[error("{path}: tokenizer: expected {expected}, found {found}; {remedy}", path = path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What would be accepted.
        expected: String,
        /// What is there.
        found: String,
        /// How to fix it.
        remedy: String,
    },
    /// The base model of an adapter is not found.
    #[error("{path}: the adapter's base model `{name}` is not found; looked in {looked}; run `make` in the repository to download the default base model, name the base model's folder, or set MEMPACK_MODELS to the folder that holds it", path = path.display(), looked = list(looked))]
    BaseNotFound {
        /// The adapter's folder.
        path: PathBuf,
        /// The base model's name, from `base_model_name_or_path`.
        name: String,
        /// The folders tried, in order.
        looked: Vec<PathBuf>,
    },
    /// The writer of a reading adapter is not found.
    #[error("{path}: the reading adapter's writer `{name}` is not found; looked in {looked}; correct `base_model_name_or_path` in adapter_config.json, which is a path from this folder, or set MEMPACK_MODELS to the folder that holds the writer", path = path.display(), looked = list(looked))]
    WriterNotFound {
        /// The reading adapter's folder.
        path: PathBuf,
        /// The writer's name, from `base_model_name_or_path`.
        name: String,
        /// The folders tried, in order.
        looked: Vec<PathBuf>,
    },
    /// The writer of a reading adapter is not the one that it was trained on.
    #[error("{path}: field `{field}`: the reading adapter was trained on a writer with the digest {expected}, and the writer in {writer} has {found}; name the right writer in adapter_config.json, or train the reading adapter on this one", path = path.display(), writer = writer.display())]
    OtherWriter {
        /// The reading adapter's memory.json.
        path: PathBuf,
        /// The field that differs: `writer.weights` or `writer.adapter`.
        field: &'static str,
        /// The digest in it.
        expected: String,
        /// The writer's digest.
        found: String,
        /// The writer's folder.
        writer: PathBuf,
    },
    /// The requested device does not exist.
    #[error("device {wanted} is not available: {found}; use the CPU, or a libtorch 2.11 built for CUDA")]
    Device {
        /// The requested device.
        wanted: String,
        /// The devices found.
        found: String,
    },
    /// A failure of libtorch.
    #[error("libtorch: {0}")]
    Torch(#[from] TchError),
}

/// An error of a computation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComputeError {
    /// A reference without tokens.
    #[error("reference {index} of the batch has no tokens")]
    EmptyReference {
        /// Its index in the batch.
        index: usize,
    },
    /// A reference longer than the model's reference length.
    #[error("reference {index} of the batch has {tokens} tokens, the model's reference length is {max}")]
    LongReference {
        /// Its index in the batch.
        index: usize,
        /// Its tokens.
        tokens: usize,
        /// The model's reference length.
        max: usize,
    },
    /// A system message for a model that has no place for one.
    #[error("the model's memory block has no `system_template`, and so no place for a system message")]
    NoSystem,
    /// A token id that is not in the vocabulary.
    #[error("token id {token} is outside the vocabulary of {vocabulary}")]
    UnknownToken {
        /// The id.
        token: u32,
        /// Size of the vocabulary.
        vocabulary: usize,
    },
    /// More memories than a chunk may read.
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
    /// A memory whose parts contradict its shape, or with a position past the reference length.
    #[error("a memory is damaged: {field}: expected {expected}, found {found}")]
    DamagedMemory {
        /// The part.
        field: &'static str,
        /// What would be accepted.
        expected: usize,
        /// What is there.
        found: usize,
    },
    /// A reader whose cache is full.
    #[error("the context holds {capacity} tokens and {wanted} are wanted; create the reader with a larger capacity")]
    Capacity {
        /// The reader's capacity in tokens.
        capacity: usize,
        /// Tokens that it would have to hold.
        wanted: usize,
    },
    /// A second prompt for a reader, or a step before the prompt.
    #[error("{operation} needs a reader {needs}")]
    Order {
        /// The method called.
        operation: &'static str,
        /// The state that the method needs.
        needs: &'static str,
    },
    /// The environment asks for a path of the kernels that there is not.
    #[error(transparent)]
    Path(#[from] mempack_kernels::PathError),
    /// The kernels refuse shapes or weights.
    #[error(transparent)]
    Kernel(#[from] mempack_kernels::KernelError),
    /// 8-bit weights for a decoder that is not on the CPU, or of which an adapter is in training.
    #[error("answers are decoded with 8-bit weights on the CPU only; use bf16")]
    Int8,
    /// The threads of the kernels could not be started.
    #[error("the threads that compute could not be started: {0}")]
    Threads(#[source] std::io::Error),
    /// A sequence that does not fit into the budget of its batch.
    #[error("the cache of a sequence takes {needed} bytes, and {free} of the budget of {budget} are free")]
    Budget {
        /// Bytes that the sequence takes.
        needed: usize,
        /// Bytes that open sequences do not take.
        free: usize,
        /// Bytes for all sequences.
        budget: usize,
    },
    /// Memories for a reader without a prefix, which has no memory slots.
    #[error("a reader with `prefix: false` has no memory slots")]
    NoSlots,
    /// A training sequence that does not have one mark a token.
    #[error("sequence {index} of the batch has {expected} tokens and {found} marks of what is learnt")]
    Marks {
        /// Its index in the batch.
        index: usize,
        /// Its tokens.
        expected: usize,
        /// Its marks.
        found: usize,
    },
    /// A training batch in which no token counts in the loss.
    #[error("no token of the batch is to be learnt; give sequences with answers")]
    NothingToLearn,
    /// A prompt that cannot teach a sequence, because it does not learn the same tokens.
    #[error("the prompt that teaches sequence {index} has {found} learnt tokens, expected the {expected} learnt tokens of the sequence")]
    Taught {
        /// The index of the sequence in the batch.
        index: usize,
        /// Learnt tokens of the sequence.
        expected: usize,
        /// Learnt tokens of the prompt; as many, but others, if the numbers are equal.
        found: usize,
    },
    /// The decoder of a reading adapter, which was asked to write.
    #[error("the weights of a reading adapter write no memories; write with the whole model, which has the writer's weights too")]
    ReadsOnly,
    /// A chunk that reads a reference that was not written.
    #[error("a chunk reads reference {reference} of {written} written")]
    NotWritten {
        /// Its index.
        reference: usize,
        /// Number of references written.
        written: usize,
    },
    /// A `memory` block that does not fit the architecture.
    #[error("memory block: {field}: expected {expected}, found {found}")]
    MemoryBlock {
        /// The field.
        field: &'static str,
        /// What would be accepted.
        expected: String,
        /// What was found.
        found: String,
    },
    /// A score that is no number.
    #[error("the score of text {index} is not finite; the reranker's weights may be damaged")]
    Score {
        /// The index of the text.
        index: usize,
    },
    /// The tokenizer refused a text.
    #[error("the tokenizer failed: {reason}")]
    Tokenize {
        /// Its error.
        reason: String,
    },
    /// A failure of libtorch.
    #[error("libtorch: {0}")]
    Torch(#[from] TchError),
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ")
}
