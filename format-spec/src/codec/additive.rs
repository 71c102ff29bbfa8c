//! Codes that are decoded by look-ups and sums: product, residual, trellis, and any chain of them.

use super::map;

/// One part of a code: a row of a table, added to a run of dimensions.
///
/// Sub-vectors of a product code have runs of their own, stages of a residual code all have the whole vector; a chain
/// of both (coarse halves, then a product code of what is left) is a longer list of the same.
#[derive(Clone, Debug)]
pub(super) struct LookUp {
    /// The first dimension of the run.
    pub(super) first: usize,
    /// Dimensions of the run, and floats of a row.
    pub(super) width: usize,
    /// Bits of the code that choose the row, of 2^bits.
    pub(super) bits: u8,
    /// Where the rows begin in the group's tables.
    pub(super) table: usize,
}

/// A trellis code behind the look-ups: where it is, and how large its tables are.
#[derive(Clone, Debug)]
pub(super) struct Trellis {
    /// Bytes of the code.
    pub(super) bytes: usize,
    /// Bits of a window.
    pub(super) window: u8,
    /// Where the tables begin in the group's tables.
    pub(super) table: usize,
}

/// A run of dimensions of a trellis code: a group has its own.
#[derive(Clone, Debug)]
pub(super) struct Step {
    first: usize,
    width: usize,
    /// The byte of the trellis code in which the window begins, and the bit of it.
    byte: usize,
    shift: u8,
    /// Where the rows begin in the group's tables.
    table: usize,
}

/// Look-ups, then a trellis, then a linear map: what a codec has of them.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    pub(super) look_ups: Vec<LookUp>,
    /// Bytes of a code before the trellis code.
    pub(super) look_up_bytes: usize,
    /// Whether the tables begin with a mean and a map.
    pub(super) mapped: bool,
    pub(super) trellis: Option<Trellis>,
}

impl Trellis {
    /// The steps of an allotment, `[dim]`: at the first dimension of a run the bits that are new there, at the others
    /// [`CONTINUED`](super::CONTINUED).
    pub(super) fn steps(&self, allotment: &[u8]) -> Vec<Step> {
        let (all, mut bits, mut table) = (8 * self.bytes, 0, self.table);
        let mut steps: Vec<Step> = Vec::new();
        for (first, &new) in allotment.iter().enumerate() {
            match steps.last_mut() {
                Some(step) if new == super::CONTINUED => step.width += 1,
                _ => {
                    bits += usize::from(new);
                    // The window ends with the new bits; before the first bit of the code is its last.
                    let start = (bits + all - usize::from(self.window)) % all;
                    steps.push(Step { first, width: 1, byte: start / 8, shift: (start % 8) as u8, table: 0 });
                }
            }
        }
        for step in &mut steps {
            step.table = table;
            table += step.width << self.window;
        }
        steps
    }
}

impl Chain {
    /// Decodes `codes` into `out`, vectors of `dim` dimensions, one behind the other. `steps` are those of the group.
    ///
    /// The error is the number of a code in which bits that fill up a byte are not zero. The caller has checked the lengths of all
    /// slices against the layout, so no look-up is out of range.
    pub(super) fn decode(
        &self,
        tables: &[f32],
        steps: &[Step],
        code_bytes: usize,
        dim: usize,
        codes: &[u8],
        out: &mut [f32],
    ) -> Result<(), usize> {
        for (index, (code, vector)) in codes.chunks_exact(code_bytes).zip(out.chunks_exact_mut(dim)).enumerate() {
            let (look_up_code, trellis_code) = code.split_at_checked(self.look_up_bytes).unwrap_or_default();
            if !decode(&self.look_ups, tables, look_up_code, vector) {
                return Err(index);
            }
            if let Some(trellis) = &self.trellis {
                steps.iter().for_each(|step| step.add(tables, trellis.window, trellis_code, vector));
            }
        }
        if self.mapped {
            let (mean, tables) = tables.split_at_checked(dim).unwrap_or_default();
            map::apply(mean, tables.get(..dim * dim).unwrap_or_default(), out);
        }
        Ok(())
    }
}

impl Step {
    #[inline]
    fn add(&self, tables: &[f32], window: u8, code: &[u8], out: &mut [f32]) {
        // A window has at most 14 bits, and begins within the first 8 of these.
        let bytes = match code.get(self.byte..).and_then(|rest| rest.first_chunk::<4>()) {
            Some(bytes) => *bytes,
            None => [0, 1, 2, 3].map(|i| code.get((self.byte + i) % code.len().max(1)).copied().unwrap_or(0)),
        };
        let row = (u32::from_le_bytes(bytes) >> self.shift) as usize & ((1 << window) - 1);
        let start = self.table + row * self.width;
        let row = tables.get(start..start + self.width).unwrap_or_default();
        let run = out.get_mut(self.first..self.first + self.width).unwrap_or_default();
        run.iter_mut().zip(row).for_each(|(sum, term)| *sum += term);
    }
}

/// Decodes `code` into `out`, whose length is the codec's dimension: from zero, the rows are added in their order.
///
/// Returns false if the bits that fill up the code's last byte are not zero.
fn decode(look_ups: &[LookUp], tables: &[f32], code: &[u8], out: &mut [f32]) -> bool {
    out.fill(0.0);
    if look_ups.iter().all(|look_up| look_up.bits == 8) {
        for (look_up, &byte) in look_ups.iter().zip(code) {
            look_up.add(tables, usize::from(byte), out);
        }
        return true;
    }
    let mut bits = BitReader::new(code);
    for look_up in look_ups {
        look_up.add(tables, bits.take(look_up.bits), out);
    }
    bits.rest_is_zero()
}

impl LookUp {
    #[inline]
    fn add(&self, tables: &[f32], row: usize, out: &mut [f32]) {
        let start = self.table + row * self.width;
        // In range by the layout: the empty slices are never taken, and save the reading path a panic.
        let row = tables.get(start..start + self.width).unwrap_or_default();
        let run = out.get_mut(self.first..self.first + self.width).unwrap_or_default();
        match self.width {
            // Lengths known to the compiler become straight vector instructions; these are the usual ones.
            4 => add_exactly::<4>(run, row),
            8 => add_exactly::<8>(run, row),
            16 => add_exactly::<16>(run, row),
            64 => add_exactly::<64>(run, row),
            80 => add_exactly::<80>(run, row),
            128 => add_exactly::<128>(run, row),
            _ => run.iter_mut().zip(row).for_each(|(sum, term)| *sum += term),
        }
    }
}

#[inline]
fn add_exactly<const N: usize>(run: &mut [f32], row: &[f32]) {
    if let (Some(run), Some(row)) = (run.first_chunk_mut::<N>(), row.first_chunk::<N>()) {
        run.iter_mut().zip(row).for_each(|(sum, term)| *sum += term);
    }
}

/// Takes numbers of a few bits from bytes, the lowest bit first.
struct BitReader<'a> {
    bytes: std::slice::Iter<'a, u8>,
    held: u32,
    filled: u8,
}

impl<'a> BitReader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes: bytes.iter(), held: 0, filled: 0 }
    }

    /// The next `count` bits, at most 14; beyond the end there are zeros.
    #[inline]
    fn take(&mut self, count: u8) -> usize {
        while self.filled < count {
            self.held |= u32::from(self.bytes.next().copied().unwrap_or(0)) << self.filled;
            self.filled += 8;
        }
        let number = self.held & ((1 << count) - 1);
        self.held >>= count;
        self.filled -= count;
        number as usize
    }

    fn rest_is_zero(mut self) -> bool {
        self.held == 0 && self.bytes.all(|&byte| byte == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bits_come_lowest_first(numbers in prop::collection::vec((1u8..=14, any::<u16>()), 0..40)) {
            // The definition: bit i of the stream is bit i % 8 of byte i / 8.
            let stream: Vec<bool> = numbers.iter().flat_map(|&(bits, number)| (0..bits).map(move |bit| number >> bit & 1 == 1)).collect();
            let mut bytes = vec![0u8; stream.len().div_ceil(8)];
            stream.iter().enumerate().for_each(|(i, &bit)| bytes[i / 8] |= u8::from(bit) << (i % 8));
            let mut reader = BitReader::new(&bytes);
            for &(bits, number) in &numbers {
                prop_assert_eq!(reader.take(bits), usize::from(number) & ((1 << bits) - 1));
            }
            prop_assert!(reader.rest_is_zero());
        }
    }

    #[test]
    fn a_set_bit_of_the_padding_is_seen() {
        let look_ups = [LookUp { first: 0, width: 1, bits: 3, table: 0 }];
        let tables: Vec<f32> = (0..8).map(|row| row as f32).collect();
        let mut out = [9.0];
        assert!(decode(&look_ups, &tables, &[0b101], &mut out));
        assert_eq!(out, [5.0]);
        assert!(!decode(&look_ups, &tables, &[0b1000_0101], &mut out));
    }
}
