//! The types of tensors in GGUF files, and their dequantization.
//!
//! The layouts are the block structures of the ggml project. Arithmetic is f32 in the order of ggml's reference implementation, so the
//! values are equal, bit for bit, to those of the Python package `gguf`.

use half::{bf16, f16};

/// Elements of the blocks of the K types.
const K: usize = 256;

/// A type of stored tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TensorType {
    F32,
    F16,
    Bf16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
}

/// Type, code in the file, name, elements of a block, bytes of a block.
const TYPES: [(TensorType, u32, &str, usize, usize); 13] = [
    (TensorType::F32, 0, "F32", 1, 4),
    (TensorType::F16, 1, "F16", 1, 2),
    (TensorType::Bf16, 30, "BF16", 1, 2),
    (TensorType::Q4_0, 2, "Q4_0", 32, 18),
    (TensorType::Q4_1, 3, "Q4_1", 32, 20),
    (TensorType::Q5_0, 6, "Q5_0", 32, 22),
    (TensorType::Q5_1, 7, "Q5_1", 32, 24),
    (TensorType::Q8_0, 8, "Q8_0", 32, 34),
    (TensorType::Q2K, 10, "Q2_K", K, 84),
    (TensorType::Q3K, 11, "Q3_K", K, 110),
    (TensorType::Q4K, 12, "Q4_K", K, 144),
    (TensorType::Q5K, 13, "Q5_K", K, 176),
    (TensorType::Q6K, 14, "Q6_K", K, 210),
];

/// Types that exist and are not supported, for messages.
const OTHERS: [(u32, &str); 19] = [
    (9, "Q8_1"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
];

impl TensorType {
    /// The type of a code. The error describes a code that is not supported.
    pub(super) fn from_code(code: u32) -> Result<Self, String> {
        TYPES.iter().find(|row| row.1 == code).map(|row| row.0).ok_or_else(|| match OTHERS.iter().find(|other| other.0 == code) {
            Some((_, name)) => format!("type {name}"),
            None => format!("type {code}, which is not known"),
        })
    }

    /// Names of all types, for messages.
    pub(super) fn names() -> String {
        TYPES.map(|row| row.2).join(", ")
    }

    /// The name in ggml.
    pub(crate) fn name(self) -> &'static str {
        TYPES.iter().find(|row| row.0 == self).map_or("", |row| row.2)
    }

    fn row(self) -> (usize, usize) {
        TYPES.iter().find(|row| row.0 == self).map_or((1, 1), |row| (row.3, row.4))
    }

    /// Elements of a block.
    pub(crate) fn block(self) -> usize {
        self.row().0
    }

    /// Bytes of a block.
    pub(crate) fn block_bytes(self) -> usize {
        self.row().1
    }

    /// Bytes of a tensor with the dimensions `shape`, innermost first; `None` if a dimension is 0, the innermost is not a multiple of the
    /// block, or the number of elements or bytes does not fit in 63 bits.
    pub(crate) fn bytes(self, shape: &[u64]) -> Option<u64> {
        let (block, size) = self.row();
        let (first, rest) = shape.split_first()?;
        if shape.contains(&0) || first % block as u64 != 0 {
            return None;
        }
        let elements = rest.iter().try_fold(*first, |product, n| product.checked_mul(*n))?;
        (elements / block as u64).checked_mul(size as u64).filter(|bytes| elements.max(*bytes) < 1 << 63)
    }

    /// Writes the values of the whole blocks in `bytes` to `out`, whose length must be their number.
    pub(crate) fn dequantize(self, bytes: &[u8], out: &mut [f32]) {
        debug_assert_eq!(bytes.len() / self.row().1 * self.row().0, out.len());
        match self {
            Self::F32 => blocks(bytes, out, |b, y: &mut [f32; 1]| y[0] = f32::from_le_bytes(*b)),
            Self::F16 => blocks(bytes, out, |b, y: &mut [f32; 1]| y[0] = f16::from_le_bytes(*b).to_f32()),
            Self::Bf16 => blocks(bytes, out, |b, y: &mut [f32; 1]| y[0] = bf16::from_le_bytes(*b).to_f32()),
            Self::Q4_0 => blocks(bytes, out, q4_0),
            Self::Q4_1 => blocks(bytes, out, q4_1),
            Self::Q5_0 => blocks(bytes, out, q5_0),
            Self::Q5_1 => blocks(bytes, out, q5_1),
            Self::Q8_0 => blocks(bytes, out, q8_0),
            Self::Q2K => blocks(bytes, out, q2_k),
            Self::Q3K => blocks(bytes, out, q3_k),
            Self::Q4K => blocks(bytes, out, q4_k),
            Self::Q5K => blocks(bytes, out, q5_k),
            Self::Q6K => blocks(bytes, out, q6_k),
        }
    }
}

fn blocks<const BYTES: usize, const ELEMENTS: usize>(bytes: &[u8], out: &mut [f32], one: impl Fn(&[u8; BYTES], &mut [f32; ELEMENTS])) {
    for (block, values) in bytes.as_chunks::<BYTES>().0.iter().zip(out.as_chunks_mut::<ELEMENTS>().0) {
        one(block, values);
    }
}

/// The half-precision number at byte `at`.
fn half(b: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([b[at], b[at + 1]]).to_f32()
}

/// Nibble `i` of 32 in 16 bytes: the low nibbles come first, then the high ones.
fn nibble(b: &[u8], i: usize) -> u8 {
    if i < 16 { b[i] & 15 } else { b[i - 16] >> 4 }
}

fn q4_0(b: &[u8; 18], y: &mut [f32; 32]) {
    let d = half(b, 0);
    for (i, y) in y.iter_mut().enumerate() {
        *y = d * f32::from(nibble(&b[2..], i) as i8 - 8);
    }
}

fn q4_1(b: &[u8; 20], y: &mut [f32; 32]) {
    let (d, m) = (half(b, 0), half(b, 2));
    for (i, y) in y.iter_mut().enumerate() {
        *y = d * f32::from(nibble(&b[4..], i)) + m;
    }
}

/// Number `i` of 32 five-bit numbers: nibbles as in the four-bit types, and the fifth bits in the 32 bits before them.
fn five(high: &[u8], low: &[u8], i: usize) -> u8 {
    nibble(low, i) | ((high[i / 8] >> (i % 8)) & 1) << 4
}

fn q5_0(b: &[u8; 22], y: &mut [f32; 32]) {
    let d = half(b, 0);
    for (i, y) in y.iter_mut().enumerate() {
        *y = d * f32::from(five(&b[2..6], &b[6..], i) as i8 - 16);
    }
}

fn q5_1(b: &[u8; 24], y: &mut [f32; 32]) {
    let (d, m) = (half(b, 0), half(b, 2));
    for (i, y) in y.iter_mut().enumerate() {
        *y = d * f32::from(five(&b[4..8], &b[8..], i)) + m;
    }
}

fn q8_0(b: &[u8; 34], y: &mut [f32; 32]) {
    let d = half(b, 0);
    for (y, q) in y.iter_mut().zip(&b[2..]) {
        *y = f32::from(*q as i8) * d;
    }
}

/// Bit pair `i` of 256 in 64 bytes: of each 32 bytes the lowest pairs come first, then the next ones.
fn pair(b: &[u8], i: usize) -> u8 {
    (b[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2)) & 3
}

/// Groups of 16 with a scale and a minimum of four bits each.
fn q2_k(b: &[u8; 84], y: &mut [f32; K]) {
    let (d, dmin) = (half(b, 80), half(b, 82));
    for (group, y) in y.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let (scale, min) = (d * f32::from(b[group] & 15), dmin * f32::from(b[group] >> 4));
        for (i, y) in y.iter_mut().enumerate() {
            *y = scale * f32::from(pair(&b[16..80], group * 16 + i)) - min;
        }
    }
}

/// Groups of 16 with a scale of six bits. A third bit in a separate plane subtracts 4 where it is not set.
fn q3_k(b: &[u8; 110], y: &mut [f32; K]) {
    let (mask, pairs, scales, d) = (&b[..32], &b[32..96], &b[96..108], half(b, 108));
    for (group, y) in y.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let low = if group < 8 { scales[group] & 15 } else { scales[group - 8] >> 4 };
        let high = (scales[8 + group % 4] >> (group / 4 * 2)) & 3;
        let scale = d * f32::from((low | high << 4) as i8 - 32);
        for (i, y) in y.iter_mut().enumerate() {
            let at = group * 16 + i;
            let borrow = if (mask[at % 32] >> (at / 32)) & 1 == 0 { 4 } else { 0 };
            *y = scale * f32::from(pair(pairs, at) as i8 - borrow);
        }
    }
}

/// Scale and minimum, six bits each, of one of the eight groups of a `Q4_K` or `Q5_K` block, in twelve bytes.
fn scale_min(b: &[u8], group: usize) -> (f32, f32) {
    let (scale, min) = if group < 4 {
        (b[group] & 63, b[group + 4] & 63)
    } else {
        ((b[group + 4] & 15) | ((b[group - 4] >> 2) & 48), (b[group + 4] >> 4) | ((b[group] >> 2) & 48))
    };
    (f32::from(scale), f32::from(min))
}

fn q4_k(b: &[u8; 144], y: &mut [f32; K]) {
    let (d, dmin) = (half(b, 0), half(b, 2));
    for (group, y) in y.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, min) = scale_min(&b[4..16], group);
        let (scale, min) = (d * scale, dmin * min);
        for (y, q) in y.iter_mut().zip(&b[16 + group / 2 * 32..]) {
            *y = scale * f32::from((q >> (group % 2 * 4)) & 15) - min;
        }
    }
}

fn q5_k(b: &[u8; 176], y: &mut [f32; K]) {
    let (d, dmin) = (half(b, 0), half(b, 2));
    for (group, y) in y.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, min) = scale_min(&b[4..16], group);
        let (scale, min) = (d * scale, dmin * min);
        for ((y, high), low) in y.iter_mut().zip(&b[16..48]).zip(&b[48 + group / 2 * 32..]) {
            let q = ((low >> (group % 2 * 4)) & 15) | ((high >> group) & 1) << 4;
            *y = scale * f32::from(q) - min;
        }
    }
}

fn q6_k(b: &[u8; 210], y: &mut [f32; K]) {
    let (low, high, scales, d) = (&b[..128], &b[128..192], &b[192..208], half(b, 208));
    for (group, y) in y.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let scale = d * f32::from(scales[group] as i8);
        for (i, y) in y.iter_mut().enumerate() {
            let at = group * 16 + i;
            let four = (low[at / 128 * 64 + at % 64] >> (at % 128 / 64 * 4)) & 15;
            *y = scale * f32::from((four | pair(high, at) << 4) as i8 - 32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Random blocks and what the Python package `gguf` makes of them (`make_gguf_blocks.py`).
    const GOLDEN: &[u8] = include_bytes!("../../tests/golden/gguf-blocks.safetensors");

    #[test]
    fn values_are_those_of_the_reference_to_the_bit() {
        let golden = safetensors::SafeTensors::deserialize(GOLDEN).unwrap();
        for (kind, _, name, block, size) in TYPES {
            let bytes = golden.tensor(&format!("{name}.blocks")).unwrap().data();
            let expected = golden.tensor(&format!("{name}.values")).unwrap().data();
            let expected: Vec<u32> = expected.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect();
            assert_eq!(bytes.len() / size * block, expected.len(), "{name}");
            assert!(expected.len() >= 256, "{name}");
            let mut values = vec![0.0; expected.len()];
            kind.dequantize(bytes, &mut values);
            let found: Vec<u32> = values.iter().map(|x| x.to_bits()).collect();
            assert_eq!(found, expected, "{name}");
        }
        assert_eq!(golden.len(), 2 * TYPES.len());
    }

    #[test]
    fn sizes_are_checked() {
        assert_eq!(TensorType::Q4_1.bytes(&[64, 3]), Some(120));
        for shape in [&[][..], &[0], &[32, 0], &[33], &[1 << 63], &[1 << 62, 4], &[32, u64::MAX]] {
            assert_eq!(TensorType::Q4_1.bytes(shape), None, "{shape:?}");
        }
        assert_eq!(TensorType::F32.bytes(&[1 << 62]), None);
        assert_eq!(TensorType::F32.bytes(&[1 << 60]), Some(1 << 62));
    }

    #[test]
    fn codes() {
        for (kind, code, ..) in TYPES {
            assert_eq!(TensorType::from_code(code), Ok(kind));
        }
        assert_eq!(TensorType::from_code(20).unwrap_err(), "type IQ4_NL");
        assert!(TensorType::from_code(77).unwrap_err().contains("77"));
    }
}
