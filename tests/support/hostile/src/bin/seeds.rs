//! Writes the seeds of the fuzzers, one folder for each target: `cargo run -p mempack-hostile --bin seeds -- tests/fuzz/corpus`.

use std::path::PathBuf;

use mempack_hostile::seeds;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: seeds FOLDER (tests/fuzz/corpus)")?);
    for (target, seeds) in ["open", "verify", "fetch", "search"]
        .map(|target| (target, seeds::of_packs()))
        .into_iter()
        .chain([("manifest", seeds::of_manifests()), ("filter", seeds::of_filters())])
    {
        let folder = folder.join(target);
        std::fs::create_dir_all(&folder)?;
        for (number, seed) in seeds.iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number:03}")), seed)?;
        }
        println!("{}: {} seeds", folder.display(), seeds.len());
    }
    Ok(())
}
