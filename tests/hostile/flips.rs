//! One byte of a pack of 5 MB is another: every byte of header page, section table and manifest, and many of the rest. Whatever byte it
//! is, opening or verifying finds it, and names the section it is in; and reading meanwhile does not panic.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Instant;

use mempack_format::{Pack, Section, VerifyError};
use mempack_hostile::{Plan, Random};

/// Bytes of a header page.
const PAGE: usize = 4096;

/// What a number of flips came to.
#[derive(Default)]
struct Found {
    flips: u64,
    by_open: u64,
    /// By section that was hit; padding counts to the section before it.
    by_verify: BTreeMap<String, u64>,
}

/// Changes a byte, looks, and changes it back. Nothing is left out: the whole pack is verified each time, up to the first damage.
fn flip(file: &mut [u8], sections: &[Section], at: usize, bits: u8, found: &mut Found) {
    file[at] ^= bits;
    found.flips += 1;
    match Pack::open(&*file) {
        Err(_) => found.by_open += 1,
        Ok(pack) => {
            let hit = sections.iter().rfind(|section| section.offset as usize <= at).expect("the header page was opened");
            match pack.verify(&mut |_| ControlFlow::Continue(())) {
                Err(VerifyError::Damaged(damage)) => {
                    assert_eq!(damage.section, hit.tag, "byte {at} with bits {bits:#04x}: {damage}");
                    *found.by_verify.entry(hit.tag.to_string()).or_default() += 1;
                }
                other => panic!("byte {at} of section {} with bits {bits:#04x} is not noticed: {other:?}", hit.tag),
            }
            if found.flips.is_multiple_of(8) {
                mempack_drive::fetch(file);
            }
        }
    }
    file[at] ^= bits;
}

fn flips(random_bytes: u64) {
    let start = Instant::now();
    let mut file = Plan::large().bytes();
    let sections = Pack::open(&file[..]).expect("a whole pack").sections().to_vec();
    let manifest = *sections.last().expect("the manifest is the last section");
    assert_eq!(manifest.tag.to_string(), "MANIFEST");
    let mut closely = Found::default();
    let places = (0..PAGE).chain(manifest.offset as usize..(manifest.offset + manifest.length) as usize);
    for at in places {
        for bits in (0..8).map(|bit| 1 << bit).chain([0xFF]) {
            flip(&mut file, &sections, at, bits, &mut closely);
        }
    }
    assert_eq!(closely.by_open, closely.flips, "header page and manifest are checked at open: {:?}", closely.by_verify);
    let mut rest = Found::default();
    let mut random = Random::new(5);
    for _ in 0..random_bytes {
        let at = PAGE as u64 + random.below(manifest.offset - PAGE as u64);
        let bits = 1 + random.below(255) as u8;
        flip(&mut file, &sections, at as usize, bits, &mut rest);
    }
    assert_eq!(rest.by_verify.values().sum::<u64>(), random_bytes);
    Pack::open(&file[..]).expect("a whole pack").verify(&mut |_| ControlFlow::Continue(())).expect("every byte was put back");
    println!(
        "{} bytes: {} flips of the {} bytes of header page, table and manifest, all found by open; {random_bytes} flips of other bytes, all found by \
         verify: {:?}; no panic; {:.0} s",
        file.len(),
        closely.flips,
        PAGE as u64 + manifest.length,
        rest.by_verify,
        start.elapsed().as_secs_f64()
    );
}

#[test]
fn a_flipped_byte_is_found() {
    flips(300);
}

/// `cargo test --test hostile -- --ignored --nocapture twenty_thousand`
#[test]
#[ignore = "takes minutes"]
fn twenty_thousand_flipped_bytes_are_found() {
    flips(20_000);
}
