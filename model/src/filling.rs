//! Matrices that are made from checkpoints by several threads at once.
//!
//! A matrix is first given its place; its numbers are written when all matrices have one. They are copies: a mapping would follow every later change
//! of the file, and answers would silently come from other weights.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use mempack_kernels::{Cpu, Filled, LowRank, Stored, fill};
use tch::{Device, Kind, TchError, Tensor};

/// About how many numbers a thread writes before it looks for more.
const BLOCK: usize = 1 << 17;
/// Blocks begin at multiples of so many rows, which `fill` takes together.
const ROWS: usize = 4;

/// Matrices that have a place, and what they are made of.
#[derive(Default)]
pub(crate) struct Filling<'a> {
    jobs: Vec<Job<'a>>,
}

/// What some rows of a matrix are made of.
pub(crate) struct Rows<'a> {
    pub count: usize,
    pub stored: Stored<'a>,
    pub change: Option<Change>,
}

/// An adapter's change of rows, as [`LowRank`].
pub(crate) struct Change {
    pub a: Vec<f32>,
    pub b: Vec<f32>,
    pub scale: f32,
}

struct Job<'a> {
    rows: Rows<'a>,
    columns: usize,
    kind: Kind,
    start: *mut u8,
    /// Keeps the numbers where they are.
    _matrix: Tensor,
}

// SAFETY: A job's numbers are written by one thread at a time, in blocks, and its tensor is only dropped, which libtorch allows on any thread.
unsafe impl Send for Job<'_> {}
// SAFETY: As above.
unsafe impl Sync for Job<'_> {}

impl<'a> Filling<'a> {
    /// A matrix on the CPU with these rows, of `columns` numbers of type `kind`: f32 or bf16. Its numbers are there after [`finish`](Self::finish).
    pub fn matrix(&mut self, parts: Vec<Rows<'a>>, columns: usize, kind: Kind) -> Result<Tensor, TchError> {
        assert!(matches!(kind, Kind::Float | Kind::BFloat16), "a type that can be filled");
        let rows: usize = parts.iter().map(|rows| rows.count).sum();
        let matrix = Tensor::f_empty([rows as i64, columns as i64], (kind, Device::Cpu))?;
        let mut start = matrix.data_ptr().cast::<u8>();
        for rows in parts {
            let bytes = rows.count * columns * kind.elt_size_in_bytes();
            self.jobs.push(Job { rows, columns, kind, start, _matrix: matrix.shallow_clone() });
            // SAFETY: The matrix has the rows of all parts, one after the other.
            start = unsafe { start.add(bytes) };
        }
        Ok(matrix)
    }

    /// Writes the numbers of all matrices, with up to `threads` threads. The result does not depend on their number.
    pub fn finish(&mut self, threads: usize) {
        let jobs = std::mem::take(&mut self.jobs);
        let blocks: Vec<(&Job<'_>, Range<usize>)> = jobs.iter().flat_map(|job| job.blocks().map(move |rows| (job, rows))).collect();
        let (cpu, next) = (Cpu::detect(), AtomicUsize::new(0));
        let work = || {
            while let Some((job, rows)) = blocks.get(next.fetch_add(1, Ordering::Relaxed)) {
                // SAFETY: Blocks are disjoint, and each is taken by one thread.
                unsafe { job.write(cpu, rows.clone()) };
            }
        };
        thread::scope(|scope| {
            for _ in 1..threads.min(blocks.len()) {
                // Without a further thread those that there are do the work.
                let _ = thread::Builder::new().name("mempack-weights".into()).spawn_scoped(scope, work);
            }
            work();
        });
    }
}

impl Job<'_> {
    /// Rows that are written at once.
    fn blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (count, step) = (self.rows.count, (BLOCK / self.columns.max(1)).max(1).next_multiple_of(ROWS));
        (0..count).step_by(step).map(move |first| first..count.min(first + step))
    }

    /// Writes these rows.
    ///
    /// # Safety
    /// No other thread may use their numbers meanwhile.
    unsafe fn write(&self, cpu: Cpu, rows: Range<usize>) {
        let numbers = rows.start * self.columns..rows.end * self.columns;
        let from = match self.rows.stored {
            Stored::F32(bytes) => Stored::F32(&bytes[4 * numbers.start..4 * numbers.end]),
            Stored::F16(bytes) => Stored::F16(&bytes[2 * numbers.start..2 * numbers.end]),
            Stored::Bf16(bytes) => Stored::Bf16(&bytes[2 * numbers.start..2 * numbers.end]),
        };
        let change = self.rows.change.as_ref().map(|Change { a, b, scale }| {
            let rank = b.len() / self.rows.count;
            LowRank { a, b: &b[rows.start * rank..rows.end * rank], scale: *scale }
        });
        let (start, length) = (numbers.start, numbers.len());
        // SAFETY: The matrix has `count` rows of this type from `start`, contiguous and aligned as libtorch aligns tensors; the caller makes sure
        // that nobody else uses these.
        let to = unsafe {
            match self.kind {
                Kind::BFloat16 => Filled::Bf16(std::slice::from_raw_parts_mut(self.start.cast::<u16>().add(start), length)),
                _ => Filled::F32(std::slice::from_raw_parts_mut(self.start.cast::<f32>().add(start), length)),
            }
        };
        fill(cpu, self.columns, from, change, to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of few bits, whose sums are exact in any order.
    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 31 + seed * 17) % 23) as f32 / 8.0 - 1.25).collect()
    }

    #[test]
    fn matrices_are_what_libtorch_makes_of_the_same_rows() {
        let columns = 37;
        // Rows, type, rank of the change. Most of the last has more than one block.
        let parts = [(3, Kind::BFloat16, 0), (1, Kind::Half, 2), (8, Kind::Float, 5), (5000, Kind::BFloat16, 16), (0, Kind::Float, 0)];
        let stored: Vec<Vec<u8>> = parts
            .iter()
            .enumerate()
            .map(|(i, (rows, kind, _))| {
                let tensor = Tensor::from_slice(&numbers(rows * columns, i)).to_kind(*kind);
                let mut bytes = vec![0; rows * columns * kind.elt_size_in_bytes()];
                tensor.copy_data_u8(&mut bytes, rows * columns);
                bytes
            })
            .collect();
        for (kind, threads) in [(Kind::Float, 1), (Kind::Float, 3), (Kind::BFloat16, 1), (Kind::BFloat16, 2)] {
            let mut filling = Filling::default();
            let (mut found, mut expected) = (Vec::new(), Vec::new());
            for from in 0..parts.len() {
                let (mut rows, mut plain) = (Vec::new(), Vec::new());
                for (i, ((count, stored_kind, rank), bytes)) in parts.iter().zip(&stored).enumerate().skip(from) {
                    let stored = match stored_kind {
                        Kind::Float => Stored::F32(bytes),
                        Kind::Half => Stored::F16(bytes),
                        _ => Stored::Bf16(bytes),
                    };
                    let (a, b) = (numbers(rank * columns, i + 5), numbers(count * rank, i + 7));
                    let shape = [*count as i64, columns as i64];
                    let exact = Tensor::from_data_size(bytes, &shape, *stored_kind).to_kind(Kind::Float);
                    let matrix = |x: &[f32], columns: usize| Tensor::from_slice(x).view([-1, columns as i64]);
                    let changed = if *rank == 0 { exact } else { exact + matrix(&b, *rank).matmul(&matrix(&a, columns)) * 0.75 };
                    plain.push(changed.to_kind(kind));
                    let change = (*rank > 0).then_some(Change { a, b, scale: 0.75 });
                    rows.push(Rows { count: *count, stored, change });
                }
                found.push(filling.matrix(rows, columns, kind).unwrap());
                expected.push(Tensor::cat(&plain, 0));
            }
            filling.finish(threads);
            // A second time nothing is left to write.
            filling.finish(threads);
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!((found.size(), found.kind()), (expected.size(), kind));
                assert!(found.equal(expected), "{kind:?}, {threads} threads");
            }
        }
    }
}
