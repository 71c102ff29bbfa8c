//! Embedders against the values of the transformers library (`tests/fixtures`, `make_embedder_fixture.py`).

use std::path::{Path, PathBuf};

use mempack_model::{ComputeError, DeviceChoice, EmbedAs, Embedder, LoadOptions, Pooling, Precision, TextEncoder};
use serde_json::{Value, json};

/// How far an embedding may lie from the fixture's, in any dimension.
const TOLERANCE: f32 = 1e-4;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn minilm() -> PathBuf {
    let folder = std::env::var_os("MEMPACK_EMBEDDER").map_or_else(|| root().join("models/all-MiniLM-L6-v2"), PathBuf::from);
    assert!(folder.join("model.safetensors").is_file(), "{}: the embedder is not in place; `make` puts it there", folder.display());
    folder
}

fn options(precision: Precision) -> LoadOptions {
    LoadOptions { precision, device: DeviceChoice::Cpu, ..LoadOptions::default() }
}

fn load(precision: Precision) -> Embedder {
    // Several threads an operation, in several tests at once, wait for one another.
    mempack_model::set_threads(1);
    Embedder::load(&minilm(), &options(precision)).unwrap()
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn rows(value: &Value) -> Vec<Vec<f32>> {
    serde_json::from_value(value.clone()).unwrap()
}

fn texts() -> (Vec<String>, Vec<Vec<f32>>) {
    let golden = read(&root().join("tests/fixtures/minilm/expected.json"));
    (serde_json::from_value(golden["texts"].clone()).unwrap(), rows(&golden["embeddings"]))
}

fn farthest(found: &[f32], expected: &[Vec<f32>]) -> f32 {
    assert_eq!(found.len(), expected.iter().map(Vec::len).sum::<usize>());
    found.iter().zip(expected.iter().flatten()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn embed(embedder: &Embedder, texts: &[String]) -> Vec<f32> {
    embedder.embed(EmbedAs::Query, &texts.iter().map(String::as_str).collect::<Vec<_>>()).unwrap()
}

#[test]
fn minilm_gives_the_values_of_transformers() {
    let (texts, expected) = texts();
    let embedder = load(Precision::F32);
    let found = embed(&embedder, &texts);
    let distance = farthest(&found, &expected);
    println!("MiniLM f32: farthest {distance:.1e} over {} texts", texts.len());
    assert!(distance < TOLERANCE, "{distance}");
    assert_eq!(embedder.dim(), 384);
    for row in found.chunks_exact(384) {
        let length: f32 = row.iter().map(|x| x * x).sum();
        assert!((length - 1.0).abs() < 1e-5, "{length}");
    }
    let half = embed(&load(Precision::Bf16), &texts);
    let cosine = |row: usize| half[row * 384..][..384].iter().zip(&expected[row]).map(|(a, b)| a * b).sum::<f32>();
    let worst = (0..texts.len()).map(cosine).fold(1.0, f32::min);
    println!("MiniLM bf16: farthest {:.1e}, least cosine {worst:.5}", farthest(&half, &expected));
    assert!(worst > 0.99, "{worst}");
}

#[test]
fn a_batch_gives_what_one_by_one_gives() {
    let (mut texts, _) = texts();
    // More tokens than are computed together, and in no order of length.
    for n in 0..80 {
        texts.push(format!("Text number {n}. {}", "It has some words. ".repeat(n * 7 % 23)));
    }
    let embedder = load(Precision::F32);
    let batch = embed(&embedder, &texts);
    let alone: Vec<Vec<f32>> = texts.iter().map(|text| embedder.embed(EmbedAs::Query, &[text]).unwrap()).collect();
    let distance = farthest(&batch, &alone);
    println!("batch against one by one: farthest {distance:.1e} over {} texts", texts.len());
    assert!(distance < 1e-5, "{distance}");
    assert!(embedder.embed(EmbedAs::Query, &[]).unwrap().is_empty());
}

#[test]
fn shared_among_threads_the_bits_are_the_same() {
    let (texts, _) = texts();
    let embedder = load(Precision::F32);
    mempack_model::set_threads(1);
    let here = embed(&embedder, &texts);
    let there: Vec<Vec<f32>> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..3)
            .map(|_| {
                let (shared, texts) = (embedder.share(), &texts);
                scope.spawn(move || {
                    mempack_model::set_threads(1);
                    embed(&shared, texts)
                })
            })
            .collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).collect()
    });
    for found in there {
        assert!(found.iter().zip(&here).all(|(a, b)| a.to_bits() == b.to_bits()));
    }
}

#[test]
fn xlm_roberta_gives_the_values_of_transformers() {
    let fixture = root().join("tests/fixtures/xlmr_cls");
    // The fixture's folder says nothing of its pooling.
    let folder = copy(&fixture.join("model"), &["config.json", "model.safetensors"]);
    pooling(folder.path(), json!({ "word_embedding_dimension": 32, "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false }));
    let golden = read(&fixture.join("expected.json"));
    let ids: Vec<Vec<u32>> = serde_json::from_value(golden["ids"].clone()).unwrap();
    let ids: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
    let expected = rows(&golden["embeddings"]);
    for precision in [Precision::F32, Precision::Bf16] {
        let encoder = TextEncoder::load(folder.path(), &options(precision)).unwrap();
        assert_eq!((encoder.pooling(), encoder.dim(), encoder.max_tokens()), (Pooling::Cls, 32, 64));
        let distance = farthest(&encoder.embed_ids(&ids).unwrap(), &expected);
        println!("XLM-R {precision}: farthest {distance:.1e} over {} texts", ids.len());
        assert!(distance < if precision == Precision::F32 { TOLERANCE } else { 0.2 }, "{distance}");
    }
    let encoder = TextEncoder::load(folder.path(), &options(Precision::F32)).unwrap();
    assert!(matches!(encoder.embed_ids(&[&[5], &[]]), Err(ComputeError::EmptyReference { index: 1 })));
    assert!(matches!(encoder.embed_ids(&[&[5; 65]]), Err(ComputeError::LongReference { index: 0, tokens: 65, max: 64 })));
    assert!(matches!(encoder.embed_ids(&[&[5, 120]]), Err(ComputeError::UnknownToken { token: 120, vocabulary: 120 })));
}

/// A folder with copies of `names`.
fn copy(from: &Path, names: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        std::fs::copy(from.join(name), folder.path().join(name)).unwrap();
    }
    folder
}

fn pooling(folder: &Path, config: Value) {
    std::fs::create_dir_all(folder.join("1_Pooling")).unwrap();
    std::fs::write(folder.join("1_Pooling/config.json"), config.to_string()).unwrap();
}

/// The small XLM-R with some fields of its config.json changed.
fn altered(changes: Value) -> Result<TextEncoder, String> {
    let folder = copy(&root().join("tests/fixtures/xlmr_cls/model"), &["config.json", "model.safetensors"]);
    let mut config = read(&folder.path().join("config.json"));
    for (field, value) in changes.as_object().unwrap() {
        config[field] = value.clone();
    }
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    load_encoder(folder.path())
}

fn load_encoder(folder: &Path) -> Result<TextEncoder, String> {
    TextEncoder::load(folder, &options(Precision::F32)).map_err(|e| e.to_string())
}

fn load_embedder(folder: &Path) -> Result<Embedder, String> {
    Embedder::load(folder, &options(Precision::F32)).map_err(|e| e.to_string())
}

fn message<T>(result: Result<T, String>) -> String {
    result.map(|_| ()).unwrap_err()
}

#[test]
fn malformed_configurations_are_named() {
    assert_eq!(altered(json!({})).unwrap().pooling(), Pooling::Mean);
    for (changes, words) in [
        (json!({ "model_type": "mpnet" }), &["model_type", "`mpnet`"][..]),
        (json!({ "model_type": null }), &["model_type", "nothing"]),
        (json!({ "hidden_size": 0 }), &["hidden_size", "found 0"]),
        (json!({ "hidden_size": -3 }), &["hidden_size", "-3"]),
        (json!({ "hidden_size": 64 }), &["attention.self.query.weight", "shape [64, 64]"]),
        (json!({ "num_attention_heads": 5 }), &["num_attention_heads", "found 5"]),
        (json!({ "num_hidden_layers": 4 }), &["encoder.layer.3.", "nothing"]),
        (json!({ "vocab_size": 121 }), &["word_embeddings", "121"]),
        (json!({ "max_position_embeddings": 3 }), &["max_position_embeddings", "found 3"]),
        (json!({ "pad_token_id": 4294967295_u32 }), &["max_position_embeddings"]),
        (json!({ "hidden_act": "relu" }), &["hidden_act", "`relu`"]),
        (json!({ "position_embedding_type": "relative_key" }), &["position_embedding_type"]),
        (json!({ "layer_norm_eps": "small" }), &["layer_norm_eps", "small"]),
    ] {
        let message = message(altered(changes));
        assert!(words.iter().all(|word| message.contains(word)), "{message:?} does not say {words:?}");
    }
}

#[test]
fn other_poolings_are_refused() {
    let folder = copy(&root().join("tests/fixtures/xlmr_cls/model"), &["config.json", "model.safetensors"]);
    let load = || load_encoder(folder.path());
    for (config, words) in [
        (json!({ "pooling_mode_max_tokens": true }), "pooling_mode_max_tokens"),
        (json!({ "pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true }), "alone"),
        (json!({ "pooling_mode_mean_tokens": false }), "one pooling"),
        (json!({ "pooling_mode": "lasttoken" }), "`lasttoken`"),
        (json!({ "pooling_mode_mean_tokens": 1 }), "true or false"),
        (json!({ "pooling_mode_mean_tokens": true, "word_embedding_dimension": 384 }), "384"),
        (json!([]), "JSON object"),
    ] {
        pooling(folder.path(), config);
        let message = message(load());
        assert!(message.contains(words) && message.contains("1_Pooling"), "{message}");
    }
    pooling(folder.path(), json!({ "pooling_mode": "cls" }));
    assert_eq!(load().unwrap().pooling(), Pooling::Cls);
    let modules = json!([{ "type": "sentence_transformers.models.Transformer", "path": "" }, { "type": "sentence_transformers.models.Dense", "path": "2_Dense" }]);
    std::fs::write(folder.path().join("modules.json"), modules.to_string()).unwrap();
    assert!(message(load()).contains("2_Dense"));
}

#[test]
fn malformed_folders_are_named() {
    let empty = tempfile::tempdir().unwrap();
    let error = message(load_embedder(empty.path()));
    assert!(error.contains("config.json") && error.contains("no such file"), "{error}");

    let folder = copy(&minilm(), &["config.json", "tokenizer.json"]);
    let load = || load_embedder(folder.path());
    assert!(message(load()).contains("model.safetensors"));
    std::fs::copy(minilm().join("model.safetensors"), folder.path().join("model.safetensors")).unwrap();
    let whole = load().unwrap();
    // Without sentence_bert_config.json the tokenizer's own length holds.
    assert_eq!(whole.identity().max_tokens, 128);
    assert_eq!(whole.tokens(EmbedAs::Query, &"word ".repeat(1000)).unwrap().len(), 128);
    assert_eq!(whole.tokens(EmbedAs::Query, "word").unwrap().len(), 3, "not padded, whatever tokenizer.json says");

    for (config, words) in [(json!({ "max_seq_length": 1 }), "max_seq_length"), (json!({ "do_lower_case": true }), "do_lower_case")] {
        std::fs::write(folder.path().join("sentence_bert_config.json"), config.to_string()).unwrap();
        assert!(message(load()).contains(words));
    }
    std::fs::write(folder.path().join("sentence_bert_config.json"), json!({ "max_seq_length": 4096 }).to_string()).unwrap();
    assert_eq!(load().unwrap().identity().max_tokens, 512, "there are positions for no more");
    std::fs::remove_file(folder.path().join("sentence_bert_config.json")).unwrap();

    let tokenizer = folder.path().join("tokenizer.json");
    std::fs::write(&tokenizer, "{").unwrap();
    assert!(message(load()).contains("tokenizer.json"));
    let mut larger = read(&minilm().join("tokenizer.json"));
    larger["model"]["vocab"]["qqqq"] = json!(40000);
    std::fs::write(&tokenizer, larger.to_string()).unwrap();
    assert!(message(load()).contains("40000"));
}

#[test]
fn the_identity_is_of_what_is_computed() {
    let identity = load(Precision::F32).identity().clone();
    assert_eq!((identity.dim, identity.max_tokens, identity.metric.as_str()), (384, 256, "cosine"));
    assert!(identity.differences(load(Precision::Bf16).identity()).is_empty());
    let folder = copy(&minilm(), &["config.json", "tokenizer.json", "model.safetensors", "sentence_bert_config.json"]);
    let other = |folder: &Path| Embedder::load(folder, &options(Precision::F32)).unwrap().identity().digest;
    // A folder without its pooling is taken to have the mean, which is what this one says.
    assert_eq!(other(folder.path()), identity.digest);
    pooling(folder.path(), json!({ "pooling_mode_cls_token": true }));
    assert_ne!(other(folder.path()), identity.digest);
    std::fs::remove_dir_all(folder.path().join("1_Pooling")).unwrap();
    std::fs::write(folder.path().join("sentence_bert_config.json"), json!({ "max_seq_length": 64 }).to_string()).unwrap();
    assert_ne!(other(folder.path()), identity.digest);
}
