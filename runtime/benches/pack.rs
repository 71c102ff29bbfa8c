//! Opening, searching and fetching: what a program without libtorch waits for.
//!
//! `open`: a pack of 1 MB beside one of more than 1 GB. `search`: 20,000 clustered points of 384 dimensions, through the graph
//! (its recall is printed) and by the scan. `scan`: the first search of a mapping, which compares every vector with its leaf digest, beside
//! later ones. `fetch`: one memory of a model of 135 M parameters, decoded for the first time (leaf digest
//! and all; the file is in the page cache), decoded again, and from the cache.

use std::hint::black_box;
use std::path::PathBuf;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use mempack_format::MemoryShape;
use mempack_runtime::{DEFAULT_EF, EXACT_UP_TO, MappedPack, MemoryCache};
use tempfile::TempDir;

#[path = "../tests/common/mod.rs"]
mod common;
use common::{Random, SHAPE, World, write_pack};

/// Of SmolLM2-135M with memory layers 5 to 25.
const SMALL_MODEL: MemoryShape = MemoryShape { layers: 21, heads: 3, tokens: 8, head_dim: 64 };

fn written(folder: &TempDir, name: &str, world: &World, shape: MemoryShape, graph: Option<u32>) -> PathBuf {
    let path = folder.path().join(name);
    let summary = write_pack(&path, world, shape, graph);
    eprintln!("{name}: {:.1} MB, {} references", summary.bytes as f64 / 1e6, world.links.len());
    path
}

fn open(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder for packs");
    let mut random = Random(1);
    let packs = [
        written(&folder, "1MB", &World::scatter(&mut random, 4, 384, 0), SMALL_MODEL, None),
        written(&folder, "1GB", &World::scatter(&mut random, 4200, 384, 0), SMALL_MODEL, None),
    ];
    let mut group = c.benchmark_group("open");
    for path in &packs {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        group.bench_function(BenchmarkId::from_parameter(name), |b| b.iter(|| MappedPack::open(black_box(path)).expect("a pack")));
    }
    group.finish();
}

fn search(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder for packs");
    let mut random = Random(2);
    let world = World::scatter(&mut random, 20_000, 384, 500).link(&mut random, 16);
    let pack = MappedPack::open(written(&folder, "search", &world, SHAPE, Some(16))).expect("a pack");
    let queries: Vec<Vec<f32>> = (0..200).map(|i| random.unit(384, Some(world.row(i * 97)), 0.5 / 384f32.sqrt())).collect();
    let mut group = c.benchmark_group("search");
    for ef in [20, 50, DEFAULT_EF, 200] {
        let (mut found, mut wanted) = (0, 0);
        for query in &queries {
            let exact = pack.search_exact(query, 5).expect("hits");
            let hits = pack.search(query, 5, ef).expect("hits");
            wanted += exact.len();
            found += exact.iter().filter(|hit| hits.contains(hit)).count();
        }
        eprintln!("search/graph/{ef}: recall@5 {:.4}", found as f64 / wanted as f64);
        let mut next = queries.iter().cycle();
        group.bench_function(BenchmarkId::new("graph", ef), |b| b.iter(|| pack.search(next.next().expect("a cycle"), 5, ef)));
    }
    let mut next = queries.iter().cycle();
    group.bench_function("exact", |b| b.iter(|| pack.search_exact(next.next().expect("a cycle"), 5)));
    group.finish();
}

fn first_search(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder for packs");
    let mut random = Random(4);
    let path = written(&folder, "first", &World::scatter(&mut random, EXACT_UP_TO, 384, 0), SHAPE, None);
    let query = random.unit(384, None, 1.0);
    let search = |pack: &MappedPack| pack.search_exact(&query, 5).expect("hits");
    let mut group = c.benchmark_group("scan");
    // A mapping of its own for each: it has compared nothing yet.
    let open = || MappedPack::open(&path).expect("a pack");
    group.bench_function("first", |b| b.iter_batched_ref(open, |pack| search(pack), BatchSize::PerIteration));
    let pack = open();
    search(&pack);
    group.bench_function("later", |b| b.iter(|| search(&pack)));
    group.finish();
}

fn fetch(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder for packs");
    let path = written(&folder, "fetch", &World::scatter(&mut Random(3), 400, 8, 0), SMALL_MODEL, None);
    let mut group = c.benchmark_group("fetch");
    let open = || MappedPack::open(&path).expect("a pack");
    let uncached = MemoryCache::new(0);
    // A mapping of its own for each: it has compared no leaf digest and parsed no codec yet.
    group.bench_function("first touch", |b| {
        b.iter_batched_ref(open, |pack| uncached.get(pack, black_box(7)).expect("a memory"), BatchSize::SmallInput);
    });
    let pack = open();
    uncached.get(&pack, 7).expect("a memory");
    group.bench_function("decoded again", |b| b.iter(|| uncached.get(&pack, black_box(7)).expect("a memory")));
    let cache = MemoryCache::default();
    cache.get(&pack, 7).expect("a memory");
    group.bench_function("cached", |b| b.iter(|| cache.get(&pack, black_box(7)).expect("a memory")));
    group.finish();
}

criterion_group!(benches, open, search, first_search, fetch);
criterion_main!(benches);
