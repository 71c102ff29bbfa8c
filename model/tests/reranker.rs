//! Cross-encoders against scores computed from their definition (`golden/make_rerankers.py`), and the folders that are refused.

use std::path::{Path, PathBuf};

use mempack_model::{DeviceChoice, LoadOptions, Precision, Reranker};
use serde_json::{Value, json};
use tempfile::TempDir;

const BERT: &str = "tiny-bert-reranker";
const XLMR: &str = "tiny-xlmr-reranker";

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn options() -> LoadOptions {
    // Several threads an operation, in several tests at once, wait for one another.
    mempack_model::set_threads(1);
    LoadOptions { precision: Precision::F32, device: DeviceChoice::Cpu, ..LoadOptions::default() }
}

fn load(name: &str) -> Reranker {
    Reranker::load(&golden(name), &options()).unwrap()
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn farthest(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn scores_are_those_of_the_definition() {
    for name in [BERT, XLMR] {
        let reranker = load(name);
        assert_eq!((reranker.name(), reranker.max_tokens()), (name, 96));
        let expected = read(&golden(name).join("expected.json"));
        let expected = expected.as_array().unwrap();
        let mut distance = 0f32;
        for pair in expected {
            let [query, text] = ["query", "text"].map(|field| pair[field].as_str().unwrap());
            assert_eq!(json!(reranker.tokens(query, text).unwrap()), pair["ids"], "{name}: {query:?} {text:?}");
            let found = reranker.score_pairs(query, &[text]).unwrap();
            distance = distance.max((f64::from(found[0]) - pair["score"].as_f64().unwrap()).abs() as f32);
        }
        println!("{name}: farthest {distance:.1e} over {} pairs", expected.len());
        assert!(expected.len() >= 9 && distance < 1e-4, "{name}: {distance}");
    }
}

#[test]
fn a_batch_gives_what_one_by_one_gives() {
    // More tokens than are computed together, of all lengths, in no order.
    let texts: Vec<String> = (0..60).map(|n| format!("Rent {n}. {}", "The lease may end in a month. ".repeat(n * 7 % 11))).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for name in [BERT, XLMR] {
        let reranker = load(name);
        let query = "When may the lease end?";
        let batch = reranker.score_pairs(query, &texts).unwrap();
        let alone: Vec<f32> = texts.iter().map(|text| reranker.score_pairs(query, &[text]).unwrap()[0]).collect();
        let distance = farthest(&batch, &alone);
        println!("{name}: batch against one by one, farthest {distance:.1e}");
        assert!(distance < 1e-5, "{name}: {distance}");
        let lowest = batch.iter().copied().fold(f32::INFINITY, f32::min);
        assert!(batch.iter().any(|score| score - lowest > 0.1), "the scores tell texts apart: {batch:?}");
        assert!(reranker.score_pairs(query, &[]).unwrap().is_empty());
        let shared = reranker.clone();
        let there = std::thread::spawn(move || {
            mempack_model::set_threads(1);
            shared.score_pairs("When may the lease end?", &["The lease", "a month"]).unwrap()
        });
        assert_eq!(there.join().unwrap(), reranker.score_pairs(query, &["The lease", "a month"]).unwrap());
    }
}

#[test]
fn unusual_texts_are_scored_as_text() {
    for (name, control) in [(BERT, [2, 3]), (XLMR, [0, 2])] {
        let reranker = load(name);
        let special = |ids: &[u32]| ids.iter().filter(|id| control.contains(id)).count();
        let around = special(&reranker.tokens("dose", "rent").unwrap());
        for (query, text) in [
            ("[SEP] </s> dose", "<s> [CLS] the dose [MASK] <pad>"),
            ("</s></s>", "[SEP][SEP]"),
            ("", ""),
            ("?!... --", "\u{0}\u{7}\u{feff}"),
            ("सूत्र", "🦀"),
            (&"word ".repeat(10_000), "the rent"),
            ("rent", &"</s>".repeat(2000)),
        ] {
            let ids = reranker.tokens(query, text).unwrap();
            assert_eq!(special(&ids), around, "{name}: {query:.20} {text:.20} {ids:?}");
            assert!(ids.len() <= 96);
            assert_eq!(reranker.score_pairs(query, &[text]).unwrap().len(), 1);
        }
        // However long the query, a short text is read whole.
        let long = "tenant ".repeat(10_000);
        assert_ne!(reranker.tokens(&long, "the rent").unwrap(), reranker.tokens(&long, "the dose").unwrap());
        assert_eq!(reranker.tokens(&long, "the rent").unwrap().len(), 96);
    }
}

/// A copy of a golden folder.
fn copy(name: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(golden(name).join(file), folder.path().join(file)).unwrap();
    }
    folder
}

/// Changes fields of a JSON file in a folder; null removes one.
fn change(folder: &Path, file: &str, changes: &Value) {
    let path = folder.join(file);
    let mut object = read(&path);
    for (field, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(object.as_object_mut().unwrap().remove(field)),
            value => object[field] = value.clone(),
        }
    }
    std::fs::write(path, object.to_string()).unwrap();
}

fn refused(folder: &Path, words: &[&str]) {
    let error = Reranker::load(folder, &options()).err().unwrap_or_else(|| panic!("{words:?} is accepted")).to_string();
    assert!(words.iter().all(|word| error.contains(word)), "`{error}` does not name {words:?}");
}

#[test]
fn relatives_of_the_two_architectures_are_read() {
    let expected = load(XLMR).score_pairs("dose", &["the usual dose"]).unwrap();
    for (architecture, model_type) in [("RobertaForSequenceClassification", "roberta"), ("CamembertForSequenceClassification", "camembert")]
    {
        let folder = copy(XLMR);
        change(folder.path(), "config.json", &json!({"architectures": [architecture], "model_type": model_type}));
        let reranker = Reranker::load(folder.path(), &options()).unwrap();
        assert_eq!(reranker.score_pairs("dose", &["the usual dose"]).unwrap(), expected);
    }
    // Fields of real cross-encoders.
    let folder = copy(BERT);
    change(
        folder.path(),
        "config.json",
        &json!({"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity", "version": "4.1.0"}, "num_labels": 1,
            "torch_dtype": "float32", "transformers_version": "4.52.0.dev0", "use_cache": true, "gradient_checkpointing": false,
            "position_embedding_type": "absolute", "attention_probs_dropout_prob": 0.1, "hidden_dropout_prob": 0.1, "initializer_range": 0.02}),
    );
    change(folder.path(), "tokenizer_config.json", &json!({"model_max_length": 1e30}));
    assert_eq!(Reranker::load(folder.path(), &options()).unwrap().max_tokens(), 130);
}

#[test]
fn folders_of_another_kind_are_refused() {
    for (name, changes, words) in [
        (BERT, json!({"architectures": ["BertModel"]}), &["config.json", "architectures", "`BertModel`", "embedders", "cross-encoder"][..]),
        (
            XLMR,
            json!({"architectures": ["LlamaForCausalLM"]}),
            &["`LlamaForCausalLM`, a language model", "XLMRobertaForSequenceClassification"],
        ),
        (BERT, json!({"architectures": ["DebertaV2ForSequenceClassification"]}), &["`DebertaV2ForSequenceClassification`"]),
        (BERT, json!({"architectures": null}), &["architectures", "nothing"]),
        (BERT, json!({"architectures": []}), &["architectures", "no name"]),
        (BERT, json!({"architectures": "Bert"}), &["architectures", "a list of strings"]),
        (BERT, json!({"model_type": "xlm-roberta"}), &["model_type", "`bert`", "`xlm-roberta`"]),
        (BERT, json!({"model_type": null}), &["model_type", "nothing"]),
        (BERT, json!({"id2label": {"0": "A", "1": "B", "2": "C"}}), &["id2label", "1 label", "found 3"]),
        (XLMR, json!({"num_labels": 2}), &["num_labels", "found 2"]),
        (BERT, json!({"id2label": null}), &["id2label", "which means 2"]),
        (BERT, json!({"auto_map": {"AutoModel": "own.Model"}}), &["auto_map", "code of its own"]),
        (BERT, json!({"something_new": 3}), &["something_new", "a field that is known"]),
        (BERT, json!({"num_hidden_layers": 1}), &["encoder.layer.1.", "the tensors of the encoder"]),
        (BERT, json!({"num_hidden_layers": 3}), &["encoder.layer.2.", "found nothing"]),
        (XLMR, json!({"max_position_embeddings": 7}), &["max_position_embeddings", "at least 6", "found 5"]),
        (XLMR, json!({"vocab_size": 50}), &["tokenizer.json", "ids below 50"]),
        (XLMR, json!({"hidden_size": 31}), &["num_attention_heads"]),
    ] {
        let folder = copy(name);
        change(folder.path(), "config.json", &changes);
        refused(folder.path(), words);
    }
    let one_type = copy(BERT);
    change(one_type.path(), "config.json", &json!({"type_vocab_size": 1}));
    refused(one_type.path(), &["tokenizer.json", "one type", "type 1"]);
    let short = copy(BERT);
    change(short.path(), "tokenizer_config.json", &json!({"model_max_length": 4}));
    refused(short.path(), &["tokenizer_config.json", "model_max_length", "at least 5", "found 4"]);
    for (changes, words) in [
        (json!({"post_processor": null}), &["tokenizer.json", "special tokens before, between and after", "order 01"][..]),
        (
            json!({"post_processor": {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 2}}], "special_tokens": {}}}),
            &["special tokens before"],
        ),
        (
            json!({"post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}, "model": 3}),
            &["tokenizer.json", "tokenizers library"],
        ),
    ] {
        let folder = copy(BERT);
        change(folder.path(), "tokenizer.json", &changes);
        refused(folder.path(), words);
    }
}

#[test]
fn missing_and_wrong_files_are_refused() {
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        let folder = copy(XLMR);
        std::fs::remove_file(folder.path().join(file)).unwrap();
        refused(folder.path(), &[file]);
        std::fs::write(folder.path().join(file), "version https://git-lfs.github.com/spec/v1\n").unwrap();
        refused(folder.path(), &[file, "git-LFS"]);
    }
    refused(&golden("absent"), &["no such folder", "a reranker's folder has config.json"]);
    refused(&golden(BERT).join("config.json"), &["name the folder it is in"]);
    // The head of another architecture, and of another number of labels.
    for (name, tensor, words) in [
        (BERT, "bert.pooler.dense.weight", &["bert.pooler.dense.weight", "found nothing"][..]),
        (BERT, "classifier.weight", &["classifier.weight", "found nothing"]),
        (XLMR, "classifier.out_proj.bias", &["classifier.out_proj.bias", "found nothing"]),
        (XLMR, "roberta.embeddings.LayerNorm.bias", &["embeddings.LayerNorm.bias", "found nothing"]),
    ] {
        let folder = copy(name);
        let path = folder.path().join("model.safetensors");
        let bytes = std::fs::read(&path).unwrap();
        let renamed = tensor.replace("er", "xx");
        let header = String::from_utf8_lossy(&bytes[8..8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize]).into_owned();
        assert!(header.contains(&format!("\"{tensor}\"")));
        let header = header.replace(&format!("\"{tensor}\""), &format!("\"{renamed}\""));
        std::fs::write(&path, [&bytes[..8], header.as_bytes(), &bytes[8 + header.len()..]].concat()).unwrap();
        refused(folder.path(), words);
    }
    let folder = copy(XLMR);
    std::fs::copy(golden(BERT).join("model.safetensors"), folder.path().join("model.safetensors")).unwrap();
    refused(folder.path(), &["classifier.dense.weight", "belong to another config.json"]);
}

#[test]
fn damaged_weights_give_no_score() {
    let folder = copy(BERT);
    let path = folder.path().join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let start = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[start..].chunks_exact_mut(4).for_each(|value| value.copy_from_slice(&f32::NAN.to_le_bytes()));
    std::fs::write(&path, bytes).unwrap();
    let error = Reranker::load(folder.path(), &options()).unwrap().score_pairs("a", &["b"]).unwrap_err().to_string();
    assert!(error.contains("score of text 0 is not finite"), "{error}");
}
