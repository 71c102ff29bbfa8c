//! Search by shared terms, through the real binary, with the quick model.
#![cfg(feature = "engine")]

mod common;

use std::fs;

use common::{Bench, build_args, distinct_documents, hits, object, run};
use mempack_hostile::Parts;
use serde_json::{Value, json};

/// Documents that embeddings hardly tell apart, and three that a word of their text or their title names.
fn corpus() -> String {
    let named = [
        json!({"id": "code", "title": "Form", "text": "The clerk files form QX-4471 in the second drawer of the cabinet."}),
        json!({"id": "title", "title": "Zorvantine", "text": "It is taken with water, twice a day, and never before noon."}),
        json!({"id": "chinese", "text": "第四十七条 承运人应当在货物运抵后三日内通知收货人。"}),
    ];
    let rows: Vec<String> = named.iter().map(|row| format!("{row}\n")).collect();
    distinct_documents(60) + &rows.concat()
}

fn first(pack: &str, query: &str, more: &[&str]) -> String {
    hits(pack, query, more)[0]["document"].as_str().expect("an id").to_owned()
}

fn sections(pack: &str) -> Vec<Value> {
    object(&run(["inspect", pack, "--json"]).ok())["sections"].as_array().expect("sections").clone()
}

fn has_terms(pack: &str) -> bool {
    sections(pack).iter().any(|section| section["name"] == "TERMS")
}

#[test]
fn shared_terms_find_what_vectors_do_not() {
    let bench = Bench::new();
    let pack = bench.pack("corpus", &corpus(), &["--any-language", "--codec", "SQ8"]);
    assert!(has_terms(&pack));
    run(["verify", &pack]).ok();
    for (query, document) in [("qx-4471", "code"), ("zorvantine", "title"), ("承运人通知", "chinese")] {
        for how in ["lexical", "hybrid"] {
            assert_eq!(first(&pack, query, &["--search", how]), document, "{query} {how}");
        }
        assert_eq!(hits(&pack, query, &[]), hits(&pack, query, &["--search", "hybrid"]), "the default");
    }
    // Nothing but stop words and punctuation, and words that no document has: the vectors decide.
    for query in ["to be or not to be?!", "?!?!", "xylophonic"] {
        let dense = hits(&pack, query, &["--search", "dense"]);
        assert_eq!(dense, hits(&pack, query, &["--search", "hybrid"]), "{query}");
    }
    // A query of ten thousand words is one query.
    let long = "The lease of 3 is kept by the river. ".repeat(1250);
    assert_eq!(hits(&pack, &long, &["--search", "hybrid", "-k", "3"]).len(), 3);
    run(["search", &pack, "fever", "--search", "wrong"]).fails(2, &["dense", "lexical", "hybrid"]);
}

#[test]
fn no_term_of_a_revoked_document_is_left() {
    let bench = Bench::new();
    let pack = bench.pack("corpus", &corpus(), &["--any-language", "--codec", "SQ8"]);
    let terms = |pack: &str| Parts::of(&fs::read(pack).expect("the pack")).get("TERMS").to_vec();
    let holds = |bytes: &[u8], word: &str| bytes.windows(word.len()).any(|window| window == word.as_bytes());
    for word in ["zorvantin", "4471", "承运"] {
        assert!(holds(&terms(&pack), word), "{word}");
    }
    let left = bench.path("left.mpk");
    run(["revoke", &pack, "--document", "code", "title", "-o", &left]).ok();
    assert!(!holds(&terms(&left), "zorvantin") && !holds(&terms(&left), "4471") && holds(&terms(&left), "承运"));
    run(["verify", &left]).ok();
    // What is left is what a build of the rest has.
    let rest: String = corpus()
        .lines()
        .filter(|line| !line.contains("\"code\"") && !line.contains("\"title\":\"Zorvantine\""))
        .map(|line| format!("{line}\n"))
        .collect();
    let built = bench.pack("rest", &rest, &["--any-language", "--codec", "SQ8"]);
    assert_eq!(terms(&left), terms(&built));
}

#[test]
fn packs_without_terms_are_searched_by_vectors_and_damaged_terms_are_told() {
    let bench = Bench::new();
    let pack = bench.pack("corpus", &corpus(), &["--any-language", "--codec", "SQ8"]);
    let mut parts = Parts::of(&fs::read(&pack).expect("the pack"));
    let offset = sections(&pack).iter().find(|section| section["name"] == "TERMS").expect("terms")["offset"].as_u64().expect("a number");
    let mut damaged = fs::read(&pack).expect("the pack");
    damaged[offset as usize + 100] ^= 1;
    let damaged = bench.file("damaged.mpk", damaged);
    run(["search", &damaged, "qx-4471", "--search", "hybrid"]).fails(3, &["damaged.mpk", "TERMS"]);
    run(["search", &damaged, "qx-4471", "--search", "dense"]).ok();
    let dense = hits(&pack, "qx-4471", &["--search", "dense"]);
    assert_eq!(hits(&damaged, "qx-4471", &["--search", "hybrid", "--skip-damaged"]), {
        let mut dense = dense.clone();
        dense.iter_mut().for_each(|hit| hit["pack"] = json!("damaged"));
        dense
    });
    parts.0.retain(|part| !part.tag.starts_with(b"TERMS"));
    let older = bench.file("older.mpk", parts.assemble());
    run(["verify", &older]).ok();
    let essence = |hits: &[Value]| hits.iter().map(|hit| (hit["document"].clone(), hit["score"].clone())).collect::<Vec<_>>();
    assert_eq!(essence(&hits(&older, "qx-4471", &["--search", "hybrid"])), essence(&dense));
    for options in [&[][..], &["--search", "lexical"]] {
        let found = run(["search", older.as_str(), "qx-4471"].iter().chain(options));
        assert!(found.code == 0 && found.err.contains("older.mpk has no index of terms"), "{}", found.err);
    }
    assert_eq!(run(["search", &older, "qx-4471", "--search", "dense"]).err, "");
    // A build that takes everything from it has the terms.
    let again = bench.path("again.mpk");
    let corpus = bench.path("corpus.jsonl");
    run(build_args(&corpus, &again, &["--any-language", "--from", &older])).ok();
    let terms = |pack: &str| Parts::of(&fs::read(pack).expect("the pack")).get("TERMS").to_vec();
    assert_eq!(terms(&again), terms(&pack));
}
