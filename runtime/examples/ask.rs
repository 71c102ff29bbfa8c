//! Answers a question with the memories of a pack, and names the references read. The README shows this program.
//!
//! ```text
//! cargo run --release -p mempack-runtime --features engine --example ask -- PACK MODEL EMBEDDER QUESTION
//! ```

use std::error::Error;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use mempack_model::{Embedder, LoadOptions, Model};
use mempack_runtime::{MappedPack, OnDamage, Session, SessionOptions};

/// Answers a question: the arguments are PACK, MODEL, EMBEDDER and QUESTION.
pub fn run(args: &[String]) -> Result<(), Box<dyn Error>> {
    let [pack, model, embedder, question] = args else { return Err("usage: ask PACK MODEL EMBEDDER QUESTION".into()) };

    // Shown in the README from here
    let pack = Arc::new(MappedPack::open(pack)?);
    let model = Model::load(Path::new(model), &LoadOptions::default())?;
    let embedder = Embedder::load(Path::new(embedder), &LoadOptions::default())?;
    let session = Session::new(&model, &embedder, pack, SessionOptions::default())?;

    let answer = session.ask(question, &mut |text| {
        print!("{text}");
        ControlFlow::Continue(())
    })?;
    for chunk in &answer.chunks {
        for read in &chunk.reads {
            let found = read.cite(OnDamage::Fail)?.found;
            println!("\n{:.2} {} {}..{}", found.similarity, found.document, found.start, found.end);
        }
    }
    // to here
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    run(&std::env::args().skip(1).collect::<Vec<_>>())
}
