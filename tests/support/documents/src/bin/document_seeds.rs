//! Writes the seeds of the fuzzers that read documents, one folder for each target: `cargo run -p mempack-documents --bin document_seeds -- tests/fuzz/corpus`.

use std::path::PathBuf;

use mempack_documents::TARGETS;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: document_seeds FOLDER (tests/fuzz/corpus)")?);
    for (target, _, seeds) in TARGETS {
        let (folder, seeds) = (folder.join(target), seeds());
        std::fs::create_dir_all(&folder)?;
        for (number, seed) in seeds.iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number:03}")), seed)?;
        }
        println!("{}: {} seeds", folder.display(), seeds.len());
    }
    Ok(())
}
