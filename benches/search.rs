//! Nearest references to a query vector, without libtorch.
//!
//! `search`: 20,000 clustered points of 384 dimensions, through the graph (its recall is printed) and by a scan. `scan`: the first
//! search of a mapping, which checks every vector against its leaf digest, beside later ones.

use std::path::PathBuf;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use mempack_runtime::{DEFAULT_EF, EXACT_UP_TO, MappedPack};
use tempfile::TempDir;

#[path = "../runtime/tests/common/mod.rs"]
mod common;
use common::{Random, SHAPE, World, write_pack};

fn written(folder: &TempDir, name: &str, world: &World, graph: Option<u32>) -> PathBuf {
    let path = folder.path().join(name);
    let summary = write_pack(&path, world, SHAPE, graph);
    eprintln!("{name}: {:.1} MB, {} references", summary.bytes as f64 / 1e6, world.links.len());
    path
}

fn search(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder for packs");
    let mut random = Random(2);
    let world = World::scatter(&mut random, 20_000, 384, 500).link(&mut random, 16);
    let pack = MappedPack::open(written(&folder, "search", &world, Some(16))).expect("a pack");
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
    let path = written(&folder, "first", &World::scatter(&mut random, EXACT_UP_TO, 384, 0), None);
    let query = random.unit(384, None, 1.0);
    let search = |pack: &MappedPack| pack.search_exact(&query, 5).expect("hits");
    let mut group = c.benchmark_group("scan");
    // Each run opens a new mapping, which has checked nothing yet.
    let open = || MappedPack::open(&path).expect("a pack");
    group.bench_function("first", |b| b.iter_batched_ref(open, |pack| search(pack), BatchSize::PerIteration));
    let pack = open();
    search(&pack);
    group.bench_function("later", |b| b.iter(|| search(&pack)));
    group.finish();
}

criterion_group!(benches, search, first_search);
criterion_main!(benches);
