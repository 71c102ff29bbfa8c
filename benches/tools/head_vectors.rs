//! The keys or values of one head of an F32 pack, as a matrix for `make bench-codec VECTORS=`.
//!
//! ```text
//! mempack build docs/ -o whole.mpk --codec F32
//! cargo run --release -p mempack-benches --bin head_vectors whole.mpk keys OUT.npy
//! ```

use std::{error::Error, fs};

use mempack_format::{CodecSpec, EMPTY_SLOT, Memory, Pack};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [path, kind @ ("keys" | "values"), out] = args.iter().map(String::as_str).collect::<Vec<_>>()[..] else {
        return Err("usage: head_vectors PACK.mpk keys|values OUT.npy".into());
    };
    let pack = Pack::open(fs::read(path)?)?;
    let codec = pack.codec()?;
    if codec.spec() != CodecSpec::F32 {
        return Err(format!("{path}: codec {}, expected F32: build it with --codec F32", codec.spec()).into());
    }
    let shape = codec.shape();
    let dim = shape.head_dim as usize;
    // The first head of the middle memory layer.
    let slots = shape.slots_of((shape.layers / 2 * shape.heads) as usize);
    let (mut memory, mut numbers) = (Memory::empty(shape.clone()), Vec::new());
    for reference in 0..pack.manifest().counts.references {
        codec.decode_memory(pack.record(reference)?, &mut memory)?;
        let vectors = if kind == "keys" { &memory.keys } else { &memory.values };
        for slot in slots.clone().filter(|&slot| memory.positions[slot] != EMPTY_SLOT) {
            numbers.extend(vectors[slot * dim..(slot + 1) * dim].iter().flat_map(|x| x.to_le_bytes()));
        }
    }
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {dim}), }}", numbers.len() / (4 * dim));
    // numpy aligns the numbers to 64 bytes: 10 bytes come before the header, and a newline ends it.
    let file = [b"\x93NUMPY\x01\x00\x76\x00", format!("{header:117}\n").as_bytes(), &numbers].concat();
    Ok(fs::write(out, file)?)
}
