//! Writes the golden pack of the current format version: `cargo run -p mempack-hostile --bin golden_pack -- OUT.mpk`; with `--budget` behind it,
//! the one whose heads keep different numbers of tokens; with `--terms`, the one with an inverted index; with `--metadata`, that with metadata too; with `--coarse`, that with coarse embeddings too.
//!
//! Golden packs (`format-spec/tests/golden/v1.0.mpk`, `v1.1.mpk`, `v1.2.mpk`, `v1.2-budget.mpk`, `v1.3.mpk`, `v1.4.mpk`, `v1.5.mpk`) are never replaced:
//! packs of their versions exist. A new minor version of the format gets a new one.

use std::path::PathBuf;

#[allow(dead_code)] // the format's tests use the rest
#[path = "../../../../../format-spec/tests/golden/generate.rs"]
mod generate;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let usage = "usage: golden_pack OUT.mpk [--budget | --terms | --metadata | --coarse]";
    let target = std::env::args_os().nth(1).map(PathBuf::from).ok_or(usage)?;
    let summary = match std::env::args().nth(2).as_deref() {
        None => generate::write(&target, Some(generate::quality()), Some(generate::prompts()))?,
        Some("--budget") => generate::write_with_budget(&target)?,
        Some("--terms") => generate::write_with_terms(&target)?,
        Some("--metadata") => generate::write_with_metadata(&target)?,
        Some("--coarse") => generate::write_with_coarse_embeddings(&target)?,
        Some(_) => return Err(usage.into()),
    };
    println!("{}: {} bytes, id {}", target.display(), summary.bytes, summary.id);
    Ok(())
}
