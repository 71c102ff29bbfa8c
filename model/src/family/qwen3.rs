//! Qwen3, the dense models (arXiv 2505.09388): Llama with a norm of each query and each key.

use super::{Bias, Biases, Family, GgufLayout, SlidingWindow, llama};

pub(super) const FAMILY: Family = Family {
    model_type: "qwen3",
    class: "Qwen3ForCausalLM",
    query_key_norms: true,
    biases: Biases { mlp: Bias::Never, ..llama::FAMILY.biases },
    default_head_dim: Some(128),
    rope_types: &["default"],
    sliding_window: SlidingWindow::IfEnabled,
    gguf: Some(GgufLayout { architecture: "qwen3", interleaved_rope: false, ..llama::GGUF }),
    ..llama::FAMILY
};
