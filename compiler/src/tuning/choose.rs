//! Choosing the codec that fits into so many bytes and loses least.

use mempack_format::stages::{Rq, Tcq};
use mempack_format::{CodecSpec, MemoryShape};
use mempack_model::Sensitivity;

use super::measure::{Pairs, distortion, is_lossy};
use super::sample::Sample;
use super::{sensitivity, train};
use crate::cancel::check;
use crate::codec::uses_sensitivity;
use crate::context::BuildContext;
use crate::progress::Stages;
use crate::{BuildError, Stage};

const fn product(m: u16) -> CodecSpec {
    CodecSpec::pq(m, 8)
}

const fn residual(m: u16) -> CodecSpec {
    CodecSpec::rq(m, 8)
}

/// A trellis code of so many bytes after two stages of a residual code, which find the cluster of a key or a value.
const fn clustered(bytes: u16) -> CodecSpec {
    CodecSpec::of([Rq { m: 2, bits: 8 }.stage(), Tcq { bytes, window: 8 }.stage()])
}

/// A trellis code alone.
const fn trellis(bytes: u16) -> CodecSpec {
    CodecSpec::tcq(bytes, 8)
}

/// The codecs to choose from, each family in descending order of bytes. Within a family more bytes never lose more, so only the first
/// of each family that fits is tried.
pub const CANDIDATES: [&[CodecSpec]; 6] = [
    &[CodecSpec::F32, CodecSpec::BF16],
    &[CodecSpec::SQ8],
    &[residual(32), residual(24), residual(16), residual(12), residual(8), residual(4), residual(2), residual(1)],
    &[clustered(30), clustered(22), clustered(14), clustered(10), clustered(6), clustered(2)],
    &[trellis(32), trellis(24), trellis(16), trellis(12), trellis(8), trellis(4), trellis(2), trellis(1)],
    &[product(64), product(32), product(16), product(8), product(4), product(2), product(1)],
];

/// Codecs to choose from.
#[derive(Debug)]
pub(crate) struct Candidates {
    first: CodecSpec,
    rest: Vec<CodecSpec>,
}

impl Candidates {
    /// A codec that is given, and needs no choice.
    pub fn only(codec: CodecSpec) -> Self {
        Self { first: codec, rest: Vec::new() }
    }

    /// The best candidate of each family whose memory records have at most `max` bytes. F32 is alone where it fits.
    ///
    /// # Errors
    /// [`BuildError::NoCodec`] if no record is so small.
    pub fn fitting(shape: &MemoryShape, max: u64) -> Result<Self, BuildError> {
        let bytes = |codec: &CodecSpec| {
            let code = codec.code_bytes(shape.head_dim).ok()? as u64;
            Some(shape.slots() as u64 * (1 + 2 * code))
        };
        let fits = |codec: &&CodecSpec| bytes(codec).is_some_and(|bytes| bytes <= max);
        let mut fitting = CANDIDATES.iter().filter_map(|family| family.iter().find(fits)).copied();
        let Some(first) = fitting.next() else {
            let min = CANDIDATES.iter().copied().flatten().filter_map(bytes).min().unwrap_or(u64::MAX);
            return Err(BuildError::NoCodec { max, min });
        };
        let rest: Vec<CodecSpec> = fitting.collect();
        let lossless = [first].into_iter().chain(rest.iter().copied()).find(|codec| !is_lossy(codec));
        Ok(lossless.map_or(Self { first, rest }, Self::only))
    }

    /// All of them, in the order in which they are tried.
    pub fn iter(&self) -> impl Iterator<Item = &CodecSpec> {
        [&self.first].into_iter().chain(&self.rest)
    }
}

/// A codec that was tried.
struct Tried {
    codec: CodecSpec,
    parameters: Vec<u8>,
    lost: f64,
}

/// The candidate that loses least of what is held out, with its parameters. Loss is measured in nats of the model's predictions where the
/// sensitivity is known, and as the error of keys and values otherwise. Of equals the first is taken. A single candidate is only
/// trained.
pub(crate) fn codec(
    context: &BuildContext<'_>,
    candidates: &Candidates,
    sample: Option<&Sample>,
    references: u64,
    stages: &mut Stages<'_>,
) -> Result<(CodecSpec, Vec<u8>), BuildError> {
    // A build without references has no sample, and with it no codec loses anything.
    let Some(compared) = sample.filter(|_| !candidates.rest.is_empty()) else {
        let codec = candidates.first;
        return Ok((codec, train::parameters(context, &codec, sample, references, stages)?));
    };
    let weighed = candidates.iter().any(uses_sensitivity);
    let sensitivity = if weighed { sensitivity::of_sample(context, compared, stages)? } else { None };
    let mut best = attempt(context, candidates.first, compared, references, sensitivity, stages)?;
    for codec in &candidates.rest {
        let tried = attempt(context, *codec, compared, references, sensitivity, stages)?;
        if tried.lost < best.lost {
            best = tried;
        }
    }
    Ok((best.codec, best.parameters))
}

/// Trains a candidate, and measures what it loses.
fn attempt(
    context: &BuildContext<'_>,
    codec: CodecSpec,
    sample: &Sample,
    references: u64,
    sensitivity: Option<&Sensitivity>,
    stages: &mut Stages<'_>,
) -> Result<Tried, BuildError> {
    let parameters = train::parameters(context, &codec, Some(sample), references, stages)?;
    let total = sample.held_out.len() as u64;
    stages.begin(Stage::Measuring, Some(total));
    let pairs = Pairs { sample, previous: None, encoder: &context.encoder(&codec, &parameters)? };
    let lost = loss(context, sample, sensitivity, &pairs)?;
    context.progress.advance(total, 0);
    let unit = if sensitivity.is_some() { "nats lost of a memory's predictions" } else { "lost of keys and values, the mean of both" };
    context.progress.note(&format!("codec {codec}: {lost:.6} {unit}"));
    Ok(Tried { codec, parameters, lost })
}

/// What a codec loses of what is held out: nats for each memory, or without sensitivity the relative error of keys and values.
fn loss(context: &BuildContext<'_>, sample: &Sample, sensitivity: Option<&Sensitivity>, pairs: &Pairs<'_>) -> Result<f64, BuildError> {
    let Some(sensitivity) = sensitivity else {
        let whole = distortion(context, sample.held_out.iter(), pairs)?.whole();
        return Ok((whole.keys + whole.values) / 2.0);
    };
    let mut nats = 0.0;
    for held_out in &sample.held_out {
        check(context.cancel)?;
        let (memory, decoded) = pairs.of(held_out)?;
        nats += sensitivity.nats(&memory, &decoded);
    }
    Ok(nats / sample.held_out.len().max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: MemoryShape = MemoryShape::new(2, 2, 4, 32);

    #[test]
    fn of_each_family_the_first_that_fits_is_tried() {
        let names = |bytes_of_a_code: u64| -> Vec<String> {
            let max = SHAPE.slots() as u64 * (1 + 2 * bytes_of_a_code);
            Candidates::fitting(&SHAPE, max).unwrap().iter().map(CodecSpec::to_string).collect()
        };
        assert_eq!(names(128), ["F32"]);
        assert_eq!(names(64), ["BF16", "SQ8", "RQ32x8", "RQ2x8,TCQ30x8", "TCQ32x8", "PQ32x8"]);
        assert_eq!(names(63), ["SQ8", "RQ32x8", "RQ2x8,TCQ30x8", "TCQ32x8", "PQ32x8"]);
        assert_eq!(names(9), ["RQ8x8", "RQ2x8,TCQ6x8", "TCQ8x8", "PQ8x8"]);
        assert_eq!(names(1), ["RQ1x8", "TCQ1x8", "PQ1x8"]);
        let error = Candidates::fitting(&SHAPE, 47).unwrap_err();
        assert!(matches!(error, BuildError::NoCodec { max: 47, min: 48 }), "{error}");
    }

    #[test]
    fn a_family_goes_from_more_bytes_to_fewer() {
        for family in CANDIDATES {
            let bytes: Vec<usize> = family.iter().filter_map(|codec| codec.code_bytes(64).ok()).collect();
            assert!(bytes.is_sorted_by(|a, b| a > b) && bytes.len() == family.len(), "{family:?}");
        }
    }
}
