//! What every pass of a build needs.

use std::sync::atomic::AtomicBool;

use mempack_format::{CodecSpec, Digest};
use mempack_model::{Embedder, Model};

use crate::codec::Encoder;
use crate::pipeline::BatchRule;
use crate::work_files::WorkFiles;
use crate::{BuildError, BuildOptions, BuildProgress};

/// Maximum tokens of a batch, padding included: enough to make matrix products worth their call.
const BATCH_TOKENS: usize = 2048;
/// Maximum number of references that are sorted by length together.
const MAX_WINDOW: usize = 512;
/// Bytes of the outputs of a window, unless a few references have more.
const WINDOW_BYTES: usize = 64 << 20;

/// What every pass over the references needs.
#[derive(Clone, Copy)]
pub(crate) struct BuildContext<'a> {
    pub model: &'a Model,
    pub embedder: &'a Embedder,
    pub options: &'a BuildOptions,
    pub progress: &'a dyn BuildProgress,
    pub cancel: &'a AtomicBool,
    pub work_files: &'a WorkFiles<'a>,
    /// Identity of the model at its precision.
    pub identity: Digest,
}

impl BuildContext<'_> {
    /// The encoder of a codec with these parameters.
    pub fn encoder(&self, codec: &CodecSpec, parameters: &[u8]) -> Result<Encoder, BuildError> {
        Encoder::new(codec, self.model.identity().shape.clone(), parameters)
            .map_err(|source| BuildError::Codec { spec: codec.to_string(), source })
    }

    /// The identity of work that depends on this version, the model and `parts`.
    pub fn work_identity(&self, what: &str, parts: &[&[u8]]) -> Digest {
        let mut hasher = blake3::Hasher::new();
        let version = env!("CARGO_PKG_VERSION").as_bytes();
        for part in [what.as_bytes(), version, &self.identity.0].iter().chain(parts) {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        hasher.finalize().into()
    }

    /// How references are batched whose outputs take `bytes` bytes each.
    pub fn batch_rule(&self, bytes: usize) -> BatchRule {
        let window = (WINDOW_BYTES / bytes.max(1)).clamp(16, MAX_WINDOW);
        BatchRule { window, tokens: BATCH_TOKENS, prefix: self.model.identity().prefix_ids.len() }
    }
}
