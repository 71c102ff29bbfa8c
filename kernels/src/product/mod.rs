//! Products of a few rows with weights: `y[rows, out] = x[rows, in] W^T`, with bias and residual.
//!
//! Each number of the result is added up in an order that depends only on the length of a row, so it does not depend on the other rows of
//! the batch, on the part of the matrix that a thread takes, or on the number of threads.

#[cfg(target_arch = "x86_64")]
mod bf16;
mod generic;
mod input;
mod int8;

use std::ops::Range;

pub(crate) use generic::Tile;
pub(crate) use input::{Form, Input, Rows};

use crate::error::check;
use crate::int8::PANEL;
use crate::matrix::Weights;
use crate::shared::Shared;
use crate::{Cpu, KernelError, Matrix, Pool};

/// What a part of a matrix has in rows, but for the last one.
pub(crate) const UNIT: usize = PANEL;

/// How the inputs of products with bf16 weights are rounded. Sums are `f32` in any case.
///
/// Inputs of products with f32 weights are not rounded. Those of products with 8-bit weights always are: to 8 bits with a scale for every
/// 32 numbers, which is off by at most 1/254 of the largest of the 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inputs {
    /// They are not rounded.
    Exact,
    /// They are rounded to bf16, as libtorch rounds them in bf16.
    Bf16,
}

/// Where the numbers of a product go: `y[row * stride + out]`.
#[derive(Clone, Copy)]
pub(crate) struct Output<'a> {
    pub y: &'a Shared<'a, f32>,
    /// Numbers from a row of `y` to the next.
    pub stride: usize,
    /// Added to every row, `[out]`.
    pub bias: Option<&'a [f32]>,
    /// Whether the product is added to what `y` holds.
    pub add: bool,
}

impl Output<'_> {
    /// Writes numbers `first..` of a row.
    ///
    /// # Safety
    /// No other thread may use these numbers.
    #[inline(always)]
    unsafe fn put(&self, row: usize, first: usize, values: &[f32]) {
        let start = row * self.stride + first;
        // SAFETY: The caller makes sure that nobody else uses them.
        let y = unsafe { self.y.range_mut(start..start + values.len()) };
        for (i, (y, value)) in y.iter_mut().zip(values).enumerate() {
            let value = self.bias.map_or(*value, |bias| value + bias[first + i]);
            *y = if self.add { *y + value } else { value };
        }
    }
}

/// Some rows of weights and some of inputs, which are multiplied with each other in registers.
#[derive(Clone, Copy)]
struct Place {
    /// The first row of weights.
    first: usize,
    /// Rows of weights.
    count: usize,
    /// The first row of inputs.
    row: usize,
    /// Rows of inputs, at most 4.
    rows: usize,
    /// Rows of weights from the first to those that are needed next, to prefetch; `None` if others have prefetched them.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    ahead: Option<usize>,
}

/// Calls `tile` for all of the weights `range`, whose rows have `bytes` bytes, and all of `rows` rows of inputs. Tiles have up to 8
/// rows of weights if
/// there is one row of inputs, else 4.
#[inline(always)]
fn tiles(range: Range<usize>, bytes: usize, rows: usize, mut tile: impl FnMut(Place)) {
    /// Bytes of weights that stay in the nearest cache while all inputs are multiplied with them.
    const NEAR: usize = 24 << 10;
    let wide = if rows == 1 { 8 } else { 4 };
    let block = if rows <= 4 { wide } else { (NEAR / bytes / wide * wide).max(wide) };
    for start in range.clone().step_by(block) {
        let end = range.end.min(start + block);
        for row in (0..rows).step_by(4) {
            for first in (start..end).step_by(wide) {
                let count = wide.min(end - first);
                tile(Place { first, count, row, rows: (rows - row).min(4), ahead: (row == 0).then_some(block) });
            }
        }
    }
}

/// Numbers `range` of the product of each row with `matrix`. `x` has the form that [`Form::of`] gives.
///
/// # Safety
/// No other thread may use the numbers of `to` that belong to `range`.
///
/// # Panics
/// A form or a size that does not fit the matrix.
pub(crate) unsafe fn multiply(cpu: Cpu, matrix: &Matrix, x: Rows<'_>, range: Range<usize>, to: Output<'_>) {
    let (rows, columns) = (matrix.rows(), matrix.columns());
    assert!(range.start <= range.end && range.end <= rows && range.start.is_multiple_of(UNIT), "{range:?} of {rows}");
    assert!(to.bias.is_none_or(|bias| bias.len() == rows), "a bias for {rows} rows");
    x.check(columns);
    // SAFETY: The caller makes sure that nobody else uses the numbers.
    unsafe {
        match (&matrix.weights, x) {
            (Weights::F32(weights), Rows::F32(x)) => generic::multiply::<f32>(cpu, (**weights).as_ref(), columns, x, range, to),
            (Weights::Bf16(weights), Rows::F32(x)) => generic::multiply::<u16>(cpu, (**weights).as_ref(), columns, x, range, to),
            #[cfg(target_arch = "x86_64")]
            (Weights::Bf16(weights), Rows::Bf16(x)) => bf16::multiply(cpu, (**weights).as_ref(), columns, x, range, to),
            (Weights::Int8(weights), Rows::Int8(x)) => int8::multiply(cpu, weights, x, range, to),
            _ => panic!("inputs in the form that the matrix needs"),
        }
    }
}

/// Products with one matrix at a time, for callers that do not run whole steps.
pub struct Product {
    cpu: Cpu,
    inputs: Inputs,
    input: Input,
}

impl Product {
    /// Products of at most `rows` rows of at most `columns` numbers.
    pub fn new(cpu: Cpu, inputs: Inputs, rows: usize, columns: usize) -> Self {
        Self { cpu, inputs, input: Input::new(rows, columns) }
    }

    /// `y = x matrix^T + bias`, or that added to `y` if `add`: x `[rows, matrix.columns()]`, bias `[matrix.rows()]`, y `[rows,
    /// matrix.rows()]`.
    ///
    /// # Errors
    /// Slices of other lengths, or more numbers than this was made for.
    pub fn run(
        &mut self,
        pool: &Pool,
        matrix: &Matrix,
        x: &[f32],
        bias: Option<&[f32]>,
        add: bool,
        y: &mut [f32],
    ) -> Result<(), KernelError> {
        let (out, columns) = (matrix.rows(), matrix.columns());
        let rows = x.len() / columns;
        check("inputs of a product", rows * columns, x.len())?;
        check("outputs of a product", rows * out, y.len())?;
        check("bias of a product", out, bias.map_or(out, <[f32]>::len))?;
        self.input.check(rows, columns)?;
        let form = Form::of(self.cpu, matrix, self.inputs);
        let x = self.input.convert(self.cpu, form, columns, x);
        let y = Shared::new(y);
        let (cpu, to) = (self.cpu, Output { y: &y, stride: out, bias, add });
        pool.run(&|worker| {
            worker.each(out, worker.grain(out, UNIT), |range| {
                // SAFETY: Ranges of threads do not overlap, and y is borrowed.
                unsafe { multiply(cpu, matrix, x, range, to) }
            });
        });
        Ok(())
    }
}
