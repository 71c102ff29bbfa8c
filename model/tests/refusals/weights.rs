//! safetensors files: one or sharded, in any of three types, cut or altered.

use half::{bf16, f16};
use safetensors::Dtype;
use serde_json::json;

use crate::support::{Folder, Raw, assert_names, write};

#[test]
fn no_weights() {
    let folder = Folder::new();
    std::fs::remove_file(folder.file("model.safetensors")).unwrap();
    assert_names(&folder.refusal(), &["model.safetensors", "no such file of weights", "fetch"]);
}

#[test]
fn weights_cut_short() {
    let folder = Folder::new();
    let whole = std::fs::read(folder.file("model.safetensors")).unwrap();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    for length in [0, 7, 8, header / 2, header, header + 1, whole.len() - 1] {
        std::fs::write(folder.file("model.safetensors"), &whole[..length]).unwrap();
        assert_names(&folder.refusal(), &["model.safetensors", "expected", "found", "cut short"]);
    }
    let longer = [whole.as_slice(), b"more"].concat();
    std::fs::write(folder.file("model.safetensors"), longer).unwrap();
    assert_names(&folder.refusal(), &["model.safetensors", "data"]);
}

#[test]
fn a_header_of_2_to_the_60_bytes() {
    let folder = Folder::new();
    let mut bytes = std::fs::read(folder.file("model.safetensors")).unwrap();
    bytes[..8].copy_from_slice(&(1u64 << 60).to_le_bytes());
    std::fs::write(folder.file("model.safetensors"), bytes).unwrap();
    assert_names(&folder.refusal(), &["model.safetensors", "header length", &(1u64 << 60).to_string()]);
}

#[test]
fn weights_of_another_shape_or_number() {
    let folder = Folder::new();
    folder.edit("config.json", |c| drop(c.insert("intermediate_size".into(), json!(64))));
    assert_names(&folder.refusal(), &["model.safetensors", "model.layers.0.mlp.gate_proj.weight", "[64, 32]", "[48, 32]"]);
    let folder = Folder::new();
    folder.edit("config.json", |c| drop(c.insert("num_hidden_layers".into(), json!(4))));
    assert_names(&folder.refusal(), &["model.layers.3.", "found nothing"]);
    // Weights that nothing reads belong to another architecture.
    let folder = Folder::new();
    let mut tensors = folder.tensors();
    tensors.push(Raw::f32("model.layers.0.self_attn.q_norm.weight", &[8], &[1.0; 8]));
    write(&folder.file("model.safetensors"), &tensors);
    assert_names(&folder.refusal(), &["model.layers.0.self_attn.q_norm.weight"]);
}

#[test]
fn weights_of_a_type_that_is_not_computed() {
    let folder = Folder::new();
    let mut tensors = folder.tensors();
    let norm = tensors.iter_mut().find(|t| t.name == "model.norm.weight").unwrap();
    *norm = Raw { dtype: Dtype::F64, bytes: vec![0; 256], ..norm.clone() };
    write(&folder.file("model.safetensors"), &tensors);
    assert_names(&folder.refusal(), &["model.norm.weight", "F32, F16 or BF16", "F64"]);
}

#[test]
fn half_precision_weights() {
    let reference: Vec<u32> = (4..20).collect();
    let original = Folder::new();
    let memory = original.load().unwrap().write(&[&reference]).unwrap().remove(0);
    for dtype in [Dtype::F16, Dtype::BF16] {
        let folder = Folder::new();
        let mut tensors = folder.tensors();
        for tensor in &mut tensors {
            let halves = tensor
                .values()
                .into_iter()
                .flat_map(|x| if dtype == Dtype::F16 { f16::from_f32(x).to_le_bytes() } else { bf16::from_f32(x).to_le_bytes() });
            *tensor = Raw { dtype, bytes: halves.collect(), ..tensor.clone() };
        }
        write(&folder.file("model.safetensors"), &tensors);
        let halved = folder.load().unwrap().write(&[&reference]).unwrap().remove(0);
        let off = halved.values.iter().zip(&memory.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off > 0.0 && off < 0.5, "{dtype:?}: {off}");
    }
}

/// Writes the tensors in two shards with an index, and removes the single file.
fn shard(folder: &Folder) {
    let tensors = folder.tensors();
    let (first, second) = tensors.split_at(tensors.len() / 2);
    let mut map = serde_json::Map::new();
    for (name, part) in [("a.safetensors", first), ("b.safetensors", second)] {
        write(&folder.file(name), part);
        part.iter().for_each(|t| drop(map.insert(t.name.clone(), json!(name))));
    }
    std::fs::write(folder.file("model.safetensors.index.json"), json!({"metadata": {}, "weight_map": map}).to_string()).unwrap();
    std::fs::remove_file(folder.file("model.safetensors")).unwrap();
}

#[test]
fn shards_are_the_same_model() {
    let reference: Vec<u32> = (4..20).collect();
    let (single, sharded) = (Folder::new(), Folder::new());
    shard(&sharded);
    let write = |folder: &Folder| folder.load().unwrap().write(&[&reference]).unwrap();
    assert_eq!(write(&single), write(&sharded));
}

#[test]
fn an_index_that_lies() {
    const INDEX: &str = "model.safetensors.index.json";
    let folder = Folder::new();
    shard(&folder);
    std::fs::remove_file(folder.file("b.safetensors")).unwrap();
    assert_names(&folder.refusal(), &["b.safetensors", "no such file"]);
    let edit = |name: &str, value: serde_json::Value| {
        let folder = Folder::new();
        shard(&folder);
        folder.edit(INDEX, |o| drop(o["weight_map"].as_object_mut().unwrap().insert(name.into(), value)));
        folder.refusal()
    };
    assert_names(&edit("model.norm.weight", json!("../elsewhere.safetensors")), &[INDEX, "weight_map.model.norm.weight", "../elsewhere"]);
    assert_names(&edit("model.norm.weight", json!(7)), &[INDEX, "7"]);
    assert_names(&edit("model.no_such.weight", json!("a.safetensors")), &["model.no_such.weight", "nothing"]);
    folder.edit(INDEX, |o| drop(o.remove("weight_map")));
    assert_names(&folder.refusal(), &[INDEX, "weight_map"]);
    // One name in two shards.
    let folder = Folder::new();
    shard(&folder);
    std::fs::copy(folder.file("a.safetensors"), folder.file("b.safetensors")).unwrap();
    assert_names(&folder.refusal(), &["b.safetensors", "the same name in two"]);
}

#[test]
fn weights_that_the_configuration_denies() {
    let head = |values: Vec<f32>| {
        let folder = Folder::new();
        let mut tensors = folder.tensors();
        tensors.push(Raw::f32("lm_head.weight", &[97, 32], &values));
        write(&folder.file("model.safetensors"), &tensors);
        folder
    };
    let embedding = Folder::new().tensors().iter().find(|t| t.name == "model.embed_tokens.weight").unwrap().values();
    // The embedding a second time is the same model.
    let (same, plain) = (head(embedding.clone()), Folder::new());
    let reference: Vec<u32> = (4..20).collect();
    let write_one = |folder: &Folder| folder.load().unwrap().write(&[&reference]).unwrap();
    assert_eq!(write_one(&same), write_one(&plain));
    let other = head(embedding.iter().map(|x| x + 1.0).collect());
    assert_names(&other.refusal(), &["lm_head.weight", "the values of the embedding", "tie_word_embeddings"]);
    other.edit("config.json", |c| drop(c.insert("tie_word_embeddings".into(), false.into())));
    other.load().unwrap();
    for (name, field) in [("self_attn.q_proj.bias", "attention_bias"), ("mlp.up_proj.bias", "mlp_bias")] {
        let folder = Folder::new();
        let mut tensors = folder.tensors();
        let rows = if name.starts_with("mlp") { 48 } else { 32 };
        tensors.push(Raw::f32(&format!("model.layers.0.{name}"), &[rows], &vec![1.0; rows]));
        write(&folder.file("model.safetensors"), &tensors);
        assert_names(&folder.refusal(), &[name, field]);
        // A configuration that asks for biases needs all of them.
        folder.edit("config.json", |c| drop(c.insert(field.into(), true.into())));
        assert_names(&folder.refusal(), &[".bias", "nothing"]);
    }
}
