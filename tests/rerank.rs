//! `--reranker` of search, ask and eval, through the real binary, with small random cross-encoders.
#![cfg(feature = "engine")]

mod common;

use std::fs;
use std::path::Path;

use common::{Bench, documents, doses, hits, json_lines, object, rerank_score as score, root, run, tiny};
use mempack_model::{DeviceChoice, LoadOptions, Reranker};
use serde_json::{Value, json};

const QUERY: &str = "What is the usual dose of Nutepril?";

fn folder(name: &str) -> String {
    root().join("model/tests/golden").join(name).to_string_lossy().into_owned()
}

fn bert() -> String {
    folder("tiny-bert-reranker")
}

fn pack(bench: &Bench) -> String {
    bench.pack("corpus", &doses(), &["--any-language", "--codec", "SQ8"])
}

fn search(pack: &str, more: &[&str]) -> Vec<Value> {
    hits(pack, QUERY, more)
}

/// Hits without the scores of a reranker, by document.
fn plain(hits: &[Value]) -> Vec<Value> {
    let mut hits = hits.to_vec();
    hits.iter_mut().for_each(|hit| drop(hit.as_object_mut().expect("a hit").remove("rerank_score")));
    hits.sort_by_key(|hit| hit["document"].to_string());
    hits
}

/// A copy of a reranker all of whose weights are 0, so that all scores are equal.
fn indifferent(bench: &Bench) -> String {
    let copy = bench.path("indifferent");
    fs::create_dir(&copy).expect("a new folder");
    for file in fs::read_dir(bert()).expect("the reranker") {
        let file = file.expect("a file");
        fs::copy(file.path(), Path::new(&copy).join(file.file_name())).expect("a copy");
    }
    let weights = Path::new(&copy).join("model.safetensors");
    let mut bytes = fs::read(&weights).expect("weights");
    let start = 8 + u64::from_le_bytes(bytes[..8].try_into().expect("a length")) as usize;
    bytes[start..].fill(0);
    fs::write(&weights, bytes).expect("weights");
    copy
}

#[test]
fn search_orders_by_the_scores_of_pairs() {
    let bench = Bench::new();
    let pack = pack(&bench);
    let found = search(&pack, &["-k", "20"]);
    assert!(found.iter().all(|hit| hit.get("rerank_score").is_none()));
    for name in ["tiny-bert-reranker", "tiny-xlmr-reranker"] {
        let reranker = folder(name);
        let ranked = search(&pack, &["-k", "20", "--reranker", &reranker]);
        // The same hits with the same similarities, in the order of the scores.
        assert_eq!(plain(&ranked), plain(&found), "{name}");
        assert_ne!(documents(&ranked), documents(&found), "{name}");
        assert!(ranked.windows(2).all(|pair| score(&pair[0]) >= score(&pair[1])), "{ranked:?}");
        let options = LoadOptions { device: DeviceChoice::Cpu, ..LoadOptions::default() };
        let library = Reranker::load(Path::new(&reranker), &options).expect("the reranker");
        for hit in &ranked {
            let [title, text] = ["title", "text"].map(|field| hit[field].as_str().expect("a string"));
            let text = if title.is_empty() { text.to_owned() } else { format!("{title}. {text}") };
            let expected = library.score_pairs(QUERY, &[&text]).expect("a score")[0];
            assert!((score(hit) - expected).abs() < 1e-4, "{expected} {hit}");
        }
        // The first k of the reranker, among the same candidates.
        assert_eq!(search(&pack, &["-k", "3", "--reranker", &reranker]), ranked[..3]);
        // One hit whose similarity is the largest of the five.
        let one = search(&pack, &["--reranker", &reranker, "--strategy", "similarity:0"]);
        let most = ranked[..5].iter().max_by(|a, b| a["score"].as_f64().partial_cmp(&b["score"].as_f64()).expect("numbers"));
        assert_eq!(Some(&one[0]), most);
        assert_eq!(documents(&search(&pack, &["--reranker", &reranker, "--strategy", "diverse:1"])), documents(&ranked[..5]));
        let diverse = search(&pack, &["--reranker", &reranker, "--strategy", "diverse:0.3"]);
        assert_eq!(diverse[0], ranked[0]);
        assert!(diverse.iter().all(|hit| ranked.contains(hit)) && documents(&diverse) != documents(&ranked[..5]));
    }
}

#[test]
fn what_is_not_scored_follows_in_the_order_of_the_search() {
    let bench = Bench::new();
    let pack = pack(&bench);
    let (reranker, found) = (bert(), search(&pack, &["-k", "12"]));
    let ranked = search(&pack, &["-k", "12", "--reranker", &reranker, "--rerank-depth", "4"]);
    assert_eq!(plain(&ranked[..4]), plain(&found[..4]));
    assert!(ranked[..4].windows(2).all(|pair| score(&pair[0]) >= score(&pair[1])));
    assert_eq!(ranked[4..], found[4..], "without scores");
    assert_eq!(search(&pack, &["-k", "12", "--reranker", &reranker, "--rerank-depth", "1"])[1..], found[1..]);
    // Equal scores change nothing.
    let same = search(&pack, &["-k", "12", "--reranker", &indifferent(&bench)]);
    assert_eq!(documents(&same), documents(&found));
    assert!(same.iter().all(|hit| hit["rerank_score"] == json!(0.0)));
    // A file of queries, other rankings, and people.
    let queries =
        bench.file("queries.jsonl", format!("{}\n{}\n", json!({"id": 1, "query": QUERY}), json!({"id": 2, "query": "?! ".repeat(9000)})));
    let rows = json_lines(&run(["search", &pack, "--queries", &queries, "--json", "--reranker", &reranker]).ok());
    assert_eq!(documents(rows[0]["hits"].as_array().expect("hits")), documents(&search(&pack, &["--reranker", &reranker])));
    assert_eq!(rows[1]["hits"].as_array().map(Vec::len), Some(5));
    let hybrid = search(&pack, &["--search", "hybrid", "--reranker", &reranker]);
    let text = run(["search", &pack, QUERY, "--search", "hybrid", "--reranker", &reranker]).ok();
    let line = format!("{:.3}  {:.3}  {} [", hybrid[0]["score"].as_f64().expect("a number"), score(&hybrid[0]), documents(&hybrid)[0]);
    assert!(text.starts_with(&line), "{line} {text}");
}

#[test]
fn damaged_texts_have_no_score() {
    let bench = Bench::new();
    let (pack, reranker) = (pack(&bench), bert());
    let sections = object(&run(["inspect", &pack, "--json"]).ok())["sections"].clone();
    let text = sections.as_array().expect("sections").iter().find(|section| section["name"] == "TEXT").expect("texts").clone();
    let mut bytes = fs::read(&pack).expect("the pack");
    bytes[text["offset"].as_u64().expect("a number") as usize + 100] ^= 1;
    let damaged = bench.file("damaged.mpk", bytes);
    run(["search", &damaged, QUERY, "--reranker", &reranker]).fails(3, &["damaged.mpk", "TEXT"]);
    let out = run(["search", &damaged, QUERY, "--reranker", &reranker, "-k", "20", "--json", "--skip-damaged"]).ok();
    let hits = json_lines(&out)[0]["hits"].as_array().expect("hits").clone();
    let known = hits.iter().position(|hit| hit["text"].is_null()).expect("a damaged text");
    assert!(hits.len() == 20 && hits[known..].iter().all(|hit| hit["text"].is_null() && hit.get("rerank_score").is_none()), "{hits:?}");
    assert!(hits[..known].windows(2).all(|pair| score(&pair[0]) >= score(&pair[1])));
    let found = search(&pack, &["-k", "20"]);
    let order: Vec<&str> = documents(&found).into_iter().filter(|id| documents(&hits[known..]).contains(id)).collect();
    assert_eq!(documents(&hits[known..]), order, "in the order of the search");
}

#[test]
fn packs_beside_each_other_are_reranked_together() {
    let bench = Bench::new();
    let whole = pack(&bench);
    let ((odd, even), reranker) = (bench.halves(&doses(), &["--any-language", "--codec", "SQ8"]), bert());
    let both = search(&odd, &["--with", &even, "--reranker", &reranker]);
    let whole = search(&whole, &["--reranker", &reranker]);
    let near = |(a, b): (&Value, &Value)| (score(a) - score(b)).abs() < 1e-4;
    assert!(both.len() == 5 && both.iter().zip(&whole).all(near), "{both:?} {whole:?}");
}

#[test]
fn ask_and_eval_read_in_the_order_of_the_reranker() {
    let bench = Bench::new();
    let (pack, reranker, tiny) = (pack(&bench), bert(), tiny());
    let tiny = tiny.to_str().expect("UTF-8");
    let common = ["--model", tiny, "--threads", "1", "--max-tokens", "2", "--json"];
    let ask = |more: &[&str]| object(&run(["ask", &pack, QUERY].iter().chain(&common).chain(more)).ok())["chunks"][0]["reads"].clone();
    let reads = ask(&["--reranker", &reranker]);
    let reads = reads.as_array().expect("reads");
    let k = reads.len().to_string();
    let hits = search(&pack, &["-k", &k, "--reranker", &reranker]);
    assert_eq!(documents(reads), documents(&hits));
    for (read, hit) in reads.iter().zip(&hits) {
        // The similarity of the search, which the bias weighs by.
        let similarity = |hit: &Value| hit["score"].as_f64().expect("a similarity");
        assert!((similarity(read) - similarity(hit)).abs() < 1e-6 && (score(read) - score(hit)).abs() < 1e-4, "{read} {hit}");
    }
    assert!(ask(&[]).as_array().expect("reads").iter().all(|read| read.get("rerank_score").is_none()));

    let row = json!({"id": "1", "question": QUERY, "answers": ["40 mg"], "gold_ids": ["dose3"]});
    let questions = bench.file("q.jsonl", format!("{row}\n"));
    let eval = |more: &[&str]| run(["eval", &questions, "--pack", &pack, "--modes", "memory_quantized"].iter().chain(&common).chain(more));
    let named = json!({"name": "tiny-bert-reranker", "depth": 7});
    assert_eq!(object(&eval(&["--reranker", &reranker, "--rerank-depth", "7"]).ok())["reranker"], named);
    assert!(object(&eval(&[]).ok()).get("reranker").is_none());

    let details = bench.path("details.jsonl");
    let base = ["eval", "--retrieval", &questions, "--pack", &pack, "--threads", "1", "--reranker", &reranker];
    let report = object(&run(base.iter().chain(&["--json", "--details", &details])).ok());
    let names =
        |report: &Value| report["stages"].as_array().expect("stages").iter().map(|stage| stage["stage"].clone()).collect::<Vec<_>>();
    assert_eq!(names(&report), ["dense", "lexical", "hybrid", "dense+rerank", "hybrid+rerank"]);
    assert_eq!(report["reranker"], json!({"name": "tiny-bert-reranker", "depth": 20}));
    assert_eq!(report["strategies"].as_array().map(Vec::len), Some(15));
    let asked = json_lines(&fs::read_to_string(&details).expect("details")).remove(0);
    for (stage, ranking) in [(3, "dense"), (4, "hybrid")] {
        let hits = search(&pack, &["-k", "20", "--search", ranking, "--reranker", &reranker]);
        assert_eq!(asked["stages"][stage]["found"], json!(documents(&hits)), "{ranking}");
    }
    let one = object(&run(base.iter().chain(&["--json", "--search", "lexical"])).ok());
    assert_eq!(names(&one), ["lexical", "lexical+rerank"]);
    let table = run(base).ok();
    assert!(table.contains("+rerank: the best 20 references by tiny-bert-reranker") && table.contains("hybrid+rerank - dense"), "{table}");
}

#[test]
fn folders_of_another_kind_are_refused_before_the_search() {
    let bench = Bench::new();
    let pack = pack(&bench);
    let embedder =
        std::env::var("MEMPACK_EMBEDDER").unwrap_or_else(|_| root().join("models/all-MiniLM-L6-v2").to_string_lossy().into_owned());
    let tiny = tiny().to_string_lossy().into_owned();
    let (empty, absent) = (bench.path("empty"), bench.path("absent"));
    fs::create_dir(&empty).expect("a new folder");
    let question = bench.file("q.jsonl", format!("{}\n", json!({"id": "1", "question": "x", "answers": ["y"], "gold_ids": ["d1"]})));
    for (reranker, words) in [
        (&embedder, ["`BertModel`", "BertForSequenceClassification"]),
        (&tiny, ["a language model", "XLMRobertaForSequenceClassification"]),
        (&empty, ["an empty folder", "a reranker's folder has config.json"]),
        (&absent, ["no such folder", "a reranker's folder has config.json"]),
        (&pack, ["a memory pack", "expected a folder"]),
    ] {
        for command in [
            vec!["search", &pack, QUERY],
            vec!["ask", &pack, QUERY],
            vec!["eval", &question, "--pack", &pack],
            vec!["eval", "--retrieval", &question, "--pack", &pack],
        ] {
            run(command.into_iter().chain(["--reranker", reranker.as_str()])).fails(1, &words);
        }
    }
    let reranker = bert();
    for depth in ["0", "1.5", "x", "1001"] {
        run(["search", &pack, QUERY, "--reranker", &reranker, "--rerank-depth", depth]).fails(2, &["--rerank-depth"]);
    }
    run(["search", &pack, QUERY, "--rerank-depth", "5"]).fails(2, &["--reranker"]);
}
