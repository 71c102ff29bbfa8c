//! Filled rows beside conversions of the crate half and products in order.

use half::{bf16, f16};
use mempack_kernels::{Cpu, Filled, LowRank, Path, Stored, fill, from_bf16};
use proptest::prelude::*;

/// The bytes of numbers in a type, and the numbers that they hold.
fn stored(kind: usize, numbers: &[f32]) -> (Vec<u8>, Vec<f32>) {
    match kind {
        0 => (numbers.iter().flat_map(|x| x.to_le_bytes()).collect(), numbers.to_vec()),
        1 => numbers.iter().map(|x| f16::from_f32(*x)).map(|x| (x.to_le_bytes(), x.to_f32())).fold(Default::default(), push),
        _ => numbers.iter().map(|x| bf16::from_f32(*x)).map(|x| (x.to_le_bytes(), x.to_f32())).fold(Default::default(), push),
    }
}

fn push((mut bytes, mut numbers): (Vec<u8>, Vec<f32>), (more, number): ([u8; 2], f32)) -> (Vec<u8>, Vec<f32>) {
    bytes.extend(more);
    numbers.push(number);
    (bytes, numbers)
}

fn read(kind: usize, bytes: &[u8]) -> Stored<'_> {
    [Stored::F32(bytes), Stored::F16(bytes), Stored::Bf16(bytes)][kind]
}

/// Both kinds of rows that `fill` writes.
fn filled(cpu: Cpu, columns: usize, from: Stored<'_>, change: Option<LowRank<'_>>, count: usize) -> (Vec<f32>, Vec<u16>) {
    let (mut exact, mut rounded) = (vec![f32::NAN; count], vec![0xffff; count]);
    fill(cpu, columns, from, change, Filled::F32(&mut exact));
    fill(cpu, columns, from, change, Filled::Bf16(&mut rounded));
    (exact, rounded)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn rows_are_converted_and_changed(
        (rows, columns, rank) in (0usize..11, 1usize..90, 0usize..20),
        kind in 0usize..3,
        seed in any::<u32>(),
        scale in prop::sample::select(vec![1.0f32, 0.37, -2.5]),
        shift in 0usize..4,
    ) {
        let number = |i: usize| ((i as u32).wrapping_mul(2_654_435_761).wrapping_add(seed) >> 8) as f32 / (1 << 23) as f32 - 1.0;
        let (bytes, numbers) = stored(kind, &(0..rows * columns).map(number).collect::<Vec<_>>());
        // Files hold numbers at any byte.
        let moved: Vec<u8> = std::iter::repeat_n(0, shift).chain(bytes.iter().copied()).collect();
        let from = read(kind, &moved[shift..]);
        let a: Vec<f32> = (0..rank * columns).map(|i| number(i + 1000)).collect();
        let b: Vec<f32> = (0..rows * rank).map(|i| number(i + 5000)).collect();
        let change = LowRank { a: &a, b: &b, scale };
        for cpu in Cpu::all() {
            for change in [None, Some(change)] {
                let (exact, rounded) = filled(cpu, columns, from, change, rows * columns);
                for (i, (x, bits)) in exact.iter().zip(&rounded).enumerate() {
                    let (row, column) = (i / columns, i % columns);
                    let sum = (0..rank).fold(0f32, |sum, k| {
                        let (b, a) = (b[row * rank + k], a[k * columns + column]);
                        if cpu.path() == Path::Scalar { b * a + sum } else { b.mul_add(a, sum) }
                    });
                    let expected = if change.is_some() && rank > 0 { numbers[i] + sum * scale } else { numbers[i] };
                    prop_assert_eq!(x.to_bits(), expected.to_bits(), "{:?} row {} column {}", cpu, row, column);
                    prop_assert_eq!(*bits, bf16::from_f32(expected).to_bits());
                }
            }
        }
    }

    /// Whatever the bits, nothing panics, and what is no number stays none.
    #[test]
    fn numbers_of_all_kinds(bytes in prop::collection::vec(any::<u8>(), 4 * 3 * 21), kind in 0usize..3) {
        let count = bytes.len() / [4, 2, 2][kind];
        for cpu in Cpu::all() {
            let (exact, rounded) = filled(cpu, 21, read(kind, &bytes), None, count);
            for (x, bits) in exact.iter().zip(rounded) {
                prop_assert_eq!(x.is_nan(), from_bf16(bits).is_nan());
            }
        }
    }
}

#[test]
fn a_pair_of_another_size_is_refused() {
    for (count, a, b) in [(6, 3, 2), (6, 4, 2), (5, 3, 2), (6, 3, 3)] {
        let (a, b) = (vec![1.0; a], vec![1.0; b]);
        let mut to = vec![0.0; count];
        let change = Some(LowRank { a: &a, b: &b, scale: 1.0 });
        let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            fill(Cpu::detect(), 3, Stored::F32(&[0; 24]), change, Filled::F32(&mut to));
        }));
        assert_eq!(refused.is_err(), (count, a.len(), b.len()) != (6, 3, 2), "{count} {} {}", a.len(), b.len());
    }
}
