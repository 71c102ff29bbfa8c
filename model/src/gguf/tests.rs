//! Small GGUF files made here, whole and with one thing wrong at a time.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::Value;

use super::reader::parse;
use super::*;

mod families;
mod keys;
mod tied;

/// Parts of a GGUF file, to be put together.
#[derive(Clone)]
struct Builder {
    version: u32,
    keys: Vec<(String, u32, Vec<u8>)>,
    tensors: Vec<(String, Vec<u64>, u32, Vec<u8>)>,
    /// Added to the offset of the last tensor.
    shift: u64,
}

fn string(s: &str) -> Vec<u8> {
    [&(s.len() as u64).to_le_bytes(), s.as_bytes()].concat()
}

fn array(code: u32, elements: &[Vec<u8>]) -> Vec<u8> {
    [&code.to_le_bytes(), &(elements.len() as u64).to_le_bytes()[..], &elements.concat()].concat()
}

fn strings(list: &[&str]) -> Vec<u8> {
    array(8, &list.iter().map(|s| string(s)).collect::<Vec<_>>())
}

const VOCABULARY: [&str; 8] = ["<s>", "</s>", "a", "b", "1", "2", "ab", "Ġ"];

impl Builder {
    /// A model of one layer, hidden 4, two query heads and one key-value head of 4.
    fn llama() -> Self {
        let mut b = Self { version: 3, keys: Vec::new(), tensors: Vec::new(), shift: 0 };
        b.text("general.architecture", "llama").text("general.name", "tiny");
        for (key, n) in [
            ("block_count", 1),
            ("context_length", 32),
            ("embedding_length", 4),
            ("feed_forward_length", 6),
            ("attention.head_count", 2),
            ("attention.head_count_kv", 1),
            ("attention.key_length", 4),
        ] {
            b.number(&format!("llama.{key}"), n);
        }
        b.key("llama.attention.layer_norm_rms_epsilon", 6, 1e-5_f32.to_le_bytes().to_vec());
        b.key("llama.rope.freq_base", 6, 500.0_f32.to_le_bytes().to_vec());
        b.text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.pre", "smollm");
        b.key("tokenizer.ggml.tokens", 9, strings(&VOCABULARY)).key("tokenizer.ggml.merges", 9, strings(&["a b"]));
        b.kinds(&[3, 3, 1, 1, 1, 1, 1, 1]).number("tokenizer.ggml.bos_token_id", 0).number("tokenizer.ggml.eos_token_id", 1);
        for (name, shape) in [
            ("token_embd.weight", &[4, 8][..]),
            ("blk.0.attn_norm.weight", &[4]),
            ("blk.0.ffn_norm.weight", &[4]),
            ("blk.0.attn_q.weight", &[4, 8]),
            ("blk.0.attn_k.weight", &[4, 4]),
            ("blk.0.attn_v.weight", &[4, 4]),
            ("blk.0.attn_output.weight", &[8, 4]),
            ("blk.0.ffn_gate.weight", &[4, 6]),
            ("blk.0.ffn_up.weight", &[4, 6]),
            ("blk.0.ffn_down.weight", &[6, 4]),
            ("output_norm.weight", &[4]),
        ] {
            b.counting(name, shape);
        }
        b
    }

    fn key(&mut self, key: &str, code: u32, value: Vec<u8>) -> &mut Self {
        self.keys.retain(|(name, ..)| name != key);
        self.keys.push((key.into(), code, value));
        self
    }

    fn number(&mut self, key: &str, n: u32) -> &mut Self {
        self.key(key, 4, n.to_le_bytes().to_vec())
    }

    fn version(&mut self, version: u32) -> &mut Self {
        self.version = version;
        self
    }

    fn shift(&mut self, bytes: u64) -> &mut Self {
        self.shift = bytes;
        self
    }

    /// Puts a key or a tensor there a second time.
    fn again(&mut self, name: &str) -> &mut Self {
        let key = self.keys.iter().find(|(key, ..)| key == name).cloned();
        let tensor = self.tensors.iter().find(|(tensor, ..)| tensor == name).cloned();
        self.keys.extend(key);
        self.tensors.extend(tensor);
        self
    }

    fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.key(key, 8, string(value))
    }

    fn kinds(&mut self, kinds: &[i32]) -> &mut Self {
        self.key("tokenizer.ggml.token_type", 9, array(5, &kinds.iter().map(|n| n.to_le_bytes().to_vec()).collect::<Vec<_>>()))
    }

    fn without(&mut self, name: &str) -> &mut Self {
        self.keys.retain(|(key, ..)| key != name);
        self.tensors.retain(|(tensor, ..)| tensor != name);
        self
    }

    fn tensor(&mut self, name: &str, shape: &[u64], code: u32, bytes: Vec<u8>) -> &mut Self {
        self.tensors.retain(|(tensor, ..)| tensor != name);
        self.tensors.push((name.into(), shape.to_vec(), code, bytes));
        self
    }

    /// A tensor in F32 that holds 0, 1, 2...
    fn counting(&mut self, name: &str, shape: &[u64]) -> &mut Self {
        let values = 0..shape.iter().product::<u64>() as u16;
        self.tensor(name, shape, 0, values.flat_map(|n| f32::from(n).to_le_bytes()).collect())
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.keys.len() as u64).to_le_bytes());
        for (key, code, value) in &self.keys {
            out.extend([string(key), code.to_le_bytes().to_vec(), value.clone()].concat());
        }
        let mut data: Vec<u8> = Vec::new();
        for (number, (name, shape, code, bytes)) in self.tensors.iter().enumerate() {
            out.extend(string(name));
            out.extend((shape.len() as u32).to_le_bytes());
            out.extend(shape.iter().flat_map(|n| n.to_le_bytes()));
            out.extend(code.to_le_bytes());
            let last = number + 1 == self.tensors.len();
            out.extend((data.len() as u64).wrapping_add(if last { self.shift } else { 0 }).to_le_bytes());
            data.extend(bytes);
            data.resize(data.len().next_multiple_of(32), 0);
        }
        out.resize(out.len().next_multiple_of(32), 0);
        [out, data].concat()
    }

    fn import(&self) -> Result<(tempfile::TempDir, PathBuf), ImportError> {
        import_bytes(&self.bytes())
    }

    fn message(&self) -> String {
        self.import().map(|_| ()).unwrap_err().to_string()
    }
}

fn import_bytes(bytes: &[u8]) -> Result<(tempfile::TempDir, PathBuf), ImportError> {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("model.gguf"), folder.path().join("model"));
    std::fs::write(&file, bytes).unwrap();
    let result = import_gguf(&file, &out, None, &mut |_, _| {});
    // Nothing is left of an import that failed.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), if result.is_ok() { 2 } else { 1 });
    result.map(|_| (folder, out))
}

fn json(path: PathBuf) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The values of a bf16 tensor.
fn values(out: &Path, name: &str) -> Vec<f32> {
    let bytes = std::fs::read(out.join("model.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    file.tensor(name).unwrap().data().as_chunks::<2>().0.iter().map(|b| half::bf16::from_le_bytes(*b).to_f32()).collect()
}

#[test]
fn a_small_model_is_imported_whole() {
    let (_folder, out) = Builder::llama().import().unwrap();
    let config = json(out.join("config.json"));
    for (field, value) in
        [("hidden_size", 4), ("head_dim", 4), ("num_key_value_heads", 1), ("vocab_size", 8), ("bos_token_id", 0), ("eos_token_id", 1)]
    {
        assert_eq!(config[field], value, "{field}");
    }
    assert_eq!(config["rms_norm_eps"], 1e-5);
    assert_eq!(config["rope_theta"], 500.0);
    assert_eq!(config["tie_word_embeddings"], true);
    assert_eq!(values(&out, "model.embed_tokens.weight"), (0..32).map(|n| n as f32).collect::<Vec<_>>());
    // Two heads of four rows: rows 0, 2 are the first half, rows 1, 3 the second.
    let rows: Vec<f32> = values(&out, "model.layers.0.self_attn.q_proj.weight").chunks(4).map(|row| row[0] / 4.0).collect();
    assert_eq!(rows, [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
    let rows: Vec<f32> = values(&out, "model.layers.0.self_attn.v_proj.weight").chunks(4).map(|row| row[0] / 4.0).collect();
    assert_eq!(rows, [0.0, 1.0, 2.0, 3.0]);
}

#[test]
fn the_tokenizer_is_that_of_the_file() {
    let ids = |b: &Builder, text: &str, specials: bool| {
        let (_folder, out) = b.import().unwrap();
        tokenizers::Tokenizer::from_file(out.join("tokenizer.json")).unwrap().encode(text, specials).unwrap().get_ids().to_vec()
    };
    let mut b = Builder::llama();
    assert_eq!(ids(&b, "ab<s> 12", false), [6, 0, 7, 4, 5]);
    assert_eq!(ids(&b, "ab", true), [6]);
    b.key("tokenizer.ggml.add_bos_token", 7, vec![1]);
    assert_eq!(ids(&b, "ab", true), [0, 6]);
    // Digits are split off before spaces are: with GPT-2's rule alone, `Ġ1` would be one word and could merge.
    let words = [&VOCABULARY[..], &["Ġ1", "12"]].concat();
    b.key("tokenizer.ggml.tokens", 9, strings(&words)).key("tokenizer.ggml.merges", 9, strings(&["a b", "Ġ 1", "1 2"]));
    b.kinds(&[3, 3, 1, 1, 1, 1, 1, 1, 1, 4]).counting("token_embd.weight", &[4, 10]);
    b.without("tokenizer.ggml.add_bos_token");
    assert_eq!(ids(&b, "a 1", false), [2, 7, 4]);
    assert_eq!(ids(&b, "a12", false), [2, 9], "a token of the user is found whole");
    assert_eq!(ids(b.text("tokenizer.ggml.pre", "gpt-2"), "a 1", false), [2, 8]);
    assert_eq!(ids(b.text("tokenizer.ggml.pre", "qwen2"), "a 1", false), [2, 7, 4]);
    assert_eq!(ids(b.text("tokenizer.ggml.pre", "llama-bpe"), "a 1", false), [2, 7, 4]);
}

#[test]
fn qwen2_has_biases_and_rows_in_order() {
    let mut b = Builder::llama();
    for (key, ..) in &mut b.keys {
        *key = key.replace("llama.", "qwen2.");
    }
    b.text("general.architecture", "qwen2").counting("output.weight", &[4, 8]);
    for (name, rows) in [("q", 8), ("k", 4), ("v", 4)] {
        b.counting(&format!("blk.0.attn_{name}.bias"), &[rows]);
    }
    let (_folder, out) = b.import().unwrap();
    assert_eq!(values(&out, "model.layers.0.self_attn.q_proj.bias"), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
    assert_eq!(values(&out, "model.layers.0.self_attn.q_proj.weight"), (0..32).map(|n| n as f32).collect::<Vec<_>>());
    assert_eq!(values(&out, "lm_head.weight").len(), 32);
    let config = json(out.join("config.json"));
    assert_eq!((&config["model_type"], &config["tie_word_embeddings"]), (&"qwen2".into(), &false.into()));
    assert!(b.without("blk.0.attn_k.bias").message().contains("attn_k.bias"));
}

#[test]
fn llama_biases_are_put_back_in_order() {
    let mut b = Builder::llama();
    for (name, rows) in [("attn_q", 8), ("attn_k", 4), ("attn_v", 4), ("attn_output", 4)] {
        b.counting(&format!("blk.0.{name}.bias"), &[rows]);
    }
    let (_folder, out) = b.import().unwrap();
    assert_eq!(values(&out, "model.layers.0.self_attn.q_proj.bias"), [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
    assert_eq!(values(&out, "model.layers.0.self_attn.o_proj.bias"), [0.0, 1.0, 2.0, 3.0]);
    assert_eq!(json(out.join("config.json"))["attention_bias"], true);
}

#[test]
fn llama3_scaling_is_found_again() {
    // Heads of 128 at base 500000, as Llama 3.1 has them: frequencies on all three sides of the two limits.
    let mut b = Builder::llama();
    b.number("llama.attention.key_length", 128).key("llama.rope.freq_base", 6, 500_000.0_f32.to_le_bytes().to_vec());
    b.counting("blk.0.attn_q.weight", &[4, 256]).counting("blk.0.attn_output.weight", &[256, 4]);
    b.counting("blk.0.attn_k.weight", &[4, 128]).counting("blk.0.attn_v.weight", &[4, 128]);
    let factor = |i: u16| {
        let turns = 8192.0 / (std::f32::consts::TAU * 500_000_f32.powf(f32::from(i) / 64.0));
        if turns > 4.0 {
            1.0
        } else if turns < 1.0 {
            8.0
        } else {
            1.0 / ((4.0 - turns) / 3.0 / 8.0 + (turns - 1.0) / 3.0)
        }
    };
    let factors: Vec<f32> = (0..64).map(factor).collect();
    assert!(factors.iter().any(|f| *f > 1.5 && *f < 7.0));
    b.tensor("rope_freqs.weight", &[64], 0, factors.iter().flat_map(|f| f.to_le_bytes()).collect());
    let (_folder, out) = b.import().unwrap();
    let scaling = &json(out.join("config.json"))["rope_scaling"];
    assert_eq!((&scaling["rope_type"], scaling["factor"].as_f64()), (&"llama3".into(), Some(8.0)));
    b.tensor("rope_freqs.weight", &[64], 0, (0..64).flat_map(|_| 2.0_f32.to_le_bytes()).collect());
    assert!(b.message().contains("rope_freqs.weight"));
}

#[test]
fn the_target_is_never_written_over() {
    let (folder, out) = Builder::llama().import().unwrap();
    let before = std::fs::read(out.join("model.safetensors")).unwrap();
    let error = import_gguf(&folder.path().join("model.gguf"), &out, None, &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, ImportError::TargetExists { .. }), "{error}");
    assert_eq!(std::fs::read(out.join("model.safetensors")).unwrap(), before);
    let missing = import_gguf(&folder.path().join("no.gguf"), &folder.path().join("x"), None, &mut |_, _| {}).unwrap_err();
    assert!(matches!(missing, ImportError::Read { .. }), "{missing}");
}

#[test]
fn progress_comes_to_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.gguf");
    std::fs::write(&file, Builder::llama().bytes()).unwrap();
    let mut heard = Vec::new();
    let summary = import_gguf(&file, &folder.path().join("out"), None, &mut |done, all| heard.push((done, all))).unwrap();
    assert_eq!(heard.first(), Some(&(0, summary.parameters)));
    assert_eq!(heard.last(), Some(&(summary.parameters, summary.parameters)));
    assert_eq!(summary.bytes, folder.path().join("out/model.safetensors").metadata().unwrap().len());
    assert_eq!((summary.tensors, summary.name.as_deref()), (11, Some("tiny")));
}

#[test]
fn a_tokenizer_can_be_given() {
    let (folder, out) = Builder::llama().import().unwrap();
    let given = folder.path().join("given.json");
    std::fs::copy(out.join("tokenizer.json"), &given).unwrap();
    let mut b = Builder::llama();
    b.text("tokenizer.ggml.model", "llama").without("tokenizer.ggml.merges");
    assert!(matches!(b.import().map(|_| ()), Err(ImportError::Vocabulary { .. })));
    assert!(b.message().contains("the model's own tokenizer.json is needed"), "{}", b.message());
    let file = folder.path().join("sentencepiece.gguf");
    let import = |b: &Builder, name: &str| {
        std::fs::write(&file, b.bytes()).unwrap();
        import_gguf(&file, &folder.path().join(name), Some(&given), &mut |_, _| {})
    };
    import(&b, "given").unwrap();
    assert_eq!(std::fs::read(folder.path().join("given/tokenizer.json")).unwrap(), std::fs::read(&given).unwrap());
    let mut other = VOCABULARY;
    other[3] = "c";
    b.key("tokenizer.ggml.tokens", 9, strings(&other));
    let error = import(&b, "other").unwrap_err().to_string();
    assert!(error.contains("`c` as token 3, found `b`"), "{error}");
    std::fs::write(&given, "{}").unwrap();
    assert!(matches!(import(&b, "empty").unwrap_err(), ImportError::Tokenizer { .. }));
}

type Change = fn(&mut Builder) -> &mut Builder;

/// Each of these makes one thing wrong; the message must name it.
#[test]
fn every_malformed_field_is_named() {
    let with = |change: Change| {
        let mut b = Builder::llama();
        change(&mut b).message()
    };
    let cases: &[(Change, &[&str])] = &[
        (|b| b.version(1), &["version", "at byte 4", "llama.cpp"]),
        (|b| b.version(4), &["version", "found 4"]),
        (|b| b.version(3_u32.swap_bytes()), &["big-endian"]),
        (|b| b.without("general.architecture"), &["general.architecture", "found nothing"]),
        (|b| b.text("general.architecture", "mamba"), &["general.architecture", "`mamba`"]),
        (|b| b.number("general.architecture", 7), &["general.architecture", "found 7"]),
        (
            |b| b.key("general.architecture", 8, [&4_u64.to_le_bytes()[..], b"\xff\xfe\xfd\xfc"].concat()),
            &["general.architecture", "UTF-8"],
        ),
        (|b| b.number("general.name", 7), &["general.name", "found 7"]),
        (|b| b.number("general.alignment", 24), &["general.alignment", "found 24"]),
        (|b| b.number("general.alignment", 1 << 20), &["general.alignment"]),
        (|b| b.without("llama.block_count"), &["llama.block_count", "nothing"]),
        (|b| b.number("llama.block_count", 0), &["llama.block_count", "found 0"]),
        (|b| b.number("llama.block_count", 2), &["blk.1.attn_norm.weight", "nothing"]),
        (|b| b.number("llama.block_count", u32::MAX), &["llama.block_count"]),
        (|b| b.number("llama.embedding_length", 8), &["token_embd.weight", "[8, 4]"]),
        (|b| b.number("llama.attention.head_count", 0), &["head_count", "found 0"]),
        (|b| b.number("llama.attention.head_count_kv", 3), &["head_count_kv", "found 3"]),
        (|b| b.number("llama.attention.key_length", 3), &["key_length", "even"]),
        (|b| b.number("llama.rope.dimension_count", 2), &["rope.dimension_count", "found 2"]),
        (|b| b.number("llama.expert_count", 8), &["expert_count", "dense"]),
        (|b| b.number("llama.attention.sliding_window", 8), &["sliding_window"]),
        (|b| b.text("llama.rope.scaling.type", "yarn"), &["rope.scaling.type", "`yarn`"]),
        (|b| b.key("llama.rope.freq_base", 6, f32::NAN.to_le_bytes().to_vec()), &["freq_base", "finite", "NaN"]),
        (|b| b.key("llama.rope.freq_base", 6, (-1.0_f32).to_le_bytes().to_vec()), &["freq_base", "-1"]),
        (|b| b.without("llama.attention.layer_norm_rms_epsilon"), &["layer_norm_rms_epsilon"]),
        (|b| b.key("x", 13, vec![0; 8]), &["key `x`", "type 13"]),
        (|b| b.key("x", 7, vec![2]), &["key `x`", "boolean"]),
        (|b| b.key("x", 9, array(9, &[])), &["key `x`", "array of type 9"]),
        (|b| b.key("x", 8, u64::MAX.to_le_bytes().to_vec()), &["key `x`", "18446744073709551615"]),
        (|b| b.key("x", 9, [&8_u32.to_le_bytes()[..], &(1_u64 << 60).to_le_bytes()].concat()), &["key `x`", "1152921504606846976"]),
        (|b| b.again("general.name"), &["general.name", "second time"]),
        (|b| b.text("tokenizer.ggml.model", "bert"), &["tokenizer.ggml.model", "`bert`"]),
        (|b| b.text("tokenizer.ggml.pre", "tekken"), &["tokenizer.ggml.pre", "`tekken`"]),
        (|b| b.text("tokenizer.ggml.pre", "default"), &["tokenizer.ggml.pre", "`default`, which names no rule"]),
        (|b| b.without("tokenizer.ggml.pre"), &["tokenizer.ggml.pre", "nothing"]),
        (|b| b.without("tokenizer.ggml.tokens"), &["tokenizer.ggml.tokens"]),
        (|b| b.key("tokenizer.ggml.tokens", 9, strings(&["a"; 9])), &["tokenizer.ggml.tokens", "found 9"]),
        (|b| b.key("tokenizer.ggml.tokens", 9, strings(&["a"; 8])), &["tokenizer.ggml.tokens", "as 0 and as 1"]),
        (|b| b.without("tokenizer.ggml.merges"), &["tokenizer.ggml.merges"]),
        (|b| b.key("tokenizer.ggml.merges", 9, strings(&["ab"])), &["merges", "no space"]),
        (|b| b.key("tokenizer.ggml.merges", 9, strings(&["a c"])), &["merges", "no token"]),
        (|b| b.key("tokenizer.ggml.merges", 9, strings(&["ab ab"])), &["merges", "makes no token"]),
        (|b| b.kinds(&[1, 1]), &["token_type", "found 2"]),
        (|b| b.number("tokenizer.ggml.bos_token_id", 8), &["bos_token_id", "below 8"]),
        (|b| b.without("blk.0.ffn_up.weight"), &["blk.0.ffn_up.weight", "nothing"]),
        (|b| b.counting("blk.0.ffn_up.weight", &[6, 4]), &["blk.0.ffn_up.weight", "[6, 4]", "[4, 6]"]),
        (|b| b.counting("blk.0.attn_q_norm.weight", &[4]), &["attn_q_norm"]),
        (|b| b.tensor("x", &[32], 20, vec![0; 18]), &["tensor `x`", "IQ4_NL"]),
        (|b| b.tensor("x", &[33], 8, vec![0; 68]), &["tensor `x`", "multiple of 32"]),
        (|b| b.tensor("x", &[0], 0, vec![]), &["tensor `x`", "above 0"]),
        (|b| b.tensor("x", &[1; 5], 0, vec![0; 4]), &["tensor `x`", "found 5"]),
        (|b| b.tensor("x", &[], 0, vec![]), &["tensor `x`", "found 0"]),
        (|b| b.tensor("x", &[1 << 62, 1 << 62], 0, vec![]), &["tensor `x`", "2^63"]),
        (|b| b.tensor("x", &[1 << 40], 0, vec![]), &["tensor `x`", "data within"]),
        (|b| b.tensor(&"x".repeat(300), &[1], 0, vec![0; 4]), &["name of tensor 11", "300"]),
        (|b| b.again("token_embd.weight"), &["token_embd.weight", "second time"]),
        (|b| b.shift(1), &["output_norm.weight", "multiple of 32"]),
        (|b| b.shift(1 << 20), &["output_norm.weight", "data within"]),
        (|b| b.shift(32_u64.wrapping_neg()), &["output_norm.weight", "inside that of `blk.0.ffn_down.weight`"]),
        (|b| b.tensor("output_norm.weight", &[4], 2, vec![0; 18]), &["output_norm.weight", "multiple of 32"]),
    ];
    for (number, (change, words)) in cases.iter().enumerate() {
        let message = with(*change);
        for word in words.iter().chain(&["model.gguf"]) {
            assert!(message.contains(word), "case {number}: {message:?} does not say {word:?}");
        }
    }
}

#[test]
fn every_cut_is_refused() {
    let whole = Builder::llama().bytes();
    // The last tensor takes 16 of its 32 aligned bytes.
    for end in 0..whole.len() - 16 {
        assert!(parse(Path::new("cut.gguf"), &whole[..end]).is_err(), "{end}");
    }
    assert!(parse(Path::new("cut.gguf"), &whole[..whole.len() - 16]).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn random_bytes_never_panic(tail in prop::collection::vec(any::<u8>(), 0..300), version in 0_u32..5) {
        let _ = parse(Path::new("x"), &tail);
        let _ = parse(Path::new("x"), &[b"GGUF", &version.to_le_bytes()[..], &[1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0], &tail].concat());
    }

    #[test]
    fn altered_files_never_panic(windows: bool, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5)) {
        let mut bytes = if windows { families::gemma3().bytes() } else { Builder::llama().bytes() };
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = import_bytes(&bytes);
    }
}
