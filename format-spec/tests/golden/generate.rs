//! Makes the golden packs of versions 1.0 and 1.1: everything in them follows from the formulas below.

use std::path::Path;

use mempack_format::{
    CodecSpec, Digest, Divergence, Document, EmbedderIdentity, EmbedderPrompts, FieldColumn, FieldKind, GraphParameters, GraphSource, Loss,
    MemoryShape, ModelIdentity, Origin, OriginPlace, PackSummary, PackWriter, Posting, Quality, TermSource, WriteError,
};

pub const DOCUMENTS: u32 = 3;
pub const REFERENCES: u32 = 24;
pub const SHAPE: MemoryShape = MemoryShape::new(2, 2, 4, 8);
pub const CODEC: CodecSpec = CodecSpec::pq(4, 3);
pub const DIM: u32 = 8;
pub const GRAPH: GraphParameters = GraphParameters { m: 3, ef_construction: 40 };
pub const GENERATOR: &str = "mempack-format golden 1.0";

pub fn model() -> ModelIdentity {
    ModelIdentity {
        name: "golden model".into(),
        weights: Digest::of(b"weights"),
        adapter: Some(Digest::of(b"adapter")),
        config: Digest::of(b"config"),
        tokenizer: Digest::of(b"tokenizer"),
        layers: 6,
        first_memory_layer: 1,
        query_heads: 4,
        shape: SHAPE,
        rope_base: 10_000.0,
        // One of every length of an integer in the manifest.
        prefix_ids: vec![1, 250, 251, 65_535, 65_536],
        reference_length: 128,
        reference_template: "{text}".into(),
        selection: "attention-sum-pre-rope-v1".into(),
    }
}

pub fn embedder() -> EmbedderIdentity {
    let (digest, metric) = (Digest::of(b"embedder"), "cosine".into());
    EmbedderIdentity { name: "golden embedder".into(), digest, dim: DIM, metric, max_tokens: 256, prompts: None }
}

pub fn document(number: u32) -> Document {
    Document {
        id: format!("golden-{number}"),
        title: format!("Dokument № {number}"),
        license: "Apache-2.0".into(),
        source: "format-spec/tests/golden/generate.rs".into(),
        version: "1.0".into(),
        date: if number == 0 { String::new() } else { format!("2025-01-0{number}") },
    }
}

pub fn key(reference: u32) -> Digest {
    Digest::of(&reference.to_le_bytes())
}

pub fn tokens(reference: u32) -> u16 {
    1 + (reference * 11 % 128) as u16
}

pub fn text(reference: u32) -> String {
    format!("Reference {reference} — {}.", "одно и то же, ".repeat(reference as usize % 5))
}

/// One origin, and for every fourth reference another.
pub fn origins(reference: u32) -> Vec<Origin> {
    let at = |document, start: u64| Origin { document, start, end: start + text(reference).len() as u64 };
    let mut origins = vec![at(reference % DOCUMENTS, u64::from(reference) * 1000)];
    if reference.is_multiple_of(4) {
        origins.push(at((reference + 1) % DOCUMENTS, u64::from(u32::MAX) + u64::from(reference)));
    }
    origins
}

/// SPEC 9: eight groups, one for each kind, layer and head; every table is a ramp of its own.
pub fn codec_parameters() -> Vec<u8> {
    let groups = 2 * SHAPE.layers * SHAPE.heads;
    let mut bytes = groups.to_le_bytes().to_vec();
    bytes.extend((0..groups as u16).flat_map(u16::to_le_bytes));
    for group in 0..groups {
        for part in 0..4 {
            for row in 0..8 {
                for dimension in 0..2 {
                    let value = (group as f32 - 3.5) + part as f32 * 0.25 + row as f32 * 0.125 - dimension as f32;
                    bytes.extend(value.to_le_bytes());
                }
            }
        }
    }
    bytes
}

/// SPEC 10: positions, then codes of 12 bits in 2 bytes for keys and for values; references of fewer than four tokens leave slots empty.
pub fn record(reference: u32) -> Vec<u8> {
    let slots = SHAPE.slots() as u32;
    let filled = |slot: u32| slot % SHAPE.tokens < u32::from(tokens(reference));
    let position = |slot: u32| if filled(slot) { (slot % SHAPE.tokens) * 31 + reference } else { 255 };
    let mut record: Vec<u8> = (0..slots).map(|slot| position(slot).min(255) as u8).collect();
    for kind in 0..2 {
        for slot in 0..slots {
            let code = reference.wrapping_mul(40_503).wrapping_add(slot * 977 + kind * 31_337) as u16 & 0x0fff;
            record.extend(if filled(slot) { code.to_le_bytes() } else { [0, 0] });
        }
    }
    record
}

/// Small integers, brought to length 1.
pub fn embedding(reference: u32) -> Vec<f32> {
    let raw: Vec<f64> = (0..DIM).map(|dimension| f64::from((reference * 7 + dimension * dimension * 3) % 11) - 4.5).collect();
    let length = raw.iter().map(|value| value * value).sum::<f64>().sqrt();
    raw.iter().map(|value| (value / length) as f32).collect()
}

/// A ring on every level; a node is on one level more for each factor 3 of its number.
pub struct Rings;

impl GraphSource for Rings {
    fn nodes(&self) -> u32 {
        REFERENCES
    }

    fn entry(&self) -> u32 {
        9
    }

    fn level(&self, node: u32) -> u32 {
        match node {
            0 => 0,
            _ => u32::from(node.is_multiple_of(3)) + u32::from(node.is_multiple_of(9)),
        }
    }

    fn neighbours(&self, node: u32, level: u32, out: &mut Vec<u32>) {
        let ring: Vec<u32> = (0..REFERENCES).filter(|other| self.level(*other) >= level).collect();
        let at = ring.iter().position(|other| *other == node).unwrap_or(0);
        let reach = if level == 0 { 2 } else { 1 };
        for step in (1..=reach).flat_map(|step| [step, ring.len() - step % ring.len()]) {
            let other = ring[(at + step) % ring.len()];
            if other != node && !out.contains(&other) {
                out.push(other);
            }
        }
    }
}

/// What the pack of version 1.1 says that its codec loses.
pub fn quality() -> Quality {
    let layer = |at: u32| Loss { keys: f64::from(at + 1) / 64.0, values: f64::from(at + 1) / 16.0 };
    let divergence = Some(Divergence { nats: 0.03125, tokens: 65_536 });
    Quality { memories: 300, layers: (0..SHAPE.layers).map(layer).collect(), divergence }
}

/// What the pack of version 1.2 says that its embedder puts before texts.
pub fn prompts() -> EmbedderPrompts {
    EmbedderPrompts { query: "query: ".into(), passage: "Passage — № 1: ".into() }
}

/// The shape of the pack whose heads keep different numbers of tokens.
pub fn shape_with_budget() -> MemoryShape {
    MemoryShape::with_budget(SHAPE.layers, SHAPE.heads, SHAPE.head_dim, &[3, 0, 1, 7]).expect("a table of four numbers")
}

/// SPEC 5.3, 10: the record of a reference in that pack; the codes of a slot follow its number.
pub fn record_with_budget(reference: u32) -> Vec<u8> {
    let tokens = u32::from(tokens(reference));
    let slots = || [3u32, 0, 1, 7].into_iter().flat_map(|of_head| (0..of_head).map(move |slot| (slot < tokens, slot)));
    let mut record: Vec<u8> = slots().map(|(filled, slot)| if filled { (slot * 13 + reference) as u8 } else { 255 }).collect();
    for kind in 0..2 {
        for (number, (filled, _)) in slots().enumerate() {
            let code = reference.wrapping_mul(40_503).wrapping_add(number as u32 * 977 + kind * 31_337) as u16 & 0x0fff;
            record.extend(if filled { code.to_le_bytes() } else { [0, 0] });
        }
    }
    record
}

/// The inverted index of the pack of version 1.3: of reference r, the terms `a` and, r + 1 times, `reference`; of every third one `第三`.
pub struct GoldenTerms {
    lengths: Vec<u32>,
}

impl Default for GoldenTerms {
    fn default() -> Self {
        Self { lengths: (0..REFERENCES).map(|reference| 2 + reference + u32::from(reference.is_multiple_of(3))).collect() }
    }
}

impl TermSource for GoldenTerms {
    fn analysis(&self) -> u32 {
        1
    }

    fn spread(&self) -> f64 {
        0.15625
    }

    fn lengths(&self) -> &[u32] {
        &self.lengths
    }

    fn terms(&self) -> impl Iterator<Item = (&str, impl ExactSizeIterator<Item = Posting>)> {
        let list = |step: usize, count: fn(u32) -> u32| {
            (0..REFERENCES).step_by(step).map(move |reference| Posting { reference, count: count(reference) })
        };
        [("a", list(1, |_| 1)), ("reference", list(1, |reference| reference + 1)), ("第三", list(3, |_| 1))].into_iter()
    }
}

/// Writes the golden pack with an inverted index.
pub fn write_with_terms(target: &Path) -> Result<PackSummary, WriteError> {
    let mut writer = PackWriter::create(target, SHAPE, DIM)?;
    fill(&mut writer, record)?;
    writer.set_quality(quality())?;
    writer.set_terms(&GoldenTerms::default())?;
    finish(writer, Some(prompts()))
}

/// The metadata of the pack of version 1.4: a field of each kind, of which `tags` has lists.
pub fn metadata() -> Vec<FieldColumn> {
    let field = |name: &str, kind, list, values: &[&str], ends: [u32; DOCUMENTS as usize], codes: &[u32]| FieldColumn {
        name: name.into(),
        kind,
        list,
        values: values.iter().map(ToString::to_string).collect(),
        ends: ends.into(),
        codes: codes.into(),
    };
    vec![
        field("court.name", FieldKind::Text, false, &["BGH", "最高裁判所"], [1, 1, 2], &[0, 1]),
        field("draft", FieldKind::Boolean, false, &["false", "true"], [1, 2, 3], &[1, 0, 0]),
        field("ratio", FieldKind::Number, false, &["-1.5e-3", "2"], [0, 1, 2], &[1, 0]),
        field("tags", FieldKind::Text, true, &["", "a", "b"], [0, 3, 4], &[2, 1, 2, 0]),
        field("time", FieldKind::Date, false, &["2025-01-02", "2025-01-02T03:04:05.5+01:00"], [1, 2, 2], &[1, 0]),
        field("year", FieldKind::Integer, false, &["1999", "2025"], [1, 2, 3], &[1, 1, 0]),
    ]
}

/// Writes the golden pack with an inverted index and metadata.
pub fn write_with_metadata(target: &Path) -> Result<PackSummary, WriteError> {
    finish(with_metadata(target)?, Some(prompts()))
}

/// Writes the golden pack with an inverted index, metadata and coarse embeddings.
pub fn write_with_coarse_embeddings(target: &Path) -> Result<PackSummary, WriteError> {
    let mut writer = with_metadata(target)?;
    writer.add_coarse_embeddings();
    finish(writer, Some(prompts()))
}

fn with_metadata(target: &Path) -> Result<PackWriter, WriteError> {
    let mut writer = PackWriter::create(target, SHAPE, DIM)?;
    fill(&mut writer, record)?;
    writer.set_quality(quality())?;
    writer.set_terms(&GoldenTerms::default())?;
    writer.set_metadata(&metadata())?;
    Ok(writer)
}

/// Writes the golden pack with an inverted index, metadata, coarse embeddings and places.
pub fn write_with_places(target: &Path) -> Result<PackSummary, WriteError> {
    let mut writer = with_metadata(target)?;
    writer.add_coarse_embeddings();
    writer.set_places(&places())?;
    finish(writer, Some(prompts()))
}

/// Where an origin of the golden pack stands.
pub fn place(origin: u32) -> OriginPlace {
    let page = u64::from(origin / 4 + 1);
    let section = |number: u32| format!("§ {number}");
    match origin % 4 {
        0 => OriginPlace::default(),
        1 => OriginPlace { pages: Some((page, page)), ..OriginPlace::default() },
        2 => {
            OriginPlace { pages: Some((page, page + 1)), sections: Some((section(origin), section(origin + 1))), ..OriginPlace::default() }
        }
        _ => OriginPlace { headings: vec!["Teil I".into(), section(origin)], ..OriginPlace::default() },
    }
}

/// SPEC 7.1 of those, written out field by field.
fn places() -> Vec<FieldColumn> {
    let column = |name: &str| {
        let mut values = Vec::new();
        let (mut texts, mut ends, mut kind) = (Vec::new(), Vec::new(), FieldKind::Text);
        for origin in 0..REFERENCES + REFERENCES / 4 {
            for (_, found, list) in place(origin).fields().into_iter().filter(|(found, ..)| *found == name) {
                kind = found;
                texts.extend(list);
            }
            ends.push(texts.len() as u32);
        }
        values.extend(texts.iter().cloned());
        values.sort();
        values.dedup();
        let codes = texts.iter().map(|text| values.iter().position(|value| value == text).unwrap_or_default() as u32).collect();
        FieldColumn { name: name.into(), kind, list: true, values, ends, codes }
    };
    ["heading", "page", "section"].map(column).into()
}

/// SPEC 11.1, by another way of rounding: the row of a reference; `largest` is the largest magnitude of any number.
pub fn coarse_row(reference: u32, largest: f32) -> Vec<i8> {
    let mut row: Vec<i8> = embedding(reference)
        .iter()
        .map(|value| {
            let exact = f64::from(*value) * 127.0 / f64::from(largest);
            // Nearest, and none of them is a tie.
            let below = exact.floor();
            assert!((exact - below - 0.5).abs() > 1e-6);
            (if exact - below < 0.5 { below } else { below + 1.0 }) as i8
        })
        .collect();
    row.resize(64, 0);
    row
}

/// Writes the golden pack with a head budget.
pub fn write_with_budget(target: &Path) -> Result<PackSummary, WriteError> {
    let mut writer = PackWriter::create(target, shape_with_budget(), DIM)?;
    fill(&mut writer, record_with_budget)?;
    writer.finish(ModelIdentity { shape: shape_with_budget(), ..model() }, "f32", embedder(), GENERATOR)
}

/// Writes a golden pack: that of version 1.1 has a quality, that of version 1.2 has prompts too.
pub fn write(target: &Path, quality: Option<Quality>, prompts: Option<EmbedderPrompts>) -> Result<PackSummary, WriteError> {
    let mut writer = PackWriter::create(target, SHAPE, DIM)?;
    fill(&mut writer, record)?;
    if let Some(quality) = quality {
        writer.set_quality(quality)?;
    }
    finish(writer, prompts)
}

/// Everything in the golden pack, with memories of these records.
pub fn fill(writer: &mut PackWriter, record: impl Fn(u32) -> Vec<u8>) -> Result<(), WriteError> {
    writer.set_codec(&CODEC, &codec_parameters())?;
    for number in 0..DOCUMENTS {
        writer.push_document(&document(number))?;
    }
    for reference in 0..REFERENCES {
        writer.push_reference(&key(reference), tokens(reference), &text(reference), &origins(reference))?;
        writer.push_memory(&record(reference))?;
        writer.push_embedding(&embedding(reference))?;
    }
    writer.set_graph(&Rings, GRAPH)
}

/// The golden pack's identities.
pub fn finish(writer: PackWriter, prompts: Option<EmbedderPrompts>) -> Result<PackSummary, WriteError> {
    writer.finish(model(), "f32", EmbedderIdentity { prompts, ..embedder() }, GENERATOR)
}
