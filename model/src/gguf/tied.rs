//! Finds an embedding and a head that are one matrix at two precisions.
//!
//! Tools that quantize a model whose embedding is its head may write the matrix twice: as `token_embd.weight` in one type and as
//! `output.weight` in another. Both then differ by rounding alone.
//!
//! How far rounding can take them apart follows from their types. [`quantization_error`] is the relative error of a type on normally
//! distributed weights; two roundings of one matrix lie at most the sum of both apart. Weights with longer tails have larger errors, so
//! twice that sum is accepted. Matrices that were trained apart differ by about 1, and even the coarsest pair is held to 0.5.

use std::fmt;

use super::dequant::TensorType;
use super::reader::{Gguf, TensorInfo};

/// Max relative difference, whatever the types.
const DIFFERENCE_CAP: f64 = 0.5;
/// Elements that are compared at a time: a multiple of every block.
const CHUNK: usize = 1 << 16;

/// An embedding and a head that the file holds as one matrix at two precisions.
#[derive(Clone, Debug, PartialEq)]
pub struct TiedEmbedding {
    /// Name in the file of the more precise tensor, which is imported for both.
    pub kept: String,
    /// Type of `kept`, as ggml names it.
    pub kept_type: &'static str,
    /// Name in the file of the other tensor.
    pub dropped: String,
    /// Type of `dropped`, as ggml names it.
    pub dropped_type: &'static str,
    /// `|kept - dropped| / |kept|`, in Frobenius norms.
    pub difference: f64,
}

impl fmt::Display for TiedEmbedding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kept, kept_type, dropped, dropped_type, difference } = self;
        write!(
            f,
            "{kept} ({kept_type}) and {dropped} ({dropped_type}) are one matrix (relative difference {difference:.4}): kept {kept} for both"
        )
    }
}

/// Whether the tensors `embedding` and `head` are one matrix at two precisions.
pub(super) fn find_tied(gguf: &Gguf<'_>, embedding: &str, head: &str) -> Option<TiedEmbedding> {
    let [first, second] = [gguf.tensors.get(embedding)?, gguf.tensors.get(head)?];
    if first.shape != second.shape || first.kind == second.kind {
        return None;
    }
    let errors = [first, second].map(|info| quantization_error(info.kind));
    let keeps_embedding = errors[0] <= errors[1];
    let [(kept, kept_info), (dropped, dropped_info)] =
        if keeps_embedding { [(embedding, first), (head, second)] } else { [(head, second), (embedding, first)] };
    let difference = relative_difference(gguf, kept_info, dropped_info);
    (difference <= accepted_difference(errors)).then(|| TiedEmbedding {
        kept: kept.to_owned(),
        kept_type: kept_info.kind.name(),
        dropped: dropped.to_owned(),
        dropped_type: dropped_info.kind.name(),
        difference,
    })
}

fn accepted_difference(errors: [f64; 2]) -> f64 {
    (2.0 * (errors[0] + errors[1])).min(DIFFERENCE_CAP)
}

/// Root-mean-square error of a type over the root mean square of normally distributed weights: step / sqrt(12), the step being the
/// expected range of a group over its levels. Rounding to nearest with the scales of ggml's reference quantizers.
fn quantization_error(kind: TensorType) -> f64 {
    match kind {
        TensorType::F32 => 0.0,
        TensorType::F16 => 0.0002,
        TensorType::Bf16 => 0.0017,
        TensorType::Q8_0 => 0.0055,
        TensorType::Q6K => 0.019,
        TensorType::Q5_1 => 0.039,
        TensorType::Q5K => 0.04,
        TensorType::Q5_0 => 0.044,
        TensorType::Q4_1 => 0.08,
        TensorType::Q4K => 0.081,
        TensorType::Q4_0 => 0.088,
        TensorType::Q3K => 0.15,
        TensorType::Q2K => 0.34,
    }
}

/// `|exact - other| / |exact|`, in Frobenius norms, of two tensors of one shape. NaN if either has a value that is not finite.
fn relative_difference(gguf: &Gguf<'_>, exact: &TensorInfo, other: &TensorInfo) -> f64 {
    let (mut lost, mut squares) = (0.0, 0.0);
    for (exact, other) in chunks(gguf, exact).zip(chunks(gguf, other)) {
        for (x, y) in exact.iter().zip(&other) {
            let (x, y) = (f64::from(*x), f64::from(*y));
            lost += (x - y) * (x - y);
            squares += x * x;
        }
    }
    (lost / squares).sqrt()
}

/// The values of a tensor, [`CHUNK`] at a time.
fn chunks<'g>(gguf: &'g Gguf<'_>, info: &'g TensorInfo) -> impl Iterator<Item = Vec<f32>> {
    let bytes = gguf.bytes.get(info.span.clone()).unwrap_or_default();
    let (block, block_bytes) = (info.kind.block(), info.kind.block_bytes());
    bytes.chunks(CHUNK / block * block_bytes).map(move |part| {
        let mut values = vec![0.0; part.len() / block_bytes * block];
        info.kind.dequantize(part, &mut values);
        values
    })
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;

    /// Numbers that are close to normally distributed: sums of twelve uniform ones.
    fn normal(count: usize) -> Vec<f32> {
        let mut state = 12345_u32;
        let mut uniform = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32
        };
        (0..count).map(|_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0).collect()
    }

    /// Relative error of blocks of 32 that are scaled by their number of largest magnitude, as in ggml's reference: to `-levels` for the
    /// types of four and five bits, to 127 for Q8_0.
    fn error(values: &[f32], levels: f32, signed: bool) -> f64 {
        let (mut lost, mut squares) = (0.0, 0.0);
        for block in values.chunks(32) {
            let largest = block.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap();
            let scale = f16::from_f32(if signed { largest / -levels } else { largest.abs() / levels }).to_f32();
            for x in block {
                let max = if signed { levels - 1.0 } else { levels };
                let y = (x / scale).round().clamp(-levels, max) * scale;
                lost += f64::from(x - y).powi(2);
                squares += f64::from(*x).powi(2);
            }
        }
        (lost / squares).sqrt()
    }

    #[test]
    fn errors_of_types_are_those_of_normal_weights() {
        let values = normal(1 << 15);
        for (kind, levels, signed) in [(TensorType::Q4_0, 8.0, true), (TensorType::Q5_0, 16.0, true), (TensorType::Q8_0, 127.0, false)] {
            let (found, expected) = (error(&values, levels, signed), quantization_error(kind));
            println!("{}: measured {found:.4}, table {expected}", kind.name());
            assert!((found / expected - 1.0).abs() < 0.15, "{kind:?}: {found} {expected}");
        }
        let halves = values.iter().map(|x| f64::from(f16::from_f32(*x).to_f32() - x).powi(2)).sum::<f64>();
        let found = (halves / values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>()).sqrt();
        assert!((found / quantization_error(TensorType::F16) - 1.0).abs() < 0.15, "{found}");
    }

    #[test]
    fn the_coarsest_types_are_held_to_the_cap() {
        assert_eq!(accepted_difference([quantization_error(TensorType::Q2K), 0.019]), DIFFERENCE_CAP);
        assert!(accepted_difference([quantization_error(TensorType::Q8_0), quantization_error(TensorType::Q5_0)]) < 0.1);
    }
}
