//! `--strategy` of search, ask and eval, through the real binary, with the quick model.
#![cfg(feature = "engine")]

mod common;

use std::sync::Arc;

use common::{Bench, distinct_documents, documents, hits, object, root, run, tiny};
use mempack_model::{EmbedAs, Embedder, LoadOptions};
use mempack_runtime::{MappedPack, Method, OnDamage};
use serde_json::{Value, json};

/// Documents of which some hardly differ.
fn corpus() -> String {
    let dose = |day: usize| {
        let text = format!("The usual dose of Nutepril against gout is 40 mg twice daily, with water, on day {day} of the cure.");
        format!("{}\n", json!({"id": format!("dose{day}"), "text": text}))
    };
    (1..9).map(dose).collect::<String>() + &distinct_documents(20)
}

const QUERY: &str = "What is the usual dose of Nutepril?";

fn search(pack: &str, more: &[&str]) -> Vec<Value> {
    hits(pack, QUERY, more)
}

/// As [`search`], by embeddings alone.
fn dense(pack: &str, more: &[&str]) -> Vec<Value> {
    search(pack, &[&["--search", "dense"], more].concat())
}

/// Maximal marginal relevance by the formula, over the `pool` nearest references.
fn marginal(pack: &MappedPack, query: &[f32], pool: usize, lambda: f32, k: usize) -> Vec<u32> {
    let hits = pack.nearest(query, pool, Method::Exact, OnDamage::Fail).expect("a search");
    let vector = |reference| pack.embedding(reference).expect("an embedding").iter().map(|value| value.get()).collect::<Vec<f32>>();
    let cosine = |a, b| vector(a).iter().zip(vector(b)).map(|(a, b)| a * b).sum::<f32>();
    let mut chosen: Vec<u32> = Vec::new();
    while chosen.len() < k {
        let worth = |hit: &mempack_runtime::Hit| {
            let most = chosen.iter().map(|other| cosine(hit.reference, *other)).reduce(f32::max).unwrap_or(0.0);
            lambda * hit.similarity - (1.0 - lambda) * most
        };
        let left = hits.iter().filter(|hit| !chosen.contains(&hit.reference));
        chosen.extend(left.max_by(|a, b| worth(a).total_cmp(&worth(b))).map(|hit| hit.reference));
    }
    chosen
}

#[test]
fn search_chooses_by_name() {
    let bench = Bench::new();
    let path = bench.pack("corpus", &corpus(), &["--any-language", "--codec", "SQ8"]);
    let top = dense(&path, &[]);
    assert!(documents(&top).iter().all(|id| id.starts_with("dose")), "{top:?}");
    for strategy in ["top-k", "similarity:2", "diverse:1"] {
        assert_eq!(dense(&path, &["--strategy", strategy]), top, "{strategy}");
    }
    // A margin cuts the list where the best is that far away.
    let score = |hit: &Value| hit["score"].as_f64().expect("a score");
    let margin = (score(&top[0]) - score(&top[2])) as f32 + 1e-6;
    let near = dense(&path, &["--strategy", &format!("similarity:{margin}")]);
    assert!(near.len() >= 3 && near[..] == top[..near.len()], "{near:?}");
    assert_eq!(dense(&path, &["--strategy", "similarity:0", "-k", "28"]).len(), 1);

    let pack = Arc::new(MappedPack::open(&path).expect("the pack"));
    let embedder = std::env::var("MEMPACK_EMBEDDER").map_or_else(|_| root().join("models/all-MiniLM-L6-v2"), Into::into);
    let embedder = Embedder::load(&embedder, &LoadOptions::default()).expect("the embedder of `make models`");
    let query = embedder.embed(EmbedAs::Query, &[QUERY]).expect("an embedding");
    for (strategy, lambda, k, pool) in [("diverse", 0.8, 5, 20), ("diverse:0.3", 0.3, 5, 20), ("diverse:0.5", 0.5, 7, 28)] {
        let hits = dense(&path, &["--strategy", strategy, "-k", &k.to_string()]);
        let own: Vec<u32> = hits.iter().map(|hit| hit["reference"].as_u64().expect("a number") as u32).collect();
        assert_eq!(own, marginal(&pack, &query, pool, lambda, k), "{strategy}");
        assert!(own.len() == k && hits[0] == top[0], "the most similar comes first");
        assert!(documents(&hits).iter().any(|id| !id.starts_with("dose")) || lambda > 0.6, "{strategy}: {hits:?}");
    }
    // The other rankings have strategies too, and a batch is as its queries.
    let hybrid = search(&path, &["--strategy", "diverse:0.3", "--search", "hybrid"]);
    assert_ne!(documents(&hybrid), documents(&search(&path, &["--search", "hybrid"])));
    let queries = bench.file("queries.jsonl", format!("{}\n", json!({"id": 1, "query": QUERY})));
    let batch = run(["search", &path, "--queries", &queries, "--json", "--strategy", "diverse:0.3", "--search", "hybrid"]).ok();
    assert_eq!(object(&batch)["hits"], json!(hybrid));
    for wrong in ["mmr", "similarity:-1", "diverse:1.5", "top-k:3", ""] {
        run(["search", &path, QUERY, "--strategy", wrong]).fails(2, &["--strategy", "similarity:MARGIN", "diverse:LAMBDA"]);
    }
}

#[test]
fn packs_beside_each_other_are_compared() {
    let bench = Bench::new();
    let path = bench.pack("corpus", &corpus(), &["--any-language", "--codec", "SQ8"]);
    let (odd, even) = bench.halves(&corpus(), &["--any-language", "--codec", "SQ8"]);
    let whole = search(&path, &["--strategy", "diverse:0.3"]);
    let both = search(&odd, &["--with", &even, "--strategy", "diverse:0.3"]);
    assert_eq!(documents(&whole), documents(&both));
}

#[test]
fn ask_and_eval_read_what_the_strategy_chooses() {
    let bench = Bench::new();
    let pack = bench.pack("corpus", &corpus(), &["--any-language", "--codec", "SQ8"]);
    let tiny = tiny();
    let tiny = tiny.to_str().expect("UTF-8");
    let ask = |strategy: &str| {
        let out = run(["ask", &pack, QUERY, "--json", "--max-tokens", "2", "--model", tiny, "--threads", "1", "--strategy", strategy]).ok();
        object(&out)["chunks"][0]["reads"].as_array().expect("references").clone()
    };
    let (top, diverse, one) = (ask("top-k"), ask("diverse:0.3"), ask("similarity:0"));
    assert_eq!((top.len(), one.len()), (diverse.len(), 1));
    assert_eq!((&top[0], &top[0]), (&diverse[0], &one[0]));
    let k = top.len().to_string();
    assert_eq!(documents(&diverse), documents(&search(&pack, &["--strategy", "diverse:0.3", "-k", &k])));

    let questions =
        bench.file("q.jsonl", format!("{}\n", json!({"id": "1", "question": QUERY, "answers": ["40 mg"], "gold_ids": ["dose3"]})));
    let base = ["eval", &questions, "--pack", &pack, "--model", tiny, "--threads", "1", "--max-tokens", "2", "--modes", "memory_quantized"];
    let eval = |more: &[&str]| run(base.iter().chain(more));
    let report = object(&eval(&["--json"]).ok());
    assert_eq!((&report["search"], &report["strategy"]), (&json!("hybrid"), &json!("top-k")));
    let report = object(&eval(&["--json", "--strategy", "diverse", "--search", "dense"]).ok());
    assert_eq!((&report["search"], &report["strategy"]), (&json!("dense"), &json!("diverse:0.8")));
    let table = eval(&["--strategy", "similarity"]).ok();
    assert!(table.contains("references by hybrid search, similarity:0.2"), "{table}");
    eval(&["--strategy", "top-k,diverse"]).fails(2, &["--strategy", "only --retrieval"]);

    let compare = |more: &[&str]| {
        let args = ["eval", "--retrieval", &questions, "--pack", &pack, "--threads", "1", "--json"];
        object(&run(args.iter().chain(more)).ok())["strategies"].as_array().expect("strategies").clone()
    };
    let rows = compare(&[]);
    let name = |row: &Value| format!("{} {}", row["stage"].as_str().expect("a stage"), row["strategy"].as_str().expect("a strategy"));
    let stages = ["dense", "lexical", "hybrid"];
    let all = stages.iter().flat_map(|stage| ["top-k", "similarity:0.2", "diverse:0.8"].map(|strategy| format!("{stage} {strategy}")));
    assert_eq!(rows.iter().map(name).collect::<Vec<_>>(), all.collect::<Vec<_>>());
    let rows = compare(&["--search", "dense", "--strategy", "diverse:0.3,top-k,similarity:0"]);
    assert_eq!(rows.iter().map(name).collect::<Vec<_>>(), ["dense diverse:0.3", "dense top-k", "dense similarity:0"]);
    let novel = |row: &Value| row["novel_information"]["mean"].as_f64();
    // References that hardly differ bring little that is new; one reference alone has none before it.
    assert!(novel(&rows[0]) > novel(&rows[1]) && novel(&rows[1]) < Some(0.3), "{rows:?}");
    assert_eq!((novel(&rows[2]), &rows[2]["references"], &rows[0]["references"]), (None, &json!(1.0), &json!(5.0)));
    assert!(rows.iter().all(|row| row["search_ms"].as_f64() > Some(0.0) && row["recall_at_5"]["n"] == json!(1)));
}
