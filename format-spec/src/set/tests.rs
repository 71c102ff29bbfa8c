use proptest::prelude::*;

use super::*;
use crate::constants::{SET_HEADER_BYTES, SET_MAGIC};
use crate::{EmbedderPrompts, MemoryShape, PrivateKey};

fn model() -> ModelIdentity {
    ModelIdentity {
        name: "m".into(),
        weights: Digest::of(b"weights"),
        adapter: None,
        config: Digest::of(b"config"),
        tokenizer: Digest::of(b"tokenizer"),
        layers: 6,
        first_memory_layer: 1,
        query_heads: 4,
        shape: MemoryShape::with_budget(1, 2, 8, &[4, 2]).unwrap(),
        rope_base: 10_000.0,
        prefix_ids: vec![1],
        reference_length: 128,
        reference_template: "{text}".into(),
        selection: "s".into(),
    }
}

fn embedder() -> EmbedderIdentity {
    let prompts = Some(EmbedderPrompts { query: "q: ".into(), passage: "p: ".into() });
    EmbedderIdentity { name: "e".into(), digest: Digest::of(b"embedder"), dim: 2, metric: "cosine".into(), max_tokens: 256, prompts }
}

fn pack(file: &str, references: u32) -> SetPack {
    let counts = Counts { documents: 1, references, origins: references.into(), tokens: 300, text_bytes: 70_000 };
    let key = |byte| if references == 0 { Digest([0; 32]) } else { Digest([byte; 32]) };
    SetPack { file: file.into(), id: PackId(Digest::of(file.as_bytes())), bytes: 8192, counts, first_key: key(3), last_key: key(9) }
}

fn manifest() -> SetManifest {
    let packs = vec![pack("a-0000.mpk", 7), pack("a-0001.mpk", 5)];
    SetManifest { generator: "by hand".into(), model: model(), precision: "f32".into(), embedder: embedder(), codec: "F32".into(), packs }
}

fn routing() -> Routing {
    Routing { owners: vec![0, 0, 1], centroids: vec![1.0, 0.0, 0.6, 0.8, 0.0, -1.0] }
}

fn set() -> PackSetFile {
    PackSetFile::new(manifest(), routing()).unwrap()
}

/// SPEC 18 by hand, for strings of fewer than 251 bytes.
fn by_hand() -> Vec<u8> {
    let string = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    let int = |value: u32| match value {
        0..251 => vec![value as u8],
        251..65536 => [&[251], &(value as u16).to_le_bytes()[..]].concat(),
        _ => [&[252], &value.to_le_bytes()[..]].concat(),
    };
    let digest = |text: &str| Digest::of(text.as_bytes()).0.to_vec();
    let model = [
        string("m"),
        digest("weights"),
        vec![0],
        digest("config"),
        digest("tokenizer"),
        vec![6, 1, 4, 1, 2, 4, 8],
        10_000f64.to_le_bytes().to_vec(),
        vec![1, 1, 128],
        string("{text}"),
        string("s"),
    ];
    let embedder = [string("e"), digest("embedder"), vec![2], string("cosine"), int(256)];
    let pack = |file: &str, references: u8| {
        [string(file), digest(file), int(8192), vec![1, references, references], int(300), int(70_000), vec![3; 32], vec![9; 32]].concat()
    };
    let manifest = [
        string("by hand"),
        model.concat(),
        string("f32"),
        embedder.concat(),
        string("F32"),
        vec![2, 4, 2],
        [vec![1], string("q: "), string("p: ")].concat(),
        [vec![2], pack("a-0000.mpk", 7), pack("a-0001.mpk", 5)].concat(),
    ]
    .concat();
    let table = [0u32, 0, 1].into_iter().flat_map(u32::to_le_bytes);
    let table: Vec<u8> = table.chain([1.0f32, 0.0, 0.6, 0.8, 0.0, -1.0].into_iter().flat_map(f32::to_le_bytes)).collect();
    let length = 96 + manifest.len() + table.len();
    let mut bytes = b"\x89MPS\r\n\x1a\n\x01\0\0\0\x03\0\0\0".to_vec();
    bytes.extend((length as u64).to_le_bytes());
    bytes.extend((manifest.len() as u64).to_le_bytes());
    bytes.extend([0; 32]);
    let root = Digest::of(&[bytes.clone(), manifest.clone(), table.clone()].concat());
    [bytes, root.0.to_vec(), manifest, table].concat()
}

#[test]
fn the_bytes_are_those_of_the_specification() {
    let golden = include_bytes!("../../tests/golden/set-1.mps");
    assert_eq!(by_hand(), golden);
    assert_eq!(set().to_bytes(), golden);
    let read = PackSetFile::read(golden).unwrap();
    assert_eq!(read, set());
    assert_eq!(read.id().to_string(), "403033185baf6651fe625a1914fea55cc4e4f2160261db6bde0e932f27c563ac");
    assert_eq!((read.manifest(), read.routing()), (&manifest(), &routing()));
    let rows: Vec<(u32, &[f32])> = read.routing().iter(2).collect();
    assert_eq!(rows, [(0, &[1.0, 0.0][..]), (0, &[0.6, 0.8]), (1, &[0.0, -1.0])]);
}

#[test]
fn every_changed_byte_and_every_end_is_refused() {
    let bytes = set().to_bytes();
    for at in 0..bytes.len() {
        for bit in [1, 0x80] {
            let mut changed = bytes.clone();
            changed[at] ^= bit;
            assert!(PackSetFile::read(&changed).is_err(), "byte {at}");
        }
        let error = PackSetFile::read(&bytes[..at]).unwrap_err();
        assert_eq!(at >= 4, matches!(error, SetError::Truncated { .. }), "{at}: {error}");
    }
    let longer = PackSetFile::read(&[bytes, vec![0]].concat()).unwrap_err();
    assert!(matches!(longer, SetError::Trailer(_)), "{longer}");
}

#[test]
fn sets_that_contradict_themselves_are_not_made() {
    type Change = fn(&mut SetManifest, &mut Routing);
    let cases: [(&str, Change); 24] = [
        ("packs of the set is 0", |set, _| set.packs.clear()),
        ("precision", |set, _| set.precision = "f64".into()),
        ("codec", |set, _| set.codec = "F33".into()),
        ("query heads", |set, _| set.model.query_heads = 3),
        ("embedding dimensions is 0", |set, _| set.embedder.dim = 0),
        ("bytes of the query prompt is 1025", |set, _| set.embedder.prompts.as_mut().unwrap().query = "x".repeat(1025)),
        ("references is 4294967295", |set, _| set.packs[1].counts.references = u32::MAX),
        ("\"a-0000.mpk\"", |set, _| set.packs[1].file = "a-0000.mpk".into()),
        ("not in the order", |set, _| set.packs.reverse()),
        ("is no name", |set, _| set.packs[0].file = "../a.mpk".into()),
        ("is no name", |set, _| set.packs[0].file = ".mpk".into()),
        ("is no name", |set, _| set.packs[0].file = "-rf".into()),
        ("is no name", |set, _| set.packs[0].file = "a\nb".into()),
        ("is no name", |set, _| set.packs[0].file = "a.".into()),
        ("is no name", |set, _| set.packs[0].file = String::new()),
        ("is no name", |set, _| set.packs[0].file = "a".repeat(256)),
        ("twice", |set, _| set.packs[1].id = set.packs[0].id),
        ("end before they begin", |set, _| set.packs[0].first_key = Digest([10; 32])),
        ("end before they begin", |set, _| set.packs[0].counts.references = 0),
        ("numbers of the routing table", |_, routing| routing.centroids.truncate(5)),
        ("has length", |_, routing| routing.centroids[0] = 2.0),
        ("has length", |_, routing| routing.centroids[0] = f32::NAN),
        ("no centroid of \"a-0001.mpk\"", |_, routing| routing.owners = vec![0, 0, 0]),
        ("centroid of pack 2", |_, routing| routing.owners = vec![0, 1, 2]),
    ];
    for (named, change) in cases {
        let (mut manifest, mut routing) = (manifest(), routing());
        change(&mut manifest, &mut routing);
        let error = PackSetFile::new(manifest, routing).unwrap_err();
        assert!(error.to_string().contains(named), "{named}: {error}");
    }
}

#[test]
fn a_set_with_a_false_header_is_refused_although_its_digest_is_right() {
    let change = |at: usize, value: &[u8]| {
        let mut bytes = set().to_bytes();
        bytes[at..at + value.len()].copy_from_slice(value);
        let mut hasher = blake3::Hasher::new();
        hasher.update(&bytes[..64]).update(&bytes[96..]);
        bytes[64..96].copy_from_slice(hasher.finalize().as_bytes());
        PackSetFile::read(&bytes).unwrap_err().to_string()
    };
    for (at, value, named) in [
        (10, &[1][..], "byte 10: reserved is 1"),
        (40, &[7], "byte 40: reserved is 7"),
        (12, &[2], "file length is"),
        (12, &[0xFF; 4], "centroids (at most) is 4294967295"),
        (24, &[0xFF; 8], "manifest length (at most) is 18446744073709551615"),
        (24, &[0xFF, 0xFF], "manifest length (at most) is 65535"),
        (24, &[1], "manifest of the set: it"),
        (8, &[2], "version 2"),
    ] {
        let error = change(at, value);
        assert!(error.contains(named), "{named}: {error}");
    }
}

#[test]
fn a_set_without_a_table_opens_all_packs() {
    let set = PackSetFile::new(manifest(), Routing::default()).unwrap();
    assert_eq!(PackSetFile::read(&set.to_bytes()).unwrap(), set);
    // A pack without references needs no centroid.
    let mut manifest = manifest();
    manifest.packs[1] = pack("a-0001.mpk", 0);
    let routing = Routing { owners: vec![0], centroids: vec![1.0, 0.0] };
    assert!(PackSetFile::new(manifest, routing).is_ok());
}

#[test]
fn signatures_are_of_this_set_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mps");
    std::fs::write(&path, set().to_bytes()).unwrap();
    let keys = [1, 2].map(|byte| PrivateKey::from_bytes(&[byte; 32]));
    assert!(matches!(set().signed_by(&[keys[0].public()]), Err(SignatureError::Unsigned)));
    for (at, key) in keys.iter().enumerate() {
        assert_eq!(sign_set_file(&path, key, &path).unwrap(), (set().id(), at + 1));
    }
    assert_eq!(sign_set_file(&path, &keys[0], &path).unwrap(), (set().id(), 2));
    let signed = PackSetFile::read(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(signed.id(), set().id());
    assert_eq!(signed.signed_by(&[keys[1].public()]).unwrap(), [keys[1].public()]);
    assert!(matches!(signed.signed_by(&[PrivateKey::from_bytes(&[3; 32]).public()]), Err(SignatureError::Untrusted { .. })));
    // A signature of a pack with the same digest is not one of the set.
    let mut forged = set();
    forged.signatures.push(keys[0].sign(PackId(set().id().0)));
    assert!(matches!(forged.signed_by(&[keys[0].public()]), Err(SignatureError::Wrong { .. })));
}

#[test]
fn a_key_is_looked_for_in_its_range_only() {
    let pack = pack("a.mpk", 3);
    for (byte, may) in [(2, false), (3, true), (9, true), (10, false)] {
        assert_eq!(pack.may_have(&Digest([byte; 32])), may);
    }
    assert!(!self::pack("a.mpk", 0).may_have(&Digest([0; 32])));
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_are_the_one_form_of_a_set(change in prop::collection::vec((0usize..800, any::<u8>()), 0..4), end in 0usize..900, seal: bool) {
        let mut bytes = set().to_bytes();
        bytes.truncate(end.max(SET_HEADER_BYTES as usize));
        for (at, value) in change {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        if seal {
            bytes[..8].copy_from_slice(&SET_MAGIC);
            let length = bytes.len() as u64;
            bytes[16..24].copy_from_slice(&length.to_le_bytes());
            let mut hasher = blake3::Hasher::new();
            hasher.update(&bytes[..64]).update(&bytes[96..]);
            bytes[64..96].copy_from_slice(hasher.finalize().as_bytes());
        }
        if let Ok(set) = PackSetFile::read(&bytes) {
            prop_assert_eq!(set.to_bytes(), bytes);
        }
    }

    #[test]
    fn sets_survive_the_round_trip(packs in 1usize..40, rows in prop::collection::vec((any::<prop::sample::Index>(), -1.0f32..1.0), 40..80)) {
        let mut manifest = manifest();
        manifest.packs = (0..packs).map(|at| pack(&format!("bank-{at:04}.mpk"), at as u32 + 1)).collect();
        let mut owners: Vec<u32> = (0..packs as u32).chain(rows.iter().map(|(of, _)| of.index(packs) as u32)).collect();
        owners.sort_unstable();
        let angles = (0..owners.len()).map(|at| rows[at % rows.len()].1 * std::f32::consts::PI);
        let centroids = angles.flat_map(|angle| [angle.cos(), angle.sin()]).collect();
        let set = PackSetFile::new(manifest, Routing { owners, centroids }).unwrap();
        prop_assert_eq!(PackSetFile::read(&set.to_bytes()).unwrap(), set);
    }
}
