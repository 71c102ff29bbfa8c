//! `TCQ`: trellis codes.

use super::{Family, Numbers, StageName, check_parts};
use crate::codec::layout::LayoutBuilder;
use crate::{CodecSpec, CodecStage, FEATURE_CODECS, MAX_TRELLIS_BYTES, SpecError};

/// `TCQ<bytes>x<window>`: a trellis code, alone or of what an [`Rq`](super::Rq) leaves.
///
/// The vector is coded in a basis of its own, one run of dimensions after another. Each run has a table of 2^window rows, of which a window
/// of the code chooses one; the windows of neighbouring runs overlap (trellis coded quantization, Marcellin and Fischer 1990, tail-biting).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tcq {
    /// Bytes of the trellis code.
    pub bytes: u16,
    /// Bits of a window, which is a state of the trellis.
    pub window: u8,
}

impl CodecSpec {
    /// `TCQ<bytes>x<window>`: see [`Tcq`].
    pub const fn tcq(bytes: u16, window: u8) -> Self {
        Self::of([CodecStage::Tcq(Tcq { bytes, window })])
    }

    /// The stage that is a trellis code, if the codec has one: its parameters then hold an allotment for each group.
    pub fn trellis(&self) -> Option<Tcq> {
        self.stages().iter().find_map(|stage| match stage {
            CodecStage::Tcq(stage) => Some(*stage),
            _ => None,
        })
    }
}

impl Tcq {
    pub(super) const NAME: StageName = StageName { pattern: "TCQ<bytes>x<window>", first: true, after: &["RQ"], last: true };

    pub(super) fn from_numbers([bytes, window, _]: Numbers) -> Option<Self> {
        Some(Self { bytes, window: window.try_into().ok()? })
    }
}

impl Family for Tcq {
    fn numbers(&self) -> Numbers {
        [self.bytes, self.window.into(), 0]
    }

    fn check(&self, spec: CodecSpec) -> Result<(), SpecError> {
        let Self { bytes, window } = *self;
        check_parts(spec, 1, window)?;
        if bytes > MAX_TRELLIS_BYTES || 8 * u32::from(bytes) < u32::from(window) {
            return Err(SpecError::TrellisBytes { spec, found: bytes, window });
        }
        Ok(())
    }

    fn lay_out(&self, layout: &mut LayoutBuilder) -> Result<(), SpecError> {
        // No more bits than the windows of all dimensions can take.
        if 8 * usize::from(self.bytes) > usize::from(self.window) * layout.dim() {
            return Err(layout.wrong_dimension());
        }
        layout.trellis(self.bytes.into(), self.window);
        Ok(())
    }

    fn mapped(&self) -> bool {
        true
    }

    fn required_features(&self) -> u64 {
        FEATURE_CODECS
    }
}
