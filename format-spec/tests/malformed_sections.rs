//! One test per field of every section that says what it must not (SPEC 6 to 13), each with all digests made right, so
//! that the check under test is what refuses it.

mod common;

use common::{GOLDEN, exercise};
use mempack_format::{CodecError, Damage, Defect, LeafKind, Pack, VerifyError};
use mempack_hostile::{Parts, frame, put, u32_at, u64_at};

/// Where references, origins and slots stand in the golden pack.
const SLOTS: usize = 16;
const STRIDE: usize = SLOTS * 5;
const NODES: usize = 24;
const STARTS: usize = 32 + NODES * 24;
const UPPER: usize = STARTS + 4 * (NODES + 1);

fn damage(parts: &Parts) -> Damage {
    match exercise(&parts.assemble()).expect("the pack opens") {
        Err(VerifyError::Damaged(damage)) => damage,
        other => panic!("a malformed section was found whole: {other:?}"),
    }
}

/// That a change of a section is found at byte `at` of a section, and why.
#[track_caller]
fn refused(parts: &Parts, tag: &str, at: usize, matches: impl Fn(&Defect) -> bool) {
    let file = parts.assemble();
    let found = damage(parts);
    let section = *Pack::open(&file[..]).unwrap().sections().iter().find(|section| section.tag.to_string() == tag).unwrap();
    assert_eq!((found.section.to_string(), found.offset), (tag.to_string(), section.offset + at as u64), "{found}");
    assert!(matches(&found.defect), "{found}");
}

/// That these bytes at `at` of a section are refused where they stand.
#[track_caller]
fn refused_bytes(tag: &str, at: usize, new: &[u8], field: &str) {
    refused(&changed(tag, at, new), tag, at, names(field));
}

fn changed(tag: &str, at: usize, new: &[u8]) -> Parts {
    let mut parts = Parts::of(GOLDEN);
    put(parts.edit(tag), at, new);
    parts.seal_leaves();
    parts
}

/// That a defect is of a field.
fn names(field: &str) -> impl Fn(&Defect) -> bool + '_ {
    move |defect| match defect {
        Defect::Value { field: name, .. } | Defect::TooLarge { field: name, .. } | Defect::TooSmall { field: name, .. } => *name == field,
        Defect::Utf8 { field: name } => *name == field,
        _ => false,
    }
}

#[test]
fn document_index() {
    let length = Parts::of(GOLDEN).get("DOCS").len() as u64;
    let first = u64_at(Parts::of(GOLDEN).get("DOCINDEX"), 8);
    refused_bytes("DOCINDEX", 0, &1u64.to_le_bytes(), "start of a document record");
    for beyond in [length + 1, u64::MAX] {
        refused_bytes("DOCINDEX", 8, &beyond.to_le_bytes(), "end of a document record");
    }
    refused_bytes("DOCINDEX", 16, &(first - 1).to_le_bytes(), "end of a document record");
    // A record that ends too early, and one that does not end where its strings do.
    let parts = changed("DOCINDEX", 8, &(first - 1).to_le_bytes());
    assert_eq!(damage(&parts).section.to_string(), "DOCS");
    let parts = changed("DOCINDEX", 8, &(first + 1).to_le_bytes());
    refused(&parts, "DOCS", first as usize, names("length of a document record"));
    let parts = changed("DOCINDEX", 24, &(length - 1).to_le_bytes());
    assert_eq!(damage(&parts).section.to_string(), "DOCS");
    let mut parts = Parts::of(GOLDEN);
    parts.edit("DOCS").push(0);
    refused(&parts, "DOCINDEX", 24, names("end of the document records"));
}

#[test]
fn document_records() {
    for length in [u32::MAX, 1000] {
        refused_bytes("DOCS", 0, &length.to_le_bytes(), "document id");
    }
    refused_bytes("DOCS", 4, &[0xFF], "document id");
    let title = 4 + u32_at(Parts::of(GOLDEN).get("DOCS"), 0) as usize;
    refused_bytes("DOCS", title + 4, &[0xC3, 0x28], "document title");
    let mut parts = Parts::of(GOLDEN);
    let fields =
        [4 + (1 << 20), 4, 4, 4, 4, 4].map(|bytes: usize| [&(bytes as u32 - 4).to_le_bytes()[..], &vec![b'x'; bytes - 4]].concat());
    *parts.edit("DOCS") = fields.concat();
    let length = parts.get("DOCS").len() as u64;
    *parts.edit("DOCINDEX") = [0, length, length, length].into_iter().flat_map(u64::to_le_bytes).collect();
    refused(&parts, "DOCINDEX", 8, names("bytes of a document record"));
}

#[test]
fn reference_records() {
    let at = 5 * 64;
    let golden = Parts::of(GOLDEN).get("REFS").to_vec();
    let (text, origin) = (u64_at(&golden, at + 32), u64_at(&golden, at + 40));
    let least =
        |field: &'static str| move |defect: &Defect| matches!(defect, Defect::TooSmall { field: name, limit: 1, .. } if *name == field);
    for wrong in [u64::MAX, 1 << 40] {
        refused_bytes("REFS", at + 32, &wrong.to_le_bytes(), "end of a reference's text");
        refused_bytes("REFS", at + 40, &wrong.to_le_bytes(), "end of a reference's origins");
    }
    for wrong in [text - 1, text + 1] {
        refused_bytes("REFS", at + 32, &wrong.to_le_bytes(), "start of a reference's text");
    }
    for wrong in [origin - 1, origin + 1] {
        refused_bytes("REFS", at + 40, &wrong.to_le_bytes(), "first origin of a reference");
    }
    // Another length is noticed where the next reference begins, or at the end.
    let length = u32_at(&golden, at + 48);
    refused(&changed("REFS", at + 48, &(length + 1).to_le_bytes()), "REFS", at + 64 + 32, names("start of a reference's text"));
    refused(&changed("REFS", at + 48, &u32::MAX.to_le_bytes()), "REFS", at + 32, names("end of a reference's text"));
    refused(&changed("REFS", at + 52, &u32::MAX.to_le_bytes()), "REFS", at + 40, names("end of a reference's origins"));
    refused(&changed("REFS", at + 52, &[0; 4]), "REFS", at + 52, least("origins of a reference"));
    refused(&changed("REFS", at + 56, &[0; 2]), "REFS", at + 56, least("tokens of a reference"));
    refused_bytes("REFS", at + 56, &129u16.to_le_bytes(), "tokens of a reference");
    refused(&changed("REFS", at + 63, &[1]), "REFS", at + 58, names("reserved bytes of a reference"));
    let last = 23 * 64;
    let tokens = golden[last + 56];
    refused(&changed("REFS", last + 56, &[tokens ^ 1]), "REFS", 24 * 64, names("tokens of all references"));
    let length = u32_at(&golden, last + 48);
    refused(&changed("REFS", last + 48, &(length - 1).to_le_bytes()), "REFS", 24 * 64, names("bytes of all references' texts"));
    // References 16 and 20 have two origins; the last has one less if 23 gives up none, so the sum is made wrong at 20.
    let mut parts = Parts::of(GOLDEN);
    let refs = parts.edit("REFS");
    put(refs, 20 * 64 + 52, &1u32.to_le_bytes());
    for reference in 21..24 {
        let first = u64_at(refs, reference * 64 + 40) - 1;
        put(refs, reference * 64 + 40, &first.to_le_bytes());
    }
    refused(&parts, "REFS", 24 * 64, names("origins of all references"));
}

#[test]
fn origin_records() {
    for document in [3, u32::MAX] {
        refused_bytes("ORIGINS", 7 * 24, &document.to_le_bytes(), "document of an origin");
    }
    refused_bytes("ORIGINS", 7 * 24 + 4, &[0, 0, 0, 1], "reserved bytes of an origin");
    refused_bytes("ORIGINS", 7 * 24 + 8, &u64::MAX.to_le_bytes(), "start of an origin");
    refused(&changed("ORIGINS", 7 * 24 + 16, &[0; 8]), "ORIGINS", 7 * 24 + 8, names("start of an origin"));
}

#[test]
fn text_index() {
    let length = Parts::of(GOLDEN).get("TEXT").len() as u64;
    refused_bytes("TEXTINDX", 8, &u64::MAX.to_le_bytes(), "end of a text block");
    refused_bytes("TEXTINDX", 8, &(length + 1).to_le_bytes(), "end of a text block");
    refused_bytes("TEXTINDX", 0, &1u64.to_le_bytes(), "start of a text block");
    refused(&changed("TEXTINDX", 0, &(length + 1).to_le_bytes()), "TEXTINDX", 8, names("end of a text block"));
    let mut parts = Parts::of(GOLDEN);
    parts.edit("TEXT").push(0);
    refused(&parts, "TEXTINDX", 8, names("end of the text blocks"));
}

/// The golden pack with its only text block replaced.
fn with_frame(frame: Vec<u8>) -> Parts {
    let mut parts = Parts::of(GOLDEN);
    put(parts.edit("TEXTINDX"), 8, &(frame.len() as u64).to_le_bytes());
    *parts.edit("TEXT") = frame;
    parts.seal_leaves();
    parts
}

#[test]
fn text_blocks() {
    let text = zstd::bulk::decompress(Parts::of(GOLDEN).get("TEXT"), 1 << 16).unwrap();
    common::verify(&Pack::open(with_frame(frame(&text, true)).assemble()).unwrap()).unwrap();
    let block = |defect: &Defect| matches!(defect, Defect::Block { block: 0, .. });
    refused(&with_frame(vec![]), "TEXT", 0, block);
    refused(&with_frame(b"this is no zstd frame".to_vec()), "TEXT", 0, block);
    refused(&with_frame(frame(&text, false)), "TEXT", 0, block);
    let mut wrong_checksum = frame(&text, true);
    *wrong_checksum.last_mut().unwrap() ^= 1;
    refused(&with_frame(wrong_checksum), "TEXT", 0, block);
    let (first, second) = text.split_at(100);
    let two = [frame(first, true), frame(second, true)].concat();
    refused(&with_frame(two), "TEXT", 0, names("bytes of a text block's frame"));
    refused(&with_frame(frame(first, true)), "TEXT", 0, names("bytes of a text block"));
    refused(&with_frame(frame(&[&text[..], b"more"].concat(), true)), "TEXT", 0, names("bytes of a text block"));
    // A few bytes that claim to be 100 MB yield no more than a block.
    refused(&with_frame(frame(&vec![0; 100 << 20], true)), "TEXT", 0, block);
}

#[test]
fn text_that_is_not_utf8() {
    let mut text = zstd::bulk::decompress(Parts::of(GOLDEN).get("TEXT"), 1 << 16).unwrap();
    let start = u64_at(Parts::of(GOLDEN).get("REFS"), 9 * 64 + 32) as usize;
    text[start] = 0xFF;
    let parts = with_frame(frame(&text, true));
    refused(&parts, "REFS", 9 * 64 + 32, names("text"));
    let pack = Pack::open(parts.assemble()).unwrap();
    assert!(pack.text(9).is_err() && pack.text(8).is_ok());
    // Text that is UTF-8 as a whole, but cut within a character: the dash between two references' texts.
    let mut parts = Parts::of(GOLDEN);
    let at = String::from_utf8(text[..start].to_vec()).unwrap().rfind("Reference 8 —").unwrap() + "Reference 8 ".len() + 1;
    let refs = parts.edit("REFS");
    put(refs, 8 * 64 + 32, &(at as u64).to_le_bytes());
    let end = u64_at(refs, 9 * 64 + 32);
    put(refs, 8 * 64 + 48, &((end - at as u64) as u32).to_le_bytes());
    let before = u64_at(refs, 7 * 64 + 32);
    put(refs, 7 * 64 + 48, &((at as u64 - before) as u32).to_le_bytes());
    refused(&parts, "REFS", 7 * 64 + 32, names("text"));
}

#[test]
fn codec_parameters() {
    let codec = |defect: &Defect| matches!(defect, Defect::Codec(_));
    let mut parts = Parts::of(GOLDEN);
    parts.edit("CODEC").pop();
    refused(&parts, "CODEC", 0, codec);
    let mut parts = Parts::of(GOLDEN);
    parts.edit("CODEC").push(0);
    refused(&parts, "CODEC", 0, codec);
    let mut parts = Parts::of(GOLDEN);
    parts.edit("CODEC").clear();
    refused(&parts, "CODEC", 0, codec);
    for groups in [0, 9, u32::MAX] {
        refused(&changed("CODEC", 0, &groups.to_le_bytes()), "CODEC", 0, codec);
    }
    refused(&changed("CODEC", 4, &[8, 0]), "CODEC", 0, codec);
    refused(&changed("CODEC", 20, &f32::NAN.to_le_bytes()), "CODEC", 0, codec);
}

#[test]
fn memory_records() {
    let at = 10 * STRIDE;
    assert_eq!(Parts::of(GOLDEN).get("MEMORIES")[at..at + 4], [10, 41, 72, 103]);
    refused_bytes("MEMORIES", at + 1, &[10], "position");
    refused_bytes("MEMORIES", at + 2, &[40], "position");
    refused_bytes("MEMORIES", at + 3, &[128], "position");
    refused_bytes("MEMORIES", at + 3, &[254], "position");
    // A token behind an empty slot.
    refused(&changed("MEMORIES", at + 2, &[255]), "MEMORIES", at + 3, names("position"));
    // A token's code where no token is, first in the key, then in the value.
    let emptied = |slot: usize| {
        let mut parts = changed("MEMORIES", at + slot, &[255]);
        put(parts.edit("MEMORIES"), at + SLOTS + 2 * slot, &[0, 0]);
        put(parts.edit("MEMORIES"), at + SLOTS * 3 + 2 * slot, &[0, 0]);
        parts
    };
    for kind in 0..2 {
        let code = SLOTS * (1 + 2 * kind) + 2 * 7;
        let mut parts = emptied(7);
        put(parts.edit("MEMORIES"), at + code, &[0, 1]);
        parts.seal_leaves();
        refused(&parts, "MEMORIES", at + code, |defect| matches!(defect, Defect::Codec(CodecError::EmptySlot { slot: 7 })));
    }
    let mut parts = emptied(7);
    parts.seal_leaves();
    common::verify(&Pack::open(parts.assemble()).unwrap()).unwrap();
    // The four bits behind a code of twelve.
    let code = SLOTS + 2 * 5;
    refused(&changed("MEMORIES", at + code + 1, &[0x10]), "MEMORIES", at + code, |defect| *defect == Defect::Codec(CodecError::Padding));
}

#[test]
fn leaf_digests() {
    let leaf = |wanted: LeafKind, at: u64| move |defect: &Defect| matches!(defect, Defect::Leaf { kind, number, .. } if (*kind, *number) == (wanted, at));
    let unsealed = |tag: &str, at: usize| {
        let mut parts = Parts::of(GOLDEN);
        parts.edit(tag)[at] ^= 1;
        parts
    };
    refused(&unsealed("LEAVES", 32 * 10), "MEMORIES", STRIDE * 10, leaf(LeafKind::Memory, 10));
    refused(&unsealed("LEAVES", 32 * (NODES + 9)), "EMBED", 32 * 9, leaf(LeafKind::Embedding, 9));
    refused(&unsealed("LEAVES", 32 * 2 * NODES), "TEXT", 0, leaf(LeafKind::TextBlock, 0));
    refused(&unsealed("MEMORIES", STRIDE * 11 + 40), "MEMORIES", STRIDE * 11, leaf(LeafKind::Memory, 11));
    refused(&unsealed("EMBED", 32 * 13 + 8), "EMBED", 32 * 13, leaf(LeafKind::Embedding, 13));
    refused(&unsealed("TEXT", 30), "TEXT", 0, leaf(LeafKind::TextBlock, 0));
}

#[test]
fn leaves_are_checked_at_first_touch() {
    // With a right section digest, as whoever changes a pack on purpose would have it; only the root is another then.
    let damaged = |tag: &str, at: usize| {
        let mut parts = Parts::of(GOLDEN);
        parts.edit(tag)[at] ^= 1;
        Pack::open(parts.assemble()).unwrap()
    };
    let pack = damaged("EMBED", 32 * 13);
    assert!(pack.check_embedding(13).unwrap_err().to_string().contains("the digest of embedding 13 is"));
    pack.check_embedding(12).unwrap();
    let pack = damaged("TEXT", 30);
    for error in [pack.check_text_block(0).unwrap_err(), pack.text(7).unwrap_err()] {
        assert!(error.to_string().contains("section TEXT") && error.to_string().contains("the digest of text block 0 is"), "{error}");
    }
    let pack = damaged("MEMORIES", STRIDE * 5);
    assert!(pack.check_record(5).unwrap_err().to_string().contains("the digest of memory 5 is"));
    for error in [pack.check_record(24), pack.check_embedding(24), pack.check_text_block(1)] {
        assert!(error.unwrap_err().to_string().contains("does not exist"));
    }
    // The leaves themselves are held by the section table.
    pack.check_leaves().unwrap();
    let mut file = Parts::of(GOLDEN).assemble();
    let leaves = *Pack::open(&file[..]).unwrap().sections().iter().find(|section| section.tag.to_string() == "LEAVES").unwrap();
    file[leaves.offset as usize + 40] ^= 1;
    let error = Pack::open(&file[..]).unwrap().check_leaves().unwrap_err().to_string();
    assert!(error.contains("section LEAVES") && error.contains("the section table says"), "{error}");
}

#[test]
fn embeddings() {
    let at = 32 * 6;
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let parts = changed("EMBED", at + 8, &value.to_le_bytes());
        refused(&parts, "EMBED", at + 8, |defect| matches!(defect, Defect::NotFinite { reference: 6, .. }));
    }
    for value in [3.0f32, f32::MAX] {
        let parts = changed("EMBED", at + 8, &value.to_le_bytes());
        refused(&parts, "EMBED", at, |defect| matches!(defect, Defect::NotUnit { reference: 6, .. }));
    }
    let parts = changed("EMBED", at, &[0; 32]);
    refused(&parts, "EMBED", at, |defect| matches!(defect, Defect::NotUnit { length: 0.0, .. }));
}

#[test]
fn graph_header() {
    refused_bytes("GRAPH", 0, &4u32.to_le_bytes(), "graph m");
    for entry in [24, u32::MAX] {
        refused_bytes("GRAPH", 4, &entry.to_le_bytes(), "graph entry");
    }
    refused_bytes("GRAPH", 4, &[3], "level of the entry");
    for level in [32, u32::MAX, 1, 3] {
        refused_bytes("GRAPH", 8, &level.to_le_bytes(), "graph levels");
    }
    refused_bytes("GRAPH", 12, &23u32.to_le_bytes(), "graph nodes");
    let upper = u64_at(Parts::of(GOLDEN).get("GRAPH"), 16);
    for lists in [0, upper + 1, 1 << 62, u64::MAX] {
        refused_bytes("GRAPH", 16, &lists.to_le_bytes(), "graph bytes");
    }
    refused_bytes("GRAPH", 24, &[1], "reserved bytes of the graph");
    for cut in [0, 31] {
        let mut parts = Parts::of(GOLDEN);
        parts.edit("GRAPH").truncate(cut);
        refused(&parts, "GRAPH", 0, names("graph bytes"));
    }
    let mut parts = Parts::of(GOLDEN);
    parts.edit("GRAPH").extend([0; 12]);
    refused(&parts, "GRAPH", 16, names("graph bytes"));
}

#[test]
fn graph_levels() {
    let field = "upper lists before a node";
    refused_bytes("GRAPH", STARTS, &[1], field);
    refused_bytes("GRAPH", STARTS + 4, &[32], field);
    refused_bytes("GRAPH", STARTS + 4, &u32::MAX.to_le_bytes(), field);
    refused_bytes("GRAPH", STARTS + 4 * 8, &[0], field);
    let upper = Parts::of(GOLDEN).get("GRAPH")[16];
    refused(&changed("GRAPH", STARTS + 4 * NODES, &[upper + 1]), "GRAPH", 16, names("upper lists"));
    refused_bytes("GRAPH", STARTS + 4 * NODES, &[upper - 1], field);
}

#[test]
fn graph_neighbours() {
    let list = |node: usize| 32 + 24 * node;
    for id in [24, u32::MAX - 1] {
        refused_bytes("GRAPH", list(7) + 4, &id.to_le_bytes(), "neighbour");
        refused_bytes("GRAPH", UPPER + 4, &id.to_le_bytes(), "neighbour");
    }
    let itself = changed("GRAPH", list(7) + 4, &7u32.to_le_bytes());
    refused(&itself, "GRAPH", list(7) + 4, |defect| *defect == Defect::Itself { node: 7 });
    let first = u32_at(Parts::of(GOLDEN).get("GRAPH"), list(7));
    let twice = changed("GRAPH", list(7) + 4, &first.to_le_bytes());
    refused(&twice, "GRAPH", list(7), |defect| matches!(defect, Defect::Repeated { found, .. } if *found == u64::from(first)));
    // Padding ends a list; what follows must be padding too.
    let hole = changed("GRAPH", list(7), &u32::MAX.to_le_bytes());
    refused(&hole, "GRAPH", list(7) + 4, names("padding of a neighbour list"));
    // Node 1 is on level 0 only.
    refused(&changed("GRAPH", UPPER, &1u32.to_le_bytes()), "GRAPH", UPPER, names("level of a neighbour"));
}

#[test]
fn caps_on_texts() {
    // 2 MiB of text in two references; the first is larger than any reference may be.
    let text = vec![b'x'; 2 << 20];
    let mut parts = Parts::of(GOLDEN);
    let frames: Vec<Vec<u8>> = text.chunks(65_536).map(|block| frame(block, true)).collect();
    let mut ends = vec![0u64];
    ends.extend(frames.iter().scan(0, |end, frame| {
        *end += frame.len() as u64;
        Some(*end)
    }));
    *parts.edit("TEXT") = frames.concat();
    *parts.edit("TEXTINDX") = ends.into_iter().flat_map(u64::to_le_bytes).collect();
    // Of 24 memories and as many embeddings, and of the frames.
    parts.edit("LEAVES").resize(32 * (2 * 24 + frames.len()), 0);
    parts.seal_leaves();
    let refs = parts.edit("REFS");
    let mut start = 0u64;
    for (reference, length) in [(1 << 20) + 1, (1 << 20) - 1].into_iter().chain([0u32; 22]).enumerate() {
        put(refs, reference * 64 + 32, &start.to_le_bytes());
        put(refs, reference * 64 + 48, &length.to_le_bytes());
        start += u64::from(length);
    }
    // The counts' text bytes stand before the graph's five bytes at the end of the manifest, in three.
    let manifest = parts.edit("MANIFEST");
    let at = manifest.len() - 3;
    let from = manifest[..at].iter().rposition(|byte| *byte == 251).unwrap();
    manifest.splice(from..at, [252].into_iter().chain((2u32 << 20).to_le_bytes()));
    refused(&parts, "REFS", 48, names("length of a reference's text"));
}
