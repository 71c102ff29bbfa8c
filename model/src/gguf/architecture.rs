//! The architecture in a GGUF file: config.json, and which tensors there must be.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::error::{FETCH, ImportError};
use super::metadata::Metadata;
use super::reader::{Gguf, TensorInfo};
use super::tied::{TiedEmbedding, find_tied};
use super::windows::Windows;
use crate::family::{Bias, Dimensions, Family, GgufLayout, LayerModule, Module, ModuleShape, SlidingWindow, gguf_architectures};
use crate::fields::COUNT_CAP;

/// Max number of layers.
const LAYER_CAP: u32 = 1 << 12;
const FAMILY: &str = "use a model of a supported family";
/// Layers of the largest Gemma 3, whose attention is scaled by hidden size over heads. ggml's programs too tell it by them.
const LAYERS_OF_27B: u32 = 62;
/// The tensor with the RoPE scaling of Llama 3.1.
const ROPE_FACTORS: &str = "rope_freqs.weight";

/// The architecture of the model in a file.
#[derive(Debug)]
pub(super) struct Architecture {
    pub family: &'static Family,
    pub layout: &'static GgufLayout,
    pub dimensions: Dimensions,
    context: u32,
    norm_eps: f64,
    rope_base: f64,
    rope_scaling: Option<Value>,
    windows: Option<Windows>,
    /// What scores of attention are scaled by: one over the square root of this number.
    query_scalar: f64,
    /// Set if the file holds the embedding twice.
    pub tied: Option<TiedEmbedding>,
}

/// A tensor of the file that becomes a tensor of the checkpoint.
#[derive(Debug)]
pub(super) struct MappedTensor<'g> {
    /// Its name in the file.
    pub source: String,
    /// Its name in the checkpoint.
    pub name: String,
    /// Its storage.
    pub info: &'g TensorInfo,
    /// The number of heads whose rows are in ggml's RoPE order and must be reordered; `None` if rows stay in order.
    pub interleaved_heads: Option<u32>,
    /// What is subtracted from its values.
    pub offset: f32,
}

impl Architecture {
    /// Reads the architecture from metadata and tensors.
    pub(super) fn read(gguf: &Gguf<'_>) -> Result<Self, ImportError> {
        let m = &gguf.metadata;
        let name = required(m, "general.architecture", &gguf_architectures(), m.str("general.architecture")?)?;
        let Some((family, layout)) = Family::of_gguf(name) else {
            return Err(m.wrong("general.architecture", gguf_architectures(), format!("`{}`", name.escape_debug()), FAMILY));
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
                    format!("a dimension, because {query_heads} heads do not divide {hidden}"),
                    "nothing",
                    FETCH,
                ));
            }
        };
        if head_dim % 2 != 0 {
            return Err(m.wrong(&key("attention.key_length"), "an even number", head_dim.to_string(), FAMILY));
        }
        for suffix in ["attention.value_length", "rope.dimension_count"] {
            if let Some(found) = m.u32(&key(suffix))?.filter(|n| *n != head_dim) {
                return Err(m.wrong(&key(suffix), format!("{head_dim}, the dimension of a head"), found.to_string(), FAMILY));
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
        let windows = Windows::read(m, key, family, context)?;
        let layers = count("block_count", LAYER_CAP)?;
        let positive = |suffix: &str, otherwise: Option<f64>| -> Result<f64, ImportError> {
            let key = key(suffix);
            let value = required(m, &key, "a positive number", m.number(&key)?.or(otherwise))?;
            if value > 0.0 { Ok(value) } else { Err(m.wrong(&key, "a positive number", value.to_string(), FETCH)) }
        };
        let rope_base = positive("rope.freq_base", Some(10000.0))?;
        let scaling = key("rope.scaling.type");
        let linear = match m.str(&scaling)?.filter(|kind| *kind != "none") {
            None => None,
            Some(kind) if kind == "linear" && family.rope_types.contains(&kind) => Some(positive("rope.scaling.factor", None)?),
            Some(kind) => {
                let found = format!("`{}`", kind.escape_debug());
                return Err(m.wrong(&scaling, "none", found, "use a model without this scaling of the context"));
            }
        };
        // The factor of the products of queries and keys; ggml takes 0 for the usual one.
        let attention = key("attention.scale");
        let query_scalar = match family.default_query_scalar {
            Some(_) if layers == LAYERS_OF_27B => f64::from(hidden / query_heads),
            _ => f64::from(head_dim),
        };
        let usual = query_scalar.sqrt().recip();
        if let Some(found) = m.number(&attention)?.filter(|found| *found != 0.0 && (found - usual).abs() > 1e-5 * usual) {
            return Err(m.wrong(&attention, format!("{usual}, for heads of {head_dim}"), found.to_string(), FAMILY));
        }
        let embedding_name = layout.names.weight(Module::Embedding);
        let embedding = tensor(gguf, &embedding_name)?;
        let vocabulary = match embedding.shape.as_slice() {
            [rows, width] if *width == u64::from(hidden) && *rows <= u64::from(COUNT_CAP) => *rows as u32,
            other => return Err(misshapen(m, &embedding_name, &format!("[1 to {COUNT_CAP}, {hidden}]"), other)),
        };
        let has = |name: String| gguf.tensors.contains_key(name.as_str());
        // The value of a field of config.json is taken from the first projection that the field is about.
        let has_bias = |bias: Bias, first: LayerModule| match bias {
            Bias::Never => false,
            Bias::Always => true,
            Bias::Field(_) => has(layout.names.bias(Module::Layer(0, first))),
        };
        let head_name = layout.names.weight(Module::Head);
        let tied = find_tied(gguf, &embedding_name, &head_name);
        let dimensions = Dimensions {
            layers,
            hidden,
            intermediate: count("feed_forward_length", COUNT_CAP)?,
            query_heads,
            heads,
            head_dim,
            vocabulary,
            qkv_bias: has_bias(family.biases.qkv, LayerModule::Query),
            output_bias: has_bias(family.biases.output, LayerModule::Query),
            mlp_bias: has_bias(family.biases.mlp, LayerModule::Gate),
            query_key_norms: family.query_key_norms,
            norms_after: family.norms_after,
            tied: tied.is_some() || !has(head_name),
        };
        let norm_eps = positive("attention.layer_norm_rms_epsilon", None)?;
        let rope_scaling = match linear {
            Some(factor) => Some(json!({ "rope_type": "linear", "factor": factor })),
            None => rope_scaling(gguf, head_dim, rope_base)?,
        };
        Ok(Self { family, layout, dimensions, context, norm_eps, rope_base, rope_scaling, windows, query_scalar, tied })
    }

    /// config.json.
    pub(super) fn config(&self, m: &Metadata<'_>) -> Result<Value, ImportError> {
        let (family, dimensions) = (self.family, &self.dimensions);
        let mut config = Map::new();
        let mut put = |name: &str, value: Value| {
            config.insert(name.to_owned(), value);
        };
        put("architectures", json!([family.class]));
        put("model_type", json!(family.model_type));
        put("num_hidden_layers", json!(dimensions.layers));
        put("hidden_size", json!(dimensions.hidden));
        put("intermediate_size", json!(dimensions.intermediate));
        put("num_attention_heads", json!(dimensions.query_heads));
        put("num_key_value_heads", json!(dimensions.heads));
        put("head_dim", json!(dimensions.head_dim));
        put("hidden_act", json!(family.default_activation()));
        put("vocab_size", json!(dimensions.vocabulary));
        put("max_position_embeddings", json!(self.context));
        put("rms_norm_eps", json!(self.norm_eps));
        put("rope_theta", json!(self.rope_base));
        put("rope_scaling", self.rope_scaling.clone().unwrap_or(Value::Null));
        put("tie_word_embeddings", json!(dimensions.tied));
        let biases = [
            (family.biases.qkv, dimensions.qkv_bias),
            (family.biases.output, dimensions.output_bias),
            (family.biases.mlp, dimensions.mlp_bias),
        ];
        for (bias, value) in biases {
            if let Bias::Field(field) = bias {
                put(field, json!(value));
            }
        }
        if family.sliding_window == SlidingWindow::IfEnabled {
            put("use_sliding_window", json!(false));
        }
        if family.default_query_scalar.is_some() {
            put("query_pre_attn_scalar", json!(self.query_scalar));
        }
        for (field, key) in [("bos_token_id", "tokenizer.ggml.bos_token_id"), ("pad_token_id", "tokenizer.ggml.padding_token_id")] {
            if let Some(id) = self.id(m, key)? {
                put(field, json!(id));
            }
        }
        // Either the end of a turn, of a message or of the text ends an answer of a chat model.
        let mut ends: Vec<u32> = Vec::new();
        for key in ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"] {
            ends.extend(self.id(m, key)?.filter(|id| !ends.contains(id)));
        }
        match ends.as_slice() {
            [] => {}
            [one] => put("eos_token_id", json!(one)),
            _ => put("eos_token_id", json!(ends)),
        }
        put("torch_dtype", json!("bfloat16"));
        if let Some(windows) = &self.windows {
            windows.put(&mut config, dimensions.layers);
        }
        Ok(Value::Object(config))
    }

    fn id(&self, m: &Metadata<'_>, key: &str) -> Result<Option<u32>, ImportError> {
        let vocabulary = self.dimensions.vocabulary;
        match m.u32(key)? {
            Some(id) if id >= vocabulary => Err(m.wrong(key, format!("an id below {vocabulary}"), id.to_string(), FETCH)),
            id => Ok(id),
        }
    }

    /// The tensors of the checkpoint, in its order. A tensor of the file that is not among them is an error.
    pub(super) fn map<'g>(&self, gguf: &'g Gguf<'_>) -> Result<Vec<MappedTensor<'g>>, ImportError> {
        let mut all = Vec::new();
        for (module, shape) in self.dimensions.modules() {
            all.push(self.map_tensor(gguf, module, shape, false)?);
            if shape.bias {
                all.push(self.map_tensor(gguf, module, shape, true)?);
            }
        }
        let dropped = self.tied.as_ref().map(|tied| tied.dropped.as_str());
        let known: BTreeSet<&str> = all.iter().map(|mapped| mapped.source.as_str()).chain(dropped).collect();
        // Without one of its tensors, the model would compute something else.
        match gguf.tensors.keys().find(|name| !known.contains(**name) && **name != ROPE_FACTORS) {
            Some(name) => {
                let expected = format!("a tensor of a `{}` model", self.layout.architecture);
                Err(wrong(&gguf.metadata, name, &expected, "another one", FAMILY))
            }
            None => Ok(all),
        }
    }

    /// The weight or the bias of a module.
    fn map_tensor<'g>(&self, gguf: &'g Gguf<'_>, module: Module, shape: ModuleShape, bias: bool) -> Result<MappedTensor<'g>, ImportError> {
        let (from, to) = (&self.layout.names, &self.family.names);
        let (source, name) = match (&self.tied, module) {
            (Some(tied), Module::Embedding) => (tied.kept.clone(), to.weight(module)),
            _ if bias => (from.bias(module), to.bias(module)),
            _ => (from.weight(module), to.weight(module)),
        };
        let expected: Vec<u64> = std::iter::once(shape.rows).chain(shape.columns.filter(|_| !bias)).collect();
        let info = tensor(gguf, &source)?;
        if info.shape != expected {
            return Err(misshapen(&gguf.metadata, &source, &format!("{expected:?}"), &info.shape));
        }
        if expected.len() == 1 && info.kind.block() > 1 {
            return Err(wrong(&gguf.metadata, &source, "a vector in F32, F16 or BF16", info.kind.name(), FETCH));
        }
        let heads = match module {
            Module::Layer(_, LayerModule::Query) => Some(self.dimensions.query_heads),
            Module::Layer(_, LayerModule::Key) => Some(self.dimensions.heads),
            _ => None,
        };
        let offset = if shape.columns.is_none() { self.layout.norm_offset } else { 0.0 };
        Ok(MappedTensor { source, name, info, offset, interleaved_heads: heads.filter(|_| self.layout.interleaved_rope) })
    }
}

/// The RoPE scaling of Llama 3.1 and later. The file holds the factor of each frequency. Hugging Face's configuration holds the four
/// numbers that the factors are computed from, of which all published models share the last three.
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
