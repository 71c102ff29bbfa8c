//! Training codecs and encoding with them. Decoding belongs to the format (SPEC.md, "Codecs").
//!
//! A codec is a chain of [`stages`], in the order of its name. Training goes from stage to stage, and so does encoding ([`chain`]): each stage
//! sees what the stages before it leave. `stages` says how to add one.

mod chain;
mod encoder;
mod error;
mod grouping;
mod kmeans;
mod linear;
mod matrix;
mod packing;
mod sample;
mod stages;
#[cfg(test)]
mod tests;
pub(crate) mod threads;

use std::{
    ops::ControlFlow,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use mempack_format::{CodecSpec, MAX_MAPPED_VALUE, MAX_TABLE_VALUE};
use mempack_model::Sensitivity;
use mempack_numeric::Rng;

pub use encoder::Encoder;
pub use error::{CodecTrainError, EncodeError, SampleError};
pub use sample::SampleStore;
pub(crate) use sample::{memory_bytes, put_memory};

use chain::GroupParameters;
use grouping::{Group, Supply};
use stages::Context;

/// Largest magnitude of a number that is encoded, 2^50: the square of a vector's length cannot overflow.
const MAX_VALUE: f32 = (1u64 << 50) as f32;
const _: () = assert!(MAX_VALUE < MAX_TABLE_VALUE);
/// Largest magnitude of a number that a mapped codec is trained on: sums of a thousand such numbers still fit its tables.
const MAX_MAPPED: f32 = MAX_MAPPED_VALUE / 1024.0;
/// Most vectors that a centroid is trained on; more change it little.
const VECTORS_PER_CENTROID: usize = 256;
/// Most vectors that a scalar range is trained on.
const VECTORS_PER_RANGE: usize = 1 << 16;
/// Most bytes of vectors that one group is trained on. With its working copies, a thread takes about three times this.
const GROUP_BYTES: usize = 256 << 20;

/// How a codec is trained.
#[derive(Clone, Debug)]
pub struct TrainOptions<'a> {
    /// Seed of the random numbers: the same sample and seed give the same bytes.
    pub seed: u64,
    /// Most threads; their number does not change a bit of the result.
    pub threads: usize,
    /// Memories that the codec will encode: for few of them it gets fewer tables.
    pub references: u64,
    /// How much the model's predictions depend on errors of each direction: codecs that can use it then lose least where it
    /// matters. Without it, all directions count alike.
    pub sensitivity: Option<&'a Sensitivity>,
}

/// Trains a codec on a sample and returns its parameters, the contents of the section `CODEC`.
///
/// Calls `progress` after each set of tables with `(done, all)`; [`ControlFlow::Break`] interrupts the training. Each thread holds the
/// vectors of one group at a time, at most 256 MiB of them.
///
/// # Errors
/// If the codec does not fit the sample's shape; if the sample is empty, cannot be read or has a number that no codec takes; or if
/// `progress` interrupts.
pub fn train(
    spec: &CodecSpec,
    sample: &SampleStore,
    options: &TrainOptions<'_>,
    progress: &(dyn Fn(usize, usize) -> ControlFlow<()> + Sync),
) -> Result<Vec<u8>, CodecTrainError> {
    let shape = sample.shape();
    let floats = spec.table_floats(shape.head_dim)?;
    if floats == 0 {
        return Ok(0u32.to_le_bytes().to_vec());
    }
    let sampled = sample.vectors_of_a_head()?;
    if sampled == 0 {
        return Err(CodecTrainError::Empty { spec: *spec });
    }
    let coded = (u128::from(sampled) * u128::from(options.references.max(sample.len())) / u128::from(sample.len())) as u64;
    let groups = grouping::choose(*spec, shape, &Supply { sampled, coded })?;
    let trained = train_groups(spec, sample, options, progress, &groups)?;
    let mut parameters = (groups.len() as u32).to_le_bytes().to_vec();
    grouping::map(&groups).for_each(|group| parameters.extend(group.to_le_bytes()));
    trained.iter().for_each(|group| parameters.extend(&group.allotment));
    trained.iter().flat_map(|group| &group.tables).for_each(|number| parameters.extend(number.to_le_bytes()));
    Ok(parameters)
}

/// The parameters of each group.
fn train_groups(
    spec: &CodecSpec,
    sample: &SampleStore,
    options: &TrainOptions<'_>,
    progress: &(dyn Fn(usize, usize) -> ControlFlow<()> + Sync),
    groups: &[Group],
) -> Result<Vec<GroupParameters>, CodecTrainError> {
    let mut results: Vec<Result<GroupParameters, CodecTrainError>> = groups.iter().map(|_| Err(CodecTrainError::Interrupted)).collect();
    let threads = options.threads.max(1);
    // Where there are more threads than groups, several work on one group.
    let (outer, inner) = (threads.min(groups.len()), (threads / groups.len()).max(1));
    let stopped = AtomicBool::new(false);
    let stop = || stopped.load(Ordering::Relaxed);
    let done = Mutex::new(0);
    threads::for_each(outer, groups.iter().zip(&mut results).enumerate(), |(index, (group, result))| {
        if stop() {
            return;
        }
        let mut random = Rng::for_task(options.seed, index as u64);
        let dim = sample.shape().head_dim as usize;
        let mut context = Context { dim, group, sensitivity: options.sensitivity, threads: inner, random: &mut random, stop: &stop };
        *result = train_group(spec, sample, &mut context);
        let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *done += 1;
        if result.is_err() || progress(*done, groups.len()).is_break() {
            stopped.store(true, Ordering::Relaxed);
        }
    });
    // The error that stopped the others, rather than an interruption that followed from it.
    let failed = |result: &Result<_, CodecTrainError>| result.as_ref().is_err_and(|error| !matches!(error, CodecTrainError::Interrupted));
    if let Some(failure) = results.iter().position(failed) {
        results.swap(0, failure);
    }
    results.into_iter().collect()
}

/// Trains the codec on vectors of one group.
fn train_group(spec: &CodecSpec, sample: &SampleStore, context: &mut Context<'_>) -> Result<GroupParameters, CodecTrainError> {
    let (group, dim) = (context.group, context.dim);
    let max_vectors = rows(spec).map_or(VECTORS_PER_RANGE, |rows| VECTORS_PER_CENTROID * rows).min(GROUP_BYTES / (4 * dim));
    let vectors = sample.sample(group.kind, group.heads.clone(), max_vectors, context.random)?;
    let largest = if spec.is_mapped() { MAX_MAPPED } else { MAX_VALUE };
    if let Some(&found) = vectors.iter().find(|x| !(-largest..=largest).contains(*x)) {
        return Err(CodecTrainError::Value { kind: group.kind, largest, found });
    }
    chain::train(spec, vectors, context)
}

/// Rows of the largest table that is trained on vectors; `None` for codecs without such tables.
fn rows(spec: &CodecSpec) -> Option<usize> {
    stages::trainings(spec).filter_map(|training| training.rows()).max()
}

/// Whether a codec can lose less where a [`Sensitivity`] says that errors matter.
pub(crate) fn uses_sensitivity(spec: &CodecSpec) -> bool {
    stages::trainings(spec).any(|training| training.uses_sensitivity())
}
