//! One test per field of header and section table that says what it must not (SPEC 2, 3).

mod common;

use common::{GOLDEN, exercise, verify};
use mempack_format::{Defect, OpenError, Pack, Tag, VerifyError};
use mempack_hostile::{Part, Parts, padded, put, seal_root, u64_at};

/// The golden pack with some bytes of its header page replaced, and the root digest made right again.
fn patched(patches: &[(usize, &[u8])]) -> Vec<u8> {
    let mut bytes = GOLDEN.to_vec();
    patches.iter().for_each(|(at, new)| put(&mut bytes, *at, new));
    seal_root(&mut bytes);
    bytes
}

fn refused(bytes: &[u8]) -> OpenError {
    let error = exercise(bytes).expect_err("a malformed pack was opened");
    assert!(error.to_string().len() > 20);
    error
}

/// That a field of the header page is refused where it stands.
fn refused_field(at: usize, new: &[u8], field: &str, offset: u64) {
    match refused(&patched(&[(at, new)])) {
        OpenError::Header { offset: found, field: name, .. } => assert!(name.starts_with(field) && found == offset, "{name} at {found}"),
        other => panic!("{field}: {other}"),
    }
}

fn entry(tag: &str) -> usize {
    128 + 64 * Parts::of(GOLDEN).index(tag)
}

#[test]
fn magic() {
    assert!(matches!(refused(b""), OpenError::NotAPack { found } if found.is_empty()));
    assert!(matches!(refused(b"{\"text\": \"a corpus\"}"), OpenError::NotAPack { .. }));
    let unix_lines: Vec<u8> = String::from_utf8_lossy(&GOLDEN[..64]).replace("\r\n", "\n").into_bytes();
    assert!(matches!(refused(&unix_lines), OpenError::NotAPack { .. }));
    let error = refused(&patched(&[(7, &[0x0d])]));
    assert!(matches!(error, OpenError::NotAPack { .. }) && !error.is_damage());
}

#[test]
fn major_version() {
    for sealed in [true, false] {
        let mut bytes = GOLDEN.to_vec();
        put(&mut bytes, 8, &[2, 0]);
        if sealed {
            seal_root(&mut bytes);
        }
        let error = refused(&bytes);
        assert!(matches!(error, OpenError::MajorVersion { found: 2, supported: 1 }) && !error.is_damage());
        assert!(error.to_string().contains("2.x") && error.to_string().contains("1.x"));
    }
}

#[test]
fn a_later_minor_version_is_read() {
    let bytes = patched(&[(10, &[7, 0])]);
    let pack = Pack::open(&bytes[..]).unwrap();
    assert_eq!(pack.version(), (1, 7));
    verify(&pack).unwrap();
}

#[test]
fn section_count() {
    refused_field(12, &63u32.to_le_bytes(), "section count", 12);
    refused_field(12, &u32::MAX.to_le_bytes(), "section count", 12);
    // One entry too few, and the file goes on behind the last section.
    refused_field(12, &11u32.to_le_bytes(), "file length", 32);
    refused_field(12, &0u32.to_le_bytes(), "file length", 32);
    assert!(matches!(refused(&patched(&[(12, &13u32.to_le_bytes())])), OpenError::SectionName { .. }));
}

#[test]
fn features() {
    for bit in [2, 17, 63] {
        let error = refused(&patched(&[(16, &(1u64 << bit).to_le_bytes())]));
        assert!(matches!(error, OpenError::UnknownFeatures { unknown } if unknown == 1 << bit) && !error.is_damage());
    }
    let optional = patched(&[(24, &u64::MAX.to_le_bytes())]);
    verify(&Pack::open(&optional[..]).unwrap()).unwrap();
}

#[test]
fn file_length() {
    let length = GOLDEN.len() as u64;
    assert!(matches!(refused(&patched(&[(32, &(length - 1).to_le_bytes())])), OpenError::TooLong { .. }));
    for longer in [length + 1, u64::MAX] {
        assert!(matches!(refused(&patched(&[(32, &longer.to_le_bytes())])), OpenError::Truncated { expected, .. } if expected == longer));
    }
}

#[test]
fn reserved() {
    refused_field(40, &[1], "reserved", 40);
    refused_field(95, &[1], "reserved", 95);
}

#[test]
fn root_digest() {
    let mut bytes = GOLDEN.to_vec();
    bytes[96] ^= 1;
    let error = refused(&bytes);
    assert!(matches!(error, OpenError::HeaderDigest { .. }) && error.is_damage());
}

#[test]
fn section_tag() {
    for tag in [*b"leaves  ", *b"LEA VES ", *b"        ", *b"\0\0\0\0\0\0\0\0", *b"LEAVES\0\0", *b" LEAVES "] {
        let at = entry("LEAVES");
        assert!(
            matches!(refused(&patched(&[(at, &tag)])), OpenError::SectionName { offset, found } if offset == at as u64 && found == tag)
        );
    }
}

#[test]
fn section_flags() {
    let at = entry("LEAVES");
    for flags in [0u64, 2, 3, 1 << 63] {
        refused_field(at + 8, &flags.to_le_bytes(), "section flags", at as u64 + 8);
    }
    let at = entry("GRAPH");
    refused_field(at + 8, &1u64.to_le_bytes(), "section flags", at as u64 + 8);
}

#[test]
fn section_offset() {
    let at = entry("EMBED");
    let offset = u64_at(GOLDEN, at + 16);
    for wrong in [0, offset - 4096, offset + 1, offset + 4096, u64::MAX - 4095, u64::MAX] {
        refused_field(at + 16, &wrong.to_le_bytes(), "section offset", at as u64 + 16);
    }
}

#[test]
fn section_length() {
    let at = entry("MANIFEST");
    for wrong in [u64::MAX, u64::MAX - 4095, 1 << 63, u64_at(GOLDEN, at + 24) + 1] {
        refused_field(at + 24, &wrong.to_le_bytes(), "section length", at as u64 + 24);
    }
    // In the middle, the next section then does not follow.
    let at = entry("EMBED");
    for wrong in [u64::MAX, u64::MAX - 4095] {
        refused_field(at + 24, &wrong.to_le_bytes(), "section length", at as u64 + 24);
    }
    refused_field(at + 24, &4097u64.to_le_bytes(), "section offset", at as u64 + 64 + 16);
}

#[test]
fn unused_entries() {
    refused_field(128 + 64 * 12 + 5, &[1], "unused entry", 128 + 64 * 12 + 5);
    refused_field(4095, &[1], "unused entry", 4095);
}

#[test]
fn duplicate_sections() {
    let mut parts = Parts::of(GOLDEN);
    parts.0.push(parts.0[3].clone());
    let error = refused(&parts.assemble());
    assert!(matches!(error, OpenError::DuplicateSection { offset, .. } if offset == 128 + 64 * 12), "{error}");
}

#[test]
fn missing_sections() {
    for index in 0..12 {
        let mut parts = Parts::of(GOLDEN);
        let removed = parts.0.remove(index);
        match refused(&parts.assemble()) {
            OpenError::MissingSection { tag } => assert_eq!(padded(&tag.to_string()), removed.tag),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn sections_may_come_in_any_order() {
    let mut parts = Parts::of(GOLDEN);
    parts.0.reverse();
    let file = parts.assemble();
    verify(&Pack::open(&file[..]).unwrap()).unwrap();
}

#[test]
fn unknown_sections() {
    let mut parts = Parts::of(GOLDEN);
    parts.0.insert(4, Part { tag: padded("NEWS2030"), flags: 0, bytes: b"what version 1.0 does not know".to_vec() });
    let mut file = parts.assemble();
    let pack = Pack::open(&file[..]).unwrap();
    assert_eq!(verify(&pack).unwrap().sections, 13);
    let offset = pack.sections()[4].offset;
    file[offset as usize + 3] ^= 1;
    let Err(VerifyError::Damaged(damage)) = verify(&Pack::open(&file[..]).unwrap()) else { panic!() };
    assert!(damage.section.to_string() == "NEWS2030" && matches!(damage.defect, Defect::Digest { .. }));

    parts.0[4].flags = 1;
    let error = refused(&parts.assemble());
    assert!(matches!(error, OpenError::UnknownSection { tag, .. } if tag.to_string() == "NEWS2030") && !error.is_damage());
}

#[test]
fn padding() {
    let pack = Pack::open(GOLDEN).unwrap();
    for (section, next) in pack.sections().iter().zip(&pack.sections()[1..]) {
        for at in [section.offset + section.length, next.offset - 1] {
            let mut bytes = GOLDEN.to_vec();
            bytes[at as usize] = 0x20;
            let Err(VerifyError::Damaged(damage)) = verify(&Pack::open(&bytes[..]).unwrap()) else { panic!("{}", section.tag) };
            assert_eq!((damage.section, damage.offset, damage.defect), (section.tag, at, Defect::Padding { found: 0x20 }));
        }
    }
}

#[test]
fn a_file_that_changes_after_open_is_refused_by_verify() {
    use std::cell::RefCell;
    thread_local!(static DATA: RefCell<&'static [u8]> = const { RefCell::new(GOLDEN) });
    struct Changing;
    impl AsRef<[u8]> for Changing {
        fn as_ref(&self) -> &[u8] {
            DATA.with_borrow(|data| *data)
        }
    }
    let pack = Pack::open(Changing).unwrap();
    for shorter in [&GOLDEN[..6000], &GOLDEN[..100], &[]] {
        DATA.set(shorter);
        common::touch_everything(&pack);
        let Err(VerifyError::Damaged(damage)) = verify(&pack) else { panic!() };
        assert_eq!(damage.section, Tag::HEADER);
    }
}
