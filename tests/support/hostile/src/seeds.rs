//! Seed inputs of the fuzzers.

use crate::Parts;
use crate::script::{GOLDEN, bases};

/// Inputs for the targets that read packs: the golden pack as a file, sealed or not; and every whole pack unchanged, with a number changed in
/// each section, with a changed text, with two signatures, and with a changed section.
pub fn of_packs() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = [0, 1].map(|kind| [&[kind], GOLDEN].concat()).into();
    for (base, parts) in (0..).zip(bases()) {
        seeds.push(vec![2 + base]);
        seeds.push(vec![2 + base, 4, 0, 9, 0, 0, 0, 7, b'?']);
        seeds.push(vec![2 + base, 3, 0xC2, 1]);
        for section in 0..parts.0.len() as u8 {
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

/// Inputs for the target that reads filters: each operation of the language, over fields that [`Plan::described`](crate::Plan::described) has.
pub fn of_filters() -> Vec<Vec<u8>> {
    [
        r#"court.name == "BGH" && year >= 2000"#,
        r#"!(metadata["court.name"] in ["BGH", '裁判所']) || has(metadata.tags)"#,
        r#""a" in tags && tags.all(t, t != "b") || tags.exists(t, t.startsWith("a") && !t.endsWith(r"\"))"#,
        r#"court.name.matches("^B.H$") || court.name.contains("判\u6240")"#,
        "(year < -7 || 2021.0 != year) && true // every document",
        r#"date > timestamp("2021-01-01T00:00:00Z") || title == """a "b" c""""#,
        "((((year == 1u))))",
        "tags.exists_one(t, size(t) == 1) ? year + 1 : null",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}
