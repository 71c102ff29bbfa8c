//! Codecs on the keys and values of one head: relative squared error, seconds to train, vectors/s to encode and decode.
//!
//! ```text
//! cargo bench -p mempack-compiler --bench codec                       correlated Gaussians
//! CODEC_PACK=FILE.mpk cargo bench ...                                 a head of a pack made with --codec F32
//! CODEC_PEER=python3 cargo bench ...                                  and faiss on the same vectors, with ratios
//! ```
//!
//! The error is relative to the variance about the vectors' mean, over vectors that were not trained on; all on one thread.

use std::{error::Error, fs, io::Write, ops::ControlFlow, path::Path, process::Command, time::Instant};

use criterion::{Criterion, Throughput};
use mempack_compiler::{Encoder, SampleStore, TrainOptions, train_codec};
use mempack_format::{CodecSpec, Memory, MemoryShape, Pack};

/// Codes of 4 to 64 bytes for 64 dimensions.
const SPECS: [&str; 6] = ["SQ8", "PQ8x8", "PQ16x8", "RQ4x8", "RQ8x8", "RQ16x8"];
/// Synthetic memories of eight tokens.
const MEMORIES: usize = 4096;
/// Times that everything is decoded.
const RUNS: usize = 21;
/// One memory in so many is not trained on.
const HELD_OUT: usize = 8;

/// The keys and values of one head: memories whose slots are all filled.
struct Head {
    trained: Vec<Memory>,
    held_out: Vec<Memory>,
}

/// What one codec does.
struct Figures {
    spec: String,
    /// Of keys and values.
    error: [f64; 2],
    train_s: f64,
    encode: f64,
    decode: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let head = match std::env::var_os("CODEC_PACK") {
        Some(path) => of_pack(path.as_ref())?,
        None => synthetic(),
    };
    println!("{} memories to train on, {} held out, {:?}", head.trained.len(), head.held_out.len(), head.trained[0].shape);
    let mut criterion = Criterion::default().configure_from_args().sample_size(20);
    let mut ours = Vec::new();
    for spec in SPECS {
        ours.push(measure(spec, &head, &mut criterion)?);
    }
    criterion.final_summary();
    for figures in &ours {
        print("mempack", figures);
    }
    if let Some(python) = std::env::var_os("CODEC_PEER") {
        for (ours, theirs) in ours.iter().zip(peer(python.as_ref(), &head)?) {
            print("faiss", &theirs);
            println!(
                "ratio    {:8} error {:.3} {:.3}  train {:.2}  encode {:.2}  decode {:.2}   (mempack / faiss)",
                ours.spec,
                ours.error[0] / theirs.error[0],
                ours.error[1] / theirs.error[1],
                ours.train_s / theirs.train_s,
                ours.encode / theirs.encode,
                ours.decode / theirs.decode
            );
        }
    }
    Ok(())
}

fn print(who: &str, figures: &Figures) {
    println!(
        "{who:8} {:8} error of keys {:.5}, values {:.5}; train {:.2} s; encode {:.0} vectors/s, decode {:.0} vectors/s",
        figures.spec, figures.error[0], figures.error[1], figures.train_s, figures.encode, figures.decode
    );
}

fn measure(name: &str, head: &Head, criterion: &mut Criterion) -> Result<Figures, Box<dyn Error>> {
    let spec: CodecSpec = name.parse()?;
    let shape = head.trained[0].shape;
    let mut store = SampleStore::create_in(&std::env::temp_dir(), shape)?;
    head.trained.iter().try_for_each(|memory| store.push(memory))?;
    let options = TrainOptions { seed: 1, threads: 1, references: 1 << 20 };
    let start = Instant::now();
    let parameters = train_codec(&spec, &store, &options, &|_, _| ControlFlow::Continue(()))?;
    let train_s = start.elapsed().as_secs_f64();
    let encoder = Encoder::new(&spec, shape, &parameters)?;

    // The median of short runs: a machine that does other things too interrupts few of them.
    let vectors = 2 * shape.slots();
    let (mut records, mut encode_s) = (Vec::new(), Vec::new());
    for memory in &head.held_out {
        let start = Instant::now();
        encoder.encode(memory, &mut records)?;
        encode_s.push(start.elapsed().as_secs_f64());
    }
    let mut decoded = vec![Memory::empty(shape); head.held_out.len()];
    let mut decode_s = Vec::new();
    for _ in 0..RUNS {
        let start = Instant::now();
        let codes = records.chunks_exact(encoder.codec().stride());
        codes.zip(&mut decoded).try_for_each(|(record, memory)| encoder.codec().decode_memory(record, memory))?;
        decode_s.push(start.elapsed().as_secs_f64());
    }
    let (encode, decode) = (vectors as f64 / median(encode_s), (vectors * head.held_out.len()) as f64 / median(decode_s));
    let error = [
        relative_error(&head.held_out, &decoded, |memory| &memory.keys),
        relative_error(&head.held_out, &decoded, |memory| &memory.values),
    ];

    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(vectors as u64));
    let (memory, record) = (&head.held_out[0], records[..encoder.codec().stride()].to_vec());
    group.bench_function("encode a memory", |b| {
        b.iter(|| {
            records.clear();
            encoder.encode(memory, &mut records)
        });
    });
    group.bench_function("decode a memory", |b| b.iter(|| encoder.codec().decode_memory(&record, &mut decoded[0])));
    group.finish();
    Ok(Figures { spec: name.into(), error, train_s, encode, decode })
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// Squared error over the variance about the mean.
fn relative_error(memories: &[Memory], decoded: &[Memory], vectors: impl Fn(&Memory) -> &[f32]) -> f64 {
    let dim = memories[0].shape.head_dim as usize;
    let (mut error, mut squares, mut sums, mut count) = (0.0, 0.0, vec![0.0; dim], 0.0);
    for (memory, decoded) in memories.iter().zip(decoded) {
        for (vector, found) in vectors(memory).chunks_exact(dim).zip(vectors(decoded).chunks_exact(dim)) {
            count += 1.0;
            for ((x, y), sum) in vector.iter().zip(found).zip(&mut sums) {
                error += f64::from(x - y).powi(2);
                squares += f64::from(*x).powi(2);
                *sum += f64::from(*x);
            }
        }
    }
    error / (squares - sums.iter().map(|sum| sum * sum / count).sum::<f64>())
}

/// Correlated Gaussians: a random mix of independent ones whose deviations fall off as those of real keys do.
fn synthetic() -> Head {
    const DIM: usize = 64;
    let mut state = 1u64;
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f32 / (1u64 << 31) as f32
    };
    // The sum of twelve uniform numbers is near enough to a Gaussian one.
    let mut gaussian = move || (0..12).map(|_| uniform()).sum::<f32>() - 6.0;
    let mix: Vec<f32> = (0..DIM * DIM).map(|i| gaussian() * (-((i / DIM) as f32) / 16.0).exp()).collect();
    let mut vectors = |count: usize| -> Vec<f32> {
        (0..count)
            .flat_map(|_| {
                let source: Vec<f32> = (0..DIM).map(|_| gaussian()).collect();
                let mix = &mix;
                (0..DIM).map(move |d| source.iter().zip(mix[d..].iter().step_by(DIM)).map(|(x, m)| x * m).sum::<f32>()).collect::<Vec<_>>()
            })
            .collect()
    };
    let shape = MemoryShape { layers: 1, heads: 1, tokens: 8, head_dim: DIM as u32 };
    split((0..MEMORIES).map(|_| Memory { shape, positions: (0..8).collect(), keys: vectors(8), values: vectors(8) }))
}

/// The first head of the middle memory layer of a pack of whole floats.
fn of_pack(path: &Path) -> Result<Head, Box<dyn Error>> {
    let pack = Pack::open(fs::read(path)?)?;
    let (codec, references) = (pack.codec()?, pack.manifest().counts.references);
    if codec.spec() != CodecSpec::F32 {
        return Err(format!("{}: codec {}, expected F32: build it with --codec F32", path.display(), codec.spec()).into());
    }
    let whole = codec.shape();
    let shape = MemoryShape { layers: 1, heads: 1, ..whole };
    let (tokens, floats) = (shape.tokens as usize, shape.floats());
    let head = (whole.layers / 2 * whole.heads) as usize;
    let mut memories = Vec::new();
    let mut memory = Memory::empty(whole);
    for reference in 0..references {
        codec.decode_memory(pack.record(reference)?, &mut memory)?;
        let positions = memory.positions[head * tokens..(head + 1) * tokens].to_vec();
        if !positions.contains(&mempack_format::EMPTY_SLOT) {
            let run = head * floats..(head + 1) * floats;
            memories.push(Memory { shape, positions, keys: memory.keys[run.clone()].to_vec(), values: memory.values[run].to_vec() });
        }
    }
    Ok(split(memories.into_iter()))
}

fn split(memories: impl Iterator<Item = Memory>) -> Head {
    let (mut trained, mut held_out) = (Vec::new(), Vec::new());
    for (index, memory) in memories.enumerate() {
        if index % HELD_OUT == 0 { held_out.push(memory) } else { trained.push(memory) }
    }
    Head { trained, held_out }
}

/// faiss on the same vectors: a file of them, and a line of figures for each codec.
fn peer(python: &Path, head: &Head) -> Result<Vec<Figures>, Box<dyn Error>> {
    let mut file = tempfile::NamedTempFile::new()?;
    let tokens = head.trained[0].shape.tokens as usize;
    let counts = [head.trained.len() * tokens, head.held_out.len() * tokens, head.trained[0].shape.head_dim as usize];
    counts.iter().try_for_each(|&count| file.write_all(&(count as u32).to_le_bytes()))?;
    for vectors in [|memory: &Memory| memory.keys.clone(), |memory: &Memory| memory.values.clone()] {
        for memory in head.trained.iter().chain(&head.held_out) {
            vectors(memory).iter().try_for_each(|x| file.write_all(&x.to_le_bytes()))?;
        }
    }
    file.flush()?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/peers/codec_faiss.py");
    let output = Command::new(python).arg(script).arg(file.path()).args(SPECS).output()?;
    if !output.status.success() {
        return Err(format!("codec_faiss.py: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let figures = |line: &str| -> Result<Figures, Box<dyn Error>> {
        let line: serde_json::Value = serde_json::from_str(line)?;
        let number = |name: &str| line[name].as_f64().ok_or_else(|| format!("codec_faiss.py: no number {name} in {line}"));
        Ok(Figures {
            spec: line["codec"].as_str().unwrap_or_default().into(),
            error: [number("error_keys")?, number("error_values")?],
            train_s: number("train_s")?,
            encode: number("encode")?,
            decode: number("decode")?,
        })
    };
    String::from_utf8(output.stdout)?.lines().map(figures).collect()
}
