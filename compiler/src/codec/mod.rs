//! Training codecs and encoding with them. Decoding is the format's (SPEC.md, "Codecs").
//!
//! A family is a module here that trains tables and finds codes, and a list of look-ups there that decodes them.

mod allotment;
mod encoder;
mod error;
mod grouping;
mod kmeans;
mod linear;
mod matrix;
mod packing;
mod product;
mod residual;
mod sample;
mod scalar;
#[cfg(test)]
mod tests;
mod threads;
mod trellis;
mod weighing;

use std::{
    ops::ControlFlow,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use mempack_format::{CodecSpec, MAX_MAPPED_VALUE, MAX_TABLE_VALUE, Parts};
use mempack_model::Sensitivity;
use mempack_numeric::Rng;

pub use encoder::Encoder;
pub use error::{EncodeError, SampleError, TrainError};
pub use sample::SampleStore;
pub(crate) use sample::{memory_bytes, put_memory};
pub(crate) use weighing::weighs;

use grouping::{Group, Supply};
use trellis::Trellis;
use weighing::Weighing;

/// Largest magnitude of a number that is encoded, 2^50: the square of a vector's length cannot overflow.
const MAX_VALUE: f32 = (1u64 << 50) as f32;
const _: () = assert!(MAX_VALUE < MAX_TABLE_VALUE);
/// Largest magnitude of a number that a mapped codec is trained on: sums of a thousand such numbers still fit its tables.
const MAX_MAPPED: f32 = MAX_MAPPED_VALUE / 1024.0;
/// Most vectors a centroid is trained on; more change it little.
const VECTORS_PER_CENTROID: usize = 256;
/// Most vectors a range is trained on.
const VECTORS_PER_RANGE: usize = 1 << 16;
/// Most bytes of vectors that one group is trained on: with its working copies, a thread takes about three times this.
const GROUP_BYTES: usize = 256 << 20;

/// How a codec is trained.
#[derive(Clone, Debug)]
pub struct TrainOptions<'a> {
    /// Random numbers follow from it alone: the same sample and seed give the same bytes.
    pub seed: u64,
    /// Threads at most; they do not change a bit of the result.
    pub threads: usize,
    /// Memories that the codec will encode: few of them are given fewer tables.
    pub references: u64,
    /// What the model's predictions make of errors: trellis codes then lose where it matters least. Without, all directions count alike.
    pub sensitivity: Option<&'a Sensitivity>,
}

/// Trains a codec on a sample and returns its parameters, the contents of the section "codec parameters".
///
/// `progress` hears of each set of tables done, `(done, all)`, and may interrupt. Reads one group of vectors at a time
/// into each thread, at most 256 MiB of them.
///
/// # Errors
/// If the codec does not fit the sample's shape, the sample is empty, cannot be read or has a number no codec takes, or
/// `progress` interrupts.
pub fn train(
    spec: &CodecSpec,
    sample: &SampleStore,
    options: &TrainOptions<'_>,
    progress: &(dyn Fn(usize, usize) -> ControlFlow<()> + Sync),
) -> Result<Vec<u8>, TrainError> {
    let shape = sample.shape();
    let floats = spec.table_floats(shape.head_dim)?;
    if floats == 0 {
        return Ok(0u32.to_le_bytes().to_vec());
    }
    let sampled = sample.vectors_of_a_head()?;
    if sampled == 0 {
        return Err(TrainError::Empty { spec: *spec });
    }
    let coded = (u128::from(sampled) * u128::from(options.references.max(sample.len())) / u128::from(sample.len())) as u64;
    let groups = grouping::choose(*spec, shape, &Supply { sampled, coded })?;
    let tables = train_groups(spec, sample, options, progress, &groups)?;
    let mut parameters = (groups.len() as u32).to_le_bytes().to_vec();
    grouping::map(&groups).for_each(|group| parameters.extend(group.to_le_bytes()));
    tables.iter().for_each(|trained| parameters.extend(&trained.allotment));
    tables.iter().flat_map(|trained| &trained.tables).for_each(|number| parameters.extend(number.to_le_bytes()));
    Ok(parameters)
}

/// What a group is given.
struct Trained {
    /// Of a trellis code: as the format writes it; empty for others.
    allotment: Vec<u8>,
    tables: Vec<f32>,
}

/// What each group is given.
fn train_groups(
    spec: &CodecSpec,
    sample: &SampleStore,
    options: &TrainOptions<'_>,
    progress: &(dyn Fn(usize, usize) -> ControlFlow<()> + Sync),
    groups: &[Group],
) -> Result<Vec<Trained>, TrainError> {
    let mut results: Vec<Result<Trained, TrainError>> = groups.iter().map(|_| Err(TrainError::Interrupted)).collect();
    let threads = options.threads.max(1);
    // Threads that have no group of their own share in the work on one.
    let (outer, inner) = (threads.min(groups.len()), (threads / groups.len()).max(1));
    let stopped = AtomicBool::new(false);
    let stop = || stopped.load(Ordering::Relaxed);
    let done = Mutex::new(0);
    threads::for_each(outer, groups.iter().zip(&mut results).enumerate(), |(index, (group, result))| {
        if stop() {
            return;
        }
        let random = &mut Rng::for_task(options.seed, index as u64);
        *result = train_group(spec, sample, group, options.sensitivity, random, inner, &stop);
        let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *done += 1;
        if result.is_err() || progress(*done, groups.len()).is_break() {
            stopped.store(true, Ordering::Relaxed);
        }
    });
    // What went wrong, rather than what was stopped because of it.
    let failed = |result: &Result<_, TrainError>| result.as_ref().is_err_and(|error| !matches!(error, TrainError::Interrupted));
    if let Some(failure) = results.iter().position(failed) {
        results.swap(0, failure);
    }
    results.into_iter().collect()
}

fn train_group(
    spec: &CodecSpec,
    sample: &SampleStore,
    group: &Group,
    sensitivity: Option<&Sensitivity>,
    random: &mut Rng,
    threads: usize,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Trained, TrainError> {
    let dim = sample.shape().head_dim as usize;
    let most = centroids(spec).map_or(VECTORS_PER_RANGE, |rows| VECTORS_PER_CENTROID * rows);
    let mut vectors = sample.sample(group.kind, group.heads.clone(), most.min(GROUP_BYTES / (4 * dim)), random)?;
    let largest = if matches!(spec, CodecSpec::Opq { .. } | CodecSpec::Tcq { .. }) { MAX_MAPPED } else { MAX_VALUE };
    if let Some(&found) = vectors.iter().find(|x| !(-largest..=largest).contains(*x)) {
        return Err(TrainError::Value { kind: group.kind, largest, found });
    }
    let centroids_of = |codebooks: Vec<matrix::Codebook>| codebooks.into_iter().flat_map(matrix::Codebook::into_centroids);
    let mut allotment = Vec::new();
    let tables = match *spec {
        CodecSpec::F32 | CodecSpec::Bf16 => Vec::new(),
        CodecSpec::Sq8 => scalar::train(&vectors, dim),
        CodecSpec::Pq { m, bits } => centroids_of(product::train(&vectors, dim, m.into(), 1 << bits, threads, random, stop)?).collect(),
        CodecSpec::Rq { m, bits } => centroids_of(residual::train(vectors, dim, m.into(), 1 << bits, threads, random, stop)?).collect(),
        CodecSpec::Prq { splits, m, bits } => {
            let (width, mut tables) = (dim / usize::from(splits), Vec::new());
            for split in 0..splits.into() {
                let vectors = product::sub_vectors(&vectors, dim, split, width);
                tables.extend(centroids_of(residual::train(vectors, width, m.into(), 1 << bits, threads, random, stop)?));
            }
            tables
        }
        CodecSpec::Opq { blocks, coarse, fine, .. } => {
            let mut tables = linear::mean(&vectors, dim);
            linear::center(&mut vectors, &tables);
            let rotation = product::rotation(&vectors, dim, blocks.into(), threads, random, stop)?;
            tables.extend(linear::rows(&rotation));
            let mut left = linear::multiply(&vectors, &linear::rows(&rotation.transpose()), dim);
            for Parts { m, bits } in coarse.into_iter().chain([fine]) {
                let codebooks = product::train(&left, dim, m.into(), 1 << bits, threads, random, stop)?;
                let codes = product::encode(&codebooks, &left, dim);
                product::subtract(&codebooks, &codes, &mut left, dim);
                tables.extend(centroids_of(codebooks));
            }
            tables
        }
        CodecSpec::Tcq { stages, bytes, window } => {
            let mut tables = linear::mean(&vectors, dim);
            linear::center(&mut vectors, &tables);
            let weighing = Weighing::of(sensitivity, group, dim);
            vectors = linear::multiply(&vectors, &linear::rows(&weighing.there), dim);
            let codebooks = match stages {
                Some(Parts { m, bits }) => residual::train(vectors.clone(), dim, m.into(), 1 << bits, threads, random, stop)?,
                None => Vec::new(),
            };
            residual::subtract(&codebooks, &residual::encode(&codebooks, &vectors, dim), &mut vectors, dim);
            // What is left is coded along its own axes, and what is taken away stands in the same basis.
            let axes = linear::principal_axes(&vectors, dim);
            let turned = linear::multiply(&vectors, &linear::rows(&axes), dim);
            let trellis = Trellis::train(&turned, &linear::variances(&turned, dim), (bytes, window), threads, random, stop)?;
            tables.extend(linear::rows(&(axes.transpose() * weighing.back)));
            tables.extend(linear::multiply(&centroids_of(codebooks).collect::<Vec<f32>>(), &linear::rows(&axes), dim));
            allotment = trellis.allotment();
            tables.extend(trellis.into_tables());
            tables
        }
    };
    Ok(Trained { allotment, tables })
}

/// Rows of the largest table that is trained on vectors; none for codecs without such tables.
fn centroids(spec: &CodecSpec) -> Option<usize> {
    let bits = match *spec {
        CodecSpec::F32 | CodecSpec::Bf16 | CodecSpec::Sq8 => return None,
        CodecSpec::Pq { bits, .. } | CodecSpec::Rq { bits, .. } | CodecSpec::Prq { bits, .. } => bits,
        CodecSpec::Opq { coarse, fine, .. } => coarse.map_or(0, |coarse| coarse.bits).max(fine.bits),
        CodecSpec::Tcq { stages, window, .. } => stages.map_or(0, |stages| stages.bits).max(window),
    };
    Some(1 << bits)
}
