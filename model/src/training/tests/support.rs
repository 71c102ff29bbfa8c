//! Small random models for training.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tch::{Kind, Tensor};

use crate::training::{AdapterOptions, Learning, Sequence, Trainee, WriteOptions};
use crate::{DeviceChoice, LoadOptions, Precision, set_threads};

/// The fixtures that are models of their own, and what makes each of them another case: grouped heads with a head dimension of
/// their own and an untied head; no groups, a first memory layer above 0, a tied head; biases, a tied head; norms of queries and keys; norms
/// after each part of a layer, layers with a window.
pub const MODELS: [&str; 5] = ["llama_gqa", "llama_mha", "qwen2_bias", "qwen3_norms", "gemma3_windows"];

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("tests/fixtures")
}

/// The model of a fixture in a temporary folder, with a tokenizer, which the fixtures lack.
pub fn folder(name: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let model = fixtures().join(name).join("model");
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(model.join(file), dir.path().join(file)).unwrap();
    }
    let config: Value = serde_json::from_slice(&std::fs::read(model.join("config.json")).unwrap()).unwrap();
    let words = (0..config["vocab_size"].as_u64().unwrap()).map(|id| (format!("w{id}"), json!(id)));
    let vocabulary: serde_json::Map<String, Value> = words.collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null, "pre_tokenizer": null,
        "post_processor": null, "decoder": null, "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "w0"},
    });
    std::fs::write(dir.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    dir
}

pub fn options(precision: Precision) -> LoadOptions {
    LoadOptions { precision, device: DeviceChoice::Cpu, ..LoadOptions::default() }
}

pub fn load(folder: &Path, learning: &Learning) -> Trainee {
    // One thread an operation: the tests run side by side.
    set_threads(1);
    Trainee::load(folder, &options(Precision::F32), learning).unwrap()
}

/// A new adapter for all linear maps.
pub fn new_adapter(rank: u32) -> Learning {
    Learning::Adapter(AdapterOptions { rank, alpha: 3.0, targets: Vec::new(), seed: 5 })
}

/// A new reading adapter for these projections.
pub fn new_reading_adapter(rank: u32, targets: &[&str]) -> Learning {
    let targets = targets.iter().map(|target| (*target).to_owned()).collect();
    Learning::ReadingAdapter(AdapterOptions { rank, alpha: 3.0, targets, seed: 6 })
}

/// The golden case of a fixture: references of 128 tokens down to one, and what the chunks of a text read of them.
#[derive(serde::Deserialize)]
pub struct Case {
    pub references: Vec<Vec<u32>>,
    pub text: Vec<u32>,
    pub retrieved: Vec<Vec<usize>>,
    pub similarity: Vec<Vec<f32>>,
    /// Of how many tokens one is learnt.
    #[serde(default = "all")]
    every: usize,
}

fn all() -> usize {
    1
}

impl Case {
    pub fn read(name: &str) -> Self {
        serde_json::from_slice(&std::fs::read(fixtures().join(name).join("cases.json")).unwrap()).unwrap()
    }

    /// A case of the same form that takes less time: shorter references, a text of a chunk and a half, and one token in five learnt.
    pub fn short(name: &str) -> Self {
        let mut case = Self::read(name);
        case.references.iter_mut().for_each(|reference| reference.truncate(24));
        case.text.truncate(96);
        Self { every: 5, ..case }
    }

    pub fn references(&self) -> Vec<&[u32]> {
        self.references.iter().map(Vec::as_slice).collect()
    }

    /// What each chunk of the text reads, with similarities.
    pub fn chunks(&self) -> Vec<Vec<(usize, f32)>> {
        self.retrieved.iter().zip(&self.similarity).map(|(rs, ss)| rs.iter().copied().zip(ss.iter().copied()).collect()).collect()
    }

    /// Three sequences of different lengths that read different references, one of them none.
    pub fn sequences(&self) -> Vec<Sequence> {
        let learnt = |tokens: usize| (0..tokens).map(|token| token % self.every == 0).collect();
        let sequence = |tokens: &[u32], chunks| Sequence { tokens: tokens.to_vec(), learnt: learnt(tokens.len()), chunks };
        let chunks = self.chunks();
        let half = self.text.len() / 2;
        vec![
            sequence(&self.text, chunks.clone()),
            sequence(&self.text[half..half + 9], Vec::new()),
            sequence(&self.text[3..half], vec![chunks[1].clone(), Vec::new()]),
            sequence(&self.text[..half / 3], vec![vec![(6, 0.1)]]),
        ]
    }
}

/// The shape of memories whose heads keep `keep` tokens, or what the `memory` block says.
pub fn kept_shape(trainee: &Trainee, keep: Option<u32>) -> crate::MemoryShape {
    let own = trainee.model().decoder().shape();
    keep.map_or_else(|| own.clone(), |keep| crate::MemoryShape::new(own.layers, own.heads, keep, own.head_dim))
}

/// The model of a fixture as [`folder`] gives it, with a head budget: from head to head 3, 0, 9 and 20 tokens, all of a reference's at the
/// last head, and none at the first memory layer if there are several.
pub fn folder_with_budget(name: &str) -> tempfile::TempDir {
    let dir = folder(name);
    let path = dir.path().join("config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let number = |field: &str| config[field].as_u64().unwrap() as usize;
    let heads = config["num_key_value_heads"].as_u64().map_or_else(|| number("num_attention_heads"), |heads| heads as usize);
    let number_of_memory = |field: &str, default: usize| config["memory"][field].as_u64().map_or(default, |n| n as usize);
    let layers = number_of_memory("num_memory_layers", number("num_hidden_layers") / 2);
    let mut table: Vec<Vec<u32>> =
        (0..layers).map(|layer| (0..heads).map(|head| [3, 0, 9, 20][(layer * heads + head) % 4]).collect()).collect();
    if layers > 1 {
        table[0].fill(0);
    }
    table[layers - 1][heads - 1] = number_of_memory("reference_length", 128) as u32;
    config["memory"]["tokens_per_head"] = json!(table);
    std::fs::write(path, config.to_string()).unwrap();
    dir
}

/// How references are written that keep `keep` tokens.
pub fn keeping(keep: u32) -> WriteOptions {
    WriteOptions { keep: Some(keep), selection_gradient: false, noise: [0.0; 2] }
}

/// Writes the case's references and reads them: the loss on its sequences, summed.
pub fn lost(trainee: &Trainee, case: &Case, write: &WriteOptions) -> super::super::TrainingLoss {
    let written = trainee.write(&case.references(), write).unwrap();
    trainee.loss(&case.sequences(), Some(&written)).unwrap()
}

/// Puts random numbers of this size in place of all B matrices, so that the adapter changes something and gradients reach A.
pub fn fill_b(trainee: &mut Trainee, size: f64) {
    let _guard = tch::no_grad_guard();
    // Tests that run beside this one draw from the same generator.
    let _drawing = crate::training::drawing(11);
    for parameter in trainee.parameters.iter_mut().filter(|p| p.name.ends_with("lora_B.weight")) {
        parameter.master.copy_(&(parameter.master.randn_like() * size));
        parameter.publish().unwrap();
    }
}

/// Random numbers around 0, in the form of `like`.
pub fn noise(like: &Tensor) -> Tensor {
    like.detach().randn_like().to_kind(Kind::Float)
}

pub fn largest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, |max, d| if d.is_nan() { f32::INFINITY } else { max.max(d) })
}
