//! Codebooks that come with a model, through the real binary, with the quick model.
#![cfg(feature = "engine")]

mod common;

use std::fs;

use common::{Bench, Ran, build_args, distinct_documents, object, run};
use serde_json::{Value, json};

const CODEC: [&str; 2] = ["--codec", "RQ2x4"];

/// The quick model with the codebooks of a pack of 60 references, a corpus of 30 others, and the program on both.
struct Prepared {
    bench: Bench,
    model: String,
    corpus: String,
    trained: String,
}

impl Prepared {
    fn new() -> Self {
        let bench = Bench::new();
        let all = distinct_documents(90);
        let (first, second) = all.split_at(all.match_indices('\n').nth(59).expect("90 lines").0 + 1);
        let (large, corpus) = (bench.file("large.jsonl", first), bench.file("small.jsonl", second));
        let trained = bench.path("large.mpk");
        run(build_args(&large, &trained, &CODEC)).ok();
        let model = bench.tiny("model");
        Self { bench, model, corpus, trained }
    }

    fn codebooks(&self) -> String {
        self.bench.path("model/codec.bin")
    }

    fn build(&self, pack: &str, more: &[&str]) -> Ran {
        let pack = self.bench.path(pack);
        run(["build", &self.corpus, "-o", &pack, "--model", &self.model, "--json"].iter().chain(more))
    }
}

#[test]
fn a_small_build_uses_the_codebooks_of_its_model() {
    let own = Prepared::new();
    let printed = run(["codebooks", &own.trained, "-o", &own.codebooks()]).ok();
    assert!(printed.contains("codec RQ2x4") && printed.contains("of keys and"), "{printed}");
    run(["verify", &own.codebooks()]).ok();
    let inspected = object(&run(["inspect", &own.codebooks(), "--json"]).ok());
    let source = object(&run(["inspect", &own.trained, "--json"]).ok());
    assert_eq!(inspected["counts"]["references"], 0, "{inspected}");
    assert_eq!((&inspected["model"], &inspected["codec"]["quality"]), (&source["model"], &source["codec"]["quality"]));

    let report = object(&own.build("small.mpk", &CODEC).ok());
    assert_eq!((&report["codebooks"]["id"], &report["codebooks"]["quality"]), (&inspected["id"], &source["codec"]["quality"]), "{report}");
    assert!(report["stages"].get("training").is_none() && report["stages"].get("measuring").is_some(), "{report}");
    // What they lose is measured on the new references, of which one in eight is held out.
    assert_eq!((&report["quality"]["memories"], &report["encoded"]), (&json!(3), &json!(30)), "{report}");
    assert_ne!(report["quality"]["keys"], source["codec"]["quality"]["keys"]);
    run(["verify", &own.bench.path("small.mpk")]).ok();
    run(["quality", &own.bench.path("small.mpk"), "--model", &own.model]).ok();
    let codec = |pack: &str| {
        let sections = object(&run(["inspect", pack, "--json"]).ok())["sections"].as_array().cloned().unwrap_or_default();
        sections.into_iter().find(|section| section["name"] == "CODEC").expect("a codec")["digest"].clone()
    };
    assert_eq!(codec(&own.bench.path("small.mpk")), codec(&own.trained));
    let threads = object(&own.build("threads.mpk", &["--codec", "RQ2x4", "--threads", "3"]).ok());
    assert_eq!(threads["id"], report["id"]);

    // Another codec, training and an older pack need no codebooks of the model.
    for more in [&["--codec", "SQ8"][..], &["--codec", "RQ2x4", "--retrain-codec"], &["--from", &own.bench.path("small.mpk")]] {
        let report = object(&own.build("other.mpk", more).ok());
        assert_eq!(report["codebooks"], Value::Null, "{more:?}");
    }
    let trained = object(&own.build("other.mpk", &["--codec", "RQ2x4", "--retrain-codec"]).ok());
    assert!(trained["stages"].get("training").is_some() && trained["id"] != report["id"], "{trained}");
}

#[test]
fn wrong_codebooks_are_refused() {
    let own = Prepared::new();
    let plain = own.bench.path("plain.mpk");
    run(build_args(&own.corpus, &plain, &["--codec", "BF16"])).ok();
    run(["codebooks", &plain, "-o", &own.codebooks()]).fails(1, &["plain.mpk", "BF16 has no codebooks"]);
    run(["codebooks", &own.corpus, "-o", &own.codebooks()]).fails(3, &["small.jsonl"]);
    run(["codebooks", &own.trained, "-o", &own.trained]).fails(2, &["would replace"]);
    assert!(!fs::exists(own.codebooks()).expect("a readable folder"));

    let elsewhere = own.bench.path("elsewhere.bin");
    let printed = run(["codebooks", &own.trained, "-o", &elsewhere]).ok();
    assert!(printed.contains("codec.bin"), "{printed}");
    run(["codebooks", &own.trained, "-o", &own.codebooks()]).ok();

    // Of a model whose memory block differs.
    let config = own.bench.path("model/config.json");
    let text = fs::read_to_string(&config).expect("readable");
    let changed = text.replace("\"tokens_per_head\": 8", "\"tokens_per_head\": 4");
    assert_ne!(changed, text);
    fs::write(&config, changed).expect("writable");
    own.build("x.mpk", &CODEC).fails(4, &["codec.bin", "tokens per head", "--retrain-codec"]);
    own.build("x.mpk", &["--codec", "RQ2x4", "--retrain-codec"]).ok();
    fs::write(&config, text).expect("writable");

    // Damaged in the codec's section, cut short, and no pack.
    let whole = fs::read(own.codebooks()).expect("readable");
    let codec = object(&run(["inspect", &own.codebooks(), "--json"]).ok())["sections"]
        .as_array()
        .and_then(|sections| sections.iter().find(|section| section["name"] == "CODEC")?["offset"].as_u64())
        .expect("a codec");
    let mut damaged = whole.clone();
    damaged[codec as usize + 40] ^= 1;
    for wrong in [&damaged[..], &whole[..whole.len() / 2], b"{}"] {
        fs::write(own.codebooks(), wrong).expect("writable");
        own.build("x.mpk", &CODEC).fails(3, &["codec.bin"]);
    }
}
