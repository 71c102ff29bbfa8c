//! Several packs in one command, damage that is left out, files that are cut short, signatures that are demanded: the real binary.
#![cfg(feature = "engine")]

mod common;

use std::fs::{self, OpenOptions};
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use common::{Bench, Ran, json_lines, mempack, run, tiny};
use mempack_runtime::MappedPack;
use serde_json::Value;

const MEDICAL: &str = concat!(
    r#"{"id": "a", "title": "Nutepril", "text": "Nutepril is used to treat gout. The usual adult dose is 40 mg twice daily."}"#,
    "\n",
    r#"{"id": "shared", "title": "Notice", "text": "Ask somebody who knows before you do anything at all."}"#,
    "\n",
);

const LEGAL: &str = concat!(
    r#"{"id": "lease", "title": "Lease", "text": "The tenant may end the lease with two months' notice."}"#,
    "\n",
    r#"{"id": "also shared", "title": "Notice", "text": "Ask somebody who knows before you do anything at all."}"#,
    "\n",
);

/// The first line's hits.
fn hits(output: &str) -> Vec<Value> {
    json_lines(output)[0]["hits"].as_array().expect("hits").clone()
}

/// Flips the byte of a section that is at so many thousandths of it, and says which it is in the file.
fn flip(pack: &str, section: &str, at: u64) -> u64 {
    let offset = {
        let pack = MappedPack::open(pack).expect("a pack");
        let section = *pack.sections().iter().find(|found| found.tag.to_string() == section).expect("the section");
        section.offset + section.length * at / 1000
    };
    let mut bytes = fs::read(pack).expect("readable");
    bytes[offset as usize] ^= 0x11;
    fs::write(pack, bytes).expect("writable");
    offset
}

#[test]
fn several_packs_are_ranked_and_cited_as_one() {
    let bench = Bench::new();
    let (medical, legal) = (bench.pack("medical", MEDICAL, &[]), bench.pack("legal", LEGAL, &[]));
    let search = |more: &[&str]| run(["search", &medical, "ending a tenancy", "--with", &legal, "-k", "4"].iter().chain(more)).ok();
    let found = hits(&search(&["--json"]));
    assert_eq!(found.len(), 3, "the shared text is one hit: {found:?}");
    assert_eq!((found[0]["pack"].as_str(), found[0]["document"].as_str()), (Some("legal"), Some("lease")));
    let id = MappedPack::open(&legal).expect("a pack").id().to_string();
    assert_eq!(found[0]["pack_id"].as_str(), Some(id.as_str()));
    let shared = found.iter().find(|hit| hit["title"] == "Notice").expect("the shared text");
    assert_eq!((shared["pack"].as_str(), shared["document"].as_str()), (Some("medical"), Some("shared")), "in the pack named first");
    assert!(search(&[]).contains("legal: lease"), "people are told the pack as well");
    assert!(!run(["search", &medical, "gout"]).ok().contains("medical: "), "but not of a single one");

    let model = tiny();
    let model = model.to_string_lossy();
    let answer = run(["ask", &medical, "What is the dose of Nutepril?", "--with", &legal, "--model", &model, "--json"]).ok();
    let answer = &json_lines(&answer)[0];
    let packs: Vec<_> = answer["packs"].as_array().expect("packs").iter().map(|pack| pack["name"].as_str()).collect();
    assert_eq!(packs, [Some("medical"), Some("legal")]);
    let reads = answer["chunks"][0]["reads"].as_array().expect("reads");
    assert_eq!((reads.len(), reads[0]["document"].as_str(), reads[0]["pack"].as_str()), (3, Some("a"), Some("medical")));
    assert!(reads.iter().any(|read| read["pack"] == "legal"));
}

#[test]
fn packs_that_do_not_belong_together_are_refused() {
    let bench = Bench::new();
    let one = bench.pack("one", MEDICAL, &[]);
    let other = bench.path("other.mpk");
    let corpus = bench.file("other.jsonl", LEGAL);
    // The same model with another base of its rotary embedding.
    fs::create_dir(bench.path("model")).expect("writable");
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(tiny().join(file), bench.path("model") + "/" + file).expect("a copy");
    }
    let config = fs::read_to_string(tiny().join("config.json")).expect("config.json");
    let changed = config.replace("\"rope_theta\": 10000.0", "\"rope_theta\": 20000.0");
    assert_ne!(config, changed);
    bench.file("model/config.json", changed);
    run(["build", &corpus, "-o", &other, "--model", &bench.path("model")]).ok();
    run(["search", &one, "gout", "--with", &other]).fails(4, &["other.mpk", "one.mpk", "RoPE base", "20000"]);
    run(["search", &one, "gout", "--with", &bench.path("none.mpk")]).fails(1, &["none.mpk"]);
}

#[test]
fn damage_ends_a_search_or_is_left_out_and_told() {
    let bench = Bench::new();
    let pack = bench.pack("p", MEDICAL, &[]);
    let found = hits(&run(["search", &pack, "gout", "--json"]).ok());
    assert_eq!(found.len(), 2);
    let offset = flip(&pack, "EMBED", 100);
    run(["search", &pack, "gout", "--json"]).fails(3, &["p.mpk", "EMBED", "leaf"]);
    let ran = run(["search", &pack, "gout", "--json", "--skip-damaged"]);
    assert!(ran.err.contains("left out 1 damaged place of section EMBED"), "{}", ran.err);
    let lines = json_lines(&ran.ok());
    assert_eq!(lines[0]["hits"].as_array().map(Vec::len), Some(1));
    let skipped = &lines[1]["skipped"][0];
    assert_eq!((skipped["section"].as_str(), skipped["places"].as_u64()), (Some("EMBED"), Some(1)));
    assert!(skipped["first"]["offset"].as_u64().is_some_and(|at| at <= offset && skipped["pack"] == pack.as_str()), "{skipped}");

    let model = tiny();
    let model = model.to_string_lossy();
    let pack = bench.pack("memories", MEDICAL, &[]);
    flip(&pack, "MEMORIES", 900);
    let ask = |more: &[&str]| {
        run(["ask", &pack, "What is used to treat gout?", "--model", &model, "--json", "--max-tokens", "3"].iter().chain(more))
    };
    ask(&[]).fails(3, &["memories.mpk", "MEMORIES", "leaf"]);
    let ran = ask(&["--skip-damaged"]);
    assert!(ran.err.contains("left out 1 damaged place of section MEMORIES"), "{}", ran.err);
    let answer = &json_lines(&ran.ok())[0];
    assert_eq!(answer["chunks"][0]["reads"].as_array().map(Vec::len), Some(1));
    assert_eq!((answer["skipped"][0]["section"].as_str(), answer["skipped"][0]["places"].as_u64()), (Some("MEMORIES"), Some(1)));

    let pack = bench.pack("text", MEDICAL, &[]);
    flip(&pack, "TEXT", 500);
    run(["search", &pack, "gout"]).fails(3, &["text.mpk", "TEXT"]);
    let ran = run(["search", &pack, "gout", "--json", "--skip-damaged"]);
    let lines = json_lines(&ran.ok());
    assert!(lines[0]["hits"].as_array().is_some_and(|hits| hits.len() == 2 && hits.iter().all(|hit| hit["text"].is_null())));
    assert_eq!(lines[1]["skipped"][0]["section"].as_str(), Some("TEXT"));
}

/// The pack is cut short between its opening and the reading of the first memory: while the model is loaded, which takes long enough.
#[cfg(target_os = "linux")]
#[test]
fn a_pack_cut_short_before_it_is_read_is_told() {
    let bench = Bench::new();
    let (pack, model) = (bench.pack("p", MEDICAL, &[]), tiny());
    let mut child = mempack(["ask", &pack, "What is used to treat gout?", "--model", &model.to_string_lossy()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("mempack starts");
    let maps = format!("/proc/{}/maps", child.id());
    let is_mapped = || fs::read_to_string(&maps).is_ok_and(|maps| maps.contains(&pack));
    while !is_mapped() && child.try_wait().expect("a child").is_none() {
        sleep(Duration::from_millis(1));
    }
    OpenOptions::new().write(true).open(&pack).expect("writable").set_len(5000).expect("cut");
    Ran::of(child.wait_with_output().expect("mempack ends")).fails(3, &["cut short"]);
}

#[test]
fn a_signature_can_be_demanded() {
    let bench = Bench::new();
    let (pack, other) = (bench.pack("p", MEDICAL, &[]), bench.pack("other", LEGAL, &[]));
    let key = bench.path("key");
    run(["keygen", "-o", &key]).ok();
    let public = format!("{key}.pub");
    run(["search", &pack, "gout", "--trusted", &public]).fails(4, &["p.mpk", "not signed"]);
    run(["sign", &pack, "--key", &key]).ok();
    assert!(run(["search", &pack, "gout", "--trusted", &public]).ok().contains("Nutepril"));
    run(["search", &pack, "gout", "--trusted", &public, "--with", &other]).fails(4, &["other.mpk", "not signed"]);
    let model = tiny();
    let ask = |pack: &str| {
        run(["ask", pack, "What is used to treat gout?", "--model", &model.to_string_lossy(), "--max-tokens", "2", "--trusted", &public])
    };
    ask(&pack).ok();
    ask(&other).fails(4, &["other.mpk", "not signed"]);
}
