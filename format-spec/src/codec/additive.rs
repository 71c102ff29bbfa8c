//! Codes that are decoded by look-ups and sums: product, residual, and any chain of them.

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

/// Decodes `code` into `out`, whose length is the codec's dimension: from zero, the rows are added in their order.
///
/// Returns false if the bits that fill up the code's last byte are not zero. The caller has checked the lengths of
/// all three slices against the layout, so no look-up is out of range.
pub(super) fn decode(look_ups: &[LookUp], tables: &[f32], code: &[u8], out: &mut [f32]) -> bool {
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
