//! The names of codecs, and what a name fixes: bytes of a code, floats of a group's tables.

use std::{fmt, str::FromStr};

use super::additive::LookUp;

/// Most bits of one part of a code.
pub const MAX_CODE_BITS: u8 = 14;
/// Most parts (sub-spaces or stages) of a code.
pub const MAX_CODE_PARTS: u16 = 128;
/// Most dimensions of a vector.
pub const MAX_HEAD_DIM: u32 = 1024;

/// How a vector becomes bytes, named in the manner of faiss (SPEC.md, "Codecs").
///
/// Names are read in any case and written as below.
///
/// ```
/// use mempack_format::CodecSpec;
///
/// let spec: CodecSpec = "pq8x8".parse()?;
/// assert_eq!(spec, CodecSpec::Pq { m: 8, bits: 8 });
/// assert_eq!(spec.to_string(), "PQ8x8");
/// assert_eq!(spec.code_bytes(64)?, 8);
/// # Ok::<(), mempack_format::SpecError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CodecSpec {
    /// `F32`: the vector itself.
    F32,
    /// `BF16`: the upper half of each float, rounded to nearest, ties to even.
    Bf16,
    /// `SQ8`: a byte a dimension, between a minimum and a maximum of its own.
    Sq8,
    /// `PQ<m>x<bits>`: m consecutive sub-vectors, each one of 2^bits (Jegou et al. 2011).
    Pq {
        /// Sub-vectors; divides the head dimension.
        m: u16,
        /// Bits of each.
        bits: u8,
    },
    /// `RQ<m>x<bits>`: a sum of m whole vectors, each one of 2^bits (Chen et al. 2010).
    Rq {
        /// Stages.
        m: u16,
        /// Bits of each.
        bits: u8,
    },
}

/// Why a codec's name is refused, by itself or for vectors of some dimension.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// No codec has this name.
    #[error("no codec is named {name:?}: expected F32, BF16, SQ8, PQ<m>x<bits> or RQ<m>x<bits>, for instance PQ8x8")]
    Unknown {
        /// The name.
        name: String,
    },
    /// The number of parts is zero or beyond the cap.
    #[error("codec {spec}: {found} parts, expected 1 to {MAX_CODE_PARTS}")]
    Parts {
        /// The codec.
        spec: CodecSpec,
        /// Its parts.
        found: u16,
    },
    /// The bits of a part are zero or beyond the cap.
    #[error("codec {spec}: {found} bits a part, expected 1 to {MAX_CODE_BITS}")]
    Bits {
        /// The codec.
        spec: CodecSpec,
        /// Its bits.
        found: u8,
    },
    /// A vector cannot be cut into so many parts.
    #[error("codec {spec}: {parts} parts do not divide the head dimension {head_dim}")]
    Division {
        /// The codec.
        spec: CodecSpec,
        /// Its parts.
        parts: u16,
        /// Dimensions of a vector.
        head_dim: u32,
    },
    /// A dimension that no vector has.
    #[error("head dimension {found}, expected 1 to {MAX_HEAD_DIM}")]
    HeadDim {
        /// Dimensions of a vector.
        found: u32,
    },
}

/// What a codec's name means for vectors of one dimension.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) scheme: Scheme,
    /// Bytes of a vector's code.
    pub(super) code_bytes: usize,
    /// Floats of a group's tables; 0 if the codec has no groups.
    pub(super) table_floats: usize,
}

/// How a code is decoded. A further family is a variant here, or a list of look-ups of its own.
#[derive(Clone, Debug)]
pub(super) enum Scheme {
    F32,
    Bf16,
    Sq8,
    Additive(Vec<LookUp>),
}

impl CodecSpec {
    /// Bytes of the code of a vector of `head_dim` dimensions.
    ///
    /// # Errors
    /// If the codec is beyond a cap, or does not fit the dimension.
    pub fn code_bytes(&self, head_dim: u32) -> Result<usize, SpecError> {
        Ok(self.layout(head_dim)?.code_bytes)
    }

    /// Floats of the tables of one group for vectors of `head_dim` dimensions; 0 for codecs without parameters.
    ///
    /// # Errors
    /// If the codec is beyond a cap, or does not fit the dimension.
    pub fn table_floats(&self, head_dim: u32) -> Result<usize, SpecError> {
        Ok(self.layout(head_dim)?.table_floats)
    }

    fn checked(self) -> Result<Self, SpecError> {
        if let Self::Pq { m, bits } | Self::Rq { m, bits } = self {
            if !(1..=MAX_CODE_PARTS).contains(&m) {
                return Err(SpecError::Parts { spec: self, found: m });
            }
            if !(1..=MAX_CODE_BITS).contains(&bits) {
                return Err(SpecError::Bits { spec: self, found: bits });
            }
        }
        Ok(self)
    }

    pub(super) fn layout(&self, head_dim: u32) -> Result<Layout, SpecError> {
        let spec = self.checked()?;
        if !(1..=MAX_HEAD_DIM).contains(&head_dim) {
            return Err(SpecError::HeadDim { found: head_dim });
        }
        let dim = head_dim as usize;
        Ok(match spec {
            Self::F32 => Layout { scheme: Scheme::F32, code_bytes: 4 * dim, table_floats: 0 },
            Self::Bf16 => Layout { scheme: Scheme::Bf16, code_bytes: 2 * dim, table_floats: 0 },
            Self::Sq8 => Layout { scheme: Scheme::Sq8, code_bytes: dim, table_floats: 2 * dim },
            Self::Pq { m, .. } if !head_dim.is_multiple_of(m.into()) => return Err(SpecError::Division { spec, parts: m, head_dim }),
            Self::Pq { m, bits } => {
                let width = dim / usize::from(m);
                additive((0..usize::from(m)).map(|part| (part * width, width, bits)))
            }
            Self::Rq { m, bits } => additive((0..m).map(|_| (0, dim, bits))),
        })
    }
}

/// The layout of look-ups, each given by its first dimension, its dimensions and its bits.
fn additive(parts: impl Iterator<Item = (usize, usize, u8)>) -> Layout {
    let (mut table, mut code_bits, mut look_ups) = (0, 0, Vec::new());
    for (first, width, bits) in parts {
        look_ups.push(LookUp { first, width, bits, table });
        table += width << bits;
        code_bits += usize::from(bits);
    }
    Layout { scheme: Scheme::Additive(look_ups), code_bytes: code_bits.div_ceil(8), table_floats: table }
}

impl fmt::Display for CodecSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::F32 => f.write_str("F32"),
            Self::Bf16 => f.write_str("BF16"),
            Self::Sq8 => f.write_str("SQ8"),
            Self::Pq { m, bits } => write!(f, "PQ{m}x{bits}"),
            Self::Rq { m, bits } => write!(f, "RQ{m}x{bits}"),
        }
    }
}

impl FromStr for CodecSpec {
    type Err = SpecError;

    fn from_str(name: &str) -> Result<Self, SpecError> {
        let upper = name.to_ascii_uppercase();
        let spec = match upper.as_str() {
            "F32" => Some(Self::F32),
            "BF16" => Some(Self::Bf16),
            "SQ8" => Some(Self::Sq8),
            other => product(other),
        };
        spec.ok_or_else(|| SpecError::Unknown { name: name.chars().take(64).collect() })?.checked()
    }
}

/// Reads `PQ<m>x<bits>` and `RQ<m>x<bits>`, in capitals.
fn product(name: &str) -> Option<CodecSpec> {
    let (family, numbers) = name.split_at_checked(2)?;
    let (m, bits) = numbers.split_once('X')?;
    let (m, bits) = (number(m)?, number(bits)?.try_into().ok()?);
    match family {
        "PQ" => Some(CodecSpec::Pq { m, bits }),
        "RQ" => Some(CodecSpec::Rq { m, bits }),
        _ => None,
    }
}

/// Digits and nothing else: `parse` alone would take a sign.
fn number(digits: &str) -> Option<u16> {
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_any_case_and_written_in_one() {
        for name in ["F32", "BF16", "SQ8", "PQ8x8", "PQ16x4", "RQ4x14", "RQ128x1"] {
            for given in [name.to_string(), name.to_lowercase(), name.to_uppercase()] {
                assert_eq!(given.parse::<CodecSpec>().unwrap().to_string(), name);
            }
        }
    }

    #[test]
    fn other_names_are_refused() {
        for name in ["", "F", "F16", "SQ4", "PQ", "PQ8", "PQx8", "PQ8x", "PQ+8x8", "PQ8x8 ", "PQ8x8x8", "PQ70000x8", "OPQ8x8", "é8x8"] {
            assert!(matches!(name.parse::<CodecSpec>(), Err(SpecError::Unknown { .. })), "{name}");
        }
        assert!(matches!("PQ8x300".parse::<CodecSpec>(), Err(SpecError::Unknown { .. })));
        assert!(matches!("PQ0x8".parse::<CodecSpec>(), Err(SpecError::Parts { found: 0, .. })));
        assert!(matches!("RQ129x8".parse::<CodecSpec>(), Err(SpecError::Parts { found: 129, .. })));
        assert!(matches!("RQ8x0".parse::<CodecSpec>(), Err(SpecError::Bits { found: 0, .. })));
        assert!(matches!("PQ8x15".parse::<CodecSpec>(), Err(SpecError::Bits { found: 15, .. })));
    }

    #[test]
    fn sizes_follow_the_dimension() {
        let sizes = |name: &str, dim| {
            let spec: CodecSpec = name.parse().unwrap();
            (spec.code_bytes(dim), spec.table_floats(dim))
        };
        assert_eq!(sizes("F32", 80), (Ok(320), Ok(0)));
        assert_eq!(sizes("BF16", 80), (Ok(160), Ok(0)));
        assert_eq!(sizes("SQ8", 80), (Ok(80), Ok(160)));
        assert_eq!(sizes("PQ8x10", 80), (Ok(10), Ok(80 << 10)));
        assert_eq!(sizes("RQ3x5", 80), (Ok(2), Ok(3 * (80 << 5))));
        let spec = CodecSpec::Pq { m: 7, bits: 8 };
        assert_eq!(spec.code_bytes(64), Err(SpecError::Division { spec, parts: 7, head_dim: 64 }));
        assert_eq!(CodecSpec::F32.code_bytes(0), Err(SpecError::HeadDim { found: 0 }));
        assert_eq!(CodecSpec::F32.code_bytes(1025), Err(SpecError::HeadDim { found: 1025 }));
        assert!(matches!(CodecSpec::Rq { m: 1, bits: 40 }.code_bytes(64), Err(SpecError::Bits { found: 40, .. })));
    }
}
