//! What a codec's stages mean for vectors of one dimension: bytes of a code, floats of a group's tables, and how they are decoded.

use super::{
    CodecError, CodecSpec, SpecError,
    additive::{Chain, LookUp},
    trellis::Trellis,
};

#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) decoding: Decoding,
    /// Bytes of a vector's code.
    pub(super) code_bytes: usize,
    /// Bits of the code that choose rows of tables; they come first, and zeros fill up their last byte.
    pub(super) look_up_bits: usize,
    /// Floats of a group's tables; 0 if the codec has no groups.
    pub(super) table_floats: usize,
}

/// How codes are decoded.
#[derive(Clone, Debug)]
pub(super) enum Decoding {
    Direct(Direct),
    Additive(Chain),
}

/// Why decoding of several codes failed: the number of the code, and what is wrong with it.
pub(super) type DecodeError = (usize, CodecError);

/// Decodes codes of one group's vectors: tables, codes, vectors, and the dimension.
pub(super) type Decode = fn(&[f32], &[u8], &mut [f32], usize) -> Result<(), DecodeError>;

/// Decoding without look-ups: each number is computed from its own bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Direct {
    pub(super) decode: Decode,
    /// Checks what is special about the tables of a group; that their numbers are finite is checked already.
    pub(super) check: fn(usize, &[f32]) -> Result<(), CodecError>,
}

/// Decodes each code, of `code_bytes` bytes, into its vector, `[dim]`.
#[inline(always)]
pub(super) fn each_vector(
    codes: &[u8],
    code_bytes: usize,
    vectors: &mut [f32],
    dim: usize,
    decode: impl Fn(&[u8], &mut [f32]) -> Result<(), CodecError>,
) -> Result<(), DecodeError> {
    for (index, (code, vector)) in codes.chunks_exact(code_bytes).zip(vectors.chunks_exact_mut(dim)).enumerate() {
        decode(code, vector).map_err(|error| (index, error))?;
    }
    Ok(())
}

impl Decoding {
    /// The trellis, if there is one: each group then has an allotment of bits to dimensions.
    pub(super) fn trellis(&self) -> Option<&Trellis> {
        match self {
            Self::Additive(chain) => chain.trellis.as_ref(),
            Self::Direct(_) => None,
        }
    }

    /// Whether the tables begin with a mean and a linear map.
    pub(super) fn mapped(&self) -> bool {
        matches!(self, Self::Additive(Chain { mapped: true, .. }))
    }
}

/// A layout that stages add to, in the order of the codec's name.
pub(super) struct LayoutBuilder {
    spec: CodecSpec,
    dim: usize,
    mapped: bool,
    direct: Option<Direct>,
    look_ups: Vec<LookUp>,
    trellis: Option<Trellis>,
    /// Bits of the look-ups so far.
    look_up_bits: usize,
    /// Bytes of the code so far, but for the look-ups.
    other_bytes: usize,
    /// Floats of the tables so far.
    floats: usize,
}

impl LayoutBuilder {
    /// The layout of `spec`, of no stages yet; with a mean and a linear map before all tables if it is `mapped`.
    pub(super) fn new(spec: CodecSpec, dim: usize, mapped: bool) -> Self {
        let floats = if mapped { dim + dim * dim } else { 0 };
        Self { spec, dim, mapped, direct: None, look_ups: Vec::new(), trellis: None, look_up_bits: 0, other_bytes: 0, floats }
    }

    /// Dimensions of a vector.
    pub(super) fn dim(&self) -> usize {
        self.dim
    }

    /// Dimensions of each of `parts` equal sub-vectors.
    pub(super) fn width_of_parts(&self, parts: u16) -> Result<usize, SpecError> {
        if parts == 0 || !self.dim.is_multiple_of(parts.into()) {
            return Err(SpecError::Division { spec: self.spec, parts, head_dim: self.dim as u32 });
        }
        Ok(self.dim / usize::from(parts))
    }

    /// The error of a codec that is not one for vectors of this dimension.
    pub(super) fn wrong_dimension(&self) -> SpecError {
        SpecError::Dimension { spec: self.spec, head_dim: self.dim as u32 }
    }

    /// Adds a code that is decoded without look-ups: its bytes, and the floats of its tables.
    pub(super) fn direct(&mut self, code_bytes: usize, table_floats: usize, direct: Direct) {
        self.direct = Some(direct);
        self.other_bytes += code_bytes;
        self.floats += table_floats;
    }

    /// Adds a look-up: a table of 2^bits rows, of which one is added to `width` dimensions from `first` on.
    pub(super) fn look_up(&mut self, first: usize, width: usize, bits: u8) {
        self.look_ups.push(LookUp { first, width, bits, table: self.floats });
        self.floats += width << bits;
        self.look_up_bits += usize::from(bits);
    }

    /// Adds a trellis code behind the look-ups.
    pub(super) fn trellis(&mut self, bytes: usize, window: u8) {
        self.trellis = Some(Trellis { bytes, window, table: self.floats });
        self.other_bytes += bytes;
        self.floats += self.dim << window;
    }

    pub(super) fn finish(self) -> Layout {
        let look_up_bytes = self.look_up_bits.div_ceil(8);
        let decoding = match self.direct {
            Some(direct) => Decoding::Direct(direct),
            None => Decoding::Additive(Chain { look_ups: self.look_ups, look_up_bytes, mapped: self.mapped, trellis: self.trellis }),
        };
        let code_bytes = look_up_bytes + self.other_bytes;
        Layout { decoding, code_bytes, look_up_bits: self.look_up_bits, table_floats: self.floats }
    }
}
