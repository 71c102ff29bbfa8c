//! The examples of the crates run.
#![cfg(feature = "engine")]
#![allow(dead_code)] // `main` of each example

#[path = "../model/examples/answer.rs"]
mod answer;
#[path = "../runtime/examples/ask.rs"]
mod ask;
#[path = "../compiler/examples/build_pack.rs"]
mod build_pack;
mod common;
#[path = "../runtime/examples/mount.rs"]
mod mount;
#[path = "../runtime/examples/references.rs"]
mod references;
#[path = "../trainer/examples/train.rs"]
mod train;

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use common::{root, tiny};

fn embedder() -> PathBuf {
    env::var_os("MEMPACK_EMBEDDER").map_or_else(|| root().join("models/all-MiniLM-L6-v2"), PathBuf::from)
}

fn strings<const N: usize>(args: [&Path; N]) -> [String; N] {
    args.map(|arg| arg.display().to_string())
}

/// A corpus of two documents, the second of which has this text.
fn corpus(folder: &Path, name: &str, second: &str) -> PathBuf {
    let path = folder.join(name);
    let first = r#"{"id": "nutepril", "text": "Nutepril is used to treat gout. The usual dose of Nutepril is 40 mg twice daily."}"#;
    fs::write(&path, format!("{first}\n{{\"id\": \"korvenna\", \"text\": \"{second}\"}}\n")).expect("writable");
    path
}

#[test]
fn a_pack_is_built_asked_listed_and_replaced() -> Result<(), Box<dyn Error>> {
    let (folder, tiny, embedder) = (tempfile::tempdir()?, tiny(), embedder());
    let question = Path::new("What is the usual dose of Nutepril?");
    let packs =
        [("old", "The Folkhall of Korvenna meets in May."), ("new", "The Folkhall of Korvenna meets in June.")].map(|(name, text)| {
            let pack = folder.path().join(format!("{name}.mpk"));
            let corpus = corpus(folder.path(), &format!("{name}.jsonl"), text);
            build_pack::run(&strings([&corpus, &tiny, &embedder, &pack])).map(|()| pack)
        });
    let [old, new] = packs;
    let (old, new) = (old?, new?);
    references::run(&strings([&new]))?;
    ask::run(&strings([&new, &tiny, &embedder, question]))?;
    mount::run(&strings([&old, &new, &tiny, &embedder, question]))
}

#[test]
fn a_model_answers_from_a_memory() -> Result<(), Box<dyn Error>> {
    answer::run(&strings([&tiny()]))
}

#[test]
fn a_model_is_trained() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let corpus = corpus(folder.path(), "corpus.jsonl", &"The Folkhall of Korvenna meets in May. ".repeat(20));
    let config = folder.path().join("train.toml");
    fs::write(
        &config,
        format!(
            "model = {:?}\noutput = \"run\"\nthreads = 1\noptimizer = {{ rate = 1e-3 }}\n\
             [[stage]]\nsteps = 2\nbatch = 2\nlearn = {{ kind = \"text\", length = 32, corpora = [{corpus:?}] }}\n",
            tiny()
        ),
    )?;
    train::run(&strings([&config]))?;
    assert!(folder.path().join("run/final/config.json").is_file());
    Ok(())
}

#[test]
fn an_example_without_arguments_says_how_it_is_called() {
    for run in [answer::run, ask::run, build_pack::run, mount::run, references::run, train::run] {
        assert!(run(&[]).expect_err("no arguments").to_string().starts_with("usage: "));
    }
}
