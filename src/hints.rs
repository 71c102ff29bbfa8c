//! Which command-line option helps with an error of a library. Libraries do not know the command line; their errors name fields and
//! values.

#[cfg(feature = "engine")]
use mempack_compiler::{BuildError, PlanError};
use mempack_corpus::CorpusError;
#[cfg(feature = "engine")]
use mempack_evaluation::EvaluateError;
#[cfg(feature = "engine")]
use mempack_format::Difference;
#[cfg(feature = "engine")]
use mempack_model::ImportError;
#[cfg(feature = "engine")]
use mempack_runtime::{IdentityMismatch, ReferenceError, SessionError};

/// For a pack and a model, or a pack and an embedder, that do not match.
#[cfg(feature = "engine")]
pub fn mismatch(error: &IdentityMismatch) -> &'static str {
    match error.party {
        "embedder" => "use --embedder DIR to name the embedder that the pack was built with",
        _ => "use --model DIR to name the model that the pack was built with",
    }
}

/// What differs, for a mismatch.
#[cfg(feature = "engine")]
pub fn session_details(error: &SessionError) -> Option<String> {
    match error {
        SessionError::Mismatch(error) => Some(error.details()),
        _ => None,
    }
}

/// What differs, for a previous pack that does not match.
#[cfg(feature = "engine")]
pub fn build_details(error: &BuildError) -> Option<String> {
    match error.reason() {
        BuildError::PreviousIdentity { differences, .. } | BuildError::Codebooks { differences, .. } => {
            Some(Difference::details(differences))
        }
        _ => None,
    }
}

/// What differs, for a mismatch.
#[cfg(feature = "engine")]
pub fn evaluation_details(error: &EvaluateError) -> Option<String> {
    match error {
        EvaluateError::Mismatch(error) => Some(error.details()),
        EvaluateError::Session(error) => session_details(error),
        _ => None,
    }
}

/// For a session that was not created.
#[cfg(feature = "engine")]
pub fn session(error: &SessionError) -> Option<&'static str> {
    match error {
        SessionError::Mismatch(error) => Some(mismatch(error)),
        SessionError::NotSigned(_) => Some("use --trusted KEY to name another key that you trust"),
        _ => None,
    }
}

/// For an evaluation that ended early.
#[cfg(feature = "engine")]
pub fn evaluation(error: &EvaluateError) -> Option<&'static str> {
    match error {
        EvaluateError::Mismatch(error) => Some(mismatch(error)),
        EvaluateError::Session(error) => session(error),
        EvaluateError::Mode { .. } => Some("use --modes LIST to choose other modes, or --pack PACK to name a pack"),
        EvaluateError::Reference(ReferenceError::Composed { .. }) => Some("use --modes LIST to choose the modes"),
        _ => None,
    }
}

/// For a build that ended early.
#[cfg(feature = "engine")]
pub fn build(error: &BuildError) -> Option<&'static str> {
    match error.reason() {
        BuildError::Corpus(error) => corpus(error),
        BuildError::Codec { .. } => Some("use --codec NAME to choose another codec"),
        BuildError::PreviousIdentity { .. } => {
            Some("use --model DIR, --precision and --embedder DIR to name those of the pack, or leave --from out")
        }
        BuildError::Codebooks { .. } => Some("use --retrain-codec to train the codec on this corpus"),
        BuildError::PreviousCodec { .. } => Some("leave --codec out to keep the pack's codec, or use --retrain-codec to train a new one"),
        BuildError::PreviousTables { .. } => {
            Some("leave --codec auto out to keep the pack's codec, or use --retrain-codec to choose a new one")
        }
        BuildError::PreviousPack { .. } => Some("leave --from out to build without it"),
        BuildError::UnknownText { party: "embedder", .. } => {
            Some("use --embedder DIR to name an embedder of the corpus's language, or --any-language to build all the same")
        }
        BuildError::UnknownText { .. } => {
            Some("use --model DIR to name a model of the corpus's language, or --any-language to build all the same")
        }
        BuildError::NoCodec { .. } => Some("use --bytes-per-memory N to allow more"),
        BuildError::Divergence { .. } => {
            Some("use --codec NAME to choose a codec with more bytes, or a higher --max-kl NATS to allow this one")
        }
        BuildError::Metadata { .. } => Some("leave --strict out to build all the same"),
        BuildError::DivergenceUnknown { .. } => Some("leave --max-kl out to build without a bound"),
        _ => None,
    }
}

/// For work on a plan that failed.
#[cfg(feature = "engine")]
pub fn plan(error: &PlanError) -> Option<&'static str> {
    match error {
        PlanError::Build(error) => build(error),
        PlanError::Exists { .. } => Some("use --force to replace the plan, with its shards"),
        PlanError::Identity { .. } => Some("use --model DIR and --embedder DIR to name those that the plan was made with"),
        PlanError::Device { .. } => Some("use --device to name a device of the plan's kind"),
        PlanError::Name { .. } => Some("use --name NAME to name the set"),
        PlanError::NotAShard { .. } => Some("use --output FILE to name another file"),
        _ => None,
    }
}

/// For an import that failed.
#[cfg(feature = "engine")]
pub fn import(error: &ImportError) -> Option<&'static str> {
    match error {
        ImportError::Vocabulary { .. } => Some("use --tokenizer FILE to give the model's own tokenizer.json"),
        ImportError::Key { key, .. } if key.starts_with("tokenizer.") => {
            Some("use --tokenizer FILE to give the model's own tokenizer.json")
        }
        _ => None,
    }
}

/// For a corpus that was not read.
pub fn corpus(error: &CorpusError) -> Option<&'static str> {
    match error {
        CorpusError::DuplicateId { .. } => Some("use --duplicate-ids suffix to have equal ids numbered"),
        CorpusError::CutLength { .. } => Some("use --reference-length TOKENS to name another length, or leave it out"),
        CorpusError::Overlap { .. } => Some("use --reference-overlap TOKENS to repeat less"),
        CorpusError::Missing { .. } => Some("name another file, a folder, or - for standard input"),
        _ => None,
    }
}
