//! Products of 8-bit weights with 8-bit inputs. Sums within a block are exact, so they are the same on every path.

use std::ops::Range;

use half::f16;

use super::Output;
use super::input::Int8Rows;
use crate::Cpu;
use crate::int8::{GROUP, Int8, LINES, Line, PANEL};

/// A panel of weights and the inputs of all rows.
#[derive(Clone, Copy)]
struct Panel<'a> {
    /// `[blocks, LINES]`.
    lines: &'a [Line],
    /// `[blocks, PANEL]`.
    scales: &'a [u16],
    blocks: usize,
    x: Int8Rows<'a>,
}

/// Numbers `range` of the products of rows `x` with `weights`.
///
/// # Safety
/// As of [`multiply`](super::multiply).
pub(super) unsafe fn multiply(cpu: Cpu, weights: &Int8, x: Int8Rows<'_>, range: Range<usize>, to: Output<'_>) {
    let blocks = weights.blocks;
    let rows = x.codes.len() / blocks;
    let mut first = range.start;
    while first < range.end {
        let place = first / PANEL * blocks;
        let panel = Panel {
            lines: &weights.lines[place * LINES..][..blocks * LINES],
            scales: &weights.scales[place * PANEL..][..blocks * PANEL],
            blocks,
            x,
        };
        let count = PANEL.min(range.end - first);
        // SAFETY: The caller makes sure that nobody else uses the numbers.
        let write = |row: usize, sums: &[f32; PANEL]| unsafe { to.put(row, first, &sums[..count]) };
        panel.run(cpu, rows, write);
        first += count;
    }
}

impl Panel<'_> {
    /// Calls `write` with every row and its products.
    #[inline(always)]
    fn run(&self, cpu: Cpu, rows: usize, write: impl Fn(usize, &[f32; PANEL])) {
        #[cfg(target_arch = "x86_64")]
        {
            if cpu.avx512().is_some_and(|token| token.vnni()) {
                // SAFETY: The processor has the instructions.
                return unsafe { x86::run_vnni(self, rows, write) };
            }
            if cpu.avx2().is_some() {
                // SAFETY: The processor has the instructions.
                return unsafe { x86::run_avx2(self, rows, write) };
            }
        }
        let _ = cpu;
        for row in 0..rows {
            write(row, &self.plain(row));
        }
    }

    /// The products of one row, in plain Rust.
    fn plain(&self, row: usize) -> [f32; PANEL] {
        let mut sums = [0.0; PANEL];
        for block in 0..self.blocks {
            let at = row * self.blocks + block;
            let codes = &self.x.codes[at];
            let mut exact = [self.x.offsets[at]; PANEL];
            for (line, codes) in self.lines[block * LINES..][..LINES].iter().zip(codes.chunks_exact(GROUP)) {
                for (sum, weights) in exact.iter_mut().zip(line.0.chunks_exact(GROUP)) {
                    *sum += weights.iter().zip(codes).map(|(w, x)| i32::from(*w) * i32::from(*x)).sum::<i32>();
                }
            }
            let scales = &self.scales[block * PANEL..][..PANEL];
            for ((sum, exact), scale) in sums.iter_mut().zip(exact).zip(scales) {
                *sum += exact as f32 * (f16::from_bits(*scale).to_f32() * self.x.scales[at]);
            }
        }
        sums
    }

    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    /// Panics unless all slices have the sizes that `rows` rows need.
    fn check(&self, rows: usize) {
        let blocks = rows * self.blocks;
        assert!(self.lines.len() == self.blocks * LINES && self.scales.len() == self.blocks * PANEL, "a whole panel");
        assert!(self.x.codes.len() >= blocks && self.x.scales.len() >= blocks && self.x.offsets.len() >= blocks, "whole rows");
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{GROUP, LINES, PANEL, Panel};
    use crate::int8::BLOCK;

    /// [`Panel::run`] with AVX512_VNNI.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    pub(super) fn run_vnni(panel: &Panel<'_>, rows: usize, write: impl Fn(usize, &[f32; PANEL])) {
        panel.check(rows);
        let mut row = 0;
        while row < rows {
            let part = (rows - row).min(8);
            let part = if part >= 4 { part & !3 } else { part };
            // SAFETY: `check` has made sure of the sizes for `rows` rows, and `part` of them are left at `row`.
            unsafe {
                match part {
                    1 => tile::<1, 4>(panel, row, &write),
                    2 => tile::<2, 2>(panel, row, &write),
                    3 => tile::<3, 1>(panel, row, &write),
                    4 => tile::<4, 1>(panel, row, &write),
                    _ => tile::<8, 1>(panel, row, &write),
                }
            }
            row += part;
        }
    }

    /// The products of `R` rows from `row` on. `CHAINS` sums of integers a row are added at the end of a block, so that few rows need
    /// not wait for one another.
    ///
    /// # Safety
    /// [`Panel::check`] must hold for `row + R` rows.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn tile<const R: usize, const CHAINS: usize>(panel: &Panel<'_>, row: usize, write: &impl Fn(usize, &[f32; PANEL])) {
        let blocks = panel.blocks;
        let mut sums = [_mm512_setzero_ps(); R];
        // SAFETY: Block `block < blocks` of a panel has `LINES` lines and `PANEL` scales, and block `at` of row `row + i` has 32 codes, a
        // scale and an offset, as `check` has made sure. A line is aligned to its 64 bytes. A prefetch may have any address.
        unsafe {
            for block in 0..blocks {
                let lines = panel.lines.as_ptr().add(block * LINES);
                let at: [usize; R] = std::array::from_fn(|i| (row + i) * blocks + block);
                let codes: [*const i32; R] = std::array::from_fn(|i| panel.x.codes.as_ptr().add(at[i]).cast());
                let mut exact = [[_mm512_setzero_si512(); CHAINS]; R];
                for (exact, at) in exact.iter_mut().zip(at) {
                    exact[0] = _mm512_set1_epi32(*panel.x.offsets.as_ptr().add(at));
                }
                for line in 0..LINES {
                    let here = lines.add(line);
                    _mm_prefetch::<_MM_HINT_T0>(here.wrapping_add(AHEAD).cast());
                    let weights = _mm512_load_si512(here.cast());
                    for (exact, codes) in exact.iter_mut().zip(codes) {
                        let x = _mm512_set1_epi32(codes.add(line).read_unaligned());
                        exact[line % CHAINS] = _mm512_dpbusd_epi32(exact[line % CHAINS], weights, x);
                    }
                }
                let scales = _mm512_cvtph_ps(_mm256_loadu_si256(panel.scales.as_ptr().add(block * PANEL).cast()));
                for i in 0..R {
                    let total = exact[i][1..].iter().fold(exact[i][0], |sum, part| _mm512_add_epi32(sum, *part));
                    let scale = _mm512_mul_ps(scales, _mm512_set1_ps(*panel.x.scales.as_ptr().add(at[i])));
                    sums[i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(total), scale, sums[i]);
                }
            }
        }
        for (i, sum) in sums.into_iter().enumerate() {
            let mut products = [0.0; PANEL];
            // SAFETY: There are 16 numbers to write.
            unsafe { _mm512_storeu_ps(products.as_mut_ptr(), sum) };
            write(row + i, &products);
        }
    }

    /// Lines from one that is read to the one that is prefetched.
    const AHEAD: usize = 64;

    /// [`Panel::run`] with AVX2.
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn run_avx2(panel: &Panel<'_>, rows: usize, write: impl Fn(usize, &[f32; PANEL])) {
        panel.check(rows);
        let (plus, ones) = (_mm256_set1_epi8(-128), _mm256_set1_epi16(1));
        for row in 0..rows {
            let mut sums = [_mm256_setzero_ps(); 2];
            for block in 0..panel.blocks {
                let at = row * panel.blocks + block;
                let codes: &[i8; BLOCK] = &panel.x.codes[at];
                let mut exact = [_mm256_setzero_si256(); 2];
                for (line, codes) in panel.lines[block * LINES..][..LINES].iter().zip(codes.chunks_exact(GROUP)) {
                    let x = _mm256_set1_epi32(i32::from_ne_bytes([codes[0] as u8, codes[1] as u8, codes[2] as u8, codes[3] as u8]));
                    for (exact, half) in exact.iter_mut().zip(line.0.chunks_exact(32)) {
                        // SAFETY: Half a line has 32 bytes.
                        let weights = _mm256_xor_si256(unsafe { _mm256_loadu_si256(half.as_ptr().cast()) }, plus);
                        // |w| * (x with the sign of w): at most 2 * 127 * 127, which 16 bits hold.
                        let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(x, weights));
                        *exact = _mm256_add_epi32(*exact, _mm256_madd_epi16(pairs, ones));
                    }
                }
                let factor = _mm256_set1_ps(panel.x.scales[at]);
                let scales = panel.scales[block * PANEL..][..PANEL].chunks_exact(8);
                for ((sum, exact), scales) in sums.iter_mut().zip(exact).zip(scales) {
                    // SAFETY: There are 8 scales of 16 bits.
                    let scales = _mm256_cvtph_ps(unsafe { _mm_loadu_si128(scales.as_ptr().cast()) });
                    *sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(exact), _mm256_mul_ps(scales, factor), *sum);
                }
            }
            let mut products = [0.0; PANEL];
            for (products, sum) in products.chunks_exact_mut(8).zip(sums) {
                // SAFETY: There are 8 numbers to write.
                unsafe { _mm256_storeu_ps(products.as_mut_ptr(), sum) };
            }
            write(row, &products);
        }
    }
}
