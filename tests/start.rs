//! The start of the program: its settings are there before libtorch reads them, and what is loaded at the same time fails as if it were loaded in order.
#![cfg(all(target_os = "linux", feature = "engine"))]

mod common;

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{Bench, SMALL, mempack, run};

const SETTINGS: [&str; 3] = ["OMP_WAIT_POLICY", "LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"];

/// The strings of a file in /proc.
fn strings(process: u32, file: &str) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{process}/{file}")).unwrap_or_default();
    bytes.split(|byte| *byte == 0).filter(|text| !text.is_empty()).map(|text| String::from_utf8_lossy(text).into_owned()).collect()
}

#[test]
fn settings_are_there_before_libtorch_and_those_of_the_user_stay() {
    for own in [None, Some(("OMP_WAIT_POLICY", "active")), Some(("LRU_CACHE_CAPACITY", ""))] {
        // A build waits for its corpus on standard input.
        let bench = Bench::new();
        let mut command = mempack(["build", "-", "-o", &bench.path("x.mpk")]);
        for name in SETTINGS {
            command.env_remove(name);
        }
        command.envs(own).arg0("its-own-name").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let begun = Instant::now();
        let found = loop {
            let found = strings(child.id(), "environ");
            let all = SETTINGS.iter().all(|name| found.iter().any(|text| text.starts_with(&format!("{name}="))));
            if all || begun.elapsed() > Duration::from_secs(60) {
                break found;
            }
            sleep(Duration::from_millis(5));
        };
        let arguments = strings(child.id(), "cmdline");
        child.kill().unwrap();
        child.wait().unwrap();
        for (name, value) in SETTINGS.into_iter().zip(["passive", "16", "16"]) {
            let expected = own.filter(|(own, _)| *own == name).map_or(value, |(_, value)| value);
            let values: Vec<&String> = found.iter().filter(|text| text.starts_with(&format!("{name}="))).collect();
            assert_eq!(values, [&format!("{name}={expected}")], "{own:?}");
        }
        // The restart after libtorch is loaded takes the path of the program for its name.
        assert_eq!(arguments.first().map(String::as_str), Some("its-own-name"));
        assert_eq!(arguments[1..3], ["build", "-"]);
    }
}

#[test]
fn a_program_that_cannot_be_restarted_works() {
    let bench = Bench::new();
    let copy = bench.path("mempack");
    fs::copy(env!("CARGO_BIN_EXE_mempack"), &copy).unwrap();
    // More variables than are looked at before libtorch is loaded.
    let many = (0..5000).map(|number| (format!("VARIABLE_{number}"), "1"));
    let mut command = Command::new(&copy);
    for name in SETTINGS {
        command.env_remove(name);
    }
    let output = command.envs(many).arg("--version").env("LD_LIBRARY_PATH", libtorch()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The folder of libtorch's libraries, which a copy of the program does not find.
fn libtorch() -> String {
    let folder = std::env::var("LIBTORCH").unwrap_or_else(|_| common::root().join("libtorch").to_string_lossy().into_owned());
    format!("{folder}/lib")
}

#[test]
fn the_error_is_that_of_what_comes_first() {
    let bench = Bench::new();
    let pack = bench.pack("p", SMALL, &["--codec", "SQ8"]);
    let whole = fs::read(common::tiny().join("model.safetensors")).unwrap();
    let tokenizer = fs::read_to_string(common::tiny().join("tokenizer.json")).unwrap();
    let other_type = {
        let at = whole.windows(12).position(|text| text == b"\"dtype\":\"BF1").unwrap();
        [&whole[..at], &b"\"dtype\":\"I16\" "[..], &whole[at + 14..]].concat()
    };
    let (cut, no_weights) = (&whole[..whole.len() / 2], &[][..]);
    let broken = |text: &str| text.replacen("\"merges\"", "\"mergez\"", 1);
    let missing = bench.path("no-embedder");
    // Weights and tokenizer, beside an embedder that is missing; what the message names and what not.
    let cases = [
        (cut, broken(&tokenizer), ["model.safetensors", "damaged"], "tokenizer"),
        (&other_type, broken(&tokenizer), ["embed_tokens", "I16"], "tokenizer"),
        (no_weights, tokenizer.clone(), ["model.safetensors", "damaged"], "no-embedder"),
        (&whole, broken(&tokenizer), ["tokenizer.json", "merges"], "no-embedder"),
        (&whole, "{".to_owned(), ["tokenizer.json", "EOF"], "no-embedder"),
        (&whole, tokenizer, ["no-embedder", "no such folder"], "model-5"),
    ];
    for (at, (weights, tokenizer, words, not)) in cases.into_iter().enumerate() {
        let model = bench.tiny(&format!("model-{at}"));
        fs::write(format!("{model}/model.safetensors"), weights).unwrap();
        fs::write(format!("{model}/tokenizer.json"), tokenizer).unwrap();
        let ran = run(["ask", &pack, "What treats gout?", "--model", &model, "--embedder", &missing]);
        ran.fails(1, &words);
        assert!(!ran.err.contains(not), "case {at}: {}", ran.err);
        assert!(ran.out.is_empty(), "{}", ran.out);
    }
}

/// A model whose weights are not the pack's is refused before it says anything.
#[test]
fn a_pack_of_other_weights_is_refused() {
    let bench = Bench::new();
    let pack = bench.pack("p", SMALL, &["--codec", "SQ8"]);
    let model = bench.tiny("other");
    let file = format!("{model}/model.safetensors");
    let mut weights = fs::read(&file).unwrap();
    *weights.last_mut().unwrap() ^= 1;
    fs::write(&file, weights).unwrap();
    let ran = run(["ask", &pack, "What treats gout?", "--model", &model]);
    ran.fails(4, &["weights"]);
    assert!(ran.out.is_empty(), "{}", ran.out);
}
