//! An embedder with prompts, from build to search: the real binary.
#![cfg(feature = "engine")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Bench, SMALL, json_lines, root, run};
use mempack_format::Tag;
use mempack_model::{DeviceChoice, EmbedAs, Embedder, LoadOptions, Precision};
use mempack_runtime::MappedPack;
use serde_json::{Value, json};

const QUERY: &str = "how much Nutepril should be taken?";

fn minilm() -> PathBuf {
    let folder = std::env::var_os("MEMPACK_EMBEDDER").map_or_else(|| root().join("models/all-MiniLM-L6-v2"), PathBuf::from);
    fs::canonicalize(folder).expect("the embedder is in place; `make` puts it there")
}

/// MiniLM with these prompts.
fn embedder(bench: &Bench, name: &str, prompts: &Value) -> String {
    let folder = PathBuf::from(bench.path(name));
    fs::create_dir(&folder).expect("writable");
    for file in ["config.json", "tokenizer.json", "model.safetensors", "sentence_bert_config.json", "1_Pooling"] {
        std::os::unix::fs::symlink(minilm().join(file), folder.join(file)).expect("writable");
    }
    fs::write(folder.join("config_sentence_transformers.json"), json!({ "prompts": prompts }).to_string()).expect("writable");
    bench.path(name)
}

fn load(folder: &Path) -> Embedder {
    mempack_model::set_threads(1);
    Embedder::load(folder, &LoadOptions { precision: Precision::F32, device: DeviceChoice::Cpu, ..LoadOptions::default() })
        .expect("an embedder")
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn embedding(pack: &str, number: u32) -> Vec<f32> {
    MappedPack::open(pack).expect("a pack").embedding(number).expect("an embedding").iter().map(|x| x.get()).collect()
}

#[test]
fn references_are_passages_and_questions_are_queries() {
    let bench = Bench::new();
    let prompted = embedder(&bench, "prompted", &json!({"query": "query: ", "passage": "passage: "}));
    let other = embedder(&bench, "other", &json!({"query": "ask: "}));
    let pack = bench.pack("prompted", SMALL, &["--embedder", &prompted, "--codec", "bf16"]);
    let plain = bench.pack("plain", SMALL, &["--codec", "bf16"]);
    run(["verify", &pack]).ok();

    // The references are embedded behind the passage prompt.
    let text = MappedPack::open(&pack).expect("a pack").text(0).expect("a text");
    assert_eq!(text, MappedPack::open(&plain).expect("a pack").text(0).expect("a text"));
    let bare = load(&minilm());
    let near = |a: &[f32], b: &[f32]| (dot(a, b) - 1.0).abs() < 1e-4;
    let whole = [format!("Nutepril\n{text}"), format!("Nutepril\n\n{text}"), text].into_iter();
    let whole = whole.into_iter().find(|whole| near(&embedding(&plain, 0), &bare.embed(EmbedAs::Passage, &[whole]).expect("a vector")));
    let whole = whole.expect("what is embedded is the text, with its title");
    let passage = bare.embed(EmbedAs::Passage, &[&format!("passage: {whole}")]).expect("a vector");
    assert!(near(&embedding(&pack, 0), &passage));

    // Queries are embedded behind the query prompt.
    let found = run(["search", &pack, QUERY, "--embedder", &prompted, "--search", "dense", "--json"]).ok();
    let hit = &json_lines(&found)[0]["hits"][0];
    assert_eq!(hit["document"], "a");
    let query = bare.embed(EmbedAs::Query, &[&format!("query: {QUERY}")]).expect("a vector");
    let similarity = hit["score"].as_f64().expect("a number") as f32;
    assert!((similarity - dot(&query, &passage)).abs() < 1e-4, "{similarity}");
    assert!((similarity - dot(&bare.embed(EmbedAs::Query, &[QUERY]).expect("a vector"), &passage)).abs() > 1e-3);

    // So does a session for each chunk.
    let model = common::tiny();
    let model = model.to_string_lossy();
    let asked = run(["ask", &pack, QUERY, "--model", &model, "--embedder", &prompted, "--search", "dense", "--json"]).ok();
    let chunk = &json_lines(&asked)[0]["chunks"][0];
    let read = &chunk["reads"][0];
    let text = chunk["query"].as_str().expect("a query");
    let similarity = read["score"].as_f64().expect("a number") as f32;
    let query = bare.embed(EmbedAs::Query, &[&format!("query: {text}")]).expect("a vector");
    assert!((similarity - dot(&query, &passage)).abs() < 1e-4, "{text}: {similarity}");

    // The pack says so.
    let prompts = |pack: &str| {
        let said: Value = serde_json::from_str(&run(["inspect", pack, "--json"]).ok()).expect("JSON");
        said["embedder"]["prompts"].clone()
    };
    assert_eq!(prompts(&pack), json!({"query": "query: ", "passage": "passage: "}));
    assert_eq!(prompts(&plain), Value::Null);
    assert!(run(["inspect", &pack]).ok().contains(r#"prompts    query prompt "query: " and passage prompt "passage: ""#));
    assert!(!run(["inspect", &plain]).ok().contains("prompt"));
    // A section of their own, in packs that need it.
    let has_prompts = |pack: &str| MappedPack::open(pack).expect("a pack").sections().iter().any(|section| section.tag == Tag::PROMPTS);
    assert_eq!((has_prompts(&pack), has_prompts(&plain)), (true, false));
    let revoked = bench.path("revoked.mpk");
    run(["revoke", &pack, "--document", "b", "-o", &revoked]).ok();
    assert_eq!(prompts(&revoked), prompts(&pack));

    // An embedder with other prompts is refused, and the error quotes the prompts that the pack needs.
    let needed = r#"query prompt "query: " and passage prompt "passage: ""#;
    run(["search", &pack, QUERY]).fails(4, &[&format!("prompts ({needed}, not no prompts)")]);
    run(["search", &pack, QUERY, "--embedder", &other])
        .fails(4, &[&format!(r#"prompts ({needed}, not query prompt "ask: " and passage prompt "")"#)]);
    run(["search", &plain, QUERY, "--embedder", &prompted]).fails(4, &[&format!("prompts (no prompts, not {needed})")]);
    run(["search", &pack, QUERY, "--with", &plain, "--embedder", &prompted]).fails(4, &[needed]);
    let again = bench.path("again.mpk");
    let corpus = bench.path("prompted.jsonl");
    let args = ["build", &corpus, "-o", &again, "--model", &model, "--codec", "bf16", "--from", &pack].map(String::from);
    run(&args).fails(4, &[needed]);
    run(args.into_iter().chain(["--embedder".into(), prompted])).ok();
    assert_eq!(embedding(&again, 0), embedding(&pack, 0));
}

#[test]
fn an_embedder_with_prompts_of_other_tasks_is_refused() {
    let bench = Bench::new();
    let tasks = embedder(&bench, "tasks", &json!({"query": "query: ", "clustering": "cluster: "}));
    let (pack, corpus) = (bench.path("none.mpk"), bench.file("small.jsonl", SMALL));
    let words = ["tasks/config_sentence_transformers.json", "prompts.clustering", "keep the prompts for search"];
    run(common::build_args(&corpus, &pack, &["--embedder", &tasks])).fails(1, &words);
    assert!(!Path::new(&pack).exists());
}
