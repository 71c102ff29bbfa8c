//! config.json and its `memory` block.

use serde_json::{Value, json};

use crate::support::{Folder, assert_names, load};

#[test]
fn a_folder_that_is_not_there() {
    let error = load(std::path::Path::new("no/such/folder"), None).err().unwrap().to_string();
    assert_names(&error, &["no/such/folder", "no such folder", "config.json"]);
}

#[test]
fn a_folder_without_config() {
    let folder = Folder::new();
    std::fs::remove_file(folder.file("config.json")).unwrap();
    assert_names(&folder.refusal(), &["config.json", "no such file", "model.safetensors"]);
}

#[test]
fn a_config_that_is_not_json() {
    let folder = Folder::new();
    for (text, part) in [("{\"model_type\": \"lla", "line 1"), ("[1, 2]", "a JSON object"), ("", "not valid JSON")] {
        std::fs::write(folder.file("config.json"), text).unwrap();
        assert_names(&folder.refusal(), &["config.json", part]);
    }
}

#[test]
fn fields_of_config() {
    for (field, value, parts) in [
        ("model_type", json!("gpt2"), vec!["`gpt2`", "llama"]),
        ("model_type", Value::Null, vec!["nothing"]),
        ("hidden_size", json!("32"), vec!["whole number", "\"32\""]),
        ("hidden_size", json!(-1), vec!["-1"]),
        ("hidden_size", json!(0), vec!["a count from 1"]),
        ("num_hidden_layers", json!(4_000_000_000u64), vec!["a count from 1"]),
        ("num_hidden_layers", Value::Null, vec!["nothing"]),
        ("num_key_value_heads", json!(3), vec!["a divisor of 4"]),
        ("head_dim", json!(7), vec!["an even number"]),
        ("hidden_act", json!("gelu"), vec!["`silu`", "`gelu`"]),
        ("vocab_size", json!(1 << 30), vec!["a count from 1"]),
        ("bos_token_id", Value::Null, vec!["nothing"]),
        ("bos_token_id", json!(97), vec!["below 97"]),
        ("eos_token_id", json!([2, 1000]), vec!["below 97", "1000"]),
        ("rms_norm_eps", json!("small"), vec!["finite number"]),
        ("rope_theta", json!(0), vec!["above 1"]),
        ("tie_word_embeddings", json!(1), vec!["true or false"]),
    ] {
        let folder = Folder::new();
        folder.edit("config.json", |c| drop(c.insert(field.into(), value)));
        assert_names(&folder.refusal(), &[&parts[..], &["config.json", field]].concat());
    }
}

#[test]
fn rotary_embeddings_that_are_not_computed() {
    for (field, block, part) in [
        ("rope_parameters", json!({"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0}), "`yarn`"),
        ("rope_scaling", json!({"type": "linear", "factor": 2.0}), "`linear`"),
        ("rope_scaling", json!({"rope_type": "dynamic", "factor": 2.0}), "`dynamic`"),
        ("rope_parameters", json!({"rope_type": "default", "partial_rotary_factor": 0.5}), "partial_rotary_factor"),
        ("rope_parameters", json!({"rope_type": "llama3", "factor": 8.0}), "low_freq_factor"),
        ("rope_parameters", json!("default"), "a JSON object"),
    ] {
        let folder = Folder::new();
        folder.edit("config.json", |c| drop(c.insert(field.into(), block)));
        assert_names(&folder.refusal(), &["config.json", field, part]);
    }
}

#[test]
fn rotary_bases_in_either_place_are_the_same() {
    let folder = Folder::new();
    let base = |folder: &Folder| folder.load().unwrap().config().rope_base;
    folder.edit("config.json", |c| drop((c.remove("rope_theta"), c.insert("rope_parameters".into(), json!({"rope_theta": 5e5})))));
    assert_eq!(base(&folder), 5e5);
    folder.edit("config.json", |c| drop((c.remove("rope_parameters"), c.insert("rope_theta".into(), json!(5e5)))));
    assert_eq!(base(&folder), 5e5);
    folder.edit("config.json", |c| drop(c.remove("rope_theta")));
    assert_eq!(base(&folder), 1e4);
}

#[test]
fn llama3_scaling_is_read() {
    let folder = Folder::new();
    let block = json!({"rope_type": "llama3", "rope_theta": 5e5, "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192});
    folder.edit("config.json", |c| drop((c.remove("rope_theta"), c.insert("rope_parameters".into(), block))));
    let config = folder.load().unwrap().config().clone();
    assert_eq!((config.rope_base, config.rope_scaling.unwrap().factor), (5e5, 32.0));
}

#[test]
fn a_window_that_would_cut_contexts() {
    let folder = Folder::new();
    folder.edit("config.json", |c| drop((c.insert("model_type".into(), json!("mistral")), c.insert("sliding_window".into(), json!(512)))));
    assert_names(&folder.refusal(), &["sliding_window", "512"]);
    folder.edit("config.json", |c| drop(c.insert("sliding_window".into(), json!(2048))));
    folder.load().unwrap();
    folder.edit("config.json", |c| drop(c.insert("sliding_window".into(), Value::Null)));
    folder.load().unwrap();
}

#[test]
fn fields_of_the_memory_block() {
    for (field, value, part) in [
        ("first_memory_layer", json!(3), "0 to 2"),
        ("num_memory_layers", json!(0), "1 to 2"),
        ("num_memory_layers", json!(3), "1 to 2"),
        ("tokens_per_head", json!(33), "1 to 32"),
        ("tokens_per_head", json!(0), "1 to 32"),
        ("reference_length", json!(256), "1 to 255"),
        ("memories_per_chunk", json!(0), "1 to 4096"),
        ("retrieval_interval", json!(0), "1 to 4096"),
        ("reference_prefix_ids", json!([]), "1 to 1024"),
        ("reference_prefix_ids", json!([1, 97]), "below 97"),
        ("reference_prefix_ids", json!("<s>"), "list"),
        ("stop_ids", json!([500]), "below 97"),
        ("stop", json!("."), "list of strings"),
        ("reference_template", json!("text"), "{text}"),
        ("prompt_template", json!("{question}{question}"), "{question}"),
        ("context_template", json!("{question}"), "{text}"),
        ("system_template", json!("system"), "{system}"),
        ("system_template", json!(3), "a string"),
        ("similarity_bias", json!(-1), "from 0"),
    ] {
        let folder = Folder::new();
        folder.edit("config.json", |c| drop(c["memory"].as_object_mut().unwrap().insert(field.into(), value)));
        assert_names(&folder.refusal(), &["config.json", "memory.", field, part]);
    }
}

#[test]
fn without_a_memory_block_the_paper_holds() {
    let folder = Folder::new();
    folder.edit("config.json", |c| drop(c.remove("memory")));
    let decoder = folder.load().unwrap();
    let memory = decoder.memory();
    assert_eq!((memory.first_memory_layer, memory.num_memory_layers, memory.tokens_per_head.most()), (0, 1, 8));
    assert_eq!((memory.reference_length, memory.memories_per_chunk, memory.retrieval_interval), (128, 5, 64));
    assert_eq!((memory.reference_prefix_ids.as_slice(), memory.stop_ids.as_slice()), (&[1][..], &[2][..]));
    folder.edit("config.json", |c| drop(c.insert("memory".into(), json!(7))));
    assert_names(&folder.refusal(), &["memory", "a JSON object"]);
}
