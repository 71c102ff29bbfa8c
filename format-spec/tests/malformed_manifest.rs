//! One test per field of the manifest that says what it must not, and per section whose length contradicts it (SPEC 5).
//!
//! The manifest is put together here by SPEC 5 alone, without bincode.

mod common;
#[allow(dead_code)] // only the identities are needed
#[path = "golden/generate.rs"]
mod generate;

use common::{GOLDEN, exercise};
use mempack_format::{Digest, ManifestError, OpenError, Pack, Tag};
use mempack_hostile::Parts;

/// A field of the manifest, and its bytes.
type Change = (&'static str, Vec<u8>);

/// SPEC 5, integers.
fn int(value: u64) -> Vec<u8> {
    match value {
        0..=250 => vec![value as u8],
        251..=0xFFFF => [&[251], &(value as u16).to_le_bytes()[..]].concat(),
        0x1_0000..=0xFFFF_FFFF => [&[252], &(value as u32).to_le_bytes()[..]].concat(),
        _ => [&[253], &value.to_le_bytes()[..]].concat(),
    }
}

fn string(value: &str) -> Vec<u8> {
    [&int(value.len() as u64), value.as_bytes()].concat()
}

fn digest(of: &str) -> Vec<u8> {
    Digest::of(of.as_bytes()).0.to_vec()
}

/// Every field of the golden manifest, by its name in SPEC 5.
fn fields() -> Vec<Change> {
    let ids = generate::model().prefix_ids;
    let totals = |total: fn(u32) -> u64| (0..generate::REFERENCES).map(total).sum();
    vec![
        ("generator", string(generate::GENERATOR)),
        ("model.name", string("golden model")),
        ("model.weights", digest("weights")),
        ("model.adapter", [vec![1], digest("adapter")].concat()),
        ("model.config", digest("config")),
        ("model.tokenizer", digest("tokenizer")),
        ("model.layers", int(6)),
        ("model.first_memory_layer", int(1)),
        ("model.query_heads", int(4)),
        ("model.shape.layers", int(2)),
        ("model.shape.heads", int(2)),
        ("model.shape.tokens", int(4)),
        ("model.shape.head_dim", int(8)),
        ("model.rope_base", 10_000f64.to_le_bytes().to_vec()),
        ("model.prefix_ids", [int(ids.len() as u64), ids.iter().flat_map(|id| int(u64::from(*id))).collect()].concat()),
        ("model.reference_length", int(128)),
        ("model.reference_template", string("{text}")),
        ("model.selection", string("attention-sum-pre-rope-v1")),
        ("precision", string("f32")),
        ("embedder.name", string("golden embedder")),
        ("embedder.digest", digest("embedder")),
        ("embedder.dim", int(8)),
        ("embedder.metric", string("cosine")),
        ("embedder.max_tokens", int(256)),
        ("codec", string("PQ4x3")),
        ("counts.documents", int(3)),
        ("counts.references", int(24)),
        ("counts.origins", int(totals(|reference| generate::origins(reference).len() as u64))),
        ("counts.tokens", int(totals(|reference| u64::from(generate::tokens(reference))))),
        ("counts.text_bytes", int(totals(|reference| generate::text(reference).len() as u64))),
        ("graph", vec![1]),
        ("graph.m", int(3)),
        ("graph.ef_construction", int(40)),
    ]
}

/// The bytes of fields, some of them with other values.
fn changed(mut fields: Vec<Change>, changes: &[Change]) -> Vec<u8> {
    for (name, value) in changes {
        fields.iter_mut().find(|field| field.0 == *name).expect(name).1 = value.clone();
    }
    fields.into_iter().flat_map(|field| field.1).collect()
}

/// The golden pack with other fields in its manifest, and all digests right.
fn with(changes: &[Change]) -> Parts {
    let mut parts = Parts::of(GOLDEN);
    *parts.edit("MANIFEST") = changed(fields(), changes);
    parts
}

fn refused(parts: &Parts) -> OpenError {
    exercise(&parts.assemble()).expect_err("a malformed manifest was read")
}

fn manifest_error(parts: &Parts) -> ManifestError {
    match refused(parts) {
        OpenError::Manifest { source, offset } => {
            assert_eq!(offset % 4096, 0);
            source
        }
        other => panic!("{other}"),
    }
}

#[test]
fn the_manifest_is_what_section_5_says() {
    let written: Vec<u8> = fields().into_iter().flat_map(|field| field.1).collect();
    assert_eq!(&written, Parts::of(GOLDEN).get("MANIFEST"));
}

#[test]
fn fields_out_of_bounds() {
    let tokens = |tokens| ("model.shape.tokens", int(tokens));
    let cases: Vec<(&str, Vec<Change>)> = vec![
        ("memory layers", vec![("model.shape.layers", int(0))]),
        ("memory layers", vec![("model.shape.layers", int(4097))]),
        ("memory layers", vec![("model.shape.layers", int(u64::from(u32::MAX)))]),
        ("key-value heads", vec![("model.shape.heads", int(0))]),
        ("key-value heads", vec![("model.shape.heads", int(u64::from(u32::MAX)))]),
        ("tokens per head", vec![tokens(0)]),
        ("tokens per head", vec![tokens(256)]),
        ("head dimension", vec![("model.shape.head_dim", int(0))]),
        ("head dimension", vec![("model.shape.head_dim", int(1025))]),
        ("floats of", vec![("model.shape.layers", int(4096)), ("model.shape.heads", int(4096)), tokens(255), ("model.layers", int(4096))]),
        ("layers of the model", vec![("model.layers", int(2))]),
        ("layers of the model", vec![("model.layers", int(4097))]),
        ("layers of the model", vec![("model.first_memory_layer", int(u64::from(u32::MAX)))]),
        ("query heads", vec![("model.query_heads", int(0))]),
        ("query heads", vec![("model.query_heads", int(1))]),
        ("query heads", vec![("model.query_heads", int(5))]),
        ("query heads", vec![("model.query_heads", int(5000))]),
        ("RoPE base", vec![("model.rope_base", 0f64.to_le_bytes().to_vec())]),
        ("RoPE base", vec![("model.rope_base", f64::NAN.to_le_bytes().to_vec())]),
        ("RoPE base", vec![("model.rope_base", f64::INFINITY.to_le_bytes().to_vec())]),
        ("reference length", vec![("model.reference_length", int(0))]),
        ("reference length", vec![("model.reference_length", int(256))]),
        ("precision", vec![("precision", string("f16"))]),
        ("embedding dimensions", vec![("embedder.dim", int(0))]),
        ("embedding dimensions", vec![("embedder.dim", int(65_537))]),
        ("metric", vec![("embedder.metric", string("euclid"))]),
        ("references", vec![("counts.references", int(u64::from(u32::MAX)))]),
        ("graph m", vec![("graph.m", int(0))]),
        ("graph m", vec![("graph.m", int(257))]),
        ("codec", vec![("codec", string("pq4x3"))]),
    ];
    for (name, changes) in cases {
        match manifest_error(&with(&changes)) {
            ManifestError::Field { field, expected, found } => {
                assert!(field.starts_with(name), "{name}: {field}");
                assert!(!expected.is_empty() && !found.is_empty());
            }
            other => panic!("{name}: {other}"),
        }
    }
}

#[test]
fn codecs_unknown_or_unfit() {
    for codec in ["", "PQ", "PQ3x8", "PQ4x15", "OPQ20_80,Residual2x14,PQ8x10", "SQ8 ", "\0"] {
        assert!(matches!(manifest_error(&with(&[("codec", string(codec))])), ManifestError::Codec(_)), "{codec}");
    }
}

#[test]
fn wire_forms() {
    let decode = |name: &'static str, value: Vec<u8>| match manifest_error(&with(&[(name, value)])) {
        ManifestError::Decode { .. } => {}
        other => panic!("{name}: {other}"),
    };
    // Lengths that no file has, of every width.
    for length in [u64::MAX, 1 << 60, 1 << 32, 1 << 21] {
        decode("generator", int(length));
        decode("model.prefix_ids", int(length));
    }
    decode("model.name", [int(2), vec![0xC3, 0x28]].concat());
    decode("model.adapter", vec![2]);
    decode("model.layers", int(1 << 32));
    decode("model.layers", vec![254]);
    decode("model.layers", vec![255]);

    // The same number in a longer form, and bytes behind the end.
    for longer in [vec![251, 6, 0], vec![252, 6, 0, 0, 0]] {
        assert!(matches!(manifest_error(&with(&[("model.layers", longer)])), ManifestError::NotCanonical { .. }));
    }
    let mut parts = Parts::of(GOLDEN);
    parts.edit("MANIFEST").push(0);
    assert!(matches!(manifest_error(&parts), ManifestError::NotCanonical { at } if at as usize == parts.get("MANIFEST").len() - 1));
    for length in 0..parts.get("MANIFEST").len() - 1 {
        let mut parts = Parts::of(GOLDEN);
        parts.edit("MANIFEST").truncate(length);
        assert!(matches!(manifest_error(&parts), ManifestError::Decode { .. }), "cut at {length}");
    }
}

#[test]
fn too_large() {
    let parts = with(&[("generator", string(&"x".repeat(1 << 20)))]);
    assert!(matches!(manifest_error(&parts), ManifestError::TooLarge { .. }));
    let parts = with(&[("generator", string(&"x".repeat((1 << 20) - 1000)))]);
    Pack::open(parts.assemble()).unwrap();
}

#[test]
fn digest_of_the_manifest() {
    let mut file = Parts::of(GOLDEN).assemble();
    let last = file.len() - 1;
    file[last] ^= 1;
    assert!(matches!(exercise(&file), Err(OpenError::ManifestDigest { .. })));
}

#[test]
fn counts_against_sections() {
    let cases = [
        ("counts.documents", "DOCINDEX"),
        ("counts.references", "REFS"),
        ("counts.origins", "ORIGINS"),
        ("counts.text_bytes", "TEXTINDX"),
        ("embedder.dim", "EMBED"),
        ("model.shape.tokens", "MEMORIES"),
    ];
    for (field, section) in cases {
        let most = if field == "counts.origins" || field == "counts.text_bytes" { u64::MAX } else { 0xFFFF };
        for value in [100, most] {
            let value = match field {
                "model.shape.tokens" => value.min(255),
                "counts.text_bytes" => value.max(1 << 20),
                _ => value,
            };
            match refused(&with(&[(field, int(value))])) {
                OpenError::SectionLength { tag, .. } => assert_eq!(tag.to_string(), section, "{field} = {value}"),
                other => panic!("{field} = {value}: {other}"),
            }
        }
    }
    for section in ["DOCINDEX", "REFS", "ORIGINS", "TEXTINDX", "MEMORIES", "EMBED", "LEAVES"] {
        let mut longer = Parts::of(GOLDEN);
        longer.edit(section).push(0);
        let mut shorter = Parts::of(GOLDEN);
        shorter.edit(section).pop();
        for parts in [longer, shorter] {
            assert!(matches!(refused(&parts), OpenError::SectionLength { tag, .. } if tag.to_string() == section));
        }
    }
}

#[test]
fn graph_parameters_and_section_come_together() {
    let none = [("graph", vec![0]), ("graph.m", vec![]), ("graph.ef_construction", vec![])];
    assert!(matches!(manifest_error(&with(&none)), ManifestError::Field { field: "graph", .. }));
    let mut parts = with(&none);
    parts.0.remove(parts.index("GRAPH"));
    let file = parts.assemble();
    let pack = Pack::open(&file[..]).unwrap();
    common::verify(&pack).unwrap();
    assert!(pack.graph().unwrap().is_none());
}

/// Every field of the quality of the golden pack of version 1.1, by its name in SPEC 5.1.
fn quality() -> Vec<Change> {
    let float = |value: f64| value.to_le_bytes().to_vec();
    vec![
        ("memories", int(300)),
        ("layers", int(2)),
        ("first.keys", float(1.0 / 64.0)),
        ("first.values", float(1.0 / 16.0)),
        ("second.keys", float(2.0 / 64.0)),
        ("second.values", float(2.0 / 16.0)),
        ("divergence", vec![1]),
        ("divergence.nats", float(0.03125)),
        ("divergence.tokens", int(65_536)),
    ]
}

/// The golden pack of version 1.1 with other fields in its quality, and all digests right.
fn with_quality(changes: &[Change]) -> Parts {
    let mut parts = Parts::of(include_bytes!("golden/v1.1.mpk"));
    *parts.edit("QUALITY") = changed(quality(), changes);
    parts
}

fn quality_error(parts: &Parts) -> ManifestError {
    match refused(parts) {
        OpenError::Quality { source, .. } => source,
        other => panic!("{other}"),
    }
}

#[test]
fn the_quality_is_what_section_5_1_says() {
    let written: Vec<u8> = quality().into_iter().flat_map(|field| field.1).collect();
    assert_eq!(&written, Parts::of(include_bytes!("golden/v1.1.mpk")).get("QUALITY"));
    let none = [("divergence", vec![0]), ("divergence.nats", vec![]), ("divergence.tokens", vec![])];
    let file = with_quality(&none).assemble();
    assert_eq!(Pack::open(&file[..]).unwrap().quality().unwrap().divergence, None);
}

#[test]
fn qualities_that_cannot_be() {
    let float = |value: f64| value.to_le_bytes().to_vec();
    let mut cases: Vec<(&str, Change)> = vec![
        ("memories", ("memories", int(0))),
        ("memories", ("memories", int(u64::from(u32::MAX)))),
        ("tokens", ("divergence.tokens", int(0))),
    ];
    for value in [-0.1, -0.0, f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        cases.push(("loss of keys", ("first.keys", float(value))));
        cases.push(("loss of values", ("second.values", float(value))));
        cases.push(("divergence", ("divergence.nats", float(value))));
    }
    for (name, change) in cases {
        match quality_error(&with_quality(&[change])) {
            ManifestError::Field { field, expected, found } => {
                assert!(field.starts_with(name) && !expected.is_empty() && !found.is_empty(), "{name}: {field}");
            }
            other => panic!("{name}: {other}"),
        }
    }
    // A layer too few, and one too many.
    for (count, more) in [(1, vec![]), (3, [float(0.0), float(0.0)].concat())] {
        let last = if count == 1 { vec![] } else { [float(0.125), more].concat() };
        let keys = if count == 1 { vec![] } else { float(0.03125) };
        let parts = with_quality(&[("layers", int(count)), ("second.keys", keys), ("second.values", last)]);
        assert!(matches!(quality_error(&parts), ManifestError::Field { field: "layers of the quality", .. }), "{count} layers");
    }
    for (name, value) in [("layers", int(1 << 60)), ("layers", int(4096)), ("divergence", vec![2]), ("memories", int(1 << 40))] {
        assert!(matches!(quality_error(&with_quality(&[(name, value)])), ManifestError::Decode { .. }), "{name}");
    }
    let longer = with_quality(&[("memories", [vec![252], 300u32.to_le_bytes().to_vec()].concat())]);
    assert!(matches!(quality_error(&longer), ManifestError::NotCanonical { at: 0 }));
    let mut behind = with_quality(&[]);
    behind.edit("QUALITY").push(0);
    assert!(matches!(quality_error(&behind), ManifestError::NotCanonical { .. }));
    let mut huge = with_quality(&[]);
    huge.edit("QUALITY").resize((1 << 20) + 1, 0);
    assert!(matches!(quality_error(&huge), ManifestError::TooLarge { .. }));
    let mut empty = with_quality(&[]);
    empty.edit("QUALITY").clear();
    assert!(matches!(quality_error(&empty), ManifestError::Decode { at: 0, .. }));
    // The section has a digest of its own.
    let mut file = with_quality(&[]).assemble();
    let section = *Pack::open(&file[..]).unwrap().sections().iter().find(|section| section.tag == Tag::QUALITY).unwrap();
    file[section.offset as usize] ^= 1;
    assert!(matches!(exercise(&file), Err(OpenError::ManifestDigest { tag: Tag::QUALITY, .. })));
}
