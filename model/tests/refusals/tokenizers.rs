//! Tokenizers, and models as a whole.

use mempack_model::{
    DeviceChoice, LoadError, LoadOptions, Model, Precision, TextStream, TextTokenizer, context_tokens, prompt_tokens, reference_tokens,
};

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
    let set = |field: &str, value: serde_json::Value| {
        other.edit("config.json", |c| drop(c["memory"].as_object_mut().unwrap().insert(field.into(), value)));
        let changed = Model::load(other.dir.path(), &options()).unwrap();
        identity.differences(changed.identity()).iter().map(|d| d.field).collect::<Vec<_>>()
    };
    assert!(set("similarity_bias", 7.into()).is_empty());
    assert!(set("prompt_template", "{question}".into()).is_empty());
    assert_eq!(set("tokens_per_head", 4.into()), ["tokens per head"]);
    assert_eq!(set("reference_template", " {text}".into()), ["tokens per head", "reference template"]);
}
