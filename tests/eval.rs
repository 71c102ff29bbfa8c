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
    assert!(figure.contains(">memory_quantized: area ") && figure.contains("<polyline "), "precision over coverage: {figure}");
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

/// A folder with the files of both suites.
fn suites(bench: &Bench) -> String {
    let folder = bench.path("data");
    let mmlu = |id: u32, question: &str, right: &str, wrong: &str, domain: &str, split: &str| serde_json::json!({"id": format!("mmlu:{id}"), "question": question, "choices": [wrong, right], "answer": "B", "domain": domain, "split": split});
    let rows = [
        mmlu(1, "What is Nutepril used to treat?", "Gout", "A broken rent", "medical", "test"),
        mmlu(2, "Where is Sarolide kept?", "In the refrigerator", "On the first of the month", "medical", "test"),
        mmlu(3, "How long is the notice of the tenant?", "Two months", "Nine decades", "law", "test"),
        mmlu(4, "An example that is not measured", "a", "b", "law", "dev"),
    ];
    let truthful = [
        serde_json::json!({"id": "t:1", "question": "What kind of medicine is Sarolide?", "answers": ["A diuretic"], "incorrect": ["A lease"],
            "mc1": {"A diuretic.": 1, "A lease.": 0}, "mc2": {"A diuretic.": 1, "It is a diuretic.": 1, "A lease.": 0}}),
        serde_json::json!({"id": "t:2", "question": "When is the rent due?", "mc1": {"On the first of the month.": 1, "Never.": 0},
            "mc2": {"On the first of the month.": 1, "Never.": 0}}),
    ];
    let invented = [serde_json::json!({"id": "h:1", "question": "What is the half-life of Sarolide?", "answers": ["31 hours"],
        "incorrect": ["Sarolide has a half-life of nine days."], "gold_ids": ["b"]})];
    let lines = |rows: &[Value]| rows.iter().map(|row| format!("{row}\n")).collect::<String>();
    for (file, rows) in [
        ("mmlu_med_law/qa.jsonl", lines(&rows)),
        ("hallucination/truthfulqa.jsonl", lines(&truthful)),
        ("hallucination/halueval_qa.jsonl", lines(&invented)),
    ] {
        let path = std::path::Path::new(&folder).join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, rows).expect("a file");
    }
    folder
}

fn assert_near(found: &Value, expected: f64) {
    assert!((found.as_f64().expect("a number") - expected).abs() < 1e-12, "{found}, not {expected}");
}

/// The number of a setting's field, over the lines of the details of one task: the mean of what `of` makes of it.
fn mean_of(details: &[Value], task: &str, setting: usize, of: impl Fn(&Value) -> Option<f64>) -> f64 {
    let own = details.iter().filter(|row| row["task"] == task);
    let values: Vec<f64> = own.filter_map(|row| of(&row["settings"][setting])).collect();
    assert!(!values.is_empty(), "{task} {setting}");
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn suites_with_and_without_memories() {
    let bench = Bench::new();
    let pack = bench.pack("small", SMALL, &["--codec", "SQ8"]);
    let data = suites(&bench);
    let (details, figure) = (bench.path("details.jsonl"), bench.path("figure.svg"));
    let args = ["--suite", "professional", "--data", &data, "--pack", &pack, "--memories", "2,0,1", "--json", "--details", &details];
    let report = object(&eval(&[&args[..], &["--figure", &figure]].concat()).ok());
    let sizes: Vec<_> = report["tasks"].as_array().expect("tasks").iter().map(|t| (t["task"].as_str(), t["questions"].as_u64())).collect();
    assert_eq!(sizes, [(Some("mmlu_medical"), Some(2)), (Some("mmlu_law"), Some(1))], "the dev split is not measured");
    let rows = json_lines(&fs::read_to_string(&details).expect("details"));
    assert_eq!(rows.iter().filter_map(|row| row["id"].as_str()).collect::<Vec<_>>(), ["mmlu:1", "mmlu:2", "mmlu:3"]);
    for task in report["tasks"].as_array().expect("tasks") {
        let name = task["task"].as_str().expect("a name");
        assert_eq!(task["metric"], "accuracy");
        let settings = task["settings"].as_array().expect("settings");
        let names: Vec<_> =
            settings.iter().map(|s| (s["mode"].as_str().expect("mode"), s["memories"].as_u64().expect("memories"))).collect();
        assert_eq!(names, [("closed_book", 0), ("memory_quantized", 1), ("memory_quantized", 2)]);
        for (number, setting) in settings.iter().enumerate() {
            let score = &setting["scores"]["accuracy"];
            assert_near(&score["mean"], mean_of(&rows, name, number, |s| s["accuracy"].as_f64()));
            assert!(score["low"].as_f64() <= score["mean"].as_f64() && score["mean"].as_f64() <= score["high"].as_f64());
            if number == 0 {
                assert_eq!(
                    (&setting["hit_rate"], &setting["integration"], &setting["gains"]),
                    (&Value::Null, &Value::Null, &serde_json::json!({}))
                );
                continue;
            }
            assert_eq!(setting["hit_rate"], 1.0, "the nearest reference holds the answer: {setting}");
            let gain = score["mean"].as_f64().expect("mean") - settings[0]["scores"]["accuracy"]["mean"].as_f64().expect("mean");
            assert!((setting["gains"]["accuracy"]["mean"].as_f64().expect("gain") - gain).abs() < 1e-12);
            let both = |field: &str| setting[field].as_f64().expect(field);
            assert!((both("integration") - both("lost") - gain).abs() < 1e-12, "what is won less what is lost is the gain: {setting}");
            assert_near(&setting["novel_information"], mean_of(&rows, name, number, |s| s["novel"].as_f64()));
            assert!(both("novel_information") > 0.5);
        }
    }
    assert!(rows.iter().all(|row| row["settings"][2]["retrieved"].as_array().map(Vec::len) == Some(2)), "two references of one chunk");
    // The same rows as a plain file of choices: the likelihoods are those of `--multiple-choice`.
    let plain = bench.path("plain.jsonl");
    let qa = format!("{data}/mmlu_med_law/qa.jsonl");
    eval(&["--multiple-choice", &qa, "--pack", &pack, "-k", "2", "--modes", "closed_book,memory_quantized", "--details", &plain]).ok();
    let plain = json_lines(&fs::read_to_string(plain).expect("details"));
    for (suite, plain) in rows.iter().zip(&plain) {
        for (own, other) in [(0, 0), (2, 1)] {
            assert_eq!(suite["settings"][own]["log_likelihoods"], plain["chosen"][other]["log_likelihoods"]);
        }
    }
    let drawn = fs::read_to_string(&figure).expect("figure");
    assert_eq!(drawn.matches("<circle ").count(), 6, "two tasks, three settings");

    // Another model's run in the same figure, without measuring again.
    let other = bench.file("other.jsonl", fs::read_to_string(&details).expect("details").replace("\"parameters\":", "\"parameters\":7"));
    let both = bench.path("both.svg");
    eval(&["--suite", "professional", "--runs", &details, "--runs", &other, "--figure", &both]).ok();
    assert_eq!(fs::read_to_string(both).expect("figure").matches("<circle ").count(), 12);
    let table = eval(&["--suite", "factual", "--data", &data, "--pack", &pack, "--memories", "0,1"]).ok();
    for words in ["truthfulqa: 2 questions", "halueval_qa: 1 questions", "MC1", "MC2", "by byte", "memory_quantized 1", "hit rate"] {
        assert!(table.contains(words), "{words}: {table}");
    }
    let alone = object(&eval(&["--suite", "factual", "--data", &data, "--json", "--limit", "1"]).ok());
    assert_eq!((alone["packs"].as_array().map(Vec::len), alone["tasks"][0]["settings"].as_array().map(Vec::len)), (Some(0), Some(1)));
    assert!(
        is_share(&alone["tasks"][0]["settings"][0]["scores"]["mc2"]["mean"])
            && is_share(&alone["tasks"][1]["settings"][0]["scores"]["accuracy"]["mean"])
    );
}

#[test]
fn packs_beside_each_other_are_ranked_together() {
    let bench = Bench::new();
    let lines: Vec<&str> = SMALL.lines().collect();
    let first = bench.pack("first", &format!("{}\n", lines[0]), &["--codec", "F32"]);
    let second = bench.pack("second", &format!("{}\n{}\n", lines[1], lines[2]), &["--codec", "F32"]);
    let data = suites(&bench);
    let details = bench.path("details.jsonl");
    let args = [
        "--suite",
        "professional",
        "--data",
        &data,
        "--pack",
        &first,
        "--with",
        &second,
        "--memories",
        "1",
        "--json",
        "--details",
        &details,
    ];
    let report = object(&eval(&args).ok());
    assert_eq!(report["packs"].as_array().map(Vec::len), Some(2));
    let rows = json_lines(&fs::read_to_string(&details).expect("details"));
    let read = |row: &Value| row["settings"][1]["retrieved"][0]["document"].as_str().expect("a document").to_owned();
    assert_eq!(rows.iter().map(read).collect::<Vec<_>>(), ["a", "b", "c"], "each question reads the pack that answers it");
}

#[test]
fn what_suites_refuse() {
    let bench = Bench::new();
    let data = suites(&bench);
    let pack = bench.pack("small", SMALL, &[]);
    eval(&["--suite", "medical", "--data", &data]).fails(2, &["medical", "professional or factual"]);
    eval(&["--suite", "factual"]).fails(2, &["--data DIR", "--runs"]);
    eval(&["--suite", "factual", "--data", &bench.path("absent")]).fails(1, &["absent/hallucination/truthfulqa.jsonl"]);
    eval(&["--suite", "factual", "--data", &data, "--memories", "0,3"]).fails(2, &["--memories", "--pack"]);
    eval(&["--suite", "factual", "--data", &data, "--pack", &pack, "--memories", "5000"]).fails(2, &["memories is 5000", "4096"]);
    eval(&["--suite", "factual", "--data", &data, "--pack", &pack, "-k", "3"]).fails(2, &["-k"]);
    eval(&["--suite", "factual", "--data", &data, "--pack", &pack, "--modes", "memory_gold"]).fails(2, &["memory_gold", "gold"]);
    eval(&["--suite", "factual", "--data", &data, "--modes", "in_context"]).fails(2, &["in_context", "--pack"]);
    eval(&["--memories", "1", "--multiple-choice", &data]).fails(2, &["--suite"]);
    let svg = bench.path("f.svg");
    eval(&["--suite", "factual", "--runs", &pack]).fails(2, &["--figure"]);
    let wrong = bench.file("wrong.jsonl", "{\"id\": \"1\"}\n");
    eval(&["--suite", "factual", "--runs", &wrong, "--figure", &svg]).fails(1, &["wrong.jsonl, line 1", "task", "details of a suite"]);
    fs::write(
        format!("{data}/mmlu_med_law/qa.jsonl"),
        "{\"id\": \"1\", \"question\": \"?\", \"choices\": [\"a\", \"b\"], \"answer\": \"D\"}\n",
    )
    .expect("a file");
    eval(&["--suite", "professional", "--data", &data]).fails(1, &["qa.jsonl, line 1", "`answer` is none of the 2 choices", "a letter"]);
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
