//! `OPQ`: a rotation before product codes.

use super::{Family, Numbers, StageName};
use crate::codec::layout::LayoutBuilder;
use crate::{FEATURE_CODECS, SpecError};

/// `OPQ<blocks>_<dim>`: the vector is rotated, and the stages behind it are a code of the result (Ge et al. 2013).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Opq {
    /// Sub-vectors that the rotation is trained for; divides the head dimension. Has no meaning for a reader.
    pub blocks: u16,
    /// The head dimension.
    pub dim: u16,
}

impl Opq {
    pub(super) const NAME: StageName = StageName { pattern: "OPQ<blocks>_<dim>", first: true, after: &[], last: false };

    pub(super) fn from_numbers([blocks, dim, _]: Numbers) -> Option<Self> {
        Some(Self { blocks, dim })
    }
}

impl Family for Opq {
    fn numbers(&self) -> Numbers {
        [self.blocks, self.dim, 0]
    }

    fn lay_out(&self, layout: &mut LayoutBuilder) -> Result<(), SpecError> {
        if usize::from(self.dim) != layout.dim() {
            return Err(layout.wrong_dimension());
        }
        layout.width_of_parts(self.blocks).map(|_| ())
    }

    fn mapped(&self) -> bool {
        true
    }

    fn required_features(&self) -> u64 {
        FEATURE_CODECS
    }
}
