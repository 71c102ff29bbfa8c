//! Rows of a weight as a decoder computes with them, of the rows in a file: converted, and changed by an adapter.

use half::f16;
use half::slice::HalfFloatSliceExt as _;

use crate::simd::{Kernel, Simd};
use crate::{Cpu, from_bf16, to_bf16};

/// Rows that are changed together, so that each number of A is read once for all of them.
const TOGETHER: usize = 4;

/// Numbers in a file, little-endian. They need no alignment.
#[derive(Clone, Copy, Debug)]
pub enum Stored<'a> {
    /// 4 bytes each.
    F32(&'a [u8]),
    /// IEEE 754 halves, 2 bytes each.
    F16(&'a [u8]),
    /// 2 bytes each.
    Bf16(&'a [u8]),
}

/// A change `scale * B A` of rows (LoRA, arXiv 2106.09685).
#[derive(Clone, Copy, Debug)]
pub struct LowRank<'a> {
    /// A, `[rank, columns]`.
    pub a: &'a [f32],
    /// The rows of B, `[rows, rank]`.
    pub b: &'a [f32],
    /// The factor.
    pub scale: f32,
}

/// Where rows are written.
#[derive(Debug)]
pub enum Filled<'a> {
    /// As f32.
    F32(&'a mut [f32]),
    /// As bf16, rounded to nearest, ties to even.
    Bf16(&'a mut [u16]),
}

/// Writes the rows `from`, of `columns` numbers each, with `change` added, to `to`.
///
/// Everything is computed in f32: a sum over the rank in order, starting at 0, then its product with the scale, then its sum with the
/// number. With AVX2 and AVX-512, sums are of fused products, so that these paths give the same numbers.
///
/// # Panics
/// Unless all slices have the same number of rows.
pub fn fill(cpu: Cpu, columns: usize, from: Stored<'_>, change: Option<LowRank<'_>>, to: Filled<'_>) {
    let count = match &to {
        Filled::F32(to) => to.len(),
        Filled::Bf16(to) => to.len(),
    };
    let (bytes, size) = match from {
        Stored::F32(bytes) => (bytes, 4),
        Stored::F16(bytes) | Stored::Bf16(bytes) => (bytes, 2),
    };
    assert!(bytes.len() == count * size && count.is_multiple_of(columns.max(1)), "as many rows as there are to write");
    if let Some(LowRank { a, b, .. }) = change {
        assert!(a.len().is_multiple_of(columns.max(1)) && a.len() * count == b.len() * columns * columns, "a pair for these rows");
    }
    if count > 0 {
        // Without a rank nothing changes.
        cpu.run(Fill { columns, from, change: change.filter(|change| !change.a.is_empty()), to });
    }
}

struct Fill<'a> {
    columns: usize,
    from: Stored<'a>,
    change: Option<LowRank<'a>>,
    to: Filled<'a>,
}

impl Kernel for Fill<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { columns, from, change, to } = self;
        match (from, change, to) {
            (Stored::F32(from), None, Filled::F32(to)) => read_f32(from, to),
            (Stored::Bf16(from), None, Filled::F32(to)) => read_bf16(from, to),
            (Stored::Bf16(from), None, Filled::Bf16(to)) => read_bits(from, to),
            (from, change, Filled::F32(to)) => {
                for (number, rows) in to.chunks_mut(TOGETHER * columns).enumerate() {
                    from.read(number * TOGETHER * columns, rows);
                    add(s, columns, number, change, rows);
                }
            }
            (from, change, Filled::Bf16(to)) => {
                let mut exact = vec![0.0; TOGETHER * columns];
                for (number, rows) in to.chunks_mut(TOGETHER * columns).enumerate() {
                    let exact = &mut exact[..rows.len()];
                    from.read(number * TOGETHER * columns, exact);
                    add(s, columns, number, change, exact);
                    rows.iter_mut().zip(exact).for_each(|(to, x)| *to = to_bf16(*x));
                }
            }
        }
    }
}

impl Stored<'_> {
    /// Reads the numbers from number `start`.
    #[inline(always)]
    fn read(self, start: usize, to: &mut [f32]) {
        match self {
            Self::F32(bytes) => read_f32(&bytes[4 * start..], to),
            Self::F16(bytes) => read_f16(&bytes[2 * start..], to),
            Self::Bf16(bytes) => read_bf16(&bytes[2 * start..], to),
        }
    }
}

#[inline(always)]
fn read_f32(from: &[u8], to: &mut [f32]) {
    let numbers = from.as_chunks::<4>().0;
    to.iter_mut().zip(numbers).for_each(|(to, bytes)| *to = f32::from_le_bytes(*bytes));
}

#[inline(always)]
fn read_bf16(from: &[u8], to: &mut [f32]) {
    let numbers = from.as_chunks::<2>().0;
    to.iter_mut().zip(numbers).for_each(|(to, bytes)| *to = from_bf16(u16::from_le_bytes(*bytes)));
}

#[inline(always)]
fn read_bits(from: &[u8], to: &mut [u16]) {
    let numbers = from.as_chunks::<2>().0;
    to.iter_mut().zip(numbers).for_each(|(to, bytes)| *to = u16::from_le_bytes(*bytes));
}

fn read_f16(from: &[u8], to: &mut [f32]) {
    let mut halves = [f16::ZERO; 64];
    for (to, from) in to.chunks_mut(halves.len()).zip(from.chunks(2 * halves.len())) {
        let halves = &mut halves[..to.len()];
        halves.iter_mut().zip(from.as_chunks::<2>().0).for_each(|(half, bytes)| *half = f16::from_le_bytes(*bytes));
        halves.convert_to_f32_slice(to);
    }
}

/// Adds the change of the rows of group `number` to them.
#[inline(always)]
fn add<S: Simd>(s: S, columns: usize, number: usize, change: Option<LowRank<'_>>, rows: &mut [f32]) {
    let Some(LowRank { a, b, scale }) = change else { return };
    let (rank, count) = (a.len() / columns, rows.len() / columns);
    let b = &b[number * TOGETHER * rank..][..count * rank];
    match count {
        TOGETHER => add_rows::<S, TOGETHER>(s, a, b, scale, rows),
        _ => {
            for (rows, b) in rows.chunks_exact_mut(columns).zip(b.chunks_exact(rank)) {
                add_rows::<S, 1>(s, a, b, scale, rows);
            }
        }
    }
}

/// Adds `scale * B A` to `ROWS` rows.
#[inline(always)]
fn add_rows<S: Simd, const ROWS: usize>(s: S, a: &[f32], b: &[f32], scale: f32, rows: &mut [f32]) {
    let (columns, rank) = (rows.len() / ROWS, b.len() / ROWS);
    let scale = s.splat(scale);
    let whole = columns / (2 * S::LANES) * (2 * S::LANES);
    for at in (0..whole).step_by(2 * S::LANES) {
        let mut sums = [[s.splat(0.0); 2]; ROWS];
        for k in 0..rank {
            let a = &a[k * columns + at..][..2 * S::LANES];
            let a = [s.load(a), s.load(&a[S::LANES..])];
            for (row, sums) in sums.iter_mut().enumerate() {
                let b = s.splat(b[row * rank + k]);
                *sums = [s.fma(b, a[0], sums[0]), s.fma(b, a[1], sums[1])];
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            let to = &mut rows[row * columns + at..][..2 * S::LANES];
            let (first, second) = to.split_at_mut(S::LANES);
            s.store(s.add(s.load(first), s.mul(sums[0], scale)), first);
            s.store(s.add(s.load(second), s.mul(sums[1], scale)), second);
        }
    }
    for at in (whole..columns).step_by(S::LANES) {
        let end = columns.min(at + S::LANES);
        for row in 0..ROWS {
            let mut sum = s.splat(0.0);
            for k in 0..rank {
                sum = s.fma(s.splat(b[row * rank + k]), s.load_part(&a[k * columns + at..k * columns + end]), sum);
            }
            let to = &mut rows[row * columns + at..row * columns + end];
            s.store_part(s.add(s.load_part(to), s.mul(sum, scale)), to);
        }
    }
}
