//! The names of codecs.

use std::{fmt, str::FromStr};

use super::layout::{Layout, LayoutBuilder};
use super::stages::{self, CodecStage, F32, MAX_STAGES};

/// Most bits of one part of a code, and of a state of a trellis.
pub const MAX_CODE_BITS: u8 = 14;
/// Most parts (sub-vectors or terms of a sum) of a stage's code.
pub const MAX_CODE_PARTS: u16 = 128;
/// Most bytes of a trellis code.
pub const MAX_TRELLIS_BYTES: u16 = 1024;
/// Most dimensions of a vector.
pub const MAX_HEAD_DIM: u32 = 1024;

/// How a vector becomes bytes: a chain of [stages](CodecStage), named in the manner of faiss (SPEC.md, "Codecs").
///
/// Each stage codes what the stages before it leave of the vector. A name is its stages with commas between them; it is read in any case
/// and has one written form.
///
/// ```
/// use mempack_format::CodecSpec;
///
/// let spec: CodecSpec = "pq8x8".parse()?;
/// assert_eq!(spec, CodecSpec::pq(8, 8));
/// assert_eq!(spec.to_string(), "PQ8x8");
/// assert_eq!(spec.code_bytes(64)?, 8);
///
/// // The codec of the Memory3 paper (section 3.3): 14 bytes for 80 dimensions.
/// let spec: CodecSpec = "OPQ20_80,Residual2x14,PQ8x10".parse()?;
/// assert_eq!(spec.stages().len(), 3);
/// assert_eq!(spec.code_bytes(80)?, 14);
/// # Ok::<(), mempack_format::SpecError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CodecSpec {
    /// Behind the codec's own stages, `F32` as often as there is room.
    stages: [CodecStage; MAX_STAGES],
    count: u8,
}

/// Why a codec's name is refused, alone or for vectors of some dimension.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// No codec has this name.
    #[error("no codec is named {name:?}: expected {}; for instance PQ8x8", stages::patterns())]
    Unknown {
        /// The name, up to 64 characters of it.
        name: String,
    },
    /// The stages do not make a codec in this order.
    #[error("codec {spec}: its stages do not follow one another; expected {}", stages::patterns())]
    Chain {
        /// The codec.
        spec: CodecSpec,
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
    #[error("codec {spec}: a trellis code of {found} bytes, expected at most {MAX_TRELLIS_BYTES} bytes and at least {window} bits")]
    TrellisBytes {
        /// The codec.
        spec: CodecSpec,
        /// Bytes.
        found: u16,
        /// Bits of a window.
        window: u8,
    },
    /// A vector cannot be cut into so many equal parts.
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
    /// The codec of these stages, one to three of them. Whether they make a codec is checked where it is used, as by
    /// [`code_bytes`](Self::code_bytes).
    ///
    /// ```
    /// use mempack_format::{CodecSpec, stages::{Rq, Tcq}};
    ///
    /// const CODEC: CodecSpec = CodecSpec::of([Rq { m: 2, bits: 8 }.stage(), Tcq { bytes: 30, window: 8 }.stage()]);
    /// assert_eq!(CODEC, "RQ2x8,TCQ30x8".parse()?);
    /// # Ok::<(), mempack_format::SpecError>(())
    /// ```
    pub const fn of<const N: usize>(stages: [CodecStage; N]) -> Self {
        const { assert!(N > 0 && N <= MAX_STAGES, "a codec has one to three stages") };
        let mut all = [CodecStage::F32(F32); MAX_STAGES];
        all.split_at_mut(N).0.copy_from_slice(&stages);
        Self { stages: all, count: N as u8 }
    }

    /// Its stages, in the order of its name.
    pub fn stages(&self) -> &[CodecStage] {
        self.stages.get(..self.count.into()).unwrap_or_default()
    }

    /// Bytes of the code of a vector of `head_dim` dimensions.
    ///
    /// # Errors
    /// If the codec is beyond a cap, or does not fit the dimension.
    pub fn code_bytes(&self, head_dim: u32) -> Result<usize, SpecError> {
        Ok(self.layout(head_dim)?.code_bytes)
    }

    /// Bits of a code that choose rows of tables by their number. They are the first bits; up to the end of their last byte, zeros follow.
    ///
    /// # Errors
    /// If the codec is beyond a cap, or does not fit the dimension.
    pub fn look_up_bits(&self, head_dim: u32) -> Result<usize, SpecError> {
        Ok(self.layout(head_dim)?.look_up_bits)
    }

    /// Floats of the tables of one group for vectors of `head_dim` dimensions; 0 for codecs without parameters.
    ///
    /// # Errors
    /// If the codec is beyond a cap, or does not fit the dimension.
    pub fn table_floats(&self, head_dim: u32) -> Result<usize, SpecError> {
        Ok(self.layout(head_dim)?.table_floats)
    }

    /// Whether decoding ends with a linear map. The tables of each group then begin with `mean[d]` and `map[d, d]`.
    pub fn is_mapped(&self) -> bool {
        self.stages().iter().any(|stage| stage.family().mapped())
    }

    /// The required features of a pack with this codec: those of codecs that version 1.0 did not have (SPEC 2).
    pub(crate) fn required_features(&self) -> u64 {
        self.stages().iter().fold(0, |features, stage| features | stage.family().required_features())
    }

    /// The codec, if it is within all caps that do not depend on the dimension.
    fn checked(self) -> Result<Self, SpecError> {
        if !stages::is_chain(self.stages()) {
            return Err(SpecError::Chain { spec: self });
        }
        self.stages().iter().try_for_each(|stage| stage.family().check(self))?;
        Ok(self)
    }

    /// What the codec is for vectors of `head_dim` dimensions.
    pub(super) fn layout(&self, head_dim: u32) -> Result<Layout, SpecError> {
        let spec = self.checked()?;
        if !(1..=MAX_HEAD_DIM).contains(&head_dim) {
            return Err(SpecError::HeadDim { found: head_dim });
        }
        let mut layout = LayoutBuilder::new(spec, head_dim as usize, spec.is_mapped());
        spec.stages().iter().try_for_each(|stage| stage.family().lay_out(&mut layout))?;
        Ok(layout.finish())
    }
}

impl fmt::Display for CodecSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for stage in self.stages() {
            write!(f, "{comma}{stage}")?;
            comma = ",";
        }
        Ok(())
    }
}

impl fmt::Debug for CodecSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for CodecSpec {
    type Err = SpecError;

    fn from_str(name: &str) -> Result<Self, SpecError> {
        chain(name).ok_or_else(|| SpecError::Unknown { name: name.chars().take(64).collect() })?.checked()
    }
}

/// The stages of a name, if it is written as that of a codec.
fn chain(name: &str) -> Option<CodecSpec> {
    let mut stages = [CodecStage::F32(F32); MAX_STAGES];
    let mut rooms = stages.iter_mut();
    for element in name.split(',') {
        *rooms.next()? = CodecStage::parse(element)?;
    }
    let count = MAX_STAGES - rooms.len();
    let spec = CodecSpec { stages, count: count as u8 };
    stages::is_chain(spec.stages()).then_some(spec)
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
        let spec = CodecSpec::pq(7, 8);
        assert_eq!(spec.code_bytes(64), Err(SpecError::Division { spec, parts: 7, head_dim: 64 }));
        assert_eq!(CodecSpec::F32.code_bytes(0), Err(SpecError::HeadDim { found: 0 }));
        assert_eq!(CodecSpec::F32.code_bytes(1025), Err(SpecError::HeadDim { found: 1025 }));
        assert!(matches!(CodecSpec::rq(1, 40).code_bytes(64), Err(SpecError::Bits { found: 40, .. })));
    }

    #[test]
    fn chains_that_no_name_has_are_refused() {
        let pq = CodecStage::from(stages::Pq { m: 2, bits: 8 });
        let spec = CodecSpec::of([pq, pq]);
        assert_eq!(spec.code_bytes(8), Err(SpecError::Chain { spec }));
    }

    #[test]
    fn the_error_of_an_unknown_name_lists_all_codecs() {
        let error = "PQ".parse::<CodecSpec>().unwrap_err().to_string();
        let listed = "F32 | BF16 | SQ8 | PQ<m>x<bits> | RQ<m>x<bits> | PRQ<splits>x<m>x<bits> | TCQ<bytes>x<window> | RQ<m>x<bits>,TCQ<bytes>x<window> | \
                      OPQ<blocks>_<dim>,PQ<m>x<bits> | OPQ<blocks>_<dim>,Residual<c>x<bits>,PQ<m>x<bits>";
        assert_eq!(error, format!("no codec is named \"PQ\": expected {listed}; for instance PQ8x8"));
    }
}
