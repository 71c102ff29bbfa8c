//! `make-questions` through the real binary.

mod common;

use std::collections::HashMap;
use std::fs;

use common::{Bench, json_lines, run};
use serde_json::{Value, json};

fn fiction(bench: &Bench, name: &str, seed: &str) -> String {
    let folder = bench.path(name);
    run(["make-questions", "fiction", "-o", &folder, "--documents", "24", "--seed", seed]).ok();
    folder
}

fn rows(folder: &str, file: &str) -> Vec<Value> {
    json_lines(&fs::read_to_string(format!("{folder}/{file}")).expect("written"))
}

fn files(folder: &str) -> [Vec<u8>; 3] {
    ["corpus.jsonl", "questions.jsonl", "made.json"].map(|name| fs::read(format!("{folder}/{name}")).expect("written"))
}

/// Every answer stands in its gold document.
fn check(folder: &str) {
    let corpus: HashMap<String, String> = rows(folder, "corpus.jsonl")
        .iter()
        .map(|row| (row["id"].as_str().expect("an id").to_owned(), row["text"].as_str().expect("a text").to_owned()))
        .collect();
    for row in rows(folder, "questions.jsonl") {
        let list = |field: &str| row[field].as_array().expect("a list").iter().map(|item| item.as_str().expect("text").to_owned());
        let golds: Vec<_> = list("gold_ids").collect();
        assert_eq!(golds.is_empty(), row["answerable"] == json!(false), "{row}");
        for answer in list("answers") {
            assert!(golds.iter().all(|gold| corpus[gold].contains(&answer)), "{row}");
        }
    }
}

#[test]
fn fiction_is_the_same_for_the_same_seed() {
    let bench = Bench::new();
    let (one, two) = (fiction(&bench, "one", "7"), fiction(&bench, "two", "7"));
    assert_eq!(files(&one), files(&two));
    assert_ne!(files(&one)[0], files(&fiction(&bench, "three", "8"))[0]);
    assert_eq!(rows(&one, "corpus.jsonl").len(), 24);
    check(&one);
    let made: Value = serde_json::from_slice(&files(&one)[2]).expect("JSON");
    assert_eq!(made["options"]["seed"], 7);
}

#[test]
fn the_summary_counts_and_the_domain_is_kept() {
    let bench = Bench::new();
    let folder = bench.path("x");
    let args = ["make-questions", "fiction", "-o", &folder, "--documents", "10", "--domain", "legal", "--unanswerable", "1", "--json"];
    let summary: Value = serde_json::from_str(&run(args).ok()).expect("JSON");
    assert_eq!((&summary["documents"], &summary["questions"], &summary["unanswerable"]), (&json!(10), &json!(30), &json!(30)));
    check(&folder);
}

#[test]
fn what_is_there_is_not_touched() {
    let bench = Bench::new();
    let folder = fiction(&bench, "x", "7");
    let before = files(&folder);
    run(["make-questions", "fiction", "-o", &folder]).fails(1, &[&folder, "not empty"]);
    run(["make-questions", "fiction", "-o", &bench.path("no/such")]).fails(1, &["no/such", "must exist"]);
    run(["make-questions", "fiction", "-o", &bench.path("y"), "--unanswerable", "1.5"]).fails(2, &["1.5", "from 0 to 1"]);
    run(["make-questions", "fiction", "-o", &bench.path("y"), "--documents", "0"]).fails(2, &["--documents"]);
    assert_eq!(files(&folder), before);
    assert_eq!(bench.names(), ["x"]);
}

#[test]
fn cloze_asks_about_any_corpus() {
    let bench = Bench::new();
    let corpus = bench.file(
        "laws.jsonl",
        concat!(
            r#"{"id": "a", "title": "Appeals", "text": "An appeal must be lodged with the clerk within 45 days after delivery of the decision."}"#,
            "\n",
            r#"{"id": "b", "title": "复议", "text": "当事人对决定不服的，可以自收到决定书之日起六十日内申请复议。", "license": "CC0-1.0"}"#,
            "\n",
        ),
    );
    let folder = bench.path("out");
    run(["make-questions", "cloze", &corpus, "-o", &folder]).ok();
    check(&folder);
    let answers: Vec<_> = rows(&folder, "questions.jsonl").iter().map(|row| row["answers"][0].clone()).collect();
    assert!(answers.contains(&json!("45 days")) && answers.contains(&json!("六十日")), "{answers:?}");
    assert_eq!(rows(&folder, "corpus.jsonl")[1]["license"], "CC0-1.0");
    // A corpus and nothing to ask.
    let bare = bench.file("bare.txt", "So it was.");
    run(["make-questions", "cloze", &bare, "-o", &bench.path("none")]).fails(1, &["bare.txt", "no question"]);
    run(["make-questions", "cloze", &bench.path("absent"), "-o", &bench.path("none")]).fails(1, &["absent", "no such file"]);
    let piped = common::run_with_input(&["make-questions", "cloze", "-", "-o", &bench.path("piped")], &fs::read(&corpus).expect("there"));
    piped.ok();
    assert_eq!(files(&bench.path("piped"))[1], files(&folder)[1]);
    assert_eq!(bench.names(), ["bare.txt", "laws.jsonl", "out", "piped"]);
}

#[test]
fn preferences_are_right_answers_against_unsupported_ones() {
    let bench = Bench::new();
    let folder = fiction(&bench, "fiction", "7");
    let [corpus, questions] = ["corpus.jsonl", "questions.jsonl"].map(|name| format!("{folder}/{name}"));
    let make = |name: &str, seed: &str| {
        let output = bench.path(name);
        let args = ["make-questions", "preferences", &questions, "--corpus", &corpus, "-o", &output, "--seed", seed, "--json"];
        let summary: Value = serde_json::from_str(&run(args).ok()).expect("JSON");
        (output, summary)
    };
    let (one, summary) = make("one", "1");
    let read = |folder: &str| fs::read(format!("{folder}/preferences.jsonl")).expect("written");
    assert_eq!(read(&one), read(&make("two", "1").0));
    assert_ne!(read(&one), read(&make("three", "2").0));
    let pairs = rows(&one, "preferences.jsonl");
    assert_eq!((summary["preferences"].as_u64(), &summary["without_document"]), (Some(pairs.len() as u64), &json!(0)));
    assert!(pairs.len() > 40, "{}", pairs.len());
    let texts: HashMap<String, String> = rows(&folder, "corpus.jsonl")
        .iter()
        .map(|row| (row["id"].as_str().expect("an id").to_owned(), row["text"].as_str().expect("a text").to_lowercase()))
        .collect();
    for pair in &pairs {
        let rejected = pair["rejected"].as_str().expect("a text").to_lowercase();
        let golds = pair["gold_ids"].as_array().expect("a list");
        assert!(golds.iter().all(|id| !texts[id.as_str().expect("an id")].contains(&rejected)), "{pair}");
        assert_eq!(golds.is_empty(), pair["chosen"] == "The references do not tell.", "{pair}");
    }
    let made: Value = serde_json::from_slice(&fs::read(format!("{one}/made.json")).expect("written")).expect("JSON");
    assert_eq!((&made["options"]["seed"], &made["counts"]["preferences"]), (&json!(1), &summary["preferences"]));
}

#[test]
fn preferences_that_cannot_be_made_say_why() {
    let bench = Bench::new();
    let folder = fiction(&bench, "fiction", "7");
    let questions = format!("{folder}/questions.jsonl");
    let other = bench.file("other.jsonl", "{\"id\": \"x\", \"text\": \"Nothing of it.\"}\n");
    let one = bench.file("one.jsonl", "{\"id\": \"1\", \"question\": \"Which?\", \"answers\": [\"a\"], \"gold_ids\": [\"x\"]}\n");
    let bad = bench.file("bad.jsonl", "{\"id\": \"1\", \"question\": \"Which?\"}\n");
    let output = bench.path("out");
    let make =
        |questions: &str, corpus: &str, output: &str| run(["make-questions", "preferences", questions, "--corpus", corpus, "-o", output]);
    make(&one, &other, &output).fails(1, &["no preference could be made", "of 1 questions", "for 1 no other answer differs"]);
    make(&bad, &other, &output).fails(1, &["bad.jsonl, line 1", "`answers`"]);
    make(&questions, &bench.path("absent"), &output).fails(1, &["absent", "no such file"]);
    make(&questions, &other, &folder).fails(1, &[&folder, "not empty"]);
    run(["make-questions", "preferences", &questions, "-o", &output]).fails(2, &["--corpus"]);
    assert!(!bench.names().contains(&"out".to_owned()));
}
