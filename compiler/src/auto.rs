//! Which codec fits so many bytes and loses least.

use mempack_format::stages::{Rq, Tcq};
use mempack_format::{CodecSpec, MemoryShape};
use mempack_model::Sensitivity;

use crate::builder::{check, loses};
use crate::codec::uses_sensitivity;
use crate::job::{Job, Sampled};
use crate::progress::Stages;
use crate::quality::Pairs;
use crate::{BuildError, Stage};

const fn product(m: u16) -> CodecSpec {
    CodecSpec::pq(m, 8)
}

const fn residual(m: u16) -> CodecSpec {
    CodecSpec::rq(m, 8)
}

/// A trellis code of so many bytes, behind two stages of a residual code: these say which cluster a key or a value belongs to.
const fn clustered(bytes: u16) -> CodecSpec {
    CodecSpec::of([Rq { m: 2, bits: 8 }.stage(), Tcq { bytes, window: 8 }.stage()])
}

/// A trellis code alone.
const fn trellis(bytes: u16) -> CodecSpec {
    CodecSpec::tcq(bytes, 8)
}

/// What is chosen from: of each family from the most bytes to the fewest. Within a family more bytes never lose more, so that of each
/// only the first that fits is tried.
pub const CANDIDATES: [&[CodecSpec]; 6] = [
    &[CodecSpec::F32, CodecSpec::BF16],
    &[CodecSpec::SQ8],
    &[residual(32), residual(24), residual(16), residual(12), residual(8), residual(4), residual(2), residual(1)],
    &[clustered(30), clustered(22), clustered(14), clustered(10), clustered(6), clustered(2)],
    &[trellis(32), trellis(24), trellis(16), trellis(12), trellis(8), trellis(4), trellis(2), trellis(1)],
    &[product(64), product(32), product(16), product(8), product(4), product(2), product(1)],
];

/// The candidates whose memory records have at most so many bytes, the best of each family. F32 is alone where it fits.
pub(crate) fn fitting(shape: MemoryShape, most: u64) -> Result<Vec<CodecSpec>, BuildError> {
    let bytes = |codec: &CodecSpec| {
        let code = codec.code_bytes(shape.head_dim).ok()? as u64;
        Some(shape.slots() as u64 * (1 + 2 * code))
    };
    let fits = |codec: &&CodecSpec| bytes(codec).is_some_and(|bytes| bytes <= most);
    let fitting: Vec<CodecSpec> = CANDIDATES.iter().filter_map(|family| family.iter().find(fits)).copied().collect();
    if fitting.is_empty() {
        let least = CANDIDATES.iter().copied().flatten().filter_map(bytes).min().unwrap_or(u64::MAX);
        return Err(BuildError::NoCodec { most, least });
    }
    Ok(match fitting.iter().find(|codec| !loses(codec)) {
        Some(lossless) => vec![*lossless],
        None => fitting,
    })
}

impl Job<'_> {
    /// The candidate that loses least of what is held out, with its parameters: least of the model's predictions, as far as sensitivity
    /// tells, else least of keys and values alike.
    pub fn choose(
        &self,
        candidates: &[CodecSpec],
        sampled: &Option<Sampled>,
        references: u64,
        stages: &mut Stages<'_>,
    ) -> Result<(CodecSpec, Vec<u8>), BuildError> {
        // One by itself is compared with nothing.
        let compared = sampled.as_ref().filter(|_| candidates.len() > 1);
        let sensitivity = match compared {
            Some(sampled) if candidates.iter().any(uses_sensitivity) => self.sensitivity(sampled, stages)?,
            _ => None,
        };
        let mut best: Option<(f64, CodecSpec, Vec<u8>)> = None;
        for codec in candidates {
            let options = crate::BuildOptions { codec: *codec, ..self.options.clone() };
            let job = Job { options: &options, ..*self };
            let parameters = job.train(sampled, references, stages)?;
            let lost = match compared {
                Some(sampled) => {
                    stages.begin(Stage::Measuring, Some(sampled.held.len() as u64));
                    let pairs = Pairs { sampled, older: None, encoder: &job.encoder(&parameters)? };
                    let lost = job.lost(sampled, sensitivity, &pairs)?;
                    self.progress.advance(sampled.held.len() as u64, 0);
                    lost
                }
                None => 0.0,
            };
            let of =
                if sensitivity.is_some() { "nats lost of a memory's predictions" } else { "lost of keys and values, the mean of both" };
            self.progress.note(&format!("codec {codec}: {lost:.6} {of}"));
            // The earlier one of equals.
            if best.as_ref().is_none_or(|(least, ..)| lost < *least) {
                best = Some((lost, *codec, parameters));
            }
        }
        best.map(|(_, codec, parameters)| (codec, parameters)).ok_or(BuildError::NoCodec { most: 0, least: 1 })
    }

    /// What a codec loses of what is held out: nats for each memory, or without sensitivity the relative error of keys and values.
    fn lost(&self, sampled: &Sampled, sensitivity: Option<&Sensitivity>, pairs: &Pairs<'_>) -> Result<f64, BuildError> {
        let Some(sensitivity) = sensitivity else {
            let whole = self.distortion(sampled.held.iter(), pairs)?.whole();
            return Ok((whole.keys + whole.values) / 2.0);
        };
        let mut nats = 0.0;
        for held in &sampled.held {
            check(self.cancel)?;
            let (memory, decoded) = pairs.of(held)?;
            nats += sensitivity.nats(&memory, &decoded);
        }
        Ok(nats / sampled.held.len().max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: MemoryShape = MemoryShape { layers: 2, heads: 2, tokens: 4, head_dim: 32 };

    #[test]
    fn of_each_family_the_first_that_fits_is_tried() {
        let names = |bytes_of_a_code: u64| -> Vec<String> {
            let most = SHAPE.slots() as u64 * (1 + 2 * bytes_of_a_code);
            fitting(SHAPE, most).unwrap().iter().map(CodecSpec::to_string).collect()
        };
        assert_eq!(names(128), ["F32"]);
        assert_eq!(names(64), ["BF16", "SQ8", "RQ32x8", "RQ2x8,TCQ30x8", "TCQ32x8", "PQ32x8"]);
        assert_eq!(names(63), ["SQ8", "RQ32x8", "RQ2x8,TCQ30x8", "TCQ32x8", "PQ32x8"]);
        assert_eq!(names(9), ["RQ8x8", "RQ2x8,TCQ6x8", "TCQ8x8", "PQ8x8"]);
        assert_eq!(names(1), ["RQ1x8", "TCQ1x8", "PQ1x8"]);
        let error = fitting(SHAPE, 47).unwrap_err();
        assert!(matches!(error, BuildError::NoCodec { most: 47, least: 48 }), "{error}");
    }

    #[test]
    fn a_family_goes_from_more_bytes_to_fewer() {
        for family in CANDIDATES {
            let bytes: Vec<usize> = family.iter().filter_map(|codec| codec.code_bytes(64).ok()).collect();
            assert!(bytes.is_sorted_by(|a, b| a > b) && bytes.len() == family.len(), "{family:?}");
        }
    }
}
