//! `mempack eval` through the real binary, with the quick model.
#![cfg(feature = "engine")]

mod common;

use std::fs;

use common::{Bench, Ran, SMALL, json_lines, run, tiny};
use serde_json::Value;

const QUESTIONS: &str = concat!(
    r#"{"id": "dose", "question": "What is the usual dose of Nutepril?", "answers": ["40 mg twice daily", "40 mg"], "gold_ids": ["a"]}"#,
    "\n",
    r#"{"id": "passage", "question": "When is the rent due?", "answers": [], "gold_ids": ["c"]}"#,
    "\n",
    r#"{"id": "none", "question": "Who was the first on the moon?", "answers": [], "gold_ids": [], "answerable": false}"#,
    "\n",
);

/// `mempack eval` with the quick model.
fn eval(args: &[&str]) -> Ran {
    let tiny = tiny();
    let mut all = vec!["eval", "--model", tiny.to_str().expect("UTF-8"), "--threads", "1"];
    all.extend(args);
    run(all)
}

fn object(text: &str) -> Value {
    let lines = json_lines(text);
    assert_eq!(lines.len(), 1, "one object: {text}");
    lines.into_iter().next().unwrap_or_default()
}

fn is_share(value: &Value) -> bool {
    value.as_f64().is_some_and(|share| (0.0..=1.0).contains(&share))
}

#[test]
fn questions_in_the_four_modes() {
    let bench = Bench::new();
    let pack = bench.pack("small", SMALL, &["--codec", "F32"]);
    let questions = bench.file("qa.jsonl", QUESTIONS);
    let (details, figure) = (bench.path("details.jsonl"), bench.path("figure.svg"));
    let args = [&questions, "--pack", &pack, "--max-tokens", "12", "--json", "--details", &details, "--figure", &figure];
    let report = object(&eval(&args).ok());

    let names: Vec<&String> = report["modes"].as_object().expect("modes").keys().collect();
    assert_eq!(names, ["closed_book", "in_context", "memory", "memory_quantized"]);
    for (name, figures) in report["modes"].as_object().expect("modes") {
        assert!(is_share(&figures["exact_match"]) && is_share(&figures["f1"]), "{name}: {figures}");
        assert_eq!(figures["n"], 2, "{name}: the passage counts for retrieval only");
        assert_eq!(figures["unanswerable"]["n"], 1);
        assert!(figures["questions_per_second"].as_f64() > Some(0.0));
    }
    assert_eq!(report["hit_at"].as_object().expect("hit_at").keys().collect::<Vec<_>>(), ["1", "3", "5"]);
    assert_eq!((&report["hit_at"]["1"], &report["hit_n"]), (&Value::from(1.0), &Value::from(2)), "both gold documents come first");
    assert_eq!(report["differences"].as_array().map(Vec::len), Some(6), "three pairs, two metrics");

    let details = json_lines(&fs::read_to_string(details).expect("details"));
    assert_eq!(details.iter().map(|row| row["id"].as_str().expect("id")).collect::<Vec<_>>(), ["dose", "passage", "none"]);
    let answer = |row: &Value, mode: &str| {
        let outcomes = row["outcomes"].as_array().expect("outcomes").clone();
        outcomes.into_iter().find(|o| o["mode"] == mode).expect("the mode")["answer"].as_str().expect("answer").to_owned()
    };
    for row in [&details[0], &details[2]] {
        assert_eq!(answer(row, "memory"), answer(row, "memory_quantized"), "codec F32 changes nothing, title and all");
    }
    assert_eq!(details[1]["outcomes"].as_array().map(Vec::len), Some(0));
    assert_eq!((&details[1]["gold_rank"], &details[0]["retrieved"][0]["document"]), (&Value::from(1), &Value::from("a")));
    // What `ask` says is what the mode says.
    let tiny = tiny();
    let asked =
        run(["ask", &pack, "What is the usual dose of Nutepril?", "--max-tokens", "12", "--json", "--model", &tiny.to_string_lossy()]);
    assert_eq!(object(&asked.ok())["answer"], answer(&details[0], "memory_quantized"));

    let figure = fs::read_to_string(figure).expect("figure");
    assert!(figure.starts_with("<svg ") && figure.contains(">memory_quantized<"), "{figure}");
    let table = eval(&[&questions, "--pack", &pack, "--max-tokens", "2", "--modes", "closed_book,memory_gold", "--limit", "1"]).ok();
    assert!(table.contains("memory_gold") && !table.contains("in_context"), "{table}");
}

#[test]
fn choices_and_texts() {
    let bench = Bench::new();
    let pack = bench.pack("small", SMALL, &["--codec", "SQ8"]);
    let choices = bench.file(
        "mc.jsonl",
        concat!(
            r#"{"id": "1", "question": "What is Nutepril used for?", "choices": ["Gout.", "Rent."], "answer": "A"}"#,
            "\n",
            r#"{"id": "2", "question": "Sarolide?", "mc1": {"A diuretic.": 1, "A lease.": 0}, "mc2": {"A diuretic.": 1, "A lease.": 0}}"#,
            "\n",
        ),
    );
    let alone = object(&eval(&["--multiple-choice", &choices, "--json"]).ok());
    assert_eq!(alone["modes"].as_object().map(|modes| modes.keys().cloned().collect()), Some(vec!["closed_book".to_owned()]));
    let with = object(&eval(&["--multiple-choice", &choices, "--json", "--pack", &pack]).ok());
    assert_eq!(with["modes"]["closed_book"], alone["modes"]["closed_book"]);
    for mode in ["closed_book", "memory_quantized", "in_context"] {
        for metric in ["mc1", "mc2", "accuracy", "accuracy_normalised"] {
            assert!(is_share(&with["modes"][mode][metric]), "{mode} {metric}: {with}");
        }
    }
    let text = bench.file("text.txt", "Nutepril is used to treat gout. ".repeat(20));
    let details = bench.path("details.jsonl");
    let alone = object(&eval(&["--perplexity", &text, "--json"]).ok());
    let with = object(&eval(&["--perplexity", &text, "--json", "--pack", &pack, "--modes", "all", "--details", &details]).ok());
    let perplexity = |report: &Value, mode: &str| report["modes"][mode]["perplexity"].as_f64().unwrap_or_else(|| panic!("{report}"));
    assert_eq!(perplexity(&alone, "closed_book"), perplexity(&with, "closed_book"));
    assert!(perplexity(&with, "memory") > 1.0 && perplexity(&with, "memory_quantized") > 1.0);
    let windows = json_lines(&fs::read_to_string(details).expect("details"));
    assert_eq!(windows.iter().filter_map(|w| w["tokens"].as_u64()).sum::<u64>(), with["tokens"].as_u64().expect("tokens"));
}

#[test]
fn what_is_refused() {
    let bench = Bench::new();
    let pack = bench.pack("small", SMALL, &[]);
    let questions = bench.file("qa.jsonl", QUESTIONS);
    eval(&[]).fails(2, &["QUESTIONS"]);
    eval(&[&questions]).fails(2, &["--pack"]);
    eval(&[&questions, "--pack", &pack, "--modes", "open_book"]).fails(2, &["open_book", "memory_quantized"]);
    eval(&[&questions, "--pack", &pack, "--sweep", "layers"]).fails(2, &["layers"]);
    eval(&[&questions, "--pack", &pack, "--modes", "in_context_base"]).fails(2, &["in_context_base", "no adapter"]);
    eval(&[&questions, "--pack", &pack, "--overlap", "2"]).fails(2, &["overlap is 2"]);
    eval(&["--perplexity", &bench.file("text.txt", "Some text."), "--modes", "memory"]).fails(2, &["--pack"]);
    eval(&[&bench.path("absent.jsonl"), "--pack", &pack]).fails(1, &["absent.jsonl"]);
    eval(&[&bench.file("bad.jsonl", "{\"id\": \"1\"}\n"), "--pack", &pack]).fails(1, &["bad.jsonl, line 1", "question"]);
    eval(&[&questions, "--pack", &bench.file("text.mpk", "no pack")]).fails(3, &["text.mpk"]);
    eval(&[&questions, "--pack", &pack, "--details", &bench.path("no/such/file")]).fails(1, &["no/such/file"]);
}
