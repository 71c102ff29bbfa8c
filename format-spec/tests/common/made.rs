//! Packs of several text blocks, made by formulas: two of them that share references share the bytes of their memories, embeddings
//! and, where they begin alike, text blocks.

use std::ops::Range;

use mempack_format::*;

pub const SHAPE: MemoryShape = MemoryShape::new(1, 2, 4, 8);
/// Bytes of a memory record and of an embedding.
pub const RECORD: u64 = 8 * (1 + 2 * 4 * 8);
pub const ROW: u64 = 4 * DIM as u64;
const DIM: usize = 16;

/// Numbers that do not compress, and that the seed decides.
fn noise(seed: u64) -> impl Iterator<Item = u64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    })
}

fn text(reference: u64) -> String {
    let words = noise(reference + 1).take(60).map(|word| format!("{word:016x}"));
    format!("Reference {reference}: {}", words.collect::<Vec<_>>().join(" "))
}

fn record(reference: u64) -> Vec<u8> {
    let positions = [0u8, 1, 5, 9, 2, 3, 4, 90];
    let floats = noise(reference + 1_000_000).take(128).map(|number| (number % 1000) as f32 / 500.0 - 1.0);
    positions.into_iter().chain(floats.flat_map(|float| float.to_le_bytes())).collect()
}

fn embedding(reference: u64) -> Vec<f32> {
    let floats: Vec<f64> = noise(reference + 2_000_000).take(DIM).map(|number| (number % 1000) as f64 / 500.0 - 1.0).collect();
    let length = floats.iter().map(|float| float * float).sum::<f64>().sqrt();
    floats.iter().map(|float| (float / length) as f32).collect()
}

/// A ring, on one level.
struct Ring(u32);

impl GraphSource for Ring {
    fn nodes(&self) -> u32 {
        self.0
    }

    fn entry(&self) -> u32 {
        0
    }

    fn level(&self, _node: u32) -> u32 {
        0
    }

    fn neighbours(&self, node: u32, _level: u32, out: &mut Vec<u32>) {
        out.extend([(node + 1) % self.0, (node + self.0 - 1) % self.0]);
    }
}

/// A pack of these references, each of a document of its own, in their order.
pub fn pack(references: Range<u64>) -> Vec<u8> {
    write(references, |_| ())
}

/// As [`pack`], with coarse embeddings.
#[allow(dead_code)] // Not every test with these packs needs them.
pub fn with_coarse_embeddings(references: Range<u64>) -> Vec<u8> {
    write(references, PackWriter::add_coarse_embeddings)
}

fn write(references: Range<u64>, add: impl FnOnce(&mut PackWriter)) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("made.mpk");
    let mut writer = PackWriter::create(&target, SHAPE, DIM as u32).unwrap();
    writer.set_codec(&CodecSpec::F32, &0u32.to_le_bytes()).unwrap();
    let count = (references.end - references.start) as u32;
    for reference in references {
        let (id, text) = (format!("document-{reference}"), text(reference));
        let document = writer.push_document(&Document { id, title: "A document".into(), ..Document::default() }).unwrap();
        let origin = Origin { document, start: 0, end: text.len() as u64 };
        writer.push_reference(&Digest::of(&reference.to_le_bytes()), 100, &text, &[origin]).unwrap();
        writer.push_memory(&record(reference)).unwrap();
        writer.push_embedding(&embedding(reference)).unwrap();
    }
    writer.set_graph(&Ring(count), GraphParameters { m: 2, ef_construction: 10 }).unwrap();
    add(&mut writer);
    let digest = Digest::of(b"made");
    let model = ModelIdentity {
        name: "made".into(),
        weights: digest,
        adapter: None,
        config: digest,
        tokenizer: digest,
        layers: 1,
        first_memory_layer: 0,
        query_heads: 2,
        shape: SHAPE,
        rope_base: 1e4,
        prefix_ids: vec![1],
        reference_length: 128,
        reference_template: "{text}".into(),
        selection: "attention-sum-pre-rope-v1".into(),
    };
    let embedder =
        EmbedderIdentity { name: "made".into(), digest, dim: DIM as u32, metric: "cosine".into(), max_tokens: 256, prompts: None };
    writer.finish(model, "f32", embedder, "tests").unwrap();
    std::fs::read(&target).unwrap()
}

/// Where a section begins in a pack, and its bytes.
pub fn section(pack: &[u8], tag: &str) -> (usize, usize) {
    let opened = Pack::open(pack).unwrap();
    let section = opened.sections().iter().find(|section| section.tag.to_string() == tag).unwrap();
    (section.offset as usize, section.length as usize)
}

/// Flips a bit at a byte of a section of a pack, which need not open any more; `like` is the pack as it was.
pub fn flip(damaged: &mut [u8], like: &[u8], tag: &str, at: u64) {
    damaged[section(like, tag).0 + at as usize] ^= 0x10;
}
