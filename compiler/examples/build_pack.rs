//! Builds a pack from a corpus, and opens it.
//!
//! ```text
//! cargo run --release -p mempack-compiler --example build_pack -- CORPUS MODEL EMBEDDER PACK.mpk
//! ```

use std::error::Error;
use std::sync::atomic::AtomicBool;

use mempack_compiler::{BuildOptions, Input, SilentBuild, build};
use mempack_format::Pack;
use mempack_model::{Embedder, LoadOptions, Model};

/// Builds a pack: the arguments are CORPUS (a file or a folder), MODEL, EMBEDDER and the pack to write.
pub fn run(args: &[String]) -> Result<(), Box<dyn Error>> {
    let [corpus, model, embedder, output] = args else { return Err("usage: build_pack CORPUS MODEL EMBEDDER PACK.mpk".into()) };
    // A build runs whole batches on each of its threads, so that an operation of libtorch needs one thread only.
    mempack_model::set_threads(1);
    let model = Model::load(model.as_ref(), &LoadOptions::default())?;
    let embedder = Embedder::load(embedder.as_ref(), &LoadOptions::default())?;

    let options = BuildOptions {
        inputs: vec![Input::Path(corpus.into())],
        output: output.into(),
        codec: "SQ8".parse()?,
        threads: 2,
        ..BuildOptions::default()
    };
    // The flag cancels a build from another thread. The same call later resumes it.
    let cancel = AtomicBool::new(false);
    let report = build(&model, &embedder, &options, &SilentBuild, &cancel)?;
    println!("{output}: {} references of {} documents, id {}", report.references, report.documents, report.id);

    let pack = Pack::open(std::fs::read(output)?)?;
    assert_eq!(pack.id(), report.id);
    println!("the first reference: {}", pack.text(0)?);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    run(&std::env::args().skip(1).collect::<Vec<_>>())
}
