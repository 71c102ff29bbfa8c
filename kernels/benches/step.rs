//! Steps of a decoder with the layers of SmolLM2-135M, four of them, and products with one of its matrices.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mempack_kernels::{CacheKind, Cpu, Inputs, Logits, Matrix, Piece, Pool, Product, SequenceOptions, Step};

#[path = "../examples/step_speed/shapes.rs"]
mod shapes;

fn steps(c: &mut Criterion) {
    let shape = shapes::Shape { layers: 4, vocabulary: 4096, ..shapes::SHAPES[0] };
    let bf16 = shapes::model(&shape).unwrap();
    let models = [("int8", Arc::new(bf16.to_int8(2).unwrap())), ("bf16", Arc::new(bf16))];
    let mut group = c.benchmark_group(format!("step of {}", shape.name));
    for (name, model) in &models {
        for rows in [1, 8, 32] {
            let pool = Arc::new(Pool::new(2).unwrap());
            let mut step = Step::new(Arc::clone(model), Cpu::detect(), Inputs::Bf16, pool, rows).unwrap();
            let options = SequenceOptions { capacity: 200, memories: 0, prefix: 0, gap: 0, cache: CacheKind::Bf16 };
            let mut sequences: Vec<_> = (0..rows).map(|_| step.sequence(options).unwrap()).collect();
            let mut logits = vec![0.0; rows * model.vocabulary()];
            group.throughput(Throughput::Elements(rows as u64));
            group.bench_function(BenchmarkId::new(*name, rows), |b| {
                b.iter(|| {
                    let pieces = sequences.iter_mut().map(|sequence| {
                        sequence.truncate(100);
                        Piece { sequence, tokens: &[7], logits: Logits::Last }
                    });
                    step.run(&mut pieces.collect::<Vec<_>>(), &mut logits).unwrap()
                });
            });
        }
    }
    group.finish();
}

fn products(c: &mut Criterion) {
    let (out, columns) = (3072, 576);
    let weights: Vec<f32> = (0..out * columns).map(|i| (i % 17) as f32 / 17.0 - 0.5).collect();
    let matrix = Matrix::f32(Arc::new(weights), out, columns).unwrap();
    let pool = Pool::new(1).unwrap();
    let mut group = c.benchmark_group("product");
    for matrix in [matrix.to_bf16(), matrix.to_int8(2).unwrap()] {
        for (cpu, inputs) in Cpu::all().into_iter().flat_map(|cpu| [(cpu, Inputs::Exact), (cpu, Inputs::Bf16)]) {
            for rows in [1, 4, 16] {
                let x = vec![0.3; rows * columns];
                let mut y = vec![0.0; rows * out];
                let mut product = Product::new(cpu, inputs, rows, columns);
                let name = format!("{:?} {inputs:?} {}", matrix.kind(), cpu.path());
                group.bench_function(BenchmarkId::new(name, rows), |b| {
                    b.iter(|| product.run(&pool, &matrix, black_box(&x), None, false, &mut y).unwrap());
                });
            }
        }
    }
    group.finish();
}

criterion_group!(benches, steps, products);
criterion_main!(benches);
