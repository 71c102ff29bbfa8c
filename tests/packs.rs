//! From a corpus to an answer through the real binary, with the quick model.
#![cfg(feature = "engine")]

mod common;

use std::collections::HashSet;
use std::fs;

use common::{Bench, SMALL, build_args, json_lines, root, run, run_with_input, tiny};
use serde_json::Value;

fn inspect(pack: &str) -> Value {
    serde_json::from_str(&run(["inspect", pack, "--json"]).ok()).expect("JSON")
}

/// The texts of a corpus by id.
fn texts(corpus: &str) -> std::collections::HashMap<String, String> {
    json_lines(corpus)
        .into_iter()
        .map(|row| (row["id"].as_str().unwrap_or_default().to_owned(), row["text"].as_str().unwrap_or_default().to_owned()))
        .collect()
}

#[test]
fn duplicates_are_stored_once_with_every_origin() {
    let bench = Bench::new();
    let pack = bench.pack("small", SMALL, &[]);
    let counts = &inspect(&pack)["counts"];
    assert_eq!(counts["documents"], 4);
    assert_eq!(counts["origins"].as_u64(), counts["references"].as_u64().map(|n| n + 1), "document d repeats document a");
    let table = run(["inspect", &pack]).ok();
    for word in ["documents", "codec", "MEMORIES"] {
        assert!(table.contains(word), "no {word} in {table}");
    }
}

#[test]
fn search_finds_and_cites() {
    let bench = Bench::new();
    let pack = bench.pack("small", SMALL, &[]);
    let args = |more: &[&str]| {
        let mut args = vec!["search".to_owned(), pack.clone()];
        args.extend(more.iter().map(|s| (*s).to_owned()));
        args
    };
    let texts = texts(SMALL);
    for more in [&["ending a tenancy early", "--json", "-k", "2"][..], &["ending a tenancy early", "--json", "-k", "2", "--exact"][..]] {
        let lines = json_lines(&run(args(more)).ok());
        assert_eq!(lines.len(), 1, "one query, one line");
        let hits = lines[0]["hits"].as_array().expect("hits");
        assert_eq!(hits.len(), 2);
        let best = &hits[0];
        assert_eq!(best["document"], "c");
        assert!(best["score"].as_f64() > hits[1]["score"].as_f64());
        let (start, end) = (best["start"].as_u64().expect("start") as usize, best["end"].as_u64().expect("end") as usize);
        assert_eq!(&texts["c"][start..end], best["text"].as_str().expect("text"), "the span is where the text came from");
    }
    let queries = bench.file("q.jsonl", "{\"id\": \"x\", \"query\": \"medicine for gout\"}\n{\"id\": \"y\", \"query\": \"rent\"}\n");
    let lines = json_lines(&run(args(&["--queries", &queries, "--json", "-k", "1"])).ok());
    let got: Vec<_> = lines.iter().map(|l| (l["id"].as_str(), l["hits"][0]["document"].as_str())).collect();
    assert_eq!(got, [(Some("x"), Some("a")), (Some("y"), Some("c"))]);
    assert!(run(args(&["medicine for gout"])).ok().contains("Nutepril"));
}

#[test]
fn ask_cites_what_it_read() {
    let bench = Bench::new();
    let pack = bench.pack("small", SMALL, &[]);
    let tiny = tiny();
    let tiny = tiny.to_string_lossy();
    let ask = |more: &[&str]| {
        let mut args = vec!["ask", &pack, "What is the usual dose of Nutepril?", "--model", &tiny];
        args.extend(more);
        run(args).ok()
    };
    let lines = json_lines(&ask(&["--json"]));
    let answer = lines.last().expect("a line");
    assert!(!answer["answer"].as_str().expect("answer").is_empty());
    let reads = answer["chunks"][0]["reads"].as_array().expect("reads");
    assert_eq!(reads[0]["document"], "a", "the reference about Nutepril comes first");
    assert!(reads.len() >= 3);
    let without = json_lines(&ask(&["--json", "--no-memories"]));
    assert_eq!(without.last().expect("a line")["chunks"].as_array().map(Vec::len), Some(0));
    assert!(ask(&["--show-memories"]).contains("Nutepril"));
    let sampled = |seed| ask(&["--temperature", "1.5", "--seed", seed, "--max-tokens", "12"]);
    assert_eq!(sampled("7"), sampled("7"), "a seed decides");
}

#[test]
fn threads_do_not_change_a_byte() {
    let bench = Bench::new();
    let corpus = root().join("kb-samples/medical/corpus.jsonl");
    let corpus = corpus.to_string_lossy();
    let packs = ["1", "2"].map(|threads| {
        let pack = bench.path(&format!("{threads}.mpk"));
        run(build_args(&corpus, &pack, &["--threads", threads, "--codec", "PQ4x4", "--sample", "64"])).ok();
        run(["verify", &pack]).ok();
        pack
    });
    assert!(fs::read(&packs[0]).expect("built") == fs::read(&packs[1]).expect("built"), "{packs:?} differ");
}

#[test]
fn sample_corpora_become_packs_that_cite_the_gold_document() {
    for domain in ["legal", "medical"] {
        let bench = Bench::new();
        let pack = bench.path("out.mpk");
        let folder = root().join("kb-samples").join(domain);
        run(build_args(&folder.join("corpus.jsonl").to_string_lossy(), &pack, &["--codec", "SQ8"])).ok();
        run(["verify", &pack]).ok();
        let info = inspect(&pack);
        assert!(info["counts"]["documents"].as_u64() >= Some(150));
        assert!(info["counts"]["references"].as_u64() > info["counts"]["documents"].as_u64(), "some documents are several references");
        let questions = json_lines(&fs::read_to_string(folder.join("questions.jsonl")).expect("questions"));
        assert!(questions.len() >= 200);
        let queries: String =
            questions.iter().map(|q| serde_json::json!({"id": q["id"], "query": q["question"]}).to_string() + "\n").collect();
        let queries = bench.file("queries.jsonl", queries);
        let found = json_lines(&run(["search", &pack, "--queries", &queries, "--json", "-k", "5"]).ok());
        let hit = |n: usize| {
            let right = questions.iter().zip(&found).filter(|(q, f)| {
                let hits = f["hits"].as_array().expect("hits").iter().take(n);
                hits.map(|h| h["document"].as_str()).collect::<HashSet<_>>().contains(&q["gold_ids"][0].as_str())
            });
            right.count() as f64 / questions.len() as f64
        };
        println!("{domain}: the gold document is the first hit in {:.3}, among five in {:.3}", hit(1), hit(5));
        assert!(hit(5) > 0.9, "{domain}: retrieval is broken: {}", hit(5));
    }
}

#[test]
fn every_way_in_gives_the_same_references() {
    let bench = Bench::new();
    let text = "Nutepril is used to treat gout.\n\nThe usual adult dose is 40 mg twice daily.";
    fs::create_dir(bench.path("folder")).expect("writable");
    bench.file("folder/Nutepril.md", format!("# Nutepril\n\n{text}"));
    bench.file("folder/Sarolide.txt", "Sarolide is a diuretic.");
    bench.file("folder/picture.png", [0x89, b'P', b'N', b'G']);
    let pack = bench.path("folder.mpk");
    run(build_args(&bench.path("folder"), &pack, &[])).ok();
    assert_eq!(inspect(&pack)["counts"]["documents"], 2);
    let pack = bench.path("stdin.mpk");
    let args = build_args("-", &pack, &[]);
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    run_with_input(&args, text.as_bytes()).ok();
    let hits = json_lines(&run(["search", &pack, "gout", "--json"]).ok());
    assert_eq!(hits[0]["hits"][0]["start"], 0);
}

#[test]
fn completions_name_the_subcommands() {
    let script = run(["completions", "bash"]).ok();
    for word in ["build", "inspect", "verify", "search", "ask", "import"] {
        assert!(script.contains(word), "no {word}");
    }
}
