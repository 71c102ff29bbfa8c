//! Makes the golden pack of this version anew: `cargo run -p mempack-format --example golden -- OUT.mpk`.
//!
//! `tests/golden/v1.1.mpk` is what it wrote, and `v1.0.mpk` what it wrote before. Those files are never replaced: packs of their
//! versions exist.

use std::path::PathBuf;

#[allow(dead_code)] // the tests also use its parts
#[path = "../tests/golden/generate.rs"]
mod generate;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let target = std::env::args_os().nth(1).map(PathBuf::from).ok_or("usage: golden OUT.mpk")?;
    let summary = generate::write(&target, Some(generate::quality()))?;
    println!("{}: {} bytes, id {}", target.display(), summary.bytes, summary.id);
    Ok(())
}
