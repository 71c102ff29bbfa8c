//! Answers questions while packs are mounted, replaced and unmounted.
//!
//! ```text
//! cargo run --release -p mempack-runtime --features engine --example mount -- OLD.mpk NEW.mpk MODEL EMBEDDER QUESTION
//! ```
//!
//! OLD.mpk and NEW.mpk are packs of the same model and embedder, for example two versions of one corpus.

use std::error::Error;
use std::ops::ControlFlow;
use std::sync::Arc;

use mempack_model::{Embedder, LoadOptions, Model};
use mempack_runtime::{AnswerOptions, MappedPack, Mounts, Session, SessionOptions};

/// Mounts and replaces packs: the arguments are OLD.mpk, NEW.mpk, MODEL, EMBEDDER and QUESTION.
pub fn run(args: &[String]) -> Result<(), Box<dyn Error>> {
    let [old, new, model, embedder, question] = args else { return Err("usage: mount OLD.mpk NEW.mpk MODEL EMBEDDER QUESTION".into()) };
    let model = Model::load(model.as_ref(), &LoadOptions::default())?;
    let embedder = Embedder::load(embedder.as_ref(), &LoadOptions::default())?;
    let mounts = Arc::new(Mounts::new("docs", MappedPack::open(old)?));
    let answers = AnswerOptions { max_tokens: 32, ..AnswerOptions::default() };
    let options = SessionOptions { answers, ..SessionOptions::default() };
    let session = Session::over(&model, &embedder, Arc::clone(&mounts), options)?;

    // The answer is streamed. A callback that returns `Break` stops it.
    let ask = || session.ask(question, &mut |_text| ControlFlow::Continue(()));
    println!("from {old}: {}", ask()?.text.trim());

    // Replacing a pack does not wait: questions that are being answered keep the old one, which is unmapped after the last of them.
    let replaced = mounts.replace("docs", MappedPack::open(new)?)?;
    println!("replaced {}", replaced.id());
    println!("from {new}: {}", ask()?.text.trim());

    // Several packs are searched as one. A text that both have is one hit.
    mounts.mount("archive", replaced)?;
    let names: Vec<String> = mounts.packs().packs().iter().map(|pack| pack.name().to_owned()).collect();
    println!("from {}: {}", names.join(" and "), ask()?.text.trim());
    mounts.unmount("archive")?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    run(&std::env::args().skip(1).collect::<Vec<_>>())
}
