//! Banks in an object store by the program, on a folder: push, pull, verify, gc.
#![cfg(feature = "store")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{root, run};
use mempack_format::{Pack, PackSetFile, Routing, SetManifest, SetPack};
use serde_json::Value;
use tempfile::TempDir;

/// A bank and the address of a store that is not there yet.
struct Desk {
    folder: TempDir,
    url: String,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("file://{}/store", folder.path().display());
        let desk = Self { folder, url };
        fs::create_dir(desk.path("bank")).unwrap();
        desk.put_pack("v1.6.mpk");
        desk.write_set();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn put_pack(&self, golden: &str) {
        fs::copy(root().join("format-spec/tests/golden").join(golden), self.path("bank/golden-0000.mpk")).unwrap();
    }

    fn write_set(&self) {
        let pack = Pack::open(fs::read(self.path("bank/golden-0000.mpk")).unwrap()).unwrap();
        let manifest = pack.manifest().clone();
        let set = SetManifest {
            generator: manifest.generator,
            model: manifest.model,
            precision: manifest.precision,
            embedder: manifest.embedder,
            codec: manifest.codec,
            packs: vec![SetPack::of("golden-0000.mpk", &pack).unwrap()],
        };
        fs::write(self.path("bank/golden.mps"), PackSetFile::new(set, Routing::default()).unwrap().to_bytes()).unwrap();
    }

    /// Runs a command that prints JSON.
    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&run(args.iter().chain(&["--json"])).ok()).unwrap()
    }

    fn push(&self) -> Value {
        self.json(&["push", &self.text("bank"), &self.url])
    }
}

fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.file_name().unwrap().into(), fs::read(&path).unwrap())).collect()
}

#[test]
fn a_bank_goes_to_a_store_and_back() {
    let desk = Desk::new();
    let pushed = desk.push();
    assert_eq!((&pushed["name"], &pushed["files"], &pushed["there"]["objects"]), (&"golden".into(), &2.into(), &0.into()));
    let pulled = desk.json(&["pull", &desk.url, "-o", &desk.text("out")]);
    assert_eq!((&pulled["id"], &pulled["fetched_bytes"]), (&pushed["id"], &pulled["bytes"]));
    assert_eq!(contents(&desk.path("out")), contents(&desk.path("bank")));
    let verified = run(["verify", &desk.url]).ok();
    assert!(verified.contains("whole: 1 banks under 1 names"), "{verified}");
    run(["verify", &desk.text("out/golden-0000.mpk")]).ok();

    let again = run(["push", &desk.text("bank"), &desk.url]).ok();
    assert!(again.contains("was already published as \"golden\"") && again.contains("sent 0 objects"), "{again}");
    let again = run(["pull", &desk.url, "-o", &desk.text("out")]).ok();
    assert!(again.contains("of which 2 were whole; fetched 0 B"), "{again}");

    // Another version, and the older one by its id.
    let before = contents(&desk.path("bank"));
    desk.put_pack("v1.5.mpk");
    desk.write_set();
    let second = desk.push();
    assert_ne!(second["id"], pushed["id"]);
    desk.json(&["pull", &desk.url, "-o", &desk.text("older"), "--set", &pushed["id"].as_str().unwrap()[..16]]);
    assert_eq!(contents(&desk.path("older")), before);
    let would = desk.json(&["gc", &desk.url, "--keep", "1", "--older-than", "0s", "--dry-run"]);
    let deleted = desk.json(&["gc", &desk.url, "--keep", "1", "--older-than", "0s"]);
    assert_eq!(would["deleted"], deleted["deleted"]);
    assert!(deleted["deleted"]["objects"].as_u64().unwrap() > 2);
    run(["pull", &desk.url, "-o", &desk.text("older"), "--set", pushed["id"].as_str().unwrap()]).fails(1, &["a gc deleted it"]);
    desk.json(&["pull", &desk.url, "-o", &desk.text("out")]);
    assert_eq!(contents(&desk.path("out")), contents(&desk.path("bank")));
    assert_eq!(desk.json(&["verify", &desk.url])["banks"], 1);
}

#[test]
fn damage_in_a_store_has_the_exit_code_of_damage() {
    let desk = Desk::new();
    desk.push();
    let mut chunks = Vec::new();
    for group in fs::read_dir(desk.path("store/chunks")).unwrap() {
        chunks.extend(fs::read_dir(group.unwrap().path()).unwrap().map(|chunk| chunk.unwrap().path()));
    }
    for chunk in &chunks {
        let mut bytes = fs::read(chunk).unwrap();
        bytes[0] ^= 1;
        fs::write(chunk, bytes).unwrap();
    }
    let name = chunks[0].file_name().unwrap().to_str().unwrap();
    let verified = run(["verify", &desk.url, "--all"]);
    verified.fails(3, &[&format!("{} objects are damaged", chunks.len())]);
    assert!(verified.out.contains(name), "{}", verified.out);
    run(["pull", &desk.url, "-o", &desk.text("out")]).fails(3, &["is damaged: its digest is", "push the bank again with --resend"]);
    assert!(!desk.path("out/golden.mps").exists() && !desk.path("out/golden-0000.mpk").exists());
    run(["push", &desk.text("bank"), &desk.url, "--resend"]).ok();
    run(["verify", &desk.url]).ok();
}

#[test]
fn what_cannot_be_done_is_said() {
    let desk = Desk::new();
    let (bank, out) = (desk.text("bank"), desk.text("out"));
    run(["push", &bank, &desk.text("store")]).fails(2, &["no address of a store", "file:///FOLDER"]);
    run(["push", &bank, "ftp://example.org/x"]).fails(2, &["no address of a store"]);
    run(["push", &bank, &desk.url, "--name", "a/b"]).fails(2, &["no name to publish under"]);
    run(["pull", &desk.url, "-o", &out]).fails(2, &["has nothing published", "--name"]);
    run(["pull", &desk.url, "-o", &out, "--name", "golden"]).fails(1, &["nothing is published as \"golden\""]);
    run(["verify", &desk.url]).fails(2, &["has nothing published"]);
    run(["gc", &desk.url, "--older-than", "24"]).fails(2, &["90s, 30m, 24h or 7d"]);
    run(["gc", &desk.url, "--keep", "0"]).fails(2, &["--keep"]);
    run(["push", &out, &desk.url]).fails(1, &["no bank is here"]);
    // A pack that was replaced since the set was written.
    desk.put_pack("v1.5.mpk");
    run(["push", &bank, &desk.url]).fails(1, &["golden-0000.mpk", "was replaced since the set was written"]);
    let mut bytes = fs::read(desk.path("bank/golden-0000.mpk")).unwrap();
    bytes[5_000] ^= 1;
    fs::write(desk.path("bank/golden-0000.mpk"), bytes).unwrap();
    run(["push", &desk.text("bank/golden-0000.mpk"), &desk.url]).fails(3, &["section", "is damaged"]);
    assert!(!desk.path("store").join("refs").exists());
}
