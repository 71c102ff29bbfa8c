//! Trellis codes: windows of a code choose rows of tables, one for each run of dimensions.

use super::{CONTINUED, map::LANES};

/// A trellis code after the look-ups: its place and its sizes.
#[derive(Clone, Debug)]
pub(super) struct Trellis {
    /// Bytes of the code.
    pub(super) bytes: usize,
    /// Bits of a window.
    pub(super) window: u8,
    /// Where the tables begin in the group's tables.
    pub(super) table: usize,
}

/// The steps of a trellis with the tables of one group.
#[derive(Clone, Debug)]
pub(super) struct Steps {
    /// The steps that can add something.
    list: Vec<Step>,
    /// Dimensions up to the last one that a step adds to.
    pub(super) reach: usize,
}

/// A run of dimensions.
#[derive(Clone, Debug)]
struct Step {
    first: usize,
    width: usize,
    /// The byte of the trellis code in which the window begins, and the bit of it.
    byte: usize,
    shift: u8,
    /// Where the rows begin in the group's tables.
    table: usize,
}

impl Trellis {
    /// The steps of an allotment, `[dim]`: the number of new bits at the first dimension of a run, [`CONTINUED`] at the others.
    pub(super) fn steps(&self, allotment: &[u8], tables: &[f32]) -> Steps {
        let (all, mut bits, mut table) = (8 * self.bytes, 0, self.table);
        let mut list: Vec<Step> = Vec::new();
        for (first, &new) in allotment.iter().enumerate() {
            match list.last_mut() {
                Some(step) if new == CONTINUED => step.width += 1,
                _ => {
                    bits += usize::from(new);
                    // The window ends with the new bits. The code is circular: its last bit precedes its first.
                    let start = (bits + all - usize::from(self.window)) % all;
                    list.push(Step { first, width: 1, byte: start / 8, shift: (start % 8) as u8, table: 0 });
                }
            }
        }
        for step in &mut list {
            step.table = table;
            table += step.width << self.window;
        }
        // Sums begin at +0.0 and so are never -0.0: adding a zero of either sign does not change them.
        list.retain(|step| {
            let rows = tables.get(step.table..step.table + (step.width << self.window)).unwrap_or_default();
            rows.iter().any(|x| *x != 0.0)
        });
        let reach = list.last().map_or(0, |step| step.first + step.width);
        Steps { list, reach }
    }

    /// Writes the 32 bits that begin at each byte of the trellis codes, which are the last bytes of `codes`, at most [`LANES`] of them: those
    /// of byte i of all codes at place i. The first byte follows the last.
    #[inline(always)]
    pub(super) fn words(&self, codes: &[u8], code_bytes: usize, words: &mut [[u32; LANES]]) {
        for (lane, code) in codes.chunks_exact(code_bytes).take(LANES).enumerate() {
            let code = code.get(code_bytes - self.bytes..).unwrap_or_default();
            // From the last byte to the first.
            let mut bits = (0..4).zip(code.iter().cycle()).fold(0, |bits, (i, byte)| bits | u32::from(*byte) << (8 * i));
            for (words, byte) in words.iter_mut().zip(code).rev() {
                bits = bits << 8 | u32::from(*byte);
                words.iter_mut().skip(lane).take(1).for_each(|word| *word = bits);
            }
        }
    }
}

impl Steps {
    /// Adds the rows that the codes choose to the vectors, which hold number i of all vectors at place i. `words` is the output of
    /// [`Trellis::words`].
    #[inline(always)]
    pub(super) fn add(&self, window: u8, tables: &[f32], words: &[[u32; LANES]], vectors: &mut [[f32; LANES]]) {
        for step in &self.list {
            let table = tables.get(step.table..step.table + (step.width << window)).unwrap_or_default();
            // A window has at most 14 bits, and begins within the first 8 of a word.
            let words = words.get(step.byte).copied().unwrap_or_default();
            let rows = words.map(|word| (word >> step.shift & ((1 << window) - 1)) as usize);
            let run = vectors.get_mut(step.first..step.first + step.width).unwrap_or_default();
            match run {
                [sums] => {
                    for (sum, &row) in sums.iter_mut().zip(&rows) {
                        if let Some(x) = table.get(row) {
                            *sum += x;
                        }
                    }
                }
                [first, second] => {
                    let table = table.as_chunks::<2>().0;
                    for ((first, second), &row) in first.iter_mut().zip(second).zip(&rows) {
                        if let Some([x, y]) = table.get(row) {
                            *first += x;
                            *second += y;
                        }
                    }
                }
                run => {
                    for (dimension, sums) in run.iter_mut().enumerate() {
                        for (sum, &row) in sums.iter_mut().zip(&rows) {
                            *sum += table.get(row * step.width + dimension).copied().unwrap_or(0.0);
                        }
                    }
                }
            }
        }
    }
}
