//! Products beside sums in f64, for all paths, types of weights and sizes.

use std::sync::Arc;

use mempack_kernels::{Cpu, Inputs, KernelError, Matrix, Pool, Product, WeightKind, from_bf16, to_bf16};
use proptest::prelude::*;

/// A matrix in each type, and the weights that it holds.
fn matrices(weights: &[f32], rows: usize, columns: usize) -> Vec<(Matrix, Vec<f32>)> {
    let f32 = Matrix::f32(Arc::new(weights.to_vec()), rows, columns).unwrap();
    let kinds = [f32.clone(), f32.to_bf16(), f32.to_int8(2).unwrap()];
    let copied = |matrix: Matrix| {
        let mut copy = vec![0.0; rows * columns];
        copy.chunks_mut(columns).enumerate().for_each(|(row, to)| matrix.copy_row(row, to));
        (matrix, copy)
    };
    kinds.map(copied).into()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn products_of_odd_sizes(
        (out, columns, rows) in (1usize..70, 1usize..200, 1usize..12),
        seed in any::<u32>(),
        threads in 1usize..3,
        (with_bias, add) in any::<(bool, bool)>(),
    ) {
        let number = |i: usize| ((i as u32).wrapping_mul(2_654_435_761).wrapping_add(seed) >> 8) as f32 / (1 << 23) as f32 - 1.0;
        let weights: Vec<f32> = (0..out * columns).map(number).collect();
        let x: Vec<f32> = (0..rows * columns).map(|i| number(i + 7)).collect();
        let bias: Vec<f32> = (0..out).map(number).collect();
        let pool = Pool::new(threads).unwrap();
        for (matrix, held) in matrices(&weights, out, columns) {
            for (before, held) in weights.iter().zip(&held) {
                let most = match matrix.kind() {
                    WeightKind::F32 => 0.0,
                    WeightKind::Bf16 => before.abs() / 256.0,
                    // Half a step of the largest weight of the 32, and the rounding of the scale.
                    WeightKind::Int8 => 0.6 / 127.0,
                };
                prop_assert!((before - held).abs() <= most, "{before} {held}");
            }
            for (cpu, inputs) in Cpu::all().into_iter().flat_map(|cpu| [(cpu, Inputs::Exact), (cpu, Inputs::Bf16)]) {
                let mut product = Product::new(cpu, inputs, rows, columns);
                let mut y = vec![0.25; rows * out];
                product.run(&pool, &matrix, &x, with_bias.then_some(&bias), add, &mut y).unwrap();
                for (i, y) in y.iter().enumerate() {
                    let (row, o) = (i / out, i % out);
                    let terms = x[row * columns..][..columns].iter().zip(&held[o * columns..][..columns]);
                    let round = |x: f32| if matrix.kind() == WeightKind::Bf16 && inputs == Inputs::Bf16 { from_bf16(to_bf16(x)) } else { x };
                    let sum: f64 = terms.clone().map(|(x, w)| f64::from(round(*x)) * f64::from(*w)).sum();
                    let sizes: f64 = terms.map(|(x, w)| (f64::from(*x) * f64::from(*w)).abs()).sum();
                    let expected = sum + if with_bias { f64::from(bias[o]) } else { 0.0 } + if add { 0.25 } else { 0.0 };
                    // Inputs of 8 bits are off by 1/254 of the largest of a block, which is at most 1, each.
                    let of_inputs = if matrix.kind() == WeightKind::Int8 { columns as f64 / 254.0 } else { 0.0 };
                    let most = 1e-5 * (1.0 + sizes) + of_inputs;
                    prop_assert!((f64::from(*y) - expected).abs() <= most, "{cpu:?} {:?} {inputs:?}: {y} {expected}", matrix.kind());
                }
            }
        }
    }

    /// Whatever the bits of weights and inputs, nothing panics, and an input that is not finite does not give a finite product.
    #[test]
    fn numbers_of_all_kinds(weights in prop::collection::vec(any::<u32>(), 40 * 5), x in prop::collection::vec(any::<u32>(), 2 * 40)) {
        let numbers = |bits: &[u32]| bits.iter().map(|bits| f32::from_bits(*bits)).collect::<Vec<f32>>();
        let (weights, x) = (numbers(&weights), numbers(&x));
        let pool = Pool::new(1).unwrap();
        let f32 = Matrix::f32(Arc::new(weights.clone()), 5, 40).unwrap();
        let fits = |x: &f32| x.abs() <= 127.0 * 65504.0;
        prop_assert_eq!(f32.to_int8(2).is_ok(), weights.iter().all(fits));
        let small: Vec<f32> = weights.iter().map(|x| if fits(x) { *x } else { 1.0 }).collect();
        let int8 = Matrix::f32(Arc::new(small), 5, 40).unwrap().to_int8(2).unwrap();
        for matrix in [f32.to_bf16(), f32, int8] {
            for cpu in Cpu::all() {
                for inputs in [Inputs::Exact, Inputs::Bf16] {
                    let mut y = [0.0; 10];
                    Product::new(cpu, inputs, 2, 40).run(&pool, &matrix, &x, None, false, &mut y).unwrap();
                    for (x, y) in x.chunks(40).zip(y.chunks(5)) {
                        prop_assert!(x.iter().all(|x| x.is_finite()) || y.iter().all(|y| !y.is_finite()), "{cpu:?} {:?}", matrix.kind());
                    }
                }
            }
        }
    }
}

#[test]
fn sizes_that_do_not_fit() {
    let pool = Pool::new(1).unwrap();
    assert!(matches!(Matrix::f32(Arc::new(vec![0.0; 5]), 2, 3), Err(KernelError::Length { expected: 6, found: 5, .. })));
    for (rows, columns) in [(0, 3), (3, 0), (usize::MAX, 2), (1 << 40, 1 << 30)] {
        assert!(matches!(Matrix::bf16(Arc::new(vec![]), rows, columns), Err(KernelError::Size { .. })), "{rows} {columns}");
    }
    let matrix = Matrix::f32(Arc::new(vec![1.0; 6]), 2, 3).unwrap();
    let mut product = Product::new(Cpu::detect(), Inputs::Exact, 2, 3);
    let mut run =
        |x: usize, bias: usize, y: usize| product.run(&pool, &matrix, &vec![1.0; x], Some(&vec![0.0; bias]), false, &mut vec![0.0; y]);
    assert_eq!(run(6, 2, 4), Ok(()));
    assert_eq!(run(0, 2, 0), Ok(()));
    for (x, bias, y) in [(5, 2, 4), (6, 1, 4), (6, 2, 3), (9, 2, 6)] {
        assert!(run(x, bias, y).is_err(), "{x} {bias} {y}");
    }
    let bad = Matrix::f32(Arc::new(vec![1.0, 2.0, 3.0, 4.0, f32::NAN, 6.0]), 2, 3).unwrap().to_int8(2);
    assert_eq!(bad.err(), Some(KernelError::Weight { row: 1, column: 1, found: "NaN".to_owned() }));
}
