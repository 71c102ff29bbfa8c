//! Models and embedders that cannot do what is asked of them say so.
#![cfg(feature = "engine")]

mod common;

use std::fs;

use common::{Bench, build_args, run, tiny};
use serde_json::{Value, json};

/// Statutes in Chinese, of which MiniLM's vocabulary lacks most characters, and English sentences.
fn corpus(chinese: usize, english: usize) -> String {
    let row = |text: String| json!({"text": text}).to_string() + "\n";
    let statute =
        |n: usize| row(format!("第{n}条 承租人逾期不支付租金的，出租人可以请求其在合理期限内支付；仍不支付的，出租人可以解除合同。"));
    let sentence =
        |n: usize| row(format!("Rule {n}: the tenant who does not pay the rent in time is warned once, and then the lease may be ended."));
    (0..chinese).map(statute).chain((0..english).map(sentence)).collect()
}

#[test]
fn a_corpus_in_a_language_that_the_embedder_does_not_know_is_refused() {
    let bench = Bench::new();
    let (input, pack) = (bench.file("zh.jsonl", corpus(12, 0)), bench.path("zh.mpk"));
    let args = |more: &[&'static str]| build_args(&input, &pack, &[&["--codec", "SQ8"], more].concat());
    run(args(&[])).fails(1, &["embedder", "does not know", "% of the characters", "--any-language", "--embedder"]);
    assert_eq!(bench.names(), ["zh.jsonl"], "nothing is left behind");
    let allowed = run(args(&["--any-language"]));
    assert!(allowed.err.contains("warning: the embedder") && allowed.err.contains("% of the characters"), "{}", allowed.err);
    allowed.ok();
    // A tenth is worth a warning, a hundredth none.
    let some = run(build_args(&bench.file("some.jsonl", corpus(4, 12)), &bench.path("some.mpk"), &["--codec", "SQ8"]));
    assert!(some.err.contains("warning: the embedder"), "{}", some.err);
    some.ok();
    let few = run(build_args(&bench.file("few.jsonl", corpus(1, 60)), &bench.path("few.mpk"), &["--codec", "SQ8"]));
    assert!(!few.err.contains("warning"), "{}", few.err);
    few.ok();
}

#[test]
fn a_model_that_was_not_trained_to_read_says_so() {
    let bench = Bench::new();
    let folder = bench.path("bare");
    fs::create_dir(&folder).unwrap();
    for file in ["model.safetensors", "tokenizer.json"] {
        fs::copy(tiny().join(file), format!("{folder}/{file}")).unwrap();
    }
    let mut config: Value = serde_json::from_slice(&fs::read(tiny().join("config.json")).unwrap()).unwrap();
    config.as_object_mut().unwrap().remove("memory");
    fs::write(format!("{folder}/config.json"), config.to_string()).unwrap();
    let pack = bench.path("p.mpk");
    let input = bench.file("c.jsonl", corpus(0, 3));
    let built = run(["build", &input, "-o", &pack, "--model", &folder, "--codec", "SQ8"]);
    assert!(built.err.contains("warning: the model bare has no `memory` block"), "{}", built.err);
    built.ok();
    let asked = run(["ask", &pack, "Who is warned?", "--model", &folder, "--max-tokens", "4"]);
    assert!(asked.err.contains("has no `memory` block") && asked.err.contains("mempack train"), "{}", asked.err);
    asked.ok();
    // A model with a block of its own is not suspected.
    let trained = bench.pack("t", &corpus(0, 3), &["--codec", "SQ8"]);
    let asked = run(["ask", &trained, "Who is warned?", "--model", tiny().to_str().unwrap(), "--max-tokens", "4"]);
    assert!(!asked.err.contains("warning"), "{}", asked.err);
}

#[test]
fn an_empty_answer_is_called_empty() {
    let bench = Bench::new();
    // The whole vocabulary ends the answer.
    let folder = bench.path("silent");
    fs::create_dir(&folder).unwrap();
    for file in ["model.safetensors", "tokenizer.json"] {
        fs::copy(tiny().join(file), format!("{folder}/{file}")).unwrap();
    }
    let mut config: Value = serde_json::from_slice(&fs::read(tiny().join("config.json")).unwrap()).unwrap();
    config["eos_token_id"] = (0..1536).collect();
    fs::write(format!("{folder}/config.json"), config.to_string()).unwrap();
    let pack = bench.path("p.mpk");
    run(["build", &bench.file("c.jsonl", corpus(0, 3)), "-o", &pack, "--model", &folder, "--codec", "SQ8"]).ok();
    let asked = run(["ask", &pack, "Who is warned?", "--model", &folder]);
    assert!(asked.err.contains("the answer is empty"), "{}", asked.err);
    asked.ok();
}
