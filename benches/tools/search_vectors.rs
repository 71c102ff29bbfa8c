//! Searches given vectors as a pack: recall at 5 and queries a second for sizes of the candidate list, for `benches/peers/search.py`.
//!
//!     search_vectors build VECTORS.f32 DIM PACK.mpk        a pack of these vectors, with the compiler's graph and the smallest memories
//!     search_vectors plain VECTORS.f32 DIM PACK.mpk        the same without coarse embeddings
//!     search_vectors search PACK.mpk QUERIES.f32 THREADS EF...
//!     search_vectors filtered PACK.mpk QUERIES.f32 EF FILTER...
//!
//! Each vector is a document of its own with the fields `percent`, 0 to 99.99 by chance, and `near`, its similarity to the first vector. `filtered` prints for each filter
//! {"filter", "admitted", "recall", "queries_per_second", "exact_queries_per_second"}: the search that chooses between scan and graph beside the scan.
//!
//! Files are rows of little-endian f32. `search` prints a JSON object for each EF: {"ef", "recall", "queries_per_second", "queries_per_processor_second"},
//! each of the fastest of three rounds. The first time is that of the processor for one thread, and of the clock for several; the second is the
//! processor time of all threads divided by their number: what the threads cost each other, without what other programs cost them.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use mempack_compiler::{GraphBuilder, GraphOptions};
use mempack_format::{CodecSpec, Digest, Document, FieldColumn, FieldKind, GraphParameters, Origin, PackWriter};
use mempack_numeric::{Rng, dot};
use mempack_runtime::{Expression, Hit, MappedPack, Method, Mounts, OnDamage};

#[path = "../../runtime/tests/common/mod.rs"]
mod common;
use common::{SHAPE, embedder_identity, model_identity, record};

/// References that each query asks for.
const K: usize = 5;
const ROUNDS: usize = 3;
const USAGE: &str = "usage: search_vectors build|plain VECTORS.f32 DIM PACK.mpk | search PACK.mpk QUERIES.f32 THREADS EF... | filtered PACK.mpk QUERIES.f32 EF FILTER...";

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        [kind @ ("build" | "plain"), vectors, dim, pack] => build(Path::new(vectors), dim.parse()?, Path::new(pack), *kind == "build"),
        ["search", pack, queries, threads, efs @ ..] => search(Path::new(pack), Path::new(queries), threads.parse()?, efs),
        ["filtered", pack, queries, ef, filters @ ..] => filtered(Path::new(pack), Path::new(queries), ef.parse()?, filters),
        _ => Err(USAGE.into()),
    }
}

fn read(path: &Path) -> Result<Vec<f32>, Box<dyn Error>> {
    let bytes = std::fs::read(path)?;
    Ok(bytes.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect())
}

fn build(vectors: &Path, dim: usize, pack: &Path, coarse: bool) -> Result<(), Box<dyn Error>> {
    let rows = read(vectors)?;
    let options = GraphOptions::default();
    let mut graph = GraphBuilder::new(options, (rows.len() / dim) as u64);
    let mut writer = PackWriter::create(pack, SHAPE, dim as u32)?;
    writer.set_codec(&CodecSpec::F32, &0u32.to_le_bytes())?;
    if coarse {
        writer.add_coarse_embeddings();
    }
    let first = rows.get(..dim).unwrap_or_default();
    let (mut random, mut percents, mut near) = (Rng::from_seed(18), Vec::new(), Vec::new());
    for (number, row) in (0u32..).zip(rows.chunks_exact(dim)) {
        writer.push_document(&Document { id: number.to_string(), ..Document::default() })?;
        percents.push(format!("{}", random.below(10_000) as f64 / 100.0));
        near.push(format!("{:.4}", dot(first, row)));
        writer.push_reference(&Digest::of(&number.to_le_bytes()), 9, "a vector", &[Origin { document: number, start: 0, end: 1 }])?;
        writer.push_memory(&record(SHAPE, number))?;
        writer.push_embedding(row)?;
        graph.push(row);
    }
    writer.set_metadata(&[column("near", &near), column("percent", &percents)])?;
    writer.set_graph(&graph.finish(), GraphParameters { m: options.m, ef_construction: options.ef_construction })?;
    writer.finish(model_identity(SHAPE), "f32", embedder_identity(dim), "search_vectors")?;
    Ok(())
}

/// A field of numbers, one for each document.
fn column(name: &str, texts: &[String]) -> FieldColumn {
    let mut values = texts.to_vec();
    values.sort_unstable();
    values.dedup();
    let code = |text: &String| values.binary_search(text).unwrap_or_default() as u32;
    let codes: Vec<u32> = texts.iter().map(code).collect();
    FieldColumn { name: name.to_owned(), kind: FieldKind::Number, list: false, ends: (1..=codes.len() as u32).collect(), codes, values }
}

fn filtered(pack: &Path, queries: &Path, ef: usize, filters: &[&str]) -> Result<(), Box<dyn Error>> {
    let pack = std::sync::Arc::new(MappedPack::open(pack)?);
    let rows = read(queries)?;
    let queries: Vec<&[f32]> = rows.chunks_exact(pack.manifest().embedder.dim as usize).collect();
    for filter in filters {
        let packs = Mounts::of(std::sync::Arc::clone(&pack)).packs().selecting(&Expression::parse(filter)?)?;
        let find = |method| -> Result<_, Box<dyn Error>> {
            let start = seconds_of(libc::CLOCK_THREAD_CPUTIME_ID);
            let found = queries.iter().map(|query| packs.nearest(query, K, method, OnDamage::Fail)).collect::<Result<Vec<_>, _>>()?;
            Ok((found, queries.len() as f64 / (seconds_of(libc::CLOCK_THREAD_CPUTIME_ID) - start)))
        };
        let (exact, exact_rate) = find(Method::Exact)?;
        let (found, rate) = find(Method::Graph { ef })?;
        let wanted: usize = exact.iter().map(Vec::len).sum();
        let right = |(found, exact): (&Vec<Hit<_>>, &Vec<Hit<_>>)| found.iter().filter(|hit| exact.contains(hit)).count();
        let right: usize = found.iter().zip(&exact).map(right).sum();
        let admitted: u32 = packs.packs().iter().map(|mounted| mounted.documents()).sum();
        let recall = right as f64 / wanted.max(1) as f64;
        println!(
            "{}",
            serde_json::json!({
                "filter": filter, "admitted": admitted, "recall": recall, "queries_per_second": rate, "exact_queries_per_second": exact_rate,
            })
        );
    }
    Ok(())
}

fn search(pack: &Path, queries: &Path, threads: usize, efs: &[&str]) -> Result<(), Box<dyn Error>> {
    let pack = MappedPack::open(pack)?;
    let rows = read(queries)?;
    let queries: Vec<&[f32]> = rows.chunks_exact(pack.manifest().embedder.dim as usize).collect();
    let exact = queries.iter().map(|query| pack.search_exact(query, K)).collect::<Result<Vec<_>, _>>()?;
    for ef in efs {
        let ef = ef.parse()?;
        let (mut seconds, mut processor) = (f64::INFINITY, f64::INFINITY);
        let mut found = Vec::new();
        for _ in 0..ROUNDS {
            let start = (Instant::now(), seconds_of(libc::CLOCK_PROCESS_CPUTIME_ID));
            found = spread(&pack, &queries, ef, threads.max(1));
            let of_processor = (seconds_of(libc::CLOCK_PROCESS_CPUTIME_ID) - start.1) / threads.max(1) as f64;
            seconds = seconds.min(if threads > 1 { start.0.elapsed().as_secs_f64() } else { of_processor });
            processor = processor.min(of_processor);
        }
        let right: usize = found.iter().zip(&exact).map(|(found, exact)| found.iter().filter(|hit| is_among(hit, exact)).count()).sum();
        let recall = right as f64 / (K * queries.len()) as f64;
        let rate = |seconds: f64| queries.len() as f64 / seconds;
        println!(
            "{}",
            serde_json::json!({
                "ef": ef, "recall": recall, "queries_per_second": rate(seconds), "queries_per_processor_second": rate(processor),
            })
        );
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

/// Seconds of processor time of this thread or process.
fn seconds_of(clock: libc::clockid_t) -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: The call writes to `time`, which outlives it, and nothing else.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}
