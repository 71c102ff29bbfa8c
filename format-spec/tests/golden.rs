//! The golden packs of all versions: made again they are the same, read they say what was written, damaged they are refused.

mod common;
#[path = "golden/generate.rs"]
mod generate;

use common::{GOLDEN, exercise, verify};
use generate::{DOCUMENTS, REFERENCES};
use mempack_format::{Defect, EMPTY_SLOT, EmbedderIdentity, Field, LeafKind, Memory, OpenError, OriginPlace, Pack, Tag, VerifyError};
use mempack_hostile::Parts;

#[test]
fn regenerating_gives_the_same_pack() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("golden.mpk");
    let (quality, prompts) = (generate::quality(), generate::prompts());
    for (quality, prompts, minor, golden) in
        [(None, None, 1, GOLDEN), (Some(&quality), None, 1, GOLDEN_1_1), (Some(&quality), Some(&prompts), 2, GOLDEN_1_2)]
    {
        let summary = generate::write(&target, quality.cloned(), prompts.cloned()).unwrap();
        let made = std::fs::read(&target).unwrap();
        assert_eq!(made.len() as u64, summary.bytes);
        let (made, golden) = (Parts::of(&made), Parts::of(golden));
        for (made, golden) in made.0.iter().zip(&golden.0) {
            assert_eq!((made.tag, made.flags), (golden.tag, golden.flags));
            // Another zstd may compress otherwise; that the text is the same, the next test shows of both.
            if !made.tag.starts_with(b"TEXT") {
                assert_eq!(made.bytes, golden.bytes, "section {}", String::from_utf8_lossy(&made.tag));
            }
        }
        assert_eq!(made.0.len(), golden.0.len());
        let pack = Pack::open(std::fs::read(&target).unwrap()).unwrap();
        assert_eq!((pack.version(), pack.quality(), pack.manifest().embedder.prompts.as_ref()), ((1, minor), quality, prompts));
        check_contents(&pack);
    }
}

#[test]
fn the_golden_pack_of_version_1_1_says_what_its_codec_loses() {
    let pack = Pack::open(GOLDEN_1_1).unwrap();
    assert_eq!(pack.id().to_string(), "7120805fc544f68caaf70315b3d0274de0f3033671a2bc0791102ef467a3e0ea");
    assert_eq!((pack.version(), pack.quality()), ((1, 1), Some(&generate::quality())));
    check_contents(&pack);
    no_flipped_byte_is_accepted(GOLDEN_1_1);
}

#[test]
fn the_golden_pack_of_version_1_2_says_what_its_embedder_puts_before_texts() {
    let pack = Pack::open(GOLDEN_1_2).unwrap();
    assert_eq!(pack.id().to_string(), "10aa2dfd8585188c1252d557534eacd30cd492b8795f856dea1b147f87be75d9");
    let prompts = pack.manifest().embedder.prompts.as_ref();
    assert_eq!((pack.version(), pack.quality(), prompts), ((1, 2), Some(&generate::quality()), Some(&generate::prompts())));
    check_contents(&pack);
    no_flipped_byte_is_accepted(GOLDEN_1_2);
}

#[test]
fn the_golden_pack_of_version_1_3_has_an_inverted_index() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("golden.mpk");
    generate::write_with_terms(&target).unwrap();
    let made = Parts::of(&std::fs::read(&target).unwrap());
    assert_eq!(made.get("TERMS"), Parts::of(GOLDEN_1_3).get("TERMS"));
    let pack = Pack::open(GOLDEN_1_3).unwrap();
    assert_eq!(pack.id().to_string(), "5482f6fec02f35baa68e2127042169d7a6fc2e991ffed8831898f409dd372651");
    assert_eq!((pack.version(), pack.quality()), ((1, 3), Some(&generate::quality())));
    check_contents(&pack);
    let terms = pack.terms().unwrap().unwrap();
    assert_eq!((terms.analysis(), terms.spread(), terms.len()), (1, 0.15625, 3));
    // 24 times one `a`, 1 to 24 times `reference`, and eight times `第三`.
    assert_eq!((terms.occurrences(), terms.length(0), terms.length(23)), (24 + 300 + 8, 3, 25));
    let list = |term: &str| -> Vec<(u32, u32)> {
        let term = terms.find(term).unwrap().unwrap();
        terms.postings(term).unwrap().map(|posting| posting.map(|posting| (posting.reference, posting.count)).unwrap()).collect()
    };
    assert_eq!(list("a"), (0..REFERENCES).map(|reference| (reference, 1)).collect::<Vec<_>>());
    assert_eq!(list("reference"), (0..REFERENCES).map(|reference| (reference, reference + 1)).collect::<Vec<_>>());
    assert_eq!(list("第三"), (0..REFERENCES).step_by(3).map(|reference| (reference, 1)).collect::<Vec<_>>());
    assert_eq!(terms.find("fever").unwrap(), None);
    no_flipped_byte_is_accepted(GOLDEN_1_3);
}

#[test]
fn the_golden_pack_of_version_1_4_has_metadata() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("golden.mpk");
    generate::write_with_metadata(&target).unwrap();
    let made = Parts::of(&std::fs::read(&target).unwrap());
    assert_eq!(made.get("METADATA"), Parts::of(GOLDEN_1_4).get("METADATA"));
    let pack = Pack::open(GOLDEN_1_4).unwrap();
    assert_eq!(pack.id().to_string(), "f148648d08d9e4f8232488baa93fd8c58d5cae3d66230d013fe5ab7ac7a93f16");
    assert_eq!(pack.version(), (1, 4));
    assert_eq!(pack.terms().unwrap().unwrap().len(), 3);
    check_contents(&pack);
    let metadata = pack.metadata().unwrap().unwrap();
    let fields: Vec<_> = metadata.fields().map(Result::unwrap).collect();
    let shown = |field: &Field<'_>| {
        let of = |document| field.codes(document).unwrap().iter().map(|code| field.value(code.get()).unwrap()).collect::<Vec<_>>();
        format!("{} {}{} {:?}", field.name(), field.kind(), if field.is_list() { "s" } else { "" }, [of(0), of(1), of(2)])
    };
    let expected = [
        r#"court.name text [["BGH"], [], ["最高裁判所"]]"#,
        r#"draft boolean [["true"], ["false"], ["false"]]"#,
        r#"ratio number [[], ["2"], ["-1.5e-3"]]"#,
        r#"tags texts [[], ["b", "a", "b"], [""]]"#,
        r#"time date [["2025-01-02T03:04:05.5+01:00"], ["2025-01-02"], []]"#,
        r#"year integer [["2025"], ["2025"], ["1999"]]"#,
    ];
    assert_eq!(fields.iter().map(shown).collect::<Vec<_>>(), expected);
    no_flipped_byte_is_accepted(GOLDEN_1_4);
}

#[test]
fn the_golden_pack_of_version_1_5_has_coarse_embeddings() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("golden.mpk");
    generate::write_with_coarse_embeddings(&target).unwrap();
    let made = Parts::of(&std::fs::read(&target).unwrap());
    assert_eq!(made.get("EMBED8"), Parts::of(GOLDEN_1_5).get("EMBED8"));
    let pack = Pack::open(GOLDEN_1_5).unwrap();
    assert_eq!(pack.id().to_string(), "9ec10219605f72b93d242d9dd92ba52a17262de70d41a689c00844dec814cb69");
    assert_eq!((pack.version(), Pack::open(GOLDEN_1_4).unwrap().coarse_embeddings().unwrap().is_none()), ((1, 5), true));
    check_contents(&pack);
    let coarse = pack.coarse_embeddings().unwrap().unwrap();
    let largest = (0..REFERENCES).flat_map(generate::embedding).fold(0.0, |largest: f32, value| largest.max(value.abs()));
    for reference in 0..REFERENCES {
        assert_eq!(coarse.row(reference).unwrap(), generate::coarse_row(reference, largest), "{reference}");
    }
    assert!((0..REFERENCES).any(|reference| coarse.row(reference).unwrap().iter().any(|code| code.abs() == 127)));
    no_flipped_byte_is_accepted(GOLDEN_1_5);
}

#[test]
fn the_golden_pack_with_a_budget_has_ragged_records() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("golden.mpk");
    generate::write_with_budget(&target).unwrap();
    let made = std::fs::read(&target).unwrap();
    for (made, golden) in Parts::of(&made).0.iter().zip(&Parts::of(GOLDEN_BUDGET).0) {
        assert_eq!((made.tag, made.flags), (golden.tag, golden.flags));
        if !made.tag.starts_with(b"TEXT") {
            assert_eq!(made.bytes, golden.bytes, "section {}", String::from_utf8_lossy(&made.tag));
        }
    }
    let pack = Pack::open(GOLDEN_BUDGET).unwrap();
    assert_eq!(pack.id().to_string(), "63ed93a0b28291d5b5696a6f0c74e6222cdca0e4f5efbe3d5f366d0ccffbc6ee");
    assert_eq!((pack.version(), &pack.manifest().model.shape), ((1, 2), &generate::shape_with_budget()));
    assert_eq!((pack.record_bytes(), pack.section(Tag::BUDGET).unwrap()), (11 * 5, &[3, 0, 1, 7][..]));
    let codec = pack.codec().unwrap();
    let mut memory = Memory::empty(codec.shape().clone());
    for reference in 0..REFERENCES {
        let record = generate::record_with_budget(reference);
        assert_eq!(pack.record(reference).unwrap(), record);
        codec.decode_memory(&record, &mut memory).unwrap();
        assert_eq!(memory.positions, record[..11]);
        // By hand: slots 0 to 2 are of head 0 of layer 0, slot 3 of head 0 of layer 1, the rest of its head 1.
        for (kind, vectors) in [&memory.keys, &memory.values].into_iter().enumerate() {
            for (slot, vector) in vectors.chunks(8).enumerate() {
                let group = kind * 4 + if slot < 3 { 0 } else { slot.min(4) - 1 };
                let at = 11 + 2 * (kind * 11 + slot);
                let mut expected = vec![0.0; 8];
                if record[slot] != EMPTY_SLOT {
                    codec.decode(group, &record[at..at + 2], &mut expected).unwrap();
                }
                assert_eq!(vector, expected, "reference {reference}, kind {kind}, slot {slot}");
            }
        }
    }
    verify(&pack).unwrap();
    no_flipped_byte_is_accepted(GOLDEN_BUDGET);
}

fn no_flipped_byte_is_accepted(golden: &[u8]) {
    for_all((golden.len() - 4096) / stride(), |at| {
        let at = at * stride();
        let mut damaged = golden.to_vec();
        damaged[4096 + at] ^= 1 << (at % 8);
        assert!(!matches!(exercise(&damaged), Ok(Ok(_))), "byte {at} behind the header was flipped, and the pack was found whole");
    });
}

#[test]
fn the_golden_pack_reads_as_it_was_written() {
    let pack = Pack::open(GOLDEN).unwrap();
    assert_eq!(pack.id().to_string(), "43fdfb7c291abac0a387a9af356ca6748aeeb1fe3e9e59b1f98dd79c8abbfabc");
    assert_eq!((pack.version(), pack.quality()), ((1, 0), None));
    check_contents(&pack);
}

#[test]
fn a_pack_reads_at_any_alignment() {
    for shift in 1..4 {
        let mut shifted = vec![0xAA; shift];
        shifted.extend(GOLDEN);
        check_contents(&Pack::open(&shifted[shift..]).unwrap());
    }
}

fn check_contents<D: AsRef<[u8]>>(pack: &Pack<D>) {
    let manifest = pack.manifest();
    assert_eq!(manifest.model, generate::model());
    assert_eq!(EmbedderIdentity { prompts: None, ..manifest.embedder.clone() }, generate::embedder());
    assert_eq!((manifest.generator.as_str(), manifest.precision.as_str(), manifest.codec.as_str()), (generate::GENERATOR, "f32", "PQ4x3"));
    assert_eq!(manifest.graph, Some(generate::GRAPH));
    assert_eq!((manifest.counts.documents, manifest.counts.references), (DOCUMENTS, REFERENCES));
    for number in 0..DOCUMENTS {
        assert_eq!(pack.document(number).unwrap(), generate::document(number));
    }
    pack.check_leaves().unwrap();
    pack.check_text_block(0).unwrap();
    let (codec, graph) = (pack.codec().unwrap(), pack.graph().unwrap().unwrap());
    let mut memory = Memory::empty(generate::SHAPE);
    for reference in 0..REFERENCES {
        let info = pack.reference(reference).unwrap();
        assert_eq!((info.key, info.tokens), (generate::key(reference), generate::tokens(reference)));
        assert_eq!(pack.text(reference).unwrap(), generate::text(reference));
        assert_eq!(pack.origins(reference).unwrap().collect::<Vec<_>>(), generate::origins(reference));
        assert_eq!(pack.record(reference).unwrap(), generate::record(reference));
        pack.check_record(reference).unwrap();
        pack.check_embedding(reference).unwrap();
        let embedding: Vec<f32> = pack.embedding(reference).unwrap().iter().map(|value| value.get()).collect();
        assert_eq!(embedding, generate::embedding(reference));
        codec.decode_memory(pack.record(reference).unwrap(), &mut memory).unwrap();
        check_vectors(reference, &memory);
        check_lists(&graph, reference);
    }
    let report = verify(pack).unwrap();
    assert_eq!(
        (report.id, report.bytes, report.sections, report.counts),
        (
            pack.id(),
            pack.bytes(),
            12 + [
                pack.quality().is_some(),
                pack.manifest().embedder.prompts.is_some(),
                pack.terms().unwrap().is_some(),
                pack.metadata().unwrap().is_some(),
                pack.coarse_embeddings().unwrap().is_some(),
                pack.places().unwrap().is_some()
            ]
            .into_iter()
            .map(usize::from)
            .sum::<usize>(),
            manifest.counts
        )
    );
}

#[test]
fn the_golden_pack_of_version_1_6_has_places() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("golden.mpk");
    generate::write_with_places(&target).unwrap();
    let made = Parts::of(&std::fs::read(&target).unwrap());
    assert_eq!(made.get("PLACES"), Parts::of(GOLDEN_1_6).get("PLACES"));
    let pack = Pack::open(GOLDEN_1_6).unwrap();
    assert_eq!(pack.id().to_string(), "e87de66b20f8b42dd4b6f4a2f5581f890d6de080e268f04ca1387a38d5da442c");
    assert_eq!((pack.version(), Pack::open(GOLDEN_1_5).unwrap().places().unwrap().is_none()), ((1, 6), true));
    check_contents(&pack);
    let places = pack.places().unwrap().unwrap();
    for origin in 0..places.documents() {
        assert_eq!(OriginPlace::read(&places, origin).unwrap(), generate::place(origin), "{origin}");
    }
    assert_eq!(OriginPlace::read(&places, 6).unwrap().to_string(), "pp. 2-3, § 6 to § 7");
    assert_eq!(OriginPlace::read(&places, 7).unwrap().to_string(), "Teil I > § 7");
    no_flipped_byte_is_accepted(GOLDEN_1_6);
}

/// The vectors as SPEC 9 has them: the tables are ramps, so their entries can be computed.
fn check_vectors(reference: u32, memory: &Memory) {
    let record = generate::record(reference);
    let (slots, dim) = (memory.shape.slots(), memory.shape.head_dim as usize);
    assert_eq!(memory.positions, record[..slots]);
    for (kind, vectors) in [&memory.keys, &memory.values].into_iter().enumerate() {
        for slot in 0..slots {
            let at = slots + 2 * (kind * slots + slot);
            let code = u16::from_le_bytes([record[at], record[at + 1]]);
            let group = kind * 4 + slot / 4;
            for dimension in 0..dim {
                let (part, row) = (dimension / 2, code >> (3 * (dimension / 2)) & 7);
                let value = (group as f32 - 3.5) + part as f32 * 0.25 + f32::from(row) * 0.125 - (dimension % 2) as f32;
                let expected = if record[slot] == EMPTY_SLOT { 0.0 } else { value };
                assert_eq!(
                    vectors[slot * dim + dimension],
                    expected,
                    "reference {reference}, kind {kind}, slot {slot}, dimension {dimension}"
                );
            }
        }
    }
}

fn check_lists(graph: &mempack_format::Graph<'_>, node: u32) {
    use mempack_format::GraphSource;
    let source = generate::Rings;
    assert_eq!((graph.nodes(), graph.m(), graph.entry(), graph.max_level()), (source.nodes(), 3, Some(source.entry()), 2));
    assert_eq!(graph.level_of(node), source.level(node));
    for level in 0..=source.level(node) {
        let mut expected = Vec::new();
        source.neighbours(node, level, &mut expected);
        let found: Vec<u32> = graph.neighbours(node, level).unwrap().iter().map(|id| id.get()).collect();
        assert_eq!(found, expected, "node {node}, level {level}");
    }
    assert!(graph.neighbours(node, source.level(node) + 1).unwrap().is_empty());
}

/// The golden pack of version 1.1, which has one section more.
const GOLDEN_1_1: &[u8] = include_bytes!("golden/v1.1.mpk");
const GOLDEN_1_2: &[u8] = include_bytes!("golden/v1.2.mpk");
const GOLDEN_1_3: &[u8] = include_bytes!("golden/v1.3.mpk");
const GOLDEN_1_4: &[u8] = include_bytes!("golden/v1.4.mpk");
const GOLDEN_1_5: &[u8] = include_bytes!("golden/v1.5.mpk");
const GOLDEN_1_6: &[u8] = include_bytes!("golden/v1.6.mpk");
const GOLDEN_BUDGET: &[u8] = include_bytes!("golden/v1.2-budget.mpk");

/// Every byte with MEMPACK_THOROUGH (`make thorough`), else every fifth.
fn stride() -> usize {
    if std::env::var_os("MEMPACK_THOROUGH").is_some() { 1 } else { 5 }
}

/// Runs `check` for all of `0..count`, on every core.
fn for_all(count: usize, check: impl Fn(usize) + Sync) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let check = &check;
            scope.spawn(move || (thread..count).step_by(threads).for_each(check));
        }
    });
}

#[test]
fn every_flipped_byte_is_refused() {
    for_all(GOLDEN.len() / stride(), |at| {
        let at = at * stride();
        let mut damaged = GOLDEN.to_vec();
        // Another bit of each byte, and every seventh byte all its bits.
        damaged[at] ^= if at.is_multiple_of(7) { 0xFF } else { 1 << (at % 8) };
        if let Ok(Ok(report)) = exercise(&damaged) {
            panic!("byte {at} was flipped, and the pack was found whole: {report:?}");
        }
    });
}

#[test]
fn a_flipped_byte_is_reported_where_it_is() {
    let pack = Pack::open(GOLDEN).unwrap();
    for section in pack.sections().iter().filter(|section| section.tag != Tag::MANIFEST) {
        let at = (section.offset + section.length / 2) as usize;
        let mut damaged = GOLDEN.to_vec();
        damaged[at] ^= 0x10;
        let Err(VerifyError::Damaged(damage)) = verify(&Pack::open(&damaged[..]).unwrap()) else { panic!("{}", section.tag) };
        assert_eq!(damage.section, section.tag);
        assert!(section.offset <= damage.offset && damage.offset <= at as u64, "{damage}");
        let named = damage.to_string();
        assert!(named.contains(&section.tag.to_string()) && named.contains(&damage.offset.to_string()), "{named}");
    }
    let memories = *pack.sections().iter().find(|section| section.tag == Tag::MEMORIES).unwrap();
    let mut damaged = GOLDEN.to_vec();
    damaged[(memories.offset + 5 * pack.record_bytes() + 3) as usize] ^= 1;
    let damaged = Pack::open(&damaged[..]).unwrap();
    let error = damaged.check_record(5).unwrap_err().to_string();
    assert!(error.contains("memory 5") && error.contains("MEMORIES"), "{error}");
    damaged.check_record(4).unwrap();
    let Err(VerifyError::Damaged(damage)) = verify(&damaged) else { panic!() };
    assert!(matches!(damage.defect, Defect::Leaf { kind: LeafKind::Memory, number: 5, .. }));
}

#[test]
fn every_truncation_is_refused() {
    let sections = Pack::open(GOLDEN).unwrap().sections().to_vec();
    let edges = sections.iter().flat_map(|section| [section.offset as usize, (section.offset + section.length) as usize]);
    let around = edges.chain([0, 4, 8, 96, 128, 4096]).flat_map(|edge| edge.saturating_sub(2)..edge + 3);
    let lengths: Vec<usize> = (0..GOLDEN.len()).step_by(64).chain(around).filter(|length| *length < GOLDEN.len()).collect();
    for length in lengths {
        match Pack::open(&GOLDEN[..length]).unwrap_err() {
            OpenError::NotAPack { found } => assert!(length < 4 && found.len() == length, "{length}"),
            OpenError::Truncated { expected, found } => {
                assert_eq!((expected, found), (if length < 4096 { 4096 } else { GOLDEN.len() as u64 }, length as u64));
            }
            other => panic!("cut at {length}: {other}"),
        }
    }
    let mut longer = GOLDEN.to_vec();
    longer.push(0);
    assert!(matches!(Pack::open(&longer[..]), Err(OpenError::TooLong { .. })));
}

#[test]
fn verification_reports_progress_and_can_be_ended() {
    let pack = Pack::open(GOLDEN).unwrap();
    let mut last = 0;
    pack.verify(&mut |progress| {
        assert!(progress.done >= last && progress.done <= progress.total);
        last = progress.done;
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(last, pack.sections().iter().map(|section| section.length).sum::<u64>());
    let ended = pack.verify(&mut |_| std::ops::ControlFlow::Break(()));
    assert!(matches!(ended, Err(VerifyError::Interrupted { .. })));
}
