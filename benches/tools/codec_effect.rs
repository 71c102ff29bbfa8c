//! How far codecs move a model's predictions and attention, when the memories it reads have gone through them.
//!
//! ```text
//! mempack build docs/ -o whole.mpk --codec F32
//! cargo run --release -p mempack-benches --bin codec_effect -- whole.mpk MODEL BASE REFERENCES CODEC...
//! cargo run --release -p mempack-benches --bin codec_effect -- --layers 6,15 whole.mpk MODEL BASE REFERENCES CODEC...
//! cargo run --release -p mempack-benches --bin codec_effect -- --plain whole.mpk MODEL BASE REFERENCES CODEC...
//! ```
//!
//! Codecs are trained on the pack's references except those held out, as for a pack of REFERENCES references. Prints one JSON object for
//! each codec: the error of keys, values, attention scores and attention outputs, and the divergence in nats per token with both coded,
//! with keys alone and with values alone. With `--layers`, a codec is trained for each of these layers of the model separately, and a line
//! is about one layer, without the divergence. With `--plain`, trellis codes minimize the squared error instead of weighing it by
//! [`Sensitivity`].

use std::{error::Error, fs, ops::ControlFlow, ops::Range, time::Instant};

use mempack_compiler::{BuildOptions, Encoder, MAX_SENSITIVITY_TEXTS, SampleStore, TrainOptions, train_codec};
use mempack_format::{CodecSpec, Distortion, Memory, MemoryShape, Pack};
use mempack_model::{
    AttentionError, Composer, LoadOptions, MAX_PROBES, Model, Probe, Sensitivity, Slot, attention_error, divergence, gradients,
    predicted_probes,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let plain = args.first().is_some_and(|arg| arg == "--plain");
    args.drain(..usize::from(plain));
    let chosen = if args.first().is_some_and(|arg| arg == "--layers") { args.drain(..2.min(args.len())).nth(1) } else { None };
    let [path, model, base, references, names @ ..] = args.as_slice() else {
        return Err("usage: codec_effect [--plain] [--layers N,...] PACK.mpk MODEL BASE REFERENCES CODEC...".into());
    };
    let specs = names.iter().map(|name| name.parse()).collect::<Result<Vec<CodecSpec>, _>>()?;
    let references: u64 = references.parse()?;
    let pack = Pack::open(fs::read(path)?)?;
    let whole = pack.codec()?;
    if whole.spec() != CodecSpec::F32 {
        return Err(format!("{path}: codec {}, expected F32: build it with --codec F32", whole.spec()).into());
    }
    mempack_model::set_threads(1);
    let model = Model::load(model.as_ref(), &LoadOptions { base: Some(base.into()), ..LoadOptions::default() })?;
    let shape = whole.shape();
    // Memory layers that share a codec.
    let runs: Vec<Range<u32>> = match &chosen {
        None => std::iter::once(0..shape.layers).collect(),
        Some(layers) => {
            let first = model.memory().first_memory_layer;
            let held = |layer: u32| layer.checked_sub(first).filter(|layer| *layer < shape.layers);
            let run = |layer: &str| {
                let layer = held(layer.parse()?).ok_or_else(|| format!("--layers: layer {layer} holds no memories"))?;
                Ok::<_, Box<dyn Error>>(layer..layer + 1)
            };
            layers.split(',').map(run).collect::<Result<_, _>>()?
        }
    };

    // As many memories and texts as a build takes. References at equal distances are held out, so that few have a neighbour among them.
    let (trained_on, texts) = (BuildOptions::default().sample, MAX_SENSITIVITY_TEXTS);
    let count = pack.manifest().counts.references;
    let distance = (count / MAX_PROBES as u32).max(1);
    let (mut held, mut probed) = (Texts::default(), Texts::default());
    let store = |run: &Range<u32>| SampleStore::create_in(&std::env::temp_dir(), shape.of_layers(run.clone()));
    let mut samples = runs.iter().map(store).collect::<Result<Vec<_>, _>>()?;
    for reference in 0..count {
        let mut memory = Memory::empty(shape.clone());
        if reference % distance == distance / 2 && held.memories.len() < MAX_PROBES {
            whole.decode_memory(pack.record(reference)?, &mut memory)?;
            held.push(&model, &pack, reference, memory)?;
        } else if (samples[0].len() as usize) < trained_on && u64::from(reference) * 7 % 10 < 7 {
            whole.decode_memory(pack.record(reference)?, &mut memory)?;
            for (run, sample) in runs.iter().zip(&mut samples) {
                sample.push(&layers_of(&memory, run))?;
            }
            // Spread evenly over those that codecs are trained on, as in a build.
            if !plain && samples[0].len() as usize * texts % trained_on < texts {
                probed.push(&model, &pack, reference, memory)?;
            }
        }
    }
    let predicted = held.predicted(&model, 0..held.memories.len());
    let tokens: usize = predicted.iter().map(|(at, _)| held.ids[*at].len()).sum();
    let mut sensitivity = Sensitivity::new(shape.clone());
    let start = Instant::now();
    for pool in (0..probed.memories.len()).step_by(MAX_PROBES) {
        for (at, reads) in probed.predicted(&model, pool..probed.memories.len().min(pool + MAX_PROBES)) {
            sensitivity.add(&gradients(&model, &probed.ids[at], &read(&probed.memories, &reads))?);
        }
    }
    eprintln!("{} vectors read for sensitivity in {:.0?}", sensitivity.vectors(), start.elapsed());

    for (spec, (run, sample)) in specs.iter().flat_map(|spec| runs.iter().zip(&samples).map(move |run| (spec, run))) {
        let sensitivity = (sensitivity.vectors() > 0).then(|| sensitivity.of_layers(run.clone()));
        let options = TrainOptions { seed: 1, threads: 1, references, sensitivity: sensitivity.as_ref() };
        let parameters = train_codec(spec, sample, &options, &|_, _| ControlFlow::Continue(()))?;
        let encoder = Encoder::new(spec, sample.shape().clone(), &parameters)?;
        let (mut distortion, mut decoded) = (Distortion::new(sample.shape().clone()), Vec::new());
        for memory in &held.memories {
            let exact = layers_of(memory, run);
            let mut record = Vec::new();
            encoder.encode(&exact, &mut record)?;
            let mut out = Memory::empty(sample.shape().clone());
            encoder.codec().decode_memory(&record, &mut out)?;
            distortion.add(&exact, &out);
            decoded.push(with_layers(memory, run, &out));
        }
        let mut attention = AttentionError::default();
        for (at, reads) in &predicted {
            let errors = attention_error(&model, &held.ids[*at], &read(&held.memories, reads), &read(&decoded, reads))?;
            errors[run.start as usize..run.end as usize].iter().for_each(|error| attention.merge(error));
        }
        let loss = distortion.whole();
        let mut line = serde_json::json!({
            "codec": spec.to_string(),
            "weighed": sensitivity.is_some(),
            "bytes": encoder.codec().code_bytes(),
            "groups": encoder.codec().groups(),
            "table_bytes": parameters.len(),
            "relative_mse_keys": loss.keys,
            "relative_mse_values": loss.values,
            "scores": attention.scores.value(),
            "outputs": attention.outputs.value(),
            "outputs_keys": attention.outputs_keys.value(),
            "outputs_values": attention.outputs_values.value(),
            "outputs_whole": attention.whole.value(),
            "tokens": tokens,
        });
        if chosen.is_some() {
            line["layer"] = (model.memory().first_memory_layer + run.start).into();
        } else {
            // Both coded, keys alone, values alone.
            for (name, [keys, values]) in [("nats", [true, true]), ("nats_keys", [true, false]), ("nats_values", [false, true])] {
                let coded = |(exact, decoded): (&Memory, &Memory)| Memory {
                    keys: if keys { decoded } else { exact }.keys.clone(),
                    values: if values { decoded } else { exact }.values.clone(),
                    ..exact.clone()
                };
                let lossy: Vec<Memory> = held.memories.iter().zip(&decoded).map(coded).collect();
                let mut nats = 0.0;
                for (at, reads) in &predicted {
                    nats += divergence(&model, &held.ids[*at], &read(&held.memories, reads), &read(&lossy, reads))? / tokens as f64;
                }
                line[name] = nats.into();
            }
        }
        println!("{line}");
    }
    Ok(())
}

/// Some references, to predict and to read.
#[derive(Default)]
struct Texts {
    memories: Vec<Memory>,
    ids: Vec<Vec<u32>>,
    embeddings: Vec<Vec<f32>>,
}

impl Texts {
    fn push(&mut self, model: &Model, pack: &Pack<Vec<u8>>, reference: u32, memory: Memory) -> Result<(), Box<dyn Error>> {
        let origin = pack.origins(reference)?.next().ok_or("a reference without an origin")?;
        let title = pack.document(origin.document)?.title;
        let composer = Composer::new(model)?;
        self.memories.push(memory);
        self.ids.push(composer.compose(&composer.lead(&title)?, &pack.text(reference)?)?.ids);
        self.embeddings.push(pack.embedding(reference)?.iter().map(|x| x.get()).collect());
        Ok(())
    }

    /// Those of `pool` that are predicted while others of it are read.
    fn predicted(&self, model: &Model, pool: Range<usize>) -> Vec<(usize, Vec<(usize, f32)>)> {
        let probe = |at: usize| Probe { ids: &self.ids[at], embedding: &self.embeddings[at] };
        let probes: Vec<Probe<'_>> = pool.clone().map(probe).collect();
        let numbered = |reads: Vec<(usize, f32)>| reads.into_iter().map(|(other, similarity)| (pool.start + other, similarity)).collect();
        predicted_probes(model.memory(), &probes).into_iter().map(|(at, reads)| (pool.start + at, numbered(reads))).collect()
    }
}

/// The slots of some layers, and their floats.
fn within(shape: &MemoryShape, layers: &Range<u32>) -> [Range<usize>; 2] {
    let slots = shape.slots_of_run((layers.start * shape.heads) as usize..(layers.end * shape.heads) as usize);
    [1, shape.head_dim as usize].map(|width| slots.start * width..slots.end * width)
}

/// Some layers of a memory.
fn layers_of(memory: &Memory, layers: &Range<u32>) -> Memory {
    let [slots, floats] = within(&memory.shape, layers);
    Memory {
        shape: memory.shape.of_layers(layers.clone()),
        positions: memory.positions[slots].to_vec(),
        keys: memory.keys[floats.clone()].to_vec(),
        values: memory.values[floats].to_vec(),
    }
}

/// A memory with some layers taken from another one.
fn with_layers(memory: &Memory, layers: &Range<u32>, other: &Memory) -> Memory {
    let [slots, floats] = within(&memory.shape, layers);
    let mut memory = memory.clone();
    memory.positions[slots].copy_from_slice(&other.positions);
    memory.keys[floats.clone()].copy_from_slice(&other.keys);
    memory.values[floats].copy_from_slice(&other.values);
    memory
}

fn read<'a>(memories: &'a [Memory], reads: &[(usize, f32)]) -> Vec<Slot<'a>> {
    reads.iter().map(|(other, similarity)| Slot { memory: &memories[*other], similarity: *similarity }).collect()
}
