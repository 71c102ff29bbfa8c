//! Reading adapters through the real binary: trained on a writer, they read its packs and change none.
#![cfg(feature = "engine")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Bench, Ran, object, root, run, tiny};
use serde_json::{Value, json};

fn read(path: &str) -> Value {
    object(&fs::read_to_string(path).expect("readable"))
}

/// A command with the model in `folder`, whose base is the quick model.
fn with(model: &str, args: &[&str]) -> Ran {
    let tiny = tiny();
    run(args.iter().chain(&["--model", model, "--base", tiny.to_str().expect("UTF-8")]))
}

fn with_one_thread(model: &str, args: &[&str]) -> Ran {
    with(model, &[args, &["--threads", "1"]].concat())
}

/// Trains a reading adapter on the model in `writer` for a few steps, and gives its folder.
fn train(bench: &Bench, name: &str, writer: &str) -> String {
    let embedder = std::env::var_os("MEMPACK_EMBEDDER").map_or_else(|| "models/all-MiniLM-L6-v2".into(), PathBuf::from);
    let config = format!(
        "model = {writer:?}\nbase = {:?}\nembedder = {:?}\noutput = {name:?}\nthreads = 1\nadapter = {{ rank = 2, alpha = 8.0, reads_only = true }}\n\
         [optimizer]\nrate = 2e-2\n[[stage]]\nsteps = 6\nbatch = 4\nschedule = {{ warmup = 0 }}\n[stage.learn]\nkind = \"repeat\"\n\
         corpora = [\"fiction/corpus.jsonl\"]\npool = 4\nreads = [1, 2]\nwrite = {{}}\n",
        tiny(),
        root().join(embedder)
    );
    let config = bench.file(&format!("{name}.toml"), config);
    run(["train", &config]).ok();
    bench.path(&format!("{name}/final"))
}

#[test]
fn a_reader_that_gets_better_reads_the_packs_of_its_writer() {
    let bench = Bench::new();
    let fiction = bench.path("fiction");
    run(["make-questions", "fiction", "-o", &fiction, "--documents", "12", "--seed", "3"]).ok();
    let (corpus, questions) = (format!("{fiction}/corpus.jsonl"), format!("{fiction}/questions.jsonl"));
    let writers = [tiny(), root().join("model/tests/golden/tiny-adapter")];
    for (number, writer) in writers.iter().map(|folder| folder.to_str().expect("UTF-8")).enumerate() {
        let reader = train(&bench, &format!("reader{number}"), writer);
        // Its writer is found by the path from its folder.
        let named = read(&format!("{reader}/adapter_config.json"))["base_model_name_or_path"].as_str().expect("a path").to_owned();
        assert_eq!(Path::new(&reader).join(&named).canonicalize().expect("a folder"), Path::new(writer).canonicalize().expect("a folder"));

        // One pack, whichever of them builds it: the measurements in it are the writer's too.
        let pack = |name: &str, model: &str| {
            let pack = bench.path(&format!("{name}{number}.mpk"));
            with_one_thread(model, &["build", &corpus, "-o", &pack, "--codec", "RQ2x4"]).ok();
            pack
        };
        let [of_writer, of_reader] = [("of writer", writer), ("of reader", reader.as_str())].map(|(name, model)| pack(name, model));
        assert!(fs::read(&of_writer).expect("readable") == fs::read(&of_reader).expect("readable"), "{writer}: another pack");

        let given = |model: &str| object(&with(model, &["inspect", &of_writer, "--json"]).ok());
        let [own, inspected] = [given(writer), given(&reader)].map(|said| said["given"].clone());
        assert_eq!((&own["model"], &own["reader"]), (&inspected["model"], &Value::Null));
        let (name, digest) = (&inspected["reader"]["name"], inspected["reader"]["digest"].as_str().expect("a digest"));
        assert!(name == "final" && inspected["reader"]["extra_bytes"].as_u64().expect("a number") > 0, "{inspected}");
        assert_eq!(inspected["model"]["adapter"].is_null(), number == 0);
        let weights = inspected["model"]["weights"].as_str().expect("a digest").to_owned();
        let text = with(&reader, &["inspect"]).ok();
        assert!(text.starts_with("writer ") && text.contains(&weights) && text.contains(digest) && text.contains("bytes beyond"), "{text}");

        // The answers are the reader's, from the same memories, and say so.
        let ask = |model: &str, more: &[&str]| {
            let args = ["ask", &of_writer, "What is it for?", "--max-tokens", "4"];
            with_one_thread(model, &[&args[..], more].concat()).ok()
        };
        let [plain, read_by] = [writer, &reader].map(|model| object(&ask(model, &["--json"])));
        assert_eq!((&plain["reader"], &read_by["reader"]), (&Value::Null, &json!({"name": name, "digest": digest})));
        assert_eq!(plain["chunks"][0], read_by["chunks"][0]);
        assert_ne!(plain["confidence"], read_by["confidence"]);
        assert!(ask(&reader, &[]).contains(&format!("reading adapter: final, {digest}")) && !ask(writer, &[]).contains("reading adapter"));

        let eval = |model: &str, more: &[&str]| {
            let args =
                ["eval", &questions, "--pack", &of_writer, "--limit", "3", "--max-tokens", "4", "--modes", "memory,memory_quantized"];
            with_one_thread(model, &[&args[..], more].concat()).ok()
        };
        let report = object(&eval(&reader, &["--json"]));
        assert_eq!((&report["reader"]["digest"], &report["model"]), (&json!(digest), &inspected["model"]["name"]));
        assert!(object(&eval(writer, &["--json"])).get("reader").is_none());
        assert!(eval(&reader, &[]).contains(&format!("read by final ({digest})")));

        // Memories are the writer's: nothing is worse. The divergence is the reader's, with which nothing is recorded.
        let quality = |model: &str| object(&with_one_thread(model, &["quality", &of_writer, "--json"]).ok());
        let [plain, read_by] = [writer, &reader].map(quality);
        assert_eq!((&plain["layers"], &plain["matched"]), (&read_by["layers"], &read_by["matched"]));
        assert_ne!(plain["divergence"]["measured"], read_by["divergence"]["measured"]);
        assert!(plain["divergence"]["told"].is_number() && read_by["divergence"]["told"].is_null());

        // A reader is trained further on the same packs, under another digest.
        let better = train(&bench, &format!("better{number}"), &reader);
        let later = object(&with(&better, &["inspect", &of_writer, "--json"]).ok())["given"].clone();
        assert!(later["model"] == inspected["model"] && later["reader"]["digest"] != inspected["reader"]["digest"], "{later}");
    }
}

#[test]
fn a_build_through_a_reader_uses_the_codebooks_of_its_writer() {
    let bench = Bench::new();
    run(["make-questions", "fiction", "-o", &bench.path("fiction"), "--documents", "8", "--seed", "3"]).ok();
    let (corpus, writer, large) = (bench.path("fiction/corpus.jsonl"), bench.tiny("writer"), bench.path("large.mpk"));
    run(["build", &corpus, "-o", &large, "--model", &writer, "--codec", "RQ2x4"]).ok();
    run(["codebooks", &large, "-o", &format!("{writer}/codec.bin")]).ok();
    let reader = train(&bench, "reader", &writer);
    let pack = bench.path("one.mpk");
    let args = ["build", &corpus, "-o", &pack, "--model", &reader, "--base", &writer, "--codec", "RQ2x4", "--json"];
    let report = object(&run(args).ok());
    let codebooks = object(&run(["inspect", &format!("{writer}/codec.bin"), "--json"]).ok());
    assert_eq!(report["codebooks"]["id"], codebooks["id"], "{report}");
}

#[test]
fn a_reader_of_another_writer_and_a_block_that_changes_memories_are_refused() {
    let bench = Bench::new();
    run(["make-questions", "fiction", "-o", &bench.path("fiction"), "--documents", "4", "--seed", "3"]).ok();
    let writer = root().join("model/tests/golden/tiny-adapter");
    let writer = writer.to_str().expect("UTF-8");
    let reader = train(&bench, "reader", writer);
    let corpus = bench.path("fiction/corpus.jsonl");
    let questions = bench.path("fiction/questions.jsonl");
    let pack = bench.path("one.mpk");
    with_one_thread(writer, &["build", &corpus, "-o", &pack, "--codec", "RQ2x4"]).ok();

    let path = format!("{reader}/memory.json");
    let whole = read(&path);
    let edited = |edit: &dyn Fn(&mut Value)| {
        let mut block = whole.clone();
        edit(&mut block);
        fs::write(&path, block.to_string()).expect("written");
    };
    let target = bench.path("other.mpk");
    let config = fs::read_to_string(bench.path("reader.toml")).expect("readable").replace(&format!("{writer:?}"), &format!("{reader:?}"));
    let further = bench.file("further.toml", config.replace("output = \"reader\"", "output = \"further\""));
    let refused = |code: i32, words: &[&str]| {
        let commands: [&[&str]; 5] = [
            &["ask", &pack, "What is it?", "--threads", "1"],
            &["eval", &questions, "--pack", &pack, "--threads", "1"],
            &["quality", &pack, "--threads", "1"],
            &["inspect", &pack],
            &["build", &corpus, "-o", &target, "--threads", "1"],
        ];
        commands.iter().for_each(|args| with(&reader, args).fails(code, words));
        run(["train", &further]).fails(code, words);
        let tiny = tiny();
        let budget = ["budget", &reader, "--base", tiny.to_str().expect("UTF-8"), "--corpus", &corpus, "--questions", &questions];
        run(budget.iter().chain(&["--tokens", "60", "-o", &bench.path("budget.json")])).fails(code, words);
        assert!(!Path::new(&target).exists());
    };
    let [weights, adapter] = ["weights", "adapter"].map(|part| whole["writer"][part].as_str().expect("a digest").to_owned());
    let other = "00".repeat(32);
    edited(&|block| block["writer"]["weights"] = json!(other));
    refused(4, &["memory.json", "`writer.weights`", &other, &weights]);
    edited(&|block| block["writer"]["adapter"] = json!(other));
    refused(4, &["memory.json", "`writer.adapter`", &other, &adapter]);
    edited(&|block| block["tokens_per_head"] = json!(3));
    refused(1, &["memory.json", "`tokens_per_head`", "expected 8, as the writer has it", "found 3"]);

    // What concerns reading alone may change.
    edited(&|block| block["memories_per_chunk"] = json!(2));
    let ask = with_one_thread(&reader, &["ask", &pack, "What is it?", "--max-tokens", "2", "--json"]).ok();
    assert_eq!(object(&ask)["chunks"][0]["reads"].as_array().expect("a list").len(), 2);
    // The pack of another model stays refused, by name.
    let plain = bench.path("plain.mpk");
    with_one_thread(tiny().to_str().expect("UTF-8"), &["build", &corpus, "-o", &plain, "--codec", "RQ2x4"]).ok();
    for args in [&["ask", &plain, "What is it?", "--threads", "1"][..], &["inspect", &plain]] {
        with(&reader, args).fails(4, &["adapter", "the pack was built with the model `tiny`"]);
    }
    run(["inspect"]).fails(2, &["PACK"]);
}
