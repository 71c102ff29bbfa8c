//! Models of families with further norms and with layers that have a window.

use super::*;
use crate::family::{Family, GgufLayout, LayerModule, Module};
use crate::generation::Generation;
use crate::{ModelConfig, fields};

/// [`Builder::llama`] as a file of another architecture.
fn of_architecture(name: &str) -> Builder {
    let mut b = Builder::llama();
    for (key, ..) in &mut b.keys {
        *key = key.replace("llama.", &format!("{name}."));
    }
    b.text("general.architecture", name);
    b.counting("blk.0.attn_q_norm.weight", &[4]).counting("blk.0.attn_k_norm.weight", &[4]);
    b
}

pub fn gemma3() -> Builder {
    let mut b = of_architecture("gemma3");
    b.counting("blk.0.post_attention_norm.weight", &[4]).counting("blk.0.post_ffw_norm.weight", &[4]);
    b.number("gemma3.attention.sliding_window", 8);
    b
}

fn float<'b>(b: &'b mut Builder, key: &str, x: f32) -> &'b mut Builder {
    b.key(key, 6, x.to_le_bytes().to_vec())
}

fn config(b: &Builder) -> Value {
    let (_folder, out) = b.import().unwrap_or_else(|error| panic!("{error}"));
    json(out.join("config.json"))
}

#[test]
fn qwen3_has_norms_and_rows_in_order() {
    let b = of_architecture("qwen3");
    let (_folder, out) = b.import().unwrap();
    for norm in ["q_norm", "k_norm"] {
        assert_eq!(values(&out, &format!("model.layers.0.self_attn.{norm}.weight")), [0.0, 1.0, 2.0, 3.0]);
    }
    assert_eq!(values(&out, "model.layers.0.self_attn.q_proj.weight"), (0..32).map(|n| n as f32).collect::<Vec<_>>());
    let config = config(&b);
    assert_eq!((&config["model_type"], &config["use_sliding_window"], &config["head_dim"]), (&"qwen3".into(), &false.into(), &4.into()));
    for norm in ["blk.0.attn_q_norm.weight", "blk.0.attn_k_norm.weight"] {
        assert!(b.clone().without(norm).message().contains(norm));
    }
}

#[test]
fn gemma3_norms_are_stored_with_one_added() {
    let (_folder, out) = gemma3().import().unwrap();
    for norm in [
        "norm",
        "layers.0.input_layernorm",
        "layers.0.self_attn.q_norm",
        "layers.0.self_attn.k_norm",
        "layers.0.post_attention_layernorm",
        "layers.0.pre_feedforward_layernorm",
        "layers.0.post_feedforward_layernorm",
    ] {
        assert_eq!(values(&out, &format!("model.{norm}.weight")), [-1.0, 0.0, 1.0, 2.0], "{norm}");
    }
    assert_eq!(values(&out, "model.layers.0.mlp.up_proj.weight")[..3], [0.0, 1.0, 2.0]);
    for norm in ["blk.0.post_attention_norm.weight", "blk.0.post_ffw_norm.weight", "blk.0.ffn_norm.weight", "blk.0.attn_k_norm.weight"] {
        assert!(gemma3().without(norm).message().contains(norm));
    }
}

#[test]
fn gemma3_layers_with_a_window() {
    let config_of = |change: Change| config(change(&mut gemma3()));
    let first = config_of(|b| b);
    assert_eq!((&first["layer_types"], &first["sliding_window"]), (&serde_json::json!(["sliding_attention"]), &8.into()));
    assert_eq!((&first["rope_local_base_freq"], &first["query_pre_attn_scalar"]), (&1e4.into(), &4.0.into()));
    assert_eq!((&first["model_type"], &first["rope_scaling"]), (&"gemma3_text".into(), &Value::Null));
    let full = serde_json::json!(["full_attention"]);
    assert_eq!(config_of(|b| b.number("gemma3.attention.sliding_window_pattern", 1))["layer_types"], full);
    assert_eq!(config_of(|b| b.without("gemma3.attention.sliding_window"))["layer_types"], full);
    assert_eq!(config_of(|b| float(b, "gemma3.rope.freq_base_swa", 2e4))["rope_local_base_freq"], 2e4);
    let scaled = config_of(|b| {
        b.text("gemma3.rope.scaling.type", "linear");
        float(b, "gemma3.rope.scaling.factor", 8.0)
    });
    assert_eq!(scaled["rope_scaling"], serde_json::json!({"rope_type": "linear", "factor": 8.0}));
}

#[test]
fn what_gemma3_does_not_compute_is_refused() {
    for (change, parts) in [
        ((|b| float(b, "gemma3.final_logit_softcapping", 30.0)) as Change, &["final_logit_softcapping"][..]),
        (|b| float(b, "gemma3.rope.scaling.factor", 8.0), &["rope.scaling.factor", "found 8"]),
        (|b| float(b, "gemma3.rope.scale_linear", 8.0), &["rope.scale_linear"]),
        (|b| b.text("gemma3.rope.scaling.type", "linear"), &["rope.scaling.factor", "nothing"]),
        (|b| b.text("gemma3.rope.scaling.type", "yarn"), &["rope.scaling.type", "`yarn`"]),
        (|b| float(b, "gemma3.rope.freq_base_swa", 1.0), &["rope.freq_base_swa", "above 1"]),
        (|b| b.number("gemma3.attention.sliding_window_pattern", 0), &["sliding_window_pattern", "above 0"]),
        (|b| b.key("gemma3.attention.sliding_window_pattern", 9, array(7, &[vec![1]])), &["sliding_window_pattern", "an array"]),
        (|b| b.number("gemma3.attention.sliding_window", u32::MAX), &["attention.sliding_window", "at most"]),
        (|b| float(b, "gemma3.attention.scale", 0.3), &["attention.scale", "0.5"]),
        (|b| b.number("gemma3.vision.block_count", 27), &["vision.block_count"]),
    ] {
        let message = change(&mut gemma3()).message();
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
}

/// The fixture `name` as a GGUF file in F32.
fn of_fixture(name: &str) -> (Builder, Value, Vec<(String, Vec<f32>)>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name).join("model");
    let config = json(folder.join("config.json"));
    let family = Family::of_model_type(config["model_type"].as_str().unwrap()).unwrap();
    let GgufLayout { architecture, names, norm_offset, .. } = family.gguf.as_ref().unwrap();
    let mut b = Builder { version: 3, keys: Vec::new(), tensors: Vec::new(), shift: 0 };
    b.text("general.architecture", architecture);
    for (key, field) in [
        ("block_count", "num_hidden_layers"),
        ("context_length", "max_position_embeddings"),
        ("embedding_length", "hidden_size"),
        ("feed_forward_length", "intermediate_size"),
        ("attention.head_count", "num_attention_heads"),
        ("attention.head_count_kv", "num_key_value_heads"),
        ("attention.key_length", "head_dim"),
        ("attention.value_length", "head_dim"),
    ] {
        b.number(&format!("{architecture}.{key}"), config[field].as_u64().unwrap() as u32);
    }
    float(&mut b, &format!("{architecture}.attention.layer_norm_rms_epsilon"), 1e-6);
    float(&mut b, &format!("{architecture}.rope.freq_base"), config["rope_theta"].as_f64().unwrap() as f32);
    let words: Vec<String> = (0..config["vocab_size"].as_u64().unwrap()).map(|id| format!("w{id}")).collect();
    b.text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.pre", "qwen2").key("tokenizer.ggml.merges", 9, strings(&[]));
    b.key("tokenizer.ggml.tokens", 9, strings(&words.iter().map(String::as_str).collect::<Vec<_>>()));
    b.number("tokenizer.ggml.bos_token_id", 1).number("tokenizer.ggml.eos_token_id", 2);

    let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let layers = config["num_hidden_layers"].as_u64().unwrap() as u32;
    let of_layer = |layer| LayerModule::ALL.map(|part| Module::Layer(layer, part));
    let modules = (0..layers).flat_map(of_layer).chain([Module::Embedding, Module::FinalNorm, Module::Head]);
    let mut weights = Vec::new();
    for module in modules {
        let name = family.names.weight(module);
        let Ok(tensor) = file.tensor(&name) else { continue };
        let values: Vec<f32> = tensor.data().as_chunks::<2>().0.iter().map(|b| half::bf16::from_le_bytes(*b).to_f32()).collect();
        let added = if tensor.shape().len() == 1 { *norm_offset } else { 0.0 };
        let shape: Vec<u64> = tensor.shape().iter().rev().map(|n| *n as u64).collect();
        b.tensor(&names.weight(module), &shape, 0, values.iter().flat_map(|x| (x + added).to_le_bytes()).collect());
        weights.push((name, values));
    }
    assert_eq!(weights.len(), file.len(), "all tensors of the fixture");
    (b, config, weights)
}

/// What is imported is the model that the file was made of: its configuration, and its weights bit for bit.
#[test]
fn a_fixture_comes_back_whole() {
    for name in ["qwen3_norms", "gemma3_windows"] {
        let (mut b, mut config, weights) = of_fixture(name);
        if name.starts_with("gemma3") {
            b.number("gemma3.attention.sliding_window", 7).number("gemma3.attention.sliding_window_pattern", 3);
            float(&mut b, "gemma3.rope.freq_base_swa", 20.0);
            b.text("gemma3.rope.scaling.type", "linear");
            float(&mut b, "gemma3.rope.scaling.factor", 3.0);
            // Files do not have it: it is the head's dimension but in the largest model.
            config["query_pre_attn_scalar"] = 12.into();
        }
        let (_folder, out) = b.import().unwrap_or_else(|error| panic!("{name}: {error}"));
        for (tensor, expected) in &weights {
            assert_eq!(&values(&out, tensor), expected, "{name}: {tensor}");
        }
        let path = out.join("config.json");
        let parse = |config: &Value| ModelConfig::parse(&path, config.as_object().unwrap(), &Generation::default()).unwrap();
        let imported = fields::read_object(&path, "").unwrap();
        assert_eq!(parse(&Value::Object(imported)), parse(&config), "{name}");
    }
}

/// The largest Gemma 3 scales attention by its width, which no key says.
#[test]
fn the_largest_gemma3_is_known_by_its_layers() {
    let mut b = gemma3();
    b.number("gemma3.block_count", 62);
    let tensors: Vec<_> = b.tensors.iter().filter(|(name, ..)| name.starts_with("blk.0.")).cloned().collect();
    for layer in 1..62 {
        for (name, shape, code, bytes) in &tensors {
            b.tensor(&name.replace("blk.0.", &format!("blk.{layer}.")), shape, *code, bytes.clone());
        }
    }
    assert_eq!(config(&b)["query_pre_attn_scalar"], 2.0);
}
