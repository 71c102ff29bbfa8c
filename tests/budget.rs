//! `mempack budget`, from a model and questions to a pack whose heads keep different numbers of tokens.
#![cfg(feature = "engine")]

mod common;

use std::fs;
use std::path::Path;

use common::{Bench, run, tiny};
use serde_json::{Value, json};

/// Fictional documents and questions about them, in the bench's folder: the corpus and the questions.
fn fiction(bench: &Bench) -> [String; 2] {
    let folder = bench.path("fiction");
    run(["make-questions", "fiction", "-o", &folder, "--documents", "40", "--seed", "3"]).ok();
    ["corpus", "questions"].map(|name| format!("{folder}/{name}.jsonl"))
}

fn read(path: &str) -> Value {
    serde_json::from_slice(&fs::read(path).expect("readable")).expect("JSON")
}

/// The quick model with another `tokens_per_head`, in a folder of its own.
fn with_budget(folder: &str, table: Value) {
    fs::create_dir_all(folder).expect("a folder");
    for file in fs::read_dir(tiny()).expect("the quick model").map(|file| file.expect("readable").path()).filter(|path| path.is_file()) {
        fs::copy(&file, Path::new(folder).join(file.file_name().expect("a name"))).expect("copied");
    }
    let mut config = read(&format!("{folder}/config.json"));
    config["memory"]["tokens_per_head"] = table;
    fs::write(format!("{folder}/config.json"), config.to_string()).expect("written");
}

#[test]
fn a_budget_is_measured_written_and_obeyed() {
    let bench = Bench::new();
    let [corpus, questions] = fiction(&bench);
    let (memory, svg, model) = (bench.path("memory.json"), bench.path("heads.svg"), tiny().to_string_lossy().into_owned());
    let measure = ["budget", &model, "--corpus", &corpus, "--questions", &questions, "--tokens", "120", "-o", &memory, "--limit", "12"];
    let report: Value = serde_json::from_str(&run(measure.iter().chain(&["--svg", &svg, "--json"])).ok()).expect("JSON");
    let table = read(&memory)["tokens_per_head"].clone();
    let rows: Vec<Vec<u32>> = serde_json::from_value(table.clone()).expect("a table");
    let kept: u32 = rows.iter().flatten().sum();
    assert!(rows.len() == 5 && rows.iter().all(|row| row.len() == 3) && (1..=120).contains(&kept), "{rows:?}");
    assert!(report.to_string().contains(&table.to_string()), "the report has the table: {report}");
    assert!(fs::read_to_string(&svg).expect("readable").starts_with("<svg"));
    assert!(
        report["missing_gold"] == 0 && report["warnings"].as_array().is_some_and(|all| !all.iter().any(|w| w.to_string().contains("gold")))
    );
    // Again, it is the same, and replaces the older file; a table for people says what it compares.
    assert!(run(measure).ok().contains("uniform"));
    assert_eq!(read(&memory)["tokens_per_head"], table);

    // A pack of the model with this budget has records of as many slots, says so, and is read by this model alone.
    let own = bench.path("own");
    with_budget(&own, table.clone());
    let pack = bench.path("own.mpk");
    run(["build", &corpus, "-o", &pack, "--model", &own, "--codec", "RQ2x4", "--threads", "1"]).ok();
    let said: Value = serde_json::from_str(&run(["inspect", &pack, "--json"]).ok()).expect("JSON");
    assert_eq!((&said["version"], &said["model"]["tokens_per_head"]), (&json!("1.3"), &table));
    run(["verify", &pack]).ok();
    let ask = |model: &str| run(["ask", &pack, "What is it?", "--model", model, "--threads", "1", "--max-tokens", "4", "--show-memories"]);
    ask(&own).ok();
    let sum = format!("{kept} in all");
    ask(&model).fails(4, &["tokens per head", &sum, "120 in all", "at layer"]);

    // A gold document that is missing beside one that is there is counted.
    let partly = fs::read_to_string(&questions).expect("readable").replacen("\"gold_ids\":[", "\"gold_ids\":[\"no-such\",", 2);
    let partly = bench.file("partly.jsonl", partly);
    let args = ["budget", &model, "--corpus", &corpus, "--questions", &partly, "--tokens", "120", "-o", &memory, "--limit", "12", "--json"];
    let ran = run(args);
    assert!(ran.err.contains("the corpus lacks 1 of the questions' gold documents"), "{}", ran.err);
    let report: Value = serde_json::from_str(&ran.ok()).expect("JSON");
    assert_eq!(report["missing_gold"], 1);

    // With other questions or none of the corpus, nothing is written.
    let lost =
        bench.file("lost.jsonl", fs::read_to_string(&questions).expect("readable").replace("\"gold_ids\":[\"", "\"gold_ids\":[\"no-"));
    let other = bench.path("other.json");
    let refused = |questions: &str, tokens: &str, code: i32, words: &[&str]| {
        let args = ["budget", &model, "--corpus", &corpus, "--questions", questions, "--tokens", tokens, "-o", &other];
        run(args).fails(code, words);
        assert!(!Path::new(&other).exists());
    };
    refused(&lost, "120", 1, &["gold document", "not in the corpus", "--corpus"]);
    refused(&questions, "0", 2, &["1 to 1920", "--tokens"]);
    refused(&questions, "1921", 2, &["1 to 1920"]);
}

#[test]
fn a_budget_that_does_not_fit_is_refused_by_name() {
    let bench = Bench::new();
    let folder = bench.path("model");
    let corpus = bench.file("one.txt", "A lease ends after a month.");
    let row = json!([1, 2, 3]);
    for (table, words) in [
        (json!([row, row, row, row]), ["5 rows", "4 rows"]),
        (json!([row, row, row, row, [1, 2]]), ["3 numbers in row 4", "2 numbers"]),
        (json!([row, row, row, row, [1, 2, 129]]), ["0 to 128", "129 in row 4 at head 2"]),
        (json!([row, row, row, row, [1, 2, -1]]), ["a number for each", "-1 in row 4 at head 2"]),
        (json!([row, row, row, row, 3]), ["a row for each memory layer", "3 in row 4"]),
        (json!([[0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]), ["a token at one head", "0 at every head"]),
        (json!("many"), ["a number, or a table", "many"]),
    ] {
        with_budget(&folder, table);
        let target = bench.path("one.mpk");
        let built = run(["build", &corpus, "-o", &target, "--model", &folder]);
        built.fails(1, &["memory.tokens_per_head", "config.json", words[0], words[1]]);
    }
}
