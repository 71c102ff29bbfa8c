//! Matrices that are made from checkpoints by several threads at once.
//!
//! A matrix is first given its place; its numbers are written when all matrices have one. Places are parts of few large allocations, which the
//! system backs with huge pages where it can.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use mempack_kernels::{Cpu, Filled, LowRank, Stored, fill};
use tch::{Device, Kind, TchError, Tensor};

/// Numbers of an allocation, unless one matrix has more.
const ALLOCATION: i64 = 1 << 24;
/// Matrices begin at multiples of so many numbers: whole cache lines in every type.
const ALIGNMENT: i64 = 32;
/// About how many numbers a thread writes before it looks for more.
const BLOCK: usize = 1 << 17;
/// Blocks begin at multiples of so many rows, which `fill` takes together.
const ROWS: usize = 4;

/// Matrices with a place, and what they are made of.
#[derive(Default)]
pub(crate) struct Filling<'a> {
    /// The allocation that the next matrix goes to, and how much of it is taken.
    free: Option<(Tensor, i64)>,
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
        let matrix = self.place((rows * columns) as i64, kind)?.f_view([rows as i64, columns as i64])?;
        let mut start = matrix.data_ptr().cast::<u8>();
        for rows in parts {
            let bytes = rows.count * columns * kind.elt_size_in_bytes();
            self.jobs.push(Job { rows, columns, kind, start, _matrix: matrix.shallow_clone() });
            // SAFETY: The matrix has the rows of all parts, one after the other.
            start = unsafe { start.add(bytes) };
        }
        Ok(matrix)
    }

    /// Room for `count` numbers.
    fn place(&mut self, count: i64, kind: Kind) -> Result<Tensor, TchError> {
        let (allocation, taken) = match self.free.take() {
            Some((allocation, taken)) if allocation.kind() == kind && taken + count <= allocation.size1()? => (allocation, taken),
            _ => (Tensor::f_empty([count.max(ALLOCATION)], (kind, Device::Cpu))?, 0),
        };
        // `data` makes it a tensor of its own, so that autograd does not take a change of one matrix for a change of the others.
        let place = allocation.f_narrow(0, taken, count)?.f_data()?;
        self.free = Some((allocation, taken + (count + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT));
        Ok(place)
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
