//! Verification that goes on: all damage is told, each where it is, and nothing that only follows from it.

mod common;
#[path = "common/made.rs"]
mod made;

use std::ops::ControlFlow;

use common::GOLDEN;
use made::{RECORD, ROW, flip, section};
use mempack_format::{Damage, Defect, LeafKind, Pack, Sample, Scope, Tag, VerifyEvent, VerifyReport};
use mempack_hostile::{Parts, put};

fn survey(bytes: &[u8], scope: Scope) -> (VerifyReport, Vec<Damage>) {
    let mut damages = Vec::new();
    let report = Pack::open(bytes)
        .unwrap()
        .survey(scope, &mut |event| {
            if let VerifyEvent::Damage(damage) = event {
                damages.push(damage);
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(report.damages, damages.len() as u64);
    (report, damages)
}

/// Section and leaf of damages that are of leaves.
fn leaves(damages: &[Damage]) -> Vec<(LeafKind, u64)> {
    let leaf = |damage: &Damage| match damage.defect {
        Defect::Leaf { kind, number, .. } => Some((kind, number)),
        _ => None,
    };
    damages.iter().filter_map(leaf).collect()
}

#[test]
fn all_damage_is_told() {
    let whole = made::pack(0..300);
    let mut pack = whole.clone();
    for (tag, at) in [
        ("MEMORIES", 3 * RECORD + 7),
        ("MEMORIES", 200 * RECORD),
        ("EMBED", 77 * ROW + 5),
        ("TEXT", 40),
        ("TEXT", 80_000),
        ("REFS", 5 * 64),
        ("REFS", 9 * 64 + 59),
        ("ORIGINS", 2 * 24 + 4),
        ("ORIGINS", 8 * 24 + 4),
        ("DOCS", 2),
    ] {
        flip(&mut pack, &whole, tag, at);
    }
    // Neighbours that are no nodes, of two nodes.
    let graph = section(&whole, "GRAPH").0;
    for node in [4, 250] {
        put(&mut pack, graph + 32 + 16 * node, &[0xEE; 3]);
    }
    // The bytes behind a section.
    let (start, length) = section(&whole, "LEAVES");
    pack[start + length] = 1;
    let (_, damages) = survey(&pack, Scope::Whole);
    let blocks = leaves(&damages).into_iter().filter(|(kind, _)| *kind == LeafKind::TextBlock).count();
    assert_eq!(blocks, 2);
    let others: Vec<_> = leaves(&damages).into_iter().filter(|(kind, _)| *kind != LeafKind::TextBlock).collect();
    assert_eq!(others, [(LeafKind::Embedding, 77), (LeafKind::Memory, 3), (LeafKind::Memory, 200)]);
    let count = |tag: Tag| damages.iter().filter(|damage| damage.section == tag).count();
    let counts =
        [Tag::MEMORIES, Tag::EMBEDDINGS, Tag::TEXT, Tag::REFERENCES, Tag::ORIGINS, Tag::DOCUMENTS, Tag::GRAPH, Tag::LEAVES].map(count);
    // A key that is another is told by the section's digest, but a closer damage of the section is told instead.
    assert_eq!(counts, [2, 1, 2, 1, 2, 1, 2, 1], "{damages:#?}");
    assert_eq!(damages.len(), 12);
    assert!(damages.iter().any(|damage| damage.defect == Defect::Padding { found: 1 }));
}

#[test]
fn what_follows_from_damage_is_not_told_again() {
    let whole = made::pack(0..300);
    for (tag, at) in [
        ("LEAVES", 4 * 32),
        ("LEAVES", 300 * 64 + 40),
        ("TEXTINDX", 9),
        ("DOCINDEX", 80),
        ("CODEC", 1),
        // Another length of a text, another start: the texts behind have their places all the same.
        ("REFS", 7 * 64 + 48),
        ("REFS", 7 * 64 + 32),
        ("REFS", 7 * 64 + 52),
        ("REFS", 11 * 64 + 3),
    ] {
        let mut pack = whole.clone();
        flip(&mut pack, &whole, tag, at);
        let (_, damages) = survey(&pack, Scope::Whole);
        assert_eq!(damages.len(), 1, "{tag} {at}: {damages:#?}");
        assert_eq!(damages[0].section.to_string(), tag);
    }
}

#[test]
fn coarse_embeddings_are_compared_with_whole_embeddings() {
    let whole = made::with_coarse_embeddings(0..300);
    let told = |places: &[(&str, u64)]| {
        let mut pack = whole.clone();
        places.iter().for_each(|(tag, at)| flip(&mut pack, &whole, tag, *at));
        survey(&pack, Scope::Whole).1
    };
    let damages = told(&[("EMBED8", 7 * 64 + 3), ("EMBED8", 9 * 64), ("EMBED8", 9 * 64 + 20)]);
    let places: Vec<_> = damages.iter().map(|damage| damage.defect.clone()).collect();
    assert!(
        matches!(places[..], [Defect::Coarse { reference: 7, index: 3, .. }, Defect::Coarse { reference: 9, index: 0, .. }]),
        "{damages:#?}"
    );
    assert_eq!(damages[0].offset, section(&whole, "EMBED8").0 as u64 + 7 * 64 + 3);
    // A damaged embedding says nothing of the coarse ones, which their digest then covers.
    let damages = told(&[("EMBED", 160 * ROW + 3)]);
    assert!(matches!(damages[..], [Damage { section: Tag::EMBEDDINGS, .. }]), "{damages:#?}");
    let damages = told(&[("EMBED", 160 * ROW + 3), ("EMBED8", 7 * 64 + 3)]);
    assert!(matches!(damages[..], [_, Damage { defect: Defect::Digest { .. }, .. }]), "{damages:#?}");
}

#[test]
fn damage_is_told_of_the_section_that_has_it() {
    let sections = Pack::open(GOLDEN).unwrap().sections().to_vec();
    for section in sections.iter().filter(|section| section.tag != Tag::MANIFEST) {
        for at in (section.offset..section.offset + section.length).step_by(5) {
            let mut pack = GOLDEN.to_vec();
            pack[at as usize] ^= 1 << (at % 8);
            let (_, damages) = survey(&pack, Scope::Whole);
            assert!(!damages.is_empty(), "{} at {at}", section.tag);
            assert!(damages.iter().all(|damage| damage.section == section.tag), "{} at {at}: {damages:#?}", section.tag);
        }
    }
}

#[test]
fn malformed_contents_are_told_all_together() {
    // With digests that fit: what a wrong writer, or a hostile one, may have written.
    let mut parts = Parts::of(GOLDEN);
    put(parts.edit("EMBED"), 32 * 6, &f32::NAN.to_le_bytes());
    put(parts.edit("EMBED"), 32 * 9, &[0; 32]);
    put(parts.edit("MEMORIES"), 80 * 10 + 1, &[10]);
    put(parts.edit("MEMORIES"), 80 * 12 + 3, &[128]);
    put(parts.edit("GRAPH"), 32 + 24 * 7, &7u32.to_le_bytes());
    put(parts.edit("ORIGINS"), 7 * 24, &3u32.to_le_bytes());
    parts.seal_leaves();
    let (_, damages) = survey(&parts.assemble(), Scope::Whole);
    let tags: Vec<String> = damages.iter().map(|damage| damage.section.to_string()).collect();
    assert_eq!(tags, ["ORIGINS", "GRAPH", "EMBED", "EMBED", "MEMORIES", "MEMORIES"], "{damages:#?}");
}

#[test]
fn a_sample_reads_its_share_and_finds_what_it_reads() {
    let whole = made::pack(0..300);
    let pack = Pack::open(&whole[..]).unwrap();
    let blocks = pack.manifest().counts.text_blocks();
    assert!(blocks > 3);
    let sample = |seed| Scope::Sample(Sample::new(0.05, seed).unwrap());
    let (report, damages) = survey(&whole, sample(3));
    assert!(damages.is_empty());
    assert_eq!((report.memories, report.embeddings, report.text_blocks), (15, 15, 1));
    let fixed = 4096 + (section(&whole, "MANIFEST").1 + section(&whole, "LEAVES").1) as u64;
    let rows = 15 * (RECORD + ROW);
    assert!(report.read > fixed + rows && report.read <= fixed + rows + 66_000, "{report:?}");
    // Every memory and embedding damaged: what is told is what was read.
    let mut damaged = whole.clone();
    for reference in 0..300 {
        flip(&mut damaged, &whole, "MEMORIES", reference * RECORD + 9);
        flip(&mut damaged, &whole, "EMBED", reference * ROW + 2);
    }
    let chosen = |seed| leaves(&survey(&damaged, sample(seed)).1);
    assert_eq!(chosen(3).len(), 30);
    assert_eq!(chosen(3), chosen(3));
    assert_ne!(chosen(3), chosen(4));
    // One damaged memory is found by the samples that have it, and by no other.
    let (kind, number) = chosen(3)[4];
    assert_eq!(kind, LeafKind::Memory);
    let mut one = whole.clone();
    flip(&mut one, &whole, "MEMORIES", number * RECORD + 9);
    assert_eq!(leaves(&survey(&one, sample(3)).1), [(kind, number)]);
    let others: Vec<_> = (4..40).filter(|seed| !chosen(*seed).contains(&(kind, number))).collect();
    assert!(!others.is_empty());
    assert!(survey(&one, sample(others[0])).1.is_empty());
    // Leaves are always read.
    let mut one = whole.clone();
    flip(&mut one, &whole, "LEAVES", 70);
    assert_eq!(survey(&one, sample(9)).1[0].section, Tag::LEAVES);
    // All of it: text blocks too.
    let mut one = whole.clone();
    flip(&mut one, &whole, "TEXT", 70_000);
    assert_eq!(leaves(&survey(&one, Scope::Sample(Sample::new(1.0, 0).unwrap())).1).len(), 1);
}

#[test]
fn a_survey_can_be_ended() {
    let pack = Pack::open(GOLDEN).unwrap();
    for scope in [Scope::Whole, Scope::Sample(Sample::new(0.5, 0).unwrap())] {
        let ended = pack.survey(scope, &mut |_| ControlFlow::Break(())).unwrap_err();
        assert!(ended.to_string().contains("interrupted at section"), "{ended}");
    }
}
