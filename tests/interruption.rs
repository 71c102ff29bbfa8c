//! Builds that are killed, interrupted and started again, and rebuilds from an older pack. `scripts/kill_builds.py` does the killing at length.
#![cfg(all(unix, feature = "engine"))]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{Bench, Ran, build_args, mempack, root, run};
use serde_json::{Value, json};

const MODEL: [&str; 6] = ["--threads", "1", "--codec", "SQ8", "--sample", "16"];

/// Documents of a few references each; `changed` of them say something else.
fn corpus(documents: usize, changed: usize) -> String {
    let row = |document: usize| {
        let words = |at: usize| format!("{}{}", ["north", "south", "valley", "river"][(document + at) % 4], document * 7 + at * at);
        let text: String = (0..40).map(|at| format!("The {} lies by the {}. ", words(at), words(at + 3))).collect();
        let text = if document < changed { format!("{text}This was amended.") } else { text };
        format!("{}\n", json!({"id": format!("d{document}"), "title": format!("Place {document}"), "text": text}))
    };
    (0..documents).map(row).collect()
}

fn start(args: &[String]) -> Child {
    mempack(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap().success());
}

/// Bytes of a file that are not zero: slots are not written in the order of the file.
fn filled(path: &Path) -> usize {
    fs::read(path).unwrap_or_default().iter().filter(|byte| **byte != 0).count()
}

/// Waits until a file has more than so many bytes that are not zero, or the process has ended.
fn wait_for(child: &mut Child, path: &Path, bytes: usize) {
    let since = Instant::now();
    while filled(path) <= bytes && child.try_wait().unwrap().is_none() {
        assert!(since.elapsed() < Duration::from_secs(600), "{} does not grow", path.display());
        sleep(Duration::from_millis(5));
    }
}

fn report(out: &str) -> Value {
    serde_json::from_str(out.trim()).unwrap()
}

#[test]
fn a_killed_build_goes_on_to_the_same_pack() {
    let bench = Bench::new();
    let input = bench.file("corpus.jsonl", corpus(12, 0));
    let more = [&MODEL[..], &["--json"]].concat();
    let undisturbed = report(&run(build_args(&input, &bench.path("undisturbed.mpk"), &more)).ok());
    let old = bench.pack("x", &corpus(1, 0), &MODEL);
    let old_bytes = fs::read(&old).unwrap();
    let args = build_args(&input, &old, &more);
    let folder = bench.path("x.mpk.building");
    let records = Path::new(&folder).join("records");
    // In the sample, in the first batch of records, and after it: a slot of SQ8 has some 9 kB, a batch 15 or more.
    let moments = [(Path::new(&folder).join("sample"), 32), (records.clone(), 32), (records.clone(), 200_000)];
    for (at, (file, bytes)) in moments.iter().enumerate() {
        let mut child = start(&args);
        wait_for(&mut child, file, *bytes);
        child.kill().unwrap();
        let code = child.wait().unwrap().code();
        assert!(code.is_none(), "the build ended before kill {at}, with {code:?}");
        assert_eq!(fs::read(&old).unwrap(), old_bytes, "after kill {at}");
        run(["verify", &old]).ok();
        assert_eq!(bench.names(), ["corpus.jsonl", "undisturbed.mpk", "x.jsonl", "x.mpk", "x.mpk.building"]);
    }
    let resumed = report(&run(&args).ok());
    assert_eq!((&resumed["id"], &resumed["references"]), (&undisturbed["id"], &undisturbed["references"]));
    let count = |report: &Value, name: &str| report[name].as_u64().unwrap();
    assert!(count(&resumed, "resumed") > 0, "{resumed}");
    assert_eq!(count(&resumed, "resumed") + count(&resumed, "encoded"), count(&resumed, "references"));
    assert_eq!(bench.names(), ["corpus.jsonl", "undisturbed.mpk", "x.jsonl", "x.mpk"]);
}

#[test]
fn a_resumed_build_has_the_metadata_of_the_corpus_that_it_reads() {
    let bench = Bench::new();
    let described = |year: u32| corpus(12, 0).replace("\"title\"", &format!("\"year\":{year},\"title\""));
    let input = bench.file("corpus.jsonl", described(2020));
    let (target, fresh) = (bench.path("x.mpk"), bench.path("fresh.mpk"));
    let args = build_args(&input, &target, &[&MODEL[..], &["--json"]].concat());
    let mut child = start(&args);
    wait_for(&mut child, &Path::new(&bench.path("x.mpk.building")).join("records"), 200_000);
    child.kill().unwrap();
    assert!(child.wait().unwrap().code().is_none(), "the build ended before it was killed");
    bench.file("corpus.jsonl", described(2021));
    let resumed = report(&run(&args).ok());
    assert!(resumed["resumed"].as_u64().unwrap() > 0, "{resumed}");
    run(build_args(&input, &fresh, &MODEL)).ok();
    assert!(fs::read(&target).unwrap() == fs::read(&fresh).unwrap());
}

#[test]
fn an_interrupted_build_says_how_to_go_on() {
    let bench = Bench::new();
    let input = bench.file("corpus.jsonl", corpus(12, 0));
    let target = bench.path("x.mpk");
    let args = build_args(&input, &target, &MODEL);
    let folder = bench.path("x.mpk.building");
    for (name, file) in [("INT", "sample"), ("TERM", "records")] {
        let file = Path::new(&folder).join(file);
        let before = filled(&file).max(32);
        let mut child = start(&args);
        wait_for(&mut child, &file, before);
        signal(&child, name);
        let ran = Ran::of(child.wait_with_output().unwrap());
        ran.fails(130, &["interrupted: ", " are done and kept in ", "x.mpk.building", "run the same build again"]);
        assert!(!Path::new(&target).exists());
        let kept: Vec<String> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert!(kept.iter().all(|name| ["sample", "codec", "records"].contains(&name.as_str())) && !kept.is_empty(), "{kept:?}");
    }
    run(&args).ok();
    assert_eq!(bench.names(), ["corpus.jsonl", "x.mpk"]);
}

#[test]
fn one_build_of_a_target_at_a_time() {
    let bench = Bench::new();
    let args = build_args(&bench.file("corpus.jsonl", corpus(1, 0)), &bench.path("x.mpk"), &MODEL);
    fs::create_dir(bench.path("x.mpk.building")).unwrap();
    let lock = fs::File::create(bench.path("x.mpk.building/lock")).unwrap();
    lock.lock().unwrap();
    run(&args).fails(1, &["another process is writing it", "x.mpk.building"]);
    drop(lock);
    run(&args).ok();
    assert_eq!(bench.names(), ["corpus.jsonl", "x.mpk"]);
}

#[test]
fn a_full_disk_is_told_of_and_the_work_is_kept() {
    let bench = Bench::new();
    let input = bench.file("corpus.jsonl", corpus(12, 0));
    let args = build_args(&input, &bench.path("x.mpk"), &["--threads", "1", "--codec", "F32"]);
    // A slot of F32 has some 33 kB: a batch is done, and the next one may be begun.
    let mut child = start(&args);
    wait_for(&mut child, &Path::new(&bench.path("x.mpk.building")).join("records"), 700_000);
    child.kill().unwrap();
    child.wait().unwrap();
    // A limit on the size of files stands for the disk: 512 KiB or 1 MiB, depending on the shell. All records take 2.4 MB.
    let limited = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 1024 && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_mempack")])
        .args(&args)
        .current_dir(root())
        .output()
        .unwrap();
    Ran::of(limited).fails(1, &["or write elsewhere", "are done and kept in", "run the same build again"]);
    assert_eq!(bench.names(), ["corpus.jsonl", "x.mpk.building"]);
    let resumed = report(&run(args.into_iter().chain(["--json".into()])).ok());
    assert!(resumed["resumed"].as_u64().unwrap() > 0, "{resumed}");
    assert_eq!(bench.names(), ["corpus.jsonl", "x.mpk"]);
}

#[test]
fn a_rebuild_takes_what_is_unchanged() {
    let bench = Bench::new();
    let target = bench.pack("x", &corpus(12, 0), &MODEL);
    let changed = bench.file("changed.jsonl", corpus(12, 1));
    let before = report(&run(["inspect", &target, "--json"]).ok());
    let from = |more: &[&str]| build_args(&changed, &target, &[&["--threads", "1", "--from", &target, "--json"], more].concat());

    run(from(&["--codec", "F32"])).fails(4, &["its codec is SQ8", "F32", "--retrain-codec"]);
    run(from(&["--precision", "bf16"])).fails(4, &["precision (f32, not bf16)"]);
    // The first byte behind the header page is of the first memory.
    let mut bytes = fs::read(&target).unwrap();
    bytes[4096] ^= 1;
    let damaged = bench.file("damaged.mpk", bytes);
    run(build_args(&changed, &target, &["--from", &damaged])).fails(3, &["damaged.mpk", "MEMORIES", "build without it"]);
    assert_eq!(report(&run(["inspect", &target, "--json"]).ok())["id"], before["id"]);

    let rebuilt = report(&run(from(&[])).ok());
    let count = |name: &str| rebuilt[name].as_u64().unwrap();
    assert!(count("encoded") > 0 && count("encoded") <= 6 && count("taken") > 20, "{rebuilt}");
    assert_eq!(count("encoded") + count("taken"), count("references"));
    // Of 72 references a codec is trained on all, as far as this build can know.
    assert!(rebuilt["drift"]["ratio"].as_f64().unwrap() > 0.5 && rebuilt["drift"]["trained_on"] == true, "{rebuilt}");
    run(["verify", &target]).ok();
    // Nothing is left to encode, and so nothing changes.
    let again = report(&run(from(&[])).ok());
    assert_eq!((&again["id"], again["encoded"].as_u64()), (&rebuilt["id"], Some(0)));
    assert!(again["drift"]["ratio"].is_null(), "{again}");
    // Trained anew it is what a build without the older pack makes.
    let fresh = report(&run(build_args(&changed, &bench.path("fresh.mpk"), &[&MODEL[..], &["--json"]].concat())).ok());
    let retrained = report(&run(from(&["--retrain-codec", "--sample", "16"])).ok());
    assert_eq!((&retrained["id"], &retrained["taken"]), (&fresh["id"], &json!(0)));
}
