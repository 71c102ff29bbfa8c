//! Seed inputs of the fuzzers.

use crate::Parts;
use crate::script::{GOLDEN, bases};

/// Inputs for the targets that read packs: the golden pack as a file, sealed or not; and every whole pack unchanged, with a number changed in
/// each section, with a changed text, with two signatures, and with a changed section.
pub fn of_packs() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = [0, 1].map(|kind| [&[kind], GOLDEN].concat()).into();
    for base in 0..bases().len() as u8 {
        seeds.push(vec![2 + base]);
        seeds.push(vec![2 + base, 4, 0, 9, 0, 0, 0, 7, b'?']);
        seeds.push(vec![2 + base, 3, 0xC2, 1]);
        for section in 0..12 {
            seeds.push(vec![2 + base, 6, section, 1, 8, 0, 0, 0, 15]);
            seeds.push(vec![2 + base, 10, section, 8, 0, 0, 0, 3, 1, 2, 3, 4]);
        }
    }
    seeds
}

/// Inputs for the target that reads manifests: those of the whole packs.
pub fn of_manifests() -> Vec<Vec<u8>> {
    bases().iter().map(|parts: &Parts| parts.get("MANIFEST").to_vec()).collect()
}
