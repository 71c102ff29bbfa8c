//! Weights of linear maps.

use std::sync::Arc;

use crate::error::check;
use crate::int8::Int8;
use crate::number::from_bf16;
use crate::{KernelError, to_bf16};

/// Numbers that somebody holds, for example a `Vec` or a tensor that is not copied. The slice must always be the same.
pub type Held<T> = Arc<dyn AsRef<[T]> + Send + Sync>;

/// A matrix `[rows, columns]` of weights. A linear map takes `columns` numbers to `rows` numbers.
#[derive(Clone)]
pub struct Matrix {
    pub(crate) weights: Weights,
    rows: usize,
    columns: usize,
}

/// The numbers of a [`Matrix`].
#[derive(Clone)]
pub(crate) enum Weights {
    F32(Held<f32>),
    Bf16(Held<u16>),
    Int8(Arc<Int8>),
}

/// The type of a [`Matrix`]'s numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightKind {
    /// 32-bit floats.
    F32,
    /// bf16.
    Bf16,
    /// 8-bit integers with a scale for every 32 of a row.
    Int8,
}

impl Matrix {
    /// A matrix of `f32`, row by row.
    ///
    /// # Errors
    /// Another number of them than `rows * columns`, or none.
    pub fn f32(weights: Held<f32>, rows: usize, columns: usize) -> Result<Self, KernelError> {
        check("f32 weights", size(rows, columns)?, (*weights).as_ref().len())?;
        Ok(Self { weights: Weights::F32(weights), rows, columns })
    }

    /// A matrix of bf16, row by row.
    ///
    /// # Errors
    /// As [`f32`](Self::f32).
    pub fn bf16(weights: Held<u16>, rows: usize, columns: usize) -> Result<Self, KernelError> {
        check("bf16 weights", size(rows, columns)?, (*weights).as_ref().len())?;
        Ok(Self { weights: Weights::Bf16(weights), rows, columns })
    }

    /// This matrix in 8 bits, which so many threads make: integers -127 to 127, and an f16 scale for every 32 of a row. It takes 1.06 bytes a weight, of which
    /// rows are rounded up to a multiple of 16 and columns to one of 32.
    ///
    /// # Errors
    /// A weight that is not finite, or too large for a scale.
    pub fn to_int8(&self, threads: usize) -> Result<Self, KernelError> {
        if let Weights::Int8(_) = self.weights {
            return Ok(self.clone());
        }
        let weights = Int8::new(self.rows, self.columns, threads, |row, to| self.copy_row(row, to))?;
        Ok(Self { weights: Weights::Int8(Arc::new(weights)), ..*self })
    }

    /// This matrix in bf16, rounded to nearest.
    pub fn to_bf16(&self) -> Self {
        if let Weights::Bf16(_) = self.weights {
            return self.clone();
        }
        let mut row = vec![0.0; self.columns];
        let mut weights = Vec::with_capacity(self.rows * self.columns);
        for number in 0..self.rows {
            self.copy_row(number, &mut row);
            weights.extend(row.iter().map(|x| to_bf16(*x)));
        }
        Self { weights: Weights::Bf16(Arc::new(weights)), ..*self }
    }

    /// Rows: the numbers that the map gives.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns: the numbers that the map takes.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The type of its numbers.
    pub fn kind(&self) -> WeightKind {
        match self.weights {
            Weights::F32(_) => WeightKind::F32,
            Weights::Bf16(_) => WeightKind::Bf16,
            Weights::Int8(_) => WeightKind::Int8,
        }
    }

    /// Bytes of its weights.
    pub fn bytes(&self) -> usize {
        match &self.weights {
            Weights::F32(weights) => size_of_val((**weights).as_ref()),
            Weights::Bf16(weights) => size_of_val((**weights).as_ref()),
            Weights::Int8(weights) => weights.bytes(),
        }
    }

    /// Copies row `row` to `to`, as `f32`.
    ///
    /// # Panics
    /// A row that the matrix does not have, or another length than that of a row.
    pub fn copy_row(&self, row: usize, to: &mut [f32]) {
        let columns = self.columns;
        assert!(row < self.rows && to.len() == columns, "row {row} of {}, {columns} columns into {}", self.rows, to.len());
        match &self.weights {
            Weights::F32(weights) => to.copy_from_slice(&(**weights).as_ref()[row * columns..][..columns]),
            Weights::Bf16(weights) => {
                let row = &(**weights).as_ref()[row * columns..][..columns];
                to.iter_mut().zip(row).for_each(|(to, x)| *to = from_bf16(*x));
            }
            Weights::Int8(weights) => weights.copy_row(row, to),
        }
    }
}

/// `rows * columns`, if that is a number of addressable weights and not 0.
fn size(rows: usize, columns: usize) -> Result<usize, KernelError> {
    rows.checked_mul(columns).filter(|size| (1..=isize::MAX as usize / 4).contains(size)).ok_or_else(|| KernelError::Size {
        what: "rows of a matrix",
        expected: format!("a number that makes a matrix with {columns} columns"),
        found: rows,
    })
}
