//! Searches given vectors as a pack: recall at 5 and queries a second for sizes of the candidate list, for `benches/peers/search.py`.
//!
//!     search_vectors build VECTORS.f32 DIM PACK.mpk        a pack of these vectors, with the compiler's graph and the smallest memories
//!     search_vectors search PACK.mpk QUERIES.f32 THREADS EF...
//!
//! Files are rows of little-endian f32. `search` prints a JSON object for each EF: {"ef", "recall", "queries_per_second"}, the fastest of three
//! rounds. The time is that of the processor for one thread, and of the clock for several.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use mempack_compiler::{GraphBuilder, GraphOptions};
use mempack_format::{CodecSpec, Digest, Document, GraphParameters, Origin, PackWriter};
use mempack_runtime::{Hit, MappedPack};

#[path = "../../runtime/tests/common/mod.rs"]
mod common;
use common::{SHAPE, embedder_identity, model_identity, record};

/// References that each query asks for.
const K: usize = 5;
const ROUNDS: usize = 3;
const USAGE: &str = "usage: search_vectors build VECTORS.f32 DIM PACK.mpk | search PACK.mpk QUERIES.f32 THREADS EF...";

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["build", vectors, dim, pack] => build(Path::new(vectors), dim.parse()?, Path::new(pack)),
        ["search", pack, queries, threads, efs @ ..] => search(Path::new(pack), Path::new(queries), threads.parse()?, efs),
        _ => Err(USAGE.into()),
    }
}

fn read(path: &Path) -> Result<Vec<f32>, Box<dyn Error>> {
    let bytes = std::fs::read(path)?;
    Ok(bytes.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect())
}

fn build(vectors: &Path, dim: usize, pack: &Path) -> Result<(), Box<dyn Error>> {
    let rows = read(vectors)?;
    let options = GraphOptions::default();
    let mut graph = GraphBuilder::new(options, (rows.len() / dim) as u64);
    let mut writer = PackWriter::create(pack, SHAPE, dim as u32)?;
    writer.set_codec(&CodecSpec::F32, &0u32.to_le_bytes())?;
    writer.push_document(&Document { id: "vectors".into(), ..Document::default() })?;
    for (number, row) in (0u32..).zip(rows.chunks_exact(dim)) {
        writer.push_reference(&Digest::of(&number.to_le_bytes()), 9, "a vector", &[Origin { document: 0, start: 0, end: 1 }])?;
        writer.push_memory(&record(SHAPE, number))?;
        writer.push_embedding(row)?;
        graph.push(row);
    }
    writer.set_graph(&graph.finish(), GraphParameters { m: options.m, ef_construction: options.ef_construction })?;
    writer.finish(model_identity(SHAPE), "f32", embedder_identity(dim), "search_vectors")?;
    Ok(())
}

fn search(pack: &Path, queries: &Path, threads: usize, efs: &[&str]) -> Result<(), Box<dyn Error>> {
    let pack = MappedPack::open(pack)?;
    let rows = read(queries)?;
    let queries: Vec<&[f32]> = rows.chunks_exact(pack.manifest().embedder.dim as usize).collect();
    let exact = queries.iter().map(|query| pack.search_exact(query, K)).collect::<Result<Vec<_>, _>>()?;
    for ef in efs {
        let ef = ef.parse()?;
        let mut seconds = f64::INFINITY;
        let mut found = Vec::new();
        for _ in 0..ROUNDS {
            let start = (Instant::now(), thread_seconds());
            found = spread(&pack, &queries, ef, threads.max(1));
            let taken = if threads > 1 { start.0.elapsed().as_secs_f64() } else { thread_seconds() - start.1 };
            seconds = seconds.min(taken);
        }
        let right: usize = found.iter().zip(&exact).map(|(found, exact)| found.iter().filter(|hit| is_among(hit, exact)).count()).sum();
        let recall = right as f64 / (K * queries.len()) as f64;
        println!("{}", serde_json::json!({"ef": ef, "recall": recall, "queries_per_second": queries.len() as f64 / seconds}));
    }
    Ok(())
}

fn is_among(hit: &Hit, exact: &[Hit]) -> bool {
    exact.iter().any(|right| right.reference == hit.reference)
}

/// What each query finds. With one thread, on the calling one.
fn spread(pack: &MappedPack, queries: &[&[f32]], ef: usize, threads: usize) -> Vec<Vec<Hit>> {
    let find = |queries: &[&[f32]]| queries.iter().map(|query| pack.search(query, K, ef).expect("a whole pack")).collect::<Vec<_>>();
    if threads == 1 {
        return find(queries);
    }
    std::thread::scope(|scope| {
        let parts = queries.chunks(queries.len().div_ceil(threads).max(1));
        let running: Vec<_> = parts.map(|part| scope.spawn(move || find(part))).collect();
        running.into_iter().flat_map(|thread| thread.join().expect("a search")).collect()
    })
}

/// Seconds of processor time of this thread.
fn thread_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: The call writes to `time`, which outlives it, and nothing else.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}
