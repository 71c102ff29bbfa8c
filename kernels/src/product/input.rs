//! Inputs of products, in the form that the weights need.

use super::Inputs;
use crate::error::KernelError;
use crate::int8::BLOCK;
use crate::matrix::Weights;
use crate::number::{from_bf16, to_bf16};
use crate::simd::{Kernel, Simd};
use crate::{Cpu, Matrix};

/// Numbers of 16 bits in a cache line.
const LINE: usize = 32;

/// The form of the inputs of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    F32,
    /// Rounded to bf16, as f32.
    Rounded,
    /// bf16, for instructions that multiply it.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    Bf16,
    Int8,
}

impl Form {
    /// The form for a matrix.
    pub fn of(cpu: Cpu, matrix: &Matrix, inputs: Inputs) -> Self {
        match (&matrix.weights, inputs) {
            (Weights::Int8(_), _) => Self::Int8,
            (Weights::F32(_), _) | (Weights::Bf16(_), Inputs::Exact) => Self::F32,
            (Weights::Bf16(_), Inputs::Bf16) => {
                #[cfg(target_arch = "x86_64")]
                if cpu.avx512().is_some_and(|token| token.bf16()) {
                    return Self::Bf16;
                }
                let _ = cpu;
                Self::Rounded
            }
        }
    }
}

/// Rows of inputs.
#[derive(Clone, Copy)]
pub(crate) enum Rows<'a> {
    /// `[rows, columns]`.
    F32(&'a [f32]),
    /// `[rows, columns rounded up to 32]`, zeros at the end.
    Bf16(&'a [u16]),
    Int8(Int8Rows<'a>),
}

/// Rows of 8-bit inputs.
#[derive(Clone, Copy)]
pub(crate) struct Int8Rows<'a> {
    /// `[rows, blocks]`: codes of 32 columns each, -127 to 127, zeros at the end.
    pub codes: &'a [[i8; BLOCK]],
    /// `[rows, blocks]`.
    pub scales: &'a [f32],
    /// `[rows, blocks]`: -128 times the sum of the block's codes, which makes up for the 128 that is added to the codes of weights.
    pub offsets: &'a [i32],
}

impl Rows<'_> {
    /// Panics unless there are whole rows of `columns` inputs.
    pub fn check(&self, columns: usize) {
        let (found, each) = match self {
            Self::F32(x) => (x.len(), columns),
            Self::Bf16(x) => (x.len(), columns.next_multiple_of(BLOCK)),
            Self::Int8(x) => {
                assert!(x.codes.len() == x.scales.len() && x.codes.len() == x.offsets.len(), "a scale and an offset for every block");
                (x.codes.len(), columns.div_ceil(BLOCK))
            }
        };
        assert!(found % each == 0, "rows of {each} inputs, not {found}");
    }
}

/// Memory for the inputs of products.
pub(crate) struct Input {
    rows: usize,
    columns: usize,
    f32: Vec<f32>,
    bf16: Vec<u16>,
    codes: Vec<[i8; BLOCK]>,
    scales: Vec<f32>,
    offsets: Vec<i32>,
}

impl Input {
    /// Memory for `rows` rows of at most `columns` numbers.
    pub fn new(rows: usize, columns: usize) -> Self {
        let blocks = rows * columns.div_ceil(BLOCK);
        Self {
            rows,
            columns,
            f32: vec![0.0; rows * columns],
            bf16: vec![0; blocks * BLOCK + LINE],
            codes: vec![[0; BLOCK]; blocks],
            scales: vec![0.0; blocks],
            offsets: vec![0; blocks],
        }
    }

    /// Checks that there is memory for this many.
    pub fn check(&self, rows: usize, columns: usize) -> Result<(), KernelError> {
        let size = |what, most: usize, found| match found <= most {
            true => Ok(()),
            false => Err(KernelError::Size { what, expected: format!("at most {most}"), found }),
        };
        size("rows of a batch", self.rows, rows)?;
        size("columns of inputs", self.columns, columns)
    }

    /// Rows of `columns` numbers in the form that a product needs.
    pub fn convert<'a>(&'a mut self, cpu: Cpu, form: Form, columns: usize, x: &'a [f32]) -> Rows<'a> {
        let rows = x.len() / columns;
        let blocks = rows * columns.div_ceil(BLOCK);
        match form {
            Form::F32 => Rows::F32(x),
            Form::Rounded => {
                let to = &mut self.f32[..x.len()];
                to.iter_mut().zip(x).for_each(|(to, x)| *to = from_bf16(to_bf16(*x)));
                Rows::F32(to)
            }
            Form::Bf16 => {
                // At the start of a cache line, so that no vector is in two of them.
                let start = self.bf16.as_ptr().align_offset(size_of::<[u16; LINE]>()).min(LINE);
                let to = &mut self.bf16[start..][..blocks * BLOCK];
                cpu.run(Round { columns, x, to });
                Rows::Bf16(to)
            }
            Form::Int8 => {
                let (codes, scales, offsets) = (&mut self.codes[..blocks], &mut self.scales[..blocks], &mut self.offsets[..blocks]);
                cpu.run(Quantize { columns, x, codes, scales, offsets });
                Rows::Int8(Int8Rows { codes, scales, offsets })
            }
        }
    }
}

/// Rounds rows to bf16.
struct Round<'a> {
    columns: usize,
    x: &'a [f32],
    to: &'a mut [u16],
}

impl Kernel for Round<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let padded = self.columns.next_multiple_of(BLOCK);
        for (x, to) in self.x.chunks_exact(self.columns).zip(self.to.chunks_exact_mut(padded)) {
            let (to, rest) = to.split_at_mut(self.columns);
            to.iter_mut().zip(x).for_each(|(to, x)| *to = to_bf16(*x));
            rest.fill(0);
        }
    }
}

/// Quantizes rows to 8 bits. A block with a number that is not finite gets a scale of NaN, so that its products are NaN.
struct Quantize<'a> {
    columns: usize,
    x: &'a [f32],
    codes: &'a mut [[i8; BLOCK]],
    scales: &'a mut [f32],
    offsets: &'a mut [i32],
}

impl Kernel for Quantize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let blocks = self.x.chunks_exact(self.columns).flat_map(|row| row.chunks(BLOCK));
        let scales = self.scales.iter_mut().zip(self.offsets.iter_mut());
        for ((x, codes), (scale, offset)) in blocks.zip(self.codes.iter_mut()).zip(scales) {
            let mut block = [0.0; BLOCK];
            block[..x.len()].copy_from_slice(x);
            (*scale, *offset) = quantize(&block, codes);
        }
    }
}

/// Quantizes a block; returns its scale and its offset.
#[inline(always)]
fn quantize(x: &[f32; BLOCK], codes: &mut [i8; BLOCK]) -> (f32, i32) {
    /// Adding 1.5 * 2^23 rounds to an integer, which the lowest bits of the sum then hold.
    const SHIFT: f32 = 12_582_912.0;
    // Bits without the sign are in the order of the numbers, and those of infinities and NaNs are the largest.
    let largest = f32::from_bits(x.iter().fold(0, |largest, x| largest.max(x.to_bits() & 0x7fff_ffff)));
    if !largest.is_finite() {
        *codes = [0; BLOCK];
        return (f32::NAN, 0);
    }
    // Below 1e-35 the inverse would be infinite.
    let inverse = if largest < 1e-35 { 0.0 } else { 127.0 / largest };
    let mut sum = 0;
    for (code, x) in codes.iter_mut().zip(x) {
        *code = (x * inverse + SHIFT).to_bits() as i8;
        sum += i32::from(*code);
    }
    (largest / 127.0, -128 * sum)
}
