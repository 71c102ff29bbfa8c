//! `--where`: only documents that a filter admits are found and cited, through the real binary, with the quick model.
#![cfg(feature = "engine")]

mod common;

use common::{Bench, distinct_documents, documents, hits, object, run};
use serde_json::{Value, json};

/// Twelve documents without fields, and five acts with.
fn corpus() -> String {
    let acts = [
        json!({"id": "by-2019", "date": "2019-05-31", "jurisdiction": "BY", "court": {"name": "OLG München"}, "pages": 3, "tags": ["tax", "income"]}),
        json!({"id": "by-2021", "date": "2021-07-01", "jurisdiction": "BY", "pages": 12, "in_force": true, "tags": ["tax"]}),
        json!({"id": "he-2021", "date": "2021-02-03", "jurisdiction": "HE", "pages": 4, "in_force": true, "tags": ["rent"]}),
        json!({"id": "he-2023", "date": "2023-12-24", "jurisdiction": "HE", "pages": 40, "in_force": false}),
        json!({"id": "none", "date": "1999-01-01", "tags": ["家事"]}),
    ];
    let act = |(number, mut act): (usize, Value)| {
        let name = act["id"].as_str().expect("an id").to_owned();
        act["text"] =
            json!(format!("Act {name} number {number} says that the fee is {} euros a year. The fee is due in March.", 10 + number));
        format!("{act}\n")
    };
    let boilerplate = |id: &str, land: &str| {
        format!("{}\n", json!({"id": id, "jurisdiction": land, "text": "The same words stand in two acts, letter for letter."}))
    };
    let rows: Vec<String> = acts.into_iter().enumerate().map(act).collect();
    distinct_documents(12) + &rows.concat() + &boilerplate("shared-1", "NW") + &boilerplate("shared-2", "BY")
}

/// All hits.
fn all_hits(pack: &str, query: &str, more: &[&str]) -> Vec<Value> {
    hits(pack, query, &[more, &["-k", "200"]].concat())
}

/// The documents of hits, each once, in the order of their ids.
fn sorted(hits: &[Value]) -> Vec<&str> {
    let mut ids = documents(hits);
    ids.sort_unstable();
    ids.dedup();
    ids
}

#[test]
fn filters_admit_what_they_say() {
    let bench = Bench::new();
    let pack = bench.pack("acts", &corpus(), &["--any-language", "--codec", "SQ8"]);
    for (filter, expected) in [
        (r#"jurisdiction == "BY" && date >= "2021-01-01""#, &["by-2021"][..]),
        (r#"jurisdiction == "BY""#, &["by-2019", "by-2021", "shared-2"]),
        (r#"jurisdiction in ["HE", "NW"] && !in_force"#, &["he-2023"]),
        (r#"court.name.contains("München")"#, &["by-2019"]),
        (r#""tax" in tags || tags.exists(t, t.startsWith("家"))"#, &["by-2019", "by-2021", "none"]),
        ("pages > 3.5 && pages < 40", &["by-2021", "he-2021"]),
        (r#"id == "he-2021""#, &["he-2021"]),
        (r#"date < "2000-01-01" && !has(metadata.jurisdiction)"#, &["none"]),
    ] {
        for ranking in ["dense", "lexical", "hybrid"] {
            let found = all_hits(&pack, "What fee is due in March?", &["--where", filter, "--search", ranking]);
            // By terms alone, references without a term of the query are not found.
            let expected: Vec<&str> = expected.iter().copied().filter(|id| ranking != "lexical" || !id.starts_with("shared")).collect();
            assert_eq!(sorted(&found), expected, "{filter} by {ranking}");
        }
        let exact = all_hits(&pack, "fee", &["--where", filter, "--exact"]);
        assert_eq!(exact, all_hits(&pack, "fee", &["--where", filter]), "{filter}");
    }
    // Of two documents with the same text, the one that passes is cited, with its own metadata.
    let shared = |filter: &str| {
        let found = all_hits(&pack, "The same words stand in two acts, letter for letter.", &["--where", filter]);
        (found[0]["document"].clone(), found[0]["metadata"]["jurisdiction"].clone(), found[0]["text"].clone())
    };
    let text = json!("The same words stand in two acts, letter for letter.");
    assert_eq!(shared(r#"jurisdiction == "BY""#), (json!("shared-2"), json!("BY"), text.clone()));
    assert_eq!(shared(r#"jurisdiction == "NW""#), (json!("shared-1"), json!("NW"), text));
    let nothing = run(["search", &pack, "fee", "--json", "--where", "pages > 1000"]);
    assert!(nothing.err.contains("no document passes the filter"), "{}", nothing.err);
    assert_eq!(object(&nothing.ok())["hits"], json!([]));
}

#[test]
fn answers_read_only_what_passes() {
    let bench = Bench::new();
    let pack = bench.pack("acts", &corpus(), &["--any-language", "--codec", "SQ8"]);
    let model = bench.tiny("model");
    let ask = |filter: &str| {
        let answer = run(["ask", &pack, "Which fee is due in March?", "--model", &model, "--json", "--max-tokens", "4", "--where", filter]);
        let chunks = object(&answer.ok())["chunks"].as_array().expect("chunks").clone();
        let reads: Vec<Value> = chunks.iter().flat_map(|chunk| chunk["reads"].as_array().expect("reads").clone()).collect();
        reads
    };
    let reads = ask(r#"jurisdiction == "HE""#);
    assert_eq!(sorted(&reads), ["he-2021", "he-2023"]);
    assert!(reads.iter().all(|read| read["metadata"]["jurisdiction"] == "HE"), "{reads:?}");
    assert_eq!(ask("pages > 1000"), Vec::<Value>::new());
}

#[test]
fn wrong_filters_are_refused_before_anything_is_searched() {
    let bench = Bench::new();
    let pack = bench.pack("acts", &corpus(), &["--any-language", "--codec", "SQ8"]);
    for (filter, words) in [
        ("jurisdiction = \"BY\"", &["--where", "character 14", "equality is =="][..]),
        ("", &["the expression is not complete"]),
        ("jurisdictoin == \"BY\"", &["character 1 ", "no document has a field \"jurisdictoin\"", "court.name", "jurisdiction"]),
        ("date >= 5", &["acts.mpk", "character 9", "date is a date, and 5 is not", "2021-01-31"]),
        ("pages == \"3\"", &["character 10", "a number without quotes is expected"]),
        ("tags == \"tax\"", &["tags is a list", "x in tags"]),
        ("size(tags) == 1", &["no function size()"]),
    ] {
        // An embedder that is not there shows that nothing was loaded.
        run(["search", &pack, "fee", "--where", filter, "--embedder", "/nowhere"]).fails(2, words);
    }
}
