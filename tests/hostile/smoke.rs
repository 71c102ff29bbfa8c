//! The fuzz targets without a fuzzer: the same functions, driven by a mutator with a fixed seed for a bounded number of runs.

use std::time::Instant;

use mempack_hostile::{Random, script, seeds};

/// Runs of each target.
const RUNS: u64 = 1000;

/// Mutates seeds, and what came of them, and gives each input to the target. The panic of a target is the test's.
fn smoke(name: &str, seeds: Vec<Vec<u8>>, target: impl Fn(&[u8])) {
    let start = Instant::now();
    let mut random = Random::new(seeds.len() as u64);
    for run in 0..RUNS {
        let mut input = seeds[random.below(seeds.len() as u64) as usize].clone();
        for _ in 0..=random.below(3) {
            random.mutate(&mut input);
        }
        let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| target(&input)));
        assert!(failed.is_ok(), "{name}: run {run} fails with this input: {input:02x?}");
    }
    println!("{name}: {RUNS} runs in {:.1} s", start.elapsed().as_secs_f64());
}

#[test]
fn open() {
    smoke("open", seeds::of_packs(), |input| mempack_drive::open(&script::file(input)));
}

#[test]
fn verify() {
    smoke("verify", seeds::of_packs(), |input| mempack_drive::verify(&script::file(input)));
}

#[test]
fn fetch() {
    smoke("fetch", seeds::of_packs(), |input| mempack_drive::fetch(&script::file(input)));
}

#[test]
fn search() {
    smoke("search", seeds::of_packs(), |input| mempack_drive::search(&script::file(input)));
}

#[test]
fn filter() {
    smoke("filter", seeds::of_filters(), mempack_drive::filter);
}

#[test]
fn manifest() {
    smoke("manifest", seeds::of_manifests(), mempack_drive::manifest);
}
