//! The base of the default model as imported, and a reader adapter over it.

use std::path::PathBuf;

use mempack_model::{DeviceChoice, LoadOptions, Model, Precision, ReaderOptions, prompt_tokens, reference_tokens, set_threads};
use safetensors::SafeTensors;
use sha2::{Digest, Sha256};

use crate::fixture::{Cases, Expected, cases, largest, relative, root};
use crate::memories::compare;

/// The folder of the imported base, or a failure that says how to get it.
fn base() -> PathBuf {
    let folder = std::env::var_os("MEMPACK_BASE").map_or_else(|| root().join("models/SmolLM2-135M-Instruct"), PathBuf::from);
    assert!(
        folder.join("model.safetensors").is_file(),
        "{}: the default model's base is not in place; `make` puts it there",
        folder.display()
    );
    folder
}

fn load(precision: Precision, adapter: bool) -> Model {
    set_threads(1);
    let base = base();
    // The adapter that the golden values were made with, whatever the default model's is by now.
    let folder = if adapter { root().join("tests/fixtures/smollm2/adapter") } else { base.clone() };
    Model::load(&folder, &LoadOptions { precision, device: DeviceChoice::Cpu, base: Some(base), ..LoadOptions::default() }).unwrap()
}

#[test]
fn tensors_of_the_base() {
    for case in cases(false) {
        let golden = std::fs::read(case.join("base.json")).unwrap();
        let golden: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&golden).unwrap();
        let file = std::fs::read(base().join("model.safetensors")).unwrap();
        let tensors = SafeTensors::deserialize(&file).unwrap();
        assert_eq!(tensors.len(), golden.len());
        for (name, expected) in &golden {
            let view = tensors.tensor(name).unwrap();
            assert_eq!(view.dtype(), safetensors::Dtype::BF16, "{name}");
            assert_eq!(serde_json::json!(view.shape()), expected["shape"], "{name}");
            let digest: String = Sha256::digest(view.data()).iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(digest, expected["sha256"], "{name}");
        }
        println!("{} base: {} tensors equal, bit for bit", case.file_name().unwrap().to_string_lossy(), golden.len());
    }
}

#[test]
fn writes_and_reads_as_the_definition() {
    for case in cases(false) {
        let (model, plain) = (load(Precision::F32, true), load(Precision::F32, false));
        let (given, expected) = (Cases::read(&case), Expected::read(&case));
        for (text, ids) in given.reference_texts.iter().zip(&given.references) {
            assert_eq!(&reference_tokens(&model, text).unwrap(), ids);
        }
        let prompt = prompt_tokens(&model, &given.question).unwrap();
        assert!(given.text.starts_with(&prompt.ids), "{:?}", prompt.ids);
        let references: Vec<&[u32]> = given.references.iter().map(Vec::as_slice).collect();
        let memories = model.write(&references).unwrap();
        let d = compare(model.decoder(), &memories, &expected);
        let (keys, values) = (largest(&d.keys.0, &d.keys.1), largest(&d.values.0, &d.values.1));
        println!(
            "smollm2 write: {} of {} slots hold another token; largest difference of keys {keys:.1e}, values {values:.1e}",
            d.other_tokens, d.slots
        );
        assert!(d.other_tokens == 0 && keys < 1e-4 && values < 1e-4);

        let rows = prompt.ids.len() * model.config().vocabulary as usize..(prompt.ids.len() + 3) * model.config().vocabulary as usize;
        let logits = |model: &Model, prefix: bool, chunks: &[Vec<_>]| {
            let mut reader = model.reader(&ReaderOptions { capacity: 1 + given.text.len(), prefix }).unwrap();
            reader.prompt(&given.text, chunks, true).unwrap()[rows.clone()].to_vec()
        };
        for (name, ours) in [
            ("read.logits", logits(&model, true, &given.chunks(&memories, false))),
            ("read.logits_biased", logits(&model, true, &given.chunks(&memories, true))),
            ("read.logits_no_memory", logits(&model, true, &[])),
            ("plain.logits", logits(&plain, false, &[])),
        ] {
            let off = largest(&ours, expected.float(name));
            println!("smollm2 {name:22} largest difference {off:.1e}");
            assert!(off < 1e-3, "{name}");
        }
    }
}

#[test]
fn bf16_distance() {
    for case in cases(false) {
        let model = load(Precision::Bf16, true);
        let (given, expected) = (Cases::read(&case), Expected::read(&case));
        let references: Vec<&[u32]> = given.references.iter().map(Vec::as_slice).collect();
        let memories = model.write(&references).unwrap();
        let d = compare(model.decoder(), &memories, &expected);
        let (keys, values) = (relative(&d.keys.0, &d.keys.1), relative(&d.values.0, &d.values.1));
        println!(
            "smollm2 bf16 write: {} of {} slots hold another token; relative distance of keys {keys:.4}, values {values:.4}",
            d.other_tokens, d.slots
        );
        assert!(d.other_tokens * 4 < d.slots && keys < 0.1 && values < 0.1);
        let mut reader = model.reader(&ReaderOptions { capacity: 1 + given.text.len(), prefix: true }).unwrap();
        let logits = reader.prompt(&given.text, &given.chunks(&memories, true), true).unwrap();
        let vocabulary = model.config().vocabulary as usize;
        let first = prompt_tokens(&model, &given.question).unwrap().ids.len();
        let golden = expected.float("read.logits_biased");
        let off = relative(&logits[first * vocabulary..(first + 3) * vocabulary], golden);
        println!("smollm2 bf16 read.logits_biased relative distance {off:.4}");
        assert!(off < 0.1);
        for (ours, golden) in logits[first * vocabulary..].chunks(vocabulary).zip(golden.chunks(vocabulary)) {
            let best = |row: &[f32]| row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
            assert_eq!(best(ours), best(golden), "bf16 would choose another token");
        }
    }
}
