//! What a codec's name means for vectors of one dimension: bytes of a code, floats of a group's tables, and how they make a vector.

use super::{
    CodecSpec, MAX_HEAD_DIM, Parts, SpecError,
    additive::{Chain, LookUp},
    trellis::Trellis,
};

#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) scheme: Scheme,
    /// Bytes of a vector's code.
    pub(super) code_bytes: usize,
    /// Floats of a group's tables; 0 if the codec has no groups.
    pub(super) table_floats: usize,
}

/// How a code is decoded. A further family is a variant here, or a chain of look-ups of its own.
#[derive(Clone, Debug)]
pub(super) enum Scheme {
    F32,
    Bf16,
    Sq8,
    Additive(Chain),
}

impl Scheme {
    /// Whether each group has an allotment of bits to dimensions.
    pub(super) fn trellis(&self) -> Option<&Trellis> {
        match self {
            Self::Additive(chain) => chain.trellis.as_ref(),
            _ => None,
        }
    }
}

impl Layout {
    pub(super) fn new(spec: &CodecSpec, head_dim: u32) -> Result<Self, SpecError> {
        let spec = spec.checked()?;
        if !(1..=MAX_HEAD_DIM).contains(&head_dim) {
            return Err(SpecError::HeadDim { found: head_dim });
        }
        let dim = head_dim as usize;
        let plain = |scheme, code_bytes, table_floats| Ok(Self { scheme, code_bytes, table_floats });
        let mut look_ups = LookUps::new(dim);
        match spec {
            CodecSpec::F32 => return plain(Scheme::F32, 4 * dim, 0),
            CodecSpec::Bf16 => return plain(Scheme::Bf16, 2 * dim, 0),
            CodecSpec::Sq8 => return plain(Scheme::Sq8, dim, 2 * dim),
            CodecSpec::Pq { m, bits } => look_ups.product(spec, Parts { m, bits })?,
            CodecSpec::Rq { m, bits } => look_ups.stages(0, dim, Parts { m, bits }),
            CodecSpec::Prq { splits, m, bits } => {
                let width = look_ups.width(spec, splits)?;
                (0..splits.into()).for_each(|split| look_ups.stages(split * width, width, Parts { m, bits }));
            }
            CodecSpec::Opq { blocks, dim: named, coarse, fine } => {
                if u32::from(named) != head_dim {
                    return Err(SpecError::Dimension { spec, head_dim });
                }
                look_ups.width(spec, blocks)?;
                look_ups.map();
                if let Some(coarse) = coarse {
                    look_ups.product(spec, coarse)?;
                }
                look_ups.product(spec, fine)?;
            }
            CodecSpec::Tcq { stages, bytes, window } => {
                if 8 * usize::from(bytes) > usize::from(window) * dim {
                    return Err(SpecError::Dimension { spec, head_dim });
                }
                look_ups.map();
                if let Some(stages) = stages {
                    look_ups.stages(0, dim, stages);
                }
                return Ok(look_ups.finish(Some((bytes.into(), window))));
            }
        }
        Ok(look_ups.finish(None))
    }
}

/// Look-ups in the order of their codes and of their tables.
struct LookUps {
    dim: usize,
    mapped: bool,
    list: Vec<LookUp>,
    /// Floats of the tables so far.
    floats: usize,
    /// Bits of the code so far.
    bits: usize,
}

impl LookUps {
    fn new(dim: usize) -> Self {
        Self { dim, mapped: false, list: Vec::new(), floats: 0, bits: 0 }
    }

    /// A mean and a linear map before all tables.
    fn map(&mut self) {
        self.mapped = true;
        self.floats = self.dim + self.dim * self.dim;
    }

    fn width(&self, spec: CodecSpec, parts: u16) -> Result<usize, SpecError> {
        if parts == 0 || !self.dim.is_multiple_of(parts.into()) {
            return Err(SpecError::Division { spec, parts, head_dim: self.dim as u32 });
        }
        Ok(self.dim / usize::from(parts))
    }

    fn product(&mut self, spec: CodecSpec, parts: Parts) -> Result<(), SpecError> {
        let width = self.width(spec, parts.m)?;
        (0..parts.m.into()).for_each(|part| self.stages(part * width, width, Parts { m: 1, bits: parts.bits }));
        Ok(())
    }

    /// Look-ups that all are of the same run of dimensions.
    fn stages(&mut self, first: usize, width: usize, parts: Parts) {
        for _ in 0..parts.m {
            self.list.push(LookUp { first, width, bits: parts.bits, table: self.floats });
            self.floats += width << parts.bits;
            self.bits += usize::from(parts.bits);
        }
    }

    fn finish(self, trellis: Option<(usize, u8)>) -> Layout {
        let look_up_bytes = self.bits.div_ceil(8);
        let trellis = trellis.map(|(bytes, window)| Trellis { bytes, window, table: self.floats });
        Layout {
            code_bytes: look_up_bytes + trellis.as_ref().map_or(0, |trellis| trellis.bytes),
            table_floats: self.floats + trellis.as_ref().map_or(0, |trellis| self.dim << trellis.window),
            scheme: Scheme::Additive(Chain { look_ups: self.list, look_up_bytes, mapped: self.mapped, trellis }),
        }
    }
}
