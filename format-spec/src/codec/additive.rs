//! Codes that are decoded by look-ups and sums: product codes, residual codes, trellis codes, and chains of them.

use pulp::{Arch, Simd, WithSimd};

use super::{
    map::{self, LANES},
    trellis::{Steps, Trellis},
};

/// Dimensions up to which decoding needs no heap.
const USUAL_DIM: usize = 128;
/// Bytes of a trellis code up to which decoding needs no heap.
const USUAL_CODE: usize = 32;

/// One part of a code: a row of a table, added to a run of dimensions.
///
/// In a product code each look-up has its own run; in a residual code all of them have the whole vector. A chain of both (coarse halves, then
/// a product code of what is left) is a longer list.
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

/// Look-ups, then a trellis, then a linear map. A codec may lack any of them.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    pub(super) look_ups: Vec<LookUp>,
    /// Bytes of a code before the trellis code.
    pub(super) look_up_bytes: usize,
    /// Whether the tables begin with a mean and a map.
    pub(super) mapped: bool,
    pub(super) trellis: Option<Trellis>,
}

impl Chain {
    /// Decodes `codes` into `out`, consecutive vectors of `dim` dimensions. `steps` are those of the group's trellis.
    ///
    /// The error is the number of a code with padding bits that are not zero. The caller has checked the lengths of all slices against the
    /// layout, so no look-up is out of range.
    pub(super) fn decode(
        &self,
        tables: &[f32],
        steps: Option<&Steps>,
        code_bytes: usize,
        dim: usize,
        codes: &[u8],
        out: &mut [f32],
    ) -> Result<(), usize> {
        Arch::new().dispatch(Decoding { chain: self, tables, steps, code_bytes, dim, codes, out })
    }

    /// Rows of the map that can change the result.
    ///
    /// A dimension that nothing is added to is +0.0, and its products with the map are zeros. Adding a zero changes only a sum of -0.0, which
    /// only a mean of -0.0 can produce.
    fn rows(&self, mean: &[f32], steps: Option<&Steps>) -> usize {
        match steps {
            Some(steps) if self.look_ups.is_empty() && mean.iter().all(|x| x.to_bits() != (-0f32).to_bits()) => steps.reach,
            _ => mean.len(),
        }
    }
}

/// The decoding of codes, compiled for the processor's instruction set. Operations and their order are the same on all processors.
struct Decoding<'a> {
    chain: &'a Chain,
    tables: &'a [f32],
    steps: Option<&'a Steps>,
    code_bytes: usize,
    dim: usize,
    codes: &'a [u8],
    out: &'a mut [f32],
}

impl WithSimd for Decoding<'_> {
    type Output = Result<(), usize>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Result<(), usize> {
        let Self { chain, tables, steps, code_bytes, dim, codes, out } = self;
        if !chain.mapped {
            return sums(chain, tables, code_bytes, dim, codes, out);
        }
        let (mean, map) = tables.split_at_checked(dim).unwrap_or_default();
        let map = map.get(..chain.rows(mean, steps) * dim).unwrap_or_default();
        let (mut usual, mut large) = ([[0.0; LANES]; USUAL_DIM], Vec::new());
        let vectors = room(&mut usual, &mut large, dim);
        let (mut usual, mut large) = ([[0; LANES]; USUAL_CODE], Vec::new());
        let words = room(&mut usual, &mut large, chain.trellis.as_ref().map_or(0, |trellis| trellis.bytes));
        for (batch, (codes, out)) in codes.chunks(LANES * code_bytes).zip(out.chunks_mut(LANES * dim)).enumerate() {
            vectors.fill([0.0; LANES]);
            if !chain.look_ups.is_empty() {
                sums(chain, tables, code_bytes, dim, codes, out).map_err(|index| batch * LANES + index)?;
                turn(out, dim, vectors);
            }
            if let (Some(steps), Some(trellis)) = (steps, &chain.trellis) {
                trellis.words(codes, code_bytes, words);
                steps.add(trellis.window, tables, words, vectors);
            }
            map::apply(simd, mean, map, vectors, out);
        }
        Ok(())
    }
}

/// Writes number i of all vectors, `[at most LANES, dim]`, to place i.
#[inline(always)]
fn turn(vectors: &[f32], dim: usize, turned: &mut [[f32; LANES]]) {
    for (lane, vector) in vectors.chunks_exact(dim).enumerate() {
        for (numbers, x) in turned.iter_mut().zip(vector) {
            numbers.iter_mut().skip(lane).take(1).for_each(|number| *number = *x);
        }
    }
}

/// A buffer of `count` numbers: the one on the stack if it is large enough, otherwise one on the heap that serves many vectors.
#[inline(always)]
fn room<'a, T: Copy + Default>(usual: &'a mut [T], large: &'a mut Vec<T>, count: usize) -> &'a mut [T] {
    if count > usual.len() {
        large.resize(count, T::default());
        return large;
    }
    usual.get_mut(..count).unwrap_or_default()
}

/// Sums the rows that the look-ups choose.
#[inline(always)]
fn sums(chain: &Chain, tables: &[f32], code_bytes: usize, dim: usize, codes: &[u8], out: &mut [f32]) -> Result<(), usize> {
    for (index, (code, vector)) in codes.chunks_exact(code_bytes).zip(out.chunks_exact_mut(dim)).enumerate() {
        if !decode(&chain.look_ups, tables, code.get(..chain.look_up_bytes).unwrap_or_default(), vector) {
            return Err(index);
        }
    }
    Ok(())
}

/// Decodes `code` into `out`, whose length is the codec's dimension. Starts from zero and adds the rows in order.
///
/// Returns false if padding bits of the code's last byte are not zero.
#[inline(always)]
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
    #[inline(always)]
    fn add(&self, tables: &[f32], row: usize, out: &mut [f32]) {
        let start = self.table + row * self.width;
        // In range by the layout: the defaults are never used, and keep panics out of the reading path.
        let row = tables.get(start..start + self.width).unwrap_or_default();
        let run = out.get_mut(self.first..self.first + self.width).unwrap_or_default();
        match self.width {
            // The compiler turns fixed lengths into straight vector instructions; these are common ones.
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

#[inline(always)]
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
    #[inline(always)]
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
