//! Packs made here without a model: what is revoked is gone from the bytes, and the rest is unchanged and found as easily.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::PathBuf;

use mempack_format::{
    CodecSpec, Digest, DiskStorage, Document, EMPTY_SLOT, EmbedderIdentity, FieldColumn, FieldKind, GraphParameters, MemoryShape,
    ModelIdentity, Origin, Pack, PackWriter,
};
use mempack_numeric::Rng;
use mempack_runtime::{DEFAULT_EF, EXACT_UP_TO, MappedPack};

use super::*;

const SHAPE: MemoryShape = MemoryShape::new(2, 2, 3, 4);
const DIM: usize = 32;
/// References of a document.
const REFERENCES: u32 = 10;

/// Between 0 and 1.
fn uniform(rng: &mut Rng) -> f32 {
    (rng.next_u64() >> 40) as f32 / (1 << 24) as f32
}

fn unit(rng: &mut Rng) -> Vec<f32> {
    // Not quite normal, but spread over the sphere.
    let row: Vec<f32> = (0..DIM).map(|_| (0..6).map(|_| uniform(rng)).sum::<f32>() - 3.0).collect();
    let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
    row.iter().map(|x| x / length).collect()
}

/// 300 letters that occur nowhere else.
fn text(rng: &mut Rng) -> String {
    (0..300).map(|_| char::from(b'a' + (rng.next_u64() % 26) as u8)).collect()
}

fn record(rng: &mut Rng) -> Vec<u8> {
    let slots = SHAPE.slots();
    let filled = |slot: usize| slot % 3 < 2;
    let positions = (0..slots).map(|slot| if filled(slot) { (slot % 3) as u8 } else { EMPTY_SLOT });
    let values = (0..2 * slots).flat_map(|slot| (0..4).map(move |_| filled(slot % slots)));
    let codes: Vec<u8> = values.flat_map(|filled| if filled { uniform(rng) } else { 0.0 }.to_le_bytes()).collect();
    positions.chain(codes).collect()
}

fn document(number: u32) -> Document {
    let name = |kind: &str| format!("{kind} of document {number:06}");
    Document { id: name("the id"), title: name("the title"), source: name("the source"), ..Document::default() }
}

fn note(number: u32) -> String {
    format!("the note on document {number:06}")
}

/// A note of each document's own, and numbers that several documents have, of every second one.
fn metadata(documents: u32) -> Vec<FieldColumn> {
    let note = FieldColumn {
        name: "note".into(),
        kind: FieldKind::Text,
        list: false,
        values: (0..documents).map(note).collect(),
        ends: (1..=documents).collect(),
        codes: (0..documents).collect(),
    };
    let counted = (0..documents).filter(|number| number % 2 == 0);
    let numbers = FieldColumn {
        name: "numbers".into(),
        kind: FieldKind::Integer,
        list: true,
        values: (0..3).map(|number: u32| number.to_string()).collect(),
        ends: (0..documents).map(|number| 2 * (number / 2 + 1)).collect(),
        codes: counted.flat_map(|number| [number / 2 % 3, 2]).collect(),
    };
    vec![note, numbers]
}

/// The metadata of each document.
fn described(pack: &Bytes) -> Vec<Vec<(String, FieldKind, String)>> {
    let metadata = pack.metadata().unwrap().unwrap();
    let of = |number| {
        let values = |field: mempack_format::Field<'_>| {
            let codes = field.codes(number).unwrap().iter();
            codes.map(|code| (field.name().to_owned(), field.kind(), field.value(code.get()).unwrap().to_owned())).collect::<Vec<_>>()
        };
        metadata.fields().flat_map(|field| values(field.unwrap())).collect()
    };
    (0..pack.manifest().counts.documents).map(of).collect()
}

/// A pack of so many documents. Every seventh reference also comes from the next document, or the first.
struct Made {
    folder: tempfile::TempDir,
    path: PathBuf,
}

fn make(documents: u32, graph: Option<GraphParameters>) -> Made {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.mpk");
    let mut rng = Rng::from_seed(11);
    let mut writer = PackWriter::create(&path, SHAPE, DIM as u32).unwrap();
    writer.set_codec(&CodecSpec::F32, &0u32.to_le_bytes()).unwrap();
    for number in 0..documents {
        writer.push_document(&document(number)).unwrap();
    }
    writer.set_metadata(&metadata(documents)).unwrap();
    writer.add_coarse_embeddings();
    let options = graph.map(|graph| GraphOptions { m: graph.m, ef_construction: graph.ef_construction });
    let mut builder = options.map(|options| GraphBuilder::new(options, u64::from(documents * REFERENCES)));
    for reference in 0..documents * REFERENCES {
        let (number, place) = (reference / REFERENCES, u64::from(reference % REFERENCES) * 300);
        let mut origins = vec![Origin { document: number, start: place, end: place + 300 }];
        if reference % 7 == 0 {
            origins.push(Origin { document: (number + 1) % documents, start: 9_000, end: 9_300 });
        }
        writer.push_reference(&Digest::of(&reference.to_le_bytes()), 9, &text(&mut rng), &origins).unwrap();
        writer.push_memory(&record(&mut rng)).unwrap();
        let embedding = unit(&mut rng);
        writer.push_embedding(&embedding).unwrap();
        if let Some(builder) = &mut builder {
            builder.push(&embedding);
        }
    }
    if let (Some(builder), Some(graph)) = (builder, graph) {
        writer.set_graph(&builder.finish(), graph).unwrap();
    }
    let digest = Digest::of(b"made up");
    let model = ModelIdentity {
        name: "made up".into(),
        weights: digest,
        adapter: None,
        config: digest,
        tokenizer: digest,
        layers: 4,
        first_memory_layer: 1,
        query_heads: 2,
        shape: SHAPE,
        rope_base: 1e4,
        prefix_ids: vec![1],
        reference_length: 128,
        reference_template: "{text}".into(),
        selection: "attention-sum-pre-rope-v1".into(),
    };
    let embedder =
        EmbedderIdentity { name: "made up".into(), digest, dim: DIM as u32, metric: "cosine".into(), max_tokens: 256, prompts: None };
    writer.finish(model, "f32", embedder, "tests").unwrap();
    Made { folder, path }
}

type Bytes = Pack<Vec<u8>>;

fn open(path: &Path) -> Bytes {
    Pack::open(fs::read(path).unwrap()).unwrap()
}

fn ids(numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
    numbers.into_iter().map(|number| document(number).id).collect()
}

fn revoke(pack: &Bytes, ids: &[String], target: &Path) -> Result<RevokeReport, RevokeError> {
    Revocation::find(pack, ids)?.write(Arc::new(DiskStorage), target, &mut |_, _, _| {}, &AtomicBool::new(false))
}

/// All that a pack says of a reference, with its documents by id.
#[derive(Debug, PartialEq)]
struct Known {
    tokens: u16,
    text: String,
    record: Vec<u8>,
    embedding: Vec<u32>,
    origins: Vec<(String, u64, u64)>,
}

fn known(pack: &Bytes) -> BTreeMap<Digest, Known> {
    let of = |reference| {
        let info = pack.reference(reference).unwrap();
        let origin = |origin: Origin| (pack.document(origin.document).unwrap().id, origin.start, origin.end);
        let known = Known {
            tokens: info.tokens,
            text: pack.text(reference).unwrap(),
            record: pack.record(reference).unwrap().to_vec(),
            embedding: pack.embedding(reference).unwrap().iter().map(|value| value.get().to_bits()).collect(),
            origins: pack.origins(reference).unwrap().map(origin).collect(),
        };
        (info.key, known)
    };
    (0..pack.manifest().counts.references).map(of).collect()
}

/// Which of the needles, each of at least 16 bytes, stand in the haystack.
fn found<'n>(haystack: &[u8], needles: &'n [Vec<u8>]) -> HashSet<&'n [u8]> {
    let mut by_start: HashMap<&[u8], Vec<&[u8]>> = HashMap::new();
    for needle in needles {
        by_start.entry(&needle[..16]).or_default().push(needle);
    }
    let mut found = HashSet::new();
    for (at, start) in haystack.windows(16).enumerate() {
        for needle in by_start.get(start).into_iter().flatten() {
            if haystack[at..].starts_with(needle) {
                found.insert(*needle);
            }
        }
    }
    found
}

/// What may be searched for of a reference and of a document: all of it, and pieces of 64 bytes.
fn traces(key: &Digest, known: &Known) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let embedding: Vec<u8> = known.embedding.iter().flat_map(|bits| bits.to_le_bytes()).collect();
    let leaves = [Digest::of(&known.record), Digest::of(&embedding)].map(|digest| digest.0.to_vec());
    let mut in_file = vec![known.record.clone(), embedding.clone(), key.0.to_vec()];
    in_file.extend(leaves);
    for bytes in [&known.record, &embedding] {
        // Pieces of empty slots are in every record.
        in_file.extend(bytes.chunks_exact(64).filter(|piece| piece.iter().filter(|byte| **byte != 0).count() > 40).map(<[u8]>::to_vec));
    }
    let mut in_text = vec![known.text.as_bytes().to_vec()];
    in_text.extend(known.text.as_bytes().chunks(64).map(<[u8]>::to_vec));
    (in_file, in_text)
}

/// The text blocks, decompressed: the texts of the references fill them without gaps (SPEC 7, 8; `verify` checks it).
fn inflated(pack: &Bytes) -> Vec<u8> {
    (0..pack.manifest().counts.references).flat_map(|reference| pack.text(reference).unwrap().into_bytes()).collect()
}

const GRAPH: GraphParameters = GraphParameters { m: 12, ef_construction: 100 };

#[test]
fn what_is_revoked_is_gone_from_the_bytes_and_the_rest_stays_as_it_was() {
    let made = make(40, Some(GRAPH));
    let (old, target) = (open(&made.path), made.folder.path().join("new.mpk"));
    let numbers = [3, 4, 17, 39];
    let report = revoke(&old, &ids(numbers), &target).unwrap();
    let new = open(&target);
    new.verify(&mut |_| ControlFlow::Continue(())).unwrap();
    let (before, after) = (known(&old), known(&new));

    // What must be gone, and what must have lost an origin, from the old pack alone.
    let revoked = |id: &String| ids(numbers).contains(id);
    let gone: Vec<_> = before.iter().filter(|(_, known)| known.origins.iter().all(|(id, ..)| revoked(id))).collect();
    let shared =
        before.values().filter(|known| (1..known.origins.len()).contains(&known.origins.iter().filter(|(id, ..)| revoked(id)).count()));
    let shared = shared.count();
    assert!(gone.len() > 30 && shared > 2, "{} gone, {shared} shared", gone.len());
    assert_eq!((report.id, report.bytes), (new.id(), new.bytes()));
    assert_eq!((report.documents, report.documents_left), (4, 36));
    assert_eq!((report.references as usize, report.shared as usize, report.references_left as usize), (gone.len(), shared, after.len()));
    assert!(gone.iter().all(|(key, _)| !after.contains_key(key)));

    // The rest is the same, in the same order, but for the origins in what was revoked.
    let order = |pack: &Bytes| -> Vec<Digest> {
        (0..pack.manifest().counts.references).map(|reference| pack.reference(reference).unwrap().key).collect()
    };
    let expected: Vec<Digest> = order(&old).into_iter().filter(|key| after.contains_key(key)).collect();
    assert_eq!(order(&new), expected);
    assert_eq!(before.len() - gone.len(), after.len());
    for (key, mut known) in known(&old) {
        known.origins.retain(|(id, ..)| !revoked(id));
        assert_eq!(after.get(&key), (!known.origins.is_empty()).then_some(&known));
    }
    let documents =
        |pack: &Bytes| -> Vec<Document> { (0..pack.manifest().counts.documents).map(|number| pack.document(number).unwrap()).collect() };
    assert_eq!(documents(&new), documents(&old).into_iter().filter(|document| !revoked(&document.id)).collect::<Vec<_>>());
    let mut rest = described(&old);
    numbers.iter().rev().for_each(|number| drop(rest.remove(*number as usize)));
    assert_eq!(described(&new), rest);
    assert_eq!(new.section(Tag::CODEC).unwrap(), old.section(Tag::CODEC).unwrap());
    let kept = |pack: &Bytes| (pack.manifest().model.clone(), pack.manifest().embedder.clone(), pack.manifest().graph);
    assert_eq!(kept(&new), kept(&old));

    // Of what is gone there is no trace, where the old pack has all of it.
    let (mut in_file, mut in_text) = (Vec::new(), Vec::new());
    for (key, known) in &gone {
        let (file, text) = traces(key, known);
        in_file.extend(file);
        in_text.extend(text);
    }
    let coarse = old.coarse_embeddings().unwrap().unwrap();
    for reference in (0..).zip(order(&old)).filter(|(_, key)| !after.contains_key(key)).map(|(reference, _)| reference) {
        in_file.push(coarse.row(reference).unwrap()[..DIM].iter().map(|code| code.cast_unsigned()).collect());
    }
    assert!(new.coarse_embeddings().unwrap().is_some());
    for number in numbers {
        let Document { id, title, source, .. } = document(number);
        in_file.extend([id, title, source, note(number)].map(String::into_bytes));
    }
    let all = in_file.iter().chain(&in_text).cloned().collect::<Vec<_>>();
    assert!(in_file.len() > 300 && in_text.len() > 150, "{} {}", in_file.len(), in_text.len());
    let distinct = |needles: &[Vec<u8>]| needles.iter().collect::<HashSet<_>>().len();
    assert_eq!(found(&fs::read(&made.path).unwrap(), &in_file).len(), distinct(&in_file));
    assert_eq!(found(&inflated(&old), &in_text).len(), distinct(&in_text));
    assert_eq!(found(&fs::read(&target).unwrap(), &all), HashSet::new());
    assert_eq!(found(&inflated(&new), &all), HashSet::new());
    let names: HashSet<_> = fs::read_dir(made.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, HashSet::from(["old.mpk".into(), "new.mpk".into()]));
}

/// Share of the `k` nearest references that the graph finds, for queries that are no references.
fn recall(pack: &MappedPack, k: usize) -> f64 {
    let mut rng = Rng::from_seed(5);
    let (mut right, queries) = (0, 200);
    for _ in 0..queries {
        let query = unit(&mut rng);
        let exact = pack.search_exact(&query, k).unwrap();
        right += pack.search(&query, k, DEFAULT_EF).unwrap().iter().filter(|hit| exact.contains(hit)).count();
    }
    right as f64 / (queries * k) as f64
}

#[test]
fn the_rest_is_found_as_well_as_before() {
    let made = make(560, Some(GraphParameters { m: 16, ef_construction: 200 }));
    let target = made.folder.path().join("new.mpk");
    let revoked = (0..560).filter(|number| number % 8 == 3);
    revoke(&open(&made.path), &ids(revoked), &target).unwrap();
    let (old, new) = (MappedPack::open(&made.path).unwrap(), MappedPack::open(&target).unwrap());
    assert!(new.manifest().counts.references > EXACT_UP_TO, "the graph is searched");
    assert!(old.manifest().counts.references > new.manifest().counts.references + 500);
    for k in [5, 10] {
        let (before, after) = (recall(&old, k), recall(&new, k));
        println!("recall@{k}: {before:.4} before, {after:.4} after");
        assert!(before > 0.9 && after > before - 0.01, "recall@{k}: {before} before, {after} after");
    }
    new.verify(&mut |_| ControlFlow::Continue(())).unwrap();
}

#[test]
fn a_pack_may_take_its_own_place_and_stays_without_graph() {
    let made = make(6, None);
    let (old, bytes) = (open(&made.path), fs::read(&made.path).unwrap());
    let report = revoke(&old, &ids([0]), &made.path).unwrap();
    let new = open(&made.path);
    assert_eq!((new.id(), new.manifest().graph, new.manifest().counts.documents), (report.id, None, 5));
    // The same documents leave the same pack, one after the other or at once.
    let (two, once) = (made.folder.path().join("two.mpk"), made.folder.path().join("once.mpk"));
    revoke(&new, &ids([5]), &two).unwrap();
    revoke(&Pack::open(bytes).unwrap(), &ids([5, 0]), &once).unwrap();
    assert_eq!(open(&two).id(), open(&once).id());
}

#[test]
fn ids_that_are_not_there_are_told_and_those_that_are_there_twice_all_meant() {
    let made = make(6, None);
    let old = open(&made.path);
    let asked = [vec!["no such".to_owned(), "another".into()], ids([2, 2])].concat();
    let revocation = Revocation::find(&old, &asked).unwrap();
    assert_eq!((revocation.missing(), revocation.documents()), (&["another".to_owned(), "no such".into()][..], 1));

    let target = made.folder.path().join("new.mpk");
    let mut writer = PackWriter::create(&target, SHAPE, DIM as u32).unwrap();
    writer.set_codec(&CodecSpec::F32, &0u32.to_le_bytes()).unwrap();
    for _ in 0..2 {
        writer.push_document(&document(7)).unwrap();
    }
    let manifest = old.manifest();
    writer.finish(manifest.model.clone(), "f32", manifest.embedder.clone(), "tests").unwrap();
    assert_eq!(Revocation::find(&open(&target), &ids([7])).unwrap().documents(), 2);
}

#[test]
fn what_cannot_be_revoked_leaves_everything_as_it_was() {
    let made = make(6, Some(GRAPH));
    let (bytes, target) = (fs::read(&made.path).unwrap(), made.folder.path().join("new.mpk"));
    let old = open(&made.path);
    assert!(matches!(revoke(&old, &ids(0..6), &target), Err(RevokeError::NothingLeft { documents: 6 })));
    // Damage would get right digests: it is found before.
    for tag in [Tag::MEMORIES, Tag::EMBEDDINGS, Tag::TEXT, Tag::REFERENCES, Tag::DOCUMENTS] {
        let section = *old.sections().iter().find(|section| section.tag == tag).unwrap();
        let mut damaged = bytes.clone();
        damaged[(section.offset + section.length / 2) as usize] ^= 2;
        let error = revoke(&Pack::open(damaged).unwrap(), &ids([1]), &target).unwrap_err();
        assert!(error.is_damage() && error.to_string().contains(&tag.to_string()), "{error}");
    }
    for stage in [RevokeStage::Verifying, RevokeStage::Writing, RevokeStage::Graph] {
        let cancel = AtomicBool::new(false);
        let mut stop = |at: RevokeStage, _, _| cancel.store(at == stage, Ordering::Relaxed);
        let stopped = Revocation::find(&old, &ids([1])).unwrap().write(Arc::new(DiskStorage), &target, &mut stop, &cancel);
        assert!(matches!(stopped, Err(RevokeError::Interrupted)), "{stage}");
    }
    assert_eq!(fs::read_dir(made.folder.path()).unwrap().count(), 1);
    assert_eq!(fs::read(&made.path).unwrap(), bytes);
}

#[cfg(unix)]
#[test]
fn the_new_pack_has_the_permissions_of_the_file_that_it_replaces() {
    use std::os::unix::fs::PermissionsExt;
    let made = make(6, None);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let (fresh, usual) = (made.folder.path().join("fresh.mpk"), mode(&made.path));
    revoke(&open(&made.path), &ids([5]), &fresh).unwrap();
    assert_eq!(mode(&fresh), usual);
    for (number, wanted) in [(0, 0o600), (1, 0o640), (2, 0o444)] {
        fs::set_permissions(&made.path, fs::Permissions::from_mode(wanted)).unwrap();
        revoke(&open(&made.path), &ids([number]), &made.path).unwrap();
        assert_eq!(mode(&made.path), wanted);
    }
    assert_eq!(open(&made.path).manifest().counts.documents, 3);
}

#[test]
fn ids_of_lists_are_found_without_their_blanks_and_listed_with_titles() {
    let made = make(4, None);
    let bytes = fs::read(&made.path).unwrap();
    let pack = Pack::open(&bytes[..]).unwrap();
    let name = |number: u32| document(number).id;
    let ids = [format!("{} ", name(2)), format!("\t{}", name(0)), name(2), " no such id ".to_owned(), " no such id ".to_owned()];
    let revocation = Revocation::find(&pack, &ids).unwrap();
    assert_eq!(revocation.missing(), [" no such id "]);
    let removed: Vec<(String, String)> = revocation.removed().map(Result::unwrap).collect();
    assert_eq!(removed, [0, 2].map(|number| (name(number), document(number).title)));
}
