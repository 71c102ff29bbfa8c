//! Llama (arXiv 2302.13971) and its later versions.

use super::{Bias, Biases, EmbeddingScale, Family, GateActivation, GgufLayout, ModuleNames, SlidingWindow};

pub(super) const FAMILY: Family = Family {
    model_type: "llama",
    class: "LlamaForCausalLM",
    names: HUGGING_FACE,
    biases: Biases { qkv: Bias::Field("attention_bias"), output: Bias::Field("attention_bias"), mlp: Bias::Field("mlp_bias") },
    query_key_norms: false,
    norms_after: false,
    activations: &[("silu", GateActivation::Silu), ("swish", GateActivation::Silu)],
    embedding_scale: EmbeddingScale::One,
    norm_offset: 0.0,
    default_head_dim: None,
    default_query_scalar: None,
    default_rope_base: 1e4,
    rope_types: &["default", "llama3"],
    sliding_window: SlidingWindow::None,
    tied_by_default: false,
    gguf: Some(GGUF),
};

/// The names of a checkpoint, which other families share.
const HUGGING_FACE: ModuleNames = ModuleNames {
    embedding: "model.embed_tokens",
    final_norm: "model.norm",
    head: "lm_head",
    layers: "model.layers",
    attention_norm: "input_layernorm",
    query: "self_attn.q_proj",
    key: "self_attn.k_proj",
    query_norm: "self_attn.q_norm",
    key_norm: "self_attn.k_norm",
    value: "self_attn.v_proj",
    output: "self_attn.o_proj",
    after_attention: "",
    mlp_norm: "post_attention_layernorm",
    gate: "mlp.gate_proj",
    up: "mlp.up_proj",
    down: "mlp.down_proj",
    after_mlp: "",
};

/// How a GGUF file stores a model. Other families have its names.
pub(super) const GGUF: GgufLayout = GgufLayout { architecture: "llama", names: GGUF_NAMES, interleaved_rope: true, norm_offset: 0.0 };

const GGUF_NAMES: ModuleNames = ModuleNames {
    embedding: "token_embd",
    final_norm: "output_norm",
    head: "output",
    layers: "blk",
    attention_norm: "attn_norm",
    query: "attn_q",
    key: "attn_k",
    query_norm: "attn_q_norm",
    key_norm: "attn_k_norm",
    value: "attn_v",
    output: "attn_output",
    after_attention: "",
    mlp_norm: "ffn_norm",
    gate: "ffn_gate",
    up: "ffn_up",
    down: "ffn_down",
    after_mlp: "",
};
