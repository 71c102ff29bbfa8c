//! Writes the golden pack of the current format version: `cargo run -p mempack-hostile --bin golden_pack -- OUT.mpk`.
//!
//! Golden packs (`format-spec/tests/golden/v1.0.mpk`, `v1.1.mpk`, `v1.2.mpk`) are never replaced: packs of their versions exist. A new minor version
//! of the format gets a new one.

use std::path::PathBuf;

#[allow(dead_code)] // the format's tests use the rest
#[path = "../../../../../format-spec/tests/golden/generate.rs"]
mod generate;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let target = std::env::args_os().nth(1).map(PathBuf::from).ok_or("usage: golden_pack OUT.mpk")?;
    let summary = generate::write(&target, Some(generate::quality()), Some(generate::prompts()))?;
    println!("{}: {} bytes, id {}", target.display(), summary.bytes, summary.id);
    Ok(())
}
