use std::collections::BTreeSet;

use mempack_model::Exchange;

use super::*;
use proptest::prelude::*;
use serde_json::json;
use utoipa::PartialSchema;

const BOUNDS: Bounds = Bounds { answers: 4, tokens: 100 };

fn chat(more: Value) -> Result<Asked, ApiError> {
    let mut body = json!({"messages": [{"role": "user", "content": "What is it?"}]});
    let (Some(body_fields), Value::Object(more)) = (body.as_object_mut(), more) else { panic!("objects") };
    body_fields.extend(more);
    Asked::chat(body, BOUNDS)
}

/// The field and the code of a refusal.
fn refusal(asked: Result<Asked, ApiError>) -> Option<(String, &'static str)> {
    asked.err().map(|error| (error.param.unwrap_or_default(), error.code))
}

#[test]
fn what_is_left_out_has_its_default() {
    let asked = chat(json!({})).unwrap_or_else(|error| panic!("{error:?}"));
    let question = Prompt::Question { system: None, earlier: Vec::new(), question: "What is it?".into() };
    assert_eq!((asked.prompt, asked.sampling, asked.n, asked.max_tokens), (question, Sampling::Greedy, 1, None));
    assert_eq!((asked.citations, asked.stream, asked.log_probabilities), (Citations::Chunks, false, None));
    assert!(asked.reading.memories && !asked.reading.texts && !asked.reading.exact);
}

#[test]
fn options_mean_what_they_say() {
    let asked = chat(json!({
        "temperature": 0.5, "top_p": 0.9, "seed": -1, "stop": "\n", "max_completion_tokens": 7, "n": 2, "logprobs": true, "top_logprobs": 3,
        "memories": false, "k": 2, "packs": ["legal"], "exact": true, "citations": "tokens", "where": "date > \"2020\"", "strategy": "diverse:0.5",
        "rerank": false, "stream": true, "stream_options": {"include_usage": true}, "user": "me", "tools": [], "logit_bias": null
    }));
    let asked = asked.unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(asked.sampling, Sampling::TopP { temperature: 0.5, top_p: 0.9, seed: u64::MAX });
    assert_eq!((asked.stop, asked.max_tokens, asked.n, asked.log_probabilities), (vec!["\n".to_owned()], Some(7), 2, Some(3)));
    assert_eq!((asked.stream, asked.include_usage, asked.citations), (true, true, Citations::Tokens));
    let ReadingOptions { memories, k, packs, exact, filter, strategy, rerank, .. } = asked.reading;
    assert_eq!((memories, k, packs, exact, rerank), (false, Some(2), Some(vec!["legal".to_owned()]), true, Some(false)));
    assert_eq!((filter, strategy), (Expression::parse("date > \"2020\"").ok(), "diverse:0.5".parse().ok()));
    // A temperature without a seed draws one.
    let seeds: BTreeSet<String> = (0..4).map(|_| format!("{:?}", chat(json!({"temperature": 1})).map(|asked| asked.sampling))).collect();
    assert_eq!(seeds.len(), 4);
    assert_eq!(chat(json!({"temperature": 0, "seed": 3})).map(|asked| asked.sampling), Ok(Sampling::Greedy));
}

#[test]
fn a_wrong_field_is_named() {
    let wrong = "invalid_value";
    for (more, field) in [
        (json!({"temperature": 3}), "temperature"),
        (json!({"temperature": "hot"}), "temperature"),
        (json!({"top_p": 0, "temperature": 1}), "top_p"),
        (json!({"top_p": 0.5}), "top_p"),
        (json!({"n": 0}), "n"),
        (json!({"n": 5}), "n"),
        (json!({"max_tokens": 101}), "max_tokens"),
        (json!({"max_tokens": 0}), "max_tokens"),
        (json!({"max_tokens": -1}), "max_tokens"),
        (json!({"max_tokens": 3, "max_completion_tokens": 4}), "max_tokens"),
        (json!({"stop": ["a", "b", "c", "d", "e"]}), "stop"),
        (json!({"stop": [""]}), "stop"),
        (json!({"stop": 3}), "stop"),
        (json!({"top_logprobs": 2}), "top_logprobs"),
        (json!({"logprobs": true, "top_logprobs": 21}), "top_logprobs"),
        (json!({"stream_options": {"include_usage": true}}), "stream_options"),
        (json!({"citations": "all"}), "citations"),
        (json!({"where": "date >"}), "where"),
        (json!({"strategy": "best"}), "strategy"),
        (json!({"packs": "legal"}), "packs"),
        (json!({"packs": []}), "packs"),
        (json!({"k": "two"}), "k"),
        (json!({"exact": 1}), "exact"),
        (json!({"messages": 3}), "messages"),
        (json!({"stream_options": {"include_usage": 1}, "stream": true}), "stream_options.include_usage"),
        (json!({"texts": true, "memories": true}), "texts"),
        (json!({"messages": []}), "messages"),
        (json!({"messages": [{"role": "assistant", "content": "no"}]}), "messages[0].role"),
        (json!({"messages": [{"role": "user", "content": " "}]}), "messages[0].content"),
        (json!({"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]}), "messages[1].role"),
        (json!({"messages": [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]}), "messages[1].role"),
        (json!({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}), "messages"),
        (json!({"messages": [{"role": "user", "content": "a", "colour": 1}]}), "messages[0].colour"),
    ] {
        assert_eq!(refusal(chat(more.clone())), Some((field.to_owned(), wrong)), "{more}");
    }
    for (more, field) in [
        (json!({"tools": [{}]}), "tools"),
        (json!({"messages": [{"role": "tool", "content": "a"}]}), "messages[0].role"),
        (json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}), "messages[0].content[0].type"),
        (json!({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": [{}]}]}), "messages[1].tool_calls"),
        (json!({"stream": true, "stream_options": {"include_obfuscation": true}}), "stream_options.include_obfuscation"),
    ] {
        assert_eq!(refusal(chat(more.clone())), Some((field.to_owned(), "unsupported_parameter")), "{more}");
    }
}

#[test]
fn a_conversation_has_its_turns() {
    let messages = json!({"messages": [
        {"role": "system", "content": "Be brief."}, {"role": "developer", "content": "Cite."},
        {"role": "user", "content": [{"type": "text", "text": "One"}, {"type": "text", "text": "question"}]},
        {"role": "assistant", "content": "An answer", "annotations": [{"type": "url_citation"}], "tool_calls": []},
        {"role": "user", "content": "Another", "name": "me"}
    ]});
    let expected = Prompt::Question {
        system: Some("Be brief.\n\nCite.".into()),
        earlier: vec![Exchange { question: "One\nquestion".into(), answer: "An answer".into() }],
        question: "Another".into(),
    };
    assert_eq!(chat(messages).map(|asked| asked.prompt), Ok(expected));
}

#[test]
fn completions_continue_texts() {
    let asked = |body| Asked::completion(body, BOUNDS);
    assert_eq!(asked(json!({"prompt": "Once"})).map(|asked| asked.prompt), Ok(Prompt::Continue(vec!["Once".into()])));
    let two = asked(json!({"prompt": ["Once", "Twice"], "logprobs": 0, "echo": false, "suffix": null}));
    assert_eq!(
        two.map(|asked| (asked.prompt, asked.log_probabilities)),
        Ok((Prompt::Continue(vec!["Once".into(), "Twice".into()]), Some(0)))
    );
    assert_eq!(refusal(asked(json!({"prompt": [1, 2]}))), Some(("prompt".into(), "unsupported_parameter")));
    assert_eq!(refusal(asked(json!({"prompt": "Once", "texts": true}))), Some(("texts".into(), "unsupported_parameter")));
    assert_eq!(refusal(asked(json!({"prompt": "Once", "echo": true}))), Some(("echo".into(), "unsupported_parameter")));
    assert_eq!(refusal(asked(json!({"prompt": []}))), Some(("prompt".into(), "invalid_value")));
    assert_eq!(refusal(asked(json!({"prompt": "Once", "messages": []}))), Some(("messages".into(), "unknown_parameter")));
}

/// The names of a schema's properties, of all its parts.
fn properties(schema: &Value) -> BTreeSet<String> {
    let own = schema["properties"].as_object().into_iter().flat_map(|fields| fields.keys().cloned());
    let parts = schema["allOf"].as_array().into_iter().flatten().flat_map(|part| match part["$ref"].as_str() {
        Some(name) if name.ends_with("/Generation") => properties(&json!(Generation::schema())),
        Some(name) if name.ends_with("/Reading") => properties(&json!(Reading::schema())),
        Some(name) if name.ends_with("/ChatFields") => properties(&json!(ChatFields::schema())),
        Some(name) if name.ends_with("/CompletionFields") => properties(&json!(CompletionFields::schema())),
        _ => properties(part),
    });
    own.chain(parts).collect()
}

#[test]
fn the_published_schema_has_the_fields_that_are_accepted() {
    let known = |more: &[&str], less: &[&str]| -> BTreeSet<String> {
        COMMON.iter().chain(more).filter(|name| !less.contains(name)).map(|name| (*name).to_owned()).collect()
    };
    assert_eq!(properties(&json!(ChatRequest::schema())), known(&OF_CHAT, &[]));
    assert_eq!(properties(&json!(CompletionRequest::schema())), known(&OF_COMPLETION, &[]));
}

/// Any JSON of some depth.
fn any_json() -> impl Strategy_<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from)
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map("[a-z_]{1,8}", inner, 0..4).prop_map(|map| map.into_iter().collect::<Value>()),
        ]
    })
}

use proptest::strategy::Strategy as Strategy_;

proptest! {
    #[test]
    fn any_values_are_accepted_or_refused(which in 0..23usize, value in any_json(), other in any_json()) {
        let names: Vec<&str> = COMMON.iter().chain(&OF_CHAT).copied().collect();
        let mut body = json!({"messages": [{"role": "user", "content": "a"}]});
        body["messages"][0]["content"] = other.clone();
        body[names[which]] = value;
        let _ = Asked::chat(body, BOUNDS);
        let _ = Asked::chat(other.clone(), BOUNDS);
        let _ = Asked::completion(json!({"prompt": other}), BOUNDS);
    }
}
