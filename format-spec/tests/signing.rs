//! Signatures behind a pack (SPEC 17): the id stays, and every way in which they can be wrong is told apart.

mod common;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use common::{GOLDEN, verify};
use mempack_format::{
    Damage, Defect, OpenError, Pack, PackId, PrivateKey, PublicKey, Scope, SignError, SignatureError, Tag, TrailerError, VerifyEvent,
    WriteError, sign_file,
};
use mempack_hostile::{put, seal_root};

fn key(seed: u8) -> PrivateKey {
    PrivateKey::from_bytes(&[seed; 32])
}

fn sign(source: &Path, key: &PrivateKey, target: &Path) -> Result<mempack_format::SignReport, SignError> {
    sign_file(source, key, target, &mut |_, _| ControlFlow::Continue(()))
}

/// A pack in a folder of its own, signed by the keys of these seeds.
fn signed(pack: &[u8], seeds: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("signed.mpk");
    fs::write(&path, pack).unwrap();
    for (index, seed) in seeds.iter().enumerate() {
        let report = sign(&path, &key(*seed), &path).unwrap();
        assert_eq!((report.signatures, report.replaced), (index + 1, false));
    }
    (folder, path)
}

fn bytes_signed(seeds: &[u8]) -> Vec<u8> {
    fs::read(signed(GOLDEN, seeds).1).unwrap()
}

fn golden_id() -> PackId {
    Pack::open(GOLDEN).unwrap().id()
}

/// A second pack: the golden one with other optional features, which are under the root digest.
fn other_pack() -> Vec<u8> {
    let mut other = GOLDEN.to_vec();
    put(&mut other, 24, &[1]);
    seal_root(&mut other);
    other
}

#[test]
fn signing_leaves_the_pack_as_it_is() {
    let (folder, path) = signed(GOLDEN, &[]);
    let target = folder.path().join("new.mpk");
    let report = sign(&path, &key(1), &target).unwrap();
    assert_eq!(report.id, golden_id());
    assert_eq!(fs::read(&path).unwrap(), GOLDEN);
    let bytes = fs::read(&target).unwrap();
    assert_eq!(&bytes[..GOLDEN.len()], GOLDEN);
    assert_eq!(bytes.len(), GOLDEN.len() + 16 + 96);
    let pack = Pack::open(&bytes[..]).unwrap();
    assert_eq!((pack.id(), pack.bytes(), pack.signatures().len()), (golden_id(), GOLDEN.len() as u64, 1));
    assert_eq!(verify(&pack).unwrap(), verify(&Pack::open(GOLDEN).unwrap()).unwrap());
    assert_eq!(pack.signed_by(&[key(1).public()]).unwrap(), [key(1).public()]);
    common::touch_everything(&pack);
    let names = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(names, 2, "nothing else is left");
}

#[test]
fn several_keys_sign_in_any_order() {
    let bytes = bytes_signed(&[3, 1, 2]);
    assert_eq!(bytes, bytes_signed(&[2, 3, 1]));
    let pack = Pack::open(&bytes[..]).unwrap();
    let publics = [1, 2, 3, 4].map(|seed| key(seed).public());
    assert_eq!(pack.signed_by(&publics).unwrap(), publics[..3]);
    assert_eq!(pack.signed_by(&publics[1..2]).unwrap(), publics[1..2]);
    assert!(pack.signatures().iter().all(|signature| signature.check(pack.id()).is_ok()));
    let untrusted = pack.signed_by(&publics[3..]).unwrap_err();
    assert_eq!(untrusted, pack.signed_by(&[]).unwrap_err());
    for public in &publics[..3] {
        assert!(untrusted.to_string().contains(&public.id().to_string()), "{untrusted}");
    }
    assert!(matches!(&untrusted, SignatureError::Untrusted { signers } if signers.len() == 3) && !untrusted.is_damage());
    assert_eq!(Pack::open(GOLDEN).unwrap().signed_by(&publics), Err(SignatureError::Unsigned));
}

#[test]
fn a_key_signs_once() {
    let (_folder, path) = signed(GOLDEN, &[5, 6]);
    let before = fs::read(&path).unwrap();
    let report = sign(&path, &key(5), &path).unwrap();
    assert_eq!((report.signatures, report.replaced), (2, true));
    assert_eq!(fs::read(&path).unwrap(), before);
    // A wrong signature is replaced by a right one.
    let mut spoilt = before.clone();
    let last = spoilt.len() - 1;
    spoilt[last] ^= 1;
    spoilt[last - 96] ^= 1;
    fs::write(&path, &spoilt).unwrap();
    for seed in [5, 6] {
        sign(&path, &key(seed), &path).unwrap();
    }
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn every_flipped_bit_of_the_trailer_is_found() {
    let bytes = bytes_signed(&[1, 2]);
    let publics = [1, 2].map(|seed| key(seed).public());
    for at in GOLDEN.len()..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            let place = at - GOLDEN.len();
            let pack = match Pack::open(&flipped[..]) {
                Ok(pack) => pack,
                Err(OpenError::TooLong { expected, found }) => {
                    assert_eq!((place < 8, expected, found), (true, GOLDEN.len() as u64, bytes.len() as u64));
                    continue;
                }
                Err(OpenError::Signatures { offset, source }) => {
                    let right = match source {
                        TrailerError::Count { .. } | TrailerError::CutShort { .. } | TrailerError::TooLong { .. } => {
                            (8..12).contains(&place)
                        }
                        TrailerError::Reserved { .. } => (12..16).contains(&place),
                        // The order of the keys, of which one is now another.
                        TrailerError::Order { entry: 1 } => place >= 16 && (place - 16) % 96 < 32,
                        _ => false,
                    };
                    assert!(right && offset >= GOLDEN.len() as u64, "byte {place}, bit {bit}: {source} at {offset}");
                    continue;
                }
                Err(other) => panic!("byte {place}, bit {bit}: {other}"),
            };
            assert!(place >= 16, "byte {place}, bit {bit} is not checked");
            let (entry, within) = ((place - 16) / 96, (place - 16) % 96);
            // Verification names the entry, once.
            let mut told = Vec::new();
            pack.survey(Scope::Whole, &mut |event| match event {
                VerifyEvent::Damage(damage) => {
                    told.push(damage);
                    ControlFlow::Continue(())
                }
                // The pack itself is whole, as other tests say: its bytes are not read 1,664 times.
                _ => ControlFlow::Break(()),
            })
            .unwrap_err();
            let signer = pack.signatures()[entry].key_id();
            let offset = (GOLDEN.len() + 16 + 96 * entry) as u64;
            assert_eq!(told, [Damage { section: Tag::SIGNATURES, offset, defect: Defect::Signature { signer } }]);
            let wrong = pack.signatures()[entry].check(pack.id()).unwrap_err();
            assert!(wrong.is_damage());
            if within < 32 {
                // The signature is of a key nobody knows; the other one still counts.
                let other = pack.signatures()[1 - entry].check(pack.id()).unwrap();
                assert_eq!(pack.signed_by(&publics).unwrap(), [other]);
            } else {
                assert_eq!(pack.signed_by(&publics).unwrap_err(), wrong);
            }
        }
    }
}

#[test]
fn a_signature_of_another_pack_is_wrong() {
    let other = other_pack();
    let (_folder, path) = signed(&other, &[1]);
    let trailer = fs::read(path).unwrap()[other.len()..].to_vec();
    let pasted = [GOLDEN, &trailer].concat();
    let pack = Pack::open(&pasted[..]).unwrap();
    assert_ne!(Pack::open(&other[..]).unwrap().id(), pack.id());
    let error = pack.signed_by(&[key(1).public()]).unwrap_err();
    assert_eq!(error, SignatureError::Wrong { signer: key(1).public().id() });
    assert!(error.to_string().contains(&key(1).public().id().to_string()));
}

#[test]
fn every_truncation_of_the_trailer_is_refused() {
    let bytes = bytes_signed(&[1, 2]);
    for length in GOLDEN.len() + 1..bytes.len() {
        let found = (length - GOLDEN.len()) as u64;
        let expected = if found < 16 { 16 } else { 16 + 2 * 96 };
        match Pack::open(&bytes[..length]).unwrap_err() {
            OpenError::Signatures { offset, source } => {
                assert_eq!((offset, source), (GOLDEN.len() as u64, TrailerError::CutShort { expected, found }));
            }
            other => panic!("{found}: {other}"),
        }
    }
    // Cut off whole, it is the unsigned pack: only a reader that demands a signature sees that.
    let pack = Pack::open(&bytes[..GOLDEN.len()]).unwrap();
    assert_eq!(pack.signed_by(&[key(1).public()]), Err(SignatureError::Unsigned));
}

/// The golden pack with a trailer of these entries.
fn with_entries(count: u32, entries: &[[u8; 96]]) -> Vec<u8> {
    let mut bytes = GOLDEN.to_vec();
    bytes.extend([0x89, 0x4d, 0x50, 0x4b, 0x53, 0x49, 0x47, 0x0a]);
    bytes.extend(count.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(entries.as_flattened());
    bytes
}

fn trailer_error(bytes: &[u8]) -> (u64, TrailerError) {
    match Pack::open(bytes).unwrap_err() {
        OpenError::Signatures { offset, source } => (offset - GOLDEN.len() as u64, source),
        other => panic!("{other}"),
    }
}

#[test]
fn a_trailer_of_another_form_is_refused() {
    let entry = |first: u8| {
        let mut entry = [first; 96];
        entry[31] = first;
        entry
    };
    assert_eq!(trailer_error(&with_entries(0, &[])), (8, TrailerError::Count { found: 0 }));
    let many: Vec<[u8; 96]> = (0..65).map(entry).collect();
    assert_eq!(trailer_error(&with_entries(65, &many)), (8, TrailerError::Count { found: 65 }));
    assert_eq!(trailer_error(&with_entries(u32::MAX, &many)), (8, TrailerError::Count { found: u32::MAX }));
    assert_eq!(Pack::open(&with_entries(64, &many[..64])[..]).unwrap().signatures().len(), 64);
    let (repeated, order) = (with_entries(2, &[entry(4), entry(4)]), with_entries(3, &[entry(4), entry(6), entry(5)]));
    assert!(matches!(trailer_error(&repeated), (112, TrailerError::Repeated { signer }) if signer.to_string() == "0404040404040404"));
    assert_eq!(trailer_error(&order), (208, TrailerError::Order { entry: 2 }));
    let mut longer = with_entries(1, &[entry(1)]);
    longer.push(0);
    assert_eq!(trailer_error(&longer), (112, TrailerError::TooLong { expected: 112, found: 113 }));
    // A second trailer is no trailer.
    let twice = [&with_entries(1, &[entry(1)])[..], &with_entries(1, &[entry(2)])[GOLDEN.len()..]].concat();
    assert_eq!(trailer_error(&twice), (112, TrailerError::TooLong { expected: 112, found: 224 }));
    for behind in [&[0u8; 112][..], b"PK", &[0x89, 0x4d, 0x50, 0x4b, 0x0d]] {
        let error = Pack::open(&[GOLDEN, behind].concat()[..]).unwrap_err();
        assert!(matches!(error, OpenError::TooLong { found, .. } if found == (GOLDEN.len() + behind.len()) as u64), "{error}");
        assert!(error.is_damage());
    }
}

#[test]
fn a_key_of_small_order_is_none() {
    // The point of order 1 "signs" everything with R = itself and s = 0.
    let mut entry = [0; 96];
    (entry[0], entry[32]) = (1, 1);
    let bytes = with_entries(1, &[entry]);
    let pack = Pack::open(&bytes[..]).unwrap();
    assert!(matches!(pack.signatures()[0].check(pack.id()), Err(SignatureError::Wrong { .. })));
    let point: [u8; 32] = entry[..32].try_into().unwrap();
    PublicKey::from_bytes(&point).unwrap_err();
}

#[test]
fn there_is_room_for_64() {
    let (_folder, path) = signed(GOLDEN, &(0..64).collect::<Vec<u8>>());
    let full = fs::read(&path).unwrap();
    assert!(matches!(sign(&path, &key(64), &path), Err(SignError::Full { .. })));
    assert!(sign(&path, &key(63), &path).unwrap().replaced);
    assert_eq!(fs::read(&path).unwrap(), full);
}

#[test]
fn what_cannot_be_signed_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.mpk");
    let refused = |contents: &[u8]| {
        fs::write(&path, contents).unwrap();
        let error = sign(&path, &key(1), &path).unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), contents);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{error}");
        error
    };
    assert!(matches!(refused(b"no pack at all"), SignError::Open { source: OpenError::NotAPack { .. }, .. }));
    assert!(matches!(refused(&GOLDEN[..GOLDEN.len() - 1]), SignError::Open { source: OpenError::Truncated { .. }, .. }));
    let mut header = GOLDEN.to_vec();
    header[200] ^= 1;
    assert!(matches!(refused(&header), SignError::Open { source: OpenError::HeaderDigest { .. }, .. }));
    assert!(matches!(refused(&[GOLDEN, b"more"].concat()), SignError::Open { source: OpenError::TooLong { .. }, .. }));
    let long = with_entries(1, &vec![[7; 96]; 3000]);
    assert!(matches!(refused(&long), SignError::Open { source: OpenError::Signatures { source: TrailerError::TooLong { .. }, .. }, .. }));
    assert!(matches!(sign(&folder.path().join("absent"), &key(1), &path), Err(SignError::Io { action: "read", .. })));
    fs::write(&path, GOLDEN).unwrap();
    let missing = folder.path().join("no-folder/x.mpk");
    assert!(
        matches!(sign(&path, &key(1), &missing), Err(SignError::Write(WriteError::MissingFolder { path: found, .. })) if found == missing)
    );
    let ended = sign_file(&path, &key(1), &path, &mut |_, _| ControlFlow::Break(()));
    assert!(matches!(ended, Err(SignError::Interrupted)));
    assert_eq!(fs::read(&path).unwrap(), GOLDEN);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
