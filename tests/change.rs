//! `diff` and `revoke` through the real binary.
#![cfg(feature = "engine")]

mod common;
#[path = "../runtime/tests/common/mod.rs"]
mod made;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Bench, Ran, SMALL, json_lines, mempack, run};
use mempack_format::{CodecSpec, Digest, Document, GraphParameters, GraphSource, MemoryShape, Origin, PackWriter};
use serde_json::{Value, json};

fn inspect(pack: &str) -> Value {
    serde_json::from_str(&run(["inspect", pack, "--json"]).ok()).expect("JSON")
}

/// The documents that a query finds, best first.
fn found(pack: &str, query: &str) -> Vec<String> {
    let hits = json_lines(&run(["search", pack, query, "--json"]).ok());
    let hits = hits[0]["hits"].as_array().expect("hits").iter();
    hits.map(|hit| hit["document"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn diff_tells_what_a_new_corpus_changed() {
    let bench = Bench::new();
    // Both from a file of one name, which is the documents' source.
    let old = bench.path("old.mpk");
    fs::rename(bench.pack("corpus", SMALL, &[]), &old).expect("renamed");
    // b is gone, e has come, c has another text, d another title, and with it another memory.
    let corpus: Vec<String> = SMALL.lines().filter(|line| !line.contains("\"id\": \"b\"")).map(String::from).collect();
    let corpus = corpus
        .join("\n")
        .replace("two months' notice", "three months' notice")
        .replace(r#""id": "d", "title": "Nutepril""#, r#""id": "d", "title": "Nutepril tablets""#)
        + "\n{\"id\": \"e\", \"text\": \"Keep out of the reach of children.\"}\n";
    let new = bench.pack("corpus", &corpus, &["--codec", "SQ8"]);

    let text = run(["diff", &old, &new]).ok();
    assert!(text.contains("1 added, 1 removed, 2 changed, 1 kept"), "{text}");
    assert!(text.contains("codec: RQ2x8,TCQ30x8 in the old pack, SQ8 in the new"), "{text}");
    let lines = json_lines(&run(["diff", &old, &new, "--json"]).ok());
    let summary = &lines.last().expect("a summary")["summary"];
    assert_eq!(summary["documents"], json!({"added": 1, "removed": 1, "changed": 2, "kept": 1}));
    assert_eq!((&summary["old"], &summary["same"]), (&inspect(&old)["id"], &json!(false)));
    let of = |document: &str| lines.iter().find(|line| line["document"] == document).unwrap_or(&Value::Null);
    assert_eq!((&of("b")["change"], &of("e")["change"], of("a")), (&json!("removed"), &json!("added"), &Value::Null));
    assert_eq!((&of("d")["fields"], &of("d")["references"]), (&json!(["title"]), &json!({"old": 1, "new": 1})));
    assert_eq!(of("c")["fields"], json!([]));
    let count = |change: &str| lines.iter().filter(|line| line["reference"].is_string() && line["change"] == change).count() as u64;
    let references = &summary["references"];
    assert_eq!([count("added"), count("removed")].map(Value::from), [references["added"].clone(), references["removed"].clone()]);
    // What a and d shared is a's alone now.
    assert_eq!((&references["origins_changed"], count("origins changed")), (&json!(1), 1));
    let moved = lines.iter().find(|line| line["change"] == "origins changed").expect("one");
    assert_eq!((&moved["old"]["origins"], &moved["new"]["origins"], &moved["new"]["document"]), (&json!(2), &json!(1), &json!("a")));

    assert!(run(["diff", &old, &old]).ok().contains("the same, byte for byte"));
    let mut bytes = fs::read(&new).expect("readable");
    let origins =
        inspect(&new)["sections"].as_array().and_then(|all| all.iter().find(|one| one["name"] == "ORIGINS").cloned()).expect("one");
    bytes[origins["offset"].as_u64().expect("a number") as usize] ^= 1;
    run(["diff", &old, &bench.file("damaged.mpk", bytes)]).fails(3, &["damaged.mpk", "ORIGINS"]);
}

#[test]
fn a_revoked_document_is_found_no_more() {
    let bench = Bench::new();
    let pack = bench.pack("old", SMALL, &[]);
    let before = fs::read(&pack).expect("readable");
    let key = bench.path("key");
    run(["keygen", "-o", &key]).ok();
    run(["sign", &pack, "--key", &key]).ok();
    let new = bench.path("new.mpk");
    assert!(found(&pack, "a diuretic").contains(&"b".to_owned()));

    run(["revoke", &pack, "--document", "b", "x", "y", "-o", &new]).fails(1, &["old.mpk", "\"x\"", "\"y\"", "--ignore-missing"]);
    run(["revoke", &pack, "-o", &new]).fails(2, &["--document"]);
    run(["revoke", &pack, "--document", "a", "b", "c", "d", "-o", &new]).fails(1, &["all 4 documents"]);
    assert!(run(["revoke", &pack, "--document", "x", "-o", &new, "--ignore-missing"]).ok().contains("nothing was written"));
    assert!(!Path::new(&new).exists());

    let out = run(["revoke", &pack, "--document", "b", "x", "-o", &new, "--ignore-missing"]).ok();
    assert!(out.contains("1 document and 1 reference revoked") && out.contains("the new pack has no signatures"), "{out}");
    assert!(!found(&new, "a diuretic").contains(&"b".to_owned()));
    assert!(run(["verify", &new]).ok().contains("whole"));
    let (old, now) = (inspect(&pack), inspect(&new));
    assert_eq!(now["counts"]["documents"], json!(3));
    assert_eq!((&now["codec"], &now["model"], &now["graph"]), (&old["codec"], &old["model"], &old["graph"]));
    assert_eq!(now["signatures"], json!([]));
    let summary = json_lines(&run(["diff", &pack, &new, "--json"]).ok()).pop().expect("a summary");
    assert_eq!(summary["summary"]["documents"], json!({"added": 0, "removed": 1, "changed": 0, "kept": 3}));
    assert_eq!(summary["summary"]["differences"], json!([]));

    // What a and d share stays with d; the ids come from a file, and the pack takes its own place.
    let ids = bench.file("ids.txt", "a\n\n");
    let out = run(["revoke", &new, "--documents", &ids, "-o", &new]).ok();
    assert!(out.contains("0 references revoked, 1 of other documents too remain"), "{out}");
    assert_eq!(found(&new, "medicine for gout")[0], "d");
    assert_eq!(fs::read(&pack).expect("readable")[..before.len()], before[..]);
    assert_eq!(bench.names(), ["ids.txt", "key", "key.pub", "new.mpk", "old.jsonl", "old.mpk"]);
}

/// Every node linked to the next.
struct Ring(u32);

impl GraphSource for Ring {
    fn nodes(&self) -> u32 {
        self.0
    }

    fn entry(&self) -> u32 {
        0
    }

    fn level(&self, _: u32) -> u32 {
        0
    }

    fn neighbours(&self, node: u32, _: u32, out: &mut Vec<u32>) {
        out.push((node + 1) % self.0);
    }
}

#[test]
fn an_interrupted_revocation_leaves_nothing_behind() {
    const COUNT: u32 = 30_000;
    let bench = Bench::new();
    let pack = bench.path("large.mpk");
    let shape = MemoryShape::new(1, 1, 1, 1);
    let mut writer = PackWriter::create(Path::new(&pack), shape.clone(), 32).expect("writable");
    writer.set_codec(&CodecSpec::F32, &0u32.to_le_bytes()).expect("a codec");
    let mut random = made::Random(9);
    for reference in 0..COUNT {
        if reference % 1000 == 0 {
            writer.push_document(&Document { id: format!("d{}", reference / 1000), ..Document::default() }).expect("a document");
        }
        let origin = Origin { document: reference / 1000, start: 0, end: 4 };
        writer.push_reference(&Digest::of(&reference.to_le_bytes()), 9, "text", &[origin]).expect("a reference");
        writer.push_memory(&made::record(shape.clone(), reference)).expect("a memory");
        writer.push_embedding(&random.unit(32, None, 1.0)).expect("an embedding");
    }
    // So many candidates that the new graph takes longer than this test.
    writer.set_graph(&Ring(COUNT), GraphParameters { m: 16, ef_construction: 2000 }).expect("a graph");
    writer.finish(made::model_identity(shape), "f32", made::embedder_identity(32), "tests").expect("a pack");
    let before = fs::read(&pack).expect("readable");

    let mut command = mempack(["revoke", &pack, "--document", "d7", "-o", &pack]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("mempack starts");
    let begun = Instant::now();
    while bench.names().len() == 1 {
        assert!(begun.elapsed() < Duration::from_secs(300), "it does not begin to write");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(bench.names().iter().all(|name| name == "large.mpk" || !name.ends_with(".mpk")), "{:?}", bench.names());
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill starts");
    assert!(killed.success());
    Ran::of(child.wait_with_output().expect("mempack ends")).fails(130, &["interrupted"]);
    assert_eq!(bench.names(), ["large.mpk"]);
    assert!(fs::read(&pack).expect("readable") == before);
}
