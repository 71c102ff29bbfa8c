//! Measures products with the weights of one decoding step: `products [threads]`.

use std::sync::Arc;
use std::time::Instant;

use mempack_kernels::{Cpu, Inputs, Matrix, Pool, Product};

/// Layers, and rows and columns of the matrices of a layer.
type Shapes = (usize, [(usize, usize); 4], (usize, usize));

const SMOLLM2_135M: Shapes = (30, [(960, 576), (576, 576), (3072, 576), (576, 1536)], (49152, 576));

fn main() {
    let threads = std::env::args().nth(1).map_or(1, |n| n.parse().expect("a number of threads"));
    let pool = Pool::new(threads).expect("threads");
    let cpu = Cpu::from_env().expect("a path");
    let (layers, of_layer, head) = SMOLLM2_135M;
    let shapes = (0..layers).flat_map(|_| of_layer).chain([head]);
    let bf16: Vec<Matrix> = shapes.map(|(rows, columns)| matrix(rows, columns)).collect();
    let int8: Vec<Matrix> = bf16.iter().map(|matrix| matrix.to_int8().expect("finite weights")).collect();
    for (name, matrices, inputs) in [("bf16", &bf16, Inputs::Bf16), ("bf16 exact", &bf16, Inputs::Exact), ("int8", &int8, Inputs::Bf16)] {
        for rows in [1, 2, 4, 8, 16, 32] {
            let mut product = Product::new(cpu, inputs, rows, 4864);
            let x: Vec<f32> = (0..rows * 4864).map(|i| (i * 7919 % 1000) as f32 / 500.0 - 1.0).collect();
            let mut y = vec![0.0; rows * 49152];
            let mut times: Vec<f64> = (0..9)
                .map(|_| {
                    let start = Instant::now();
                    let c = cpu_ms();
                    for matrix in matrices {
                        let x = &x[..rows * matrix.columns()];
                        product.run(&pool, matrix, x, None, false, &mut y[..rows * matrix.rows()]).expect("sizes");
                    }
                    if threads == 1 { cpu_ms() - c } else { start.elapsed().as_secs_f64() * 1e3 }
                })
                .collect();
            times.sort_by(f64::total_cmp);
            let bytes: usize = matrices.iter().map(Matrix::bytes).sum();
            println!(
                "{name} {rows} rows: {:.2} ms (min {:.2}), {:.1} GB/s, {:.0} rows/s",
                times[4],
                times[0],
                bytes as f64 / times[4] / 1e6,
                rows as f64 / times[4] * 1e3
            );
        }
    }
}

fn matrix(rows: usize, columns: usize) -> Matrix {
    let weights: Vec<u16> = (0..rows * columns).map(|i| mempack_kernels::to_bf16((i * 7919 % 4001) as f32 / 40000.0 - 0.05)).collect();
    Matrix::bf16(Arc::new(weights), rows, columns).expect("as many weights")
}

fn cpu_ms() -> f64 {
    std::fs::read_to_string("/proc/thread-self/schedstat").unwrap().split(' ').next().unwrap().parse::<f64>().unwrap() / 1e6
}
