//! Repair: whatever is damaged and somewhere whole comes back, byte for byte; what is not is named.

mod common;
#[path = "common/made.rs"]
mod made;

use std::ops::ControlFlow;

use made::{RECORD, ROW, flip, section};
use mempack_format::{LeafKind, Mended, Missing, Pack, PrivateKey, Repair, RepairError, Tag, sign_file};

const SECTIONS: [&str; 12] =
    ["MANIFEST", "DOCINDEX", "DOCS", "REFS", "ORIGINS", "TEXT", "TEXTINDX", "CODEC", "MEMORIES", "EMBED", "GRAPH", "LEAVES"];

fn plan<'a>(pack: &'a [u8], donors: &[&'a [u8]]) -> Result<Repair<'a>, RepairError> {
    Repair::plan(pack, donors, &mut |_| ControlFlow::Continue(()))
}

/// That the damaged pack becomes the whole one again; and how.
#[track_caller]
fn mended(damaged: &[u8], donors: &[&[u8]], whole: &[u8]) -> Vec<Mended> {
    let repair = plan(damaged, donors).unwrap();
    let mut bytes = Vec::new();
    repair.write(&mut bytes).unwrap();
    assert!(bytes == whole, "the pack was mended to another: {:?}", repair.mended());
    assert_eq!(repair.bytes(), whole.len() as u64);
    assert_eq!(repair.id(), Pack::open(whole).unwrap().id());
    repair.mended().to_vec()
}

#[track_caller]
fn missing(damaged: &[u8], donors: &[&[u8]]) -> Vec<Missing> {
    match plan(damaged, donors) {
        Err(RepairError::Missing { missing }) => missing,
        Err(other) => panic!("{other}"),
        Ok(repair) => panic!("mended: {:?}", repair.mended()),
    }
}

fn damaged(whole: &[u8], places: &[(&str, u64)]) -> Vec<u8> {
    let mut pack = whole.to_vec();
    places.iter().for_each(|(tag, at)| flip(&mut pack, whole, tag, *at));
    pack
}

fn tag(name: &str) -> Tag {
    tag_of(common::GOLDEN, name)
}

fn tag_of(pack: &[u8], name: &str) -> Tag {
    Pack::open(pack).unwrap().sections().iter().find(|section| section.tag.to_string() == name).unwrap().tag
}

#[test]
fn every_section_comes_from_a_copy() {
    let whole = made::pack(0..120);
    assert_eq!(mended(&whole, &[], &whole), [], "nothing is damaged");
    for name in SECTIONS {
        let (start, length) = section(&whole, name);
        let mut wiped = whole.clone();
        wiped[start..start + length].fill(0xA5);
        for pack in [damaged(&whole, &[(name, length as u64 / 2)]), wiped] {
            assert_eq!(mended(&pack, &[&whole], &whole), [Mended::Section { section: tag(name), donor: 0 }], "{name}");
        }
    }
    let all: Vec<(&str, u64)> = SECTIONS.iter().map(|name| (*name, 1)).collect();
    assert_eq!(mended(&damaged(&whole, &all), &[&whole], &whole).len(), 12);
}

#[test]
fn a_header_page_comes_from_a_copy_only() {
    let whole = made::pack(0..120);
    let other = made::pack(0..119);
    // Magic, version, counts, lengths, root digest, table, unused entries.
    for at in [0, 8, 12, 35, 50, 97, 127, 128 + 20, 128 + 64 + 40, 4000] {
        let mut pack = whole.clone();
        pack[at] ^= 4;
        assert_eq!(mended(&pack, &[&other, &whole], &whole), [Mended::Header { donor: 1 }], "byte {at}");
        let error = plan(&pack, &[&other]).err().unwrap().to_string();
        assert!(error.contains("header page") && error.contains("copy of the same pack"), "{error}");
    }
    let mut pack = whole.clone();
    pack[..4096].fill(0);
    assert_eq!(mended(&pack, &[&whole], &whole), [Mended::Header { donor: 0 }]);
    // What is left of the page names the pack, so a section may be damaged too.
    let mut pack = damaged(&whole, &[("GRAPH", 60)]);
    pack[130] ^= 1;
    assert_eq!(mended(&pack, &[&whole], &whole).len(), 2);
    // Nothing says any more which pack it was.
    pack[100] ^= 1;
    assert!(matches!(plan(&pack, &[&whole]), Err(RepairError::Header { .. })));
    assert!(matches!(plan(b"a text", &[&whole]), Err(RepairError::Header { .. })));
    assert!(matches!(plan(b"", &[]), Err(RepairError::Header { .. })));
    assert!(matches!(plan(&whole, &[&whole, &pack]), Err(RepairError::Donor { donor: 1, .. })));
}

#[test]
fn pieces_come_from_packs_that_share_references() {
    let whole = made::pack(0..300);
    // No section is the same, but references 100 to 299 are, with other numbers.
    let later = made::pack(100..400);
    let earlier = made::pack(0..250);
    let pack = damaged(&whole, &[("MEMORIES", 150 * RECORD), ("MEMORIES", 299 * RECORD + 80), ("EMBED", 200 * ROW + 3)]);
    let pieces = |name, kind, count, donors: &[usize]| Mended::Pieces { section: tag(name), kind, count, donors: donors.to_vec() };
    let expected = [pieces("MEMORIES", LeafKind::Memory, 2, &[0]), pieces("EMBED", LeafKind::Embedding, 1, &[0])];
    assert_eq!(mended(&pack, &[&later], &whole), expected);
    // Texts begin alike, so the first blocks are the same frames.
    let pack = damaged(&whole, &[("TEXT", 30), ("TEXT", 70_000), ("MEMORIES", 20 * RECORD + 5), ("MEMORIES", 260 * RECORD + 5)]);
    let expected = [pieces("MEMORIES", LeafKind::Memory, 2, &[0, 1]), pieces("TEXT", LeafKind::TextBlock, 2, &[0])];
    assert_eq!(mended(&pack, &[&earlier, &later], &whole), expected);
    // A piece that is damaged in the donor too is taken from the next.
    let worse = damaged(&later, &[("MEMORIES", 10 * RECORD), ("LEAVES", 70)]);
    let pack = damaged(&whole, &[("MEMORIES", 110 * RECORD)]);
    assert_eq!(mended(&pack, &[&worse, &earlier], &whole), [pieces("MEMORIES", LeafKind::Memory, 1, &[1])]);
    // Not there.
    let pack = damaged(&whole, &[("MEMORIES", 20 * RECORD), ("MEMORIES", 30 * RECORD), ("MEMORIES", 40 * RECORD), ("EMBED", 200 * ROW)]);
    let expected = Missing::Pieces { section: Tag::MEMORIES, kind: LeafKind::Memory, first: 20, count: 3 };
    assert_eq!(missing(&pack, &[&later]), [expected]);
    let error = plan(&pack, &[&later]).err().unwrap().to_string();
    assert!(error.contains("memory 20 of section MEMORIES and 2 others") && !error.contains("EMBED"), "{error}");
    let last = section(&whole, "TEXT").1 as u64 - 40;
    let text = missing(&damaged(&whole, &[("TEXT", last)]), &[&earlier, &later]);
    assert!(matches!(text[..], [Missing::Pieces { kind: LeafKind::TextBlock, count: 1, .. }]), "{text:?}");
}

#[test]
fn what_follows_from_the_rest_needs_no_donor() {
    let whole = made::pack(0..300);
    for (name, at) in [("LEAVES", 32 * 7), ("LEAVES", 32 * 301), ("LEAVES", 32 * 601), ("TEXTINDX", 17), ("DOCINDEX", 800)] {
        let expected = [Mended::Recomputed { section: tag(name) }];
        assert_eq!(mended(&damaged(&whole, &[(name, at)]), &[], &whole), expected, "{name}");
    }
    let pack = damaged(&whole, &[("LEAVES", 3), ("TEXTINDX", 9), ("DOCINDEX", 8)]);
    assert_eq!(mended(&pack, &[], &whole).len(), 3);
    let (start, length) = section(&whole, "MEMORIES");
    assert!((start + length) % 4096 != 0);
    let mut pack = whole.clone();
    pack[start + length] = 7;
    assert_eq!(mended(&pack, &[], &whole), [Mended::Padding { section: Tag::MEMORIES }]);
    // Leaves that are damaged are hints all the same, if those of the pieces are not.
    let later = made::pack(100..400);
    let pack = damaged(&whole, &[("LEAVES", 32 * 7), ("MEMORIES", 150 * RECORD), ("EMBED", 160 * ROW)]);
    let how = mended(&pack, &[&later], &whole);
    assert_eq!(how.len(), 3);
    assert_eq!(how[2], Mended::Recomputed { section: Tag::LEAVES });
    // The leaf of the damaged memory itself: nothing says what the memory was.
    let pack = damaged(&whole, &[("LEAVES", 32 * 150), ("MEMORIES", 150 * RECORD)]);
    let tags: Vec<String> = missing(&pack, &[&later]).iter().map(|missing| missing.section().to_string()).collect();
    assert_eq!(tags, ["MEMORIES", "LEAVES"]);
}

#[test]
fn coarse_embeddings_follow_from_embeddings() {
    let whole = made::with_coarse_embeddings(0..300);
    let (start, length) = section(&whole, "EMBED8");
    let mut wiped = whole.clone();
    wiped[start..start + length].fill(0xA5);
    for pack in [wiped, damaged(&whole, &[("EMBED8", 64 * 7)])] {
        assert_eq!(mended(&pack, &[], &whole), [Mended::Recomputed { section: tag_of(&whole, "EMBED8") }]);
    }
    // From embeddings that are repaired themselves, and not from damaged ones.
    let other = made::pack(100..400);
    let pack = damaged(&whole, &[("EMBED8", 64 * 7), ("EMBED", 160 * ROW)]);
    let how = mended(&pack, &[&other], &whole);
    assert!(matches!(how[0], Mended::Pieces { kind: LeafKind::Embedding, count: 1, .. }), "{how:?}");
    assert_eq!(how[1..], [Mended::Recomputed { section: tag_of(&whole, "EMBED8") }]);
    let tags: Vec<String> = missing(&pack, &[]).iter().map(|missing| missing.section().to_string()).collect();
    assert_eq!(tags, ["EMBED", "EMBED8"]);
}

#[test]
fn a_pack_that_was_cut_short() {
    let whole = made::pack(0..120);
    let (memories, graph) = (section(&whole, "MEMORIES").0, section(&whole, "GRAPH").0);
    for end in [4096, memories + 500, graph + 3, whole.len() - 1] {
        mended(&whole[..end], &[&whole], &whole);
    }
    // Half the memories from a pack that has them, everything behind from a copy that lacks them.
    let shared = made::pack(0..121);
    let half = damaged(&whole, &[("MEMORIES", 3)]);
    let how = mended(&whole[..memories + 60 * RECORD as usize], &[&half, &shared], &whole);
    assert!(how.contains(&Mended::Pieces { section: Tag::MEMORIES, kind: LeafKind::Memory, count: 60, donors: vec![0] }), "{how:?}");
}

#[test]
fn two_damaged_copies_mend_each_other() {
    let whole = made::pack(0..120);
    let first = damaged(&whole, &[("GRAPH", 60), ("MEMORIES", 3 * RECORD), ("EMBED", 4 * ROW)]);
    let second = damaged(&whole, &[("DOCS", 60), ("MEMORIES", 5 * RECORD), ("EMBED", 9 * ROW)]);
    mended(&first, &[&second], &whole);
    mended(&second, &[&first], &whole);
    let third = damaged(&whole, &[("GRAPH", 61), ("MEMORIES", 3 * RECORD + 1)]);
    let both = missing(&first, &[&third]);
    let pieces = Missing::Pieces { section: Tag::MEMORIES, kind: LeafKind::Memory, first: 3, count: 1 };
    assert_eq!(both, [pieces, Missing::Section { section: Tag::GRAPH }]);
    assert_eq!(mended(&first, &[&third, &second], &whole).len(), 3);
}

#[test]
fn sections_that_nobody_has_are_named() {
    let whole = made::pack(0..120);
    let other = made::pack(1..122);
    for name in ["MANIFEST", "DOCS", "REFS", "ORIGINS", "GRAPH"] {
        assert_eq!(missing(&damaged(&whole, &[(name, 1)]), &[&other]), [Missing::Section { section: tag(name) }], "{name}");
    }
    // The codec's parameters are the same in both.
    mended(&damaged(&whole, &[("CODEC", 1)]), &[&other], &whole);
    // Without the manifest nothing can be told apart.
    let both = missing(&damaged(&whole, &[("MANIFEST", 1), ("MEMORIES", 50 * RECORD)]), &[&other]);
    assert_eq!(both.len(), 2);
}

#[test]
fn signatures_are_kept_or_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let (path, signed) = (folder.path().join("pack.mpk"), folder.path().join("signed.mpk"));
    let whole = made::pack(0..120);
    std::fs::write(&path, &whole).unwrap();
    sign_file(&path, &PrivateKey::generate().unwrap(), &signed, &mut |_, _| ControlFlow::Continue(())).unwrap();
    let signed = std::fs::read(&signed).unwrap();
    assert!(signed.len() > whole.len());
    // Kept, when another part is damaged and the donor is not signed.
    assert_eq!(mended(&damaged(&signed, &[("GRAPH", 60)]), &[&whole], &signed).len(), 1);
    // Fetched.
    for at in [whole.len() + 1, signed.len() - 1] {
        let mut pack = signed.clone();
        pack[at] ^= 1;
        assert_eq!(mended(&pack, &[&signed], &signed), [Mended::Signatures { donor: 0 }]);
    }
    mended(&signed[..whole.len() - 5], &[&signed], &signed);
    // What is no signature is left out.
    let longer = [&whole[..], b"something"].concat();
    assert_eq!(mended(&longer, &[], &whole), [Mended::Behind { bytes: 9 }]);
}

#[test]
fn random_damage_is_mended_from_a_copy() {
    use proptest::prelude::*;
    let whole = made::pack(0..60);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig { cases: 100, ..ProptestConfig::default() });
    let places = proptest::collection::vec((4096..whole.len(), 1..=u8::MAX), 1..40);
    runner
        .run(&places, |places| {
            let mut pack = whole.clone();
            places.iter().for_each(|(at, change)| pack[*at] ^= change);
            mended(&pack, &[&whole], &whole);
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_repair_can_be_ended() {
    let whole = made::pack(0..3000);
    let ended = Repair::plan(&whole, &[], &mut |_| ControlFlow::Break(()));
    assert!(matches!(ended, Err(RepairError::Interrupted(_))));
}
