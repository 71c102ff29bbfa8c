//! What commands print: text of strangers is shown and not obeyed, and a pipe that closes ends printing, never the work.
#![cfg(all(unix, feature = "engine"))]

mod common;

use std::fs;
use std::io::Read as _;
use std::process::{Command, Stdio};

use common::{Bench, Ran, SMALL, build_args, mempack, run, tiny};
use serde_json::{Value, json};

/// Documents whose every field has what terminals obey, and lines that pass for output.
fn hostile() -> String {
    let evil = "\u{1b}[31m\u{1b}]0;gone\u{7}\u{9b}2J\u{202e}\r";
    let row = |id: &str, text: &str| {
        json!({"id": format!("{id}{evil}\n0.999  forged"), "title": format!("T{evil}\nforged"), "text": format!("Dose {evil} {text}"),
               "source": evil, "license": evil, "version": evil, "date": evil})
    };
    format!("{}\n{}\n", row("a", "five mg."), row("b", "ten mg."))
}

/// Whether a terminal would obey something in it.
fn is_obeyed(text: &str) -> bool {
    text.chars().any(|c| (c.is_control() && c != '\n' && c != '\t') || ('\u{202a}'..='\u{202e}').contains(&c))
}

#[test]
fn escape_sequences_are_shown() {
    let bench = Bench::new();
    let pack = bench.pack("\u{1b}[1mp", &hostile(), &["--codec", "SQ8"]);
    let other = bench.pack("other", &hostile().replace("five", "six"), &["--codec", "SQ8"]);
    let ids = bench.file("ids.txt", "none\u{1b}[2J\n");
    let questions = bench.file("q.jsonl", json!({"id": "q\u{1b}[2J", "question": "Dose?", "answers": ["five mg"]}).to_string());
    let (model, new) = (tiny(), bench.path("new.mpk"));
    let model = model.to_str().unwrap();
    let commands: [(&[&str], i32); 10] = [
        (&["search", &pack, "dose"], 0),
        (&["search", &pack, "dose", "--with", &other], 0),
        (&["ask", &pack, "Dose\u{1b}[2J?", "--model", model, "--show-memories", "--max-tokens", "4"], 0),
        (&["inspect", &pack], 0),
        (&["diff", &pack, &other], 0),
        (&["verify", &pack], 0),
        (&["eval", &questions, "--pack", &pack, "--model", model, "--max-tokens", "4"], 0),
        (&["revoke", &pack, "--documents", &ids, "-o", &new], 1),
        (&["verify", "/no/such\u{1b}[2J"], 1),
        (&["build", "/no/such\u{1b}[2J", "-o", &new, "--model", model], 1),
    ];
    for (args, code) in commands {
        let ran = run(args);
        assert_eq!(ran.code, code, "{args:?}: {}", ran.err);
        assert!(!is_obeyed(&ran.out) && !is_obeyed(&ran.err), "{args:?}: {:?} {:?}", ran.out, ran.err);
        assert!(!ran.out.lines().any(|line| line.starts_with("0.999")), "{args:?}: {}", ran.out);
    }
    let found = run(["search", &pack, "dose"]).ok();
    assert!(found.contains("\\u{1b}[31m") && found.contains("\\n0.999  forged"), "{found}");
    // JSON says what the pack says.
    let hits: Value = serde_json::from_str(&run(["search", &pack, "dose", "--json"]).ok()).unwrap();
    assert!(hits["hits"][0]["document"].as_str().unwrap().contains("\u{1b}[31m"), "{hits}");
}

/// Runs a command whose standard output and error nobody reads.
fn unread(args: &[String]) -> i32 {
    let mut child = mempack(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    child.wait().unwrap().code().unwrap_or(-1)
}

fn words(command: &[&str]) -> Vec<String> {
    command.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn a_closed_pipe_ends_printing_and_not_the_work() {
    let bench = Bench::new();
    let pack = bench.pack("p", SMALL, &["--codec", "SQ8"]);
    let (model, built, revoked) = (tiny(), bench.path("built.mpk"), bench.path("revoked.mpk"));
    let model = model.to_str().unwrap();
    let questions = bench.file("q.jsonl", json!({"id": "q", "question": "Dose?", "answers": ["40 mg"]}).to_string());
    let details = bench.path("d.jsonl");
    assert_eq!(unread(&build_args(&bench.path("p.jsonl"), &built, &["--codec", "SQ8"])), 0);
    assert_eq!(unread(&words(&["revoke", &pack, "--document", "a", "-o", &revoked])), 0);
    assert_eq!(unread(&words(&["eval", &questions, "--pack", &pack, "--model", model, "--max-tokens", "4", "--details", &details])), 0);
    for file in [&built, &revoked] {
        run(["verify", file]).ok();
    }
    assert!(fs::read_to_string(&details).unwrap().contains("outcomes"));
    for command in [
        &["verify", &pack][..],
        &["inspect", &pack],
        &["inspect", &pack, "--json"],
        &["diff", &pack, &revoked, "--json"],
        &["search", &pack, "dose"],
        &["ask", &pack, "What dose?", "--model", model, "--max-tokens", "4"],
        &["completions", "bash"],
        &["--help"],
    ] {
        assert_eq!(unread(&words(command)), 0, "{command:?}");
    }
    // A failure keeps its own code.
    assert_eq!(unread(&words(&["verify", &questions])), 3);
}

#[test]
fn a_full_standard_output_is_an_error_after_the_work() {
    let bench = Bench::new();
    let pack = bench.pack("p", SMALL, &["--codec", "SQ8"]);
    let full = |args: &[String]| {
        let Ok(file) = fs::OpenOptions::new().write(true).open("/dev/full") else { panic!("this system has no /dev/full") };
        Ran::of(mempack(args).stdout(file).output().unwrap())
    };
    let built = bench.path("built.mpk");
    full(&build_args(&bench.path("p.jsonl"), &built, &["--codec", "SQ8"])).fails(5, &["standard output", "No space left"]);
    run(["verify", &built]).ok();
    for command in [&["inspect", &pack][..], &["verify", &pack], &["search", &pack, "dose", "--json"], &["diff", &pack, &built]] {
        full(&words(command)).fails(5, &["standard output"]);
    }
}

#[test]
fn packs_stand_where_usage_shows_them() {
    let bench = Bench::new();
    let pack = bench.pack("p", SMALL, &["--codec", "SQ8"]);
    let (copy, key) = (bench.path("copy.mpk"), bench.path("key"));
    fs::copy(&pack, &copy).unwrap();
    run(["keygen", "-o", &key]).ok();
    run(["sign", &pack, "--key", &key]).ok();
    let public = format!("{key}.pub");
    assert!(run(["verify", "--trusted", &public, &pack]).ok().contains("signed by"));
    assert!(run(["verify", &pack, "--trusted", &public]).ok().contains("signed by"));
    run(["verify", "--trusted", &public]).fails(2, &["PACK"]);
    run(["repair", "--from", &copy, &pack]).ok();
    run(["repair", "--from", &copy]).fails(2, &["PACK"]);
    let new = bench.path("new.mpk");
    assert!(run(["revoke", "-o", &new, "--document", "a", &pack]).ok().contains("1 document "));
}

#[test]
fn what_is_no_pack_is_named() {
    let bench = Bench::new();
    fs::create_dir(bench.path("packs")).unwrap();
    run(["verify", &bench.path("packs")]).fails(1, &["this is a folder", "NAME.mpk"]);
    bench.file("packs/legal.mpk", "x");
    run(["inspect", &bench.path("packs")]).fails(1, &["this is a folder", "legal.mpk"]);
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n";
    for (name, bytes, word) in [
        ("lfs", pointer.as_bytes(), "git lfs pull"),
        ("gguf", b"GGUF\x03\0\0\0", "mempack import"),
        ("gz", b"\x1F\x8B\x08\0", "gunzip"),
        ("html", b"<!DOCTYPE html>", "web page"),
        ("empty", b"", "empty"),
    ] {
        run(["verify", &bench.file(name, bytes)]).fails(3, &[name, word]);
    }
}

#[test]
fn small_mistakes_are_answered() {
    let bench = Bench::new();
    let pack = bench.pack("p", SMALL, &["--codec", "SQ8"]);
    let model = tiny();
    let model = model.to_str().unwrap();
    let corpus = bench.path("p.jsonl");
    for threads in ["0", "100000", "-1", "x"] {
        let option = format!("--threads={threads}");
        for command in [
            &["build", &corpus, "-o", "new.mpk", "--model", model][..],
            &["ask", &pack, "Dose?", "--model", model],
            &["eval", "q.jsonl", "--pack", &pack, "--model", model],
            &["quality", &pack, "--model", model],
        ] {
            run(command.iter().copied().chain([option.as_str()])).fails(2, &["1 to 256"]);
        }
    }
    run(["search", &pack, " "]).fails(1, &["query is empty"]);
    run(["ask", &pack, " ", "--model", model]).fails(1, &["question is empty"]);
    let greedy = run(["ask", &pack, "What is the usual dose of Nutepril?", "--model", model]).ok();
    assert_eq!(run(["ask", &pack, "What is the usual dose of Nutepril?", "--model", model, "--temperature", "0"]).ok(), greedy);
    // Another model: what differs in a line, digests only on demand.
    let other = bench.path("model");
    fs::create_dir(&other).unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(tiny().join(file), format!("{other}/{file}")).unwrap();
    }
    let config = fs::read_to_string(format!("{other}/config.json")).unwrap().replace("10000.0", "20000.0");
    fs::write(format!("{other}/config.json"), config).unwrap();
    let short = run(["ask", &pack, "Dose?", "--model", &other]);
    short.fails(4, &["RoPE base (10000.0, not 20000.0)", "--model DIR", "--verbose"]);
    assert!(short.err.lines().count() <= 3 && short.err.len() < 500, "{}", short.err);
    run(["ask", &pack, "Dose?", "--model", &other, "--verbose"]).fails(4, &["architecture: "]);
}

#[test]
fn the_second_interrupt_is_immediate() {
    let bench = Bench::new();
    let corpus: String =
        (0..400).map(|n| json!({"text": format!("The place {n} lies by the river {}.", n * 7)}).to_string() + "\n").collect();
    let corpus = bench.file("c.jsonl", corpus);
    let mut child = mempack(build_args(&corpus, &bench.path("c.mpk"), &["--threads", "1"]))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let signal = || assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    while !bench.names().contains(&"c.mpk.building".to_owned()) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    signal();
    signal();
    let since = std::time::Instant::now();
    let code = child.wait().unwrap().code();
    // What the first signal cleans up may be done before the second arrives; both end in the same code.
    assert_eq!(code, Some(130));
    assert!(since.elapsed().as_secs() < 5, "{:?}", since.elapsed());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_signal_ends_a_read_from_an_idle_pipe() {
    let bench = Bench::new();
    assert!(Command::new("mkfifo").arg(bench.path("pipe.jsonl")).status().unwrap().success());
    let (fifo, out) = (bench.path("pipe.jsonl"), bench.path("out.mpk"));
    let questions = bench.path("questions");
    for args in [
        build_args("-", &out, &[]),
        build_args(&fifo, &out, &[]),
        words(&["make-questions", "cloze", "-", "-o", &questions]),
        words(&["make-questions", "cloze", &fifo, "-o", &questions]),
    ] {
        let mut child = mempack(&args).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        // The corpus is read once there is a place for what comes of it.
        while bench.names().len() == 1 {
            assert!(child.try_wait().unwrap().is_none(), "{args:?} ended early");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        // Waiting for a child closes its standard input, which would end the read.
        let held = child.stdin.take();
        assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
        let since = std::time::Instant::now();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{args:?}");
        assert!(since.elapsed().as_secs() < 10, "{args:?}: {:?}", since.elapsed());
        assert_eq!(bench.names(), ["pipe.jsonl"], "{args:?}");
        drop(held);
    }
}
