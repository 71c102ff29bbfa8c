//! Builds by shards through the real binary: `plan`, `build --plan`, `merge`.
#![cfg(all(unix, feature = "engine"))]

mod common;

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use common::{Bench, Ran, distinct_documents, mempack, object, run, tiny};
use serde_json::{Value, json};

const SHARDS: usize = 3;

/// A corpus, and the program on it.
struct World {
    bench: Bench,
    model: String,
}

impl World {
    fn new() -> Self {
        let bench = Bench::new();
        bench.file("corpus.jsonl", distinct_documents(90));
        Self { bench, model: tiny().to_string_lossy().into_owned() }
    }

    fn path(&self, name: &str) -> String {
        self.bench.path(name)
    }

    fn plan(&self, name: &str, more: &[&str]) -> Ran {
        let (corpus, plan) = (self.path("corpus.jsonl"), self.path(name));
        let args = ["plan", &corpus, "-o", &plan, "--shards", "3", "--packs", "2", "--model", &self.model, "--codec", "SQ8", "--json"];
        run(args.iter().chain(more))
    }

    fn shard_args(&self, plan: &str, shard: usize, more: &[&str]) -> Vec<String> {
        let (plan, shard) = (self.path(plan), shard.to_string());
        let args = ["build", "--plan", &plan, "--shard", &shard, "--model", &self.model];
        args.iter().chain(more).map(|arg| (*arg).to_owned()).collect()
    }

    fn shard(&self, plan: &str, shard: usize, more: &[&str]) -> Ran {
        run(self.shard_args(plan, shard, more))
    }

    fn merge(&self, plan: &str, bank: &str, more: &[&str]) -> Ran {
        run(["merge", &self.path(plan), "-o", &self.path(bank), "--json"].iter().chain(more))
    }
}

#[test]
fn a_bank_is_built_by_shards() {
    let own = World::new();
    let planned = object(&own.plan("x.plan", &[]).ok());
    assert_eq!((&planned["shards"], &planned["packs"], &planned["references"]), (&json!(3), &json!(2), &json!(90)), "{planned}");
    // What a merge lacks, and how to make it.
    let ran = own.merge("x.plan", "bank", &[]);
    ran.fails(1, &["3 of the plan's 3 shards", "shard 0: ", "it is missing", "mempack build --plan ", "--shard 2"]);
    assert!(!Path::new(&own.path("bank")).exists());

    let mut references = 0;
    for shard in 0..SHARDS {
        let built = object(&own.shard("x.plan", shard, &["--json"]).ok());
        assert_eq!((&built["shard"], &built["was_complete"], &built["plan_id"]), (&json!(shard), &json!(false), &planned["id"]), "{built}");
        references += built["references"].as_u64().expect("a number");
    }
    assert_eq!(references, 90);
    let again = own.shard("x.plan", 1, &[]).ok();
    assert!(again.contains("is complete already; --force"), "{again}");
    assert_eq!(object(&own.shard("x.plan", 1, &["--json", "--force"]).ok())["encoded"], 30);

    let merged = object(&own.merge("x.plan", "bank", &[]).ok());
    let packs = merged["packs"].as_array().expect("packs");
    assert_eq!((packs.len(), &merged["references"]), (2, &json!(90)), "{merged}");
    for pack in packs {
        let file = own.path(&format!("bank/{}", pack["file"].as_str().expect("a name")));
        run(["verify", &file]).ok();
        let inspected = object(&run(["inspect", &file, "--json"]).ok());
        assert_eq!((&inspected["id"], &inspected["counts"]["references"]), (&pack["id"], &pack["references"]));
    }
    // Without JSON, and with shards in another place: the same.
    fs::rename(own.path("x.plan/shards/0002.shard"), own.path("z.shard")).expect("a file");
    let printed = run(["merge", &own.path("x.plan"), &own.path("z.shard"), "-o", &own.path("other"), "--threads", "2"]).ok();
    assert!(printed.contains(merged["id"].as_str().expect("an id")) && printed.contains("90 references in 2 packs"), "{printed}");
}

#[test]
fn a_killed_shard_goes_on_to_the_same_file() {
    let own = World::new();
    own.bench.file("corpus.jsonl", distinct_documents(270));
    own.plan("x.plan", &[]).ok();
    own.shard("x.plan", 0, &[]).ok();
    let whole = fs::read(own.path("x.plan/shards/0000.shard")).expect("a file");
    let file = own.path("y.shard");
    let mut child =
        mempack(own.shard_args("x.plan", 0, &["-o", &file, "--threads", "1"])).stderr(Stdio::null()).spawn().expect("mempack starts");
    let records = own.path("y.shard.building/records");
    // A batch of some twenty slots is complete, of five: slots are not written in the order of the file.
    while fs::read(&records).map_or(0, |bytes| bytes.iter().filter(|byte| **byte != 0).count()) < 220_000 {
        assert!(child.try_wait().expect("a process").is_none(), "the shard was complete before it could be killed");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().expect("a process");
    child.wait().expect("a process");
    assert!(!Path::new(&file).exists());
    let resumed = object(&own.shard("x.plan", 0, &["-o", &file, "--json"]).ok());
    let count = |name: &str| resumed[name].as_u64().expect("a number");
    assert!(count("resumed") > 0 && count("resumed") + count("encoded") == count("references"), "{resumed}");
    assert!(fs::read(&file).expect("a file") == whole);
    assert!(!Path::new(&own.path("y.shard.building")).exists());
}

#[test]
fn another_machine_another_model_and_another_corpus_are_told_apart() {
    let own = World::new();
    own.plan("x.plan", &[]).ok();
    // Other kernels give other last bits.
    let ran = mempack(own.shard_args("x.plan", 0, &[])).env("ATEN_CPU_CAPABILITY", "default").env("MKL_CBWR", "COMPATIBLE").output();
    let ran = Ran::of(ran.expect("mempack starts"));
    ran.fails(4, &["computes other numbers", "libtorch", "MKL_CBWR=COMPATIBLE", "make the plan again"]);
    // A changed memory block is another model.
    let model = own.bench.tiny("model");
    let config = own.path("model/config.json");
    let text = fs::read_to_string(&config).expect("readable");
    fs::write(&config, text.replace("\"tokens_per_head\": 8", "\"tokens_per_head\": 4")).expect("writable");
    let args = ["build", "--plan", &own.path("x.plan"), "--shard", "0", "--model", &model];
    run(args).fails(4, &["tokens per head", "--model DIR"]);
    own.shard("x.plan", 3, &[]).fails(2, &["no shard 3", "numbered from 0"]);

    own.plan("x.plan", &[]).fails(2, &["there is a plan already", "--force"]);
    own.shard("x.plan", 0, &[]).ok();
    own.bench.file("corpus.jsonl", distinct_documents(60));
    let replaced = object(&own.plan("x.plan", &["--force"]).ok());
    assert_eq!(replaced["references"], 60);
    assert!(fs::read_dir(own.path("x.plan/shards")).expect("a folder").next().is_none());
    own.merge("corpus.jsonl", "bank", &[]).fails(1, &["this is no plan"]);
    let unchanged = object(&own.plan("x.plan", &["--force"]).ok());
    assert_eq!((&unchanged["unchanged"], &unchanged["id"]), (&Value::Bool(true), &replaced["id"]));
}

#[test]
fn arguments_that_a_plan_fixes_are_refused() {
    let own = World::new();
    let plan = own.path("x.plan");
    for more in [
        &["--codec", "SQ8"][..],
        &["--precision", "f32"],
        &["--sample", "3"],
        &["--reference-length", "64"],
        &["--from", "x.mpk"],
        &["c.jsonl"],
    ] {
        let args = ["build", "--plan", &plan, "--shard", "0"];
        run(args.iter().chain(more)).fails(2, &["cannot be used with"]);
    }
    run(["build", "--plan", &plan]).fails(2, &["--shard"]);
    run(["build", "corpus.jsonl"]).fails(2, &["--output"]);
    run(["build", "-o", "x.mpk"]).fails(2, &["CORPUS"]);
    run(["build", "--plan", &plan, "--shard", "0"]).fails(1, &["this is no plan"]);
    run(["plan", &own.path("corpus.jsonl"), "-o", &plan]).fails(2, &["--shards"]);
}
