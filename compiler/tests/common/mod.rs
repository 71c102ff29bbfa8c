//! The tiny model, the default embedder, and a corpus for both.
#![allow(dead_code)] // each test file uses its part of this

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use mempack_model::{Embedder, LoadOptions, Model};
use serde_json::json;

pub fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Model and embedder, loaded once.
pub fn loaded() -> (Model, Embedder) {
    static LOADED: Mutex<Option<(Model, Embedder)>> = Mutex::new(None);
    let mut loaded = LOADED.lock().unwrap_or_else(|error| error.into_inner());
    let (model, embedder) = loaded.get_or_insert_with(|| {
        let folder = std::env::var_os("MEMPACK_EMBEDDER").map_or_else(|| root("models/all-MiniLM-L6-v2"), PathBuf::from);
        assert!(folder.join("model.safetensors").exists(), "no embedder in {}: run `make models`, or set EMBEDDER", folder.display());
        let options = LoadOptions::default();
        (Model::load(&root("tests/fixtures/tiny"), &options).unwrap(), Embedder::load(&folder, &options).unwrap())
    });
    (model.share(), embedder.share())
}

/// Documents with titles, duplicates, Chinese, and more words than a reference holds.
pub fn corpus() -> Vec<serde_json::Value> {
    // Prose without repetitions: in repeated sentences tokens have almost equal weights, and rounding decides which of them are kept.
    let prose = fs::read_to_string(root("kb-samples/medical/corpus.jsonl")).unwrap();
    let prose = prose.lines().take(12).map(|row| serde_json::from_str::<serde_json::Value>(row).unwrap());
    let long: String = prose.map(|row| format!("{} ", row["text"].as_str().unwrap().replace('\n', " "))).collect();
    let law: String = (1..7)
        .map(|i| format!("第{i}条 为了保护公民的合法权益，维护社会秩序，制定本法。第{i}十条 公民的权利受国家保护；任何人不得侵犯。"))
        .collect();
    let mut rows = vec![
        json!({"id": "a", "title": "Zorvex", "text": "Zorvex is given by mouth twice a day. It must not be taken with milk.", "source": "formulary", "license": "CC0"}),
        json!({"id": "b", "text": long, "version": "3", "date": "2024-05-01"}),
        json!({"id": "c", "title": "保护法", "text": law}),
        json!({"id": "d", "title": "Zorvex", "text": "Zorvex is given by mouth twice a day. It must not be taken with milk."}),
        json!({"id": "e", "text": " \n -- \n"}),
        json!({"id": "f", "title": "Lines", "text": "One line.\r\nAnother line.\r\n\r\nA paragraph of its own."}),
    ];
    rows.extend((0..60).map(|i| json!({"id": format!("n{i}"), "title": format!("Note {}", i % 50), "text": format!("The note with the number {} says nothing else.", i % 50)})));
    rows
}

pub fn write_corpus(folder: &Path) -> PathBuf {
    let path = folder.join("corpus.jsonl");
    fs::write(&path, corpus().iter().map(|row| format!("{row}\n")).collect::<String>()).unwrap();
    path
}

pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
