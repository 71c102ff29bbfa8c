//! Differences between two generated packs.

use std::collections::BTreeSet;
use std::time::Instant;

use mempack_format::{CodecSpec, Digest, Document, GraphParameters, Origin, Pack, PackWriter, ReadError, Tag};
use mempack_runtime::{Change, Counted, DiffReport, Side, diff};

mod common;
use common::{Random, SHAPE, World, embedder_identity, model_identity, record, text};

/// A document, and its references by the numbers that determine their keys.
type Made<'a> = (&'a str, &'a str, &'a [u32]);

/// A pack of documents whose references follow one another. Equal references are stored once.
fn pack(documents: &[Made<'_>], model: &str, graph: Option<u32>) -> Pack<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made.mpk");
    let mut writer = PackWriter::create(&path, SHAPE, 8).unwrap();
    writer.set_codec(&CodecSpec::F32, &0u32.to_le_bytes()).unwrap();
    let mut references: Vec<(u32, Vec<Origin>)> = Vec::new();
    for (id, title, list) in documents {
        let document = writer.push_document(&Document { id: (*id).into(), title: (*title).into(), ..Document::default() }).unwrap();
        for (place, name) in (0u64..).zip(*list) {
            let origin = Origin { document, start: place * 100, end: place * 100 + 60 };
            match references.iter_mut().find(|(other, _)| other == name) {
                Some((_, origins)) => origins.push(origin),
                None => references.push((*name, vec![origin])),
            }
        }
    }
    let world = World::scatter(&mut Random(3), references.len() as u32, 8, 0);
    for (number, (name, origins)) in (0..).zip(&references) {
        writer.push_reference(&Digest::of(&name.to_le_bytes()), 9, &text(*name), origins).unwrap();
        writer.push_memory(&record(SHAPE, *name)).unwrap();
        writer.push_embedding(world.row(number)).unwrap();
    }
    if let Some(m) = graph {
        writer.set_graph(&world, GraphParameters { m, ef_construction: 60 }).unwrap();
    }
    let mut identity = model_identity(SHAPE);
    identity.weights = Digest::of(model.as_bytes());
    writer.finish(identity, "f32", embedder_identity(8), "tests").unwrap();
    Pack::open(std::fs::read(path).unwrap()).unwrap()
}

fn compare(old: &Pack<Vec<u8>>, new: &Pack<Vec<u8>>) -> (DiffReport, Vec<Change>) {
    let mut changes = Vec::new();
    let report = diff(old, new, &mut |change| changes.push(change)).unwrap();
    (report, changes)
}

fn key(name: u32) -> Digest {
    Digest::of(&name.to_le_bytes())
}

#[test]
fn a_pack_is_the_same_as_itself() {
    let one = pack(&[("a", "A", &[1, 2]), ("b", "B", &[2, 3])], "m", Some(4));
    let (report, changes) = compare(&one, &one);
    assert_eq!(changes, []);
    assert!(report.same && report.making.is_empty());
    assert_eq!(report.documents, Counted { kept: 2, ..Counted::default() });
    assert_eq!((report.references, report.moved), (Counted { kept: 3, ..Counted::default() }, 0));
}

#[test]
fn every_change_is_told() {
    let old = pack(
        &[("gone", "G", &[1, 2]), ("same", "S", &[3, 4]), ("title", "old", &[5]), ("text", "T", &[6, 7, 8]), ("order", "O", &[10, 11])],
        "m",
        Some(4),
    );
    let new = pack(
        &[("order", "O", &[11, 10]), ("text", "T", &[6, 9, 8, 2]), ("same", "S", &[3, 4]), ("title", "new", &[5]), ("come", "C", &[12])],
        "m",
        Some(4),
    );
    let (report, changes) = compare(&old, &new);
    assert!(!report.same && report.making.is_empty());
    assert_eq!(report.documents, Counted { added: 1, removed: 1, changed: 3, kept: 1 });
    // 1 and 7 are gone, 9 and 12 have come; 2 has moved to another document, 10 and 11 within theirs.
    assert_eq!((report.references, report.moved), (Counted { added: 2, removed: 2, kept: 8, changed: 0 }, 3));
    let has = |change: Change| assert!(changes.contains(&change), "{change:?} is not in {changes:?}");
    has(Change::DocumentRemoved { id: "gone".into(), references: 2 });
    has(Change::DocumentAdded { id: "come".into(), references: 1 });
    has(Change::DocumentChanged { id: "title".into(), fields: vec!["title".into()], references: None });
    has(Change::DocumentChanged { id: "text".into(), fields: vec![], references: Some((3, 4)) });
    has(Change::DocumentChanged { id: "order".into(), fields: vec![], references: Some((2, 2)) });
    has(Change::ReferenceRemoved { key: key(1), reference: 0 });
    has(Change::ReferenceRemoved { key: key(7), reference: 6 });
    has(Change::ReferenceAdded { key: key(9), reference: 3 });
    has(Change::ReferenceMoved { key: key(2), old: 1, new: 5 });
    assert_eq!(changes.len(), 12);

    // In the reverse comparison, added and removed are swapped.
    let (back, _) = compare(&new, &old);
    assert_eq!((back.documents.added, back.documents.removed, back.references.added, back.moved), (1, 1, 2, 3));
}

#[test]
fn another_place_is_no_change_of_the_memory() {
    // A reference that is in one more document now, and one that another document's removal leaves in fewer.
    let old = pack(&[("a", "", &[1, 2]), ("b", "", &[3])], "m", None);
    let new = pack(&[("a", "", &[1, 2]), ("b", "", &[3, 1])], "m", None);
    let (report, changes) = compare(&old, &new);
    assert_eq!((report.references, report.moved), (Counted { kept: 3, ..Counted::default() }, 1));
    assert!(changes.contains(&Change::ReferenceMoved { key: key(1), old: 0, new: 0 }));
}

#[test]
fn documents_of_one_id_are_compared_in_their_order() {
    let old = pack(&[("x", "1", &[1]), ("x", "2", &[2])], "m", None);
    let new = pack(&[("x", "1", &[1]), ("x", "3", &[2]), ("x", "4", &[3])], "m", None);
    let (report, _) = compare(&old, &new);
    assert_eq!(report.documents, Counted { added: 1, removed: 0, changed: 1, kept: 1 });
}

#[test]
fn what_the_packs_were_made_with_is_compared() {
    let (old, new) = (pack(&[("a", "", &[1])], "m", Some(4)), pack(&[("a", "", &[1])], "other", None));
    let (report, _) = compare(&old, &new);
    let fields: BTreeSet<_> = report.making.iter().map(|difference| difference.field).collect();
    assert_eq!(fields, BTreeSet::from(["graph", "weights"]));
    assert_eq!(report.documents.kept, 1);
}

#[test]
fn damage_is_named_with_its_pack() {
    let whole = pack(&[("a", "", &[1, 2, 3])], "m", None);
    for tag in [Tag::REFERENCES, Tag::ORIGINS, Tag::DOCUMENTS, Tag::DOCUMENT_INDEX] {
        let section = *whole.sections().iter().find(|section| section.tag == tag).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.mpk");
        let world = World::scatter(&mut Random(3), 3, 8, 0);
        common::write_pack(&path, &world, SHAPE, None);
        let mut bytes = std::fs::read(&path).unwrap();
        let other = Pack::open(bytes.clone()).unwrap();
        let place = *other.sections().iter().find(|section| section.tag == tag).unwrap();
        bytes[place.offset as usize] ^= 1;
        assert!(section.length > 0);
        let error = diff(&whole, &Pack::open(bytes).unwrap(), &mut |_| {}).unwrap_err();
        assert!(error.side == Side::New && error.is_damage(), "{error}");
        assert!(matches!(&error.source, ReadError::Damaged(damage) if damage.section == tag), "{error}");
    }
}

#[test]
fn sixty_thousand_references_are_compared() {
    const COUNT: u32 = 60_000;
    let folder = tempfile::tempdir().unwrap();
    let made = |name: &str, shift: u32| {
        let path = folder.path().join(name);
        let shape = mempack_format::MemoryShape::new(1, 1, 1, 1);
        let mut writer = PackWriter::create(&path, shape.clone(), 1).unwrap();
        writer.set_codec(&CodecSpec::F32, &0u32.to_le_bytes()).unwrap();
        for document in 0..COUNT / 20 {
            writer.push_document(&Document { id: format!("document {document}"), ..Document::default() }).unwrap();
        }
        for reference in 0..COUNT {
            let origin =
                Origin { document: reference / 20, start: u64::from(reference % 20) * 100, end: u64::from(reference % 20) * 100 + 90 };
            writer.push_reference(&key(reference + shift), 9, "text", &[origin]).unwrap();
            writer.push_memory(&record(shape.clone(), 0)).unwrap();
            writer.push_embedding(&[1.0]).unwrap();
        }
        writer.finish(model_identity(shape), "f32", embedder_identity(1), "tests").unwrap();
        Pack::open(std::fs::read(path).unwrap()).unwrap()
    };
    let (old, new) = (made("old.mpk", 0), made("new.mpk", 600));
    let begun = Instant::now();
    let (report, _) = compare(&old, &new);
    let taken = begun.elapsed();
    println!("{COUNT} references each: {taken:?}");
    assert_eq!(report.references, Counted { added: 600, removed: 600, kept: u64::from(COUNT) - 600, changed: 0 });
}
