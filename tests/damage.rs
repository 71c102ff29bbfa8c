//! Damaged packs through the real binary: all damage is listed, a sample is read, and what somebody has whole is mended.

mod common;
#[path = "../format-spec/tests/common/made.rs"]
mod made;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use common::{Bench, json_lines, run};
use made::{RECORD, ROW, flip, section};
use serde_json::Value;

/// A damaged pack in a file, next to a whole one.
fn damaged(bench: &Bench, whole: &[u8], places: &[(&str, u64)]) -> String {
    let mut pack = whole.to_vec();
    places.iter().for_each(|(tag, at)| flip(&mut pack, whole, tag, *at));
    bench.file("damaged.mpk", pack)
}

#[test]
fn verify_lists_all_damage() {
    let bench = Bench::new();
    let whole = made::pack(0..200);
    let places: Vec<(&str, u64)> =
        (0..30).map(|memory| ("MEMORIES", memory * 3 * RECORD)).chain([("EMBED", 7 * ROW), ("DOCS", 1), ("GRAPH", 40)]).collect();
    let pack = damaged(&bench, &whole, &places);
    let good = bench.file("good.mpk", &whole);
    let ran = run(["verify", &pack, &good]);
    ran.fails(3, &["damaged.mpk: damaged in 33 places", "mempack repair"]);
    assert_eq!(ran.out.matches("is damaged at byte").count(), 20, "{}", ran.out);
    assert!(ran.out.contains("13 more damaged places") && ran.out.contains("good.mpk: whole: 200 references"), "{}", ran.out);
    let (memories, _) = section(&whole, "MEMORIES");
    let ran = run(["verify", &pack, "--all"]);
    ran.fails(3, &["33 places"]);
    for words in ["section DOCS is damaged", "section GRAPH is damaged", "the digest of embedding 7 is", "the digest of memory 87 is"] {
        assert!(ran.out.contains(words), "no {words} in {}", ran.out);
    }
    assert!(ran.out.contains(&format!("section MEMORIES is damaged at byte {}:", memories + 3 * RECORD as usize)), "{}", ran.out);
    let ran = run(["verify", &pack, &good, "--json", "--all"]);
    ran.fails(3, &["33 places"]);
    let lines = json_lines(&ran.out);
    assert_eq!((lines.len(), lines[0]["damages"].as_u64(), lines[0]["listed"].as_array().map(Vec::len)), (2, Some(33), Some(33)));
    assert_eq!((&lines[0]["whole"], &lines[1]["whole"]), (&Value::Bool(false), &Value::Bool(true)));
    assert!(lines[0]["listed"].as_array().unwrap().iter().any(|damage| damage["section"] == "GRAPH"));
    assert_eq!(lines[1]["read"], lines[1]["bytes"]);
    // What is no pack does not hide the others, and damage decides the exit code.
    let text = bench.file("text.mpk", "a text");
    let ran = run(["verify", &bench.path("none.mpk"), &text, &good, "--json"]);
    ran.fails(3, &["none.mpk", "not a memory pack"]);
    assert_eq!(json_lines(&ran.out).len(), 3);
    run(["verify", &bench.path("none.mpk"), &good]).fails(1, &["none.mpk"]);
}

#[test]
fn verify_reads_a_sample() {
    let bench = Bench::new();
    let whole = made::pack(0..1200);
    let good = bench.file("good.mpk", &whole);
    let sample = |pack: &str, seed: &str| {
        let ran = run(["verify", pack, "--sample", "5%", "--seed", seed, "--json", "--all"]);
        let code = ran.code;
        (code, json_lines(&ran.out).remove(0))
    };
    let (code, line) = sample(&good, "3");
    assert_eq!(
        (code, line["memories"].as_u64(), line["embeddings"].as_u64(), line["text_blocks"].as_u64()),
        (0, Some(60), Some(60), Some(1))
    );
    let always = 4096 + section(&whole, "MANIFEST").1 + section(&whole, "LEAVES").1;
    let bulk = ["MEMORIES", "EMBED", "TEXT"].map(|tag| section(&whole, tag).1).iter().sum::<usize>();
    let share = (line["read"].as_u64().unwrap() as usize - always) as f64 / bulk as f64;
    assert!((0.045..=0.055).contains(&share), "{share}");
    let places: Vec<(&str, u64)> = (0..1200).map(|memory| ("MEMORIES", memory * RECORD)).collect();
    let pack = damaged(&bench, &whole, &places);
    let (code, first) = sample(&pack, "3");
    assert_eq!((code, first["damages"].as_u64()), (3, Some(60)));
    assert_eq!(first, sample(&pack, "3").1);
    assert_ne!(first["listed"], sample(&pack, "4").1["listed"]);
    let said = run(["verify", &good, "--sample", "0.05"]).ok();
    for words in ["whole in a sample of 5% (seed 0)", "60 of 1,200 memories", "1 of 19 text blocks", "read, id "] {
        assert!(said.contains(words), "no {words} in {said}");
    }
    for share in ["0", "101%", "-1", "much"] {
        run(["verify", &good, &format!("--sample={share}")]).fails(2, &["--sample"]);
    }
    run(["verify", &good, "--seed", "3"]).fails(2, &["--sample"]);
}

#[test]
fn repair_replaces_the_damaged_pack() {
    let bench = Bench::new();
    let whole = made::pack(0..200);
    let copy = bench.file("copy.mpk", &whole);
    let pack = damaged(&bench, &whole, &[("GRAPH", 50), ("MEMORIES", 3 * RECORD), ("LEAVES", 6000)]);
    let mut permissions = fs::metadata(&pack).unwrap().permissions();
    permissions.set_mode(0o100640);
    fs::set_permissions(&pack, permissions.clone()).unwrap();
    let said = run(["repair", &pack, "--from", &copy]).ok();
    for words in
        ["section GRAPH is taken from", "section MEMORIES is taken from", "section LEAVES is taken from", "damaged.mpk: whole, id "]
    {
        assert!(said.contains(words), "no {words} in {said}");
    }
    assert!(fs::read(&pack).unwrap() == whole);
    assert_eq!(fs::metadata(&pack).unwrap().permissions(), permissions);
    run(["verify", &pack]).ok();
    assert!(run(["repair", &pack, "--from", &copy]).ok().contains("nothing to repair"));
    assert_eq!(bench.names(), ["copy.mpk", "damaged.mpk"], "nothing is left behind");
}

#[test]
fn repair_writes_a_new_pack_from_others() {
    let bench = Bench::new();
    let whole = made::pack(0..200);
    let (first, second) = (bench.file("first.mpk", made::pack(0..150)), bench.file("second.mpk", made::pack(100..300)));
    let places = [("MEMORIES", 20 * RECORD), ("MEMORIES", 180 * RECORD), ("EMBED", 190 * ROW), ("TEXT", 100)];
    let pack = damaged(&bench, &whole, &places);
    let before = fs::read(&pack).unwrap();
    let new = bench.path("new.mpk");
    run(["repair", &pack, "--from", &second, "-o", &new]).fails(3, &["no pack given has", "memory 20 of section MEMORIES", "text block 0"]);
    assert!(!fs::exists(&new).unwrap());
    let said = run(["repair", &pack, "--from", &first, &second, "-o", &new]).ok();
    for words in
        ["2 memories of section MEMORIES are taken from", "1 embedding of section EMBED is taken", "1 text block of section TEXT is taken"]
    {
        assert!(said.contains(words), "no {words} in {said}");
    }
    assert!(fs::read(&new).unwrap() == whole);
    assert!(fs::read(&pack).unwrap() == before, "the damaged pack is as it was");
    run(["repair", &pack, "--from", &first, &second, "-o", &second]).fails(2, &["would replace"]);
    assert_eq!(bench.names(), ["damaged.mpk", "first.mpk", "new.mpk", "second.mpk"]);
}

#[test]
fn repair_says_what_it_cannot_mend() {
    let bench = Bench::new();
    let whole = made::pack(0..200);
    let other = bench.file("other.mpk", made::pack(0..201));
    let copy = bench.file("copy.mpk", &whole);
    let pack = damaged(&bench, &whole, &[("GRAPH", 50), ("REFS", 3)]);
    run(["repair", &pack, "--from", &other]).fails(3, &["no pack given has", "section REFS", "section GRAPH"]);
    // The header page: only a copy of the same pack has it.
    let mut bytes = whole.clone();
    bytes[150] ^= 1;
    let pack = bench.file("damaged.mpk", &bytes);
    run(["repair", &pack, "--from", &other]).fails(3, &["header", "only be taken from a copy of the same pack"]);
    assert!(run(["repair", &pack, "--from", &other, &copy]).ok().contains("header page is taken from"));
    assert!(fs::read(&pack).unwrap() == whole);
    run(["repair", &bench.file("text", "no pack"), "--from", &copy]).fails(3, &["not a memory pack"]);
    run(["repair", &pack, "--from", &bench.path("none.mpk")]).fails(1, &["none.mpk"]);
    run(["repair", &pack, "--from", &bench.file("text", "no pack")]).fails(3, &["text: not a memory pack", "leave it out"]);
    run(["repair", &pack]).fails(2, &["--from"]);
}

#[test]
fn repair_does_not_take_what_was_malformed_from_the_beginning() {
    let bench = Bench::new();
    let mut whole = made::pack(0..200);
    // A vector of length 0 with digests that all fit, as only a writer can have made it.
    let (start, length) = section(&whole, "EMBED");
    whole[start..start + ROW as usize].fill(0);
    let row = mempack_format::Digest::of(&whole[start..start + ROW as usize]);
    let (leaves, leaves_length) = section(&whole, "LEAVES");
    whole[leaves + 200 * 32..leaves + 201 * 32].copy_from_slice(&row.0);
    for (tag, start, length) in [("EMBED   ", start, length), ("LEAVES  ", leaves, leaves_length)] {
        let entry = (0..12).map(|entry| 128 + 64 * entry).find(|at| &whole[*at..at + 8] == tag.as_bytes()).unwrap();
        let digest = mempack_format::Digest::of(&whole[start..start + length]);
        whole[entry + 32..entry + 64].copy_from_slice(&digest.0);
    }
    let root = mempack_format::Digest::of(&[&whole[..96], &whole[128..4096]].concat());
    whole[96..128].copy_from_slice(&root.0);
    let pack = damaged(&bench, &whole, &[("GRAPH", 50)]);
    let before = fs::read(&pack).unwrap();
    let copy = bench.file("copy.mpk", &whole);
    run(["repair", &pack, "--from", &copy]).fails(3, &["malformed from the beginning", "embedding 0 has length 0"]);
    assert!(fs::read(&pack).unwrap() == before);
}
