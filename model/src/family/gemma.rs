//! Gemma (arXiv 2403.08295): norm weights stored minus 1, scaled embeddings, a GELU gate, and the embedding as the head.

use super::{Bias, Biases, EmbeddingScale, Family, GateActivation, llama};

pub(super) const FAMILY: Family = Family {
    model_type: "gemma",
    class: "GemmaForCausalLM",
    biases: Biases { mlp: Bias::Never, ..llama::FAMILY.biases },
    // The first configurations said `gelu` and meant its approximation; transformers computes that for both.
    activations: &[("gelu_pytorch_tanh", GateActivation::GeluTanh), ("gelu", GateActivation::GeluTanh)],
    embedding_scale: EmbeddingScale::RootOfHidden,
    norm_offset: 1.0,
    rope_types: &["default"],
    tied_by_default: true,
    gguf: None,
    ..llama::FAMILY
};
