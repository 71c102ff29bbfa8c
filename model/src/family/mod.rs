//! Decoder families: what distinguishes one architecture from another, as values.
//!
//! Loading, the forward pass, new models and the import of GGUF files all read these values. A new family is one file here that
//! defines a [`Family`], its line in [`FAMILIES`], and golden logits in `tests/`.

mod gemma;
mod gemma3;
mod llama;
mod mistral;
mod modules;
mod qwen2;
mod qwen3;

pub(crate) use modules::{Dimensions, LayerModule, Module, ModuleNames, ModuleShape};

/// The families that are supported.
pub(crate) static FAMILIES: &[Family] = &[llama::FAMILY, mistral::FAMILY, qwen2::FAMILY, qwen3::FAMILY, gemma::FAMILY, gemma3::FAMILY];

/// A family of decoders: RMS norms before attention and before a gated feed-forward part, grouped-query attention and RoPE.
#[derive(Debug, PartialEq)]
pub struct Family {
    /// `model_type` in config.json.
    pub model_type: &'static str,
    /// The class in transformers, as `architectures` in config.json names it.
    pub(crate) class: &'static str,
    /// Names of the modules in a Hugging Face checkpoint.
    pub(crate) names: ModuleNames,
    pub(crate) biases: Biases,
    /// Whether each query and each key has a norm before RoPE.
    pub(crate) query_key_norms: bool,
    /// Whether the outputs of attention and of the feed-forward part have norms before they are added to the residual stream.
    pub(crate) norms_after: bool,
    /// Values of `hidden_act` and what they mean. The first is the default.
    pub(crate) activations: &'static [(&'static str, GateActivation)],
    pub(crate) embedding_scale: EmbeddingScale,
    /// Added to the weights of RMS norms before they multiply.
    pub(crate) norm_offset: f64,
    /// The dimension of a head where config.json has no `head_dim`; hidden size over query heads if `None`.
    pub(crate) default_head_dim: Option<u32>,
    /// For a family that scales attention by `1 / sqrt(query_pre_attn_scalar)`: the number where config.json has none. The others scale by
    /// `1 / sqrt(head_dim)`.
    pub(crate) default_query_scalar: Option<f64>,
    /// `rope_theta` where config.json has none.
    pub(crate) default_rope_base: f64,
    /// Values of `rope_type` that are computed.
    pub(crate) rope_types: &'static [&'static str],
    pub(crate) sliding_window: SlidingWindow,
    /// Whether the embedding is also the head where config.json has no `tie_word_embeddings`.
    pub(crate) tied_by_default: bool,
    /// How GGUF files store the family; `None` if they are not imported.
    pub(crate) gguf: Option<GgufLayout>,
}

/// Which linear maps have biases.
#[derive(Debug, PartialEq)]
pub(crate) struct Biases {
    /// Of the query, key and value projections.
    pub qkv: Bias,
    /// Of the output projection of attention.
    pub output: Bias,
    /// Of the feed-forward projections.
    pub mlp: Bias,
}

/// Whether a linear map must have a bias.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bias {
    Never,
    Always,
    /// If this boolean field of config.json is true; it is false by default.
    Field(&'static str),
}

/// The activation of the gate in the feed-forward part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GateActivation {
    Silu,
    /// GELU in its tanh approximation.
    GeluTanh,
}

/// What rows of the embedding are multiplied by before the first layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EmbeddingScale {
    One,
    /// The square root of the hidden size.
    RootOfHidden,
}

/// When `sliding_window` in config.json applies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum SlidingWindow {
    /// The family has no such window. A file that sets one is about another model.
    None,
    /// If `use_sliding_window` is true; it is false by default.
    IfEnabled,
    /// Unless it is null.
    IfSet,
    /// In the layers that `layer_types` or `sliding_window_pattern` name, which have a base of RoPE of their own, `rope_local_base_freq`.
    SomeLayers {
        /// The window where config.json has none.
        window: u32,
        /// Of how many layers one has no window, where config.json does not say it.
        period: u32,
        /// The base where config.json has none.
        rope_base: f64,
    },
}

/// How GGUF files store a family.
#[derive(Debug, PartialEq)]
pub(crate) struct GgufLayout {
    /// `general.architecture`, which also prefixes the keys.
    pub architecture: &'static str,
    /// Names of the modules.
    pub names: ModuleNames,
    /// Whether the rows of a head in `q` and `k` are in ggml's order, in which RoPE rotates neighbours.
    pub interleaved_rope: bool,
    /// What the file's norm weights have been increased by over the checkpoint's.
    pub norm_offset: f32,
}

impl Family {
    /// The family of this `model_type`.
    pub(crate) fn of_model_type(model_type: &str) -> Option<&'static Self> {
        FAMILIES.iter().find(|family| family.model_type == model_type)
    }

    /// The family that GGUF files of this `general.architecture` hold, and its layout.
    pub(crate) fn of_gguf(architecture: &str) -> Option<(&'static Self, &'static GgufLayout)> {
        with_gguf().find(|(_, layout)| layout.architecture == architecture)
    }

    /// The activation that config.json calls `name`.
    pub(crate) fn activation(&self, name: &str) -> Option<GateActivation> {
        self.activations.iter().find(|(known, _)| *known == name).map(|(_, activation)| *activation)
    }

    /// The default of `hidden_act`.
    pub(crate) fn default_activation(&self) -> &'static str {
        self.activations.first().map_or("", |(name, _)| name)
    }
}

/// Families that GGUF files are imported of.
fn with_gguf() -> impl Iterator<Item = (&'static Family, &'static GgufLayout)> {
    FAMILIES.iter().filter_map(|family| Some((family, family.gguf.as_ref()?)))
}

/// All `model_type`s, for messages.
pub(crate) fn model_types() -> String {
    alternatives(FAMILIES.iter().map(|family| family.model_type))
}

/// All GGUF architectures, for messages.
pub(crate) fn gguf_architectures() -> String {
    alternatives(with_gguf().map(|(_, layout)| layout.architecture))
}

/// "`a`, `b` or `c`".
pub(crate) fn alternatives<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.map(|word| format!("`{word}`")).collect();
    match words.as_slice() {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        words => words.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_has_its_own_names() {
        for family in FAMILIES {
            assert_eq!(Family::of_model_type(family.model_type), Some(family));
            assert!(family.activation(family.default_activation()).is_some(), "{}", family.model_type);
        }
        for (family, layout) in with_gguf() {
            assert_eq!(Family::of_gguf(layout.architecture).map(|found| found.0), Some(family));
        }
        assert_eq!(Family::of_model_type("gpt2"), None);
        assert_eq!(model_types(), "`llama`, `mistral`, `qwen2`, `qwen3`, `gemma` or `gemma3_text`");
        assert_eq!(alternatives(["a"].into_iter()), "`a`");
    }
}
