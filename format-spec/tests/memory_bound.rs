//! Writing and verifying take no more memory than they say, however large the pack. Alone in its process: it counts
//! every allocation.

#[path = "common/counting.rs"]
mod counting;

use std::ops::ControlFlow;

use counting::peak;

use mempack_format::{
    CodecSpec, Digest, Document, EMPTY_SLOT, EmbedderIdentity, GraphParameters, GraphSource, MemoryShape, ModelIdentity, Origin, Pack,
    PackWriter, Scope, VERIFY_MEMORY_BYTES, WRITER_MEMORY_BYTES,
};

const SHAPE: MemoryShape = MemoryShape::new(2, 2, 8, 16);
const DIM: u32 = 32;

struct Chain(u32);

impl GraphSource for Chain {
    fn nodes(&self) -> u32 {
        self.0
    }

    fn entry(&self) -> u32 {
        0
    }

    fn level(&self, node: u32) -> u32 {
        u32::from(node == 0)
    }

    fn neighbours(&self, node: u32, level: u32, out: &mut Vec<u32>) {
        let next = (node + 1) % self.0;
        if level == 0 && next != node {
            out.push(next);
        }
    }
}

fn write(target: &std::path::Path, references: u32) {
    let mut writer = PackWriter::create(target, SHAPE, DIM).unwrap();
    writer.set_codec(&CodecSpec::BF16, &0u32.to_le_bytes()).unwrap();
    let mut embedding = vec![0.0; DIM as usize];
    embedding[1] = 1.0;
    let slots = SHAPE.slots();
    let mut record = vec![EMPTY_SLOT; slots];
    record.resize(slots * (1 + 2 * 32), 0);
    for reference in 0..references {
        let document = writer.push_document(&Document { id: reference.to_string(), ..Document::default() }).unwrap();
        // Words that compress badly, and now and then the longest text there may be.
        let word = Digest::of(&reference.to_le_bytes()).to_string();
        let text = if reference % 500 == 0 { "x".repeat(1 << 20) } else { word.repeat(5) };
        let origin = Origin { document, start: 0, end: text.len() as u64 };
        writer.push_reference(&Digest::of(&reference.to_le_bytes()), 100, &text, &[origin]).unwrap();
        writer.push_memory(&record).unwrap();
        writer.push_embedding(&embedding).unwrap();
    }
    writer.set_graph(&Chain(references), GraphParameters { m: 8, ef_construction: 8 }).unwrap();
    let digest = Digest::of(b"");
    let model = ModelIdentity {
        name: String::new(),
        weights: digest,
        adapter: None,
        config: digest,
        tokenizer: digest,
        layers: 4,
        first_memory_layer: 1,
        query_heads: 4,
        shape: SHAPE,
        rope_base: 1e4,
        prefix_ids: vec![1],
        reference_length: 128,
        reference_template: "{text}".into(),
        selection: "attention-sum-pre-rope-v1".into(),
    };
    let embedder = EmbedderIdentity { name: String::new(), digest, dim: DIM, metric: "cosine".into(), max_tokens: 512, prompts: None };
    writer.finish(model, "f32", embedder, "memory bound").unwrap();
}

#[test]
fn memory_does_not_grow_with_the_pack() {
    let folder = tempfile::tempdir().unwrap();
    for references in [600, 6000] {
        let target = folder.path().join("pack.mpk");
        let ((), written) = peak(|| write(&target, references));
        let bytes = std::fs::read(&target).unwrap();
        let (pack, opened) = peak(|| Pack::open(&bytes[..]).unwrap());
        let (report, verified) = peak(|| pack.verify(&mut |_| ControlFlow::Continue(())).unwrap());
        // Damage wherever there can be some: every memory, every embedding, every block, and most of the rest.
        let mut damaged = bytes.clone();
        for section in pack.sections().iter().filter(|section| !["MANIFEST", "LEAVES"].contains(&section.tag.to_string().as_str())) {
            damaged[section.offset as usize..][..section.length as usize].iter_mut().step_by(61).for_each(|byte| *byte ^= 0x40);
        }
        let damaged = Pack::open(&damaged[..]).unwrap();
        let (report_of_damage, surveyed) = peak(|| damaged.survey(Scope::Whole, &mut |_| ControlFlow::Continue(())).unwrap());
        assert!(report_of_damage.damages >= 2 * u64::from(references), "{report_of_damage:?}");
        assert!(surveyed <= VERIFY_MEMORY_BYTES, "{surveyed} bytes while all is damaged");
        let ((), read) = peak(|| (0..references).step_by(100).for_each(|reference| drop(pack.text(reference).unwrap())));
        println!(
            "{references} references, {} bytes: {written} writing, {opened} opening, {verified} verifying, {read} reading",
            report.bytes
        );
        assert!(written <= WRITER_MEMORY_BYTES, "{written} bytes while writing");
        assert!(opened <= 64 << 10, "{opened} bytes while opening");
        assert!(verified <= VERIFY_MEMORY_BYTES, "{verified} bytes while verifying");
        assert!(read <= VERIFY_MEMORY_BYTES, "{read} bytes while reading texts");
    }
}
