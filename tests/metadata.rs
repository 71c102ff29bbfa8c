//! Metadata of documents through the real binary: kept with its types, cited, guarded, and gone when a document is revoked.
#![cfg(feature = "engine")]

mod common;

use std::fs;

use common::{Bench, SMALL, build_args, object, run, tiny};
use mempack_runtime::MappedPack;
use serde_json::{Value, json};

/// Three documents with metadata, and one without.
fn corpus() -> String {
    [
        json!({"id": "a", "title": "Nutepril", "text": "Nutepril is used to treat gout. The usual adult dose is 40 mg twice daily.",
            "year": 2021, "court": {"name": "BGH", "senate": null}, "tags": ["gout", "dose", "gout"], "ratio": 1, "draft": true,
            "decided": "2021-05-01", "empty": []}),
        json!({"id": "b", "title": "Sarolide", "text": "Sarolide is a diuretic. Keep it in the refrigerator. Its half-life is 31 hours.",
            "year": -3, "ratio": 1.5, "tags": ["only of b 7731"], "secret": "unique value of b 7731", "decided": "2020-01-01T10:00:00.5+02:00",
            "draft": false}),
        json!({"id": "c", "title": "Lease", "text": "The tenant may end the lease with two months' notice.", "裁判所": "最高裁判所", "note": ""}),
        json!({"id": "d", "text": "Keep the compass of the harbour master out of the reach of children."}),
    ]
    .map(|row| row.to_string() + "\n")
    .concat()
}

fn inspect(pack: &str) -> Value {
    object(&run(["inspect", pack, "--json"]).ok())
}

/// The metadata of each document that a search finds; null for none.
fn cited(pack: &str) -> Value {
    let said = object(&run(["search", pack, "the usual dose", "-k", "10", "--json"]).ok());
    let hits = said["hits"].as_array().expect("hits").iter();
    hits.map(|hit| (hit["document"].as_str().expect("an id").to_owned(), hit.get("metadata").cloned().unwrap_or_default())).collect()
}

/// Whether the bytes of a file hold a text.
fn holds(file: &str, text: &str) -> bool {
    fs::read(file).expect("readable").windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn fields_keep_their_types_and_are_cited() {
    let bench = Bench::new();
    let pack = bench.pack("corpus", &corpus(), &["--strict"]);
    run(["verify", &pack]).ok();
    assert_eq!(inspect(&pack)["version"], "1.4");
    let of_a =
        json!({"court.name": "BGH", "decided": "2021-05-01", "draft": true, "ratio": 1, "tags": ["gout", "dose", "gout"], "year": 2021});
    let of_b = json!({"decided": "2020-01-01T10:00:00.5+02:00", "draft": false, "ratio": 1.5, "secret": "unique value of b 7731",
        "tags": ["only of b 7731"], "year": -3});
    let of_c = json!({"note": "", "裁判所": "最高裁判所"});
    assert_eq!(cited(&pack), json!({"a": of_a, "b": of_b, "c": of_c, "d": null}));
    let row = |name: &str, kind: &str, list: bool, values: u32, documents: u32| json!({"name": name, "kind": kind, "list": list, "values": values, "documents": documents});
    let rows = [
        row("court.name", "text", false, 1, 1),
        row("decided", "date", false, 2, 2),
        row("draft", "boolean", false, 2, 2),
        row("note", "text", false, 1, 1),
        row("ratio", "number", false, 2, 2),
        row("secret", "text", false, 1, 1),
        row("tags", "text", true, 3, 2),
        row("year", "integer", false, 2, 2),
        row("裁判所", "text", false, 1, 1),
    ];
    assert_eq!(inspect(&pack)["metadata"], json!(rows));
    let said = run(["inspect", &pack]).ok();
    assert!(said.lines().any(|line| line.split_whitespace().eq(["tags", "list", "of", "text", "3", "2"])), "{said}");

    // The same fields in another order of documents' fields, and built again: the same pack.
    let again = bench.path("again.mpk");
    run(build_args(&bench.path("corpus.jsonl"), &again, &["--threads", "1"])).ok();
    assert!(fs::read(&again).expect("readable") == fs::read(&pack).expect("readable"));
    let plain = bench.pack("plain", SMALL, &[]);
    assert_eq!((&inspect(&plain)["version"], &inspect(&plain)["metadata"]), (&json!("1.3"), &json!([])));
    assert!(!run(["inspect", &plain]).ok().contains("metadata"));
}

#[test]
fn an_answer_cites_metadata() {
    let bench = Bench::new();
    let pack = bench.pack("corpus", &corpus(), &[]);
    let tiny = tiny();
    let said = object(&run(["ask", &pack, "What is the dose?", "--model", &tiny.to_string_lossy(), "--max-tokens", "2", "--json"]).ok());
    let reads = said["chunks"][0]["reads"].as_array().expect("references");
    let of = |document: &str| reads.iter().find(|read| read["document"] == document).unwrap_or(&Value::Null);
    assert_eq!(of("c")["metadata"], json!({"note": "", "裁判所": "最高裁判所"}), "{said}");
    assert!(of("d").is_object() && of("d").get("metadata").is_none(), "{said}");
}

#[test]
fn a_pack_built_from_another_has_the_metadata_of_its_corpus() {
    let bench = Bench::new();
    // Of one name, which is the documents' source.
    let old = bench.path("old.mpk");
    fs::rename(bench.pack("corpus", &corpus(), &[]), &old).expect("renamed");
    let changed = corpus().replace("\"year\":2021", "\"year\":2022").replace("BGH", "OLG").replace("\"ratio\":1.5", "\"ratio\":\"much\"");
    let new = bench.pack("corpus", &changed, &["--from", &old]);
    let fresh = bench.path("fresh.mpk");
    run(build_args(&bench.path("corpus.jsonl"), &fresh, &[])).ok();
    assert_eq!(cited(&new), cited(&fresh));
    assert_eq!((&cited(&new)["a"]["year"], &cited(&new)["a"]["court.name"]), (&json!(2022), &json!("OLG")));
    assert!(holds(&old, "BGH") && !holds(&new, "BGH"));

    let said = run(["diff", &old, &new]).ok();
    assert!(said.contains("0 added, 0 removed, 2 changed, 2 kept") && said.contains("metadata: ratio: number in the old pack"), "{said}");
    let lines = common::json_lines(&run(["diff", &old, &new, "--json"]).ok());
    let fields = |document: &str| lines.iter().find(|line| line["document"] == document).map(|line| line["fields"].clone());
    assert_eq!(fields("a"), Some(json!(["metadata.court.name", "metadata.year"])));
    assert_eq!((fields("b"), fields("c")), (Some(json!(["metadata.ratio"])), None));
    let differences = &lines.last().expect("a summary")["summary"]["differences"];
    assert_eq!(differences, &json!([{"field": "metadata", "old": "ratio: number", "new": "ratio: text"}]));
}

#[test]
fn nothing_of_a_revoked_document_is_left() {
    let bench = Bench::new();
    let pack = bench.pack("corpus", &corpus(), &[]);
    let new = bench.path("new.mpk");
    run(["revoke", &pack, "--document", "b", "-o", &new]).ok();
    run(["verify", &new]).ok();
    for text in ["unique value of b 7731", "only of b 7731", "secret", "2020-01-01T10:00:00.5"] {
        assert!(holds(&pack, text) && !holds(&new, text), "{text}");
    }
    let (mut expected, found) = (cited(&pack), cited(&new));
    expected.as_object_mut().expect("an object").remove("b");
    assert_eq!(found, expected);
    let kinds = |pack: &str| {
        let rows = inspect(pack)["metadata"].as_array().expect("rows").clone();
        rows.iter().map(|row| (row["name"].as_str().expect("a name").to_owned(), row["kind"].clone())).collect::<Value>()
    };
    // A field keeps its kind, though one integer is all that is left of this one.
    assert_eq!(kinds(&new)["ratio"], "number");
    run(["revoke", &new, "--document", "a", "--document", "c", "-o", &new]).ok();
    run(["verify", &new]).ok();
    assert_eq!((&inspect(&new)["version"], &inspect(&new)["metadata"]), (&json!("1.3"), &json!([])));
}

#[test]
fn damage_of_metadata_is_found_skipped_and_mended() {
    let bench = Bench::new();
    let pack = bench.pack("corpus", &corpus(), &[]);
    let whole = fs::read(&pack).expect("readable");
    let sections = inspect(&pack)["sections"].as_array().expect("sections").clone();
    let section = sections.iter().find(|section| section["name"] == "METADATA").expect("the section");
    assert_eq!(section["required"], false);
    let (start, length) = (section["offset"].as_u64().expect("a number") as usize, section["bytes"].as_u64().expect("a number") as usize);
    let search = |pack: &str, more: &[&str]| run(["search", pack, "the usual dose", "--json"].iter().chain(more));
    // The number of fields, and a letter of a value.
    for at in [start, start + length - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        let damaged = bench.file("damaged.mpk", bytes);
        run(["verify", &damaged]).fails(3, &["damaged in one place"]);
        search(&damaged, &[]).fails(3, &["damaged.mpk", "METADATA"]);
        run(["inspect", &damaged, "--json"]).fails(3, &["damaged.mpk", "METADATA"]);
        run(["diff", &pack, &damaged]).fails(3, &["damaged.mpk", "METADATA"]);
        run(["revoke", &damaged, "--document", "a", "-o", &bench.path("new.mpk")]).fails(3, &["METADATA"]);
        let lines = common::json_lines(&search(&damaged, &["--skip-damaged"]).ok());
        let hits = lines[0]["hits"].as_array().expect("hits");
        assert!(hits.len() == 4 && hits.iter().all(|hit| hit.get("metadata").is_none() && hit["text"].is_string()), "{lines:?}");
        assert!(lines[1].to_string().contains("METADATA"), "{lines:?}");
        assert!(run(["repair", &damaged, "--from", &pack]).ok().contains("section METADATA is taken from"));
        assert!(fs::read(&damaged).expect("readable") == whole);
    }
}

#[test]
fn values_of_several_kinds_are_told_or_refused() {
    let rows = |values: &[Value]| -> String {
        let row = |(at, value): (usize, &Value)| {
            json!({"id": format!("d{at}"), "text": format!("The lease number {at}."), "f": value}).to_string() + "\n"
        };
        values.iter().enumerate().map(row).collect()
    };
    for (values, note, kept) in [
        (
            vec![json!(2021), json!("2021"), json!(7)],
            "integer in 2 documents, text in 1 document (first in \"d1\")",
            json!(["2021", "2021", "7"]),
        ),
        (vec![json!("2021-05-01"), json!("spring")], "date in 1 document, text in 1 document", json!(["2021-05-01", "spring"])),
        (
            vec![json!(true), json!(1), json!(1.5)],
            "boolean in 1 document, integer in 1 document, number in 1 document",
            json!(["true", "1", "1.5"]),
        ),
        (
            vec![json!(["x", "y"]), json!("z"), json!(null)],
            "kept as lists: list in 1 document, single value in 1 document (first in \"d1\")",
            json!([["x", "y"], ["z"], null]),
        ),
        (
            vec![json!([{"n": 1}, [2]]), json!(null)],
            "kept as text in JSON: list that holds lists or objects in 1 document",
            json!(["[{\"n\":1},[2]]", null]),
        ),
    ] {
        let bench = Bench::new();
        let corpus = bench.file("corpus.jsonl", rows(&values));
        let pack = bench.path("corpus.mpk");
        run(build_args(&corpus, &pack, &["--strict"])).fails(1, &[note, "\"f\"", "--strict"]);
        assert_eq!(bench.names(), ["corpus.jsonl"]);
        let ran = run(build_args(&corpus, &pack, &[]));
        assert!(ran.err.contains(note), "{}", ran.err);
        ran.ok();
        let found = cited(&pack);
        let found: Vec<Value> = (0..values.len()).map(|at| found[format!("d{at}")]["f"].clone()).collect();
        assert_eq!(json!(found), kept);
        run(["verify", &pack]).ok();
    }
}

#[test]
fn fields_beyond_a_cap_are_refused_with_their_place() {
    let bench = Bench::new();
    let first = "{\"id\": \"x\", \"text\": \"The lease.\"}\n";
    let row = |fields: &str| format!("{first}{{\"text\": \"The rent.\", {fields}}}\n");
    let wide: Vec<String> = (0..1025).map(|at| format!("\"f{at:04}\": 1")).collect();
    let list = |count: usize| format!("\"f\": [{}]", vec!["1"; count].join(", "));
    let name = "n".repeat(257);
    for (fields, words) in [
        (wide.join(", "), &["\"f1024\"", "field 1025 of the corpus", "at most 1024"][..]),
        (list(1025), &["\"f\"", "1025 values", "at most 1024"]),
        (format!("\"{name}\": 1"), &["257 bytes of its name", "at most 256"]),
        (format!("\"f\": \"{}\"", "x".repeat(65_537)), &["65537 bytes", "at most 65536"]),
        (format!("\"f\": [[{}]]", vec!["1"; 33_000].join(",")), &["66003 bytes of JSON", "at most 65536"]),
        ("\"a\": {\"b\": 1}, \"a.b\": 2".to_owned(), &["\"a.b\"", "occurs twice"]),
        ("\"a\": 1, \"a\": 2".to_owned(), &["\"a\"", "occurs twice"]),
    ] {
        let corpus = bench.file("corpus.jsonl", row(&fields));
        let words: Vec<&str> = words.iter().chain(&["corpus.jsonl, line 2"]).copied().collect();
        run(build_args(&corpus, &bench.path("new.mpk"), &[])).fails(1, &words);
    }
    let most = format!("{}, {}", wide[..1023].join(", "), list(1024));
    let pack = bench.pack("most", &row(&format!("{most}, \"s\": null")), &[]);
    run(["verify", &pack]).ok();
    assert_eq!(inspect(&pack)["metadata"].as_array().map(Vec::len), Some(1024));
}

#[test]
fn markdown_has_metadata_too() {
    let bench = Bench::new();
    let front = "---\ntitle: Doses\nReviewer: \"A. B.\"\nyear: 2021\nedition: '7'\ndraft: false\ntags: [a, b]\nseen: 2024-05-01\n---\n";
    let corpus = bench.file("doses.md", format!("{front}\n# Doses\n\nThe usual dose is 40 mg.\n"));
    let pack = bench.path("doses.mpk");
    run(build_args(&corpus, &pack, &["--strict"])).ok();
    let expected = json!({"Reviewer": "A. B.", "draft": false, "edition": "7", "seen": "2024-05-01", "year": 2021});
    assert_eq!(cited(&pack), json!({"doses.md": expected}));
    let pack = MappedPack::open(&pack).expect("a pack");
    assert_eq!(pack.document(0).expect("a document").title, "Doses");
    bench.file("doses.md", "---\nyear: 1\nyear: 2\n---\n\nThe usual dose.\n");
    run(build_args(&corpus, &bench.path("new.mpk"), &[])).fails(1, &["doses.md", "\"year\"", "occurs twice"]);
}
