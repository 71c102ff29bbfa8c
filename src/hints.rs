//! Which command-line option helps with an error of a library. Libraries do not know the command line; their errors name fields and
//! values.

#[cfg(feature = "engine")]
use mempack_compiler::BuildError;
use mempack_corpus::CorpusError;
#[cfg(feature = "engine")]
use mempack_evaluation::EvaluateError;
#[cfg(feature = "engine")]
use mempack_model::ImportError;
#[cfg(feature = "engine")]
use mempack_runtime::{IdentityMismatch, ReferenceError, SessionError};

/// For a pack and a model, or a pack and an embedder, that do not match.
#[cfg(feature = "engine")]
pub fn mismatch(error: &IdentityMismatch) -> &'static str {
    match error.party {
        "embedder" => "--embedder DIR names the embedder",
        _ => "--model DIR names the model",
    }
}

/// For a session that was not created.
#[cfg(feature = "engine")]
pub fn session(error: &SessionError) -> Option<&'static str> {
    match error {
        SessionError::Mismatch(error) => Some(mismatch(error)),
        SessionError::NotSigned(_) => Some("--trusted KEY names a key that may have signed"),
        _ => None,
    }
}

/// For an evaluation that ended early.
#[cfg(feature = "engine")]
pub fn evaluation(error: &EvaluateError) -> Option<&'static str> {
    match error {
        EvaluateError::Mismatch(error) => Some(mismatch(error)),
        EvaluateError::Session(error) => session(error),
        EvaluateError::Mode { .. } => Some("--modes LIST chooses other modes, --pack PACK names a pack"),
        EvaluateError::Reference(ReferenceError::Composed { .. }) => Some("--modes LIST chooses the modes"),
        _ => None,
    }
}

/// For a build that ended early.
#[cfg(feature = "engine")]
pub fn build(error: &BuildError) -> Option<&'static str> {
    match error.reason() {
        BuildError::Corpus(error) => corpus(error),
        BuildError::Codec { .. } => Some("--codec NAME chooses another codec"),
        BuildError::PreviousIdentity { .. } => {
            Some("--model DIR, --precision and --embedder DIR choose those of the pack; or leave --from out")
        }
        BuildError::PreviousCodec { .. } => Some("leave --codec out to keep the pack's codec, or train a new one with --retrain-codec"),
        BuildError::PreviousTables { .. } => {
            Some("leave --codec auto out to keep the pack's codec, or have a new one chosen with --retrain-codec")
        }
        BuildError::PreviousPack { .. } => Some("leave --from out to build without it"),
        BuildError::NoCodec { .. } => Some("--bytes-per-memory N allows more"),
        BuildError::Divergence { .. } => Some("--codec NAME chooses a codec with more bytes, a higher --max-kl NATS allows this one"),
        BuildError::DivergenceUnknown { .. } => Some("leave --max-kl out to build without a bound"),
        _ => None,
    }
}

/// For an import that failed.
#[cfg(feature = "engine")]
pub fn import(error: &ImportError) -> Option<&'static str> {
    match error {
        ImportError::Vocabulary { .. } => Some("--tokenizer FILE gives the model's own tokenizer.json"),
        ImportError::Key { key, .. } if key.starts_with("tokenizer.") => Some("--tokenizer FILE gives the model's own tokenizer.json"),
        _ => None,
    }
}

/// For a corpus that was not read.
pub fn corpus(error: &CorpusError) -> Option<&'static str> {
    match error {
        CorpusError::Missing { .. } => Some("name another .txt, .md or .jsonl file, a folder, or - for standard input"),
        _ => None,
    }
}
