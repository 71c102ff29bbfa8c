//! Directions that matter more than others: a basis in which errors that matter alike are equally long.
//!
//! An error `e` moves the model's predictions by half of `e^T M e`, where M is the [`Sensitivity`] of its head. With `W W = M`, that is half
//! of the squared length of `e W`. A code that loses least of `x W` so loses least of the predictions, and the codec's map undoes W: neither
//! decoding nor an encoder made from the parameters needs to know W.

use mempack_format::VectorKind;
use mempack_model::Sensitivity;
use nalgebra::{DMatrix, SymmetricEigen};

use crate::codec::{grouping::Group, stages::Basis};

/// Added to each direction's share of the moments, whose mean is 1. Moments of few texts say little about directions that these hardly use,
/// and errors there must not grow without limit.
const FLOOR: f64 = 0.3;

/// The basis of a group of heads.
///
/// It is the identity where no sensitivity is known, and for values: on SmolLM2-135M, weighing values does not reduce the divergence
/// (0.0081 nats against 0.0082) and adds a tenth to the squared error.
pub(super) fn basis(sensitivity: Option<&Sensitivity>, group: &Group, dim: usize) -> Basis {
    let moments = sensitivity.filter(|_| group.kind == VectorKind::Key).map(|sensitivity| {
        let heads = group.heads.clone().map(|head| DMatrix::from_vec(dim, dim, sensitivity.moments(group.kind, head)));
        heads.fold(DMatrix::zeros(dim, dim), |sum, moments| sum + moments)
    });
    let Some(moments) = moments.filter(|moments| moments.trace().is_normal()) else { return Basis::identity(dim) };
    let mean = moments.trace() / dim as f64;
    let eigen = SymmetricEigen::new(moments / mean + DMatrix::identity(dim, dim) * FLOOR);
    let scaled = |power: f64| {
        let scales = eigen.eigenvalues.map(|value| value.powf(power));
        &eigen.eigenvectors * DMatrix::from_diagonal(&scales) * eigen.eigenvectors.transpose()
    };
    Basis { forward: scaled(0.5), back: scaled(-0.5) }
}
