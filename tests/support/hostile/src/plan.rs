//! Whole packs whose contents follow from formulas.

use std::path::Path;

use mempack_format::stages::Tcq;
use mempack_format::{
    CONTINUED, CodecSpec, Digest, Divergence, Document, EMPTY_SLOT, EmbedderIdentity, EmbedderPrompts, FieldColumn, FieldKind,
    GraphParameters, GraphSource, Loss, MemoryShape, ModelIdentity, Origin, PackSummary, PackWriter, Posting, Quality, TermSource,
    WriteError,
};

use crate::Random;

/// The contents of a pack. It has every section, a graph of three levels, and two origins for every fourth reference.
#[derive(Clone, Debug)]
pub struct Plan {
    /// References; at least 10.
    pub references: u32,
    /// Documents; at least 2.
    pub documents: u32,
    /// Shape of a memory.
    pub shape: MemoryShape,
    /// Codec; a group serves two heads.
    pub codec: CodecSpec,
    /// Dimensions of an embedding.
    pub dim: u32,
    /// Most neighbours on an upper level.
    pub m: u32,
    /// About the bytes of a text.
    pub text_bytes: usize,
    /// Whether it has an inverted index.
    pub terms: bool,
    /// Whether its documents have metadata.
    pub metadata: bool,
    /// Whether its first two origins have pages.
    pub places: bool,
    /// Whether it has coarse embeddings.
    pub coarse: bool,
}

impl Plan {
    /// A few references in three text blocks, with the caller's codec: 200 KB.
    pub fn small(codec: CodecSpec) -> Self {
        let shape = MemoryShape::new(2, 2, 4, 6);
        Self {
            references: 30,
            documents: 4,
            shape,
            codec,
            dim: 6,
            m: 2,
            text_bytes: 5000,
            terms: false,
            metadata: false,
            places: false,
            coarse: false,
        }
    }

    /// As [`small`](Self::small), with heads that keep different numbers of tokens (SPEC 5.3): 3, 0, 1 and 6.
    pub fn ragged(codec: CodecSpec) -> Self {
        let shape = MemoryShape::with_budget(2, 2, 6, &[3, 0, 1, 6]).expect("a number for each head");
        Self { shape, ..Self::small(codec) }
    }

    /// As [`small`](Self::small), with an inverted index (SPEC 12.1) of three terms.
    pub fn lexical(codec: CodecSpec) -> Self {
        Self { terms: true, ..Self::small(codec) }
    }

    /// As [`small`](Self::small), with places (SPEC 7.1): the page 1 of the first origin, and the pages 2 and 3 of the second.
    pub fn placed(codec: CodecSpec) -> Self {
        Self { places: true, ..Self::small(codec) }
    }

    /// As [`small`](Self::small), with metadata (SPEC 6.1) of three fields.
    pub fn described(codec: CodecSpec) -> Self {
        Self { metadata: true, ..Self::small(codec) }
    }

    /// As [`small`](Self::small), with coarse embeddings (SPEC 11.1).
    pub fn coarse(codec: CodecSpec) -> Self {
        Self { coarse: true, ..Self::small(codec) }
    }

    /// Enough references that a search uses the graph, and little else: 1 MB.
    pub fn wide() -> Self {
        let shape = MemoryShape::new(1, 2, 1, 1);
        Self {
            references: 4200,
            documents: 2,
            shape,
            codec: CodecSpec::BF16,
            dim: 4,
            m: 2,
            text_bytes: 8,
            terms: false,
            metadata: false,
            places: false,
            coarse: false,
        }
    }

    /// Like a real pack: 5 MB.
    pub fn large() -> Self {
        let shape = MemoryShape::new(2, 2, 8, 16);
        Self {
            references: 1750,
            documents: 200,
            shape,
            codec: CodecSpec::BF16,
            dim: 64,
            m: 8,
            text_bytes: 700,
            terms: false,
            metadata: false,
            places: false,
            coarse: false,
        }
    }

    /// Writes the pack.
    ///
    /// # Errors
    /// If the writer fails.
    pub fn write(&self, target: &Path) -> Result<PackSummary, WriteError> {
        let mut writer = PackWriter::create(target, self.shape.clone(), self.dim)?;
        writer.set_codec(&self.codec, &self.parameters())?;
        for number in 0..self.documents {
            let title = if number == 1 { String::new() } else { format!("Título № {number}") };
            writer.push_document(&Document {
                id: format!("document-{number}"),
                title,
                date: "2025-01-31".into(),
                ..Document::default()
            })?;
        }
        for reference in 0..self.references {
            let text = self.text(reference);
            let origin = |document, start| Origin { document, start, end: start + text.len() as u64 };
            let mut origins = vec![origin(reference % self.documents, u64::from(reference) * 10_000)];
            if reference.is_multiple_of(4) {
                origins.push(origin((reference + 1) % self.documents, 1 << 40));
            }
            writer.push_reference(&Digest::of(&reference.to_le_bytes()), tokens(reference), &text, &origins)?;
            writer.push_memory(&self.record(reference))?;
            writer.push_embedding(&self.embedding(reference))?;
        }
        writer.set_graph(&Rings(self.clone()), GraphParameters { m: self.m, ef_construction: 40 })?;
        if self.terms {
            writer.set_terms(&Terms::of(self.references))?;
        }
        if self.coarse {
            writer.add_coarse_embeddings();
        }
        if self.metadata {
            writer.set_metadata(&metadata(self.documents))?;
        }
        if self.places {
            writer.set_places(&[places(self.references + self.references.div_ceil(4))])?;
        }
        if self.codec != CodecSpec::F32 {
            writer.set_quality(self.quality())?;
        }
        let digest = Digest::of(b"an identity");
        let model = ModelIdentity {
            name: "model".into(),
            weights: digest,
            adapter: None,
            config: digest,
            tokenizer: digest,
            layers: self.shape.layers + 2,
            first_memory_layer: 1,
            query_heads: 2 * self.shape.heads,
            shape: self.shape.clone(),
            rope_base: 10_000.0,
            prefix_ids: vec![1, 250, 251, 65_535, 65_536],
            reference_length: 128,
            reference_template: "{text}".into(),
            selection: "attention-sum-pre-rope-v1".into(),
        };
        let embedder = EmbedderIdentity {
            name: "embedder".into(),
            digest,
            dim: self.dim,
            metric: "cosine".into(),
            max_tokens: 256,
            prompts: self.prompts(),
        };
        writer.finish(model, "f32", embedder, "hostile")
    }

    /// SPEC 5.1, with made-up numbers.
    fn quality(&self) -> Quality {
        let layer = |at: u32| Loss { keys: f64::from(at + 1) / 1024.0, values: f64::from(at + 1) / 256.0 };
        let divergence = Some(Divergence { nats: 0.015625, tokens: 1000 });
        Quality { memories: 3, layers: (0..self.shape.layers).map(layer).collect(), divergence }
    }

    /// SPEC 5.2. A pack that has no quality has no prompts either.
    fn prompts(&self) -> Option<EmbedderPrompts> {
        (self.codec != CodecSpec::F32).then(|| EmbedderPrompts { query: "query: ".into(), passage: "passage: ".into() })
    }

    /// The pack's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let target = folder.path().join("plan.mpk");
        self.write(&target).expect("a plan that can be written");
        std::fs::read(&target).expect("what was written")
    }

    /// SPEC 9, with numbers small enough for all sums.
    fn parameters(&self) -> Vec<u8> {
        let floats = self.codec.table_floats(self.shape.head_dim).expect("a codec that fits the shape");
        if floats == 0 {
            return 0u32.to_le_bytes().to_vec();
        }
        let heads = 2 * self.shape.layers * self.shape.heads;
        let groups = heads / 2;
        let mut bytes = groups.to_le_bytes().to_vec();
        bytes.extend((0..heads as u16).flat_map(|head| (head / 2).to_le_bytes()));
        if let Some(Tcq { bytes: code, window }) = self.codec.trellis() {
            // As many bits as a window has to the first dimensions, the rest to the one behind them; the last is in its run.
            let bits = 8 * u32::from(code);
            let new = |dimension: u32| bits.saturating_sub(dimension * u32::from(window)).min(window.into()) as u8;
            let last = self.shape.head_dim - 1;
            let allotment = (0..self.shape.head_dim).map(|dimension| if dimension == last { CONTINUED } else { new(dimension) });
            (0..groups).for_each(|_| bytes.extend(allotment.clone()));
        }
        bytes.extend((0..groups as usize * floats).flat_map(|entry| ((entry % 97) as f32 / 64.0).to_le_bytes()));
        bytes
    }

    fn text(&self, reference: u32) -> String {
        const WORDS: [&str; 8] = ["lease", "dosis", "été", "法律", "notice", "—", "tablet", "№"];
        let mut random = Random::new(u64::from(reference));
        let mut text = format!("{reference}:");
        while text.len() < self.text_bytes * (1 + reference as usize % 3) / 2 {
            text.push_str(WORDS[random.below(8) as usize]);
            text.push_str(&format!(" {:x} ", random.below(1 << 20)));
        }
        text
    }

    /// SPEC 10. References of fewer tokens than slots leave the last slots of every head empty.
    fn record(&self, reference: u32) -> Vec<u8> {
        let of_heads: Vec<u32> = self.shape.slots_of_heads().flat_map(|head| 0..head.len() as u32).collect();
        let slots = of_heads.len() as u32;
        let filled = |slot: u32| of_heads[slot as usize] < u32::from(tokens(reference));
        let mut random = Random::new(!u64::from(reference));
        let position = |slot: u32| if filled(slot) { of_heads[slot as usize] as u8 * 7 + (reference % 16) as u8 } else { EMPTY_SLOT };
        let mut record: Vec<u8> = (0..slots).map(position).collect();
        let code_bytes = self.codec.code_bytes(self.shape.head_dim).expect("a codec that fits the shape");
        for slot in (0..slots).chain(0..slots) {
            let code = match self.codec {
                _ if !filled(slot) => vec![0; code_bytes],
                CodecSpec::F32 => (0..self.shape.head_dim).flat_map(|_| (random.below(4096) as f32 / 512.0 - 4.0).to_le_bytes()).collect(),
                // Below 0x7F80 and above 0x8000 there is neither infinity nor NaN.
                CodecSpec::BF16 => (0..self.shape.head_dim).flat_map(|_| (0x3F00 + random.below(0x100) as u16).to_le_bytes()).collect(),
                CodecSpec::SQ8 => random.bytes(code_bytes),
                _ => {
                    let mut code = random.bytes(code_bytes);
                    let used = self.codec.look_up_bits(self.shape.head_dim).expect("a codec that fits the shape");
                    if !used.is_multiple_of(8) {
                        code[used / 8] &= (1 << (used % 8)) - 1;
                    }
                    code
                }
            };
            record.extend(code);
        }
        record
    }

    fn embedding(&self, reference: u32) -> Vec<f32> {
        let mut random = Random::new(1 << 40 | u64::from(reference));
        let raw: Vec<f64> = (0..self.dim).map(|_| random.below(1 << 20) as f64 - f64::from(1 << 19)).collect();
        let length = raw.iter().map(|value| value * value).sum::<f64>().sqrt();
        raw.iter().map(|value| (value / length) as f32).collect()
    }
}

fn tokens(reference: u32) -> u16 {
    1 + (reference * 11 % 128) as u16
}

/// Three fields: one of text, one of lists, one of integers. Every document has one or two of them.
fn places(origins: u32) -> FieldColumn {
    FieldColumn {
        name: "page".into(),
        kind: FieldKind::Integer,
        list: true,
        values: ["1", "2", "3"].map(Into::into).to_vec(),
        ends: (0..origins).map(|origin| if origin == 0 { 1 } else { 3 }).collect(),
        codes: vec![0, 1, 2],
    }
}

fn metadata(documents: u32) -> Vec<FieldColumn> {
    let field = |name: &str, kind, list, values: [&str; 2], of: &[&[u32]; 4]| {
        let (mut ends, mut codes) = (Vec::new(), Vec::new());
        for document in 0..documents as usize {
            codes.extend(of[document % 4]);
            ends.push(codes.len() as u32);
        }
        FieldColumn { name: name.into(), kind, list, values: values.map(String::from).into(), ends, codes }
    };
    vec![
        field("court.name", FieldKind::Text, false, ["BGH", "裁判所"], &[&[0], &[1], &[], &[0]]),
        field("tags", FieldKind::Text, true, ["a", "b"], &[&[1, 0, 1], &[], &[0], &[]]),
        field("year", FieldKind::Integer, false, ["-7", "2021"], &[&[], &[1], &[], &[0]]),
    ]
}

/// Three terms: one in every second reference, one in every fifth and several times, one in the last.
struct Terms {
    lengths: Vec<u32>,
    terms: [(&'static str, Vec<Posting>); 3],
}

impl Terms {
    fn of(references: u32) -> Self {
        let list = |wanted: &dyn Fn(u32) -> u32| {
            let posting = |reference| Posting { reference, count: wanted(reference) };
            (0..references).map(posting).filter(|posting| posting.count > 0).collect::<Vec<_>>()
        };
        let terms = [
            ("dosis", list(&|reference| u32::from(reference.is_multiple_of(2)))),
            ("lease", list(&|reference| if reference.is_multiple_of(5) { 1 + reference } else { 0 })),
            ("法律", list(&|reference| 3 * u32::from(reference + 1 == references))),
        ];
        let mut lengths = vec![0; references as usize];
        terms.iter().flat_map(|(_, list)| list).for_each(|posting| lengths[posting.reference as usize] += posting.count);
        Self { lengths, terms }
    }
}

impl TermSource for Terms {
    fn analysis(&self) -> u32 {
        1
    }

    fn spread(&self) -> f64 {
        0.125
    }

    fn lengths(&self) -> &[u32] {
        &self.lengths
    }

    fn terms(&self) -> impl Iterator<Item = (&str, impl ExactSizeIterator<Item = Posting>)> {
        self.terms.iter().map(|(term, list)| (*term, list.iter().copied()))
    }
}

/// A ring on every level: every third node is on level 1, every ninth on level 2. Lists of level 0 are one short of full: all have padding.
struct Rings(Plan);

impl GraphSource for Rings {
    fn nodes(&self) -> u32 {
        self.0.references
    }

    fn entry(&self) -> u32 {
        9
    }

    fn level(&self, node: u32) -> u32 {
        u32::from(node.is_multiple_of(3)) + u32::from(node.is_multiple_of(9))
    }

    fn neighbours(&self, node: u32, level: u32, out: &mut Vec<u32>) {
        let step = 3u32.pow(level);
        let (ring, max) = (self.0.references.div_ceil(step), if level == 0 { 2 * self.0.m - 1 } else { self.0.m });
        for distance in 1..=max.div_ceil(2) {
            for other in [node / step + distance, node / step + ring - distance % ring] {
                let other = other % ring * step;
                if other != node && !out.contains(&other) && out.len() < max as usize {
                    out.push(other);
                }
            }
        }
    }
}
