//! The fuzz targets of documents without a fuzzer: the inputs that once broke something, and a mutator with a fixed seed for a bounded number of runs.
//! `TARGET=rtf RUNS=100000 cargo test -p mempack-documents` runs one target for longer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Instant;
use std::{env, fs};

use mempack_documents::TARGETS;
use mempack_hostile::Random;

/// Runs of each target, unless `RUNS` says another number.
const RUNS: u64 = 100;
/// Bytes that are copied from another seed at once, at most.
const PIECE: u64 = 80;

#[test]
fn what_was_found_holds() {
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("found");
    for (name, target, _) in TARGETS {
        let Ok(inputs) = fs::read_dir(found.join(name)) else { continue };
        for input in inputs {
            let path = input.unwrap().path();
            let input = fs::read(&path).unwrap();
            let held = catch_unwind(|| target(&input));
            assert!(held.is_ok(), "{}", path.display());
        }
    }
}

/// Changes an input: its bytes, or by a piece of another one.
fn mutate(random: &mut Random, input: &mut Vec<u8>, other: &[u8]) {
    if random.below(2) == 0 {
        return random.mutate(input);
    }
    let from = random.below(other.len() as u64 + 1) as usize;
    let piece = &other[from..(from + random.below(PIECE) as usize).min(other.len())];
    let at = random.below(input.len() as u64 + 1) as usize;
    let end = if random.below(2) == 0 { at } else { (at + piece.len()).min(input.len()) };
    input.splice(at..end, piece.iter().copied());
}

#[test]
fn what_is_mutated_holds() {
    let runs = env::var("RUNS").map_or(RUNS, |runs| runs.parse().unwrap());
    let only = env::var("TARGET").ok();
    for (name, target, seeds) in TARGETS.into_iter().filter(|(name, ..)| only.as_ref().is_none_or(|only| only == name)) {
        let start = Instant::now();
        let seeds = seeds();
        let mut random = Random::new(seeds.len() as u64 + runs);
        for seed in &seeds {
            let held = catch_unwind(|| target(seed));
            assert!(held.is_ok(), "{name}: a seed of {} bytes", seed.len());
        }
        for run in 0..runs {
            let mut input = seeds[random.below(seeds.len() as u64) as usize].clone();
            for _ in 0..=random.below(6) {
                let other = &seeds[random.below(seeds.len() as u64) as usize];
                mutate(&mut random, &mut input, other);
            }
            let held = catch_unwind(AssertUnwindSafe(|| target(&input)));
            assert!(held.is_ok(), "{name}: run {run} fails with this input: {}", input.escape_ascii());
        }
        println!("{name}: {} seeds and {runs} runs in {:.1} s", seeds.len(), start.elapsed().as_secs_f64());
    }
}
