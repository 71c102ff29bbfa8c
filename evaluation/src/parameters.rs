//! The number of parameters of a model.

use mempack_model::ModelConfig;

/// Number of parameters that a model of this configuration has: embeddings, projections with their biases, and one factor per hidden
/// unit for each norm. An adapter is merged into these and adds none. Norms of single families beyond the usual ones are left out: less
/// than one parameter in a thousand.
pub(crate) fn parameters(config: &ModelConfig) -> u64 {
    let [layers, hidden, inner, vocabulary] = [config.layers, config.hidden, config.intermediate, config.vocabulary].map(u64::from);
    let queries = u64::from(config.query_heads) * u64::from(config.head_dim);
    let keys = u64::from(config.heads) * u64::from(config.head_dim);
    let biases = |present: bool, count: u64| if present { count } else { 0 };
    let attention = 2 * hidden * (queries + keys) + biases(config.qkv_bias, queries + 2 * keys) + biases(config.output_bias, hidden);
    let feed_forward = 3 * hidden * inner + biases(config.mlp_bias, 2 * inner + hidden);
    let embeddings = if config.tied { vocabulary * hidden } else { 2 * vocabulary * hidden };
    embeddings + layers * (attention + feed_forward + 2 * hidden) + hidden
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use mempack_model::{Decoder, LoadOptions};

    use super::*;

    /// Number of values in a safetensors file, by the shapes in its header.
    fn stored(file: &Path) -> u64 {
        let bytes = fs::read(file).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        let tensors = header.iter().filter(|(name, _)| *name != "__metadata__");
        tensors.map(|(_, tensor)| tensor["shape"].as_array().unwrap().iter().map(|size| size.as_u64().unwrap()).product::<u64>()).sum()
    }

    #[test]
    fn as_many_parameters_as_the_file_holds() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
        for folder in ["tiny", "llama_gqa/model", "llama_mha/model", "qwen2_bias/model"] {
            let folder = fixtures.join(folder);
            let decoder = Decoder::load(&folder, &LoadOptions::default()).unwrap();
            assert_eq!(parameters(decoder.config()), stored(&folder.join("model.safetensors")), "{}", folder.display());
        }
    }
}
