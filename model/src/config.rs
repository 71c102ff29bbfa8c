//! The architecture of a decoder, from config.json.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::LoadError;
use crate::family::{Bias, Dimensions, EmbeddingScale, Family, GateActivation, Module, alternatives, model_types};
use crate::fields::Fields;
use crate::generation::Generation;
use crate::harmless::{ANY, DECODER};
use crate::rope_config::{Llama3Scaling, RopeConfig, Scaling, rope};
use crate::windows::{SlidingLayers, sliding_layers};

/// The architecture of a decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// The family of `model_type`.
    pub family: &'static Family,
    /// Layers.
    pub layers: u32,
    /// Width of the residual stream.
    pub hidden: u32,
    /// Width inside the gated feed-forward part.
    pub intermediate: u32,
    /// Query heads of a layer.
    pub query_heads: u32,
    /// Key-value heads of a layer; divides `query_heads`.
    pub heads: u32,
    /// Dimensions of a head; even.
    pub head_dim: u32,
    /// Rows of the embedding.
    pub vocabulary: u32,
    /// Epsilon of the RMS norms.
    pub norm_eps: f64,
    /// Activation of the gate in the feed-forward part.
    pub(crate) activation: GateActivation,
    /// Base of RoPE's frequencies (`rope_theta`).
    pub rope_base: f64,
    /// Scaling of RoPE's frequencies.
    pub rope_scaling: Option<Llama3Scaling>,
    /// What RoPE's frequencies are divided by (`rope_type: linear`); 1 without.
    pub rope_factor: f64,
    /// The layers that attend to a window of the context, if there are any. Base and scaling of RoPE are those of the other layers.
    pub sliding: Option<SlidingLayers>,
    /// Scores of attention are multiplied by one over the square root of this: `head_dim` in most families.
    pub query_scalar: f64,
    /// Whether the query, key and value projections must have biases.
    pub qkv_bias: bool,
    /// Whether the output projection must have a bias.
    pub output_bias: bool,
    /// Whether the feed-forward projections must have biases.
    pub mlp_bias: bool,
    /// Whether the embedding is the head.
    pub tied: bool,
    /// The BOS, the token before a text.
    pub bos: u32,
    /// The tokens that end a text: those of config.json, then those that only generation_config.json has.
    pub eos: Vec<u32>,
    /// Max tokens of context (`max_position_embeddings`), if the file says it.
    pub max_positions: Option<u32>,
}

impl ModelConfig {
    /// Reads config.json's fields, and takes from `generation` what is said there. A field that may change what is computed and is not
    /// understood is refused.
    pub(crate) fn parse(path: &Path, object: &Map<String, Value>, generation: &Generation) -> Result<Self, LoadError> {
        let f = Fields::new(path, object);
        let model_type = f.required("model_type", &model_types(), f.str("model_type")?)?;
        let Some(family) = Family::of_model_type(model_type) else {
            return Err(f.refuse("model_type", model_types(), format!("`{model_type}`"), instead_of(model_type)));
        };
        refuse_others(&f)?;
        let count = |name: &str| -> Result<u32, LoadError> { f.required(name, "a count", f.count(name)?) };
        let layers = count("num_hidden_layers")?;
        let hidden = count("hidden_size")?;
        let query_heads = count("num_attention_heads")?;
        let heads = f.count("num_key_value_heads")?.unwrap_or(query_heads);
        if query_heads % heads != 0 {
            return Err(f.refuse(
                "num_key_value_heads",
                format!("a divisor of {query_heads} query heads"),
                heads.to_string(),
                "correct the file",
            ));
        }
        let head_dim = match f.count("head_dim")?.or(family.default_head_dim) {
            Some(n) => n,
            None if hidden % query_heads == 0 => hidden / query_heads,
            None => {
                return Err(f.refuse(
                    "head_dim",
                    format!("a dimension, because {query_heads} heads do not divide {hidden}"),
                    "nothing",
                    "add the field",
                ));
            }
        };
        if head_dim % 2 != 0 {
            return Err(f.refuse("head_dim", "an even number", head_dim.to_string(), "use a model whose heads RoPE can rotate"));
        }
        let activation = activation(&f, family)?;
        let has_bias = |bias: Bias| -> Result<bool, LoadError> {
            match bias {
                Bias::Never => Ok(false),
                Bias::Always => Ok(true),
                Bias::Field(field) => Ok(f.bool(field)?.unwrap_or(false)),
            }
        };
        let RopeConfig { base: rope_base, scaling, local_base } = rope(&f, family)?;
        let (rope_scaling, rope_factor) = match scaling {
            Scaling::None => (None, 1.0),
            Scaling::Llama3(scaling) => (Some(scaling), 1.0),
            Scaling::Linear(factor) => (None, factor),
        };
        let max_positions = f.u32("max_position_embeddings")?;
        let mut config = Self {
            family,
            layers,
            hidden,
            intermediate: count("intermediate_size")?,
            query_heads,
            heads,
            head_dim,
            vocabulary: count("vocab_size")?,
            norm_eps: f.f64("rms_norm_eps")?.unwrap_or(1e-6),
            activation,
            rope_base,
            rope_scaling,
            rope_factor,
            sliding: sliding_layers(&f, family, layers, max_positions, local_base)?,
            query_scalar: query_scalar(&f, family, head_dim)?,
            qkv_bias: has_bias(family.biases.qkv)?,
            output_bias: has_bias(family.biases.output)?,
            mlp_bias: has_bias(family.biases.mlp)?,
            tied: f.bool("tie_word_embeddings")?.unwrap_or(family.tied_by_default),
            bos: bos(&f, generation)?,
            eos: f.ids("eos_token_id")?.unwrap_or_default(),
            max_positions,
        };
        for (field, ids) in [("bos_token_id", std::slice::from_ref(&config.bos)), ("eos_token_id", config.eos.as_slice())] {
            if let Some(id) = ids.iter().find(|id| **id >= config.vocabulary) {
                return Err(f.refuse(field, format!("an id below {}", config.vocabulary), id.to_string(), "correct the file"));
            }
        }
        generation.check(config.vocabulary)?;
        // A text ends at any of these, whichever file names it.
        let more: Vec<u32> = generation.eos.iter().copied().filter(|id| !config.eos.contains(id)).collect();
        config.eos.extend(more);
        f.refuse_unknown(&[ANY, DECODER])?;
        Ok(config)
    }

    /// The numbers that determine which tensors there are, and their shapes.
    pub(crate) fn dimensions(&self) -> Dimensions {
        Dimensions {
            layers: self.layers,
            hidden: self.hidden,
            intermediate: self.intermediate,
            query_heads: self.query_heads,
            heads: self.heads,
            head_dim: self.head_dim,
            vocabulary: self.vocabulary,
            qkv_bias: self.qkv_bias,
            output_bias: self.output_bias,
            mlp_bias: self.mlp_bias,
            query_key_norms: self.family.query_key_norms,
            norms_after: self.family.norms_after,
            tied: self.tied,
        }
    }

    /// The layers that attend to a window, if layer `number` is one of them.
    pub fn sliding(&self, number: u32) -> Option<&SlidingLayers> {
        self.sliding.as_ref().filter(|sliding| sliding.layers.get(number as usize) == Some(&true))
    }

    /// The names of the modules that an adapter can change: the linear maps of the layers, and embedding and head.
    pub(crate) fn adaptable(&self) -> (Vec<String>, Vec<String>) {
        let matrices = self.dimensions().modules().into_iter().filter(|(_, shape)| shape.columns.is_some()).map(|(module, _)| module);
        let name = |modules: Vec<Module>| modules.into_iter().map(|module| self.family.names.module(module)).collect();
        let (linear, others) = matrices.partition(|module| matches!(module, Module::Layer(..)));
        (name(linear), name(others))
    }

    /// The fields that change what is computed, one a line. The digest of this text identifies the architecture in packs.
    pub(crate) fn canonical(&self) -> String {
        let mut text = format!(
            "hidden {}\nintermediate {}\nlayers {}\nquery heads {}\nkey-value heads {}\nhead dimension {}\nvocabulary {}\nnorm epsilon {:e}\n\
             rope base {:e}\nrope scaling {:?}\nbos {}\n",
            self.hidden,
            self.intermediate,
            self.layers,
            self.query_heads,
            self.heads,
            self.head_dim,
            self.vocabulary,
            self.norm_eps,
            self.rope_base,
            self.rope_scaling,
            self.bos
        );
        // Only what differs from Llama: digests in existing packs were computed without these lines.
        let family = self.family;
        if self.activation != GateActivation::Silu {
            text += &format!("activation {:?}\n", self.activation);
        }
        if family.embedding_scale != EmbeddingScale::One {
            text += &format!("embedding scale {:?}\n", family.embedding_scale);
        }
        if family.norm_offset != 0.0 {
            text += &format!("norm offset {:e}\n", family.norm_offset);
        }
        if family.query_key_norms {
            text += "norms of queries and keys\n";
        }
        if family.norms_after {
            text += "norms after attention and feed-forward\n";
        }
        if self.query_scalar != f64::from(self.head_dim) {
            text += &format!("query scalar {:e}\n", self.query_scalar);
        }
        if self.rope_factor != 1.0 {
            text += &format!("rope factor {:e}\n", self.rope_factor);
        }
        if let Some(SlidingLayers { window, rope_base, layers }) = &self.sliding {
            let layers: String = layers.iter().map(|slides| if *slides { '1' } else { '0' }).collect();
            text += &format!("sliding window {window}, rope base {rope_base:e}, in layers {layers}\n");
        }
        text
    }
}

/// What to use in place of a model of an unknown `model_type`.
fn instead_of(model_type: &str) -> &'static str {
    match model_type {
        "gemma3" => {
            "take the text model out of the one that reads images, which makes it a `gemma3_text`: in transformers, \
             Gemma3ForCausalLM.from_pretrained(FOLDER).save_pretrained(NEW), and copy tokenizer.json there; or import a GGUF file of it"
        }
        _ => "use a model of one of these families",
    }
}

/// Refuses fields with which another model would be computed.
fn refuse_others(f: &Fields<'_>) -> Result<(), LoadError> {
    for (name, neutral, remedy) in [
        ("quantization_config", Value::Null, "use the weights that are not quantized"),
        ("auto_map", json!({}), "the model has code of its own; remove the field if it computes the same as the family"),
        ("attn_logit_softcapping", json!(0), "use a model without it"),
        ("final_logit_softcapping", json!(0), "use a model without it"),
        ("embedding_multiplier", json!(1), "use a model without it"),
        ("residual_multiplier", json!(1), "use a model without it"),
        ("logits_scaling", json!(1), "use a model without it"),
        ("logit_scale", json!(1), "use a model without it"),
        ("num_experts", json!(0), "use a dense model"),
        ("num_local_experts", json!(0), "use a dense model"),
        ("is_causal", json!(true), "use a model with causal attention"),
        ("use_bidirectional_attention", json!(false), "use a model with causal attention"),
        ("scale_attn_weights", json!(true), "use a model with scaled attention"),
    ] {
        f.only(name, &neutral, remedy)?;
    }
    Ok(())
}

/// The activation: `hidden_act`, and `hidden_activation` in Gemma's files, which must mean the same.
fn activation(f: &Fields<'_>, family: &Family) -> Result<GateActivation, LoadError> {
    let named = |field: &str| -> Result<Option<GateActivation>, LoadError> {
        let Some(name) = f.str(field)? else { return Ok(None) };
        let expected = || alternatives(family.activations.iter().map(|(name, _)| *name));
        let known =
            family.activation(name).ok_or_else(|| f.refuse(field, expected(), format!("`{name}`"), "use a model with this activation"));
        known.map(Some)
    };
    let (first, second) = (named("hidden_act")?, named("hidden_activation")?);
    let default = family.activations.first().map_or(GateActivation::Silu, |(_, activation)| *activation);
    let activation = first.or(second).unwrap_or(default);
    if second.is_some_and(|second| second != activation) {
        return Err(f.refuse("hidden_activation", "the activation of hidden_act", "another one", "remove the wrong one"));
    }
    Ok(activation)
}

/// What scores of attention are scaled by: one over the square root of this number.
fn query_scalar(f: &Fields<'_>, family: &Family, head_dim: u32) -> Result<f64, LoadError> {
    let Some(default) = family.default_query_scalar else { return Ok(head_dim.into()) };
    let scalar = f.f64("query_pre_attn_scalar")?.unwrap_or(default);
    if scalar > 0.0 {
        return Ok(scalar);
    }
    Err(f.refuse("query_pre_attn_scalar", "a positive number", scalar.to_string(), "correct the file"))
}

/// The BOS, which config.json or generation_config.json names.
fn bos(f: &Fields<'_>, generation: &Generation) -> Result<u32, LoadError> {
    let Some(bos) = f.u32("bos_token_id")?.or(generation.bos) else {
        let example = match f.ids("eos_token_id")?.as_deref() {
            Some([id, ..]) => format!("such as that of `eos_token_id`, {id}"),
            _ => "such as the end of text".into(),
        };
        let remedy = format!(
            "every text and every memory begins with one token here: write the id of a token that stood between documents in the \
             model's training, {example}"
        );
        return Err(f.refuse("bos_token_id", "the id of the BOS", "nothing", &remedy));
    };
    Ok(bos)
}

#[cfg(test)]
mod tests;
