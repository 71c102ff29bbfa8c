//! What a pack says that its codec loses, through the real binary, with the quick model.
#![cfg(feature = "engine")]

mod common;

use std::fs;

use common::{Bench, Ran, build_args, distinct_documents as corpus, object, run, tiny};
use mempack_hostile::Parts;
use serde_json::{Value, json};

/// `mempack quality` with the quick model.
fn quality(pack: &str, more: &[&str]) -> Ran {
    let tiny = tiny();
    run(["quality", pack, "--model", tiny.to_str().expect("UTF-8"), "--threads", "1"].iter().chain(more))
}

fn told(pack: &str) -> Value {
    object(&run(["inspect", pack, "--json"]).ok())["codec"]["quality"].clone()
}

/// The pack with every recorded share multiplied: SPEC 5.1, with fewer than 251 memories and layers.
fn claiming(pack: &str, factor: f64) -> Vec<u8> {
    let mut parts = Parts::of(&fs::read(pack).expect("the pack"));
    let section = parts.edit("QUALITY");
    let layers = usize::from(section[1]);
    let shares = (0..2 * layers).map(|share| 2 + 8 * share).chain([2 + 16 * layers + 1]);
    for at in shares {
        let share = f64::from_le_bytes(section[at..at + 8].try_into().expect("eight bytes"));
        section[at..at + 8].copy_from_slice(&(factor * share).to_le_bytes());
    }
    parts.assemble()
}

#[test]
fn a_pack_says_what_its_codec_loses_and_is_held_to_it() {
    let bench = Bench::new();
    let input = bench.file("corpus.jsonl", corpus(80));
    let pack = bench.path("x.mpk");
    let built = run(build_args(&input, &pack, &["--codec", "PQ2x4"])).ok();
    assert!(built.contains("codec PQ2x4 loses ") && built.contains("nats a token") && built.lines().count() == 2, "{built}");
    let built = run(build_args(&input, &pack, &["--codec", "PQ2x4", "--verbose"])).ok();
    assert!(built.contains("codec PQ2x4 loses ") && built.contains("\n  layer "), "{built}");
    let says = told(&pack);
    // One reference in eight is held out.
    assert_eq!(says["memories"], 10, "{says}");
    assert!(says["keys"].as_array().is_some_and(|keys| keys.iter().all(|key| key.as_f64() > Some(0.0))), "{says}");
    assert!(says["divergence"]["nats"].as_f64() > Some(0.0) && says["divergence"]["tokens"].as_u64() > Some(100), "{says}");
    let table = run(["inspect", &pack]).ok();
    assert!(table.contains("of keys and") && table.contains("layer "), "{table}");

    let report = object(&quality(&pack, &["--json", "--sample", "80"]).ok());
    assert_eq!((&report["worse"], &report["memories"], &report["told_memories"]), (&json!(false), &json!(80), &json!(10)), "{report}");
    assert!(report["matched"].as_f64() > Some(0.98), "{report}");
    let again = quality(&pack, &["--json", "--sample", "80"]).ok();
    assert_eq!(object(&again), report, "the same sample, the same figures");
    assert!(quality(&pack, &["--sample", "20", "--seed", "3"]).ok().contains("no worse than recorded"));

    // A pack that records too small a loss is detected; one that records too large a loss is not worse than recorded.
    let boasting = bench.file("boasting.mpk", claiming(&pack, 0.02));
    run(["verify", &boasting]).ok();
    let found = quality(&boasting, &["--sample", "80"]);
    assert_eq!(found.code, 1, "{}{}", found.out, found.err);
    assert!(found.out.contains("  worse\n") && found.out.contains("\nworse than recorded"), "{}", found.out);
    assert_eq!(object(&quality(&boasting, &["--sample", "80", "--json"]).out)["worse"], true);
    assert_eq!(quality(&bench.file("modest.mpk", claiming(&pack, 50.0)), &[]).code, 0);

    quality(&pack, &["--sample", "0"]).fails(2, &["sample is 0"]);
    quality(&bench.file("text.mpk", "no pack"), &[]).fails(3, &["text.mpk"]);
}

#[test]
fn a_codec_that_loses_nothing_has_nothing_to_say() {
    let bench = Bench::new();
    let input = bench.file("corpus.jsonl", corpus(20));
    let pack = bench.path("x.mpk");
    let built = run(build_args(&input, &pack, &["--codec", "F32", "--max-kl", "0"])).ok();
    assert!(!built.contains("loses") && told(&pack).is_null(), "{built}");
    let measured = quality(&pack, &[]).ok();
    assert!(measured.contains("the pack does not record the loss of its codec"), "{measured}");
    // BF16 has no tables, and loses a little.
    let bf16 = bench.path("bf16.mpk");
    run(build_args(&input, &bf16, &["--codec", "BF16"])).ok();
    let says = told(&bf16);
    assert!(says["keys"][0].as_f64() > Some(0.0) && says["keys"][0].as_f64() < Some(1e-4), "{says}");
    quality(&bf16, &[]).ok();
}

#[test]
fn a_codec_above_the_bound_is_refused_and_the_old_pack_stays() {
    let bench = Bench::new();
    let input = bench.file("corpus.jsonl", corpus(40));
    let pack = bench.path("x.mpk");
    run(build_args(&input, &pack, &["--codec", "SQ8"])).ok();
    let old = fs::read(&pack).expect("the pack");
    let bound = |codec: &str, most: &str| run(build_args(&input, &pack, &["--codec", codec, "--max-kl", most]));
    bound("PQ1x1", "0").fails(1, &["PQ1x1", "nats a token", "the maximum is 0", "a codec with more bytes"]);
    assert!(fs::read(&pack).expect("the pack") == old, "the old pack is whole");
    assert_eq!(bench.names(), ["corpus.jsonl", "x.mpk"]);
    bound("PQ1x1", "-1").fails(2, &["-1 is not 0 or more"]);
    bound("PQ1x1", "100").ok();
    let nats = told(&pack)["divergence"]["nats"].as_f64().expect("a figure");
    assert!(nats > 0.0 && nats < 100.0);
    bound("PQ1x1", &format!("{}", nats / 2.0)).fails(1, &[&format!("{nats:.4}")]);
    // Too few references to read from one another: the bound cannot be held, and that is said.
    let few = bench.file("few.jsonl", corpus(3));
    run(build_args(&few, &pack, &["--codec", "SQ8", "--max-kl", "1"])).fails(1, &["cannot be measured", "leave --max-kl out"]);
}

#[test]
fn threads_and_older_packs_change_no_figure_without_cause() {
    let bench = Bench::new();
    let input = bench.file("corpus.jsonl", corpus(40));
    let id = |args: Vec<String>| object(&run(args.into_iter().chain(["--json".to_owned()])).ok());
    let (one, two) = (bench.path("one.mpk"), bench.path("two.mpk"));
    let first = id(build_args(&input, &one, &["--codec", "RQ2x4", "--threads", "1"]));
    let second = id(build_args(&input, &two, &["--codec", "RQ2x4", "--threads", "3"]));
    assert_eq!((&first["id"], &first["quality"]), (&second["id"], &second["quality"]));
    // What took everything says what the older one said, and is the same pack.
    let taken = id(build_args(&input, &two, &["--from", &one]));
    assert_eq!((&taken["id"], &taken["encoded"]), (&first["id"], &json!(0)));
    // What is new was never trained on: it is measured.
    let more = bench.file("more.jsonl", corpus(50));
    let grown = id(build_args(&more, &two, &["--from", &one]));
    assert_eq!(grown["encoded"], 10);
    let memories = grown["quality"]["memories"].as_u64().expect("a number");
    assert!((10..=15).contains(&memories), "{grown}");
    assert_eq!(grown["drift"]["new"]["memories"], 10);
    assert_eq!(quality(&two, &[]).code, 0);
    // What documents are withdrawn from says what it said.
    run(["revoke", &two, "--document", "d1", "-o", &one]).ok();
    assert_eq!(told(&one), grown["quality"]);
}

#[test]
fn the_codec_that_loses_least_within_so_many_bytes_is_chosen() {
    let bench = Bench::new();
    let input = bench.file("corpus.jsonl", corpus(40));
    let pack = bench.path("x.mpk");
    let codec = |pack: &str| object(&run(["inspect", pack, "--json"]).ok())["codec"].clone();
    let build = |more: &[&str]| run(build_args(&input, &pack, more));
    build(&["--codec", "SQ8"]).ok();
    let bytes = codec(&pack)["bytes_per_memory"].as_u64().expect("a number");
    build(&["--codec", "auto"]).fails(2, &["--bytes-per-memory"]);
    build(&["--bytes-per-memory", "100"]).fails(2, &["--codec auto"]);
    build(&["--codec", "auto", "--bytes-per-memory", "3"]).fails(1, &["3 bytes", "at least"]);
    build(&["--codec", "auto", "--bytes-per-memory", &bytes.to_string(), "--from", &pack]).fails(4, &["--retrain-codec"]);

    let auto = |most: u64, threads: &str| {
        let report = build(&["--codec", "auto", "--bytes-per-memory", &most.to_string(), "--threads", threads, "--json"]).ok();
        (object(&report), codec(&pack)["bytes_per_memory"].as_u64().expect("a number"))
    };
    let (chosen, found) = auto(bytes / 2, "1");
    assert!(found <= bytes / 2, "{chosen}");
    assert_eq!(auto(bytes / 2, "2").0["id"], chosen["id"]);
    // What was chosen is what it would be by name, and no other candidate of so many bytes loses less.
    let loss = |report: &Value| -> f64 {
        let all = ["keys", "values"].map(|kind| report["quality"][kind].as_array().cloned().unwrap_or_default());
        all.iter().flatten().filter_map(Value::as_f64).sum()
    };
    let name = chosen["codec"].as_str().expect("a name");
    let named = object(&build(&["--codec", name, "--json"]).ok());
    assert_eq!((&named["id"], &named["quality"]), (&chosen["id"], &chosen["quality"]));
    let other = if name.starts_with('R') { name.replace('R', "P") } else { name.replace('P', "R") };
    let other = build(&["--codec", &other, "--json"]);
    assert!(other.code != 0 || loss(&object(&other.out)) >= 0.9 * loss(&chosen), "{chosen}");
    assert_eq!(auto(100 * bytes, "1").0["codec"], "F32");
}
