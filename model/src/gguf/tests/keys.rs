//! Keys that change what is computed are understood or refused; others are not in the way.

use super::*;

#[derive(Clone, Copy)]
enum V {
    Number(u32),
    Float(f32),
    Bool(bool),
    Text(&'static str),
}
use V::*;

fn with(key: &str, value: V) -> Builder {
    let mut b = Builder::llama();
    match value {
        Number(n) => b.number(key, n),
        Float(x) => b.key(key, 6, x.to_le_bytes().to_vec()),
        Bool(x) => b.key(key, 7, vec![x.into()]),
        Text(s) => b.text(key, s),
    };
    b
}

#[test]
fn keys_that_change_what_is_computed_are_refused() {
    for (key, value) in [
        ("llama.rope.scale_linear", Float(4.0)),
        ("llama.rope.scaling.factor", Float(4.0)),
        ("llama.rope.scaling.type", Text("linear")),
        ("llama.rope.scaling.type", Text("yarn")),
        ("llama.rope.scaling.attn_factor", Float(1.1)),
        ("llama.rope.scaling.yarn_ext_factor", Float(1.0)),
        ("llama.rope.scaling.yarn_log_multiplier", Float(0.1)),
        ("llama.rope.dimension_sections", Number(3)),
        ("llama.rope.dimension_count", Number(2)),
        ("llama.rope.something_new", Float(0.5)),
        ("llama.attention.sliding_window", Number(16)),
        ("llama.attention.sliding_window_pattern", Number(6)),
        ("llama.attention.clamp_kqv", Float(8.0)),
        ("llama.attention.max_alibi_bias", Float(8.0)),
        ("llama.attention.scale", Float(0.015)),
        ("llama.attention.temperature_scale", Float(0.1)),
        ("llama.attention.temperature_length", Number(8192)),
        ("llama.attention.causal", Bool(false)),
        ("llama.attn_logit_softcapping", Float(50.0)),
        ("llama.final_logit_softcapping", Float(30.0)),
        ("llama.logit_scale", Float(8.0)),
        ("llama.embedding_scale", Float(12.0)),
        ("llama.residual_scale", Float(0.22)),
        ("llama.use_parallel_residual", Bool(true)),
        ("llama.expert_count", Number(8)),
        ("llama.nextn_predict_layers", Number(1)),
        ("llama.tensor_data_layout", Text("reference")),
        ("general.type", Text("adapter")),
        ("split.count", Number(2)),
        ("tokenizer.ggml.pre", Text("default")),
        ("tokenizer.ggml.add_space_prefix", Bool(true)),
        ("tokenizer.ggml.remove_extra_whitespaces", Bool(true)),
        ("tokenizer.ggml.something_new", Number(2)),
    ] {
        let message = with(key, value).message();
        assert!(message.contains(key) && message.contains("model.gguf"), "`{message}` does not name `{key}`");
    }
}

#[test]
fn keys_that_change_nothing_are_passed_over() {
    for (key, value) in [
        ("general.file_type", Number(7)),
        ("general.quantization_version", Number(2)),
        ("general.license", Text("apache-2.0")),
        ("general.type", Text("model")),
        ("quantize.imatrix.entries_count", Number(224)),
        ("someone.note", Text("converted on a Tuesday")),
        ("split.count", Number(1)),
        ("llama.vocab_size", Number(8)),
        ("llama.rope.scale_linear", Float(1.0)),
        ("llama.rope.scaling.factor", Float(1.0)),
        ("llama.rope.scaling.factor", Float(0.0)),
        ("llama.rope.scaling.type", Text("none")),
        ("llama.rope.scaling.original_context_length", Number(8192)),
        ("llama.rope.scaling.finetuned", Bool(true)),
        ("llama.expert_count", Number(0)),
        ("llama.expert_used_count", Number(0)),
        ("llama.attention.scale", Float(0.5)),
        ("llama.attention.causal", Bool(true)),
        ("llama.logit_scale", Float(1.0)),
        ("llama.tensor_data_layout", Text("Meta AI original pth")),
        ("llama.something_new", Bool(false)),
        ("tokenizer.chat_template", Text("{{ messages }}")),
        ("tokenizer.chat_template.tool_use", Text("{{ tools }}")),
        ("tokenizer.ggml.add_eos_token", Bool(false)),
        ("tokenizer.ggml.add_space_prefix", Bool(false)),
        ("tokenizer.ggml.unknown_token_id", Number(0)),
        ("tokenizer.ggml.padding_token_id", Number(1)),
        ("tokenizer.ggml.fim_pre_token_id", Number(3)),
    ] {
        if let Err(error) = with(key, value).import() {
            panic!("{key}: {error}");
        }
    }
}

/// A tokenizer.json stands for all that a file says about its tokenizer.
#[test]
fn a_given_tokenizer_replaces_what_is_not_understood() {
    let (folder, out) = Builder::llama().import().unwrap();
    let given = out.join("tokenizer.json");
    for (number, key) in ["tokenizer.ggml.pre", "tokenizer.ggml.something_new"].into_iter().enumerate() {
        let file = folder.path().join("other.gguf");
        std::fs::write(&file, with(key, Text("default")).bytes()).unwrap();
        import_gguf(&file, &folder.path().join(number.to_string()), Some(&given), &mut |_, _| {}).unwrap();
    }
}

/// Tokens that begin or end a text are control tokens, whatever type the file gives them.
#[test]
fn tokens_with_a_role_are_special() {
    for kinds in [&[1; 8][..], &[4, 4, 1, 1, 1, 1, 1, 1], &[3, 3, 1, 1, 1, 1, 1, 4]] {
        let (_folder, out) = Builder::llama().kinds(kinds).import().unwrap();
        let tokens = json(out.join("tokenizer.json"));
        let special: Vec<u64> =
            tokens["added_tokens"].as_array().unwrap().iter().filter(|t| t["special"] == true).map(|t| t["id"].as_u64().unwrap()).collect();
        assert_eq!(special, [0, 1], "{kinds:?}");
    }
    let (_folder, out) = Builder::llama().without("tokenizer.ggml.token_type").import().unwrap();
    assert_eq!(json(out.join("tokenizer.json"))["added_tokens"].as_array().unwrap().len(), 2);
}

#[test]
fn ends_of_turns_and_messages_end_a_text() {
    let (_folder, out) =
        Builder::llama().number("tokenizer.ggml.eot_token_id", 2).number("tokenizer.ggml.eom_token_id", 3).import().unwrap();
    assert_eq!(json(out.join("config.json"))["eos_token_id"], serde_json::json!([1, 2, 3]));
}

#[test]
fn other_files_are_recognised() {
    for (bytes, words) in [
        (&b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"[..], &["git-LFS pointer", "git lfs pull"][..]),
        (b"<!DOCTYPE html><html>", &["a web page"]),
        (b"PK\x03\x04....", &["a zip archive"]),
        (b"\x89MPK\r\n\x1a\n", &["a memory pack"]),
        (b"\x10\0\0\0\0\0\0\0{\"a\": 1", &["a safetensors file", "without an import"]),
    ] {
        let error = import_bytes(bytes).map(|_| ()).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let error = import_gguf(folder.path(), &folder.path().join("out"), None, &mut |_, _| {}).unwrap_err().to_string();
    assert!(error.contains("found a folder") && error.contains("needs no import"), "{error}");
}
