//! What bad input gets: a clear message, the right exit code, and no half-written pack.
#![cfg(feature = "engine")]

mod common;

use std::fs;
use std::process::Command;

use common::{Bench, SMALL, build_args, run, run_with_input, tiny};

/// A build from `corpus` (a file of this name) fails with these words, and leaves nothing but its input.
fn refused(name: &str, content: impl AsRef<[u8]>, words: &[&str]) {
    let bench = Bench::new();
    let corpus = bench.file(name, content);
    run(build_args(&corpus, &bench.path("out.mpk"), &[])).fails(1, words);
    assert_eq!(bench.names(), [name], "nothing is left behind");
}

#[test]
fn an_empty_corpus() {
    refused("empty.jsonl", "", &["empty.jsonl", "no document"]);
    refused("blank.txt", " \n\n\t ", &["blank.txt", "no document"]);
}

#[test]
fn a_text_that_is_damaged_utf8() {
    // What is UTF-8 but for some bytes was damaged; a text in another encoding is read.
    let damaged = b"Gr\xc3\xb6\xc3\x9fe und F\xc3\xbclle, \xc3\xbcber \xff allem";
    refused("damaged.txt", damaged, &["damaged.txt", "not UTF-8 at byte 26"]);
    refused("damaged.jsonl", [b"{\"text\": \"", &damaged[..], b"\"}\n"].concat(), &["damaged.jsonl", "not UTF-8 at byte 36"]);
    let bench = Bench::new();
    let corpus = bench.file("latin1.txt", b"caf\xe9 au lait, tous les matins");
    let read = run(["corpus", &corpus, "--show", "--model", &tiny().to_string_lossy()]);
    assert!(read.err.contains("latin1.txt was read as windows-1252"), "{}", read.err);
    assert!(read.ok().contains("café au lait"));
}

#[test]
fn a_json_line_without_text() {
    refused("rows.jsonl", "{\"text\": \"fine\"}\n{\"id\": \"x\"}\n", &["rows.jsonl, line 2", "`text`"]);
    refused("rows.jsonl", "{\"text\": 7}\n", &["rows.jsonl, line 1", "`text`", "expected a string"]);
    refused("rows.jsonl", "{\"text\": \"fine\"}\n\nnot json\n", &["rows.jsonl, line 3", "JSON"]);
}

#[test]
fn a_line_of_100_mb() {
    let mut line = b"{\"text\": \"".to_vec();
    line.resize(100 << 20, b'a');
    line.extend_from_slice(b"\"}\n");
    refused("long.jsonl", line, &["long.jsonl, line 1", "longer than"]);
}

#[test]
fn a_missing_corpus_or_model() {
    let bench = Bench::new();
    run(build_args(&bench.path("absent"), &bench.path("out.mpk"), &[])).fails(1, &["absent", "no such file"]);
    let corpus = bench.file("c.jsonl", SMALL);
    run(["build", &corpus, "-o", &bench.path("out.mpk"), "--model", &bench.path("")]).fails(1, &["config.json"]);
    assert_eq!(bench.names(), ["c.jsonl"]);
}

/// A copy of the quick model with one file changed.
fn spoilt_model(bench: &Bench, file: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> String {
    let folder = bench.path("model");
    fs::create_dir(&folder).expect("writable");
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(tiny().join(name), format!("{folder}/{name}")).expect("the quick model is there");
    }
    let path = format!("{folder}/{file}");
    fs::write(&path, change(fs::read(&path).expect("readable"))).expect("writable");
    folder
}

#[test]
fn a_safetensors_file_that_lies() {
    type Lie = fn(Vec<u8>) -> Vec<u8>;
    let lies: [(Lie, &str); 3] = [
        (
            |mut b| {
                b.truncate(b.len() / 2);
                b
            },
            "model.safetensors",
        ),
        (
            |mut b| {
                b[..8].copy_from_slice(&(1u64 << 60).to_le_bytes());
                b
            },
            "1152921504606846976",
        ),
        (|b| b[..5].to_vec(), "model.safetensors"),
    ];
    for (lie, word) in lies {
        let bench = Bench::new();
        let model = spoilt_model(&bench, "model.safetensors", lie);
        let corpus = bench.file("c.jsonl", SMALL);
        run(["build", &corpus, "-o", &bench.path("out.mpk"), "--model", &model]).fails(1, &["model.safetensors", word]);
        assert_eq!(bench.names(), ["c.jsonl", "model"]);
    }
}

#[test]
fn a_tokenizer_of_another_vocabulary() {
    let bench = Bench::new();
    let embedder = std::env::var("MEMPACK_EMBEDDER").map_or(common::root().join("models/all-MiniLM-L6-v2"), Into::into);
    let other = fs::read(embedder.join("tokenizer.json")).expect("`make` puts the embedder in place");
    let model = spoilt_model(&bench, "tokenizer.json", |_| other);
    let corpus = bench.file("c.jsonl", SMALL);
    run(["build", &corpus, "-o", &bench.path("out.mpk"), "--model", &model]).fails(1, &["tokenizer.json", "vocabulary"]);
}

#[test]
fn an_unwritable_target() {
    let bench = Bench::new();
    let corpus = bench.file("c.jsonl", SMALL);
    run(build_args(&corpus, &bench.path("no/such/folder/out.mpk"), &[])).fails(1, &["no/such/folder"]);
    run(build_args(&corpus, "/proc/out.mpk", &[])).fails(1, &["/proc"]);
}

#[test]
fn a_full_disk_leaves_the_old_pack() {
    let bench = Bench::new();
    let pack = bench.pack("a", SMALL, &[]);
    let before = fs::read(&pack).expect("built");
    // A file may grow to 16 KiB and no further, which the writer sees as a failed write.
    let mut script = String::from("trap '' XFSZ; ulimit -f 16; exec \"$0\" \"$@\"");
    script.push('\n');
    let output = Command::new("bash")
        .args(["-c", &script, env!("CARGO_BIN_EXE_mempack")])
        .args(build_args(&bench.path("a.jsonl"), &pack, &["--codec", "F32"]))
        .current_dir(common::root())
        .output()
        .expect("bash starts");
    common::Ran::of(output).fails(1, &["a.mpk"]);
    assert_eq!(fs::read(&pack).expect("still there"), before);
    assert_eq!(bench.names(), ["a.jsonl", "a.mpk"]);
}

#[test]
fn a_damaged_pack_is_refused_everywhere() {
    let bench = Bench::new();
    let pack = bench.pack("a", SMALL, &[]);
    let whole = fs::read(&pack).expect("built");
    let damaged = |name: &str, bytes: &[u8]| bench.file(name, bytes);
    let cut = damaged("cut.mpk", &whole[..whole.len() - 100]);
    let mut bytes = whole.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let flipped = damaged("flipped.mpk", &bytes);
    for path in [&cut, &flipped] {
        run(["verify", path]).fails(3, &[path]);
    }
    run(["inspect", &cut]).fails(3, &["cut short"]);
    let tiny = tiny();
    run(["ask", &cut, "What?", "--model", &tiny.to_string_lossy()]).fails(3, &["cut short"]);
    run(["verify", &bench.file("text.mpk", "no pack at all, but long enough to hold a header")]).fails(3, &["not a memory pack"]);
    run(["verify", &bench.path("absent.mpk")]).fails(1, &["absent.mpk"]);
}

#[test]
fn a_pack_of_another_model() {
    let bench = Bench::new();
    let pack = bench.pack("a", SMALL, &[]);
    let model = spoilt_model(&bench, "config.json", |b| {
        String::from_utf8(b).expect("JSON").replace("\"rope_theta\": 10000.0", "\"rope_theta\": 20000.0").into_bytes()
    });
    let ran = run(["ask", &pack, "What is the usual dose of Nutepril?", "--model", &model]);
    ran.fails(4, &["RoPE base", "10000", "20000"]);
}

#[test]
fn usage() {
    run(["build"]).fails(2, &["Usage"]);
    run(["frobnicate"]).fails(2, &["frobnicate"]);
    let bench = Bench::new();
    let corpus = bench.file("c.jsonl", SMALL);
    run(build_args(&corpus, &bench.path("out.mpk"), &["--codec", "PQ7x8"])).fails(1, &["PQ7x8"]);
    run(build_args(&corpus, &bench.path("out.mpk"), &["--codec", "ZIP"])).fails(2, &["ZIP"]);
    assert_eq!(bench.names(), ["c.jsonl"]);
}

#[test]
fn a_bad_file_of_queries() {
    let bench = Bench::new();
    let pack = bench.pack("a", SMALL, &[]);
    let queries = bench.file("q.jsonl", "{\"id\": \"1\", \"query\": \"gout\"}\n{\"id\": \"2\"}\n");
    run(["search", &pack, "--queries", &queries, "--json"]).fails(1, &["q.jsonl, line 2", "query"]);
}

#[test]
fn standard_input_that_is_no_corpus() {
    let bench = Bench::new();
    let args = build_args("-", "", &[]);
    let mut args: Vec<&str> = args.iter().map(String::as_str).collect();
    let pack = bench.path("out.mpk");
    args[3] = &pack;
    run_with_input(&args, b"").fails(1, &["standard input", "no document"]);
    run_with_input(&args, b"{\"text\": \"fine\"}\n{\"text\": \n").fails(1, &["standard input, line 2"]);
    assert!(bench.names().is_empty());
}
