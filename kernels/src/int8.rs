//! Weights of 8 bits.
//!
//! Codes are symmetric, `weight = scale * code` with codes -127 to 127 and an f16 scale for every [`BLOCK`] weights of a row, as in
//! ggml's Q8_0. The order is
//! another one, in which products need no sums across lanes: panels of [`PANEL`] rows; in a panel block by block; in a block eight lines of
//! 64 bytes, each with 4 columns of all 16 rows, row by row. Codes are stored with 128 added, because the instruction (VPDPBUSD)
//! multiplies unsigned by signed bytes.

use std::ops::Range;

use half::f16;

use crate::simd::{Kernel, Simd};
use crate::{Cpu, KernelError};

/// Columns that share a scale.
pub(crate) const BLOCK: usize = 32;
/// Rows of a panel.
pub(crate) const PANEL: usize = 16;
/// Columns of a line.
pub(crate) const GROUP: usize = 4;
/// Lines of a block.
pub(crate) const LINES: usize = BLOCK / GROUP;

/// The largest weight whose scale is a finite f16.
const LARGEST: f32 = 127.0 * 65504.0;

/// 4 columns of the 16 rows of a panel, as a cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Line(pub [u8; PANEL * GROUP]);

/// A matrix of 8-bit weights.
pub(crate) struct Int8 {
    /// `[panels, blocks, LINES]`.
    pub lines: Vec<Line>,
    /// `[panels, blocks, PANEL]` in f16.
    pub scales: Vec<u16>,
    /// Blocks of a row.
    pub blocks: usize,
}

/// Quantizes rows that begin a panel into the lines and scales of their panels.
fn quantize_rows(
    rows: Range<usize>,
    columns: usize,
    row: &impl Fn(usize, &mut [f32]),
    lines: &mut [Line],
    scales: &mut [u16],
) -> Result<(), KernelError> {
    let (cpu, blocks, first) = (Cpu::detect(), columns.div_ceil(BLOCK), rows.start);
    let (mut weights, mut codes) = (vec![0.0; columns], [0; BLOCK]);
    for number in rows {
        row(number, &mut weights);
        let (panel, lane) = ((number - first) / PANEL, (number - first) % PANEL);
        for (block, weights) in weights.chunks(BLOCK).enumerate() {
            if let Some((i, bad)) = weights.iter().enumerate().find(|(_, x)| x.is_nan() || x.abs() > LARGEST) {
                return Err(KernelError::Weight { row: number, column: block * BLOCK + i, found: bad.to_string() });
            }
            let scale = cpu.run(Quantize { weights, codes: &mut codes[..weights.len()] });
            let place = panel * blocks + block;
            scales[place * PANEL + lane] = scale.to_bits();
            for (line, codes) in lines[place * LINES..].iter_mut().zip(codes[..weights.len()].chunks(GROUP)) {
                line.0[lane * GROUP..lane * GROUP + codes.len()].copy_from_slice(codes);
            }
        }
    }
    Ok(())
}

/// The codes of weights that share a scale, with 128 added. Gives the scale.
struct Quantize<'a> {
    weights: &'a [f32],
    codes: &'a mut [u8],
}

impl Kernel for Quantize<'_> {
    type Output = f16;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> f16 {
        let largest = self.weights.iter().fold(0f32, |largest, x| largest.max(x.abs()));
        let scale = f16::from_f32(largest / 127.0);
        let inverse = if scale == f16::ZERO { 0.0 } else { scale.to_f32().recip() };
        for (code, weight) in self.codes.iter_mut().zip(self.weights) {
            *code = ((weight * inverse).round_ties_even().clamp(-127.0, 127.0) as i32 + 128) as u8;
        }
        scale
    }
}

impl Int8 {
    /// Quantizes the rows that `row` writes, in so many threads. Rows beyond the last one, and columns, are zeros up to whole panels and blocks.
    pub fn new(rows: usize, columns: usize, threads: usize, row: impl Fn(usize, &mut [f32]) + Sync) -> Result<Self, KernelError> {
        let (panels, blocks) = (rows.div_ceil(PANEL), columns.div_ceil(BLOCK));
        let mut lines = vec![Line([128; PANEL * GROUP]); panels * blocks * LINES];
        let mut scales = vec![0; panels * blocks * PANEL];
        if blocks > 0 {
            let each = panels.div_ceil(threads.max(1)).max(1);
            let mut parts = lines.chunks_mut(each * blocks * LINES).zip(scales.chunks_mut(each * blocks * PANEL)).enumerate();
            let quantize = |(part, (lines, scales)): (usize, (&mut [Line], &mut [u16]))| {
                let first = part * each * PANEL;
                quantize_rows(first..rows.min(first + each * PANEL), columns, &row, lines, scales)
            };
            if threads <= 1 {
                parts.try_for_each(quantize)?;
            } else {
                std::thread::scope(|scope| {
                    let quantize = &quantize;
                    let running: Vec<_> = parts.map(|part| scope.spawn(move || quantize(part))).collect();
                    running.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                })?;
            }
        }
        Ok(Self { lines, scales, blocks })
    }

    pub fn bytes(&self) -> usize {
        size_of_val(self.lines.as_slice()) + size_of_val(self.scales.as_slice())
    }

    /// Copies a row as `f32`; `to` has the columns of the matrix.
    pub fn copy_row(&self, row: usize, to: &mut [f32]) {
        let (panel, lane) = (row / PANEL, row % PANEL);
        for (block, to) in to.chunks_mut(BLOCK).enumerate() {
            let place = panel * self.blocks + block;
            let scale = f16::from_bits(self.scales[place * PANEL + lane]).to_f32();
            for (i, to) in to.iter_mut().enumerate() {
                let code = self.lines[place * LINES + i / GROUP].0[lane * GROUP + i % GROUP];
                *to = scale * f32::from(i16::from(code) - 128);
            }
        }
    }
}
