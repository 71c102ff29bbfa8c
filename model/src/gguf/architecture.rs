//! What a Llama-shaped GGUF file says of its model: config.json, and which tensors there must be.

use serde_json::{Map, Value, json};

use super::error::{FETCH, ImportError};
use super::metadata::Metadata;
use super::reader::{Gguf, TensorInfo};

/// Most of any count: far past any model there is, and small enough that products of two fit in 64 bits.
const COUNT_CAP: u32 = 1 << 24;
/// Most layers.
const LAYER_CAP: u32 = 1 << 12;
const SHAPE: &str = "mempack imports models of Llama, Mistral and Qwen2 shape";
/// The tensor that holds how Llama 3.1 stretches its rotary embedding.
const ROPE_FACTORS: &str = "rope_freqs.weight";

/// Architectures whose tensors are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Llama,
    Qwen2,
}

/// The shape of the model in a file.
#[derive(Debug)]
pub(super) struct Architecture {
    family: Family,
    layers: u32,
    hidden: u32,
    intermediate: u32,
    query_heads: u32,
    heads: u32,
    head_dim: u32,
    /// Rows of the embedding.
    pub vocabulary: u32,
    context: u32,
    norm_eps: f64,
    rope_base: f64,
    rope_scaling: Option<Value>,
    tied: bool,
    attention_bias: bool,
    mlp_bias: bool,
}

/// A tensor of the file under its Hugging Face name.
#[derive(Debug)]
pub(super) struct Mapped<'g> {
    /// Its name in the file.
    pub source: String,
    /// Its name in the checkpoint.
    pub name: String,
    /// Its storage.
    pub info: &'g TensorInfo,
    /// Heads whose rows are in the order of pairs and have to be put back in the order of halves.
    pub permuted_heads: Option<u32>,
}

impl Architecture {
    /// Reads the shape from metadata and tensors.
    pub(super) fn read(gguf: &Gguf<'_>) -> Result<Self, ImportError> {
        let m = &gguf.metadata;
        let name = required(m, "general.architecture", "`llama` or `qwen2`", m.str("general.architecture")?)?;
        let family = match name {
            "llama" => Family::Llama,
            "qwen2" => Family::Qwen2,
            other => return Err(m.wrong("general.architecture", "`llama` or `qwen2`", format!("`{}`", other.escape_debug()), SHAPE)),
        };
        let key = |suffix: &str| format!("{name}.{suffix}");
        let count = |suffix: &str, cap: u32| -> Result<u32, ImportError> {
            let key = key(suffix);
            let value = required(m, &key, "a count", m.u32(&key)?)?;
            bounded(m, &key, value, cap)
        };
        let hidden = count("embedding_length", COUNT_CAP)?;
        let query_heads = count("attention.head_count", COUNT_CAP)?;
        let heads = match m.u32(&key("attention.head_count_kv"))? {
            Some(n) => bounded(m, &key("attention.head_count_kv"), n, COUNT_CAP)?,
            None => query_heads,
        };
        if query_heads % heads != 0 {
            let expected = format!("a divisor of the {query_heads} query heads");
            return Err(m.wrong(&key("attention.head_count_kv"), expected, heads.to_string(), FETCH));
        }
        let head_dim = match m.u32(&key("attention.key_length"))? {
            Some(n) => bounded(m, &key("attention.key_length"), n, COUNT_CAP)?,
            None if hidden % query_heads == 0 => hidden / query_heads,
            None => {
                return Err(m.wrong(
                    &key("attention.key_length"),
                    format!("a dimension, as {query_heads} heads do not divide {hidden}"),
                    "nothing",
                    FETCH,
                ));
            }
        };
        if head_dim % 2 != 0 {
            return Err(m.wrong(&key("attention.key_length"), "an even number", head_dim.to_string(), SHAPE));
        }
        for suffix in ["attention.value_length", "rope.dimension_count"] {
            if let Some(found) = m.u32(&key(suffix))?.filter(|n| *n != head_dim) {
                return Err(m.wrong(&key(suffix), format!("{head_dim}, the dimension of a head"), found.to_string(), SHAPE));
            }
        }
        if let Some(experts) = m.u32(&key("expert_count"))?.filter(|n| *n > 0) {
            return Err(m.wrong(
                &key("expert_count"),
                "none",
                experts.to_string(),
                "mixtures of experts are not supported, use a dense model",
            ));
        }
        let context = count("context_length", u32::MAX)?;
        if let Some(window) = m.u32(&key("attention.sliding_window"))?.filter(|n| *n > 0 && *n < context) {
            let expected = format!("none, or one of at least the {context} tokens of the context");
            return Err(m.wrong(&key("attention.sliding_window"), expected, window.to_string(), "use a model with full attention"));
        }
        let positive = |suffix: &str, otherwise: Option<f64>| -> Result<f64, ImportError> {
            let key = key(suffix);
            let value = required(m, &key, "a positive number", m.number(&key)?.or(otherwise))?;
            if value > 0.0 { Ok(value) } else { Err(m.wrong(&key, "a positive number", value.to_string(), FETCH)) }
        };
        let rope_base = positive("rope.freq_base", Some(10000.0))?;
        let scaling = key("rope.scaling.type");
        if let Some(kind) = m.str(&scaling)?.filter(|kind| *kind != "none") {
            return Err(m.wrong(&scaling, "none", format!("`{}`", kind.escape_debug()), "use a model without this scaling of the context"));
        }
        let embedding = tensor(gguf, "token_embd.weight")?;
        let vocabulary = match embedding.shape.as_slice() {
            [rows, width] if *width == u64::from(hidden) && *rows <= u64::from(COUNT_CAP) => *rows as u32,
            other => return Err(misshapen(m, "token_embd.weight", &format!("[1 to {COUNT_CAP}, {hidden}]"), other)),
        };
        let has = |name: &str| gguf.tensors.contains_key(name);
        Ok(Self {
            family,
            layers: count("block_count", LAYER_CAP)?,
            hidden,
            intermediate: count("feed_forward_length", COUNT_CAP)?,
            query_heads,
            heads,
            head_dim,
            vocabulary,
            context,
            norm_eps: positive("attention.layer_norm_rms_epsilon", None)?,
            rope_base,
            rope_scaling: rope_scaling(gguf, head_dim, rope_base)?,
            tied: !has("output.weight"),
            attention_bias: has("blk.0.attn_q.bias"),
            mlp_bias: has("blk.0.ffn_gate.bias"),
        })
    }

    /// The name of the architecture in Hugging Face's files.
    pub(super) fn model_type(&self) -> &'static str {
        match self.family {
            Family::Llama => "llama",
            Family::Qwen2 => "qwen2",
        }
    }

    /// config.json.
    pub(super) fn config(&self, m: &Metadata<'_>) -> Result<Value, ImportError> {
        let mut config = Map::new();
        let mut put = |name: &str, value: Value| config.insert(name.to_owned(), value);
        put("architectures", json!([if self.family == Family::Llama { "LlamaForCausalLM" } else { "Qwen2ForCausalLM" }]));
        put("model_type", json!(self.model_type()));
        put("num_hidden_layers", json!(self.layers));
        put("hidden_size", json!(self.hidden));
        put("intermediate_size", json!(self.intermediate));
        put("num_attention_heads", json!(self.query_heads));
        put("num_key_value_heads", json!(self.heads));
        put("head_dim", json!(self.head_dim));
        put("hidden_act", json!("silu"));
        put("vocab_size", json!(self.vocabulary));
        put("max_position_embeddings", json!(self.context));
        put("rms_norm_eps", json!(self.norm_eps));
        put("rope_theta", json!(self.rope_base));
        put("rope_scaling", self.rope_scaling.clone().unwrap_or(Value::Null));
        put("tie_word_embeddings", json!(self.tied));
        if self.family == Family::Llama {
            put("attention_bias", json!(self.attention_bias));
            put("mlp_bias", json!(self.mlp_bias));
        } else {
            put("use_sliding_window", json!(false));
        }
        for (field, key) in [("bos_token_id", "tokenizer.ggml.bos_token_id"), ("pad_token_id", "tokenizer.ggml.padding_token_id")] {
            if let Some(id) = self.id(m, key)? {
                put(field, json!(id));
            }
        }
        // A chat model ends its turn with another token than a text: either ends an answer.
        let mut ends: Vec<u32> = Vec::new();
        for key in ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"] {
            ends.extend(self.id(m, key)?.filter(|id| !ends.contains(id)));
        }
        match ends.as_slice() {
            [] => {}
            [one] => drop(put("eos_token_id", json!(one))),
            _ => drop(put("eos_token_id", json!(ends))),
        }
        put("torch_dtype", json!("bfloat16"));
        Ok(Value::Object(config))
    }

    fn id(&self, m: &Metadata<'_>, key: &str) -> Result<Option<u32>, ImportError> {
        match m.u32(key)? {
            Some(id) if id >= self.vocabulary => Err(m.wrong(key, format!("an id below {}", self.vocabulary), id.to_string(), FETCH)),
            id => Ok(id),
        }
    }

    /// The tensors of the checkpoint in the order of their names in the model; every tensor of the file is among them, or is refused.
    pub(super) fn map<'g>(&self, gguf: &'g Gguf<'_>) -> Result<Vec<Mapped<'g>>, ImportError> {
        let [hidden, inner, vocabulary] = [self.hidden, self.intermediate, self.vocabulary].map(u64::from);
        let query = u64::from(self.query_heads) * u64::from(self.head_dim);
        let key = u64::from(self.heads) * u64::from(self.head_dim);
        let llama = self.family == Family::Llama;
        let permuted = |heads: u32| llama.then_some(heads);
        let mut all = Vec::new();
        let mut put = |source: String, name: String, shape: &[u64], permuted_heads: Option<u32>| -> Result<(), ImportError> {
            let info = tensor(gguf, &source)?;
            if info.shape != shape {
                return Err(misshapen(&gguf.metadata, &source, &format!("{shape:?}"), &info.shape));
            }
            if shape.len() == 1 && info.kind.block() > 1 {
                return Err(wrong(&gguf.metadata, &source, "a vector in F32, F16 or BF16", &format!("{:?}", info.kind), FETCH));
            }
            all.push(Mapped { source, name, info, permuted_heads });
            Ok(())
        };
        put("token_embd.weight".into(), "model.embed_tokens.weight".into(), &[vocabulary, hidden], None)?;
        for layer in 0..self.layers {
            let norms = [("attn_norm", "input_layernorm"), ("ffn_norm", "post_attention_layernorm")];
            for (source, name) in norms {
                put(format!("blk.{layer}.{source}.weight"), format!("model.layers.{layer}.{name}.weight"), &[hidden], None)?;
            }
            let bias = self.attention_bias;
            let projections = [
                ("attn_q", "self_attn.q_proj", query, hidden, permuted(self.query_heads), bias),
                ("attn_k", "self_attn.k_proj", key, hidden, permuted(self.heads), bias),
                ("attn_v", "self_attn.v_proj", key, hidden, None, bias),
                ("attn_output", "self_attn.o_proj", hidden, query, None, bias && llama),
                ("ffn_gate", "mlp.gate_proj", inner, hidden, None, self.mlp_bias),
                ("ffn_up", "mlp.up_proj", inner, hidden, None, self.mlp_bias),
                ("ffn_down", "mlp.down_proj", hidden, inner, None, self.mlp_bias),
            ];
            for (source, name, rows, columns, heads, bias) in projections {
                put(format!("blk.{layer}.{source}.weight"), format!("model.layers.{layer}.{name}.weight"), &[rows, columns], heads)?;
                if bias {
                    put(format!("blk.{layer}.{source}.bias"), format!("model.layers.{layer}.{name}.bias"), &[rows], heads)?;
                }
            }
        }
        put("output_norm.weight".into(), "model.norm.weight".into(), &[hidden], None)?;
        if !self.tied {
            put("output.weight".into(), "lm_head.weight".into(), &[vocabulary, hidden], None)?;
        }
        let known: std::collections::BTreeSet<&str> = all.iter().map(|mapped| mapped.source.as_str()).collect();
        // To leave a tensor out would make another model.
        match gguf.tensors.keys().find(|name| !known.contains(**name) && **name != ROPE_FACTORS) {
            Some(name) => Err(wrong(&gguf.metadata, name, "a tensor of a Llama or Qwen2 model", "another", SHAPE)),
            None => Ok(all),
        }
    }
}

/// How Llama 3.1 and later stretch the rotary embedding. The file holds the factor of each frequency; Hugging Face's
/// configuration holds the four numbers they come from, of which all models there are have three in common.
fn rope_scaling(gguf: &Gguf<'_>, head_dim: u32, base: f64) -> Result<Option<Value>, ImportError> {
    let m = &gguf.metadata;
    let Some(info) = gguf.tensors.get(ROPE_FACTORS) else { return Ok(None) };
    let half = head_dim / 2;
    if info.shape != [u64::from(half)] || info.kind != super::dequant::TensorType::F32 {
        return Err(misshapen(m, ROPE_FACTORS, &format!("[{half}] in F32"), &info.shape));
    }
    let bytes = gguf.bytes.get(info.span.clone()).unwrap_or_default();
    let factors: Vec<f64> = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b).into()).collect();
    let factor = factors.iter().copied().fold(1.0, f64::max);
    let (low, high, original) = (1.0, 4.0, 8192.0);
    let expected = |i: usize| {
        let wavelength = 2.0 * std::f64::consts::PI * base.powf(2.0 * i as f64 / f64::from(head_dim));
        match original / wavelength {
            turns if turns > high => 1.0,
            turns if turns < low => factor,
            turns => {
                let smooth = (turns - low) / (high - low);
                1.0 / ((1.0 - smooth) / factor + smooth)
            }
        }
    };
    let near = |i: usize| (factors[i] - expected(i)).abs() <= 1e-3 * expected(i);
    if let Some(i) = (0..factors.len()).find(|i| !near(*i)) {
        let found = format!("{} at {i}", factors[i]);
        return Err(wrong(
            m,
            ROPE_FACTORS,
            "the factors of Llama 3.1's scaling",
            &found,
            "use a model without this scaling of the context",
        ));
    }
    Ok(Some(json!({
        "rope_type": "llama3", "factor": factor, "low_freq_factor": low, "high_freq_factor": high, "original_max_position_embeddings": original as u32,
    })))
}

fn required<T>(m: &Metadata<'_>, key: &str, expected: &str, value: Option<T>) -> Result<T, ImportError> {
    value.ok_or_else(|| m.wrong(key, expected, "nothing", "convert the model again, with a current llama.cpp"))
}

fn bounded(m: &Metadata<'_>, key: &str, n: u32, cap: u32) -> Result<u32, ImportError> {
    if (1..=cap).contains(&n) { Ok(n) } else { Err(m.wrong(key, format!("a count from 1 to {cap}"), n.to_string(), FETCH)) }
}

fn tensor<'g>(gguf: &'g Gguf<'_>, name: &str) -> Result<&'g TensorInfo, ImportError> {
    gguf.tensors
        .get(name)
        .ok_or_else(|| wrong(&gguf.metadata, name, "a tensor of this name", "nothing", "use a file that holds a whole model"))
}

fn misshapen(m: &Metadata<'_>, name: &str, expected: &str, found: &[u64]) -> ImportError {
    wrong(m, name, &format!("shape {expected}"), &format!("{found:?}"), FETCH)
}

fn wrong(m: &Metadata<'_>, name: &str, expected: &str, found: &str, remedy: &'static str) -> ImportError {
    let tensor = name.escape_debug().to_string();
    ImportError::Tensor { path: m.path().to_owned(), tensor, expected: expected.into(), found: found.into(), remedy }
}
