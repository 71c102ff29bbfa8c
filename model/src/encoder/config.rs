//! The architecture of an encoder, from config.json.

use serde_json::{Value, json};

use crate::LoadError;
use crate::fields::Fields;

/// The activation of the feed-forward part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    /// Exact GELU.
    Gelu,
    /// GELU in its tanh approximation.
    GeluTanh,
}

impl Activation {
    /// libtorch's name of the approximation.
    pub(crate) fn approximation(self) -> &'static str {
        match self {
            Self::Gelu => "none",
            Self::GeluTanh => "tanh",
        }
    }
}

/// The architecture of an encoder, from config.json.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EncoderConfig {
    pub layers: u32,
    pub hidden: u32,
    pub intermediate: u32,
    pub heads: u32,
    pub vocabulary: u32,
    /// Rows of the position embedding.
    pub positions: u32,
    /// The row of a text's first token: 0 for BERT, the row after the padding token's for RoBERTa.
    pub first_position: u32,
    pub types: u32,
    pub norm_eps: f64,
    pub activation: Activation,
}

impl EncoderConfig {
    /// Reads the fields of a config.json. The caller refuses those that are left.
    pub(crate) fn read(f: &Fields<'_>) -> Result<Self, LoadError> {
        let expected = "`bert`, `roberta` or `xlm-roberta`";
        let model_type = f.required("model_type", expected, f.str("model_type")?)?;
        let offset = match model_type {
            "bert" => false,
            "roberta" | "xlm-roberta" | "camembert" => true,
            other => return Err(f.refuse("model_type", expected, format!("`{other}`"), "use a model of one of these types")),
        };
        for (name, neutral, remedy) in [
            ("quantization_config", Value::Null, "use the weights that are not quantized"),
            ("auto_map", json!({}), "the model has code of its own; remove the field if it computes the same as this type"),
            ("is_decoder", json!(false), "use an encoder"),
            ("add_cross_attention", json!(false), "use an encoder"),
        ] {
            f.only(name, &neutral, remedy)?;
        }
        let count = |name: &str| -> Result<u32, LoadError> { f.required(name, "a count", f.count(name)?) };
        let (hidden, heads) = (count("hidden_size")?, count("num_attention_heads")?);
        if hidden % heads != 0 {
            return Err(f.refuse("num_attention_heads", format!("a divisor of {hidden}"), heads.to_string(), "correct the file"));
        }
        let positions = count("max_position_embeddings")?;
        let first_position = if offset { f.u32("pad_token_id")?.unwrap_or(1).saturating_add(1) } else { 0 };
        // A text has at least a first and a last special token.
        if positions.saturating_sub(first_position) < 2 {
            let expected = format!("at least {}", u64::from(first_position) + 2);
            return Err(f.refuse("max_position_embeddings", expected, positions.to_string(), "correct the file"));
        }
        let activation = match f.str("hidden_act")?.unwrap_or("gelu") {
            "gelu" => Activation::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" => Activation::GeluTanh,
            other => return Err(f.refuse("hidden_act", "`gelu`", format!("`{other}`"), "use a model with this activation")),
        };
        let kind = f.str("position_embedding_type")?.unwrap_or("absolute");
        if kind != "absolute" {
            return Err(f.refuse("position_embedding_type", "`absolute`", format!("`{kind}`"), "use a model with absolute positions"));
        }
        let config = Self {
            layers: count("num_hidden_layers")?,
            hidden,
            intermediate: count("intermediate_size")?,
            heads,
            vocabulary: count("vocab_size")?,
            positions,
            first_position,
            types: count("type_vocab_size")?,
            norm_eps: f.f64("layer_norm_eps")?.unwrap_or(if offset { 1e-5 } else { 1e-12 }),
            activation,
        };
        f.u32("pad_token_id")?;
        Ok(config)
    }

    /// Max tokens of a text.
    pub(crate) fn max_tokens(&self) -> u32 {
        self.positions - self.first_position
    }

    /// The fields that change what is computed, one a line. The text is part of the embedder's identity.
    pub(crate) fn canonical(&self) -> String {
        format!(
            "layers {}\nhidden {}\nintermediate {}\nheads {}\nvocabulary {}\nfirst position {}\nnorm epsilon {:e}\nactivation {:?}\n",
            self.layers, self.hidden, self.intermediate, self.heads, self.vocabulary, self.first_position, self.norm_eps, self.activation
        )
    }
}
