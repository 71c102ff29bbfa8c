//! Training the tables of a codec on the sample.

use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use mempack_format::CodecSpec;

use super::sample::Sample;
use super::sensitivity;
use crate::cancel::check;
use crate::codec::{self, CodecTrainError, TrainOptions};
use crate::context::BuildContext;
use crate::progress::Stages;
use crate::{BuildError, Stage};

/// Seed of the random numbers of training.
const TRAINING_SEED: u64 = 0;

/// Whether a codec has tables that are trained on a sample of memories.
pub(crate) fn has_tables(codec: &CodecSpec) -> bool {
    ![CodecSpec::F32, CodecSpec::BF16].contains(codec)
}

/// The parameters of a codec for `references` memories: trained on the sample, or kept from before an interruption.
pub(crate) fn parameters(
    context: &BuildContext<'_>,
    codec: &CodecSpec,
    sample: Option<&Sample>,
    references: u64,
    stages: &mut Stages<'_>,
) -> Result<Vec<u8>, BuildError> {
    let Some(sample) = sample.filter(|_| has_tables(codec)) else {
        // The parameters of a codec without tables: zero groups (SPEC 9).
        return Ok(0u32.to_le_bytes().to_vec());
    };
    let store = &sample.training;
    let numbers = [TRAINING_SEED, references].map(u64::to_le_bytes).concat();
    let identity = context.work_identity("codec", &[&sample.digest.0, codec.to_string().as_bytes(), &numbers]);
    if let Some(parameters) = context.work_files.parameters(&identity)? {
        stages.begin(Stage::Training, Some(store.len()));
        context.progress.advance(store.len(), 0);
        return Ok(parameters);
    }
    let sensitivity = if codec::uses_sensitivity(codec) { sensitivity::of_sample(context, sample, stages)? } else { None };
    stages.begin(Stage::Training, Some(store.len()));
    let reported = Mutex::new(0);
    let report = |done: usize, all: usize| {
        let now = store.len() * done as u64 / all.max(1) as u64;
        let mut reported = reported.lock().unwrap_or_else(PoisonError::into_inner);
        context.progress.advance(now.saturating_sub(*reported), 0);
        *reported = now.max(*reported);
        if check(context.cancel).is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let options = TrainOptions { seed: TRAINING_SEED, threads: context.options.threads, references, sensitivity };
    let parameters = codec::train(codec, store, &options, &report).map_err(|source| match source {
        CodecTrainError::Interrupted => BuildError::Interrupted,
        source => BuildError::Train { spec: codec.to_string(), source },
    })?;
    context.work_files.keep_parameters(&identity, &parameters)?;
    Ok(parameters)
}
