//! LoRA adapters in the PEFT layout.

use std::path::Path;

use mempack_model::{DeviceChoice, LoadOptions, Model, Precision, ReaderOptions};
use serde_json::{Value, json};

use crate::support::{Folder, Raw, assert_names, load, write};

const TARGET: &str = "model.layers.1.self_attn.q_proj";

/// An adapter of rank 2 over the fixture, changing one weight; and its two matrices.
fn adapter(config: Value) -> (tempfile::TempDir, Vec<f32>, Vec<f32>) {
    let dir = tempfile::tempdir().unwrap();
    let mut object = json!({"peft_type": "LORA", "base_model_name_or_path": "somewhere/base", "r": 2, "lora_alpha": 3});
    for (key, value) in config.as_object().unwrap() {
        object[key] = value.clone();
    }
    std::fs::write(dir.path().join("adapter_config.json"), object.to_string()).unwrap();
    let wave = |n: usize, step: f32| (0..n).map(|i| (i as f32 * step).sin() * 0.3).collect::<Vec<f32>>();
    let (a, b) = (wave(64, 0.7), wave(64, 1.3));
    write(&dir.path().join("adapter_model.safetensors"), &pair(TARGET, &a, &b));
    (dir, a, b)
}

fn pair(target: &str, a: &[f32], b: &[f32]) -> Vec<Raw> {
    let name = |part: &str| format!("base_model.model.{target}.{part}.weight");
    vec![Raw::f32(&name("lora_A"), &[2, 32], a), Raw::f32(&name("lora_B"), &[32, 2], b)]
}

fn refusal(adapter: &Path, base: &Folder) -> String {
    load(adapter, Some(base.dir.path())).err().expect("a refusal").to_string()
}

#[test]
fn merged_as_peft_merges() {
    for (config, scale) in [(json!({}), 1.5), (json!({"use_rslora": true}), 3.0 / 2f32.sqrt()), (json!({"lora_alpha": 4.0}), 2.0)] {
        let (base, by_hand) = (Folder::new(), Folder::new());
        let (dir, a, b) = adapter(config);
        let mut tensors = by_hand.tensors();
        let target = tensors.iter_mut().find(|t| t.name == format!("{TARGET}.weight")).unwrap();
        let mut merged = target.values();
        for (i, w) in merged.iter_mut().enumerate() {
            let (row, column) = (i / 32, i % 32);
            *w += scale * (b[row * 2] * a[column] + b[row * 2 + 1] * a[32 + column]);
        }
        *target = Raw::f32(&format!("{TARGET}.weight"), &[32, 32], &merged);
        write(&by_hand.file("model.safetensors"), &tensors);
        let reference: Vec<u32> = (4..30).collect();
        let ours = load(dir.path(), Some(base.dir.path())).unwrap().write(&[&reference]).unwrap().remove(0);
        let expected = by_hand.load().unwrap().write(&[&reference]).unwrap().remove(0);
        assert_eq!(ours.positions, expected.positions);
        let off = ours.values.iter().zip(&expected.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off < 1e-5, "{off}");
        assert_ne!(base.load().unwrap().write(&[&reference]).unwrap()[0], expected);
    }
}

#[test]
fn memory_json_stands_for_the_block() {
    let base = Folder::new();
    let (dir, ..) = adapter(json!({}));
    assert_eq!(load(dir.path(), Some(base.dir.path())).unwrap().memory().tokens_per_head, 4.into());
    std::fs::write(dir.path().join("memory.json"), r#"{"num_memory_layers": 2, "similarity_bias": 3}"#).unwrap();
    let decoder = load(dir.path(), Some(base.dir.path())).unwrap();
    let memory = decoder.memory();
    assert_eq!((memory.num_memory_layers, memory.tokens_per_head.most(), memory.similarity_bias), (2, 8, 3.0));
    std::fs::write(dir.path().join("memory.json"), r#"{"num_memory_layers": 9}"#).unwrap();
    assert_names(&refusal(dir.path(), &base), &["memory.json", "num_memory_layers", "9"]);
}

#[test]
fn kinds_that_are_not_merged() {
    let base = Folder::new();
    for (field, value) in [
        ("peft_type", json!("IA3")),
        ("peft_type", Value::Null),
        ("use_dora", json!(true)),
        ("fan_in_fan_out", json!(true)),
        ("lora_bias", json!(true)),
        ("bias", json!("all")),
        ("modules_to_save", json!(["lm_head"])),
        ("rank_pattern", json!({"q_proj": 4})),
        ("alpha_pattern", json!({"q_proj": 4})),
        ("r", json!(0)),
        ("r", json!("two")),
        ("lora_alpha", Value::Null),
        ("base_model_name_or_path", Value::Null),
    ] {
        let (dir, ..) = adapter(json!({ field: value }));
        assert_names(&refusal(dir.path(), &base), &["adapter_config.json", field]);
    }
    let (dir, ..) = adapter(json!({"modules_to_save": null, "rank_pattern": {}, "bias": "none", "use_dora": false}));
    load(dir.path(), Some(base.dir.path())).unwrap();
}

#[test]
fn weights_of_an_adapter() {
    let base = Folder::new();
    let (dir, a, b) = adapter(json!({}));
    let file = dir.path().join("adapter_model.safetensors");
    let set = |tensors: &[Raw]| write(&file, tensors);
    set(&pair("model.layers.9.self_attn.q_proj", &a, &b));
    assert_names(&refusal(dir.path(), &base), &["model.layers.9.self_attn.q_proj.weight", "lacks"]);
    set(&pair(TARGET, &a, &b)[..1]);
    assert_names(&refusal(dir.path(), &base), &["lora_B", "nothing"]);
    let mut wrong = pair(TARGET, &a, &b);
    wrong[1].shape = vec![16, 4];
    set(&wrong);
    assert_names(&refusal(dir.path(), &base), &["lora_B", "[32, 2]", "[16, 4]"]);
    set(&[Raw::f32("base_model.model.lm_head.weight", &[1], &[0.0])]);
    assert_names(&refusal(dir.path(), &base), &["base_model.model.lm_head.weight", "lora_A"]);
    std::fs::remove_file(&file).unwrap();
    assert_names(&refusal(dir.path(), &base), &["adapter_model.safetensors", "no such file"]);
}

/// peft's ways to begin that change the base's weights, and fields that are not known.
#[test]
fn adapters_of_another_base_are_refused() {
    let base = Folder::new();
    for (field, value) in [
        ("init_lora_weights", json!("pissa")),
        ("init_lora_weights", json!("pissa_niter_16")),
        ("init_lora_weights", json!("olora")),
        ("init_lora_weights", json!("corda")),
        ("init_lora_weights", json!("loftq")),
        ("init_lora_weights", json!("lora_ga")),
        ("init_lora_weights", json!(3)),
        ("layer_replication", json!([[0, 2], [1, 3]])),
        ("trainable_token_indices", json!([5, 6])),
        ("trainable_token_indices", json!({"embed_tokens": [5]})),
        ("target_parameters", json!(["mlp.experts.gate_up_proj"])),
        ("alora_invocation_tokens", json!([1, 2])),
        ("arrow_config", json!({"top_k": 3})),
        ("megatron_config", json!({"a": 1})),
        ("ensure_weight_tying", json!(true)),
        ("use_qalora", json!(true)),
        ("something_new", json!(0.5)),
        ("target_modules", json!("*")),
        ("target_modules", json!([1])),
    ] {
        let (dir, ..) = adapter(json!({ field: value }));
        assert_names(&refusal(dir.path(), &base), &["adapter_config.json", field]);
    }
    // As peft 0.18 writes it.
    let (dir, ..) = adapter(json!({
        "alora_invocation_tokens": null, "alpha_pattern": {}, "arrow_config": null, "auto_mapping": null, "bias": "none",
        "corda_config": null, "ensure_weight_tying": false, "eva_config": null, "exclude_modules": null, "fan_in_fan_out": false,
        "inference_mode": true, "init_lora_weights": true, "layer_replication": null, "layers_pattern": null, "layers_to_transform": [1],
        "loftq_config": {}, "lora_bias": false, "lora_dropout": 0.05, "megatron_config": null, "megatron_core": "megatron.core",
        "modules_to_save": null, "peft_version": "0.18.0", "qalora_group_size": 16, "rank_pattern": {}, "revision": null,
        "target_modules": ["q_proj"], "target_parameters": null, "task_type": "CAUSAL_LM", "trainable_token_indices": null,
        "use_dora": false, "use_qalora": false, "use_rslora": false
    }));
    load(dir.path(), Some(base.dir.path())).unwrap();
    for init in [json!(false), json!("gaussian"), json!("eva"), json!("orthogonal")] {
        let (dir, ..) = adapter(json!({"init_lora_weights": init}));
        load(dir.path(), Some(base.dir.path())).unwrap();
    }
}

#[test]
fn an_adapter_has_all_that_it_names() {
    let base = Folder::new();
    let (dir, ..) = adapter(json!({}));
    write(&dir.path().join("adapter_model.safetensors"), &[]);
    assert_names(&refusal(dir.path(), &base), &["adapter_model.safetensors", "the pairs of an adapter", "none"]);
    for (config, parts) in [
        (json!({"target_modules": ["q_proj"]}), &["model.layers.0.self_attn.q_proj", "2 of the 3 modules"][..]),
        (json!({"target_modules": ["q_proj", "v_proj"]}), &["model.layers.0.self_attn.q_proj", "5 of the 6 modules", "its own base"]),
        (json!({"target_modules": ["q_proj"], "layers_to_transform": [1, 2]}), &["model.layers.2.self_attn.q_proj", "1 of the 2 modules"]),
        (json!({"target_modules": ".*\\.1\\..*_proj"}), &["model.layers.1.", "6 of the 7 modules"]),
        (json!({"target_modules": "all-linear"}), &["model.layers.0.", "20 of the 21 modules"]),
        (json!({"target_modules": ["model.layers.1.self_attn.q_proj", "model.embed_tokens"]}), &["model.embed_tokens"]),
    ] {
        let (dir, ..) = adapter(config);
        assert_names(&refusal(dir.path(), &base), parts);
    }
    for config in [
        json!({"target_modules": ["q_proj"], "layers_to_transform": 1}),
        json!({"target_modules": ["q_proj"], "exclude_modules": ".*layers\\.[02].*"}),
        json!({"target_modules": ["model.layers.1.self_attn.q_proj"]}),
        json!({"target_modules": ".*1.self_attn.q_proj"}),
    ] {
        let (dir, ..) = adapter(config);
        load(dir.path(), Some(base.dir.path())).unwrap();
    }
    // Pairs of another rank than the configuration has would be scaled wrongly.
    let (dir, ..) = adapter(json!({"r": 4}));
    assert_names(&refusal(dir.path(), &base), &["lora_A", "[4, 32]", "[2, 32]"]);
}

#[test]
fn a_base_that_is_nowhere() {
    let (dir, ..) = adapter(json!({}));
    let error = load(dir.path(), None).err().unwrap().to_string();
    assert_names(&error, &["somewhere/base", "looked in", "models/base", "`make`", "MEMPACK_MODELS"]);
}

#[test]
fn a_base_beside_the_adapter() {
    let base = Folder::new();
    let name = base.dir.path().file_name().unwrap().to_str().unwrap();
    let (dir, ..) = adapter(json!({"base_model_name_or_path": format!("../{name}")}));
    load(dir.path(), None).unwrap();
    let (dir, ..) = adapter(json!({"base_model_name_or_path": base.dir.path()}));
    load(dir.path(), None).unwrap();
}

#[test]
fn the_base_alone_has_the_adapters_memory_block() {
    let tiny = crate::support::fixtures().join("tiny");
    let (dir, ..) = adapter(json!({}));
    let wave: Vec<f32> = (0..384).map(|i| (i as f32 * 0.7).sin() * 0.3).collect();
    let name = |part: &str| format!("base_model.model.{TARGET}.{part}.weight");
    let pair = [Raw::f32(&name("lora_A"), &[2, 192], &wave), Raw::f32(&name("lora_B"), &[192, 2], &wave)];
    write(&dir.path().join("adapter_model.safetensors"), &pair);
    std::fs::write(dir.path().join("memory.json"), json!({"tokens_per_head": 3, "prompt_template": "? {question}"}).to_string()).unwrap();
    mempack_model::set_threads(1);
    let options = LoadOptions { precision: Precision::F32, device: DeviceChoice::Cpu, base: Some(tiny.clone()), ..LoadOptions::default() };
    let (whole, base) = (Model::load(dir.path(), &options).unwrap(), Model::load_base(dir.path(), &options).unwrap().unwrap());
    let plain = Model::load(&tiny, &options).unwrap();
    assert_eq!((base.memory(), base.identity().name.as_str()), (whole.memory(), "tiny"));
    assert_eq!((base.identity().adapter, base.identity().weights), (None, plain.identity().weights));
    assert!(whole.identity().adapter.is_some());
    let scores = |model: &Model| {
        let mut reader = model.reader(&ReaderOptions { capacity: 4, prefix: false }).unwrap();
        reader.prompt(&[5, 6, 7], &[], false).unwrap()
    };
    assert_eq!(scores(&base), scores(&plain));
    assert_ne!(scores(&base), scores(&whole));
    assert!(Model::load_base(&tiny, &options).unwrap().is_none(), "no adapter, no base");
}
