//! `mempack eval --retrieval` through the real binary.
#![cfg(feature = "engine")]

mod common;

use std::fs;

use common::{Bench, Ran, build_args, distinct_documents, json_lines, object, run};
use mempack_hostile::Parts;
use serde_json::{Value, json};

const STAGES: [&str; 3] = ["dense", "lexical", "hybrid"];

/// Documents that embeddings hardly tell apart, and two that a word names. Two have the same text.
fn corpus() -> String {
    let named = [
        json!({"id": "code", "title": "Form", "text": "The clerk files form QX-4471 in the second drawer of the cabinet."}),
        json!({"id": "again", "title": "Form", "text": "The clerk files form QX-4471 in the second drawer of the cabinet."}),
        json!({"id": "title", "title": "Zorvantine", "text": "It is taken with water, twice a day, and never before noon."}),
    ];
    let rows: Vec<String> = named.iter().map(|row| format!("{row}\n")).collect();
    distinct_documents(30) + &rows.concat()
}

fn pack(bench: &Bench) -> String {
    bench.pack("corpus", &corpus(), &["--any-language", "--codec", "SQ8"])
}

/// A file of questions: id, question, gold ids.
fn questions(bench: &Bench, name: &str, rows: &[(&str, &str, &[&str])]) -> String {
    let row = |(id, question, gold): &(&str, &str, &[&str])| {
        format!("{}\n", json!({"id": id, "question": question, "answers": [], "gold_ids": gold, "unknown": {"field": 1}}))
    };
    bench.file(name, rows.iter().map(row).collect::<String>())
}

fn measure(questions: &str, pack: &str, more: &[&str]) -> Ran {
    run(["eval", "--retrieval", questions, "--pack", pack, "--threads", "1"].iter().chain(more))
}

fn names(stages: &Value) -> Vec<&str> {
    stages.as_array().expect("stages").iter().map(|stage| stage["stage"].as_str().expect("a name")).collect()
}

#[test]
fn stages_side_by_side() {
    let bench = Bench::new();
    let pack = pack(&bench);
    let asked = questions(
        &bench,
        "q.jsonl",
        &[
            ("code", "Where is form qx-4471?", &["again"]),
            ("both", "Which clerk files form QX-4471?", &["code", "again", "code"]),
            ("title", "zorvantine", &["title", "gone"]),
            ("lost", "Who is lost?", &["gone", "away"]),
            ("none", "Who asks?", &[]),
        ],
    );
    let (details, figure) = (bench.path("details.jsonl"), bench.path("figure.svg"));
    // No model is loaded: a folder that is none is no obstacle.
    let args = ["--json", "--details", &details, "--figure", &figure, "--model", "/nonexistent"];
    let report = object(&measure(&asked, &pack, &args).ok());
    assert_eq!((&report["questions"], &report["depth"], &report["most_gold"]), (&json!(3), &json!(20), &json!(2)));
    let left =
        json!({"without_gold": 1, "without_document": 1, "first_questions": ["lost", "none"], "ids": 2, "first_ids": ["gone", "away"]});
    assert_eq!(report["not_measured"], left);
    assert_eq!(names(&report["stages"]), STAGES);
    for stage in report["stages"].as_array().expect("stages") {
        assert_eq!(stage["recall"].as_object().expect("recall").keys().collect::<Vec<_>>(), ["1", "20", "3", "5"]);
        let curve: Vec<f64> =
            stage["recall_curve"].as_array().expect("a curve").iter().map(|value| value.as_f64().expect("a share")).collect();
        assert!(curve.len() == 20 && curve.is_sorted() && json!(curve[4]) == stage["recall"]["5"]["mean"], "{stage}");
        assert!(stage["search_ms"].as_f64() > Some(0.0) && report["embedding_ms"].as_f64() > Some(0.0));
    }
    // Words find all three at once; one reference comes from both documents of the second question.
    let lexical = &report["stages"][1];
    assert_eq!(["recall", "hit"].map(|of| lexical[of]["1"]["mean"].clone()), [json!(1.0), json!(1.0)]);
    assert_eq!(lexical["mrr"]["mean"], json!(1.0));
    let differences: Vec<_> =
        report["differences"].as_array().expect("differences").iter().map(|row| (&row["left"], &row["right"])).collect();
    assert_eq!(differences, [(&json!("lexical"), &json!("dense")), (&json!("hybrid"), &json!("dense"))]);

    let rows = json_lines(&fs::read_to_string(&details).expect("details"));
    assert_eq!(rows.iter().map(|row| &row["id"]).collect::<Vec<_>>(), ["code", "both", "title"]);
    assert_eq!(rows[1]["gold_ids"], json!(["code", "again"]));
    for row in &rows {
        assert_eq!(names(&row["stages"]), STAGES);
        for stage in row["stages"].as_array().expect("stages") {
            let found: Vec<&str> = stage["found"].as_array().expect("ids").iter().map(|id| id.as_str().expect("an id")).collect();
            let gold = row["gold_ids"].as_array().expect("gold");
            let rank = found.iter().position(|id| gold.contains(&json!(id))).map(|place| place + 1);
            assert_eq!(stage["gold_rank"], json!(rank), "{stage}");
            // What `search` finds is what is measured.
            let query = row["question"].as_str().expect("a question");
            let search = run(["search", &pack, query, "--json", "-k", "20", "--search", stage["stage"].as_str().expect("a name")]).ok();
            let hits = object(&search)["hits"].as_array().expect("hits").clone();
            assert_eq!(found.len(), hits.len(), "{query}");
            for (id, hit) in found.iter().zip(hits) {
                assert!(hit["document"] == *id || gold.contains(&json!(id)), "{id} {hit}");
            }
        }
    }
    let figure = fs::read_to_string(figure).expect("the figure");
    assert!(STAGES.iter().all(|stage| figure.contains(&format!(">{stage}<"))) && figure.matches("<polyline ").count() == 3, "{figure}");

    let table = measure(&asked, &pack, &["--details", &details]).ok();
    for words in [
        "3 questions, 20 references each",
        "corpus (32 references)",
        "questions left out: 1 without gold_ids, 1 whose gold_ids no document has (lost, none)",
        "gold_ids that no document of the packs has: 2 (gone, away)",
        "recall@20",
        "hit@1",
        "nDCG@10",
        "hybrid - dense",
        "search ms",
    ] {
        assert!(table.contains(words), "no {words:?} in: {table}");
    }
    let one = object(&measure(&asked, &pack, &["--search", "hybrid", "--limit", "2", "--json"]).ok());
    assert_eq!((names(&one["stages"]), one["differences"].as_array().map(Vec::len)), (vec!["hybrid"], Some(0)));
    assert_eq!(one["questions"], json!(1), "of the two evenly spaced questions, one has no gold ids");
}

#[test]
fn packs_without_an_index_and_several_packs() {
    let bench = Bench::new();
    let pack = pack(&bench);
    let mut parts = Parts::of(&fs::read(&pack).expect("the pack"));
    parts.0.retain(|part| !part.tag.starts_with(b"TERMS"));
    let older = bench.file("older.mpk", parts.assemble());
    let asked = questions(&bench, "q.jsonl", &[("1", "zorvantine", &["title"]), ("2", "When is tea?", &["tea"])]);
    let report = object(&measure(&asked, &older, &["--json"]).ok());
    assert_eq!(names(&report["stages"]), ["dense"]);
    assert_eq!(names(&report["left_out"]), ["lexical", "hybrid"]);
    assert_eq!(report["not_measured"]["first_ids"], json!(["tea"]));
    let table = measure(&asked, &older, &[]).ok();
    assert!(
        table.contains("lexical is not measured: no pack has an index of terms") && table.contains("hybrid is not measured"),
        "{table}"
    );
    measure(&asked, &older, &["--search", "hybrid"]).fails(1, &["older.mpk", "no index of terms", "hybrid"]);

    let corpus = bench.file("tea.jsonl", r#"{"id": "tea", "text": "Tea is at four, in the small room behind the library."}"#);
    let tea = bench.path("tea.mpk");
    run(build_args(&corpus, &tea, &["--any-language", "--codec", "SQ8"])).ok();
    let both = object(&measure(&asked, &tea, &["--with", &older, "--json"]).ok());
    assert_eq!((&both["questions"], names(&both["stages"])), (&json!(2), STAGES.to_vec()));
    assert_eq!(both["without_terms"], json!(["older"]));
    assert_eq!(both["packs"].as_array().map(Vec::len), Some(2));
    let table = measure(&asked, &tea, &["--with", &older]).ok();
    assert!(table.contains("searched by embeddings alone, without an index of terms: older"), "{table}");
}

#[test]
fn unusual_questions_are_answered_and_wrong_files_refused() {
    let bench = Bench::new();
    let pack = pack(&bench);
    let long = "The lease of 3 is kept by the river. ".repeat(1250);
    let unusual = questions(
        &bench,
        "q.jsonl",
        &[
            ("long", &long, &["d1"]),
            ("punctuation", "?!... --", &["d1"]),
            ("script", "सूत्र क्या है", &["d1"]),
            ("control", "a\u{0}\u{7}b", &["d1"]),
        ],
    );
    let report = object(&measure(&unusual, &pack, &["--json"]).ok());
    assert_eq!((&report["questions"], names(&report["stages"])), (&json!(4), STAGES.to_vec()));

    let lost = questions(&bench, "lost.jsonl", &[("a", "Who?", &["gone"]), ("b", "What?", &[])]);
    let words = ["no question can be measured", "1 without gold_ids", "1 whose gold_ids no document of the packs has (gone)"];
    measure(&lost, &pack, &[]).fails(1, &words);
    for (name, content, words) in [
        ("empty.jsonl", "", vec!["empty.jsonl"]),
        ("no-question.jsonl", r#"{"id": "1", "answers": [], "gold_ids": ["d1"]}"#, vec!["line 1", "`question` is missing"]),
        ("no-json.jsonl", "what?", vec!["line 1", "not a JSON object"]),
        ("gold.jsonl", r#"{"id": "1", "question": "x", "answers": [], "gold_ids": "d1"}"#, vec!["line 1", "gold_ids"]),
    ] {
        measure(&bench.file(name, content), &pack, &[]).fails(1, &words);
    }
    measure(&bench.path("absent.jsonl"), &pack, &[]).fails(1, &["absent.jsonl"]);
    run(["eval", "--retrieval", &unusual]).fails(2, &["--pack"]);
    for option in [["--modes", "memory"], ["-k", "3"], ["--max-tokens", "3"], ["--threshold", "-1"], ["--overlap", "0.5"], ["--sweep", "k"]]
    {
        measure(&unusual, &pack, &option).fails(2, &["--retrieval", "cannot be used with"]);
    }
    run(["eval", &unusual, "--pack", &pack, "--with", &pack]).fails(2, &["--with belongs to a suite or to --retrieval"]);
    measure(&unusual, &pack, &["--details", &unusual]).fails(2, &["--details"]);

    let mut damaged = fs::read(&pack).expect("the pack");
    let sections = object(&run(["inspect", &pack, "--json"]).ok())["sections"].clone();
    let offset =
        sections.as_array().expect("sections").iter().find(|section| section["name"] == "TERMS").expect("terms")["offset"].as_u64();
    damaged[offset.expect("a number") as usize + 100] ^= 1;
    measure(&unusual, &bench.file("damaged.mpk", damaged), &[]).fails(3, &["damaged.mpk", "TERMS"]);
}
