//! Weights of 8 bits.
//!
//! Codes are symmetric, `weight = scale * code` with codes -127 to 127 and an f16 scale for every [`BLOCK`] weights of a row, as in
//! ggml's Q8_0. The order is
//! another one, in which products need no sums across lanes: panels of [`PANEL`] rows; in a panel block by block; in a block eight lines of
//! 64 bytes, each with 4 columns of all 16 rows, row by row. Codes are stored with 128 added, because the instruction (VPDPBUSD)
//! multiplies unsigned by signed bytes.

use half::f16;

use crate::KernelError;

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

impl Int8 {
    /// Quantizes the rows that `row` writes. Rows beyond the last one, and columns, are zeros up to whole panels and blocks.
    pub fn new(rows: usize, columns: usize, mut row: impl FnMut(usize, &mut [f32])) -> Result<Self, KernelError> {
        let (panels, blocks) = (rows.div_ceil(PANEL), columns.div_ceil(BLOCK));
        let mut lines = vec![Line([128; PANEL * GROUP]); panels * blocks * LINES];
        let mut scales = vec![0; panels * blocks * PANEL];
        let mut weights = vec![0.0; columns];
        for number in 0..rows {
            row(number, &mut weights);
            let (panel, lane) = (number / PANEL, number % PANEL);
            for (block, weights) in weights.chunks(BLOCK).enumerate() {
                if let Some((i, bad)) = weights.iter().enumerate().find(|(_, x)| x.is_nan() || x.abs() > LARGEST) {
                    return Err(KernelError::Weight { row: number, column: block * BLOCK + i, found: bad.to_string() });
                }
                let largest = weights.iter().fold(0f32, |largest, x| largest.max(x.abs()));
                let scale = f16::from_f32(largest / 127.0);
                let inverse = if scale == f16::ZERO { 0.0 } else { scale.to_f32().recip() };
                let place = panel * blocks + block;
                scales[place * PANEL + lane] = scale.to_bits();
                for (i, weight) in weights.iter().enumerate() {
                    let code = (weight * inverse).round_ties_even().clamp(-127.0, 127.0) as i32;
                    lines[place * LINES + i / GROUP].0[lane * GROUP + i % GROUP] = (code + 128) as u8;
                }
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
