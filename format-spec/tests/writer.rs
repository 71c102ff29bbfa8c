//! What the writer refuses, and what it leaves behind when it fails.

mod common;
#[allow(dead_code)] // the pack is written here step by step
#[path = "golden/generate.rs"]
mod generate;

use std::fs;
use std::path::Path;

use common::{GOLDEN, verify};
use generate::{CODEC, DIM, GRAPH, SHAPE};
use mempack_format::{
    CodecSpec, Digest, Document, FieldColumn, FieldKind, GraphParameters, GraphSource, ManifestError, MemoryShape, ModelIdentity, Origin,
    Pack, PackWriter, WriteError,
};
use mempack_hostile::Plan;

/// It begins as packs do, for only a pack is replaced.
const OLD: &[u8] = b"\x89MPK\r\n\x1a\nthe old pack";

fn writer(folder: &Path) -> PackWriter {
    PackWriter::create(&folder.join("pack.mpk"), SHAPE, DIM).unwrap()
}

/// A writer with the whole golden content but the graph.
fn filled(folder: &Path) -> PackWriter {
    let mut writer = writer(folder);
    writer.set_codec(&CODEC, &generate::codec_parameters()).unwrap();
    (0..generate::DOCUMENTS).for_each(|number| assert_eq!(writer.push_document(&generate::document(number)).unwrap(), number));
    for reference in 0..generate::REFERENCES {
        let origins = generate::origins(reference);
        let number = writer.push_reference(&generate::key(reference), generate::tokens(reference), &generate::text(reference), &origins);
        assert_eq!(number.unwrap(), reference);
        assert_eq!(writer.push_memory(&generate::record(reference)).unwrap(), reference);
        assert_eq!(writer.push_embedding(&generate::embedding(reference)).unwrap(), reference);
    }
    writer
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_dropped_writer_leaves_the_old_pack_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pack.mpk"), OLD).unwrap();
    let writer = filled(folder.path());
    let parts: Vec<String> = names(folder.path());
    assert!(parts == ["pack.mpk", "pack.mpk.building"], "{parts:?}");
    assert_eq!(fs::read(folder.path().join("pack.mpk")).unwrap(), OLD);
    drop(writer);
    assert_eq!(names(folder.path()), ["pack.mpk"]);
    assert_eq!(fs::read(folder.path().join("pack.mpk")).unwrap(), OLD);
}

#[test]
fn a_target_that_holds_something_else_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("pack.mpk");
    for (start, is_taken) in [(OLD, true), (b"", true), (&OLD[..7], false), (b"the old pack", false), (b"# Notes", false)] {
        fs::write(&target, start).unwrap();
        match PackWriter::create(&target, SHAPE, DIM).map(drop) {
            Ok(()) => assert!(is_taken, "{start:?}"),
            Err(error) => assert!(!is_taken && matches!(&error, WriteError::TargetIsNoPack { path } if *path == target), "{error}"),
        }
        assert_eq!((names(folder.path()), fs::read(&target).unwrap()), (vec!["pack.mpk".to_string()], start.to_vec()));
    }
}

#[test]
fn a_finished_writer_leaves_the_new_pack_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pack.mpk"), OLD).unwrap();
    let mut writer = filled(folder.path());
    writer.set_graph(&generate::Rings, GRAPH).unwrap();
    let summary = writer.finish(generate::model(), "f32", generate::embedder(), generate::GENERATOR).unwrap();
    assert_eq!(names(folder.path()), ["pack.mpk"]);
    assert_eq!(fs::metadata(folder.path().join("pack.mpk")).unwrap().len(), summary.bytes);
    assert_eq!(summary.bytes, GOLDEN.len() as u64);
}

#[test]
fn a_pack_with_a_codec_that_version_1_0_does_not_have_says_so() {
    for (codec, expected) in [("PQ3x3", 0), ("RQ2x4", 0), ("PRQ2x2x3", 1), ("OPQ2_6,PQ3x3", 1), ("TCQ2x4", 1), ("RQ2x3,TCQ2x4", 1)] {
        let bytes = Plan::small(codec.parse().unwrap()).bytes();
        assert_eq!(bytes[16..24], u64::to_le_bytes(expected), "{codec}");
        verify(&Pack::open(&bytes[..]).unwrap()).unwrap();
    }
}

#[test]
fn a_finish_that_is_refused_leaves_the_old_pack() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("pack.mpk");
    fs::write(&target, OLD).unwrap();
    let finish = |writer: PackWriter, change: &dyn Fn(&mut ModelIdentity)| {
        let mut model = generate::model();
        change(&mut model);
        let error = writer.finish(model, "f32", generate::embedder(), "").unwrap_err();
        assert_eq!((names(folder.path()), fs::read(&target).unwrap()), (vec!["pack.mpk".to_string()], OLD.to_vec()));
        error
    };
    let mut more = filled(folder.path());
    more.push_memory(&generate::record(0)).unwrap();
    assert!(matches!(finish(more, &|_| ()), WriteError::Mismatch { what: "number of memories", expected: 24, found: 25 }));
    let mut more = filled(folder.path());
    more.push_embedding(&generate::embedding(0)).unwrap();
    assert!(matches!(finish(more, &|_| ()), WriteError::Mismatch { what: "number of embeddings", .. }));
    let mut more = filled(folder.path());
    more.set_graph(&generate::Rings, GRAPH).unwrap();
    more.push_reference(&generate::key(0), 1, "", &generate::origins(0)).unwrap();
    more.push_memory(&generate::record(0)).unwrap();
    more.push_embedding(&generate::embedding(0)).unwrap();
    assert!(matches!(finish(more, &|_| ()), WriteError::Mismatch { what: "number of nodes of the graph", .. }));
    assert!(matches!(finish(writer(folder.path()), &|_| ()), WriteError::Missing { what: "codec", .. }));
    let error = finish(filled(folder.path()), &|model| model.shape.tokens = 5);
    assert!(matches!(error, WriteError::Mismatch { what: "tokens per head of the model", expected: 4, found: 5 }));
    let error = finish(filled(folder.path()), &|model| model.reference_length = 100);
    assert!(matches!(error, WriteError::TooLarge { what: "tokens of a reference", limit: 100, .. }));
    let error = finish(filled(folder.path()), &|model| model.rope_base = f64::NAN);
    assert!(matches!(error, WriteError::Manifest(ManifestError::Field { field: "RoPE base", .. })));
    let error = finish(filled(folder.path()), &|model| model.reference_template = "x".repeat(1 << 20));
    assert!(matches!(error, WriteError::Manifest(ManifestError::TooLarge { .. })));
    let mut embedder = generate::embedder();
    embedder.dim = 9;
    let error = filled(folder.path()).finish(generate::model(), "f32", embedder, "").unwrap_err();
    assert!(matches!(error, WriteError::Mismatch { what: "dimensions of the embedder", .. }));
    let error = filled(folder.path()).finish(generate::model(), "f16", generate::embedder(), "").unwrap_err();
    assert!(matches!(error, WriteError::Manifest(ManifestError::Field { field: "precision", .. })));
}

#[test]
fn targets_that_cannot_be() {
    let folder = tempfile::tempdir().unwrap();
    let create = |target: &Path| PackWriter::create(target, SHAPE, DIM).map(|_| ()).unwrap_err();
    assert!(matches!(create(folder.path()), WriteError::TargetIsFolder { .. }));
    assert!(matches!(create(Path::new("/")), WriteError::TargetIsFolder { .. }));
    assert!(matches!(create(&folder.path().join("no/such/pack.mpk")), WriteError::MissingFolder { .. }));
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    assert!(matches!(create(&file.join("pack.mpk")), WriteError::MissingFolder { .. }));
    let error = create(&folder.path().join("no/such/pack.mpk")).to_string();
    assert!(error.contains("no/such") && error.contains("make it first"), "{error}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_written_to() {
    // Nobody may make files in /proc, not even root.
    let error = PackWriter::create(Path::new("/proc/pack.mpk"), SHAPE, DIM).map(|_| ()).unwrap_err();
    let WriteError::Io { path, .. } = &error else { panic!("{error}") };
    assert!(path == Path::new("/proc") && error.to_string().contains("/proc"), "{error}");
}

#[test]
fn shapes_and_codecs_that_cannot_be() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("pack.mpk");
    let huge = MemoryShape::new(4096, 4096, 255, 1024);
    for shape in [
        MemoryShape::new(0, SHAPE.heads, SHAPE.tokens, SHAPE.head_dim),
        MemoryShape::new(SHAPE.layers, SHAPE.heads, 256, SHAPE.head_dim),
        MemoryShape::new(SHAPE.layers, SHAPE.heads, SHAPE.tokens, u32::MAX),
        huge,
    ] {
        assert!(matches!(PackWriter::create(&target, shape, DIM), Err(WriteError::Manifest(ManifestError::Field { .. }))));
    }
    let mut writer = writer(folder.path());
    assert!(matches!(writer.push_memory(&generate::record(0)), Err(WriteError::Missing { what: "codec", .. })));
    assert!(matches!(writer.set_codec(&CodecSpec::pq(3, 8), &[]), Err(WriteError::Codec(_))));
    assert!(matches!(writer.set_codec(&CODEC, &[0; 4]), Err(WriteError::Codec(_))));
    writer.set_codec(&CODEC, &generate::codec_parameters()).unwrap();
    assert!(matches!(writer.set_codec(&CODEC, &generate::codec_parameters()), Err(WriteError::Mismatch { .. })));
}

/// A change of the golden metadata.
type Change<'a> = &'a dyn Fn(&mut Vec<FieldColumn>);

#[test]
fn metadata_that_cannot_be() {
    let folder = tempfile::tempdir().unwrap();
    let whole = generate::metadata();
    let set = |change: Change<'_>| {
        let mut fields = whole.clone();
        change(&mut fields);
        filled(folder.path()).set_metadata(&fields).unwrap_err().to_string()
    };
    let cases: [(&str, Change<'_>); 16] = [
        ("number of fields of the metadata is 1025, the most is 1024", &|fields| fields.resize(1025, whole[0].clone())),
        ("order of fields", &|fields| fields.swap(0, 1)),
        ("order of fields", &|fields| fields[1].name = "court.name".into()),
        ("bytes of the name of a field is 257", &|fields| fields[5].name = "y".repeat(257)),
        ("bytes of a value of a field is 65537", &|fields| fields[0].values[1] = "最".repeat(21_845) + "xx"),
        ("order of values", &|fields| fields[3].values.swap(0, 1)),
        ("order of values", &|fields| fields[3].values[1] = String::new()),
        ("the field \"year\" has the value \"1999a\", expected a value of kind integer", &|fields| fields[5].values[0] = "1999a".into()),
        ("kind date", &|fields| fields[0].kind = FieldKind::Date),
        ("documents of a field is 2, expected 3", &|fields| fields[5].ends.truncate(2)),
        ("order of ends", &|fields| fields[3].ends = vec![3, 0, 4]),
        ("values of a document is 3, the most is 1", &|fields| fields[3].list = false),
        ("values of all documents is 3, expected 2", &|fields| fields[5].ends = vec![1, 2, 2]),
        ("code of a value is 2, the most is 1", &|fields| fields[5].codes[0] = 2),
        ("documents of a value", &|fields| fields[5].codes[2] = 1),
        ("documents of a value", &|fields| (fields[5].ends, fields[5].codes, fields[5].values) = (vec![0; 3], vec![], vec![])),
    ];
    for (expected, change) in cases {
        let error = set(change);
        assert!(error.contains(expected), "{error} / {expected}");
    }
    let finish = |writer: PackWriter| writer.finish(generate::model(), "f32", generate::embedder(), generate::GENERATOR);
    let mut writer = filled(folder.path());
    writer.set_metadata(&whole).unwrap();
    assert!(matches!(writer.set_metadata(&whole), Err(WriteError::Mismatch { what: "metadata set", .. })));
    writer.push_document(&Document::default()).unwrap();
    assert!(matches!(finish(writer), Err(WriteError::Mismatch { what: "number of documents of the metadata", expected: 4, found: 3 })));
    // No fields are no section.
    let mut writer = filled(folder.path());
    writer.set_metadata(&[]).unwrap();
    finish(writer).unwrap();
    let pack = Pack::open(fs::read(folder.path().join("pack.mpk")).unwrap()).unwrap();
    assert!(pack.version() == (1, 1) && pack.metadata().unwrap().is_none());
}

#[test]
fn documents_and_references_that_cannot_be() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(folder.path());
    let large = Document { title: "x".repeat(1 << 20), ..Document::default() };
    assert!(matches!(writer.push_document(&large), Err(WriteError::TooLarge { .. })));
    writer.push_document(&Document::default()).unwrap();
    let key = Digest::of(b"");
    let at = |document, start, end| [Origin { document, start, end }];
    let mut push = |tokens, text: &str, origins: &[Origin]| writer.push_reference(&key, tokens, text, origins).unwrap_err();
    assert!(matches!(push(0, "", &at(0, 0, 1)), WriteError::Missing { .. }));
    assert!(matches!(push(256, "", &at(0, 0, 1)), WriteError::TooLarge { .. }));
    assert!(matches!(push(1, &"x".repeat((1 << 20) + 1), &at(0, 0, 1)), WriteError::TooLarge { .. }));
    assert!(matches!(push(1, "", &[]), WriteError::NoOrigin { reference: 0 }));
    assert!(matches!(push(1, "", &at(1, 0, 1)), WriteError::Origin { document: 1, documents: 1, .. }));
    assert!(matches!(push(1, "", &at(0, 2, 1)), WriteError::Origin { start: 2, end: 1, .. }));
    // Nothing refused has a number.
    assert_eq!(writer.push_reference(&key, 1, "", &at(0, 1, 1)).unwrap(), 0);
}

#[test]
fn memories_and_embeddings_that_cannot_be() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(folder.path());
    writer.set_codec(&CODEC, &generate::codec_parameters()).unwrap();
    let record = generate::record(0);
    assert!(matches!(writer.push_memory(&record[1..]), Err(WriteError::Mismatch { expected: 80, found: 79, .. })));
    for (slot, position) in [(1, 0), (1, 200)] {
        let mut record = generate::record(5);
        record[slot] = position;
        assert!(matches!(writer.push_memory(&record), Err(WriteError::Malformed { what: "memory", reference: 0, .. })));
    }
    let embedding = generate::embedding(0);
    assert!(matches!(writer.push_embedding(&embedding[1..]), Err(WriteError::Mismatch { .. })));
    for value in [f32::NAN, f32::INFINITY, 2.0] {
        let mut embedding = embedding.clone();
        embedding[3] = value;
        assert!(matches!(writer.push_embedding(&embedding), Err(WriteError::Malformed { what: "embedding", .. })));
    }
    assert_eq!((writer.push_memory(&record).unwrap(), writer.push_embedding(&embedding).unwrap()), (0, 0));
}

/// Three nodes, the first on level 1, with one list replaced.
struct Bent {
    at: (u32, u32),
    list: Vec<u32>,
    entry: u32,
    top: u32,
}

impl GraphSource for Bent {
    fn nodes(&self) -> u32 {
        3
    }

    fn entry(&self) -> u32 {
        self.entry
    }

    fn level(&self, node: u32) -> u32 {
        if node == 0 { self.top } else { 0 }
    }

    fn neighbours(&self, node: u32, level: u32, out: &mut Vec<u32>) {
        if (node, level) == self.at {
            out.extend(&self.list);
        }
    }
}

#[test]
fn graphs_that_cannot_be() {
    let folder = tempfile::tempdir().unwrap();
    let parameters = |m| GraphParameters { m, ef_construction: 1 };
    let set = |graph: Bent, m| writer(folder.path()).set_graph(&graph, parameters(m));
    let bent = |at, list: &[u32]| set(Bent { at, list: list.to_vec(), entry: 0, top: 1 }, 1);
    assert!(bent((1, 0), &[0, 2]).is_ok());
    for (list, wrong) in [(&[3][..], "no node"), (&[1], "the node itself"), (&[0, 0], "listed twice"), (&[0, 2, 0], "one of more than fit")]
    {
        assert!(matches!(bent((1, 0), list), Err(WriteError::Graph { node: 1, level: 0, problem, .. }) if problem == wrong));
    }
    assert!(matches!(bent((0, 1), &[1]), Err(WriteError::Graph { level: 1, problem: "not on that level", .. })));
    let plain = |entry, top| Bent { at: (0, 0), list: vec![], entry, top };
    assert!(matches!(set(plain(1, 1), 1), Err(WriteError::Graph { problem: "no entry of the highest level", .. })));
    assert!(matches!(set(plain(3, 0), 1), Err(WriteError::Graph { .. })));
    assert!(matches!(set(plain(0, 32), 1), Err(WriteError::TooLarge { .. })));
    assert!(matches!(set(plain(0, 1), 0), Err(WriteError::Missing { .. })));
    assert!(matches!(set(plain(0, 1), 257), Err(WriteError::TooLarge { .. })));
    let mut twice = writer(folder.path());
    twice.set_graph(&plain(0, 1), parameters(1)).unwrap();
    assert!(matches!(twice.set_graph(&plain(0, 1), parameters(1)), Err(WriteError::Mismatch { .. })));
}

/// Run by the test below where no file may grow beyond 1 MiB.
#[cfg(unix)]
#[test]
#[ignore = "is run in a process of its own by a_full_disk"]
fn on_a_full_disk() {
    let folder = std::path::PathBuf::from(std::env::var_os("MEMPACK_TEST_FOLDER").unwrap());
    let mut writer = filled(&folder);
    let error = (0..100_000).find_map(|_| writer.push_memory(&generate::record(1)).err()).expect("the disk is not full");
    let WriteError::Io { path, .. } = &error else { panic!("{error}") };
    assert!(path.starts_with(&folder) && error.to_string().contains("write elsewhere"), "{error}");
    // From now on the file's contents are not known: nothing more is taken, and nothing finished.
    assert!(matches!(writer.push_memory(&generate::record(1)), Err(WriteError::Failed { .. })));
    assert!(writer.finish(generate::model(), "f32", generate::embedder(), "").is_err());
    assert_eq!(names(&folder), ["pack.mpk"]);
}

#[cfg(unix)]
#[test]
fn a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pack.mpk"), OLD).unwrap();
    // A limit on the size of files stands for the disk: blocks of 512 or 1,024 bytes, depending on the shell.
    let script = "trap '' XFSZ; ulimit -f 1024 && exec \"$0\" --exact on_a_full_disk --ignored";
    let output = std::process::Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .env("MEMPACK_TEST_FOLDER", folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    assert_eq!(fs::read(folder.path().join("pack.mpk")).unwrap(), OLD);
}

#[test]
fn one_target_has_one_writer_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let first = filled(folder.path());
    let target = folder.path().join("pack.mpk");
    let second = PackWriter::create(&target, SHAPE, DIM).map(drop).unwrap_err();
    assert!(matches!(&second, WriteError::Busy { path, .. } if *path == target), "{second}");
    // It disturbed nothing, and the next one has the target for itself.
    drop(first);
    assert_eq!(names(folder.path()), Vec::<String>::new());
    writer(folder.path());
}
