//! The names of codecs.

use std::{fmt, str::FromStr};

use super::layout::Layout;
use crate::FEATURE_CODECS;

/// Most bits of one part of a code, and of a state of a trellis.
pub const MAX_CODE_BITS: u8 = 14;
/// Most parts (sub-spaces or stages) of a code.
pub const MAX_CODE_PARTS: u16 = 128;
/// Most bytes of a trellis code.
pub const MAX_TRELLIS_BYTES: u16 = 1024;
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
///
/// // The codec of the Memory3 paper (section 3.3): 14 bytes for 80 dimensions.
/// let spec: CodecSpec = "OPQ20_80,Residual2x14,PQ8x10".parse()?;
/// assert_eq!(spec.code_bytes(80)?, 14);
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
    /// `PRQ<splits>x<m>x<bits>`: consecutive sub-vectors, each a sum of m of 2^bits.
    Prq {
        /// Sub-vectors; divides the head dimension.
        splits: u16,
        /// Stages of each; all parts together are at most [`MAX_CODE_PARTS`].
        m: u16,
        /// Bits of each stage.
        bits: u8,
    },
    /// `OPQ<blocks>_<dim>,PQ<m>x<bits>` or `OPQ<blocks>_<dim>,Residual<c>x<bits>,PQ<m>x<bits>`: the vector is rotated, and what it is
    /// then is a product code (of its coarse sub-vectors and again of what they leave); Ge et al. 2013, and the Memory3 paper's codec.
    Opq {
        /// Sub-vectors that the rotation is trained for; divides the head dimension. Means nothing to a reader.
        blocks: u16,
        /// The head dimension.
        dim: u16,
        /// The coarse product code, if there is one.
        coarse: Option<Parts>,
        /// The product code.
        fine: Parts,
    },
    /// `TCQ<bytes>x<window>` or `RQ<m>x<bits>,TCQ<bytes>x<window>`: what a residual code leaves (or all of the vector) in a basis of its
    /// own, one run of dimensions after the other by a table of 2^window rows, of which a window of the code chooses; the windows of
    /// neighbouring runs overlap (trellis coded quantization, Marcellin and Fischer 1990, tail-biting).
    Tcq {
        /// The residual code before it, if there is one.
        stages: Option<Parts>,
        /// Bytes of the trellis code.
        bytes: u16,
        /// Bits of a window: a state of the trellis.
        window: u8,
    },
}

/// Equal parts of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Parts {
    /// How many.
    pub m: u16,
    /// Bits of each.
    pub bits: u8,
}

/// Why a codec's name is refused, by itself or for vectors of some dimension.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// No codec has this name.
    #[error(
        "no codec is named {name:?}: expected F32, BF16, SQ8, PQ<m>x<bits>, RQ<m>x<bits>, PRQ<splits>x<m>x<bits>, \
         OPQ<blocks>_<dim>,[Residual<c>x<bits>,]PQ<m>x<bits> or [RQ<m>x<bits>,]TCQ<bytes>x<window>, for instance PQ8x8"
    )]
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
        found: u32,
    },
    /// The bits of a part are zero or beyond the cap.
    #[error("codec {spec}: {found} bits a part, expected 1 to {MAX_CODE_BITS}")]
    Bits {
        /// The codec.
        spec: CodecSpec,
        /// Its bits.
        found: u8,
    },
    /// The bytes of a trellis code are too few for a window, or beyond the cap.
    #[error("codec {spec}: a trellis code of {found} bytes, expected at most {MAX_TRELLIS_BYTES}, and {window} bits at least")]
    TrellisBytes {
        /// The codec.
        spec: CodecSpec,
        /// Bytes.
        found: u16,
        /// Bits of a window.
        window: u8,
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
    /// The codec names another dimension, or has more bits than its vectors can take.
    #[error("codec {spec}: it is not one for vectors of {head_dim} dimensions")]
    Dimension {
        /// The codec.
        spec: CodecSpec,
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

impl CodecSpec {
    /// Bytes of the code of a vector of `head_dim` dimensions.
    ///
    /// # Errors
    /// If the codec is beyond a cap, or does not fit the dimension.
    pub fn code_bytes(&self, head_dim: u32) -> Result<usize, SpecError> {
        Ok(Layout::new(self, head_dim)?.code_bytes)
    }

    /// Floats of the tables of one group for vectors of `head_dim` dimensions; 0 for codecs without parameters.
    ///
    /// # Errors
    /// If the codec is beyond a cap, or does not fit the dimension.
    pub fn table_floats(&self, head_dim: u32) -> Result<usize, SpecError> {
        Ok(Layout::new(self, head_dim)?.table_floats)
    }

    /// The required features of a pack with this codec: those of codecs that version 1.0 did not have (SPEC 2).
    pub(crate) fn required_features(&self) -> u64 {
        match self {
            Self::F32 | Self::Bf16 | Self::Sq8 | Self::Pq { .. } | Self::Rq { .. } => 0,
            Self::Prq { .. } | Self::Opq { .. } | Self::Tcq { .. } => FEATURE_CODECS,
        }
    }

    /// The codec, if it is within all caps that do not depend on the dimension.
    pub(super) fn checked(self) -> Result<Self, SpecError> {
        let parts = match self {
            Self::F32 | Self::Bf16 | Self::Sq8 => [None, None],
            Self::Pq { m, bits } | Self::Rq { m, bits } => [Some((m.into(), bits)), None],
            Self::Prq { splits, m, bits } => [Some((u32::from(splits) * u32::from(m), bits)), None],
            Self::Opq { coarse, fine, .. } => [coarse.map(Parts::counted), Some(fine.counted())],
            Self::Tcq { stages, window, .. } => [stages.map(Parts::counted), Some((1, window))],
        };
        for (found, bits) in parts.into_iter().flatten() {
            if !(1..=u32::from(MAX_CODE_PARTS)).contains(&found) {
                return Err(SpecError::Parts { spec: self, found });
            }
            if !(1..=MAX_CODE_BITS).contains(&bits) {
                return Err(SpecError::Bits { spec: self, found: bits });
            }
        }
        match self {
            Self::Tcq { bytes, window, .. } if bytes > MAX_TRELLIS_BYTES || 8 * u32::from(bytes) < u32::from(window) => {
                Err(SpecError::TrellisBytes { spec: self, found: bytes, window })
            }
            spec => Ok(spec),
        }
    }
}

impl Parts {
    fn counted(self) -> (u32, u8) {
        (self.m.into(), self.bits)
    }
}

impl fmt::Display for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.m, self.bits)
    }
}

impl fmt::Display for CodecSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::F32 => f.write_str("F32"),
            Self::Bf16 => f.write_str("BF16"),
            Self::Sq8 => f.write_str("SQ8"),
            Self::Pq { m, bits } => write!(f, "PQ{m}x{bits}"),
            Self::Rq { m, bits } => write!(f, "RQ{m}x{bits}"),
            Self::Prq { splits, m, bits } => write!(f, "PRQ{splits}x{m}x{bits}"),
            Self::Opq { blocks, dim, coarse: None, fine } => write!(f, "OPQ{blocks}_{dim},PQ{fine}"),
            Self::Opq { blocks, dim, coarse: Some(coarse), fine } => write!(f, "OPQ{blocks}_{dim},Residual{coarse},PQ{fine}"),
            Self::Tcq { stages: None, bytes, window } => write!(f, "TCQ{bytes}x{window}"),
            Self::Tcq { stages: Some(stages), bytes, window } => write!(f, "RQ{stages},TCQ{bytes}x{window}"),
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
            other => with_numbers(other),
        };
        spec.ok_or_else(|| SpecError::Unknown { name: name.chars().take(64).collect() })?.checked()
    }
}

/// Reads a name with numbers, in capitals.
fn with_numbers(name: &str) -> Option<CodecSpec> {
    let elements: Vec<&str> = name.splitn(4, ',').collect();
    match *elements.as_slice() {
        [one] => {
            if let Some(numbers) = one.strip_prefix("PRQ") {
                let (splits, parts) = numbers.split_once('X')?;
                let Parts { m, bits } = parts_of(parts, "")?;
                return Some(CodecSpec::Prq { splits: number(splits)?, m, bits });
            }
            if let Some(Parts { m, bits }) = parts_of(one, "PQ") {
                return Some(CodecSpec::Pq { m, bits });
            }
            if let Some(Parts { m, bits }) = parts_of(one, "RQ") {
                return Some(CodecSpec::Rq { m, bits });
            }
            let Parts { m: bytes, bits: window } = parts_of(one, "TCQ")?;
            Some(CodecSpec::Tcq { stages: None, bytes, window })
        }
        [first, last] if first.starts_with('R') => {
            let Parts { m: bytes, bits: window } = parts_of(last, "TCQ")?;
            Some(CodecSpec::Tcq { stages: Some(parts_of(first, "RQ")?), bytes, window })
        }
        [first, ref middle @ .., last] if middle.len() < 2 => {
            let (blocks, dim) = first.strip_prefix("OPQ")?.split_once('_')?;
            let coarse = match middle {
                [coarse] => Some(parts_of(coarse, "RESIDUAL")?),
                _ => None,
            };
            Some(CodecSpec::Opq { blocks: number(blocks)?, dim: number(dim)?, coarse, fine: parts_of(last, "PQ")? })
        }
        _ => None,
    }
}

/// Reads `<family><m>x<bits>`, in capitals.
fn parts_of(name: &str, family: &str) -> Option<Parts> {
    let (m, bits) = name.strip_prefix(family)?.split_once('X')?;
    Some(Parts { m: number(m)?, bits: number(bits)?.try_into().ok()? })
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
        for name in [
            "F32",
            "BF16",
            "SQ8",
            "PQ8x8",
            "PQ16x4",
            "RQ4x14",
            "RQ128x1",
            "PRQ2x7x8",
            "OPQ8_64,PQ8x8",
            "OPQ20_80,Residual2x14,PQ8x10",
            "TCQ14x8",
            "RQ4x8,TCQ12x8",
        ] {
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
        for name in [
            "PRQ2x8",
            "PRQ2x7x8x1",
            "OPQ8,PQ8x8",
            "OPQ8_64",
            "OPQ8_64,RQ8x8",
            "OPQ8_64,PQ8x8,PQ8x8",
            "OPQ8_64,Residual2x8,PQ8x8,PQ8x8",
            "OPQ8_64,,PQ8x8",
            "TCQ8",
            "TCQ8x8,TCQ8x8",
            "RQ8x8,PQ8x8",
            "RQ8x8,",
            ",RQ8x8",
            "PQ8x8,TCQ8x8",
        ] {
            assert!(matches!(name.parse::<CodecSpec>(), Err(SpecError::Unknown { .. })), "{name}");
        }
        assert!(matches!("PRQ16x16x8".parse::<CodecSpec>(), Err(SpecError::Parts { found: 256, .. })));
        assert!(matches!("OPQ8_64,Residual0x8,PQ8x8".parse::<CodecSpec>(), Err(SpecError::Parts { found: 0, .. })));
        assert!(matches!("TCQ1025x8".parse::<CodecSpec>(), Err(SpecError::TrellisBytes { found: 1025, .. })));
        assert!(matches!("TCQ1x9".parse::<CodecSpec>(), Err(SpecError::TrellisBytes { found: 1, window: 9, .. })));
        assert!(matches!("TCQ14x15".parse::<CodecSpec>(), Err(SpecError::Bits { found: 15, .. })));
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
        assert_eq!(sizes("PRQ2x7x8", 80), (Ok(14), Ok(7 * (80 << 8))));
        assert_eq!(sizes("OPQ20_80,Residual2x14,PQ8x10", 80), (Ok(14), Ok(80 + 80 * 80 + (80 << 14) + (80 << 10))));
        assert_eq!(sizes("TCQ14x8", 80), (Ok(14), Ok(80 + 80 * 80 + (80 << 8))));
        assert_eq!(sizes("RQ3x5,TCQ12x7", 80), (Ok(14), Ok(80 + 80 * 80 + 3 * (80 << 5) + (80 << 7))));
        assert!(matches!(sizes("OPQ20_80,PQ8x8", 64).0, Err(SpecError::Dimension { head_dim: 64, .. })));
        assert!(matches!(sizes("OPQ7_80,PQ8x8", 80).0, Err(SpecError::Division { parts: 7, .. })));
        assert!(matches!(sizes("OPQ8_80,Residual3x8,PQ8x8", 80).0, Err(SpecError::Division { parts: 3, .. })));
        // More bits than windows of 4 bits can bring into 12 dimensions.
        assert!(matches!(sizes("TCQ7x4", 12).0, Err(SpecError::Dimension { head_dim: 12, .. })));
        assert_eq!(sizes("TCQ6x4", 12).0, Ok(6));
        let spec = CodecSpec::Pq { m: 7, bits: 8 };
        assert_eq!(spec.code_bytes(64), Err(SpecError::Division { spec, parts: 7, head_dim: 64 }));
        assert_eq!(CodecSpec::F32.code_bytes(0), Err(SpecError::HeadDim { found: 0 }));
        assert_eq!(CodecSpec::F32.code_bytes(1025), Err(SpecError::HeadDim { found: 1025 }));
        assert!(matches!(CodecSpec::Rq { m: 1, bits: 40 }.code_bytes(64), Err(SpecError::Bits { found: 40, .. })));
    }
}
