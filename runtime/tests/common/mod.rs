//! Generated packs for tests and benches.
#![allow(dead_code)] // Each test and bench uses a part of it.

use std::path::Path;

use mempack_format::{
    CodecSpec, Digest, Document, EMPTY_SLOT, EmbedderIdentity, GraphParameters, GraphSource, MemoryShape, ModelIdentity, Origin,
    PackSummary, PackWriter,
};

/// A deterministic random number generator of modest quality.
pub struct Random(pub u64);

impl Random {
    pub fn uniform(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1u64 << 24) as f32
    }

    /// Approximately normal, with mean 0 and standard deviation 1.
    pub fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.uniform()).sum::<f32>() - 6.0
    }

    /// A unit vector around `centre` with deviation `spread` in each dimension; without a centre, anywhere.
    pub fn unit(&mut self, dim: usize, centre: Option<&[f32]>, spread: f32) -> Vec<f32> {
        let mut row: Vec<f32> = (0..dim).map(|i| centre.map_or(0.0, |c| c[i]) + spread * self.normal()).collect();
        let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-6);
        row.iter_mut().for_each(|x| *x /= norm);
        row
    }
}

/// Unit vectors with the links of a small world graph between them.
pub struct World {
    pub dim: usize,
    pub rows: Vec<f32>,
    /// `[node][level][..]`
    pub links: Vec<Vec<Vec<u32>>>,
    pub entry: u32,
}

impl World {
    /// Points around `clusters` centres (0: evenly distributed), without links.
    pub fn scatter(random: &mut Random, count: u32, dim: usize, clusters: usize) -> Self {
        let spread = if clusters > 0 { 0.5 / (dim as f32).sqrt() } else { 1.0 };
        let centres: Vec<Vec<f32>> = (0..clusters).map(|_| random.unit(dim, None, 1.0)).collect();
        let mut rows = Vec::with_capacity(count as usize * dim);
        for node in 0..count as usize {
            rows.extend(random.unit(dim, (clusters > 0).then(|| centres[node % clusters].as_slice()), spread));
        }
        Self { dim, rows, links: vec![vec![Vec::new()]; count as usize], entry: 0 }
    }

    /// Links all points in the order of their numbers as HNSW inserts them, but with all earlier points as candidates.
    pub fn link(mut self, random: &mut Random, m: usize) -> Self {
        for node in 0..self.links.len() as u32 {
            let level = ((-random.uniform().max(1e-7).ln() / (m as f32).ln()) as usize).min(6);
            self.links[node as usize] = vec![Vec::new(); level + 1];
            let mut near: Vec<(f32, u32)> = (0..node).map(|n| (self.similarity(node, n), n)).collect();
            near.sort_by(|a, b| b.0.total_cmp(&a.0));
            for l in 0..=level {
                let there: Vec<u32> = near.iter().map(|&(_, n)| n).filter(|&n| self.links[n as usize].len() > l).take(200).collect();
                let chosen = self.select(node, there, m);
                for &n in &chosen {
                    self.links[n as usize][l].push(node);
                    let room = if l == 0 { 2 * m } else { m };
                    if self.links[n as usize][l].len() > room {
                        let all = self.links[n as usize][l].clone();
                        self.links[n as usize][l] = self.select(n, all, room);
                    }
                }
                self.links[node as usize][l] = chosen;
            }
            if level + 1 > self.links[self.entry as usize].len() {
                self.entry = node;
            }
        }
        self
    }

    /// Algorithm 4 of the paper: a neighbour gets a link if it is nearer to `node` than to the links already chosen.
    fn select(&self, node: u32, from: Vec<u32>, room: usize) -> Vec<u32> {
        let mut from: Vec<(f32, u32)> = from.into_iter().map(|n| (self.similarity(node, n), n)).collect();
        from.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut chosen: Vec<u32> = Vec::new();
        for (near, candidate) in from {
            if chosen.len() < room && chosen.iter().all(|&c| self.similarity(c, candidate) < near) {
                chosen.push(candidate);
            }
        }
        chosen
    }

    pub fn row(&self, node: u32) -> &[f32] {
        &self.rows[node as usize * self.dim..][..self.dim]
    }

    fn similarity(&self, a: u32, b: u32) -> f32 {
        let (a, b) = (self.row(a).as_chunks::<8>(), self.row(b).as_chunks::<8>());
        let mut sums = [0.0f32; 8];
        a.0.iter().zip(b.0).for_each(|(a, b)| (0..8).for_each(|i| sums[i] += a[i] * b[i]));
        sums.iter().sum::<f32>() + a.1.iter().zip(b.1).map(|(a, b)| a * b).sum::<f32>()
    }

    pub fn top_level(&self) -> u32 {
        self.links[self.entry as usize].len() as u32 - 1
    }
}

impl GraphSource for World {
    fn nodes(&self) -> u32 {
        self.links.len() as u32
    }

    fn entry(&self) -> u32 {
        self.entry
    }

    fn level(&self, node: u32) -> u32 {
        self.links[node as usize].len() as u32 - 1
    }

    fn neighbours(&self, node: u32, level: u32, out: &mut Vec<u32>) {
        out.extend_from_slice(&self.links[node as usize][level as usize]);
    }
}

/// A small shape of memories.
pub const SHAPE: MemoryShape = MemoryShape::new(2, 2, 3, 4);

/// The identity of a model that does not exist, with memories of `shape`.
pub fn model_identity(shape: MemoryShape) -> ModelIdentity {
    ModelIdentity {
        name: "made-up".into(),
        weights: Digest::of(b"weights"),
        adapter: None,
        config: Digest::of(b"config"),
        tokenizer: Digest::of(b"tokenizer"),
        layers: shape.layers * 2,
        first_memory_layer: 0,
        query_heads: shape.heads,
        shape,
        rope_base: 10_000.0,
        prefix_ids: vec![1],
        reference_length: 128,
        reference_template: "{text}".into(),
        selection: "attention-sum-pre-rope-v1".into(),
    }
}

/// The identity of an embedder that does not exist.
pub fn embedder_identity(dim: usize) -> EmbedderIdentity {
    EmbedderIdentity {
        name: "made-up".into(),
        digest: Digest::of(b"embedder"),
        dim: dim as u32,
        metric: "cosine".into(),
        max_tokens: 256,
        prompts: None,
    }
}

/// The text of reference `i` of a generated pack.
pub fn text(i: u32) -> String {
    format!("Reference number {i} says that {} is its square.", u64::from(i) * u64::from(i))
}

/// A record of codec F32: positions `0..`, with the last slot of each head empty, and values derived from `reference`.
pub fn record(shape: MemoryShape, reference: u32) -> Vec<u8> {
    let tokens = shape.tokens as usize;
    let filled = |slot: usize| slot % tokens + 1 < tokens || tokens == 1;
    let mut record: Vec<u8> = (0..shape.slots()).map(|slot| if filled(slot) { (slot % tokens) as u8 } else { EMPTY_SLOT }).collect();
    for kind in [1.0f32, -1.0] {
        for slot in 0..shape.slots() {
            for dimension in 0..shape.head_dim {
                let value = if filled(slot) { kind * (reference as f32 + slot as f32 / 64.0 + dimension as f32 / 1024.0) } else { 0.0 };
                record.extend_from_slice(&value.to_le_bytes());
            }
        }
    }
    record
}

/// Writes a pack over the points of `world`: one document, one reference per point, and the links if `graph` gives their number.
///
/// Reference 1 has a second place.
pub fn write_pack(target: &Path, world: &World, shape: MemoryShape, graph: Option<u32>) -> PackSummary {
    write_numbered(target, world, shape, graph, 0)
}

/// As [`write_pack`], with keys, texts and memories numbered from `first`.
pub fn write_numbered(target: &Path, world: &World, shape: MemoryShape, graph: Option<u32>, first: u32) -> PackSummary {
    write_pack_as(target, world, shape.clone(), graph, first, (model_identity(shape), embedder_identity(world.dim)))
}

/// As [`write_pack`], with coarse embeddings.
pub fn write_coarse_pack(target: &Path, world: &World, shape: MemoryShape, graph: Option<u32>) -> PackSummary {
    let identities = (model_identity(shape.clone()), embedder_identity(world.dim));
    write(target, world, shape, graph, 0, identities, true)
}

/// As [`write_pack`], with the given identities.
pub fn write_pack_as(
    target: &Path,
    world: &World,
    shape: MemoryShape,
    graph: Option<u32>,
    first: u32,
    identities: (ModelIdentity, EmbedderIdentity),
) -> PackSummary {
    write(target, world, shape, graph, first, identities, false)
}

fn write(
    target: &Path,
    world: &World,
    shape: MemoryShape,
    graph: Option<u32>,
    first: u32,
    identities: (ModelIdentity, EmbedderIdentity),
    coarse: bool,
) -> PackSummary {
    let mut writer = PackWriter::create(target, shape.clone(), world.dim as u32).unwrap();
    writer.set_codec(&CodecSpec::F32, &0u32.to_le_bytes()).unwrap();
    writer.push_document(&Document { id: "squares".into(), title: "On squares".into(), ..Document::default() }).unwrap();
    writer.push_document(&Document { id: "again".into(), title: "Said again".into(), ..Document::default() }).unwrap();
    for i in 0..world.nodes() {
        let mut origins = vec![Origin { document: 0, start: u64::from(i) * 100, end: u64::from(i) * 100 + 60 }];
        if i == 1 {
            origins.push(Origin { document: 1, start: 5, end: 65 });
        }
        let number = first + i;
        writer.push_reference(&Digest::of(&number.to_le_bytes()), 9, &text(number), &origins).unwrap();
        writer.push_memory(&record(shape.clone(), number)).unwrap();
        writer.push_embedding(world.row(i)).unwrap();
    }
    if coarse {
        writer.add_coarse_embeddings();
    }
    if let Some(m) = graph {
        writer.set_graph(world, GraphParameters { m, ef_construction: 200 }).unwrap();
    }
    writer.finish(identities.0, "f32", identities.1, "mempack-runtime tests").unwrap()
}
