//! `--reranker memory` of search, ask and eval, through the real binary, with the tiny model.
#![cfg(feature = "engine")]

mod common;

use std::fs;
use std::path::Path;

use common::{Bench, documents, doses, hits, json_lines, object, rerank_score as score, root, run, tiny};
use mempack_model::{DeviceChoice, LoadOptions, Model, Slot};
use mempack_runtime::{MappedPack, MemoryCache};
use serde_json::{Value, json};

const QUERY: &str = "What is the usual dose of Nutepril?";

fn pack(bench: &Bench) -> String {
    bench.pack("corpus", &doses(), &["--any-language", "--codec", "SQ8"])
}

/// The hits of `search` reranked by memories.
fn search(pack: &str, more: &[&str]) -> Vec<Value> {
    let tiny = tiny().to_string_lossy().into_owned();
    hits(pack, QUERY, &[&["--reranker", "memory", "--model", tiny.as_str()], more].concat())
}

fn similarity(hit: &Value) -> f32 {
    hit["score"].as_f64().expect("a similarity") as f32
}

/// The number of each document's only reference in the pack: the documents' order.
fn number(hit: &Value) -> u32 {
    let ids: Vec<String> = json_lines(&doses()).iter().map(|row| row["id"].as_str().expect("an id").to_owned()).collect();
    ids.iter().position(|id| hit["document"] == id.as_str()).expect("a document") as u32
}

#[test]
fn search_orders_by_the_attention_to_memories() {
    let bench = Bench::new();
    let pack = pack(&bench);
    let found = hits(&pack, QUERY, &["-k", "20"]);
    let ranked = search(&pack, &["-k", "20"]);
    let sorted = |hits: &[Value]| {
        let mut ids: Vec<String> = documents(hits).into_iter().map(str::to_owned).collect();
        ids.sort();
        ids
    };
    assert_eq!(sorted(&ranked), sorted(&found));
    assert_ne!(documents(&ranked), documents(&found));
    assert!(ranked.windows(2).all(|pair| score(&pair[0]) >= score(&pair[1])), "{ranked:?}");
    // The library's scores of the same memories.
    let model = Model::load(&tiny(), &LoadOptions { device: DeviceChoice::Cpu, ..LoadOptions::default() }).expect("the tiny model");
    let (mapped, cache) = (MappedPack::open(Path::new(&pack)).expect("the pack"), MemoryCache::default());
    let memories: Vec<_> = found.iter().map(|hit| cache.get(&mapped, number(hit)).expect("a memory")).collect();
    let slots: Vec<Slot<'_>> = memories.iter().zip(&found).map(|(memory, hit)| Slot { memory, similarity: similarity(hit) }).collect();
    for (hit, expected) in found.iter().zip(model.memory_scores(QUERY, &slots).expect("scores")) {
        let own = ranked.iter().find(|own| own["document"] == hit["document"]).expect("the same hit");
        assert!((score(own) - expected).abs() < 1e-5 && similarity(own) == similarity(hit), "{expected} {own}");
    }
    // Fewer are scored; others follow. The reranker's order is what a strategy chooses in.
    let few = search(&pack, &["-k", "12", "--rerank-depth", "4"]);
    assert_eq!(sorted(&few[..4]), sorted(&found[..4]));
    assert_eq!(few[4..], found[4..12], "without scores");
    assert_eq!(documents(&search(&pack, &["--strategy", "diverse:1"])), documents(&ranked[..5]));
    let long = bench.file("queries.jsonl", format!("{}\n", json!({"id": 1, "query": "dose ?! ".repeat(9000)})));
    let tiny = tiny().to_string_lossy().into_owned();
    let rows = json_lines(&run(["search", &pack, "--queries", &long, "--json", "--reranker", "memory", "--model", &tiny]).ok());
    assert_eq!(rows[0]["hits"].as_array().map(Vec::len), Some(5));
}

#[test]
fn ask_and_eval_read_in_the_order_of_the_memories() {
    let bench = Bench::new();
    let (pack, tiny) = (pack(&bench), tiny().to_string_lossy().into_owned());
    let common = ["--model", &tiny, "--threads", "1", "--max-tokens", "2", "--reranker", "memory", "--json"];
    let answer = object(&run(["ask", &pack, QUERY].iter().chain(&common)).ok());
    let reads = answer["chunks"][0]["reads"].as_array().expect("reads");
    let ranked = search(&pack, &["-k", &reads.len().to_string()]);
    assert_eq!(documents(reads), documents(&ranked));
    assert!(reads.iter().zip(&ranked).all(|(read, hit)| (score(read) - score(hit)).abs() < 1e-5), "{reads:?} {ranked:?}");

    let row = json!({"id": "1", "question": QUERY, "answers": ["40 mg"], "gold_ids": ["dose3"]});
    let questions = bench.file("q.jsonl", format!("{row}\n"));
    let modes = "closed_book,memory,memory_quantized,memory_gold";
    let report = object(&run(["eval", &questions, "--pack", &pack, "--modes", modes, "--sweep", "tokens"].iter().chain(&common)).ok());
    assert_eq!(report["reranker"], json!({"name": "memory", "depth": 20}));
    let details = bench.path("details.jsonl");
    let base = ["eval", "--retrieval", &questions, "--pack", &pack, "--model", &tiny, "--reranker", "memory", "--threads", "1"];
    let report = object(&run(base.iter().chain(&["--json", "--details", &details])).ok());
    assert_eq!(report["reranker"], json!({"name": "memory", "depth": 20}));
    let asked = json_lines(&fs::read_to_string(&details).expect("details")).remove(0);
    for (stage, ranking) in [(3, "dense"), (4, "hybrid")] {
        let hits = search(&pack, &["-k", "20", "--search", ranking]);
        assert_eq!(asked["stages"][stage]["found"], json!(documents(&hits)), "{ranking}");
    }
}

#[test]
fn damaged_memories_have_no_score() {
    let bench = Bench::new();
    let pack = pack(&bench);
    let sections = object(&run(["inspect", &pack, "--json"]).ok())["sections"].clone();
    let memories = sections.as_array().expect("sections").iter().find(|section| section["name"] == "MEMORIES").expect("memories").clone();
    let [offset, bytes] = ["offset", "bytes"].map(|field| memories[field].as_u64().unwrap_or_else(|| panic!("{memories}")) as usize);
    let best = &search(&pack, &["-k", "20"])[0];
    let record = bytes / json_lines(&doses()).len();
    let mut content = fs::read(&pack).expect("the pack");
    content[offset + record * number(best) as usize + record / 2] ^= 1;
    let damaged = bench.file("damaged.mpk", content);
    let tiny = tiny().to_string_lossy().into_owned();
    run(["search", &damaged, QUERY, "--reranker", "memory", "--model", &tiny]).fails(3, &["damaged.mpk", "MEMORIES"]);
    let left = search(&damaged, &["-k", "20", "--skip-damaged"]);
    assert_eq!(left[19]["document"], best["document"]);
    assert!(left[19].get("rerank_score").is_none() && left[..19].iter().all(|hit| hit.get("rerank_score").is_some()), "{left:?}");
}

#[test]
fn another_model_is_refused_and_a_folder_called_memory_is_a_folder() {
    let bench = Bench::new();
    let pack = pack(&bench);
    let other = bench.tiny("other");
    let config = Path::new(&other).join("config.json");
    let text = fs::read_to_string(&config).expect("config.json").replace("\"tokens_per_head\": 8", "\"tokens_per_head\": 4");
    fs::write(&config, text).expect("config.json");
    let question = bench.file("q.jsonl", format!("{}\n", json!({"id": "1", "question": "x", "answers": ["y"], "gold_ids": ["dose1"]})));
    let absent = bench.path("absent");
    for command in [
        vec!["search", &pack, QUERY],
        vec!["ask", &pack, QUERY],
        vec!["eval", &question, "--pack", &pack],
        vec!["eval", "--retrieval", &question, "--pack", &pack],
    ] {
        let with = |model: &str| run(command.iter().copied().chain(["--reranker", "memory", "--model", model]));
        with(&other).fails(4, &["the pack was built with the model", "--model DIR"]);
        with(&absent).fails(1, &["absent", "no such folder"]);
    }
    // `memory` is the model's own, whatever folders there are; `./memory` is one of them.
    let reranker = root().join("model/tests/golden/tiny-bert-reranker");
    let folder = Path::new(&bench.path("memory")).to_owned();
    fs::create_dir(&folder).expect("a new folder");
    for file in fs::read_dir(reranker).expect("the reranker") {
        let file = file.expect("a file");
        fs::copy(file.path(), folder.join(file.file_name())).expect("a copy");
    }
    let there = |reranker: &str| {
        let tiny = tiny().to_string_lossy().into_owned();
        let args = ["search", &pack, QUERY, "--json", "-k", "1", "--model", &tiny, "--reranker", reranker];
        let out = common::mempack(args).current_dir(folder.parent().expect("the bench")).output().expect("mempack starts");
        json_lines(&common::Ran::of(out).ok())[0]["hits"][0].clone()
    };
    let cross_encoder = hits(&pack, QUERY, &["-k", "1", "--reranker", &folder.to_string_lossy()]).remove(0);
    assert_eq!(there("./memory"), cross_encoder);
    assert_ne!(score(&there("memory")), score(&cross_encoder));
}
