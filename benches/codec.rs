//! Encoding and decoding a memory of one head, on one thread. `make bench-codec` measures the loss of codecs and compares them with
//! faiss (docs/codec.md).

use std::{error::Error, ops::ControlFlow};

use criterion::{Criterion, Throughput};
use mempack_compiler::{Encoder, SampleStore, TrainOptions, train_codec};
use mempack_format::{CodecSpec, Memory, MemoryShape};
use mempack_numeric::Rng;

/// Codes of 4 to 64 bytes for 64 dimensions.
const SPECS: [&str; 7] = ["SQ8", "PQ8x8", "PQ16x8", "RQ8x8", "RQ16x8", "TCQ16x8", "RQ2x8,TCQ30x8"];
const DIM: usize = 64;
/// Synthetic memories of eight tokens: enough that each centroid is one of many vectors.
const MEMORIES: usize = 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let memories = synthetic();
    let (memory, shape) = (&memories[0], memories[0].shape.clone());
    let mut sample = SampleStore::create_in(&std::env::temp_dir(), shape.clone())?;
    memories.iter().try_for_each(|memory| sample.push(memory))?;
    let options = TrainOptions { seed: 1, threads: 1, references: 1 << 20, sensitivity: None };
    let mut criterion = Criterion::default().configure_from_args().sample_size(20);
    for name in SPECS {
        let spec: CodecSpec = name.parse()?;
        let parameters = train_codec(&spec, &sample, &options, &|_, _| ControlFlow::Continue(()))?;
        let encoder = Encoder::new(&spec, shape.clone(), &parameters)?;
        let (mut record, mut decoded) = (Vec::new(), Memory::empty(shape.clone()));
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(2 * shape.slots() as u64));
        group.bench_function("encode a memory", |b| {
            b.iter(|| {
                record.clear();
                encoder.encode(memory, &mut record)
            });
        });
        record.clear();
        encoder.encode(memory, &mut record)?;
        group.bench_function("decode a memory", |b| b.iter(|| encoder.codec().decode_memory(&record, &mut decoded)));
        group.finish();
    }
    criterion.final_summary();
    Ok(())
}

/// Correlated Gaussians: a random mix of independent ones, whose deviations fall off as those of real keys do.
fn synthetic() -> Vec<Memory> {
    let mut rng = Rng::from_seed(1);
    // The sum of twelve uniform numbers is near enough to a Gaussian.
    let mut gaussian = move || (0..12).map(|_| rng.uniform() as f32).sum::<f32>() - 6.0;
    let mix: Vec<f32> = (0..DIM * DIM).map(|i| gaussian() * (-((i / DIM) as f32) / 16.0).exp()).collect();
    let mut vectors = |count: usize| -> Vec<f32> {
        (0..count)
            .flat_map(|_| {
                let source: Vec<f32> = (0..DIM).map(|_| gaussian()).collect();
                let mix = &mix;
                (0..DIM).map(move |d| source.iter().zip(mix[d..].iter().step_by(DIM)).map(|(x, m)| x * m).sum::<f32>()).collect::<Vec<_>>()
            })
            .collect()
    };
    let shape = MemoryShape::new(1, 1, 8, DIM as u32);
    (0..MEMORIES).map(|_| Memory { shape: shape.clone(), positions: (0..8).collect(), keys: vectors(8), values: vectors(8) }).collect()
}
