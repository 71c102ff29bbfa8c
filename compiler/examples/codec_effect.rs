//! What codecs do to a model: how far its predictions move when the memories that it reads have gone through them.
//!
//! ```text
//! mempack build docs/ -o whole.mpk --codec F32
//! cargo run --release -p mempack-compiler --example codec_effect whole.mpk MODEL BASE REFERENCES CODEC...
//! ```
//!
//! Codecs are trained on the pack's references but those held out, as for a pack of so many references. Prints a JSON object a line and
//! codec: what is lost of keys and of values, and the divergence in nats a token with both coded, with keys alone and with values alone.

use std::{error::Error, fs, ops::ControlFlow};

use mempack_compiler::{Encoder, SampleStore, TrainOptions, train_codec};
use mempack_format::{CodecSpec, Distortion, Memory, Pack};
use mempack_model::{Composer, LoadOptions, MOST_PROBES, Model, Probe, Slot, divergence, predicted_probes};

/// Memories that codecs are trained on at most, as many as a build takes.
const SAMPLE: usize = 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [path, model, base, references, names @ ..] = args.as_slice() else {
        return Err("usage: codec_effect PACK.mpk MODEL BASE REFERENCES CODEC...".into());
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

    // Held out are references at equal distances, so that few have a neighbour among them.
    let count = pack.manifest().counts.references;
    let distance = (count / MOST_PROBES as u32).max(1);
    let (mut sample, mut held, mut texts, mut embeddings) =
        (SampleStore::create_in(&std::env::temp_dir(), shape)?, Vec::new(), Vec::new(), Vec::new());
    for reference in 0..count {
        let mut memory = Memory::empty(shape);
        if reference % distance == distance / 2 && held.len() < MOST_PROBES {
            whole.decode_memory(pack.record(reference)?, &mut memory)?;
            held.push(memory);
            let origin = pack.origins(reference)?.next().ok_or("a reference without an origin")?;
            let title = pack.document(origin.document)?.title;
            let composer = Composer::new(&model)?;
            texts.push(composer.compose(&composer.lead(&title)?, &pack.text(reference)?)?.ids);
            embeddings.push(pack.embedding(reference)?.iter().map(|x| x.get()).collect::<Vec<f32>>());
        } else if (sample.len() as usize) < SAMPLE && u64::from(reference) * 7 % 10 < 7 {
            whole.decode_memory(pack.record(reference)?, &mut memory)?;
            sample.push(&memory)?;
        }
    }
    let probes: Vec<Probe<'_>> = texts.iter().zip(&embeddings).map(|(ids, embedding)| Probe { ids, embedding }).collect();
    let predicted = predicted_probes(model.memory(), &probes);
    let tokens: usize = predicted.iter().map(|(at, _)| texts[*at].len()).sum();

    for spec in &specs {
        let options = TrainOptions { seed: 1, threads: 1, references };
        let parameters = train_codec(spec, &sample, &options, &|_, _| ControlFlow::Continue(()))?;
        let encoder = Encoder::new(spec, shape, &parameters)?;
        let (mut distortion, mut decoded) = (Distortion::new(shape), Vec::new());
        for memory in &held {
            let mut record = Vec::new();
            encoder.encode(memory, &mut record)?;
            let mut out = Memory::empty(shape);
            encoder.codec().decode_memory(&record, &mut out)?;
            distortion.add(memory, &out);
            decoded.push(out);
        }
        // Both coded, keys alone, values alone.
        let mut nats = [0.0; 3];
        for (nats, [keys, values]) in nats.iter_mut().zip([[true, true], [true, false], [false, true]]) {
            let lossy: Vec<Memory> = held
                .iter()
                .zip(&decoded)
                .map(|(exact, decoded)| Memory {
                    keys: if keys { decoded } else { exact }.keys.clone(),
                    values: if values { decoded } else { exact }.values.clone(),
                    ..exact.clone()
                })
                .collect();
            for (at, reads) in &predicted {
                *nats += divergence(&model, &texts[*at], &read(&held, reads), &read(&lossy, reads))? / tokens as f64;
            }
        }
        let loss = distortion.whole();
        let line = serde_json::json!({
            "codec": spec.to_string(),
            "bytes": encoder.codec().code_bytes(),
            "groups": encoder.codec().groups(),
            "table_bytes": parameters.len(),
            "relative_mse_keys": loss.keys,
            "relative_mse_values": loss.values,
            "nats": nats[0],
            "nats_keys": nats[1],
            "nats_values": nats[2],
            "tokens": tokens,
        });
        println!("{line}");
    }
    Ok(())
}

fn read<'a>(memories: &'a [Memory], reads: &[(usize, f32)]) -> Vec<Slot<'a>> {
    reads.iter().map(|(other, similarity)| Slot { memory: &memories[*other], similarity: *similarity }).collect()
}
