//! Coarse embeddings: 8 bits a dimension, for searches that compare many and then the best of them exactly (SPEC 11.1).

use zerocopy::FromBytes;

use crate::constants::COARSE_ALIGNMENT;

/// The largest code.
const LARGEST_CODE: f64 = 127.0;

/// The coarse embeddings of a pack. Their bytes are not trusted: they say which embeddings to look at.
#[derive(Clone, Copy, Debug)]
pub struct CoarseEmbeddings<'a> {
    rows: &'a [i8],
    stride: usize,
}

impl<'a> CoarseEmbeddings<'a> {
    /// The rows in the contents of the section, of embeddings of `dim` dimensions.
    pub(crate) fn new(bytes: &'a [u8], dim: u32) -> Self {
        Self { rows: <[i8]>::ref_from_bytes(bytes).unwrap_or_default(), stride: row_bytes(dim) as usize }
    }

    /// Numbers of a row: the dimensions, and zeros that fill it up.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The row of a reference, `[stride]`; `None` for one that does not exist.
    #[inline]
    pub fn row(&self, reference: u32) -> Option<&'a [i8]> {
        let start = (reference as usize).checked_mul(self.stride)?;
        self.rows.get(start..)?.get(..self.stride)
    }
}

/// Bytes of a row.
pub(crate) fn row_bytes(dim: u32) -> u64 {
    u64::from(dim).next_multiple_of(COARSE_ALIGNMENT)
}

/// The numbers of a vector in 8 bits: `127 value / largest`, rounded to the nearest integer, ties to even. `largest` is the largest
/// magnitude of any number. The product is exact in f64, and the quotient is rounded to f64 first.
pub fn round_to_8_bits(values: impl IntoIterator<Item = f32>, largest: f32) -> impl Iterator<Item = i8> {
    // The conversion of a float to an integer saturates and takes what is not a number for 0.
    values.into_iter().map(move |value| (LARGEST_CODE * f64::from(value) / f64::from(largest)).round_ties_even() as i8)
}

/// The larger of `largest` and the magnitudes of `values`.
pub(crate) fn largest_of(largest: f32, values: impl IntoIterator<Item = f32>) -> f32 {
    values.into_iter().fold(largest, |largest, value| largest.max(value.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ties_go_to_even_and_the_largest_is_127() {
        let rounded: Vec<i8> = round_to_8_bits([127.0, -127.0, 0.5, 1.5, -0.5, -2.5, 2.4999, 0.0, -0.0], 127.0).collect();
        assert_eq!(rounded, [127, -127, 0, 2, 0, -2, 2, 0, 0]);
        // What no embedding has is a number too.
        assert_eq!(round_to_8_bits([f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 3.0], 1.0).collect::<Vec<_>>(), [0, 127, -128, 127]);
        assert_eq!(round_to_8_bits([0.0, 1.0], 0.0).collect::<Vec<_>>(), [0, 127]);
    }

    #[test]
    fn rows_are_whole_cache_lines() {
        for (dim, bytes) in [(1, 64), (63, 64), (64, 64), (65, 128), (384, 384), (65_536, 65_536)] {
            assert_eq!(row_bytes(dim), bytes);
        }
        let bytes: Vec<u8> = (0..192).collect();
        let rows = CoarseEmbeddings::new(&bytes, 40);
        assert_eq!((rows.row(2).map(|row| (row.len(), row[0])), rows.row(3), rows.row(u32::MAX)), (Some((64, -128)), None, None));
    }

    proptest! {
        /// The code is the integer nearest to the exact quotient, by integers alone.
        #[test]
        fn a_code_is_nearest(value in -1.0f32..1.0, largest in 0.01f32..1.0) {
            prop_assume!(value.abs() <= largest);
            let [code] = round_to_8_bits([value], largest).collect::<Vec<_>>()[..] else { panic!() };
            let exact = 127.0 * f64::from(value) / f64::from(largest);
            prop_assert!((f64::from(code) - exact).abs() <= 0.5 + 1e-12, "{code} for {exact}");
        }
    }
}
