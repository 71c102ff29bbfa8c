//! Prints the references of a pack, one JSON object a line: where each comes from, and its text. Needs no libtorch.
//!
//! ```text
//! cargo run --release -p mempack-runtime --example references -- PACK
//! ```

use std::error::Error;
use std::io::{BufWriter, Write as _, stdout};

use mempack_runtime::{Hit, MappedPack};
use serde_json::json;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: references PACK")?;
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
