//! Tokenizers, and models as a whole.

use mempack_model::{
    ComputeError, DeviceChoice, Exchange, LoadError, LoadOptions, MemorySource, Model, Precision, TextStream, TextTokenizer,
    context_tokens, conversation_tokens, prompt_tokens, reference_tokens,
};

use mempack_retrieval::Chunks;
use serde_json::{Value, json};

use crate::support::{Folder, assert_names, fixtures};

fn options() -> LoadOptions {
    LoadOptions { precision: Precision::F32, device: DeviceChoice::Cpu, ..LoadOptions::default() }
}

fn tokenizer() -> TextTokenizer {
    TextTokenizer::load(&fixtures().join("tiny/tokenizer.json")).unwrap()
}

fn tiny() -> Model {
    mempack_model::set_threads(1);
    Model::load(&fixtures().join("tiny"), &options()).unwrap()
}

#[test]
fn a_model_without_a_tokenizer() {
    let error = Model::load(Folder::new().dir.path(), &options()).err().unwrap().to_string();
    assert_names(&error, &["tokenizer.json", "no such tokenizer"]);
}

#[test]
fn a_tokenizer_of_another_vocabulary() {
    let folder = Folder::new();
    std::fs::copy(fixtures().join("tiny/tokenizer.json"), folder.file("tokenizer.json")).unwrap();
    let error = Model::load(folder.dir.path(), &options()).err().unwrap();
    assert!(matches!(error, LoadError::Tokenizer { .. }));
    assert_names(&error.to_string(), &["tokenizer.json", "another vocabulary", "1536", "97"]);
}

/// The text models of Gemma 3 have no row for the token of an image.
#[test]
fn control_tokens_need_no_row() {
    let vocabulary: serde_json::Map<String, Value> = (0..97).map(|id| (format!("w{id}"), json!(id))).collect();
    for special in [true, false] {
        let folder = Folder::new();
        let image = json!({"id": 97, "content": "<image>", "special": special, "normalized": false, "lstrip": false, "rstrip": false, "single_word": false});
        let tokenizer = json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [image], "normalizer": null, "pre_tokenizer": null,
            "post_processor": null, "decoder": null, "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "w0"},
        });
        std::fs::write(folder.file("tokenizer.json"), tokenizer.to_string()).unwrap();
        let model = match Model::load(folder.dir.path(), &options()) {
            Ok(model) => model,
            Err(error) => {
                assert!(!special);
                assert_names(&error.to_string(), &["tokenizer.json", "another vocabulary", "98", "97"]);
                continue;
            }
        };
        assert!(special && !model.tokenizer().encode_plain("<image>").unwrap().contains(&97));
        let ids = model.tokenizer().encode_template("<image>").unwrap();
        assert!(matches!(model.write(&[&ids]), Err(ComputeError::UnknownToken { token: 97, .. })));
    }
}

#[test]
fn a_tokenizer_that_is_none() {
    let folder = Folder::new();
    for text in ["{}", "", "{\"model\": {\"type\": \"BPE\"", "[]"] {
        std::fs::write(folder.file("tokenizer.json"), text).unwrap();
        assert_names(&Model::load(folder.dir.path(), &options()).err().unwrap().to_string(), &["tokenizer.json", "expected"]);
    }
}

#[test]
fn special_tokens_in_a_text_are_text() {
    let t = tokenizer();
    let (bos, reference) = (t.token_id("<s>").unwrap(), t.token_id("Reference:").unwrap());
    assert_eq!(t.encode_template("<s>Reference:").unwrap(), [bos, reference]);
    let plain = t.encode_plain("<s>Reference:").unwrap();
    assert!(!plain.contains(&bos) && !plain.contains(&reference), "{plain:?}");
    assert_eq!(t.decode(&plain).unwrap(), "<s>Reference:");
    assert_eq!(t.decode(&[bos]).unwrap(), "");
}

#[test]
fn spans_cover_the_text_they_come_from() {
    let t = tokenizer();
    for text in ["The usual dose is 40 mg.", "第十二条 法院应当。", "naïve 🦀 café", ""] {
        let spans = t.encode_spans(text).unwrap();
        assert_eq!(spans.iter().map(|(id, _)| *id).collect::<Vec<_>>(), t.encode_plain(text).unwrap());
        assert!(spans.windows(2).all(|w| w[0].1.start <= w[1].1.start && w[0].1.end <= w[1].1.end));
        assert!(spans.iter().all(|(_, span)| text.get(span.clone()).is_some()), "{text}");
        let covered: usize =
            spans.iter().fold((0, 0), |(end, sum), (_, s)| (end.max(s.end), sum + s.end.saturating_sub(end.max(s.start)))).1;
        assert_eq!(covered, text.len(), "{text}");
    }
}

#[test]
fn streams_give_whole_characters() {
    let t = tokenizer();
    for text in ["The usual dose is 40 mg.", "第十二条 法院应当。", "naïve 🦀 café"] {
        let mut stream = TextStream::new(&t);
        let mut pieces: Vec<String> = t.encode_plain(text).unwrap().into_iter().map(|id| stream.push(id).unwrap()).collect();
        assert!(pieces.iter().all(|p| !p.contains('\u{FFFD}')), "{pieces:?}");
        pieces.push(stream.finish().unwrap());
        assert_eq!(pieces.concat(), text);
    }
    // An answer that stops inside a character.
    let ids = t.encode_plain("🦀").unwrap();
    let mut stream = TextStream::new(&t);
    assert_eq!(stream.push(ids[0]).unwrap(), "");
    assert!(stream.finish().unwrap().contains('\u{FFFD}'));
}

#[test]
fn prompts_and_references_follow_the_templates() {
    let model = tiny();
    let t = model.tokenizer();
    let prompt = prompt_tokens(&model, "What is <s>?").unwrap();
    assert_eq!(t.decode(&prompt.ids).unwrap(), " Question: What is <s>? Answer:");
    assert_eq!(t.decode(&prompt.ids[prompt.question.clone()]).unwrap(), "What is <s>?");
    assert_eq!(reference_tokens(&model, "Some text.").unwrap(), t.encode_plain("Some text.").unwrap());
    assert!(context_tokens(&model, "text", "question").unwrap().is_none());
}

#[test]
fn conversations_with_a_system_message() {
    let folder = Folder::new();
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        std::fs::copy(fixtures().join("tiny").join(name), folder.file(name)).unwrap();
    }
    let turn = |question: &str, answer: &str| Exchange { question: question.into(), answer: answer.into() };
    let earlier = [turn("Who?", "I."), turn("Why?", "So.")];
    let without = tiny();
    // A conversation of one question is the question's prompt.
    assert_eq!(conversation_tokens(&without, None, &[], "What <s>?").unwrap(), prompt_tokens(&without, "What <s>?").unwrap());
    assert!(matches!(conversation_tokens(&without, Some("Be brief."), &[], "What?"), Err(ComputeError::NoSystem)));
    let template = "Rules: {system}<s>";
    folder.edit("config.json", |c| drop(c["memory"].as_object_mut().unwrap().insert("system_template".into(), template.into())));
    let model = Model::load(folder.dir.path(), &options()).unwrap();
    // The template decides about no memory.
    assert!(model.identity().differences(without.identity()).is_empty());
    let t = model.tokenizer();
    let system = [t.encode_template("Rules: ").unwrap(), t.encode_plain("Be <s> brief.").unwrap(), vec![1]].concat();
    for earlier in [&earlier[..0], &earlier[..1], &earlier] {
        let plain = conversation_tokens(&model, None, earlier, "What?").unwrap();
        assert_eq!((plain.system, &plain), (0, &conversation_tokens(&without, None, earlier, "What?").unwrap()));
        let told = conversation_tokens(&model, Some("Be <s> brief."), earlier, "What?").unwrap();
        assert_eq!(told.ids, [system.as_slice(), &plain.ids].concat());
        assert_eq!((told.system, told.begins), (system.len(), system.len() + plain.begins));
        assert_eq!(told.ids[told.question.clone()], plain.ids[plain.question.clone()]);
        for (told_turn, turn) in told.earlier.iter().zip(&plain.earlier) {
            assert_eq!(
                (&told.ids[told_turn.question.clone()], &told.ids[told_turn.answer.clone()]),
                (&plain.ids[turn.question.clone()], &plain.ids[turn.answer.clone()])
            );
        }
        // Its words never query, and those of the others do.
        let text = told.transcript(Chunks::new(4));
        let system = text.prompt_chunks().min(told.system / 4);
        assert!(system > 0 && (0..system).all(|chunk| text.query_ids(text.prompt_window(chunk).unwrap()).is_empty()));
        let queried: Vec<u32> = (0..told.ids.len()).flat_map(|at| text.query_ids(at..at + 1)).collect();
        assert_eq!(queried, told.ids[told.system..], "a window of template alone queries with it");
        assert_eq!(
            text.query_ids(0..told.ids.len()).len(),
            told.question.len() + told.earlier.iter().map(|turn| turn.question.len() + turn.answer.len()).sum::<usize>()
        );
    }
}

#[test]
fn the_readers_tell_system_messages_as_their_bases_do() {
    let readers = fixtures().join("../../kb-samples/readers");
    for (reader, turn, bos) in [("smollm2", "user\n", "<|im_start|>"), ("qwen", "<|im_start|>user\n", "")] {
        let block: Value = serde_json::from_slice(&std::fs::read(readers.join(reader).join("memory.json")).unwrap()).unwrap();
        let (system, prompt) = (block["system_template"].as_str().unwrap(), block["prompt_template"].as_str().unwrap());
        assert!(prompt.starts_with(turn));
        let told = format!("{bos}{}{}", system.replace("{system}", "S"), prompt.replace("{question}", "Q"));
        let chat = "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n";
        assert_eq!(told, chat, "{reader}");
    }
}

#[test]
fn a_template_with_the_text_in_it() {
    let folder = Folder::new();
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        std::fs::copy(fixtures().join("tiny").join(name), folder.file(name)).unwrap();
    }
    let template = "<s>Say {question} of {text}.";
    folder.edit("config.json", |c| drop(c["memory"].as_object_mut().unwrap().insert("context_template".into(), template.into())));
    let model = Model::load(folder.dir.path(), &options()).unwrap();
    let prompt = context_tokens(&model, "a {question} text", "why").unwrap().unwrap();
    assert_eq!(model.tokenizer().decode(&prompt.ids).unwrap(), "Say why of a {question} text.");
    assert_eq!(model.tokenizer().decode(&prompt.ids[prompt.question.clone()]).unwrap(), "why");
    assert_eq!(prompt.ids[0], model.config().bos);
}

#[test]
fn an_identity_follows_what_memories_depend_on() {
    let model = tiny();
    let identity = model.identity();
    assert_eq!(identity.name, "tiny");
    assert_eq!((identity.layers, identity.first_memory_layer, identity.query_heads), (7, 0, 6));
    assert_eq!((identity.shape.layers, identity.shape.heads, identity.shape.tokens, identity.shape.head_dim), (5, 3, 8, 32));
    assert_eq!(identity.prefix_ids, [1, 3]);
    assert!(identity.differences(model.share().identity()).is_empty());
    let other = Folder::new();
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        std::fs::copy(fixtures().join("tiny").join(name), other.file(name)).unwrap();
    }
    // How memories are read is no part of it; how they are written is.
    let set = |field: &str, value: Value| {
        other.edit("config.json", |c| drop(c["memory"].as_object_mut().unwrap().insert(field.into(), value)));
        let changed = Model::load(other.dir.path(), &options()).unwrap();
        identity.differences(changed.identity()).iter().map(|d| d.field).collect::<Vec<_>>()
    };
    assert!(set("similarity_bias", 7.into()).is_empty());
    assert!(set("prompt_template", "{question}".into()).is_empty());
    assert_eq!(set("tokens_per_head", 4.into()), ["tokens per head"]);
    assert_eq!(set("reference_template", " {text}".into()), ["tokens per head", "reference template"]);
}

/// A copy of the tiny model whose tokenizer and other files are changed.
fn changed(tokenizer: impl FnOnce(&mut Value), files: &[(&str, Value)]) -> Folder {
    let folder = Folder::new();
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        std::fs::copy(fixtures().join("tiny").join(name), folder.file(name)).unwrap();
    }
    let mut tokens: Value = serde_json::from_slice(&std::fs::read(folder.file("tokenizer.json")).unwrap()).unwrap();
    tokenizer(&mut tokens);
    std::fs::write(folder.file("tokenizer.json"), tokens.to_string()).unwrap();
    for (name, content) in files {
        std::fs::write(folder.file(name), content.to_string()).unwrap();
    }
    folder
}

/// Takes the mark off all special tokens, and gives the tokens from id 1500 on these names.
fn not_special(tokens: &mut Value, names: &[&str]) {
    let mut added: Vec<Value> = tokens["added_tokens"].as_array().unwrap().clone();
    for token in &mut added {
        token["special"] = false.into();
    }
    let vocabulary = tokens["model"]["vocab"].as_object_mut().unwrap();
    for (id, name) in (1500..).zip(names) {
        vocabulary.retain(|_, number| *number != id);
        vocabulary.insert((*name).into(), id.into());
        added.push(json!({"id": id, "content": name, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": false}));
    }
    // Merges of the tokens that are gone.
    let known = vocabulary.clone();
    let merges = tokens["model"]["merges"].as_array().unwrap().clone();
    let parts = |merge: &Value| match merge {
        Value::String(text) => text.split(' ').map(str::to_owned).collect::<Vec<_>>(),
        other => other.as_array().unwrap().iter().map(|part| part.as_str().unwrap().to_owned()).collect(),
    };
    let whole = |merge: &&Value| {
        let parts = parts(merge);
        parts.iter().all(|part| known.contains_key(part)) && known.contains_key(&parts.concat())
    };
    tokens["model"]["merges"] = merges.iter().filter(whole).cloned().collect();
    tokens["added_tokens"] = added.into();
}

/// Names that a user may write, of which `controls` must not become tokens and `words` may.
#[track_caller]
fn check_plain(folder: &Folder, controls: &[&str], words: &[&str]) {
    mempack_model::set_threads(1);
    let model = Model::load(folder.dir.path(), &options()).unwrap();
    let t = model.tokenizer();
    for name in controls {
        let id = t.token_id(name).unwrap_or_else(|| panic!("{name} is a token"));
        let text = format!("Dose{name}{name} x {name}");
        let [plain, question, reference] =
            [t.encode_plain(&text), prompt_tokens(&model, &text).map(|p| p.ids[p.question].to_vec()), reference_tokens(&model, &text)]
                .map(Result::unwrap);
        let spans: Vec<u32> = t.encode_spans(&text).unwrap().into_iter().map(|(id, _)| id).collect();
        for ids in [&plain, &question, &reference, &spans] {
            assert!(!ids.contains(&id), "{name} became {id} in {ids:?}");
        }
        assert_eq!(t.decode(&plain).unwrap(), text);
        assert_eq!(t.encode_template(name).unwrap(), [id]);
        assert_eq!(t.decode(&[id]).unwrap(), "", "{name} is not shown");
    }
    for name in words {
        let id = t.token_id(name).unwrap();
        assert!(t.encode_plain(name).unwrap().contains(&id), "{name} is an ordinary token");
    }
}

#[test]
fn tokens_with_a_role_are_never_of_a_text() {
    let names = ["<|user|>", "<|end|>", "<|extra|>", "domainword", "\n\n"];
    let memory = |template: &str, value: &str| {
        let mut config: Value = serde_json::from_slice(&std::fs::read(fixtures().join("tiny/config.json")).unwrap()).unwrap();
        config["memory"][template] = value.into();
        ("config.json", config)
    };
    // By the configuration's BOS, EOS and padding.
    check_plain(&changed(|t| not_special(t, &names), &[]), &["<s>", "</s>", "<pad>"], &["<|user|>", "domainword", "\n\n"]);
    // By templates, of which a word and white space are no markers.
    for template in ["prompt_template", "context_template"] {
        let text =
            "<|user|>\n\ndomainword {question} {text}<|end|>".replace(if template == "prompt_template" { " {text}" } else { "\0" }, "");
        let folder = changed(|t| not_special(t, &names), &[memory(template, &text)]);
        check_plain(&folder, &["<|user|>", "<|end|>", "</s>"], &["<|extra|>", "domainword", "\n\n"]);
    }
    for (template, text) in [("reference_template", "<|extra|> {text}"), ("system_template", "<|extra|> {system}")] {
        check_plain(&changed(|t| not_special(t, &names), &[memory(template, text)]), &["<|extra|>"], &["<|user|>"]);
    }
    // By the other files of a model.
    for (file, content) in [
        ("generation_config.json", json!({"eos_token_id": [2, 1500]})),
        ("generation_config.json", json!({"pad_token_id": 1500})),
        ("tokenizer_config.json", json!({"eos_token": "<|user|>"})),
        ("tokenizer_config.json", json!({"pad_token": {"content": "<|user|>", "special": false}})),
        ("tokenizer_config.json", json!({"additional_special_tokens": ["<|user|>"]})),
        ("tokenizer_config.json", json!({"extra_special_tokens": {"user": "<|user|>"}})),
        ("tokenizer_config.json", json!({"added_tokens_decoder": {"1500": {"content": "<|user|>", "special": true}}})),
        ("tokenizer_config.json", json!({"chat_template": "{{ '<|user|>' + message }} domainword"})),
        ("tokenizer_config.json", json!({"chat_template": [{"name": "default", "template": "<|user|>{{ message }}"}]})),
        ("special_tokens_map.json", json!({"bos_token": {"content": "<|user|>"}})),
        ("chat_template.json", json!({"chat_template": "<|user|>"})),
        ("chat_template.jinja", json!("<|user|>")),
    ] {
        check_plain(&changed(|t| not_special(t, &names), &[(file, content)]), &["<|user|>", "</s>"], &["<|end|>", "domainword", "\n\n"]);
    }
}

/// The digest of the tokenizer, which packs record, is that of its file.
#[test]
fn roles_do_not_change_the_identity() {
    let with = changed(|t| not_special(t, &[]), &[("tokenizer_config.json", json!({"additional_special_tokens": ["Reference:"]}))]);
    let without = changed(|t| not_special(t, &[]), &[]);
    let [with, without] = [with, without].map(|folder| TextTokenizer::load(&folder.file("tokenizer.json")).unwrap());
    assert_eq!(with.digest(), without.digest());
    assert_ne!(with.encode_plain("Reference:").unwrap(), without.encode_plain("Reference:").unwrap());
}

/// A vocabulary in which the names of control tokens are the most probable pieces, as in SentencePiece's files.
#[test]
fn pieces_that_are_control_tokens_are_cut() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokenizer.json");
    let letters = "<>/sabc\u{2581}".chars().map(|c| json!([c.to_string(), -3.0]));
    let vocab: Vec<Value> =
        [json!(["<s>", 0.0]), json!(["</s>", 0.0]), json!(["<unk>", 0.0]), json!(["\u{2581}a", -2.0])].into_iter().chain(letters).collect();
    let special = |id: u32, name: &str| json!({"id": id, "content": name, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [special(0, "<s>"), special(1, "</s>"), special(2, "<unk>")],
        "normalizer": null,
        "pre_tokenizer": {"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "always", "split": true},
        "post_processor": null, "decoder": {"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "always", "split": true},
        "model": {"type": "Unigram", "unk_id": 2, "vocab": vocab, "byte_fallback": false}
    });
    std::fs::write(&path, tokenizer.to_string()).unwrap();
    let t = TextTokenizer::load(&path).unwrap();
    assert_eq!(t.encode_template("</s>").unwrap(), [1]);
    for text in ["a</s>b", "</s></s></s> <s>", "a <s> b", "<</s>/s>", &"</s>".repeat(2000)] {
        let ids = t.encode_plain(text).unwrap();
        assert!(!ids.contains(&0) && !ids.contains(&1), "{text}: {ids:?}");
        let spans = t.encode_spans(text).unwrap();
        assert_eq!(spans.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ids);
        assert!(spans.windows(2).all(|w| w[0].1.start <= w[1].1.start) && spans.iter().all(|(_, span)| text.get(span.clone()).is_some()));
    }
    // What is not known is no control token, and is counted.
    let counted = t.unknown("ab ? zz").unwrap();
    assert_eq!((counted.characters, counted.unknown), (5, 3));
    assert_eq!(counted.share(), 0.6);
    assert_eq!(t.unknown("").unwrap().share(), 0.0);
    assert_eq!(crate::tokenizers::tokenizer().unknown("\u{7b2c} \u{1f980}").unwrap().unknown, 0);
}

#[test]
fn where_a_memory_block_comes_from_is_known() {
    let folder = changed(|_| (), &[]);
    let load = |options: &LoadOptions| Model::load(folder.dir.path(), options).unwrap().memory_source();
    assert_eq!(load(&options()), MemorySource::Model);
    let block = folder.file("block.json");
    std::fs::write(&block, r#"{"tokens_per_head": 4}"#).unwrap();
    assert_eq!(load(&LoadOptions { memory: Some(block), ..options() }), MemorySource::Caller);
    folder.edit("config.json", |c| drop(c.remove("memory")));
    assert_eq!(load(&options()), MemorySource::Default);
    let model = Model::load(folder.dir.path(), &options()).unwrap();
    assert_eq!(model.share().memory_source(), MemorySource::Default);
    assert_eq!(model.with_memory(model.memory().clone()).unwrap().memory_source(), MemorySource::Caller);
}

#[test]
fn a_text_ends_at_the_tokens_of_generation_config() {
    let folder = changed(|_| (), &[("generation_config.json", json!({"eos_token_id": [2, 40], "temperature": 0.6, "top_p": 0.9}))]);
    let model = Model::load(folder.dir.path(), &options()).unwrap();
    assert_eq!((model.config().eos.as_slice(), model.memory().stop_ids.as_slice()), (&[2, 40][..], &[2, 40][..]));
    let without = Model::load(changed(|_| (), &[]).dir.path(), &options()).unwrap();
    assert!(model.identity().differences(without.identity()).is_empty(), "packs of the model stay valid");
    let wrong = changed(|_| (), &[("generation_config.json", json!({"eos_token_id": 1536}))]);
    let error = Model::load(wrong.dir.path(), &options()).err().unwrap().to_string();
    assert_names(&error, &["generation_config.json", "eos_token_id", "below 1536"]);
}
