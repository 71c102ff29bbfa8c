//! What is written is read again, whatever it is; and no bytes at all make the reader panic.

mod common;

use std::path::Path;

use common::{GOLDEN, exercise, verify};
use mempack_format::{
    CodecSpec, Digest, Document, EMPTY_SLOT, EmbedderIdentity, GraphParameters, GraphSource, Memory, MemoryShape, ModelIdentity, Origin,
    Pack, PackWriter, WriteError,
};
use mempack_hostile::{Parts, seal};
use proptest::prelude::*;

/// One reference with all that belongs to it; its memory is coded as it is, in F32.
#[derive(Clone, Debug)]
struct Entry {
    text: String,
    tokens: u16,
    origins: Vec<Origin>,
    positions: Vec<u8>,
    floats: Vec<f32>,
    embedding: Vec<f32>,
}

#[derive(Clone, Debug)]
struct Content {
    shape: MemoryShape,
    documents: Vec<Document>,
    entries: Vec<Entry>,
    graph: Option<Lists>,
}

#[derive(Clone, Debug)]
struct Lists {
    m: u32,
    levels: Vec<u32>,
    /// For a node and a level, candidates of which those that may be neighbours are taken.
    candidates: Vec<Vec<u32>>,
}

impl GraphSource for Lists {
    fn nodes(&self) -> u32 {
        self.levels.len() as u32
    }

    fn entry(&self) -> u32 {
        let highest = self.levels.iter().max();
        self.levels.iter().position(|level| Some(level) == highest).unwrap() as u32
    }

    fn level(&self, node: u32) -> u32 {
        self.levels[node as usize]
    }

    fn neighbours(&self, node: u32, level: u32, out: &mut Vec<u32>) {
        for id in self.candidates[node as usize].iter().map(|id| id % self.nodes()) {
            let room = out.len() < if level == 0 { 2 * self.m } else { self.m } as usize;
            if room && id != node && self.level(id) >= level && !out.contains(&id) {
                out.push(id);
            }
        }
    }
}

/// No two references have one.
fn key(reference: u32) -> Digest {
    Digest::of(&reference.to_le_bytes())
}

fn write(content: &Content, target: &Path) -> Result<(), WriteError> {
    let dim = content.entries.first().map_or(3, |entry| entry.embedding.len() as u32);
    let mut writer = PackWriter::create(target, content.shape.clone(), dim)?;
    for document in &content.documents {
        writer.push_document(document)?;
    }
    // Each kind for itself, and the codec late: the order does not matter.
    for (reference, entry) in (0..).zip(&content.entries) {
        writer.push_reference(&key(reference), entry.tokens, &entry.text, &entry.origins)?;
    }
    for entry in &content.entries {
        writer.push_embedding(&entry.embedding)?;
    }
    if let Some(graph) = &content.graph {
        writer.set_graph(graph, GraphParameters { m: graph.m, ef_construction: 100 })?;
    }
    writer.set_codec(&CodecSpec::F32, &0u32.to_le_bytes())?;
    for entry in &content.entries {
        let codes = entry.floats.iter().flat_map(|value| value.to_le_bytes());
        writer.push_memory(&entry.positions.iter().copied().chain(codes).collect::<Vec<u8>>())?;
    }
    let digest = Digest::of(b"");
    let model = ModelIdentity {
        name: String::new(),
        weights: digest,
        adapter: None,
        config: digest,
        tokenizer: digest,
        layers: content.shape.layers + 2,
        first_memory_layer: 2,
        query_heads: 3 * content.shape.heads,
        shape: content.shape.clone(),
        rope_base: 500_000.5,
        prefix_ids: vec![],
        reference_length: 200,
        reference_template: "Reference: {text}".into(),
        selection: "attention-sum-pre-rope-v1".into(),
    };
    let embedder = EmbedderIdentity { name: String::new(), digest, dim, metric: "cosine".into(), max_tokens: 512, prompts: None };
    writer.finish(model, "bf16", embedder, "round trip").map(|_| ())
}

fn check(content: &Content, pack: &Pack<Vec<u8>>) {
    let counts = pack.manifest().counts;
    assert_eq!((counts.documents as usize, counts.references as usize), (content.documents.len(), content.entries.len()));
    for (number, document) in content.documents.iter().enumerate() {
        assert_eq!(&pack.document(number as u32).unwrap(), document);
    }
    let codec = pack.codec().unwrap();
    let mut memory = Memory::empty(content.shape.clone());
    for (reference, entry) in (0..).zip(&content.entries) {
        let info = pack.reference(reference).unwrap();
        assert_eq!((info.key, info.tokens), (key(reference), entry.tokens));
        assert_eq!(pack.text(reference).unwrap(), entry.text);
        assert_eq!(pack.origins(reference).unwrap().collect::<Vec<_>>(), entry.origins);
        assert_eq!(pack.embedding(reference).unwrap().iter().map(|value| value.get()).collect::<Vec<_>>(), entry.embedding);
        pack.check_record(reference).unwrap();
        codec.decode_memory(pack.record(reference).unwrap(), &mut memory).unwrap();
        assert_eq!(memory.positions, entry.positions);
        assert_eq!([&memory.keys[..], &memory.values[..]].concat(), entry.floats);
    }
    let graph = pack.graph().unwrap();
    assert_eq!(graph.is_some(), content.graph.is_some());
    if let (Some(graph), Some(lists)) = (graph, &content.graph) {
        for node in 0..lists.nodes() {
            assert_eq!(graph.level_of(node), lists.level(node));
            for level in 0..=lists.level(node) {
                let mut expected = Vec::new();
                lists.neighbours(node, level, &mut expected);
                assert_eq!(graph.neighbours(node, level).unwrap().iter().map(|id| id.get()).collect::<Vec<_>>(), expected);
            }
        }
    }
    verify(pack).unwrap();
}

fn entry(shape: MemoryShape, documents: u32, dim: usize) -> impl Strategy<Value = Entry> {
    let slots = shape.slots();
    // Now and then a text of more than a block.
    let text = prop_oneof![9 => ".{0,80}".boxed(), 1 => (".{1,8}", 1usize..9000).prop_map(|(text, times)| text.repeat(times)).boxed()];
    let origins = prop::collection::vec((0..documents, any::<u64>(), any::<u64>()), 1..4);
    let filled = prop::collection::vec(0..=shape.tokens as usize, (shape.layers * shape.heads) as usize);
    let floats = prop::collection::vec(-1e6f32..1e6, 2 * shape.floats());
    let embedding = prop::collection::vec(-1.0f32..1.0, dim);
    (text, 1..=200u16, origins, filled, 0..8u8, floats, embedding).prop_map(
        move |(text, tokens, origins, filled, step, mut floats, row)| {
            let origins = origins.into_iter().map(|(document, a, b)| Origin { document, start: a.min(b), end: a.max(b) }).collect();
            let position = |slot: usize| match slot % shape.tokens as usize {
                token if token < filled[slot / shape.tokens as usize] => token as u8 * (1 + step) + step,
                _ => EMPTY_SLOT,
            };
            let positions: Vec<u8> = (0..slots).map(position).collect();
            for (at, value) in floats.iter_mut().enumerate() {
                if positions[at / shape.head_dim as usize % slots] == EMPTY_SLOT {
                    *value = 0.0;
                }
            }
            let length = row.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
            let mut embedding: Vec<f32> = row.iter().map(|value| (f64::from(*value) / length) as f32).collect();
            if length < 1e-3 {
                embedding.fill(0.0);
                embedding[0] = -1.0;
            }
            Entry { text, tokens, origins, positions, floats, embedding }
        },
    )
}

fn content() -> impl Strategy<Value = Content> {
    let shape = (1..4u32, 1..4u32, 1..9u32, 1..9u32)
        .prop_map(|(layers, heads, tokens, head_dim)| MemoryShape::new(layers, heads, tokens, head_dim));
    let document = prop::array::uniform6(".{0,20}").prop_map(|[id, title, license, source, version, date]| Document {
        id,
        title,
        license,
        source,
        version,
        date,
    });
    let documents = prop::collection::vec(document, 1..5);
    (shape, documents, 1..12usize, 0..20usize).prop_flat_map(|(shape, documents, dim, count)| {
        let entries = prop::collection::vec(entry(shape.clone(), documents.len() as u32, dim), count);
        let levels = prop::collection::vec(prop_oneof![8 => Just(0u32), 2 => 1..4u32], count);
        let candidates = prop::collection::vec(prop::collection::vec(any::<u32>(), 0..20), count);
        let graph = prop::option::of((1..6u32, levels, candidates).prop_map(|(m, levels, candidates)| Lists { m, levels, candidates }));
        (Just(shape), Just(documents), entries, graph).prop_map(|(shape, documents, entries, graph)| Content {
            shape,
            documents,
            entries,
            graph,
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_written_is_read(content in content()) {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("first.mpk"), folder.path().join("second.mpk"));
        write(&content, &first).unwrap();
        write(&content, &second).unwrap();
        let (first, second) = (std::fs::read(first).unwrap(), std::fs::read(second).unwrap());
        prop_assert!(first == second, "the same content gave other bytes");
        check(&content, &Pack::open(first).unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..9000), magic: bool, sealed: bool) {
        let mut bytes = bytes;
        if magic && bytes.len() >= 10 {
            bytes[..10].copy_from_slice(&GOLDEN[..10]);
        }
        if sealed && bytes.len() >= 4096 {
            seal(&mut bytes);
        }
        prop_assert!(exercise(&bytes).is_err());
    }

    /// Any change of any bytes, with all digests made right afterwards: whatever the checks behind the digests say, nothing panics.
    #[test]
    fn sealed_damage_never_panics(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12), leaves: bool) {
        let mut parts = Parts::of(GOLDEN);
        let total: usize = parts.0.iter().map(|part| part.bytes.len()).sum();
        for (index, byte) in changes {
            let mut at = index.index(total);
            let part = parts.0.iter_mut().find(|part| {
                let inside = at < part.bytes.len();
                at -= if inside { 0 } else { part.bytes.len() };
                inside
            });
            part.unwrap().bytes[at] = byte;
        }
        if leaves {
            parts.seal_leaves();
        }
        let _ = exercise(&parts.assemble());
    }

    /// As above, of the header page and the section table.
    #[test]
    fn sealed_damage_of_the_header_never_panics(changes in prop::collection::vec((10..1000usize, any::<u8>()), 1..6)) {
        let mut bytes = GOLDEN.to_vec();
        changes.iter().for_each(|(at, byte)| bytes[*at] = *byte);
        seal(&mut bytes);
        let _ = exercise(&bytes);
    }

    /// Numbers near the ends of their types, at any aligned place of any section.
    #[test]
    fn extreme_numbers_never_panic(part in 0..12usize, at: prop::sample::Index, value in prop::sample::select(vec![
        0u64, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF, 1 << 32, 1 << 40, i64::MAX as u64, 1 << 63, u64::MAX - 4096, u64::MAX,
    ])) {
        let mut parts = Parts::of(GOLDEN);
        let bytes = &mut parts.0[part].bytes;
        let at = at.index(bytes.len() / 4) * 4;
        let end = bytes.len().min(at + 8);
        bytes[at..end].copy_from_slice(&value.to_le_bytes()[..end - at]);
        let _ = exercise(&parts.assemble());
    }
}
