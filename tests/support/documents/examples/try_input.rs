//! Gives inputs to a target, without a fuzzer, and says how long each takes: `cargo run -p mempack-documents --example try_input -- rtf INPUT...`.

use std::time::Instant;

use mempack_documents::TARGETS;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let usage = "usage: try_input TARGET INPUT...";
    let wanted = std::env::args().nth(1).ok_or(usage)?;
    let (_, target, _) = TARGETS.into_iter().find(|(name, ..)| *name == wanted).ok_or(usage)?;
    for path in std::env::args_os().skip(2) {
        let input = std::fs::read(&path)?;
        let start = Instant::now();
        let is_one = target(&input);
        let is_one = if is_one { "" } else { ", of another format" };
        println!("{}: {} bytes{is_one}, {:.2} s", path.display(), input.len(), start.elapsed().as_secs_f64());
    }
    Ok(())
}
