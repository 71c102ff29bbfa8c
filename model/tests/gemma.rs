//! A small random Gemma model against the logits of transformers (`golden/make_gemma.py` makes both).

use std::path::{Path, PathBuf};

use mempack_model::{Decoder, DeviceChoice, LoadOptions, Precision, ReaderOptions, Slot, set_threads};
use safetensors::SafeTensors;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tiny-gemma")
}

fn load(folder: &Path, precision: Precision) -> Decoder {
    set_threads(1);
    Decoder::load(folder, &LoadOptions { precision, device: DeviceChoice::Cpu, ..LoadOptions::default() }).unwrap()
}

/// Ids, BOS first, and the logits after each of them.
fn of_transformers() -> (Vec<u32>, Vec<f32>) {
    let bytes = std::fs::read(folder().join("logits.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let ids = file.tensor("ids").unwrap().data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as u32).collect();
    let logits = file.tensor("logits").unwrap().data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    (ids, logits)
}

fn plain(decoder: &Decoder, ids: &[u32]) -> Vec<f32> {
    assert_eq!(decoder.config().bos, ids[0]);
    let mut reader = decoder.reader(&ReaderOptions { capacity: ids.len(), prefix: false }).unwrap();
    reader.prompt(&ids[1..], &[], true).unwrap()
}

fn largest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, |max, d| if d.is_nan() { f32::INFINITY } else { max.max(d) })
}

#[test]
fn logits_are_those_of_transformers() {
    let (ids, expected) = of_transformers();
    let off = largest(&plain(&load(&folder(), Precision::F32), &ids), &expected);
    let size = expected.iter().fold(0f32, |max, x| max.max(x.abs()));
    let half = largest(&plain(&load(&folder(), Precision::Bf16), &ids), &expected);
    println!("{} ids: largest difference {off:.1e}, in bf16 {half:.1e}, of logits up to {size:.2}", ids.len());
    assert!(off < 1e-4 && half < 0.1 * size);
}

/// The same weights as Llama's are refused for their activation, and without it compute something else.
#[test]
fn the_family_decides() {
    let (ids, expected) = of_transformers();
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(folder().join("model.safetensors"), dir.path().join("model.safetensors")).unwrap();
    let text = std::fs::read_to_string(folder().join("config.json")).unwrap().replace("\"gemma\"", "\"llama\"");
    let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
    config["tie_word_embeddings"] = true.into();
    let put = |config: &serde_json::Value| std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    put(&config);
    let options = LoadOptions { device: DeviceChoice::Cpu, ..LoadOptions::default() };
    let error = Decoder::load(dir.path(), &options).err().unwrap().to_string();
    assert!(error.contains("hidden_act") && error.contains("gelu_pytorch_tanh"), "{error}");
    config["hidden_act"] = "silu".into();
    put(&config);
    assert!(largest(&plain(&load(dir.path(), Precision::F32), &ids), &expected) > 0.1);
}

/// Memories that are read step by step give what one pass gives.
#[test]
fn memories_are_written_and_read() {
    let decoder = load(&folder(), Precision::F32);
    let references: Vec<Vec<u32>> = (0..3).map(|r| (0..12).map(|i| 3 + (7 * r + 5 * i) % 61).collect()).collect();
    let memories = decoder.write(&references.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
    let slots: Vec<Slot<'_>> = memories.iter().map(|memory| Slot { memory, similarity: 0.5 }).collect();
    let text = &of_transformers().0[1..];
    let options = ReaderOptions { capacity: 1 + text.len(), prefix: true };
    let logits = |chunks: &[Vec<Slot<'_>>]| decoder.reader(&options).unwrap().prompt(text, chunks, true).unwrap();
    let with = logits(std::slice::from_ref(&slots));
    let mut reader = decoder.reader(&options).unwrap();
    let mut stepped = reader.prompt(&[], std::slice::from_ref(&slots), true).unwrap();
    for token in text {
        stepped.extend(reader.step(*token).unwrap());
    }
    assert!(largest(&stepped, &with) < 1e-4);
    assert!(largest(&with, &logits(&[])) > 0.01);
}
