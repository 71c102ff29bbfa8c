//! Answers that the model is not sure of are withheld: `--threshold` and `--measure` of `ask` and `eval`, and `eval --choose-threshold`.
#![cfg(feature = "engine")]

mod common;

use std::fs;

use common::{Bench, json_lines, run, tiny};

const CORPUS: &str = r#"{"id": "a", "text": "Heron Lane was paved in the year 1912 by the town."}
{"id": "b", "text": "The mill at Low Weir grinds barley in the autumn."}"#;
const QUESTION: &str = "When was Heron Lane paved?";
const SAYS: &str = "The references do not tell.";

#[test]
fn ask_declines_below_the_threshold() {
    let bench = Bench::new();
    let pack = bench.pack("lanes", CORPUS, &[]);
    let tiny = tiny();
    let model = tiny.to_string_lossy();
    let ask = |more: &[&str]| {
        let args = ["ask", &pack, QUESTION, "--model", &model, "--threads", "1", "--max-tokens", "8"];
        run(args.iter().chain(more)).ok()
    };
    let json = |more: &[&str]| json_lines(&ask(&[more, &["--json"]].concat())).remove(0);

    let plain = json(&[]);
    let confidence = plain["confidence"].as_f64().expect("a number");
    assert!(confidence < 0.0 && plain["declined"] == false && plain["withheld"].is_null() && plain["threshold"].is_null(), "{plain}");
    let declined = json(&["--threshold", "0"]);
    assert_eq!((&declined["answer"], &declined["withheld"]), (&SAYS.into(), &plain["answer"]));
    assert!(declined["declined"] == true && declined["confidence"] == plain["confidence"] && declined["chunks"] == plain["chunks"]);

    // An answer at the threshold is given; the texts are the same with and without being held back.
    for threshold in ["none", &confidence.to_string(), "-1e6"] {
        assert_eq!(json(&["--threshold", threshold])["answer"], plain["answer"], "{threshold}");
        assert_eq!(ask(&["--threshold", threshold]), ask(&[]), "{threshold}");
    }
    let text = ask(&["--threshold", "0"]);
    assert!(text.starts_with(&format!("{SAYS}\n\nread:\n  ")), "the sources are cited: {text}");

    // The other measure: the share of attention on memories.
    let share = plain["memory_attention"].as_f64().expect("a number");
    assert!((0.001..0.999).contains(&share) && plain["measure"] == "log_probability", "{plain}");
    let by_share = |threshold: &str| json(&["--measure", "memory_attention", "--threshold", threshold]);
    let declined = by_share("0.9999");
    assert_eq!(
        (&declined["declined"], &declined["measure"], &declined["answer"]),
        (&true.into(), &"memory_attention".into(), &SAYS.into())
    );
    assert_eq!(by_share(&share.to_string())["answer"], plain["answer"], "an answer at the threshold is given");
    assert!(ask(&["--measure", "memory_attention", "--threshold", "0.9999"]).starts_with(SAYS));
    let without = json(&["--no-memories"]);
    assert!(without["memory_attention"].is_null() && without["confidence"].is_number(), "{without}");
}

#[test]
fn a_model_brings_its_own_threshold_and_sentence() {
    let bench = Bench::new();
    let pack = bench.pack("lanes", CORPUS, &[]);
    let folder = bench.path("own");
    let write_with = |measure: Option<&str>, threshold: &str, sentence: &str| {
        fs::create_dir_all(&folder).expect("a folder");
        for file in fs::read_dir(tiny()).expect("the quick model").map(|file| file.expect("readable").path()) {
            if file.is_file() {
                fs::copy(&file, format!("{folder}/{}", file.file_name().expect("a name").to_string_lossy())).expect("copied");
            }
        }
        let path = format!("{folder}/config.json");
        let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).expect("readable")).expect("JSON");
        config["memory"]["answer_threshold"] = serde_json::from_str(threshold).expect("JSON");
        config["memory"]["no_answer"] = sentence.into();
        config["memory"]["answer_measure"] = measure.into();
        fs::write(&path, config.to_string()).expect("written");
    };
    let write = |threshold: &str, sentence: &str| write_with(None, threshold, sentence);
    let ask = |more: &[&str]| {
        let args = ["ask", &pack, QUESTION, "--model", &folder, "--threads", "1", "--max-tokens", "8"];
        run(args.iter().chain(more))
    };
    write("0", "Nothing tells.");
    assert!(ask(&[]).ok().starts_with("Nothing tells.\n"), "packs stay valid, and the model's own threshold applies");
    for more in [&["--threshold", "none"][..], &["--no-memories"]] {
        assert!(!ask(more).ok().starts_with("Nothing tells."), "{more:?}");
    }
    for (threshold, sentence, field) in
        [("0.5", "No.", "answer_threshold"), ("\"low\"", "No.", "answer_threshold"), ("-1", " ", "no_answer")]
    {
        write(threshold, sentence);
        ask(&[]).fails(1, &[field, "config.json"]);
    }
    // Its threshold is on the measure that it names; one on the command line is on the log-probability.
    write_with(Some("memory_attention"), "1", "No.");
    assert!(ask(&[]).ok().starts_with("No.\n") && !ask(&["--threshold", "-1e6"]).ok().starts_with("No.\n"));
    for (measure, threshold, words) in [
        ("memory_attention", "-0.5", ["answer_threshold", "0 to 1"]),
        ("log_probability", "0.5", ["answer_threshold", "at most 0"]),
        ("certainty", "-0.5", ["answer_measure", "log_probability or memory_attention"]),
    ] {
        write_with(Some(measure), threshold, "No.");
        ask(&[]).fails(1, &[words[0], words[1], "config.json"]);
    }

    // What `eval` measures is what `ask` gives.
    write("0", "Nothing tells.");
    let row = serde_json::json!({"id": "1", "question": QUESTION, "answers": [], "gold_ids": [], "answerable": false});
    let questions = bench.file("one.jsonl", row.to_string());
    let eval = |more: &[&str]| {
        let args = ["eval", &questions, "--pack", &pack, "--model", &folder, "--threads", "1", "--max-tokens", "8"];
        run(args.iter().chain(&["--modes", "memory_quantized", "--json"]).chain(more))
    };
    let own = eval(&[]);
    assert!(own.err.contains("answer_threshold applies"), "{}", own.err);
    let own = json_lines(&own.ok()).remove(0);
    assert_eq!((&own["threshold"], &own["measure"]), (&0.0.into(), &"log_probability".into()));
    assert_eq!(own["modes"]["memory_quantized"]["exact_match"], 1.0, "it abstains");
    for more in [&["--threshold", "none"][..], &["--measure", "memory_attention"]] {
        let all = json_lines(&eval(more).ok()).remove(0);
        assert!(all["threshold"].is_null() && all["modes"]["memory_quantized"]["exact_match"] == 0.0, "{more:?}: {all}");
    }
}

#[test]
fn wrong_thresholds_are_refused() {
    for threshold in ["0.1", "nan", "-inf", "half", ""] {
        run(["ask", "x.mpk", "q", &format!("--threshold={threshold}")]).fails(2, &["--threshold", "at most 0"]);
        run(["eval", "q.jsonl", "--pack", "x.mpk", &format!("--threshold={threshold}")]).fails(2, &["--threshold", "at most 0"]);
    }
    for (measure, threshold, words) in
        [("memory_attention", "-0.5", "0 to 1"), ("memory_attention", "1.5", "0 to 1"), ("log_probability", "0.5", "at most 0")]
    {
        let given = ["--measure", measure, &format!("--threshold={threshold}")];
        run(["ask", "x.mpk", "q"].iter().chain(&given)).fails(2, &["--threshold", words]);
        run(["eval", "q.jsonl", "--pack", "x.mpk"].iter().chain(&given)).fails(2, &["--threshold", words]);
    }
    run(["ask", "x.mpk", "q", "--measure", "memory_attention"]).fails(2, &["--threshold"]);
    run(["eval", "q.jsonl", "--pack", "x.mpk", "--measure", "certainty"]).fails(2, &["log_probability or memory_attention"]);
    let cases: [&[&str]; 5] = [
        &["ask", "x.mpk", "q", "--no-memories", "--threshold", "-1"],
        &["eval", "q.jsonl", "--pack", "x.mpk", "--choose-threshold", "--threshold", "-1"],
        &["eval", "q.jsonl", "--pack", "x.mpk", "--choose-threshold", "--json"],
        &["eval", "--perplexity", "x.txt", "--threshold", "-1"],
        &["eval", "--multiple-choice", "x.jsonl", "--choose-threshold"],
    ];
    for case in cases {
        run(case).fails(2, &["cannot be used with"]);
    }
}

#[test]
fn eval_scores_withheld_answers_as_abstaining() {
    let bench = Bench::new();
    let pack = bench.pack("lanes", CORPUS, &[]);
    let tiny = tiny();
    let model = tiny.to_string_lossy();
    let eval = |questions: &str, more: &[&str]| {
        let args = ["eval", questions, "--pack", &pack, "--model", &model, "--threads", "1", "--max-tokens", "8"];
        run(args.iter().chain(&["--modes", "closed_book,memory_quantized"]).chain(more))
    };
    let asked = |answer: &str| {
        let row = |id: &str, answers: &[&str], answerable: bool| {
            serde_json::json!({"id": id, "question": QUESTION, "answers": answers, "gold_ids": [], "answerable": answerable}).to_string()
        };
        bench.file("questions.jsonl", [row("1", &[answer], true), row("2", &[], false)].join("\n"))
    };
    // Any answer of the quick model will do: what it says is the accepted answer.
    let details = bench.path("details.jsonl");
    eval(&asked("1912"), &["--details", &details]).ok();
    let rows = json_lines(&fs::read_to_string(&details).expect("details"));
    let found =
        &rows[0]["outcomes"].as_array().expect("outcomes").iter().find(|o| o["mode"] == "memory_quantized").expect("measured").clone();
    let (answer, confidence) = (found["answer"].as_str().expect("text"), found["confidence"].as_f64().expect("a number"));
    assert!(!answer.is_empty() && confidence < 0.0 && found.get("withheld").is_none(), "{found}");
    assert!(found["memory_attention"].as_f64().is_some_and(|share| (0.001..0.999).contains(&share)), "{found}");
    assert!(rows[0]["outcomes"][0].get("memory_attention").is_none(), "closed_book reads no memories: {}", rows[0]);
    let questions = asked(answer);

    let report = json_lines(&eval(&questions, &["--json", "--threshold", "0"]).ok()).remove(0);
    let figures = &report["modes"]["memory_quantized"];
    assert_eq!((&figures["exact_match"], &figures["unanswerable"]["exact_match"]), (&0.5.into(), &1.0.into()), "{figures}");
    let selective = &figures["selective"];
    assert_eq!((&selective["area"], selective["curve"].as_array().map(Vec::len)), (&0.5.into(), Some(1)), "one confidence: {selective}");
    assert_eq!((&selective["given"]["lost"], &selective["given"]["unanswerable_declined"]), (&1.into(), &1.into()));
    assert_eq!((&selective["chosen"]["threshold"], &selective["chosen"]["lost"]), (&confidence.into(), &0.into()));
    assert_eq!(report["modes"]["closed_book"]["unanswerable"]["exact_match"], 0.0, "no references, nothing to decline from");

    let png = bench.path("curve.png");
    let chosen = eval(&questions, &["--choose-threshold", "--figure", &png]).ok();
    assert!(fs::read(&png).expect("the figure").starts_with(b"\x89PNG\r\n"));
    assert!(chosen.starts_with("memory_quantized: threshold -") && chosen.lines().count() == 1, "{chosen}");
    assert!(chosen.contains("loses 0 of 1 right answers and declines 0 of 1 questions without an answer"), "{chosen}");
    let by_share = eval(&questions, &["--choose-threshold", "--measure", "memory_attention"]).ok();
    assert!(by_share.starts_with("memory_quantized: threshold 0."), "{by_share}");
    eval(&asked("an answer that no model gives"), &["--choose-threshold"]).fails(1, &["no threshold can be chosen"]);
}
