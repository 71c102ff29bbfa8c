//! `scripts/demo.sh` and `make demo`: which commands each reader's demo runs, with a program that only says how it was called.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// A copy of the script in a folder of its own, beside a program that writes down its arguments and its model.
struct Demo {
    folder: tempfile::TempDir,
}

impl Demo {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("scripts")).expect("a folder");
        fs::copy(root().join("scripts/demo.sh"), folder.path().join("scripts/demo.sh")).expect("copied");
        let program = folder.path().join("mempack");
        let says = "#!/bin/sh\necho \"$* | ${MEMPACK_MODEL-} ${MEMPACK_BASE-} ${MEMPACK_EMBEDDER-}\" >> \"$(dirname \"$0\")/calls\"\n";
        fs::write(&program, says).expect("written");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("executable");
        Self { folder }
    }

    /// Runs the script, and returns its output with the calls of the program.
    fn run(&self, reader: &[&str], models: Option<&str>) -> (Output, Vec<String>) {
        let mut command = Command::new("bash");
        command.arg(self.folder.path().join("scripts/demo.sh")).arg(self.folder.path().join("mempack")).args(reader);
        for variable in ["MEMPACK_MODEL", "MEMPACK_EMBEDDER", "MEMPACK_MODELS"] {
            command.env_remove(variable);
        }
        // What `make` exports for the default reader.
        command.env("MEMPACK_BASE", "/smollm2-base");
        models.map(|models| command.env("MEMPACK_MODELS", models));
        let output = command.output().expect("bash starts");
        let calls = fs::read_to_string(self.folder.path().join("calls")).unwrap_or_default();
        (output, calls.lines().map(str::to_owned).collect())
    }
}

#[test]
fn the_default_reader_is_used_as_it_is() {
    for reader in [&[][..], &["smollm2"]] {
        let (output, calls) = Demo::new().run(reader, None);
        assert!(output.status.success(), "{output:?}");
        assert!(calls.iter().all(|call| call.ends_with("|  /smollm2-base ")), "{calls:?}");
        assert!(calls[0].starts_with("build kb-samples/legal/corpus.jsonl -o packs/legal.mpk"), "{calls:?}");
        assert!(calls[1].starts_with("verify packs/legal.mpk"), "{calls:?}");
        // Two packs, each built, verified, and asked three questions twice.
        assert_eq!(calls.len(), 2 * (2 + 3 * 2));
    }
}

#[test]
fn the_second_reader_is_fetched_and_has_packs_of_its_own() {
    for (named, models) in [(None, "models"), (Some("/elsewhere"), "/elsewhere")] {
        let (output, calls) = Demo::new().run(&["qwen"], named);
        assert!(output.status.success(), "{output:?}");
        for (call, name) in calls.iter().zip(["qwen", "e5"]) {
            assert!(call.starts_with(&format!("models get {name} --models {models} |")), "{calls:?}");
        }
        let with = format!("| {models}/qwen-reader {models}/Qwen2.5-Coder-0.5B-Instruct {models}/multilingual-e5-small");
        assert!(calls[2..].iter().all(|call| call.ends_with(&with)), "{calls:?}");
        assert!(calls[2].starts_with("build kb-samples/legal/corpus.jsonl -o packs/qwen-legal.mpk"), "{calls:?}");
        assert_eq!(calls.len(), 2 + 2 * (2 + 3 * 2));
        // The names are those that the pins give.
        let pins = fs::read_to_string(root().join("scripts/pins.json")).expect("readable");
        for name in ["\"qwen-reader\"", "\"Qwen2.5-Coder-0.5B-Instruct\"", "\"multilingual-e5-small\""] {
            assert!(pins.contains(name), "{name}");
        }
    }
}

#[test]
fn an_unknown_reader_is_refused_before_anything_is_done() {
    let refused = |output: &Output| {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("no reader is named `gpt`; the readers are smollm2 and qwen"), "{output:?}");
    };
    let (output, calls) = Demo::new().run(&["gpt"], None);
    refused(&output);
    assert!(calls.is_empty(), "{calls:?}");
    let output =
        Command::new("make").args(["--no-print-directory", "demo", "READER=gpt"]).current_dir(root()).output().expect("make starts");
    refused(&output);
    assert!(!String::from_utf8_lossy(&output.stdout).contains("cargo"), "{output:?}");
}

#[test]
fn a_failure_of_the_program_ends_the_demo() {
    let demo = Demo::new();
    fs::write(demo.folder.path().join("mempack"), "#!/bin/sh\nexit 3\n").expect("written");
    for reader in ["smollm2", "qwen"] {
        assert_eq!(demo.run(&[reader], None).0.status.code(), Some(3));
    }
}
