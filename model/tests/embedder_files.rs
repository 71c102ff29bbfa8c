//! The files of an embedder: what changes what is computed is understood or refused, and text stays text.

use std::path::{Path, PathBuf};

use mempack_model::{DeviceChoice, EmbedAs, Embedder, LoadOptions, Pooling, Precision, TextEncoder};
use serde_json::{Value, json};
use tempfile::TempDir;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn minilm() -> PathBuf {
    std::env::var_os("MEMPACK_EMBEDDER").map_or_else(|| root().join("models/all-MiniLM-L6-v2"), PathBuf::from)
}

fn options() -> LoadOptions {
    mempack_model::set_threads(1);
    LoadOptions { precision: Precision::F32, device: DeviceChoice::Cpu, ..LoadOptions::default() }
}

/// The small encoder of the fixtures, with these files and changes to its config.json.
fn folder(changes: &Value, files: &[(&str, Value)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let source = root().join("tests/fixtures/xlmr_cls/model");
    std::fs::copy(source.join("model.safetensors"), folder.path().join("model.safetensors")).unwrap();
    let mut config: Value = serde_json::from_slice(&std::fs::read(source.join("config.json")).unwrap()).unwrap();
    for (field, value) in changes.as_object().unwrap() {
        config[field] = value.clone();
    }
    for (name, content) in files.iter().chain(&[("config.json", config)]) {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content.to_string()).unwrap();
    }
    folder
}

fn load(changes: Value, files: &[(&str, Value)]) -> Result<TextEncoder, String> {
    TextEncoder::load(folder(&changes, files).path(), &options()).map_err(|e| e.to_string())
}

fn modules(more: &[(&str, &str)]) -> Value {
    let all = [("Transformer", ""), ("Pooling", "1_Pooling")].iter().chain(more).enumerate();
    all.map(
        |(n, (kind, path))| json!({"idx": n, "name": n.to_string(), "path": path, "type": format!("sentence_transformers.models.{kind}")}),
    )
    .collect()
}

const MEAN: &str = "1_Pooling/config.json";

fn pooling() -> Value {
    json!({
        "word_embedding_dimension": 32, "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false, "pooling_mode_max_tokens": false,
        "pooling_mode_mean_sqrt_len_tokens": false, "pooling_mode_weightedmean_tokens": false, "pooling_mode_lasttoken": false, "include_prompt": true
    })
}

#[test]
fn files_of_sentence_transformers_are_read() {
    let sentences = json!({"__version__": {"sentence_transformers": "2.2.2", "transformers": "4.33.0", "pytorch": "2.1.2"}});
    let newer = json!({
        "__version__": {"sentence_transformers": "5.1.0"}, "model_type": "SentenceTransformer", "default_prompt_name": null,
        "prompts": {"query": "Represent this sentence: ", "document": ""}, "similarity_fn_name": "cosine"
    });
    for (config, more) in [(sentences, &[("Normalize", "2_Normalize")][..]), (newer.clone(), &[])] {
        let files = [("modules.json", modules(more)), (MEAN, pooling()), ("config_sentence_transformers.json", config)];
        assert_eq!(load(json!({}), &files).unwrap().pooling(), Pooling::Cls);
    }
    let dot = json!({"similarity_fn_name": "dot"});
    load(
        json!({}),
        &[("modules.json", modules(&[("Normalize", "2_Normalize")])), (MEAN, pooling()), ("config_sentence_transformers.json", dot)],
    )
    .unwrap();
}

#[test]
fn what_another_program_would_compute_is_refused() {
    let pooled = |changes: Value| {
        let mut config = pooling();
        config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        config
    };
    let sentences = "config_sentence_transformers.json";
    for (changes, files, words) in [
        (json!({"is_decoder": true}), vec![], &["config.json", "is_decoder", "use an encoder"][..]),
        (json!({"add_cross_attention": true}), vec![], &["add_cross_attention"]),
        (json!({"auto_map": {"AutoModel": "modeling.Own"}}), vec![], &["auto_map", "code of its own"]),
        (json!({"position_embedding_type": "alibi"}), vec![], &["position_embedding_type"]),
        (json!({"quantization_config": {"bits": 8}}), vec![], &["quantization_config"]),
        (json!({"rope_theta": 10000.0}), vec![], &["rope_theta", "a field that is known"]),
        (json!({"embedding_size": 16}), vec![], &["embedding_size"]),
        (json!({"num_hidden_layers": 2}), vec![], &["encoder.layer.2.", "the tensors of the encoder in config.json"]),
        (json!({}), vec![(MEAN, pooled(json!({"pooling_mode_lasttoken": true})))], &["1_Pooling", "alone"]),
        (json!({}), vec![(MEAN, pooled(json!({"pooling_weights": [1, 2]})))], &["1_Pooling", "pooling_weights"]),
        (json!({}), vec![("modules.json", modules(&[]))], &["1_Pooling", "no such file"]),
        (json!({}), vec![("modules.json", json!([]))], &["modules.json", "no Pooling"]),
        (json!({}), vec![("modules.json", json!({"a": 1}))], &["modules.json", "no list"]),
        (json!({}), vec![("modules.json", modules(&[("Dense", "2_Dense")])), (MEAN, pooling())], &["modules.json", "2_Dense"]),
        (json!({}), vec![("modules.json", modules(&[("LayerNorm", "2_LayerNorm")])), (MEAN, pooling())], &["modules.json", "2_LayerNorm"]),
        (json!({}), vec![(sentences, json!({"similarity_fn_name": "dot"}))], &["similarity_fn_name", "`dot`"]),
        (json!({}), vec![(sentences, json!({"similarity_fn_name": "euclidean"}))], &["similarity_fn_name", "`euclidean`"]),
        (json!({}), vec![(sentences, json!({"model_type": "SparseEncoder"}))], &["model_type", "SparseEncoder"]),
        (json!({}), vec![(sentences, json!({"something_new": 3}))], &[sentences, "something_new"]),
    ] {
        let error = load(changes.clone(), &files).err().unwrap_or_else(|| panic!("{changes} {files:?} is accepted"));
        assert!(words.iter().all(|word| error.contains(word)), "`{error}` does not name {words:?}");
    }
}

/// config.json of MiniLM, BGE-M3 and multilingual BERT, as transformers wrote them; the weights are others, which is the first error.
#[test]
fn real_configurations_are_read() {
    let bert = json!({
        "architectures": ["BertModel"], "attention_probs_dropout_prob": 0.1, "classifier_dropout": null, "directionality": "bidi",
        "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": 768, "id2label": {"0": "LABEL_0"}, "initializer_range": 0.02,
        "intermediate_size": 3072, "label2id": {"LABEL_0": 0}, "layer_norm_eps": 1e-12, "max_position_embeddings": 512, "model_type": "bert",
        "num_attention_heads": 12, "num_hidden_layers": 12, "pad_token_id": 0, "pooler_fc_size": 768, "pooler_num_attention_heads": 12,
        "pooler_num_fc_layers": 3, "pooler_size_per_head": 128, "pooler_type": "first_token_transform", "position_embedding_type": "absolute",
        "torch_dtype": "float32", "transformers_version": "4.30.0", "type_vocab_size": 2, "use_cache": true, "vocab_size": 119547,
        "gradient_checkpointing": false
    });
    let bge = json!({
        "_name_or_path": "", "architectures": ["XLMRobertaModel"], "attention_probs_dropout_prob": 0.1, "bos_token_id": 0,
        "classifier_dropout": null, "eos_token_id": 2, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": 1024,
        "initializer_range": 0.02, "intermediate_size": 4096, "layer_norm_eps": 1e-5, "max_position_embeddings": 8194,
        "model_type": "xlm-roberta", "num_attention_heads": 16, "num_hidden_layers": 24, "output_past": true, "pad_token_id": 1,
        "position_embedding_type": "absolute", "torch_dtype": "float32", "transformers_version": "4.33.0", "type_vocab_size": 1,
        "use_cache": true, "vocab_size": 250002
    });
    for config in [bert, bge] {
        let error = load(config.clone(), &[]).err().unwrap();
        assert!(error.contains("tensor `"), "{error}");
    }
}

#[test]
fn special_tokens_in_a_text_are_text() {
    let embedder = Embedder::load(&minilm(), &options()).unwrap();
    let id = |name: &str| embedder.tokens(EmbedAs::Query, name).unwrap();
    let plain = embedder.tokens(EmbedAs::Query, "[SEP] is [MASK] or [CLS][UNK][PAD] here").unwrap();
    let (first, last) = (plain[0], plain[plain.len() - 1]);
    assert_eq!([first, last], [101, 102], "the tokens around the text stay");
    assert!(plain[1..plain.len() - 1].iter().all(|id| *id > 103), "{plain:?}");
    assert_eq!(id("[sep]"), id("[SEP]"));
    // The vectors are those of the words.
    let vectors = embedder.embed(EmbedAs::Query, &["[SEP] dose", "[sep] dose"]).unwrap();
    assert_eq!(vectors[..384], vectors[384..]);
}

/// An XLM-RoBERTa tokenizer, whose vocabulary has the control tokens as the most probable pieces.
#[test]
fn pieces_that_are_control_tokens_are_spaced() {
    let letters = "<>/sabc\u{2581}".chars().map(|c| json!([c.to_string(), -3.0]));
    let vocab: Vec<Value> =
        [json!(["<s>", 0.0]), json!(["<pad>", 0.0]), json!(["</s>", 0.0]), json!(["<unk>", 0.0])].into_iter().chain(letters).collect();
    let special = |id: u32, name: &str| json!({"id": id, "content": name, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
    for spaces in [true, false] {
        // The second form drops spaces before it looks for pieces.
        let normalizer = if spaces { Value::Null } else { json!({"type": "Replace", "pattern": {"String": " "}, "content": ""}) };
        let around = |id: &str| json!({"SpecialToken": {"id": id, "type_id": 0}});
        let tokenizer = json!({
            "version": "1.0", "truncation": null, "padding": null,
            "added_tokens": [special(0, "<s>"), special(1, "<pad>"), special(2, "</s>"), special(3, "<unk>")],
            "normalizer": normalizer,
            "pre_tokenizer": {"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "always", "split": true},
            "post_processor": {
                "type": "TemplateProcessing", "single": [around("<s>"), {"Sequence": {"id": "A", "type_id": 0}}, around("</s>")],
                "pair": [around("<s>"), {"Sequence": {"id": "A", "type_id": 0}}, around("</s>"), {"Sequence": {"id": "B", "type_id": 0}}],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}, "</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]}}
            },
            "decoder": null, "model": {"type": "Unigram", "unk_id": 3, "vocab": vocab, "byte_fallback": false}
        });
        let folder = folder(&json!({}), &[("tokenizer.json", tokenizer)]);
        let embedder = Embedder::load(folder.path(), &options()).unwrap();
        for text in ["a</s>b", "</s></s> <s>", "<s> a", "<</s>/s>", &"</s>".repeat(100)] {
            let ids = embedder.tokens(EmbedAs::Query, text).unwrap();
            assert_eq!((ids[0], ids[ids.len() - 1]), (0, 2), "{text}");
            assert!(ids[1..ids.len() - 1].iter().all(|id| *id > 2), "{text}: {ids:?}");
        }
        let counted = embedder.unknown(&["ab zz", "a"]).unwrap();
        assert_eq!((counted.characters, counted.unknown), (5, 2));
    }
}

/// What a word-piece vocabulary of English leaves of other languages.
#[test]
fn unknown_characters_are_counted() {
    let embedder = Embedder::load(&minilm(), &options()).unwrap();
    let share = |text: &str| embedder.unknown(&[text]).unwrap();
    let english = share("The usual dose is 40 mg twice daily, naïve or not.");
    assert_eq!((english.unknown, english.characters), (0, 40));
    // Ten characters and a mark, of which the vocabulary has few.
    let chinese = share("用人单位应当支付劳动报酬。");
    assert_eq!(chinese.characters, 13);
    assert!(chinese.share() > 0.3, "{chinese:?}");
    // A word with one character that is not known is unknown whole.
    let word = share("ab\u{1f980}cd ef");
    assert_eq!((word.unknown, word.characters), (5, 7));
    assert_eq!(embedder.unknown(&[]).unwrap().share(), 0.0);
    // Only what is embedded counts: 256 tokens.
    assert!(share(&"word ".repeat(1000)).characters <= 4 * 256);
}
