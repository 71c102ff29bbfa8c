//! Codecs on given vectors: their error, their speed and the size of their tables, on one thread.
//!
//! ```text
//! cargo run --release -p mempack-benches --bin bench_codec TRAIN.npy HELD_OUT.npy CODEC...
//! ```
//!
//! The files are float32 matrices, `[n, head_dim]`. Prints one JSON object for each codec. docs/codec.md explains the figures, and
//! `make bench-codec` compares them with those of faiss.

mod npy;

use std::{error::Error, ops::ControlFlow, process::ExitCode, sync::OnceLock, time::Instant};

use mempack_compiler::{Encoder, SampleStore, TrainOptions, train_codec};
use mempack_format::{CodecSpec, Memory, MemoryShape};

/// Slots of a memory, which has one layer and one head: a pack encodes that many vectors of a head at once.
const TOKENS: usize = 8;
/// How often everything is decoded.
const RUNS: usize = 21;
/// Memories decoded between two readings of the clock: much less work than one time slice of the scheduler.
const BLOCK: usize = 64;

/// The figures of one codec.
struct Figures {
    code_bytes: usize,
    relative_mse: f64,
    /// Processor time.
    train_s: f64,
    /// Vectors a second.
    encode: f64,
    decode: f64,
    codebook_bytes: usize,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench_codec: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [train, held_out, names @ ..] = args.as_slice() else { return Err("usage: bench_codec TRAIN.npy HELD_OUT.npy CODEC...".into()) };
    // Parse all names before any work: training takes minutes.
    let specs = names.iter().map(|name| name.parse()).collect::<Result<Vec<CodecSpec>, _>>()?;
    let (train, held_out) = (npy::read(train.into())?, npy::read(held_out.into())?);
    if train.dim != held_out.dim {
        return Err(format!("{} dimensions to train on, {} held out", train.dim, held_out.dim).into());
    }
    let shape = MemoryShape::new(1, 1, TOKENS as u32, train.dim as u32);
    specs.iter().try_for_each(|spec| spec.code_bytes(shape.head_dim).map(drop))?;

    let floats = TOKENS * train.dim;
    let mut sample = SampleStore::create_in(&std::env::temp_dir(), shape.clone())?;
    let trained_on = train.floats.len() / train.dim;
    for keys in whole(&train.floats, floats)? {
        sample.push(&memory(shape.clone(), keys, keys))?;
    }
    drop(train);
    // Both keys and values are held-out vectors, and are coded with the same tables.
    let held_out: Vec<Memory> =
        whole(&held_out.floats, 2 * floats)?.map(|vectors| memory(shape.clone(), &vectors[..floats], &vectors[floats..])).collect();
    if sample.is_empty() || held_out.is_empty() {
        return Err("no vectors to train on, or none held out".into());
    }
    for spec in &specs {
        let figures = measure(spec, &sample, &held_out)?;
        let line = serde_json::json!({
            "codec": spec.to_string(),
            "bytes": figures.code_bytes,
            "relative_mse": figures.relative_mse,
            "encode_per_s": figures.encode,
            "decode_per_s": figures.decode,
            "codebook_bytes": figures.codebook_bytes,
            "train_s": figures.train_s,
            "trained_on": trained_on,
        });
        println!("{line}");
    }
    Ok(())
}

/// Runs of `size` floats without a remainder: the other system would not leave the remainder out.
fn whole(floats: &[f32], size: usize) -> Result<std::slice::ChunksExact<'_, f32>, String> {
    let runs = floats.chunks_exact(size);
    if runs.remainder().is_empty() {
        return Ok(runs);
    }
    Err(format!(
        "{} numbers are no multiple of {size}: give a multiple of {TOKENS} vectors to train on, of {} held out",
        floats.len(),
        2 * TOKENS
    ))
}

fn memory(shape: MemoryShape, keys: &[f32], values: &[f32]) -> Memory {
    Memory { positions: (0..shape.tokens as u8).collect(), shape, keys: keys.into(), values: values.into() }
}

fn measure(spec: &CodecSpec, sample: &SampleStore, held_out: &[Memory]) -> Result<Figures, Box<dyn Error>> {
    let shape = sample.shape();
    let options = TrainOptions { seed: 1, threads: 1, references: sample.len(), sensitivity: None };
    // Keys are trained first. A memory must have values too, but their time is not counted.
    let (start, keys_done) = (processor_s()?, OnceLock::new());
    let parameters = train_codec(spec, sample, &options, &|_, _| {
        keys_done.get_or_init(processor_s);
        ControlFlow::Continue(())
    })?;
    let train_s = keys_done.get_or_init(processor_s).clone()? - start;
    let (parameters, codebook_bytes) = of_keys(&parameters, if spec.trellis().is_some() { shape.head_dim as usize } else { 0 })?;
    let encoder = Encoder::new(spec, shape.clone(), &parameters)?;

    // The median of short runs: a busy machine interrupts few of them.
    let vectors = 2 * shape.slots();
    let (mut records, mut encode_s) = (Vec::new(), Vec::new());
    for memory in held_out {
        let start = Instant::now();
        encoder.encode(memory, &mut records)?;
        encode_s.push(start.elapsed().as_secs_f64());
    }
    let mut decoded = vec![Memory::empty(shape.clone()); held_out.len()];
    let mut decode_s = Vec::new();
    let stride = encoder.codec().stride();
    for _ in 0..RUNS {
        for (records, decoded) in records.chunks(BLOCK * stride).zip(decoded.chunks_mut(BLOCK)) {
            let (start, count) = (Instant::now(), decoded.len());
            records.chunks_exact(stride).zip(decoded).try_for_each(|(record, memory)| encoder.codec().decode_memory(record, memory))?;
            decode_s.push(start.elapsed().as_secs_f64() / count as f64);
        }
    }
    Ok(Figures {
        code_bytes: encoder.codec().code_bytes(),
        relative_mse: relative_error(held_out, &decoded),
        train_s,
        encode: vectors as f64 / median(encode_s),
        decode: vectors as f64 / median(decode_s),
        codebook_bytes,
    })
}

/// Processor time of this single-threaded program so far, in seconds.
fn processor_s() -> Result<f64, String> {
    const STATISTICS: &str = "/proc/self/schedstat";
    let text = std::fs::read_to_string(STATISTICS).map_err(|error| format!("{STATISTICS}: {error}"))?;
    let nanoseconds = text.split(' ').next().and_then(|number| number.parse::<u64>().ok());
    Ok(nanoseconds.ok_or_else(|| format!("{STATISTICS}: {text:?}"))? as f64 / 1e9)
}

/// The parameters without the values' allotment (`allotment` bytes) and tables, so that values use those of the keys (SPEC.md, section
/// 9.1); and the number of bytes of the keys' own.
fn of_keys(parameters: &[u8], allotment: usize) -> Result<(Vec<u8>, usize), String> {
    match parameters {
        [0, 0, 0, 0] => Ok((parameters.into(), 0)),
        [2, 0, 0, 0, 0, 0, 1, 0, rest @ ..] => {
            let (allotments, tables) = rest.split_at(2 * allotment);
            let keys = [&allotments[..allotment], &tables[..tables.len() / 2]].concat();
            Ok(([&[1, 0, 0, 0, 0, 0, 0, 0], keys.as_slice()].concat(), keys.len()))
        }
        _ => Err("keys and values have other groups than one each".into()),
    }
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// Squared error over the variance about the mean.
fn relative_error(memories: &[Memory], decoded: &[Memory]) -> f64 {
    let dim = memories[0].shape.head_dim as usize;
    let vectors = |memories: &'_ [Memory]| -> Vec<f32> { memories.iter().flat_map(|m| m.keys.iter().chain(&m.values)).copied().collect() };
    let (vectors, decoded) = (vectors(memories), vectors(decoded));
    let count = (vectors.len() / dim) as f64;
    let mut means = vec![0.0; dim];
    vectors.chunks_exact(dim).for_each(|vector| means.iter_mut().zip(vector).for_each(|(mean, x)| *mean += f64::from(*x) / count));
    let error: f64 = vectors.iter().zip(&decoded).map(|(x, y)| f64::from(x - y).powi(2)).sum();
    let variance: f64 = vectors.iter().zip(means.iter().cycle()).map(|(x, mean)| (f64::from(*x) - mean).powi(2)).sum();
    error / variance
}
