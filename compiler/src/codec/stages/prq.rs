//! `PRQ`: a residual code for each sub-vector.

use std::borrow::Cow;

use mempack_format::stages::Prq;

use super::{Coder, Codes, Context, Trained, Training, bits, centroids, pq, rq, take_codebooks};
use crate::codec::{CodecTrainError, matrix::Codebook, packing::side_by_side};

impl Training for Prq {
    fn rows(&self) -> Option<usize> {
        Some(1 << self.bits)
    }

    fn train(&self, left: Cow<'_, [f32]>, context: &mut Context<'_>) -> Result<Option<Trained>, CodecTrainError> {
        let width = context.dim / usize::from(self.splits);
        let splits = (0..self.splits.into()).map(|split| {
            let vectors = pq::sub_vectors(&left, context.dim, split, width);
            rq::train(vectors, width, self.m.into(), 1 << self.bits, context)
        });
        Ok(Trained::plain(PrqCoder { splits: splits.collect::<Result<_, CodecTrainError>>()? }))
    }

    fn load(&self, dim: usize, _: &[u8], tables: &mut &[f32]) -> Option<Box<dyn Coder>> {
        let width = dim / usize::from(self.splits);
        let splits = (0..self.splits).map(|_| take_codebooks(tables, self.m.into(), width, self.bits));
        Some(Box::new(PrqCoder { splits: splits.collect() }))
    }
}

struct PrqCoder {
    /// Those of each sub-vector.
    splits: Vec<Vec<Codebook>>,
}

impl Coder for PrqCoder {
    fn encode(&self, left: &mut [f32], dim: usize) -> Codes {
        let width = dim / self.splits.len();
        let codes = self.splits.iter().enumerate();
        let codes = codes.map(|(split, codebooks)| rq::encode(codebooks, &pq::sub_vectors(left, dim, split, width), width));
        let numbers = side_by_side(&codes.collect::<Vec<_>>(), left.len() / dim);
        Codes::Numbers { numbers, bits: self.splits.iter().flat_map(|codebooks| bits(codebooks)).collect() }
    }

    fn into_tables(self: Box<Self>) -> Vec<f32> {
        self.splits.into_iter().flat_map(centroids).collect()
    }
}
