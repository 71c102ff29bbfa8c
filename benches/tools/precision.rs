//! How far 8-bit weights move a model's predictions from those of bf16.
//!
//! ```text
//! cargo run --release -p mempack-benches --bin precision -- MODEL BASE PACK.mpk [TEXTS]
//! ```
//!
//! Predicts TEXTS references of the pack (64), at equal distances, token by token, while the memories of the five references after each are read, as
//! answers are decoded. Prints one JSON object: the divergence in nats a token, the share of tokens whose likeliest next token is the same, and the mean
//! loss in nats of each precision.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use mempack_format::{Digest, Memory};
use mempack_model::{Batch, LoadOptions, Model, Precision, Prompt, ReaderOptions, Row, Slot, SlotList, StepDecoder, divergence_of_logits};
use mempack_runtime::{MappedPack, MemoryCache, read_reference};

/// Texts that are predicted together.
const TOGETHER: usize = 16;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, base, path, texts @ ..] = args.as_slice() else { return Err("usage: precision MODEL BASE PACK.mpk [TEXTS]".into()) };
    let wanted: u32 = texts.first().map_or(Ok(64), |texts| texts.parse())?;
    mempack_model::set_threads(2);
    let load =
        |precision| Model::load(model.as_ref(), &LoadOptions { base: Some(PathBuf::from(base)), precision, ..LoadOptions::default() });
    let (whole, rounded) = (load(Precision::Bf16)?, load(Precision::Int8)?);
    let pack = Arc::new(MappedPack::open(path)?);
    let (count, cache) = (pack.manifest().counts.references, MemoryCache::new(256 << 20));
    let mut texts = Vec::new();
    for number in (0..count).step_by((count / wanted.max(1)).max(1) as usize).take(wanted as usize) {
        let after = (1..=whole.memory().memories_per_chunk).map(|i| (number + i) % count);
        let memories = after.map(|number| cache.get(&pack, number)).collect::<Result<Vec<_>, _>>()?;
        texts.push((read_reference(&whole, &pack, number)?.ids, memories));
    }
    let vocabulary = whole.config().vocabulary as usize;
    let (mut tokens, mut divergence, mut same, mut losses) = (0u64, 0.0, 0u64, [0.0; 2]);
    for texts in texts.chunks(TOGETHER) {
        let [p, q] = [&whole, &rounded].map(|model| logits(model, texts));
        let (p, q) = (p?, q?);
        for ((p, q), (ids, _)) in p.iter().zip(&q).zip(texts) {
            // The logits after a token predict the next one.
            for ((p, q), next) in p.chunks_exact(vocabulary).zip(q.chunks_exact(vocabulary)).zip(&ids[1..]) {
                tokens += 1;
                divergence += divergence_of_logits(p, q);
                same += u64::from(likeliest(p) == likeliest(q));
                for (loss, logits) in losses.iter_mut().zip([p, q]) {
                    *loss += loss_of(logits, *next as usize);
                }
            }
        }
    }
    let mean = |sum: f64| sum / tokens.max(1) as f64;
    let json = serde_json::json!({
        "texts": texts.len(), "tokens": tokens, "divergence": mean(divergence), "same_likeliest": mean(same as f64),
        "loss_bf16": mean(losses[0]), "loss_int8": mean(losses[1]),
    });
    println!("{json}");
    Ok(())
}

/// The logits after each token but the last of some texts, `[tokens - 1, vocabulary]` each.
fn logits(model: &Model, texts: &[(Vec<u32>, Vec<Arc<Memory>>)]) -> Result<Vec<Vec<f32>>, Box<dyn Error>> {
    let mut batch = Batch::new(&StepDecoder::new(model.decoder())?, usize::MAX, texts.len())?;
    let mut sequences = Vec::with_capacity(texts.len());
    for (ids, memories) in texts {
        let slots = memories.iter().map(|memory| Slot { memory, similarity: 0.5 }).collect();
        let lists = [SlotList { slots, key: Digest::of(&ids.iter().flat_map(|id| id.to_le_bytes()).collect::<Vec<u8>>()) }];
        let prompt = Prompt { text: &ids[..1], chunks: &lists };
        let mut sequence = batch.open(&ReaderOptions { capacity: 1 + ids.len(), prefix: true }, &prompt)?;
        batch.prompt(&mut sequence, &prompt)?;
        sequences.push((sequence, Vec::new()));
    }
    let longest = texts.iter().map(|(ids, _)| ids.len()).max().unwrap_or(0);
    for step in 1..longest {
        for ((sequence, logits), (ids, _)) in sequences.iter_mut().zip(texts) {
            if step < ids.len() {
                logits.extend_from_slice(sequence.logits());
            }
        }
        let going = sequences.iter_mut().zip(texts).filter(|(_, (ids, _))| step + 1 < ids.len());
        let mut rows: Vec<Row<'_>> = going.map(|((sequence, _), (ids, _))| Row::new(sequence, ids[step])).collect();
        batch.step(&mut rows);
        rows.into_iter().try_for_each(|row| row.outcome)?;
    }
    Ok(sequences.into_iter().map(|(_, logits)| logits).collect())
}

fn likeliest(logits: &[f32]) -> Option<usize> {
    (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b]))
}

/// Minus the log-probability of a token.
fn loss_of(logits: &[f32], token: usize) -> f64 {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - top).exp()).sum();
    sum.ln() - f64::from(logits[token] - top)
}
