//! Gemma 3, the text models (arXiv 2503.19786): Gemma with norms of queries, keys and what each part of a layer gives, and with layers that
//! attend to a window alone and rotate by a base of their own.

use super::{Bias, Biases, Family, GateActivation, GgufLayout, ModuleNames, SlidingWindow, gemma, llama};

pub(super) const FAMILY: Family = Family {
    model_type: "gemma3_text",
    class: "Gemma3ForCausalLM",
    names: ModuleNames {
        after_attention: "post_attention_layernorm",
        mlp_norm: "pre_feedforward_layernorm",
        after_mlp: "post_feedforward_layernorm",
        ..llama::FAMILY.names
    },
    biases: Biases { mlp: Bias::Never, ..llama::FAMILY.biases },
    query_key_norms: true,
    norms_after: true,
    activations: &[("gelu_pytorch_tanh", GateActivation::GeluTanh)],
    default_head_dim: Some(256),
    default_query_scalar: Some(256.0),
    default_rope_base: 1e6,
    rope_types: &["default", "linear"],
    sliding_window: SlidingWindow::SomeLayers { window: 4096, period: 6, rope_base: 1e4 },
    gguf: Some(GgufLayout {
        architecture: "gemma3",
        names: ModuleNames { after_attention: "post_attention_norm", after_mlp: "post_ffw_norm", ..llama::GGUF.names },
        interleaved_rope: false,
        norm_offset: 1.0,
    }),
    ..gemma::FAMILY
};
