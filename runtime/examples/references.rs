//! Prints the references of a pack with their origins, one JSON object a line. Needs no libtorch.
//!
//! ```text
//! cargo run --release -p mempack-runtime --example references -- PACK
//! ```

use std::error::Error;
use std::io::{BufWriter, Write as _, stdout};

use mempack_runtime::{Hit, MappedPack};
use serde_json::json;

/// Prints the references of a pack: the argument is PACK.
pub fn run(args: &[String]) -> Result<(), Box<dyn Error>> {
    let [path] = args else { return Err("usage: references PACK".into()) };
    let pack = MappedPack::open(path)?;
    let mut out = BufWriter::new(stdout().lock());
    for reference in 0..pack.manifest().counts.references {
        let found = pack.describe(&Hit { reference, similarity: 0.0 })?;
        let tokens = pack.reference(reference)?.tokens;
        writeln!(
            out,
            "{}",
            json!({"reference": reference, "document": found.document, "title": found.title, "start": found.start, "end": found.end,
                   "tokens": tokens, "text": found.text})
        )?;
    }
    Ok(out.flush()?)
}

fn main() -> Result<(), Box<dyn Error>> {
    run(&std::env::args().skip(1).collect::<Vec<_>>())
}
