//! Opening, searching and fetching: what a program without libtorch waits for.
//!
//! `open`: a pack of 1 MB beside one of more than 1 GB. `search`: 20,000 clustered points of 384 dimensions, through the graph
//! (its recall is printed) and by the scan, and the first search of a mapping, which compares leaf digests. `fetch`: one memory of a model of 135 M parameters, decoded for the first time (leaf digest
//! and all; the file is in the page cache), decoded again, and from the cache.

use std::hint::black_box;
use std::path::PathBuf;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use mempack_format::MemoryShape;
use mempack_runtime::{DEFAULT_EF, MappedPack, MemoryCache, Method, OnDamage};
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
    // Mappings that have compared nothing yet, of a file in the page cache.
    let path = folder.path().join("search");
    let fresh = || MappedPack::open(&path).expect("a pack");
    for (name, method) in [("first, graph", Method::default()), ("first, exact", Method::Exact)] {
        let mut next = queries.iter().cycle();
        let search = |pack: &mut MappedPack| pack.nearest(next.next().expect("a cycle"), 5, method, OnDamage::Fail).expect("hits");
        group.bench_function(name, |b| b.iter_batched_ref(fresh, search, BatchSize::PerIteration));
    }
    let mut next = queries.iter().cycle();
    group.bench_function("exact", |b| b.iter(|| pack.search_exact(next.next().expect("a cycle"), 5)));
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

criterion_group!(benches, open, search, fetch);
criterion_main!(benches);
