//! Opening a pack and fetching a memory from it, without libtorch.
//!
//! `open`: a pack of 1 MB beside one of more than 1 GB. `fetch`: one memory of a model of 135 M parameters, decoded for the first time
//! (the leaf digest is checked; the file is in the page cache), decoded again, and from the cache.

use std::hint::black_box;
use std::path::PathBuf;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use mempack_format::MemoryShape;
use mempack_runtime::{MappedPack, MemoryCache};
use tempfile::TempDir;

#[path = "../runtime/tests/common/mod.rs"]
mod common;
use common::{Random, World, write_pack};

/// Of SmolLM2-135M with memory layers 5 to 25.
const SMALL_MODEL: MemoryShape = MemoryShape::new(21, 3, 8, 64);

fn written(folder: &TempDir, name: &str, world: &World) -> PathBuf {
    let path = folder.path().join(name);
    let summary = write_pack(&path, world, SMALL_MODEL, None);
    eprintln!("{name}: {:.1} MB, {} references", summary.bytes as f64 / 1e6, world.links.len());
    path
}

fn open(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder for packs");
    let mut random = Random(1);
    let packs = [
        written(&folder, "1MB", &World::scatter(&mut random, 4, 384, 0)),
        written(&folder, "1GB", &World::scatter(&mut random, 4200, 384, 0)),
    ];
    let mut group = c.benchmark_group("open");
    for path in &packs {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        group.bench_function(BenchmarkId::from_parameter(name), |b| b.iter(|| MappedPack::open(black_box(path)).expect("a pack")));
    }
    group.finish();
}

fn fetch(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder for packs");
    let path = written(&folder, "fetch", &World::scatter(&mut Random(3), 400, 8, 0));
    let mut group = c.benchmark_group("fetch");
    let open = || MappedPack::open(&path).expect("a pack");
    let uncached = MemoryCache::new(0);
    // Each run opens a new mapping, which has checked no leaf digest and parsed no codec yet.
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

criterion_group!(benches, open, fetch);
criterion_main!(benches);
